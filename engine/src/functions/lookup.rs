//! Finds a function by its name, in any case, over the tables of all families.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::registry::{Build, Function};
use super::{aggregates, casts, containers, numbers, operators, strings, times};
use crate::error::SparkError;

/// The tables, one a family. A new family is one more line.
static TABLES: [&[Function]; 9] = [
    operators::TABLE,
    numbers::TABLE,
    strings::TABLE,
    times::TABLE,
    containers::TABLE,
    aggregates::TABLE,
    casts::TABLE,
    JSON,
    REFUSED,
];

const fn row(name: &'static str, build: Build) -> Function {
    Function { name, build }
}

/// JSON has its own module.
static JSON: &[Function] =
    &[row("from_json", crate::json::functions::build_from_json), row("to_json", crate::json::functions::build_to_json)];

/// Functions of Spark's that programs use and Pyrite does not have yet: refused by name.
static REFUSED: &[Function] = &[
    row("explode", |_| Err(SparkError::unsupported("the function `explode`"))),
    row("explode_outer", |_| Err(SparkError::unsupported("the function `explode_outer`"))),
    row("posexplode", |_| Err(SparkError::unsupported("the function `posexplode`"))),
    row("inline", |_| Err(SparkError::unsupported("the function `inline`"))),
    row("rand", |_| Err(SparkError::unsupported("the function `rand`"))),
    row("randn", |_| Err(SparkError::unsupported("the function `randn`"))),
    row("uuid", |_| Err(SparkError::unsupported("the function `uuid`"))),
    row("session_window", |_| Err(SparkError::unsupported("the function `session_window`"))),
    row("window_time", |_| Err(SparkError::unsupported("the function `window_time`"))),
    row("approx_count_distinct", |_| Err(SparkError::unsupported("the function `approx_count_distinct`"))),
    row("first", |_| Err(SparkError::unsupported("the function `first`"))),
    row("last", |_| Err(SparkError::unsupported("the function `last`"))),
    row("collect_list", |_| Err(SparkError::unsupported("the function `collect_list`"))),
    row("collect_set", |_| Err(SparkError::unsupported("the function `collect_set`"))),
    row("from_csv", |_| Err(SparkError::unsupported("the function `from_csv`"))),
    row("from_avro", |_| Err(SparkError::unsupported("the function `from_avro`"))),
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Function>> =
    LazyLock::new(|| TABLES.iter().flat_map(|table| table.iter()).map(|function| (function.name, function)).collect());

/// The function of a name, in any case; none if there is no such function.
pub fn lookup(name: &str) -> Option<&'static Function> {
    match BY_NAME.get(name) {
        Some(function) => Some(function),
        None => BY_NAME.get(name.to_lowercase().as_str()).copied(),
    }
}

/// The known function whose name is nearest, if one is near: for the error of an unknown one.
pub fn suggest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let near = name.chars().count() / 3 + 1;
    let words = BY_NAME.keys().filter(|known| known.starts_with(|first: char| first.is_ascii_alphabetic()));
    words
        .map(|known| (edit_distance(&name, known), *known))
        .filter(|(distance, _)| *distance <= near)
        .min()
        .map(|(_, known)| known)
}

/// How many letters must be changed, added or left out.
fn edit_distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_there_once_and_in_lower_case() {
        let mut seen = BTreeSet::new();
        for function in TABLES.iter().flat_map(|table| table.iter()) {
            assert!(seen.insert(function.name), "`{}` is there twice", function.name);
            assert_eq!(function.name, function.name.to_lowercase());
        }
    }

    #[test]
    fn finds_in_any_case_and_suggests() {
        assert_eq!(lookup("LOWER").unwrap().name, "lower");
        assert!(lookup("frobnicate").is_none());
        assert_eq!(suggest("lowr"), Some("lower"));
        assert_eq!(suggest("to_timestmp"), Some("to_timestamp"));
        assert_eq!(suggest("zzzzzzzzzz"), None);
    }
}
