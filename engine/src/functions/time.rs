//! Functions of dates and timestamps: parts, patterns, truncation, epoch numbers, and the batch's clock.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int32Array, Int64Array, PrimitiveArray, PrimitiveBuilder, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, FieldRef, Int32Type, Int64Type, TimestampMicrosecondType,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, Volatility};
use serde_json::{Value, json};

use super::arithmetic::overflow;
use super::datetime_pattern::{DateTimePattern, cannot_parse};
use super::kernel::{Kernel, bad_parameters, elementwise, text_parameter};
use crate::clock::BatchClock;
use crate::error::SparkError;
use crate::types::{
    Date, MICROS_PER_DAY, MICROS_PER_SECOND, Time as ClockTime, Zone, join_local, split_local, timestamp,
};

/// Which function of times. `time` is a timestamp, `date` a date, `pattern` and `text` strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeOperator {
    /// Of a date, as `int`.
    Year,
    Quarter,
    Month,
    Day,
    DayOfYear,
    /// Sunday is 1.
    DayOfWeek,
    /// Monday is 0.
    WeekDay,
    /// ISO weeks.
    WeekOfYear,
    /// Of a time, as `int`.
    Hour,
    Minute,
    Second,
    /// `(time, pattern)` to a string.
    Format,
    /// `(text, pattern)` to a timestamp, a date or epoch seconds.
    ReadTimestamp,
    ReadDate,
    ReadSeconds,
    /// `(seconds, pattern)` to a string.
    FormatSeconds,
    /// `(unit, time)`.
    Truncate,
    /// A `bigint` to a timestamp.
    FromMillis,
    FromMicros,
    /// A time to a `bigint`, rounded down.
    ToSeconds,
    ToMillis,
    ToMicros,
    /// `(date, date)`: days between.
    DateDifference,
    /// `(date, months)`.
    AddMonths,
    LastDay,
}

const NAMES: [(TimeOperator, &str); 25] = [
    (TimeOperator::Year, "year"),
    (TimeOperator::Quarter, "quarter"),
    (TimeOperator::Month, "month"),
    (TimeOperator::Day, "day"),
    (TimeOperator::DayOfYear, "day_of_year"),
    (TimeOperator::DayOfWeek, "day_of_week"),
    (TimeOperator::WeekDay, "week_day"),
    (TimeOperator::WeekOfYear, "week_of_year"),
    (TimeOperator::Hour, "hour"),
    (TimeOperator::Minute, "minute"),
    (TimeOperator::Second, "second"),
    (TimeOperator::Format, "format"),
    (TimeOperator::ReadTimestamp, "read_timestamp"),
    (TimeOperator::ReadDate, "read_date"),
    (TimeOperator::ReadSeconds, "read_seconds"),
    (TimeOperator::FormatSeconds, "format_seconds"),
    (TimeOperator::Truncate, "truncate"),
    (TimeOperator::FromMillis, "from_millis"),
    (TimeOperator::FromMicros, "from_micros"),
    (TimeOperator::ToSeconds, "to_seconds"),
    (TimeOperator::ToMillis, "to_millis"),
    (TimeOperator::ToMicros, "to_micros"),
    (TimeOperator::DateDifference, "date_difference"),
    (TimeOperator::AddMonths, "add_months"),
    (TimeOperator::LastDay, "last_day"),
];

impl TimeOperator {
    /// The type of the result.
    pub fn result(self) -> DataType {
        match self {
            TimeOperator::Format | TimeOperator::FormatSeconds => DataType::Utf8,
            TimeOperator::ReadTimestamp
            | TimeOperator::Truncate
            | TimeOperator::FromMillis
            | TimeOperator::FromMicros => timestamp(),
            TimeOperator::ReadDate | TimeOperator::AddMonths | TimeOperator::LastDay => DataType::Date32,
            TimeOperator::ReadSeconds | TimeOperator::ToSeconds | TimeOperator::ToMillis | TimeOperator::ToMicros => {
                DataType::Int64
            }
            _ => DataType::Int32,
        }
    }

    /// Whether the result counts as nullable over columns without nulls.
    pub fn makes_nulls(self) -> bool {
        matches!(
            self,
            TimeOperator::ReadTimestamp | TimeOperator::ReadDate | TimeOperator::ReadSeconds | TimeOperator::Truncate
        )
    }
}

/// The function `spark_time`: one operator of times in a zone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Time {
    pub operator: TimeOperator,
    /// Whether text that does not fit its pattern is an error, else it is null.
    pub ansi: bool,
    pub zone: Zone,
}

impl Kernel for Time {
    const NAME: &'static str = "spark_time";

    fn raises(&self) -> bool {
        use TimeOperator::{Format, FormatSeconds, FromMillis, ReadDate, ReadSeconds, ReadTimestamp};
        matches!(self.operator, ReadTimestamp | ReadDate | ReadSeconds | Format | FormatSeconds | FromMillis)
    }

    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)> {
        let nullable = self.operator.makes_nulls() || arguments.iter().any(|argument| argument.is_nullable());
        Ok((self.operator.result(), nullable))
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        elementwise(arguments, |arrays, _| self.compute(arrays))
    }

    fn encode(&self) -> Value {
        let name = NAMES.iter().find(|(operator, _)| *operator == self.operator).map(|(_, name)| *name);
        json!({"operator": name, "ansi": self.ansi, "zone": self.zone.name()})
    }

    fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> {
        let name = text_parameter(parameters, "operator")?;
        let operator = NAMES.iter().find(|(_, known)| *known == name).map(|(operator, _)| *operator);
        let ansi = parameters.get("ansi").and_then(Value::as_bool).ok_or_else(|| bad_parameters("ansi"))?;
        let zone = Zone::parse(text_parameter(parameters, "zone")?).ok_or_else(|| bad_parameters("zone"))?;
        Ok(Time { operator: operator.ok_or_else(|| bad_parameters("operator"))?, ansi, zone })
    }
}

impl Time {
    fn compute(&self, arrays: &[ArrayRef]) -> Result<ArrayRef> {
        use TimeOperator as Op;
        let zone = &self.zone;
        Ok(match self.operator {
            Op::Year => of_date(arrays, |date| i32::try_from(date.year).unwrap_or(i32::MAX)),
            Op::Quarter => of_date(arrays, |date| small(date.month.div_ceil(3))),
            Op::Month => of_date(arrays, |date| small(date.month)),
            Op::Day => of_date(arrays, |date| small(date.day)),
            Op::DayOfYear => of_date(arrays, |date| small(date.day_of_year())),
            Op::DayOfWeek => of_date(arrays, |date| small(date.day_of_week() % 7 + 1)),
            Op::WeekDay => of_date(arrays, |date| small(date.day_of_week() - 1)),
            Op::WeekOfYear => of_date(arrays, iso_week),
            Op::Hour => self.of_clock(arrays, |time| time.hour),
            Op::Minute => self.of_clock(arrays, |time| time.minute),
            Op::Second => self.of_clock(arrays, |time| time.second),
            Op::Format => format(times(&arrays[0]).iter(), arrays[1].as_string(), zone)?,
            Op::FormatSeconds => {
                let seconds = arrays[0].as_primitive::<Int64Type>();
                format(seconds.iter().map(|value| value.map(seconds_to_micros)), arrays[1].as_string(), zone)?
            }
            Op::ReadTimestamp => {
                let micros: TimestampMicrosecondArray =
                    self.read::<TimestampMicrosecondType>(arrays, |micros| micros)?;
                Arc::new(micros.with_timezone("UTC"))
            }
            Op::ReadDate => Arc::new(self.read::<Date32Type>(arrays, |micros| {
                i32::try_from(zone.to_local(micros).div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX)
            })?),
            Op::ReadSeconds => Arc::new(self.read::<Int64Type>(arrays, |micros| micros.div_euclid(MICROS_PER_SECOND))?),
            Op::Truncate => self.truncate(arrays),
            Op::FromMillis => self.scaled(arrays, 1000)?,
            Op::FromMicros => self.scaled(arrays, 1)?,
            Op::ToSeconds => epoch(arrays, MICROS_PER_SECOND),
            Op::ToMillis => epoch(arrays, 1000),
            Op::ToMicros => epoch(arrays, 1),
            Op::DateDifference => {
                let (end, start) = (arrays[0].as_primitive::<Date32Type>(), arrays[1].as_primitive::<Date32Type>());
                let days: Int32Array =
                    end.iter().zip(start).map(|(end, start)| Some(end?.wrapping_sub(start?))).collect();
                Arc::new(days)
            }
            Op::AddMonths => {
                let (dates, months) = (arrays[0].as_primitive::<Date32Type>(), arrays[1].as_primitive::<Int32Type>());
                let moved: Date32Array = dates
                    .iter()
                    .zip(months)
                    .map(|(date, months)| to_days(Date::from_days(i64::from(date?)).plus_months(i64::from(months?))))
                    .collect();
                Arc::new(moved)
            }
            Op::LastDay => {
                let last = |days: i32| {
                    let date = Date::from_days(i64::from(days));
                    to_days(Date { day: crate::types::days_of_month(date.year, date.month), ..date })
                };
                let dates: Date32Array =
                    arrays[0].as_primitive::<Date32Type>().iter().map(|days| days.and_then(last)).collect();
                Arc::new(dates)
            }
        })
    }

    fn of_clock(&self, arrays: &[ArrayRef], part: impl Fn(ClockTime) -> u32) -> ArrayRef {
        let parts =
            times(&arrays[0]).unary::<_, Int32Type>(|micros| small(part(split_local(self.zone.to_local(micros)).1)));
        Arc::new(parts)
    }

    /// Reads text by its pattern: what does not fit is an error in ANSI mode, null otherwise.
    fn read<T: ArrowPrimitiveType>(
        &self,
        arrays: &[ArrayRef],
        convert: impl Fn(i64) -> T::Native,
    ) -> Result<PrimitiveArray<T>> {
        let (texts, patterns) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
        let mut builder = PrimitiveBuilder::<T>::with_capacity(texts.len());
        let mut compiled = Compiled::default();
        for (text, pattern) in texts.iter().zip(patterns) {
            let (Some(text), Some(pattern)) = (text, pattern) else {
                builder.append_null();
                continue;
            };
            match compiled.get(pattern, DateTimePattern::parse_to_read)?.read(text, &self.zone) {
                Ok(micros) => builder.append_value(convert(micros)),
                Err(failure) if self.ansi => return Err(cannot_parse(text, failure).into()),
                Err(_) => builder.append_null(),
            }
        }
        Ok(builder.finish())
    }

    fn truncate(&self, arrays: &[ArrayRef]) -> ArrayRef {
        let (units, times) = (arrays[0].as_string::<i32>(), times(&arrays[1]));
        let truncated: TimestampMicrosecondArray =
            units.iter().zip(times).map(|(unit, time)| truncated(time?, unit?, &self.zone)).collect();
        Arc::new(truncated.with_timezone("UTC"))
    }

    fn scaled(&self, arrays: &[ArrayRef], factor: i64) -> Result<ArrayRef> {
        let numbers = arrays[0].as_primitive::<Int64Type>();
        let scale = |number: i64| number.checked_mul(factor).ok_or_else(|| overflow("long overflow", ""));
        let micros = numbers.try_unary::<_, TimestampMicrosecondType, _>(scale)?;
        Ok(Arc::new(micros.with_timezone("UTC")))
    }
}

fn small(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn to_days(date: Date) -> Option<i32> {
    i32::try_from(date.days()).ok()
}

fn seconds_to_micros(seconds: i64) -> i64 {
    seconds.saturating_mul(MICROS_PER_SECOND)
}

fn times(array: &ArrayRef) -> &TimestampMicrosecondArray {
    array.as_primitive::<TimestampMicrosecondType>()
}

fn of_date(arrays: &[ArrayRef], part: impl Fn(Date) -> i32) -> ArrayRef {
    let parts =
        arrays[0].as_primitive::<Date32Type>().unary::<_, Int32Type>(|days| part(Date::from_days(i64::from(days))));
    Arc::new(parts)
}

fn epoch(arrays: &[ArrayRef], unit: i64) -> ArrayRef {
    let numbers: Int64Array = times(&arrays[0]).unary::<_, Int64Type>(|micros| micros.div_euclid(unit));
    Arc::new(numbers)
}

/// The week of the ISO year: the first is the one with the year's first Thursday.
fn iso_week(date: Date) -> i32 {
    let thursday = Date::from_days(date.days() - i64::from(date.day_of_week()) + 4);
    small((thursday.day_of_year() - 1) / 7 + 1)
}

/// The last pattern, compiled; nearly always there is one per batch.
#[derive(Default)]
struct Compiled {
    last: Option<(String, DateTimePattern)>,
}

impl Compiled {
    fn get(
        &mut self,
        pattern: &str,
        compile: impl FnOnce(&str) -> std::result::Result<DateTimePattern, SparkError>,
    ) -> Result<&DateTimePattern> {
        if self.last.as_ref().is_none_or(|(last, _)| last != pattern) {
            self.last = Some((pattern.to_owned(), compile(pattern)?));
        }
        self.last.as_ref().map(|(_, compiled)| compiled).ok_or_else(|| bad_parameters("pattern"))
    }
}

fn format(times: impl ExactSizeIterator<Item = Option<i64>>, patterns: &StringArray, zone: &Zone) -> Result<ArrayRef> {
    let mut builder = StringBuilder::with_capacity(patterns.len(), patterns.len() * 20);
    let mut compiled = Compiled::default();
    let mut cell = String::new();
    for (time, pattern) in times.zip(patterns) {
        let (Some(micros), Some(pattern)) = (time, pattern) else {
            builder.append_null();
            continue;
        };
        cell.clear();
        compiled.get(pattern, DateTimePattern::parse)?.format(micros, zone, &mut cell);
        builder.append_value(&cell);
    }
    Ok(Arc::new(builder.finish()))
}

/// The beginning of the unit that an instant is in; none for a unit that does not exist. As Spark's `date_trunc`.
pub fn truncated(micros: i64, unit: &str, zone: &Zone) -> Option<i64> {
    let local = zone.to_local(micros);
    let (date, _) = split_local(local);
    let midnight = |date: Date| join_local(date, ClockTime::default());
    let first = |month: u32| Date { month, day: 1, ..date };
    // No zone's offset has parts of a second.
    let exact = |unit: i64| Some(micros - micros.rem_euclid(unit));
    let near = |start: i64| Some(zone.to_utc_near(start, micros));
    let down = |unit: i64| near(local - local.rem_euclid(unit));
    let start = match unit.to_ascii_lowercase().as_str() {
        "microsecond" => return Some(micros),
        "millisecond" => return exact(1000),
        "second" => return exact(MICROS_PER_SECOND),
        "minute" => return down(60 * MICROS_PER_SECOND),
        "hour" => return down(3600 * MICROS_PER_SECOND),
        "day" | "dd" => return midnight(date).and_then(near),
        "week" => midnight(Date::from_days(date.days() - i64::from(date.day_of_week()) + 1)),
        "month" | "mon" | "mm" => midnight(first(date.month)),
        "quarter" => midnight(first((date.month - 1) / 3 * 3 + 1)),
        "year" | "yyyy" | "yy" => midnight(first(1)),
        _ => None,
    }?;
    Some(zone.to_utc(start))
}

/// The function `spark_current_timestamp`: the time of the batch, one for all its rows.
#[derive(Debug, Clone)]
pub struct CurrentTimestamp {
    clock: BatchClock,
}

impl CurrentTimestamp {
    /// Over a clock that nobody has set; a decoded plan has its own.
    pub fn unset() -> Self {
        CurrentTimestamp { clock: BatchClock::default() }
    }
}

/// Which clock it reads is no part of what it means.
impl PartialEq for CurrentTimestamp {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for CurrentTimestamp {}

impl Hash for CurrentTimestamp {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Kernel for CurrentTimestamp {
    const NAME: &'static str = "spark_current_timestamp";
    const VOLATILITY: Volatility = Volatility::Volatile;

    fn result(&self, _: &[FieldRef]) -> Result<(DataType, bool)> {
        Ok((timestamp(), false))
    }

    fn invoke(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let zone = Some(Arc::from("UTC"));
        Ok(ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(Some(self.clock.micros()), zone)))
    }

    fn decode(_: &Value, clock: &BatchClock) -> Result<Self> {
        Ok(CurrentTimestamp { clock: clock.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cast::{parse_timestamp, write_local};

    #[test]
    fn truncates_in_the_zone() {
        let zone = Zone::parse("+02:00").unwrap();
        let at = parse_timestamp("2024-05-16 17:08:09.123456", &zone).unwrap();
        for (unit, expected) in [
            ("YEAR", "2024-01-01 00:00:00"),
            ("quarter", "2024-04-01 00:00:00"),
            ("MM", "2024-05-01 00:00:00"),
            ("week", "2024-05-13 00:00:00"),
            ("day", "2024-05-16 00:00:00"),
            ("hour", "2024-05-16 17:00:00"),
            ("second", "2024-05-16 17:08:09"),
            ("millisecond", "2024-05-16 17:08:09.123"),
        ] {
            let mut out = String::new();
            write_local(&mut out, zone.to_local(truncated(at, unit, &zone).unwrap()));
            assert_eq!(out, expected, "{unit}");
        }
        assert_eq!(truncated(at, "decennium", &zone), None);
    }

    #[test]
    fn weeks_of_the_year() {
        assert_eq!(iso_week(Date::new(2021, 1, 3).unwrap()), 53);
        assert_eq!(iso_week(Date::new(2021, 1, 4).unwrap()), 1);
        assert_eq!(iso_week(Date::new(2024, 12, 30).unwrap()), 1);
    }

    #[test]
    fn formats_epoch_seconds() {
        let kernel = Time { operator: TimeOperator::FormatSeconds, ansi: true, zone: Zone::utc() };
        let seconds: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), None]));
        let patterns: ArrayRef = Arc::new(StringArray::from(vec!["yyyy-MM-dd HH:mm:ss"; 2]));
        let result = kernel.compute(&[seconds, patterns]).unwrap();
        assert_eq!(result.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("1970-01-01 00:00:00"), None]);
    }

    #[test]
    fn text_that_does_not_fit_is_an_error_only_in_ansi_mode() {
        let arrays: [ArrayRef; 2] = [Arc::new(StringArray::from(vec!["x"])), Arc::new(StringArray::from(vec!["yyyy"]))];
        let kernel = |ansi| Time { operator: TimeOperator::ReadTimestamp, ansi, zone: Zone::utc() };
        assert!(kernel(false).compute(&arrays).unwrap().is_null(0));
        let error = kernel(true).compute(&arrays).unwrap_err();
        assert_eq!(crate::error::SparkError::find(&error).unwrap().class, "CANNOT_PARSE_TIMESTAMP");
    }
}
