//! The scheduler: one seed decides what happens next, who fails and when, until the topic is read to its end.

use pyrite_common::checkpoint::{AttemptId, Offsets, TopicPartition};
use pyrite_driver::protocol::{
    Action, Availability, Body, Command, Ending, Event, FailureKind, LogName, Phase, PublishBy, Rules, SourceLatest,
    StoreReply, StoreRequest,
};
use pyrite_worker::executor::shard::Version;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Violation;
use super::check::{Checks, exactly_once};
use super::driver::{Character, Driver};
use super::executor::{Executor, Surroundings};
use super::sink::Slots;
use super::store::{Pending, Store};

/// Steps after which a run counts as stuck.
const STEPS_MAX: usize = 60_000;
const FAULTS_MAX: u32 = 8;
const FAULT_CHANCE: f64 = 0.006;
/// Steps after the last record, for zombies to do harm.
const STEPS_AFTER: usize = 300;
const PARTITIONS: i32 = 2;
const RECORDS: i64 = 12;

/// The rules of the protocol that a run has.
#[derive(Debug, Clone, Copy)]
pub struct Switches {
    pub rules: Rules,
    /// Pending writes are folded on the exact attempt, not on the batch's number alone.
    pub exact_attempt: bool,
    /// The sink looks at its own marker.
    pub marker: bool,
}

impl Default for Switches {
    fn default() -> Switches {
        Switches { rules: Rules::default(), exact_attempt: true, marker: true }
    }
}

impl Switches {
    /// A version as shards see it.
    pub fn seen(&self, batch: u64, attempt: AttemptId) -> Version {
        let attempt = if self.exact_attempt { attempt } else { AttemptId::default() };
        Version { batch, attempt }
    }
}

/// What a run went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    pub batches: u64,
    pub runs_sent: u64,
    /// Drivers that found a newer one.
    pub superseded: u64,
    /// Shards read back from the checkpoint.
    pub restores: u64,
    /// Shards whose writes were in the database before the commit.
    pub early: u64,
    /// Publications that another producer of the slot cut off.
    pub fenced: u64,
    pub lost_replies: u64,
    /// Requests that were done after their sender had been told that nobody knows.
    pub late_requests: u64,
    /// Batches under another shard map than the one before.
    pub map_changes: u64,
}

impl std::ops::AddAssign for Summary {
    fn add_assign(&mut self, other: Summary) {
        self.batches += other.batches;
        self.runs_sent += other.runs_sent;
        self.superseded += other.superseded;
        self.restores += other.restores;
        self.early += other.early;
        self.fenced += other.fenced;
        self.lost_replies += other.lost_replies;
        self.late_requests += other.late_requests;
        self.map_changes += other.map_changes;
    }
}

/// Runs one seed to its end.
pub fn run(seed: u64, switches: Switches) -> Result<Summary, Violation> {
    let mut world = World::new(seed, switches);
    world.add_driver();
    let mut after = 0;
    for _ in 0..STEPS_MAX {
        world.step()?;
        if world.is_done() {
            after += 1;
        }
        if after >= STEPS_AFTER {
            return world.finish();
        }
    }
    Err(Violation(format!("not finished: {} batches after {STEPS_MAX} steps", world.store.commits())))
}

/// What can happen next.
#[derive(Clone, Copy)]
enum Choice {
    Driver(usize),
    Wake(usize),
    /// A message from an executor arrives at its driver.
    Link(usize),
    Executor(usize),
    Store(usize),
    /// An executor finds out that its driver is gone.
    Notice(usize),
}

struct World {
    rng: StdRng,
    switches: Switches,
    publish: PublishBy,
    now_us: i64,
    latest: Vec<i64>,
    drivers: Vec<Driver>,
    executors: Vec<Executor>,
    store: Store,
    slots: Slots,
    checks: Checks,
    faults: u32,
    incarnations: u64,
    works: u64,
    summary: Summary,
}

impl World {
    fn new(seed: u64, switches: Switches) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let publish = if rng.random_bool(0.75) { PublishBy::Executors } else { PublishBy::Driver };
        World {
            rng,
            switches,
            publish,
            now_us: 1_000_000_000,
            latest: vec![3; PARTITIONS as usize],
            drivers: Vec::new(),
            executors: Vec::new(),
            store: Store::default(),
            slots: Slots::default(),
            checks: Checks::default(),
            faults: 0,
            incarnations: 0,
            works: 0,
            summary: Summary::default(),
        }
    }

    fn add_driver(&mut self) {
        let character = Character {
            name: format!("d{}", self.drivers.len()),
            shards: [1, 2, 3, 7][self.rng.random_range(0..4)],
            publish: self.publish,
            trigger_ms: if self.rng.random_bool(0.8) { 0 } else { 50 },
            batch_records: Some(self.rng.random_range(2..8)),
            rules: self.switches.rules,
        };
        self.drivers.push(Driver::new(character));
    }

    fn add_executor(&mut self, driver: usize) {
        self.incarnations += 1;
        let id = format!("e{}", self.executors.len());
        self.executors.push(Executor::new(&id, self.incarnations, driver));
    }

    fn step(&mut self) -> Result<(), Violation> {
        self.now_us += self.rng.random_range(0..4_000);
        if self.rng.random_bool(0.02) {
            let partition = self.rng.random_range(0..self.latest.len());
            self.latest[partition] = (self.latest[partition] + 1).min(RECORDS);
        }
        self.lease();
        if self.faults < FAULTS_MAX && self.rng.random_bool(FAULT_CHANCE) {
            self.faults += 1;
            self.fault();
            return Ok(());
        }
        let choices = self.choices();
        if choices.is_empty() {
            self.now_us += 20_000;
            return Ok(());
        }
        match choices[self.rng.random_range(0..choices.len())] {
            Choice::Driver(driver) => {
                let events = &mut self.drivers[driver].events;
                let index = self.rng.random_range(0..events.len());
                let event = events.remove(index);
                self.apply(driver, event)
            }
            Choice::Wake(driver) => {
                self.drivers[driver].wake_us = None;
                self.apply(driver, Event::Wake)
            }
            Choice::Link(executor) => self.deliver(executor),
            Choice::Executor(executor) => self.step_executor(executor),
            Choice::Store(pending) => self.perform_store(pending),
            Choice::Notice(executor) => {
                self.notice(executor);
                Ok(())
            }
        }
    }

    /// The master's part: there is always a driver, and every driver has executors.
    fn lease(&mut self) {
        if !self.drivers.iter().any(|driver| driver.is_alive) {
            self.add_driver();
        }
        for driver in 0..self.drivers.len() {
            let count =
                self.executors.iter().filter(|executor| executor.is_alive && executor.driver == Some(driver)).count();
            if self.drivers[driver].is_alive && (count == 0 || (count < 3 && self.rng.random_bool(0.01))) {
                self.add_executor(driver);
            }
        }
    }

    fn choices(&self) -> Vec<Choice> {
        let mut choices = Vec::new();
        for (index, driver) in self.drivers.iter().enumerate().filter(|(_, driver)| driver.is_alive) {
            if !driver.events.is_empty() {
                choices.push(Choice::Driver(index));
            }
            if driver.wake_us.is_some_and(|wake_us| wake_us <= self.now_us) {
                choices.push(Choice::Wake(index));
            }
        }
        for (index, executor) in self.executors.iter().enumerate().filter(|(_, executor)| executor.is_alive) {
            if executor.has_work() {
                choices.push(Choice::Executor(index));
            }
            match executor.driver {
                Some(driver) if self.drivers[driver].is_alive => {
                    if !executor.outbox.is_empty() {
                        choices.push(Choice::Link(index));
                    }
                }
                Some(_) | None => {
                    if self.rng_free_coin(index) {
                        choices.push(Choice::Notice(index));
                    }
                }
            }
        }
        choices.extend((0..self.store.pending.len()).map(Choice::Store));
        choices
    }

    /// Zombies take a while to notice: a coin that costs no randomness, so that the list of choices stays a pure look.
    fn rng_free_coin(&self, index: usize) -> bool {
        (self.now_us as usize / 1_000 + index * 7).is_multiple_of(20)
    }

    fn fault(&mut self) {
        let living: Vec<usize> = (0..self.drivers.len()).filter(|index| self.drivers[*index].is_alive).collect();
        let executors: Vec<usize> = (0..self.executors.len()).filter(|index| self.executors[*index].is_alive).collect();
        match self.rng.random_range(0..10) {
            0..3 => self.add_driver(),
            3..6 => {
                if let Some(driver) = pick(&mut self.rng, &living) {
                    self.crash_driver(driver);
                }
            }
            6..8 => {
                if let Some(executor) = pick(&mut self.rng, &executors) {
                    self.executors[executor].is_alive = false;
                    self.tell_lost(executor);
                }
            }
            // The driver gives an executor up that lives on and does not know.
            _ => {
                if let Some(executor) = pick(&mut self.rng, &executors) {
                    self.tell_lost(executor);
                    self.executors[executor].driver = None;
                }
            }
        }
    }

    fn crash_driver(&mut self, driver: usize) {
        self.drivers[driver].is_alive = false;
        for executor in &mut self.executors {
            if executor.driver == Some(driver) && self.rng.random_bool(0.5) {
                executor.is_alive = false;
            }
        }
    }

    fn tell_lost(&mut self, executor: usize) {
        let executor = &mut self.executors[executor];
        executor.outbox.clear();
        if let Some(driver) = executor.driver {
            let lost = Event::ExecutorLost { executor: executor.info.key.clone(), reason: "lost".into() };
            self.drivers[driver].events.push(lost);
        }
    }

    /// An executor without its driver joins another one or ends.
    fn notice(&mut self, executor: usize) {
        let living: Vec<usize> = (0..self.drivers.len()).filter(|index| self.drivers[*index].is_alive).collect();
        match pick(&mut self.rng, &living) {
            Some(driver) if self.rng.random_bool(0.6) => {
                self.incarnations += 1;
                let incarnation = self.incarnations;
                self.executors[executor].attach(incarnation, driver);
            }
            _ => self.executors[executor].is_alive = false,
        }
    }

    fn deliver(&mut self, executor: usize) -> Result<(), Violation> {
        let (Some(driver), Some(event)) =
            (self.executors[executor].driver, self.executors[executor].outbox.pop_front())
        else {
            return Ok(());
        };
        self.apply(driver, event)
    }

    fn step_executor(&mut self, executor: usize) -> Result<(), Violation> {
        let failure = match self.rng.random_range(0..100) {
            0 if self.faults < FAULTS_MAX => Some(FailureKind::Task),
            1 | 2 if self.faults < FAULTS_MAX => Some(FailureKind::Unavailable),
            _ => None,
        };
        let mut around = Surroundings {
            store: &mut self.store,
            slots: &mut self.slots,
            switches: self.switches,
            next_work: &mut self.works,
            summary: &mut self.summary,
            failure,
            prefers_publishing: self.rng.random_bool(0.7),
            outgrows: self.rng.random_bool(0.2),
        };
        self.executors[executor].step(&mut around)
    }

    /// A request arrives; its reply may be lost, before or after it was done.
    fn perform_store(&mut self, index: usize) -> Result<(), Violation> {
        let Pending { driver, request, ask, is_ghost } = self.store.pending.remove(index);
        let is_create = matches!(ask, StoreRequest::Create { .. });
        if is_create && !is_ghost && self.rng.random_bool(0.05) {
            // Told as unknown now, done some time later.
            self.summary.lost_replies += 1;
            self.reply(driver, request, StoreReply::Uncertain("timed out".into()));
            self.store.pending.push(Pending { driver, request, ask, is_ghost: true });
            return Ok(());
        }
        let (reply, created) = self.store.perform(ask);
        if let Some(name) = created {
            self.checks.on_created(name, &self.store, &self.slots, self.publish)?;
        }
        if is_ghost {
            self.summary.late_requests += u64::from(created.is_some());
            return Ok(());
        }
        let lost = is_create && self.rng.random_bool(0.1);
        self.summary.lost_replies += u64::from(lost);
        self.reply(driver, request, if lost { StoreReply::Uncertain("reply lost".into()) } else { reply });
        Ok(())
    }

    fn reply(&mut self, driver: usize, request: u64, reply: StoreReply) {
        self.drivers[driver].events.push(Event::Store { request, reply });
    }

    fn apply(&mut self, driver: usize, event: Event) -> Result<(), Violation> {
        let actions = self.drivers[driver].machine.apply(self.now_us, event);
        for action in actions {
            self.perform(driver, action)?;
        }
        Ok(())
    }

    fn perform(&mut self, driver: usize, action: Action) -> Result<(), Violation> {
        match action {
            Action::Store { request, ask } => {
                self.store.pending.push(Pending { driver, request, ask, is_ghost: false });
            }
            Action::ResolveStart { source } => {
                let offsets = offsets(&[0; PARTITIONS as usize]);
                self.drivers[driver].events.push(Event::StartResolved { source, offsets });
            }
            Action::Poll { generation, .. } => {
                let source = SourceLatest { latest: offsets(&self.latest), ..SourceLatest::default() };
                let available = Availability { generation, sources: vec![source] };
                self.drivers[driver].events.push(Event::Available(available));
            }
            Action::Send { to, command } => {
                if let Command::RunBatch(run) = &command {
                    self.summary.runs_sent += 1;
                    self.checks.on_run(run)?;
                }
                let executor = self.executors.iter_mut().find(|executor| executor.info.key == to);
                if let Some(executor) = executor.filter(|executor| executor.driver == Some(driver)) {
                    executor.inbox.push_back(command);
                }
            }
            Action::RunSink { batch, attempt } => {
                self.checks.sunk.insert((batch, attempt));
                self.drivers[driver].events.push(Event::SinkDone { batch, attempt });
            }
            Action::Wake { at_us } => self.drivers[driver].wake_us = Some(at_us),
            Action::Ended(ending) => {
                self.summary.superseded += u64::from(matches!(ending, Ending::Superseded(_)));
                self.drivers[driver].is_alive = false;
            }
            Action::DropRows { .. } | Action::Report(_) | Action::Idle { .. } => {}
        }
        Ok(())
    }

    /// Everything is read and committed, and no driver is in the middle of something.
    fn is_done(&self) -> bool {
        let Some(last) = self.store.commits().checked_sub(1) else { return false };
        let Some(Body::Offsets(file)) = self.store.logs.get(&LogName::Offsets(last)) else { return false };
        let all = offsets(&[RECORDS; PARTITIONS as usize]);
        let is_read = file.ends.first().is_some_and(|end| end.as_ref() == Some(&all));
        let at_rest = |driver: &Driver| !driver.is_alive || driver.machine.status().phase == Phase::Idle;
        is_read && self.drivers.iter().all(at_rest)
    }

    fn finish(self) -> Result<Summary, Violation> {
        let commits = self.store.commits();
        if self.publish == PublishBy::Executors {
            for batch in 0..commits {
                exactly_once(batch, &self.slots)?;
            }
        }
        let generation = |name: &LogName| match self.store.logs.get(name) {
            Some(Body::Offsets(file)) => file.pyrite.as_ref().map_or(0, |extra| extra.map_generation),
            _ => 0,
        };
        let map_changes = commits.checked_sub(1).map_or(0, |last| generation(&LogName::Offsets(last)));
        Ok(Summary { batches: commits, map_changes, ..self.summary })
    }
}

fn offsets(values: &[i64]) -> Offsets {
    values.iter().enumerate().map(|(index, offset)| (TopicPartition::new("t", index as i32), *offset)).collect()
}

fn pick(rng: &mut StdRng, from: &[usize]) -> Option<usize> {
    if from.is_empty() { None } else { Some(from[rng.random_range(0..from.len())]) }
}
