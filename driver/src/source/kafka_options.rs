//! `kafka.*` options: Java's client names to librdkafka's, in one table.

use std::collections::BTreeMap;

use pyrite_common::nearest::suggestion;

/// What becomes of one of Java's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// The same name and meaning.
    Same,
    /// Another name, the same values.
    Named(&'static str),
    /// Java's client uses it, this one has no use for it.
    Ignored,
    /// Spark refuses it; the text says what to do.
    Refused(&'static str),
    /// Handled by a function of its own.
    Special,
}

use Rule::{Ignored, Named, Refused, Same, Special};

const OFFSETS_ARE_THE_SOURCES: &str =
    "is not supported as the source keeps its own offsets; use the option `startingOffsets`";
const BYTES_ONLY: &str =
    "is not supported as keys and values are read as byte arrays; use DataFrame operations to decode them";

/// Sorted by name.
const TABLE: &[(&str, Rule)] = &[
    ("allow.auto.create.topics", Same),
    ("api.version.request", Same),
    ("auto.commit.interval.ms", Ignored),
    ("auto.offset.reset", Refused(OFFSETS_ARE_THE_SOURCES)),
    ("bootstrap.servers", Same),
    ("broker.address.family", Same),
    ("check.crcs", Same),
    ("client.dns.lookup", Same),
    ("client.id", Same),
    ("client.rack", Same),
    ("connections.max.idle.ms", Same),
    ("debug", Same),
    ("default.api.timeout.ms", Ignored),
    ("enable.auto.commit", Refused("is not supported as the source commits no offsets")),
    ("enable.metrics.push", Same),
    ("exclude.internal.topics", Ignored),
    ("fetch.max.bytes", Same),
    ("fetch.max.wait.ms", Named("fetch.wait.max.ms")),
    ("fetch.message.max.bytes", Same),
    ("fetch.min.bytes", Same),
    ("fetch.wait.max.ms", Same),
    ("group.id", Same),
    ("group.instance.id", Ignored),
    ("heartbeat.interval.ms", Ignored),
    ("interceptor.classes", Refused("is not supported as it is not safe for a source to run interceptors")),
    ("internal.leave.group.on.close", Ignored),
    ("isolation.level", Same),
    ("key.deserializer", Refused(BYTES_ONLY)),
    ("max.partition.fetch.bytes", Same),
    ("max.poll.interval.ms", Ignored),
    ("max.poll.records", Ignored),
    ("message.max.bytes", Same),
    ("metadata.max.age.ms", Same),
    ("metric.reporters", Ignored),
    ("metrics.num.samples", Ignored),
    ("metrics.recording.level", Ignored),
    ("metrics.sample.window.ms", Ignored),
    ("partition.assignment.strategy", Ignored),
    ("queued.max.messages.kbytes", Same),
    ("queued.min.messages", Same),
    ("receive.buffer.bytes", Named("socket.receive.buffer.bytes")),
    ("receive.message.max.bytes", Same),
    ("reconnect.backoff.max.ms", Same),
    ("reconnect.backoff.ms", Same),
    ("request.timeout.ms", Named("socket.timeout.ms")),
    ("retry.backoff.max.ms", Same),
    ("retry.backoff.ms", Same),
    ("sasl.client.callback.handler.class", Ignored),
    ("sasl.jaas.config", Special),
    ("sasl.kerberos.keytab", Same),
    ("sasl.kerberos.kinit.cmd", Same),
    ("sasl.kerberos.min.time.before.relogin", Same),
    ("sasl.kerberos.principal", Same),
    ("sasl.kerberos.service.name", Same),
    ("sasl.login.callback.handler.class", Ignored),
    ("sasl.login.class", Ignored),
    ("sasl.mechanism", Same),
    ("sasl.mechanisms", Same),
    ("sasl.oauthbearer.client.id", Same),
    ("sasl.oauthbearer.client.secret", Same),
    ("sasl.oauthbearer.config", Same),
    ("sasl.oauthbearer.method", Same),
    ("sasl.oauthbearer.scope", Same),
    ("sasl.oauthbearer.token.endpoint.url", Same),
    ("sasl.password", Same),
    ("sasl.username", Same),
    ("security.protocol", Same),
    ("send.buffer.bytes", Named("socket.send.buffer.bytes")),
    ("session.timeout.ms", Ignored),
    ("socket.connection.setup.timeout.max.ms", Ignored),
    ("socket.connection.setup.timeout.ms", Same),
    ("socket.keepalive.enable", Same),
    ("socket.receive.buffer.bytes", Same),
    ("socket.send.buffer.bytes", Same),
    ("socket.timeout.ms", Same),
    ("ssl.ca.location", Same),
    ("ssl.ca.pem", Same),
    ("ssl.certificate.location", Same),
    ("ssl.certificate.pem", Same),
    ("ssl.cipher.suites", Same),
    ("ssl.enabled.protocols", Ignored),
    ("ssl.endpoint.identification.algorithm", Special),
    ("ssl.key.location", Same),
    ("ssl.key.password", Same),
    ("ssl.key.pem", Same),
    ("ssl.keymanager.algorithm", Ignored),
    ("ssl.keystore.certificate.chain", Named("ssl.certificate.pem")),
    ("ssl.keystore.key", Named("ssl.key.pem")),
    ("ssl.keystore.location", Special),
    ("ssl.keystore.password", Same),
    ("ssl.keystore.type", Special),
    ("ssl.protocol", Ignored),
    ("ssl.provider", Ignored),
    ("ssl.secure.random.implementation", Ignored),
    ("ssl.trustmanager.algorithm", Ignored),
    ("ssl.truststore.certificates", Named("ssl.ca.pem")),
    ("ssl.truststore.location", Special),
    ("ssl.truststore.password", Special),
    ("ssl.truststore.type", Special),
    ("topic.metadata.refresh.interval.ms", Same),
    ("value.deserializer", Refused(BYTES_ONLY)),
];

/// Client options that cannot be used, in words for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KafkaOptionError {
    #[error("Kafka option '{name}' {why}.")]
    Refused { name: String, why: &'static str },
    #[error("Option 'kafka.bootstrap.servers' must be specified for configuring Kafka consumer")]
    NoServers,
    #[error("`kafka.{name}` must be {expected}, not `{value}`{suggestion}")]
    Value { name: String, value: String, expected: &'static str, suggestion: String },
    #[error(
        "`kafka.{name}` names a {kind} store, which librdkafka cannot read: convert it to PEM (`ssl.truststore.type=PEM`)"
    )]
    Store { name: &'static str, kind: String },
    #[error(
        "`kafka.sasl.jaas.config` has no `username=\"...\"` and `password=\"...\"`: only PlainLoginModule and ScramLoginModule are supported"
    )]
    Jaas,
}

/// librdkafka's options from Java's (names without `kafka.`, lower case). A name that neither knows is ignored with a
/// warning, as Java's client does.
pub fn to_librdkafka(java: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, KafkaOptionError> {
    let mut out = BTreeMap::new();
    // Java's defaults where librdkafka's differ.
    out.insert("isolation.level".to_string(), "read_uncommitted".to_string());
    out.insert("socket.keepalive.enable".to_string(), "true".to_string());
    for (name, value) in java {
        match rule(name) {
            Some(Same) => {
                out.insert(name.clone(), within_bounds(name, checked(name, value)?));
            }
            Some(Named(to)) => {
                out.insert(to.to_string(), within_bounds(to, value.clone()));
            }
            Some(Ignored) => tracing::debug!(option = name, "kafka option has no use here"),
            Some(Refused(why)) => return Err(KafkaOptionError::Refused { name: name.clone(), why }),
            Some(Special) => special(name, value, java, &mut out)?,
            None => {
                let hint = suggestion(name, TABLE.iter().map(|(name, _)| *name));
                tracing::warn!("unknown option `kafka.{name}` is ignored{hint}");
            }
        }
    }
    if !out.contains_key("bootstrap.servers") {
        return Err(KafkaOptionError::NoServers);
    }
    Ok(out)
}

fn rule(name: &str) -> Option<Rule> {
    TABLE.binary_search_by_key(&name, |(name, _)| name).ok().map(|index| TABLE[index].1)
}

/// Where librdkafka takes less than Java's client: its bounds of these options. Java's -1, the system's size of a buffer
/// or no limit, is its 0.
const BOUNDS: &[(&str, i64, i64)] = &[
    ("connections.max.idle.ms", 0, i32::MAX as i64),
    // Not below what one message may take.
    ("fetch.max.bytes", 1_000_000, i32::MAX as i64 - 512),
    ("fetch.message.max.bytes", 1, 1_000_000_000),
    ("fetch.min.bytes", 1, 100_000_000),
    ("fetch.wait.max.ms", 0, 300_000),
    ("max.partition.fetch.bytes", 1, 1_000_000_000),
    ("metadata.max.age.ms", 1, 86_400_000),
    ("reconnect.backoff.max.ms", 0, 3_600_000),
    ("reconnect.backoff.ms", 0, 3_600_000),
    ("retry.backoff.max.ms", 1, 300_000),
    ("retry.backoff.ms", 1, 300_000),
    ("socket.connection.setup.timeout.ms", 1_000, i32::MAX as i64),
    ("socket.receive.buffer.bytes", 0, 100_000_000),
    ("socket.send.buffer.bytes", 0, 100_000_000),
    ("socket.timeout.ms", 10, 300_000),
];

/// The nearest value that librdkafka takes; what is no number is left for it to refuse.
fn within_bounds(name: &str, value: String) -> String {
    let bounds = BOUNDS.iter().find(|(bounded, ..)| *bounded == name);
    match (bounds, value.trim().parse::<i64>()) {
        (Some((_, least, most)), Ok(number)) => number.clamp(*least, *most).to_string(),
        _ => value,
    }
}

const PROTOCOLS: &[&str] = &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
const ISOLATIONS: &[&str] = &["read_uncommitted", "read_committed"];

/// A value of a closed set is checked here, where its error can name the nearest.
fn checked(name: &str, value: &str) -> Result<String, KafkaOptionError> {
    let one_of = |valid: &'static [&'static str], expected| {
        if valid.iter().any(|valid| valid.eq_ignore_ascii_case(value)) {
            return Ok(value.to_string());
        }
        let suggestion = suggestion(value, valid.iter().copied());
        Err(KafkaOptionError::Value { name: name.to_string(), value: value.to_string(), expected, suggestion })
    };
    match name {
        "security.protocol" => one_of(PROTOCOLS, "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
        "isolation.level" => one_of(ISOLATIONS, "read_uncommitted or read_committed").map(|text| text.to_lowercase()),
        "bootstrap.servers" if value.trim().is_empty() => Err(KafkaOptionError::NoServers),
        _ => Ok(value.to_string()),
    }
}

fn special(
    name: &str,
    value: &str,
    java: &BTreeMap<String, String>,
    out: &mut BTreeMap<String, String>,
) -> Result<(), KafkaOptionError> {
    let kind = |option: &str| java.get(option).map_or("JKS".to_string(), |kind| kind.to_uppercase());
    match name {
        "sasl.jaas.config" => {
            let username = jaas_value(value, "username").ok_or(KafkaOptionError::Jaas)?;
            let password = jaas_value(value, "password").ok_or(KafkaOptionError::Jaas)?;
            out.insert("sasl.username".to_string(), username);
            out.insert("sasl.password".to_string(), password);
        }
        // Java switches the check off by an empty text.
        "ssl.endpoint.identification.algorithm" => {
            let algorithm = if value.trim().is_empty() { "none" } else { value };
            out.insert(name.to_string(), algorithm.to_string());
        }
        "ssl.truststore.location" => {
            let kind = kind("ssl.truststore.type");
            if kind != "PEM" && !value.ends_with(".pem") && !value.ends_with(".crt") {
                return Err(KafkaOptionError::Store { name: "ssl.truststore.location", kind });
            }
            out.insert("ssl.ca.location".to_string(), value.to_string());
        }
        "ssl.keystore.location" => match kind("ssl.keystore.type").as_str() {
            "PEM" => {
                out.insert("ssl.certificate.location".to_string(), value.to_string());
                out.insert("ssl.key.location".to_string(), value.to_string());
            }
            "PKCS12" => {
                out.insert("ssl.keystore.location".to_string(), value.to_string());
            }
            _ if value.ends_with(".p12") || value.ends_with(".pfx") => {
                out.insert("ssl.keystore.location".to_string(), value.to_string());
            }
            other => return Err(KafkaOptionError::Store { name: "ssl.keystore.location", kind: other.to_string() }),
        },
        // Read together with their locations; PEM needs no password of the store.
        _ => {}
    }
    Ok(())
}

/// `key="value"` of a JAAS line; a backslash escapes the next character.
fn jaas_value(line: &str, key: &str) -> Option<String> {
    let mut rest = line;
    loop {
        let at = rest.find(key)?;
        let is_word_start = at == 0 || !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.');
        rest = &rest[at + key.len()..];
        let Some(text) = rest.trim_start().strip_prefix('=').filter(|_| is_word_start) else { continue };
        let text = text.trim_start();
        let quote = text.chars().next().filter(|c| *c == '"' || *c == '\'')?;
        let mut value = String::new();
        let mut characters = text[1..].chars();
        while let Some(c) = characters.next() {
            match c {
                '\\' => value.extend(characters.next()),
                c if c == quote => return Some(value),
                c => value.push(c),
            }
        }
        return None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let servers = ("bootstrap.servers", "b:9092");
        pairs.iter().copied().chain([servers]).map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn java_names_become_librdkafkas_and_a_client_takes_them() {
        let java = map(&[
            ("fetch.max.wait.ms", "100"),
            ("receive.buffer.bytes", "65536"),
            ("max.poll.records", "500"),
            (
                "sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"p\\\"q\";",
            ),
            ("ssl.truststore.location", "/x.jks"),
            ("ssl.truststore.type", "PEM"),
            ("no.such.option", "1"),
        ]);
        let out = to_librdkafka(&java).unwrap();
        assert_eq!(out["fetch.wait.max.ms"], "100");
        assert_eq!(out["socket.receive.buffer.bytes"], "65536");
        assert_eq!((out["sasl.username"].as_str(), out["sasl.password"].as_str()), ("u", "p\"q"));
        assert_eq!(out["ssl.ca.location"], "/x.jks");
        assert_eq!(out["isolation.level"], "read_uncommitted");
        assert!(!out.contains_key("max.poll.records") && !out.contains_key("no.such.option"));
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let refused = |pairs: &[(&str, &str)]| to_librdkafka(&map(pairs)).unwrap_err().to_string();
        assert!(refused(&[("auto.offset.reset", "latest")]).contains("startingOffsets"));
        assert!(refused(&[("security.protocol", "SASL_SLL")]).contains("did you mean `SASL_SSL`"));
        assert!(refused(&[("ssl.truststore.location", "/a.jks")]).contains("JKS"));
        assert!(refused(&[("sasl.jaas.config", "Krb5LoginModule required;")]).contains("jaas"));
        assert_eq!(to_librdkafka(&BTreeMap::new()), Err(KafkaOptionError::NoServers));
    }

    #[test]
    fn every_name_that_is_passed_on_exists_in_librdkafka() {
        for (name, rule) in TABLE {
            let to = match rule {
                Same => name,
                Named(to) => to,
                Ignored | Refused(_) | Special => continue,
            };
            if to.starts_with("sasl.oauthbearer") {
                // Known, but only a build with libcurl takes them.
                continue;
            }
            let value = match *to {
                "security.protocol" => "plaintext",
                "isolation.level" => "read_committed",
                "check.crcs"
                | "allow.auto.create.topics"
                | "socket.keepalive.enable"
                | "api.version.request"
                | "enable.metrics.push" => "true",
                "client.dns.lookup" => "use_all_dns_ips",
                "broker.address.family" => "any",
                "debug" => "topic",
                "sasl.oauthbearer.method" => "default",
                "receive.message.max.bytes" => "100000000",
                number if number.ends_with(".ms") || number.ends_with("bytes") || number.ends_with("messages") => {
                    "100000"
                }
                "sasl.kerberos.min.time.before.relogin" => "1",
                _ => "PLAIN",
            };
            let mut config = rdkafka::ClientConfig::new();
            config.set(*to, value);
            let native = config.create_native_config();
            assert!(native.is_ok(), "`{to}` = `{value}`: {:?}", native.err());
        }
    }
}
