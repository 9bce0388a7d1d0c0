//! What runs in a batch: source tasks, which turn scanned rows into partials for the shards, and shard tasks, which
//! merge them with state and emit.
//!
//! ```text
//! scan batches ─▶ SourceTask: steps ─▶ combine by key ─▶ frames [due, key, partials...] per shard
//!                                                              │  shuffle
//! rows ◀─ post steps ◀─ emit ◀─ ShardTask: combine ─▶ drop late ─▶ merge with state ─▶ writes
//!                                    │     ▲
//!                                    └ runs ┘  on disk, what does not fit into memory
//! ```
//!
//! A shard task's memory is bounded whatever a batch holds: its buffer goes to sorted runs (`runs`) in files that the
//! executor gives (`scratch`), comes back in chunks of ascending keys, and writes and rows leave while they are made.
//!
//! Tasks are synchronous, own their data and know neither threads nor sockets; the executor runs them where it likes.

mod due;
mod emit;
mod groups;
mod merge;
mod runs;
mod scratch;
mod shard;
mod shard_sink;
mod source;
#[cfg(test)]
mod tests;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use crate::error::SparkError;
use crate::plan::PlanError;
use crate::state::StateError;

pub use due::{DueIndex, DueUpdate, NEVER};
pub use scratch::{Scratch, ScratchError, ScratchFile};
pub use shard::{ShardOutput, ShardTask, Write};
pub use shard_sink::{OperatorTimes, ShardCounts, ShardEnd, ShardSink};
pub use source::{Observation, ShardMap, SourceTask};

/// Why a task failed.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    State(#[from] StateError),
    /// A frame that no sender of this version makes.
    #[error("a shuffle frame is malformed: {0}")]
    Frame(String),
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// Who takes writes and rows could not, or wants no more.
    #[error(transparent)]
    Sink(Box<dyn std::error::Error + Send + Sync>),
}

impl TaskError {
    /// The error with Spark's class, when a row raised it.
    pub fn spark(&self) -> Option<&SparkError> {
        match self {
            TaskError::Plan(PlanError::Spark(error)) => Some(error),
            TaskError::Plan(PlanError::DataFusion(error)) => spark_error(error),
            _ => None,
        }
    }
}

impl From<DataFusionError> for TaskError {
    fn from(cause: DataFusionError) -> Self {
        TaskError::Plan(cause.into())
    }
}

impl From<ArrowError> for TaskError {
    fn from(cause: ArrowError) -> Self {
        TaskError::Plan(cause.into())
    }
}

/// The Spark error inside a DataFusion error, however deep it is wrapped.
pub fn spark_error(error: &DataFusionError) -> Option<&SparkError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(spark) = error.downcast_ref::<SparkError>() {
            return Some(spark);
        }
        if let Some(DataFusionError::External(inner)) = error.downcast_ref::<DataFusionError>()
            && let Some(spark) = inner.downcast_ref::<SparkError>()
        {
            return Some(spark);
        }
        if let Some(ArrowError::ExternalError(inner)) = error.downcast_ref::<ArrowError>()
            && let Some(spark) = inner.downcast_ref::<SparkError>()
        {
            return Some(spark);
        }
        cause = error.source();
    }
    None
}
