//! Spark's analysis errors: class, SQL state, text and parameters, each once.

use std::fmt;

use datafusion::arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use pyrite_engine::error::{ExceptionKind, SparkError};
use pyrite_engine::functions::Typed;
use pyrite_engine::types::{quoted_sql_name, sql_name};

use super::Attribute;

fn quote_parts(parts: &[String]) -> String {
    parts.iter().map(|part| format!("`{}`", part.replace('`', "``"))).collect::<Vec<_>>().join(".")
}

fn in_quotes(text: &str) -> String {
    format!("\"{text}\"")
}

pub(super) fn invalid_name_syntax(name: &str) -> SparkError {
    let message = format!(
        "Syntax error in the attribute name: {name}. Check that backticks appear in pairs, a quoted \
        string is a complete name part and use a backtick only inside quoted name parts."
    );
    SparkError::analysis("INVALID_ATTRIBUTE_NAME_SYNTAX", "42601", message).with("name", name)
}

pub(super) fn ambiguous_reference(parts: &[String], matches: &[&Attribute]) -> SparkError {
    let name = quote_parts(parts);
    let references: Vec<String> = matches.iter().map(|attribute| attribute.quoted()).collect();
    let references = format!("[{}]", references.join(", "));
    SparkError::analysis(
        "AMBIGUOUS_REFERENCE",
        "42704",
        format!("Reference {name} is ambiguous, could be: {references}."),
    )
    .with("name", name)
    .with("referenceNames", references)
}

pub(super) fn unresolved_column(parts: &[String], proposal: &[String]) -> SparkError {
    let name = quote_parts(parts);
    let text = format!("A column, variable, or function parameter with name {name} cannot be resolved.");
    if proposal.is_empty() {
        return SparkError::analysis("UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703", text).with("objectName", name);
    }
    let proposal = proposal.join(", ");
    let text = format!("{text} Did you mean one of the following? [{proposal}].");
    SparkError::analysis("UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703", text)
        .with("objectName", name)
        .with("proposal", proposal)
}

/// Whether the error says that a name is unknown.
pub(super) fn is_unresolved_column(error: &SparkError) -> bool {
    error.class.starts_with("UNRESOLVED_COLUMN")
}

pub(super) fn cannot_expand_star(target: &str, attributes: &[Attribute]) -> SparkError {
    let columns: Vec<String> = attributes.iter().map(|attribute| format!("`{}`", attribute.name)).collect();
    let columns = columns.join(", ");
    let message = format!(
        "Cannot resolve `{target}`.* given input columns {columns}. Please check that the specified \
        table or struct exists and is accessible in the input columns."
    );
    SparkError::analysis("CANNOT_RESOLVE_STAR_EXPAND", "42704", message)
        .with("targetString", format!("`{target}`"))
        .with("columns", columns)
}

pub(super) fn star_of_scalar(parts: &[String]) -> SparkError {
    let attribute = format!("List({})", parts.join(", "));
    let message = format!("Can only star expand struct data types. Attribute: `{attribute}`.");
    SparkError::analysis("_LEGACY_ERROR_TEMP_1050", "", message).with("attributes", attribute)
}

pub(super) fn star_outside_of_list() -> SparkError {
    SparkError::analysis("INVALID_USAGE_OF_STAR_OR_REGEX", "42000", "Invalid usage of '*' in expression.")
        .with("elem", "'*'")
        .with("prettyName", "expression")
}

pub(super) fn unresolved_routine(name: &str) -> SparkError {
    const PATH: &str = "[`system`.`builtin`, `system`.`session`, `spark_catalog`.`default`]";
    SparkError::analysis(
        "UNRESOLVED_ROUTINE",
        "42883",
        format!("Cannot resolve routine `{name}` on search path {PATH}."),
    )
    .with("routineName", format!("`{name}`"))
    .with("searchPath", PATH)
}

pub(super) fn no_order(key: &Typed) -> SparkError {
    let (key, data_type) = (in_quotes(&key.name), quoted_sql_name(&key.data_type));
    let message = format!(
        "Cannot resolve {key} due to data type mismatch: The `sortorder` does not support ordering on type {data_type}."
    );
    SparkError::analysis("DATATYPE_MISMATCH.INVALID_ORDERING_TYPE", "42K09", message)
        .with("sqlExpr", &key)
        .with("functionName", "`sortorder`")
        .with("dataType", data_type)
}

pub(super) fn filter_not_boolean(condition: &str, data_type: &DataType) -> SparkError {
    let (condition, data_type) = (in_quotes(condition), quoted_sql_name(data_type));
    let message = format!(
        "Cannot resolve {condition} due to data type mismatch: Filter expression {condition} of \
        type {data_type} is not a boolean."
    );
    SparkError::analysis("DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN", "42K09", message)
        .with("sqlExpr", &condition)
        .with("filter", &condition)
        .with("type", data_type)
}

pub(super) fn invalid_where(condition: &str, aggregates: &str) -> SparkError {
    let message = format!(
        "The WHERE condition \"{condition}\" contains invalid expressions: {aggregates}.\nRewrite \
        the query to avoid window functions, aggregate functions, and generator functions in the WHERE clause."
    );
    SparkError::analysis("INVALID_WHERE_CONDITION", "42903", message)
        .with("condition", in_quotes(condition))
        .with("expressionList", aggregates)
}

pub(super) fn nested_aggregate() -> SparkError {
    SparkError::analysis(
        "NESTED_AGGREGATE_FUNCTION",
        "42607",
        "It is not allowed to use an aggregate function in the \
        argument of another aggregate function. Please use the inner aggregate function in a sub-query.",
    )
}

pub(super) fn group_by_aggregate(expression: &str) -> SparkError {
    SparkError::analysis(
        "GROUP_BY_AGGREGATE",
        "42903",
        format!(
            "Aggregate functions are not allowed in GROUP BY, but \
        found {expression}."
        ),
    )
    .with("sqlExpr", expression)
}

pub(super) fn missing_aggregation(expression: &str) -> SparkError {
    let any_value = format!("\"any_value({expression})\"");
    let expression = in_quotes(expression);
    let message = format!(
        "The non-aggregating expression {expression} is based on columns which are not \
        participating in the GROUP BY clause.\nAdd the columns or the expression to the GROUP BY, aggregate the \
        expression, or use {any_value} if you do not care which of the values within a group is returned."
    );
    SparkError::analysis("MISSING_AGGREGATION", "42803", message)
        .with("expression", expression)
        .with("expressionAnyValue", any_value)
}

pub(super) fn missing_group_by() -> SparkError {
    SparkError::analysis(
        "MISSING_GROUP_BY",
        "42803",
        "The query does not include a GROUP BY clause. Add GROUP BY or \
        turn it into the window functions using OVER clauses.",
    )
}

pub(super) fn several_windows() -> SparkError {
    SparkError::analysis(
        "_LEGACY_ERROR_TEMP_1039",
        "",
        "Multiple time/session window expressions would result in a \
        cartesian product of rows, therefore they are currently not supported.",
    )
}

pub(super) fn table_not_found(name: &str) -> SparkError {
    let quoted = format!("`{name}`");
    let message = format!(
        "The table or view {quoted} cannot be found. Verify the spelling and correctness of the \
        schema and catalog.\nIf you did not qualify the name with a schema, verify the current_schema() output, or \
        qualify the name with the correct schema and catalog.\nTo tolerate the error on drop use DROP VIEW IF EXISTS \
        or DROP TABLE IF EXISTS."
    );
    SparkError::analysis("TABLE_OR_VIEW_NOT_FOUND", "42P01", message).with("relationName", quoted)
}

pub(super) fn event_time_type(name: &str, data_type: &DataType) -> SparkError {
    let (name, data_type) = (format!("`{name}`"), quoted_sql_name(data_type));
    let message = format!("The event time {name} has the invalid type {data_type}, but expected \"TIMESTAMP\".");
    SparkError::analysis("EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE", "42K09", message)
        .with("eventName", name)
        .with("eventType", data_type)
}

pub(super) fn cannot_parse_interval(text: &str) -> SparkError {
    let message = format!(
        "Unable to parse '{text}'. Please ensure that the value provided is in a valid format for \
        defining an interval. You can reference the documentation for the correct format. If the issue persists, \
        please double check that the input value is not null or empty and try again."
    );
    SparkError::analysis("CANNOT_PARSE_INTERVAL", "22006", message).with("intervalString", text)
}

/// What Java's `require` gives.
pub(super) fn requirement(message: impl fmt::Display) -> SparkError {
    SparkError::new(ExceptionKind::IllegalArgument, "", "", format!("requirement failed: {message}"))
}

pub(super) fn illegal_argument(message: impl fmt::Display) -> SparkError {
    SparkError::new(ExceptionKind::IllegalArgument, "", "", message.to_string())
}

pub(super) fn column_already_exists(name: &str) -> SparkError {
    SparkError::analysis(
        "COLUMN_ALREADY_EXISTS",
        "42711",
        format!(
            "The column `{name}` already exists. Choose \
        another name or rename the existing column."
        ),
    )
    .with("columnName", format!("`{name}`"))
}

pub(super) fn columns_mismatch(first: usize, second: usize) -> SparkError {
    let message = format!(
        "UNION can only be performed on inputs with the same number of columns, but the first input \
        has {first} columns and the second input has {second} columns."
    );
    SparkError::analysis("NUM_COLUMNS_MISMATCH", "42826", message)
        .with("operator", "UNION")
        .with("firstNumColumns", first)
        .with("invalidOrdinalNum", "second")
        .with("invalidNumColumns", second)
}

pub(super) fn incompatible_column(index: usize, left: &DataType, right: &DataType) -> SparkError {
    let message = format!(
        "UNION can only be performed on tables with compatible column types. The {} column of the \
        second table is {} type which is not compatible with {} at the same column of the first table.",
        ordinal(index + 1),
        in_quotes(&sql_name(right)),
        in_quotes(&sql_name(left))
    );
    SparkError::analysis("INCOMPATIBLE_COLUMN_TYPE", "42825", message)
}

fn ordinal(number: usize) -> String {
    match number {
        1 => "first".to_owned(),
        2 => "second".to_owned(),
        3 => "third".to_owned(),
        other => format!("{other}th"),
    }
}

pub(super) fn sort_position(position: i32, size: usize) -> SparkError {
    let message = format!("ORDER BY position {position} is not in select list (valid range is [1, {size}]).");
    SparkError::analysis("ORDER_BY_POS_OUT_OF_RANGE", "42805", message).with("index", position).with("size", size)
}

/// A plan that DataFusion refuses: our mistake, said as such.
pub(super) fn internal(error: DataFusionError) -> SparkError {
    match SparkError::find(&error) {
        Some(spark) => spark.clone(),
        None => SparkError::analysis("INTERNAL_ERROR", "XX000", format!("the plan could not be made: {error}")),
    }
}
