//! Any value as text: what a cast to string gives, and what `show` and the console print.

use std::fmt::Write;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray,
    IntervalYearMonthArray, ListArray, MapArray, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::common::{DataFusionError, Result};

use super::number_text::{write_decimal, write_double, write_float};
use super::time_text::{write_date, write_fraction, write_local};
use crate::types::{Date, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, Zone};

/// How values inside a text look.
#[derive(Debug, Clone, Copy)]
struct Style<'a> {
    zone: &'a Zone,
    /// A null inside a struct, array or map.
    null: &'static str,
    /// Binary as `[68 65]`, else as its text.
    binary_hex: bool,
}

/// Casts any column to strings, as Spark's cast does: `{a, 1}`, `[1, null]`, `{k -> v}`; nulls stay null.
pub fn to_strings(array: &ArrayRef, zone: &Zone) -> Result<StringArray> {
    write_all(array, Style { zone, null: "null", binary_hex: false }, None)
}

/// The cells of a column as `show` and the console print them; a null is `NULL`, binary is `[68 65]`. Never null.
pub fn display_strings(array: &ArrayRef, zone: &Zone) -> Result<StringArray> {
    write_all(array, Style { zone, null: "NULL", binary_hex: true }, Some("NULL"))
}

fn write_all(array: &ArrayRef, style: Style<'_>, null: Option<&str>) -> Result<StringArray> {
    let writer = Writer::new(array.as_ref(), style)?;
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 16);
    let mut cell = String::new();
    for row in 0..array.len() {
        if writer.is_null(row) {
            builder.append_option(null);
            continue;
        }
        cell.clear();
        writer.write(row, &mut cell);
        builder.append_value(&cell);
    }
    Ok(builder.finish())
}

/// A column that writes its values, its type decided once.
struct Writer<'a> {
    array: &'a dyn Array,
    style: Style<'a>,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Decimal(&'a Decimal128Array, i8),
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray, bool),
    DayTime(&'a DurationMicrosecondArray),
    YearMonth(&'a IntervalYearMonthArray),
    Calendar(&'a IntervalMonthDayNanoArray),
    Struct(Vec<Writer<'a>>),
    List(&'a ListArray, Box<Writer<'a>>),
    Map(&'a MapArray, Box<Writer<'a>>, Box<Writer<'a>>),
}

impl<'a> Writer<'a> {
    fn new(array: &'a dyn Array, style: Style<'a>) -> Result<Self> {
        let kind = match array.data_type() {
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Boolean(array.as_boolean()),
            DataType::Int8 => Kind::Int8(array.as_primitive::<Int8Type>()),
            DataType::Int16 => Kind::Int16(array.as_primitive::<Int16Type>()),
            DataType::Int32 => Kind::Int32(array.as_primitive::<Int32Type>()),
            DataType::Int64 => Kind::Int64(array.as_primitive::<Int64Type>()),
            DataType::Float32 => Kind::Float32(array.as_primitive::<Float32Type>()),
            DataType::Float64 => Kind::Float64(array.as_primitive::<Float64Type>()),
            DataType::Decimal128(_, scale) => Kind::Decimal(array.as_primitive::<Decimal128Type>(), *scale),
            DataType::Utf8 => Kind::Text(array.as_string::<i32>()),
            DataType::Binary => Kind::Binary(array.as_binary::<i32>()),
            DataType::Date32 => Kind::Date(array.as_primitive::<Date32Type>()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Kind::Timestamp(array.as_primitive::<TimestampMicrosecondType>(), zone.is_some())
            }
            DataType::Duration(TimeUnit::Microsecond) => Kind::DayTime(array.as_primitive::<DurationMicrosecondType>()),
            DataType::Interval(IntervalUnit::YearMonth) => {
                Kind::YearMonth(array.as_primitive::<IntervalYearMonthType>())
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                Kind::Calendar(array.as_primitive::<IntervalMonthDayNanoType>())
            }
            DataType::Struct(_) => Kind::Struct(Self::of_struct(array.as_struct(), style)?),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Kind::List(list, Box::new(Writer::new(list.values().as_ref(), style)?))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let keys = Writer::new(map.keys().as_ref(), style)?;
                Kind::Map(map, Box::new(keys), Box::new(Writer::new(map.values().as_ref(), style)?))
            }
            other => return Err(DataFusionError::NotImplemented(format!("values of the type `{other}` as text"))),
        };
        Ok(Writer { array, style, kind })
    }

    fn of_struct(array: &'a StructArray, style: Style<'a>) -> Result<Vec<Writer<'a>>> {
        array.columns().iter().map(|column| Writer::new(column.as_ref(), style)).collect()
    }

    fn is_null(&self, row: usize) -> bool {
        matches!(self.kind, Kind::Null) || self.array.is_null(row)
    }

    fn write_or_null(&self, row: usize, out: &mut String) {
        if self.is_null(row) { out.push_str(self.style.null) } else { self.write(row, out) }
    }

    fn write(&self, row: usize, out: &mut String) {
        let written = match &self.kind {
            Kind::Null => write!(out, "{}", self.style.null),
            Kind::Boolean(array) => write!(out, "{}", array.value(row)),
            Kind::Int8(array) => write!(out, "{}", array.value(row)),
            Kind::Int16(array) => write!(out, "{}", array.value(row)),
            Kind::Int32(array) => write!(out, "{}", array.value(row)),
            Kind::Int64(array) => write!(out, "{}", array.value(row)),
            _ => {
                self.write_other(row, out);
                Ok(())
            }
        };
        written.expect("writing to a string cannot fail");
    }

    fn write_other(&self, row: usize, out: &mut String) {
        match &self.kind {
            Kind::Float32(array) => write_float(out, array.value(row)),
            Kind::Float64(array) => write_double(out, array.value(row)),
            Kind::Decimal(array, scale) => write_decimal(out, array.value(row), *scale),
            Kind::Text(array) => out.push_str(array.value(row)),
            Kind::Binary(array) if self.style.binary_hex => write_hex(out, array.value(row)),
            Kind::Binary(array) => out.push_str(&String::from_utf8_lossy(array.value(row))),
            Kind::Date(array) => write_date(out, Date::from_days(i64::from(array.value(row)))),
            Kind::Timestamp(array, true) => write_local(out, self.style.zone.to_local(array.value(row))),
            Kind::Timestamp(array, false) => write_local(out, array.value(row)),
            Kind::DayTime(array) => write_day_time(out, array.value(row)),
            Kind::YearMonth(array) => write_year_month(out, array.value(row)),
            Kind::Calendar(array) => {
                let value = array.value(row);
                write_calendar(out, value.months, value.days, value.nanoseconds / 1000);
            }
            Kind::Struct(fields) => {
                out.push('{');
                for (index, field) in fields.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    field.write_or_null(row, out);
                }
                out.push('}');
            }
            Kind::List(array, items) => {
                out.push('[');
                for (index, item) in range(array.value_offsets(), row).enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    items.write_or_null(item, out);
                }
                out.push(']');
            }
            Kind::Map(array, keys, values) => {
                out.push('{');
                for (index, item) in range(array.value_offsets(), row).enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    keys.write_or_null(item, out);
                    out.push_str(" -> ");
                    values.write_or_null(item, out);
                }
                out.push('}');
            }
            Kind::Null | Kind::Boolean(_) | Kind::Int8(_) | Kind::Int16(_) | Kind::Int32(_) | Kind::Int64(_) => {
                self.write(row, out);
            }
        }
    }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |index: usize| usize::try_from(offsets[index]).expect("offsets are not negative");
    at(row)..at(row + 1)
}

fn write_hex(out: &mut String, bytes: &[u8]) {
    out.push('[');
    for (index, byte) in bytes.iter().enumerate() {
        let gap = if index > 0 { " " } else { "" };
        write!(out, "{gap}{byte:02X}").expect("writing to a string cannot fail");
    }
    out.push(']');
}

fn write_day_time(out: &mut String, micros: i64) {
    let sign = if micros < 0 { "-" } else { "" };
    let rest = micros.unsigned_abs();
    let part = |unit: i64| rest / unit.unsigned_abs();
    write!(
        out,
        "INTERVAL '{sign}{} {:02}:{:02}:{:02}",
        part(MICROS_PER_DAY),
        part(MICROS_PER_HOUR) % 24,
        part(MICROS_PER_MINUTE) % 60,
        part(MICROS_PER_SECOND) % 60
    )
    .expect("writing to a string cannot fail");
    write_fraction(out, u32::try_from(rest % 1_000_000).expect("below a million"));
    out.push_str("' DAY TO SECOND");
}

fn write_year_month(out: &mut String, months: i32) {
    let sign = if months < 0 { "-" } else { "" };
    let months = months.unsigned_abs();
    write!(out, "INTERVAL '{sign}{}-{}' YEAR TO MONTH", months / 12, months % 12)
        .expect("writing to a string cannot fail");
}

/// A calendar interval in words: `1 years 2 months 3 days 4 hours 5.5 seconds`.
fn write_calendar(out: &mut String, months: i32, days: i32, micros: i64) {
    let mut parts: Vec<String> = Vec::new();
    let mut part = |value: i64, unit: &str| {
        if value != 0 {
            parts.push(format!("{value} {unit}"));
        }
    };
    part(i64::from(months / 12), "years");
    part(i64::from(months % 12), "months");
    part(i64::from(days), "days");
    part(micros / MICROS_PER_HOUR, "hours");
    part(micros % MICROS_PER_HOUR / MICROS_PER_MINUTE, "minutes");
    let rest = micros % MICROS_PER_MINUTE;
    if rest != 0 {
        let mut seconds = String::from(if rest < 0 { "-" } else { "" });
        seconds.push_str(&(rest.unsigned_abs() / 1_000_000).to_string());
        write_fraction(&mut seconds, u32::try_from(rest.unsigned_abs() % 1_000_000).expect("below a million"));
        parts.push(format!("{seconds} seconds"));
    }
    out.push_str(&if parts.is_empty() { "0 seconds".to_owned() } else { parts.join(" ") });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Int32Builder, ListBuilder};
    use datafusion::arrow::datatypes::Field;

    use super::*;

    #[test]
    fn nested_values() {
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("b")]));
        let both: ArrayRef = Arc::new(StructArray::from(vec![
            (Arc::new(Field::new("t", DataType::Utf8, true)), texts),
            (Arc::new(Field::new("n", DataType::Int32, true)), numbers),
        ]));
        let zone = Zone::utc();
        assert_eq!(to_strings(&both, &zone).unwrap().iter().flatten().collect::<Vec<_>>(), ["{a, 1}", "{b, null}"]);
        let shown = display_strings(&both, &zone).unwrap();
        assert_eq!(shown.value(1), "{b, NULL}");
        let mut list = ListBuilder::new(Int32Builder::new());
        list.append_value([Some(1), None, Some(3)]);
        list.append_null();
        let list: ArrayRef = Arc::new(list.finish());
        assert_eq!(display_strings(&list, &zone).unwrap().value(0), "[1, NULL, 3]");
        assert_eq!(display_strings(&list, &zone).unwrap().value(1), "NULL");
        assert!(to_strings(&list, &zone).unwrap().is_null(1));
    }

    #[test]
    fn times_binary_and_intervals() {
        let show = |array: ArrayRef, zone: &str| {
            display_strings(&array, &Zone::parse(zone).unwrap()).unwrap().value(0).to_owned()
        };
        let instant = TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("UTC");
        assert_eq!(show(Arc::new(instant), "+01:00"), "1970-01-01 01:00:01.5");
        assert_eq!(show(Arc::new(TimestampMicrosecondArray::from(vec![0])), "+01:00"), "1970-01-01 00:00:00");
        assert_eq!(show(Arc::new(BinaryArray::from(vec![&b"hi"[..]])), "UTC"), "[68 69]");
        let day_time = DurationMicrosecondArray::from(vec![-(MICROS_PER_DAY + 1_500_000)]);
        assert_eq!(show(Arc::new(day_time), "UTC"), "INTERVAL '-1 00:00:01.5' DAY TO SECOND");
        assert_eq!(show(Arc::new(IntervalYearMonthArray::from(vec![14])), "UTC"), "INTERVAL '1-2' YEAR TO MONTH");
    }
}
