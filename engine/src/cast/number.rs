//! Casts among numbers and booleans.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Float64Array, PrimitiveArray,
};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::common::Result;

use super::CastMode;
use super::errors;
use super::number_text::{DecimalText, double_to_string, fits, parse_decimal, write_decimal};
use crate::error::SparkError;

/// Maps a column value by value: what `convert` refuses is an error in ANSI mode, null otherwise.
pub(super) fn map_values<A, B>(
    array: &PrimitiveArray<A>,
    mode: CastMode,
    convert: impl Fn(A::Native) -> Option<B::Native>,
    error: impl Fn(A::Native) -> SparkError,
) -> Result<PrimitiveArray<B>>
where
    A: ArrowPrimitiveType,
    B: ArrowPrimitiveType,
{
    match mode {
        CastMode::Ansi => Ok(array.try_unary(|value| convert(value).ok_or_else(|| error(value)))?),
        CastMode::Try | CastMode::Legacy => Ok(array.unary_opt(convert)),
    }
}

/// An integer type of Spark's.
trait Integer: ArrowPrimitiveType {
    /// The low bits, as Java's narrowing.
    fn wrap(value: i64) -> Self::Native;
    fn narrow(value: i64) -> Option<Self::Native>;
    fn widen(value: Self::Native) -> i64;
    /// The ending of a literal of the type in SQL.
    const SUFFIX: &'static str;
}

macro_rules! integer {
    ($arrow:ty, $native:ty, $suffix:literal) => {
        impl Integer for $arrow {
            fn wrap(value: i64) -> $native {
                value as $native
            }
            fn narrow(value: i64) -> Option<$native> {
                <$native>::try_from(value).ok()
            }
            fn widen(value: $native) -> i64 {
                i64::from(value)
            }
            const SUFFIX: &'static str = $suffix;
        }
    };
}

integer!(Int8Type, i8, "Y");
integer!(Int16Type, i16, "S");
integer!(Int32Type, i32, "");
integer!(Int64Type, i64, "L");

/// Calls a generic function with the integer type that a data type stands for; panics on another, which the callers'
/// match excludes.
macro_rules! with_integer {
    ($data_type:expr, $function:ident[$($given:ident)?]($($argument:expr),*)) => {
        match $data_type {
            DataType::Int8 => $function::<$($given,)? Int8Type>($($argument),*),
            DataType::Int16 => $function::<$($given,)? Int16Type>($($argument),*),
            DataType::Int32 => $function::<$($given,)? Int32Type>($($argument),*),
            _ => $function::<$($given,)? Int64Type>($($argument),*),
        }
    };
}

/// Casts between two different numeric types, booleans among them.
pub(super) fn cast_number(array: &ArrayRef, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    use DataType::{Boolean, Decimal128, Float32, Float64};
    let from = array.data_type();
    match (from, to) {
        (Boolean, Decimal128(..)) => cast_number(&compute::cast(array, &DataType::Int32)?, to, mode),
        (Boolean, _) => Ok(compute::cast(array, to)?),
        (_, Boolean) => to_boolean(array),
        (Float32 | Float64, Float32 | Float64) => Ok(compute::cast(array, to)?),
        (Float32 | Float64, Decimal128(..)) => float_to_decimal(array, to, mode),
        (Float32 | Float64, _) => with_integer!(to, float_to_integer[](array, to, mode)),
        (Decimal128(..), Decimal128(..)) => decimal_to_decimal(array, to, mode),
        (Decimal128(_, scale), Float32 | Float64) => decimal_to_float(array, *scale, to),
        (Decimal128(_, scale), _) => with_integer!(to, decimal_to_integer[](array, *scale, to, mode)),
        (_, Float32 | Float64) => Ok(compute::cast(array, to)?),
        (_, Decimal128(..)) => with_integer!(from, integer_to_decimal[](array, to, mode)),
        _ => with_integer!(from, from_integer[](array, to, mode)),
    }
}

fn from_integer<A: Integer>(array: &ArrayRef, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    with_integer!(to, integer_to_integer[A](array, to, mode))
}

fn integer_to_integer<A: Integer, B: Integer>(array: &ArrayRef, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    let from = array.data_type();
    let array = array.as_primitive::<A>();
    if mode == CastMode::Legacy {
        return Ok(Arc::new(array.unary::<_, B>(|value| B::wrap(A::widen(value)))));
    }
    let error = |value| errors::overflow(&format!("{}{}", A::widen(value), A::SUFFIX), from, to);
    Ok(Arc::new(map_values::<A, B>(array, mode, |value| B::narrow(A::widen(value)), error)?))
}

fn float_to_integer<B: Integer>(array: &ArrayRef, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    let from = array.data_type().clone();
    let doubles = compute::cast(array, &DataType::Float64)?;
    let doubles = doubles.as_primitive::<Float64Type>();
    if mode == CastMode::Legacy {
        // As Java: through int for the small types, saturating, NaN to zero.
        let narrow = |value: f64| match to {
            DataType::Int64 => B::wrap(value as i64),
            _ => B::wrap(i64::from(value as i32)),
        };
        return Ok(Arc::new(doubles.unary::<_, B>(narrow)));
    }
    let convert = |value: f64| {
        // Exact bounds: 2^63 is a double, and every double below it in whole numbers is a bigint.
        let whole = value.trunc();
        let in_range = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&whole);
        if in_range { B::narrow(whole as i64) } else { None }
    };
    let suffix = if from == DataType::Float32 { "" } else { "D" };
    let error = |value: f64| {
        let mut text = double_to_string(value);
        if from == DataType::Float32 {
            text.clear();
            super::number_text::write_float(&mut text, value as f32);
        }
        errors::overflow(&format!("{text}{suffix}"), &from, to)
    };
    Ok(Arc::new(map_values::<Float64Type, B>(doubles, mode, convert, error)?))
}

fn decimal_to_integer<B: Integer>(array: &ArrayRef, scale: i8, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    let from = array.data_type();
    let divisor = power_of_ten(scale);
    let array = array.as_primitive::<Decimal128Type>();
    if mode == CastMode::Legacy {
        return Ok(Arc::new(array.unary::<_, B>(|value| B::wrap((value / divisor) as i64))));
    }
    let convert = |value: i128| i64::try_from(value / divisor).ok().and_then(B::narrow);
    let error = |value: i128| errors::overflow(&format!("{}BD", decimal_text(value, scale)), from, to);
    Ok(Arc::new(map_values::<Decimal128Type, B>(array, mode, convert, error)?))
}

fn decimal_text(value: i128, scale: i8) -> String {
    let mut text = String::new();
    write_decimal(&mut text, value, scale);
    text
}

fn decimal_to_float(array: &ArrayRef, scale: i8, to: &DataType) -> Result<ArrayRef> {
    const EXACT_INTEGER_MAX: u128 = 1 << 53;
    const EXACT_SCALE_MAX: i8 = 22;
    let array = array.as_primitive::<Decimal128Type>();
    let divisor = power_of_ten(scale) as f64;
    let convert = |value: i128| {
        if value.unsigned_abs() <= EXACT_INTEGER_MAX && scale <= EXACT_SCALE_MAX {
            return value as f64 / divisor;
        }
        decimal_text(value, scale).parse().unwrap_or(f64::NAN)
    };
    Ok(match to {
        DataType::Float32 => {
            Arc::new(array.unary::<_, Float32Type>(|value| decimal_text(value, scale).parse().unwrap_or(f32::NAN)))
        }
        _ => Arc::new(array.unary::<_, Float64Type>(convert)),
    })
}

fn decimal_parts(data_type: &DataType) -> (u8, i8) {
    match data_type {
        DataType::Decimal128(precision, scale) => (*precision, *scale),
        _ => (crate::types::DECIMAL_PRECISION_MAX, 0),
    }
}

fn integer_to_decimal<A: Integer>(array: &ArrayRef, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    let (precision, scale) = decimal_parts(to);
    let factor = power_of_ten(scale);
    let array = array.as_primitive::<A>();
    let convert = |value| i128::from(A::widen(value)).checked_mul(factor).filter(|value| fits(*value, precision));
    let error = |value| errors::out_of_range(&A::widen(value).to_string(), precision, scale);
    let cast = map_values::<A, Decimal128Type>(array, mode, convert, error)?;
    Ok(Arc::new(cast.with_precision_and_scale(precision, scale)?))
}

/// By the text of a double, of a float too. As Spark: what is no number becomes null in every mode.
fn float_to_decimal(array: &ArrayRef, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    let (precision, scale) = decimal_parts(to);
    let doubles = compute::cast(array, &DataType::Float64)?;
    let doubles: Float64Array =
        doubles.as_primitive::<Float64Type>().unary_opt(|value| value.is_finite().then_some(value));
    let convert = |value: f64| match parse_decimal(&double_to_string(value), precision, scale) {
        DecimalText::Value(value) => Some(value),
        DecimalText::Malformed | DecimalText::OutOfRange => None,
    };
    let error = |value: f64| errors::out_of_range(&double_to_string(value), precision, scale);
    let cast = map_values::<Float64Type, Decimal128Type>(&doubles, mode, convert, error)?;
    Ok(Arc::new(cast.with_precision_and_scale(precision, scale)?))
}

fn decimal_to_decimal(array: &ArrayRef, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    let (_, from_scale) = decimal_parts(array.data_type());
    let (precision, scale) = decimal_parts(to);
    let array = array.as_primitive::<Decimal128Type>();
    let convert = |value: i128| rescale(value, from_scale, scale).filter(|value| fits(*value, precision));
    let error = |value: i128| errors::out_of_range(&decimal_text(value, from_scale), precision, scale);
    let cast = map_values::<Decimal128Type, Decimal128Type>(array, mode, convert, error)?;
    Ok(Arc::new(cast.with_precision_and_scale(precision, scale)?))
}

/// The unscaled value at another scale, rounded half up (away from zero); none if it overflows.
pub fn rescale(value: i128, from: i8, to: i8) -> Option<i128> {
    if to >= from {
        return value.checked_mul(10i128.checked_pow(u32::from((to - from).unsigned_abs()))?);
    }
    let divisor = 10i128.checked_pow(u32::from((from - to).unsigned_abs()))?;
    let (quotient, rest) = (value / divisor, value % divisor);
    let up = rest.unsigned_abs() >= (divisor / 2).unsigned_abs();
    Some(if up { quotient + value.signum() } else { quotient })
}

/// Ten to the scale; scales are at most 38.
pub(super) fn power_of_ten(scale: i8) -> i128 {
    10i128.pow(u32::from(scale.max(0).unsigned_abs()))
}

fn to_boolean(array: &ArrayRef) -> Result<ArrayRef> {
    fn non_zero<A: ArrowPrimitiveType>(array: &ArrayRef) -> ArrayRef {
        let array = array.as_primitive::<A>();
        let values = array.values().iter().map(|value| *value != A::Native::default()).collect();
        Arc::new(BooleanArray::new(values, array.nulls().cloned()))
    }
    // Java compares with zero, so NaN is true and both zeros are false.
    fn float(array: &ArrayRef) -> Result<ArrayRef> {
        let doubles = compute::cast(array, &DataType::Float64)?;
        let doubles = doubles.as_primitive::<Float64Type>();
        let values = doubles.values().iter().map(|value| *value != 0.0).collect();
        Ok(Arc::new(BooleanArray::new(values, doubles.nulls().cloned())))
    }
    Ok(match array.data_type() {
        DataType::Int8 => non_zero::<Int8Type>(array),
        DataType::Int16 => non_zero::<Int16Type>(array),
        DataType::Int32 => non_zero::<Int32Type>(array),
        DataType::Int64 => non_zero::<Int64Type>(array),
        DataType::Decimal128(..) => non_zero::<Decimal128Type>(array),
        _ => float(array)?,
    })
}
