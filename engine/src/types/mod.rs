//! Spark's types as Arrow's: what each is called, how schema text is read, and how a schema prints.
//!
//! The mapping is one to one, so an Arrow type alone says what Spark type a column has: a string is `Utf8`, a
//! timestamp `Timestamp(Microsecond, "UTC")`, a day-time interval `Duration(Microsecond)`. The rest of the engine
//! speaks Arrow; the names of Spark's types appear here and in error messages only.

mod calendar;
mod ddl;
mod json;
mod names;
mod tree;
mod zone;
mod zone_names;

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};

use crate::error::SparkError;

pub use calendar::{
    Date, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, Time, days_of_month, is_leap_year,
    join_local, split_local,
};
pub use ddl::{parse_fields, parse_schema_ddl, parse_type};
pub use json::{parse_json_type, to_json, to_json_value};
pub use names::{ddl, quote_identifier, quoted_sql_name, simple_string, sql_name, type_name};
pub use tree::tree_string;
pub use zone::Zone;

/// The key of a field's metadata under which its comment is kept, as in Spark.
pub const COMMENT_KEY: &str = "comment";

/// The largest precision of a decimal.
pub const DECIMAL_PRECISION_MAX: u8 = 38;

/// The zone that every timestamp column carries: values are microseconds since the epoch in UTC.
static UTC: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("UTC"));

/// Spark's `timestamp`: an instant, microseconds since the epoch.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.clone()))
}

/// Spark's `timestamp_ntz`: a wall-clock time in no zone.
pub fn timestamp_ntz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// Spark's day-time interval, microseconds.
pub fn day_time_interval() -> DataType {
    DataType::Duration(TimeUnit::Microsecond)
}

/// Spark's `array<element>`.
pub fn array_of(element: DataType, contains_null: bool) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, contains_null)))
}

/// Spark's `map<key,value>`; keys are never null.
pub fn map_of(key: DataType, value: DataType, value_contains_null: bool) -> DataType {
    let fields = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, value_contains_null)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(fields), false)), false)
}

/// The key and the value field of a map's entries, or none for another shape.
pub fn map_fields(entries: &Field) -> Option<(&FieldRef, &FieldRef)> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => Some((&fields[0], &fields[1])),
        _ => None,
    }
}

/// A decimal, its precision cut to what Spark holds.
pub fn decimal(precision: u8, scale: i8) -> DataType {
    DataType::Decimal128(precision.min(DECIMAL_PRECISION_MAX), scale)
}

/// The type of an average of decimals. As Spark: four more digits, all of them after the point, and 38 at most.
pub fn average_of_decimals(precision: u8, scale: i8) -> DataType {
    const DIGITS_MORE: u8 = 4;
    let scale = scale.unsigned_abs().saturating_add(DIGITS_MORE).min(DECIMAL_PRECISION_MAX);
    decimal(precision.saturating_add(DIGITS_MORE), i8::try_from(scale).expect("at most 38"))
}

/// Whether this is one of Spark's types `tinyint` to `decimal`.
pub fn is_numeric(data_type: &DataType) -> bool {
    is_integral(data_type) || is_fractional(data_type)
}

/// Whether this is `tinyint`, `smallint`, `int` or `bigint`.
pub fn is_integral(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
}

/// Whether this is `float`, `double` or `decimal`.
pub fn is_fractional(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64 | DataType::Decimal128(..))
}

/// Whether this is `timestamp` or `timestamp_ntz`.
pub fn is_timestamp(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, _))
}

/// Schema text of either kind: what `StructType.json()` writes when it starts with `{` or `"`, DDL otherwise.
pub fn parse_schema_text(text: &str) -> Result<DataType, SparkError> {
    match text.trim_start().chars().next() {
        Some('{' | '"') => parse_json_type(text),
        _ => parse_schema_ddl(text),
    }
}

/// A type with every field, element and value nullable, which is what `from_json` gives.
pub fn as_nullable(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(nullable_field).collect()),
        DataType::List(element) => DataType::List(nullable_field(element)),
        DataType::Map(entries, _) => match map_fields(entries) {
            Some((key, value)) => map_of(as_nullable(key.data_type()), as_nullable(value.data_type()), true),
            None => data_type.clone(),
        },
        other => other.clone(),
    }
}

fn nullable_field(field: &FieldRef) -> FieldRef {
    let data_type = as_nullable(field.data_type());
    Arc::new(field.as_ref().clone().with_data_type(data_type).with_nullable(true))
}
