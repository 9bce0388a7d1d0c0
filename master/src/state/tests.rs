//! The master's behaviour, told as events and what they lead to, and properties over random histories.

use std::collections::BTreeMap;

use proptest::prelude::*;
use pyrite_common::security::Secret;

use super::*;
use crate::model::{ExecutorChange, ExecutorState, Registration, StillRunning, WorkerInfo};

const GIB: u64 = 1 << 30;

struct Cluster {
    state: State,
    seconds: u64,
    token: Secret,
}

impl Cluster {
    fn new() -> Cluster {
        Cluster { state: State::new(&MasterConfig::default()), seconds: 0, token: Secret::random() }
    }

    fn now(&self) -> Now {
        Now { since_start: Duration::from_secs(self.seconds), wall_ms: 1_000 * self.seconds as i64 }
    }

    fn apply(&mut self, event: Event) -> Vec<Action> {
        self.state.apply(self.now(), event)
    }

    fn worker(&mut self, connection: u64, name: &str, cores: u32, gib: u64) -> Vec<Action> {
        self.worker_with(connection, name, cores, gib, Vec::new())
    }

    fn worker_with(
        &mut self,
        connection: u64,
        name: &str,
        cores: u32,
        gib: u64,
        running: Vec<StillRunning>,
    ) -> Vec<Action> {
        let info = WorkerInfo {
            id: name.into(),
            host: "10.0.0.1".to_owned(),
            port: 1,
            cores,
            memory_bytes: gib * GIB,
            webui_url: String::new(),
            running,
        };
        self.apply(Event::WorkerRegisters { connection: ConnectionId(connection), info })
    }

    fn application(&mut self, connection: u64, executors: u32, cores: u32, gib: u64) -> Vec<Action> {
        self.application_as(connection, None, executors, cores, gib)
    }

    fn application_as(
        &mut self,
        connection: u64,
        id: Option<&str>,
        executors: u32,
        cores: u32,
        gib: u64,
    ) -> Vec<Action> {
        let registration = Registration {
            id: id.map(Into::into),
            executors_seen: 0,
            name: "crash monitoring".to_owned(),
            user: "ada".to_owned(),
            executors: Some(executors),
            executor_cores: Some(cores),
            executor_memory_bytes: gib * GIB,
            cores_max: None,
            driver_url: "http://127.0.0.1:1".to_owned(),
            token: self.token.clone(),
            ui_url: String::new(),
            settings: BTreeMap::new(),
        };
        self.apply(Event::ApplicationRegisters { connection: ConnectionId(connection), registration })
    }

    fn changed(&mut self, connection: u64, executor: &str, state: ExecutorState) -> Vec<Action> {
        let application = self.only_application().id.clone();
        let change = ExecutorChange {
            application,
            executor: executor.into(),
            state,
            message: "exit code 1".to_owned(),
            exit_code: state.is_ended().then_some(1),
        };
        self.apply(Event::ExecutorChanged { connection: ConnectionId(connection), change })
    }

    fn only_application(&self) -> &Application {
        self.state.applications.values().next().expect("one application")
    }

    fn after(&mut self, seconds: u64) -> Vec<Action> {
        self.seconds += seconds;
        self.apply(Event::Tick)
    }
}

fn launched(actions: &[Action]) -> Vec<String> {
    let launch = |action: &Action| match action {
        Action::ToWorker { message: WorkerOrder::Launch { executor, .. }, .. } => Some(executor.to_string()),
        _ => None,
    };
    actions.iter().filter_map(launch).collect()
}

fn killed(actions: &[Action]) -> Vec<String> {
    let kill = |action: &Action| match action {
        Action::ToWorker { message: WorkerOrder::Kill { executor, .. }, .. } => Some(executor.to_string()),
        _ => None,
    };
    actions.iter().filter_map(kill).collect()
}

fn waits(actions: &[Action]) -> Vec<String> {
    let waiting = |action: &Action| match action {
        Action::ToDriver { message: DriverNotice::Waiting { reason }, .. } => Some(reason.clone()),
        _ => None,
    };
    actions.iter().filter_map(waiting).collect()
}

fn removed(actions: &[Action]) -> Vec<(String, ExecutorState)> {
    let removed = |action: &Action| match action {
        Action::ToDriver { message: DriverNotice::Removed { executor, state, .. }, .. } => {
            Some((executor.to_string(), *state))
        }
        _ => None,
    };
    actions.iter().filter_map(removed).collect()
}

#[test]
fn executors_start_when_there_is_room() {
    let mut cluster = Cluster::new();
    let actions = cluster.application(1, 2, 4, 3);
    assert_eq!(waits(&actions), ["2 executors x 4 cores x 3 GiB; no worker is registered"]);
    assert_eq!(cluster.only_application().state, ApplicationState::Waiting);

    assert_eq!(launched(&cluster.worker(2, "w1", 6, 8)), ["0"]);
    let actions = cluster.worker(3, "w2", 4, 4);
    assert_eq!(launched(&actions), ["1"]);
    assert_eq!(waits(&actions), [""], "nothing is missing any more");
    assert_eq!(cluster.only_application().state, ApplicationState::Running);
}

#[test]
fn a_broken_worker_stream_loses_its_executors_at_once() {
    let mut cluster = Cluster::new();
    cluster.worker(1, "w1", 4, 8);
    cluster.worker(2, "w2", 4, 8);
    cluster.application(3, 1, 4, 3);
    let actions = cluster.apply(Event::Disconnects { connection: ConnectionId(1) });
    assert_eq!(removed(&actions), [("0".to_owned(), ExecutorState::Lost)]);
    assert_eq!(launched(&actions), ["1"], "it is replaced on the other worker");
}

#[test]
fn a_silent_worker_is_dead_after_the_timeout() {
    let mut cluster = Cluster::new();
    cluster.worker(1, "w1", 4, 8);
    cluster.after(59);
    assert_eq!(cluster.state.workers[&WorkerId::from("w1")].state, WorkerState::Alive);
    cluster.apply(Event::WorkerBeats { connection: ConnectionId(1) });
    cluster.after(59);
    assert_eq!(cluster.state.workers[&WorkerId::from("w1")].state, WorkerState::Alive);
    cluster.after(1);
    assert_eq!(cluster.state.workers[&WorkerId::from("w1")].state, WorkerState::Dead);
    cluster.after(60 * 16);
    assert!(cluster.state.workers.is_empty());
}

#[test]
fn an_end_of_the_application_ends_its_executors_and_frees_slots_when_they_are_gone() {
    let mut cluster = Cluster::new();
    cluster.worker(1, "w1", 4, 8);
    cluster.application(2, 1, 4, 3);
    let finish = Event::ApplicationFinishes { connection: ConnectionId(2), failed: false, message: String::new() };
    assert_eq!(killed(&cluster.apply(finish)), ["0"]);
    assert_eq!(cluster.only_application().state, ApplicationState::Finished);
    // The next application gets the cores only when the first one's executor has really ended.
    let first = cluster.only_application().id.clone();
    assert_eq!(launched(&cluster.application(3, 1, 4, 3)), Vec::<String>::new());
    let change = ExecutorChange {
        application: first,
        executor: "0".into(),
        state: ExecutorState::Killed,
        message: String::new(),
        exit_code: None,
    };
    assert_eq!(launched(&cluster.apply(Event::ExecutorChanged { connection: ConnectionId(1), change })), ["0"]);
}

#[test]
fn an_application_takes_the_name_that_its_program_gives_it() {
    let mut cluster = Cluster::new();
    cluster.application(1, 1, 1, 1);
    cluster.apply(Event::ApplicationRenamed { connection: ConnectionId(1), name: "nightly".to_owned() });
    assert_eq!(cluster.only_application().name(), "nightly");
    // From a connection that is nobody's it names nothing.
    cluster.apply(Event::ApplicationRenamed { connection: ConnectionId(9), name: "other".to_owned() });
    assert_eq!(cluster.only_application().name(), "nightly");
}

#[test]
fn a_driver_that_vanishes_has_a_grace() {
    let mut cluster = Cluster::new();
    cluster.worker(1, "w1", 4, 8);
    cluster.application(2, 1, 4, 3);
    let id = cluster.only_application().id.to_string();
    cluster.apply(Event::Disconnects { connection: ConnectionId(2) });
    cluster.after(9);
    assert_eq!(cluster.only_application().state, ApplicationState::Running);
    cluster.application_as(3, Some(&id), 1, 4, 3);
    cluster.after(60);
    assert!(!cluster.only_application().state.is_ended(), "it came back");
    cluster.apply(Event::Disconnects { connection: ConnectionId(3) });
    cluster.after(10);
    assert_eq!(cluster.only_application().state, ApplicationState::Finished);
}

#[test]
fn another_driver_cannot_take_an_application_over() {
    let mut cluster = Cluster::new();
    cluster.application(2, 1, 4, 3);
    let id = cluster.only_application().id.to_string();
    cluster.token = Secret::random();
    let actions = cluster.application_as(3, Some(&id), 1, 4, 3);
    assert!(matches!(&actions[0], Action::ToDriver { message: DriverNotice::Rejected { .. }, .. }));
    assert_eq!(cluster.only_application().connection, Some(ConnectionId(2)));
}

#[test]
fn a_lost_executor_is_replaced() {
    let mut cluster = Cluster::new();
    cluster.worker(1, "w1", 4, 8);
    cluster.application(2, 1, 4, 3);
    cluster.changed(1, "0", ExecutorState::Running);
    let actions = cluster.changed(1, "0", ExecutorState::Exited);
    assert_eq!(removed(&actions), [("0".to_owned(), ExecutorState::Exited)]);
    assert_eq!(launched(&actions), ["1"]);
}

#[test]
fn an_unreachable_executor_is_ended_and_its_removal_told_once() {
    let mut cluster = Cluster::new();
    cluster.worker(1, "w1", 4, 8);
    cluster.application(2, 1, 4, 3);
    let lost =
        Event::ExecutorUnreachable { connection: ConnectionId(2), executor: "0".into(), reason: "silent".to_owned() };
    let actions = cluster.apply(lost);
    assert_eq!(killed(&actions), ["0"]);
    assert_eq!(removed(&actions).len(), 1);
    let actions = cluster.changed(1, "0", ExecutorState::Killed);
    assert_eq!(removed(&actions), []);
    assert_eq!(launched(&actions), ["1"]);
}

#[test]
fn ten_failures_in_a_row_fail_the_application() {
    let mut cluster = Cluster::new();
    cluster.worker(1, "w1", 4, 8);
    cluster.application(2, 1, 4, 3);
    for failure in 0..9 {
        assert_eq!(launched(&cluster.changed(1, &failure.to_string(), ExecutorState::Failed)).len(), 1);
    }
    let actions = cluster.changed(1, "9", ExecutorState::Failed);
    assert_eq!(launched(&actions), Vec::<String>::new());
    assert_eq!(cluster.only_application().state, ApplicationState::Failed);
    let told = actions.iter().any(|action| {
        matches!(action, Action::ToDriver { message: DriverNotice::Killed { reason }, .. } if reason.contains("exit code 1"))
    });
    assert!(told, "the driver learns the last cause");
}

#[test]
fn an_executor_that_attached_ends_the_row_of_failures() {
    let mut cluster = Cluster::new();
    cluster.worker(1, "w1", 4, 8);
    cluster.application(2, 1, 4, 3);
    for failure in 0..50 {
        cluster.apply(Event::ExecutorAttached {
            connection: ConnectionId(2),
            executor: failure.to_string().as_str().into(),
        });
        cluster.changed(1, &failure.to_string(), ExecutorState::Failed);
    }
    assert_eq!(cluster.only_application().state, ApplicationState::Running);
}

#[test]
fn a_restarted_master_adopts_executors_and_their_driver() {
    let mut cluster = Cluster::new();
    let running = StillRunning {
        application: "app-20261122105800-0007".into(),
        executor: "4".into(),
        cores: 4,
        memory_bytes: GIB,
    };
    let actions = cluster.worker_with(1, "w1", 8, 8, vec![running]);
    assert_eq!(killed(&actions), Vec::<String>::new());
    cluster.application_as(2, Some("app-20261122105800-0007"), 2, 4, 1);
    let actions = cluster.after(6);
    assert_eq!(launched(&actions), ["5"], "only what is missing starts, under a new id");
}

#[test]
fn executors_that_nobody_claims_are_ended() {
    let mut cluster = Cluster::new();
    let running = StillRunning { application: "app-x".into(), executor: "4".into(), cores: 4, memory_bytes: GIB };
    cluster.worker_with(1, "w1", 8, 8, vec![running]);
    assert_eq!(killed(&cluster.after(10)), ["4"]);
}

#[test]
fn a_worker_that_comes_back_keeps_what_runs_and_loses_what_does_not() {
    let mut cluster = Cluster::new();
    cluster.worker(1, "w1", 8, 8);
    cluster.application(2, 2, 4, 1);
    let id = cluster.only_application().id.clone();
    let running = StillRunning { application: id, executor: "1".into(), cores: 4, memory_bytes: GIB };
    let actions = cluster.worker_with(3, "w1", 8, 8, vec![running]);
    assert_eq!(removed(&actions), [("0".to_owned(), ExecutorState::Lost)]);
    assert_eq!(launched(&actions), ["2"]);
    // The end of the old stream comes late and means nothing any more.
    let actions = cluster.apply(Event::Disconnects { connection: ConnectionId(1) });
    assert_eq!(removed(&actions), []);
}

#[test]
fn impossible_demands_are_refused() {
    let mut cluster = Cluster::new();
    let actions = cluster.application(1, 1, 1, 0);
    assert!(matches!(&actions[0], Action::ToDriver { message: DriverNotice::Rejected { .. }, .. }));
    assert!(matches!(&actions[1], Action::Close { .. }));
    assert!(cluster.state.applications.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Worker(u64, u32, u64),
    Application(u32, u32, u64),
    Break(u64),
    End(usize, ExecutorState),
    Finish(u64),
    Wait(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4u64, 1..9u32, 1..9u64).prop_map(|(worker, cores, gib)| Step::Worker(worker, cores, gib)),
        (0..4u32, 1..5u32, 1..4u64).prop_map(|(executors, cores, gib)| Step::Application(executors, cores, gib)),
        (0..40u64).prop_map(Step::Break),
        (
            0..20usize,
            prop_oneof![Just(ExecutorState::Failed), Just(ExecutorState::Exited), Just(ExecutorState::Running)]
        )
            .prop_map(|(index, state)| Step::End(index, state)),
        (0..40u64).prop_map(Step::Finish),
        (0..70u64).prop_map(Step::Wait),
    ]
}

fn take_step(cluster: &mut Cluster, connection: u64, step: Step) {
    match step {
        Step::Worker(worker, cores, gib) => {
            cluster.worker(connection, &format!("w{worker}"), cores, gib);
        }
        Step::Application(executors, cores, gib) => {
            cluster.application(connection, executors, cores, gib);
        }
        Step::Break(connection) => {
            cluster.apply(Event::Disconnects { connection: ConnectionId(connection) });
        }
        Step::Finish(connection) => {
            let connection = ConnectionId(connection);
            cluster.apply(Event::ApplicationFinishes { connection, failed: false, message: String::new() });
        }
        Step::Wait(seconds) => {
            cluster.after(seconds);
        }
        Step::End(index, state) => {
            let all: Vec<_> = cluster
                .state
                .applications
                .values()
                .flat_map(|application| {
                    application
                        .executors
                        .iter()
                        .map(|(id, one)| (application.id.clone(), id.clone(), one.worker.clone()))
                })
                .collect();
            let Some((application, executor, worker)) = all.get(index).cloned() else { return };
            let Some(connection) = cluster.state.workers.get(&worker).and_then(|worker| worker.connection) else {
                return;
            };
            let exit_code = state.is_ended().then_some(1);
            let change = ExecutorChange { application, executor, state, message: String::new(), exit_code };
            cluster.apply(Event::ExecutorChanged { connection, change });
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_slots_are_never_oversold(steps in proptest::collection::vec(any_step(), 1..40)) {
        let mut cluster = Cluster::new();
        let mut sizes: BTreeMap<WorkerId, (u32, u64)> = BTreeMap::new();
        for (connection, step) in steps.into_iter().enumerate() {
            // A worker keeps its size: one that comes back smaller may be oversold until executors end.
            let step = match step {
                Step::Worker(worker, cores, gib) => {
                    let (cores, gib) = *sizes.entry(WorkerId::new(format!("w{worker}"))).or_insert((cores, gib));
                    Step::Worker(worker, cores, gib)
                }
                other => other,
            };
            take_step(&mut cluster, connection as u64, step);
            for worker in cluster.state.workers.values() {
                let on: Vec<_> = cluster
                    .state
                    .applications
                    .values()
                    .flat_map(|application| application.executors.values())
                    .filter(|executor| executor.worker == worker.id)
                    .collect();
                if worker.state == WorkerState::Dead {
                    prop_assert!(on.is_empty(), "a dead worker has no executors");
                }
                prop_assert!(on.iter().map(|executor| executor.cores).sum::<u32>() <= worker.cores);
                prop_assert!(on.iter().map(|executor| executor.memory_bytes).sum::<u64>() <= worker.memory_bytes);
            }
            for application in cluster.state.applications.values().filter(|application| application.state.is_ended()) {
                prop_assert!(application.serving().next().is_none(), "an ended application keeps no executor");
            }
            // At rest: the same moment again changes nothing.
            let again = cluster.apply(Event::Tick);
            prop_assert!(launched(&again).is_empty());
        }
    }
}
