//! The gRPC shell of an executor: one stream to the driver, which notices within seconds that the other side is gone.

use std::time::Duration;

use futures::FutureExt;
use pyrite_common::backoff::Backoff;
use pyrite_common::error::{Kind, chain};
use pyrite_common::lifecycle;
use pyrite_common::net::{CONNECT_TIMEOUT, MESSAGE_BYTES_MAX};
use pyrite_common::security::ClientAuth;
use pyrite_proto::executor::DriverMessage;
use pyrite_proto::executor::driver_service_client::DriverServiceClient;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use super::config::{DriverLink, ExecutorConfig};
use super::error::{ExecutorError, ExitReason};
use super::run::run;

/// Messages to the driver that may wait: rows of a batch fill it, and then wait for the driver.
const OUTGOING_MAX: usize = 32;
/// Messages from the driver that may wait for the loop.
const INCOMING_MAX: usize = 64;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// A driver that starts, or a network that forms, gets this long.
const ATTACH_MAX: Duration = Duration::from_secs(20);

/// Connects to the driver at `driver_url` (`http://host:port`) and runs until it says so or is gone.
pub async fn attach_and_run(config: ExecutorConfig, driver_url: &str) -> Result<ExitReason, ExecutorError> {
    let (to_driver, outgoing) = mpsc::channel(OUTGOING_MAX);
    let (incoming, from_driver) = mpsc::channel(INCOMING_MAX);
    let channel = connect(driver_url).await?;
    let auth = ClientAuth::new(Some(&config.token));
    let mut client = DriverServiceClient::with_interceptor(channel, auth).max_decoding_message_size(MESSAGE_BYTES_MAX);
    // The driver answers only after the first message, which the loop sends: both start together.
    let url = driver_url.to_owned();
    let attached = async move {
        let response = client.attach(ReceiverStream::new(outgoing)).await;
        response.map_err(|status| refused(&url, Kind::of_status(&status), status.message()))
    };
    let forwarding = lifecycle::spawn("driver stream", async move {
        forward(attached.await?.into_inner(), incoming).await;
        Ok(())
    });
    let ended = run(config, DriverLink { to_driver, from_driver }).await;
    match forwarding.now_or_never() {
        // Refused at once: that says more than that the stream is gone.
        Some(Ok(Some(Err(error)))) => Err(error),
        _ => ended,
    }
}

async fn connect(url: &str) -> Result<Channel, ExecutorError> {
    let endpoint =
        Endpoint::from_shared(url.to_owned()).map_err(|error| refused(url, Kind::Invalid, &chain(&error)))?;
    let endpoint = endpoint
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    let deadline = Instant::now() + ATTACH_MAX;
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
    loop {
        match endpoint.connect().await {
            Ok(channel) => return Ok(channel),
            Err(error) if Instant::now() >= deadline => return Err(refused(url, Kind::Unavailable, &chain(&error))),
            Err(error) => tracing::debug!(url, message = chain(&error), "driver not reached yet"),
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// Ends when the stream breaks: dropping the sender tells the loop.
async fn forward(mut stream: Streaming<DriverMessage>, incoming: mpsc::Sender<DriverMessage>) {
    loop {
        match stream.message().await {
            Ok(Some(message)) => {
                if incoming.send(message).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(status) => {
                tracing::warn!(message = status.message(), "stream to the driver broke");
                return;
            }
        }
    }
}

fn refused(url: &str, kind: Kind, reason: &str) -> ExecutorError {
    ExecutorError::Driver { url: url.to_owned(), reason: reason.to_owned(), kind }
}
