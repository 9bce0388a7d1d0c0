//! What driver and executors say to each other about a batch, in the machine's own words (the wire has its own).

use std::collections::BTreeMap;

use pyrite_common::checkpoint::{AttemptId, ObjectRef, OperatorWatermarks, SnapshotRef, SplitPin};

/// One incarnation of an executor: one stream to this driver.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutorKey {
    pub id: String,
    pub incarnation: String,
}

/// An attached executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorInfo {
    pub key: ExecutorKey,
    pub host: String,
    pub cores: u32,
    pub memory_bytes: u64,
    pub shuffle_address: String,
    pub shuffle_socket: String,
    pub machine_id: String,
    pub pid: u32,
}

/// What the machine sends to one executor.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// The query's plan; sent once to each incarnation.
    StartQuery,
    RunBatch(Box<RunBatch>),
    Abort {
        attempt: AttemptId,
    },
    Publish {
        batch: u64,
        attempt: AttemptId,
    },
    Committed {
        batch: u64,
        attempt: AttemptId,
    },
    StopQuery,
    /// Excluded: two peers could not reach it.
    Shutdown {
        reason: String,
    },
}

/// One try of a batch; the same for all executors.
#[derive(Debug, Clone, PartialEq)]
pub struct RunBatch {
    pub batch: u64,
    pub attempt: AttemptId,
    /// The committed version to start from; `None` for batch 0.
    pub base: Option<(u64, AttemptId)>,
    pub watermarks: Vec<OperatorWatermarks>,
    pub clock_us: i64,
    pub splits: Vec<PlacedSplit>,
    pub shards: Vec<PlacedShard>,
    pub peers: Vec<ExecutorInfo>,
}

/// A split and who reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedSplit {
    pub index: u32,
    pub split: SplitPin,
    pub executor: String,
}

/// Buckets `[first_bucket, last_bucket]` and who keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedShard {
    pub index: u32,
    pub first_bucket: u16,
    pub last_bucket: u16,
    pub executor: String,
}

/// Event times seen at one watermark node in one partition, microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct EventTimes {
    pub node: u32,
    pub source: u32,
    pub topic: String,
    pub partition: i32,
    pub max_us: i64,
    pub min_us: i64,
    /// Sum of (time - min), for the average.
    pub sum_offset_us: f64,
    pub count: u64,
}

/// What one executor read of one partition in an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceCounts {
    pub source: u32,
    pub topic: String,
    pub partition: i32,
    pub rows: u64,
    /// Of keys and values.
    pub bytes: u64,
}

/// One stateful operator's work in one executor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorCounts {
    pub operator: u32,
    /// Groups in the state after the batch.
    pub rows_total: u64,
    pub rows_updated: u64,
    pub rows_removed: u64,
    /// Late groups.
    pub rows_dropped: u64,
    pub memory_bytes: u64,
    /// Microseconds, summed over the shards.
    pub updates_us: u64,
    pub removals_us: u64,
    pub commit_us: u64,
    /// Shards.
    pub instances: u32,
    pub custom: BTreeMap<String, i64>,
}

/// An executor has done its part of an attempt, and what it did is durable.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PreparedReport {
    /// The changelog object with the sections of its shards; none when nothing changed.
    pub object: Option<ObjectRef>,
    pub event_times: Vec<EventTimes>,
    pub sources: Vec<SourceCounts>,
    pub operators: Vec<OperatorCounts>,
    pub output_rows: u64,
    /// Finished since the last report that a commit has named.
    pub snapshots: Vec<SnapshotRef>,
    /// What was skipped under `failOnDataLoss=false`, in words.
    pub data_loss: Vec<String>,
}

/// What a failure means for the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Raised by the task: counts to the four tries.
    Task,
    /// A peer, broker or store was out of reach: tried again without limit.
    Unavailable,
    /// Cannot succeed by trying again.
    Fatal,
}

/// An executor could not do its part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchFailure {
    pub kind: FailureKind,
    pub message: String,
    pub error_class: String,
    pub sql_state: String,
    pub parameters: BTreeMap<String, String>,
    pub unreachable: Option<String>,
}
