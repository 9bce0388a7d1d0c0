//! Tests of the decoder as a whole.

mod meaning;
mod properties;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringArray};

use super::decoder::{DecodeError, JsonDecoder};
use super::from_json::FromJson;
use super::options::JsonOptions;
use super::times::OptionTimes;
use super::to_json::JsonWriter;
use crate::types::parse_schema_text;

/// A decoder of a schema in DDL, with options.
fn decoder(schema: &str, options: &[(&str, &str)]) -> JsonDecoder {
    let schema = parse_schema_text(schema).expect("a schema");
    let options: BTreeMap<_, _> =
        options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    FromJson::try_new(&schema, options, "UTC").expect("valid").decoder().expect("a decoder")
}

fn decode(schema: &str, options: &[(&str, &str)], documents: &[&str]) -> Result<ArrayRef, DecodeError> {
    let column = StringArray::from(documents.to_vec());
    decoder(schema, options).decode(&column)
}

/// The rows as JSON with their nulls, in UTC; `NULL` for a null row.
fn show(column: &ArrayRef) -> Vec<String> {
    let times = OptionTimes::new(&JsonOptions::new("UTC")).expect("a zone");
    let writer = JsonWriter { times: &times, ignore_null_fields: false };
    writer.write_column(column).iter().map(|row| row.unwrap_or("NULL").to_owned()).collect()
}

/// One document, decoded with options and shown.
#[track_caller]
fn with(schema: &str, options: &[(&str, &str)], document: &str) -> String {
    show(&decode(schema, options, &[document]).expect("permissive"))[0].clone()
}

/// One document, decoded and shown.
#[track_caller]
fn one(schema: &str, document: &str) -> String {
    with(schema, &[], document)
}

/// The field `a` of one document.
#[track_caller]
fn field(data_type: &str, value: &str) -> String {
    let row = one(&format!("a {data_type}, z INT"), &format!("{{\"a\":{value},\"z\":7}}"));
    let value = row.strip_prefix("{\"a\":").and_then(|rest| rest.strip_suffix(",\"z\":7}"));
    value.unwrap_or_else(|| panic!("the rest of the row was lost: {row}")).to_owned()
}

/// A column of documents as Arrow holds them.
fn column(documents: &[String]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(documents))
}
