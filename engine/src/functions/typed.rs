//! Typed expressions: literals, casts that the analyzer adds and casts that a user wrote.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, lit};
use datafusion::scalar::ScalarValue;

use super::registry::{ExprSettings, Typed};
use crate::cast::{Cast, CastMode, can_cast, cast_array, force_nullable, refused_in, to_strings};
use crate::error::{ExceptionKind, SparkError};
use crate::types::{Zone, sql_name};

impl Typed {
    /// A computed expression.
    pub fn new(expr: Expr, data_type: DataType, nullable: bool, name: impl Into<String>) -> Self {
        Typed { expr, data_type, nullable, name: name.into(), literal: None }
    }

    /// A literal with the name that Spark gives it: text as it is, `NULL`, `1`, `DATE '2024-01-01'`.
    pub fn literal(value: ScalarValue) -> Self {
        let name = literal_name(&value);
        Typed {
            expr: lit(value.clone()),
            data_type: value.data_type(),
            nullable: value.is_null(),
            name,
            literal: Some(value),
        }
    }

    /// The same expression under another name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The text of a string literal.
    pub fn literal_text(&self) -> Option<&str> {
        match &self.literal {
            Some(ScalarValue::Utf8(Some(text))) => Some(text),
            _ => None,
        }
    }

    /// The value of an integer literal.
    pub fn literal_integer(&self) -> Option<i64> {
        match &self.literal {
            Some(ScalarValue::Int8(Some(value))) => Some(i64::from(*value)),
            Some(ScalarValue::Int16(Some(value))) => Some(i64::from(*value)),
            Some(ScalarValue::Int32(Some(value))) => Some(i64::from(*value)),
            Some(ScalarValue::Int64(Some(value))) => Some(*value),
            _ => None,
        }
    }
}

impl ExprSettings {
    /// The session's time zone, or the error of a name that is none.
    pub fn zone(&self) -> Result<Zone, SparkError> {
        Zone::parse(&self.time_zone).ok_or_else(|| {
            SparkError::new(
                ExceptionKind::IllegalArgument,
                "INVALID_TIMEZONE",
                "22009",
                format!(
                    "The timezone: {} is invalid. The timezone must be either a region-based zone ID or a zone offset.",
                    self.time_zone
                ),
            )
        })
    }

    /// How a cast of this session treats bad values.
    pub fn cast_mode(&self) -> CastMode {
        CastMode::of_session(self.ansi)
    }
}

/// The name of a literal: what `usePrettyExpression` makes of it in Spark.
fn literal_name(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".to_owned();
    }
    let text = || {
        let array = value.to_array().ok()?;
        let texts = to_strings(&array, &Zone::utc()).ok()?;
        Some(texts.value(0).to_owned())
    };
    let text = text().unwrap_or_else(|| value.to_string());
    match value.data_type() {
        DataType::Date32 => format!("DATE '{text}'"),
        DataType::Timestamp(_, Some(_)) => format!("TIMESTAMP '{text}'"),
        DataType::Timestamp(_, None) => format!("TIMESTAMP_NTZ '{text}'"),
        DataType::Interval(_) if !text.starts_with("INTERVAL") => format!("INTERVAL '{text}'"),
        DataType::Binary => {
            let ScalarValue::Binary(Some(bytes)) = value else { return text };
            let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            format!("X'{hex}'")
        }
        _ => text,
    }
}

/// A cast that the analyzer adds: the name stays, a literal is cast at once. A literal that cannot be cast fails when
/// the query runs, as in Spark.
pub fn implicit_cast(argument: Typed, to: &DataType, settings: &ExprSettings) -> Result<Typed, SparkError> {
    if &argument.data_type == to {
        return Ok(argument);
    }
    let (mode, zone) = (settings.cast_mode(), settings.zone()?);
    if let Some(value) = &argument.literal
        && let Some(cast) = cast_literal(value, to, mode, &zone)
    {
        let nullable = cast.is_null();
        return Ok(Typed {
            expr: lit(cast.clone()),
            data_type: to.clone(),
            nullable,
            name: argument.name,
            literal: Some(cast),
        });
    }
    Ok(cast(argument, to, mode, zone))
}

fn cast_literal(value: &ScalarValue, to: &DataType, mode: CastMode, zone: &Zone) -> Option<ScalarValue> {
    let array: ArrayRef = value.to_array().ok()?;
    let cast = cast_array(&array, to, mode, zone).ok()?;
    ScalarValue::try_from_array(&cast, 0).ok()
}

fn cast(argument: Typed, to: &DataType, mode: CastMode, zone: Zone) -> Typed {
    let nullable = argument.nullable
        || mode == CastMode::Try
        || argument.data_type == DataType::Null
        || force_nullable(&argument.data_type, to);
    let name = argument.name;
    Typed::new(Cast { to: to.clone(), mode, zone }.expr(argument.expr), to.clone(), nullable, name)
}

/// A cast that the user wrote: `CAST(v AS INT)`, or `TRY_CAST(v AS INT)` in that mode.
///
/// Refuses types that cannot be cast. As a column of its own Spark names a cast of an attribute by the attribute: that
/// is for the caller, who knows what stands at the top.
pub fn explicit_cast(
    argument: Typed,
    to: &DataType,
    mode: CastMode,
    settings: &ExprSettings,
) -> Result<Typed, SparkError> {
    let word = if mode == CastMode::Try { "TRY_CAST" } else { "CAST" };
    let name = format!("{word}({} AS {})", argument.name, sql_name(to));
    if !can_cast(&argument.data_type, to, mode) {
        return Err(refused_in(&name, &argument.data_type, to, mode));
    }
    if &argument.data_type == to {
        return Ok(Typed { literal: None, ..argument.named(name) });
    }
    let zone = settings.zone()?;
    // A literal stays a call where the result counts as nullable, which no literal does.
    let nullable = mode == CastMode::Try || force_nullable(&argument.data_type, to);
    if !nullable
        && let Some(value) = &argument.literal
        && let Some(value) = cast_literal(value, to, mode, &zone)
    {
        return Ok(Typed::literal(value).named(name));
    }
    Ok(cast(argument, to, mode, zone).named(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::timestamp;

    #[test]
    fn literals_have_the_names_of_spark() {
        for (value, name) in [
            (ScalarValue::from("High"), "High"),
            (ScalarValue::Int32(Some(1)), "1"),
            (ScalarValue::Float64(Some(0.2)), "0.2"),
            (ScalarValue::Boolean(Some(true)), "true"),
            (ScalarValue::Null, "NULL"),
            (ScalarValue::Date32(Some(0)), "DATE '1970-01-01'"),
            (ScalarValue::TimestampMicrosecond(Some(0), Some("UTC".into())), "TIMESTAMP '1970-01-01 00:00:00'"),
            (ScalarValue::Decimal128(Some(15), 2, 1), "1.5"),
        ] {
            assert_eq!(Typed::literal(value).name, name);
        }
    }

    #[test]
    fn literals_are_cast_at_once() {
        let settings = ExprSettings::default();
        let two = Typed::literal(ScalarValue::Int32(Some(2)));
        let cast = implicit_cast(two, &DataType::Int64, &settings).unwrap();
        assert_eq!(cast.literal, Some(ScalarValue::Int64(Some(2))));
        assert_eq!(cast.name, "2");
        let bad = Typed::literal(ScalarValue::from("x"));
        let cast = implicit_cast(bad, &timestamp(), &settings).unwrap();
        assert!(cast.literal.is_none());
    }

    #[test]
    fn written_casts_are_named_and_checked() {
        let settings = ExprSettings::default();
        let column = Typed::new(datafusion::logical_expr::col("v"), DataType::Utf8, true, "v");
        let cast = explicit_cast(column.clone(), &DataType::Int32, CastMode::Ansi, &settings).unwrap();
        assert_eq!(cast.name, "CAST(v AS INT)");
        let dates =
            explicit_cast(Typed { data_type: DataType::Date32, ..column }, &DataType::Int32, CastMode::Ansi, &settings);
        assert_eq!(dates.unwrap_err().class, "DATATYPE_MISMATCH.CAST_WITH_FUNC_SUGGESTION");
    }
}
