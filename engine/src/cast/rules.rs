//! Which casts exist, and which can make a null of a value.

use datafusion::arrow::datatypes::{DataType, IntervalUnit};

use super::CastMode;
use crate::types::{is_fractional, is_integral, is_numeric, map_fields};

/// Whether some value of one type can become one of another. As Spark's `canAnsiCast`, `canTryCast` and `canCast`.
pub fn can_cast(from: &DataType, to: &DataType, mode: CastMode) -> bool {
    use DataType::{Binary, Boolean, Date32, Null, Timestamp, Utf8};
    let ansi = mode != CastMode::Legacy;
    match (from, to) {
        _ if from == to => true,
        (Null, _) | (_, Utf8) => true,
        (Utf8, Boolean | Date32 | Timestamp(..) | Binary) => true,
        (Utf8, _) => is_numeric(to),
        (Boolean, Timestamp(_, Some(_))) => !ansi,
        (Boolean, _) => is_numeric(to),
        (Date32, Timestamp(..)) => true,
        (Timestamp(..), Date32 | Timestamp(..)) => true,
        (Timestamp(_, Some(_)), Boolean) => false,
        (Timestamp(_, Some(_)), _) => is_numeric(to),
        (_, Timestamp(_, Some(_)) | Boolean) => is_numeric(from),
        (DataType::List(one), DataType::List(other)) => can_cast(one.data_type(), other.data_type(), mode),
        (DataType::Map(one, _), DataType::Map(other, _)) => match (map_fields(one), map_fields(other)) {
            (Some((key, value)), Some((to_key, to_value))) => {
                can_cast(key.data_type(), to_key.data_type(), mode)
                    && can_cast(value.data_type(), to_value.data_type(), mode)
            }
            _ => false,
        },
        (DataType::Struct(one), DataType::Struct(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(from, to)| can_cast(from.data_type(), to.data_type(), mode))
        }
        _ => is_numeric(from) && is_numeric(to),
    }
}

/// Whether the cast counts as nullable even over a column without nulls. As Spark's `Cast.forceNullable`.
pub fn force_nullable(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, Date32, Decimal128, Float32, Float64, Timestamp, Utf8};
    match (from, to) {
        _ if from == to => false,
        (Utf8, Binary) => false,
        (Utf8, _) => true,
        (_, Utf8) => false,
        (Float32 | Float64, Timestamp(..)) => true,
        (Timestamp(..), Date32) => false,
        (_, Date32) => true,
        (_, DataType::Interval(IntervalUnit::MonthDayNano)) => true,
        (_, Decimal128(..)) => !decimal_holds(from, to),
        (_, _) if is_fractional(to) || is_integral(to) => false,
        _ => false,
    }
}

/// Whether the decimal type holds every value of the other type.
fn decimal_holds(from: &DataType, to: &DataType) -> bool {
    let DataType::Decimal128(precision, scale) = to else { return false };
    let whole = i16::from(*precision) - i16::from(*scale);
    match from {
        DataType::Boolean => whole >= 1,
        DataType::Int8 => whole >= 3,
        DataType::Int16 => whole >= 5,
        DataType::Int32 => whole >= 10,
        DataType::Int64 => whole >= 20,
        DataType::Decimal128(own, own_scale) => whole >= i16::from(*own) - i16::from(*own_scale) && scale >= own_scale,
        _ => false,
    }
}
