//! The Kafka reader: ranges of partitions into Arrow batches.
//!
//! One client per executor, query and source; each partition has a queue of its own that keeps filling after a batch
//! has ended, so that the next one starts without a round trip. `reader` decides where a range starts and ends;
//! `columns` builds batches; `client` holds the settings; `native` is the one module that speaks to librdkafka by
//! pointers.

mod client;
mod columns;
mod native;
mod reader;
#[cfg(test)]
mod tests;

pub use columns::UnknownColumn;
pub use reader::{DataLoss, KafkaError, KafkaReader, KafkaSettings, Range, RangeCounts};
