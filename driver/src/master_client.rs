//! The driver's side of the master: registers the application, keeps the stream through breaks and restarts of the
//! master, and passes on what the master says. The application's own work never waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pyrite_common::backoff::Backoff;
use pyrite_common::error::{Kind, chain};
use pyrite_common::ids::ApplicationId;
use pyrite_common::lifecycle;
use pyrite_common::net::{HostPort, grpc_endpoint};
use pyrite_common::security::{ClientAuth, Secret};
use pyrite_proto::master::application_message::Message;
use pyrite_proto::master::master_service_client::MasterServiceClient;
use pyrite_proto::master::master_to_application::Message as Notice;
use pyrite_proto::master::{
    ApplicationHeartbeat, ApplicationMessage, Demand, ExecutorAttached, ExecutorUnreachable, FinishApplication,
    MasterToApplication, RegisterApplication, RenameApplication,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

/// Messages on their way to the master, and events on their way to the owner.
const QUEUE_MAX: usize = 256;
/// How long the master may take to take the stream.
const OPEN_DEADLINE: Duration = Duration::from_secs(3);
/// How long the end of the application may take to be told.
const FINISH_DEADLINE: Duration = Duration::from_secs(2);
const RETRY_FIRST: Duration = Duration::from_millis(200);
/// Below the master's patience with a driver that is away.
const RETRY_LONGEST: Duration = Duration::from_secs(3);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

/// What to register.
#[derive(Clone, Debug)]
pub struct ApplicationSpec {
    /// The master and its standbys, tried in turn.
    pub masters: Vec<HostPort>,
    /// The cluster's secret.
    pub secret: Option<Secret>,
    /// The name that people see.
    pub name: String,
    /// Who submitted it.
    pub user: String,
    /// Executors wanted; none: as many as fit.
    pub executors: Option<u32>,
    /// Cores of each.
    pub executor_cores: Option<u32>,
    /// Memory of each.
    pub executor_memory_bytes: u64,
    /// Cores of all.
    pub cores_max: Option<u32>,
    /// `http://host:port` where executors find the driver.
    pub driver_url: String,
    /// What executors show to the driver and to each other.
    pub token: Secret,
    /// The application's own page; empty: none.
    pub ui_url: String,
    /// What executors are told.
    pub settings: BTreeMap<String, String>,
}

/// What the master says, or what its absence says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterEvent {
    /// The application is known under this id; again after each reconnection.
    Registered {
        /// Stays the same over reconnections.
        application_id: ApplicationId,
        /// The master's page.
        master_webui_url: String,
    },
    /// An executor is being started.
    Granted {
        /// Unique in the application.
        executor_id: String,
        /// Its worker.
        worker_id: String,
        /// The worker's host.
        host: String,
        /// Its cores.
        cores: u32,
        /// Its memory.
        memory_bytes: u64,
    },
    /// An executor has ended.
    Removed {
        /// Which one.
        executor_id: String,
        /// Why.
        reason: String,
        /// Of its process.
        exit_code: Option<i32>,
    },
    /// What does not fit and why; none: all is placed.
    Waiting(Option<String>),
    /// The master cannot be reached; it is tried again.
    Away {
        /// `host:port`.
        master: String,
        /// Why.
        reason: String,
    },
    /// The application cannot go on: refused, failed or killed. Nothing comes after it.
    Ended {
        /// Why.
        reason: String,
    },
}

enum Command {
    Send(Message),
    Finish { failed: bool, message: String, done: oneshot::Sender<()> },
}

/// A handle to the application's registration. Dropping all handles without `finish` lets the master end the
/// application after its grace.
#[derive(Clone)]
pub struct MasterClient {
    commands: mpsc::Sender<Command>,
}

impl MasterClient {
    /// Starts registering; events come until `Ended` or the end of the application.
    pub fn start(spec: ApplicationSpec) -> (MasterClient, mpsc::Receiver<MasterEvent>) {
        let (commands, received) = mpsc::channel(QUEUE_MAX);
        let (events, seen) = mpsc::channel(QUEUE_MAX);
        let client = Client { spec, events, application_id: None, executors_seen: 0, attached: BTreeSet::new() };
        lifecycle::spawn("link to the master", client.run(received));
        (MasterClient { commands }, seen)
    }

    /// An executor's stream to the driver is up.
    pub async fn executor_attached(&self, executor_id: &str) {
        self.send(Message::Attached(ExecutorAttached { executor_id: executor_id.to_owned() })).await;
    }

    /// An executor's stream broke or fell silent: the master ends it and grants another.
    pub async fn executor_unreachable(&self, executor_id: &str, reason: &str) {
        let (executor_id, reason) = (executor_id.to_owned(), reason.to_owned());
        self.send(Message::Unreachable(ExecutorUnreachable { executor_id, reason })).await;
    }

    /// The program has named its application.
    pub async fn rename(&self, name: &str) {
        self.send(Message::Rename(RenameApplication { name: name.to_owned() })).await;
    }

    /// Ends the application. Returns when the master has been told, or cannot be.
    pub async fn finish(&self, failed: bool, message: &str) {
        let (done, told) = oneshot::channel();
        let command = Command::Finish { failed, message: message.to_owned(), done };
        if self.commands.send(command).await.is_ok() {
            // Either way the stream ends now, and the master draws its own conclusion from that.
            let _ = timeout(FINISH_DEADLINE, told).await;
        }
    }

    async fn send(&self, message: Message) {
        // Fails only after the application's end.
        let _ = self.commands.send(Command::Send(message)).await;
    }
}

struct Client {
    spec: ApplicationSpec,
    events: mpsc::Sender<MasterEvent>,
    application_id: Option<String>,
    executors_seen: u64,
    /// Told again after a reconnection.
    attached: BTreeSet<String>,
}

/// Why one connection ended.
enum Ending {
    Away(String),
    Refused(String),
    /// The secret is not the master's. Final for who comes anew; a master that was started again with another secret must
    /// not end what runs.
    Denied(String),
    /// The owner wants no more.
    Done,
}

impl Client {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        let masters = self.spec.masters.clone();
        for master in masters.iter().cycle() {
            match self.serve(master, &mut commands, &mut backoff).await {
                Ending::Done => return,
                Ending::Refused(reason) => {
                    self.tell(MasterEvent::Ended { reason }).await;
                    return;
                }
                Ending::Denied(reason) if self.application_id.is_none() => {
                    self.tell(MasterEvent::Ended { reason }).await;
                    return;
                }
                Ending::Away(reason) | Ending::Denied(reason) => {
                    self.tell(MasterEvent::Away { master: master.to_string(), reason }).await;
                    if let Some(Ending::Done) = self.beside(sleep(backoff.next_wait()), &mut commands, None).await.err()
                    {
                        return;
                    }
                }
            }
        }
    }

    async fn serve(
        &mut self,
        master: &HostPort,
        commands: &mut mpsc::Receiver<Command>,
        backoff: &mut Backoff,
    ) -> Ending {
        let (outgoing, queue) = mpsc::channel(QUEUE_MAX);
        if outgoing.try_send(message(Message::Register(self.registration()))).is_err() {
            return Ending::Away("the new queue is closed".to_owned());
        }
        let opening = open(master.clone(), self.spec.secret.clone(), queue);
        let mut notices = match self.beside(opening, commands, Some(&outgoing)).await {
            Ok(Ok(notices)) => notices,
            Ok(Err(ending)) | Err(ending) => return ending,
        };
        let mut heartbeats = interval(HEARTBEAT_INTERVAL);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    None => return Ending::Done,
                    Some(Command::Send(content)) => self.pass_on(content, Some(&outgoing)),
                    Some(Command::Finish { failed, message: text, done }) => {
                        let finish = FinishApplication { failed, message: text };
                        if outgoing.send(message(Message::Finish(finish))).await.is_ok() {
                            // The master closes the stream when it has taken it in.
                            let closed = async { while let Ok(Some(_)) = notices.message().await {} };
                            let _ = timeout(FINISH_DEADLINE, closed).await;
                        }
                        let _ = done.send(());
                        return Ending::Done;
                    }
                },
                _ = heartbeats.tick() => {
                    if outgoing.try_send(message(Message::Heartbeat(ApplicationHeartbeat {}))).is_err() {
                        return Ending::Away("it does not read".to_owned());
                    }
                }
                notice = notices.message() => match notice {
                    Err(status) => return ending_of(&status),
                    Ok(None) => return Ending::Away("it closed the connection".to_owned()),
                    Ok(Some(MasterToApplication { message: None })) => {}
                    Ok(Some(MasterToApplication { message: Some(notice) })) => {
                        if let Some(ending) = self.noticed(notice, backoff, &outgoing).await {
                            return ending;
                        }
                    }
                },
            }
        }
    }

    /// Waits for `future`, and meanwhile takes commands in. The error is that the owner wants no more.
    async fn beside<F: Future>(
        &mut self,
        future: F,
        commands: &mut mpsc::Receiver<Command>,
        outgoing: Option<&mpsc::Sender<ApplicationMessage>>,
    ) -> Result<F::Output, Ending> {
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                output = &mut future => return Ok(output),
                command = commands.recv() => match command {
                    None => return Err(Ending::Done),
                    Some(Command::Send(content)) => self.pass_on(content, outgoing),
                    // There is nobody to tell: the master ends the application when the driver does not come back.
                    Some(Command::Finish { done, .. }) => {
                        let _ = done.send(());
                        return Err(Ending::Done);
                    }
                },
            }
        }
    }

    fn pass_on(&mut self, content: Message, outgoing: Option<&mpsc::Sender<ApplicationMessage>>) {
        match &content {
            Message::Attached(attached) => {
                self.attached.insert(attached.executor_id.clone());
            }
            Message::Unreachable(lost) => {
                self.attached.remove(&lost.executor_id);
            }
            // Registered with from now on.
            Message::Rename(rename) => self.spec.name.clone_from(&rename.name),
            Message::Register(_) | Message::Heartbeat(_) | Message::Finish(_) => {}
        }
        if let Some(outgoing) = outgoing {
            // A full queue: the stream is stuck and ends by its keepalive; `attached` is told again after that.
            let _ = outgoing.try_send(message(content));
        }
    }

    async fn noticed(
        &mut self,
        notice: Notice,
        backoff: &mut Backoff,
        outgoing: &mpsc::Sender<ApplicationMessage>,
    ) -> Option<Ending> {
        let event = match notice {
            Notice::Rejected(rejected) => return Some(Ending::Refused(rejected.reason)),
            Notice::Killed(killed) => return Some(Ending::Refused(killed.reason)),
            Notice::Registered(registered) => {
                backoff.reset();
                self.application_id = Some(registered.application_id.clone());
                for executor_id in self.attached.clone() {
                    self.pass_on(Message::Attached(ExecutorAttached { executor_id }), Some(outgoing));
                }
                MasterEvent::Registered {
                    application_id: registered.application_id.into(),
                    master_webui_url: registered.master_webui_url,
                }
            }
            Notice::Granted(granted) => {
                let number = granted.executor_id.parse::<u64>().map_or(0, |number| number.saturating_add(1));
                self.executors_seen = self.executors_seen.max(number);
                MasterEvent::Granted {
                    executor_id: granted.executor_id,
                    worker_id: granted.worker_id,
                    host: granted.host,
                    cores: granted.cores,
                    memory_bytes: granted.memory_bytes,
                }
            }
            Notice::Removed(removed) => {
                self.attached.remove(&removed.executor_id);
                MasterEvent::Removed {
                    executor_id: removed.executor_id,
                    reason: removed.reason,
                    exit_code: removed.exit_code,
                }
            }
            Notice::Waiting(waiting) => MasterEvent::Waiting((!waiting.reason.is_empty()).then_some(waiting.reason)),
        };
        self.tell(event).await;
        None
    }

    async fn tell(&self, event: MasterEvent) {
        // Nobody listening is the owner's choice.
        let _ = self.events.send(event).await;
    }

    fn registration(&self) -> RegisterApplication {
        let spec = &self.spec;
        RegisterApplication {
            name: spec.name.clone(),
            user: spec.user.clone(),
            demand: Some(Demand {
                executors: spec.executors.unwrap_or(0),
                executor_cores: spec.executor_cores.unwrap_or(0),
                executor_memory_bytes: spec.executor_memory_bytes,
                cores_max: spec.cores_max.unwrap_or(0),
            }),
            driver_url: spec.driver_url.clone(),
            application_token: spec.token.expose().to_owned(),
            ui_url: spec.ui_url.clone(),
            application_id: self.application_id.clone().unwrap_or_default(),
            settings: spec.settings.clone().into_iter().collect(),
            executors_seen: self.executors_seen,
        }
    }
}

async fn open(
    master: HostPort,
    secret: Option<Secret>,
    outgoing: mpsc::Receiver<ApplicationMessage>,
) -> Result<Streaming<MasterToApplication>, Ending> {
    let endpoint = grpc_endpoint(&master.http_url()).map_err(|error| Ending::Refused(chain(&error)))?;
    let channel = endpoint.connect().await.map_err(|error| Ending::Away(chain(&error)))?;
    let mut client = MasterServiceClient::with_interceptor(channel, ClientAuth::new(secret.as_ref()));
    match timeout(OPEN_DEADLINE, client.application(ReceiverStream::new(outgoing))).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(ending_of(&status)),
        Err(_) => Err(Ending::Away("it did not answer".to_owned())),
    }
}

fn ending_of(status: &Status) -> Ending {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => Ending::Denied(status.message().to_owned()),
        _ if Kind::of_status(status) == Kind::Invalid => Ending::Refused(status.message().to_owned()),
        _ => Ending::Away(status.message().to_owned()),
    }
}

fn message(message: Message) -> ApplicationMessage {
    ApplicationMessage { message: Some(message) }
}
