//! The names of Spark's functions, so that one that Pyrite lacks is told from one that does not exist.

/// The functions of Spark 4.2 by its `SHOW ALL FUNCTIONS`, and those that its parser knows, one a line, lower case,
/// sorted. Those that the registry gains may stay.
const SPARK_FUNCTIONS: &str = include_str!("spark_functions.txt");

/// Whether Spark has a function of this lower-case name.
pub(super) fn is_spark_function(name: &str) -> bool {
    SPARK_FUNCTIONS.lines().any(|function| function == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_is_missing_here_is_told_from_one_that_is_nowhere() {
        assert!(SPARK_FUNCTIONS.lines().is_sorted());
        assert!(is_spark_function("explode") && is_spark_function("timestampdiff") && !is_spark_function("explod"));
    }
}
