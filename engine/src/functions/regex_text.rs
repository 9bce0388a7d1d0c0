//! Functions of strings by regular expressions: `split`, `regexp_replace`, `regexp_extract`, and matching.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanBuilder, Int32Array, ListArray, ListBuilder, StringArray, StringBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::Result;

use super::java_regex::{End, java_regex};
use super::pattern::{PatternCache, expand_replacement, invalid_group};

pub(super) fn split(texts: &StringArray, patterns: &StringArray, limits: &Int32Array) -> Result<ArrayRef> {
    let field = Arc::new(Field::new("element", DataType::Utf8, false));
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(field);
    let mut cache = PatternCache::default();
    for row in 0..texts.len() {
        if texts.is_null(row) || patterns.is_null(row) || limits.is_null(row) {
            builder.append_null();
            continue;
        }
        let (text, pattern) = (texts.value(row), patterns.value(row));
        let limit = usize::try_from(limits.value(row)).ok().filter(|limit| *limit > 0);
        let regex = cache.get(pattern, |pattern| Ok(java_regex(pattern, End::OfText)), "split")?;
        let mut from = 0;
        let mut parts = 0;
        for found in regex.find_iter(text) {
            if limit.is_some_and(|limit| parts + 1 >= limit) {
                break;
            }
            // An empty match at the beginning makes no empty part, as in Java; nor does one at the end.
            if found.end() == 0 || (found.is_empty() && found.start() == text.len()) {
                continue;
            }
            builder.values().append_value(&text[from..found.start()]);
            from = found.end();
            parts += 1;
        }
        builder.values().append_value(&text[from..]);
        builder.append(true);
    }
    let list: ListArray = builder.finish();
    Ok(Arc::new(list))
}

pub(super) fn regex_replace(
    texts: &StringArray,
    patterns: &StringArray,
    replacements: &StringArray,
) -> Result<ArrayRef> {
    let mut builder = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    let mut cache = PatternCache::default();
    // What it was made of, and the replacement in Rust's syntax.
    let mut expanded: Option<(&str, &str, String)> = None;
    for row in 0..texts.len() {
        if texts.is_null(row) || patterns.is_null(row) || replacements.is_null(row) {
            builder.append_null();
            continue;
        }
        let regex = cache.get(patterns.value(row), |pattern| Ok(java_regex(pattern, End::OfText)), "regexp_replace")?;
        let (pattern, replacement) = (patterns.value(row), replacements.value(row));
        let same = expanded.take().filter(|(of, what, _)| *of == pattern && *what == replacement);
        let (_, _, text) = expanded.insert(match same {
            Some(same) => same,
            None => (pattern, replacement, expand_replacement(replacement, regex.captures_len())?),
        });
        builder.append_value(regex.replace_all(texts.value(row), text.as_str()));
    }
    Ok(Arc::new(builder.finish()))
}

pub(super) fn regex_extract(texts: &StringArray, patterns: &StringArray, groups: &Int32Array) -> Result<ArrayRef> {
    let mut builder = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    let mut cache = PatternCache::default();
    for row in 0..texts.len() {
        if texts.is_null(row) || patterns.is_null(row) || groups.is_null(row) {
            builder.append_null();
            continue;
        }
        let pattern = patterns.value(row);
        let regex = cache.get(pattern, |pattern| Ok(java_regex(pattern, End::OfText)), "regexp_extract")?;
        // As Spark: a group that is not there is an error only where something was found.
        let Some(captures) = regex.captures(texts.value(row)) else {
            builder.append_value("");
            continue;
        };
        let group = usize::try_from(groups.value(row)).ok().filter(|group| *group < captures.len());
        let Some(group) = group else {
            return Err(invalid_group(groups.value(row), captures.len() - 1).into());
        };
        builder.append_value(captures.get(group).map_or("", |found| found.as_str()));
    }
    Ok(Arc::new(builder.finish()))
}

pub(super) fn matches(
    texts: &StringArray,
    patterns: &StringArray,
    to_regex: impl Fn(&str) -> Result<String, crate::error::SparkError>,
) -> Result<ArrayRef> {
    let mut builder = BooleanBuilder::with_capacity(texts.len());
    let mut cache = PatternCache::default();
    for (text, pattern) in texts.iter().zip(patterns) {
        match (text, pattern) {
            (Some(text), Some(pattern)) => {
                let regex = cache.get(pattern, &to_regex, "rlike")?;
                builder.append_value(regex.is_match(text));
            }
            _ => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}
