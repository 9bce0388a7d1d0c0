//! All queries of a driver, as `spark.streams`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

use super::handle::{Query, QueryFailure};

/// A handle on the registry; clones share it.
#[derive(Clone)]
pub struct Queries {
    shared: Arc<Shared>,
}

struct Shared {
    tables: Mutex<Tables>,
    /// Counts ends, so that waits notice one.
    ends: watch::Sender<u64>,
}

#[derive(Default)]
struct Tables {
    active: BTreeMap<Uuid, Query>,
    /// Names of queries that are about to be active.
    starting: Vec<String>,
    /// The last end since the last reset, with its failure.
    last_end: Option<Option<QueryFailure>>,
}

impl Default for Queries {
    fn default() -> Queries {
        Queries { shared: Arc::new(Shared { tables: Mutex::new(Tables::default()), ends: watch::channel(0).0 }) }
    }
}

/// Holds a name until the query with it is active or its start has failed.
pub(super) struct NameGuard {
    queries: Queries,
    name: Option<String>,
}

impl Drop for NameGuard {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            self.queries.shared.tables.lock().starting.retain(|other| other != name);
        }
    }
}

impl Queries {
    /// The queries that run, oldest start first.
    pub fn active(&self) -> Vec<Query> {
        let mut active: Vec<Query> = self.shared.tables.lock().active.values().cloned().collect();
        active.sort_by_key(|query| (query.shared.started_us, query.run_id()));
        active
    }

    /// An active query by its id.
    pub fn get(&self, id: &str) -> Option<Query> {
        let id = Uuid::parse_str(id).ok()?;
        self.shared.tables.lock().active.get(&id).cloned()
    }

    /// Waits until any query has ended since the start or the last reset; whether one did within the time.
    ///
    /// # Errors
    /// What the query that ended failed with.
    pub async fn await_any_termination(&self, timeout: Option<Duration>) -> Result<bool, QueryFailure> {
        let mut ends = self.shared.ends.subscribe();
        let wait = async {
            loop {
                if let Some(end) = self.shared.tables.lock().last_end.clone() {
                    return end;
                }
                if ends.changed().await.is_err() {
                    return None;
                }
            }
        };
        let end = match timeout {
            None => wait.await,
            Some(timeout) => match tokio::time::timeout(timeout, wait).await {
                Ok(end) => end,
                Err(_) => return Ok(false),
            },
        };
        end.map_or(Ok(true), Err)
    }

    /// Forgets past ends, so that the next wait is for a new one.
    pub fn reset_terminated(&self) {
        self.shared.tables.lock().last_end = None;
    }

    /// Takes a name for a query that starts; `None` when an active one has it.
    pub(super) fn claim_name(&self, name: Option<&str>) -> Option<NameGuard> {
        if let Some(name) = name {
            let mut tables = self.shared.tables.lock();
            let is_taken = tables.active.values().any(|query| query.shared.name.as_deref() == Some(name));
            if is_taken || tables.starting.iter().any(|other| other == name) {
                return None;
            }
            tables.starting.push(name.to_string());
        }
        Some(NameGuard { queries: self.clone(), name: name.map(str::to_string) })
    }

    /// Makes the query active, unless a run of it is: then nothing changes, and this is that run.
    pub(super) fn enter(&self, query: &Query) -> Option<Query> {
        match self.shared.tables.lock().active.entry(query.id()) {
            Entry::Occupied(active) => Some(active.get().clone()),
            Entry::Vacant(place) => {
                place.insert(query.clone());
                None
            }
        }
    }

    /// The query no longer runs; its end is announced behind that.
    pub(super) fn remove(&self, query: &Query) {
        let mut tables = self.shared.tables.lock();
        if tables.active.get(&query.id()).is_some_and(|active| active.run_id() == query.run_id()) {
            tables.active.remove(&query.id());
        }
    }

    pub(super) fn announce_end(&self, query: &Query) {
        {
            let mut tables = self.shared.tables.lock();
            let failure = query.exception();
            // As Spark, a failure is not forgotten for a later good end.
            if failure.is_some() || tables.last_end.is_none() {
                tables.last_end = Some(failure);
            }
        }
        self.shared.ends.send_modify(|count| *count += 1);
    }
}
