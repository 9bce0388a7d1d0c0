//! What the master shows: one object from which the JSON, the page and the tests read, with the keys of Spark's master.

use chrono::{Local, TimeZone};
use pyrite_common::memory::mebibytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::{Application, Now, Worker, WorkerState};
use crate::state::State;

/// The state of the cluster at one moment. Memory in MiB, times in milliseconds since 1970.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// `spark://host:port`.
    pub url: String,
    /// Dead ones are among them for a while.
    pub workers: Vec<WorkerView>,
    pub aliveworkers: usize,
    pub cores: u32,
    pub coresused: u32,
    pub memory: u64,
    pub memoryused: u64,
    pub resources: Vec<Value>,
    pub activeapps: Vec<ApplicationView>,
    pub completedapps: Vec<ApplicationView>,
    pub activedrivers: Vec<Value>,
    pub completeddrivers: Vec<Value>,
    /// `ALIVE`.
    pub status: &'static str,
}

/// One worker.
#[derive(Clone, Debug, Serialize)]
pub struct WorkerView {
    pub id: String,
    pub host: String,
    pub port: u16,
    pub webuiaddress: String,
    pub cores: u32,
    pub coresused: u32,
    pub coresfree: u32,
    pub memory: u64,
    pub memoryused: u64,
    pub memoryfree: u64,
    pub resources: Value,
    pub resourcesused: Value,
    pub resourcesfree: Value,
    /// `ALIVE` or `DEAD`.
    pub state: &'static str,
    pub lastheartbeat: i64,
}

/// One application.
#[derive(Clone, Debug, Serialize)]
pub struct ApplicationView {
    pub id: String,
    pub starttime: i64,
    pub name: String,
    /// Cores of its executors now.
    pub cores: u32,
    pub user: String,
    pub memoryperexecutor: u64,
    pub memoryperslave: u64,
    pub resourcesperexecutor: Vec<Value>,
    pub resourcesperslave: Vec<Value>,
    /// As Java prints dates: `Sun Nov 22 10:58:00 UTC 2026`.
    pub submitdate: String,
    /// Spark's names: `WAITING`, `RUNNING`, `FINISHED`, `FAILED`.
    pub state: &'static str,
    pub duration: i64,
    /// Not in Spark: its executors.
    pub executors: Vec<ExecutorView>,
    /// Not in Spark: what it still waits for and why; empty when nothing is missing.
    pub waiting: String,
    /// Not in Spark: the application's own page; empty when it has none.
    pub uiurl: String,
}

/// One executor.
#[derive(Clone, Debug, Serialize)]
pub struct ExecutorView {
    pub id: String,
    pub worker: String,
    pub cores: u32,
    pub memory: u64,
    pub state: &'static str,
}

impl Snapshot {
    /// The state as it is at `now`.
    pub(crate) fn take(state: &State, url: &str, now: Now) -> Snapshot {
        let workers: Vec<WorkerView> = state.workers().map(|worker| worker_view(state, worker)).collect();
        let alive = || workers.iter().filter(|worker| worker.state == "ALIVE");
        let mut applications: Vec<&Application> = state.applications().collect();
        applications.sort_by_key(|application| application.started.since_start);
        let views = |ended: bool| {
            applications
                .iter()
                .filter(|application| application.state.is_ended() == ended)
                .map(|application| application_view(application, now))
                .collect()
        };
        Snapshot {
            url: url.to_owned(),
            aliveworkers: alive().count(),
            cores: alive().map(|worker| worker.cores).sum(),
            coresused: alive().map(|worker| worker.coresused).sum(),
            memory: alive().map(|worker| worker.memory).sum(),
            memoryused: alive().map(|worker| worker.memoryused).sum(),
            resources: Vec::new(),
            activeapps: views(false),
            completedapps: views(true),
            activedrivers: Vec::new(),
            completeddrivers: Vec::new(),
            status: "ALIVE",
            workers,
        }
    }

    /// The JSON of the whole, or of one field; `clusterutilization` is a summary. None: no such field.
    pub fn json(&self, field: Option<&str>) -> Option<Value> {
        let whole = serde_json::to_value(self).expect("a snapshot has only text keys");
        match field {
            None => Some(whole),
            Some("clusterutilization") => Some(json!({
                "waitingDrivers": 0,
                "cores": self.cores,
                "coresused": self.coresused,
                "coresutilization": percent(u64::from(self.coresused), u64::from(self.cores)),
                "memory": self.memory,
                "memoryused": self.memoryused,
                "memoryutilization": percent(self.memoryused, self.memory),
            })),
            Some(field) => whole.get(field).map(|value| json!({ field: value })),
        }
    }
}

fn worker_view(state: &State, worker: &Worker) -> WorkerView {
    let on_it = || {
        state
            .applications()
            .flat_map(|application| application.executors.values())
            .filter(|executor| executor.worker == worker.id)
    };
    let coresused: u32 = on_it().map(|executor| executor.cores).sum();
    let memoryused: u64 = on_it().map(|executor| executor.memory_bytes).sum();
    WorkerView {
        id: worker.id.to_string(),
        host: worker.host.clone(),
        port: worker.port,
        webuiaddress: worker.webui_url.clone(),
        cores: worker.cores,
        coresused,
        coresfree: worker.cores.saturating_sub(coresused),
        memory: mebibytes(worker.memory_bytes),
        memoryused: mebibytes(memoryused),
        memoryfree: mebibytes(worker.memory_bytes.saturating_sub(memoryused)),
        resources: json!({}),
        resourcesused: json!({}),
        resourcesfree: json!({}),
        state: match worker.state {
            WorkerState::Alive => "ALIVE",
            WorkerState::Dead => "DEAD",
        },
        lastheartbeat: worker.last_heartbeat.wall_ms,
    }
}

fn application_view(application: &Application, now: Now) -> ApplicationView {
    let registration = application.registration.as_ref();
    let memory = mebibytes(application.demand.executor_memory_bytes);
    let end = application.ended.unwrap_or(now);
    let executors: Vec<ExecutorView> = application
        .executors
        .iter()
        .map(|(id, executor)| ExecutorView {
            id: id.to_string(),
            worker: executor.worker.to_string(),
            cores: executor.cores,
            memory: mebibytes(executor.memory_bytes),
            state: if executor.ending { "KILLED" } else { executor.state.name() },
        })
        .collect();
    ApplicationView {
        id: application.id.to_string(),
        starttime: application.started.wall_ms,
        name: application.name().to_owned(),
        cores: application.serving().map(|(_, executor)| executor.cores).sum(),
        user: registration.map_or_else(String::new, |registration| registration.user.clone()),
        memoryperexecutor: memory,
        memoryperslave: memory,
        resourcesperexecutor: Vec::new(),
        resourcesperslave: Vec::new(),
        submitdate: java_date(application.started.wall_ms),
        state: application.state.name(),
        duration: i64::try_from((end.since_start.saturating_sub(application.started.since_start)).as_millis())
            .unwrap_or(i64::MAX),
        executors,
        waiting: application.waiting.clone().unwrap_or_default(),
        uiurl: registration.map_or_else(String::new, |registration| registration.ui_url.clone()),
    }
}

/// `java.util.Date.toString`, with the offset where Java has the zone's short name.
fn java_date(wall_ms: i64) -> String {
    match Local.timestamp_millis_opt(wall_ms).single() {
        Some(time) if time.offset().local_minus_utc() == 0 => time.format("%a %b %d %H:%M:%S UTC %Y").to_string(),
        Some(time) => time.format("%a %b %d %H:%M:%S %Z %Y").to_string(),
        None => String::new(),
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    (part * 100).checked_div(whole).unwrap_or(0)
}
