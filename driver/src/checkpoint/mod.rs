//! The driver's use of the checkpoint store: performs the machine's requests, tidies old logs up, opens the location.

mod collect;
mod collector;
mod perform;

use pyrite_common::store::{CheckpointStore, StoreError};

pub use collector::{CollectError, Collector};
pub use perform::perform;

/// A query's checkpoint.
pub struct Location {
    pub store: CheckpointStore,
    /// As executors are told it: an absolute path.
    pub path: String,
    /// The folder of a temporary checkpoint, which is removed with this.
    temporary: Option<tempfile::TempDir>,
}

impl Location {
    /// Opens the given location, or a temporary one when none is given.
    pub async fn open(location: Option<&str>) -> Result<Location, StoreError> {
        let (path, temporary) = match location {
            Some(path) => (path.to_string(), None),
            None => {
                let folder = tempfile::Builder::new()
                    .prefix("temporary-")
                    .tempdir()
                    .map_err(|source| StoreError::Io { action: "make", path: std::env::temp_dir(), source })?;
                (folder.path().display().to_string(), Some(folder))
            }
        };
        let store = CheckpointStore::open(&path)?;
        store.prove().await?;
        let path = store.root().display().to_string();
        Ok(Location { store, path, temporary })
    }

    /// Whether it goes away with the query.
    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// Leaves a temporary folder on disk, for a query that failed.
    pub fn keep(&mut self) {
        if let Some(folder) = self.temporary.take() {
            let _ = folder.keep();
        }
    }
}
