//! The executions of a session. An execution outlives the stream that started it: its responses are kept until the
//! client says that it has them, so that a broken or cut stream is taken up again where it stopped.
//!
//! ```text
//! ExecutePlan ──begin──▶ Operation ◀──push── the task that executes the plan
//!                           │
//!                        attach ──▶ a response stream, cut after two minutes; ReattachExecute attaches again
//! ```

mod buffer;
mod registry;
mod stream;

use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

use crate::wire::ExecutePlanResponse;
use crate::wire::execute_plan_response::{ResponseType, ResultComplete};

use buffer::Buffer;

pub use buffer::Position;
pub use registry::{Begin, Operations};
pub use stream::{ResponseStream, attach};

/// Whether the client may come back for the rest of the responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reattachable {
    /// The execution goes on when its stream breaks.
    Yes,
    /// The execution ends with its stream.
    No,
}

/// One execution.
pub struct Operation {
    /// The id that the client gave, or ours.
    pub id: String,
    /// Tags to interrupt it by.
    pub tags: Vec<String>,
    /// Cancelled by Interrupt, by the session's end, or when nobody wants the result any more.
    pub cancel: CancellationToken,
    /// Whether the client may come back for the rest of the responses.
    pub reattachable: Reattachable,
    session: SessionIds,
    buffer: Mutex<Buffer>,
    attached: Mutex<Attached>,
    changed: watch::Sender<u64>,
}

/// The ids of a session that each response carries.
#[derive(Clone)]
struct SessionIds {
    /// The client's.
    session_id: String,
    /// Ours.
    server_side_id: String,
}

/// Which stream the operation feeds.
struct Attached {
    /// Grows with each stream: an older one that is still open ends.
    generation: u64,
    open: bool,
    since: Instant,
}

impl Operation {
    fn new(session: SessionIds, id: String, tags: Vec<String>, reattachable: Reattachable) -> Operation {
        Operation {
            id,
            tags,
            cancel: CancellationToken::new(),
            reattachable,
            session,
            buffer: Mutex::new(Buffer::new(Uuid::new_v4())),
            attached: Mutex::new(Attached { generation: 0, open: false, since: Instant::now() }),
            changed: watch::Sender::new(0),
        }
    }

    /// Adds a response. Waits while the client is far behind.
    pub async fn push(&self, response_type: ResponseType) {
        self.push_response(ExecutePlanResponse { response_type: Some(response_type), ..Default::default() }).await;
    }

    /// Adds a response whose other fields matter too; the ids are filled in here. Waits while the client is far behind.
    pub async fn push_response(&self, mut response: ExecutePlanResponse) {
        response.session_id = self.session.session_id.clone();
        response.server_side_session_id = self.session.server_side_id.clone();
        response.operation_id = self.id.clone();
        let mut watcher = self.changed.subscribe();
        loop {
            watcher.mark_unchanged();
            if !self.buffer.lock().is_full() {
                break;
            }
            tokio::select! {
                changed = watcher.changed() => changed.expect("the sender lives in self"),
                () = self.cancel.cancelled() => return,
            }
        }
        self.buffer.lock().push(response);
        self.notify();
    }

    /// Ends the execution: with success (the stream then ends by `ResultComplete`) or with the error the client gets.
    pub async fn finish(&self, result: Result<(), Status>) {
        if result.is_ok() && self.reattachable == Reattachable::Yes {
            self.push(ResponseType::ResultComplete(ResultComplete {})).await;
        }
        self.buffer.lock().finish(result);
        self.notify();
    }

    /// Drops the responses that the client has.
    pub fn release_until(&self, response_id: &str) {
        self.buffer.lock().release_until(response_id);
        self.notify();
    }

    /// Whether the execution has ended, and how.
    pub fn outcome(&self) -> Option<Result<(), Status>> {
        self.buffer.lock().outcome().cloned()
    }

    /// How long no stream has been attached; `None` while one is.
    pub fn detached_since(&self) -> Option<Instant> {
        let attached = self.attached.lock();
        (!attached.open).then_some(attached.since)
    }

    /// The position behind a response that was sent, whether or not it is still kept.
    pub fn position_after(&self, response_id: &str) -> Option<Position> {
        self.buffer.lock().position_after(response_id)
    }

    fn notify(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}
