//! Numbers as text: Java's way of writing them, and Spark's of reading them.

use std::fmt::Write;

use super::hexadecimal::{DOUBLE, parse_hexadecimal};

/// Writes a double as Java's `Double.toString`: `1.0`, `1.0E10`, `-0.0`, `NaN`, `Infinity`.
pub fn write_double(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        let mut text = StackText::default();
        write!(text, "{value:e}").expect("a number in scientific form is short");
        write_java(out, text.as_str(), value == 0.0);
    }
}

/// Writes a float as Java's `Float.toString`.
pub fn write_float(out: &mut String, value: f32) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        let mut text = StackText::default();
        write!(text, "{value:e}").expect("a number in scientific form is short");
        write_java(out, text.as_str(), value == 0.0);
    }
}

/// A double as Java writes it.
pub fn double_to_string(value: f64) -> String {
    let mut out = String::new();
    write_double(&mut out, value);
    out
}

/// A buffer for the shortest scientific form of a double, at most 24 characters.
#[derive(Default)]
struct StackText {
    bytes: [u8; 32],
    length: usize,
}

impl StackText {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl Write for StackText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// From Rust's `-1.25e-7`, which has the shortest digits, to Java's layout of the same digits.
fn write_java(out: &mut String, scientific: &str, zero: bool) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = match mantissa.strip_prefix('-') {
        Some(rest) => {
            out.push('-');
            rest
        }
        None => mantissa,
    };
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if zero {
        out.push_str("0.0");
        return;
    }
    match exponent {
        0..7 => {
            let point = usize::try_from(exponent).expect("below seven");
            out.push_str(first);
            let whole = rest.get(..point).unwrap_or(rest);
            out.push_str(whole);
            out.extend(std::iter::repeat_n('0', point - whole.len()));
            out.push('.');
            let fraction = rest.get(point..).unwrap_or("");
            out.push_str(if fraction.is_empty() { "0" } else { fraction });
        }
        -3..0 => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', usize::try_from(-exponent - 1).expect("at most two")));
            out.push_str(first);
            out.push_str(rest);
        }
        _ => {
            out.push_str(first);
            out.push('.');
            out.push_str(if rest.is_empty() { "0" } else { rest });
            let _ = write!(out, "E{exponent}");
        }
    }
}

/// Writes a decimal plainly, all digits of its scale: `1.50`.
pub fn write_decimal(out: &mut String, unscaled: i128, scale: i8) {
    if scale <= 0 {
        let _ = write!(out, "{unscaled}");
        return;
    }
    let scale = usize::from(scale.unsigned_abs());
    if unscaled < 0 {
        out.push('-');
    }
    let digits = unscaled.unsigned_abs().to_string();
    let whole = digits.len().saturating_sub(scale);
    out.push_str(if whole == 0 { "0" } else { &digits[..whole] });
    out.push('.');
    out.extend(std::iter::repeat_n('0', scale.saturating_sub(digits.len())));
    out.push_str(&digits[whole..]);
}

/// Trims as Spark's casts do: blanks and control characters of ASCII on both ends; a no-break space is no blank.
pub fn trim_all(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii_control() || c == ' ')
}

/// Trims as Java's `trim`: all up to the blank.
fn trim_java(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

/// Reads an integer with an optional sign; none if it is malformed or does not fit. Spark's legacy mode also takes a
/// fraction, which is cut off.
pub fn parse_integer(text: &str, allow_fraction: bool) -> Option<i64> {
    let text = trim_all(text);
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, fraction) = match digits.split_once('.') {
        Some((digits, fraction)) if allow_fraction => (digits, fraction),
        Some(_) => return None,
        None => (digits, ""),
    };
    let bare = digits.is_empty() && !(allow_fraction && text.contains('.'));
    if bare || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let mut value: i64 = 0;
    for digit in digits.bytes() {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Counted downwards, since the smallest number has no positive twin.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// Reads a double as Java's `parseDouble`, with Spark's names for infinity.
pub fn parse_double(text: &str) -> Option<f64> {
    let text = trim_java(text);
    let last = *text.as_bytes().last()?;
    if last.is_ascii_digit() || last == b'.' {
        return text.parse().ok().or_else(|| parse_hexadecimal(text, &DOUBLE));
    }
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "nan" => Some(f64::NAN),
        "inf" | "+inf" | "infinity" | "+infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        _ => {
            let number = lower.strip_suffix(['d', 'f'])?;
            if !number.ends_with(|last: char| last.is_ascii_digit() || last == '.') {
                return None;
            }
            number.parse().ok().or_else(|| parse_hexadecimal(number, &DOUBLE))
        }
    }
}

/// Reads a boolean: `t true y yes 1` and `f false n no 0` in any case.
pub fn parse_boolean(text: &str) -> Option<bool> {
    let lower = trim_all(text).to_ascii_lowercase();
    match lower.as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// What text means as a decimal of a given precision and scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalText {
    /// The value times ten to the scale, rounded half up.
    Value(i128),
    Malformed,
    OutOfRange,
}

/// Reads a decimal as Java's `BigDecimal`, exponents included, and rounds it half up to the scale.
pub fn parse_decimal(text: &str, precision: u8, scale: i8) -> DecimalText {
    let text = trim_java(text);
    let (number, exponent) = match text.find(['e', 'E']) {
        Some(at) => match text[at + 1..].parse::<i32>() {
            Ok(exponent) => (&text[..at], i64::from(exponent)),
            Err(_) => return DecimalText::Malformed,
        },
        None => (text, 0),
    };
    let (negative, number) = match number.as_bytes().first() {
        Some(b'-') => (true, &number[1..]),
        Some(b'+') => (false, &number[1..]),
        _ => (false, number),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut digits: Vec<u8> = Vec::with_capacity(number.len());
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return DecimalText::Malformed;
        }
        digits.push(digit - b'0');
    }
    if digits.is_empty() {
        return DecimalText::Malformed;
    }
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    let digits = &digits[leading..];
    let Ok(fraction_length) = i64::try_from(fraction.len()) else { return DecimalText::OutOfRange };
    let shift = exponent - fraction_length + i64::from(scale);
    match scaled(digits, shift).filter(|value| fits(*value, precision)) {
        Some(value) => DecimalText::Value(if negative { -value } else { value }),
        None => DecimalText::OutOfRange,
    }
}

/// The digits as a number times ten to `shift`, rounded half up; none beyond 38 digits.
fn scaled(digits: &[u8], shift: i64) -> Option<i128> {
    const DIGITS_MAX: i64 = 38;
    let length = i64::try_from(digits.len()).ok()?;
    if length == 0 || length + shift < 0 {
        return Some(0);
    }
    if length + shift > DIGITS_MAX {
        return None;
    }
    let kept = usize::try_from((length + shift.min(0)).max(0)).ok()?;
    let mut value = digits[..kept].iter().fold(0i128, |value, digit| value * 10 + i128::from(*digit));
    if shift > 0 {
        value = value.checked_mul(10i128.checked_pow(u32::try_from(shift).ok()?)?)?;
    } else if digits.get(kept).is_some_and(|digit| *digit >= 5) {
        value += 1;
    }
    Some(value)
}

/// Whether a decimal of that precision holds the unscaled value.
pub fn fits(unscaled: i128, precision: u8) -> bool {
    10u128.checked_pow(u32::from(precision)).is_none_or(|limit| unscaled.unsigned_abs() < limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_as_java_writes_them() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e10, "1.0E10"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (123_456.789, "123456.789"),
            (0.001, "0.001"),
            (0.000_1, "1.0E-4"),
            (-0.0, "-0.0"),
            (0.0, "0.0"),
            (1.5e-7, "1.5E-7"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (100.0, "100.0"),
            (1.0 / 3.0, "0.3333333333333333"),
            (-1234.5, "-1234.5"),
            (f64::MAX, "1.7976931348623157E308"),
        ] {
            assert_eq!(double_to_string(value), text);
        }
        let mut float = String::new();
        write_float(&mut float, 3.4e38);
        assert_eq!(float, "3.4E38");
    }

    #[test]
    fn integers() {
        assert_eq!(parse_integer(" 11 ", false), Some(11));
        assert_eq!(parse_integer("-9223372036854775808", false), Some(i64::MIN));
        assert_eq!(parse_integer("9223372036854775808", false), None);
        for bad in ["", "-", "1.5", "x", "1 2", "1e3"] {
            assert_eq!(parse_integer(bad, false), None, "{bad}");
        }
        assert_eq!(parse_integer("1.9", true), Some(1));
        assert_eq!(parse_integer(".5", true), Some(0));
    }

    #[test]
    fn doubles() {
        assert_eq!(parse_double(" 1e3 "), Some(1000.0));
        assert_eq!(parse_double("1.5d"), Some(1.5));
        assert_eq!(parse_double("-Inf"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_double("abc"), None);
        assert_eq!(parse_double(""), None);
    }

    #[test]
    fn decimals() {
        assert_eq!(parse_decimal("1.25", 10, 1), DecimalText::Value(13));
        assert_eq!(parse_decimal("-1.25", 10, 1), DecimalText::Value(-13));
        assert_eq!(parse_decimal("1e2", 10, 2), DecimalText::Value(10_000));
        assert_eq!(parse_decimal("0.004", 10, 2), DecimalText::Value(0));
        assert_eq!(parse_decimal("1000", 3, 0), DecimalText::OutOfRange);
        assert_eq!(parse_decimal("1,000", 10, 0), DecimalText::Malformed);
        assert_eq!(parse_decimal("1e999999", 10, 0), DecimalText::OutOfRange);
        let mut out = String::new();
        write_decimal(&mut out, -5, 2);
        assert_eq!(out, "-0.05");
    }
}
