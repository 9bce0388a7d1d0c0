//! Executors are launched, run, end, and are replaced.

use std::time::Duration;

use pyrite_common::ids::{ApplicationId, ExecutorId};

use super::{Peer, State};
use crate::allocator::Grant;
use crate::model::{
    Action, ApplicationState, ConnectionId, DriverNotice, Executor, ExecutorChange, ExecutorState, Now, WorkerOrder,
};

/// An executor that ended later than this had run, whatever it ended of.
const PROVEN_AFTER: Duration = Duration::from_secs(30);

impl State {
    pub(super) fn launch(&mut self, now: Now, grant: Grant) {
        let application = self.applications.get_mut(&grant.application).expect("grants are for known applications");
        let registration = application.registration.clone().expect("only registered applications have demands");
        let executor = ExecutorId::new(application.next_executor.to_string());
        application.next_executor += 1;
        tracing::info!(
            application = %grant.application, executor = %executor, worker = %grant.worker, cores = grant.cores,
            memory = %pyrite_common::memory::print_size(grant.memory_bytes), "launching executor"
        );
        application.executors.insert(
            executor.clone(),
            Executor {
                worker: grant.worker.clone(),
                cores: grant.cores,
                memory_bytes: grant.memory_bytes,
                state: ExecutorState::Launching,
                started: now,
                ending: false,
            },
        );
        self.order(
            &grant.worker,
            WorkerOrder::Launch {
                application: grant.application.clone(),
                application_name: registration.name,
                executor: executor.clone(),
                cores: grant.cores,
                memory_bytes: grant.memory_bytes,
                driver_url: registration.driver_url,
                token: registration.token,
                settings: registration.settings,
            },
        );
        self.announce(&grant.application, &executor);
    }

    /// Tells the driver of an executor that it has.
    pub(super) fn announce(&mut self, application: &ApplicationId, id: &ExecutorId) {
        let Some(executor) = self.applications.get(application).and_then(|application| application.executors.get(id))
        else {
            return;
        };
        let host = self.workers.get(&executor.worker).map(|worker| worker.host.clone()).unwrap_or_default();
        let message = DriverNotice::Granted {
            executor: id.clone(),
            worker: executor.worker.clone(),
            host,
            cores: executor.cores,
            memory_bytes: executor.memory_bytes,
        };
        self.notify(application, message);
    }

    pub(super) fn executor_changed(&mut self, now: Now, connection: ConnectionId, change: &ExecutorChange) {
        let Some(Peer::Worker(worker)) = self.peers.get(&connection).cloned() else { return };
        let entry = self.applications.get_mut(&change.application);
        let known =
            entry.and_then(|entry| entry.executors.get_mut(&change.executor)).filter(|known| known.worker == worker);
        let Some(known) = known else {
            if !change.state.is_ended() {
                let (application, executor) = (change.application.clone(), change.executor.clone());
                let reason = "the master does not know it".to_owned();
                self.order(&worker, WorkerOrder::Kill { application, executor, reason });
            }
            return;
        };
        if !change.state.is_ended() {
            known.state = change.state;
            return;
        }
        let (ending, lived) = (known.ending, now.since_start.saturating_sub(known.started.since_start));
        self.executor_ends(&change.application, &change.executor, change.state, &change.message, change.exit_code);
        if !ending {
            self.count_failure(now, lived, change);
        }
    }

    /// Takes the executor off its worker and tells the driver, unless that was told when the ending began.
    pub(super) fn executor_ends(
        &mut self,
        application: &ApplicationId,
        id: &ExecutorId,
        state: ExecutorState,
        reason: &str,
        exit_code: Option<i32>,
    ) {
        let Some(entry) = self.applications.get_mut(application) else { return };
        let Some(executor) = entry.executors.remove(id) else { return };
        let state_name = state.name();
        tracing::info!(application = %application, executor = %id, state = state_name, "executor ended: {reason}");
        if !executor.ending {
            let message = DriverNotice::Removed { executor: id.clone(), state, reason: reason.to_owned(), exit_code };
            self.notify(application, message);
        }
    }

    /// Ends an application that loses one executor after another before any has run.
    fn count_failure(&mut self, now: Now, lived: Duration, change: &ExecutorChange) {
        let (id, message, exit_code) = (&change.application, &change.message, change.exit_code);
        let Some(application) = self.applications.get_mut(id) else { return };
        // Exit code 0 is an executor whose driver let it go; without a driver nothing is to be replaced.
        if exit_code == Some(0) || application.connection.is_none() {
            return;
        }
        if lived >= PROVEN_AFTER {
            application.failures = 0;
        }
        application.failures += 1;
        let failures = application.failures;
        let none_runs = application.serving().all(|(_, executor)| executor.state != ExecutorState::Running);
        if none_runs && self.limits.executor_failures_max.is_some_and(|max| failures >= max) {
            let reason = format!("{failures} executors failed in a row before any ran; the last one: {message}");
            self.end_application(now, id, ApplicationState::Failed, &reason);
        }
    }

    pub(super) fn executor_attached(&mut self, connection: ConnectionId, executor: &ExecutorId) {
        let Some(Peer::Driver(id)) = self.peers.get(&connection) else { return };
        let Some(application) = self.applications.get_mut(id) else { return };
        if let Some(executor) = application.executors.get_mut(executor) {
            executor.state = ExecutorState::Running;
            application.failures = 0;
        }
    }

    pub(super) fn executor_unreachable(&mut self, connection: ConnectionId, executor: &ExecutorId, reason: &str) {
        let Some(Peer::Driver(id)) = self.peers.get(&connection).cloned() else { return };
        self.end_executor(&id, executor, reason);
    }

    /// Orders the end; the slots stay taken until the worker confirms it.
    pub(super) fn end_executor(&mut self, application: &ApplicationId, id: &ExecutorId, reason: &str) {
        let Some(entry) = self.applications.get_mut(application) else { return };
        let Some(executor) = entry.executors.get_mut(id).filter(|executor| !executor.ending) else { return };
        executor.ending = true;
        let worker = executor.worker.clone();
        let kill =
            WorkerOrder::Kill { application: application.clone(), executor: id.clone(), reason: reason.to_owned() };
        self.order(&worker, kill);
        let message = DriverNotice::Removed {
            executor: id.clone(),
            state: ExecutorState::Killed,
            reason: reason.to_owned(),
            exit_code: None,
        };
        self.notify(application, message);
    }

    pub(super) fn close(&mut self, connection: ConnectionId) {
        self.peers.remove(&connection);
        self.actions.push(Action::Close { connection });
    }
}
