//! Objects as files of a local folder, each written by temporary file, fsync, hard link and fsync of the folder.
//!
//! A hard link fails when its name exists, which a rename does not: that is the put-if-absent. A crash at any point
//! leaves the whole object or none, and at worst a temporary file, whose name starts with a dot and is never listed.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{Created, StoreError};

/// The local folder behind a store.
#[derive(Debug, Clone)]
pub(super) struct LocalStore {
    root: Arc<Path>,
}

impl LocalStore {
    pub(super) fn new(root: PathBuf) -> LocalStore {
        LocalStore { root: root.into() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, StoreError> {
        let path = self.path(name)?;
        let folder = path.parent().expect("an object's path is below the root");
        if fs::symlink_metadata(&path).is_ok() {
            return Ok(Created::Exists);
        }
        make_folders(folder)?;
        // Containers and machines that share the folder may have the same process id: only a random name is ours alone.
        let temporary = folder.join(format!(".tmp-{}", Uuid::new_v4().simple()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(|source| StoreError::Io { action: "write", path: path.clone(), source })?;
        let outcome = write_and_link(file, &temporary, &path, bytes);
        let _ = fs::remove_file(&temporary);
        let created = outcome?;
        sync_folder(folder)?;
        Ok(created)
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

    pub(super) fn exists(&self, name: &str) -> Result<bool, StoreError> {
        let path = self.path(name)?;
        path.try_exists().map_err(|source| StoreError::Io { action: "look for", path, source })
    }

    pub(super) fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let folder = folder.trim_end_matches('/');
        let mut names = Vec::new();
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
                if file_name.starts_with('.') {
                    continue;
                }
                let name = format!("{prefix}/{file_name}");
                if entry.file_type().map_err(failed)?.is_dir() {
                    pending.push((entry.path(), name));
                } else {
                    names.push(name);
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn delete(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(source) => Err(StoreError::Io { action: "delete", path, source }),
        }
    }

    /// Tidies up after a probe; a folder that is not empty stays.
    pub(super) fn remove_empty_folder(&self, name: &str) {
        let _ = fs::remove_dir(self.root.join(name));
    }

    /// Names are relative, `/`-separated, without empty, dotted or parent parts.
    fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        let valid = !name.is_empty()
            && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']));
        if valid { Ok(self.root.join(name)) } else { Err(StoreError::Name { name: name.to_string() }) }
    }
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

/// Makes the missing folders and syncs the parent of each, so that they survive a power cut with what they hold.
fn make_folders(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(parent)?;
        match fs::create_dir(folder) {
            Ok(()) => sync_folder(parent)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(source) => return Err(StoreError::Io { action: "make folder", path: folder.to_path_buf(), source }),
        }
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Io { action: "sync", path: folder.to_path_buf(), source };
    File::open(folder).map_err(failed)?.sync_all().map_err(failed)
}
