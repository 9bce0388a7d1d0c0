//! Kafka sources as the driver sees them: options, where to start, what is new. Executors read the records.
//!
//! `options` reads the reader's options once, `kafka_options` turns Java's client names into librdkafka's, `start`
//! says where a query begins, `limits` how much a batch takes. `poller` is the one thread that talks to the brokers,
//! over `broker`, which asks; `census` tells partitions that are gone from those that an answer lacks, `context` why no
//! answer comes.

mod broker;
mod census;
mod context;
pub mod kafka_options;
pub mod limits;
pub mod options;
mod poller;
pub mod start;

pub use options::{KafkaOptions, Subscription};
pub use poller::{Poller, SourceEvent};
