//! Snapshots: the files of a shard's database at a committed version, in the checkpoint under names made of their
//! content.
//!
//! An SST file that an earlier snapshot brought is not written again; the small other files lie beside the manifest.
//! The manifest names the files, with lengths and checksums; commits name manifests. Layout, version 1:
//! `names::snapshot_manifest(..)`, JSON.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pyrite_common::checkpoint::{ObjectRef, SnapshotFile, SnapshotManifest, SnapshotRef, names};
use pyrite_common::error::Kind;
use pyrite_common::store::{CheckpointStore, Created, StoreError};
use rocksdb::checkpoint::Checkpoint;
use xxhash_rust::xxh3::xxh3_128;

use super::database::Database;
use super::machine::Version;
use super::store::ShardId;

const MANIFEST_VERSION: u32 = 1;

/// A snapshot that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the snapshot is not what the manifest says.
    #[error("`{name}` is corrupt: {problem}")]
    Corrupt { name: String, problem: String },
    /// Nobody wants it any more.
    #[error("cancelled")]
    Cancelled,
    /// The local database failed.
    #[error("state database: {0}")]
    Database(#[from] rocksdb::Error),
    /// The local disk failed.
    #[error("cannot {action} `{path}`")]
    Local {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl SnapshotError {
    /// What it means for the batch. A missing object counts as corrupt: a manifest named it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store(error) if error.kind() == Kind::NotFound => Kind::Corrupt,
            Self::Store(error) => error.kind(),
            Self::Corrupt { .. } => Kind::Corrupt,
            Self::Cancelled => Kind::Stale,
            Self::Database(_) | Self::Local { .. } => Kind::Internal,
        }
    }
}

/// A database frozen at a version, on the local disk.
pub struct Frozen {
    /// Which shard.
    pub id: ShardId,
    /// At which version.
    pub version: Version,
    /// Keys in it.
    pub rows_total: u64,
    /// The frozen files and where they are from; none: the state is empty.
    pub folder: Option<(PathBuf, PathBuf)>,
}

/// Freezes the database, which holds `version`: hard links, no copy.
pub fn freeze(
    id: ShardId,
    version: Version,
    rows_total: u64,
    database: Option<&Database>,
) -> Result<Frozen, SnapshotError> {
    let Some(database) = database else { return Ok(Frozen { id, version, rows_total, folder: None }) };
    let folder = database.folder().with_extension(format!("snap-{}", version.batch));
    let _ = std::fs::remove_dir_all(&folder);
    Checkpoint::new(database.db())?.create_checkpoint(&folder)?;
    Ok(Frozen { id, version, rows_total, folder: Some((folder, database.folder().to_owned())) })
}

/// Uploads frozen databases. Keeps in mind which files are in the checkpoint already.
pub struct Uploader {
    store: CheckpointStore,
    codec: u32,
    /// SST files never change: by their path in the live database.
    known: HashMap<PathBuf, SnapshotFile>,
}

impl Uploader {
    /// Uploads to `store`; `codec` is the version of keys and values.
    pub fn new(store: CheckpointStore, codec: u32) -> Self {
        Self { store, codec, known: HashMap::new() }
    }

    /// Uploads one snapshot and removes its frozen files. `None`: this version has a snapshot already.
    pub fn upload(&mut self, frozen: Frozen) -> Result<Option<SnapshotRef>, SnapshotError> {
        let result = self.upload_files(&frozen);
        if let Some((folder, _)) = &frozen.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
        let Frozen { id, version, rows_total, .. } = frozen;
        let manifest = SnapshotManifest {
            layout: MANIFEST_VERSION,
            operator: id.operator,
            shard: id.shard,
            first_bucket: id.first_bucket,
            last_bucket: id.last_bucket,
            batch: version.batch,
            attempt: version.attempt,
            codec: self.codec,
            rows_total,
            files: result?,
        };
        let name = names::snapshot_manifest(id.operator, id.shard, version.batch, version.attempt);
        let text = manifest.print();
        if self.store.blocking_view().create(&name, &text)? == Created::Exists {
            return Ok(None);
        }
        let manifest = ObjectRef { name, length: text.len() as u64, crc: crc32c::crc32c(&text) };
        let ShardId { operator, shard, first_bucket, last_bucket } = id;
        let Version { batch, attempt } = version;
        Ok(Some(SnapshotRef { operator, shard, first_bucket, last_bucket, batch, attempt, manifest }))
    }

    fn upload_files(&mut self, frozen: &Frozen) -> Result<Vec<SnapshotFile>, SnapshotError> {
        let Some((folder, live)) = &frozen.folder else { return Ok(Vec::new()) };
        let local = |source| SnapshotError::Local { action: "read", path: folder.clone(), source };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(local)? {
            let entry = entry.map_err(local)?;
            let file = entry.file_name().to_string_lossy().into_owned();
            let key = live.join(&file);
            if let Some(known) = self.known.get(&key) {
                files.push(known.clone());
                continue;
            }
            let bytes = std::fs::read(entry.path()).map_err(local)?;
            let content = format!("{:032x}-{}", xxh3_128(&bytes), bytes.len());
            // Only SST files are shared: their content is of one database, while the small others may recur anywhere, and
            // whether such a one is still needed nobody could tell.
            let (id, version) = (frozen.id, frozen.version);
            let object = if file.ends_with(".sst") {
                names::snapshot_file(id.operator, &content)
            } else {
                names::snapshot_own_file(id.operator, id.shard, version.batch, version.attempt, &content)
            };
            self.store.blocking_view().create(&object, &bytes)?;
            let uploaded =
                SnapshotFile { file: file.clone(), object, length: bytes.len() as u64, crc: crc32c::crc32c(&bytes) };
            if file.ends_with(".sst") {
                self.known.insert(key, uploaded.clone());
            }
            files.push(uploaded);
        }
        self.known.retain(|path, _| path.parent() != Some(live) || files.iter().any(|file| path.ends_with(&file.file)));
        Ok(files)
    }
}

/// Reads the manifest that a commit named.
pub fn read_manifest(
    store: &CheckpointStore,
    snapshot: &SnapshotRef,
    codec: u32,
) -> Result<SnapshotManifest, SnapshotError> {
    let name = &snapshot.manifest.name;
    let bytes = read_checked(store, &snapshot.manifest)?;
    let corrupt = |problem: String| SnapshotError::Corrupt { name: name.clone(), problem };
    let manifest = SnapshotManifest::parse(name, &bytes).map_err(|error| corrupt(error.problem))?;
    if manifest.layout != MANIFEST_VERSION || manifest.codec != codec {
        return Err(corrupt(format!("layout {} and codec {} are not known", manifest.layout, manifest.codec)));
    }
    if (manifest.batch, manifest.attempt) != (snapshot.batch, snapshot.attempt) {
        return Err(corrupt(format!("it is of batch {}, attempt {}", manifest.batch, manifest.attempt)));
    }
    Ok(manifest)
}

/// Writes a snapshot's files into a new folder. Looks at `cancelled` before each.
pub fn download(
    store: &CheckpointStore,
    manifest: &SnapshotManifest,
    folder: &Path,
    cancelled: &dyn Fn() -> bool,
) -> Result<(), SnapshotError> {
    let local = |source| SnapshotError::Local { action: "write", path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(local)?;
    for file in &manifest.files {
        if cancelled() {
            return Err(SnapshotError::Cancelled);
        }
        if file.file.contains(['/', '\\']) || file.file.starts_with('.') {
            return Err(SnapshotError::Corrupt {
                name: file.object.clone(),
                problem: format!("`{}` is no file name", file.file),
            });
        }
        let object = ObjectRef { name: file.object.clone(), length: file.length, crc: file.crc };
        let bytes = read_checked(store, &object)?;
        std::fs::write(folder.join(&file.file), &bytes).map_err(local)?;
    }
    Ok(())
}

/// Reads an object and looks at its length and checksum.
pub fn read_checked(store: &CheckpointStore, object: &ObjectRef) -> Result<Bytes, SnapshotError> {
    let bytes = store.blocking_view().get(&object.name)?;
    let (length, crc) = (bytes.len() as u64, crc32c::crc32c(&bytes));
    if (length, crc) == (object.length, object.crc) {
        return Ok(bytes);
    }
    let problem = format!("{length} bytes with crc {crc:08x}, expected {} with {:08x}", object.length, object.crc);
    Err(SnapshotError::Corrupt { name: object.name.clone(), problem })
}
