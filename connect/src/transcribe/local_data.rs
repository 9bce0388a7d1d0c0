//! Data that came with the plan, as an Arrow stream: decoded, and brought to the Arrow types that Spark's types map to.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, Schema, TimeUnit};
use datafusion::arrow::ipc::reader::StreamReader;
use pyrite_engine::error::SparkError;
use pyrite_engine::types;

/// Reads one Arrow stream.
///
/// # Errors
/// Bytes that are no Arrow stream, or a column of a type that is none of Spark's.
pub fn decode(data: &Bytes) -> Result<Vec<RecordBatch>, SparkError> {
    let reader = StreamReader::try_new(data.as_ref(), None).map_err(bad_data)?;
    let schema = reader.schema();
    let mut batches = Vec::new();
    for batch in reader {
        batches.push(normalize(&batch.map_err(bad_data)?)?);
    }
    if batches.is_empty() {
        batches.push(normalize(&RecordBatch::new_empty(schema))?);
    }
    Ok(batches)
}

/// No rows of a schema given as text.
pub fn empty(schema: &str) -> Result<Vec<RecordBatch>, SparkError> {
    let fields = match types::parse_schema_text(schema)? {
        DataType::Struct(fields) => fields,
        single => Fields::from(vec![Field::new("value", single, true)]),
    };
    Ok(vec![RecordBatch::new_empty(Arc::new(Schema::new(fields)))])
}

fn normalize(batch: &RecordBatch) -> Result<RecordBatch, SparkError> {
    let mut fields: Vec<FieldRef> = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let data_type = spark_type(field.data_type())?;
        let column = if data_type == *field.data_type() {
            column.clone()
        } else {
            cast(column, &data_type).map_err(bad_data)?
        };
        fields.push(Arc::new(Field::new(field.name(), data_type, field.is_nullable())));
        columns.push(column);
    }
    let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(bad_data)
}

/// The Arrow type of the Spark type that this one stands for: other widths, names and units are Arrow's freedom, not
/// Spark's.
fn spark_type(data_type: &DataType) -> Result<DataType, SparkError> {
    Ok(match data_type {
        DataType::Null
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32
        | DataType::Interval(IntervalUnit::YearMonth | IntervalUnit::MonthDayNano)
        | DataType::Decimal128(..) => data_type.clone(),
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, Some(_)) => types::timestamp(),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Duration(_) => types::day_time_interval(),
        DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
            types::array_of(spark_type(element.data_type())?, element.is_nullable())
        }
        DataType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|field| Ok(Field::new(field.name(), spark_type(field.data_type())?, field.is_nullable())))
                .collect::<Result<Vec<_>, SparkError>>()?
                .into(),
        ),
        DataType::Map(entries, _) => {
            let (key, value) = types::map_fields(entries)
                .ok_or_else(|| SparkError::unsupported(format!("local data of the Arrow type {data_type}")))?;
            types::map_of(spark_type(key.data_type())?, spark_type(value.data_type())?, value.is_nullable())
        }
        DataType::Dictionary(_, value) => spark_type(value)?,
        other => return Err(SparkError::unsupported(format!("local data of the Arrow type {other}"))),
    })
}

fn bad_data(error: impl std::fmt::Display) -> SparkError {
    crate::error::invalid_plan(format!("the local data cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array, ArrayRef, Int64Array, LargeStringArray, ListArray};
    use datafusion::arrow::buffer::OffsetBuffer;
    use datafusion::arrow::ipc::writer::StreamWriter;

    use super::*;

    fn stream(batch: &RecordBatch) -> Bytes {
        let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
        writer.write(batch).unwrap();
        Bytes::from(writer.into_inner().unwrap())
    }

    #[test]
    fn other_widths_and_names_become_sparks() {
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        let list = ListArray::new(item, OffsetBuffer::from_lengths([2]), Arc::new(Int64Array::from(vec![1, 2])), None);
        let columns: Vec<(&str, ArrayRef)> =
            vec![("s", Arc::new(LargeStringArray::from(vec!["x"]))), ("l", Arc::new(list))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let decoded = decode(&stream(&batch)).unwrap();
        assert_eq!(decoded[0].column(0).data_type(), &DataType::Utf8);
        assert_eq!(decoded[0].column(1).data_type(), &types::array_of(DataType::Int64, true));
    }

    #[test]
    fn no_rows_still_have_a_schema() {
        let batches =
            empty(r#"{"type":"struct","fields":[{"name":"a","type":"integer","nullable":true,"metadata":{}}]}"#)
                .unwrap();
        assert_eq!((batches[0].num_rows(), batches[0].num_columns()), (0, 1));
        assert!(decode(&Bytes::from_static(b"junk")).is_err());
    }
}
