//! Numbers and bytes as Java writes and reads them: doubles as text, decimals and base64 from text, JSON string
//! escapes.

use std::fmt::Write;

use crate::cast;

/// Writes a double as Java's `Double.toString`: `1.0`, `1.0E10`, `-1.5E-7`.
pub(super) fn write_double(value: f64, out: &mut Vec<u8>) {
    let mut text = String::new();
    cast::write_double(&mut text, value);
    out.extend_from_slice(text.as_bytes());
}

/// Writes a float as Java's `Float.toString`.
pub(super) fn write_float(value: f32, out: &mut Vec<u8>) {
    let mut text = String::new();
    cast::write_float(&mut text, value);
    out.extend_from_slice(text.as_bytes());
}

/// A decimal in plain notation.
pub(super) fn decimal(unscaled: i128, scale: i8) -> String {
    let mut text = String::new();
    cast::write_decimal(&mut text, unscaled, scale);
    text
}

/// The unscaled value of decimal text at a scale, rounded half up as Java's `setScale`; nothing when the text is no
/// number for Java's `BigDecimal`, or needs more digits than `precision`.
pub(super) fn parse_decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (negative, rest) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match rest.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&rest[..at], parse_exponent(&rest[at + 1..])?),
        None => (rest, 0),
    };
    let point = mantissa.iter().position(|&b| b == b'.');
    let fraction = point.map_or(0, |at| mantissa.len() - at - 1);
    let digits = || mantissa.iter().copied().filter(|&b| b != b'.');
    let count = mantissa.len() - usize::from(point.is_some());
    if count == 0 || !digits().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The wanted integer is the digits times ten to `shift`.
    let shift = exponent.checked_sub(i64::try_from(fraction).ok()?)?.checked_add(i64::from(scale))?;
    let kept = i64::try_from(count).ok()?.checked_add(shift.min(0))?;
    let mut value = 0i128;
    let mut round_up = false;
    for (index, digit) in digits().enumerate() {
        let index = index as i64;
        if index < kept {
            value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        } else {
            round_up = index == kept && digit >= b'5';
            break;
        }
    }
    if round_up {
        value = value.checked_add(1)?;
    }
    if value != 0 && shift > 0 {
        value = value.checked_mul(10i128.checked_pow(u32::try_from(shift).ok()?)?)?;
    }
    if value >= 10i128.checked_pow(u32::from(precision))? {
        return None;
    }
    Some(if negative { -value } else { value })
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse::<i32>().ok().map(i64::from)
}

/// Decodes base64 as Jackson reads it (`MIME-NO-LINEFEEDS`): padding is needed, white space between groups is not.
pub(super) fn parse_base64(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut bytes = text.iter().copied();
    loop {
        let first = loop {
            match bytes.next() {
                None => return Some(()),
                Some(b) if b <= b' ' => {}
                Some(b) => break sextet(b)?,
            }
        };
        let second = sextet(bytes.next()?)?;
        out.push((first << 2) | (second >> 4));
        let third = bytes.next()?;
        if third == b'=' {
            if bytes.next()? != b'=' {
                return None;
            }
            continue;
        }
        let third = sextet(third)?;
        out.push((second << 4) | (third >> 2));
        let fourth = bytes.next()?;
        if fourth != b'=' {
            out.push((third << 6) | sextet(fourth)?);
        }
    }
}

fn sextet(b: u8) -> Option<u8> {
    match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Writes base64 with padding and without line breaks.
pub(super) fn write_base64(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, &b| (word << 8) | u32::from(b)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let index = (word >> (18 - 6 * place)) & 63;
            out.push(if place <= group.len() { char::from(ALPHABET[index as usize]) } else { '=' });
        }
    }
}

/// Writes one byte of a JSON string as Jackson does: `"`, `\` and control characters escaped, the rest as it is.
pub(super) fn write_escaped_byte(b: u8, out: &mut Vec<u8>) {
    let short = match b {
        b'"' | b'\\' => b,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0..0x20 => return write_unit(u16::from(b), out),
        _ => return out.push(b),
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Writes a UTF-16 unit as `\uXXXX`.
pub(super) fn write_unit(unit: u16, out: &mut Vec<u8>) {
    let mut text = String::with_capacity(6);
    // Writing to a string cannot fail.
    let _ = write!(text, "\\u{unit:04X}");
    out.extend_from_slice(text.as_bytes());
}

/// Writes text as a JSON string with its quotes, as Jackson's writer for characters does.
pub(super) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    let mut escaped = Vec::new();
    for (at, b) in text.bytes().enumerate() {
        if b < 0x20 || b == b'"' || b == b'\\' {
            out.push_str(&text[plain..at]);
            escaped.clear();
            write_escaped_byte(b, &mut escaped);
            out.extend(escaped.iter().map(|&b| char::from(b)));
            plain = at + 1;
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(value: f64) -> String {
        let mut out = Vec::new();
        write_double(value, &mut out);
        String::from_utf8(out).expect("ascii")
    }

    #[test]
    fn doubles_print_as_in_java() {
        for (value, text) in [
            (1.5, "1.5"),
            (100_000.0, "100000.0"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1.234e10, "1.234E10"),
            (0.001, "0.001"),
            (0.0123, "0.0123"),
            (0.000_99, "9.9E-4"),
            (-0.0, "-0.0"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
            (123.0, "123.0"),
            (f64::MAX, "1.7976931348623157E308"),
        ] {
            assert_eq!(double(value), text);
        }
        let mut out = Vec::new();
        write_float(0.1, &mut out);
        assert_eq!(out, b"0.1");
    }

    #[test]
    fn decimals_round_half_up_and_stay_in_their_precision() {
        for (text, precision, scale, value) in [
            ("1000.5", 10, 2, Some(100_050)),
            ("-1.005", 10, 2, Some(-101)),
            ("1.004999", 10, 2, Some(100)),
            ("1e3", 10, 2, Some(100_000)),
            ("1E-3", 10, 2, Some(0)),
            ("5E-3", 10, 2, Some(1)),
            (".5", 3, 1, Some(5)),
            ("5.", 3, 1, Some(50)),
            ("+7", 3, 0, Some(7)),
            ("0e999999999", 3, 0, Some(0)),
            ("99.95", 3, 1, None),
            ("1e38", 38, 0, None),
            ("0.4", 3, 0, Some(0)),
            ("0.05", 3, 0, Some(0)),
            ("", 3, 0, None),
            (".", 3, 0, None),
            ("1 ", 3, 0, None),
            ("1e", 3, 0, None),
            ("1e99999999999", 3, 0, None),
            ("00000000000000000000000000000000000000000000000001", 3, 0, Some(1)),
        ] {
            assert_eq!(parse_decimal(text.as_bytes(), precision, scale), value, "{text}");
        }
    }

    #[test]
    fn base64_is_read_back() {
        for bytes in [&b""[..], b"a", b"ab", b"abc", b"\xff\xfe\xfd\xfc"] {
            let mut text = String::new();
            write_base64(bytes, &mut text);
            let mut back = Vec::new();
            assert_eq!(parse_base64(text.as_bytes(), &mut back), Some(()), "{text}");
            assert_eq!(back, bytes);
        }
        let mut out = Vec::new();
        assert_eq!(parse_base64(b"YQ", &mut out), None);
        assert_eq!(parse_base64(b"YQ=*", &mut out), None);
    }

    #[test]
    fn strings_are_escaped() {
        let mut out = String::new();
        write_string("a\"b\\c\n\u{1}/é😀", &mut out);
        assert_eq!(out, "\"a\\\"b\\\\c\\n\\u0001/é😀\"");
    }
}
