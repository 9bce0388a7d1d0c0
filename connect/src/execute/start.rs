//! `writeStream....start()`.

use pyrite_driver::query::{Query, QueryStart};
use pyrite_engine::error::SparkError;
use serde_json::json;

use super::{Execution, listener, trigger};
use crate::error::invalid_plan;
use crate::wire::execute_plan_response::ResponseType;
use crate::wire::write_stream_operation_start::SinkDestination;
use crate::wire::{StreamingQueryInstanceId, WriteStreamOperationStart, WriteStreamOperationStartResult};

/// Starts a query and answers with its ids.
pub async fn execute(execution: &Execution, message: WriteStreamOperationStart) -> Result<(), SparkError> {
    refuse_what_is_missing(&message)?;
    let session = &execution.context.session;
    let input = message.input.ok_or_else(|| invalid_plan("the query has no input"))?;
    let trigger = trigger::trigger(message.trigger)?;
    let output_mode = trigger::output_mode(&message.output_mode)?;
    let analyzed = execution.context.analyze(input).await?;
    if !analyzed.streaming {
        let message = "`writeStream` can be called only on streaming Dataset/DataFrame.";
        return Err(SparkError::analysis("WRITE_STREAM_NOT_ALLOWED", "42601", message));
    }
    let path = match message.sink_destination {
        Some(SinkDestination::Path(path)) => Some(path),
        _ => None,
    };
    // As Spark, `spark.sql.sources.default`.
    let sink_format = if message.format.is_empty() { "parquet".to_owned() } else { message.format.to_lowercase() };
    // As Spark: the sink's table takes the place of a view of its name.
    let table = Some(message.query_name.clone()).filter(|_| sink_format == "memory");
    let start = QueryStart {
        analyzed,
        name: Some(message.query_name).filter(|name| !name.is_empty()),
        output_mode,
        trigger,
        sink_format,
        options: message.options.into_iter().collect(),
        path,
        settings: session.conf.lock().snapshot(),
        session_id: session.key.session_id.clone(),
    };
    let query = execution.context.shared.driver.start_query(start).await?;
    session.add_query(query.clone());
    if let Some(table) = table {
        session.views.lock().remove(&table);
    }
    listener::follow_new(&execution.context, &query);
    let result = WriteStreamOperationStartResult {
        query_id: Some(instance_id(&query)),
        name: query.name().unwrap_or_default(),
        query_started_event_json: Some(started_event(&query)),
    };
    execution.operation.push(ResponseType::WriteStreamOperationStartResult(result)).await;
    Ok(())
}

/// The two ids of a query as the client sends them back.
pub fn instance_id(query: &Query) -> StreamingQueryInstanceId {
    StreamingQueryInstanceId { id: query.id().to_string(), run_id: query.run_id().to_string() }
}

fn started_event(query: &Query) -> String {
    json!({
        "id": query.id().to_string(),
        "runId": query.run_id().to_string(),
        "name": query.name(),
        "timestamp": query.started_at(),
        "jobTags": [],
    })
    .to_string()
}

fn refuse_what_is_missing(message: &WriteStreamOperationStart) -> Result<(), SparkError> {
    if message.foreach_batch.is_some() {
        return Err(SparkError::unsupported("`foreachBatch`"));
    }
    if message.foreach_writer.is_some() {
        return Err(SparkError::unsupported("`foreach`"));
    }
    if let Some(SinkDestination::TableName(name)) = &message.sink_destination {
        return Err(SparkError::unsupported(format!("`toTable` (table `{name}`)")));
    }
    if !message.partitioning_column_names.is_empty() {
        return Err(SparkError::unsupported("`partitionBy` of a streaming sink"));
    }
    if !message.clustering_column_names.is_empty() {
        return Err(SparkError::unsupported("`clusterBy` of a streaming sink"));
    }
    Ok(())
}
