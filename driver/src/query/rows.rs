//! Rows that executors sent for the driver's sink, kept apart by attempt until one of them is published.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::record_batch::RecordBatch;
use pyrite_common::checkpoint::AttemptId;

use crate::analysis::Attribute;
use crate::executors::OutputRows;

/// The rows of attempts that are not out yet.
#[derive(Debug, Default)]
pub(super) struct Collected {
    by_attempt: BTreeMap<AttemptId, BTreeMap<u32, Vec<OutputRows>>>,
}

impl Collected {
    pub(super) fn add(&mut self, rows: OutputRows) {
        self.by_attempt.entry(rows.attempt).or_default().entry(rows.shard).or_default().push(rows);
    }

    /// The rows of exactly this attempt, by shard and then as they came.
    pub(super) fn take(&mut self, attempt: AttemptId) -> Vec<OutputRows> {
        self.by_attempt.remove(&attempt).unwrap_or_default().into_values().flatten().collect()
    }

    /// Forgets an attempt and all before it.
    pub(super) fn drop_through(&mut self, attempt: AttemptId) {
        self.by_attempt.retain(|other, _| *other > attempt);
    }
}

/// Decodes rows; their columns have internal names.
pub(super) fn decode(rows: Vec<OutputRows>) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut batches = Vec::new();
    for part in rows {
        for batch in StreamReader::try_new(Cursor::new(part.ipc), None)? {
            batches.push(batch?);
        }
    }
    Ok(batches)
}

/// The sink's schema: Spark's names. Columns stay in place.
pub(super) fn spark_schema(output: &[Attribute]) -> SchemaRef {
    let fields = output.iter().map(|attribute| Field::new(&attribute.name, attribute.data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The same columns under the sink's names.
pub(super) fn renamed(batches: Vec<RecordBatch>, schema: &SchemaRef) -> Result<Vec<RecordBatch>, ArrowError> {
    batches.into_iter().map(|batch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec())).collect()
}
