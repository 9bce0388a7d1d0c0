//! Applications register, lose and regain their driver, and end.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{Local, TimeZone};
use pyrite_common::ids::{ApplicationId, ExecutorId};

use super::{Peer, State};
use crate::allocator::Demand;
use crate::model::{Action, Application, ApplicationState, ConnectionId, DriverNotice, Executor, Now, Registration};

/// How long a driver that comes back to a restarted master waits for the workers that still have its executors.
const SETTLE: Duration = Duration::from_secs(6);

impl Application {
    /// One whose driver has not registered here yet: a worker brought an executor of it.
    pub(super) fn unclaimed(id: ApplicationId, now: Now) -> Application {
        let demand = Demand {
            application: id.clone(),
            executors: Some(0),
            executor_cores: None,
            executor_memory_bytes: 0,
            cores_max: None,
        };
        Application {
            id,
            registration: None,
            demand,
            state: ApplicationState::Waiting,
            connection: None,
            disconnected: Some(now),
            executors: BTreeMap::new(),
            next_executor: 0,
            failures: 0,
            allocate_after: Duration::ZERO,
            started: now,
            ended: None,
            waiting: None,
        }
    }

    fn claim(&mut self, now: Now, connection: ConnectionId, registration: Registration) {
        self.demand = Demand {
            application: self.id.clone(),
            executors: registration.executors,
            executor_cores: registration.executor_cores,
            executor_memory_bytes: registration.executor_memory_bytes,
            cores_max: registration.cores_max,
        };
        if self.registration.is_none() && registration.id.is_some() {
            self.allocate_after = now.since_start + SETTLE;
        }
        self.next_executor = self.next_executor.max(registration.executors_seen);
        self.registration = Some(registration);
        self.connection = Some(connection);
        self.disconnected = None;
    }

    pub(super) fn adopt(&mut self, id: ExecutorId, executor: Executor) {
        if let Ok(number) = id.as_str().parse::<u64>() {
            self.next_executor = self.next_executor.max(number.saturating_add(1));
        }
        self.executors.insert(id, executor);
    }
}

impl State {
    pub(super) fn application_registers(&mut self, now: Now, connection: ConnectionId, registration: Registration) {
        if let Err(reason) = self.check_registration(&registration) {
            tracing::warn!(name = registration.name, "application refused: {reason}");
            self.actions.push(Action::ToDriver { connection, message: DriverNotice::Rejected { reason } });
            self.actions.push(Action::Close { connection });
            return;
        }
        let id = registration.id.clone().unwrap_or_else(|| self.next_application_id(now));
        let application =
            self.applications.entry(id.clone()).or_insert_with(|| Application::unclaimed(id.clone(), now));
        let old = application.connection.take();
        tracing::info!(application = %id, name = registration.name, user = registration.user, "registered application");
        application.claim(now, connection, registration);
        let executors: Vec<ExecutorId> = application.serving().map(|(id, _)| id.clone()).collect();
        // It is told again what it waits for.
        application.waiting = None;
        if let Some(old) = old {
            self.close(old);
        }
        self.peers.insert(connection, Peer::Driver(id.clone()));
        self.notify(&id, DriverNotice::Registered { application: id.clone() });
        for executor in executors {
            self.announce(&id, &executor);
        }
    }

    fn check_registration(&self, registration: &Registration) -> Result<(), String> {
        if registration.executor_memory_bytes == 0 {
            return Err("executors need some memory; set `--executor-memory`".to_owned());
        }
        if let (Some(max), Some(cores)) = (registration.cores_max, registration.executor_cores)
            && max < cores
        {
            return Err(format!("{max} cores for all executors are fewer than the {cores} of one"));
        }
        let Some(id) = &registration.id else { return Ok(()) };
        if !id.is_path_safe() {
            return Err(format!("`{id}` is not an application id"));
        }
        match self.applications.get(id) {
            Some(known) if known.state.is_ended() => Err(format!("application `{id}` has ended")),
            Some(known) if known.registration.as_ref().is_some_and(|first| first.token != registration.token) => {
                Err(format!("application `{id}` belongs to another driver"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn next_application_id(&mut self, now: Now) -> ApplicationId {
        let stamp = match Local.timestamp_millis_opt(now.wall_ms).single() {
            Some(time) => time.format("%Y%m%d%H%M%S").to_string(),
            None => now.wall_ms.to_string(),
        };
        loop {
            let id = ApplicationId::numbered(&stamp, self.applications_seen);
            self.applications_seen += 1;
            if !self.applications.contains_key(&id) {
                return id;
            }
        }
    }

    pub(super) fn application_renamed(&mut self, connection: ConnectionId, name: String) {
        let Some(Peer::Driver(id)) = self.peers.get(&connection) else { return };
        if let Some(registration) =
            self.applications.get_mut(id).and_then(|application| application.registration.as_mut())
        {
            tracing::info!(application = %id, name, "application renamed");
            registration.name = name;
        }
    }

    pub(super) fn application_finishes(&mut self, now: Now, connection: ConnectionId, failed: bool, message: &str) {
        let Some(Peer::Driver(id)) = self.peers.get(&connection).cloned() else { return };
        let state = if failed { ApplicationState::Failed } else { ApplicationState::Finished };
        let reason = if message.is_empty() { "its driver has finished" } else { message };
        self.end_application(now, &id, state, reason);
    }

    pub(super) fn driver_disconnects(&mut self, now: Now, id: &ApplicationId) {
        let Some(application) = self.applications.get_mut(id) else { return };
        application.connection = None;
        if !application.state.is_ended() {
            tracing::warn!(application = %id, "driver's connection broke");
            application.disconnected = Some(now);
        }
    }

    pub(super) fn end_abandoned_applications(&mut self, now: Now) {
        let abandoned: Vec<ApplicationId> = self
            .applications
            .values()
            .filter(|application| !application.state.is_ended())
            .filter(|application| {
                application
                    .disconnected
                    .is_some_and(|since| now.since_start >= since.since_start + self.limits.driver_grace)
            })
            .map(|application| application.id.clone())
            .collect();
        for id in abandoned {
            self.end_application(now, &id, ApplicationState::Finished, "its driver went away");
        }
    }

    /// Ends it and its executors; a second ending changes nothing.
    pub(super) fn end_application(&mut self, now: Now, id: &ApplicationId, state: ApplicationState, reason: &str) {
        let Some(application) = self.applications.get_mut(id).filter(|application| !application.state.is_ended())
        else {
            return;
        };
        let state_name = state.name();
        tracing::info!(application = %id, state = state_name, "application ended: {reason}");
        application.state = state;
        application.ended = Some(now);
        application.waiting = None;
        let executors: Vec<ExecutorId> = application.serving().map(|(id, _)| id.clone()).collect();
        for executor in executors {
            self.end_executor(id, &executor, "its application has ended");
        }
        self.notify(id, DriverNotice::Killed { reason: reason.to_owned() });
        let connection = self.applications.get_mut(id).and_then(|application| application.connection.take());
        if let Some(connection) = connection {
            self.close(connection);
        }
    }

    /// Keeps the newest ended ones; those with executors still ending are kept until these are gone.
    pub(super) fn forget_old_applications(&mut self) {
        let mut ended: Vec<(Duration, ApplicationId)> = self
            .applications
            .values()
            .filter(|application| application.executors.is_empty())
            .filter_map(|application| Some((application.ended?.since_start, application.id.clone())))
            .collect();
        ended.sort();
        let surplus = ended.len().saturating_sub(self.limits.ended_applications_max);
        for (_, id) in ended.into_iter().take(surplus) {
            self.applications.remove(&id);
        }
    }
}
