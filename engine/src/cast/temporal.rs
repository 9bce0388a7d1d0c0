//! Casts among dates, timestamps and numbers.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, PrimitiveArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use datafusion::common::Result;

use super::number::{cast_number, map_values, power_of_ten};
use super::{CastMode, errors, number_text};
use crate::error::SparkError;
use crate::types::{MICROS_PER_DAY, MICROS_PER_SECOND, Zone, timestamp};

/// The decimal that holds every timestamp's seconds, before it takes the scale that is asked for.
const SECONDS_PRECISION: u8 = 38;

/// Casts a date or timestamp to another type than text.
pub(super) fn cast_from(array: &ArrayRef, to: &DataType, mode: CastMode, zone: &Zone) -> Result<ArrayRef> {
    match (array.data_type(), to) {
        (DataType::Date32, DataType::Timestamp(_, with_zone)) => {
            let days = array.as_primitive::<Date32Type>();
            let zoned = with_zone.is_some();
            let micros = days.try_unary::<_, TimestampMicrosecondType, _>(|days| {
                let local = i64::from(days).checked_mul(MICROS_PER_DAY).ok_or_else(errors::long_overflow)?;
                Ok::<_, SparkError>(if zoned { zone.to_utc(local) } else { local })
            })?;
            Ok(finish(micros, zoned))
        }
        (DataType::Timestamp(_, with_zone), DataType::Date32) => {
            let zoned = with_zone.is_some();
            let days = array.as_primitive::<TimestampMicrosecondType>().unary::<_, Date32Type>(|micros| {
                let local = if zoned { zone.to_local(micros) } else { micros };
                i32::try_from(local.div_euclid(MICROS_PER_DAY)).expect("microseconds in 64 bits span fewer days")
            });
            Ok(Arc::new(days))
        }
        (DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, None)) => {
            Ok(finish(micros(array).unary(|micros| zone.to_local(micros)), false))
        }
        (DataType::Timestamp(_, None), DataType::Timestamp(_, Some(_))) => {
            Ok(finish(micros(array).unary(|local| zone.to_utc(local)), true))
        }
        (_, DataType::Float32 | DataType::Float64) => {
            let seconds: Float64Array =
                micros(array).unary::<_, Float64Type>(|micros| micros as f64 / MICROS_PER_SECOND as f64);
            Ok(compute::cast(&seconds, to)?)
        }
        (_, DataType::Decimal128(..)) => {
            let seconds: Decimal128Array = micros(array).unary::<_, Decimal128Type>(i128::from);
            let seconds: ArrayRef = Arc::new(seconds.with_precision_and_scale(SECONDS_PRECISION, 6)?);
            cast_number(&seconds, to, mode)
        }
        _ => seconds_to_integer(array, to, mode),
    }
}

fn seconds_to_integer(array: &ArrayRef, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    let seconds: Int64Array = micros(array).unary::<_, Int64Type>(|micros| micros.div_euclid(MICROS_PER_SECOND));
    let seconds: ArrayRef = Arc::new(seconds);
    if to == &DataType::Int64 {
        return Ok(seconds);
    }
    cast_number(&seconds, to, mode)
}

/// Casts numbers and booleans to timestamps: seconds since the epoch.
pub(super) fn cast_to_timestamp(array: &ArrayRef, mode: CastMode) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Float32 | DataType::Float64 => {
            let from = array.data_type().clone();
            let doubles = compute::cast(array, &DataType::Float64)?;
            // As Spark: out of range is an error in ANSI mode, the nearest end without.
            let range = i64::MIN as f64..=i64::MAX as f64;
            let convert = |seconds: f64| {
                let micros = seconds * MICROS_PER_SECOND as f64;
                let is_kept = seconds.is_finite() && (mode == CastMode::Legacy || range.contains(&micros));
                is_kept.then_some(micros as i64)
            };
            let error = |seconds: f64| {
                let text = |number: f64| format!("{}D", number_text::double_to_string(number));
                if seconds.is_finite() {
                    let micros = seconds * MICROS_PER_SECOND as f64;
                    return errors::overflow(&text(micros), &DataType::Float64, &DataType::Int64);
                }
                errors::invalid_input(&text(seconds), &from, &timestamp())
            };
            let micros =
                map_values::<Float64Type, TimestampMicrosecondType>(doubles.as_primitive(), mode, convert, error)?;
            Ok(finish(micros, true))
        }
        DataType::Decimal128(_, scale) => {
            let divisor = power_of_ten(*scale);
            let array = array.as_primitive::<Decimal128Type>();
            let micros = array.unary::<_, TimestampMicrosecondType>(|value| {
                let micros = value.saturating_mul(i128::from(MICROS_PER_SECOND)) / divisor;
                micros as i64
            });
            Ok(finish(micros, true))
        }
        _ => {
            let seconds = compute::cast(array, &DataType::Int64)?;
            let micros = seconds
                .as_primitive::<Int64Type>()
                .unary::<_, TimestampMicrosecondType>(|seconds| seconds.saturating_mul(MICROS_PER_SECOND));
            Ok(finish(micros, true))
        }
    }
}

fn micros(array: &ArrayRef) -> &TimestampMicrosecondArray {
    array.as_primitive::<TimestampMicrosecondType>()
}

fn finish(micros: PrimitiveArray<TimestampMicrosecondType>, zoned: bool) -> ArrayRef {
    if zoned { Arc::new(micros.with_timezone("UTC")) } else { Arc::new(micros) }
}
