//! Which patterns there are: Spark's own refusals, then those of `java.time`, and what Spark 2's parser took.

use super::{DateTimePattern, Item};
use crate::error::{ExceptionKind, SparkError};

/// What a pattern is for: fewer letters can be read than written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Format,
    Read,
}

/// Who refuses a pattern.
pub(super) enum Refusal {
    Spark(SparkError),
    /// `java.time`, whose reasons Spark does not pass on.
    Java,
}

/// The letters outside of quotes.
fn unquoted(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('\'').step_by(2)
}

/// Refuses what Spark itself refuses. As its `convertIncompatiblePattern`.
pub(super) fn check_letters(pattern: &str, purpose: Purpose) -> Result<(), SparkError> {
    const WEEK_BASED: &str = "YWwuec";
    const UNSUPPORTED: &str = "ABnNp";
    const UNSUPPORTED_TO_READ: &str = "EFqQ";
    const TOO_LONG: [&str; 7] = ["GGGGG", "MMMMM", "LLLLL", "EEEEE", "QQQQQ", "qqqqq", "yyyyyyy"];
    for part in unquoted(pattern) {
        if let Some(letter) = part.chars().find(|letter| WEEK_BASED.contains(*letter)) {
            return Err(week_based(letter));
        }
        let illegal_here = |letter: &char| {
            UNSUPPORTED.contains(*letter) || (purpose == Purpose::Read && UNSUPPORTED_TO_READ.contains(*letter))
        };
        if let Some(letter) = part.chars().find(illegal_here) {
            return Err(illegal(pattern, letter));
        }
        if TOO_LONG.iter().any(|letters| part.contains(letters)) {
            return Err(too_long(pattern));
        }
    }
    Ok(())
}

/// The pattern's items; none where `java.time` refuses it.
pub(super) fn compile(pattern: &str) -> Option<DateTimePattern> {
    // Without an era a year has a sign. As Spark, which puts `u` for `y` then.
    let with_era = unquoted(pattern).any(|part| part.contains('G'));
    let mut chars = pattern.chars().peekable();
    let mut stack: Vec<Vec<Item>> = vec![Vec::new()];
    while let Some(c) = chars.next() {
        let items = stack.last_mut()?;
        match c {
            '\'' => push_literal(items, &quoted(&mut chars)?),
            '[' => stack.push(Vec::new()),
            ']' => {
                let inside = stack.pop().unwrap_or_default();
                stack.last_mut()?.push(Item::Optional(inside));
            }
            '#' | '{' | '}' => return None,
            _ if c.is_ascii_alphabetic() => {
                let mut count = 1;
                while chars.next_if_eq(&c).is_some() {
                    count += 1;
                }
                if count > longest(c, count) {
                    return None;
                }
                items.push(Item::Field(if c == 'y' && !with_era { 'u' } else { c }, count));
            }
            other => push_literal(items, other.encode_utf8(&mut [0; 4])),
        }
    }
    let mut items = stack.pop().unwrap_or_default();
    // A bracket that is not closed is closed at the end, as in Java.
    while let Some(mut outer) = stack.pop() {
        outer.push(Item::Optional(items));
        items = outer;
    }
    Some(DateTimePattern { items })
}

fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    if chars.next_if_eq(&'\'').is_some() {
        return Some("'".to_owned());
    }
    let mut text = String::new();
    loop {
        match chars.next()? {
            '\'' if chars.next_if_eq(&'\'').is_some() => text.push('\''),
            '\'' => return Some(text),
            c => text.push(c),
        }
    }
}

fn push_literal(items: &mut Vec<Item>, text: &str) {
    match items.last_mut() {
        Some(Item::Literal(last)) => last.push_str(text),
        _ => items.push(Item::Literal(text.to_owned())),
    }
}

/// How often a letter may stand in a row; zero for what is no letter of a pattern.
fn longest(letter: char, count: usize) -> usize {
    match letter {
        'G' | 'E' | 'M' | 'L' | 'Q' | 'q' | 'z' => 4,
        'y' => 6,
        'd' | 'h' | 'H' | 'k' | 'K' | 'm' | 's' => 2,
        'D' => 3,
        'F' | 'a' => 1,
        'S' => 9,
        'V' if count == 2 => 2,
        'O' if count == 1 || count == 4 => 4,
        'X' | 'x' | 'Z' => 5,
        _ => 0,
    }
}

/// Whether `SimpleDateFormat` takes the pattern, with which Spark 2 read and wrote times.
pub(super) fn is_simple_date_format(pattern: &str) -> bool {
    const LETTERS: &str = "GyYMLwWDdFEuaHkKhmsSzZX";
    // An odd number of quotes leaves one open.
    let closed = pattern.matches('\'').count().is_multiple_of(2);
    closed
        && unquoted(pattern).all(|part| {
            let known = part.chars().all(|letter| !letter.is_ascii_alphabetic() || LETTERS.contains(letter));
            known && !part.contains("XXXX")
        })
}

fn runtime(class: &str, state: &str, message: String) -> SparkError {
    SparkError::new(ExceptionKind::Runtime, class, state, message)
}

const UPGRADE: &str = "You may get a different result due to the upgrading to Spark >= 3.0:";

fn week_based(letter: char) -> SparkError {
    runtime(
        "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_WEEK_BASED_PATTERN",
        "42K0B",
        format!(
            "{UPGRADE} All week-based patterns are unsupported since Spark 3.0, detected week-based character: \
             {letter}. Please use the SQL function EXTRACT instead."
        ),
    )
    .with("c", letter)
}

/// The error of a pattern that only Spark 2 took.
pub(super) fn upgraded(pattern: &str) -> SparkError {
    runtime(
        "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION",
        "42K0B",
        format!(
            "{UPGRADE} Fail to recognize '{pattern}' pattern in the DateTimeFormatter. You can form a valid datetime \
             pattern with the guide from 'https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html'."
        ),
    )
    .with("pattern", format!("'{pattern}'"))
}

/// The error of a pattern that never was one.
pub(super) fn unrecognized(pattern: &str) -> SparkError {
    runtime(
        "INVALID_DATETIME_PATTERN.WITH_SUGGESTION",
        "22007",
        format!(
            "Unrecognized datetime pattern: '{pattern}'. You can form a valid datetime pattern with the guide from \
             'https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html'."
        ),
    )
    .with("pattern", format!("'{pattern}'"))
}

fn illegal(pattern: &str, letter: char) -> SparkError {
    runtime(
        "INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER",
        "22007",
        format!(
            "Unrecognized datetime pattern: {pattern}. Illegal pattern character found in datetime pattern: {letter}. \
             Please provide legal character."
        ),
    )
    .with("pattern", pattern)
    .with("c", letter)
}

fn too_long(pattern: &str) -> SparkError {
    runtime(
        "INVALID_DATETIME_PATTERN.LENGTH",
        "22007",
        format!(
            "Unrecognized datetime pattern: {pattern}. Too many letters in datetime pattern: {pattern}. Please reduce \
             pattern length."
        ),
    )
    .with("pattern", pattern)
}
