//! What the machine is told about its query before it starts.

use std::collections::BTreeMap;
use std::time::Duration;

use pyrite_engine::plan::OutputMode;

use crate::source::Subscription;
use crate::source::limits::Limits;

/// A query and the driver that runs it.
#[derive(Debug, Clone)]
pub struct QuerySpec {
    /// Used when the checkpoint has no id yet.
    pub new_query_id: String,
    /// Unique to this start: the driver's uuid on everything it writes.
    pub driver: String,
    pub host: String,
    pub app: String,
    /// The shape of the state; another one is another query.
    pub plan_hash: String,
    /// One for each source.
    pub limits: Vec<Limits>,
    /// What each source reads: a checkpoint of other topics is another query's.
    pub reads: Vec<Subscription>,
    pub watermarks: Vec<WatermarkNode>,
    pub watermark_policy: WatermarkPolicy,
    pub operators: Vec<OperatorSpec>,
    pub publish: PublishBy,
    pub trigger: Trigger,
    /// `spark.sql.streaming.noDataMicroBatches.enabled`.
    pub no_data_batches: bool,
    /// How many shards a new map has; an old map stays while its batch is pinned.
    pub shards: u32,
    /// At least that many splits a batch, as Spark's `minPartitions`; 0: one for each partition.
    pub splits_min: u32,
    /// Tries of a batch before errors of its tasks fail the query.
    pub task_failures_max: u32,
    /// Pinned in offsets/N, as Spark does.
    pub conf: BTreeMap<String, String>,
    pub rules: Rules,
}

impl QuerySpec {
    /// Whether any operator keeps state.
    pub fn is_stateful(&self) -> bool {
        !self.operators.is_empty()
    }
}

/// One `withWatermark`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatermarkNode {
    pub node: u32,
    pub delay_us: i64,
}

/// `spark.sql.streaming.multipleWatermarkPolicy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WatermarkPolicy {
    #[default]
    Min,
    Max,
}

/// One stateful operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorSpec {
    pub operator: u32,
    pub has_event_time: bool,
    pub mode: OutputMode,
}

impl OperatorSpec {
    /// Whether a watermark closes anything here; complete mode keeps all.
    pub fn uses_watermark(&self) -> bool {
        self.has_event_time && self.mode != OutputMode::Complete
    }
}

/// Who brings a batch's rows out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishBy {
    /// Nobody: the rows are counted.
    Nobody,
    Driver,
    /// Each executor its slots, in transactions.
    Executors,
}

/// When batches start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// As soon as there is data.
    Default,
    /// At multiples of the interval on the wall clock.
    ProcessingTime(Duration),
    /// What there is at the start, then end.
    AvailableNow,
    /// One batch, then end.
    Once,
}

/// The rules that the simulation takes away one by one, to prove that it would see their absence.
/// A program always runs with all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub publish_before_commit: bool,
    /// A replay uses the shard map of offsets/N, not the wanted one.
    pub pinned_shards: bool,
    /// The attempt id holds the driver's term.
    pub term_in_attempt: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { publish_before_commit: true, pinned_shards: true, term_in_attempt: true }
    }
}
