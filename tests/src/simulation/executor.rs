//! A simulated executor: the real shard machines round a model of the data, which is only its lineage.

use std::collections::{BTreeMap, VecDeque};

use pyrite_common::checkpoint::{AttemptId, ObjectRef, names};
use pyrite_driver::protocol::{
    BatchFailure, Command, Event, EventTimes, ExecutorInfo, ExecutorKey, FailureKind, PreparedReport, RunBatch,
};
use pyrite_worker::executor::shard::{Action as ShardAction, Event as ShardEvent, ShardMachine, State, Version};

use super::sink::{Progress, Publication, Slots};
use super::store::{Object, Store};
use super::world::{Summary, Switches};
use super::{UNITS, Violation, bucket_of};

/// The works that made each unit of a shard what it is.
type Content = BTreeMap<u16, Vec<u64>>;

#[derive(Default)]
struct Shard {
    machine: ShardMachine,
    content: Option<Content>,
    overlay: Option<u64>,
    /// A version that has to be read back.
    restore: Option<Option<Version>>,
}

/// One process. Messages of its stream keep their order.
pub struct Executor {
    pub info: ExecutorInfo,
    pub is_alive: bool,
    /// The driver at the other end; it may be dead, or have given this executor up, without its knowing.
    pub driver: Option<usize>,
    pub inbox: VecDeque<Command>,
    pub outbox: VecDeque<Event>,
    highest: AttemptId,
    run: Option<RunBatch>,
    works: bool,
    /// What the work on the current batch is called, once it has begun.
    work: Option<u64>,
    publishing: Vec<Publication>,
    publish_of: Option<(u64, AttemptId)>,
    shards: BTreeMap<(u16, u16), Shard>,
}

/// What an executor's step may touch.
pub struct Surroundings<'a> {
    pub store: &'a mut Store,
    pub slots: &'a mut Slots,
    pub switches: Switches,
    pub next_work: &'a mut u64,
    pub summary: &'a mut Summary,
    /// A failure to have, if it works on a batch.
    pub failure: Option<FailureKind>,
    /// Publish rather than take the next message.
    pub prefers_publishing: bool,
    /// A shard's writes outgrow memory.
    pub outgrows: bool,
}

impl Executor {
    pub fn new(id: &str, incarnation: u64, driver: usize) -> Executor {
        let info = ExecutorInfo {
            key: ExecutorKey { id: id.to_string(), incarnation: incarnation.to_string() },
            host: String::new(),
            cores: 1,
            memory_bytes: 0,
            shuffle_address: String::new(),
            shuffle_socket: String::new(),
            machine_id: String::new(),
            pid: 0,
        };
        let mut executor = Executor {
            info,
            is_alive: true,
            driver: None,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            highest: AttemptId::default(),
            run: None,
            works: false,
            work: None,
            publishing: Vec::new(),
            publish_of: None,
            shards: BTreeMap::new(),
        };
        executor.attach(incarnation, driver);
        executor
    }

    /// Joins a driver as a new incarnation, keeping committed shards as a cache.
    pub fn attach(&mut self, incarnation: u64, driver: usize) {
        for shard in self.shards.values_mut() {
            shard.apply(ShardEvent::Disconnected);
        }
        self.inbox.clear();
        self.outbox.clear();
        self.cancel();
        self.run = None;
        self.highest = AttemptId::default();
        self.info.key.incarnation = incarnation.to_string();
        self.driver = Some(driver);
        self.outbox.push_back(Event::ExecutorJoined(self.info.clone()));
    }

    pub fn has_work(&self) -> bool {
        self.works || !self.publishing.is_empty() || !self.inbox.is_empty()
    }

    fn cancel(&mut self) {
        self.works = false;
        self.work = None;
        self.publishing.clear();
        self.publish_of = None;
    }

    /// One step: publish, compute, or take a message.
    pub fn step(&mut self, around: &mut Surroundings<'_>) -> Result<(), Violation> {
        if !self.publishing.is_empty() && (around.prefers_publishing || self.inbox.is_empty()) {
            self.publish_step(around);
            return Ok(());
        }
        if self.works && (self.inbox.is_empty() || around.prefers_publishing) {
            return self.work_step(around);
        }
        match self.inbox.pop_front() {
            Some(command) => self.take(command, around.switches),
            None => Ok(()),
        }
    }

    fn take(&mut self, command: Command, switches: Switches) -> Result<(), Violation> {
        match command {
            Command::RunBatch(run) if run.attempt < self.highest => drop(run),
            Command::RunBatch(run) => self.begin(*run, switches),
            Command::Abort { attempt } => {
                if self.run.as_ref().is_some_and(|run| run.attempt <= attempt) {
                    self.cancel();
                }
                for shard in self.shards.values_mut() {
                    shard.apply(ShardEvent::Abort(switches.seen(0, attempt).attempt));
                }
            }
            Command::Publish { batch, attempt } => self.begin_publishing(batch, attempt),
            Command::Committed { batch, attempt } => {
                for shard in self.shards.values_mut() {
                    shard.apply(ShardEvent::Committed(switches.seen(batch, attempt)));
                }
            }
            Command::StopQuery | Command::Shutdown { .. } => {
                self.cancel();
                self.run = None;
                self.shards.clear();
            }
            Command::StartQuery => {}
        }
        Ok(())
    }

    fn begin(&mut self, run: RunBatch, switches: Switches) {
        self.highest = run.attempt;
        self.cancel();
        let base = run.base.map(|(batch, attempt)| switches.seen(batch, attempt));
        let next = switches.seen(run.batch, run.attempt);
        for range in mine(&run, &self.info.key.id) {
            self.shards.entry(range).or_default().apply(ShardEvent::Run { base, next });
        }
        self.works = true;
        self.run = Some(run);
    }

    /// Restores one shard, or finishes the batch when all are ready.
    fn work_step(&mut self, around: &mut Surroundings<'_>) -> Result<(), Violation> {
        let Some(run) = self.run.clone() else { return Ok(()) };
        if let Some(kind) = around.failure {
            self.works = false;
            self.outbox.push_back(self.failed(&run, kind));
            return Ok(());
        }
        let ranges = mine(&run, &self.info.key.id);
        let last = run.base.map(|(batch, _)| batch);
        for range in &ranges {
            let shard = self.shards.get_mut(range).expect("made when the batch began");
            if let Some(version) = shard.restore.take() {
                around.summary.restores += u64::from(last.is_some());
                let content = restored(around.store, *range, last)?;
                shard.content = Some(content);
                shard.apply(ShardEvent::Restored(version));
                return Ok(());
            }
        }
        let work = *self.work.get_or_insert_with(|| {
            *around.next_work += 1;
            *around.next_work - 1
        });
        let next = around.switches.seen(run.batch, run.attempt);
        for range in &ranges {
            let shard = self.shards.get_mut(range).expect("made when the batch began");
            if shard.machine.state() == State::Dirty(next) {
                continue;
            }
            shard.check_base(*range, &run, around.store)?;
            if around.outgrows {
                // Anything may happen before its other writes, and before those of the other shards.
                around.summary.early += 1;
                shard.apply(ShardEvent::AppliedEarly(next));
                shard.add(work);
                return Ok(());
            }
        }
        for range in &ranges {
            let shard = self.shards.get_mut(range).expect("made when the batch began");
            if shard.machine.state() != State::Dirty(next) {
                shard.overlay = Some(work);
            }
            shard.apply(ShardEvent::Finished(next));
        }
        let units = ranges.iter().flat_map(|range| units_of(*range)).collect();
        self.works = false;
        let object = self.upload(around.store, &run, work, units)?;
        let report =
            PreparedReport { object, event_times: event_times(&run, &self.info.key.id), ..PreparedReport::default() };
        let (from, batch, attempt) = (self.info.key.clone(), run.batch, run.attempt);
        self.outbox.push_back(Event::Prepared { from, batch, attempt, report: Box::new(report) });
        Ok(())
    }

    fn upload(
        &self,
        store: &mut Store,
        run: &RunBatch,
        work: u64,
        units: Vec<u16>,
    ) -> Result<Option<ObjectRef>, Violation> {
        if units.is_empty() {
            return Ok(None);
        }
        let name = names::state_log(run.batch, run.attempt, &self.info.key.id);
        let object = Object { batch: run.batch, attempt: run.attempt, work, units };
        if store.objects.insert(name.clone(), object).is_some() {
            return Err(Violation(format!("object {name} is written again")));
        }
        Ok(Some(ObjectRef { name, length: 0, crc: 0 }))
    }

    fn begin_publishing(&mut self, batch: u64, attempt: AttemptId) {
        let Some(run) = self.run.as_ref().filter(|run| run.attempt == attempt && run.batch == batch) else { return };
        let ours = run.shards.iter().filter(|shard| shard.executor == self.info.key.id);
        self.publishing = ours
            .map(|shard| {
                let units = units_of((shard.first_bucket, shard.last_bucket));
                Publication::new((run.shards.len(), shard.index), batch, units)
            })
            .collect();
        self.publish_of = Some((batch, attempt));
        self.published_when_done();
    }

    fn publish_step(&mut self, around: &mut Surroundings<'_>) {
        let Some(publication) = self.publishing.first_mut() else { return };
        match publication.advance(around.slots, around.switches.marker) {
            Progress::GoesOn => {}
            Progress::Done => {
                self.publishing.remove(0);
                self.published_when_done();
            }
            Progress::Fenced => {
                around.summary.fenced += 1;
                self.publishing.clear();
                self.publish_of = None;
                if let Some(run) = self.run.clone() {
                    self.outbox.push_back(self.failed(&run, FailureKind::Unavailable));
                }
            }
        }
    }

    fn published_when_done(&mut self) {
        if self.publishing.is_empty()
            && let Some((batch, attempt)) = self.publish_of.take()
        {
            self.outbox.push_back(Event::Published { from: self.info.key.clone(), batch, attempt });
        }
    }

    fn failed(&self, run: &RunBatch, kind: FailureKind) -> Event {
        let failure = BatchFailure {
            kind,
            message: "simulated".into(),
            error_class: String::new(),
            sql_state: String::new(),
            parameters: BTreeMap::new(),
            unreachable: None,
        };
        let (from, batch, attempt) = (self.info.key.clone(), run.batch, run.attempt);
        Event::Failed { from, batch, attempt, failure: Box::new(failure) }
    }
}

impl Shard {
    /// The batch must run on exactly what the commits before it say.
    fn check_base(&self, range: (u16, u16), run: &RunBatch, store: &Store) -> Result<(), Violation> {
        if !self.machine.is_ready() {
            return Err(Violation(format!("a shard is not ready and has nothing to restore: {:?}", self.machine)));
        }
        for unit in units_of(range) {
            let expected = store.lineage(unit, run.base.map(|(batch, _)| batch));
            let has = self.content.as_ref().and_then(|content| content.get(&unit)).cloned();
            if expected != has {
                return Err(Violation(format!(
                    "unit {unit} runs batch {} on {has:?} where the commits say {expected:?}",
                    run.batch
                )));
            }
        }
        Ok(())
    }

    /// Puts a work's writes into the database.
    fn add(&mut self, work: u64) {
        if let Some(content) = self.content.as_mut() {
            content.values_mut().for_each(|works| works.push(work));
        }
    }

    fn apply(&mut self, event: ShardEvent) {
        for action in self.machine.apply(event) {
            match action {
                ShardAction::Fold(_) => {
                    if let Some(work) = self.overlay.take() {
                        self.add(work);
                    }
                }
                ShardAction::DropOverlay => self.overlay = None,
                ShardAction::DropDatabase => self.content = None,
                ShardAction::Restore(version) => self.restore = Some(version),
            }
        }
    }
}

fn mine(run: &RunBatch, executor: &str) -> Vec<(u16, u16)> {
    let ours = run.shards.iter().filter(|shard| shard.executor == executor);
    ours.map(|shard| (shard.first_bucket, shard.last_bucket)).collect()
}

fn units_of((first, last): (u16, u16)) -> Vec<u16> {
    (0..UNITS).filter(|unit| (first..=last).contains(&bucket_of(*unit))).collect()
}

/// Reads the state of a range as of a batch from the objects that the commits name.
fn restored(store: &Store, range: (u16, u16), last: Option<u64>) -> Result<Content, Violation> {
    let mut content = Content::new();
    for unit in units_of(range) {
        let works = store
            .lineage(unit, last)
            .ok_or_else(|| Violation(format!("the commits up to {last:?} do not name the state of unit {unit}")))?;
        content.insert(unit, works);
    }
    Ok(content)
}

/// Every record's event time is its offset in seconds, so watermarks move with the data.
fn event_times(run: &RunBatch, executor: &str) -> Vec<EventTimes> {
    let ours = run.splits.iter().filter(|placed| placed.executor == executor);
    ours.map(|placed| EventTimes {
        node: 0,
        source: placed.split.source,
        topic: placed.split.topic.clone(),
        partition: placed.split.partition,
        max_us: (placed.split.end - 1) * 1_000_000,
        min_us: placed.split.start * 1_000_000,
        sum_offset_us: 0.0,
        count: 1,
    })
    .collect()
}
