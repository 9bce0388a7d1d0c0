//! The receiving side: takes frames into the shards' buffers and gives credit back.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use pyrite_common::lifecycle;
use pyrite_common::net::{MESSAGE_BYTES_MAX, grpc_incoming};
use pyrite_common::security::{RequireSecret, Secret};
use pyrite_proto::executor as proto;
use pyrite_proto::executor::FailureKind;
use pyrite_proto::executor::shuffle_message::Message;
use pyrite_proto::executor::shuffle_service_server::{ShuffleService, ShuffleServiceServer};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::inbox::Inboxes;
use super::{DONE_BYTES, WINDOW_BYTES, ipc};
use crate::executor::attempt::{Attempt, PANICKED};
use crate::executor::error::Failure;
use crate::executor::source_job::receive;
use crate::executor::wire::attempt_id;

/// Credits on their way to a sender.
const CREDITS_QUEUED: usize = 256;
/// Paths of this length or more may not fit into a Unix socket's address.
const SOCKET_PATH_MAX: usize = 100;

/// Where peers reach this executor. Dropping it stops the service and removes the socket: so it goes also when the
/// process is told to end by a signal.
pub struct Listening {
    /// `host:port`.
    pub address: SocketAddr,
    /// The Unix socket; empty when there is none.
    pub socket: String,
    _stop: tokio_util::sync::DropGuard,
}

impl Drop for Listening {
    fn drop(&mut self) {
        if !self.socket.is_empty() {
            // What remains is a name that nobody answers at.
            let _ = std::fs::remove_file(&self.socket);
        }
    }
}

/// Listens on a free port of `host`, and on a Unix socket in `folder` where that works.
pub async fn listen(
    host: &str,
    folder: &std::path::Path,
    secret: Secret,
    inboxes: Inboxes,
) -> std::io::Result<Listening> {
    let tcp = TcpListener::bind((host, 0)).await?;
    let address = tcp.local_addr()?;
    let token = CancellationToken::new();
    let service = ShuffleServiceServer::new(Receiver { inboxes }).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let server = || Server::builder().layer(RequireSecret::new(Some(secret.clone()))).add_service(service.clone());
    let stopped = token.clone().cancelled_owned();
    let serving = server().serve_with_incoming_shutdown(grpc_incoming(tcp), stopped);
    lifecycle::spawn("shuffle service", async move { log_end(serving.await) });
    let mut socket = String::new();
    if let Some((path, unix)) = bind_socket(folder) {
        socket = path.display().to_string();
        let serving =
            server().serve_with_incoming_shutdown(UnixListenerStream::new(unix), token.clone().cancelled_owned());
        lifecycle::spawn("shuffle socket", async move { log_end(serving.await) });
    }
    Ok(Listening { address, socket, _stop: token.drop_guard() })
}

/// In `folder`, or where its path is too long or it cannot be made there, in the folder for temporary files.
fn bind_socket(folder: &std::path::Path) -> Option<(PathBuf, UnixListener)> {
    // Short, so that it fits into most folders; and a name of its own, as an older executor may still be ending there.
    let name = format!("pyrite-{:08x}.sock", uuid::Uuid::new_v4().as_fields().0);
    for folder in [folder, &std::env::temp_dir()] {
        // Peers have other current directories.
        let Ok(path) = std::path::absolute(folder.join(&name)) else { continue };
        if path.as_os_str().len() >= SOCKET_PATH_MAX {
            continue;
        }
        match UnixListener::bind(&path) {
            Ok(listener) => return Some((path, listener)),
            Err(error) => tracing::debug!(path = %path.display(), %error, "no unix socket for the shuffle"),
        }
    }
    None
}

fn log_end(result: Result<(), tonic::transport::Error>) {
    if let Err(error) = result {
        tracing::warn!(%error, "shuffle service ended");
    }
}

#[derive(Clone)]
struct Receiver {
    inboxes: Inboxes,
}

#[tonic::async_trait]
impl ShuffleService for Receiver {
    type ExchangeStream = Pin<Box<dyn Stream<Item = Result<proto::ShuffleCredit, Status>> + Send>>;

    async fn exchange(
        &self,
        request: Request<Streaming<proto::ShuffleMessage>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let mut incoming = request.into_inner();
        let Some(Message::Open(open)) = incoming.message().await?.and_then(|first| first.message) else {
            return Err(Status::invalid_argument("the first message must be `open`"));
        };
        let (credits, outgoing) = mpsc::channel(CREDITS_QUEUED);
        let inboxes = self.inboxes.clone();
        lifecycle::spawn("shuffle receiver", async move {
            let (query, sender) = (open.query_id.clone(), open.sender.clone());
            if let Err(status) = drain(inboxes, open, incoming, &credits).await {
                tracing::debug!(query, sender, message = status.message(), "shuffle stream ended");
                let _ = credits.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

type Credits = mpsc::Sender<Result<proto::ShuffleCredit, Status>>;

/// Takes all that one sender sends for one query.
async fn drain(
    inboxes: Inboxes,
    open: proto::ShuffleOpen,
    mut incoming: Streaming<proto::ShuffleMessage>,
    credits: &Credits,
) -> Result<(), Status> {
    let grant = |bytes: u64| Ok(proto::ShuffleCredit { bytes });
    let give = async |bytes| credits.send(grant(bytes)).await.map_err(|_| gone());
    let find = async |id| {
        tokio::select! {
            found = inboxes.wait(&open.query_id, id) => Ok(found),
            () = credits.closed() => Err(gone()),
        }
    };
    give(WINDOW_BYTES).await?;
    let mut counted = (None, 0);
    while let Some(message) = incoming.message().await? {
        match message.message {
            Some(Message::Frame(frame)) => {
                let bytes = frame.ipc.len() as u64;
                let id = attempt_id(frame.attempt.ok_or_else(malformed)?);
                if let Some(attempt) = find(id).await? {
                    counted = if counted.0 == Some(id) { (counted.0, counted.1 + 1) } else { (Some(id), 1) };
                    work(&attempt, move |attempt| take_frame(attempt, &frame)).await;
                }
                give(bytes).await?;
            }
            Some(Message::Done(done)) => {
                let id = attempt_id(done.attempt.ok_or_else(malformed)?);
                let received = if counted.0 == Some(id) { counted.1 } else { 0 };
                if let Some(attempt) = find(id).await? {
                    finish(&attempt, &open.sender, received, done.frames);
                }
                // Only now: the sender takes it as word that its part has come.
                give(DONE_BYTES).await?;
            }
            Some(Message::Open(_)) | None => return Err(malformed()),
        }
    }
    Ok(())
}

/// Works off the async threads. A panic is the attempt's failure: an error on the stream would say that this executor
/// cannot be reached.
async fn work(attempt: &Arc<Attempt>, work: impl FnOnce(&Attempt) + Send + 'static) {
    let working = attempt.clone();
    if tokio::task::spawn_blocking(move || work(&working)).await.is_err() {
        attempt.fail(Failure::new(FailureKind::Task, PANICKED));
    }
}

fn take_frame(attempt: &Attempt, frame: &proto::ShuffleFrame) {
    if attempt.is_cancelled() {
        return;
    }
    let result = match ipc::decode(&frame.ipc) {
        Ok(batches) => batches.into_iter().try_for_each(|batch| receive(attempt, frame.shard, batch)),
        Err(error) => Err(Failure::new(FailureKind::Task, format!("a shuffle frame cannot be decoded: {error}"))),
    };
    if let Err(failure) = result {
        attempt.fail(failure);
    }
}

fn finish(attempt: &Arc<Attempt>, sender: &str, received: u64, sent: u64) {
    if received == sent {
        return attempt.sender_done(sender);
    }
    attempt.fail(Failure::new(
        FailureKind::Unavailable,
        format!("{received} of {sent} frames of executor `{sender}` came"),
    ));
}

fn gone() -> Status {
    Status::cancelled("the sender is gone")
}

fn malformed() -> Status {
    Status::invalid_argument("the shuffle message is malformed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::testing::World;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_fails_the_attempt_and_not_the_stream() {
        let mut world = World::new();
        let attempt = world.attempt(1);
        work(&attempt, |_| {}).await;
        assert!(!attempt.is_cancelled());
        work(&attempt, |_| panic!("in the test")).await;
        assert!(attempt.is_cancelled());
        let failure = world.failure().expect("it is told");
        assert_eq!((failure.kind, failure.unreachable.as_str()), (FailureKind::Task, ""));
    }
}
