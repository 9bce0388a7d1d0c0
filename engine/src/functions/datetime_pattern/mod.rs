//! Java's date-time patterns as Spark allows them: `yyyy-MM-dd HH:mm:ss.SSS`, `EEE, d MMM yyyy`,
//! `yyyyMMdd'T'HHmmssXXX`.
//!
//! A pattern is compiled once and then formats instants or reads them. Reading is strict as `java.time` is in Spark:
//! widths count, text must be used up, fields must make a real date. Letters that Spark refuses are refused.

mod format;
mod read;
mod rules;

use format::{Moment, format_item};
use read::{Fields, Reader};
use rules::{Purpose, Refusal, check_letters, compile, is_simple_date_format, unrecognized, upgraded};

use crate::error::{ExceptionKind, SparkError};
use crate::types::{Zone, split_local};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateTimePattern {
    items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Literal(String),
    /// A letter and how often it stands there.
    Field(char, usize),
    /// What stands in brackets may be missing when text is read.
    Optional(Vec<Item>),
}

/// Why text does not fit a pattern: where reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseFailure {
    /// The byte at which the text stops to fit, or none when all was read and the fields make no time.
    pub index: Option<usize>,
}

impl DateTimePattern {
    /// Compiles a pattern for writing times. Fails with Spark's error where it does not allow the pattern.
    pub fn parse(pattern: &str) -> Result<Self, SparkError> {
        Self::parse_for(pattern, Purpose::Format)
    }

    /// Compiles a pattern for reading times, which may have fewer letters.
    pub fn parse_to_read(pattern: &str) -> Result<Self, SparkError> {
        Self::parse_for(pattern, Purpose::Read)
    }

    fn parse_for(pattern: &str, purpose: Purpose) -> Result<Self, SparkError> {
        let checked = check_letters(pattern, purpose).map_err(Refusal::Spark);
        let refusal = match checked.and_then(|()| compile(pattern).ok_or(Refusal::Java)) {
            Ok(compiled) => return Ok(compiled),
            Err(refusal) => refusal,
        };
        // What Spark 2 took is refused with a word on that, whatever the reason is.
        if is_simple_date_format(pattern) {
            return Err(upgraded(pattern));
        }
        Err(match refusal {
            Refusal::Spark(error) => error,
            Refusal::Java => unrecognized(pattern),
        })
    }

    /// Appends an instant, microseconds since the epoch, as a wall clock in the zone shows it.
    pub fn format(&self, micros: i64, zone: &Zone, out: &mut String) {
        let (date, time) = split_local(zone.to_local(micros));
        let moment = Moment { date, time, offset_seconds: zone.offset_seconds(micros), micros, zone };
        for item in &self.items {
            format_item(item, &moment, out);
        }
    }

    /// Reads an instant, microseconds since the epoch; text without a zone is in `zone`.
    pub fn read(&self, text: &str, zone: &Zone) -> Result<i64, ParseFailure> {
        let mut fields = Fields::default();
        let mut reader = Reader { text, at: 0 };
        reader.items(&self.items, &mut fields)?;
        if reader.at < text.len() {
            return Err(reader.failure());
        }
        let local = fields.local().ok_or(ParseFailure { index: None })?;
        Ok(fields.zone.as_ref().unwrap_or(zone).to_utc(local))
    }
}

/// Spark's error of text that does not fit a pattern.
pub fn cannot_parse(text: &str, failure: ParseFailure) -> SparkError {
    let message = match failure.index {
        Some(index) => format!("Text '{text}' could not be parsed at index {index}"),
        None => format!("Text '{text}' could not be parsed: Invalid date"),
    };
    SparkError::new(
        ExceptionKind::Runtime,
        "CANNOT_PARSE_TIMESTAMP",
        "22007",
        format!("{message}. Use `try_to_timestamp` to tolerate invalid input string and return NULL instead."),
    )
    .with("message", message)
    .with("func", "`try_to_timestamp`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cast::parse_timestamp;

    fn format(pattern: &str, text: &str, zone: &str) -> String {
        let zone = Zone::parse(zone).unwrap();
        let micros = parse_timestamp(text, &zone).unwrap();
        let mut out = String::new();
        DateTimePattern::parse(pattern).unwrap().format(micros, &zone, &mut out);
        out
    }

    fn read(pattern: &str, text: &str) -> Option<String> {
        let micros = DateTimePattern::parse_to_read(pattern).unwrap().read(text, &Zone::utc()).ok()?;
        let mut out = String::new();
        crate::cast::write_local(&mut out, micros);
        Some(out)
    }

    #[test]
    fn formats() {
        let at = "2024-03-05 17:08:09.123456";
        for (pattern, expected) in [
            ("yyyy-MM-dd HH:mm:ss", "2024-03-05 17:08:09"),
            ("yy/M/d h:mm a", "24/3/5 5:08 PM"),
            ("EEE, d MMM yyyy", "Tue, 5 Mar 2024"),
            ("EEEE MMMM", "Tuesday March"),
            ("HH:mm:ss.SSS", "17:08:09.123"),
            ("SSSSSSSSS", "123456000"),
            ("'on' yyyy 'o''clock'", "on 2024 o'clock"),
            ("D yyy Q", "65 2024 1"),
            ("yyyy-MM-dd'T'HH:mm:ssXXX", "2024-03-05T17:08:09+02:00"),
            ("x Z O", "+02 +0200 GMT+2"),
        ] {
            assert_eq!(format(pattern, at, "+02:00"), expected, "{pattern}");
        }
        assert_eq!(format("XXX", at, "UTC"), "Z");
        assert_eq!(format("z VV", at, "America/New_York"), "EST America/New_York");
    }

    #[test]
    fn reads() {
        for (pattern, text, expected) in [
            ("yyyy-MM-dd HH:mm:ss", "2024-03-05 17:08:09", "2024-03-05 17:08:09"),
            ("yyyy-MM-dd", "2024-03-05", "2024-03-05 00:00:00"),
            ("dd/MM/yyyy h:mm a", "05/03/2024 5:08 pm", "2024-03-05 17:08:00"),
            ("yyyyMMddHHmmss", "20240305170809", "2024-03-05 17:08:09"),
            ("yyyyMMddHHmmssSSS", "20240305170809123", "2024-03-05 17:08:09.123"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2024-03-05T17:08:09.5+02:00", "2024-03-05 15:08:09.5"),
            ("d MMM yyyy", "5 mar 2024", "2024-03-05 00:00:00"),
            ("yyyy-MM-dd[ HH:mm]", "2024-03-05", "2024-03-05 00:00:00"),
            ("yyyy-MM-dd[ HH:mm]", "2024-03-05 01:02", "2024-03-05 01:02:00"),
            ("yyyy-D", "2024-366", "2024-12-31 00:00:00"),
            ("HH:mm", "01:02", "1970-01-01 01:02:00"),
            ("yyyy-MM-dd HH:mm:ss z", "2024-03-05 01:02:03 America/New_York", "2024-03-05 06:02:03"),
        ] {
            assert_eq!(read(pattern, text).as_deref(), Some(expected), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("yyyy-MM-dd", "2024-3-5"),
            ("yyyy-MM-dd", "2024-03-05 "),
            ("yyyy-MM-dd", "2024-02-30"),
            ("yyyy-MM-dd", "24-02-03"),
            ("HH", "24"),
        ] {
            assert_eq!(read(pattern, text), None, "{pattern} {text}");
        }
    }

    #[test]
    fn refuses_letters() {
        let recognition = "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION";
        for (pattern, class) in [
            ("YYYY", recognition),
            ("ww", recognition),
            ("u", recognition),
            ("HHH", recognition),
            ("MMMMM", recognition),
            ("e", "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_WEEK_BASED_PATTERN"),
            ("A", "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER"),
            ("QQQQQ", "INVALID_DATETIME_PATTERN.LENGTH"),
            ("yyyy-bb", "INVALID_DATETIME_PATTERN.WITH_SUGGESTION"),
            ("'open", "INVALID_DATETIME_PATTERN.WITH_SUGGESTION"),
        ] {
            assert_eq!(DateTimePattern::parse(pattern).unwrap_err().class, class, "{pattern}");
        }
        assert!(DateTimePattern::parse("E Q").is_ok());
        assert_eq!(DateTimePattern::parse_to_read("E").unwrap_err().class, recognition);
        let illegal = "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER";
        assert_eq!(DateTimePattern::parse_to_read("Q").unwrap_err().class, illegal);
    }

    #[test]
    fn years_before_the_first_have_no_era_unless_it_is_shown() {
        assert_eq!(format("yyyy-MM", "0000-03-05 00:00:00", "UTC"), "0000-03");
        assert_eq!(format("yyyy G", "0000-03-05 00:00:00", "UTC"), "0001 BC");
    }

    #[test]
    fn says_where_it_stopped() {
        let pattern = DateTimePattern::parse_to_read("yyyy-MM-dd").unwrap();
        assert_eq!(pattern.read("2024/03", &Zone::utc()), Err(ParseFailure { index: Some(4) }));
    }
}
