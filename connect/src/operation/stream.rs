//! A stream of an execution's responses to the client. It is cut after a while, so that no RPC stays open for days: the
//! client sees an end without `ResultComplete` and attaches again.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::Stream;
use futures::stream::unfold;
use pyrite_engine::error::{ExceptionKind, SparkError};
use tokio::sync::watch;
use tonic::Status;

use super::buffer::{Position, Read};
use super::{Operation, Reattachable};
use crate::error::to_status;
use crate::wire::ExecutePlanResponse;

/// The longest time that one stream stays open, as Spark's `senderMaxStreamDuration`.
pub const STREAM_TIME_MAX: Duration = Duration::from_secs(120);

/// What ExecutePlan and ReattachExecute answer with.
pub type ResponseStream = Pin<Box<dyn Stream<Item = Result<ExecutePlanResponse, Status>> + Send>>;

/// Reads the responses from a position on. An older stream of the same execution ends.
pub fn attach(operation: Arc<Operation>, from: Position) -> ResponseStream {
    attach_for(operation, from, STREAM_TIME_MAX)
}

fn attach_for(operation: Arc<Operation>, from: Position, time_max: Duration) -> ResponseStream {
    let generation = {
        let mut attached = operation.attached.lock();
        attached.generation += 1;
        attached.open = true;
        attached.generation
    };
    operation.notify();
    let reader = Reader {
        watcher: operation.changed.subscribe(),
        deadline: tokio::time::Instant::now() + time_max,
        position: from,
        ended: false,
        generation,
        operation,
    };
    Box::pin(unfold(reader, |mut reader| async move {
        let item = reader.next().await?;
        Some((item, reader))
    }))
}

/// One attached stream. Dropping it says that the client is gone.
struct Reader {
    operation: Arc<Operation>,
    watcher: watch::Receiver<u64>,
    deadline: tokio::time::Instant,
    position: Position,
    ended: bool,
    generation: u64,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<ExecutePlanResponse, Status>> {
        if self.ended {
            return None;
        }
        loop {
            self.watcher.mark_unchanged();
            if self.operation.attached.lock().generation != self.generation {
                self.ended = true;
                return Some(Err(cursor_error("DISCONNECTED", "The cursor has been disconnected by the server.")));
            }
            let read = self.operation.buffer.lock().read(self.position);
            match read {
                Read::Response(response) => {
                    self.position = self.position.next();
                    self.operation.notify();
                    return Some(Ok(*response));
                }
                Read::Ended(outcome) => {
                    self.ended = true;
                    return outcome.err().map(Err);
                }
                Read::Dropped => {
                    self.ended = true;
                    let message = "The cursor position is no longer available.";
                    return Some(Err(cursor_error("POSITION_NOT_AVAILABLE", message)));
                }
                Read::Pending => {}
            }
            let cut = self.operation.reattachable == Reattachable::Yes;
            tokio::select! {
                changed = self.watcher.changed() => changed.ok()?,
                () = tokio::time::sleep_until(self.deadline), if cut => {
                    self.ended = true;
                    return None;
                }
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut attached = self.operation.attached.lock();
        if attached.generation == self.generation {
            attached.open = false;
            attached.since = Instant::now();
            if self.operation.reattachable == Reattachable::No {
                self.operation.cancel.cancel();
            }
        }
    }
}

/// Spark's `INVALID_CURSOR.<sub>`; the client retries a `DISCONNECTED` one.
fn cursor_error(sub_class: &str, why: &str) -> Status {
    let class = format!("INVALID_CURSOR.{sub_class}");
    let error = SparkError::new(ExceptionKind::Runtime, &class, "HY109", format!("The cursor is invalid. {why}"));
    to_status(&error, None)
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use uuid::Uuid;

    use super::*;
    use crate::operation::{Begin, Operations};
    use crate::wire::execute_plan_response::{ResponseType, SqlCommandResult};

    fn operation(reattachable: Reattachable) -> Arc<Operation> {
        match Operations::new("s", Uuid::nil()).begin(None, 0, Vec::new(), reattachable) {
            Ok(Begin::New(operation)) => operation,
            _ => panic!("a new operation"),
        }
    }

    fn response() -> ResponseType {
        ResponseType::SqlCommandResult(SqlCommandResult::default())
    }

    #[tokio::test]
    async fn a_stream_ends_with_result_complete() {
        let operation = operation(Reattachable::Yes);
        let mut stream = attach(operation.clone(), Position::START);
        operation.push(response()).await;
        operation.finish(Ok(())).await;
        let first = stream.next().await.unwrap().unwrap();
        assert_eq!(first.operation_id, operation.id);
        let last = stream.next().await.unwrap().unwrap();
        assert!(matches!(last.response_type, Some(ResponseType::ResultComplete(_))));
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn a_long_stream_is_cut_and_taken_up_again() {
        let operation = operation(Reattachable::Yes);
        operation.push(response()).await;
        let mut stream = attach_for(operation.clone(), Position::START, Duration::from_millis(1));
        let first = stream.next().await.unwrap().unwrap();
        assert!(stream.next().await.is_none(), "cut without ResultComplete");
        drop(stream);
        assert!(operation.detached_since().is_some());
        let from = operation.position_after(&first.response_id).unwrap();
        let mut again = attach(operation.clone(), from);
        operation.finish(Ok(())).await;
        let last = again.next().await.unwrap().unwrap();
        assert!(matches!(last.response_type, Some(ResponseType::ResultComplete(_))));
    }

    #[tokio::test]
    async fn a_second_stream_ends_the_first() {
        let operation = operation(Reattachable::Yes);
        let mut old = attach(operation.clone(), Position::START);
        let _new = attach(operation.clone(), Position::START);
        let status = old.next().await.unwrap().unwrap_err();
        assert!(status.message().contains("INVALID_CURSOR.DISCONNECTED"));
        drop(old);
        assert!(operation.detached_since().is_none());
    }

    #[tokio::test]
    async fn without_reattach_the_execution_ends_with_its_stream() {
        let operation = operation(Reattachable::No);
        drop(attach(operation.clone(), Position::START));
        assert!(operation.cancel.is_cancelled());
    }
}
