//! The SQL commands that Pyrite has (`SET`, `SHOW TABLES`, `DROP VIEW`), and the functions of `spark.catalog` that go
//! with them. Each answers with rows of text.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use pyrite_engine::error::SparkError;

use crate::context::Context;
use crate::session::SetMode;
use crate::wire::{Catalog, catalog::CatType};

/// The rows of a command: a schema and one batch.
pub type Rows = (SchemaRef, RecordBatch);

/// Runs the text if it is a command; `None` when it is a query.
pub fn sql(context: &Context, text: &str) -> Result<Option<Rows>, SparkError> {
    let text = text.trim().trim_end_matches(';').trim();
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default().to_ascii_lowercase();
    let second = words.next().unwrap_or_default().to_ascii_lowercase();
    match (first.as_str(), second.as_str()) {
        ("set", "time") => Err(SparkError::unsupported("`SET TIME ZONE`; set `spark.sql.session.timeZone` instead")),
        ("set", _) => set(context, text[3..].trim()).map(Some),
        ("reset", _) => Err(SparkError::unsupported("`RESET`")),
        ("show", "tables" | "views") => show_tables(context).map(Some),
        ("drop", "view" | "table") => drop_view(context, words.collect::<Vec<_>>().as_slice()).map(Some),
        _ => Ok(None),
    }
}

/// `SET`, `SET key`, `SET key = value`.
fn set(context: &Context, rest: &str) -> Result<Rows, SparkError> {
    let mut conf = context.session.conf.lock();
    if rest.is_empty() || rest == "-v" {
        let pairs: Vec<(String, String)> = conf.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        return key_values(pairs);
    }
    let (key, value) = match rest.split_once('=') {
        Some((key, value)) => {
            let (key, value) = (unquoted(key), unquoted(value));
            conf.set(key, value, SetMode::Strict)?;
            (key, value.to_owned())
        }
        None => {
            let key = unquoted(rest);
            let value = conf.get(key).ok().flatten().unwrap_or("<undefined>");
            (key, value.to_owned())
        }
    };
    key_values(vec![(key.to_owned(), value)])
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches('`')
}

fn key_values(pairs: Vec<(String, String)>) -> Result<Rows, SparkError> {
    let (keys, values): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    rows(vec![("key", Arc::new(StringArray::from(keys)) as ArrayRef), ("value", Arc::new(StringArray::from(values)))])
}

/// The names of temporary views, and of memory sinks' tables, which are such views in Spark.
fn table_names(context: &Context) -> BTreeSet<String> {
    let mut names: BTreeSet<String> =
        context.session.views.lock().iter().map(|view| view.name.to_lowercase()).collect();
    names.extend(context.shared.driver.catalog().names());
    names
}

fn drop_table(context: &Context, name: &str) -> bool {
    context.session.views.lock().remove(name) || context.shared.driver.catalog().remove(name)
}

fn show_tables(context: &Context) -> Result<Rows, SparkError> {
    let names = table_names(context);
    let count = names.len();
    rows(vec![
        ("namespace", Arc::new(StringArray::from(vec![""; count])) as ArrayRef),
        ("tableName", Arc::new(StringArray::from_iter_values(names))),
        ("isTemporary", Arc::new(BooleanArray::from(vec![true; count]))),
    ])
}

fn drop_view(context: &Context, words: &[&str]) -> Result<Rows, SparkError> {
    let (name, if_exists) = match words {
        [a, b, name] if a.eq_ignore_ascii_case("if") && b.eq_ignore_ascii_case("exists") => (unquoted(name), true),
        [name] => (unquoted(name), false),
        _ => return Err(SparkError::unsupported("`DROP VIEW` of this form")),
    };
    if !drop_table(context, name) && !if_exists {
        return Err(SparkError::analysis(
            "TABLE_OR_VIEW_NOT_FOUND",
            "42P01",
            format!("The table or view `{name}` cannot be found. Verify the spelling and correctness of the schema and catalog."),
        )
        .with("relationName", format!("`{name}`")));
    }
    rows(Vec::new())
}

/// The functions of `spark.catalog` about temporary views and the one database there is.
pub fn catalog(context: &Context, message: Catalog) -> Result<Rows, SparkError> {
    let unsupported = || SparkError::unsupported("this function of `spark.catalog`");
    match message.cat_type.ok_or_else(unsupported)? {
        CatType::CurrentDatabase(_) => one_text("value", "default"),
        CatType::CurrentCatalog(_) => one_text("value", "spark_catalog"),
        CatType::DropTempView(view) => one_flag(drop_table(context, &view.view_name)),
        CatType::TableExists(ask) => {
            let is_view = context.session.views.lock().get(&ask.table_name).is_some();
            one_flag(is_view || context.shared.driver.catalog().get(&ask.table_name).is_some())
        }
        // Nothing is cached, so there is nothing to do.
        CatType::IsCached(_) => one_flag(false),
        CatType::CacheTable(_) | CatType::UncacheTable(_) | CatType::ClearCache(_) | CatType::RefreshTable(_) => {
            rows(Vec::new())
        }
        CatType::ListTables(_) => list_tables(context),
        _ => Err(unsupported()),
    }
}

fn list_tables(context: &Context) -> Result<Rows, SparkError> {
    let names: Vec<String> = table_names(context).into_iter().collect();
    let count = names.len();
    let nothing = || Arc::new(StringArray::new_null(count)) as ArrayRef;
    let no_namespace = types_list_of_nulls(count);
    rows(vec![
        ("name", Arc::new(StringArray::from(names)) as ArrayRef),
        ("catalog", nothing()),
        ("namespace", no_namespace),
        ("description", nothing()),
        ("tableType", Arc::new(StringArray::from(vec!["TEMPORARY"; count]))),
        ("isTemporary", Arc::new(BooleanArray::from(vec![true; count]))),
    ])
}

fn types_list_of_nulls(count: usize) -> ArrayRef {
    datafusion::arrow::array::new_null_array(&pyrite_engine::types::array_of(DataType::Utf8, true), count)
}

fn one_text(name: &str, value: &str) -> Result<Rows, SparkError> {
    rows(vec![(name, Arc::new(StringArray::from(vec![value])) as ArrayRef)])
}

fn one_flag(value: bool) -> Result<Rows, SparkError> {
    rows(vec![("value", Arc::new(BooleanArray::from(vec![value])) as ArrayRef)])
}

fn rows(columns: Vec<(&str, ArrayRef)>) -> Result<Rows, SparkError> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns: Vec<ArrayRef> = columns.into_iter().map(|(_, column)| column).collect();
    let batch = if columns.is_empty() {
        RecordBatch::new_empty(schema.clone())
    } else {
        RecordBatch::try_new(schema.clone(), columns).map_err(|error| crate::error::internal(error.to_string()))?
    };
    Ok((schema, batch))
}
