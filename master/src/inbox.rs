//! What reaches the loop in `run`, and the ways back.

use pyrite_proto::master::{MasterToApplication, MasterToWorker};
use tokio::sync::mpsc;
use tonic::Status;

use crate::model::{ConnectionId, Event};

/// Messages on their way to one worker or driver; one that lets more pile up is cut off.
pub(crate) const OUTBOX_MESSAGES_MAX: usize = 1_024;

/// The way to one worker or driver.
pub(crate) enum Outbox {
    Worker(mpsc::Sender<Result<MasterToWorker, Status>>),
    Driver(mpsc::Sender<Result<MasterToApplication, Status>>),
}

/// What reaches the loop.
pub(crate) enum Input {
    Opened { connection: ConnectionId, outbox: Outbox, first: Option<Event> },
    Event(Event),
}
