//! librdkafka's client for one query: its settings, and what it says about the brokers.
//!
//! Spark's user settings come in librdkafka's names and win over ours, except where a value would break the reader
//! (no groups, no commits, end-of-partition events). Memory is bounded: each partition's queue gets an equal share of
//! the query's part.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::partition::Trouble;

/// The least that one partition may queue and one fetch may bring of it: below it brokers are asked for crumbs. Kafka
/// sends a batch whole, however large it is, so a partition of large batches holds one of them.
const PARTITION_QUEUE_BYTES_MIN: u64 = 64 * 1024;
/// The most one partition may queue: more does not make reading faster, and costs cache.
const PARTITION_QUEUE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The most one fetch may bring of one partition.
const FETCH_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Names that the reader sets itself.
const OWN_SETTINGS: [&str; 8] = [
    "group.id",
    "enable.auto.commit",
    "auto.commit.enable",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "auto.offset.reset",
    "queued.max.messages.kbytes",
    "group.instance.id",
];

/// Receives logs and errors of librdkafka and keeps what a later message needs.
#[derive(Default)]
pub(super) struct Context {
    trouble: Mutex<Option<Trouble>>,
}

impl Context {
    /// What is wrong now, if something is.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().clone()
    }

    /// Records came in: whatever was wrong is over.
    pub fn well(&self) {
        *self.trouble.lock() = None;
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::warn!(facility, message, "kafka client");
            }
            // Brokers that come and go: what it means for a query is said by whoever waits for them.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                tracing::info!(facility, message, "kafka client");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, message, "kafka client");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let mut trouble = self.trouble.lock();
        let before = trouble.take();
        let all_down = code == Some(RDKafkaErrorCode::AllBrokersDown);
        let refused = matches!(
            code,
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL | RDKafkaErrorCode::SaslAuthenticationFailed)
        );
        // "all brokers down" names no address: the failure before it does.
        let text = match &before {
            Some(earlier) if all_down => earlier.text.clone(),
            _ => reason.to_owned(),
        };
        *trouble = Some(Trouble {
            since: before.as_ref().map_or_else(Instant::now, |earlier| earlier.since),
            text,
            all_down: all_down || before.as_ref().is_some_and(|earlier| earlier.all_down),
            refused: refused || before.is_some_and(|earlier| earlier.refused),
        });
    }
}

impl ConsumerContext for Context {}

/// What one query may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientLimits {
    /// Of the query, for all partitions together.
    pub queue_bytes: u64,
    /// Partitions that share it.
    pub partitions: usize,
}

impl ClientLimits {
    /// Of these bytes one partition's share.
    pub fn partition_bytes(&self) -> u64 {
        let share = self.queue_bytes / self.partitions.max(1) as u64;
        share.clamp(PARTITION_QUEUE_BYTES_MIN, PARTITION_QUEUE_BYTES_MAX)
    }

    /// What one fetch may bring of one partition: half of its share, so that one is read while the next comes.
    pub fn fetch_bytes(&self) -> u64 {
        (self.partition_bytes() / 2).clamp(PARTITION_QUEUE_BYTES_MIN, FETCH_BYTES_MAX)
    }
}

/// Makes the client. It connects in the background: an unreachable broker is told later, by [`Context::trouble`].
pub(super) fn connect(
    options: &BTreeMap<String, String>,
    limits: ClientLimits,
) -> Result<Arc<BaseConsumer<Context>>, KafkaError> {
    let config = settings(options, limits);
    let client: BaseConsumer<Context> = config.create_with_context(Context::default())?;
    Ok(Arc::new(client))
}

fn settings(options: &BTreeMap<String, String>, limits: ClientLimits) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set_log_level(RDKafkaLogLevel::Warning)
        .set("client.id", "pyrite")
        // As the Java client that Spark uses; librdkafka's own default is read_committed.
        .set("isolation.level", "read_uncommitted")
        .set("fetch.message.max.bytes", limits.fetch_bytes().to_string())
        // As the Java client; librdkafka takes records as they come.
        .set("check.crcs", "true")
        .set("fetch.wait.max.ms", "10")
        .set("fetch.min.bytes", "1")
        .set("fetch.queue.backoff.ms", "2")
        .set("fetch.error.backoff.ms", "20")
        .set("queued.min.messages", "10000000")
        .set("socket.nagle.disable", "true")
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("topic.metadata.refresh.fast.interval.ms", "50")
        .set("statistics.interval.ms", "0");
    for (name, value) in options {
        if !OWN_SETTINGS.contains(&name.as_str()) {
            config.set(name, value);
        }
    }
    config
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("queued.max.messages.kbytes", (limits.partition_bytes() / 1024).to_string());
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_settings_win_but_for_those_of_the_reader() {
        let options = BTreeMap::from([
            ("isolation.level".to_owned(), "read_committed".to_owned()),
            ("group.id".to_owned(), "mine".to_owned()),
            ("auto.offset.reset".to_owned(), "earliest".to_owned()),
        ]);
        let config = settings(&options, ClientLimits { queue_bytes: 64 << 20, partitions: 2 });
        assert_eq!(config.get("isolation.level"), Some("read_committed"));
        assert_eq!(config.get("group.id"), None);
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
        assert_eq!(config.get("check.crcs"), Some("true"));
        assert_eq!(config.get("auto.commit.enable"), None, "librdkafka warns of it, and nothing reads it");
    }

    #[test]
    fn partitions_share_the_memory_within_bounds() {
        let kilobytes = |bytes, partitions| {
            let config = settings(&BTreeMap::new(), ClientLimits { queue_bytes: bytes, partitions });
            config.get("queued.max.messages.kbytes").map(str::to_owned)
        };
        assert_eq!(kilobytes(64 << 20, 2), Some("16384".to_owned()));
        assert_eq!(kilobytes(64 << 20, 64), Some("1024".to_owned()));
        assert_eq!(kilobytes(64 << 20, 1024), Some("64".to_owned()), "a thousand partitions keep to the budget");
        assert_eq!(kilobytes(64 << 20, 4096), Some("64".to_owned()));
    }
}
