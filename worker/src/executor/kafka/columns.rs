//! Kafka records into Arrow columns: only those that the plan reads, bytes copied once into one growing buffer a
//! column.
//!
//! Columns have the names and types of Spark's Kafka source: `key`, `value` binary; `topic` string; `partition` int;
//! `offset` bigint; `timestamp` timestamp; `timestampType` int; `headers` array<struct<key string, value binary>>.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryArray, BinaryBuilder, BooleanBufferBuilder, Int32Array, Int64Array, ListBuilder,
    RecordBatch, RecordBatchOptions, StringArray, StringBuilder, StructBuilder, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use arrow::error::ArrowError;

use super::row::Row;

/// Rows of one batch at the most.
pub(super) const BATCH_ROWS_MAX: usize = 32 * 1024;
/// Bytes of keys, values and headers of one batch, after which it is handed over.
pub(super) const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of one row's value that are reserved at the start, before any row was seen.
const VALUE_BYTES_GUESS: usize = 160;

/// A column the scan does not have.
#[derive(Debug, thiserror::Error)]
#[error("the Kafka source has no column `{name}` of type `{data_type}`")]
pub struct UnknownColumn {
    name: String,
    data_type: DataType,
}

/// Builds batches of one partition.
pub(super) struct ColumnsBuilder {
    schema: SchemaRef,
    columns: Vec<Column>,
    topic: String,
    partition: i32,
    rows: usize,
    /// Of keys, values and, where they are read, headers.
    bytes: usize,
}

enum Column {
    Key(BytesColumn),
    Value(BytesColumn),
    Topic,
    Partition,
    Offset(Vec<i64>),
    Timestamp(Vec<i64>),
    TimestampType(Vec<i32>),
    Headers(Box<ListBuilder<StructBuilder>>),
}

/// A binary column under construction.
struct BytesColumn {
    offsets: Vec<i32>,
    values: Vec<u8>,
    /// Made at the first null.
    validity: Option<BooleanBufferBuilder>,
    bytes_guess: usize,
}

impl ColumnsBuilder {
    /// Refuses a schema with a column that Kafka records do not have.
    pub fn new(schema: SchemaRef, topic: &str, partition: i32) -> Result<Self, UnknownColumn> {
        let columns = schema.fields().iter().map(|field| Column::of(field)).collect::<Result<_, _>>()?;
        Ok(Self { schema, columns, topic: topic.to_owned(), partition, rows: 0, bytes: 0 })
    }

    /// Rows held.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the batch should be handed over.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Whether the plan reads the records' headers.
    pub fn has_headers(&self) -> bool {
        self.columns.iter().any(|column| matches!(column, Column::Headers(_)))
    }

    /// Appends one record. Returns the bytes of its key and value.
    #[inline]
    pub fn push(&mut self, record: &impl Row) -> usize {
        let mut header_bytes = 0;
        for column in &mut self.columns {
            match column {
                Column::Value(column) => column.push(record.value()),
                Column::Key(column) => column.push(record.key()),
                Column::Topic | Column::Partition => {}
                Column::Offset(offsets) => offsets.push(record.offset()),
                Column::Timestamp(micros) => micros.push(record.timestamp().0.saturating_mul(1000)),
                Column::TimestampType(kinds) => kinds.push(record.timestamp().1),
                Column::Headers(list) => header_bytes = push_headers(list, record),
            }
        }
        let bytes = record.value().map_or(0, <[u8]>::len) + record.key().map_or(0, <[u8]>::len);
        self.rows += 1;
        self.bytes += bytes + header_bytes;
        bytes
    }

    /// The rows so far as a batch; the builder is empty then.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            arrays.push(match column {
                Column::Value(column) | Column::Key(column) => column.finish()?,
                Column::Topic => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&self.topic, rows))),
                Column::Partition => Arc::new(Int32Array::from(vec![self.partition; rows])),
                Column::Offset(offsets) => Arc::new(Int64Array::from(std::mem::take(offsets))),
                Column::Timestamp(micros) => {
                    Arc::new(TimestampMicrosecondArray::from(std::mem::take(micros)).with_timezone("UTC"))
                }
                Column::TimestampType(kinds) => Arc::new(Int32Array::from(std::mem::take(kinds))),
                Column::Headers(list) => Arc::new(list.finish()),
            });
        }
        // The builders name their parts as the records have them; the plan's schema may differ in nullability only.
        let arrays =
            arrays.into_iter().zip(self.schema.fields()).map(|(array, field)| conform(array, field.data_type()));
        let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
    }
}

impl Column {
    fn of(field: &Field) -> Result<Self, UnknownColumn> {
        let kind = (field.name().as_str(), field.data_type());
        Ok(match kind {
            ("key", DataType::Binary) => Self::Key(BytesColumn::new(0)),
            ("value", DataType::Binary) => Self::Value(BytesColumn::new(VALUE_BYTES_GUESS)),
            ("topic", DataType::Utf8) => Self::Topic,
            ("partition", DataType::Int32) => Self::Partition,
            ("offset", DataType::Int64) => Self::Offset(Vec::new()),
            ("timestamp", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some(_))) => {
                Self::Timestamp(Vec::new())
            }
            ("timestampType", DataType::Int32) => Self::TimestampType(Vec::new()),
            ("headers", DataType::List(item)) if matches!(item.data_type(), DataType::Struct(_)) => {
                let fields = header_fields();
                let item = Field::new("element", DataType::Struct(fields.clone()), true);
                let entry = StructBuilder::new(
                    fields,
                    vec![Box::new(StringBuilder::new()) as Box<dyn ArrayBuilder>, Box::new(BinaryBuilder::new())],
                );
                Self::Headers(Box::new(ListBuilder::new(entry).with_field(Arc::new(item))))
            }
            (name, data_type) => return Err(UnknownColumn { name: name.to_owned(), data_type: data_type.clone() }),
        })
    }
}

fn header_fields() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, true), Field::new("value", DataType::Binary, true)])
}

/// Spark gives null, not an empty list, for a record without headers. Returns their bytes.
fn push_headers(list: &mut ListBuilder<StructBuilder>, record: &impl Row) -> usize {
    let entry = list.values();
    let mut bytes = 0;
    let count = record.headers(|name, value| {
        bytes += name.len() + value.map_or(0, <[u8]>::len);
        if let Some(names) = entry.field_builder::<StringBuilder>(0) {
            names.append_value(String::from_utf8_lossy(name));
        }
        if let Some(values) = entry.field_builder::<BinaryBuilder>(1) {
            values.append_option(value);
        }
        entry.append(true);
    });
    list.append(count > 0);
    bytes
}

fn conform(array: ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == wanted {
        return Ok(array);
    }
    if array.is_empty() {
        return Ok(new_null_array(wanted, 0));
    }
    arrow::compute::cast(&array, wanted)
}

impl BytesColumn {
    fn new(bytes_guess: usize) -> Self {
        Self { offsets: Vec::new(), values: Vec::new(), validity: None, bytes_guess }
    }

    #[inline]
    fn push(&mut self, bytes: Option<&[u8]>) {
        if self.offsets.is_empty() {
            self.start();
        }
        match bytes {
            Some(bytes) => {
                self.values.extend_from_slice(bytes);
                if let Some(validity) = &mut self.validity {
                    validity.append(true);
                }
            }
            None => self.push_null(),
        }
        // A batch ends long before 2 GiB unless one record is that long, which Kafka's own limits forbid.
        self.offsets.push(self.values.len() as i32);
    }

    #[cold]
    fn start(&mut self) {
        self.offsets.reserve(BATCH_ROWS_MAX / 4 + 1);
        self.offsets.push(0);
        self.values.reserve(self.bytes_guess);
    }

    #[cold]
    fn push_null(&mut self) {
        let rows = self.offsets.len() - 1;
        let validity = self.validity.get_or_insert_with(|| {
            let mut all = BooleanBufferBuilder::new(rows + 1);
            all.append_n(rows, true);
            all
        });
        validity.append(false);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        let offsets = std::mem::take(&mut self.offsets);
        let values = std::mem::take(&mut self.values);
        // The next batch is likely as large as this one.
        self.bytes_guess = values.len();
        let nulls = self.validity.take().map(|mut validity| NullBuffer::new(validity.finish()));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(Arc::new(BinaryArray::try_new(offsets, Buffer::from_vec(values), nulls)?))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;

    #[test]
    fn bytes_keep_nulls_apart_from_empty_values() {
        let mut column = BytesColumn::new(0);
        column.push(Some(b"ab"));
        column.push(None);
        column.push(Some(b""));
        let array = column.finish().expect("valid offsets");
        let array = array.as_binary::<i32>();
        assert_eq!(array.value(0), b"ab");
        assert!(array.is_null(1));
        assert!(!array.is_null(2) && array.value(2).is_empty());
        assert_eq!(column.finish().expect("an empty column").len(), 0);
    }

    struct HeaderRow;

    impl Row for HeaderRow {
        fn offset(&self) -> i64 {
            0
        }

        fn timestamp(&self) -> (i64, i32) {
            (0, 0)
        }

        fn key(&self) -> Option<&[u8]> {
            None
        }

        fn value(&self) -> Option<&[u8]> {
            Some(b"v")
        }

        fn headers(&self, mut each: impl FnMut(&[u8], Option<&[u8]>)) -> usize {
            each(b"h", Some(&[0; BATCH_BYTES_MAX]));
            1
        }
    }

    #[test]
    fn headers_fill_a_batch_and_are_not_counted_as_its_records_bytes() {
        let list = DataType::new_list(DataType::Struct(header_fields()), true);
        let fields = vec![Field::new("value", DataType::Binary, true), Field::new("headers", list, true)];
        let mut columns = ColumnsBuilder::new(Arc::new(arrow::datatypes::Schema::new(fields)), "t", 0).expect("known");
        assert_eq!(columns.push(&HeaderRow), 1);
        assert!(columns.is_full());
        assert_eq!(columns.finish().expect("one row").num_rows(), 1);
        assert!(!columns.is_full());
    }

    #[test]
    fn unknown_columns_are_named() {
        let schema = Arc::new(arrow::datatypes::Schema::new(vec![Field::new("valu", DataType::Binary, true)]));
        let error = ColumnsBuilder::new(schema, "t", 0).err().expect("refused");
        assert!(error.to_string().contains("`valu`"));
    }
}
