//! What a shard's part of a batch is given beside its input, and where all goes that it leaves.

use arrow::record_batch::RecordBatch;

use super::{DueUpdate, TaskError};

/// The watermarks of an operator in a batch, microseconds; `i64::MIN` for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorTimes {
    /// Groups due by then are late: dropped, as Spark by the watermark of the batch before.
    pub late_us: i64,
    /// Groups due by then are final.
    pub evict_us: i64,
}

/// What a batch did to a shard, for the progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardCounts {
    pub rows_updated: u64,
    pub rows_removed: u64,
    /// Late groups, counted after the partial merge, as Spark.
    pub rows_dropped: u64,
    /// Groups in state after the batch less those before.
    pub total_delta: i64,
}

/// Who takes what a batch leaves, while it is made. An error ends the task.
pub trait ShardSink {
    /// A key written, with its new value; `None` deletes it. Keys come in ascending order, each once.
    fn write(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), TaskError>;

    /// Rows for the sink.
    fn rows(&mut self, batch: RecordBatch) -> Result<(), TaskError>;
}

/// What is known when all writes and rows have left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardEnd {
    pub counts: ShardCounts,
    pub dues: DueUpdate,
}
