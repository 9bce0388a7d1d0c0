//! A batch's way out through the driver's sink, and how faults become Spark's errors.

use std::error::Error as StdError;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use futures::{FutureExt as _, StreamExt as _};
use parking_lot::Mutex;
use pyrite_common::error::chain;
use pyrite_common::lifecycle::panic_text;
use pyrite_engine::error::{ExceptionKind, SparkError};
use tokio::runtime::Handle;

use crate::plan::DriverPart;
use crate::protocol::Fault;
use crate::query::rows::SpooledRows;
use crate::sink::{BatchSink, Rows};

/// What a batch's rows go through before the sink.
pub(super) struct Publication {
    pub driver_part: Option<DriverPart>,
    pub schema: SchemaRef,
}

/// Why a batch's rows are not out.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The sink, or what the rows are: it would be the same again.
    Final(Fault),
    /// The disk under the rows: another attempt may bring them.
    RowsLost(String),
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, DataFusionError>> + Send>;

/// Gives the rows of a batch to the sink, one record batch at a time; says how many there were.
pub(super) async fn publish(
    publication: Arc<Publication>,
    sink: Arc<Mutex<Box<dyn BatchSink>>>,
    batch: u64,
    rows: SpooledRows,
) -> Result<u64, Refusal> {
    let batches: Batches = match &publication.driver_part {
        None => Box::new(rows.batches().map(|decoded| decoded.map_err(DataFusionError::from))),
        Some(part) => {
            let mut results = part.run(rows.batches()).await.map_err(|error| refusal(batch, &error))?;
            let runtime = Handle::current();
            Box::new(std::iter::from_fn(move || runtime.block_on(results.next())))
        }
    };
    let schema = publication.schema.clone();
    let given = tokio::task::spawn_blocking(move || give(&mut **sink.lock(), batch, batches, &schema)).await;
    given.unwrap_or_else(|error| Err(Refusal::Final(unreadable(batch, &error))))
}

/// The sink may leave rows that it does not need; they are counted all the same.
fn give(sink: &mut dyn BatchSink, batch: u64, batches: Batches, schema: &SchemaRef) -> Result<u64, Refusal> {
    let mut refused = None;
    let renamed = batches.map(|rows| {
        let rows = rows.and_then(|rows| Ok(RecordBatch::try_new(schema.clone(), rows.columns().to_vec())?));
        rows.map_err(|error| {
            let refusal = refusal(batch, &error);
            let error = internal(error.to_string());
            refused = Some(refusal);
            error
        })
    });
    let mut rows = Rows::new(renamed);
    let taken = sink.add_batch(batch, &mut rows).and_then(|()| rows.count_all());
    drop(rows);
    match (refused, taken) {
        (Some(refusal), _) => Err(refusal),
        (None, Err(error)) => Err(Refusal::Final(fault(&error))),
        (None, Ok(count)) => Ok(count),
    }
}

/// What an error of the rows means: a disk that fails under them may not fail again, all else would.
fn refusal(batch: u64, error: &DataFusionError) -> Refusal {
    if is_io(error) {
        return Refusal::RowsLost(format!("cannot keep the rows of batch {batch} on disk: {}", chain(error)));
    }
    Refusal::Final(match SparkError::find(error) {
        Some(error) => fault(error),
        None => unreadable(batch, error),
    })
}

fn is_io(error: &(dyn StdError + 'static)) -> bool {
    error.is::<io::Error>() || error.source().is_some_and(is_io)
}

fn unreadable(batch: u64, error: &dyn std::fmt::Display) -> Fault {
    Fault::new(format!("the rows of batch {batch}: {error}"))
}

/// The work's outcome, or what to say of its panic: who waits for it must hear of its end either way.
pub(super) async fn caught<T>(who: &str, work: impl Future<Output = T>) -> Result<T, String> {
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    outcome.map_err(|panic| format!("{who} panicked: {}", panic_text(panic.as_ref())))
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
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::arrow::error::ArrowError;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_outcome() {
        assert_eq!(caught("it", async { 7 }).await, Ok(7));
        let panicked = caught("it", async {
            if true {
                panic!("boom")
            }
        })
        .await;
        assert_eq!(panicked, Err("it panicked: boom".to_string()));
    }

    /// Takes so many record batches and no more.
    struct Taker(usize);

    impl BatchSink for Taker {
        fn add_batch(&mut self, _: u64, rows: &mut Rows<'_>) -> Result<(), SparkError> {
            for _ in 0..self.0 {
                rows.next()?;
            }
            Ok(())
        }
    }

    fn schema(name: &str) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new(name, DataType::Int64, true)]))
    }

    fn given(taken: usize, error: Option<DataFusionError>) -> Result<u64, Refusal> {
        let rows = RecordBatch::try_new(schema("internal#1"), vec![Arc::new(Int64Array::from(vec![1, 2, 3]))]).unwrap();
        let batches = vec![Ok(rows.clone()), Ok(rows)].into_iter().chain(error.map(Err));
        give(&mut Taker(taken), 7, Box::new(batches), &schema("n"))
    }

    #[test]
    fn rows_that_a_sink_leaves_are_counted() {
        assert!(matches!(given(1, None), Ok(6)));
    }

    #[test]
    fn a_disk_may_be_better_next_time_and_a_bad_row_may_not() {
        for error in [
            DataFusionError::IoError(io::Error::from(io::ErrorKind::StorageFull)),
            DataFusionError::from(ArrowError::from(io::Error::from(io::ErrorKind::StorageFull))),
        ] {
            let lost = given(9, Some(error));
            assert!(matches!(&lost, Err(Refusal::RowsLost(text)) if text.contains("batch 7")), "{lost:?}");
        }
        let bad = DataFusionError::External(Box::new(SparkError::analysis("DIVIDE_BY_ZERO", "22012", "by zero")));
        let refused = given(0, Some(bad));
        assert!(matches!(&refused, Err(Refusal::Final(fault)) if fault.class == "DIVIDE_BY_ZERO"), "{refused:?}");
        let other = given(9, Some(DataFusionError::ResourcesExhausted("too many".into())));
        assert!(matches!(&other, Err(Refusal::Final(fault)) if fault.message.contains("too many")), "{other:?}");
    }
}
