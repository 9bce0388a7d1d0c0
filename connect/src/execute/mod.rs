//! The ExecutePlan RPC's work: a relation gives rows, a command does something and answers.

mod command;
mod listener;
mod query_command;
mod relation;
mod set_command;
mod sql_command;
mod start;
mod trigger;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use pyrite_engine::error::{ExceptionKind, SparkError};

use crate::context::Context;
use crate::error::invalid_plan;
use crate::operation::Operation;
use crate::wire::{Plan, plan::OpType};

/// One execution: who asks, and where the responses go.
pub struct Execution {
    /// The server and the session.
    pub context: Context,
    /// Takes the responses.
    pub operation: Arc<Operation>,
}

/// Executes a plan to its end and closes its operation, also when it fails or is interrupted.
pub async fn run(execution: Execution, plan: Plan) {
    let operation = execution.operation.clone();
    // A panic is our bug; the client must hear of it all the same, or it would wait for ever.
    let work = AssertUnwindSafe(dispatch(&execution, plan)).catch_unwind();
    let result = tokio::select! {
        result = work => result.unwrap_or_else(|_| Err(crate::error::internal("the execution panicked; the log says where"))),
        () = operation.cancel.cancelled() => Err(canceled()),
    };
    if let Err(error) = &result {
        tracing::debug!(operation = %operation.id, "execution failed: {error}");
    }
    let result = result.map_err(|error| execution.context.session.errors.status(error));
    operation.finish(result).await;
}

async fn dispatch(execution: &Execution, plan: Plan) -> Result<(), SparkError> {
    match plan.op_type {
        Some(OpType::Root(root)) => relation::execute(execution, root).await,
        Some(OpType::Command(command)) => command::execute(execution, command).await,
        Some(OpType::CompressedOperation(_)) => Err(cannot_parse("the plan is compressed")),
        None => Err(invalid_plan("the plan is empty")),
    }
}

/// The class at which the client sends its plans uncompressed from then on.
pub fn cannot_parse(why: &str) -> SparkError {
    let message = format!("Cannot decompress or parse the input plan ({why})");
    SparkError::new(ExceptionKind::Runtime, "CONNECT_INVALID_PLAN.CANNOT_PARSE", "56K00", message)
}

fn canceled() -> SparkError {
    SparkError::new(ExceptionKind::Runtime, "OPERATION_CANCELED", "HY008", "Operation has been canceled.")
}
