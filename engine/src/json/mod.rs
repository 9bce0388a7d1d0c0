//! JSON: Spark's `from_json` and `to_json`, and a test of raw bytes that saves most decoding.
//!
//! A column of documents goes `decoder` -> `reader` (typed) -> `scan` (bytes), straight into the columns of `node`; no
//! memory is allocated per record. [`RawFilter`] tells from the bytes alone which documents cannot pass a filter on
//! their strings, so that these are not decoded at all. `to_json` is the way back.

mod decoder;
mod display;
mod from_json;
pub mod functions;
mod node;
mod options;
mod raw_filter;
mod raw_search;
mod reader;
mod rewrite;
mod scan;
mod strings;
mod text;
mod times;
mod to_json;
mod to_json_function;
mod unescape;

#[cfg(test)]
mod tests;

pub use decoder::{DecodeError, JsonDecoder};
pub use from_json::{FromJson, with_projection};
pub use options::{JsonOptions, ParseMode, Syntax};
pub use raw_filter::{Needle, RawFilter};
pub use times::{OptionTimes, TextTimes};
pub use to_json_function::ToJson;
