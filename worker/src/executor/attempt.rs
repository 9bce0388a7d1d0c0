//! One attempt of one batch on this executor: who is still to say "done", what its jobs found, and how it ends.
//!
//! ```text
//! begin: own shards opened ┐
//! own source jobs ─ done ──┤ gate ──▶ finish job of each own shard ──▶ the last one: object, Prepared
//! other executors' "done" ─┘
//! ```
//!
//! No job waits for another: the last one to arrive starts the next stage. Cancelling sets a flag that every loop
//! looks at; the attempt has
//! *ended* when its last job has, which the run loop waits for before it starts the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use pyrite_engine::task::{OperatorTimes, ShardMap, ShardTask};
use pyrite_proto::executor as proto;
use pyrite_proto::executor::FailureKind;
use tokio_util::sync::CancellationToken;

use super::context::{QueryContext, ShardSlot, Shared, WorkEvent};
use super::error::Failure;
use super::pool::Priority;
use super::prepare;
use super::reserve::Holding;
use super::shard::{EncodedSection, ObjectCache, ShardId};
use super::shard_job;
use super::source_job;
use super::split_queue::SplitQueue;
use super::wire::{Batch, Split};

/// What the driver hears of a panic, whose message only the log has.
pub const PANICKED: &str = "a task panicked; the executor's log has the message";

/// One attempt. Jobs hold it by `Arc`.
pub struct Attempt {
    /// The process.
    pub shared: Arc<Shared>,
    /// The query.
    pub query: Arc<QueryContext>,
    /// What the driver asked for.
    pub batch: Batch,
    /// Buckets to shards; a query without state has none.
    pub shard_map: Option<Arc<ShardMap>>,
    /// This executor's shards by their number.
    pub own: BTreeMap<u32, OwnShard>,
    /// This executor's ranges by the index of their source.
    pub work: BTreeMap<usize, Mutex<SplitQueue>>,
    /// Executors that get frames of this one.
    pub receivers: BTreeSet<String>,
    /// Restores of this attempt share what they read.
    pub objects: ObjectCache,
    /// What its jobs found.
    pub results: Mutex<Results>,
    /// Cancelled with the attempt.
    pub token: CancellationToken,
    jobs: Mutex<Jobs>,
    has_failed: AtomicBool,
    /// Executors that have not said "done".
    senders: Mutex<BTreeSet<String>>,
    /// Senders and shards to open.
    gate: AtomicUsize,
    sources_left: AtomicUsize,
    /// Source jobs and shards.
    parts_left: AtomicUsize,
    is_preparing: AtomicBool,
}

/// One of this executor's shards in this attempt.
pub struct OwnShard {
    /// Its state.
    pub slot: Arc<ShardSlot>,
    /// Its receiving buffer, until it is finished.
    pub task: Mutex<Option<ShardTask>>,
    /// What the buffer takes of the memory for all.
    pub received: Holding,
    /// The operator's watermarks.
    pub times: OperatorTimes,
}

impl OwnShard {
    /// Which shard it is.
    pub fn id(&self) -> ShardId {
        self.slot.store.id()
    }
}

/// What the jobs found, for `Prepared`.
#[derive(Default)]
pub struct Results {
    /// Of each partition.
    pub sources: Vec<proto::SourceCounts>,
    /// Of each watermark and partition.
    pub event_times: Vec<proto::EventTimes>,
    /// Lost offsets.
    pub data_loss: Vec<String>,
    /// Of the stateful operators.
    pub operators: BTreeMap<u32, proto::OperatorCounts>,
    /// Rows for the sink.
    pub output_rows: u64,
    /// The shards' writes.
    pub sections: Vec<EncodedSection>,
}

/// Jobs in the pool's queue do not count: once the attempt is cancelled they never run.
#[derive(Default)]
struct Jobs {
    running: usize,
    cancelled: bool,
}

impl Attempt {
    /// Sets an attempt up. `opening` shards are not ready yet; nothing runs before [`Attempt::launch`].
    pub fn new(
        shared: Arc<Shared>,
        query: Arc<QueryContext>,
        batch: Batch,
        slots: Vec<Arc<ShardSlot>>,
        opening: usize,
    ) -> Arc<Self> {
        let me = shared.config.executor_id.clone();
        let stateful = query.compiled.is_stateful() && !batch.shards.is_empty();
        let shard_map =
            stateful.then(|| Arc::new(ShardMap::new(batch.shards.iter().map(|shard| shard.first_bucket).collect())));
        let mut own = BTreeMap::new();
        for slot in slots {
            let id = slot.store.id();
            let none = OperatorTimes { late_us: i64::MIN, evict_us: i64::MIN };
            let times = batch.times.get(&id.operator).copied().unwrap_or(none);
            let task = Mutex::new(Some(ShardTask::new(query.compiled.clone(), id.buckets())));
            own.insert(id.shard, OwnShard { slot, task, received: shared.received.holding(), times });
        }
        let mut splits: BTreeMap<usize, Vec<Split>> = BTreeMap::new();
        for split in batch.splits.iter().filter(|split| split.executor == me) {
            if let Some(source) = query.source_index(split.source) {
                splits.entry(source).or_default().push(split.clone());
            }
        }
        let source_jobs = splits.values().map(|splits| splits.len().min(shared.config.cores)).sum();
        let queue = |(source, splits)| (source, Mutex::new(SplitQueue::new(splits)));
        let work = splits.into_iter().map(queue).collect();
        let senders: BTreeSet<String> = match shard_map {
            Some(_) => batch.splits.iter().map(|split| split.executor.clone()).collect(),
            None => BTreeSet::new(),
        };
        let receivers =
            batch.shards.iter().map(|shard| shard.executor.clone()).filter(|executor| *executor != me).collect();
        Arc::new(Self {
            gate: AtomicUsize::new(senders.len() + opening),
            sources_left: AtomicUsize::new(source_jobs),
            parts_left: AtomicUsize::new(source_jobs + own.len()),
            token: CancellationToken::new(),
            jobs: Mutex::default(),
            has_failed: AtomicBool::new(false),
            is_preparing: AtomicBool::new(false),
            results: Mutex::default(),
            objects: ObjectCache::default(),
            senders: Mutex::new(senders),
            receivers: if stateful { receivers } else { BTreeSet::new() },
            shard_map,
            own,
            work,
            shared,
            query,
            batch,
        })
    }

    /// Starts the jobs: openings, then sources; what is due at once otherwise.
    pub fn launch(self: &Arc<Self>, openings: Vec<(u32, shard_job::Opening)>) {
        // Looked at before anything runs: afterwards whoever comes last acts.
        let is_open = self.gate.load(Ordering::Acquire) == 0;
        let is_empty = self.parts_left.load(Ordering::Acquire) == 0;
        for (shard, opening) in openings {
            self.submit(Priority::Shard, move |attempt| shard_job::open(attempt, shard, opening));
        }
        for (source, splits) in &self.work {
            let jobs = splits.lock().len().min(self.shared.config.cores);
            for _ in 0..jobs {
                let source = *source;
                self.submit(Priority::Source, move |attempt| source_job::read(attempt, source));
            }
        }
        if is_open {
            self.finish_shards();
        }
        if is_empty {
            self.prepare();
        }
    }

    /// Runs a job on a task thread, unless the attempt is cancelled. Its failure is the attempt's.
    pub fn submit(
        self: &Arc<Self>,
        priority: Priority,
        job: impl FnOnce(&Arc<Self>) -> Result<(), Failure> + Send + 'static,
    ) {
        let attempt = self.clone();
        let run = move || {
            if let Some(guard) = JobGuard::start(&attempt) {
                guard.run(job);
            }
        };
        self.shared.pool.submit(priority, Box::new(run));
    }

    /// Whether its work is void.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Makes its work void. `true`: nothing runs any more; else the run loop is told when that is so.
    pub fn cancel(&self) -> bool {
        let mut jobs = self.jobs.lock();
        jobs.cancelled = true;
        self.token.cancel();
        if jobs.running == 0 {
            self.let_go();
        }
        jobs.running == 0
    }

    /// Cancelled, and no job runs: what was received goes, from memory and from disk. A buffer that takes a frame just
    /// now is let go by who brings it.
    fn let_go(&self) {
        let buffers = self.own.values().filter_map(|own| {
            own.received.set(0);
            own.task.try_lock()?.take()
        });
        let buffers: Vec<ShardTask> = buffers.collect();
        let sections = std::mem::take(&mut self.results.lock().sections);
        if !(buffers.is_empty() && sections.is_empty()) {
            // Large files take time to go.
            self.shared.runtime.spawn_blocking(move || drop((buffers, sections)));
        }
    }

    /// Its first failure goes to the driver; the rest of its work is void.
    pub fn fail(&self, failure: Failure) {
        if self.is_cancelled() || self.has_failed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.cancel();
        let (query_id, version) = (self.batch.query_id.clone(), self.batch.version());
        // The run loop lives as long as anything that could be told.
        let _ = self.shared.events.send(WorkEvent::Failed { query_id, version, failure });
    }

    /// A source job has ended well: the last one says "done" to all receivers, and waits until they have taken it.
    pub fn source_done(self: &Arc<Self>) -> Result<(), Failure> {
        if self.sources_left.fetch_sub(1, Ordering::AcqRel) == 1 && self.shard_map.is_some() {
            for receiver in &self.receivers {
                self.shared.peers.done(self, receiver)?;
            }
            self.sender_done(&self.shared.config.executor_id);
            for receiver in &self.receivers {
                self.shared.peers.settle(self, receiver)?;
            }
        }
        self.part_done();
        Ok(())
    }

    /// An executor has sent all its frames.
    pub fn sender_done(self: &Arc<Self>, executor: &str) {
        if self.senders.lock().remove(executor) {
            self.pass_gate();
        }
    }

    /// A shard can be read.
    pub fn shard_open(self: &Arc<Self>) {
        self.pass_gate();
    }

    fn pass_gate(self: &Arc<Self>) {
        if self.gate.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.finish_shards();
        }
    }

    fn finish_shards(self: &Arc<Self>) {
        self.objects.clear();
        for shard in self.own.keys().copied() {
            self.submit(Priority::Shard, move |attempt| shard_job::finish(attempt, shard));
        }
    }

    /// A source job or shard has ended well: the last one prepares the batch.
    pub fn part_done(self: &Arc<Self>) {
        if self.parts_left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.prepare();
        }
    }

    /// At most once: preparing takes the results away, and a second `Prepared` would be an empty one.
    fn prepare(self: &Arc<Self>) {
        if !self.is_preparing.swap(true, Ordering::AcqRel) {
            self.submit(Priority::Shard, prepare::prepare);
        }
    }
}

/// Counts a job as running until it is dropped, and tells when it did not end as it should.
struct JobGuard {
    attempt: Arc<Attempt>,
    is_done: bool,
}

impl JobGuard {
    /// `None`: the attempt is cancelled, and may have been told to have ended.
    fn start(attempt: &Arc<Attempt>) -> Option<Self> {
        let mut jobs = attempt.jobs.lock();
        if jobs.cancelled {
            return None;
        }
        jobs.running += 1;
        Some(Self { attempt: attempt.clone(), is_done: false })
    }

    fn run(mut self, job: impl FnOnce(&Arc<Attempt>) -> Result<(), Failure>) {
        let result = job(&self.attempt);
        self.is_done = true;
        if let Err(failure) = result {
            self.attempt.fail(failure);
        }
    }
}

impl Drop for JobGuard {
    fn drop(&mut self) {
        if !self.is_done {
            self.attempt.fail(Failure::new(FailureKind::Task, PANICKED));
        }
        let mut jobs = self.attempt.jobs.lock();
        jobs.running -= 1;
        if jobs.cancelled && jobs.running == 0 {
            self.attempt.let_go();
            let (query_id, attempt) = (self.attempt.batch.query_id.clone(), self.attempt.batch.attempt);
            let _ = self.attempt.shared.events.send(WorkEvent::Joined { query_id, attempt });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::testing::World;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_batch_is_prepared_once_however_often_its_parts_end() {
        let mut world = World::new();
        let attempt = world.attempt(1);
        attempt.launch(Vec::new());
        attempt.launch(Vec::new());
        world.jobs_ended().await;
        let first = world.from_executor.try_recv().expect("it is prepared");
        assert!(matches!(first.message, Some(proto::executor_message::Message::Prepared(_))));
        assert!(world.from_executor.try_recv().is_err(), "and not again");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn jobs_that_wait_for_a_thread_do_not_hold_up_the_end() {
        let world = World::new();
        let attempt = world.attempt(1);
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let (started, starting) = std::sync::mpsc::channel();
        // Another query's job has the one thread.
        let other = move || {
            started.send(()).expect("the test waits");
            gate.recv().expect("the gate opens");
        };
        attempt.shared.pool.submit(Priority::Shard, Box::new(other));
        starting.recv().expect("it starts");
        let has_run = Arc::new(AtomicBool::new(false));
        let told = has_run.clone();
        attempt.submit(Priority::Shard, move |_| {
            told.store(true, Ordering::Release);
            Ok(())
        });
        assert!(attempt.cancel(), "nothing of it runs");
        go.send(()).expect("the job waits");
        world.jobs_ended().await;
        assert!(!has_run.load(Ordering::Acquire), "nor does it later");
    }
}
