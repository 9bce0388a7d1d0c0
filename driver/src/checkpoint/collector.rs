//! Collects a running query's checkpoint: looks at the store, lets `collect` decide, deletes.
//!
//! It runs beside the batches and remembers what it read: a look reads the commits and manifests that are new since the
//! last one. Deleting stops at any error and goes on with the next look; what is left over in between does no harm.

use std::collections::BTreeSet;
use std::time::Duration;

use pyrite_common::checkpoint::{CommitFile, LogError, SnapshotManifest, names};
use pyrite_common::error::Kind;
use pyrite_common::store::{CheckpointStore, StoreError};

use super::collect::{Collection, Named, Owner, Seen, Unnamed, collect, files_of, is_highest_term};

/// Why old files stay for now.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl CollectError {
    /// The class that decides between retry and giving up.
    pub fn kind(&self) -> Kind {
        match self {
            CollectError::Store(error) => error.kind(),
            CollectError::Log(error) => error.kind(),
        }
    }
}

/// The collector of one run of a query.
#[derive(Debug)]
pub struct Collector {
    store: CheckpointStore,
    batches_retained: u64,
    operators: Vec<u32>,
    /// What the last look showed.
    seen: Seen,
    unnamed: Unnamed,
    /// Whether what killed writers left was looked for.
    has_swept: bool,
}

/// What is collected. Commits come first: what they name is there already, so a later listing has it.
const FOLDERS: [&str; 5] = [names::COMMITS, names::OFFSETS, names::TERMS, names::STATE_LOG, names::STATE_SNAPSHOTS];

/// No write takes so long.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3600);

impl Collector {
    /// `batches_retained`: batches before the last that can be gone back to. `operators`: the stateful ones.
    pub fn new(store: CheckpointStore, batches_retained: u64, operators: Vec<u32>) -> Collector {
        Collector {
            store,
            batches_retained,
            operators,
            seen: Seen::default(),
            unnamed: Unnamed::new(),
            has_swept: false,
        }
    }

    /// Takes away what nobody can need again; says how many objects. `term`: the driver's claim; while there is a
    /// higher one, nothing is deleted.
    ///
    /// # Errors
    /// The store's, and damaged commits: what they need is not known.
    pub async fn run(&mut self, term: u64) -> Result<usize, CollectError> {
        if !std::mem::replace(&mut self.has_swept, true) {
            for folder in FOLDERS {
                self.store.remove_abandoned(folder, ABANDONED_AFTER).await?;
            }
        }
        self.look().await?;
        let owner = Owner { term, batches_retained: self.batches_retained, operators: self.operators.clone() };
        let Collection { doomed, unnamed } = collect(&owner, &self.seen, &self.unnamed);
        self.unnamed = unnamed;
        // The look took its time: another driver may have come meanwhile.
        if doomed.is_empty() || !is_highest_term(term, &self.store.list(names::TERMS).await?) {
            return Ok(0);
        }
        for name in &doomed {
            self.store.delete(name).await?;
            if names::is_snapshot_manifest(name)
                && let Some((folder, _)) = name.rsplit_once('/')
            {
                self.store.remove_empty_folder(folder).await?;
            }
        }
        Ok(doomed.len())
    }

    /// Reads what is new.
    async fn look(&mut self) -> Result<(), CollectError> {
        let mut listed = BTreeSet::new();
        for folder in FOLDERS {
            listed.extend(self.store.list(folder).await?);
        }
        let Seen { names: seen, commits, manifests } = &mut self.seen;
        *seen = listed;
        let batches: BTreeSet<u64> = seen.iter().filter_map(|name| names::number_in(names::COMMITS, name)).collect();
        commits.retain(|batch, _| batches.contains(batch));
        for batch in batches {
            if !commits.contains_key(&batch)
                && let Some(bytes) = there(self.store.get(&names::commit(batch)).await)?
            {
                commits.insert(batch, Named::by(CommitFile::parse(batch, &bytes)?));
            }
        }
        manifests.retain(|name, _| seen.contains(name));
        for name in seen.iter().filter(|name| names::is_snapshot_manifest(name)) {
            if !manifests.contains_key(name)
                && let Some(bytes) = there(self.store.get(name).await)?
            {
                match SnapshotManifest::parse(name, &bytes) {
                    Ok(manifest) => drop(manifests.insert(name.clone(), files_of(manifest))),
                    // Nobody can restore from it; whoever tries says so.
                    Err(error) => tracing::debug!("{error}"),
                }
            }
        }
        Ok(())
    }
}

/// An object that went between its listing and its reading is not there.
fn there<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pyrite_common::checkpoint::{AttemptId, CommitExtra};

    use super::*;

    async fn store(folder: &tempfile::TempDir, batches: u64) -> CheckpointStore {
        let store = CheckpointStore::open(folder.path().to_str().unwrap()).unwrap();
        for batch in 0..batches {
            let extra = CommitExtra {
                term: 2,
                driver: "d".into(),
                nonce: batch.to_string(),
                attempt: AttemptId::new(2, batch),
                objects: vec![],
                node_watermarks: vec![],
                catch_up: vec![],
                snapshots: vec![],
                crc: String::new(),
            };
            let commit = CommitFile { next_batch_watermark_ms: 0, pyrite: Some(extra) }.print();
            store.put(&names::offsets(batch), Bytes::new()).await.unwrap();
            store.put(&names::commit(batch), Bytes::from(commit)).await.unwrap();
        }
        store.put(&names::term(2), Bytes::new()).await.unwrap();
        store
    }

    #[tokio::test]
    async fn old_logs_go_and_a_higher_term_stops_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder, 10).await;
        let mut collector = Collector::new(store.clone(), 3, vec![]);
        assert_eq!(collector.run(2).await.unwrap(), 12);
        assert_eq!(store.list("commits").await.unwrap(), ["commits/6", "commits/7", "commits/8", "commits/9"]);
        assert_eq!(collector.run(2).await.unwrap(), 0);
        let mut other = Collector::new(store.clone(), 1, vec![]);
        assert_eq!(other.run(1).await.unwrap(), 0);
        assert_eq!(other.run(2).await.unwrap(), 4);
    }

    #[tokio::test]
    async fn a_damaged_commit_stops_it_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder, 10).await;
        store.delete("commits/8").await.unwrap();
        store.put("commits/8", Bytes::from_static(b"v1\nrubbish")).await.unwrap();
        let error = Collector::new(store.clone(), 3, vec![]).run(2).await.unwrap_err();
        assert!(error.kind() == Kind::Corrupt && error.to_string().contains("commits/8"), "{error}");
        assert_eq!(store.list("offsets").await.unwrap().len(), 10);
    }
}
