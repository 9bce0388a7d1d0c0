//! How JSON text becomes dates and times, and back. The decoder and the writer only know the trait.

use std::fmt::Debug;

use super::options::JsonOptions;
use crate::cast::{parse_date, parse_timestamp, push_padded, write_date};
use crate::error::SparkError;
use crate::functions::DateTimePattern;
use crate::types::{Date, MICROS_PER_DAY, MICROS_PER_SECOND, Time, Zone, split_local};

/// Reads the text of JSON strings into dates and times, `None` when the text is none; and writes them.
pub trait TextTimes: Debug + Send + Sync {
    /// Microseconds since the epoch.
    fn timestamp(&self, text: &str) -> Option<i64>;
    /// Microseconds of wall-clock time since 1970-01-01 00:00; text with a zone is refused.
    fn timestamp_ntz(&self, text: &str) -> Option<i64>;
    /// Days since the epoch.
    fn date(&self, text: &str) -> Option<i32>;
    /// Writes microseconds since the epoch.
    fn write_timestamp(&self, micros: i64, out: &mut String);
    /// Writes microseconds of wall-clock time.
    fn write_timestamp_ntz(&self, micros: i64, out: &mut String);
    /// Writes days since the epoch.
    fn write_date(&self, days: i32, out: &mut String);
}

/// How the text of one type is read and written.
#[derive(Debug, Clone)]
enum Format {
    /// Without a pattern: read as Spark's casts read it, written in ISO 8601.
    Plain,
    /// By a pattern; as Spark, one that is no pattern matches nothing. What does not match may still be read as plain.
    Pattern { read: Option<DateTimePattern>, write: Option<DateTimePattern>, fallback: bool },
}

/// Texts by the options of a call.
#[derive(Debug, Clone)]
pub struct OptionTimes {
    zone: Zone,
    /// Any zone that differs from UTC, to tell text with a zone from text without one.
    other: Zone,
    timestamp: Format,
    timestamp_ntz: Format,
    date: Format,
}

impl OptionTimes {
    /// The reader and writer that the options want. Refuses a time zone that does not exist.
    pub fn new(options: &JsonOptions) -> Result<Self, SparkError> {
        let zone = Zone::parse(&options.time_zone).ok_or_else(|| {
            let message = format!("The timezone: {} is invalid.", options.time_zone);
            SparkError::analysis("INVALID_TIMEZONE", "22009", message).with("timeZone", &options.time_zone)
        })?;
        let format = |pattern: &Option<String>| match pattern {
            None => Format::Plain,
            Some(text) => Format::Pattern {
                read: DateTimePattern::parse_to_read(text).ok(),
                write: DateTimePattern::parse(text).ok(),
                fallback: options.parsing_fallback == Some(true),
            },
        };
        Ok(OptionTimes {
            zone,
            other: Zone::parse("+01:00").unwrap_or_else(Zone::utc),
            timestamp: format(&options.timestamp_format),
            timestamp_ntz: format(&options.timestamp_ntz_format),
            date: format(&options.date_format),
        })
    }
}

impl Format {
    /// Reads text by the pattern, else as plain text where that is wanted.
    fn read<T>(
        &self,
        text: &str,
        zone: &Zone,
        of: impl Fn(i64) -> Option<T>,
        plain: impl Fn() -> Option<T>,
    ) -> Option<T> {
        match self {
            Format::Plain => plain(),
            Format::Pattern { read, fallback, .. } => {
                let read = read.as_ref().and_then(|pattern| pattern.read(text, zone).ok()).and_then(of);
                if read.is_none() && *fallback { plain() } else { read }
            }
        }
    }

    /// Writes by the pattern, if there is one.
    fn write(&self, micros: i64, zone: &Zone, out: &mut String) -> bool {
        match self {
            Format::Pattern { write: Some(pattern), .. } => {
                pattern.format(micros, zone, out);
                true
            }
            Format::Plain | Format::Pattern { write: None, .. } => false,
        }
    }
}

/// As Spark: `2000-01-01T00:00GMT+01:00`, which old versions wrote, is read as well.
fn without_gmt(text: &str) -> Option<String> {
    text.contains("GMT").then(|| text.replacen("GMT", "", 1))
}

fn plain_date(text: &str) -> Option<i32> {
    parse_date(text)
        .or_else(|| parse_date(&without_gmt(text)?))
        // As Spark, which once kept dates so: the number of days. (Of the Julian days before 1582 it makes Gregorian
        // ones; here they are taken as they are.)
        .or_else(|| text.parse().ok())
}

fn write_plain_local(local: i64, out: &mut String) {
    let (date, Time { hour, minute, second, micros }) = split_local(local);
    write_date(out, date);
    for (separator, value, width) in [('T', hour, 2), (':', minute, 2), (':', second, 2), ('.', micros / 1000, 3)] {
        out.push(separator);
        push_padded(out, value, width);
    }
}

impl TextTimes for OptionTimes {
    fn timestamp(&self, text: &str) -> Option<i64> {
        self.timestamp.read(text, &self.zone, Some, || {
            parse_timestamp(text, &self.zone).or_else(|| parse_timestamp(&without_gmt(text)?, &self.zone))
        })
    }

    fn timestamp_ntz(&self, text: &str) -> Option<i64> {
        self.timestamp_ntz.read(text, &Zone::utc(), Some, || {
            // A zone in the text would make the two equal.
            let micros = parse_timestamp(text, &Zone::utc())?;
            let elsewhere = parse_timestamp(text, &self.other)?;
            let time_alone =
                text.trim_start().starts_with('T') || text.find(':').is_some_and(|at| !text[..at].contains('-'));
            (micros != elsewhere && !time_alone).then_some(micros)
        })
    }

    fn date(&self, text: &str) -> Option<i32> {
        let days = |micros: i64| i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok();
        self.date.read(text, &Zone::utc(), days, || plain_date(text))
    }

    fn write_timestamp(&self, micros: i64, out: &mut String) {
        if self.timestamp.write(micros, &self.zone, out) {
            return;
        }
        write_plain_local(self.zone.to_local(micros), out);
        let minutes = self.zone.offset_seconds(micros) / 60;
        if minutes == 0 {
            out.push('Z');
            return;
        }
        out.push(if minutes < 0 { '-' } else { '+' });
        let minutes = minutes.unsigned_abs();
        push_padded(out, minutes / 60, 2);
        out.push(':');
        push_padded(out, minutes % 60, 2);
    }

    fn write_timestamp_ntz(&self, micros: i64, out: &mut String) {
        if !self.timestamp_ntz.write(micros, &Zone::utc(), out) {
            write_plain_local(micros, out);
        }
    }

    fn write_date(&self, days: i32, out: &mut String) {
        if !self.date.write(i64::from(days).saturating_mul(MICROS_PER_DAY), &Zone::utc(), out) {
            write_date(out, Date::from_days(i64::from(days)));
        }
    }
}

/// Seconds of a JSON number as microseconds, which wrap round as in Spark.
pub(super) fn seconds_to_micros(seconds: i64) -> i64 {
    seconds.wrapping_mul(MICROS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(zone: &str) -> OptionTimes {
        OptionTimes::new(&JsonOptions::new(zone)).expect("a zone")
    }

    #[test]
    fn patterns_are_strict_and_bad_ones_match_nothing() {
        let mut options = JsonOptions::new("UTC");
        options.timestamp_format = Some("dd/MM/yyyy HH:mm".to_owned());
        options.date_format = Some("no pattern {".to_owned());
        let by_pattern = OptionTimes::new(&options).expect("valid");
        assert_eq!(by_pattern.timestamp("02/01/1970 00:01"), Some(86_460_000_000));
        assert_eq!(by_pattern.timestamp("1970-01-02 00:01:00"), None);
        assert_eq!(by_pattern.date("1970-01-02"), None);
        let mut out = String::new();
        by_pattern.write_timestamp(86_460_000_000, &mut out);
        assert_eq!(out, "02/01/1970 00:01");
        options.parsing_fallback = Some(true);
        let lenient = OptionTimes::new(&options).expect("valid");
        assert_eq!(lenient.timestamp("1970-01-02 00:01:00"), Some(86_460_000_000));
        assert_eq!(lenient.date("1970-01-02"), Some(1));
    }

    #[test]
    fn unknown_zones_are_refused() {
        assert!(OptionTimes::new(&JsonOptions::new("Mars/Olympus")).is_err());
    }

    #[test]
    fn text_without_a_zone_is_in_the_session_s() {
        assert_eq!(times("+02:00").timestamp("1970-01-01 02:00:00"), Some(0));
        assert_eq!(times("+02:00").timestamp("1970-01-01T00:00:00GMT+00:00"), Some(0));
        assert_eq!(times("+02:00").timestamp_ntz("1970-01-01 00:00:01"), Some(1_000_000));
        assert_eq!(times("UTC").timestamp_ntz("1970-01-01 00:00:01Z"), None);
        assert_eq!(times("UTC").timestamp_ntz("00:00:01"), None);
    }

    #[test]
    fn dates_may_be_numbers_of_days() {
        assert_eq!(times("UTC").date("1970-01-03"), Some(2));
        assert_eq!(times("UTC").date("100"), Some(100));
        assert_eq!(times("UTC").date("x"), None);
    }

    #[test]
    fn timestamps_are_written_with_their_offset() {
        let write = |zone: &str, micros| {
            let mut out = String::new();
            times(zone).write_timestamp(micros, &mut out);
            out
        };
        assert_eq!(write("UTC", 1_500_999), "1970-01-01T00:00:01.500Z");
        assert_eq!(write("+05:30", 0), "1970-01-01T05:30:00.000+05:30");
        assert_eq!(write("America/New_York", 0), "1969-12-31T19:00:00.000-05:00");
    }
}
