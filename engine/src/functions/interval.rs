//! Intervals as text: `10 seconds`, `interval 1 hour 30 minutes`, `-1.5 seconds`.

use crate::error::{ExceptionKind, SparkError};
use crate::types::{MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};

/// An interval of the calendar: its parts do not mix, since a month and a day have no fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CalendarInterval {
    pub months: i64,
    pub days: i64,
    pub micros: i64,
}

impl CalendarInterval {
    /// The length with days of 24 hours. Refuses months, as Spark does for windows and watermarks.
    pub fn fixed_micros(self, text: &str) -> Result<i64, SparkError> {
        if self.months != 0 {
            return Err(SparkError::new(
                ExceptionKind::IllegalArgument,
                "_LEGACY_ERROR_TEMP_3231",
                "",
                format!("Intervals greater than a month is not supported ({text})."),
            ));
        }
        let days = self.days.checked_mul(24 * MICROS_PER_HOUR);
        days.and_then(|days| days.checked_add(self.micros)).ok_or_else(|| invalid(text))
    }
}

fn invalid(text: &str) -> SparkError {
    SparkError::new(
        ExceptionKind::IllegalArgument,
        "CANNOT_PARSE_INTERVAL",
        "22006",
        format!(
            "Unable to parse '{text}'. Please ensure that the value provided is in a valid format for defining an interval. \
             You can reference the documentation for the correct format. If the issue persists, please double check that \
             the input value is not null or empty and try again."
        ),
    )
    .with("intervalString", text)
}

/// Reads an interval. As Spark: pairs of a number and a unit, optionally after the word `interval`; only seconds may
/// have a fraction.
pub fn parse_interval(text: &str) -> Result<CalendarInterval, SparkError> {
    let lower = text.trim().to_lowercase();
    let mut words = lower.split_whitespace().peekable();
    words.next_if_eq(&"interval");
    let mut interval = CalendarInterval::default();
    let mut any = false;
    while let Some(word) = words.next() {
        // A sign may stand apart from its number, and a unit may stand at it.
        let joined;
        let number = match word {
            "+" | "-" => {
                joined = format!("{word}{}", words.next().ok_or_else(|| invalid(text))?);
                joined.as_str()
            }
            _ => word,
        };
        let unit_at = number.find(|c: char| c.is_ascii_alphabetic());
        let (number, unit) = match unit_at {
            Some(at) => (&number[..at], &number[at..]),
            None => (number, words.next().ok_or_else(|| invalid(text))?),
        };
        add(&mut interval, number, unit).ok_or_else(|| invalid(text))?;
        any = true;
    }
    if any { Ok(interval) } else { Err(invalid(text)) }
}

fn add(interval: &mut CalendarInterval, number: &str, unit: &str) -> Option<()> {
    let (slot, factor) = match unit.strip_suffix('s').unwrap_or(unit) {
        "year" => (&mut interval.months, 12),
        "month" => (&mut interval.months, 1),
        "week" => (&mut interval.days, 7),
        "day" => (&mut interval.days, 1),
        "hour" => (&mut interval.micros, MICROS_PER_HOUR),
        "minute" => (&mut interval.micros, MICROS_PER_MINUTE),
        "second" => (&mut interval.micros, MICROS_PER_SECOND),
        "millisecond" => (&mut interval.micros, 1000),
        "microsecond" => (&mut interval.micros, 1),
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.contains('.') && factor != MICROS_PER_SECOND {
        return None;
    }
    let negative = whole.starts_with('-');
    let digits = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    let plain = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    if !plain(digits) || !plain(fraction) || fraction.len() > 9 || (digits.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: i64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    let value = whole.checked_mul(factor)?.checked_add(nanos / 1000)?;
    *slot = slot.checked_add(if negative { -value } else { value })?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_programs_write() {
        for (text, seconds) in [
            ("10 seconds", 10),
            ("1 minute", 60),
            ("5 minutes 30 seconds", 330),
            ("interval 1 hour", 3600),
            ("1 day", 86_400),
            ("2 weeks", 1_209_600),
            ("0 seconds", 0),
            ("- 5 seconds", -5),
            ("10s", 10),
        ] {
            let interval = parse_interval(text);
            if text == "10s" {
                assert!(interval.is_err());
                continue;
            }
            assert_eq!(interval.unwrap().fixed_micros(text).unwrap(), seconds * MICROS_PER_SECOND, "{text}");
        }
        assert_eq!(parse_interval("1.5 seconds").unwrap().micros, 1_500_000);
        assert_eq!(parse_interval("100 milliseconds").unwrap().micros, 100_000);
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["", "10", "seconds", "ten seconds", "1.5 minutes", "10 fortnights"] {
            assert_eq!(parse_interval(text).unwrap_err().class, "CANNOT_PARSE_INTERVAL", "{text}");
        }
        let months = parse_interval("1 month").unwrap();
        assert!(months.fixed_micros("1 month").is_err());
    }
}
