//! Where received frames go: the attempt that runs now, by query.
//!
//! A frame of an older attempt is dropped; one of a newer waits, and with it its stream, until that attempt's
//! `RunBatch` has come. That a run of the query ends here says nothing of the next one, whose frames may have come
//! already: only those that wait for the ended run's attempts are let go.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pyrite_common::checkpoint::AttemptId;
use tokio::sync::watch;

use crate::executor::attempt::Attempt;

/// The inboxes of all queries; clones share them.
#[derive(Clone, Default)]
pub struct Inboxes {
    queries: Arc<Mutex<Queries>>,
}

#[derive(Default)]
struct Queries {
    inboxes: HashMap<String, watch::Sender<Inbox>>,
    is_closed: bool,
}

#[derive(Default)]
struct Inbox {
    current: Option<Arc<Attempt>>,
    /// Attempts up to this one were of runs that have ended.
    closed_through: Option<AttemptId>,
}

impl Inboxes {
    /// From now on `attempt` is the query's; those that wait for it go on.
    pub fn set(&self, attempt: Arc<Attempt>) {
        let query = attempt.batch.query_id.clone();
        self.queries.lock().inbox(&query).send_modify(|inbox| inbox.current = Some(attempt));
    }

    /// A run of the query has ended, whose attempts were `through` and older: streams that wait for those go on.
    pub fn remove(&self, query: &str, through: Option<AttemptId>) {
        self.queries.lock().inbox(query).send_modify(|inbox| {
            inbox.current = None;
            inbox.closed_through = inbox.closed_through.max(through);
        });
    }

    /// The executor ends: nobody waits any more.
    pub fn close(&self) {
        *self.queries.lock() = Queries { inboxes: HashMap::new(), is_closed: true };
    }

    /// Waits until `attempt` is the query's current one. `None`: a newer one is, or its run is over.
    pub async fn wait(&self, query: &str, attempt: AttemptId) -> Option<Arc<Attempt>> {
        let mut receiver = {
            let mut queries = self.queries.lock();
            if queries.is_closed {
                return None;
            }
            queries.inbox(query).subscribe()
        };
        let inbox = receiver.wait_for(|inbox| inbox.has_reached(attempt)).await.ok()?;
        inbox.current.clone().filter(|current| current.batch.attempt == attempt)
    }
}

impl Queries {
    fn inbox(&mut self, query: &str) -> &watch::Sender<Inbox> {
        self.inboxes.entry(query.to_owned()).or_default()
    }
}

impl Inbox {
    fn has_reached(&self, attempt: AttemptId) -> bool {
        let current = self.current.as_ref().map(|current| current.batch.attempt);
        current.max(self.closed_through) >= Some(attempt)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt;

    use super::*;
    use crate::executor::testing::{World, attempt_id};

    #[tokio::test(flavor = "multi_thread")]
    async fn the_end_of_a_run_lets_go_of_its_own_attempts_only() {
        let (world, inboxes) = (World::new(), Inboxes::default());
        inboxes.set(world.attempt(5));
        let (mut late, mut next) = (pin!(inboxes.wait("q", attempt_id(6))), pin!(inboxes.wait("q", attempt_id(7))));
        assert!(late.as_mut().now_or_never().is_none() && next.as_mut().now_or_never().is_none());
        inboxes.remove("q", Some(attempt_id(6)));
        assert!(late.await.is_none(), "of the ended run");
        assert!(inboxes.wait("q", attempt_id(5)).await.is_none(), "so for those that come later");
        assert!(next.as_mut().now_or_never().is_none(), "the next run's frames go on waiting");
        inboxes.set(world.attempt(7));
        assert!(next.await.is_some_and(|found| found.batch.attempt == attempt_id(7)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_waits_beyond_the_end_of_the_executor() {
        let inboxes = Inboxes::default();
        let mut waiting = pin!(inboxes.wait("q", attempt_id(1)));
        assert!(waiting.as_mut().now_or_never().is_none());
        inboxes.close();
        assert!(waiting.await.is_none() && inboxes.wait("q", attempt_id(2)).await.is_none());
    }
}
