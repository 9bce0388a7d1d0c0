//! The shard task: one batch of one shard. It combines frames, merges the groups with state, emits by the output mode,
//! and evicts.
//!
//! What it holds is bounded by whoever pushes: it looks at [`ShardTask::buffered_bytes`] and calls
//! [`ShardTask::spill`]. At the end the groups come in chunks of ascending, disjoint state keys (`runs`), one chunk
//! when nothing was spilled. A chunk's part of the batch touches only keys between its first and the next chunk's
//! first: so it reads the committed state alone and need not see what other chunks wrote, and all writes together are
//! sorted.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;

use super::groups::Groups;
use super::merge::{Batch, Surroundings};
use super::runs::Runs;
use super::scratch::Scratch;
use super::shard_sink::{OperatorTimes, ShardCounts, ShardEnd, ShardSink};
use super::{DueIndex, DueUpdate, NEVER, TaskError};
use crate::plan::{CompiledAggregate, CompiledQuery, OutputMode};
use crate::state::{StateView, bucket_prefix};

/// A key written, with its new value; `None` deletes it.
pub type Write = (Vec<u8>, Option<Vec<u8>>);

/// All that a batch leaves, in memory: for tests.
#[derive(Debug, Default)]
pub struct ShardOutput {
    /// Sorted by key: the overlay and the changelog section.
    pub writes: Vec<Write>,
    /// For the sink.
    pub rows: Vec<RecordBatch>,
    pub counts: ShardCounts,
    pub dues: DueUpdate,
}

/// A shard's receiving buffer, and the work at the end of a batch.
pub struct ShardTask {
    query: Arc<CompiledQuery>,
    buckets: RangeInclusive<u16>,
    groups: Option<Groups>,
    /// What was put away; none: nothing.
    runs: Option<Runs>,
}

impl ShardTask {
    /// A task for a query with state.
    pub fn new(query: Arc<CompiledQuery>, buckets: RangeInclusive<u16>) -> Self {
        assert!(query.is_stateful(), "only queries with state have shards");
        ShardTask { query, buckets, groups: None, runs: None }
    }

    /// Combines a frame with what came before.
    pub fn push(&mut self, frame: RecordBatch) -> Result<(), TaskError> {
        let query = Arc::clone(&self.query);
        let aggregate = query.aggregate().expect("`new` asks for state");
        // Accumulators trust the types of what they merge.
        if frame.schema().fields() != aggregate.frame_schema.fields() {
            return Err(TaskError::Frame(format!("it has the columns {:?}", frame.schema().fields())));
        }
        let malformed = || TaskError::Frame("its due times or keys have another type".to_owned());
        let dues = frame.column(0).as_primitive_opt::<Int64Type>().ok_or_else(malformed)?;
        let keys = frame.column(1).as_binary_opt::<i32>().ok_or_else(malformed)?;
        let groups = self.groups(aggregate)?;
        groups.assign(frame.num_rows(), |row| (keys.value(row), dues.value(row)));
        Ok(groups.merge(&frame.columns()[2..])?)
    }

    fn groups(&mut self, aggregate: &CompiledAggregate) -> Result<&mut Groups, TaskError> {
        if self.groups.is_none() {
            self.groups = Some(Groups::new(&aggregate.aggregates)?);
        }
        Ok(self.groups.as_mut().expect("just made"))
    }

    /// Bytes of the groups received.
    pub fn buffered_bytes(&self) -> usize {
        self.groups.as_ref().map_or(0, Groups::size)
    }

    /// Puts the groups received so far away, sorted, into files of `scratch`; the buffer is empty then.
    pub fn spill(&mut self, scratch: &Arc<dyn Scratch>) -> Result<(), TaskError> {
        let runs = self.runs.get_or_insert_with(|| Runs::new(Arc::clone(scratch)));
        let Some(groups) = self.groups.take() else {
            return Ok(());
        };
        runs.add(groups, self.query.aggregate().expect("`new` asks for state"))
    }

    /// Merges with `state`, emits and evicts. Call when every sender has said "done".
    pub fn finish(
        mut self,
        state: &dyn StateView,
        dues: &DueIndex,
        times: OperatorTimes,
        sink: &mut dyn ShardSink,
    ) -> Result<ShardEnd, TaskError> {
        let query = Arc::clone(&self.query);
        let aggregate = query.aggregate().expect("`new` asks for state");
        let times = effective_times(aggregate, query.output_mode(), times);
        let (first, end) = (bucket_prefix(*self.buckets.start()), bucket_prefix(*self.buckets.end() + 1));
        let mut batch = Batch::new(&query, aggregate, times, Surroundings { state, dues, sink });
        let global = aggregate.key_columns.is_empty() && *self.buckets.start() == 0;
        let mut groups = match self.groups.take() {
            Some(groups) => groups,
            None => Groups::new(&aggregate.aggregates)?,
        };
        if global {
            groups.ensure_global_group(NEVER)?;
        }
        let Some(mut runs) = self.runs.take() else {
            batch.run(groups, &first, &end)?;
            return batch.end();
        };
        runs.add(groups, aggregate)?;
        let mut merge = runs.merge(aggregate)?;
        let mut from = first.to_vec();
        loop {
            // The runs may be empty, and the state has its part in the batch all the same.
            let groups = merge.next_groups()?.map_or_else(|| Groups::new(&aggregate.aggregates), Ok)?;
            let Some(to) = merge.next_key().map(<[u8]>::to_vec) else {
                batch.run(groups, &from, &end)?;
                return batch.end();
            };
            batch.run(groups, &from, &to)?;
            from = to;
        }
    }

    /// As [`ShardTask::finish`], with all that it leaves in memory.
    pub fn collect(
        self,
        state: &dyn StateView,
        dues: &DueIndex,
        times: OperatorTimes,
    ) -> Result<ShardOutput, TaskError> {
        let mut output = ShardOutput::default();
        let end = self.finish(state, dues, times, &mut output)?;
        Ok(ShardOutput { counts: end.counts, dues: end.dues, ..output })
    }
}

impl ShardSink for ShardOutput {
    fn write(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), TaskError> {
        self.writes.push((key.to_vec(), value.map(<[u8]>::to_vec)));
        Ok(())
    }

    fn rows(&mut self, batch: RecordBatch) -> Result<(), TaskError> {
        self.rows.push(batch);
        Ok(())
    }
}

/// Complete mode drops and evicts nothing; without event time in the key nothing can.
fn effective_times(aggregate: &CompiledAggregate, mode: OutputMode, times: OperatorTimes) -> OperatorTimes {
    if mode == OutputMode::Complete || aggregate.event_time_key.is_none() {
        return OperatorTimes { late_us: i64::MIN, evict_us: i64::MIN };
    }
    times
}
