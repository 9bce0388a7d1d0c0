//! Output rows to the driver, which runs the sink: messages of bounded size, all of them before the attempt's
//! `Prepared`.

use arrow::array::RecordBatch;
use pyrite_proto::executor as proto;
use pyrite_proto::executor::FailureKind;
use pyrite_proto::executor::executor_message::Message;

use super::attempt::Attempt;
use super::error::Failure;
use super::shuffle::ipc;
use super::wire;

/// Sends rows of one shard (or split). Waits while the driver does not keep up; stops quietly when the attempt is
/// cancelled.
pub fn send(attempt: &Attempt, shard: u32, batches: &[RecordBatch]) -> Result<(), Failure> {
    for batch in batches.iter().flat_map(ipc::slices) {
        let ipc = ipc::encode(&batch).map_err(|error| Failure::new(FailureKind::Task, error.to_string()))?;
        let message = wire::message(Message::Rows(proto::Rows {
            query_id: attempt.batch.query_id.clone(),
            batch: attempt.batch.batch,
            attempt: Some(wire::attempt_wire(attempt.batch.attempt)),
            shard,
            ipc,
        }));
        if !attempt.shared.send(message, &attempt.token) {
            return Ok(());
        }
    }
    Ok(())
}
