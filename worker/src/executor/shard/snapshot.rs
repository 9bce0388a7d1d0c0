//! Snapshots: the files of a shard's database at a committed version, in the checkpoint under names made of their
//! content.
//!
//! An SST file that an earlier snapshot brought is not written again; the small other files lie beside the manifest.
//! The manifest names the files, with lengths and checksums; commits name manifests. Layout, version 1:
//! `names::snapshot_manifest(..)`, JSON.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pyrite_common::checkpoint::{ObjectRef, SnapshotFile, SnapshotManifest, SnapshotRef, names};
use pyrite_common::error::Kind;
use pyrite_common::store::{CheckpointStore, Created, StoreError};
use rocksdb::checkpoint::Checkpoint;
use xxhash_rust::xxh3::xxh3_128;

use super::database::{Database, Uploaded};
use super::id::ShardId;
use super::machine::Version;

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

/// A database frozen at a version, on the local disk. Dropping it removes its files.
pub struct Frozen {
    /// Which shard.
    pub id: ShardId,
    /// At which version.
    pub version: Version,
    /// Keys in it.
    pub rows_total: u64,
    /// None: the state is empty.
    files: Option<FrozenFiles>,
}

struct FrozenFiles {
    folder: PathBuf,
    /// What of them the checkpoint has.
    uploaded: Uploaded,
}

impl Drop for FrozenFiles {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Freezes the database, which holds `version`: hard links, no copy.
pub fn freeze(
    id: ShardId,
    version: Version,
    rows_total: u64,
    database: Option<&Database>,
) -> Result<Frozen, SnapshotError> {
    let Some(database) = database else { return Ok(Frozen { id, version, rows_total, files: None }) };
    let folder = database.folder().with_extension(format!("snap-{}", version.batch));
    let _ = std::fs::remove_dir_all(&folder);
    let files = FrozenFiles { folder, uploaded: database.uploaded().clone() };
    Checkpoint::new(database.db())?.create_checkpoint(&files.folder)?;
    Ok(Frozen { id, version, rows_total, files: Some(files) })
}

/// Uploads frozen databases.
pub struct Uploader {
    store: CheckpointStore,
    codec: u32,
}

impl Uploader {
    /// Uploads to `store`; `codec` is the version of keys and values.
    pub fn new(store: CheckpointStore, codec: u32) -> Self {
        Self { store, codec }
    }

    /// Uploads one snapshot; looks at `cancelled` before each file. A snapshot of the version that is there already is
    /// as good: an earlier try made it, and no commit named it. `None`: it cannot be read.
    pub fn upload(&self, frozen: Frozen, cancelled: &dyn Fn() -> bool) -> Result<Option<SnapshotRef>, SnapshotError> {
        let files = self.upload_files(&frozen, cancelled)?;
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
            files,
        };
        let name = names::snapshot_manifest(id.operator, id.shard, version.batch, version.attempt);
        let text = manifest.print();
        match self.store.blocking_view().create(&name, &text)? {
            Created::Created => Ok(Some(reference(manifest, name, &text))),
            Created::Exists => self.find(&manifest, name),
        }
    }

    /// The snapshot that has the name of `wanted`. Under another shard map it may be of other buckets.
    fn find(&self, wanted: &SnapshotManifest, name: String) -> Result<Option<SnapshotRef>, SnapshotError> {
        let text = self.store.blocking_view().get(&name)?;
        let Ok(found) = SnapshotManifest::parse(&name, &text) else { return Ok(None) };
        let what = |manifest: &SnapshotManifest| {
            let SnapshotManifest { layout, operator, shard, batch, attempt, codec, .. } = *manifest;
            (layout, operator, shard, batch, attempt, codec)
        };
        Ok((what(&found) == what(wanted)).then(|| reference(found, name, &text)))
    }

    fn upload_files(&self, frozen: &Frozen, cancelled: &dyn Fn() -> bool) -> Result<Vec<SnapshotFile>, SnapshotError> {
        let Some(FrozenFiles { folder, uploaded }) = &frozen.files else { return Ok(Vec::new()) };
        let local = |source| SnapshotError::Local { action: "read", path: folder.clone(), source };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(local)? {
            let entry = entry.map_err(local)?;
            let file = entry.file_name().to_string_lossy().into_owned();
            let known = uploaded.lock().get(&file).cloned();
            files.push(match known {
                Some(known) => known,
                None if cancelled() => return Err(SnapshotError::Cancelled),
                None => self.upload_file(frozen, file, &std::fs::read(entry.path()).map_err(local)?)?,
            });
        }
        *uploaded.lock() = shared(&files);
        Ok(files)
    }

    fn upload_file(&self, frozen: &Frozen, file: String, bytes: &[u8]) -> Result<SnapshotFile, SnapshotError> {
        let content = format!("{:032x}-{}", xxh3_128(bytes), bytes.len());
        let (id, version) = (frozen.id, frozen.version);
        let object = if is_shared(&file) {
            names::snapshot_file(id.operator, &content)
        } else {
            names::snapshot_own_file(id.operator, id.shard, version.batch, version.attempt, &content)
        };
        self.store.blocking_view().create(&object, bytes)?;
        Ok(SnapshotFile { file, object, length: bytes.len() as u64, crc: crc32c::crc32c(bytes) })
    }
}

fn reference(manifest: SnapshotManifest, name: String, text: &[u8]) -> SnapshotRef {
    let SnapshotManifest { operator, shard, first_bucket, last_bucket, batch, attempt, .. } = manifest;
    let manifest = ObjectRef { name, length: text.len() as u64, crc: crc32c::crc32c(text) };
    SnapshotRef { operator, shard, first_bucket, last_bucket, batch, attempt, manifest }
}

/// Only SST files are shared between snapshots: their content is of one database, while the small others may recur
/// anywhere, and whether such a one is still needed nobody could tell.
fn is_shared(file: &str) -> bool {
    file.ends_with(".sst")
}

/// What a database that has `files` need not upload again.
pub fn shared(files: &[SnapshotFile]) -> BTreeMap<String, SnapshotFile> {
    files.iter().filter(|file| is_shared(&file.file)).map(|file| (file.file.clone(), file.clone())).collect()
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
