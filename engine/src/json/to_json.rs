//! `to_json`: structs, arrays and maps as JSON text, as Spark's `JacksonGenerator` writes them.

use std::fmt::Write;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};

use super::text::{decimal, write_base64, write_double, write_float, write_string};
use super::times::TextTimes;
use crate::error::SparkError;
use crate::types;

/// Writes JSON by one set of options.
#[derive(Debug)]
pub(super) struct JsonWriter<'a> {
    pub times: &'a dyn TextTimes,
    /// Leave out the null fields of structs.
    pub ignore_null_fields: bool,
}

/// Whether values of a type can be written; the error names the type that cannot.
pub(super) fn check_writable(data_type: &DataType) -> Result<(), SparkError> {
    match data_type {
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_writable(field.data_type())),
        DataType::List(element) => check_writable(element.data_type()),
        DataType::Map(entries, _) => match types::map_fields(entries) {
            Some((key, value)) if !matches!(key.data_type(), DataType::Struct(_) | DataType::List(_)) => {
                check_writable(key.data_type())?;
                check_writable(value.data_type())
            }
            _ => Err(unwritable(data_type)),
        },
        DataType::Null
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32
        | DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(()),
        other => Err(unwritable(other)),
    }
}

fn unwritable(data_type: &DataType) -> SparkError {
    SparkError::unsupported(format!("writing {} as JSON", types::quoted_sql_name(data_type)))
}

impl JsonWriter<'_> {
    /// The column as JSON text; null rows stay null. The type must be [`check_writable`].
    pub fn write_column(&self, column: &ArrayRef) -> StringArray {
        let mut out = StringBuilder::with_capacity(column.len(), column.len() * 64);
        let mut text = String::new();
        for row in 0..column.len() {
            if column.is_null(row) {
                out.append_null();
                continue;
            }
            text.clear();
            self.write_value(column, row, &mut text);
            out.append_value(&text);
        }
        out.finish()
    }

    /// Writes one value that is not null.
    fn write_value(&self, column: &ArrayRef, row: usize, out: &mut String) {
        match column.data_type() {
            DataType::Struct(fields) => {
                let column = column.as_struct();
                let mut separator = '{';
                for (field, child) in fields.iter().zip(column.columns()) {
                    let null = child.is_null(row) || child.data_type() == &DataType::Null;
                    if null && self.ignore_null_fields {
                        continue;
                    }
                    out.push(separator);
                    separator = ',';
                    write_string(field.name(), out);
                    out.push(':');
                    self.write_nullable(child, row, out);
                }
                out.push_str(if separator == '{' { "{}" } else { "}" });
            }
            DataType::List(_) => {
                let element = column.as_list::<i32>().value(row);
                out.push('[');
                for index in 0..element.len() {
                    if index > 0 {
                        out.push(',');
                    }
                    self.write_nullable(&element, index, out);
                }
                out.push(']');
            }
            DataType::Map(..) => {
                let entries = column.as_map().value(row);
                let (keys, values) = (entries.column(0), entries.column(1));
                out.push('{');
                for index in 0..entries.len() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(&map_key(keys, index), out);
                    out.push(':');
                    self.write_nullable(values, index, out);
                }
                out.push('}');
            }
            _ => self.write_scalar(column, row, out),
        }
    }

    fn write_nullable(&self, column: &ArrayRef, row: usize, out: &mut String) {
        if column.is_null(row) || column.data_type() == &DataType::Null {
            out.push_str("null");
        } else {
            self.write_value(column, row, out);
        }
    }

    fn write_scalar(&self, column: &ArrayRef, row: usize, out: &mut String) {
        match column.data_type() {
            DataType::Utf8 => write_string(column.as_string::<i32>().value(row), out),
            DataType::Binary => {
                out.push('"');
                write_base64(column.as_binary::<i32>().value(row), out);
                out.push('"');
            }
            DataType::Date32 => {
                let days = column.as_primitive::<Date32Type>().value(row);
                quoted(out, |out| self.times.write_date(days, out));
            }
            DataType::Timestamp(_, zone) => {
                let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
                match zone {
                    Some(_) => quoted(out, |out| self.times.write_timestamp(micros, out)),
                    None => quoted(out, |out| self.times.write_timestamp_ntz(micros, out)),
                }
            }
            DataType::Float32 => {
                let value = column.as_primitive::<Float32Type>().value(row);
                number(value.is_finite(), |text| write_float(value, text), out);
            }
            DataType::Float64 => {
                let value = column.as_primitive::<Float64Type>().value(row);
                number(value.is_finite(), |text| write_double(value, text), out);
            }
            DataType::Decimal128(_, scale) => {
                out.push_str(&big_decimal(column.as_primitive::<Decimal128Type>().value(row), *scale));
            }
            _ => out.push_str(&plain(column, row)),
        }
    }
}

/// Text in quotes that needs no escapes, or has them escaped.
fn quoted(out: &mut String, write: impl FnOnce(&mut String)) {
    let mut text = String::new();
    write(&mut text);
    write_string(&text, out);
}

/// A floating-point number; Jackson puts what is none into quotes.
fn number(finite: bool, write: impl FnOnce(&mut Vec<u8>), out: &mut String) {
    let mut text = Vec::new();
    write(&mut text);
    let text = String::from_utf8_lossy(&text);
    if finite {
        out.push_str(&text);
    } else {
        write_string(&text, out);
    }
}

/// A decimal as Java's `BigDecimal.toString`: small ones with an exponent.
fn big_decimal(unscaled: i128, scale: i8) -> String {
    let digits = unscaled.unsigned_abs().to_string();
    let adjusted = -i32::from(scale) + (digits.len() as i32 - 1);
    if scale >= 0 && adjusted >= -6 {
        return decimal(unscaled, scale);
    }
    let (first, rest) = digits.split_at(1);
    let sign = if unscaled < 0 { "-" } else { "" };
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}E{adjusted:+}")
}

/// Booleans and integers.
fn plain(column: &ArrayRef, row: usize) -> String {
    match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Int8 => column.as_primitive::<Int8Type>().value(row).to_string(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        _ => unreachable!("the type was checked"),
    }
}

/// A map's key as Java prints it: dates and timestamps as bare numbers.
fn map_key(keys: &ArrayRef, row: usize) -> String {
    let mut text = Vec::new();
    match keys.data_type() {
        DataType::Utf8 => return keys.as_string::<i32>().value(row).to_owned(),
        DataType::Date32 => return keys.as_primitive::<Date32Type>().value(row).to_string(),
        DataType::Timestamp(..) => return keys.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        DataType::Decimal128(_, scale) => return decimal(keys.as_primitive::<Decimal128Type>().value(row), *scale),
        DataType::Float32 => write_float(keys.as_primitive::<Float32Type>().value(row), &mut text),
        DataType::Float64 => write_double(keys.as_primitive::<Float64Type>().value(row), &mut text),
        DataType::Binary => {
            let mut out = String::new();
            for b in keys.as_binary::<i32>().value(row) {
                // Writing to a string cannot fail.
                let _ = write!(out, "{b:02x}");
            }
            return out;
        }
        _ => return plain(keys, row),
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_print_as_in_java() {
        assert_eq!(big_decimal(0, 18), "0E-18");
        assert_eq!(big_decimal(150, 2), "1.50");
        assert_eq!(big_decimal(-1, 7), "-1E-7");
        assert_eq!(big_decimal(12, 8), "1.2E-7");
        assert_eq!(big_decimal(1, 6), "0.000001");
        assert_eq!(big_decimal(-42, 0), "-42");
    }
}
