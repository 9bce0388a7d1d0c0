//! Casts from strings and binary.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBuilder, PrimitiveArray, PrimitiveBuilder,
    StringArray, StringBuilder, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use datafusion::common::Result;

use super::hexadecimal::{FLOAT, parse_hexadecimal};
use super::number_text::{DecimalText, parse_boolean, parse_decimal, parse_double, parse_integer, trim_all};
use super::time_text::{parse_date, parse_timestamp, parse_timestamp_ntz};
use super::{CastMode, errors};
use crate::types::Zone;

/// Reads each string; what `parse` refuses is an error in ANSI mode, null otherwise.
fn parse_each<T: ArrowPrimitiveType>(
    array: &StringArray,
    to: &DataType,
    mode: CastMode,
    parse: impl Fn(&str) -> Option<T::Native>,
) -> Result<PrimitiveArray<T>> {
    let mut builder = PrimitiveBuilder::<T>::with_capacity(array.len());
    for text in array {
        let Some(text) = text else {
            builder.append_null();
            continue;
        };
        let value = parse(text);
        if value.is_none() && mode == CastMode::Ansi {
            return Err(errors::invalid_input(&errors::quoted(text), &DataType::Utf8, to).into());
        }
        builder.append_option(value);
    }
    Ok(builder.finish())
}

/// Casts strings to any type that can be read from text.
pub(super) fn cast_text(array: &StringArray, to: &DataType, mode: CastMode, zone: &Zone) -> Result<ArrayRef> {
    let legacy = mode == CastMode::Legacy;
    let integer = |text: &str| parse_integer(text, legacy);
    Ok(match to {
        DataType::Boolean => Arc::new(booleans(array, mode)?),
        DataType::Int8 => Arc::new(parse_each::<Int8Type>(array, to, mode, |text| i8::try_from(integer(text)?).ok())?),
        DataType::Int16 => {
            Arc::new(parse_each::<Int16Type>(array, to, mode, |text| i16::try_from(integer(text)?).ok())?)
        }
        DataType::Int32 => {
            Arc::new(parse_each::<Int32Type>(array, to, mode, |text| i32::try_from(integer(text)?).ok())?)
        }
        DataType::Int64 => Arc::new(parse_each::<Int64Type>(array, to, mode, integer)?),
        DataType::Float32 => {
            // Read as a float at once: through a double would round twice.
            let float = |text: &str| match parse_double(text)? {
                value if value.is_finite() => {
                    let number = trim_all(text).trim_end_matches(['d', 'D', 'f', 'F']);
                    number.parse::<f32>().ok().or_else(|| parse_hexadecimal(number, &FLOAT).map(|value| value as f32))
                }
                value => Some(value as f32),
            };
            Arc::new(parse_each::<Float32Type>(array, to, mode, float)?)
        }
        DataType::Float64 => Arc::new(parse_each::<Float64Type>(array, to, mode, parse_double)?),
        DataType::Decimal128(precision, scale) => Arc::new(decimals(array, *precision, *scale, to, mode)?),
        DataType::Date32 => Arc::new(parse_each::<Date32Type>(array, to, mode, parse_date)?),
        DataType::Timestamp(_, None) => {
            Arc::new(parse_each::<TimestampMicrosecondType>(array, to, mode, parse_timestamp_ntz)?)
        }
        DataType::Timestamp(_, Some(_)) => {
            let micros: TimestampMicrosecondArray =
                parse_each::<TimestampMicrosecondType>(array, to, mode, |text| parse_timestamp(text, zone))?;
            Arc::new(micros.with_timezone("UTC"))
        }
        DataType::Binary => Arc::new(BinaryArray::from(array.clone())),
        _ => return Err(errors::impossible("CAST", &DataType::Utf8, to).into()),
    })
}

fn booleans(array: &StringArray, mode: CastMode) -> Result<BooleanArray> {
    let mut builder = BooleanBuilder::with_capacity(array.len());
    for text in array {
        let value = text.and_then(parse_boolean);
        if let (Some(text), None, CastMode::Ansi) = (text, value, mode) {
            return Err(errors::invalid_input(&errors::quoted(text), &DataType::Utf8, &DataType::Boolean).into());
        }
        builder.append_option(value);
    }
    Ok(builder.finish())
}

fn decimals(
    array: &StringArray,
    precision: u8,
    scale: i8,
    to: &DataType,
    mode: CastMode,
) -> Result<PrimitiveArray<Decimal128Type>> {
    let mut builder = PrimitiveBuilder::<Decimal128Type>::with_capacity(array.len());
    for text in array {
        match text.map(|text| (text, parse_decimal(text, precision, scale))) {
            Some((_, DecimalText::Value(value))) => builder.append_value(value),
            Some((text, DecimalText::Malformed)) if mode == CastMode::Ansi => {
                return Err(errors::invalid_input(&errors::quoted(text), &DataType::Utf8, to).into());
            }
            Some((text, DecimalText::OutOfRange)) if mode == CastMode::Ansi => {
                return Err(errors::out_of_range(trim_all(text), precision, scale).into());
            }
            Some((_, DecimalText::Malformed | DecimalText::OutOfRange)) | None => builder.append_null(),
        }
    }
    Ok(builder.finish().with_precision_and_scale(precision, scale)?)
}

/// Binary as strings. Valid text, the normal case, keeps its buffers and costs one check; other bytes are replaced.
pub(super) fn binary_to_text(array: &BinaryArray) -> Result<StringArray> {
    let (offsets, values, nulls) = (array.offsets().clone(), array.values().clone(), array.nulls().cloned());
    // The quick check first, since Arrow's own says no only after building an error.
    if simdutf8::basic::from_utf8(used(array)).is_ok()
        && let Ok(text) = StringArray::try_new(offsets, values, nulls)
    {
        return Ok(text);
    }
    let mut builder = StringBuilder::with_capacity(array.len(), used(array).len());
    for bytes in array {
        builder.append_option(bytes.map(String::from_utf8_lossy));
    }
    Ok(builder.finish())
}

/// The bytes between the first and the last offset.
fn used(array: &BinaryArray) -> &[u8] {
    let offsets = array.value_offsets();
    let bound = |offset: Option<&i32>| usize::try_from(*offset.unwrap_or(&0)).expect("offsets are not negative");
    &array.value_data()[bound(offsets.first())..bound(offsets.last())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_binary_keeps_its_buffer() {
        let binary = BinaryArray::from(vec![Some(&b"abc"[..]), None, Some("h\u{e9}".as_bytes())]);
        let text = binary_to_text(&binary).unwrap();
        assert_eq!(text.values().as_ptr(), binary.values().as_ptr());
        assert_eq!(text.iter().collect::<Vec<_>>(), [Some("abc"), None, Some("h\u{e9}")]);
    }

    #[test]
    fn invalid_bytes_are_replaced() {
        let binary = BinaryArray::from(vec![&b"a\xffb"[..], &b"ok"[..]]);
        let text = binary_to_text(&binary).unwrap();
        assert_eq!(text.value(0), "a\u{fffd}b");
        assert_eq!(text.value(1), "ok");
        // Two halves of one character are not text, though the whole buffer is.
        let halves = BinaryArray::from(vec![&b"\xc3"[..], &b"\xa9"[..]]);
        assert_eq!(binary_to_text(&halves).unwrap().value(0), "\u{fffd}");
    }
}
