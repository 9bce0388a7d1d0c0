//! Casts of columns between the types, in all modes, against what Spark gives.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, NullArray, StringArray, TimestampMicrosecondArray,
};

use super::{CastMode, can_cast, cast_array, display_strings};
use crate::error::SparkError;
use crate::types::{Zone, parse_type};

fn cast_in(array: ArrayRef, to: &str, mode: CastMode, zone: &str) -> Result<Vec<String>, String> {
    let zone = Zone::parse(zone).unwrap();
    let cast = cast_array(&array, &parse_type(to).unwrap(), mode, &zone)
        .map_err(|error| SparkError::find(&error).map_or_else(|| error.to_string(), |error| error.class.clone()))?;
    assert_eq!(cast.data_type(), &parse_type(to).unwrap());
    let shown = display_strings(&cast, &zone).unwrap();
    Ok(shown.iter().flatten().map(str::to_owned).collect())
}

fn ansi(array: impl Array + 'static, to: &str) -> Result<Vec<String>, String> {
    cast_in(Arc::new(array), to, CastMode::Ansi, "UTC")
}

fn legacy(array: impl Array + 'static, to: &str) -> Result<Vec<String>, String> {
    cast_in(Arc::new(array), to, CastMode::Legacy, "UTC")
}

fn tried(array: impl Array + 'static, to: &str) -> Result<Vec<String>, String> {
    cast_in(Arc::new(array), to, CastMode::Try, "UTC")
}

fn text(values: &[&str]) -> StringArray {
    StringArray::from(values.to_vec())
}

#[test]
fn text_to_numbers() {
    assert_eq!(ansi(text(&[" 11 ", "-3"]), "int").unwrap(), ["11", "-3"]);
    assert_eq!(ansi(text(&["1.5"]), "int").unwrap_err(), "CAST_INVALID_INPUT");
    assert_eq!(ansi(text(&["300"]), "tinyint").unwrap_err(), "CAST_INVALID_INPUT");
    assert_eq!(tried(text(&["x", "7"]), "bigint").unwrap(), ["NULL", "7"]);
    assert_eq!(legacy(text(&["1.9", "x"]), "int").unwrap(), ["1", "NULL"]);
    assert_eq!(ansi(text(&["1e3", "Infinity", "nan"]), "double").unwrap(), ["1000.0", "Infinity", "NaN"]);
    assert_eq!(ansi(text(&["0.1", "16777217"]), "float").unwrap(), ["0.1", "1.6777216E7"]);
    assert_eq!(ansi(text(&["1.255"]), "decimal(10,2)").unwrap(), ["1.26"]);
    assert_eq!(ansi(text(&["1000"]), "decimal(4,2)").unwrap_err(), "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION");
    assert_eq!(ansi(text(&["yes", "F"]), "boolean").unwrap(), ["true", "false"]);
    assert_eq!(ansi(text(&["maybe"]), "boolean").unwrap_err(), "CAST_INVALID_INPUT");
}

#[test]
fn numbers_to_smaller_numbers() {
    assert_eq!(ansi(Int64Array::from(vec![1 << 40]), "int").unwrap_err(), "CAST_OVERFLOW");
    assert_eq!(legacy(Int32Array::from(vec![300]), "tinyint").unwrap(), ["44"]);
    assert_eq!(tried(Int32Array::from(vec![300, 3]), "tinyint").unwrap(), ["NULL", "3"]);
    assert_eq!(ansi(Float64Array::from(vec![-2.9, 2.9]), "int").unwrap(), ["-2", "2"]);
    assert_eq!(ansi(Float64Array::from(vec![f64::NAN]), "bigint").unwrap_err(), "CAST_OVERFLOW");
    assert_eq!(ansi(Float64Array::from(vec![9.3e18]), "bigint").unwrap_err(), "CAST_OVERFLOW");
    assert_eq!(legacy(Float64Array::from(vec![9.3e18]), "bigint").unwrap(), ["9223372036854775807"]);
    assert_eq!(ansi(Float64Array::from(vec![0.125]), "decimal(5,2)").unwrap(), ["0.13"]);
    let decimals = Decimal128Array::from(vec![12_345, -12_355]).with_precision_and_scale(5, 2).unwrap();
    assert_eq!(ansi(decimals.clone(), "decimal(5,1)").unwrap(), ["123.5", "-123.6"]);
    assert_eq!(ansi(decimals.clone(), "decimal(2,0)").unwrap_err(), "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION");
    assert_eq!(ansi(decimals.clone(), "int").unwrap(), ["123", "-123"]);
    assert_eq!(ansi(decimals, "double").unwrap(), ["123.45", "-123.55"]);
    assert_eq!(ansi(Int32Array::from(vec![0, 5]), "boolean").unwrap(), ["false", "true"]);
    assert_eq!(ansi(BooleanArray::from(vec![true]), "decimal(10,2)").unwrap(), ["1.00"]);
    assert_eq!(ansi(Int32Array::from(vec![7]), "decimal(3,1)").unwrap(), ["7.0"]);
}

#[test]
fn the_message_of_an_overflow() {
    let array: ArrayRef = Arc::new(Int64Array::from(vec![2_147_483_648]));
    let error = cast_array(&array, &parse_type("int").unwrap(), CastMode::Ansi, &Zone::utc()).unwrap_err();
    assert_eq!(
        SparkError::find(&error).unwrap().message,
        "The value 2147483648L of the type \"BIGINT\" cannot be cast to \"INT\" due to an overflow. Use `try_cast` to \
         tolerate overflow and return NULL instead."
    );
}

#[test]
fn times_and_numbers() {
    let times = || TimestampMicrosecondArray::from(vec![Some(-1), Some(1_500_000)]).with_timezone("UTC");
    assert_eq!(ansi(times(), "bigint").unwrap(), ["-1", "1"]);
    assert_eq!(ansi(times(), "double").unwrap(), ["-1.0E-6", "1.5"]);
    assert_eq!(ansi(times(), "decimal(10,1)").unwrap(), ["0.0", "1.5"]);
    assert_eq!(ansi(times(), "date").unwrap(), ["1969-12-31", "1970-01-01"]);
    assert_eq!(ansi(times(), "string").unwrap(), ["1969-12-31 23:59:59.999999", "1970-01-01 00:00:01.5"]);
    assert_eq!(ansi(Int64Array::from(vec![2]), "timestamp").unwrap(), ["1970-01-01 00:00:02"]);
    assert_eq!(ansi(Float32Array::from(vec![0.5]), "timestamp").unwrap(), ["1970-01-01 00:00:00.5"]);
    assert_eq!(ansi(Float64Array::from(vec![f64::INFINITY]), "timestamp").unwrap_err(), "CAST_INVALID_INPUT");
}

#[test]
fn the_zone_of_the_session_counts() {
    let zoned = |array: ArrayRef, to: &str| cast_in(array, to, CastMode::Ansi, "+02:00").unwrap();
    assert_eq!(zoned(Arc::new(text(&["1970-01-01 02:00:00"])), "timestamp"), ["1970-01-01 02:00:00"]);
    let days: ArrayRef = Arc::new(Date32Array::from(vec![0]));
    let midnight =
        cast_array(&days, &parse_type("timestamp").unwrap(), CastMode::Ansi, &Zone::parse("+02:00").unwrap());
    let seconds = cast_array(&midnight.unwrap(), &parse_type("bigint").unwrap(), CastMode::Ansi, &Zone::utc());
    assert_eq!(display_strings(&seconds.unwrap(), &Zone::utc()).unwrap().value(0), "-7200");
    let late = TimestampMicrosecondArray::from(vec![23 * 3_600_000_000]).with_timezone("UTC");
    assert_eq!(zoned(Arc::new(late), "date"), ["1970-01-02"]);
    let instant = TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC");
    assert_eq!(zoned(Arc::new(instant), "timestamp_ntz"), ["1970-01-01 02:00:00"]);
}

#[test]
fn binary_and_nothing() {
    assert_eq!(ansi(BinaryArray::from(vec![&b"abc"[..]]), "string").unwrap(), ["abc"]);
    assert_eq!(ansi(text(&["hi"]), "binary").unwrap(), ["[68 69]"]);
    assert_eq!(ansi(NullArray::new(2), "struct<a: int>").unwrap(), ["NULL", "NULL"]);
}

#[test]
fn which_casts_there_are() {
    for (from, to, ansi, legacy) in [
        ("string", "array<int>", false, false),
        ("array<int>", "array<string>", true, true),
        ("struct<a: int>", "struct<b: bigint>", true, true),
        ("struct<a: int>", "struct<a: int, b: int>", false, false),
        ("map<string,int>", "string", true, true),
        ("boolean", "timestamp", false, true),
        ("date", "int", false, false),
        ("int", "date", false, false),
        ("int", "timestamp", true, true),
        ("binary", "int", false, false),
    ] {
        let (from_type, to_type) = (parse_type(from).unwrap(), parse_type(to).unwrap());
        assert_eq!(can_cast(&from_type, &to_type, CastMode::Ansi), ansi, "{from} to {to}");
        assert_eq!(can_cast(&from_type, &to_type, CastMode::Legacy), legacy, "{from} to {to}");
    }
}
