//! Objects as files of a local folder, each written by temporary file, fsync, hard link and fsync of the folder.
//!
//! A hard link fails when its name exists, which a rename does not: that is the put-if-absent. A crash at any point
//! leaves the whole object or none, and at worst a temporary file, whose name starts with a dot and is never listed.
//!
//! A name that can be seen need not survive a power cut: its folder may not be synced yet, or the sync failed. So
//! whoever builds on an object that it did not write, "exists" or a read-back, syncs the folder first.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use uuid::Uuid;

use super::{Created, StoreError};

mod stream;

/// Folders that are remembered as durable; beyond, they are forgotten and synced once more.
const DURABLE_MAX: usize = 4_096;
/// Tries of a creation whose folder was removed as empty in between.
const FOLDER_TRIES: u32 = 4;
/// Where the name of a file that is no object differs, the folder before it included.
const HIDDEN: &str = "/.";
const TEMPORARY: &str = "/.tmp-";

/// The local folder behind a store.
#[derive(Debug, Clone)]
pub(super) struct LocalStore {
    root: Arc<Path>,
    /// Folders whose own names are known to be durable: made or found, and the parent synced since.
    durable: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// How a folder is synced; tests let it fail.
    sync: fn(&Path) -> io::Result<()>,
}

impl LocalStore {
    pub(super) fn new(root: PathBuf) -> LocalStore {
        LocalStore::with_sync(root, |folder| File::open(folder)?.sync_all())
    }

    fn with_sync(root: PathBuf, sync: fn(&Path) -> io::Result<()>) -> LocalStore {
        LocalStore { root: root.into(), durable: Arc::default(), sync }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, StoreError> {
        let path = self.path(name)?;
        let folder = path.parent().expect("an object's path is below the root");
        if fs::symlink_metadata(&path).is_ok() {
            self.sync_folder(folder)?;
            return Ok(Created::Exists);
        }
        let (file, temporary) = self.open_temporary(folder, &path)?;
        let outcome = write_and_link(file, &temporary, &path, bytes);
        let _ = fs::remove_file(&temporary);
        let created = outcome?;
        self.sync_folder(folder)?;
        Ok(created)
    }

    /// A new file in the folder, which is made where it is missing, also when it is removed as empty meanwhile.
    fn open_temporary(&self, folder: &Path, path: &Path) -> Result<(File, PathBuf), StoreError> {
        let mut tries = 0;
        loop {
            self.make_folders(folder)?;
            // Containers and machines that share the folder may have the same process id: only a random name is ours
            // alone.
            let temporary = folder.join(format!(".tmp-{}", Uuid::new_v4().simple()));
            tries += 1;
            match OpenOptions::new().write(true).create_new(true).open(&temporary) {
                Ok(file) => return Ok((file, temporary)),
                Err(error) if error.kind() == ErrorKind::NotFound && tries < FOLDER_TRIES => {
                    self.durable.lock().remove(folder);
                }
                Err(source) => return Err(StoreError::Io { action: "write", path: path.to_path_buf(), source }),
            }
        }
    }

    /// Makes the missing folders and syncs the parent of each, so that they survive a power cut with what they hold.
    /// Below the root a folder that is found is synced too, once: who made it may have ended before its own sync.
    fn make_folders(&self, folder: &Path) -> Result<(), StoreError> {
        let is_below_root = folder != &*self.root && folder.starts_with(&self.root);
        if self.durable.lock().contains(folder) || (!is_below_root && folder.is_dir()) {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            self.make_folders(parent)?;
            match fs::create_dir(folder) {
                Ok(()) => self.sync_folder(parent).inspect_err(|_| {
                    // The next try makes it again, and syncs.
                    let _ = fs::remove_dir(folder);
                })?,
                Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {
                    self.sync_folder(parent)?
                }
                Err(source) => {
                    return Err(StoreError::Io { action: "make folder", path: folder.to_path_buf(), source });
                }
            }
        }
        let mut durable = self.durable.lock();
        if durable.len() >= DURABLE_MAX {
            durable.clear();
        }
        durable.insert(folder.to_path_buf());
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> Result<(), StoreError> {
        (self.sync)(folder).map_err(|source| StoreError::Io { action: "sync", path: folder.to_path_buf(), source })
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        match self.create(name, bytes)? {
            Created::Created => Ok(()),
            Created::Exists => Err(StoreError::Rewrite { name: name.to_string() }),
        }
    }

    pub(super) fn get(&self, name: &str) -> Result<Bytes, StoreError> {
        let path = self.path(name)?;
        match fs::read(&path) {
            Ok(bytes) => Ok(Bytes::from(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::NotFound { name: name.to_string() }),
            Err(source) => Err(StoreError::Io { action: "read", path, source }),
        }
    }

    /// The object, once its name and those of its folders are durable.
    pub(super) fn get_durable(&self, name: &str) -> Result<Bytes, StoreError> {
        let path = self.path(name)?;
        let bytes = self.get(name)?;
        let folder = path.parent().expect("an object's path is below the root");
        self.make_folders(folder)?;
        self.sync_folder(folder)?;
        Ok(bytes)
    }

    pub(super) fn exists(&self, name: &str) -> Result<bool, StoreError> {
        let path = self.path(name)?;
        path.try_exists().map_err(|source| StoreError::Io { action: "look for", path, source })
    }

    pub(super) fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        self.walk(folder, &mut |name, _| {
            names.extend((!name.contains(HIDDEN)).then_some(name));
            Ok(())
        })?;
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn remove_abandoned(&self, folder: &str, age: Duration) -> Result<usize, StoreError> {
        let mut removed = 0;
        self.walk(folder, &mut |name, entry| {
            if !name.contains(TEMPORARY) || !is_older(entry, age)? {
                return Ok(());
            }
            match fs::remove_file(entry.path()) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            Ok(())
        })?;
        Ok(removed)
    }

    /// Calls `each` for every file below a folder, hidden ones too, with its name in the store.
    fn walk(
        &self,
        folder: &str,
        each: &mut dyn FnMut(String, &fs::DirEntry) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let folder = folder.trim_end_matches('/');
        let mut pending = vec![(self.path(folder)?, folder.to_string())];
        while let Some((path, prefix)) = pending.pop() {
            let failed = |source| StoreError::Io { action: "list", path: path.clone(), source };
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(source) => return Err(failed(source)),
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let Ok(file_name) = entry.file_name().into_string() else { continue };
                let name = format!("{prefix}/{file_name}");
                if !entry.file_type().map_err(failed)?.is_dir() {
                    each(name, &entry).map_err(failed)?;
                } else if !file_name.starts_with('.') {
                    pending.push((entry.path(), name));
                }
            }
        }
        Ok(())
    }

    pub(super) fn delete(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(source) => Err(StoreError::Io { action: "delete", path, source }),
        }
    }

    /// A folder that is not empty stays; one that is not there is fine.
    pub(super) fn remove_empty_folder(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name)?;
        match fs::remove_dir(&path) {
            Ok(()) => {
                self.durable.lock().remove(&path);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => Ok(()),
            Err(source) => Err(StoreError::Io { action: "remove folder", path, source }),
        }
    }

    /// Names are relative, `/`-separated, without empty, dotted or parent parts.
    fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        let valid = !name.is_empty()
            && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']));
        if valid { Ok(self.root.join(name)) } else { Err(StoreError::Name { name: name.to_string() }) }
    }
}

/// A file that is gone by now is not.
fn is_older(file: &fs::DirEntry, age: Duration) -> io::Result<bool> {
    let changed = match file.metadata().and_then(|metadata| metadata.modified()) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        changed => changed?,
    };
    Ok(SystemTime::now().duration_since(changed).is_ok_and(|since| since > age))
}

fn write_and_link(mut file: File, temporary: &Path, path: &Path, bytes: &[u8]) -> Result<Created, StoreError> {
    let failed = |source| StoreError::Io { action: "write", path: path.to_path_buf(), source };
    file.write_all(bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    match fs::hard_link(temporary, path) {
        Ok(()) => Ok(Created::Created),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Created::Exists),
        Err(source) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        /// The folders whose sync fails now, and those that were synced, on this test's thread.
        static FAILING: RefCell<BTreeSet<PathBuf>> = const { RefCell::new(BTreeSet::new()) };
        static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    fn sync(folder: &Path) -> io::Result<()> {
        if FAILING.with_borrow(|failing| failing.contains(folder)) {
            return Err(io::Error::other("the disk does not sync"));
        }
        SYNCED.with_borrow_mut(|synced| synced.push(folder.to_path_buf()));
        Ok(())
    }

    fn was_synced(folder: &Path) -> bool {
        SYNCED.with_borrow_mut(std::mem::take).iter().any(|synced| synced == folder)
    }

    fn fail(folder: &Path) {
        FAILING.with_borrow_mut(|failing| failing.insert(folder.to_path_buf()));
    }

    fn heal() {
        FAILING.with_borrow_mut(BTreeSet::clear);
    }

    #[test]
    fn a_name_whose_folder_did_not_sync_counts_only_after_a_sync() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::with_sync(folder.path().join("c"), sync);
        let logs = store.root().join("commits");
        store.create("commits/0", b"0").unwrap();
        fail(&logs);
        let failed = store.create("commits/1", b"mine").unwrap_err();
        assert!(failed.to_string().contains("sync"), "{failed}");
        assert_eq!(store.get("commits/1").unwrap().as_ref(), b"mine", "the name can be seen already");
        assert!(store.get_durable("commits/1").is_err());
        assert!(store.create("commits/1", b"mine").is_err(), "nor may another rely on it");
        heal();
        SYNCED.take();
        assert_eq!(store.get_durable("commits/1").unwrap().as_ref(), b"mine");
        assert!(was_synced(&logs));
        assert_eq!(store.create("commits/1", b"theirs").unwrap(), Created::Exists);
        assert!(was_synced(&logs));
    }

    #[test]
    fn a_folder_whose_own_name_did_not_sync_is_synced_before_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::with_sync(folder.path().join("c"), sync);
        store.create("metadata", b"m").unwrap();
        let state = store.root().join("state");
        fail(&state);
        assert!(store.create("state/log/1", b"1").is_err());
        // As another process leaves it that is killed before its sync.
        fs::create_dir_all(state.join("log")).unwrap();
        assert!(store.create("state/log/1", b"1").is_err());
        heal();
        SYNCED.take();
        assert_eq!(store.create("state/log/1", b"1").unwrap(), Created::Created);
        assert!(was_synced(&state));
        // From here on it is known.
        store.create("state/log/2", b"2").unwrap();
        assert!(!was_synced(&state));
    }

    #[test]
    fn what_a_killed_writer_left_goes_when_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path().join("c"));
        store.create("state/log/1", b"1").unwrap();
        let left = store.root().join("state/log/.tmp-1");
        fs::write(&left, b"half").unwrap();
        assert_eq!(store.list("state").unwrap(), ["state/log/1"]);
        assert_eq!(store.remove_abandoned("state", Duration::from_secs(60)).unwrap(), 0);
        assert_eq!(store.remove_abandoned("state", Duration::ZERO).unwrap(), 1);
        assert!(!left.exists());
        assert_eq!(store.list("state").unwrap(), ["state/log/1"]);
    }

    #[test]
    fn a_folder_that_was_removed_as_empty_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path().join("c"));
        store.create("state/snap/0/1/4-1-1/manifest", b"m").unwrap();
        store.delete("state/snap/0/1/4-1-1/manifest").unwrap();
        store.remove_empty_folder("state/snap/0/1/4-1-1").unwrap();
        assert!(!store.root().join("state/snap/0/1/4-1-1").exists());
        store.remove_empty_folder("state/snap/0").unwrap();
        assert!(store.root().join("state/snap/0").exists(), "it is not empty");
        assert_eq!(store.create("state/snap/0/1/4-1-1/manifest", b"m").unwrap(), Created::Created);
    }
}
