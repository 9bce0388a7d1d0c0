//! Names: how they are written, what they refer to, and what Spark suggests when they refer to nothing.

use pyrite_engine::error::SparkError;

use super::Attribute;
use super::errors;

/// The most names an error suggests, as Spark.
const SUGGESTIONS_MAX: usize = 5;

/// Splits `a.b` and `` `a.b`.c `` into parts; a doubled backtick stands for one.
///
/// # Errors
/// `INVALID_ATTRIBUTE_NAME_SYNTAX` for unbalanced backticks and empty parts.
pub(super) fn parse_name(name: &str) -> Result<Vec<String>, SparkError> {
    let invalid = || errors::invalid_name_syntax(name);
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut quoted = false;
    let mut chars = name.chars().peekable();
    let mut closed = false;
    while let Some(c) = chars.next() {
        match c {
            '`' if quoted && chars.peek() == Some(&'`') => {
                chars.next();
                part.push('`');
            }
            '`' if quoted => {
                quoted = false;
                closed = true;
                if chars.peek().is_some_and(|next| *next != '.') {
                    return Err(invalid());
                }
            }
            '`' if part.is_empty() => quoted = true,
            '`' => return Err(invalid()),
            '.' if !quoted => {
                if part.is_empty() && !closed {
                    return Err(invalid());
                }
                parts.push(std::mem::take(&mut part));
                closed = false;
                if chars.peek().is_none() {
                    return Err(invalid());
                }
            }
            other => part.push(other),
        }
    }
    if quoted {
        return Err(invalid());
    }
    parts.push(part);
    Ok(parts)
}

/// What a name found: a column, and the fields to take of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub attribute: &'a Attribute,
    /// The column's name as the user wrote it.
    pub written: &'a str,
    pub fields: &'a [String],
}

/// Finds the column that `parts` name: qualified first, then by the first part alone. `None`: there is none.
///
/// # Errors
/// `AMBIGUOUS_REFERENCE` where several different columns fit.
pub(super) fn find<'a>(parts: &'a [String], attributes: &'a [Attribute]) -> Result<Option<Found<'a>>, SparkError> {
    for qualifier_length in (1..parts.len().min(4)).rev() {
        let (qualifier, rest) = parts.split_at(qualifier_length);
        let matches =
            attributes.iter().filter(|attribute| is_named(attribute, &rest[0]) && is_qualified(attribute, qualifier));
        if let Some(attribute) = only_one(parts, matches.collect())? {
            return Ok(Some(Found { attribute, written: &rest[0], fields: &rest[1..] }));
        }
    }
    let Some(first) = parts.first() else { return Ok(None) };
    let matches = attributes.iter().filter(|attribute| is_named(attribute, first));
    Ok(only_one(parts, matches.collect())?.map(|attribute| Found { attribute, written: first, fields: &parts[1..] }))
}

fn is_named(attribute: &Attribute, name: &str) -> bool {
    same_name(&attribute.name, name)
}

/// Names compare without case, as Spark by default.
pub(super) fn same_name(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || left.to_lowercase() == right.to_lowercase()
}

/// Whether the last parts of the attribute's qualifier are `qualifier`.
pub(super) fn is_qualified(attribute: &Attribute, qualifier: &[String]) -> bool {
    let own = &attribute.qualifiers;
    own.len() >= qualifier.len()
        && own[own.len() - qualifier.len()..].iter().zip(qualifier).all(|(left, right)| same_name(left, right))
}

fn only_one<'a>(parts: &[String], matches: Vec<&'a Attribute>) -> Result<Option<&'a Attribute>, SparkError> {
    let mut distinct: Vec<&Attribute> = Vec::new();
    for attribute in matches {
        if !distinct.iter().any(|known| known.identity == attribute.identity) {
            distinct.push(attribute);
        }
    }
    match distinct.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        several => Err(errors::ambiguous_reference(parts, several)),
    }
}

/// The error for a name that nothing has, with the nearest names of `attributes`.
pub(super) fn unresolved_column(name: &str, attributes: &[Attribute]) -> SparkError {
    let parts = parse_name(name).unwrap_or_else(|_| vec![name.to_owned()]);
    let one_qualifier = attributes.windows(2).all(|pair| pair[0].qualifiers == pair[1].qualifiers);
    let use_qualifier = parts.len() > 1 || !one_qualifier;
    let written = parts.join(".").to_lowercase();
    let mut candidates: Vec<(usize, String)> = attributes
        .iter()
        .map(|attribute| {
            let mut full: Vec<&str> = Vec::new();
            if use_qualifier {
                full.extend(attribute.qualifiers.iter().map(String::as_str));
            }
            full.push(&attribute.name);
            let distance = strsim::levenshtein(&written, &full.join(".").to_lowercase());
            let quoted: Vec<String> = full.iter().map(|part| format!("`{}`", part.replace('`', "``"))).collect();
            (distance, quoted.join("."))
        })
        .collect();
    candidates.sort_by_key(|(distance, _)| *distance);
    let proposal: Vec<String> = candidates.into_iter().take(SUGGESTIONS_MAX).map(|(_, name)| name).collect();
    errors::unresolved_column(&parts, &proposal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::DataType;

    fn attribute(qualifier: &str, name: &str, column: &str) -> Attribute {
        let mut attribute = Attribute::new(name, column.to_owned(), DataType::Int32, true);
        attribute.qualifiers = vec![qualifier.to_owned()];
        attribute
    }

    #[test]
    fn names_split_at_dots_outside_backticks() {
        assert_eq!(parse_name("a.b").unwrap(), ["a", "b"]);
        assert_eq!(parse_name("`a.b`.c").unwrap(), ["a.b", "c"]);
        assert_eq!(parse_name("`a``b`").unwrap(), ["a`b"]);
        for bad in ["a..b", "a.", "`a", "a`b`", "`a`b", ".a"] {
            assert_eq!(parse_name(bad).unwrap_err().class, "INVALID_ATTRIBUTE_NAME_SYNTAX", "{bad}");
        }
    }

    #[test]
    fn a_qualifier_wins_over_a_field() {
        let attributes = [attribute("t", "a", "a#0"), attribute("s", "t", "t#1"), attribute("s", "A", "A#2")];
        let parts = parse_name("t.a").unwrap();
        assert_eq!(find(&parts, &attributes).unwrap().unwrap().attribute.column, "a#0");
        let parts = parse_name("t.x").unwrap();
        let found = find(&parts, &attributes).unwrap().unwrap();
        assert_eq!((found.attribute.column.as_str(), found.fields.len()), ("t#1", 1));
        let parts = parse_name("a").unwrap();
        let error = find(&parts, &attributes).unwrap_err();
        assert_eq!(error.class, "AMBIGUOUS_REFERENCE");
        assert_eq!(error.message, "Reference `a` is ambiguous, could be: [`t`.`a`, `s`.`A`].");
    }

    #[test]
    fn suggestions_come_nearest_first() {
        let attributes = [attribute("t", "severity", "0"), attribute("t", "value", "1"), attribute("t", "key", "2")];
        let error = unresolved_column("Valeu", &attributes);
        assert_eq!(error.class, "UNRESOLVED_COLUMN.WITH_SUGGESTION");
        assert_eq!(
            error.message,
            "A column, variable, or function parameter with name `Valeu` cannot be resolved. Did you mean one of the \
                following? [`value`, `key`, `severity`]."
        );
    }
}
