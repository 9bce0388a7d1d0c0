//! Literals as resolved expressions, with the text that Spark shows for them in generated column names.

use datafusion::scalar::ScalarValue;
use pyrite_engine::cast::write_local;
use pyrite_engine::functions::{ExprSettings, Typed};
use pyrite_engine::types::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, Zone};

/// A literal; timestamps show in the session's time zone.
pub(super) fn literal(value: ScalarValue, settings: &ExprSettings) -> Typed {
    let typed = Typed::literal(plain(value));
    let name = match &typed.literal {
        Some(ScalarValue::TimestampMicrosecond(Some(micros), Some(_))) => {
            let zone = settings.zone().unwrap_or_else(|_| Zone::utc());
            let mut text = String::new();
            write_local(&mut text, zone.to_local(*micros));
            format!("TIMESTAMP '{text}'")
        }
        Some(ScalarValue::DurationMicrosecond(Some(micros))) => day_time_text(*micros),
        Some(ScalarValue::IntervalYearMonth(Some(months))) => year_month_text(*months),
        _ => return typed,
    };
    typed.named(name)
}

/// Text and bytes in the one form that the rest of the engine knows.
fn plain(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => ScalarValue::Utf8(text),
        ScalarValue::LargeBinary(bytes) | ScalarValue::BinaryView(bytes) => ScalarValue::Binary(bytes),
        other => other,
    }
}

/// `INTERVAL '30' DAY`, `INTERVAL '01:30' HOUR TO MINUTE`: from the largest unit used to the smallest.
fn day_time_text(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let rest = micros.unsigned_abs();
    let units = [MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND].map(i64::unsigned_abs);
    let (days, hours, minutes, seconds) =
        (rest / units[0], rest % units[0] / units[1], rest % units[1] / units[2], rest % units[2]);
    let used = [days > 0, hours > 0, minutes > 0, seconds > 0];
    let first = used.iter().position(|used| *used).unwrap_or(3);
    let last = used.iter().rposition(|used| *used).unwrap_or(3);
    let mut second_text = format!("{:02}", seconds / units[3]);
    if seconds % units[3] != 0 {
        second_text.push_str(format!(".{:06}", seconds % units[3]).trim_end_matches('0'));
    }
    let parts = [days.to_string(), format!("{hours:02}"), format!("{minutes:02}"), second_text];
    let names = ["DAY", "HOUR", "MINUTE", "SECOND"];
    let mut text = parts[first].clone();
    for (index, part) in parts.iter().enumerate().take(last + 1).skip(first + 1) {
        text.push(if index == 1 { ' ' } else { ':' });
        text.push_str(part);
    }
    let range = if first == last { names[first].to_owned() } else { format!("{} TO {}", names[first], names[last]) };
    format!("INTERVAL '{sign}{text}' {range}")
}

fn year_month_text(months: i32) -> String {
    let sign = if months < 0 { "-" } else { "" };
    let (years, rest) = (months.unsigned_abs() / 12, months.unsigned_abs() % 12);
    match (years, rest) {
        (0, rest) => format!("INTERVAL '{sign}{rest}' MONTH"),
        (years, 0) => format!("INTERVAL '{sign}{years}' YEAR"),
        (years, rest) => format!("INTERVAL '{sign}{years}-{rest}' YEAR TO MONTH"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_show_as_spark_shows_them() {
        let cases = [
            (ScalarValue::Utf8(Some("a b".to_owned())), "a b"),
            (ScalarValue::Float64(Some(1.5)), "1.5"),
            (ScalarValue::Float64(Some(1e10)), "1.0E10"),
            (ScalarValue::Decimal128(Some(-5), 2, 2), "-0.05"),
            (ScalarValue::Null, "NULL"),
            (ScalarValue::Date32(Some(0)), "DATE '1970-01-01'"),
            (
                ScalarValue::TimestampMicrosecond(Some(1_500_000), Some("UTC".into())),
                "TIMESTAMP '1970-01-01 01:00:01.5'",
            ),
            (ScalarValue::DurationMicrosecond(Some(30 * MICROS_PER_DAY)), "INTERVAL '30' DAY"),
            (ScalarValue::DurationMicrosecond(Some(5 * MICROS_PER_SECOND)), "INTERVAL '05' SECOND"),
            (ScalarValue::DurationMicrosecond(Some(90 * MICROS_PER_MINUTE)), "INTERVAL '01:30' HOUR TO MINUTE"),
            (ScalarValue::IntervalYearMonth(Some(14)), "INTERVAL '1-2' YEAR TO MONTH"),
        ];
        let settings = ExprSettings { time_zone: "+01:00".to_owned(), ansi: true };
        for (value, expected) in cases {
            assert_eq!(literal(value, &settings).name, expected);
        }
    }
}
