//! Result rows as Arrow streams, cut so that each message stays well below what a gRPC client takes.

use bytes::Bytes;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::ipc::writer::StreamWriter;
use pyrite_engine::error::SparkError;

use crate::wire::execute_plan_response::ArrowBatch;

/// The wished size of a message's data, as `spark.connect.grpc.arrow.maxBatchSize` with its margin. A single row may be
/// larger.
const MESSAGE_BYTES: usize = 3 << 20;

/// The rows as messages, at least one. All have the same schema.
pub fn messages(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<ArrowBatch>, SparkError> {
    let mut messages = Vec::new();
    let mut offset = 0;
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch =
            RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options).map_err(failed)?;
        let row_bytes = (batch.get_array_memory_size() / batch.num_rows()).max(1);
        let step = (MESSAGE_BYTES / row_bytes).max(1);
        let mut start = 0;
        while start < batch.num_rows() {
            let rows = step.min(batch.num_rows() - start);
            messages.push(message(&batch.slice(start, rows), offset)?);
            start += rows;
            offset += rows;
        }
    }
    if messages.is_empty() {
        messages.push(message(&RecordBatch::new_empty(schema.clone()), 0)?);
    }
    Ok(messages)
}

/// One batch as an Arrow stream of its own.
pub fn stream_bytes(batch: &RecordBatch) -> Result<Bytes, SparkError> {
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref()).map_err(failed)?;
    writer.write(batch).map_err(failed)?;
    Ok(Bytes::from(writer.into_inner().map_err(failed)?))
}

fn message(batch: &RecordBatch, offset: usize) -> Result<ArrowBatch, SparkError> {
    Ok(ArrowBatch {
        row_count: batch.num_rows() as i64,
        data: stream_bytes(batch)?,
        start_offset: Some(offset as i64),
        ..Default::default()
    })
}

fn failed(error: datafusion::arrow::error::ArrowError) -> SparkError {
    crate::error::internal(format!("the rows cannot be encoded: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn no_rows_are_one_empty_message() {
        let column: ArrayRef = Arc::new(Int64Array::from(Vec::<i64>::new()));
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        let messages = messages(&batch.schema(), &[batch]).unwrap();
        assert_eq!((messages.len(), messages[0].row_count), (1, 0));
    }

    #[test]
    fn large_results_are_cut_and_keep_their_order() {
        let column: ArrayRef = Arc::new(StringArray::from_iter_values((0..20).map(|_| "x".repeat(1 << 20))));
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        let messages = messages(&batch.schema(), &[batch.clone(), batch]).unwrap();
        assert!(messages.len() > 10);
        assert!(messages.iter().all(|message| message.data.len() < 2 * MESSAGE_BYTES));
        let mut expected = 0;
        for message in &messages {
            assert_eq!(message.start_offset, Some(expected));
            expected += message.row_count;
        }
        assert_eq!(expected, 40);
    }
}
