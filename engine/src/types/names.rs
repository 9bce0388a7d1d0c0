//! What Spark calls a type: in `dtypes` (`bigint`), in SQL and error messages (`BIGINT`), in JSON (`long`), in DDL.

use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit};

use super::{COMMENT_KEY, map_fields};

/// `simpleString`, also the type in `df.dtypes`: `struct<a:int,b:array<string>>`.
pub fn simple_string(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{}:{}", field.name(), simple_string(field.data_type()))).collect();
            format!("struct<{}>", fields.join(","))
        }
        DataType::List(element) => format!("array<{}>", simple_string(element.data_type())),
        DataType::Map(entries, _) => match map_fields(entries) {
            Some((key, value)) => {
                format!("map<{},{}>", simple_string(key.data_type()), simple_string(value.data_type()))
            }
            None => format!("{data_type}"),
        },
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        other => type_name(other),
    }
}

/// The name in Spark's JSON and in `printSchema`: `long`, `integer`, `decimal(10,2)`, `struct`.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "byte".to_owned(),
        DataType::Int16 => "short".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "long".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 => "string".to_owned(),
        DataType::Binary => "binary".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp".to_owned(),
        DataType::Timestamp(_, None) => "timestamp_ntz".to_owned(),
        DataType::Duration(_) => "interval day to second".to_owned(),
        DataType::Interval(IntervalUnit::YearMonth) => "interval year to month".to_owned(),
        DataType::Interval(_) => "interval".to_owned(),
        DataType::Null => "void".to_owned(),
        DataType::Struct(_) => "struct".to_owned(),
        DataType::List(_) => "array".to_owned(),
        DataType::Map(..) => "map".to_owned(),
        other => other.to_string(),
    }
}

/// The name in SQL: `BIGINT`, `STRUCT<a: INT NOT NULL, b: STRING>`, `MAP<STRING, INT>`.
pub fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|field| field_sql(field)).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        DataType::List(element) => format!("ARRAY<{}>", sql_name(element.data_type())),
        DataType::Map(entries, _) => match map_fields(entries) {
            Some((key, value)) => format!("MAP<{}, {}>", sql_name(key.data_type()), sql_name(value.data_type())),
            None => data_type.to_string(),
        },
        other => simple_string(other).to_uppercase(),
    }
}

fn field_sql(field: &Field) -> String {
    let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
    format!("{}: {}{not_null}{}", quote_identifier(field.name()), sql_name(field.data_type()), comment(field))
}

fn comment(field: &Field) -> String {
    match field.metadata().get(COMMENT_KEY) {
        Some(comment) => format!(" COMMENT '{}'", comment.replace('\'', "\\'")),
        None => String::new(),
    }
}

/// The SQL name in double quotes, as error messages have it: `"BIGINT"`.
pub fn quoted_sql_name(data_type: &DataType) -> String {
    format!("\"{}\"", sql_name(data_type))
}

/// The fields as DDL, which reads back to the same: `a STRING,b INT NOT NULL`. As Spark's `toDDL`.
pub fn ddl<'a>(fields: impl IntoIterator<Item = &'a Field>) -> String {
    let fields: Vec<String> = fields
        .into_iter()
        .map(|field| {
            let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
            format!("{} {}{not_null}{}", quote_identifier(field.name()), sql_name(field.data_type()), comment(field))
        })
        .collect();
    fields.join(",")
}

/// The name in backticks unless it is a plain identifier.
pub fn quote_identifier(name: &str) -> String {
    let plain = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.chars().all(|c| c.is_ascii_digit());
    if plain { name.to_owned() } else { format!("`{}`", name.replace('`', "``")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{parse_fields, parse_type};

    #[test]
    fn each_kind_of_name() {
        let data_type =
            parse_type("a INT NOT NULL, b ARRAY<BIGINT>, m MAP<STRING, DECIMAL(4,1)>, `x y` TIMESTAMP").unwrap();
        assert_eq!(simple_string(&data_type), "struct<a:int,b:array<bigint>,m:map<string,decimal(4,1)>,x y:timestamp>");
        assert_eq!(
            sql_name(&data_type),
            "STRUCT<a: INT NOT NULL, b: ARRAY<BIGINT>, m: MAP<STRING, DECIMAL(4,1)>, `x y`: TIMESTAMP>"
        );
        assert_eq!(type_name(&DataType::Int64), "long");
        assert_eq!(quoted_sql_name(&DataType::Utf8), "\"STRING\"");
    }

    #[test]
    fn ddl_reads_back() {
        let text = "a INT NOT NULL,b STRUCT<x: INT, y: STRING> COMMENT 'it',`x y` TIMESTAMP";
        let fields = parse_fields(text).unwrap();
        assert_eq!(ddl(fields.iter().map(AsRef::as_ref)), text);
    }
}
