//! What a query hears of its executors.

use bytes::Bytes;
use pyrite_common::checkpoint::AttemptId;
use tokio::sync::OwnedSemaphorePermit;

use crate::protocol::Event;

/// One thing that it hears.
#[derive(Debug)]
pub enum ExecutorEvent {
    Protocol(Event),
    Rows(OutputRows),
}

/// Rows for a sink in the driver: one Arrow IPC stream of one attempt's shard.
#[derive(Debug)]
pub struct OutputRows {
    pub batch: u64,
    pub attempt: AttemptId,
    pub shard: u32,
    pub ipc: Bytes,
    /// Their place in the mailbox, until they are kept elsewhere.
    pub room: Option<OwnedSemaphorePermit>,
}
