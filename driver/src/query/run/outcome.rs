//! A batch's way out through the driver's sink, and how faults become Spark's errors.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use futures::FutureExt as _;
use parking_lot::Mutex;
use pyrite_common::lifecycle::panic_text;
use pyrite_engine::error::{ExceptionKind, SparkError};

use crate::executors::OutputRows;
use crate::plan::DriverPart;
use crate::protocol::Fault;
use crate::query::rows::{decode, renamed};
use crate::sink::BatchSink;

/// What a batch's rows go through before the sink.
pub(super) struct Publication {
    pub driver_part: Option<DriverPart>,
    pub schema: SchemaRef,
}

/// Gives the rows of a batch to the sink; says how many there were.
pub(super) async fn publish(
    publication: Arc<Publication>,
    sink: Arc<Mutex<Box<dyn BatchSink>>>,
    batch: u64,
    rows: Vec<OutputRows>,
) -> Result<u64, Fault> {
    let internal = |error: &dyn std::fmt::Display| Fault::new(format!("the rows of batch {batch}: {error}"));
    let mut batches = blocking(move || decode(rows)).await.map_err(|error| internal(&error))?.map_err(|error| internal(&error))?;
    if let Some(part) = &publication.driver_part {
        batches = part.run(batches).await.map_err(|error| match SparkError::find(&error) {
            Some(error) => fault(error),
            None => internal(&error),
        })?;
    }
    let batches = renamed(batches, &publication.schema).map_err(|error| internal(&error))?;
    let count = batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
    let added = blocking(move || sink.lock().add_batch(batch, batches)).await.map_err(|error| internal(&error))?;
    added.map_err(|error| fault(&error))?;
    Ok(count)
}

/// The work's outcome, or what to say of its panic: who waits for it must hear of its end either way.
pub(super) async fn caught<T>(who: &str, work: impl Future<Output = T>) -> Result<T, String> {
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    outcome.map_err(|panic| format!("{who} panicked: {}", panic_text(panic.as_ref())))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, tokio::task::JoinError> {
    tokio::task::spawn_blocking(work).await
}

fn fault(error: &SparkError) -> Fault {
    Fault {
        message: error.message.clone(),
        class: error.class.clone(),
        sql_state: error.sql_state.clone(),
        parameters: error.parameters.clone(),
    }
}

/// A fault as the error that a start raises.
pub(super) fn spark_error(fault: Fault) -> SparkError {
    let mut error = SparkError::new(ExceptionKind::Runtime, &fault.class, &fault.sql_state, fault.message);
    error.parameters = fault.parameters;
    error
}

/// A fault's text as Spark prints it: with its class in brackets when it has one.
pub(super) fn text(fault: &Fault) -> String {
    match (fault.class.as_str(), fault.sql_state.as_str()) {
        ("", _) => fault.message.clone(),
        (class, "") => format!("[{class}] {}", fault.message),
        (class, state) => format!("[{class}] {} SQLSTATE: {state}", fault.message),
    }
}

pub(super) fn internal(message: impl Into<String>) -> SparkError {
    SparkError::new(ExceptionKind::Runtime, "INTERNAL_ERROR", "XX000", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_outcome() {
        assert_eq!(caught("it", async { 7 }).await, Ok(7));
        let panicked = caught("it", async { if true { panic!("boom") } }).await;
        assert_eq!(panicked, Err("it panicked: boom".to_string()));
    }
}
