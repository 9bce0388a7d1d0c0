//! Reads and writes schemas as JSON, the text of PySpark's `StructType.json()`.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit};
use serde_json::{Map, Value, json};

use super::ddl::{checked_decimal, simple_type, unsupported_type};
use super::{array_of, day_time_interval, map_fields, map_of, type_name};
use crate::error::SparkError;

/// Reads a type from Spark's JSON: `"string"` or `{"type":"struct","fields":[..]}`.
pub fn parse_json_type(text: &str) -> Result<DataType, SparkError> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        SparkError::analysis(
            "INVALID_JSON_DATA_TYPE",
            "2203G",
            format!("Failed to convert the JSON string '{text}' to a data type. Please enter a valid data type."),
        )
        .with("invalidType", text)
        .with("cause", error)
    })?;
    from_value(&value)
}

/// The type as Spark's JSON text.
pub fn to_json(data_type: &DataType) -> String {
    to_json_value(data_type).to_string()
}

/// The type as Spark's JSON.
pub fn to_json_value(data_type: &DataType) -> Value {
    match data_type {
        DataType::Struct(fields) => {
            let fields: Vec<Value> = fields.iter().map(field_value).collect();
            json!({"type": "struct", "fields": fields})
        }
        DataType::List(element) => json!({
            "type": "array",
            "elementType": to_json_value(element.data_type()),
            "containsNull": element.is_nullable(),
        }),
        DataType::Map(entries, _) => match map_fields(entries) {
            Some((key, value)) => json!({
                "type": "map",
                "keyType": to_json_value(key.data_type()),
                "valueType": to_json_value(value.data_type()),
                "valueContainsNull": value.is_nullable(),
            }),
            None => Value::String(type_name(data_type)),
        },
        other => Value::String(type_name(other)),
    }
}

fn field_value(field: &FieldRef) -> Value {
    let mut metadata: Vec<(&String, &String)> = field.metadata().iter().collect();
    metadata.sort();
    let metadata: Map<String, Value> =
        metadata.into_iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
    json!({
        "name": field.name(),
        "type": to_json_value(field.data_type()),
        "nullable": field.is_nullable(),
        "metadata": metadata,
    })
}

fn invalid(value: &Value) -> SparkError {
    SparkError::analysis(
        "INVALID_JSON_DATA_TYPE",
        "2203G",
        format!("Failed to convert the JSON string '{value}' to a data type. Please enter a valid data type."),
    )
    .with("invalidType", value)
}

fn from_value(value: &Value) -> Result<DataType, SparkError> {
    match value {
        Value::String(name) => from_name(name),
        Value::Object(object) => match object.get("type").and_then(Value::as_str) {
            Some("struct") => {
                let fields = object.get("fields").and_then(Value::as_array).ok_or_else(|| invalid(value))?;
                let fields: Result<Vec<FieldRef>, SparkError> = fields.iter().map(field).collect();
                Ok(DataType::Struct(Fields::from(fields?)))
            }
            Some("array") => {
                let element = from_value(object.get("elementType").ok_or_else(|| invalid(value))?)?;
                Ok(array_of(element, flag(object, "containsNull")))
            }
            Some("map") => {
                let key = from_value(object.get("keyType").ok_or_else(|| invalid(value))?)?;
                let item = from_value(object.get("valueType").ok_or_else(|| invalid(value))?)?;
                Ok(map_of(key, item, flag(object, "valueContainsNull")))
            }
            Some("udt") => from_value(object.get("sqlType").ok_or_else(|| invalid(value))?),
            _ => Err(invalid(value)),
        },
        _ => Err(invalid(value)),
    }
}

fn flag(object: &Map<String, Value>, name: &str) -> bool {
    object.get(name).and_then(Value::as_bool).unwrap_or(true)
}

fn field(value: &Value) -> Result<FieldRef, SparkError> {
    let object = value.as_object().ok_or_else(|| invalid(value))?;
    let name = object.get("name").and_then(Value::as_str).ok_or_else(|| invalid(value))?;
    let data_type = from_value(object.get("type").ok_or_else(|| invalid(value))?)?;
    let metadata: HashMap<String, String> = object
        .get("metadata")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, item)| (key.clone(), item.as_str().map_or_else(|| item.to_string(), str::to_owned)))
        .collect();
    Ok(Arc::new(Field::new(name, data_type, flag(object, "nullable")).with_metadata(metadata)))
}

fn from_name(name: &str) -> Result<DataType, SparkError> {
    let lower = name.to_ascii_lowercase();
    if let Some(data_type) = simple_type(&lower) {
        return Ok(data_type);
    }
    if lower == "null" {
        return Ok(DataType::Null);
    }
    if lower == "decimal" {
        return checked_decimal(10, 0);
    }
    if let Some(arguments) = lower.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')')) {
        let mut numbers = arguments.split(',').map(|number| number.trim().parse::<i64>());
        if let (Some(Ok(precision)), Some(Ok(scale)), None) = (numbers.next(), numbers.next(), numbers.next()) {
            return checked_decimal(precision, scale);
        }
    }
    if lower.starts_with("char(") || lower.starts_with("varchar(") || lower == "string collate utf8_binary" {
        return Ok(DataType::Utf8);
    }
    if lower == "interval" || lower == "calendarinterval" {
        return Ok(DataType::Interval(IntervalUnit::MonthDayNano));
    }
    if let Some(units) = lower.strip_prefix("interval ") {
        let first = units.split(' ').next().unwrap_or_default();
        return match first {
            "year" | "month" => Ok(DataType::Interval(IntervalUnit::YearMonth)),
            "day" | "hour" | "minute" | "second" => Ok(day_time_interval()),
            _ => Err(unsupported_type(name)),
        };
    }
    Err(unsupported_type(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::parse_type;

    #[test]
    fn writes_and_reads_what_pyspark_does() {
        let text = r#"{"type":"struct","fields":[{"name":"a","type":"integer","nullable":false,"metadata":{}},{"name":"b","type":{"type":"array","elementType":"string","containsNull":true},"nullable":true,"metadata":{"comment":"c"}},{"name":"m","type":{"type":"map","keyType":"string","valueType":"decimal(10,2)","valueContainsNull":true},"nullable":true,"metadata":{}}]}"#;
        let parsed = parse_json_type(text).unwrap();
        let by_ddl = parse_type("a INT NOT NULL, b ARRAY<STRING> COMMENT 'c', m MAP<STRING, DECIMAL(10,2)>").unwrap();
        assert_eq!(parsed, by_ddl);
        assert_eq!(to_json(&parsed), text);
    }

    #[test]
    fn every_simple_type_survives() {
        for ddl in [
            "boolean",
            "tinyint",
            "smallint",
            "int",
            "bigint",
            "float",
            "double",
            "string",
            "binary",
            "date",
            "timestamp",
            "timestamp_ntz",
            "void",
            "decimal(38,18)",
            "interval",
            "interval day to second",
            "interval year to month",
        ] {
            let data_type = parse_type(ddl).unwrap();
            assert_eq!(parse_json_type(&to_json(&data_type)).unwrap(), data_type, "{ddl}");
        }
    }

    #[test]
    fn refuses_what_is_no_type() {
        assert_eq!(parse_json_type("{").unwrap_err().class, "INVALID_JSON_DATA_TYPE");
        assert_eq!(parse_json_type("\"foo\"").unwrap_err().class, "UNSUPPORTED_DATATYPE");
        assert_eq!(parse_json_type("{\"type\":\"array\"}").unwrap_err().class, "INVALID_JSON_DATA_TYPE");
    }
}
