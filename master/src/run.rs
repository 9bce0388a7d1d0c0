//! The master's shell: listens, and runs the one task that owns the state. It receives, applies, and acts; every
//! decision is in `state`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pyrite_common::lifecycle::{Lifecycle, TaskKind};
use pyrite_common::net::{HostPort, grpc_incoming, grpc_server, listen_nearby};
use pyrite_common::security::RequireSecret;
use pyrite_proto::master::master_service_server::MasterServiceServer;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::config::MasterConfig;
use crate::error::MasterError;
use crate::inbox::{Input, OUTBOX_MESSAGES_MAX, Outbox};
use crate::model::{Action, ConnectionId, Event, Now};
use crate::service::Service;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::web;
use crate::wire::{self, MasterFacts};

/// How often time alone is looked at: silent workers, drivers that do not come back.
const TICK_INTERVAL: Duration = Duration::from_millis(500);
/// Messages of all streams that wait to be applied.
const INPUTS_MAX: usize = 1_024;

/// A running master. It stops with its lifecycle.
#[derive(Clone, Debug)]
pub struct Master {
    /// Where workers and drivers connect.
    pub address: SocketAddr,
    /// Where browsers connect.
    pub webui_address: SocketAddr,
    /// `spark://host:port`.
    pub url: String,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

impl Master {
    /// What is known now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Waits until the snapshot is as wanted; false when the master stopped first.
    pub async fn wait_for(&self, wanted: impl FnMut(&Arc<Snapshot>) -> bool) -> bool {
        self.snapshots.clone().wait_for(wanted).await.is_ok()
    }
}

/// Listens and starts the tasks; all of them belong to `lifecycle`.
pub async fn start(config: MasterConfig, lifecycle: &Lifecycle) -> Result<Master, MasterError> {
    config.validate()?;
    let bind_error = |port: u16| {
        let address = HostPort::new(config.host.clone(), port).to_string();
        move |source| MasterError::Bind { address, source }
    };
    let listener = TcpListener::bind((config.host.as_str(), config.port)).await.map_err(bind_error(config.port))?;
    let address = listener.local_addr().map_err(bind_error(config.port))?;
    let webui = listen_nearby(&config.host, config.webui_port).await.map_err(bind_error(config.webui_port))?;
    let webui_address = webui.local_addr().map_err(bind_error(config.webui_port))?;

    let url = format!("spark://{}", HostPort::new(config.host.clone(), address.port()));
    let facts = MasterFacts {
        url: url.clone(),
        webui_url: HostPort::new(config.host.clone(), webui_address.port()).http_url(),
        heartbeat_interval_ms: u64::try_from(config.heartbeat_interval().as_millis()).unwrap_or(u64::MAX).max(1),
    };
    let (inputs, received) = mpsc::channel(INPUTS_MAX);
    let (publish, snapshots) = watch::channel(Arc::new(Snapshot { url: url.clone(), ..Snapshot::default() }));

    let shell = Shell { state: State::new(&config), facts, outboxes: HashMap::new(), started: Instant::now(), publish };
    let token = lifecycle.token().clone();
    lifecycle.spawn(TaskKind::Critical, "master loop", async move {
        tokio::select! {
            () = token.cancelled() => {}
            () = shell.run(received) => {}
        }
        Ok::<(), Infallible>(())
    });

    let server = grpc_server()
        .layer(RequireSecret::new(config.secret.clone()))
        .add_service(MasterServiceServer::new(Service::new(inputs)))
        .serve_with_incoming_shutdown(grpc_incoming(listener), lifecycle.token().clone().cancelled_owned());
    lifecycle.spawn(TaskKind::Critical, "master RPC server", server);
    web::spawn(webui, snapshots.clone(), lifecycle);

    tracing::info!("started master at {url}");
    tracing::info!("web UI at http://{webui_address}");
    Ok(Master { address, webui_address, url, snapshots })
}

struct Shell {
    state: State,
    facts: MasterFacts,
    outboxes: HashMap<ConnectionId, Outbox>,
    started: Instant,
    publish: watch::Sender<Arc<Snapshot>>,
}

impl Shell {
    async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        let mut ticks = tokio::time::interval(TICK_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                input = inputs.recv() => match input {
                    None => return,
                    Some(Input::Event(event)) => Some(event),
                    Some(Input::Opened { connection, outbox, first }) => {
                        self.outboxes.insert(connection, outbox);
                        first
                    }
                },
                _ = ticks.tick() => Some(Event::Tick),
            };
            if let Some(event) = event {
                self.step(event);
            }
        }
    }

    fn step(&mut self, event: Event) {
        let now = self.now();
        if let Event::Disconnects { connection } = &event {
            self.outboxes.remove(connection);
        }
        let mut pending = vec![event];
        while let Some(event) = pending.pop() {
            for action in self.state.apply(now, event) {
                if let Some(cut_off) = self.act(action) {
                    pending.push(Event::Disconnects { connection: cut_off });
                }
            }
        }
        self.publish.send_replace(Arc::new(Snapshot::take(&self.state, &self.facts.url, now)));
    }

    /// The connection that had to be cut off, if one had.
    fn act(&mut self, action: Action) -> Option<ConnectionId> {
        let (connection, sent) = match action {
            Action::Close { connection } => {
                self.outboxes.remove(&connection);
                return None;
            }
            Action::ToWorker { connection, message } => match self.outboxes.get(&connection) {
                Some(Outbox::Worker(outbox)) => {
                    (connection, outbox.try_send(Ok(wire::to_worker(message, &self.facts))).is_ok())
                }
                Some(Outbox::Driver(_)) | None => return None,
            },
            Action::ToDriver { connection, message } => match self.outboxes.get(&connection) {
                Some(Outbox::Driver(outbox)) => {
                    (connection, outbox.try_send(Ok(wire::to_driver(message, &self.facts))).is_ok())
                }
                Some(Outbox::Worker(_)) | None => return None,
            },
        };
        if sent {
            return None;
        }
        tracing::warn!(limit = OUTBOX_MESSAGES_MAX, "cutting off a peer that does not read");
        self.outboxes.remove(&connection);
        Some(connection)
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { since_start: self.started.elapsed(), wall_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX) }
    }
}
