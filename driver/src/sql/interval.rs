//! Interval texts: `5 seconds`, `1 hour 30 minutes`, `1-2` with `YEAR TO MONTH`, `3 04:05:06.7` with `DAY TO SECOND`.

use pyrite_engine::error::SparkError;

use super::errors;

/// What a unit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Months(i64),
    Micros(i64),
}

const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;

/// A unit by name, singular or plural, any case.
pub(super) fn unit(word: &str) -> Option<Unit> {
    let word = word.to_ascii_lowercase();
    Some(match word.strip_suffix('s').unwrap_or(&word) {
        "year" => Unit::Months(12),
        "month" => Unit::Months(1),
        "week" => Unit::Micros(7 * DAY_US),
        "day" => Unit::Micros(DAY_US),
        "hour" => Unit::Micros(HOUR_US),
        "minute" => Unit::Micros(MINUTE_US),
        "second" => Unit::Micros(SECOND_US),
        "millisecond" => Unit::Micros(1_000),
        "microsecond" => Unit::Micros(1),
        _ => return None,
    })
}

/// The value of an interval: Spark's ANSI intervals never mix months with days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntervalValue {
    YearMonth(i32),
    DayTime(i64),
}

/// Parses `5 seconds`, `interval 1 day 2 hours`, `-1.5 seconds`.
///
/// # Errors
/// `INVALID_INTERVAL_FORMAT` where the text is none, or mixes months with days.
pub fn parse_interval(text: &str) -> Result<IntervalValue, SparkError> {
    let lower = text.trim().to_ascii_lowercase();
    let (negated, body) = match lower.strip_prefix('-').filter(|rest| rest.starts_with(' ')) {
        Some(rest) => (true, rest.trim_start()),
        None => (false, lower.as_str()),
    };
    let body = body.strip_prefix("interval").filter(|rest| rest.starts_with(char::is_whitespace)).unwrap_or(body);
    let words = split_words(body);
    if words.is_empty() || !words.len().is_multiple_of(2) {
        return Err(invalid(text));
    }
    let (mut months, mut micros) = (None, None);
    for pair in words.chunks_exact(2) {
        let (total, factor) = match unit(&pair[1]).ok_or_else(|| invalid(text))? {
            Unit::Months(factor) => (&mut months, factor),
            Unit::Micros(factor) => (&mut micros, factor),
        };
        let count = scaled(&pair[0], factor).ok_or_else(|| invalid(text))?;
        *total = Some(total.unwrap_or(0_i64).checked_add(count).ok_or_else(|| invalid(text))?);
    }
    let sign = if negated { -1 } else { 1 };
    match (months, micros) {
        (Some(months), None) => i32::try_from(sign * months).map(IntervalValue::YearMonth).map_err(|_| invalid(text)),
        (None, Some(micros)) => Ok(IntervalValue::DayTime(sign * micros)),
        _ => Err(errors::invalid_literal(
            "UNSUPPORTED_FEATURE",
            "0A000",
            format!("Cannot mix year-month and day-time fields: {text}"),
        )),
    }
}

/// Parses an interval with a range of units: `'1-2' year to month`, `'1 02:03:04' day to second`.
pub(super) fn parse_range(text: &str, range: &str) -> Result<IntervalValue, SparkError> {
    let (negated, body) = match text.trim().strip_prefix(['-', '+']) {
        Some(rest) => (text.trim().starts_with('-'), rest),
        None => (false, text.trim()),
    };
    let sign = if negated { -1 } else { 1 };
    let (from, to) = range.split_once(" to ").ok_or_else(|| invalid(text))?;
    if from.starts_with("year") && to.starts_with("month") {
        let (years, months) = body.split_once('-').ok_or_else(|| invalid(text))?;
        let months = years
            .trim()
            .parse::<i32>()
            .ok()
            .zip(months.trim().parse::<i32>().ok())
            .and_then(|(y, m)| y.checked_mul(12)?.checked_add(m));
        return months.map(|months| IntervalValue::YearMonth(sign * months)).ok_or_else(|| invalid(text));
    }
    let names = ["day", "hour", "minute", "second"];
    let place = |name: &str| names.iter().position(|unit| name.trim_end_matches('s') == *unit);
    let (first, last) = place(from).zip(place(to)).filter(|(first, last)| first < last).ok_or_else(|| invalid(text))?;
    let fields: Vec<&str> = body.split([' ', ':']).filter(|field| !field.is_empty()).collect();
    if fields.len() != last - first + 1 {
        return Err(invalid(text));
    }
    let factors = [DAY_US, HOUR_US, MINUTE_US, SECOND_US];
    let mut micros = 0_i64;
    for (field, factor) in fields.iter().zip(&factors[first..=last]) {
        micros = scaled(field, *factor).and_then(|count| micros.checked_add(count)).ok_or_else(|| invalid(text))?;
    }
    Ok(IntervalValue::DayTime(i64::from(sign) * micros))
}

/// Splits at white space and between a number and the unit glued to it (`10s` is no unit, `10seconds` is).
fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        let cut = word.find(|c: char| c.is_ascii_alphabetic()).filter(|cut| *cut > 0);
        match cut {
            Some(cut) => words.extend([word[..cut].to_owned(), word[cut..].to_owned()]),
            None => words.push(word.to_owned()),
        }
    }
    words
}

/// `value * factor`; a fraction is allowed for seconds only, cut to microseconds.
fn scaled(value: &str, factor: i64) -> Option<i64> {
    let (negative, digits) = match value.strip_prefix(['-', '+']) {
        Some(rest) => (value.starts_with('-'), rest),
        None => (false, value),
    };
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, fraction)| (whole, Some(fraction)));
    let whole = if whole.is_empty() { 0 } else { whole.parse::<i64>().ok()? };
    let mut micros = whole.checked_mul(factor)?;
    if let Some(fraction) = fraction {
        if factor != SECOND_US || fraction.len() > 9 || fraction.chars().any(|c| !c.is_ascii_digit()) {
            return None;
        }
        let padded = format!("{fraction:0<6}");
        micros = micros.checked_add(padded[..6].parse::<i64>().ok()?)?;
    }
    Some(if negative { -micros } else { micros })
}

fn invalid(text: &str) -> SparkError {
    errors::invalid_literal(
        "INVALID_INTERVAL_FORMAT",
        "22006",
        format!(
            "Error parsing '{text}' to interval. Please \
        ensure that the value provided is in a valid format for defining an interval."
        ),
    )
    .with("input", text)
}
