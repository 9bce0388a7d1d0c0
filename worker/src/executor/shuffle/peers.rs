//! The sending side: one stream to each other executor and query, made when first needed.

use std::collections::HashMap;
use std::sync::Arc;
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
use tonic::transport::{Channel, Endpoint};

use super::{credit_units, ipc};
use crate::executor::attempt::Attempt;
use crate::executor::error::Failure;
use crate::executor::wire::attempt_wire;

/// Messages between a task thread and the stream.
const QUEUE_MESSAGES: usize = 64;
/// A peer that takes nothing for so long is not reachable.
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
    /// In units; closed when the stream is broken.
    credit: Arc<Semaphore>,
    trouble: Arc<Mutex<Option<String>>>,
    sent: Mutex<Sent>,
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

    /// Sends a frame; waits for credit, but not longer than the attempt lives.
    pub fn frame(&self, attempt: &Attempt, executor: &str, shard: u32, frame: &RecordBatch) -> Result<(), Failure> {
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

    /// Says that all frames of the attempt are sent.
    pub fn done(&self, attempt: &Attempt, executor: &str) -> Result<(), Failure> {
        let link = self.link(attempt, executor)?;
        let (frames, rows) = link.sent.lock().of(attempt.batch.attempt);
        let attempt_id = Some(attempt_wire(attempt.batch.attempt));
        link.send(
            attempt,
            0,
            Message::Done(proto::ShuffleDone { batch: attempt.batch.batch, attempt: attempt_id, frames, rows }),
        )
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
            if same && (used_now || link.trouble.lock().is_none()) {
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
        let (credit, trouble) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(None)));
        let open = proto::ShuffleOpen {
            query_id: attempt.batch.query_id.clone(),
            sender: self.me.clone(),
            incarnation: self.incarnation.clone(),
        };
        let socket = near.then(|| peer.shuffle_socket.clone());
        let route = Route { endpoint, socket, auth: self.auth.clone() };
        let (grant, report) = (credit.clone(), trouble.clone());
        let stream = async move {
            let ended = exchange(route, open, outgoing, &grant).await;
            *report.lock() = Some(ended);
            grant.close();
        };
        let _entered = attempt.shared.runtime.enter();
        lifecycle::spawn("shuffle stream", stream);
        Ok(Link { peer: peer.clone(), queue, credit, trouble, sent: Mutex::default() })
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
        let sending = async {
            self.credit.acquire_many(units).await.map_err(|_| ())?.forget();
            self.queue.send(message).await.map_err(|_| ())
        };
        let sent = attempt.shared.runtime.block_on(async {
            tokio::select! {
                sent = sending => sent,
                () = attempt.token.cancelled() => Ok(()),
                () = tokio::time::sleep(STALL_MAX) => Err(()),
            }
        });
        sent.map_err(|()| {
            let reason =
                self.trouble.lock().clone().unwrap_or_else(|| format!("it took nothing for {} s", STALL_MAX.as_secs()));
            Failure::unreachable(&self.peer.executor_id, reason)
        })
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
    credit: &Semaphore,
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
            // The first is the window, each later one what a frame took.
            Ok(Some(grant)) => credit.add_permits(credit_units(grant.bytes) as usize),
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
