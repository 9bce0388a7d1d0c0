//! Which sources this reader can read: those whose client options it understands. What it leaves to librdkafka stands
//! in one table with the reason.

use std::collections::BTreeMap;
use std::time::Duration;

use pyrite_common::net::HostPort;

use super::walk::Isolation;
use crate::executor::kafka::client::ClientLimits;

const PORT: u16 = 9092;
/// One answer's bytes of all partitions together; a single batch may be larger.
const RESPONSE_BYTES_MAX: i32 = 8 << 20;
/// How long a broker first holds back an answer without records.
const WAIT_FIRST: Duration = Duration::from_millis(10);
/// The longest that it holds one back while nothing comes. A partition that starts meanwhile waits so long.
const WAIT_LONGEST: Duration = Duration::from_millis(80);
/// As Java's client.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What becomes of one of librdkafka's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Read below.
    Understood,
    /// It changes no record and no result: caches, buffers, groups, or what the source decides itself.
    Idle,
    /// Needs librdkafka, because of this.
    Librdkafka(&'static str),
}

use Rule::{Idle, Librdkafka, Understood};

const SECURITY: &str = "only it encrypts and authenticates";

/// Sorted by name. A name that is not here needs librdkafka too.
const TABLE: &[(&str, Rule)] = &[
    ("allow.auto.create.topics", Librdkafka("only it creates topics by asking for them")),
    ("api.version.request", Idle),
    ("auto.commit.enable", Idle),
    ("auto.offset.reset", Idle),
    ("bootstrap.servers", Understood),
    ("broker.address.family", Librdkafka("only it chooses between address families")),
    ("check.crcs", Idle),
    ("client.dns.lookup", Librdkafka("only it chooses between a name's addresses")),
    ("client.id", Understood),
    ("client.rack", Librdkafka("only it reads from the nearest replica")),
    ("connections.max.idle.ms", Idle),
    ("debug", Librdkafka("only it has these logs")),
    ("enable.auto.commit", Idle),
    ("enable.auto.offset.store", Idle),
    ("enable.metrics.push", Idle),
    ("enable.partition.eof", Idle),
    ("fetch.max.bytes", Understood),
    ("fetch.message.max.bytes", Understood),
    ("fetch.min.bytes", Understood),
    ("fetch.wait.max.ms", Understood),
    ("group.id", Idle),
    ("group.instance.id", Idle),
    ("isolation.level", Understood),
    ("max.partition.fetch.bytes", Understood),
    ("message.max.bytes", Idle),
    ("metadata.max.age.ms", Idle),
    ("queued.max.messages.kbytes", Idle),
    ("queued.min.messages", Idle),
    ("receive.message.max.bytes", Idle),
    ("reconnect.backoff.max.ms", Idle),
    ("reconnect.backoff.ms", Idle),
    ("retry.backoff.max.ms", Idle),
    ("retry.backoff.ms", Idle),
    ("security.protocol", Understood),
    ("socket.connection.setup.timeout.ms", Understood),
    ("socket.keepalive.enable", Idle),
    ("socket.receive.buffer.bytes", Idle),
    ("socket.send.buffer.bytes", Idle),
    ("socket.timeout.ms", Understood),
    ("topic.metadata.refresh.interval.ms", Idle),
];

/// How one query fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::executor::kafka) struct FetchSettings {
    /// Brokers to begin with, at least one.
    pub servers: Vec<HostPort>,
    /// What brokers call this client in their logs and quotas.
    pub client_id: String,
    /// Which records of transactions are read.
    pub(super) isolation: Isolation,
    /// Bytes that one partition may queue.
    pub queue_bytes: usize,
    /// Bytes of one partition in an answer; a single batch may be larger.
    pub partition_bytes: i32,
    /// Bytes of an answer.
    pub response_bytes: i32,
    /// Bytes that a broker waits for.
    pub bytes_min: i32,
    /// How long it waits for them, the first time.
    pub wait_first: Duration,
    /// How long when nothing comes for a while.
    pub wait_longest: Duration,
    /// How long an answer may take beyond that.
    pub request_timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
}

impl FetchSettings {
    /// Reads librdkafka's options. `Err` says why a source with these is left to librdkafka.
    pub fn read(options: &BTreeMap<String, String>, limits: ClientLimits) -> Result<Self, String> {
        for (name, value) in options {
            refuse(name, value)?;
        }
        let get = |name: &str| options.get(name).map(String::as_str);
        let fetch_bytes = limits.fetch_bytes() as i32;
        let own_bytes = number(options, "max.partition.fetch.bytes")?.or(number(options, "fetch.message.max.bytes")?);
        let millis = |name| Ok::<_, String>(number(options, name)?.map(|millis| Duration::from_millis(millis as u64)));
        let wait = millis("fetch.wait.max.ms")?;
        Ok(Self {
            servers: servers(get("bootstrap.servers").unwrap_or_default())?,
            client_id: get("client.id").unwrap_or("pyrite").to_owned(),
            isolation: match get("isolation.level") {
                None | Some("read_uncommitted") => Isolation::ReadUncommitted,
                Some("read_committed") => Isolation::ReadCommitted,
                Some(other) => return Err(format!("`isolation.level` is `{other}`")),
            },
            queue_bytes: limits.partition_bytes() as usize,
            partition_bytes: own_bytes.map_or(fetch_bytes, |own| own.clamp(1, fetch_bytes)),
            response_bytes: number(options, "fetch.max.bytes")?.map_or(RESPONSE_BYTES_MAX, |own| own.max(1)),
            bytes_min: number(options, "fetch.min.bytes")?.unwrap_or(1).max(1),
            wait_first: wait.unwrap_or(WAIT_FIRST),
            wait_longest: wait.unwrap_or(WAIT_LONGEST),
            request_timeout: millis("socket.timeout.ms")?.unwrap_or(REQUEST_TIMEOUT),
            connect_timeout: millis("socket.connection.setup.timeout.ms")?.unwrap_or(CONNECT_TIMEOUT),
        })
    }
}

fn refuse(name: &str, value: &str) -> Result<(), String> {
    let rule = TABLE.binary_search_by_key(&name, |(known, _)| known).map(|index| TABLE[index].1);
    match (rule, name) {
        (Ok(Understood), "security.protocol") if !value.eq_ignore_ascii_case("plaintext") => {
            Err(format!("`security.protocol` is `{value}`: {SECURITY}"))
        }
        (Ok(Understood | Idle), _) => Ok(()),
        (Ok(Librdkafka(reason)), _) => Err(format!("`{name}` is set: {reason}")),
        (Err(_), _) if name.starts_with("sasl.") || name.starts_with("ssl.") => {
            Err(format!("`{name}` is set: {SECURITY}"))
        }
        (Err(_), _) => Err(format!("`{name}` is set: only it knows this option")),
    }
}

fn number(options: &BTreeMap<String, String>, name: &str) -> Result<Option<i32>, String> {
    let Some(text) = options.get(name) else { return Ok(None) };
    let number = text.trim().parse::<i32>().ok().filter(|number| *number >= 0);
    // librdkafka says what it thinks of the value.
    number.map(Some).ok_or_else(|| format!("`{name}` is `{text}`"))
}

/// `host:port`, `host`, each perhaps with a protocol before it, separated by commas.
fn servers(text: &str) -> Result<Vec<HostPort>, String> {
    let mut servers = Vec::new();
    for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        let bare = match one.split_once("://") {
            Some((protocol, bare)) if protocol.eq_ignore_ascii_case("plaintext") => bare,
            Some((protocol, _)) => return Err(format!("a bootstrap server is reached by `{protocol}`: {SECURITY}")),
            None => one,
        };
        let address = HostPort::parse(bare).or_else(|_| HostPort::parse(&format!("{bare}:{PORT}")));
        servers.push(address.map_err(|error| error.to_string())?);
    }
    if servers.is_empty() {
        return Err("`bootstrap.servers` names none".to_owned());
    }
    Ok(servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<FetchSettings, String> {
        let mut options: BTreeMap<String, String> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        options.entry("bootstrap.servers".to_owned()).or_insert("b:9092".to_owned());
        FetchSettings::read(&options, ClientLimits { queue_bytes: 16 << 20, partitions: 4 })
    }

    #[test]
    fn the_table_is_sorted_and_names_each_option_once() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn options_that_need_librdkafka_are_named_with_the_reason() {
        for (name, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.username", "me"),
            ("ssl.ca.location", "/ca.pem"),
            ("client.rack", "eu"),
            ("debug", "all"),
            ("brand.new", "1"),
            ("fetch.min.bytes", "many"),
        ] {
            let reason = read(&[(name, value)]).expect_err(name);
            assert!(reason.contains(&format!("`{name}`")), "{reason}");
        }
        assert!(read(&[("bootstrap.servers", "SSL://b:1")]).is_err());
        assert!(read(&[("bootstrap.servers", " , ")]).is_err());
    }

    #[test]
    fn what_is_understood_is_used() {
        let settings = read(&[
            ("bootstrap.servers", "a:1, PLAINTEXT://b ,[::1]:3"),
            ("security.protocol", "plaintext"),
            ("isolation.level", "read_committed"),
            ("group.id", "mine"),
            ("fetch.wait.max.ms", "500"),
            ("max.partition.fetch.bytes", "1000"),
        ]);
        let settings = settings.expect("all are known");
        let servers: Vec<String> = settings.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["a:1", "b:9092", "[::1]:3"]);
        assert_eq!(settings.isolation, Isolation::ReadCommitted);
        assert_eq!(settings.wait_first, Duration::from_millis(500));
        assert_eq!(settings.partition_bytes, 1000);
        assert_eq!(settings.queue_bytes, 4 << 20);
        assert_eq!(read(&[]).expect("plain").partition_bytes, 2 << 20);
    }
}
