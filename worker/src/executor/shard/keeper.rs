//! The keeper of one query's shards: folds committed overlays into the databases and makes snapshots, on threads of
//! its own, off the path of the batches.
//!
//! One snapshot is on its way at a time, and between two the disk gets a rest. Shards that are due meanwhile stand in
//! line, and their turns come in the order in which they did: what a restore replays is bounded by the policy and by
//! the time that one round of the line takes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use pyrite_common::checkpoint::SnapshotRef;
use pyrite_common::store::CheckpointStore;

use super::database::Database;
use super::id::ShardId;
use super::policy::SnapshotPolicy;
use super::snapshot::{Frozen, Uploader};
use super::store::ShardStore;

/// Times an upload's own that the next one waits: small snapshots are mostly waiting for the disk, and batches wait for
/// the same disk.
const REST_FACTOR: u32 = 3;
/// And the longest rest: large snapshots must keep up with what is written.
const REST_MAX: Duration = Duration::from_secs(1);

enum Chore {
    Fold(Arc<ShardStore>),
    Close(Arc<Database>),
}

/// A handle; dropping it ends the threads. What waits then is dropped too: the databases go with the query.
pub struct Keeper {
    chores: Option<Sender<Chore>>,
    threads: Vec<JoinHandle<()>>,
    desk: Arc<Desk>,
}

/// What the threads share.
struct Desk {
    policy: SnapshotPolicy,
    uploader: Uploader,
    finished: Mutex<Vec<SnapshotRef>>,
    line: Mutex<Line>,
    /// Rung when a shard enters the line, and at the end.
    bell: Condvar,
    is_stopping: AtomicBool,
}

/// The shards that wait for a snapshot, each once.
#[derive(Default)]
struct Line {
    /// One that has gone meanwhile leaves only its place.
    shards: VecDeque<(ShardId, Weak<ShardStore>)>,
    ids: BTreeSet<ShardId>,
}

impl Line {
    fn enter(&mut self, shard: &Arc<ShardStore>) {
        if self.ids.insert(shard.id()) {
            self.shards.push_back((shard.id(), Arc::downgrade(shard)));
        }
    }

    fn next(&mut self) -> Option<Arc<ShardStore>> {
        loop {
            let (id, shard) = self.shards.pop_front()?;
            self.ids.remove(&id);
            if let Some(shard) = shard.upgrade() {
                return Some(shard);
            }
        }
    }
}

impl Keeper {
    /// Starts the threads. `codec` is the version of keys and values.
    pub fn start(store: CheckpointStore, codec: u32, policy: SnapshotPolicy) -> std::io::Result<Self> {
        let desk = Arc::new(Desk {
            policy,
            uploader: Uploader::new(store, codec),
            finished: Mutex::default(),
            line: Mutex::default(),
            bell: Condvar::new(),
            is_stopping: AtomicBool::new(false),
        });
        let (chores, inbox) = channel();
        let mut keeper = Self { chores: Some(chores), threads: Vec::new(), desk: desk.clone() };
        let folding = desk.clone();
        let folder = std::thread::Builder::new().name("state-fold".to_owned());
        keeper.threads.push(folder.spawn(move || folding.fold_all(&inbox))?);
        let uploader = std::thread::Builder::new().name("state-upload".to_owned());
        keeper.threads.push(uploader.spawn(move || desk.upload_all())?);
        Ok(keeper)
    }

    /// Folds what is committed in `shard`, soon.
    pub fn fold(&self, shard: Arc<ShardStore>) {
        self.send(Chore::Fold(shard));
    }

    /// Closes a database that is not needed any more.
    pub fn close(&self, database: Option<Arc<Database>>) {
        if let Some(database) = database {
            self.send(Chore::Close(database));
        }
    }

    /// Makes a snapshot of a shard that was just restored, at once, when that took more than it should. Without it a
    /// query that runs one batch a start would replay ever more: a snapshot that follows a batch is named by the next
    /// batch's commit, and there is none. It is only a help, so a failure is but told.
    pub fn shorten(&self, shard: &ShardStore, cancelled: &dyn Fn() -> bool) {
        if !self.desk.policy.is_full(shard.chain()) {
            return;
        }
        if let Some(frozen) = freeze(shard) {
            self.desk.upload(frozen, cancelled);
        }
    }

    /// Snapshots that were finished since the last call.
    pub fn take_finished(&self) -> Vec<SnapshotRef> {
        std::mem::take(&mut self.desk.finished.lock())
    }

    fn send(&self, chore: Chore) {
        // The thread ends only after this sender is gone; were it to panic, folds fall to the batches.
        if let Some(chores) = &self.chores
            && chores.send(chore).is_err()
        {
            tracing::error!("the state keeper has ended");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.desk.stop();
        self.chores = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    fn stop(&self) {
        // Under the lock: who has looked and not yet fallen asleep would not hear the bell.
        let _line = self.line.lock();
        self.is_stopping.store(true, Ordering::Release);
        self.bell.notify_all();
    }

    fn fold_all(&self, inbox: &Receiver<Chore>) {
        while let Ok(chore) = inbox.recv() {
            match chore {
                Chore::Close(database) => drop(database),
                Chore::Fold(_) if self.is_stopping() => {}
                Chore::Fold(shard) => {
                    fold(&shard);
                    // Also when there was nothing to fold: batches that lack memory do it themselves.
                    if self.policy.is_due(shard.id().shard, shard.chain()) {
                        self.line.lock().enter(&shard);
                        self.bell.notify_all();
                    }
                }
            }
        }
    }

    fn upload_all(&self) {
        while let Some(shard) = self.next_in_line() {
            // It may have been restored meanwhile, and `shorten` be at it.
            if !self.policy.is_due(shard.id().shard, shard.chain()) {
                continue;
            }
            let started = Instant::now();
            // One that is between two versions now comes again with its next fold.
            if let Some(frozen) = freeze(&shard) {
                drop(shard);
                self.upload(frozen, &|| self.is_stopping());
                self.rest((started.elapsed() * REST_FACTOR).min(REST_MAX));
            }
        }
    }

    /// Waits for a shard that is due. `None`: the end has come.
    fn next_in_line(&self) -> Option<Arc<ShardStore>> {
        let mut line = self.line.lock();
        while !self.is_stopping() {
            match line.next() {
                Some(shard) => return Some(shard),
                None => self.bell.wait(&mut line),
            }
        }
        None
    }

    fn rest(&self, time: Duration) {
        let end = Instant::now() + time;
        let mut line = self.line.lock();
        while !self.is_stopping() && !self.bell.wait_until(&mut line, end).timed_out() {}
    }

    fn upload(&self, frozen: Frozen, cancelled: &dyn Fn() -> bool) {
        let (ShardId { operator, shard, .. }, batch) = (frozen.id, frozen.version.batch);
        match self.uploader.upload(frozen, cancelled) {
            Ok(Some(snapshot)) => {
                tracing::debug!(operator, shard, batch, "snapshot uploaded");
                self.finished.lock().push(snapshot);
            }
            Ok(None) => tracing::warn!(operator, shard, batch, "another snapshot has the name"),
            Err(_) if cancelled() => {}
            Err(error) => tracing::warn!(operator, shard, batch, %error, "snapshot not uploaded"),
        }
    }
}

fn fold(shard: &ShardStore) {
    loop {
        match shard.fold() {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(error) => {
                // The overlay stays above the database, so nothing is lost and reads are right; the next commit tries
                // again.
                let ShardId { operator, shard, .. } = shard.id();
                tracing::warn!(operator, shard, %error, "fold failed");
                return;
            }
        }
    }
}

fn freeze(shard: &ShardStore) -> Option<Frozen> {
    shard.freeze().unwrap_or_else(|error| {
        let ShardId { operator, shard, .. } = shard.id();
        tracing::warn!(operator, shard, %error, "snapshot failed");
        None
    })
}
