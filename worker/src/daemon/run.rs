//! The worker's shell: one task owns the books, follows the master's orders, and passes on what becomes of the
//! executors. When the master goes away the executors go on.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::Local;
use pyrite_common::backoff::Backoff;
use pyrite_common::error::chain;
use pyrite_common::ids::WorkerId;
use pyrite_common::lifecycle::{self, Lifecycle, TaskKind};
use pyrite_common::memory::print_size;
use pyrite_common::net::{HostPort, address_towards, is_loopback, listen_nearby};
use pyrite_proto::master::master_to_worker::Message as Order;
use pyrite_proto::master::worker_message::Message;
use pyrite_proto::master::{
    ExecutorState, ExecutorStateChanged, KillExecutor, LaunchExecutor, RegisterWorker, RunningExecutor,
    WorkerHeartbeat, WorkerMessage,
};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::config::WorkerConfig;
use super::directory;
use super::error::WorkerError;
use super::ledger::{Entry, Key, Ledger};
use super::link::{self, LinkError, OUTGOING_MAX, RETRY_FIRST, RETRY_LONGEST};
use super::process::LaunchSecrets;
use super::snapshot::{MasterFacts, Snapshot, state_name};
use super::supervise::{END_GRACE, Launch, Report, supervise};
use super::web::{self, Pages};

/// Reports of all executors that wait to be seen.
const REPORTS_MAX: usize = 256;
/// At the end all executors get their grace at once, and a little more for the kill.
const STOP_DEADLINE: Duration = END_GRACE.saturating_add(Duration::from_secs(2));
/// Heartbeats until the master has said how often it wants them.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// A running worker. It stops with its lifecycle, and its executors with it.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Its id with the master.
    pub id: WorkerId,
    /// Where browsers connect.
    pub webui_address: SocketAddr,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

impl Worker {
    /// What is known now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Waits until the snapshot is as wanted; false when the worker stopped first.
    pub async fn wait_for(&self, wanted: impl FnMut(&Arc<Snapshot>) -> bool) -> bool {
        self.snapshots.clone().wait_for(wanted).await.is_ok()
    }
}

/// Prepares the work directory, listens, and starts the tasks; all of them belong to `lifecycle`.
pub async fn start(mut config: WorkerConfig, lifecycle: &Lifecycle) -> Result<Worker, WorkerError> {
    // Executors run in their own directories, so paths must not depend on this one.
    config.work_dir = std::path::absolute(&config.work_dir).unwrap_or(config.work_dir);
    let work_dir = config.work_dir.clone();
    directory::prove_writable(&work_dir)
        .map_err(|source| WorkerError::WorkDirectory { path: work_dir.clone(), source })?;
    match directory::clear_states_of_the_dead(&work_dir) {
        Ok(0) => {}
        Ok(count) => tracing::info!("removed the state of {count} executors whose worker was killed"),
        Err(error) => tracing::warn!("state of executors whose worker was killed stays on the disk: {error}"),
    }
    let host = match &config.host {
        Some(host) => host.clone(),
        None => own_host(&config.masters[0])?,
    };
    let webui = listen_nearby(&host, config.webui_port).await;
    let webui_error =
        |source| WorkerError::Bind { address: HostPort::new(host.clone(), config.webui_port).to_string(), source };
    let webui = webui.map_err(webui_error)?;
    let webui_address = webui.local_addr().map_err(webui_error)?;
    let id =
        WorkerId::at(&Local::now().format("%Y%m%d%H%M%S").to_string(), &host.replace(':', "_"), webui_address.port());

    let (publish, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let (reports, received) = mpsc::channel(REPORTS_MAX);
    tracing::info!(
        cores = config.cores, memory = %print_size(config.memory_bytes), work_dir = %work_dir.display(),
        "starting worker {id}"
    );
    tracing::info!("web UI at http://{webui_address}");
    let cleanup_token = lifecycle.token().clone();
    let cleanup = clean_now_and_then(config.clone(), snapshots.clone(), cleanup_token);
    lifecycle.spawn(TaskKind::Background, "work directory cleaning", cleanup);
    web::spawn(webui, Pages { snapshots: snapshots.clone(), work_dir }, lifecycle);

    let shell = Shell {
        id: id.clone(),
        host,
        webui_port: webui_address.port(),
        config,
        ledger: Ledger::default(),
        stops: BTreeMap::new(),
        master: MasterFacts::default(),
        was_registered: false,
        reports,
        publish,
        stopping: lifecycle.token().clone(),
    };
    shell.publish();
    lifecycle.spawn(TaskKind::Critical, "worker loop", shell.run(received));
    Ok(Worker { id, webui_address, snapshots })
}

fn own_host(master: &HostPort) -> Result<String, WorkerError> {
    if is_loopback(&master.host) {
        return Ok("127.0.0.1".to_owned());
    }
    match address_towards(master) {
        Ok(address) => Ok(address.to_string()),
        Err(source) => Err(WorkerError::NoAddress { master: master.to_string(), source }),
    }
}

async fn clean_now_and_then(
    config: WorkerConfig,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    stopping: CancellationToken,
) -> Result<(), std::io::Error> {
    if !config.cleanup.enabled {
        return Ok(());
    }
    loop {
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            () = sleep(config.cleanup.interval) => {}
        }
        let running: BTreeSet<_> =
            snapshots.borrow().executors.iter().map(|executor| executor.appid.as_str().into()).collect();
        let (work, keep) = (config.work_dir.clone(), config.cleanup.keep);
        let cleaned = tokio::task::spawn_blocking(move || directory::clean(&work, &running, keep, SystemTime::now()));
        match cleaned.await {
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(error)) => tracing::warn!("work directory could not be cleaned: {error}"),
        }
    }
}

struct Shell {
    id: WorkerId,
    host: String,
    webui_port: u16,
    config: WorkerConfig,
    ledger: Ledger,
    /// The way to end each running executor.
    stops: BTreeMap<Key, mpsc::Sender<String>>,
    master: MasterFacts,
    /// Whether a master has ever taken this worker.
    was_registered: bool,
    reports: mpsc::Sender<Report>,
    publish: watch::Sender<Arc<Snapshot>>,
    stopping: CancellationToken,
}

type Outgoing = mpsc::Sender<WorkerMessage>;

impl Shell {
    async fn run(mut self, mut reports: mpsc::Receiver<Report>) -> Result<(), WorkerError> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        let masters = self.config.masters.clone();
        let mut result = Ok(());
        for master in masters.iter().cycle() {
            let ended = self.serve(master, &mut reports, &mut backoff).await;
            self.master = MasterFacts::default();
            self.publish();
            if self.stopping.is_cancelled() {
                break;
            }
            match ended {
                LinkError::Refused(reason) => {
                    result = Err(WorkerError::Refused { master: master.to_string(), reason });
                    break;
                }
                LinkError::Denied(reason) if !self.was_registered => {
                    result = Err(WorkerError::Refused { master: master.to_string(), reason });
                    break;
                }
                // A master that was started again with another secret must not end what runs here.
                LinkError::Away(reason) | LinkError::Denied(reason) => {
                    tracing::warn!("master at {master} is away, trying again: {reason}");
                    let wait = backoff.next_wait();
                    if self.beside(sleep(wait), &mut reports, None).await.is_none() {
                        break;
                    }
                }
            }
        }
        self.end_all(&mut reports).await;
        result
    }

    /// One link from its opening to its end.
    async fn serve(
        &mut self,
        master: &HostPort,
        reports: &mut mpsc::Receiver<Report>,
        backoff: &mut Backoff,
    ) -> LinkError {
        let stopped = || LinkError::Away("the worker stops".to_owned());
        let connecting = link::connect(master.clone(), self.config.secret.clone());
        let client = match self.beside(connecting, reports, None).await {
            None => return stopped(),
            Some(Err(error)) => return error,
            Some(Ok(client)) => client,
        };
        // The registration says which executors run; what happens to them after it is queued behind it.
        let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
        if outgoing.try_send(self.registration()).is_err() {
            return LinkError::Away("the new queue is closed".to_owned());
        }
        let mut orders = match self.beside(link::open(client, queue), reports, Some(&outgoing)).await {
            None => return stopped(),
            Some(Err(error)) => return error,
            Some(Ok(orders)) => orders,
        };
        let mut heartbeats = interval(HEARTBEAT_INTERVAL);
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return stopped(),
                Some(report) = reports.recv() => self.reported(report, Some(&outgoing)),
                _ = heartbeats.tick() => {
                    let beat = WorkerHeartbeat { worker_id: self.id.to_string() };
                    if outgoing.try_send(message(Message::Heartbeat(beat))).is_err() {
                        return LinkError::Away("it does not read".to_owned());
                    }
                }
                order = orders.message() => match order {
                    Err(status) => return LinkError::of_status(&status),
                    Ok(None) => return LinkError::Away("it closed the connection".to_owned()),
                    Ok(Some(order)) => match order.message {
                        None => {}
                        Some(Order::Rejected(rejected)) => return LinkError::Refused(rejected.reason),
                        Some(Order::Registered(registered)) => {
                            tracing::info!("registered with master {}", registered.master_url);
                            backoff.reset();
                            self.was_registered = true;
                            heartbeats = interval(Duration::from_millis(registered.heartbeat_interval_ms.max(1)));
                            heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
                            self.master = MasterFacts { url: registered.master_url, webui_url: registered.master_webui_url };
                            self.publish();
                        }
                        Some(Order::Launch(launch)) => self.launch(launch, &outgoing),
                        Some(Order::Kill(kill)) => self.kill(kill),
                    },
                },
            }
        }
    }

    /// Waits for `future`, and meanwhile takes in reports. None: the worker stops.
    async fn beside<F: Future>(
        &mut self,
        future: F,
        reports: &mut mpsc::Receiver<Report>,
        outgoing: Option<&Outgoing>,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return None,
                output = &mut future => return Some(output),
                Some(report) = reports.recv() => self.reported(report, outgoing),
            }
        }
    }

    fn registration(&self) -> WorkerMessage {
        let running = self
            .ledger
            .running()
            .map(|(key, entry)| RunningExecutor {
                application_id: key.application.to_string(),
                executor_id: key.executor.to_string(),
                cores: entry.cores,
                memory_bytes: entry.memory_bytes,
            })
            .collect();
        message(Message::Register(RegisterWorker {
            worker_id: self.id.to_string(),
            host: self.host.clone(),
            port: u32::from(self.webui_port),
            cores: self.config.cores,
            memory_bytes: self.config.memory_bytes,
            webui_url: HostPort::new(self.host.clone(), self.webui_port).http_url(),
            running,
        }))
    }

    fn launch(&mut self, order: LaunchExecutor, outgoing: &Outgoing) {
        let key = Key { application: order.application_id.into(), executor: order.executor_id.into() };
        if !key.application.is_path_safe() || !key.executor.is_path_safe() {
            tracing::warn!("refused an executor whose ids are no directory names");
            let reason = "its ids are no directory names";
            tell(outgoing, &key, ExecutorState::Failed, reason, None);
            return;
        }
        let entry = Entry {
            application_name: order.application_name,
            cores: order.cores,
            memory_bytes: order.memory_bytes,
            state: ExecutorState::Launching,
            message: String::new(),
        };
        if !self.ledger.open(key.clone(), entry) {
            return;
        }
        tracing::info!(
            application = %key.application, executor = %key.executor, cores = order.cores,
            memory = %print_size(order.memory_bytes), "starting executor"
        );
        let (stop, stopped) = mpsc::channel(1);
        self.stops.insert(key.clone(), stop);
        let launch = Launch {
            directory: directory::of_executor(&self.config.work_dir, &key),
            key,
            program: self.program(),
            host: self.host.clone(),
            cores: order.cores,
            memory_bytes: order.memory_bytes,
            driver_url: order.driver_url,
            secrets: LaunchSecrets { token: order.application_token, settings: order.settings.into_iter().collect() },
        };
        lifecycle::spawn("executor supervision", supervise(launch, stopped, self.reports.clone()));
        self.publish();
    }

    fn program(&self) -> PathBuf {
        self.config.program.clone()
    }

    fn kill(&mut self, order: KillExecutor) {
        let key = Key { application: order.application_id.into(), executor: order.executor_id.into() };
        if let Some(stop) = self.stops.get(&key) {
            // A full channel means that it was told already.
            let _ = stop.try_send(order.reason);
        }
    }

    fn reported(&mut self, report: Report, outgoing: Option<&Outgoing>) {
        if !self.ledger.change(&report.key, report.state, &report.message) {
            return;
        }
        if super::ledger::is_ended(report.state) {
            self.stops.remove(&report.key);
            let (application, executor, state) =
                (&report.key.application, &report.key.executor, state_name(report.state));
            tracing::info!(application = %application, executor = %executor, state, "executor ended: {}", report.message);
        }
        if let Some(outgoing) = outgoing {
            tell(outgoing, &report.key, report.state, &report.message, report.exit_code);
        }
        self.publish();
    }

    async fn end_all(&mut self, reports: &mut mpsc::Receiver<Report>) {
        for stop in self.stops.values() {
            let _ = stop.try_send("its worker stops".to_owned());
        }
        let ended = timeout(STOP_DEADLINE, async {
            while !self.ledger.is_idle() {
                let Some(report) = reports.recv().await else { return };
                self.reported(report, None);
            }
        });
        if ended.await.is_err() {
            tracing::warn!("some executors did not end in time");
        }
    }

    fn publish(&self) {
        let (cores, memory_bytes) = (self.config.cores, self.config.memory_bytes);
        let snapshot = Snapshot::take(&self.id, cores, memory_bytes, &self.master, &self.ledger);
        self.publish.send_replace(Arc::new(snapshot));
    }
}

fn message(message: Message) -> WorkerMessage {
    WorkerMessage { message: Some(message) }
}

/// A full queue closes the link soon, and the next registration tells the same.
fn tell(outgoing: &Outgoing, key: &Key, state: ExecutorState, text: &str, exit_code: Option<i32>) {
    let changed = ExecutorStateChanged {
        application_id: key.application.to_string(),
        executor_id: key.executor.to_string(),
        state: state.into(),
        message: text.to_owned(),
        exit_code,
    };
    if let Err(error) = outgoing.try_send(message(Message::ExecutorState(changed))) {
        tracing::warn!("a state change was not sent to the master: {}", chain(&error));
    }
}
