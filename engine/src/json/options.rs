//! The options of `from_json` and `to_json`, as Spark names them (case does not matter).

use std::collections::BTreeMap;

use crate::error::{ExceptionKind, SparkError};

/// What happens with a malformed document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParseMode {
    /// It gives nulls.
    Permissive,
    /// It fails the query.
    FailFast,
}

/// The liberties that a document may take with JSON's grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Syntax {
    pub comments: bool,
    pub unquoted_names: bool,
    pub single_quotes: bool,
    pub leading_zeros: bool,
    pub non_numeric: bool,
    pub backslash_any: bool,
    pub control_chars: bool,
}

impl Default for Syntax {
    /// Spark's defaults: single quotes and `NaN` are fine, the rest is not.
    fn default() -> Self {
        Syntax {
            comments: false,
            unquoted_names: false,
            single_quotes: true,
            leading_zeros: false,
            non_numeric: true,
            backslash_any: false,
            control_chars: false,
        }
    }
}

/// The options of one call, parsed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsonOptions {
    pub mode: ParseMode,
    /// The field of the schema that gets the text of a malformed document.
    pub corrupt_column: String,
    /// The zone for text without one: the option `timeZone`, else the session's.
    pub time_zone: String,
    /// Java patterns; without one, text is read as a cast reads it.
    pub timestamp_format: Option<String>,
    pub timestamp_ntz_format: Option<String>,
    pub date_format: Option<String>,
    /// Whether text that a pattern does not match is read as a cast reads it; by default only without a pattern.
    pub parsing_fallback: Option<bool>,
    pub syntax: Syntax,
    /// `to_json`: leave out null fields.
    pub ignore_null_fields: bool,
    /// `to_json`: Jackson's indented form.
    pub pretty: bool,
}

impl JsonOptions {
    /// Spark's defaults in a session of this time zone.
    pub fn new(session_time_zone: &str) -> Self {
        JsonOptions {
            mode: ParseMode::Permissive,
            corrupt_column: "_corrupt_record".to_owned(),
            time_zone: session_time_zone.to_owned(),
            timestamp_format: None,
            timestamp_ntz_format: None,
            date_format: None,
            parsing_fallback: None,
            syntax: Syntax::default(),
            ignore_null_fields: true,
            pretty: false,
        }
    }

    /// The options as a program gives them. As Spark: unknown names are ignored, an unknown mode is permissive, and
    /// what only reads files or infers schemas (`multiLine`, `primitivesAsString`, `locale` ..) means nothing here.
    ///
    /// Fails for `DROPMALFORMED`, for a flag that is neither `true` nor `false`, and for what Pyrite does not have.
    pub fn parse(options: &BTreeMap<String, String>, session_time_zone: &str) -> Result<Self, SparkError> {
        let mut parsed = JsonOptions::new(session_time_zone);
        for (name, value) in options {
            match name.to_ascii_lowercase().as_str() {
                "mode" => parsed.mode = parse_mode(value)?,
                "columnnameofcorruptrecord" => parsed.corrupt_column = value.clone(),
                "timezone" => parsed.time_zone = value.clone(),
                "timestampformat" => parsed.timestamp_format = Some(value.clone()),
                "timestampntzformat" => parsed.timestamp_ntz_format = Some(value.clone()),
                "dateformat" => parsed.date_format = Some(value.clone()),
                "enabledatetimeparsingfallback" => parsed.parsing_fallback = Some(flag(value)?),
                "allowcomments" => parsed.syntax.comments = flag(value)?,
                "allowunquotedfieldnames" => parsed.syntax.unquoted_names = flag(value)?,
                "allowsinglequotes" => parsed.syntax.single_quotes = flag(value)?,
                "allownumericleadingzeros" => parsed.syntax.leading_zeros = flag(value)?,
                "allownonnumericnumbers" => parsed.syntax.non_numeric = flag(value)?,
                "allowbackslashescapinganycharacter" => parsed.syntax.backslash_any = flag(value)?,
                "allowunquotedcontrolchars" => parsed.syntax.control_chars = flag(value)?,
                "ignorenullfields" => parsed.ignore_null_fields = flag(value)?,
                "pretty" => parsed.pretty = flag(value)?,
                "singlevariantcolumn" => return Err(SparkError::unsupported("the JSON option `singleVariantColumn`")),
                _ => {}
            }
        }
        Ok(parsed)
    }
}

fn parse_mode(value: &str) -> Result<ParseMode, SparkError> {
    match value.to_ascii_uppercase().as_str() {
        "FAILFAST" => Ok(ParseMode::FailFast),
        "DROPMALFORMED" => {
            let message = "The function `from_json` doesn't support the DROPMALFORMED mode. Acceptable modes are \
                           PERMISSIVE and FAILFAST.";
            Err(SparkError::analysis("PARSE_MODE_UNSUPPORTED", "42601", message)
                .with("funcName", "`from_json`")
                .with("mode", "DROPMALFORMED"))
        }
        _ => Ok(ParseMode::Permissive),
    }
}

/// Scala's `toBoolean`.
fn flag(value: &str) -> Result<bool, SparkError> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(SparkError::new(ExceptionKind::IllegalArgument, "", "", format!("For input string: \"{value}\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<JsonOptions, SparkError> {
        let map = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        JsonOptions::parse(&map, "UTC")
    }

    #[test]
    fn names_ignore_case_and_unknown_modes_are_permissive() {
        let options = parse(&[("ALLOWcomments", "True"), ("mode", "whatever"), ("nonsense", "1")]).expect("valid");
        assert!(options.syntax.comments);
        assert_eq!(options.mode, ParseMode::Permissive);
    }

    #[test]
    fn dropmalformed_and_bad_flags_are_refused() {
        assert_eq!(parse(&[("mode", "dropMalformed")]).expect_err("refused").class, "PARSE_MODE_UNSUPPORTED");
        assert!(parse(&[("allowComments", "yes")]).is_err());
    }
}
