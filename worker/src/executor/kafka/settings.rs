//! How a source is to be read, whoever reads it.

use std::collections::BTreeMap;
use std::time::Duration;

/// The settings of one source.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// librdkafka's names and values.
    pub options: BTreeMap<String, String>,
    /// librdkafka reads, whatever the options are.
    pub librdkafka_only: bool,
    /// Offsets that are gone end the query.
    pub fail_on_data_loss: bool,
    /// Longest time without a record; zero: the default.
    pub poll_timeout: Duration,
    /// Bytes that all the partitions' queues may hold.
    pub queue_bytes: u64,
    /// Where connections are served.
    pub runtime: tokio::runtime::Handle,
}
