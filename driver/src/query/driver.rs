//! The driver as front ends use it: starts queries, knows them, holds the tables of memory sinks.

use std::sync::Arc;

use futures::future::join_all;
use pyrite_common::checkpoint::names;
use pyrite_common::lifecycle;
use pyrite_engine::error::{ExceptionKind, SparkError};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::clock::Clock;
use super::prepare::prepare;
use super::run::{Runner, Start};
use super::{Queries, Query, QueryStart};
use crate::checkpoint::Location;
use crate::executors::Executors;
use crate::sink::MemoryCatalog;

/// Who this driver is, for the checkpoints it claims.
#[derive(Debug, Clone)]
pub struct DriverConfig {
    pub host: String,
    pub app_name: String,
}

/// A handle on the driver; clones share it.
#[derive(Clone)]
pub struct Driver {
    shared: Arc<Shared>,
}

struct Shared {
    config: DriverConfig,
    /// The application's name, which the program may change.
    app_name: watch::Sender<String>,
    executors: Executors,
    queries: Queries,
    catalog: MemoryCatalog,
    clock: Clock,
}

impl Driver {
    /// A driver without queries, whose batches run on `executors`.
    pub fn new(config: DriverConfig, executors: Executors) -> Driver {
        let shared = Shared {
            app_name: watch::Sender::new(config.app_name.clone()),
            config,
            executors,
            queries: Queries::default(),
            catalog: MemoryCatalog::default(),
            clock: Clock::start(),
        };
        Driver { shared: Arc::new(shared) }
    }

    /// Starts a query. Returns when its checkpoint has given it its id; reading begins behind that.
    ///
    /// # Errors
    /// What the query, its options, or its checkpoint cannot be.
    pub async fn start_query(&self, start: QueryStart) -> Result<Query, SparkError> {
        let shared = &self.shared;
        let run_id = Uuid::new_v4();
        let name = shared.queries.claim_name(start.name.as_deref()).ok_or_else(|| name_is_taken(&start))?;
        let prepared = prepare(&start, &run_id, &shared.catalog)?;
        let location = Location::open(prepared.checkpoint.as_deref()).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            illegal(format!("{error}{cause}"))
        })?;
        if location.is_temporary() {
            tracing::warn!(
                "query has no `checkpointLocation`: it uses the temporary `{}`, which is deleted when the query stops",
                location.path
            );
        }
        if prepared.refuses_recovery && holds_batches(&location).await {
            return Err(SparkError::analysis(
                "_LEGACY_ERROR_TEMP_3260",
                "",
                format!(
                    "This query does not support recovering from checkpoint location. Delete {}/offsets to start over.",
                    location.path
                ),
            ));
        }
        let (sender, started) = oneshot::channel();
        let start = Start {
            start,
            run_id,
            prepared,
            location,
            driver: Uuid::new_v4().to_string(),
            host: shared.config.host.clone(),
            app: shared.app_name.borrow().clone(),
            executors: shared.executors.clone(),
            queries: shared.queries.clone(),
            clock: shared.clock.clone(),
            started: sender,
        };
        lifecycle::spawn("query", Runner::run(start));
        let query = started.await.unwrap_or_else(|_| Err(illegal("the query ended before it started")));
        drop(name);
        query
    }

    /// The program names its application: `spark.app.name`.
    pub fn rename(&self, app_name: &str) {
        self.shared.app_name.send_if_modified(|current| {
            let is_news = current != app_name;
            if is_news {
                app_name.clone_into(current);
            }
            is_news
        });
    }

    /// The application's name, and each that the program gives it later.
    pub fn app_name(&self) -> watch::Receiver<String> {
        self.shared.app_name.subscribe()
    }

    /// All queries of this driver.
    pub fn queries(&self) -> &Queries {
        &self.shared.queries
    }

    /// The tables of memory sinks.
    pub fn catalog(&self) -> &MemoryCatalog {
        &self.shared.catalog
    }

    /// The registry of executors.
    pub fn executors(&self) -> &Executors {
        &self.shared.executors
    }

    /// Stops all queries, each after the batch that is already coming out.
    pub async fn stop(&self) {
        let queries = self.shared.queries.active();
        join_all(queries.iter().map(Query::stop)).await;
    }
}

/// Whether a query ran with this checkpoint before.
async fn holds_batches(location: &Location) -> bool {
    location.store.list(names::OFFSETS).await.is_ok_and(|listed| !listed.is_empty())
}

fn name_is_taken(start: &QueryStart) -> SparkError {
    let name = start.name.clone().unwrap_or_default();
    illegal(format!(
        "Cannot start query with name {name} as a query with that name is already active in this SparkSession"
    ))
}

fn illegal(message: impl Into<String>) -> SparkError {
    SparkError::new(ExceptionKind::IllegalArgument, "", "", message)
}
