//! The master's state machine: `apply(now, event) -> actions`, with no I/O and no clock (log lines aside). After each
//! event the desired state (demands) is compared with the observed one (leases), so that a lost message is made good by
//! the next event.

mod applications;
mod executors;
mod workers;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use pyrite_common::ids::{ApplicationId, WorkerId};

use crate::allocator::{self, Demand, Lease, Placement, Slots};
use crate::config::MasterConfig;
use crate::model::{
    Action, Application, ApplicationState, ConnectionId, DriverNotice, Event, Now, Worker, WorkerOrder, WorkerState,
};

/// A dead worker stays to be seen for this many timeouts, as Spark's `spark.dead.worker.persistence`.
const DEAD_WORKER_TIMEOUTS: u32 = 15;

/// Who is at the other end of a stream.
#[derive(Clone, Debug)]
enum Peer {
    Worker(WorkerId),
    Driver(ApplicationId),
}

/// The limits that decide, from the configuration.
#[derive(Clone, Debug)]
struct Limits {
    worker_timeout: Duration,
    placement: Placement,
    executor_failures_max: Option<u32>,
    driver_grace: Duration,
    ended_applications_max: usize,
}

/// All that a master knows.
pub(crate) struct State {
    limits: Limits,
    workers: BTreeMap<WorkerId, Worker>,
    applications: BTreeMap<ApplicationId, Application>,
    peers: BTreeMap<ConnectionId, Peer>,
    applications_seen: u64,
    actions: Vec<Action>,
}

impl State {
    /// A master that has just started.
    pub fn new(config: &MasterConfig) -> State {
        State {
            limits: Limits {
                worker_timeout: config.worker_timeout,
                placement: config.placement,
                executor_failures_max: config.executor_failures_max,
                driver_grace: config.driver_grace,
                ended_applications_max: config.ended_applications_max,
            },
            workers: BTreeMap::new(),
            applications: BTreeMap::new(),
            peers: BTreeMap::new(),
            applications_seen: 0,
            actions: Vec::new(),
        }
    }

    /// Workers by id, dead ones for a while too.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    /// Applications by id, ended ones for a while too.
    pub fn applications(&self) -> impl Iterator<Item = &Application> {
        self.applications.values()
    }

    /// Takes in what happened and says what to do, in this order.
    pub fn apply(&mut self, now: Now, event: Event) -> Vec<Action> {
        match event {
            Event::WorkerRegisters { connection, info } => self.worker_registers(now, connection, info),
            Event::WorkerBeats { connection } => self.worker_beats(now, connection),
            Event::ExecutorChanged { connection, change } => self.executor_changed(now, connection, &change),
            Event::ApplicationRegisters { connection, registration } => {
                self.application_registers(now, connection, registration);
            }
            Event::ExecutorAttached { connection, executor } => self.executor_attached(connection, &executor),
            Event::ExecutorUnreachable { connection, executor, reason } => {
                self.executor_unreachable(connection, &executor, &reason);
            }
            Event::ApplicationRenamed { connection, name } => self.application_renamed(connection, name),
            Event::ApplicationFinishes { connection, failed, message } => {
                self.application_finishes(now, connection, failed, &message);
            }
            Event::Disconnects { connection } => self.disconnects(now, connection),
            Event::Tick => self.tick(now),
        }
        self.reconcile(now);
        std::mem::take(&mut self.actions)
    }

    fn disconnects(&mut self, now: Now, connection: ConnectionId) {
        match self.peers.remove(&connection) {
            Some(Peer::Worker(worker)) => self.worker_dies(&worker, "its connection broke"),
            Some(Peer::Driver(application)) => self.driver_disconnects(now, &application),
            // It was closed by us, or had not registered.
            None => {}
        }
    }

    fn tick(&mut self, now: Now) {
        let timeout = self.limits.worker_timeout;
        let silent: Vec<WorkerId> = self
            .workers
            .values()
            .filter(|worker| {
                worker.state == WorkerState::Alive && now.since_start >= worker.last_heartbeat.since_start + timeout
            })
            .map(|worker| worker.id.clone())
            .collect();
        for worker in silent {
            let reason = format!("no heartbeat for {} s", timeout.as_secs());
            self.worker_dies(&worker, &reason);
        }
        let kept = timeout * (DEAD_WORKER_TIMEOUTS + 1);
        self.workers.retain(|_, worker| {
            worker.state == WorkerState::Alive || now.since_start < worker.last_heartbeat.since_start + kept
        });
        self.end_abandoned_applications(now);
        self.forget_old_applications();
    }

    /// Grants what fits now, and tells each application what it waits for.
    fn reconcile(&mut self, now: Now) {
        let slots: Vec<Slots> = self
            .workers
            .values()
            .filter(|worker| worker.state == WorkerState::Alive)
            .map(|worker| Slots { worker: worker.id.clone(), cores: worker.cores, memory_bytes: worker.memory_bytes })
            .collect();
        let allocation = allocator::allocate(&self.demands(now), &slots, &self.leases(), self.limits.placement);
        for grant in allocation.grants {
            self.launch(now, grant);
        }
        for application in self.applications.values_mut().filter(|application| !application.state.is_ended()) {
            application.state = match application.executors.is_empty() {
                true => ApplicationState::Waiting,
                false => ApplicationState::Running,
            };
            let waiting = allocation.waiting.get(&application.id).map(ToString::to_string);
            if waiting == application.waiting || application.connection.is_none() {
                continue;
            }
            application.waiting = waiting;
            let reason = application.waiting.clone().unwrap_or_default();
            match &application.waiting {
                Some(reason) => tracing::info!(application = %application.id, "application waits for {reason}"),
                None => tracing::info!(application = %application.id, "application has all that it asked for"),
            }
            if let Some(connection) = application.connection {
                self.actions.push(Action::ToDriver { connection, message: DriverNotice::Waiting { reason } });
            }
        }
    }

    /// Demands of applications whose driver is here, first come first.
    fn demands(&self, now: Now) -> Vec<Demand> {
        let mut asking: Vec<&Application> = self
            .applications
            .values()
            .filter(|application| {
                !application.state.is_ended()
                    && application.connection.is_some()
                    && now.since_start >= application.allocate_after
            })
            .collect();
        asking.sort_by(|left, right| (left.started.since_start, &left.id).cmp(&(right.started.since_start, &right.id)));
        asking.into_iter().map(|application| application.demand.clone()).collect()
    }

    fn leases(&self) -> Vec<Lease> {
        let mut leases = Vec::new();
        for application in self.applications.values() {
            for executor in application.executors.values() {
                leases.push(Lease {
                    application: application.id.clone(),
                    worker: executor.worker.clone(),
                    cores: executor.cores,
                    memory_bytes: executor.memory_bytes,
                    ending: executor.ending,
                });
            }
        }
        leases
    }

    fn order(&mut self, worker: &WorkerId, message: WorkerOrder) {
        if let Some(connection) = self.workers.get(worker).and_then(|worker| worker.connection) {
            self.actions.push(Action::ToWorker { connection, message });
        }
    }

    fn notify(&mut self, application: &ApplicationId, message: DriverNotice) {
        if let Some(connection) = self.applications.get(application).and_then(|application| application.connection) {
            self.actions.push(Action::ToDriver { connection, message });
        }
    }
}
