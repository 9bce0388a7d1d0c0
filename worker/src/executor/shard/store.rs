//! The data of one shard: its database, overlays that are committed but not folded, and the pending one.
//!
//! The machine says what may happen; this does it. A batch reads by [`ShardStore::view`] while the keeper's thread
//! folds: committing only moves an overlay from pending to committed, so a next batch does not wait for RocksDB.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use pyrite_engine::task::{DueIndex, DueUpdate};

use super::database::Database;
use super::machine::Version;
use super::overlay::Overlay;
use super::rocks::Rocks;
use super::view::ShardView;

/// Committed overlays that may wait for their fold, after which the next batch folds first.
const UNFOLDED_MAX: usize = 8;
/// And their bytes.
const UNFOLDED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Which state a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId {
    /// The stateful operator.
    pub operator: u32,
    /// Its number in the shard map.
    pub shard: u32,
    /// Its first bucket.
    pub first_bucket: u16,
    /// Its last bucket.
    pub last_bucket: u16,
}

impl ShardId {
    /// Its buckets.
    pub fn buckets(&self) -> RangeInclusive<u16> {
        self.first_bucket..=self.last_bucket
    }
}

/// What a batch wrote, until it is committed.
pub struct PendingWrites {
    /// The version that they lead to.
    pub version: Version,
    /// The writes.
    pub overlay: Arc<Overlay>,
    /// What they change in the index of due times.
    pub dues: DueUpdate,
    /// Keys in the shard then.
    pub rows_total: u64,
}

/// The data of one shard.
pub struct ShardStore {
    id: ShardId,
    rocks: Arc<Rocks>,
    folder: PathBuf,
    inner: Mutex<Inner>,
    /// Held by whoever folds.
    folding: Mutex<()>,
}

#[derive(Default)]
struct Inner {
    /// Made at the first fold: a shard without state has none.
    database: Option<Arc<Database>>,
    folded: Option<Version>,
    /// Oldest first.
    committed: VecDeque<Committed>,
    pending: Option<PendingWrites>,
    dues: DueIndex,
    rows_total: u64,
    /// Counts what was cleared or installed, so that a fold that ran meanwhile changes nothing.
    generation: u64,
}

struct Committed {
    version: Version,
    overlay: Arc<Overlay>,
    rows_total: u64,
}

/// What one fold did.
pub struct Folded {
    /// The version that the database holds now.
    pub version: Version,
    /// Keys in it.
    pub rows_total: u64,
    /// Bytes that were written.
    pub bytes: usize,
    /// The database; none while nothing was ever written.
    pub database: Option<Arc<Database>>,
    /// More waits.
    pub more: bool,
}

impl ShardStore {
    /// An empty shard whose databases lie below `folder`.
    pub fn new(id: ShardId, rocks: Arc<Rocks>, folder: PathBuf) -> Self {
        Self { id, rocks, folder, inner: Mutex::default(), folding: Mutex::default() }
    }

    /// Which shard it is.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Where new databases go.
    pub fn folder(&self) -> &PathBuf {
        &self.folder
    }

    /// What the process's databases share.
    pub fn rocks(&self) -> &Arc<Rocks> {
        &self.rocks
    }

    /// The committed state.
    pub fn view(&self) -> ShardView {
        let inner = self.inner.lock();
        ShardView::new(
            inner.database.clone(),
            inner.committed.iter().map(|committed| committed.overlay.clone()).collect(),
        )
    }

    /// When the committed state's buckets are due.
    pub fn dues(&self) -> DueIndex {
        self.inner.lock().dues.clone()
    }

    /// Keys in the committed state.
    pub fn rows_total(&self) -> u64 {
        self.inner.lock().rows_total
    }

    /// Keeps a batch's writes until they are committed or dropped.
    pub fn stage(&self, pending: PendingWrites) {
        self.inner.lock().pending = Some(pending);
    }

    /// The pending writes of `version` are committed. Others are dropped.
    pub fn promote(&self, version: Version) {
        let mut inner = self.inner.lock();
        let Some(pending) = inner.pending.take().filter(|pending| pending.version == version) else { return };
        inner.dues.apply(&pending.dues);
        inner.rows_total = pending.rows_total;
        inner.committed.push_back(Committed { version, overlay: pending.overlay, rows_total: pending.rows_total });
    }

    /// Throws the pending writes away.
    pub fn drop_pending(&self) {
        self.inner.lock().pending = None;
    }

    /// Throws everything away. The database is returned, for closing it takes time.
    pub fn clear(&self) -> Option<Arc<Database>> {
        let mut inner = self.inner.lock();
        let generation = inner.generation + 1;
        let before = std::mem::replace(&mut *inner, Inner { generation, ..Inner::default() });
        before.database
    }

    /// Takes over a state that was restored.
    pub fn install(&self, version: Option<Version>, database: Option<Arc<Database>>, dues: DueIndex, rows_total: u64) {
        let mut inner = self.inner.lock();
        let generation = inner.generation + 1;
        *inner = Inner { database, folded: version, dues, rows_total, generation, ..Inner::default() };
    }

    /// Whether folds lag so far behind that the next batch should fold first.
    pub fn is_behind(&self) -> bool {
        let inner = self.inner.lock();
        let bytes: usize = inner.committed.iter().map(|committed| committed.overlay.memory_bytes()).sum();
        inner.committed.len() > UNFOLDED_MAX || bytes > UNFOLDED_BYTES_MAX
    }

    /// Puts the oldest committed overlay into the database. `None`: there was none.
    pub fn fold(&self) -> Result<Option<Folded>, rocksdb::Error> {
        let _one_at_a_time = self.folding.lock();
        let (generation, version, overlay, rows_total, database) = {
            let inner = self.inner.lock();
            let Some(oldest) = inner.committed.front() else { return Ok(None) };
            (inner.generation, oldest.version, oldest.overlay.clone(), oldest.rows_total, inner.database.clone())
        };
        let database = match database {
            None if !overlay.is_empty() => Some(Arc::new(Database::create(&self.rocks, &self.folder)?)),
            other => other,
        };
        if let Some(database) = &database {
            database.fold(&self.rocks, &overlay)?;
        }
        let mut inner = self.inner.lock();
        if inner.generation != generation {
            return Ok(None);
        }
        inner.database.clone_from(&database);
        inner.folded = Some(version);
        inner.committed.pop_front();
        let more = !inner.committed.is_empty();
        Ok(Some(Folded { version, rows_total, bytes: overlay.encoded().len(), database, more }))
    }
}
