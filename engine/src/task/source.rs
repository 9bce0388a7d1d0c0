//! The source task: scanned rows in, partials for the shards (or rows for the sink) out.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{max, min, take};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use super::groups::Groups;
use super::{NEVER, TaskError};
use crate::plan::{CompiledAggregate, CompiledQuery, CompiledSource, EventTimeSink};

/// Which shard holds which buckets: contiguous runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardMap {
    first_buckets: Vec<u16>,
}

impl ShardMap {
    /// Shards by their first buckets, ascending; the first starts at 0.
    pub fn new(first_buckets: Vec<u16>) -> Self {
        assert!(first_buckets.first() == Some(&0) && first_buckets.is_sorted(), "shards cover all buckets in order");
        ShardMap { first_buckets }
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.first_buckets.len()
    }

    /// The shard that holds `bucket`.
    pub fn shard_of(&self, bucket: u16) -> usize {
        self.first_buckets.partition_point(|first| *first <= bucket) - 1
    }
}

/// The event times that one split showed to one watermark; microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    pub node: u32,
    /// The split the rows came from, as the caller tagged them.
    pub split: u32,
    pub max_us: i64,
    pub min_us: i64,
    /// The sum of `time - min_us`, for the average.
    pub sum_offset_us: f64,
    pub count: u64,
}

/// Rows of one source in one attempt. Not shared between threads: each has its own.
pub struct SourceTask {
    query: Arc<CompiledQuery>,
    source: usize,
    shards: Arc<ShardMap>,
    groups: Option<Groups>,
    rows: Vec<RecordBatch>,
    observations: BTreeMap<(u32, u32), Observation>,
}

/// Records what a batch of one split shows.
struct Observer<'a> {
    split: u32,
    observations: &'a mut BTreeMap<(u32, u32), Observation>,
}

impl EventTimeSink for Observer<'_> {
    fn observe(&mut self, node: u32, times: &TimestampMicrosecondArray) {
        let (Some(low), Some(high)) = (min(times), max(times)) else { return };
        let seen = self.observations.entry((node, self.split)).or_insert(Observation {
            node,
            split: self.split,
            max_us: high,
            min_us: low,
            sum_offset_us: 0.0,
            count: 0,
        });
        if low < seen.min_us {
            seen.sum_offset_us += (seen.min_us as f64 - low as f64) * seen.count as f64;
            seen.min_us = low;
        }
        seen.max_us = seen.max_us.max(high);
        let base = seen.min_us;
        seen.sum_offset_us += times.iter().flatten().map(|time| (time as f64) - base as f64).sum::<f64>();
        seen.count += (times.len() - times.null_count()) as u64;
    }
}

impl SourceTask {
    /// A task without rows for source number `source` of the query.
    pub fn new(query: Arc<CompiledQuery>, source: usize, shards: Arc<ShardMap>) -> Self {
        assert!(source < query.sources().len(), "the query has this source");
        SourceTask { query, source, shards, groups: None, rows: Vec::new(), observations: BTreeMap::new() }
    }

    /// A scanned batch in the pieces to push, each of which may be followed by a look at [`SourceTask::combined_bytes`].
    pub fn pieces(&self, batch: RecordBatch) -> impl Iterator<Item = RecordBatch> + use<> {
        let (rows, most) = (batch.num_rows(), self.query.sources()[self.source].rows_at_once());
        (0..rows).step_by(most).map(move |from| batch.slice(from, most.min(rows - from)))
    }

    /// Runs scanned rows of split `split` through the source's steps and combines what is left.
    pub fn push(&mut self, split: u32, batch: RecordBatch) -> Result<(), TaskError> {
        let query = Arc::clone(&self.query);
        let source: &CompiledSource = &query.sources()[self.source];
        let mut observer = Observer { split, observations: &mut self.observations };
        let mut batch = batch;
        for step in &source.steps {
            if batch.num_rows() == 0 {
                return Ok(());
            }
            batch = step.apply(batch, &mut observer)?;
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        match query.aggregate() {
            Some(aggregate) => self.combine(aggregate, &batch),
            None => {
                self.rows.push(batch);
                Ok(())
            }
        }
    }

    fn combine(&mut self, aggregate: &CompiledAggregate, batch: &RecordBatch) -> Result<(), TaskError> {
        let keys: Vec<ArrayRef> =
            aggregate.key_columns.iter().map(|column| Arc::clone(batch.column(*column))).collect();
        let encoded = aggregate.key_codec.encode(&keys, batch.num_rows());
        let times = aggregate.event_time_key.map(|key| event_times(&keys[key]));
        let groups = match &mut self.groups {
            Some(groups) => groups,
            None => self.groups.insert(Groups::new(&aggregate.aggregates)?),
        };
        groups.assign(batch.num_rows(), |row| {
            let due = times.as_ref().map_or(NEVER, |times| if times.is_null(row) { NEVER } else { times.value(row) });
            (encoded.row(row), due)
        });
        Ok(groups.update(batch.columns())?)
    }

    /// Bytes of combined groups and waiting rows.
    pub fn combined_bytes(&self) -> usize {
        let rows: usize = self.rows.iter().map(RecordBatch::get_array_memory_size).sum();
        rows + self.groups.as_ref().map_or(0, Groups::size)
    }

    /// Takes the groups combined so far as one frame for each shard that has some.
    pub fn take_frames(&mut self) -> Result<Vec<(u32, RecordBatch)>, TaskError> {
        let query = Arc::clone(&self.query);
        let (Some(aggregate), Some(mut groups)) = (query.aggregate(), self.groups.take()) else {
            return Ok(Vec::new());
        };
        let partials = groups.take_partials()?;
        let mut frames = Vec::new();
        for (shard, members) in self.by_shard(&groups) {
            frames.push((shard, frame(&groups, &members, &partials, &aggregate.frame_schema)?));
        }
        Ok(frames)
    }

    fn by_shard(&self, groups: &Groups) -> Vec<(u32, Vec<u32>)> {
        let mut shards = vec![Vec::new(); self.shards.shards()];
        for group in 0..groups.keys.len() {
            shards[self.shards.shard_of(groups.keys.bucket(group))].push(group as u32);
        }
        let numbered = shards.into_iter().enumerate().filter(|(_, members)| !members.is_empty());
        numbered.map(|(shard, members)| (shard as u32, members)).collect()
    }

    /// Takes the rows for the sink; a query with state has none here.
    pub fn take_rows(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.rows)
    }

    /// What the rows so far showed to the watermarks, for each watermark and split.
    pub fn observations(&self) -> Vec<Observation> {
        self.observations.values().copied().collect()
    }
}

/// The times that decide when groups are due: a timestamp key, or the end of a window key.
fn event_times(key: &ArrayRef) -> &TimestampMicrosecondArray {
    match key.as_struct_opt() {
        Some(window) => window.column(1).as_primitive::<TimestampMicrosecondType>(),
        None => key.as_primitive::<TimestampMicrosecondType>(),
    }
}

fn frame(
    groups: &Groups,
    members: &[u32],
    partials: &[ArrayRef],
    schema: &SchemaRef,
) -> Result<RecordBatch, TaskError> {
    let dues = Int64Array::from_iter_values(members.iter().map(|group| groups.keys.due(*group as usize)));
    let keys = BinaryArray::from_iter_values(members.iter().map(|group| groups.keys.key(*group as usize)));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(dues), Arc::new(keys)];
    let all = members.len() == groups.keys.len();
    let indices = UInt32Array::from(members.to_vec());
    for partial in partials {
        columns.push(if all { Arc::clone(partial) } else { take(partial.as_ref(), &indices, None)? });
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
