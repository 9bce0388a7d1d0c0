//! Aggregates and the event-time window by their Spark names.

use datafusion::arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

use super::coercion::is_orderable;
use super::interval::parse_interval;
use super::registry::{AggregateCall, AggregateKind, Build, Built, Call, Function, TimeWindow, Typed};
use crate::error::{ExceptionKind, SparkError};
use crate::types::{average_of_decimals, is_integral, is_numeric};

const fn row(name: &'static str, build: Build) -> Function {
    Function { name, build }
}

/// The rows of this family.
pub(super) static TABLE: &[Function] = &[
    row("count", count),
    row("sum", sum),
    row("avg", average),
    row("mean", average),
    row("min", |call| extreme(call, AggregateKind::Min)),
    row("max", |call| extreme(call, AggregateKind::Max)),
    row("window", window),
];

fn aggregate(
    call: &Call<'_>,
    kind: AggregateKind,
    argument: Typed,
    data_type: DataType,
    nullable: bool,
) -> Result<Built, SparkError> {
    if call.distinct && matches!(kind, AggregateKind::Count | AggregateKind::Sum | AggregateKind::Avg) {
        return Err(SparkError::unsupported(format!("`{}(DISTINCT ..)`", call.lower_name())));
    }
    Ok(Built::Aggregate(AggregateCall { kind, args: vec![argument], data_type, nullable, name: call.pretty() }))
}

/// `count(*)` comes as `count(1)`, which counts every row.
fn count(call: &Call<'_>) -> Result<Built, SparkError> {
    match call.args.len() {
        1 => aggregate(call, AggregateKind::Count, call.args[0].clone(), DataType::Int64, false),
        0 => Err(count_of_nothing()),
        _ => Err(SparkError::unsupported("`count` of several expressions")),
    }
}

fn count_of_nothing() -> SparkError {
    let message = "The `count` requires >= 1 parameters but the actual number is 0. If you have to call this function \
                   with 0 parameters, set the legacy configuration \"spark.sql.legacy.allowParameterlessCount\" to \
                   \"true\".";
    SparkError::analysis("WRONG_NUM_ARGS.WITH_SUGGESTION", "42605", message)
        .with("functionName", "`count`")
        .with("expectedNum", ">= 1")
        .with("actualNum", 0)
        .with("legacyConfKey", "\"spark.sql.legacy.allowParameterlessCount\"")
        .with("legacyConfValue", "\"true\"")
}

/// The argument in the type that sums take: integers as `bigint`, floats and text as `double`, decimals as they are.
fn summable(call: &Call<'_>) -> Result<Typed, SparkError> {
    call.arity(1..=1)?;
    match &call.args[0].data_type {
        DataType::Decimal128(..) => Ok(call.args[0].clone()),
        data_type if is_integral(data_type) => call.coerced(0, &DataType::Int64),
        data_type if is_numeric(data_type) || matches!(data_type, DataType::Utf8 | DataType::Null) => {
            call.coerced(0, &DataType::Float64)
        }
        DataType::Duration(_) | DataType::Interval(_) => {
            Err(SparkError::unsupported(format!("`{}` of an interval", call.lower_name())))
        }
        _ => Err(call.unexpected(0, "\"NUMERIC\" or \"ANSI INTERVAL\"")),
    }
}

fn sum(call: &Call<'_>) -> Result<Built, SparkError> {
    let argument = summable(call)?;
    let data_type = match &argument.data_type {
        DataType::Decimal128(precision, scale) => crate::types::decimal(precision.saturating_add(10), *scale),
        other => other.clone(),
    };
    aggregate(call, AggregateKind::Sum, argument, data_type, true)
}

fn average(call: &Call<'_>) -> Result<Built, SparkError> {
    let argument = summable(call)?;
    let data_type = match &argument.data_type {
        DataType::Decimal128(precision, scale) => average_of_decimals(*precision, *scale),
        _ => DataType::Float64,
    };
    let argument = match argument.data_type {
        DataType::Int64 => super::typed::implicit_cast(argument, &DataType::Float64, call.settings)?,
        _ => argument,
    };
    aggregate(call, AggregateKind::Avg, argument, data_type, true)
}

fn extreme(call: &Call<'_>, kind: AggregateKind) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    let argument = call.args[0].clone();
    if !is_orderable(&argument.data_type) {
        return Err(call.mismatch(
            "INVALID_ORDERING_TYPE",
            format!(
                "The `{}` does not support ordering on type {}.",
                call.lower_name(),
                crate::types::quoted_sql_name(&argument.data_type)
            ),
        ));
    }
    let data_type = argument.data_type.clone();
    aggregate(call, kind, argument, data_type, true)
}

/// `window(time, size[, slide[, start]])`. Without a slide it tumbles.
fn window(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(2..=4)?;
    let size_us = duration(call, 1)?;
    let slide_us = if call.args.len() > 2 { duration(call, 2)? } else { size_us };
    let start_us = if call.args.len() > 3 { duration(call, 3)? } else { 0 };
    let positive = |value: i64, what: &str| {
        if value > 0 {
            return Ok(());
        }
        Err(call.mismatch(
            "VALUE_OUT_OF_RANGE",
            format!("The `{what}` must be between (0, 9223372036854775807] (current value = {value}L)."),
        ))
    };
    positive(size_us, "window_duration")?;
    positive(slide_us, "slide_duration")?;
    let violated = |left: &str, sign: &str, right: &str| {
        call.mismatch("PARAMETER_CONSTRAINT_VIOLATION", format!("The {left} must be {sign} the {right}."))
    };
    let size_text = format!("`window_duration`({size_us}L)");
    let slide_text = format!("`slide_duration`({slide_us}L)");
    if slide_us > size_us {
        return Err(violated(&slide_text, "<=", &size_text));
    }
    if start_us.unsigned_abs() >= slide_us.unsigned_abs() {
        return Err(violated(&format!("abs(`start_time`)({}L)", start_us.unsigned_abs()), "<", &slide_text));
    }
    let time = match &call.args[0].data_type {
        DataType::Timestamp(..) => call.args[0].clone(),
        _ => call.timestamp(0)?,
    };
    Ok(Built::TimeWindow(TimeWindow { time, size_us, slide_us, start_us, name: "window".to_owned() }))
}

/// A duration of a window: text, an interval literal, or a number of microseconds.
fn duration(call: &Call<'_>, index: usize) -> Result<i64, SparkError> {
    let argument = &call.args[index];
    match &argument.literal {
        Some(ScalarValue::Utf8(Some(text))) => parse_interval(text)?.fixed_micros(text),
        Some(ScalarValue::DurationMicrosecond(Some(micros))) => Ok(*micros),
        Some(ScalarValue::IntervalMonthDayNano(Some(interval))) => {
            let parts = super::interval::CalendarInterval {
                months: i64::from(interval.months),
                days: i64::from(interval.days),
                micros: interval.nanoseconds / 1000,
            };
            parts.fixed_micros(&argument.name)
        }
        _ => argument.literal_integer().ok_or_else(|| {
            SparkError::new(
                ExceptionKind::Analysis,
                "_LEGACY_ERROR_TEMP_1151",
                "",
                format!(
                    "The duration and time inputs to window must be an integer, long or string literal, not \"{}\".",
                    argument.name
                ),
            )
        }),
    }
}
