//! The keeper of one query's shards: folds committed overlays into the databases and makes snapshots, on threads of
//! its own, off the path of the batches.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyrite_common::checkpoint::SnapshotRef;
use pyrite_common::store::CheckpointStore;

use super::database::Database;
use super::snapshot::{Frozen, Uploader};
use super::store::{Folded, ShardId, ShardStore};

/// When a shard is due for a snapshot: by bytes; or by versions, when the last one is some time ago; or by many
/// versions.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotPolicy {
    /// Changelog bytes since the last one.
    pub bytes: usize,
    /// Versions since the last one, if `interval` has passed too.
    pub versions: u64,
    /// See `versions`.
    pub interval: Duration,
    /// Versions after which one is made in any case: it bounds what a restore reads.
    pub versions_max: u64,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self { bytes: 64 << 20, versions: 100, interval: Duration::from_secs(10), versions_max: 1000 }
    }
}

/// Shards that are due at once would stop the folds of all for a while: each starts its count elsewhere.
const STAGGER: u64 = 37;

enum Chore {
    Fold(Arc<ShardStore>),
    Close(Arc<Database>),
}

/// A handle; dropping it ends the threads when they are done with what they have.
pub struct Keeper {
    chores: Option<Sender<Chore>>,
    threads: Vec<JoinHandle<()>>,
    finished: Arc<Mutex<Vec<SnapshotRef>>>,
}

impl Keeper {
    /// Starts the threads. `codec` is the version of keys and values.
    pub fn start(store: CheckpointStore, codec: u32, policy: SnapshotPolicy) -> std::io::Result<Self> {
        let (chores, inbox) = channel();
        let (frozen, uploads) = channel();
        let finished = Arc::new(Mutex::new(Vec::new()));
        let list = finished.clone();
        let folder = std::thread::Builder::new().name("state-fold".to_owned());
        let folder = folder.spawn(move || fold_all(&inbox, &frozen, policy))?;
        let uploader = std::thread::Builder::new().name("state-upload".to_owned());
        let uploader = uploader.spawn(move || upload_all(&uploads, Uploader::new(store, codec), &list))?;
        Ok(Self { chores: Some(chores), threads: vec![folder, uploader], finished })
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

    /// Snapshots that were finished since the last call.
    pub fn take_finished(&self) -> Vec<SnapshotRef> {
        std::mem::take(&mut self.finished.lock())
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
        self.chores = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What a shard has gathered since its last snapshot.
struct Since {
    versions: u64,
    bytes: usize,
    at: Instant,
}

fn fold_all(inbox: &Receiver<Chore>, frozen: &Sender<Frozen>, policy: SnapshotPolicy) {
    let mut since: HashMap<ShardId, Since> = HashMap::new();
    while let Ok(chore) = inbox.recv() {
        match chore {
            Chore::Close(database) => drop(database),
            Chore::Fold(shard) => {
                let fresh = || Since {
                    versions: u64::from(shard.id().shard) * STAGGER % policy.versions.max(1),
                    bytes: 0,
                    at: Instant::now(),
                };
                let since = since.entry(shard.id()).or_insert_with(fresh);
                fold_shard(&shard, since, frozen, policy);
            }
        }
    }
}

fn fold_shard(shard: &ShardStore, since: &mut Since, frozen: &Sender<Frozen>, policy: SnapshotPolicy) {
    loop {
        let folded = match shard.fold() {
            Ok(Some(folded)) => folded,
            Ok(None) => return,
            Err(error) => {
                // The overlay stays above the database, so nothing is lost and reads are right; the next commit tries
                // again.
                let ShardId { operator, shard, .. } = shard.id();
                tracing::warn!(operator, shard, %error, "fold failed");
                return;
            }
        };
        since.versions += 1;
        since.bytes += folded.bytes;
        let rested = since.at.elapsed() >= policy.interval;
        if since.bytes >= policy.bytes
            || (since.versions >= policy.versions && rested)
            || since.versions >= policy.versions_max
        {
            snapshot(shard, &folded, since, frozen);
        }
        if !folded.more {
            return;
        }
    }
}

fn snapshot(shard: &ShardStore, folded: &Folded, since: &mut Since, frozen: &Sender<Frozen>) {
    match shard.freeze(folded) {
        // The next fold finds it due again.
        Ok(None) => return,
        Ok(Some(files)) => {
            let _ = frozen.send(files);
        }
        Err(error) => tracing::warn!(shard = shard.id().shard, %error, "snapshot failed"),
    }
    *since = Since { versions: 0, bytes: 0, at: Instant::now() };
}

fn upload_all(uploads: &Receiver<Frozen>, mut uploader: Uploader, finished: &Mutex<Vec<SnapshotRef>>) {
    while let Ok(frozen) = uploads.recv() {
        let (id, version) = (frozen.id, frozen.version);
        match uploader.upload(frozen) {
            Ok(Some(snapshot)) => {
                tracing::debug!(operator = id.operator, shard = id.shard, batch = version.batch, "snapshot uploaded");
                finished.lock().push(snapshot);
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(operator = id.operator, shard = id.shard, %error, "snapshot not uploaded"),
        }
    }
}
