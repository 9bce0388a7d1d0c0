//! The messages of `master.proto` into the master's own types and back. What a stranger may send is checked here.

use pyrite_common::ids::{ApplicationId, ExecutorId};
use pyrite_common::security::Secret;
use pyrite_proto::master as proto;
use pyrite_proto::master::application_message::Message as FromDriver;
use pyrite_proto::master::worker_message::Message as FromWorker;
use pyrite_proto::master::{master_to_application, master_to_worker};

use crate::model::{
    ConnectionId, DriverNotice, Event, ExecutorChange, ExecutorState, Registration, StillRunning, WorkerInfo,
    WorkerOrder,
};

/// What a worker must know of its master, the same for all.
#[derive(Clone, Debug)]
pub(crate) struct MasterFacts {
    pub url: String,
    pub webui_url: String,
    pub heartbeat_interval_ms: u64,
}

/// The event that a worker's message tells; none for what says nothing. The error is for the sender.
pub(crate) fn worker_event(connection: ConnectionId, message: FromWorker) -> Result<Option<Event>, String> {
    match message {
        FromWorker::Register(register) => {
            let info = worker_info(register)?;
            Ok(Some(Event::WorkerRegisters { connection, info }))
        }
        FromWorker::Heartbeat(_) => Ok(Some(Event::WorkerBeats { connection })),
        FromWorker::ExecutorState(changed) => {
            let Some(state) = executor_state(changed.state()) else { return Ok(None) };
            let change = ExecutorChange {
                application: changed.application_id.into(),
                executor: changed.executor_id.into(),
                state,
                message: changed.message,
                exit_code: changed.exit_code,
            };
            Ok(Some(Event::ExecutorChanged { connection, change }))
        }
    }
}

/// The event that a driver's message tells; none for what says nothing. The error is for the sender.
pub(crate) fn driver_event(connection: ConnectionId, message: FromDriver) -> Result<Option<Event>, String> {
    match message {
        FromDriver::Register(register) => {
            let registration = registration(register)?;
            Ok(Some(Event::ApplicationRegisters { connection, registration }))
        }
        FromDriver::Heartbeat(_) => Ok(None),
        FromDriver::Unreachable(lost) => {
            Ok(Some(Event::ExecutorUnreachable { connection, executor: lost.executor_id.into(), reason: lost.reason }))
        }
        FromDriver::Attached(attached) => {
            Ok(Some(Event::ExecutorAttached { connection, executor: attached.executor_id.into() }))
        }
        FromDriver::Rename(rename) => Ok(Some(Event::ApplicationRenamed { connection, name: rename.name })),
        FromDriver::Finish(finish) => {
            Ok(Some(Event::ApplicationFinishes { connection, failed: finish.failed, message: finish.message }))
        }
    }
}

fn worker_info(register: proto::RegisterWorker) -> Result<WorkerInfo, String> {
    let port = u16::try_from(register.port).map_err(|_| format!("port {} is no port", register.port))?;
    let running = register
        .running
        .into_iter()
        .map(|one| StillRunning {
            application: ApplicationId::new(one.application_id),
            executor: ExecutorId::new(one.executor_id),
            cores: one.cores,
            memory_bytes: one.memory_bytes,
        })
        .collect();
    Ok(WorkerInfo {
        id: register.worker_id.into(),
        host: register.host,
        port,
        cores: register.cores,
        memory_bytes: register.memory_bytes,
        webui_url: register.webui_url,
        running,
    })
}

fn registration(register: proto::RegisterApplication) -> Result<Registration, String> {
    let demand = register.demand.unwrap_or_default();
    let said = |number: u32| (number > 0).then_some(number);
    let token = Secret::new(&register.application_token, "the application").map_err(|error| error.to_string())?;
    Ok(Registration {
        id: (!register.application_id.is_empty()).then(|| ApplicationId::new(register.application_id)),
        executors_seen: register.executors_seen,
        name: register.name,
        user: register.user,
        executors: said(demand.executors),
        executor_cores: said(demand.executor_cores),
        executor_memory_bytes: demand.executor_memory_bytes,
        cores_max: said(demand.cores_max),
        driver_url: register.driver_url,
        token,
        ui_url: register.ui_url,
        settings: register.settings.into_iter().collect(),
    })
}

fn executor_state(state: proto::ExecutorState) -> Option<ExecutorState> {
    match state {
        proto::ExecutorState::Unspecified => None,
        proto::ExecutorState::Launching => Some(ExecutorState::Launching),
        proto::ExecutorState::Running => Some(ExecutorState::Running),
        proto::ExecutorState::Killed => Some(ExecutorState::Killed),
        proto::ExecutorState::Failed => Some(ExecutorState::Failed),
        proto::ExecutorState::Lost => Some(ExecutorState::Lost),
        proto::ExecutorState::Exited => Some(ExecutorState::Exited),
    }
}

fn executor_state_out(state: ExecutorState) -> i32 {
    let state = match state {
        ExecutorState::Launching => proto::ExecutorState::Launching,
        ExecutorState::Running => proto::ExecutorState::Running,
        ExecutorState::Killed => proto::ExecutorState::Killed,
        ExecutorState::Failed => proto::ExecutorState::Failed,
        ExecutorState::Lost => proto::ExecutorState::Lost,
        ExecutorState::Exited => proto::ExecutorState::Exited,
    };
    state.into()
}

/// The message that an order becomes.
pub(crate) fn to_worker(order: WorkerOrder, facts: &MasterFacts) -> proto::MasterToWorker {
    use master_to_worker::Message;
    let message = match order {
        WorkerOrder::Registered => Message::Registered(proto::WorkerRegistered {
            master_url: facts.url.clone(),
            master_webui_url: facts.webui_url.clone(),
            heartbeat_interval_ms: facts.heartbeat_interval_ms,
        }),
        WorkerOrder::Rejected { reason } => Message::Rejected(proto::WorkerRejected { reason }),
        WorkerOrder::Launch {
            application,
            application_name,
            executor,
            cores,
            memory_bytes,
            driver_url,
            token,
            settings,
        } => Message::Launch(proto::LaunchExecutor {
            application_id: application.to_string(),
            application_name,
            executor_id: executor.to_string(),
            cores,
            memory_bytes,
            driver_url,
            application_token: token.expose().to_owned(),
            settings: settings.into_iter().collect(),
        }),
        WorkerOrder::Kill { application, executor, reason } => Message::Kill(proto::KillExecutor {
            application_id: application.to_string(),
            executor_id: executor.to_string(),
            reason,
        }),
    };
    proto::MasterToWorker { message: Some(message) }
}

/// The message that a notice becomes.
pub(crate) fn to_driver(notice: DriverNotice, facts: &MasterFacts) -> proto::MasterToApplication {
    use master_to_application::Message;
    let message = match notice {
        DriverNotice::Registered { application } => Message::Registered(proto::ApplicationRegistered {
            application_id: application.to_string(),
            master_webui_url: facts.webui_url.clone(),
        }),
        DriverNotice::Rejected { reason } => Message::Rejected(proto::ApplicationRejected { reason }),
        DriverNotice::Granted { executor, worker, host, cores, memory_bytes } => {
            Message::Granted(proto::ExecutorGranted {
                executor_id: executor.to_string(),
                worker_id: worker.to_string(),
                host,
                cores,
                memory_bytes,
            })
        }
        DriverNotice::Removed { executor, state, reason, exit_code } => Message::Removed(proto::ExecutorRemoved {
            executor_id: executor.to_string(),
            state: executor_state_out(state),
            reason,
            exit_code,
        }),
        DriverNotice::Waiting { reason } => Message::Waiting(proto::Waiting { reason }),
        DriverNotice::Killed { reason } => Message::Killed(proto::ApplicationKilled { reason }),
    };
    proto::MasterToApplication { message: Some(message) }
}
