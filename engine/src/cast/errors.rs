//! The errors of a cast, in Spark's words.

use datafusion::arrow::datatypes::DataType;

use super::CastMode;
use crate::error::{ExceptionKind, SparkError};
use crate::types::{is_integral, is_numeric, quoted_sql_name};

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

/// A sum or product that 64 bits cannot hold, whatever the mode is.
pub fn long_overflow() -> SparkError {
    runtime("ARITHMETIC_OVERFLOW", "22003", "long overflow".to_owned())
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
    refused(sql, from, to, "CAST_WITHOUT_SUGGESTION", ".")
}

/// A cast that the mode does not have, with Spark's advice where it has some.
pub fn refused_in(sql: &str, from: &DataType, to: &DataType, mode: CastMode) -> SparkError {
    let function = match (from, to) {
        _ if mode == CastMode::Legacy => None,
        (_, DataType::Date32) if is_numeric(from) => Some("DATE_FROM_UNIX_DATE"),
        (DataType::Date32, _) if is_numeric(to) => Some("UNIX_DATE"),
        _ => None,
    };
    if let Some(function) = function {
        let advice = format!(
            ". To convert values from {} to {}, you can use the functions `{function}` instead.",
            quoted_sql_name(from),
            quoted_sql_name(to)
        );
        return refused(sql, from, to, "CAST_WITH_FUNC_SUGGESTION", &advice)
            .with("functionNames", format!("`{function}`"));
    }
    if mode == CastMode::Ansi && legacy_only(from, to) {
        let advice = format!(
            " with ANSI mode on. If you have to cast {} to {}, you can set \"spark.sql.ansi.enabled\" as 'false'.",
            quoted_sql_name(from),
            quoted_sql_name(to)
        );
        return refused(sql, from, to, "CAST_WITH_CONF_SUGGESTION", &advice)
            .with("config", "\"spark.sql.ansi.enabled\"")
            .with("configVal", "'false'");
    }
    impossible(sql, from, to)
}

/// Casts that Spark has only with ANSI mode off.
fn legacy_only(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, Boolean, Date32, Timestamp};
    match (from, to) {
        (Boolean, Timestamp(_, Some(_))) | (Date32 | Timestamp(_, Some(_)), Boolean) => true,
        (_, Binary) => is_integral(from),
        _ => false,
    }
}

fn refused(sql: &str, from: &DataType, to: &DataType, sub_class: &str, advice: &str) -> SparkError {
    let (from, to) = (quoted_sql_name(from), quoted_sql_name(to));
    SparkError::analysis(
        &format!("DATATYPE_MISMATCH.{sub_class}"),
        "42K09",
        format!("Cannot resolve \"{sql}\" due to data type mismatch: cannot cast {from} to {to}{advice}"),
    )
    .with("sqlExpr", format!("\"{sql}\""))
    .with("srcType", from)
    .with("targetType", to)
}
