//! The executor: reads sources, combines, shuffles, keeps state in shards, and prepares batches for the driver's
//! commit.
//!
//! ```text
//!  driver ⇄ run ── begin ──▶ attempt ──▶ source_job (kafka) ──▶ frames ──▶ shard_job (shard) ──▶ prepare ──▶ driver
//!                                            │        shuffle (other executors)   ▲
//!                                            └────────────────────────────────────┘
//! ```
//!
//! `run` is the loop that receives and decides; everything that computes or blocks runs on the `pool`'s threads.
//! `attach` is the gRPC shell; inside a local driver `run` is called with channels.

mod attach;
mod attempt;
mod begin;
mod config;
mod context;
mod error;
pub mod kafka;
mod pool;
mod prepare;
mod reserve;
mod rows;
mod run;
mod scratch;
pub mod shard;
mod shard_job;
mod shuffle;
mod source_job;
mod split_queue;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod usage;
mod wire;

pub use attach::attach_and_run;
pub use config::{DriverLink, ExecutorConfig, MemoryPlan};
pub use error::{ExecutorError, ExitReason};
pub use run::run;
