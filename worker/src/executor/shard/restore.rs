//! Reads the state of a range of buckets at a committed version back from the checkpoint.
//!
//! Commits are read from the base backwards until snapshots cover every bucket, or batch 0 is reached; then the
//! changelog sections that those commits name are applied in order, clipped to the buckets. Which shard map wrote a
//! snapshot or section does not matter: keys begin with their bucket. A snapshot that is damaged is named in the log
//! and an older one is taken.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use pyrite_common::checkpoint::{CommitExtra, CommitFile, LogError, ObjectRef, SnapshotManifest, SnapshotRef, names};
use pyrite_common::error::Kind;
use pyrite_common::store::{CheckpointStore, StoreError};
use rocksdb::{IteratorMode, ReadOptions};

use super::changelog::{Changelog, ChangelogError, Section};
use super::database::{Database, Writer, new_folder};
use super::id::ShardId;
use super::machine::Version;
use super::policy::Chain;
use super::rocks::Rocks;
use super::snapshot::{SnapshotError, download, read_manifest, shared};

/// Why a shard's state could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A commit cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store failed, or a commit is missing.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A changelog object cannot be read.
    #[error(transparent)]
    Changelog(#[from] ChangelogError),
    /// An object or the local database failed.
    #[error(transparent)]
    Object(#[from] SnapshotError),
    /// The local database failed.
    #[error("state database: {0}")]
    Database(#[from] rocksdb::Error),
    /// The checkpoint does not have the version.
    #[error("`{name}` is of attempt {found}, but the state of attempt {wanted} is asked for")]
    OtherAttempt { name: String, found: String, wanted: String },
    /// Written by Spark: it has offsets, but no state of ours.
    #[error("`{0}` was written by Spark: its state cannot be read by Pyrite")]
    NotOurs(String),
}

impl RestoreError {
    /// What it means for the batch.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Log(_) | Self::OtherAttempt { .. } => Kind::Corrupt,
            Self::Changelog(error) => error.kind(),
            Self::NotOurs(_) => Kind::Invalid,
            Self::Store(error) if error.kind() == Kind::NotFound => Kind::Corrupt,
            Self::Store(error) => error.kind(),
            Self::Object(error) => error.kind(),
            Self::Database(_) => Kind::Internal,
        }
    }
}

/// Objects read during one batch's restores: several shards need sections of the same.
#[derive(Default)]
pub struct ObjectCache {
    logs: Mutex<HashMap<String, Arc<Changelog>>>,
    commits: Mutex<HashMap<u64, Arc<CommitExtra>>>,
}

impl ObjectCache {
    /// Forgets what was read: the restores are done.
    pub fn clear(&self) {
        self.logs.lock().clear();
        self.commits.lock().clear();
    }
}

/// Keys that are copied between looks at whether anyone still wants them.
const KEYS_PER_CHECK: u64 = 4096;

/// What a restore needs to know.
pub struct Restorer<'a> {
    /// Where from.
    pub store: &'a CheckpointStore,
    /// Shared by the restores of one batch.
    pub cache: &'a ObjectCache,
    /// The databases' common part.
    pub rocks: &'a Rocks,
    /// Where the database goes.
    pub folder: &'a Path,
    /// The version of keys and values.
    pub codec: u32,
    /// Whether the state is not wanted any more; looked at before each commit, object and file.
    pub cancelled: &'a dyn Fn() -> bool,
}

/// A shard's state.
pub struct Restored {
    /// The database; none when nothing was ever written.
    pub database: Option<Database>,
    /// Keys in it.
    pub rows_total: u64,
    /// What was replayed after the snapshots.
    pub chain: Chain,
}

/// From where each bucket comes.
struct Plan {
    /// Newest snapshot of each bucket, by its index in `snapshots`.
    bucket_snapshot: Vec<Option<usize>>,
    snapshots: Vec<SnapshotRef>,
    /// Oldest first.
    commits: Vec<(u64, Arc<CommitExtra>)>,
}

impl Restorer<'_> {
    /// The state of `id`'s operator and buckets at `base`.
    pub fn restore(&self, id: ShardId, base: Version) -> Result<Restored, RestoreError> {
        let mut damaged = HashSet::new();
        loop {
            let plan = self.plan(id, base, &damaged)?;
            match self.open_snapshots(id, &plan) {
                Ok((database, rows)) => return self.replay(id, &plan, database, rows),
                Err((name, error)) if error.kind() == Kind::Corrupt => {
                    tracing::warn!(snapshot = name, %error, "snapshot damaged, trying an older one");
                    damaged.insert(name);
                }
                Err((_, error)) => return Err(error.into()),
            }
        }
    }

    fn plan(&self, id: ShardId, base: Version, damaged: &HashSet<String>) -> Result<Plan, RestoreError> {
        let buckets = id.buckets().count();
        let mut plan = Plan { bucket_snapshot: vec![None; buckets], snapshots: Vec::new(), commits: Vec::new() };
        for batch in (0..=base.batch).rev() {
            let commit = self.commit(batch)?;
            if batch == base.batch && commit.attempt != base.attempt {
                let (found, wanted) = (commit.attempt.to_string(), base.attempt.to_string());
                return Err(RestoreError::OtherAttempt { name: names::commit(batch), found, wanted });
            }
            let usable = commit.snapshots.iter().filter(|snapshot| {
                snapshot.operator == id.operator
                    && snapshot.batch <= base.batch
                    && !damaged.contains(&snapshot.manifest.name)
            });
            for snapshot in usable {
                plan.consider(id, snapshot);
            }
            plan.commits.push((batch, commit));
            let covered =
                (0..buckets).all(|bucket| plan.version_of(bucket).is_some_and(|version| version + 1 >= batch));
            if covered {
                break;
            }
        }
        plan.commits.reverse();
        Ok(plan)
    }

    fn commit(&self, batch: u64) -> Result<Arc<CommitExtra>, RestoreError> {
        self.check()?;
        if let Some(known) = self.cache.commits.lock().get(&batch) {
            return Ok(known.clone());
        }
        let name = names::commit(batch);
        let bytes = self.store.blocking_view().get(&name)?;
        let commit = CommitFile::parse(batch, &bytes)?.pyrite.ok_or(RestoreError::NotOurs(name))?;
        let commit = Arc::new(commit);
        self.cache.commits.lock().insert(batch, commit.clone());
        Ok(commit)
    }

    /// The state of the snapshots alone. An error names the snapshot.
    fn open_snapshots(
        &self,
        id: ShardId,
        plan: &Plan,
    ) -> Result<(Option<Database>, Option<u64>), (String, SnapshotError)> {
        let used: Vec<usize> =
            (0..plan.snapshots.len()).filter(|index| plan.bucket_snapshot.contains(&Some(*index))).collect();
        let exact = |index: &usize| {
            let snapshot = &plan.snapshots[*index];
            (snapshot.first_bucket, snapshot.last_bucket) == (id.first_bucket, id.last_bucket)
        };
        match used.as_slice() {
            [] => Ok((None, Some(0))),
            [only] if exact(only) => {
                let named = |error| (plan.snapshots[*only].manifest.name.clone(), error);
                self.open_whole(&plan.snapshots[*only]).map_err(named)
            }
            several => {
                let database =
                    Database::create(self.rocks, self.folder).map_err(|error| (String::new(), error.into()))?;
                for index in several {
                    let named = |error| (plan.snapshots[*index].manifest.name.clone(), error);
                    self.copy_clipped(id, plan, *index, &database).map_err(named)?;
                }
                Ok((Some(database), None))
            }
        }
    }

    fn open_whole(&self, snapshot: &SnapshotRef) -> Result<(Option<Database>, Option<u64>), SnapshotError> {
        let manifest = read_manifest(self.store, snapshot, self.codec)?;
        if manifest.files.is_empty() {
            return Ok((None, Some(manifest.rows_total)));
        }
        let database = Database::open(self.rocks, self.fetch(&manifest)?)?;
        *database.uploaded().lock() = shared(&manifest.files);
        Ok((Some(database), Some(manifest.rows_total)))
    }

    /// The snapshot's files in a new folder; none when that fails.
    fn fetch(&self, manifest: &SnapshotManifest) -> Result<PathBuf, SnapshotError> {
        let folder = new_folder(self.folder);
        let fetched = download(self.store, manifest, &folder, self.cancelled);
        if fetched.is_err() {
            // A restore that is cancelled again and again must not fill the disk.
            let _ = std::fs::remove_dir_all(&folder);
        }
        fetched.map(|()| folder)
    }

    fn check(&self) -> Result<(), SnapshotError> {
        if (self.cancelled)() { Err(SnapshotError::Cancelled) } else { Ok(()) }
    }

    /// Copies the buckets that come from one snapshot of another shard map.
    fn copy_clipped(&self, id: ShardId, plan: &Plan, index: usize, into: &Database) -> Result<(), SnapshotError> {
        let manifest = read_manifest(self.store, &plan.snapshots[index], self.codec)?;
        if manifest.files.is_empty() {
            return Ok(());
        }
        let parent = Database::open_for_read(self.rocks, self.fetch(&manifest)?)?;
        let mut writer = Writer::new(into);
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_iterate_lower_bound(id.first_bucket.to_be_bytes());
        for (number, entry) in (1u64..).zip(parent.db().iterator_opt(IteratorMode::Start, options)) {
            if number.is_multiple_of(KEYS_PER_CHECK) {
                self.check()?;
            }
            let (key, value) = entry?;
            let Some(bucket) = bucket_of_key(&key).filter(|bucket| *bucket <= id.last_bucket) else { break };
            if plan.bucket_snapshot[usize::from(bucket - id.first_bucket)] == Some(index) {
                writer.add(&key, Some(&value))?;
            }
        }
        Ok(writer.finish()?)
    }

    /// Applies the sections after the snapshots.
    fn replay(
        &self,
        id: ShardId,
        plan: &Plan,
        database: Option<Database>,
        rows: Option<u64>,
    ) -> Result<Restored, RestoreError> {
        let mut database = database;
        let mut rows = rows;
        let mut chain = Chain::default();
        for (batch, commit) in &plan.commits {
            chain.versions += 1;
            for object in &commit.objects {
                self.check()?;
                let log = self.changelog(object, *batch, commit)?;
                let ours = |section: &&Section| {
                    section.operator == id.operator
                        && section.first_bucket <= id.last_bucket
                        && section.last_bucket >= id.first_bucket
                };
                for section in log.footer().sections.iter().filter(ours) {
                    let needed = overlap(id, section).any(|bucket| plan.is_after(bucket_index(id, bucket), *batch));
                    if !needed {
                        continue;
                    }
                    let target = match &database {
                        Some(open) => open,
                        None => database.insert(Database::create(self.rocks, self.folder)?),
                    };
                    apply(id, plan, *batch, &log, section, target)?;
                    chain.bytes += section.length;
                    let same = (section.first_bucket, section.last_bucket) == (id.first_bucket, id.last_bucket);
                    rows = same.then_some(section.rows_total);
                }
            }
        }
        let rows_total = match (rows, &database) {
            (Some(rows), _) => rows,
            (None, Some(database)) => count(database)?,
            (None, None) => 0,
        };
        Ok(Restored { database, rows_total, chain })
    }

    fn changelog(&self, object: &ObjectRef, batch: u64, commit: &CommitExtra) -> Result<Arc<Changelog>, RestoreError> {
        if let Some(known) = self.cache.logs.lock().get(&object.name) {
            return Ok(known.clone());
        }
        let log = Arc::new(Changelog::open(self.store, object, batch, commit.attempt)?);
        self.cache.logs.lock().insert(object.name.clone(), log.clone());
        Ok(log)
    }
}

impl Plan {
    /// Takes a snapshot for the buckets where it is the newest so far.
    fn consider(&mut self, id: ShardId, snapshot: &SnapshotRef) {
        let index = self.snapshots.len();
        let first = snapshot.first_bucket.max(id.first_bucket);
        let last = snapshot.last_bucket.min(id.last_bucket);
        for bucket in first..=last {
            let at = usize::from(bucket - id.first_bucket);
            if self.version_of(at).is_none_or(|version| version < snapshot.batch) {
                self.bucket_snapshot[at] = Some(index);
            }
        }
        self.snapshots.push(snapshot.clone());
    }

    /// The batch that the bucket's snapshot holds.
    fn version_of(&self, bucket: usize) -> Option<u64> {
        self.bucket_snapshot[bucket].map(|index| self.snapshots[index].batch)
    }

    /// Whether writes of `batch` are not in the bucket's snapshot.
    fn is_after(&self, bucket: usize, batch: u64) -> bool {
        self.version_of(bucket).is_none_or(|version| batch > version)
    }
}

fn apply(
    id: ShardId,
    plan: &Plan,
    batch: u64,
    log: &Changelog,
    section: &Section,
    into: &Database,
) -> Result<(), RestoreError> {
    let mut writer = Writer::new(into);
    let mut failed = Ok(());
    log.entries(section, |key, value| {
        let ours = bucket_of_key(key).filter(|bucket| id.buckets().contains(bucket));
        if ours.is_some_and(|bucket| plan.is_after(bucket_index(id, bucket), batch)) && failed.is_ok() {
            failed = writer.add(key, value);
        }
    })?;
    failed?;
    Ok(writer.finish()?)
}

fn overlap(id: ShardId, section: &Section) -> std::ops::RangeInclusive<u16> {
    section.first_bucket.max(id.first_bucket)..=section.last_bucket.min(id.last_bucket)
}

fn bucket_index(id: ShardId, bucket: u16) -> usize {
    usize::from(bucket - id.first_bucket)
}

fn bucket_of_key(key: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([*key.first()?, *key.get(1)?]))
}

fn count(database: &Database) -> Result<u64, rocksdb::Error> {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    let mut iterator = database.db().raw_iterator_opt(options);
    iterator.seek_to_first();
    let mut rows = 0;
    while iterator.valid() {
        rows += 1;
        iterator.next();
    }
    iterator.status()?;
    Ok(rows)
}
