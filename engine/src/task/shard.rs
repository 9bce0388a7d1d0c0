//! The shard task: one batch of one shard. It merges partials with state, emits by the output mode, and evicts.

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;

use super::emit::Emitter;
use super::groups::Groups;
use super::source::frame_schema;
use super::{DueIndex, DueUpdate, NEVER, TaskError};
use crate::plan::{CompiledAggregate, CompiledQuery, OutputMode};
use crate::state::{StateView, bucket_prefix, split_due, state_key};

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

/// A key written, with its new value; `None` deletes it.
pub type Write = (Vec<u8>, Option<Vec<u8>>);

/// What a batch leaves.
#[derive(Debug)]
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
}

/// A group touched by the batch, in the order of state keys.
struct Touched {
    group: usize,
    state_key: Vec<u8>,
    due: i64,
    in_state: bool,
}

impl ShardTask {
    /// A task for a query with state.
    pub fn new(query: Arc<CompiledQuery>, buckets: RangeInclusive<u16>) -> Self {
        assert!(query.is_stateful(), "only queries with state have shards");
        ShardTask { query, buckets, groups: None }
    }

    /// Combines a frame with what came before.
    pub fn push(&mut self, frame: RecordBatch) -> Result<(), TaskError> {
        let query = Arc::clone(&self.query);
        let aggregate = query.aggregate().expect("`new` asks for state");
        if frame.schema().fields().len() != frame_schema(aggregate).fields().len() {
            return Err(TaskError::Frame(format!("it has {} columns", frame.num_columns())));
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

    /// Merges with `state`, emits and evicts. Call when every sender has said "done".
    pub fn finish(
        mut self,
        state: &dyn StateView,
        dues: &DueIndex,
        times: OperatorTimes,
    ) -> Result<ShardOutput, TaskError> {
        let query = Arc::clone(&self.query);
        let aggregate = query.aggregate().expect("`new` asks for state");
        let mode = query.output_mode();
        let times = effective_times(aggregate, mode, times);
        let global = aggregate.key_columns.is_empty() && *self.buckets.start() == 0;
        if global {
            self.groups(aggregate)?.ensure_global_group(NEVER)?;
        }
        let mut batch = Batch {
            aggregate,
            mode,
            times,
            emitter: Emitter::new(&query, aggregate),
            writes: Vec::new(),
            counts: ShardCounts::default(),
            dues: DueUpdate::new(),
        };
        let touched = match self.groups.take() {
            Some(groups) => batch.update_groups(groups, state)?,
            None => Vec::new(),
        };
        batch.evict(state, dues, &touched)?;
        if mode == OutputMode::Complete {
            batch.emit_everything(state, &self.buckets)?;
        }
        batch.writes.sort_unstable_by(|left, right| left.0.cmp(&right.0));
        Ok(ShardOutput { writes: batch.writes, rows: batch.emitter.finish()?, counts: batch.counts, dues: batch.dues })
    }
}

/// Complete mode drops and evicts nothing; without event time in the key nothing can.
fn effective_times(aggregate: &CompiledAggregate, mode: OutputMode, times: OperatorTimes) -> OperatorTimes {
    if mode == OutputMode::Complete || aggregate.event_time_key.is_none() {
        return OperatorTimes { late_us: i64::MIN, evict_us: i64::MIN };
    }
    times
}

struct Batch<'a> {
    aggregate: &'a CompiledAggregate,
    mode: OutputMode,
    times: OperatorTimes,
    emitter: Emitter<'a>,
    writes: Vec<Write>,
    counts: ShardCounts,
    dues: DueUpdate,
}

impl Batch<'_> {
    /// Merges the batch's groups with what state holds of them; writes them, or lets them go when they are final.
    fn update_groups(&mut self, mut groups: Groups, state: &dyn StateView) -> Result<Vec<Touched>, TaskError> {
        let mut touched = self.in_time(&groups);
        let keys: Vec<&[u8]> = touched.iter().map(|touched| touched.state_key.as_slice()).collect();
        let stored = state.multi_get(&keys)?;
        let found: Vec<usize> = (0..touched.len()).filter(|index| stored[*index].is_some()).collect();
        if !found.is_empty() {
            let values = found.iter().filter_map(|index| stored[*index].as_deref());
            let partials: Vec<ArrayRef> = self.aggregate.value_codec.decode(values)?;
            let into: Vec<usize> = found.iter().map(|index| touched[*index].group).collect();
            groups.merge_into(&partials, &into)?;
            found.iter().for_each(|index| touched[*index].in_state = true);
        }
        let count = groups.keys.len();
        let partials = groups.take_partials()?;
        let values = self.aggregate.value_codec.encode(&partials, count);
        for group in &touched {
            self.keep_or_let_go(group, groups.keys.key(group.group), values.row(group.group))?;
        }
        Ok(touched)
    }

    /// The groups that are not late, in the order of their state keys.
    fn in_time(&mut self, groups: &Groups) -> Vec<Touched> {
        let timed = self.aggregate.event_time_key.is_some();
        let mut touched = Vec::with_capacity(groups.keys.len());
        for group in 0..groups.keys.len() {
            let due = groups.keys.due(group);
            if due <= self.times.late_us {
                self.counts.rows_dropped += 1;
                continue;
            }
            let bucket = groups.keys.bucket(group);
            let state_key = state_key(bucket, timed.then_some(due), groups.keys.key(group));
            touched.push(Touched { group, state_key, due, in_state: false });
        }
        touched.sort_unstable_by(|left, right| left.state_key.cmp(&right.state_key));
        touched
    }

    fn keep_or_let_go(&mut self, group: &Touched, key: &[u8], value: &[u8]) -> Result<(), TaskError> {
        self.counts.rows_updated += 1;
        let is_final = group.due <= self.times.evict_us;
        if self.mode == OutputMode::Update || (self.mode == OutputMode::Append && is_final) {
            self.emitter.push(key, value)?;
        }
        if !is_final {
            self.counts.total_delta += i64::from(!group.in_state);
            self.writes.push((group.state_key.clone(), Some(value.to_vec())));
            return Ok(());
        }
        self.counts.rows_removed += 1;
        if group.in_state {
            self.counts.total_delta -= 1;
            self.writes.push((group.state_key.clone(), None));
        }
        Ok(())
    }

    /// Lets go the groups that the watermark has passed and the batch did not touch, and learns what is due next.
    fn evict(&mut self, state: &dyn StateView, dues: &DueIndex, touched: &[Touched]) -> Result<(), TaskError> {
        if self.aggregate.event_time_key.is_none() {
            return Ok(());
        }
        let mut next = next_of_touched(touched, self.times.evict_us);
        for bucket in dues.due_by(self.times.evict_us) {
            let left = self.evict_bucket(state, bucket, touched)?;
            let written = next.remove(&bucket).unwrap_or(NEVER);
            self.dues.push((bucket, left.min(written)));
        }
        for (bucket, due) in next {
            if due < dues.next(bucket) {
                self.dues.push((bucket, due));
            }
        }
        Ok(())
    }

    /// Lets go what is due in one bucket; gives the first due time that stays.
    fn evict_bucket(&mut self, state: &dyn StateView, bucket: u16, touched: &[Touched]) -> Result<i64, TaskError> {
        let mut left = NEVER;
        let mut going: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let evict_us = self.times.evict_us;
        let each = &mut |key: &[u8], value: &[u8]| {
            let Some((due, _)) = split_due(key) else {
                return Err(crate::state::StateError::Corrupt("a key has no due time".to_owned()));
            };
            if due > evict_us {
                left = due;
                return Ok(ControlFlow::Break(()));
            }
            if touched.binary_search_by(|touched| touched.state_key.as_slice().cmp(key)).is_err() {
                going.push((key.to_vec(), value.to_vec()));
            }
            Ok(ControlFlow::Continue(()))
        };
        state.scan(&bucket_prefix(bucket), &bucket_prefix(bucket + 1), each)?;
        for (key, value) in going {
            self.counts.rows_removed += 1;
            self.counts.total_delta -= 1;
            if self.mode == OutputMode::Append {
                let (_, group_key) = split_due(&key).expect("checked in the scan");
                self.emitter.push(group_key, &value)?;
            }
            self.writes.push((key, None));
        }
        Ok(left)
    }

    /// Emits all groups: the batch's, then those of state that it did not touch.
    fn emit_everything(&mut self, state: &dyn StateView, buckets: &RangeInclusive<u16>) -> Result<(), TaskError> {
        // Nothing is evicted in complete mode, so each write is a value.
        let written = std::mem::take(&mut self.writes);
        let key_start = if self.aggregate.event_time_key.is_some() { 10 } else { 2 };
        for (key, value) in &written {
            let value = value.as_ref().expect("complete mode deletes nothing");
            self.emitter.push(&key[key_start..], value)?;
        }
        let mut failed = None;
        let emitter = &mut self.emitter;
        let each = &mut |key: &[u8], value: &[u8]| {
            if written.binary_search_by(|write| write.0.as_slice().cmp(key)).is_ok() {
                return Ok(ControlFlow::Continue(()));
            }
            failed = emitter.push(&key[key_start.min(key.len())..], value).err();
            Ok(if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        state.scan(&bucket_prefix(*buckets.start()), &bucket_prefix(*buckets.end() + 1), each)?;
        self.writes = written;
        failed.map_or(Ok(()), Err)
    }
}

/// The earliest due time of what the batch wrote, for each bucket.
fn next_of_touched(touched: &[Touched], evict_us: i64) -> std::collections::BTreeMap<u16, i64> {
    let mut next = std::collections::BTreeMap::new();
    for group in touched.iter().filter(|group| group.due > evict_us && group.due != NEVER) {
        let bucket = u16::from_be_bytes([group.state_key[0], group.state_key[1]]);
        let earliest = next.entry(bucket).or_insert(NEVER);
        *earliest = group.due.min(*earliest);
    }
    next
}
