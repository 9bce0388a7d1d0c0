//! Hexadecimal floating-point text, as Java reads it: `0x1.8p3` is twelve.

/// What a binary floating-point format holds.
pub(super) struct Format {
    /// Digits of the mantissa, the hidden one included.
    digits: i32,
    /// The exponent of the smallest normal number.
    exponent_min: i32,
}

pub(super) const DOUBLE: Format = Format { digits: 53, exponent_min: -1022 };
pub(super) const FLOAT: Format = Format { digits: 24, exponent_min: -126 };

/// Exponents beyond this are zero or infinity whatever the digits are.
const EXPONENT_MAX: i64 = 1 << 20;

/// Reads `[sign]0x<digits>[.<digits>]p<exponent>`, rounded once to the format; the result fits into it exactly, or is
/// infinite. None for other text.
pub(super) fn parse_hexadecimal(text: &str, format: &Format) -> Option<f64> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let body = body.strip_prefix("0x").or_else(|| body.strip_prefix("0X"))?;
    let (number, exponent) = body.split_once(['p', 'P'])?;
    let exponent = exponent_of(exponent)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut mantissa: u128 = 0;
    let mut shift: i64 = 0;
    let mut any = false;
    for (index, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u128::from(digit.to_digit(16)?);
        any = true;
        if mantissa >> 120 == 0 {
            mantissa = mantissa << 4 | digit;
        } else {
            // Digits beyond those only say whether anything is left.
            mantissa |= u128::from(digit != 0);
            shift += 4;
        }
        if index >= whole.len() {
            shift -= 4;
        }
    }
    let value = any.then(|| rounded(mantissa, exponent + shift, format))?;
    Some(if negative { -value } else { value })
}

/// A decimal exponent of a power of two; a very large one is cut.
fn exponent_of(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse().unwrap_or(EXPONENT_MAX).min(EXPONENT_MAX);
    Some(if text.starts_with('-') { -size } else { size })
}

/// `mantissa * 2^exponent`, rounded half to even to the digits that the format has there.
fn rounded(mantissa: u128, exponent: i64, format: &Format) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let length = i64::from(128 - mantissa.leading_zeros());
    let top = exponent + length - 1;
    let missing = (i64::from(format.exponent_min) - top).max(0);
    let cut = (length - (i64::from(format.digits) - missing)).max(0);
    if cut > length {
        return 0.0;
    }
    // At most 124 digits are there, so the unit of what is kept is a number too.
    let unit = 1u128 << cut;
    let (kept, rest) = (mantissa / unit, mantissa % unit);
    let up = rest > unit / 2 || (cut > 0 && rest == unit / 2 && kept % 2 == 1);
    // The mantissa has few enough digits to be exact, and so has each step of the scaling.
    let mut value = (kept + u128::from(up)) as f64;
    let mut exponent = exponent + cut;
    while exponent != 0 && value.is_finite() {
        let step = exponent.clamp(-1000, 1000);
        value *= 2f64.powi(i32::try_from(step).unwrap_or(0));
        exponent -= step;
    }
    if format.digits == FLOAT.digits && value > f64::from(f32::MAX) { f64::INFINITY } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_java_reads() {
        for (text, value) in [
            ("0x10p0", 16.0),
            ("0x1.8p3", 12.0),
            ("-0X.8P1", -1.0),
            ("0x1p-1074", f64::from_bits(1)),
            ("0x0p5", 0.0),
            ("0x1p1024", f64::INFINITY),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", f64::from_bits(1)),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.00000000000018p0", 1.0 + 2.0 * f64::EPSILON),
            ("0x1p999999999999", f64::INFINITY),
            ("0x1p-999999999999", 0.0),
            ("0x100000000000000000000000000000000000p-140", 1.0),
        ] {
            assert_eq!(parse_hexadecimal(text, &DOUBLE), Some(value), "{text}");
        }
        for text in ["0x10", "10p0", "0xp1", "0x.p1", "0x1p", "0xg p1", "x1p1", ""] {
            assert_eq!(parse_hexadecimal(text, &DOUBLE), None, "{text}");
        }
        assert_eq!(parse_hexadecimal("0x1.000001p0", &FLOAT), Some(1.0));
        assert_eq!(parse_hexadecimal("0x1p128", &FLOAT), Some(f64::INFINITY));
    }
}
