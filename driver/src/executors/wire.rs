//! Between the machine's words and the wire's.

use pyrite_common::checkpoint::{AttemptId, ObjectRef, SnapshotRef};
use pyrite_proto::executor as wire;
use pyrite_proto::executor::driver_message::Message as ToExecutor;
use pyrite_proto::executor::executor_message::Message as FromExecutor;

use super::event::{ExecutorEvent, OutputRows};
use crate::protocol::{
    BatchFailure, Command, Event, EventTimes, ExecutorInfo, ExecutorKey, FailureKind, Fault, OperatorCounts,
    PreparedReport, RunBatch, SourceCounts,
};

pub(super) fn executor_info(hello: wire::Hello) -> ExecutorInfo {
    ExecutorInfo {
        key: ExecutorKey { id: hello.executor_id, incarnation: hello.incarnation },
        host: hello.host,
        cores: hello.cores.max(1),
        memory_bytes: hello.memory_bytes,
        shuffle_address: hello.shuffle_address,
        shuffle_socket: hello.shuffle_socket,
        machine_id: hello.machine_id,
        pid: hello.pid,
    }
}

/// What an executor says about a query.
pub(super) struct Addressed {
    pub query_id: String,
    /// The run that it is for, where no attempt id says that; `None`: any run, which knows its attempts.
    pub run_id: Option<String>,
    pub event: ExecutorEvent,
}

/// A message about a query; `None` for a message that is about none.
pub(super) fn event(from: &ExecutorKey, message: FromExecutor) -> Option<Addressed> {
    let from = from.clone();
    let (query_id, event) = match message {
        FromExecutor::Hello(_) | FromExecutor::Beat(_) => return None,
        FromExecutor::Ready(ready) if ready.error.is_empty() => return None,
        FromExecutor::Ready(ready) => {
            let fault = Fault { message: ready.error, class: ready.error_class, ..Fault::default() };
            let event = ExecutorEvent::Protocol(Event::QueryRefused { from, fault });
            return Some(Addressed { query_id: ready.query_id, run_id: Some(ready.run_id), event });
        }
        FromExecutor::Rows(rows) => {
            let attempt = attempt(rows.attempt);
            let rows_of = OutputRows { batch: rows.batch, attempt, shard: rows.shard, ipc: rows.ipc, room: None };
            return Some(Addressed { query_id: rows.query_id, run_id: None, event: ExecutorEvent::Rows(rows_of) });
        }
        FromExecutor::Prepared(prepared) => {
            let (batch, attempt) = (prepared.batch, attempt(prepared.attempt));
            let query_id = prepared.query_id.clone();
            (query_id, Event::Prepared { from, batch, attempt, report: Box::new(report(prepared)) })
        }
        FromExecutor::Failed(failed) => {
            let (batch, attempt) = (failed.batch, attempt(failed.attempt));
            let query_id = failed.query_id.clone();
            (query_id, Event::Failed { from, batch, attempt, failure: Box::new(failure(failed)) })
        }
        FromExecutor::Published(published) => {
            let (batch, attempt) = (published.batch, attempt(published.attempt));
            (published.query_id, Event::Published { from, batch, attempt })
        }
    };
    Some(Addressed { query_id, run_id: None, event: ExecutorEvent::Protocol(event) })
}

fn attempt(attempt: Option<wire::AttemptId>) -> AttemptId {
    attempt.unwrap_or_default().into()
}

fn object(object: wire::ObjectRef) -> ObjectRef {
    ObjectRef { name: object.name, length: object.length, crc: object.crc }
}

fn report(prepared: wire::Prepared) -> PreparedReport {
    let event_times = prepared.event_times.into_iter().map(|times| EventTimes {
        node: times.node,
        source: times.source,
        topic: times.topic,
        partition: times.partition,
        max_us: times.max_us,
        min_us: times.min_us,
        sum_offset_us: times.sum_offset_us,
        count: times.count,
    });
    let sources = prepared.sources.into_iter().map(|counts| SourceCounts {
        source: counts.source,
        topic: counts.topic,
        partition: counts.partition,
        rows: counts.rows,
        bytes: counts.bytes,
    });
    PreparedReport {
        object: prepared.object.map(object),
        event_times: event_times.collect(),
        sources: sources.collect(),
        operators: prepared.operators.into_iter().map(operator).collect(),
        output_rows: prepared.output_rows,
        snapshots: prepared.snapshots.into_iter().filter_map(snapshot).collect(),
        data_loss: prepared.data_loss,
    }
}

fn operator(counts: wire::OperatorCounts) -> OperatorCounts {
    OperatorCounts {
        operator: counts.operator_id,
        rows_total: counts.rows_total,
        rows_updated: counts.rows_updated,
        rows_removed: counts.rows_removed,
        rows_dropped: counts.rows_dropped_by_watermark,
        memory_bytes: counts.memory_bytes,
        updates_us: counts.updates_micros,
        removals_us: counts.removals_micros,
        commit_us: counts.commit_micros,
        instances: counts.instances,
        custom: counts.custom.into_iter().collect(),
    }
}

/// A snapshot whose manifest or buckets make no sense is left out: it is only a shortcut for restores.
fn snapshot(reference: wire::SnapshotRef) -> Option<SnapshotRef> {
    Some(SnapshotRef {
        operator: reference.operator_id,
        shard: reference.shard,
        first_bucket: u16::try_from(reference.first_bucket).ok()?,
        last_bucket: u16::try_from(reference.last_bucket).ok()?,
        batch: reference.batch,
        attempt: attempt(reference.attempt),
        manifest: object(reference.manifest?),
    })
}

fn failure(failed: wire::BatchFailed) -> BatchFailure {
    let kind = match failed.kind() {
        wire::FailureKind::Unavailable => FailureKind::Unavailable,
        wire::FailureKind::Fatal => FailureKind::Fatal,
        wire::FailureKind::Task | wire::FailureKind::Unspecified => FailureKind::Task,
    };
    BatchFailure {
        kind,
        message: failed.message,
        error_class: failed.error_class,
        sql_state: failed.sql_state,
        parameters: failed.parameters.into_iter().collect(),
        unreachable: Some(failed.unreachable_executor).filter(|id| !id.is_empty()),
    }
}

/// A command about a query on the wire. `start` is the message that starts it.
pub fn to_driver_message(
    query_id: &str,
    run_id: &str,
    start: &wire::StartQuery,
    command: Command,
) -> wire::DriverMessage {
    let (query_id, run_id) = (query_id.to_string(), run_id.to_string());
    let message = match command {
        Command::StartQuery => ToExecutor::StartQuery(start.clone()),
        Command::RunBatch(batch) => ToExecutor::RunBatch(run_batch(query_id, run_id, *batch)),
        Command::Abort { attempt } => ToExecutor::Abort(wire::Abort { query_id, attempt: Some(attempt.into()) }),
        Command::Publish { batch, attempt } => {
            ToExecutor::Publish(wire::Publish { query_id, batch, attempt: Some(attempt.into()) })
        }
        Command::Committed { batch, attempt } => {
            ToExecutor::Committed(wire::Committed { query_id, batch, attempt: Some(attempt.into()) })
        }
        Command::StopQuery => ToExecutor::StopQuery(wire::StopQuery { query_id, run_id }),
        Command::Shutdown { reason } => ToExecutor::Shutdown(wire::Shutdown { reason }),
    };
    wire::DriverMessage { message: Some(message) }
}

fn run_batch(query_id: String, run_id: String, batch: RunBatch) -> wire::RunBatch {
    let watermarks = batch.watermarks.iter().map(|watermarks| wire::OperatorWatermarks {
        operator_id: watermarks.operator,
        late_us: watermarks.late_us,
        evict_us: watermarks.evict_us,
    });
    let splits = batch.splits.into_iter().map(|placed| wire::Split {
        index: placed.index,
        source: placed.split.source,
        topic: placed.split.topic,
        partition: placed.split.partition,
        start: placed.split.start,
        end: placed.split.end,
        executor_id: placed.executor,
    });
    let shards = batch.shards.into_iter().map(|placed| wire::Shard {
        index: placed.index,
        first_bucket: placed.first_bucket.into(),
        last_bucket: placed.last_bucket.into(),
        executor_id: placed.executor,
    });
    let peers = batch.peers.into_iter().map(|peer| wire::Peer {
        executor_id: peer.key.id,
        incarnation: peer.key.incarnation,
        shuffle_address: peer.shuffle_address,
        shuffle_socket: peer.shuffle_socket,
        machine_id: peer.machine_id,
    });
    wire::RunBatch {
        query_id,
        run_id,
        batch: batch.batch,
        attempt: Some(batch.attempt.into()),
        base: batch.base.map(|(batch, attempt)| wire::Base { batch, attempt: Some(attempt.into()) }),
        watermarks: watermarks.collect(),
        clock_us: batch.clock_us,
        splits: splits.collect(),
        shards: shards.collect(),
        peers: peers.collect(),
    }
}
