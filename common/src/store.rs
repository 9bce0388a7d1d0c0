//! The checkpoint store: named, immutable objects below one location, with put-if-absent.
//!
//! Driver and executors share it: the driver for its logs, executors for changelog objects and snapshots. An object is
//! durable when a call returns and never changes afterwards, so nobody ever reads half of one. Only local
//! folders are served here: a plain path or `file://`. What the objects hold is for `checkpoint` and the executors.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::error::Kind;

mod local;

use local::LocalStore;

/// What a [`CheckpointStore::create`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is ours and durable.
    Created,
    /// Another one stood there already; ours left no trace.
    Exists,
}

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("checkpoint location `{location}` is not supported: use a local path or `file://`")]
    Scheme { location: String },
    #[error("`{name}` is not a valid object name")]
    Name { name: String },
    #[error("`{name}` does not exist in the checkpoint")]
    NotFound { name: String },
    #[error("`{name}` exists already and objects are never rewritten")]
    Rewrite { name: String },
    #[error("`{location}` does not keep the first of two writers: a checkpoint needs put-if-absent")]
    NoPutIfAbsent { location: String },
    #[error("cannot {action} `{path}`")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the store's thread ended early")]
    Cancelled,
}

impl StoreError {
    /// The class that decides between retry and giving up.
    pub fn kind(&self) -> Kind {
        match self {
            StoreError::Scheme { .. } | StoreError::Name { .. } | StoreError::NoPutIfAbsent { .. } => Kind::Invalid,
            StoreError::NotFound { .. } => Kind::NotFound,
            StoreError::Rewrite { .. } => Kind::Stale,
            StoreError::Io { .. } => Kind::Unavailable,
            StoreError::Cancelled => Kind::Internal,
        }
    }
}

/// A handle on the objects below one location; clones share it. All calls run on blocking threads.
#[derive(Debug, Clone)]
pub struct CheckpointStore {
    local: LocalStore,
}

impl CheckpointStore {
    /// Opens the store at a local path or `file://` URL; the folder is made by the first write.
    pub fn open(location: &str) -> Result<CheckpointStore, StoreError> {
        Ok(CheckpointStore { local: LocalStore::new(local_path(location)?) })
    }

    /// The folder below which the objects lie.
    pub fn root(&self) -> &Path {
        self.local.root()
    }

    /// Puts the object if none of that name exists. An error leaves the outcome unknown: read it back.
    pub async fn create(&self, name: &str, bytes: Bytes) -> Result<Created, StoreError> {
        let name = name.to_string();
        self.blocking(move |local| local.create(&name, &bytes)).await
    }

    /// Puts an object whose name nobody else uses: a second one of that name is an error.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        let name = name.to_string();
        self.blocking(move |local| local.put(&name, &bytes)).await
    }

    /// The whole object; [`StoreError::NotFound`] when there is none.
    pub async fn get(&self, name: &str) -> Result<Bytes, StoreError> {
        let name = name.to_string();
        self.blocking(move |local| local.get(&name)).await
    }

    /// As [`CheckpointStore::get`], and when it returns the object is durable, whoever wrote it and however that ended:
    /// for whoever builds on what it reads.
    pub async fn get_durable(&self, name: &str) -> Result<Bytes, StoreError> {
        let name = name.to_string();
        self.blocking(move |local| local.get_durable(&name)).await
    }

    /// Whether an object of that name exists.
    pub async fn exists(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_string();
        self.blocking(move |local| local.exists(&name)).await
    }

    /// The names of all objects in a folder and below it, sorted; empty when there is no such folder.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let folder = folder.to_string();
        self.blocking(move |local| local.list(&folder)).await
    }

    /// Removes an object; one that is not there is fine.
    pub async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_string();
        self.blocking(move |local| local.delete(&name)).await
    }

    /// Removes a folder that holds nothing any more; one with objects stays, and one that is not there is fine.
    pub async fn remove_empty_folder(&self, folder: &str) -> Result<(), StoreError> {
        let folder = folder.to_string();
        self.blocking(move |local| local.remove_empty_folder(&folder)).await
    }

    /// Removes what writers below `folder` left that were killed; says how many files. What is younger than `age` may
    /// still be written.
    pub async fn remove_abandoned(&self, folder: &str, age: Duration) -> Result<usize, StoreError> {
        let folder = folder.to_string();
        self.blocking(move |local| local.remove_abandoned(&folder, age)).await
    }

    /// Proves that of two creations of one name the second fails, and that the first's bytes stay.
    pub async fn prove(&self) -> Result<(), StoreError> {
        let name = format!("probe/{}", Uuid::new_v4());
        let location = self.root().display().to_string();
        self.blocking(move |local| {
            let first = local.create(&name, b"1")?;
            let second = local.create(&name, b"2")?;
            let kept = local.get(&name)?;
            local.delete(&name)?;
            local.remove_empty_folder("probe")?;
            match (first, second, kept.as_ref()) {
                (Created::Created, Created::Exists, b"1") => Ok(()),
                _ => Err(StoreError::NoPutIfAbsent { location }),
            }
        })
        .await
    }

    /// The same calls for code that is on a blocking thread already.
    pub fn blocking_view(&self) -> BlockingStore<'_> {
        BlockingStore { local: &self.local }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&LocalStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let local = self.local.clone();
        tokio::task::spawn_blocking(move || work(&local)).await.map_err(|_| StoreError::Cancelled)?
    }
}

/// The store's calls without a runtime.
pub struct BlockingStore<'a> {
    local: &'a LocalStore,
}

impl BlockingStore<'_> {
    /// As [`CheckpointStore::create`].
    pub fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, StoreError> {
        self.local.create(name, bytes)
    }

    /// As [`CheckpointStore::put`].
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.local.put(name, bytes)
    }

    /// As [`CheckpointStore::put`], of bytes that `fill` writes and nobody holds.
    pub fn put_from<T>(
        &self,
        name: &str,
        fill: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<T>,
    ) -> Result<T, StoreError> {
        self.local.put_from(name, fill)
    }

    /// The object, to be read piece by piece; [`StoreError::NotFound`] when there is none.
    pub fn open(&self, name: &str) -> Result<std::fs::File, StoreError> {
        self.local.open(name)
    }

    /// As [`CheckpointStore::get`].
    pub fn get(&self, name: &str) -> Result<Bytes, StoreError> {
        self.local.get(name)
    }

    /// As [`CheckpointStore::list`].
    pub fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        self.local.list(folder)
    }

    /// As [`CheckpointStore::delete`].
    pub fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.local.delete(name)
    }
}

/// A plain path, `file:/path` or `file:///path`; any other scheme is refused by name.
fn local_path(location: &str) -> Result<PathBuf, StoreError> {
    let refused = || StoreError::Scheme { location: location.to_string() };
    if location.is_empty() {
        return Err(refused());
    }
    if let Some(rest) = location.strip_prefix("file:") {
        let path = rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
        return if path.starts_with('/') { Ok(PathBuf::from(path)) } else { Err(refused()) };
    }
    // As Hadoop's paths: what stands before a colon, and no slash before it, is a scheme.
    match location.split_once(':') {
        Some((scheme, _)) if !scheme.is_empty() && !scheme.contains('/') => Err(refused()),
        _ => std::path::absolute(location).map_err(|source| StoreError::Io {
            action: "resolve",
            path: PathBuf::from(location),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_local_paths_or_file_urls() {
        assert_eq!(local_path("/a/b").unwrap(), PathBuf::from("/a/b"));
        assert_eq!(local_path("file:///a/b").unwrap(), PathBuf::from("/a/b"));
        assert_eq!(local_path("file:/a/b").unwrap(), PathBuf::from("/a/b"));
        assert!(local_path("relative/dir").unwrap().is_absolute());
        for other in ["s3://bucket/x", "hdfs://host/x", "dbfs:/x", "file://host/x", ""] {
            assert!(matches!(local_path(other), Err(StoreError::Scheme { .. })), "{other}");
        }
    }

    #[tokio::test]
    async fn the_first_creation_wins_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::open(folder.path().to_str().unwrap()).unwrap();
        store.prove().await.unwrap();
        assert_eq!(store.create("offsets/0", Bytes::from_static(b"a")).await.unwrap(), Created::Created);
        assert_eq!(store.create("offsets/0", Bytes::from_static(b"b")).await.unwrap(), Created::Exists);
        assert_eq!(store.get("offsets/0").await.unwrap().as_ref(), b"a");
        assert!(matches!(store.put("offsets/0", Bytes::new()).await, Err(StoreError::Rewrite { .. })));
    }

    #[tokio::test]
    async fn listing_is_sorted_recursive_and_free_of_temporaries() {
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::open(folder.path().to_str().unwrap()).unwrap();
        for name in ["state/log/2-1-1-a", "state/log/1-1-1-a", "state/snap/0/1/x"] {
            store.put(name, Bytes::from_static(b"x")).await.unwrap();
        }
        std::fs::write(folder.path().join("state/log/.tmp-1"), b"half").unwrap();
        assert_eq!(store.list("state/log").await.unwrap(), ["state/log/1-1-1-a", "state/log/2-1-1-a"]);
        assert_eq!(store.list("state").await.unwrap().len(), 3);
        assert!(store.list("none").await.unwrap().is_empty());
        store.delete("state/log/1-1-1-a").await.unwrap();
        store.delete("state/log/1-1-1-a").await.unwrap();
        assert!(!store.exists("state/log/1-1-1-a").await.unwrap());
    }

    #[tokio::test]
    async fn names_never_leave_the_location() {
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::open(folder.path().to_str().unwrap()).unwrap();
        for name in ["../x", "/x", "a//b", "", "a/./b", "a/.tmp"] {
            assert!(matches!(store.get(name).await, Err(StoreError::Name { .. })), "{name}");
        }
        assert!(matches!(store.get("none").await, Err(StoreError::NotFound { .. })));
    }
}
