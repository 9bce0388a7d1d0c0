//! The gRPC transport of the service: one port, a token, large messages, compression.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pyrite_common::lifecycle::{Lifecycle, TaskKind};
use pyrite_common::net::grpc_incoming;
use pyrite_common::security::{RequireSecret, Secret};
use pyrite_driver::query::Driver;
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;

use crate::context::Shared;
use crate::service::ConnectService;
use crate::session::{Conf, Sessions};
use crate::wire::generated::spark_connect_service_server::SparkConnectServiceServer;

/// The largest message taken, as `spark.connect.grpc.maxInboundMessageSize`.
const MESSAGE_BYTES_MAX: usize = 128 << 20;

/// How often abandoned executions are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What the server is started with.
pub struct ConnectOptions {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// What clients must send as their bearer token; none only for tests.
    pub token: Option<Secret>,
    /// The settings that each session starts with: `--conf`, `spark.app.id`, `spark.app.name`, `spark.master`.
    pub settings: BTreeMap<String, String>,
}

/// The Spark Connect server of an application.
pub struct ConnectServer;

impl ConnectServer {
    /// Takes the port. The future serves until `lifecycle` stops; clients that connect earlier wait.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn bind(
        driver: Driver,
        lifecycle: &Lifecycle,
        options: ConnectOptions,
    ) -> io::Result<(u16, impl Future<Output = Result<(), tonic::transport::Error>> + Send + 'static)> {
        let listener = TcpListener::bind(options.address).await?;
        let port = listener.local_addr()?.port();
        let sessions = Sessions::new(Conf::new(options.settings));
        let shared = Shared { driver, sessions: sessions.clone(), lifecycle: lifecycle.clone() };
        let service = SparkConnectServiceServer::new(ConnectService::new(shared))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(usize::MAX)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd);
        let stop = lifecycle.token().clone();
        sweep(lifecycle, sessions);
        let serve = Server::builder()
            .layer(RequireSecret::new(options.token))
            .add_service(service)
            .serve_with_incoming_shutdown(grpc_incoming(listener), stop.cancelled_owned());
        Ok((port, serve))
    }
}

fn sweep(lifecycle: &Lifecycle, sessions: Sessions) {
    let stop = lifecycle.token().clone();
    let task = async move {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok::<(), io::Error>(()),
                _ = ticks.tick() => {
                    for session in sessions.list() {
                        session.operations.sweep(Instant::now());
                    }
                }
            }
        }
    };
    lifecycle.spawn(TaskKind::Background, "connect sweep", task);
}
