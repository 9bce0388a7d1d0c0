//! The gRPC end that executors of other processes attach to.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use pyrite_common::lifecycle;
use pyrite_common::net::MESSAGE_BYTES_MAX;
use pyrite_proto::executor::driver_service_server::{DriverService, DriverServiceServer};
use pyrite_proto::executor::{DriverMessage, ExecutorMessage};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::Executors;

/// Messages read from the network before the registry takes them.
const READ_AHEAD: usize = 64;

/// Serves `DriverService` over a registry.
pub struct DriverEndpoint {
    executors: Executors,
}

impl DriverEndpoint {
    /// The service to add to a tonic server; who may call is for the server's layers.
    pub fn server(executors: Executors) -> DriverServiceServer<DriverEndpoint> {
        DriverServiceServer::new(DriverEndpoint { executors })
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl DriverService for DriverEndpoint {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<DriverMessage, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<ExecutorMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut incoming = request.into_inner();
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        lifecycle::spawn("executor read", async move {
            while let Ok(Some(message)) = incoming.message().await {
                if sender.send(message).await.is_err() {
                    return;
                }
            }
        });
        let outgoing = self.executors.attach(receiver);
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing).map(Ok))))
    }
}
