//! Time functions by their Spark names.

use datafusion::arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

use super::arguments::scalar;
use super::kernel::call as kernel_call;
use super::registry::{Build, Built, Call, Function, Typed};
use super::time::{CurrentTimestamp, Time, TimeOperator};
use super::typed::{explicit_cast, implicit_cast};
use crate::cast::CastMode;
use crate::error::SparkError;
use crate::types::{is_integral, is_numeric, timestamp};

const fn row(name: &'static str, build: Build) -> Function {
    Function { name, build }
}

/// The pattern of `from_unixtime` and `unix_timestamp` without one.
const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

/// The rows of this family.
pub(super) static TABLE: &[Function] = &[
    row("to_timestamp", |call| to_timestamp(call, call.settings.cast_mode())),
    row("try_to_timestamp", |call| to_timestamp(call, CastMode::Try)),
    row("to_date", |call| to_date(call, call.settings.cast_mode())),
    row("try_to_date", |call| to_date(call, CastMode::Try)),
    row("from_unixtime", from_unixtime),
    row("unix_timestamp", unix_timestamp),
    row("to_unix_timestamp", unix_timestamp),
    row("date_format", date_format),
    row("current_timestamp", current_timestamp),
    row("now", current_timestamp),
    row("current_date", current_date),
    row("curdate", current_date),
    row("year", |call| of_date(call, TimeOperator::Year)),
    row("quarter", |call| of_date(call, TimeOperator::Quarter)),
    row("month", |call| of_date(call, TimeOperator::Month)),
    row("day", |call| of_date(call, TimeOperator::Day)),
    row("dayofmonth", |call| of_date(call, TimeOperator::Day)),
    row("dayofyear", |call| of_date(call, TimeOperator::DayOfYear)),
    row("dayofweek", |call| of_date(call, TimeOperator::DayOfWeek)),
    row("weekday", |call| of_date(call, TimeOperator::WeekDay)),
    row("weekofyear", |call| of_date(call, TimeOperator::WeekOfYear)),
    row("last_day", |call| of_date(call, TimeOperator::LastDay)),
    row("hour", |call| of_time(call, TimeOperator::Hour)),
    row("minute", |call| of_time(call, TimeOperator::Minute)),
    row("second", |call| of_time(call, TimeOperator::Second)),
    row("unix_seconds", |call| of_time(call, TimeOperator::ToSeconds)),
    row("unix_millis", |call| of_time(call, TimeOperator::ToMillis)),
    row("unix_micros", |call| of_time(call, TimeOperator::ToMicros)),
    row("timestamp_seconds", timestamp_seconds),
    row("timestamp_millis", |call| from_number(call, TimeOperator::FromMillis)),
    row("timestamp_micros", |call| from_number(call, TimeOperator::FromMicros)),
    row("date_trunc", date_trunc),
    row("trunc", trunc),
    row("datediff", date_difference),
    row("date_diff", date_difference),
    row("add_months", add_months),
];

fn built(call: &Call<'_>, operator: TimeOperator, arguments: Vec<Typed>, name: String) -> Result<Built, SparkError> {
    with_mode(call, operator, arguments, name, call.settings.cast_mode())
}

fn with_mode(
    call: &Call<'_>,
    operator: TimeOperator,
    arguments: Vec<Typed>,
    name: String,
    mode: CastMode,
) -> Result<Built, SparkError> {
    let kernel = Time { operator, ansi: mode == CastMode::Ansi, zone: call.settings.zone()? };
    let nullable = operator.makes_nulls() || arguments.iter().any(|argument| argument.nullable);
    scalar(kernel, arguments, operator.result(), nullable, name)
}

/// Without a pattern a cast; with one, strict reading.
fn to_timestamp(call: &Call<'_>, mode: CastMode) -> Result<Built, SparkError> {
    call.arity(1..=2)?;
    let name = call.pretty();
    let argument = call.args[0].clone();
    let text = matches!(argument.data_type, DataType::Utf8);
    if call.args.len() == 2 && text {
        return with_mode(call, TimeOperator::ReadTimestamp, vec![argument, call.text(1)?], name, mode);
    }
    Ok(Built::Scalar(explicit_cast(argument, &timestamp(), mode, call.settings)?.named(name)))
}

fn to_date(call: &Call<'_>, mode: CastMode) -> Result<Built, SparkError> {
    call.arity(1..=2)?;
    let name = call.pretty();
    let argument = call.args[0].clone();
    if call.args.len() == 2 && argument.data_type == DataType::Utf8 {
        return with_mode(call, TimeOperator::ReadDate, vec![argument, call.text(1)?], name, mode);
    }
    Ok(Built::Scalar(explicit_cast(argument, &DataType::Date32, mode, call.settings)?.named(name)))
}

/// An argument as a `bigint`: any number and text.
fn long(call: &Call<'_>, index: usize) -> Result<Typed, SparkError> {
    let data_type = &call.args[index].data_type;
    if is_numeric(data_type) || matches!(data_type, DataType::Utf8 | DataType::Null) {
        return call.coerced(index, &DataType::Int64);
    }
    Err(call.unexpected(index, "\"BIGINT\""))
}

fn pattern(call: &Call<'_>, index: usize) -> Result<Typed, SparkError> {
    if call.args.len() > index { call.text(index) } else { Ok(Typed::literal(ScalarValue::from(DEFAULT_PATTERN))) }
}

fn from_unixtime(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(1..=2)?;
    let defaults: &[&str] = if call.args.len() == 1 { &[DEFAULT_PATTERN] } else { &[] };
    let name = call.pretty_as("from_unixtime", defaults);
    built(call, TimeOperator::FormatSeconds, vec![long(call, 0)?, pattern(call, 1)?], name)
}

fn unix_timestamp(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(0..=2)?;
    if call.args.is_empty() {
        let name = format!("unix_timestamp(current_timestamp(), {DEFAULT_PATTERN})");
        return built(call, TimeOperator::ToSeconds, vec![clock()], name);
    }
    let defaults: &[&str] = if call.args.len() == 1 { &[DEFAULT_PATTERN] } else { &[] };
    let name = call.pretty_as(&call.lower_name(), defaults);
    match &call.args[0].data_type {
        DataType::Utf8 => built(call, TimeOperator::ReadSeconds, vec![call.text(0)?, pattern(call, 1)?], name),
        _ => built(call, TimeOperator::ToSeconds, vec![call.timestamp(0)?], name),
    }
}

fn date_format(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(2..=2)?;
    built(call, TimeOperator::Format, vec![call.timestamp(0)?, call.text(1)?], call.pretty())
}

fn clock() -> Typed {
    Typed::new(kernel_call(CurrentTimestamp::unset(), vec![]), timestamp(), false, "current_timestamp()")
}

fn current_timestamp(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(0..=0)?;
    Ok(Built::Scalar(clock().named(call.pretty())))
}

fn current_date(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(0..=0)?;
    let today = implicit_cast(clock(), &DataType::Date32, call.settings)?;
    Ok(Built::Scalar(today.named(call.pretty_as("current_date", &[]))))
}

fn of_date(call: &Call<'_>, operator: TimeOperator) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    built(call, operator, vec![call.date(0)?], call.pretty())
}

fn of_time(call: &Call<'_>, operator: TimeOperator) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    let argument = match &call.args[0].data_type {
        // A wall-clock time has its hour in no zone.
        DataType::Timestamp(_, None) => {
            let utc = super::registry::ExprSettings { time_zone: "UTC".to_owned(), ansi: call.settings.ansi };
            let argument = implicit_cast(call.args[0].clone(), &timestamp(), &utc)?;
            let kernel = Time { operator, ansi: utc.ansi, zone: crate::types::Zone::utc() };
            let nullable = argument.nullable;
            return scalar(kernel, vec![argument], operator.result(), nullable, call.pretty());
        }
        _ => call.timestamp(0)?,
    };
    built(call, operator, vec![argument], call.pretty())
}

fn timestamp_seconds(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    let argument = call.args[0].clone();
    if !is_numeric(&argument.data_type) && argument.data_type != DataType::Null {
        return Err(call.unexpected(0, "\"NUMERIC\""));
    }
    Ok(Built::Scalar(implicit_cast(argument, &timestamp(), call.settings)?.named(call.pretty())))
}

fn from_number(call: &Call<'_>, operator: TimeOperator) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    let data_type = &call.args[0].data_type;
    if !is_integral(data_type) && data_type != &DataType::Null {
        return Err(call.unexpected(0, "\"INTEGRAL\""));
    }
    built(call, operator, vec![call.coerced(0, &DataType::Int64)?], call.pretty())
}

fn date_trunc(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(2..=2)?;
    built(call, TimeOperator::Truncate, vec![call.text(0)?, call.timestamp(1)?], call.pretty())
}

/// `trunc(date, unit)`: the units below a week give null, as in Spark.
fn trunc(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(2..=2)?;
    let unit = call.text(1)?;
    let known = ["week", "month", "mon", "mm", "quarter", "year", "yyyy", "yy"];
    let unit = match unit.literal_text() {
        Some(text) if !known.contains(&text.to_ascii_lowercase().as_str()) => Typed::literal(ScalarValue::Utf8(None)),
        _ => unit,
    };
    let date = implicit_cast(call.date(0)?, &timestamp(), call.settings)?;
    match built(call, TimeOperator::Truncate, vec![unit, date], call.pretty())? {
        Built::Scalar(typed) => Ok(Built::Scalar(implicit_cast(typed, &DataType::Date32, call.settings)?)),
        other => Ok(other),
    }
}

fn date_difference(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(2..=2)?;
    built(call, TimeOperator::DateDifference, vec![call.date(0)?, call.date(1)?], call.pretty())
}

fn add_months(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(2..=2)?;
    built(call, TimeOperator::AddMonths, vec![call.date(0)?, call.int(1)?], call.pretty())
}
