//! One RocksDB of one shard in a folder of its own, which goes when the last user does.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::{DB, IngestExternalFileOptions, SstFileWriter, WriteBatch};

use super::overlay::Overlay;
use super::rocks::{Rocks, unlogged};

/// Bytes of one write to RocksDB.
const WRITE_BATCH_BYTES: usize = 1 << 20;
/// A larger overlay becomes a file of its own: sorted already, it need not pass through write buffers.
const INGEST_BYTES: usize = 4 << 20;

static FOLDERS: AtomicU64 = AtomicU64::new(0);

/// An open database. Dropping it closes it and deletes its folder: without a log its version would be unknown.
pub struct Database {
    open: Option<DB>,
    folder: PathBuf,
}

impl Database {
    /// Makes an empty one in a new folder below `parent`.
    pub fn create(rocks: &Rocks, parent: &Path) -> Result<Self, rocksdb::Error> {
        Self::open(rocks, new_folder(parent))
    }

    /// Opens what lies in `folder`, which is the database's from now on.
    pub fn open(rocks: &Rocks, folder: PathBuf) -> Result<Self, rocksdb::Error> {
        let open = rocks.open(&folder)?;
        Ok(Self { open: Some(open), folder })
    }

    /// The database.
    pub fn db(&self) -> &DB {
        self.open.as_ref().expect("open until it is dropped")
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
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
        let options = rocks.options();
        let mut file = SstFileWriter::create(&options);
        file.open(&path)?;
        for (key, value) in overlay.iter() {
            match value {
                Some(value) => file.put(key, value)?,
                None => file.delete(key)?,
            }
        }
        file.finish()?;
        drop(file);
        let mut ingest = IngestExternalFileOptions::default();
        ingest.set_move_files(true);
        let ingested = self.db().ingest_external_file_opts(&ingest, vec![&path]);
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

    fn flush(&mut self) -> Result<(), rocksdb::Error> {
        self.database.db().write_opt(std::mem::take(&mut self.batch), &unlogged())
    }
}
