//! The executions of one session by id, also those that are over, so that a request that comes twice runs once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyrite_engine::error::SparkError;
use uuid::Uuid;

use super::{Operation, Reattachable, SessionIds};
use crate::error::{NOT_A_UUID, handle_error};

/// An execution that no stream has asked for that long is given up, as Spark.
pub const ABANDONED_AFTER: Duration = Duration::from_secs(300);

/// Ids of released executions that are remembered per session.
const RELEASED_MAX: usize = 1000;

/// Executions that may be open in one session: each waiting thread of a program holds one.
const OPERATIONS_MAX: usize = 10_000;

/// What an ExecutePlan request leads to.
pub enum Begin {
    /// A new execution, to be run.
    New(Arc<Operation>),
    /// The same request came before: its execution, to be attached to again.
    Known(Arc<Operation>),
}

/// The executions of one session.
pub struct Operations {
    session: SessionIds,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    open: BTreeMap<String, Entry>,
    released: VecDeque<String>,
}

struct Entry {
    operation: Arc<Operation>,
    /// The encoded plan's hash: the same id with another plan is a mistake.
    plan_hash: u64,
}

impl Operations {
    /// None yet, in the session of these ids.
    pub fn new(session_id: &str, server_side_id: Uuid) -> Operations {
        let session = SessionIds { session_id: session_id.to_owned(), server_side_id: server_side_id.to_string() };
        Operations { session, inner: Mutex::default() }
    }

    /// Starts an execution, or finds the one that the same request started before.
    ///
    /// # Errors
    /// As Spark: an id that is no UUID, one taken by another plan, or one whose execution was released already.
    pub fn begin(
        &self,
        id: Option<String>,
        plan_hash: u64,
        tags: Vec<String>,
        reattachable: Reattachable,
    ) -> Result<Begin, SparkError> {
        let id = id.unwrap_or_else(|| Uuid::new_v4().to_string());
        if Uuid::parse_str(&id).is_err() {
            return Err(handle_error("FORMAT", &id, NOT_A_UUID));
        }
        let mut inner = self.inner.lock();
        if let Some(entry) = inner.open.get(&id) {
            if entry.plan_hash == plan_hash && reattachable == Reattachable::Yes {
                return Ok(Begin::Known(entry.operation.clone()));
            }
            return Err(handle_error("OPERATION_ALREADY_EXISTS", &id, "the operation already exists"));
        }
        if inner.released.contains(&id) {
            return Err(handle_error(
                "OPERATION_ABANDONED",
                &id,
                "the operation was considered abandoned and was removed",
            ));
        }
        if inner.open.len() >= OPERATIONS_MAX {
            return Err(crate::error::internal(format!(
                "more than {OPERATIONS_MAX} executions are open in this session"
            )));
        }
        let operation = Arc::new(Operation::new(self.session.clone(), id.clone(), tags, reattachable));
        inner.open.insert(id, Entry { operation: operation.clone(), plan_hash });
        Ok(Begin::New(operation))
    }

    /// The execution of this id, for ReattachExecute.
    ///
    /// # Errors
    /// `INVALID_HANDLE.OPERATION_NOT_FOUND`, at which the client sends ExecutePlan again, or `..._ABANDONED`.
    pub fn find(&self, id: &str) -> Result<Arc<Operation>, SparkError> {
        let inner = self.inner.lock();
        if let Some(entry) = inner.open.get(id) {
            return Ok(entry.operation.clone());
        }
        if inner.released.iter().any(|released| released == id) {
            return Err(handle_error(
                "OPERATION_ABANDONED",
                id,
                "the operation was considered abandoned and was removed",
            ));
        }
        Err(handle_error("OPERATION_NOT_FOUND", id, "the operation was not found"))
    }

    /// The execution of this id if it is open.
    pub fn get(&self, id: &str) -> Option<Arc<Operation>> {
        self.inner.lock().open.get(id).map(|entry| entry.operation.clone())
    }

    /// Takes an execution out and stops it if it still runs.
    pub fn release(&self, id: &str) -> bool {
        let mut inner = self.inner.lock();
        let Some(entry) = inner.open.remove(id) else { return false };
        if inner.released.len() >= RELEASED_MAX {
            inner.released.pop_front();
        }
        inner.released.push_back(id.to_owned());
        drop(inner);
        entry.operation.cancel.cancel();
        true
    }

    /// Stops the executions that match and says which they were; their streams end with `OPERATION_CANCELED`.
    pub fn interrupt(&self, matches: impl Fn(&Operation) -> bool) -> Vec<String> {
        let inner = self.inner.lock();
        let found = inner.open.values().map(|entry| &entry.operation);
        found
            .filter(|operation| operation.outcome().is_none() && matches(operation))
            .map(|operation| {
                operation.cancel.cancel();
                operation.id.clone()
            })
            .collect()
    }

    /// All open executions.
    pub fn list(&self) -> Vec<Arc<Operation>> {
        self.inner.lock().open.values().map(|entry| entry.operation.clone()).collect()
    }

    /// Gives up what nobody has been attached to for long.
    pub fn sweep(&self, now: Instant) {
        for operation in self.list() {
            if operation.detached_since().is_some_and(|since| now.duration_since(since) > ABANDONED_AFTER) {
                tracing::debug!(operation = %operation.id, "execution abandoned by its client");
                self.release(&operation.id);
            }
        }
    }

    /// Stops and takes out everything: the session ends.
    pub fn clear(&self) {
        for operation in self.list() {
            self.release(&operation.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00112233-4455-6677-8899-aabbccddeeff";

    fn none() -> Operations {
        Operations::new("s", Uuid::nil())
    }

    fn begin(operations: &Operations, plan: u64) -> Result<Begin, SparkError> {
        operations.begin(Some(ID.to_owned()), plan, vec!["tag".to_owned()], Reattachable::Yes)
    }

    #[test]
    fn the_same_request_runs_once() {
        let operations = none();
        assert!(matches!(begin(&operations, 1), Ok(Begin::New(_))));
        assert!(matches!(begin(&operations, 1), Ok(Begin::Known(_))));
        assert_eq!(begin(&operations, 2).err().unwrap().class, "INVALID_HANDLE.OPERATION_ALREADY_EXISTS");
        assert!(operations.release(ID));
        assert_eq!(begin(&operations, 1).err().unwrap().class, "INVALID_HANDLE.OPERATION_ABANDONED");
    }

    #[test]
    fn an_unknown_operation_is_not_found() {
        let error = none().find(ID).err().unwrap();
        assert_eq!(error.class, "INVALID_HANDLE.OPERATION_NOT_FOUND");
        assert!(error.to_string().contains("INVALID_HANDLE.OPERATION_NOT_FOUND"));
    }

    #[test]
    fn interrupt_finds_by_tag_and_sweep_by_age() {
        let operations = none();
        begin(&operations, 1).unwrap();
        assert!(operations.interrupt(|operation| operation.tags.contains(&"other".to_owned())).is_empty());
        assert_eq!(operations.interrupt(|operation| operation.tags.contains(&"tag".to_owned())), vec![ID]);
        operations.sweep(Instant::now());
        assert!(operations.get(ID).is_some());
        operations.sweep(Instant::now() + ABANDONED_AFTER + Duration::from_secs(1));
        assert!(operations.get(ID).is_none());
    }
}
