//! The errors of a cast, in Spark's words.

use datafusion::arrow::datatypes::DataType;

use crate::error::{ExceptionKind, SparkError};
use crate::types::quoted_sql_name;

fn runtime(class: &str, state: &str, message: String) -> SparkError {
    SparkError::new(ExceptionKind::Runtime, class, state, message)
}

/// Text that does not read as a value of the type.
pub fn invalid_input(value: &str, from: &DataType, to: &DataType) -> SparkError {
    let (from, to) = (quoted_sql_name(from), quoted_sql_name(to));
    runtime(
        "CAST_INVALID_INPUT",
        "22018",
        format!(
            "The value {value} of the type {from} cannot be cast to {to} because it is malformed. Correct the value as \
             per the syntax, or change its target type. Use `try_cast` to tolerate malformed input and return NULL instead."
        ),
    )
    .with("expression", value)
    .with("sourceType", from)
    .with("targetType", to)
}

/// A string as errors show it, in single quotes.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A number that the type cannot hold; `value` as a SQL literal.
pub fn overflow(value: &str, from: &DataType, to: &DataType) -> SparkError {
    let (from, to) = (quoted_sql_name(from), quoted_sql_name(to));
    runtime(
        "CAST_OVERFLOW",
        "22003",
        format!(
            "The value {value} of the type {from} cannot be cast to {to} due to an overflow. Use `try_cast` to tolerate \
             overflow and return NULL instead."
        ),
    )
    .with("value", value)
    .with("sourceType", from)
    .with("targetType", to)
}

/// A number that a decimal type cannot hold.
pub fn out_of_range(value: &str, precision: u8, scale: i8) -> SparkError {
    runtime(
        "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
        "22003",
        format!(
            "{value} cannot be represented as Decimal({precision}, {scale}). If necessary set \"spark.sql.ansi.enabled\" \
             to \"false\" to bypass this error, and return NULL instead."
        ),
    )
    .with("value", value)
    .with("precision", precision)
    .with("scale", scale)
    .with("config", "\"spark.sql.ansi.enabled\"")
}

/// A cast that no value could pass; `sql` is the expression's text.
pub fn impossible(sql: &str, from: &DataType, to: &DataType) -> SparkError {
    let (from, to) = (quoted_sql_name(from), quoted_sql_name(to));
    SparkError::analysis(
        "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION",
        "42K09",
        format!("Cannot resolve \"{sql}\" due to data type mismatch: cannot cast {from} to {to}."),
    )
    .with("sqlExpr", format!("\"{sql}\""))
    .with("srcType", from)
    .with("targetType", to)
}
