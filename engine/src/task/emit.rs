//! Emission: encoded groups become result rows, and take the steps after the aggregate.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::TaskError;
use super::shard_sink::ShardSink;
use crate::plan::{CompiledAggregate, CompiledQuery, EventTimeSink};

/// Groups that become one record batch.
const ROWS_PER_BATCH: usize = 16 * 1024;
/// And the bytes of such groups, about: large groups make smaller batches.
const BYTES_PER_BATCH: usize = 4 * 1024 * 1024;

/// Collects encoded groups and turns them into rows, which leave a batch at a time.
pub(super) struct Emitter<'a> {
    query: &'a CompiledQuery,
    aggregate: &'a CompiledAggregate,
    bytes: Vec<u8>,
    /// Ends of key and value of each group in `bytes`.
    ends: Vec<(usize, usize)>,
}

/// After an aggregate no watermark is observed.
struct NoTimes;

impl EventTimeSink for NoTimes {
    fn observe(&mut self, _: u32, _: &TimestampMicrosecondArray) {}
}

impl<'a> Emitter<'a> {
    pub(super) fn new(query: &'a CompiledQuery, aggregate: &'a CompiledAggregate) -> Self {
        Emitter { query, aggregate, bytes: Vec::new(), ends: Vec::new() }
    }

    /// Adds a group by its encoded key and partial.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8], sink: &mut dyn ShardSink) -> Result<(), TaskError> {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len()));
        let is_full = self.ends.len() == ROWS_PER_BATCH || self.bytes.len() >= BYTES_PER_BATCH;
        if is_full { self.flush(sink) } else { Ok(()) }
    }

    /// Lets the rows of all groups pushed leave.
    pub(super) fn flush(&mut self, sink: &mut dyn ShardSink) -> Result<(), TaskError> {
        if self.ends.is_empty() {
            return Ok(());
        }
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        let spans: Vec<(usize, usize, usize)> =
            starts.zip(&self.ends).map(|(start, (key_end, end))| (start, *key_end, *end)).collect();
        let keys = self.aggregate.key_codec.decode(spans.iter().map(|span| &self.bytes[span.0..span.1]))?;
        let partials = self.aggregate.value_codec.decode(spans.iter().map(|span| &self.bytes[span.1..span.2]))?;
        let mut batch = self.evaluate(keys, &partials, spans.len())?;
        self.bytes.clear();
        self.ends.clear();
        for step in self.query.post() {
            batch = step.apply(batch, &mut NoTimes)?;
        }
        if batch.num_rows() > 0 { sink.rows(batch) } else { Ok(()) }
    }

    fn evaluate(&self, keys: Vec<ArrayRef>, partials: &[ArrayRef], rows: usize) -> Result<RecordBatch, TaskError> {
        let mut accumulators = self.aggregate.aggregates.accumulators()?;
        let groups: Vec<usize> = (0..rows).collect();
        accumulators.merge(partials, &groups, rows)?;
        let mut columns = keys;
        columns.extend(accumulators.take_results()?);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.aggregate.output_schema), columns, &options)?)
    }
}
