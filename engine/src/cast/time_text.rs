//! Dates and times as text, with the leniency of Spark's casts: `2024`, `2024-1-2`, `2024-01-02T3:4:5.678 +02:00`.

use crate::types::{Date, Time, Zone, join_local, split_local};

use super::number_text::trim_all;

/// Reads a date; what follows a space or `T` is ignored. Days since the epoch. As Spark's `stringToDate`.
pub fn parse_date(text: &str) -> Option<i32> {
    const YEAR_DIGITS_MAX: usize = 7;
    let bytes = trim_all(text).as_bytes();
    let (sign, bytes) = split_sign(bytes);
    let mut segments = [1i64; 3];
    let mut segment = 0;
    let mut digits = 0;
    let mut value: i64 = 0;
    let valid = |segment: usize, digits: usize| match segment {
        0 => (4..=YEAR_DIGITS_MAX).contains(&digits),
        _ => (1..=2).contains(&digits),
    };
    for byte in bytes {
        match byte {
            b'0'..=b'9' => {
                value = value * 10 + i64::from(byte - b'0');
                digits += 1;
                if digits > YEAR_DIGITS_MAX {
                    return None;
                }
            }
            b'-' if segment < 2 && valid(segment, digits) => {
                segments[segment] = value;
                (segment, digits, value) = (segment + 1, 0, 0);
            }
            b' ' | b'T' if segment == 2 => break,
            _ => return None,
        }
    }
    if !valid(segment, digits) {
        return None;
    }
    segments[segment] = value;
    let date = Date::new(sign * segments[0], u32::try_from(segments[1]).ok()?, u32::try_from(segments[2]).ok()?)?;
    i32::try_from(date.days()).ok()
}

fn split_sign(bytes: &[u8]) -> (i64, &[u8]) {
    match bytes.first() {
        Some(b'-') => (-1, &bytes[1..]),
        Some(b'+') => (1, &bytes[1..]),
        _ => (1, bytes),
    }
}

/// The parts of a timestamp's text.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    /// Year, month, day, hour, minute, second, microseconds.
    segments: [i64; 7],
    zone: Option<&'a str>,
    time_only: bool,
}

/// Reads an instant; text without a zone is in `zone`. Microseconds since the epoch. As Spark's `stringToTimestamp`:
/// a time alone is of today.
pub fn parse_timestamp(text: &str, zone: &Zone) -> Option<i64> {
    let parts = split_timestamp(text)?;
    let own = match parts.zone {
        Some(name) => Some(parse_zone(name.trim())?),
        None => None,
    };
    let zone = own.as_ref().unwrap_or(zone);
    let local = local_micros(&parts, zone)?;
    Some(zone.to_utc(local))
}

/// Reads a wall-clock time; a zone in the text is read and left out. Microseconds since 1970-01-01 00:00.
pub fn parse_timestamp_ntz(text: &str) -> Option<i64> {
    let parts = split_timestamp(text)?;
    if parts.time_only || parts.zone.is_some_and(|name| parse_zone(name.trim()).is_none()) {
        return None;
    }
    local_micros(&parts, &Zone::utc())
}

fn local_micros(parts: &Parts<'_>, zone: &Zone) -> Option<i64> {
    let part = |index: usize| u32::try_from(parts.segments[index]).ok();
    let time = Time::new(part(3)?, part(4)?, part(5)?, part(6)?)?;
    let date = if parts.time_only {
        split_local(zone.to_local(chrono::Utc::now().timestamp_micros())).0
    } else {
        Date::new(parts.segments[0], part(1)?, part(2)?)?
    };
    join_local(date, time)
}

/// A zone at the end of a timestamp. Almost always an upper-case `Z` or an offset.
fn parse_zone(name: &str) -> Option<Zone> {
    match name {
        "Z" | "UTC" => Some(Zone::utc()),
        _ => Zone::parse(name),
    }
}

/// Walks over the text once, segment by segment; each knows which sign ends it.
fn split_timestamp(text: &str) -> Option<Parts<'_>> {
    let text = trim_all(text);
    let bytes = text.as_bytes();
    let mut segments = [1, 1, 1, 0, 0, 0, 0];
    let mut at = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let sign: i64 = if bytes.first() == Some(&b'-') { -1 } else { 1 };
    let signed = at == 1;
    let start = at;
    let (mut segment, mut digits, mut value) = (0usize, 0usize, 0i64);
    let mut zone = None;
    let mut time_only = false;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte.is_ascii_digit() {
            // Digits beyond the microseconds are cut.
            if segment != 6 || digits < 6 {
                value = value.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?;
            }
            digits += 1;
            at += 1;
            continue;
        }
        if at == start && byte == b'T' {
            time_only = true;
            segment = 3;
            at += 1;
            continue;
        }
        let next = match (segment, byte) {
            (0 | 1, b'-') => segment + 1,
            (0, b':') if !signed => {
                time_only = true;
                segment = 3;
                4
            }
            (2, b' ' | b'T') => 3,
            (3 | 4, b':') => segment + 1,
            (5, b'.') => 6,
            (5 | 6, _) => {
                zone = text.get(at..);
                zone?;
                break;
            }
            _ => return None,
        };
        if !valid_digits(segment, digits) {
            return None;
        }
        segments[segment] = value;
        (segment, digits, value) = (next, 0, 0);
        at += 1;
    }
    if !valid_digits(segment, digits) {
        return None;
    }
    if segment == 6 {
        value *= 10i64.pow(6 - u32::try_from(digits.min(6)).ok()?);
    }
    segments[segment] = value;
    segments[0] *= sign;
    Some(Parts { segments, zone, time_only })
}

fn valid_digits(segment: usize, digits: usize) -> bool {
    match segment {
        0 => (4..=6).contains(&digits),
        6 => true,
        _ => (1..=2).contains(&digits),
    }
}

/// Appends a date as `yyyy-MM-dd`; years beyond 9999 have a sign.
pub fn write_date(out: &mut String, date: Date) {
    if date.year > 9999 {
        out.push('+');
    } else if date.year < 0 {
        out.push('-');
    }
    let year = date.year.unsigned_abs();
    if year > 9999 {
        out.push_str(&year.to_string());
    } else {
        push_padded(out, u32::try_from(year).expect("four digits"), 4);
    }
    out.push('-');
    push_padded(out, date.month, 2);
    out.push('-');
    push_padded(out, date.day, 2);
}

/// Appends what a wall clock shows as `yyyy-MM-dd HH:mm:ss[.ffffff]`, without trailing zeros of the fraction.
pub fn write_local(out: &mut String, local: i64) {
    let (date, time) = split_local(local);
    write_date(out, date);
    out.push(' ');
    push_padded(out, time.hour, 2);
    out.push(':');
    push_padded(out, time.minute, 2);
    out.push(':');
    push_padded(out, time.second, 2);
    write_fraction(out, time.micros);
}

/// Appends `.5` for 500,000 microseconds, nothing for none.
pub fn write_fraction(out: &mut String, micros: u32) {
    if micros == 0 {
        return;
    }
    out.push('.');
    push_padded(out, micros, 6);
    while out.ends_with('0') {
        out.pop();
    }
}

/// Appends a number with leading zeros up to a width.
pub fn push_padded(out: &mut String, value: u32, width: usize) {
    let mut digits = [b'0'; 10];
    let mut rest = value;
    let mut at = digits.len();
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("one digit");
        rest /= 10;
    }
    let from = at.min(digits.len() - width.min(digits.len()));
    out.extend(digits[from..].iter().map(|digit| char::from(*digit)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::MICROS_PER_SECOND;

    fn utc(text: &str) -> Option<String> {
        parse_timestamp(text, &Zone::utc()).map(|micros| {
            let mut out = String::new();
            write_local(&mut out, micros);
            out
        })
    }

    #[test]
    fn timestamps_in_all_their_forms() {
        for (text, expected) in [
            ("2024-01-02 03:04:05", "2024-01-02 03:04:05"),
            ("2024-01-02T03:04:05Z", "2024-01-02 03:04:05"),
            ("2024-01-02T03:04:05.678+02:00", "2024-01-02 01:04:05.678"),
            ("2024-01-02 03:04:05+0200", "2024-01-02 01:04:05"),
            ("2024-01-02 03:04:05 UTC", "2024-01-02 03:04:05"),
            ("2024-01-02 03:04:05.1234567", "2024-01-02 03:04:05.123456"),
            ("2024", "2024-01-01 00:00:00"),
            ("2024-1-2", "2024-01-02 00:00:00"),
            ("2024-01-02 12", "2024-01-02 12:00:00"),
            (" 2024-1-2 3:4:5 ", "2024-01-02 03:04:05"),
            ("2024-01-02T03:04:05.123456 America/New_York", "2024-01-02 08:04:05.123456"),
            ("+12024-01-02", "+12024-01-02 00:00:00"),
        ] {
            assert_eq!(utc(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_timestamp() {
        for text in [
            "",
            "x",
            "24-01-02",
            "2024-13-01",
            "2024-02-30",
            "2024-01-02 25:00:00",
            "2024-01-02 03:04:05 Nowhere",
            "1700000000000",
            "2024-01-02-03",
            "2024/01/02",
        ] {
            assert_eq!(parse_timestamp(text, &Zone::utc()), None, "{text}");
        }
    }

    #[test]
    fn a_time_alone_is_of_today() {
        let micros = parse_timestamp("3:4:5", &Zone::utc()).unwrap();
        assert_eq!(micros.rem_euclid(86_400 * MICROS_PER_SECOND), (3 * 3600 + 4 * 60 + 5) * MICROS_PER_SECOND);
        assert!(parse_timestamp("T03:04", &Zone::utc()).is_some());
    }

    #[test]
    fn the_zone_of_the_session_counts_without_one() {
        let zone = Zone::parse("+02:00").unwrap();
        assert_eq!(parse_timestamp("1970-01-01 02:00:00", &zone), Some(0));
        assert_eq!(parse_timestamp("1970-01-01 00:00:01Z", &zone), Some(MICROS_PER_SECOND));
    }

    #[test]
    fn dates() {
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(parse_date("1970-1-2 whatever"), Some(1));
        assert_eq!(parse_date("1970-01-02T00:00:00"), Some(1));
        assert_eq!(parse_date("1970"), Some(0));
        for bad in ["", "70-01-01", "1970-00-01", "1970-01-01x", "1970-01-", "19700101"] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }
}
