//! The data of one shard: its database, overlays that are committed but not folded, and the pending one.
//!
//! The machine says what may happen; this does it. A batch reads by [`ShardStore::view`] while the keeper's thread
//! folds: committing only moves an overlay from pending to committed, so a next batch does not wait for RocksDB.
//!
//! Overlays are held within a reserve that all shards of the process share. A batch whose writes do not fit puts them
//! into the database before its commit ([`ShardStore::apply_early`]): until the commit the database is of no version,
//! which keeps snapshots away, and it goes when the batch does not become the commit.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use pyrite_engine::task::{DueIndex, DueUpdate};

use super::database::Database;
use super::id::ShardId;
use super::machine::Version;
use super::overlay::Overlay;
use super::policy::Chain;
use super::rocks::Rocks;
use super::snapshot::{Frozen, SnapshotError, freeze};
use super::view::ShardView;
use crate::executor::reserve::{Holding, Reserve};

/// Committed overlays that may wait for their fold, after which the next batch folds first.
const UNFOLDED_MAX: usize = 8;
/// And their bytes.
const UNFOLDED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a batch wrote, until it is committed.
pub struct PendingWrites {
    /// The version that they lead to.
    pub version: Version,
    /// The writes that are not in the database yet.
    pub overlay: Arc<Overlay>,
    /// Bytes of all its writes, in the database or not.
    pub bytes: usize,
    /// What they change in the index of due times.
    pub dues: DueUpdate,
    /// Keys in the shard then.
    pub rows_total: u64,
}

/// A state that was read back.
pub struct Opened {
    /// The database; none while nothing was ever written.
    pub database: Option<Arc<Database>>,
    /// When its buckets are due.
    pub dues: DueIndex,
    /// Keys in it.
    pub rows_total: u64,
    /// What was replayed.
    pub chain: Chain,
}

/// The data of one shard.
pub struct ShardStore {
    id: ShardId,
    rocks: Arc<Rocks>,
    folder: PathBuf,
    inner: Mutex<Inner>,
    /// What the overlays take of the memory for all.
    holding: Holding,
    /// Held by whoever writes to the database or freezes it.
    folding: Mutex<()>,
}

#[derive(Default)]
struct Inner {
    /// Made at the first fold: a shard without state has none.
    database: Option<Arc<Database>>,
    /// The version that it holds, and the keys in it; none: it is between two, or was never written.
    folded: Option<(Version, u64)>,
    /// What the database holds beyond the last snapshot.
    chain: Chain,
    /// Oldest first.
    committed: VecDeque<Committed>,
    pending: Option<PendingWrites>,
    /// Bytes of the overlay that a batch is making.
    making: usize,
    /// Whether the database holds writes of a batch that is not committed.
    is_dirty: bool,
    dues: DueIndex,
    rows_total: u64,
    /// Counts what was cleared or installed, so that a fold that ran meanwhile changes nothing.
    generation: u64,
}

#[derive(Clone)]
struct Committed {
    version: Version,
    overlay: Arc<Overlay>,
    bytes: usize,
    rows_total: u64,
}

impl ShardStore {
    /// An empty shard whose databases lie below `folder`, and whose overlays are held within `reserve`.
    pub fn new(id: ShardId, rocks: Arc<Rocks>, folder: PathBuf, reserve: &Arc<Reserve>) -> Self {
        let holding = reserve.holding();
        Self { id, rocks, folder, inner: Mutex::default(), holding, folding: Mutex::default() }
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
        let mut inner = self.inner.lock();
        inner.making = 0;
        inner.pending = Some(pending);
        self.account(&inner);
    }

    /// A batch makes an overlay, of `bytes` by now. `true`: that is too much to be held.
    pub fn is_making(&self, bytes: usize) -> bool {
        let mut inner = self.inner.lock();
        inner.making = bytes;
        self.account(&inner)
    }

    fn account(&self, inner: &Inner) -> bool {
        let committed: usize = inner.committed.iter().map(|committed| committed.overlay.memory_bytes()).sum();
        let pending = inner.pending.as_ref().map_or(0, |pending| pending.overlay.memory_bytes());
        self.holding.set(committed + pending + inner.making)
    }

    /// Puts writes of a batch that is not committed into the database, above all that is committed. The machine must
    /// have said that it may be: from now on the database is of no version.
    pub fn apply_early(&self, writes: &Overlay) -> Result<(), rocksdb::Error> {
        while self.fold()?.is_some() {}
        let _one_at_a_time = self.folding.lock();
        let (generation, database) = {
            let mut inner = self.inner.lock();
            inner.is_dirty = true;
            (inner.generation, inner.database.clone())
        };
        let database = match database {
            Some(database) => database,
            None => Arc::new(Database::create(&self.rocks, &self.folder)?),
        };
        database.fold(&self.rocks, writes)?;
        let mut inner = self.inner.lock();
        // Cleared meanwhile: the batch is void, and what it writes goes with its last user.
        if inner.generation == generation {
            inner.database = Some(database);
        }
        Ok(())
    }

    /// The pending writes of `version` are committed. Others are dropped. `false`: there were none of that version.
    pub fn promote(&self, version: Version) -> bool {
        let mut inner = self.inner.lock();
        let Some(pending) = inner.pending.take().filter(|pending| pending.version == version) else {
            return false;
        };
        let PendingWrites { overlay, bytes, dues, rows_total, .. } = pending;
        if std::mem::take(&mut inner.is_dirty) {
            // Already: what an older fold has left is not there any more, to be frozen.
            inner.folded = Some((version, rows_total));
        }
        inner.dues.apply(&dues);
        inner.rows_total = rows_total;
        inner.committed.push_back(Committed { version, overlay, bytes, rows_total });
        true
    }

    /// Throws the pending writes away.
    pub fn drop_pending(&self) {
        let mut inner = self.inner.lock();
        inner.pending = None;
        inner.making = 0;
        self.account(&inner);
    }

    /// Throws everything away. The database is returned, for closing it takes time.
    pub fn clear(&self) -> Option<Arc<Database>> {
        let mut inner = self.inner.lock();
        let generation = inner.generation + 1;
        let before = std::mem::replace(&mut *inner, Inner { generation, ..Inner::default() });
        self.account(&inner);
        before.database
    }

    /// Takes over a state that was restored.
    pub fn install(&self, version: Version, opened: Opened) {
        let Opened { database, dues, rows_total, chain } = opened;
        let mut inner = self.inner.lock();
        let (generation, folded) = (inner.generation + 1, Some((version, rows_total)));
        *inner = Inner { database, folded, chain, dues, rows_total, generation, ..Inner::default() };
        self.account(&inner);
    }

    /// Whether folds lag so far behind that the next batch should fold first.
    pub fn is_behind(&self) -> bool {
        let inner = self.inner.lock();
        let bytes: usize = inner.committed.iter().map(|committed| committed.overlay.memory_bytes()).sum();
        inner.committed.len() > UNFOLDED_MAX || bytes > UNFOLDED_BYTES_MAX
    }

    /// Puts the oldest committed overlay into the database, and says of which version that is now. `None`: there was
    /// none.
    pub fn fold(&self) -> Result<Option<Version>, rocksdb::Error> {
        let _one_at_a_time = self.folding.lock();
        let (generation, oldest, database) = {
            let mut inner = self.inner.lock();
            let Some(oldest) = inner.committed.front().cloned() else {
                return Ok(None);
            };
            // Were this to fail half-way, the database would hold a part of the version.
            inner.folded = None;
            (inner.generation, oldest, inner.database.clone())
        };
        let Committed { version, overlay, bytes, rows_total } = oldest;
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
        inner.database = database;
        inner.folded = Some((version, rows_total));
        inner.chain.grow(bytes as u64);
        inner.committed.pop_front();
        self.account(&inner);
        Ok(Some(version))
    }

    /// What a restore would replay, as far as it is folded.
    pub fn chain(&self) -> Chain {
        self.inner.lock().chain
    }

    /// Freezes the database at the version that it holds. `None`: it holds none now, another time will do.
    pub fn freeze(&self) -> Result<Option<Frozen>, SnapshotError> {
        let _no_writes = self.folding.lock();
        let ((version, rows_total), database) = {
            let mut inner = self.inner.lock();
            let Some(folded) = inner.folded.filter(|_| !inner.is_dirty) else { return Ok(None) };
            // Also when it fails: a disk that has no room now hardly has some at the next batch.
            inner.chain = Chain::default();
            (folded, inner.database.clone())
        };
        freeze(self.id, version, rows_total, database.as_deref()).map(Some)
    }
}
