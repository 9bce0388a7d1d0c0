//! The listener bus: one long response stream that carries the events of all queries to the client, which calls its
//! `StreamingQueryListener`s. A query's start is not among them: the answer to `start()` carries it.

use std::collections::BTreeSet;
use std::time::Duration;

use pyrite_common::lifecycle::TaskKind;
use pyrite_driver::query::{Query, QueryEvent};
use pyrite_engine::error::SparkError;
use serde_json::json;
use tokio::sync::{broadcast, mpsc};

use super::Execution;
use super::start::now_text;
use crate::error::invalid_plan;
use crate::wire::execute_plan_response::ResponseType;
use crate::wire::streaming_query_listener_bus_command::Command;
use crate::wire::{
    StreamingQueryEventType, StreamingQueryListenerBusCommand, StreamingQueryListenerEvent,
    StreamingQueryListenerEventsResult,
};

/// How often new queries are looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Events that wait for the client; a slower client slows the forwarding down, and the query's channel drops the oldest.
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

async fn forward(execution: &Execution) -> Result<(), SparkError> {
    let closed = execution.context.session.open_listener();
    let added = StreamingQueryListenerEventsResult { events: Vec::new(), listener_bus_listener_added: Some(true) };
    execution.operation.push(ResponseType::StreamingQueryListenerEventsResult(added)).await;
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    let mut followed = BTreeSet::new();
    loop {
        for query in execution.context.shared.driver.queries().active() {
            if followed.insert(query.run_id()) {
                follow(execution, query, sender.clone(), closed.clone());
            }
        }
        tokio::select! {
            () = closed.cancelled() => break,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            Some(event) = events.recv() => send(execution, event).await,
        }
    }
    // What happened before the listener was removed is still told.
    while let Ok(event) = events.try_recv() {
        send(execution, event).await;
    }
    Ok(())
}

async fn send(execution: &Execution, event: StreamingQueryListenerEvent) {
    let result = StreamingQueryListenerEventsResult { events: vec![event], listener_bus_listener_added: None };
    execution.operation.push(ResponseType::StreamingQueryListenerEventsResult(result)).await;
}

/// Passes one query's events on until it ends.
fn follow(
    execution: &Execution,
    query: Query,
    sender: mpsc::Sender<StreamingQueryListenerEvent>,
    closed: tokio_util::sync::CancellationToken,
) {
    let mut events = query.subscribe();
    let task = async move {
        loop {
            let event = tokio::select! {
                () = closed.cancelled() => return Ok::<(), SparkError>(()),
                event = events.recv() => event,
            };
            let message = match event {
                Ok(event) => to_message(&query, event),
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            };
            let Some(message) = message else { continue };
            if sender.send(message).await.is_err() {
                return Ok(());
            }
        }
    };
    execution.context.shared.lifecycle.spawn(TaskKind::Background, "listener", task);
}

fn to_message(query: &Query, event: QueryEvent) -> Option<StreamingQueryListenerEvent> {
    let (event_type, event_json) = match event {
        QueryEvent::Started => return None,
        QueryEvent::Progress(progress) => (StreamingQueryEventType::QueryProgressEvent, json!({ "progress": *progress })),
        QueryEvent::Idle => (
            StreamingQueryEventType::QueryIdleEvent,
            json!({ "id": query.id().to_string(), "runId": query.run_id().to_string(), "timestamp": now_text() }),
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
