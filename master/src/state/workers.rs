//! Workers come, beat, and go.

use pyrite_common::ids::{ApplicationId, ExecutorId, WorkerId};

use super::{Peer, State};
use crate::allocator::executors_wanted;
use crate::model::{
    Action, Application, ConnectionId, Executor, ExecutorState, Now, StillRunning, Worker, WorkerInfo, WorkerOrder,
    WorkerState,
};

impl State {
    pub(super) fn worker_registers(&mut self, now: Now, connection: ConnectionId, info: WorkerInfo) {
        if let Some(reason) = refusal(&info) {
            tracing::warn!(worker = %info.id, "worker refused: {reason}");
            self.actions.push(Action::ToWorker { connection, message: WorkerOrder::Rejected { reason } });
            self.actions.push(Action::Close { connection });
            return;
        }
        // It may be back before the end of its old stream was noticed.
        if let Some(old) = self.workers.get(&info.id).and_then(|worker| worker.connection) {
            self.peers.remove(&old);
            self.actions.push(Action::Close { connection: old });
        }
        tracing::info!(
            worker = %info.id, cores = info.cores, memory = %pyrite_common::memory::print_size(info.memory_bytes),
            executors = info.running.len(), "registered worker"
        );
        self.peers.insert(connection, Peer::Worker(info.id.clone()));
        self.workers.insert(
            info.id.clone(),
            Worker {
                id: info.id.clone(),
                connection: Some(connection),
                host: info.host,
                port: info.port,
                cores: info.cores,
                memory_bytes: info.memory_bytes,
                webui_url: info.webui_url,
                state: WorkerState::Alive,
                last_heartbeat: now,
            },
        );
        self.actions.push(Action::ToWorker { connection, message: WorkerOrder::Registered });
        self.drop_executors_that_ended_unseen(&info.id, &info.running);
        for running in info.running {
            self.keep_adopt_or_kill(now, &info.id, running);
        }
    }

    pub(super) fn worker_beats(&mut self, now: Now, connection: ConnectionId) {
        if let Some(Peer::Worker(id)) = self.peers.get(&connection)
            && let Some(worker) = self.workers.get_mut(id)
        {
            worker.last_heartbeat = now;
        }
    }

    pub(super) fn worker_dies(&mut self, id: &WorkerId, reason: &str) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        tracing::warn!(worker = %id, "removing worker: {reason}");
        worker.state = WorkerState::Dead;
        if let Some(connection) = worker.connection.take() {
            self.peers.remove(&connection);
            self.actions.push(Action::Close { connection });
        }
        for (application, executor) in self.executors_on(id) {
            let reason = format!("worker `{id}` is lost: {reason}");
            self.executor_ends(&application, &executor, ExecutorState::Lost, &reason, None);
        }
    }

    fn executors_on(&self, worker: &WorkerId) -> Vec<(ApplicationId, ExecutorId)> {
        let mut found = Vec::new();
        for application in self.applications.values() {
            for (id, executor) in &application.executors {
                if executor.worker == *worker {
                    found.push((application.id.clone(), id.clone()));
                }
            }
        }
        found
    }

    fn drop_executors_that_ended_unseen(&mut self, worker: &WorkerId, running: &[StillRunning]) {
        for (application, executor) in self.executors_on(worker) {
            let still_runs = running.iter().any(|one| one.application == application && one.executor == executor);
            if !still_runs {
                let reason = format!("it was gone when worker `{worker}` registered again");
                self.executor_ends(&application, &executor, ExecutorState::Lost, &reason, None);
            }
        }
    }

    /// An executor that outlived its worker's connection, or a restart of this master.
    fn keep_adopt_or_kill(&mut self, now: Now, worker: &WorkerId, running: StillRunning) {
        let application = self
            .applications
            .entry(running.application.clone())
            .or_insert_with(|| Application::unclaimed(running.application.clone(), now));
        let known = application.executors.get(&running.executor);
        if known.is_some_and(|known| known.worker == *worker && !known.ending) {
            return;
        }
        let wanted = application.registration.is_none()
            || executors_wanted(&application.demand)
                .is_none_or(|wanted| application.serving().count() < wanted as usize);
        if known.is_some() || application.state.is_ended() || !wanted {
            let reason = "the master no longer knows it".to_owned();
            let message = WorkerOrder::Kill { application: running.application, executor: running.executor, reason };
            self.order(worker, message);
            return;
        }
        tracing::info!(application = %running.application, executor = %running.executor, worker = %worker, "adopted executor");
        application.adopt(
            running.executor.clone(),
            Executor {
                worker: worker.clone(),
                cores: running.cores,
                memory_bytes: running.memory_bytes,
                state: ExecutorState::Running,
                started: now,
                ending: false,
            },
        );
        self.announce(&running.application, &running.executor);
    }
}

fn refusal(info: &WorkerInfo) -> Option<String> {
    if !info.id.is_path_safe() {
        return Some(format!("worker id `{}` has characters other than letters, digits, `-`, `_` and `.`", info.id));
    }
    if info.cores == 0 || info.memory_bytes == 0 {
        return Some("a worker needs at least one core and some memory".to_owned());
    }
    None
}
