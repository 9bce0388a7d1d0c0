//! What programs ask of a started query (`query.*`) and of all of them (`spark.streams.*`).

use std::time::Duration;

use pyrite_driver::query::{Query, QueryFailure};
use pyrite_engine::error::{ExceptionKind, SparkError};
use uuid::Uuid;

use super::Execution;
use super::start::instance_id;
use crate::error::{illegal_argument, invalid_plan};
use crate::wire::execute_plan_response::ResponseType;
use crate::wire::streaming_query_command::Command;
use crate::wire::streaming_query_command_result::{
    AwaitTerminationResult, ExceptionResult, ExplainResult, RecentProgressResult, ResultType, StatusResult,
};
use crate::wire::streaming_query_manager_command::Command as ManagerCommand;
use crate::wire::streaming_query_manager_command_result::{
    ActiveResult, AwaitAnyTerminationResult, ResultType as ManagerResult, StreamingQueryInstance,
};
use crate::wire::{
    StreamingQueryCommand, StreamingQueryCommandResult, StreamingQueryManagerCommand,
    StreamingQueryManagerCommandResult,
};

/// Answers a command on one query.
pub async fn execute(execution: &Execution, message: StreamingQueryCommand) -> Result<(), SparkError> {
    let ids = message.query_id.ok_or_else(|| invalid_plan("the command names no query"))?;
    let query = find(execution, &ids.id, &ids.run_id)?;
    let command = message.command.ok_or_else(|| invalid_plan("the query command is empty"))?;
    let result_type = answer(&query, command).await?;
    let result = StreamingQueryCommandResult { query_id: Some(instance_id(&query)), result_type };
    execution.operation.push(ResponseType::StreamingQueryCommandResult(result)).await;
    Ok(())
}

async fn answer(query: &Query, command: Command) -> Result<Option<ResultType>, SparkError> {
    Ok(match command {
        Command::Status(_) => Some(ResultType::Status(status(query))),
        Command::LastProgress(_) => Some(progress(query.last_progress().into_iter())),
        Command::RecentProgress(_) => Some(progress(query.recent_progress().into_iter())),
        Command::Stop(_) => {
            query.stop().await;
            None
        }
        Command::ProcessAllAvailable(_) => {
            query.process_all_available().await.map_err(|failure| stream_failed(query, &failure))?;
            None
        }
        Command::Explain(explain) => {
            Some(ResultType::Explain(ExplainResult { result: query.explain(explain.extended) }))
        }
        Command::Exception(_) => Some(ResultType::Exception(exception(query))),
        Command::AwaitTermination(wait) => {
            let terminated = query.await_termination(timeout(wait.timeout_ms)?).await;
            // As Spark: only a wait that saw the end raises what ended it.
            if let Some(failure) = query.exception().filter(|_| terminated) {
                return Err(stream_failed(query, &failure));
            }
            Some(ResultType::AwaitTermination(AwaitTerminationResult { terminated }))
        }
    })
}

fn status(query: &Query) -> StatusResult {
    let status = query.status();
    StatusResult {
        status_message: status.message,
        is_data_available: status.is_data_available,
        is_trigger_active: status.is_trigger_active,
        is_active: status.is_active,
    }
}

fn progress(progress: impl Iterator<Item = serde_json::Value>) -> ResultType {
    let recent_progress_json = progress.map(|value| value.to_string()).collect();
    ResultType::RecentProgress(RecentProgressResult { recent_progress_json })
}

fn exception(query: &Query) -> ExceptionResult {
    let Some(failure) = query.exception() else { return ExceptionResult::default() };
    // The client takes what stands behind the first ": ", as it prints a Java exception's text.
    let message = format!("org.apache.spark.sql.streaming.StreamingQueryException: {}", failure.message);
    ExceptionResult {
        exception_message: Some(message),
        error_class: Some("STREAM_FAILED".to_owned()),
        stack_trace: None,
    }
}

/// The error that a wait on a failed query raises.
fn stream_failed(query: &Query, failure: &QueryFailure) -> SparkError {
    failed(&query.id().to_string(), &query.run_id().to_string(), failure)
}

fn failed(id: &str, run_id: &str, failure: &QueryFailure) -> SparkError {
    let message = format!("Query [id = {id}, runId = {run_id}] terminated with exception: {}", failure.message);
    SparkError::new(ExceptionKind::Runtime, "STREAM_FAILED", "XXKST", message)
        .with("id", id)
        .with("runId", run_id)
        .with("message", &failure.message)
}

/// Answers a command on all queries.
pub async fn execute_manager(execution: &Execution, message: StreamingQueryManagerCommand) -> Result<(), SparkError> {
    let queries = execution.context.shared.driver.queries();
    let result_type = match message.command.ok_or_else(|| invalid_plan("the query manager command is empty"))? {
        ManagerCommand::Active(_) => {
            let active_queries = queries.active().iter().map(instance).collect();
            Some(ManagerResult::Active(ActiveResult { active_queries }))
        }
        ManagerCommand::GetQuery(id) => {
            Uuid::parse_str(&id).map_err(|_| illegal_argument(format!("Invalid UUID string: {id}")))?;
            queries.get(&id).filter(Query::is_active).map(|query| ManagerResult::Query(instance(&query)))
        }
        ManagerCommand::AwaitAnyTermination(wait) => {
            let terminated = queries
                .await_any_termination(timeout(wait.timeout_ms)?)
                .await
                .map_err(|failure| failed(&failure.id.to_string(), &failure.run_id.to_string(), &failure))?;
            Some(ManagerResult::AwaitAnyTermination(AwaitAnyTerminationResult { terminated }))
        }
        ManagerCommand::ResetTerminated(_) => {
            queries.reset_terminated();
            Some(ManagerResult::ResetTerminated(true))
        }
        ManagerCommand::AddListener(_) | ManagerCommand::RemoveListener(_) | ManagerCommand::ListListeners(_) => {
            return Err(SparkError::unsupported("a streaming query listener that runs on the server"));
        }
    };
    let result = StreamingQueryManagerCommandResult { result_type };
    execution.operation.push(ResponseType::StreamingQueryManagerCommandResult(result)).await;
    Ok(())
}

fn instance(query: &Query) -> StreamingQueryInstance {
    StreamingQueryInstance { id: Some(instance_id(query)), name: query.name() }
}

/// A query by its ids: one that this session started, ended or not, or any that runs.
fn find(execution: &Execution, id: &str, run_id: &str) -> Result<Query, SparkError> {
    let known = Uuid::parse_str(run_id).ok().and_then(|run| execution.context.session.query(run));
    let found = known.or_else(|| execution.context.shared.driver.queries().get(id));
    found.filter(|query| query.id().to_string() == id && query.run_id().to_string() == run_id).ok_or_else(|| {
        SparkError::new(
            ExceptionKind::IllegalArgument,
            "STREAMING_QUERY_NOT_FOUND",
            "42K0J",
            format!("Streaming query [id = {id}, runId = {run_id}] is not found in this session."),
        )
    })
}

fn timeout(millis: Option<i64>) -> Result<Option<Duration>, SparkError> {
    match millis {
        None => Ok(None),
        Some(millis) => match u64::try_from(millis) {
            Ok(millis) if millis > 0 => Ok(Some(Duration::from_millis(millis))),
            _ => Err(illegal_argument("requirement failed: Timeout has to be positive")),
        },
    }
}
