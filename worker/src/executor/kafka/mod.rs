//! The Kafka reader: ranges of partitions into Arrow batches.
//!
//! One client per executor, query and source; each partition has a queue of its own that keeps filling after a batch
//! has ended, so that the next one starts without a round trip. `reader` keeps them, `reading` decides where a range
//! starts and ends, and what lost offsets mean; `columns` builds batches. Records come over the seam of `partition`
//! from one of two: `fetch`, which speaks the Fetch protocol itself, or `librdkafka` (its settings in `client`;
//! `native` is the one module that speaks to it by pointers), which knows every option. `choice` says which of them.

mod choice;
mod client;
mod columns;
mod error;
mod fetch;
mod librdkafka;
mod native;
mod partition;
mod range;
mod reader;
mod reading;
mod row;
mod settings;
#[cfg(test)]
mod tests;

pub use columns::UnknownColumn;
pub use error::KafkaError;
pub use range::{DataLoss, Range, RangeCounts};
pub use reader::KafkaReader;
pub use settings::KafkaSettings;
