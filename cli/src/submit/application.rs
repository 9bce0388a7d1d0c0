//! The parts of one application, put together: executors, the driver, and the Spark Connect server that the program
//! talks to. The one place that knows how the crates fit.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use pyrite_common::ids::ApplicationId;
use pyrite_common::lifecycle::{self, Lifecycle, TaskKind};
use pyrite_common::net::{HostPort, address_towards, grpc_incoming, grpc_server, is_loopback, listen_nearby};
use pyrite_common::security::{RequireSecret, Secret};
use pyrite_connect::{ConnectOptions, ConnectServer, check_setting};
use pyrite_driver::executors::{DriverEndpoint, Executors};
use pyrite_driver::master_client::{ApplicationSpec, MasterClient, MasterEvent};
use pyrite_driver::query::{Driver, DriverConfig};
use pyrite_worker::executor::{self, DriverLink, ExecutorConfig};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use uuid::Uuid;

use super::cluster::{self, Away};
use super::submission::{Master, Submission};
use super::user;

/// Memory of the executor inside `submit`, of which it uses as little as it can.
const LOCAL_MEMORY_BYTES: u64 = 1 << 30;
/// Spark's name for the executor inside the driver.
const LOCAL_EXECUTOR: &str = "driver";
/// How long running queries may take to stop at a good place.
const QUERIES_DEADLINE: Duration = Duration::from_secs(10);
/// How long the executor of `local[N]` may take to end its work and close its databases.
const EXECUTOR_DEADLINE: Duration = Duration::from_secs(12);

/// A running application.
pub(super) struct Application {
    driver: Driver,
    executors: Executors,
    master: Option<MasterClient>,
    /// Where the program's session goes.
    pub connect_port: u16,
    /// What it must show there.
    pub connect_token: Secret,
    /// Turns to a reason when the application cannot go on.
    pub failed: watch::Receiver<Option<String>>,
}

/// A listener for executors, and what the master will call it.
struct Lobby {
    listener: TcpListener,
    url: String,
}

impl Application {
    /// Starts all parts. With a master it returns when the application is registered: executors start while the program
    /// does.
    pub async fn start(
        submission: &Submission,
        directory: &Path,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Application> {
        for (key, value) in submission.settings.iter() {
            check_setting(key, value)?;
        }
        let token = Secret::random();
        let (report_failure, failed) = watch::channel(None);
        let (executors, master, id) = match &submission.master {
            Master::Local { cores } => {
                let id = ApplicationId::new(format!("local-{}", chrono::Utc::now().timestamp_millis()));
                let executors = Executors::new(id.as_str(), Uuid::new_v4().to_string());
                start_local_executor(&executors, &id, *cores, directory, token, report_failure);
                (executors, None, id)
            }
            Master::Cluster(masters) => {
                let lobby = open_lobby(submission, &masters[0]).await?;
                let (client, mut events) = MasterClient::start(application_spec(submission, masters, &lobby, &token));
                let mut away = Away::default();
                let id = registration(&mut events, &mut away, &submission.master_text).await?;
                let executors = Executors::new(id.as_str(), Uuid::new_v4().to_string());
                serve_executors(lobby, executors.clone(), token, lifecycle);
                lifecycle::spawn("news from the master", cluster::follow(events, away, report_failure));
                lifecycle::spawn("news for the master", cluster::report_executors(executors.clone(), client.clone()));
                (executors, Some(client), id)
            }
        };
        let driver = Driver::new(driver_config(submission), executors.clone());
        if let Some(master) = &master {
            lifecycle::spawn("name for the master", cluster::report_name(driver.app_name(), master.clone()));
        }
        let connect_token = Secret::random();
        let options = ConnectOptions {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: Some(connect_token.clone()),
            settings: session_settings(submission, &id),
        };
        let (connect_port, serving) = ConnectServer::bind(driver.clone(), lifecycle, options)
            .await
            .context("the Spark Connect server cannot listen")?;
        lifecycle.spawn(TaskKind::Critical, "Spark Connect server", serving);
        Ok(Application { driver, executors, master, connect_port, connect_token, failed })
    }

    /// Stops what runs, lets the executors go, and tells the master.
    pub async fn end(mut self, is_failure: bool) {
        if timeout(QUERIES_DEADLINE, self.driver.stop()).await.is_err() {
            tracing::warn!("some queries did not stop in time; their checkpoints hold");
        }
        self.executors.shut_down("the application has ended");
        match self.master {
            Some(master) => master.finish(is_failure, "").await,
            // The executor in this process has nobody else to wait for it.
            None => {
                let ended = timeout(EXECUTOR_DEADLINE, self.failed.wait_for(Option::is_some)).await;
                if ended.is_err() {
                    tracing::warn!("clients and databases did not close in time");
                }
            }
        }
    }
}

async fn registration(
    events: &mut mpsc::Receiver<MasterEvent>,
    away: &mut Away,
    master: &str,
) -> anyhow::Result<ApplicationId> {
    match cluster::registered(events, away).await {
        Ok(id) => Ok(id),
        Err(reason) => anyhow::bail!("master `{master}` refused the application: {reason}"),
    }
}

async fn open_lobby(submission: &Submission, master: &HostPort) -> anyhow::Result<Lobby> {
    let host = match submission.settings.get("spark.driver.host") {
        Some(host) => host.to_owned(),
        None if is_loopback(&master.host) => Ipv4Addr::LOCALHOST.to_string(),
        None => address_towards(master)
            .with_context(|| {
                format!("this machine's address towards master `{master}` is not known; set `spark.driver.host`")
            })?
            .to_string(),
    };
    let bind = submission.settings.get("spark.driver.bindAddress").unwrap_or(&host);
    let port: u16 = submission.settings.number("spark.driver.port")?.unwrap_or(0);
    let listener =
        listen_nearby(bind, port).await.with_context(|| format!("the driver cannot listen on `{bind}:{port}`"))?;
    let port = listener.local_addr().context("the driver's listener has no address")?.port();
    Ok(Lobby { listener, url: HostPort::new(host, port).http_url() })
}

fn application_spec(submission: &Submission, masters: &[HostPort], lobby: &Lobby, token: &Secret) -> ApplicationSpec {
    ApplicationSpec {
        masters: masters.to_vec(),
        secret: submission.secret.clone(),
        name: submission.name.clone(),
        user: user::name(|name| std::env::var(name).ok()),
        executors: submission.executors,
        executor_cores: submission.executor_cores,
        executor_memory_bytes: submission.executor_memory_bytes,
        cores_max: submission.cores_max,
        driver_url: lobby.url.clone(),
        token: token.clone(),
        ui_url: String::new(),
        settings: submission.settings.clone().into_map(),
    }
}

fn serve_executors(lobby: Lobby, executors: Executors, token: Secret, lifecycle: &Lifecycle) {
    let server = grpc_server()
        .layer(RequireSecret::new(Some(token)))
        .add_service(DriverEndpoint::server(executors))
        .serve_with_incoming_shutdown(grpc_incoming(lobby.listener), lifecycle.token().clone().cancelled_owned());
    lifecycle.spawn(TaskKind::Critical, "server for executors", server);
}

/// Starts the executor of `local[N]`. There is no other: when it ends, so does the application.
fn start_local_executor(
    executors: &Executors,
    id: &ApplicationId,
    cores: usize,
    directory: &Path,
    token: Secret,
    report_failure: watch::Sender<Option<String>>,
) {
    let (to_driver, from_driver) = executors.attach_in_process();
    let config = ExecutorConfig {
        executor_id: LOCAL_EXECUTOR.to_owned(),
        application_id: id.to_string(),
        cores,
        memory_bytes: LOCAL_MEMORY_BYTES,
        work_dir: directory.join("executor"),
        token,
        shuffle_host: Ipv4Addr::LOCALHOST.to_string(),
    };
    let executor = lifecycle::spawn("local executor", executor::run(config, DriverLink { to_driver, from_driver }));
    lifecycle::spawn("local executor's end", async move {
        let reason = match executor.await {
            Ok(Some(Ok(_))) => "the local executor has ended".to_owned(),
            Ok(Some(Err(error))) => format!("the local executor failed: {}", pyrite_common::error::chain(&error)),
            Ok(None) | Err(_) => "the local executor panicked; the log has the message".to_owned(),
        };
        report_failure.send_replace(Some(reason));
    });
}

fn session_settings(submission: &Submission, id: &ApplicationId) -> BTreeMap<String, String> {
    let mut settings = submission.settings.clone();
    settings.set("spark.app.id", id.as_str());
    settings.set("spark.app.name", submission.name.as_str());
    settings.set("spark.master", submission.master_text.as_str());
    settings.into_map()
}

/// Who claims checkpoints, as others will read it.
fn driver_config(submission: &Submission) -> DriverConfig {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    DriverConfig { host: host.trim().to_owned(), app_name: submission.name.clone() }
}
