//! Sinks that run in the driver: the console and tables in memory. (`noop` rows never leave the executors.)
//!
//! Each is idempotent by batch number within this driver; across a restart the last batch may come again, with its
//! number.

mod console;
mod memory;
mod rows;
mod table_print;

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::SchemaRef;
use pyrite_common::nearest::{nearest, slip};
use pyrite_engine::error::{ExceptionKind, SparkError};
use pyrite_engine::plan::OutputMode;
use pyrite_engine::types::Zone;

pub use console::ConsoleSink;
pub use memory::{MemoryCatalog, MemorySink};
pub use rows::Rows;
pub use table_print::{TableFormat, format_table};

/// Where a query's rows go.
pub trait BatchSink: Send {
    /// The query has started: nothing refuses it any more, and no batch came yet.
    fn query_started(&mut self) {}

    /// Takes a batch's rows, as many of them as it needs. A batch that was taken already is left out.
    ///
    /// # Errors
    /// What the outside refused; the query fails with it. Those of the rows are given back as they are.
    fn add_batch(&mut self, batch: u64, rows: &mut Rows<'_>) -> Result<(), SparkError>;
}

/// What a sink is made of.
pub struct SinkRequest<'a> {
    /// As the user named it, lower case.
    pub format: &'a str,
    /// The query's name.
    pub name: Option<&'a str>,
    pub options: &'a BTreeMap<String, String>,
    pub mode: OutputMode,
    /// Spark's names and types.
    pub schema: SchemaRef,
    pub zone: Zone,
}

/// A sink and how progress describes it; no sink where the executors need none.
pub struct Opened {
    pub sink: Option<Box<dyn BatchSink>>,
    pub description: String,
}

/// Options of all sinks, and those of each that has its own.
const OPTIONS: &[&str] = &["checkpointLocation", "path", "queryName"];
const CONSOLE_OPTIONS: &[&str] = &["checkpointLocation", "path", "queryName", "numRows", "truncate"];

const FORMATS: &[&str] = &["console", "memory", "noop"];
/// Spark's other sinks.
const FORMATS_TO_COME: &[&str] =
    &["kafka", "parquet", "orc", "json", "csv", "text", "delta", "foreachbatch", "foreach"];

/// Opens the sink of a query. `run_id` makes descriptions unique, as Java's object hashes do.
///
/// # Errors
/// An unknown format with the nearest one, a sink to come by its name, options that the sink refuses.
pub fn open(request: &SinkRequest<'_>, catalog: &MemoryCatalog, run_id: &uuid::Uuid) -> Result<Opened, SparkError> {
    refuse_slips(request)?;
    match request.format {
        "console" => {
            let sink = ConsoleSink::new(request.options, request.schema.clone(), request.zone.clone())?;
            let hash = run_id.as_fields().0;
            let description = format!("org.apache.spark.sql.execution.streaming.ConsoleTable$@{hash:x}");
            Ok(Opened { sink: Some(Box::new(sink)), description })
        }
        "memory" => {
            let name = request.name.ok_or_else(|| illegal("queryName must be specified for memory sink"))?;
            let sink = MemorySink::new(catalog, name, request.schema.clone(), request.mode);
            Ok(Opened { sink: Some(Box::new(sink)), description: "MemorySink".to_string() })
        }
        "noop" => Ok(Opened { sink: None, description: "NoopTable".to_string() }),
        known if FORMATS_TO_COME.contains(&known) => {
            Err(SparkError::unsupported(format!("the streaming sink `{known}`; use console, memory or noop: it")))
        }
        unknown => {
            let near = nearest(unknown, FORMATS.iter().chain(FORMATS_TO_COME).copied());
            let hint = near.map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
            let message = format!(
                "Failed to find the data source: {unknown}. Make sure the provider name is correct and the package is properly registered and compatible with your Spark version.{hint}"
            );
            Err(SparkError::analysis("DATA_SOURCE_NOT_FOUND", "42K02", message).with("provider", unknown))
        }
    }
}

/// As Spark, options that nobody knows are ignored; a misspelled `checkpointLocation` would lose a query's state.
fn refuse_slips(request: &SinkRequest<'_>) -> Result<(), SparkError> {
    let known = if request.format == "console" { CONSOLE_OPTIONS } else { OPTIONS };
    match slip(request.options.keys().map(String::as_str), known) {
        None => Ok(()),
        Some((name, meant)) => {
            let format = request.format;
            Err(illegal(format!("option `{name}` of the {format} sink is unknown; did you mean `{meant}`?")))
        }
    }
}

fn illegal(message: impl Into<String>) -> SparkError {
    SparkError::new(ExceptionKind::IllegalArgument, "", "", message)
}

/// A writer option by its name in any case.
fn option<'a>(options: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    options.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}
