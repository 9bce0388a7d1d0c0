//! Why a range cannot be read.

use super::columns::UnknownColumn;
use super::range::DataLoss;

/// The reasons, as the batch has to tell them apart.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// The brokers cannot be reached, or do not answer; trying again may help.
    #[error("cannot reach Kafka at `{servers}`: {reason}")]
    Unavailable { servers: String, reason: String },
    /// Offsets of the batch are no longer in the topic and `failOnDataLoss` is true.
    #[error("{0}")]
    DataLoss(DataLoss),
    /// The client refuses the query's settings or the partition.
    #[error("the Kafka source of `{servers}` cannot be read: {reason}")]
    Invalid { servers: String, reason: String },
    /// The plan asks for a column that Kafka records do not have.
    #[error(transparent)]
    Column(#[from] UnknownColumn),
    /// Records are not what was written.
    #[error("records of `{topic}-{partition}` from offset {offset} on cannot be read: {reason}")]
    Corrupt { topic: String, partition: i32, offset: i64, reason: String },
    /// Records could not be put into columns.
    #[error("cannot build columns of Kafka records")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The attempt was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The consumer of the batches failed.
    #[error("{0}")]
    Sink(#[source] Box<dyn std::error::Error + Send + Sync>),
}
