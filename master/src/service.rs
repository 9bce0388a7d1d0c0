//! The gRPC side: each stream of a worker or a driver becomes a connection of the loop in `run`, which sees its
//! messages as events and answers through its channel.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt};
use pyrite_common::lifecycle;
use pyrite_proto::master::application_message::Message as FromDriver;
use pyrite_proto::master::master_service_server::MasterService;
use pyrite_proto::master::worker_message::Message as FromWorker;
use pyrite_proto::master::{ApplicationMessage, MasterToApplication, MasterToWorker, WorkerMessage};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::inbox::{Input, OUTBOX_MESSAGES_MAX, Outbox};
use crate::model::{ConnectionId, Event};
use crate::wire;

/// The first message of a stream must have come by then.
const REGISTRATION_DEADLINE: Duration = Duration::from_secs(10);

type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Serves the RPCs; all state is behind `inputs`.
#[derive(Clone)]
pub(crate) struct Service {
    inputs: mpsc::Sender<Input>,
    connections_seen: Arc<AtomicU64>,
}

impl Service {
    pub fn new(inputs: mpsc::Sender<Input>) -> Service {
        Service { inputs, connections_seen: Arc::new(AtomicU64::new(0)) }
    }

    fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections_seen.fetch_add(1, Ordering::Relaxed))
    }

    async fn send(&self, input: Input) -> Result<(), Status> {
        self.inputs.send(input).await.map_err(|_| Status::unavailable("the master is stopping"))
    }
}

#[tonic::async_trait]
impl MasterService for Service {
    type WorkerStream = ResponseStream<MasterToWorker>;
    type ApplicationStream = ResponseStream<MasterToApplication>;

    async fn worker(&self, request: Request<Streaming<WorkerMessage>>) -> Result<Response<Self::WorkerStream>, Status> {
        let mut messages = request.into_inner();
        let connection = self.next_connection();
        let first = first_message(&mut messages).await?.message;
        let Some(register @ FromWorker::Register(_)) = first else {
            return Err(Status::invalid_argument("the first message of a worker registers it"));
        };
        let event = wire::worker_event(connection, register).map_err(Status::invalid_argument)?;
        let (outbox, orders) = mpsc::channel(OUTBOX_MESSAGES_MAX);
        self.send(Input::Opened { connection, outbox: Outbox::Worker(outbox), first: event }).await?;
        let inputs = self.inputs.clone();
        lifecycle::spawn("worker stream", async move {
            while let Some(Ok(WorkerMessage { message })) = messages.next().await {
                let Some(message) = message else { continue };
                if matches!(message, FromWorker::Register(_)) {
                    break;
                }
                if !forward(&inputs, wire::worker_event(connection, message)).await {
                    break;
                }
            }
            // Fails only when the master stops, and then nobody needs to know.
            let _ = inputs.send(Input::Event(Event::Disconnects { connection })).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(orders))))
    }

    async fn application(
        &self,
        request: Request<Streaming<ApplicationMessage>>,
    ) -> Result<Response<Self::ApplicationStream>, Status> {
        let mut messages = request.into_inner();
        let connection = self.next_connection();
        let first = first_message(&mut messages).await?.message;
        let Some(register @ FromDriver::Register(_)) = first else {
            return Err(Status::invalid_argument("the first message of a driver registers its application"));
        };
        let event = wire::driver_event(connection, register).map_err(Status::invalid_argument)?;
        let (outbox, notices) = mpsc::channel(OUTBOX_MESSAGES_MAX);
        self.send(Input::Opened { connection, outbox: Outbox::Driver(outbox), first: event }).await?;
        let inputs = self.inputs.clone();
        lifecycle::spawn("driver stream", async move {
            while let Some(Ok(ApplicationMessage { message })) = messages.next().await {
                let Some(message) = message else { continue };
                if matches!(message, FromDriver::Register(_)) {
                    break;
                }
                if !forward(&inputs, wire::driver_event(connection, message)).await {
                    break;
                }
            }
            let _ = inputs.send(Input::Event(Event::Disconnects { connection })).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(notices))))
    }
}

async fn first_message<T>(messages: &mut Streaming<T>) -> Result<T, Status> {
    match tokio::time::timeout(REGISTRATION_DEADLINE, messages.next()).await {
        Ok(Some(message)) => message,
        Ok(None) => Err(Status::invalid_argument("the stream ended before its first message")),
        Err(_) => Err(Status::deadline_exceeded("no registration came")),
    }
}

/// Whether the stream goes on.
async fn forward(inputs: &mpsc::Sender<Input>, event: Result<Option<Event>, String>) -> bool {
    match event {
        Ok(Some(event)) => inputs.send(Input::Event(event)).await.is_ok(),
        Ok(None) => true,
        Err(reason) => {
            tracing::warn!("closing a stream: {reason}");
            false
        }
    }
}
