//! Arrow batches as bytes, for peers and for the driver: one IPC stream a message, so that each says its own schema.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;

/// Bytes of one message, about.
const MESSAGE_BYTES: usize = 768 * 1024;

/// One batch as an IPC stream.
pub fn encode(batch: &RecordBatch) -> Result<Bytes, ArrowError> {
    let mut writer =
        StreamWriter::try_new(Vec::with_capacity(batch.get_array_memory_size() / 2 + 1024), &batch.schema())?;
    writer.write(batch)?;
    Ok(Bytes::from(writer.into_inner()?))
}

/// The batches of an IPC stream.
pub fn decode(bytes: &Bytes) -> Result<Vec<RecordBatch>, ArrowError> {
    StreamReader::try_new(std::io::Cursor::new(bytes.clone()), None)?.collect()
}

/// Cuts a batch into slices of about a message's size.
pub fn slices(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> + '_ {
    let rows = batch.num_rows();
    let parts = batch.get_array_memory_size().div_ceil(MESSAGE_BYTES).clamp(1, rows.max(1));
    let step = rows.div_ceil(parts).max(1);
    (0..rows).step_by(step).map(move |start| batch.slice(start, step.min(rows - start)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch(rows: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("row {row}"))));
        RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).expect("equal lengths")
    }

    #[test]
    fn batches_survive_the_wire() {
        let sent = batch(1000);
        assert_eq!(decode(&encode(&sent).expect("encodes")).expect("decodes"), [sent]);
    }

    #[test]
    fn slices_hold_every_row_once() {
        let large = batch(200_000);
        let parts: Vec<RecordBatch> = slices(&large).collect();
        assert!(parts.len() > 3);
        assert_eq!(arrow::compute::concat_batches(&large.schema(), &parts).expect("same schema"), large);
        assert_eq!(slices(&batch(1)).count(), 1);
        assert_eq!(slices(&batch(0)).count(), 0);
    }

    #[test]
    fn damaged_bytes_are_an_error() {
        let bytes = encode(&batch(10)).expect("encodes");
        assert!(decode(&bytes.slice(0..20)).is_err());
    }
}
