//! The sending side: one stream to each other executor and query, made when first needed.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use pyrite_common::checkpoint::AttemptId;
use pyrite_common::lifecycle;
use pyrite_common::net::{CONNECT_TIMEOUT, MESSAGE_BYTES_MAX};
use pyrite_common::security::ClientAuth;
use pyrite_proto::executor as proto;
use pyrite_proto::executor::FailureKind;
use pyrite_proto::executor::shuffle_message::Message;
use pyrite_proto::executor::shuffle_service_client::ShuffleServiceClient;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint};

use super::{DONE_BYTES, WINDOW_BYTES, credit_units, ipc};
use crate::executor::attempt::Attempt;
use crate::executor::error::Failure;
use crate::executor::wire::attempt_wire;

/// Messages between a task thread and the stream.
const QUEUE_MESSAGES: usize = 64;
/// A peer that takes nothing for so long fails the attempt.
const STALL_MAX: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections to other executors.
pub struct Peers {
    auth: ClientAuth,
    me: String,
    incarnation: String,
    machine_id: String,
    links: Mutex<HashMap<(String, String), Arc<Link>>>,
}

/// A stream to one peer for one query.
struct Link {
    peer: proto::Peer,
    queue: mpsc::Sender<proto::ShuffleMessage>,
    flow: Arc<Flow>,
    sent: Mutex<Sent>,
    /// With the link its stream ends at once: the peer need not wait for what comes no more.
    _open: DropGuard,
}

/// What a stream tells those that send.
struct Flow {
    /// In units; closed when the stream is broken.
    credit: Semaphore,
    /// The peer has answered.
    is_up: AtomicBool,
    trouble: Mutex<Option<String>>,
}

/// What went to the peer in an attempt.
#[derive(Default)]
struct Sent {
    attempt: Option<AttemptId>,
    frames: u64,
    rows: u64,
}

impl Peers {
    /// Without connections. `machine_id` tells which peers can be reached by a Unix socket.
    pub fn new(auth: ClientAuth, me: &str, incarnation: &str, machine_id: &str) -> Self {
        let (me, incarnation, machine_id) = (me.to_owned(), incarnation.to_owned(), machine_id.to_owned());
        Self { auth, me, incarnation, machine_id, links: Mutex::default() }
    }

    /// Sends a frame, in parts that take a fraction of the window; waits for credit, but not longer than the attempt
    /// lives.
    pub fn frame(&self, attempt: &Attempt, executor: &str, shard: u32, frame: &RecordBatch) -> Result<(), Failure> {
        ipc::slices(frame).try_for_each(|part| self.part(attempt, executor, shard, &part))
    }

    fn part(&self, attempt: &Attempt, executor: &str, shard: u32, frame: &RecordBatch) -> Result<(), Failure> {
        let ipc = ipc::encode(frame).map_err(|error| Failure::new(FailureKind::Task, error.to_string()))?;
        let link = self.link(attempt, executor)?;
        let units = credit_units(ipc.len() as u64);
        link.sent.lock().count(attempt.batch.attempt, frame.num_rows() as u64);
        let message = Message::Frame(proto::ShuffleFrame {
            batch: attempt.batch.batch,
            attempt: Some(attempt_wire(attempt.batch.attempt)),
            shard,
            ipc,
        });
        link.send(attempt, units, message)
    }

    /// Says that all frames of the attempt are sent; [`Peers::settle`] waits until that is known there.
    pub fn done(&self, attempt: &Attempt, executor: &str) -> Result<(), Failure> {
        let link = self.link(attempt, executor)?;
        let (frames, rows) = link.sent.lock().of(attempt.batch.attempt);
        let attempt_id = Some(attempt_wire(attempt.batch.attempt));
        link.send(
            attempt,
            credit_units(DONE_BYTES),
            Message::Done(proto::ShuffleDone { batch: attempt.batch.batch, attempt: attempt_id, frames, rows }),
        )
    }

    /// Waits until the peer has taken all that was sent to it, "done" too, but not longer than the attempt lives.
    pub fn settle(&self, attempt: &Attempt, executor: &str) -> Result<(), Failure> {
        self.link(attempt, executor)?.settle(attempt)
    }

    /// Closes the streams of a query.
    pub fn close(&self, query: &str) {
        self.links.lock().retain(|(_, other), _| other != query);
    }

    fn link(&self, attempt: &Attempt, executor: &str) -> Result<Arc<Link>, Failure> {
        let peer = attempt.batch.peers.iter().find(|peer| peer.executor_id == executor);
        let peer = peer.ok_or_else(|| Failure::unreachable(executor, "the batch does not say its address"))?;
        let key = (executor.to_owned(), attempt.batch.query_id.clone());
        let mut links = self.links.lock();
        if let Some(link) = links.get(&key) {
            let same = link.peer.incarnation == peer.incarnation;
            // A stream that broke in this attempt stays, to say so; a later attempt tries anew.
            let used_now = link.sent.lock().attempt == Some(attempt.batch.attempt);
            if same && (used_now || link.flow.trouble.lock().is_none()) {
                return Ok(link.clone());
            }
        }
        let link = Arc::new(self.open(attempt, peer)?);
        links.insert(key, link.clone());
        Ok(link)
    }

    fn open(&self, attempt: &Attempt, peer: &proto::Peer) -> Result<Link, Failure> {
        let near = peer.machine_id == self.machine_id && !peer.shuffle_socket.is_empty();
        let address = format!("http://{}", peer.shuffle_address);
        let endpoint =
            Endpoint::from_shared(address).map_err(|error| Failure::unreachable(&peer.executor_id, error))?;
        let endpoint = endpoint
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let (queue, outgoing) = mpsc::channel(QUEUE_MESSAGES);
        let flow = Flow { credit: Semaphore::new(0), is_up: AtomicBool::new(false), trouble: Mutex::default() };
        let (flow, token) = (Arc::new(flow), CancellationToken::new());
        let open = proto::ShuffleOpen {
            query_id: attempt.batch.query_id.clone(),
            sender: self.me.clone(),
            incarnation: self.incarnation.clone(),
        };
        let socket = near.then(|| peer.shuffle_socket.clone());
        let route = Route { endpoint, socket, auth: self.auth.clone() };
        let (told, closed) = (flow.clone(), token.clone());
        let stream = async move {
            let ended = tokio::select! {
                ended = exchange(route, open, outgoing, &told) => ended,
                () = closed.cancelled() => "it is not needed any more".to_owned(),
            };
            *told.trouble.lock() = Some(ended);
            told.credit.close();
        };
        let _entered = attempt.shared.runtime.enter();
        lifecycle::spawn("shuffle stream", stream);
        Ok(Link { peer: peer.clone(), queue, flow, sent: Mutex::default(), _open: token.drop_guard() })
    }
}

impl Sent {
    fn enter(&mut self, attempt: AttemptId) {
        if self.attempt != Some(attempt) {
            *self = Self { attempt: Some(attempt), frames: 0, rows: 0 };
        }
    }

    fn count(&mut self, attempt: AttemptId, rows: u64) {
        self.enter(attempt);
        self.frames += 1;
        self.rows += rows;
    }

    fn of(&mut self, attempt: AttemptId) -> (u64, u64) {
        self.enter(attempt);
        (self.frames, self.rows)
    }
}

impl Link {
    fn send(&self, attempt: &Attempt, units: u32, message: Message) -> Result<(), Failure> {
        let message = proto::ShuffleMessage { message: Some(message) };
        self.wait(attempt, async {
            let place = self.queue.reserve().await.ok()?;
            // Nothing waits after this: credit that is spent comes back, for its message is on its way.
            self.flow.credit.acquire_many(units).await.ok()?.forget();
            place.send(message);
            Some(())
        })
    }

    fn settle(&self, attempt: &Attempt) -> Result<(), Failure> {
        let window = credit_units(WINDOW_BYTES);
        self.wait(attempt, async { self.flow.credit.acquire_many(window).await.ok().map(drop) })
    }

    /// Waits for `step`, unless the attempt is cancelled; `None` from it: the stream is broken.
    fn wait(&self, attempt: &Attempt, step: impl Future<Output = Option<()>>) -> Result<(), Failure> {
        attempt.shared.runtime.block_on(async {
            tokio::select! {
                ended = step => ended.ok_or_else(|| self.broken("its stream is closed".to_owned())),
                () = attempt.token.cancelled() => Ok(()),
                () = tokio::time::sleep(STALL_MAX) => Err(self.stalled()),
            }
        })
    }

    fn broken(&self, otherwise: String) -> Failure {
        let reason = self.flow.trouble.lock().clone().unwrap_or(otherwise);
        Failure::unreachable(&self.peer.executor_id, reason)
    }

    /// A peer whose stream is up is reachable: it is slow, or waits for its part of the batch.
    fn stalled(&self) -> Failure {
        let seconds = STALL_MAX.as_secs();
        if !self.flow.is_up.load(Ordering::Acquire) || self.flow.trouble.lock().is_some() {
            return self.broken(format!("it did not answer in {seconds} s"));
        }
        let executor = &self.peer.executor_id;
        Failure::new(FailureKind::Unavailable, format!("executor `{executor}` took nothing for {seconds} s"))
    }
}

/// How a peer is reached.
struct Route {
    endpoint: Endpoint,
    socket: Option<String>,
    auth: ClientAuth,
}

/// Runs one stream until it ends; says why it did.
async fn exchange(
    route: Route,
    open: proto::ShuffleOpen,
    outgoing: mpsc::Receiver<proto::ShuffleMessage>,
    flow: &Flow,
) -> String {
    let channel = match connect(route.endpoint, route.socket).await {
        Ok(channel) => channel,
        Err(error) => return pyrite_common::error::chain(&error),
    };
    let mut client =
        ShuffleServiceClient::with_interceptor(channel, route.auth).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let first = proto::ShuffleMessage { message: Some(Message::Open(open)) };
    let messages = futures::StreamExt::chain(tokio_stream::once(first), ReceiverStream::new(outgoing));
    let mut credits = match client.exchange(messages).await {
        Ok(response) => response.into_inner(),
        Err(status) => return status.message().to_owned(),
    };
    loop {
        match credits.message().await {
            // The first is the window, each later one what a message took.
            Ok(Some(grant)) => {
                flow.is_up.store(true, Ordering::Release);
                flow.credit.add_permits(credit_units(grant.bytes) as usize);
            }
            Ok(None) => return "it closed the stream".to_owned(),
            Err(status) => return status.message().to_owned(),
        }
    }
}

/// By the Unix socket when the peer is on this machine and its socket is there, else by TCP.
async fn connect(endpoint: Endpoint, socket: Option<String>) -> Result<Channel, tonic::transport::Error> {
    if let Some(path) = socket {
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
        });
        if let Ok(channel) = endpoint.connect_with_connector(connector).await {
            return Ok(channel);
        }
    }
    endpoint.connect().await
}
