//! What the master knows: workers, applications and their executors, with the states that Spark's users know.

use std::collections::BTreeMap;
use std::time::Duration;

use pyrite_common::ids::{ApplicationId, ExecutorId, WorkerId};
use pyrite_common::security::Secret;

use crate::allocator::Demand;

/// The time of an event: both clocks are read by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Since the master started; never goes back.
    pub since_start: Duration,
    /// Milliseconds since 1970, for people.
    pub wall_ms: i64,
}

/// One stream from a worker or a driver: a new number for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionId(pub u64);

/// As Spark: WORKER_STATE of its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerState {
    Alive,
    /// Kept for a while so that it can be seen, then forgotten.
    Dead,
}

#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub id: WorkerId,
    /// None once dead.
    pub connection: Option<ConnectionId>,
    pub host: String,
    pub port: u16,
    pub cores: u32,
    pub memory_bytes: u64,
    pub webui_url: String,
    pub state: WorkerState,
    pub last_heartbeat: Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ApplicationState {
    /// Registered, and holds no executor.
    Waiting,
    Running,
    /// Its driver said so, or went away and did not come back.
    Finished,
    Failed,
}

impl ApplicationState {
    /// Ended applications never change their state again.
    pub fn is_ended(self) -> bool {
        match self {
            ApplicationState::Waiting | ApplicationState::Running => false,
            ApplicationState::Finished | ApplicationState::Failed => true,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            ApplicationState::Waiting => "WAITING",
            ApplicationState::Running => "RUNNING",
            ApplicationState::Finished => "FINISHED",
            ApplicationState::Failed => "FAILED",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExecutorState {
    Launching,
    Running,
    Killed,
    Failed,
    Lost,
    Exited,
}

impl ExecutorState {
    pub fn is_ended(self) -> bool {
        match self {
            ExecutorState::Launching | ExecutorState::Running => false,
            ExecutorState::Killed | ExecutorState::Failed | ExecutorState::Lost | ExecutorState::Exited => true,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            ExecutorState::Launching => "LAUNCHING",
            ExecutorState::Running => "RUNNING",
            ExecutorState::Killed => "KILLED",
            ExecutorState::Failed => "FAILED",
            ExecutorState::Lost => "LOST",
            ExecutorState::Exited => "EXITED",
        }
    }
}

/// An executor that holds slots of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Executor {
    pub worker: WorkerId,
    pub cores: u32,
    pub memory_bytes: u64,
    pub state: ExecutorState,
    pub started: Now,
    /// It was told to end, and holds its slots until its worker says that it has.
    pub ending: bool,
}

/// What a driver says of its application when it registers.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    /// Set when it comes back.
    pub id: Option<ApplicationId>,
    pub executors_seen: u64,
    pub name: String,
    pub user: String,
    pub executors: Option<u32>,
    pub executor_cores: Option<u32>,
    pub executor_memory_bytes: u64,
    pub cores_max: Option<u32>,
    pub driver_url: String,
    pub token: Secret,
    pub ui_url: String,
    pub settings: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Application {
    pub id: ApplicationId,
    /// None until its driver has registered with this master: a worker spoke of its executors first.
    pub registration: Option<Registration>,
    pub demand: Demand,
    pub state: ApplicationState,
    pub connection: Option<ConnectionId>,
    /// When its driver's stream broke.
    pub disconnected: Option<Now>,
    pub executors: BTreeMap<ExecutorId, Executor>,
    pub next_executor: u64,
    /// Executors in a row that ended before they ran.
    pub failures: u32,
    /// No grants before this: workers of a restarted master may still bring its executors.
    pub allocate_after: Duration,
    pub started: Now,
    pub ended: Option<Now>,
    pub waiting: Option<String>,
}

impl Application {
    /// Executors that serve the demand.
    pub fn serving(&self) -> impl Iterator<Item = (&ExecutorId, &Executor)> {
        self.executors.iter().filter(|(_, executor)| !executor.ending)
    }

    pub fn name(&self) -> &str {
        self.registration.as_ref().map_or("", |registration| registration.name.as_str())
    }
}

/// An executor that a worker still has when it registers again.
#[derive(Clone, Debug)]
pub(crate) struct StillRunning {
    pub application: ApplicationId,
    pub executor: ExecutorId,
    pub cores: u32,
    pub memory_bytes: u64,
}

/// What a worker says of itself when it registers.
#[derive(Clone, Debug)]
pub(crate) struct WorkerInfo {
    pub id: WorkerId,
    pub host: String,
    pub port: u16,
    pub cores: u32,
    pub memory_bytes: u64,
    pub webui_url: String,
    pub running: Vec<StillRunning>,
}

/// What a worker says of one executor.
#[derive(Clone, Debug)]
pub(crate) struct ExecutorChange {
    pub application: ApplicationId,
    pub executor: ExecutorId,
    pub state: ExecutorState,
    /// Why, when it ended.
    pub message: String,
    pub exit_code: Option<i32>,
}

/// What happens to the master.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    WorkerRegisters {
        connection: ConnectionId,
        info: WorkerInfo,
    },
    WorkerBeats {
        connection: ConnectionId,
    },
    ExecutorChanged {
        connection: ConnectionId,
        change: ExecutorChange,
    },
    ApplicationRegisters {
        connection: ConnectionId,
        registration: Registration,
    },
    ExecutorAttached {
        connection: ConnectionId,
        executor: ExecutorId,
    },
    ExecutorUnreachable {
        connection: ConnectionId,
        executor: ExecutorId,
        reason: String,
    },
    ApplicationRenamed {
        connection: ConnectionId,
        name: String,
    },
    ApplicationFinishes {
        connection: ConnectionId,
        failed: bool,
        message: String,
    },
    /// A stream of either side ended, however it did.
    Disconnects {
        connection: ConnectionId,
    },
    Tick,
}

/// What the master then does.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    ToWorker {
        connection: ConnectionId,
        message: WorkerOrder,
    },
    ToDriver {
        connection: ConnectionId,
        message: DriverNotice,
    },
    /// After everything sent to it before.
    Close {
        connection: ConnectionId,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum WorkerOrder {
    Registered,
    Rejected {
        reason: String,
    },
    Launch {
        application: ApplicationId,
        application_name: String,
        executor: ExecutorId,
        cores: u32,
        memory_bytes: u64,
        driver_url: String,
        token: Secret,
        settings: BTreeMap<String, String>,
    },
    Kill {
        application: ApplicationId,
        executor: ExecutorId,
        reason: String,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum DriverNotice {
    Registered {
        application: ApplicationId,
    },
    Rejected {
        reason: String,
    },
    Granted {
        executor: ExecutorId,
        worker: WorkerId,
        host: String,
        cores: u32,
        memory_bytes: u64,
    },
    Removed {
        executor: ExecutorId,
        state: ExecutorState,
        reason: String,
        exit_code: Option<i32>,
    },
    /// Empty: nothing is missing any more.
    Waiting {
        reason: String,
    },
    Killed {
        reason: String,
    },
}
