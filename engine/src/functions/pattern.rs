//! `LIKE` and regular expressions: Java's syntax on Rust's engine.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use regex::Regex;

use crate::error::{ExceptionKind, SparkError};

/// Expressions that the process keeps: batches are short, and compiling one takes as long as some of them.
const KEPT_MAX: usize = 256;
static KEPT: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);

/// The compiled form of an expression in Rust's syntax.
fn compiled(regex: String) -> Result<Regex, regex::Error> {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept.get(&regex) {
        return Ok(known.clone());
    }
    let new = Regex::new(&regex)?;
    if kept.len() >= KEPT_MAX {
        kept.clear();
    }
    kept.insert(regex, new.clone());
    Ok(new)
}

/// The regular expression of the rows at hand; nearly always there is one.
#[derive(Default)]
pub(super) struct PatternCache {
    last: Option<(String, Regex)>,
}

impl PatternCache {
    /// The compiled form of a pattern, which `to_regex` turns into a regular expression first.
    pub(super) fn get(
        &mut self,
        pattern: &str,
        to_regex: impl Fn(&str) -> Result<String, SparkError>,
        function: &str,
    ) -> Result<&Regex, SparkError> {
        let known = self.last.as_ref().is_some_and(|(last, _)| last == pattern);
        if !known {
            let regex = compiled(to_regex(pattern)?).map_err(|_| invalid_pattern(pattern, function))?;
            self.last = Some((pattern.to_owned(), regex));
        }
        match &self.last {
            Some((_, regex)) => Ok(regex),
            None => Err(invalid_pattern(pattern, function)),
        }
    }
}

/// The error of a regular expression that cannot be compiled. Look-around and back-references are Java's only.
pub(super) fn invalid_pattern(pattern: &str, function: &str) -> SparkError {
    SparkError::new(
        ExceptionKind::Runtime,
        "INVALID_PARAMETER_VALUE.PATTERN",
        "22023",
        format!("The value of parameter(s) `regexp` in `{function}` is invalid: '{pattern}'."),
    )
    .with("parameter", "`regexp`")
    .with("functionName", format!("`{function}`"))
    .with("value", format!("'{pattern}'"))
}

/// The error of a group that the expression does not have.
pub(super) fn invalid_group(group: i32, count: usize) -> SparkError {
    SparkError::new(
        ExceptionKind::Runtime,
        "INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX",
        "22023",
        format!(
            "The value of parameter(s) `idx` in `regexp_extract` is invalid: Expects group index between 0 and {count}, \
             but got {group}."
        ),
    )
}

/// A `LIKE` pattern as a regular expression: `%` any text, `_` any character, a backslash takes the next one of the
/// three literally. As Spark, a backslash before anything else or at the end is an error.
pub(super) fn like_to_regex(pattern: &str, ignore_case: bool) -> Result<String, SparkError> {
    let mut regex = String::from(if ignore_case { "(?is)^" } else { "(?s)^" });
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '\\' => match chars.next() {
                Some(next @ ('%' | '_' | '\\')) => regex.push_str(&regex::escape(next.encode_utf8(&mut [0; 4]))),
                Some(_) => return Err(invalid_like(pattern, "ESC_IN_THE_MIDDLE", "precede")),
                None => return Err(invalid_like(pattern, "ESC_AT_THE_END", "end with")),
            },
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push('$');
    Ok(regex)
}

/// The `LIKE` pattern that means the same with a backslash as its escape character.
pub(super) fn with_backslashes(pattern: &str, escape: char) -> Result<String, SparkError> {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let literal = match c {
            _ if c == escape => match chars.next() {
                Some(next) if next == escape || matches!(next, '%' | '_') => next,
                Some(_) => return Err(invalid_like(pattern, "ESC_IN_THE_MIDDLE", "precede")),
                None => return Err(invalid_like(pattern, "ESC_AT_THE_END", "end with")),
            },
            '\\' => c,
            _ => {
                out.push(c);
                continue;
            }
        };
        out.push_str(if matches!(literal, '%' | '_' | '\\') { "\\" } else { "" });
        out.push(literal);
    }
    Ok(out)
}

fn invalid_like(pattern: &str, sub_class: &str, what: &str) -> SparkError {
    SparkError::new(
        ExceptionKind::Analysis,
        &format!("INVALID_FORMAT.{sub_class}"),
        "42601",
        format!("The format is invalid: '{pattern}'. The escape character is not allowed to {what} it here."),
    )
}

/// Java's replacement text in Rust's syntax: `$1` is a group, a backslash takes the next character literally.
pub(super) fn expand_replacement(replacement: &str, groups: usize) -> Result<String, SparkError> {
    let mut out = String::with_capacity(replacement.len());
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('$') => out.push_str("$$"),
                Some(other) => out.push(other),
                None => return Err(invalid_pattern(replacement, "regexp_replace")),
            },
            '$' => {
                let mut group: usize = match chars.next().and_then(|digit| digit.to_digit(10)) {
                    Some(digit) => usize::try_from(digit).unwrap_or(usize::MAX),
                    None => return Err(invalid_pattern(replacement, "regexp_replace")),
                };
                // More digits belong to the number only while there is such a group.
                while let Some(digit) = chars.peek().and_then(|digit| digit.to_digit(10)) {
                    let longer = group * 10 + usize::try_from(digit).unwrap_or(usize::MAX);
                    if longer >= groups {
                        break;
                    }
                    group = longer;
                    chars.next();
                }
                if group >= groups {
                    return Err(invalid_pattern(replacement, "regexp_replace"));
                }
                out.push_str(&format!("${{{group}}}"));
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_are_translated() {
        assert_eq!(expand_replacement("<$1>", 2).unwrap(), "<${1}>");
        assert_eq!(expand_replacement("$12", 2).unwrap(), "${1}2");
        assert_eq!(expand_replacement("\\$1 \\x", 2).unwrap(), "$$1 x");
        assert!(expand_replacement("$2", 2).is_err());
    }

    #[test]
    fn like_patterns_escape_what_regex_would_read() {
        assert_eq!(like_to_regex("a.%", false).unwrap(), "(?s)^a\\..*$");
        assert_eq!(like_to_regex("a\\b", false).unwrap_err().class, "INVALID_FORMAT.ESC_IN_THE_MIDDLE");
        assert_eq!(like_to_regex("a\\", false).unwrap_err().class, "INVALID_FORMAT.ESC_AT_THE_END");
        assert_eq!(with_backslashes("a!%b%!!\\", '!').unwrap(), "a\\%b%!\\\\");
        assert_eq!(with_backslashes("a!b", '!').unwrap_err().class, "INVALID_FORMAT.ESC_IN_THE_MIDDLE");
    }
}
