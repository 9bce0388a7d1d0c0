//! The options of `writeStream` that are Spark's own words: trigger and output mode.

use std::time::Duration;

use pyrite_driver::query::Trigger;
use pyrite_driver::sql::{IntervalValue, parse_interval};
use pyrite_engine::error::{ExceptionKind, SparkError};
use pyrite_engine::plan::OutputMode;

use crate::wire::write_stream_operation_start::Trigger as WireTrigger;

/// The trigger of a message; none is the default one.
///
/// # Errors
/// An interval that cannot be read or has months, and triggers that Pyrite lacks.
pub fn trigger(message: Option<WireTrigger>) -> Result<Trigger, SparkError> {
    match message {
        None => Ok(Trigger::Default),
        Some(WireTrigger::ProcessingTimeInterval(text)) => processing_time(&text),
        Some(WireTrigger::AvailableNow(true)) => Ok(Trigger::AvailableNow),
        Some(WireTrigger::Once(true)) => Ok(Trigger::Once),
        Some(WireTrigger::AvailableNow(false) | WireTrigger::Once(false)) => Ok(Trigger::Default),
        Some(WireTrigger::ContinuousCheckpointInterval(_)) => Err(SparkError::unsupported("`trigger(continuous=...)`")),
        Some(WireTrigger::RealTimeBatchDuration(_)) => Err(SparkError::unsupported("`trigger(realTime=...)`")),
    }
}

fn processing_time(text: &str) -> Result<Trigger, SparkError> {
    let interval = parse_interval(text).map_err(|mut error| {
        // The text is an argument here, not SQL.
        error.kind = ExceptionKind::IllegalArgument;
        error
    })?;
    match interval {
        IntervalValue::YearMonth(_) => Err(SparkError::new(
            ExceptionKind::IllegalArgument,
            "_LEGACY_ERROR_TEMP_3262",
            "",
            format!("Doesn't support month or year interval: {text}"),
        )
        .with("interval", text)),
        IntervalValue::DayTime(micros) => match u64::try_from(micros) {
            // Spark's default trigger is an interval of zero milliseconds.
            Ok(0..1000) => Ok(Trigger::Default),
            Ok(micros) => Ok(Trigger::ProcessingTime(Duration::from_millis(micros / 1000))),
            Err(_) => Err(crate::error::illegal_argument(
                "requirement failed: the interval of trigger should not be negative",
            )),
        },
    }
}

/// The output mode by its name in any case; append when none is given, as Spark.
///
/// # Errors
/// `STREAMING_OUTPUT_MODE.INVALID` for another name.
pub fn output_mode(name: &str) -> Result<OutputMode, SparkError> {
    match name.to_ascii_lowercase().as_str() {
        "" | "append" => Ok(OutputMode::Append),
        "update" => Ok(OutputMode::Update),
        "complete" => Ok(OutputMode::Complete),
        _ => Err(SparkError::new(
            ExceptionKind::IllegalArgument,
            "STREAMING_OUTPUT_MODE.INVALID",
            "42KDE",
            format!("Invalid streaming output mode: {name}. Accepted output modes are 'Append', 'Complete', 'Update'."),
        )
        .with("outputMode", name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(text: &str) -> Result<Trigger, SparkError> {
        trigger(Some(WireTrigger::ProcessingTimeInterval(text.to_owned())))
    }

    #[test]
    fn intervals_of_the_trigger() {
        assert!(matches!(every("10 seconds"), Ok(Trigger::ProcessingTime(time)) if time == Duration::from_secs(10)));
        assert!(matches!(every("0 SECONDS"), Ok(Trigger::Default)));
        assert!(matches!(trigger(None), Ok(Trigger::Default)));
        assert_eq!(every("1 month").err().unwrap().class, "_LEGACY_ERROR_TEMP_3262");
        assert_eq!(every("abc").err().unwrap().kind, ExceptionKind::IllegalArgument);
        assert!(trigger(Some(WireTrigger::ContinuousCheckpointInterval("1 second".to_owned()))).is_err());
    }

    #[test]
    fn modes_in_any_case() {
        assert!(matches!(output_mode("Complete"), Ok(OutputMode::Complete)));
        assert!(matches!(output_mode(""), Ok(OutputMode::Append)));
        assert_eq!(output_mode("foo").err().unwrap().class, "STREAMING_OUTPUT_MODE.INVALID");
    }
}
