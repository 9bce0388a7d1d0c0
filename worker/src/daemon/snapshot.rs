//! What the worker shows, with the keys of Spark's worker. Memory in MiB.

use pyrite_common::ids::WorkerId;
use pyrite_common::memory::mebibytes;
use pyrite_proto::master::ExecutorState;
use serde::Serialize;
use serde_json::{Value, json};

use super::ledger::{Entry, Key, Ledger};

/// The worker at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    pub id: String,
    /// Empty while it is not registered.
    pub masterurl: String,
    pub masterwebuiurl: String,
    pub cores: u32,
    pub coresused: u32,
    pub memory: u64,
    pub memoryused: u64,
    pub resources: Value,
    pub resourcesused: Value,
    pub executors: Vec<ExecutorView>,
    pub finishedexecutors: Vec<ExecutorView>,
}

/// One executor.
#[derive(Clone, Debug, Serialize)]
pub struct ExecutorView {
    pub id: String,
    pub memory: u64,
    pub resources: Value,
    pub appid: String,
    pub appdesc: Value,
    /// Not in Spark: Spark's names of states.
    pub state: &'static str,
    /// Not in Spark: why it ended.
    pub message: String,
    /// Not in Spark.
    pub cores: u32,
}

/// Where this worker is registered; empty while it is not.
#[derive(Clone, Debug, Default)]
pub(crate) struct MasterFacts {
    pub url: String,
    pub webui_url: String,
}

impl Snapshot {
    /// The worker as its books say.
    pub(crate) fn take(
        id: &WorkerId,
        cores: u32,
        memory_bytes: u64,
        master: &MasterFacts,
        ledger: &Ledger,
    ) -> Snapshot {
        Snapshot {
            id: id.to_string(),
            masterurl: master.url.clone(),
            masterwebuiurl: master.webui_url.clone(),
            cores,
            coresused: ledger.running().map(|(_, entry)| entry.cores).sum(),
            memory: mebibytes(memory_bytes),
            memoryused: mebibytes(ledger.running().map(|(_, entry)| entry.memory_bytes).sum()),
            resources: json!({}),
            resourcesused: json!({}),
            executors: ledger.running().map(|(key, entry)| view(key, entry)).collect(),
            finishedexecutors: ledger.ended().map(|(key, entry)| view(key, entry)).collect(),
        }
    }

    /// The JSON of all.
    pub fn json(&self) -> Value {
        serde_json::to_value(self).expect("a snapshot has only text keys")
    }
}

fn view(key: &Key, entry: &Entry) -> ExecutorView {
    let memory = mebibytes(entry.memory_bytes);
    ExecutorView {
        id: key.executor.to_string(),
        memory,
        resources: json!({}),
        appid: key.application.to_string(),
        appdesc: json!({ "name": entry.application_name, "memoryperexecutor": memory, "memoryperslave": memory }),
        state: state_name(entry.state),
        message: entry.message.clone(),
        cores: entry.cores,
    }
}

/// Spark's name of a state: that of the wire's enum without its prefix.
pub(crate) fn state_name(state: ExecutorState) -> &'static str {
    state.as_str_name().trim_start_matches("EXECUTOR_STATE_")
}
