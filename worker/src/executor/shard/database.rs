//! One RocksDB of one shard in a folder of its own, which goes when the last user does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use pyrite_common::checkpoint::SnapshotFile;
use rocksdb::{DB, ErrorKind, IngestExternalFileOptions, SstFileWriter, WriteBatch};

use super::overlay::Overlay;
use super::rocks::{Rocks, unlogged};

/// Bytes of one write to RocksDB.
const WRITE_BATCH_BYTES: usize = 1 << 20;
/// A larger overlay becomes a file of its own: sorted already, it need not pass through write buffers.
const INGEST_BYTES: usize = 4 << 20;

static FOLDERS: AtomicU64 = AtomicU64::new(0);

/// The SST files of a database that are in the checkpoint, by their names in its folder. Such files never change, and
/// their names do not come again.
pub type Uploaded = Arc<Mutex<BTreeMap<String, SnapshotFile>>>;

/// An open database. Dropping it closes it and deletes its folder: without a log its version would be unknown.
pub struct Database {
    open: Option<DB>,
    folder: PathBuf,
    uploaded: Uploaded,
}

impl Database {
    /// Makes an empty one in a new folder below `parent`.
    pub fn create(rocks: &Rocks, parent: &Path) -> Result<Self, rocksdb::Error> {
        Self::open(rocks, new_folder(parent))
    }

    /// Opens what lies in `folder`, which is the database's from now on, and gone when that fails.
    pub fn open(rocks: &Rocks, folder: PathBuf) -> Result<Self, rocksdb::Error> {
        let mut database = Self { open: None, folder, uploaded: Uploaded::default() };
        database.open = Some(rocks.open(&database.folder)?);
        Ok(database)
    }

    /// As [`Database::open`], of what will not be written to.
    pub fn open_for_read(rocks: &Rocks, folder: PathBuf) -> Result<Self, rocksdb::Error> {
        let mut database = Self { open: None, folder, uploaded: Uploaded::default() };
        database.open = Some(rocks.open_for_read(&database.folder)?);
        Ok(database)
    }

    /// The database.
    pub fn db(&self) -> &DB {
        self.open.as_ref().expect("open until it is dropped")
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its files that are in the checkpoint.
    pub fn uploaded(&self) -> &Uploaded {
        &self.uploaded
    }

    /// Puts an overlay in.
    pub fn fold(&self, rocks: &Rocks, overlay: &Overlay) -> Result<(), rocksdb::Error> {
        if overlay.encoded().len() >= INGEST_BYTES {
            return self.ingest(rocks, overlay);
        }
        let mut writer = Writer::new(self);
        for (key, value) in overlay.iter() {
            writer.add(key, value)?;
        }
        writer.finish()
    }

    fn ingest(&self, rocks: &Rocks, overlay: &Overlay) -> Result<(), rocksdb::Error> {
        let path = self.folder.with_extension(format!("ingest-{}", FOLDERS.fetch_add(1, Ordering::Relaxed)));
        let ingested = write_file(rocks, overlay, &path).and_then(|()| {
            let mut ingest = IngestExternalFileOptions::default();
            ingest.set_move_files(true);
            self.db().ingest_external_file_opts(&ingest, vec![&path])
        });
        // Also a file that is not whole: a disk that is full would stay so.
        let _ = std::fs::remove_file(&path);
        ingested
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.open = None;
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::debug!(folder = %self.folder.display(), %error, "state folder not removed");
        }
    }
}

fn write_file(rocks: &Rocks, overlay: &Overlay, path: &Path) -> Result<(), rocksdb::Error> {
    let options = rocks.options()?;
    let mut file = SstFileWriter::create(&options);
    file.open(path)?;
    for (key, value) in overlay.iter() {
        match value {
            Some(value) => file.put(key, value)?,
            None => file.delete(key)?,
        }
    }
    file.finish()
}

/// A folder below `parent` that this process has not used.
pub fn new_folder(parent: &Path) -> PathBuf {
    parent.join(format!("db-{}", FOLDERS.fetch_add(1, Ordering::Relaxed)))
}

/// Writes entries in batches of bounded size.
pub struct Writer<'a> {
    database: &'a Database,
    batch: WriteBatch,
}

impl<'a> Writer<'a> {
    /// Writes to `database`.
    pub fn new(database: &'a Database) -> Self {
        Self { database, batch: WriteBatch::default() }
    }

    /// Adds one entry; `None` deletes.
    pub fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), rocksdb::Error> {
        match value {
            Some(value) => self.batch.put(key, value),
            None => self.batch.delete(key),
        }
        if self.batch.size_in_bytes() >= WRITE_BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is left.
    pub fn finish(mut self) -> Result<(), rocksdb::Error> {
        if self.batch.is_empty() { Ok(()) } else { self.flush() }
    }

    /// Write buffers that are all full are waited for by a flush: unlike a write it comes back when the disk is full.
    fn flush(&mut self) -> Result<(), rocksdb::Error> {
        let (batch, database) = (std::mem::take(&mut self.batch), self.database.db());
        loop {
            match database.write_opt(WriteBatch::from_data(batch.data()), &unlogged()) {
                Err(error) if error.kind() == ErrorKind::Incomplete => database.flush()?,
                done => return done,
            }
        }
    }
}
