//! The end of an attempt on this executor: one changelog object, durable, then `Prepared`.

use std::sync::Arc;
use std::time::Instant;

use pyrite_common::checkpoint::{ObjectRef, names};
use pyrite_proto::executor as proto;
use pyrite_proto::executor::executor_message::Message;

use super::attempt::{Attempt, Results};
use super::error::Failure;
use super::shard::write_object;
use super::wire;

/// Uploads the shards' writes and tells the driver.
pub fn prepare(attempt: &Arc<Attempt>) -> Result<(), Failure> {
    let started = Instant::now();
    let mut results: Results = std::mem::take(&mut attempt.results.lock());
    let object = upload(attempt, &mut results)?;
    let commit_micros = started.elapsed().as_micros() as u64;
    let memory_bytes = attempt.shared.rocks.memory_bytes() as u64;
    let mut operators: Vec<proto::OperatorCounts> = results.operators.into_values().collect();
    for operator in &mut operators {
        operator.commit_micros = commit_micros;
        operator.memory_bytes = memory_bytes;
    }
    let snapshots = attempt.query.report_snapshots(attempt.batch.attempt);
    let message = wire::message(Message::Prepared(proto::Prepared {
        query_id: attempt.batch.query_id.clone(),
        batch: attempt.batch.batch,
        attempt: Some(wire::attempt_wire(attempt.batch.attempt)),
        object: object.as_ref().map(wire::object_wire),
        event_times: results.event_times,
        sources: results.sources,
        operators,
        output_rows: results.output_rows,
        snapshots: snapshots.iter().map(wire::snapshot_wire).collect(),
        data_loss: results.data_loss,
    }));
    attempt.shared.send(message, &attempt.token);
    Ok(())
}

fn upload(attempt: &Attempt, results: &mut Results) -> Result<Option<ObjectRef>, Failure> {
    let mut sections = std::mem::take(&mut results.sections);
    if sections.is_empty() {
        return Ok(None);
    }
    sections.sort_by_key(|encoded| (encoded.section.operator, encoded.section.shard));
    let (batch, id) = (attempt.batch.batch, attempt.batch.attempt);
    let executor = &attempt.shared.config.executor_id;
    let name = names::state_log(batch, id, executor);
    let put =
        attempt.query.store.blocking_view().put_from(&name, |out| write_object(out, (batch, id, executor), &sections));
    let written = put.map_err(|error| Failure::from(&error))?;
    Ok(Some(ObjectRef { name, length: written.length, crc: written.crc }))
}
