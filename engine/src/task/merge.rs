//! The end of a batch in a shard: groups meet the committed state, leave by the output mode, and are written.
//!
//! Keys are walked in ascending order: the batch's groups beside those entries of the state that the batch has to look
//! at, which are the due ones, or in complete mode all. So writes come sorted, and nothing of the batch is gathered.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::emit::Emitter;
use super::groups::{Groups, Ordered, Touched};
use super::shard_sink::{OperatorTimes, ShardCounts, ShardEnd, ShardSink};
use super::{DueIndex, DueUpdate, NEVER, TaskError};
use crate::plan::{CompiledAggregate, CompiledQuery, OutputMode};
use crate::state::{EncodedRows, StateError, StateView, bucket_prefix, split_due, state_key};

/// Groups that are looked up in the state at a time.
const LOOKUP_GROUPS: usize = 16 * 1024;

/// What a batch reads and fills.
pub(super) struct Surroundings<'a> {
    /// The committed state.
    pub(super) state: &'a dyn StateView,
    pub(super) dues: &'a DueIndex,
    pub(super) sink: &'a mut dyn ShardSink,
}

/// The work on one shard in one batch.
pub(super) struct Batch<'a> {
    aggregate: &'a CompiledAggregate,
    mode: OutputMode,
    times: OperatorTimes,
    state: &'a dyn StateView,
    dues: &'a DueIndex,
    sink: &'a mut dyn ShardSink,
    emitter: Emitter<'a>,
    counts: ShardCounts,
    /// Buckets with something to let go, ascending.
    due_buckets: Vec<u16>,
    /// Of those: the first due time in the state that stays.
    left: BTreeMap<u16, i64>,
    /// The earliest due time that the batch wrote, for each bucket.
    written: BTreeMap<u16, i64>,
}

/// Groups of a range of keys, merged with the state: those from `at` on are not written yet.
struct Pending {
    groups: Groups,
    ordered: Ordered,
    values: EncodedRows,
    at: usize,
}

impl Pending {
    /// The state key of the next group to write.
    fn next_key(&self) -> Option<&[u8]> {
        (self.at < self.ordered.touched.len()).then(|| self.ordered.key(self.at))
    }
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        query: &'a CompiledQuery,
        aggregate: &'a CompiledAggregate,
        times: OperatorTimes,
        around: Surroundings<'a>,
    ) -> Self {
        let Surroundings { state, dues, sink } = around;
        Batch {
            aggregate,
            mode: query.output_mode(),
            times,
            state,
            dues,
            sink,
            emitter: Emitter::new(query, aggregate),
            counts: ShardCounts::default(),
            due_buckets: dues.due_by(times.evict_us),
            left: BTreeMap::new(),
            written: BTreeMap::new(),
        }
    }

    /// Does the batch's part for the keys in `[from, to)`: `groups` are all that were received of them. Ranges come in
    /// ascending order, and together they are the shard.
    pub(super) fn run(&mut self, groups: Groups, from: &[u8], to: &[u8]) -> Result<(), TaskError> {
        let mut pending = self.merge_with_state(groups)?;
        if self.mode == OutputMode::Complete {
            self.walk(&mut pending, from, to)?;
        } else if self.aggregate.event_time_key.is_some() {
            for bucket in self.due_buckets_in(from, to) {
                // Not from the bucket's beginning: what was evicted before lies there, deleted but not yet gone.
                let first = state_key(bucket, Some(self.dues.next(bucket)), &[]);
                let end = bucket_prefix(bucket + 1);
                let (first, end) = (from.max(&first), to.min(&end));
                if first < end {
                    self.walk(&mut pending, first, end)?;
                }
            }
        }
        self.write_below(&mut pending, None)
    }

    /// Lets the last rows leave, and says what was done.
    pub(super) fn end(mut self) -> Result<ShardEnd, TaskError> {
        self.emitter.flush(self.sink)?;
        let mut dues = DueUpdate::new();
        let of = |times: &mut BTreeMap<u16, i64>, bucket| times.remove(&bucket).unwrap_or(NEVER);
        for bucket in std::mem::take(&mut self.due_buckets) {
            dues.push((bucket, of(&mut self.left, bucket).min(of(&mut self.written, bucket))));
        }
        let earlier = self.written.iter().filter(|(bucket, due)| **due < self.dues.next(**bucket));
        dues.extend(earlier.map(|(bucket, due)| (*bucket, *due)));
        Ok(ShardEnd { counts: self.counts, dues })
    }

    /// Adds what the state has of the groups that are not late.
    fn merge_with_state(&mut self, mut groups: Groups) -> Result<Pending, TaskError> {
        let (late_us, dropped) = (self.times.late_us, &mut self.counts.rows_dropped);
        let mut ordered = groups.in_key_order(self.aggregate.event_time_key.is_some(), |due| {
            *dropped += u64::from(due <= late_us);
            due > late_us
        });
        let count = ordered.touched.len();
        for start in (0..count).step_by(LOOKUP_GROUPS) {
            let part = start..count.min(start + LOOKUP_GROUPS);
            let keys: Vec<&[u8]> = part.clone().map(|at| ordered.key(at)).collect();
            let stored = self.state.multi_get(&keys)?;
            let found: Vec<usize> = part.filter(|at| stored[at - start].is_some()).collect();
            if found.is_empty() {
                continue;
            }
            let values = found.iter().filter_map(|at| stored[at - start].as_deref());
            let partials = self.aggregate.value_codec.decode(values)?;
            let into: Vec<usize> = found.iter().map(|at| ordered.touched[*at].group).collect();
            groups.merge_into(&partials, &into)?;
            found.iter().for_each(|at| ordered.touched[*at].in_state = true);
        }
        let count = groups.keys.len();
        let values = self.aggregate.value_codec.encode(&groups.take_partials()?, count);
        Ok(Pending { groups, ordered, values, at: 0 })
    }

    /// The buckets of the range that have something due, less those where the first that stays is known.
    fn due_buckets_in(&self, from: &[u8], to: &[u8]) -> Vec<u16> {
        let overlaps =
            |bucket: u16| bucket_prefix(bucket).as_slice() < to && from < bucket_prefix(bucket + 1).as_slice();
        let wanted = |bucket: &u16| overlaps(*bucket) && !self.left.contains_key(bucket);
        self.due_buckets.iter().copied().filter(wanted).collect()
    }

    /// Meets the state's entries in `[from, to)`, and writes the groups on the way.
    fn walk(&mut self, pending: &mut Pending, from: &[u8], to: &[u8]) -> Result<(), TaskError> {
        let state = self.state;
        let mut failed = None;
        let each = &mut |key: &[u8], value: &[u8]| {
            Ok(self.meet(pending, key, value).unwrap_or_else(|error| {
                failed = Some(error);
                ControlFlow::Break(())
            }))
        };
        state.scan(from, to, each)?;
        failed.map_or(Ok(()), Err)
    }

    /// Meets one entry of the state.
    fn meet(&mut self, pending: &mut Pending, key: &[u8], value: &[u8]) -> Result<ControlFlow<()>, TaskError> {
        let cut = || StateError::Corrupt("a key has no due time".to_owned());
        let (due, group_key) = match self.aggregate.event_time_key {
            Some(_) => split_due(key).ok_or_else(cut)?,
            None => (NEVER, key.get(2..).ok_or_else(cut)?),
        };
        if self.mode != OutputMode::Complete && due > self.times.evict_us {
            self.left.insert(u16::from_be_bytes([key[0], key[1]]), due);
            return Ok(ControlFlow::Break(()));
        }
        self.write_below(pending, Some(key))?;
        // A group of the batch is written in its turn.
        if pending.next_key() != Some(key) {
            if self.mode != OutputMode::Update {
                self.emitter.push(group_key, value, self.sink)?;
            }
            if self.mode != OutputMode::Complete {
                self.counts.rows_removed += 1;
                self.counts.total_delta -= 1;
                self.sink.write(key, None)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Writes the groups below `key`, or all that are left.
    fn write_below(&mut self, pending: &mut Pending, key: Option<&[u8]>) -> Result<(), TaskError> {
        while let Some(state_key) = pending.next_key() {
            if key.is_some_and(|key| state_key >= key) {
                break;
            }
            let touched = &pending.ordered.touched[pending.at];
            let group = (pending.groups.keys.key(touched.group), pending.values.row(touched.group));
            self.keep_or_let_go(touched, state_key, group)?;
            pending.at += 1;
        }
        Ok(())
    }

    fn keep_or_let_go(
        &mut self,
        group: &Touched,
        state_key: &[u8],
        (key, value): (&[u8], &[u8]),
    ) -> Result<(), TaskError> {
        self.counts.rows_updated += 1;
        let is_final = group.due <= self.times.evict_us;
        if self.mode != OutputMode::Append || is_final {
            self.emitter.push(key, value, self.sink)?;
        }
        if !is_final {
            self.counts.total_delta += i64::from(!group.in_state);
            if group.due != NEVER {
                let earliest = self.written.entry(group.bucket).or_insert(NEVER);
                *earliest = group.due.min(*earliest);
            }
            return self.sink.write(state_key, Some(value));
        }
        self.counts.rows_removed += 1;
        if group.in_state {
            self.counts.total_delta -= 1;
            self.sink.write(state_key, None)?;
        }
        Ok(())
    }
}
