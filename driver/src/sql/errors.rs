//! Spark's parse errors from sqlparser's.

use std::fmt;

use pyrite_engine::error::{ExceptionKind, SparkError};
use sqlparser::parser::ParserError;

/// `PARSE_SYNTAX_ERROR` with the place in the text, laid out as Spark's clients show it.
pub(super) fn syntax(text: &str, error: &ParserError) -> SparkError {
    let detail = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message.clone(),
        ParserError::RecursionLimitExceeded => return too_complex(),
    };
    let (detail, place) = split_place(&detail);
    let near = match detail.split_once("found: ") {
        Some((_, "EOF")) => "end of input".to_owned(),
        Some((_, token)) => format!("'{token}'"),
        None => format!("'{detail}'"),
    };
    let (line, column) = place.unwrap_or((1, text.chars().count() + 1));
    let message = format!(
        "Syntax error at or near {near}. (line {line}, pos {})\n\n== SQL ==\n{}",
        column.saturating_sub(1),
        marked(text, line, column)
    );
    SparkError::new(ExceptionKind::Parse, "PARSE_SYNTAX_ERROR", "42601", message).with("error", near).with("hint", "")
}

/// Something in valid SQL that Pyrite lacks.
pub(super) fn unsupported(what: impl fmt::Display) -> SparkError {
    SparkError::unsupported(format!("{what} in SQL text"))
}

/// A literal that its type cannot hold.
pub(super) fn invalid_literal(class: &str, sql_state: &str, message: impl Into<String>) -> SparkError {
    SparkError::new(ExceptionKind::Parse, class, sql_state, message)
}

/// A text beyond what the parser or what comes after it can walk.
pub(super) fn too_complex() -> SparkError {
    SparkError::new(
        ExceptionKind::Parse,
        "FAILED_TO_PARSE_TOO_COMPLEX",
        "54001",
        "The statement, including potential SQL \
        functions and referenced views, was too complex to parse.",
    )
}

/// Cuts sqlparser's ` at Line: 1, Column: 5` off a message.
fn split_place(message: &str) -> (&str, Option<(usize, usize)>) {
    let Some((head, place)) = message.rsplit_once(" at Line: ") else { return (message, None) };
    let mut numbers = place.split(", Column: ").map(|number| number.trim().parse::<usize>());
    match (numbers.next(), numbers.next()) {
        (Some(Ok(line)), Some(Ok(column))) => (head, Some((line, column))),
        _ => (message, None),
    }
}

/// The text with a `---^^^` line below the line of the error.
fn marked(text: &str, line: usize, column: usize) -> String {
    let mut out = String::new();
    for (index, row) in text.lines().enumerate() {
        out.push_str(row);
        out.push('\n');
        if index + 1 == line {
            out.push_str(&"-".repeat(column.saturating_sub(1)));
            out.push_str("^^^\n");
        }
    }
    out
}
