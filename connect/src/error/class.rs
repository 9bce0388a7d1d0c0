//! Which Java class an error is on the wire: the client picks its Python exception by the first name it knows.

use pyrite_engine::error::{ExceptionKind, SparkError};

const ANALYSIS: &str = "org.apache.spark.sql.AnalysisException";
const ILLEGAL_ARGUMENT: &str = "java.lang.IllegalArgumentException";

/// The class of the exception and of those it extends, most special first, as Spark 4.2 sends them.
pub fn class_names(error: &SparkError) -> Vec<&'static str> {
    let mut names = special_class(&error.class).unwrap_or_else(|| of_kind(error)).to_vec();
    if names.first() == Some(&ANALYSIS) || names.contains(&ANALYSIS) || names.contains(&STREAMING_QUERY[0]) {
        names.extend(["java.lang.Exception", "java.lang.Throwable", "java.lang.Object"]);
    } else {
        names.extend(["java.lang.RuntimeException", "java.lang.Exception", "java.lang.Throwable", "java.lang.Object"]);
    }
    names
}

const STREAMING_QUERY: [&str; 1] = ["org.apache.spark.sql.streaming.StreamingQueryException"];

fn of_kind(error: &SparkError) -> &'static [&'static str] {
    match error.kind {
        ExceptionKind::Analysis => &["org.apache.spark.sql.catalyst.ExtendedAnalysisException", ANALYSIS],
        ExceptionKind::Parse => &["org.apache.spark.sql.catalyst.parser.ParseException", ANALYSIS],
        ExceptionKind::IllegalArgument if error.class.is_empty() => &[ILLEGAL_ARGUMENT],
        ExceptionKind::IllegalArgument => &["org.apache.spark.SparkIllegalArgumentException", ILLEGAL_ARGUMENT],
        ExceptionKind::Unsupported => {
            &["org.apache.spark.SparkUnsupportedOperationException", "java.lang.UnsupportedOperationException"]
        }
        ExceptionKind::Runtime => &["org.apache.spark.SparkRuntimeException"],
    }
}

/// Error classes that Spark raises as an exception of their own, whatever the kind says.
fn special_class(class: &str) -> Option<&'static [&'static str]> {
    let main = class.split('.').next().unwrap_or(class);
    match main {
        "DIVIDE_BY_ZERO"
        | "REMAINDER_BY_ZERO"
        | "ARITHMETIC_OVERFLOW"
        | "BINARY_ARITHMETIC_OVERFLOW"
        | "CAST_OVERFLOW"
        | "NUMERIC_VALUE_OUT_OF_RANGE"
        | "INTERVAL_DIVIDED_BY_ZERO"
        | "INTERVAL_ARITHMETIC_OVERFLOW"
        | "DATETIME_OVERFLOW" => Some(&["org.apache.spark.SparkArithmeticException", "java.lang.ArithmeticException"]),
        "CAST_INVALID_INPUT" => {
            Some(&["org.apache.spark.SparkNumberFormatException", "java.lang.NumberFormatException", ILLEGAL_ARGUMENT])
        }
        "CANNOT_PARSE_TIMESTAMP" | "INVALID_DATETIME_PATTERN" | "DATETIME_FIELD_OUT_OF_BOUNDS" => {
            Some(&["org.apache.spark.SparkDateTimeException", "java.time.DateTimeException"])
        }
        "INCONSISTENT_BEHAVIOR_CROSS_VERSION" => Some(&["org.apache.spark.SparkUpgradeException"]),
        "INVALID_ARRAY_INDEX" | "INVALID_ARRAY_INDEX_IN_ELEMENT_AT" => Some(&[
            "org.apache.spark.SparkArrayIndexOutOfBoundsException",
            "java.lang.ArrayIndexOutOfBoundsException",
            "java.lang.IndexOutOfBoundsException",
        ]),
        "SQL_CONF_NOT_FOUND" => {
            Some(&["org.apache.spark.SparkNoSuchElementException", "java.util.NoSuchElementException"])
        }
        "STREAM_FAILED" => Some(&STREAMING_QUERY),
        "OPERATION_CANCELED" | "INVALID_HANDLE" | "INVALID_CURSOR" => {
            Some(&["org.apache.spark.SparkSQLException", "java.sql.SQLException"])
        }
        "FAILED_EXECUTE_UDF" | "INTERNAL_ERROR" => Some(&["org.apache.spark.SparkException"]),
        "CONNECT_INVALID_PLAN" => Some(&["org.apache.spark.sql.connect.common.InvalidPlanInput"]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_and_second(error: &SparkError) -> (&'static str, &'static str) {
        let names = class_names(error);
        (names[0], names[1])
    }

    #[test]
    fn the_kind_chooses_the_class() {
        let analysis = SparkError::analysis("UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703", "m");
        assert_eq!(first_and_second(&analysis).1, ANALYSIS);
        let parse = SparkError::new(ExceptionKind::Parse, "PARSE_SYNTAX_ERROR", "42601", "m");
        assert_eq!(first_and_second(&parse).0, "org.apache.spark.sql.catalyst.parser.ParseException");
        let plain = SparkError::new(ExceptionKind::IllegalArgument, "", "", "Invalid UUID string: nope");
        assert_eq!(class_names(&plain)[0], ILLEGAL_ARGUMENT);
    }

    #[test]
    fn some_error_classes_have_their_own() {
        let division = SparkError::new(ExceptionKind::Runtime, "DIVIDE_BY_ZERO", "22012", "m");
        assert_eq!(first_and_second(&division).1, "java.lang.ArithmeticException");
        let stream = SparkError::new(ExceptionKind::Runtime, "STREAM_FAILED", "XXKST", "m");
        assert_eq!(
            class_names(&stream),
            vec![STREAMING_QUERY[0], "java.lang.Exception", "java.lang.Throwable", "java.lang.Object"]
        );
    }
}
