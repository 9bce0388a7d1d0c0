//! The stream to the master: how it is opened, and what its failures mean.

use std::time::Duration;

use pyrite_common::error::{Kind, chain};
use pyrite_common::net::{HostPort, grpc_endpoint};
use pyrite_common::security::{ClientAuth, Secret};
use pyrite_proto::master::master_service_client::MasterServiceClient;
use pyrite_proto::master::{MasterToWorker, WorkerMessage};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// Messages on their way to the master; more than this many unsent and the link is given up.
pub(crate) const OUTGOING_MAX: usize = 1_024;
/// Between two attempts.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(200);
pub(crate) const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// How long the master may take to take the stream.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// Why there is no link.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// Trying again may help.
    Away(String),
    /// It will not: the master does not want this worker.
    Refused(String),
    /// The secret is not the master's.
    Denied(String),
}

impl LinkError {
    /// What a failed call tells.
    pub fn of_status(status: &Status) -> LinkError {
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => LinkError::Denied(status.message().to_owned()),
            _ if Kind::of_status(status) == Kind::Invalid => LinkError::Refused(status.message().to_owned()),
            _ => LinkError::Away(status.message().to_owned()),
        }
    }
}

type Client = MasterServiceClient<InterceptedService<Channel, ClientAuth>>;

/// Connects; nothing is registered yet.
pub(crate) async fn connect(master: HostPort, secret: Option<Secret>) -> Result<Client, LinkError> {
    let endpoint = grpc_endpoint(&master.http_url()).map_err(|error| LinkError::Refused(chain(&error)))?;
    let channel = endpoint.connect().await.map_err(|error| LinkError::Away(chain(&error)))?;
    Ok(MasterServiceClient::with_interceptor(channel, ClientAuth::new(secret.as_ref())))
}

/// Opens the stream; the first of `outgoing` must be the registration.
pub(crate) async fn open(
    mut client: Client,
    outgoing: mpsc::Receiver<WorkerMessage>,
) -> Result<Streaming<MasterToWorker>, LinkError> {
    match tokio::time::timeout(OPEN_DEADLINE, client.worker(ReceiverStream::new(outgoing))).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(LinkError::of_status(&status)),
        Err(_) => Err(LinkError::Away("it did not answer".to_owned())),
    }
}
