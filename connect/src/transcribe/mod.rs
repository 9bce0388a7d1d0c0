//! From Spark Connect's messages to the unresolved form that the driver analyzes. Only transcription: names and types
//! get their meaning in the driver. One file an area; a message that Pyrite does not have yet is refused by its Spark
//! name.

mod expressions;
mod literals;
mod local_data;
mod relations;
mod types;

use std::collections::BTreeMap;

use pyrite_driver::analysis::unresolved::Relation;
use pyrite_engine::error::SparkError;

use crate::session::Session;
use crate::wire;

pub use types::{data_type_to_wire, struct_to_wire};

/// A relation and the names that are visible only in it (`spark.sql("... {df}", df=df)`).
#[derive(Debug)]
pub struct Transcribed {
    /// The relation.
    pub relation: Relation,
    /// Views for this plan alone, by lower-case name.
    pub views: BTreeMap<String, Relation>,
}

/// Transcribes a plan's relation.
///
/// # Errors
/// `UNSUPPORTED_FEATURE` for what Pyrite lacks; Spark's error for a message that makes no sense.
pub fn relation(session: &Session, relation: wire::Relation) -> Result<Transcribed, SparkError> {
    let mut transcriber = relations::Transcriber { session, views: BTreeMap::new() };
    let relation = transcriber.relation(relation)?;
    Ok(Transcribed { relation, views: transcriber.views })
}

/// A required field of a message.
fn required<T>(field: Option<T>, name: &str) -> Result<T, SparkError> {
    field.ok_or_else(|| crate::error::invalid_plan(format!("the message has no `{name}`")))
}
