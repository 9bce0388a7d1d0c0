//! Where received frames go: the attempt that runs now, by query.
//!
//! A frame of an older attempt is dropped; one of a newer waits, and with it its stream, until that attempt's
//! `RunBatch` has come.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pyrite_common::checkpoint::AttemptId;
use tokio::sync::watch;

use crate::executor::attempt::Attempt;

type Current = Option<Arc<Attempt>>;

/// The inboxes of all queries; clones share them.
#[derive(Clone, Default)]
pub struct Inboxes {
    queries: Arc<Mutex<HashMap<String, watch::Sender<Current>>>>,
}

impl Inboxes {
    /// From now on `attempt` is the query's; those that wait for it go on.
    pub fn set(&self, attempt: Arc<Attempt>) {
        let query = attempt.batch.query_id.clone();
        self.queries.lock().entry(query).or_default().send_replace(Some(attempt));
    }

    /// Forgets a query; streams that wait for it end.
    pub fn remove(&self, query: &str) {
        self.queries.lock().remove(query);
    }

    /// Waits until `attempt` is the query's current one. `None`: a newer one is, or the query is gone.
    pub async fn wait(&self, query: &str, attempt: AttemptId) -> Option<Arc<Attempt>> {
        let mut receiver = self.queries.lock().entry(query.to_owned()).or_default().subscribe();
        let reached = |current: &Current| current.as_ref().is_some_and(|current| current.batch.attempt >= attempt);
        let current = receiver.wait_for(reached).await.ok()?.clone()?;
        (current.batch.attempt == attempt).then_some(current)
    }
}
