//! Literals of SQL text as values: numbers with and without suffix, strings with their escapes.

use datafusion::scalar::ScalarValue;

use pyrite_engine::error::SparkError;

use super::errors;

/// The most digits a decimal holds.
const DECIMAL_DIGITS_MAX: usize = 38;

/// The value of a number as written, with an optional sign and an optional suffix (`L S Y F D BD`).
///
/// Without a suffix, as Spark: int, else bigint, else decimal; a point makes a decimal, an exponent a double.
///
/// # Errors
/// `INVALID_NUMERIC_LITERAL_RANGE` where the suffix's type cannot hold it.
pub(super) fn number(text: &str) -> Result<ScalarValue, SparkError> {
    let digits_end = text.rfind(|c: char| c.is_ascii_digit() || c == '.').map_or(0, |at| at + 1);
    let (digits, suffix) = text.split_at(digits_end);
    let value = match suffix {
        "" if digits.contains(['e', 'E']) => digits.parse().ok().map(|value| ScalarValue::Float64(Some(value))),
        "" if digits.contains('.') => decimal(digits),
        "" => integer(digits),
        "L" => digits.parse().ok().map(|value| ScalarValue::Int64(Some(value))),
        "S" => digits.parse().ok().map(|value| ScalarValue::Int16(Some(value))),
        "Y" => digits.parse().ok().map(|value| ScalarValue::Int8(Some(value))),
        "F" => {
            digits.parse().ok().filter(|value: &f32| value.is_finite()).map(|value| ScalarValue::Float32(Some(value)))
        }
        "D" => {
            digits.parse().ok().filter(|value: &f64| value.is_finite()).map(|value| ScalarValue::Float64(Some(value)))
        }
        "BD" => decimal(digits),
        _ => None,
    };
    value.ok_or_else(|| {
        errors::invalid_literal(
            "INVALID_NUMERIC_LITERAL_RANGE",
            "22003",
            format!("Numeric literal {text} is outside the valid range of its type."),
        )
        .with("rawStrippedQualifier", digits)
    })
}

fn integer(digits: &str) -> Option<ScalarValue> {
    if let Ok(value) = digits.parse::<i32>() {
        return Some(ScalarValue::Int32(Some(value)));
    }
    if let Ok(value) = digits.parse::<i64>() {
        return Some(ScalarValue::Int64(Some(value)));
    }
    decimal(digits)
}

/// `-1.50` as decimal(3,2): precision and scale are those of the digits as written.
fn decimal(digits: &str) -> Option<ScalarValue> {
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut unscaled = format!("{whole}{fraction}");
    let mut scale = i32::try_from(fraction.len()).ok()? - exponent;
    while scale < 0 {
        unscaled.push('0');
        scale += 1;
        if unscaled.len() > DECIMAL_DIGITS_MAX + 2 {
            return None;
        }
    }
    let significant = unscaled.trim_start_matches(['-', '+']).trim_start_matches('0').len();
    let scale = usize::try_from(scale).ok()?;
    let precision = significant.max(scale).max(1);
    if precision > DECIMAL_DIGITS_MAX {
        return None;
    }
    let value = unscaled.parse::<i128>().ok()?;
    Some(ScalarValue::Decimal128(Some(value), u8::try_from(precision).ok()?, i8::try_from(scale).ok()?))
}

/// The bytes of `X'1F0A'`; an odd number of digits gets a zero in front, as Spark.
///
/// # Errors
/// `INVALID_TYPED_LITERAL` for anything but digits.
pub(super) fn hex(digits: &str) -> Result<Vec<u8>, SparkError> {
    let invalid = || {
        errors::invalid_literal(
            "INVALID_TYPED_LITERAL",
            "42604",
            format!("The value of the typed literal \"X\" is invalid: '{digits}'."),
        )
    };
    if !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(invalid());
    }
    let even = if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("0{digits}") };
    (0..even.len()).step_by(2).map(|at| u8::from_str_radix(&even[at..at + 2], 16).map_err(|_| invalid())).collect()
}

/// Spark's escapes in a quoted string: `\n`, `\t`, `\u0041`, octal `\101`, the quote doubled; `\%` and `\_` stay as
/// they are, for `LIKE`.
pub(super) fn unescape(body: &str, quote: char) -> String {
    let mut out = String::with_capacity(body.len());
    let chars: Vec<char> = body.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        at += 1;
        if c == quote && chars.get(at) == Some(&quote) {
            at += 1;
        }
        if c != '\\' || at >= chars.len() {
            out.push(c);
            continue;
        }
        let escape = chars[at];
        at += 1;
        if let Some((value, width)) = code_point(&chars[at - 1..]) {
            out.push(value);
            at += width - 1;
            continue;
        }
        match escape {
            '0' => out.push('\0'),
            'b' => out.push('\u{8}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'Z' => out.push('\u{1a}'),
            '%' | '_' => out.extend(['\\', escape]),
            other => out.push(other),
        }
    }
    out
}

/// `u0041`, `U00000041` or three octal digits at the start: the character and how many characters it takes.
fn code_point(chars: &[char]) -> Option<(char, usize)> {
    let digits = |from: usize, count: usize, radix: u32| {
        let text: String = chars.get(from..from + count)?.iter().collect();
        u32::from_str_radix(&text, radix).ok().and_then(char::from_u32)
    };
    match chars.first()? {
        'u' => Some((digits(1, 4, 16)?, 5)),
        'U' => Some((digits(1, 8, 16)?, 9)),
        '0' | '1' => Some((digits(0, 3, 8)?, 3)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_narrowest_type_of_spark() {
        assert_eq!(number("1").unwrap(), ScalarValue::Int32(Some(1)));
        assert_eq!(number("-2147483649").unwrap(), ScalarValue::Int64(Some(-2_147_483_649)));
        assert_eq!(
            number("9223372036854775808").unwrap(),
            ScalarValue::Decimal128(Some(9_223_372_036_854_775_808), 19, 0)
        );
        assert_eq!(number("1.50").unwrap(), ScalarValue::Decimal128(Some(150), 3, 2));
        assert_eq!(number("0.05").unwrap(), ScalarValue::Decimal128(Some(5), 2, 2));
        assert_eq!(number("1e3").unwrap(), ScalarValue::Float64(Some(1000.0)));
        assert_eq!(number("1.5BD").unwrap(), ScalarValue::Decimal128(Some(15), 2, 1));
        assert_eq!(number("7Y").unwrap(), ScalarValue::Int8(Some(7)));
        assert_eq!(number("200Y").unwrap_err().class, "INVALID_NUMERIC_LITERAL_RANGE");
    }

    #[test]
    fn hex_digits_are_bytes() {
        assert_eq!(hex("1F0a").unwrap(), [0x1F, 0x0A]);
        assert_eq!(hex("F").unwrap(), [0x0F]);
        assert!(hex("xy").is_err());
    }

    #[test]
    fn escapes_are_those_of_spark() {
        assert_eq!(unescape(r"it\'s\t\u0041\101\%", '\''), "it's\tAA\\%");
        assert_eq!(unescape("it''s", '\''), "it's");
    }
}
