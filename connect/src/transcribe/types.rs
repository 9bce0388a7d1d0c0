//! Spark Connect's types and Arrow's, both ways. The mapping of Spark's types to Arrow's is the engine's.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, IntervalUnit};
use pyrite_engine::error::{ExceptionKind, SparkError};
use pyrite_engine::types;

use super::required;
use crate::wire::{DataType as WireType, data_type as wire, data_type::Kind};

/// The metadata key whose value is a number, as Spark writes it.
const WATERMARK_DELAY_KEY: &str = "spark.watermarkDelayMs";

/// Day-time intervals reach from days to seconds, year-month ones from years to months.
const DAY: i32 = 0;
const SECOND: i32 = 3;
const YEAR: i32 = 0;
const MONTH: i32 = 1;

/// A schema as the client reads it.
pub fn struct_to_wire<'a>(fields: impl IntoIterator<Item = &'a Field>) -> Result<WireType, SparkError> {
    let fields = fields.into_iter().map(field_to_wire).collect::<Result<Vec<_>, _>>()?;
    Ok(WireType { kind: Some(Kind::Struct(wire::Struct { fields, type_variation_reference: 0 })) })
}

fn field_to_wire(field: &Field) -> Result<wire::StructField, SparkError> {
    Ok(wire::StructField {
        name: field.name().clone(),
        data_type: Some(data_type_to_wire(field.data_type())?),
        nullable: field.is_nullable(),
        metadata: metadata_text(field.metadata()),
    })
}

fn metadata_text(metadata: &HashMap<String, String>) -> Option<String> {
    // What Arrow or Pyrite notes for itself is not Spark's metadata.
    let shown = metadata.iter().filter(|(key, _)| *key == types::COMMENT_KEY || *key == WATERMARK_DELAY_KEY);
    let object: serde_json::Map<String, serde_json::Value> = shown
        .map(|(key, value)| {
            let value = match value.parse::<i64>() {
                Ok(number) if key == WATERMARK_DELAY_KEY => serde_json::Value::from(number),
                _ => serde_json::Value::from(value.clone()),
            };
            (key.clone(), value)
        })
        .collect();
    (!object.is_empty()).then(|| serde_json::Value::Object(object).to_string())
}

/// A type as the client reads it.
pub fn data_type_to_wire(data_type: &DataType) -> Result<WireType, SparkError> {
    let kind = match data_type {
        DataType::Null => Kind::Null(wire::Null::default()),
        DataType::Boolean => Kind::Boolean(wire::Boolean::default()),
        DataType::Int8 => Kind::Byte(wire::Byte::default()),
        DataType::Int16 => Kind::Short(wire::Short::default()),
        DataType::Int32 => Kind::Integer(wire::Integer::default()),
        DataType::Int64 => Kind::Long(wire::Long::default()),
        DataType::Float32 => Kind::Float(wire::Float::default()),
        DataType::Float64 => Kind::Double(wire::Double::default()),
        DataType::Decimal128(precision, scale) => Kind::Decimal(wire::Decimal {
            precision: Some(i32::from(*precision)),
            scale: Some(i32::from(*scale)),
            type_variation_reference: 0,
        }),
        DataType::Utf8 => {
            Kind::String(wire::String { type_variation_reference: 0, collation: "UTF8_BINARY".to_owned() })
        }
        DataType::Binary => Kind::Binary(wire::Binary::default()),
        DataType::Date32 => Kind::Date(wire::Date::default()),
        DataType::Timestamp(_, Some(_)) => Kind::Timestamp(wire::Timestamp::default()),
        DataType::Timestamp(_, None) => Kind::TimestampNtz(wire::TimestampNtz::default()),
        DataType::Duration(_) => Kind::DayTimeInterval(wire::DayTimeInterval {
            start_field: Some(DAY),
            end_field: Some(SECOND),
            type_variation_reference: 0,
        }),
        DataType::Interval(IntervalUnit::YearMonth) => Kind::YearMonthInterval(wire::YearMonthInterval {
            start_field: Some(YEAR),
            end_field: Some(MONTH),
            type_variation_reference: 0,
        }),
        DataType::Interval(_) => Kind::CalendarInterval(wire::CalendarInterval::default()),
        DataType::List(element) => Kind::Array(Box::new(wire::Array {
            element_type: Some(Box::new(data_type_to_wire(element.data_type())?)),
            contains_null: element.is_nullable(),
            type_variation_reference: 0,
        })),
        DataType::Struct(fields) => return struct_to_wire(fields.iter().map(AsRef::as_ref)),
        DataType::Map(entries, _) => {
            let (key, value) = types::map_fields(entries)
                .ok_or_else(|| crate::error::internal(format!("a map of another shape: {data_type}")))?;
            Kind::Map(Box::new(wire::Map {
                key_type: Some(Box::new(data_type_to_wire(key.data_type())?)),
                value_type: Some(Box::new(data_type_to_wire(value.data_type())?)),
                value_contains_null: value.is_nullable(),
                type_variation_reference: 0,
            }))
        }
        other => return Err(crate::error::internal(format!("the Arrow type {other} is none of Spark's"))),
    };
    Ok(WireType { kind: Some(kind) })
}

/// The Arrow type of a type that the client sent.
///
/// # Errors
/// A type that Pyrite lacks (variant, user-defined, time), or a message without a type.
pub fn data_type_from_wire(data_type: WireType) -> Result<DataType, SparkError> {
    Ok(match required(data_type.kind, "kind")? {
        Kind::Null(_) => DataType::Null,
        Kind::Boolean(_) => DataType::Boolean,
        Kind::Byte(_) => DataType::Int8,
        Kind::Short(_) => DataType::Int16,
        Kind::Integer(_) => DataType::Int32,
        Kind::Long(_) => DataType::Int64,
        Kind::Float(_) => DataType::Float32,
        Kind::Double(_) => DataType::Float64,
        Kind::Decimal(decimal) => decimal_type(decimal.precision, decimal.scale)?,
        Kind::String(_) | Kind::Char(_) | Kind::VarChar(_) => DataType::Utf8,
        Kind::Binary(_) => DataType::Binary,
        Kind::Date(_) => DataType::Date32,
        Kind::Timestamp(_) => types::timestamp(),
        Kind::TimestampNtz(_) => types::timestamp_ntz(),
        Kind::DayTimeInterval(_) => types::day_time_interval(),
        Kind::YearMonthInterval(_) => DataType::Interval(IntervalUnit::YearMonth),
        Kind::CalendarInterval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        Kind::Array(array) => {
            types::array_of(data_type_from_wire(*required(array.element_type, "element_type")?)?, array.contains_null)
        }
        Kind::Map(map) => types::map_of(
            data_type_from_wire(*required(map.key_type, "key_type")?)?,
            data_type_from_wire(*required(map.value_type, "value_type")?)?,
            map.value_contains_null,
        ),
        Kind::Struct(fields) => {
            DataType::Struct(fields.fields.into_iter().map(field_from_wire).collect::<Result<Fields, _>>()?)
        }
        Kind::Unparsed(unparsed) => types::parse_schema_text(&unparsed.data_type_string)?,
        Kind::Variant(_) => return Err(SparkError::unsupported("the type variant")),
        Kind::Udt(_) => return Err(SparkError::unsupported("a user-defined type")),
        Kind::Geometry(_) | Kind::Geography(_) => return Err(SparkError::unsupported("a geospatial type")),
        Kind::Time(_) => return Err(SparkError::unsupported("the type time")),
        Kind::TimestampNtzNanos(_) | Kind::TimestampLtzNanos(_) => {
            return Err(SparkError::unsupported("a timestamp of nanoseconds"));
        }
    })
}

/// A decimal's type; Spark's defaults are precision 10 and scale 0.
pub fn decimal_type(precision: Option<i32>, scale: Option<i32>) -> Result<DataType, SparkError> {
    let (precision, scale) = (precision.unwrap_or(10), scale.unwrap_or(0));
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(p), Ok(s)) if (1..=types::DECIMAL_PRECISION_MAX).contains(&p) && (0..=precision).contains(&scale) => {
            Ok(types::decimal(p, s))
        }
        _ => Err(SparkError::new(
            ExceptionKind::Analysis,
            "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
            "22003",
            format!("Decimal precision {precision} exceeds max precision {}.", types::DECIMAL_PRECISION_MAX),
        )),
    }
}

fn field_from_wire(field: wire::StructField) -> Result<Arc<Field>, SparkError> {
    let data_type = data_type_from_wire(required(field.data_type, "data_type")?)?;
    let mut arrow = Field::new(field.name, data_type, field.nullable);
    if let Some(text) = field.metadata
        && let Ok(serde_json::Value::Object(object)) = serde_json::from_str(&text)
        && let Some(serde_json::Value::String(comment)) = object.get(types::COMMENT_KEY)
    {
        arrow.set_metadata(HashMap::from([(types::COMMENT_KEY.to_owned(), comment.clone())]));
    }
    Ok(Arc::new(arrow))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back() {
        let text = "a BOOLEAN, b TINYINT, c SMALLINT, d INT, e BIGINT, f FLOAT, g DOUBLE, h DECIMAL(12,3), i STRING, \
                    j BINARY, k DATE, l TIMESTAMP, m TIMESTAMP_NTZ, n ARRAY<INT>, o MAP<STRING, ARRAY<DOUBLE>>, \
                    p STRUCT<x: INT NOT NULL, y: STRING>, q INTERVAL DAY TO SECOND, r INTERVAL YEAR TO MONTH, s VOID";
        let fields = types::parse_fields(text).unwrap();
        let wire = struct_to_wire(fields.iter().map(AsRef::as_ref)).unwrap();
        assert_eq!(data_type_from_wire(wire).unwrap(), DataType::Struct(fields));
    }

    #[test]
    fn the_watermark_delay_is_a_number_and_a_comment_a_text() {
        let metadata =
            HashMap::from([(WATERMARK_DELAY_KEY.to_owned(), "10000".to_owned()), ("other".to_owned(), "x".to_owned())]);
        assert_eq!(metadata_text(&metadata).as_deref(), Some(r#"{"spark.watermarkDelayMs":10000}"#));
        assert_eq!(metadata_text(&HashMap::new()), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let variant = WireType { kind: Some(Kind::Variant(wire::Variant::default())) };
        assert!(data_type_from_wire(variant).unwrap_err().message.contains("variant"));
        assert!(decimal_type(Some(39), Some(0)).is_err());
    }
}
