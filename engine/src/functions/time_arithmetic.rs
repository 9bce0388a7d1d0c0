//! Times plus and minus intervals, and the time between two.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, DurationMicrosecondArray, PrimitiveArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, FieldRef, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, TimestampMicrosecondType,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use serde_json::{Value, json};

use super::arithmetic::overflow;
use super::kernel::{Kernel, bad_parameters, elementwise, text_parameter};
use crate::clock::BatchClock;
use crate::types::{MICROS_PER_DAY, Zone, day_time_interval, join_local, split_local};

/// The function `spark_time_arithmetic`: adds an interval to a time, or takes one time from another.
///
/// The first argument is a timestamp; the second an interval (day-time, year-month or calendar), or a timestamp too,
/// which gives the day-time interval between them. Two day-time intervals add up as well.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TimeArithmetic {
    pub subtract: bool,
    /// Where days and months of a timestamp begin.
    pub zone: Zone,
}

impl Kernel for TimeArithmetic {
    const NAME: &'static str = "spark_time_arithmetic";

    fn raises(&self) -> bool {
        true
    }

    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)> {
        let [left, right] = arguments else { return Err(bad_parameters("two times")) };
        let both = matches!((left.data_type(), right.data_type()), (DataType::Timestamp(..), DataType::Timestamp(..)));
        let data_type = if both { day_time_interval() } else { left.data_type().clone() };
        Ok((data_type, left.is_nullable() || right.is_nullable()))
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        elementwise(arguments, |arrays, _| self.compute(&arrays[0], &arrays[1]))
    }

    fn encode(&self) -> Value {
        json!({"subtract": self.subtract, "zone": self.zone.name()})
    }

    fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> {
        let subtract = parameters.get("subtract").and_then(Value::as_bool).ok_or_else(|| bad_parameters("subtract"))?;
        let zone = Zone::parse(text_parameter(parameters, "zone")?).ok_or_else(|| bad_parameters("zone"))?;
        Ok(TimeArithmetic { subtract, zone })
    }
}

impl TimeArithmetic {
    fn compute(&self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        let error = || overflow("long overflow", "");
        let sign = if self.subtract { -1 } else { 1 };
        if let DataType::Duration(_) = left.data_type() {
            let add = |a: i64, b: i64| {
                a.checked_add(sign * b).ok_or_else(|| ArrowError::from_external_error(Box::new(error())))
            };
            let (left, right) =
                (left.as_primitive::<DurationMicrosecondType>(), right.as_primitive::<DurationMicrosecondType>());
            let sum: DurationMicrosecondArray = compute::try_binary(left, right, add)?;
            return Ok(Arc::new(sum));
        }
        let zoned = matches!(left.data_type(), DataType::Timestamp(_, Some(_)));
        let zone = if zoned { self.zone.clone() } else { Zone::utc() };
        let times = left.as_primitive::<TimestampMicrosecondType>();
        let shift = |time: i64, months: i64, days: i64, micros: i64| {
            shifted(time, sign * months, sign * days, sign * micros, &zone)
                .ok_or_else(|| ArrowError::from_external_error(Box::new(error())))
        };
        let result: PrimitiveArray<TimestampMicrosecondType> = match right.data_type() {
            DataType::Timestamp(..) => {
                let between = |a: i64, b: i64| Ok(zone.to_local(a).wrapping_sub(zone.to_local(b)));
                let right = right.as_primitive::<TimestampMicrosecondType>();
                let between: DurationMicrosecondArray = compute::try_binary(times, right, between)?;
                return Ok(Arc::new(between));
            }
            DataType::Duration(_) => {
                compute::try_binary(times, right.as_primitive::<DurationMicrosecondType>(), |time, micros: i64| {
                    // As Spark: whole days are days of the calendar, also where 24 hours were written.
                    shift(time, 0, micros / MICROS_PER_DAY, micros % MICROS_PER_DAY)
                })?
            }
            DataType::Interval(IntervalUnit::YearMonth) => {
                compute::try_binary(times, right.as_primitive::<IntervalYearMonthType>(), |time, months| {
                    shift(time, i64::from(months), 0, 0)
                })?
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                compute::try_binary(times, right.as_primitive::<IntervalMonthDayNanoType>(), |time, interval| {
                    shift(time, i64::from(interval.months), i64::from(interval.days), interval.nanoseconds / 1000)
                })?
            }
            other => return Err(bad_parameters(&format!("interval of the type `{other}`"))),
        };
        let result: TimestampMicrosecondArray = result;
        Ok(if zoned { Arc::new(result.with_timezone("UTC")) } else { Arc::new(result) })
    }
}

/// A time some months, then days, then microseconds later, as a wall clock in the zone counts them.
pub fn shifted(time: i64, months: i64, days: i64, micros: i64, zone: &Zone) -> Option<i64> {
    let time = if months == 0 && days == 0 {
        time
    } else {
        let (date, clock) = split_local(zone.to_local(time));
        let local = join_local(date.plus_months(months), clock)?;
        zone.to_utc_near(local.checked_add(days.checked_mul(MICROS_PER_DAY)?)?, time)
    };
    time.checked_add(micros)
}

/// The function `spark_date_add`: a date some days later; the second argument is an `int`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DateAdd {
    pub subtract: bool,
}

impl Kernel for DateAdd {
    const NAME: &'static str = "spark_date_add";

    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)> {
        Ok((DataType::Date32, arguments.iter().any(|argument| argument.is_nullable())))
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        elementwise(arguments, |arrays, _| {
            let dates = arrays[0].as_primitive::<Date32Type>();
            let days = arrays[1].as_primitive::<datafusion::arrow::datatypes::Int32Type>();
            let add =
                |date: i32, days: i32| if self.subtract { date.wrapping_sub(days) } else { date.wrapping_add(days) };
            let result: PrimitiveArray<Date32Type> = compute::binary(dates, days, add)?;
            Ok(Arc::new(result))
        })
    }

    fn encode(&self) -> Value {
        json!({"subtract": self.subtract})
    }

    fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> {
        let subtract = parameters.get("subtract").and_then(Value::as_bool).ok_or_else(|| bad_parameters("subtract"))?;
        Ok(DateAdd { subtract })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cast::parse_timestamp;

    #[test]
    fn months_and_days_follow_the_wall_clock() {
        let zone = Zone::parse("America/New_York").unwrap();
        let at = |text: &str| parse_timestamp(text, &zone).unwrap();
        // A day later over the change of the clock is 23 hours.
        assert_eq!(shifted(at("2024-03-09 12:00:00"), 0, 1, 0, &zone), Some(at("2024-03-10 12:00:00")));
        assert_eq!(at("2024-03-10 12:00:00") - at("2024-03-09 12:00:00"), 23 * 3_600_000_000);
        assert_eq!(shifted(at("2024-01-31 01:00:00"), 1, 0, 5, &zone), Some(at("2024-02-29 01:00:00.000005")));
        assert_eq!(shifted(i64::MAX, 0, 0, 1, &zone), None);
    }

    #[test]
    fn whole_days_of_an_interval_follow_the_wall_clock_too() {
        let zone = Zone::parse("America/New_York").unwrap();
        let at = |text: &str| parse_timestamp(text, &zone).unwrap();
        let kernel = TimeArithmetic { subtract: false, zone: zone.clone() };
        let noon = TimestampMicrosecondArray::from(vec![at("2024-03-09 12:00:00")]);
        let time: ArrayRef = Arc::new(noon.with_timezone("UTC"));
        let hours: ArrayRef = Arc::new(DurationMicrosecondArray::from(vec![25 * 3_600_000_000]));
        let later = kernel.compute(&time, &hours).unwrap();
        assert_eq!(later.as_primitive::<TimestampMicrosecondType>().value(0), at("2024-03-10 13:00:00"));
    }

    #[test]
    fn the_time_between() {
        let kernel = TimeArithmetic { subtract: true, zone: Zone::utc() };
        let time = |micros: i64| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(vec![Some(micros), None]).with_timezone("UTC"))
        };
        let between = kernel.compute(&time(15), &time(5)).unwrap();
        assert_eq!(between.as_primitive::<DurationMicrosecondType>().value(0), 10);
        assert!(between.is_null(1));
    }
}
