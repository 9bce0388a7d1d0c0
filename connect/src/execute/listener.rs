//! The listener bus: one long response stream that carries the events of all queries to the client, which calls its
//! `StreamingQueryListener`s. A query's start is not among them: the answer to `start()` carries it.

use pyrite_common::lifecycle::TaskKind;
use pyrite_driver::query::{Query, QueryEvent};
use pyrite_engine::error::SparkError;
use serde_json::json;
use tokio::sync::{broadcast, mpsc};

use super::Execution;
use crate::context::Context;
use crate::error::invalid_plan;
use crate::session::ListenerBus;
use crate::wire::execute_plan_response::ResponseType;
use crate::wire::streaming_query_listener_bus_command::Command;
use crate::wire::{
    StreamingQueryEventType, StreamingQueryListenerBusCommand, StreamingQueryListenerEvent,
    StreamingQueryListenerEventsResult,
};

/// Events that wait for the client; a slower one slows the forwarding down, and the query's channel drops the oldest.
const EVENTS_MAX: usize = 256;

/// Opens or closes the bus of a session.
pub async fn execute(execution: &Execution, message: StreamingQueryListenerBusCommand) -> Result<(), SparkError> {
    match message.command.ok_or_else(|| invalid_plan("the listener command is empty"))? {
        Command::AddListenerBusListener(_) => forward(execution).await,
        Command::RemoveListenerBusListener(_) => {
            execution.context.session.close_listener();
            Ok(())
        }
    }
}

/// Sends what the session's queries tell until the bus is closed and those that told are through.
async fn forward(execution: &Execution) -> Result<(), SparkError> {
    let session = &execution.context.session;
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    let bus = session.open_listener(sender);
    for query in session.active_queries() {
        // A query between its start and `follow_new` is followed here, and not twice.
        let events = query.events_from_start().unwrap_or_else(|| query.subscribe());
        follow(&execution.context, bus.clone(), query, events);
    }
    // From here on only the session and the followers hold the channel open.
    drop(bus);
    let added = StreamingQueryListenerEventsResult { events: Vec::new(), listener_bus_listener_added: Some(true) };
    execution.operation.push(ResponseType::StreamingQueryListenerEventsResult(added)).await;
    while let Some(event) = events.recv().await {
        let result = StreamingQueryListenerEventsResult { events: vec![event], listener_bus_listener_added: None };
        execution.operation.push(ResponseType::StreamingQueryListenerEventsResult(result)).await;
    }
    Ok(())
}

/// Follows a query that has just started, if the session's client listens.
pub fn follow_new(context: &Context, query: &Query) {
    let events = query.events_from_start();
    if let (Some(bus), Some(events)) = (context.session.listener(), events) {
        follow(context, bus, query.clone(), events);
    }
}

/// Passes one query's events on until it ends or the bus closes; what happened before that is still told.
fn follow(context: &Context, bus: ListenerBus, query: Query, mut events: broadcast::Receiver<QueryEvent>) {
    let task = async move {
        loop {
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                () = bus.closed.cancelled() => return Ok::<(), SparkError>(()),
            };
            let event = match event {
                Ok(event) => event,
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            };
            let is_end = matches!(event, QueryEvent::Terminated);
            if let Some(message) = to_message(&query, event)
                && bus.events.send(message).await.is_err()
            {
                return Ok(());
            }
            if is_end {
                return Ok(());
            }
        }
    };
    context.shared.lifecycle.spawn(TaskKind::Background, "listener", task);
}

fn to_message(query: &Query, event: QueryEvent) -> Option<StreamingQueryListenerEvent> {
    let (event_type, event_json) = match event {
        QueryEvent::Started => return None,
        QueryEvent::Progress(progress) => {
            (StreamingQueryEventType::QueryProgressEvent, json!({ "progress": *progress }))
        }
        QueryEvent::Idle(timestamp) => (
            StreamingQueryEventType::QueryIdleEvent,
            json!({ "id": query.id().to_string(), "runId": query.run_id().to_string(), "timestamp": timestamp }),
        ),
        QueryEvent::Terminated => (StreamingQueryEventType::QueryTerminatedEvent, terminated(query)),
    };
    Some(StreamingQueryListenerEvent { event_json: event_json.to_string(), event_type: event_type.into() })
}

fn terminated(query: &Query) -> serde_json::Value {
    let failure = query.exception();
    json!({
        "id": query.id().to_string(),
        "runId": query.run_id().to_string(),
        "exception": failure.as_ref().map(|failure| failure.message.clone()),
        "errorClassOnException": failure.and_then(|failure| failure.error_class),
    })
}
