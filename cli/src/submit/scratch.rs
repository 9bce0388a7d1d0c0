//! The directory of one run for its temporary files: removed at the end of the run, or by the next run when this one
//! was killed.
//!
//! A run holds a lock on its directory, which the system takes back however the process ends. So a directory that can
//! be locked belongs to nobody; nor does a socket that nobody listens on.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::Context;
use uuid::Uuid;

/// Directories of this name and an id are ours.
const PREFIX: &str = "pyrite-";
/// Sockets of executors whose own directory's name is too long for one.
const SOCKET_SUFFIX: &str = ".sock";
/// Another run may take a new directory for an abandoned one before it is locked; that this happens twice is chance,
/// and more often a sign of trouble.
const TRIES: u32 = 4;

/// A directory of this run.
#[derive(Debug)]
pub(super) struct ScratchDirectory {
    path: PathBuf,
    /// Open as long as the run goes on.
    _lock: File,
}

impl ScratchDirectory {
    /// Makes one below `local_dir`, else where temporary files go, and removes those that runs left behind there.
    pub fn make(local_dir: Option<&str>) -> anyhow::Result<ScratchDirectory> {
        let parent = local_dir.map_or_else(std::env::temp_dir, PathBuf::from);
        remove_abandoned(&parent);
        for _ in 0..TRIES {
            let path = parent.join(format!("{PREFIX}{}", Uuid::new_v4()));
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .with_context(|| format!("the scratch directory `{}` cannot be made", path.display()))?;
            let locked =
                lock(&path).with_context(|| format!("the scratch directory `{}` cannot be locked", path.display()))?;
            if let Some(lock) = locked {
                return Ok(ScratchDirectory { path, _lock: lock });
            }
        }
        anyhow::bail!("new scratch directories in `{}` are removed by somebody else", parent.display())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!("the scratch directory `{}` could not be removed: {error}", self.path.display());
        }
    }
}

/// The lock of a directory, unless another process has it or has removed the directory.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let directory = match File::open(path) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match directory.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
        Err(std::fs::TryLockError::Error(error)) => return Err(error),
    }
    let is_there =
        std::fs::metadata(path).is_ok_and(|now| directory.metadata().is_ok_and(|then| then.ino() == now.ino()));
    Ok(is_there.then_some(directory))
}

/// What cannot be looked at or removed is another user's, and stays.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let Some(name) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let Ok(kind) = entry.file_type() else { continue };
        let removed = if kind.is_dir() && Uuid::try_parse(name).is_ok() {
            matches!(lock(&path), Ok(Some(_lock)) if std::fs::remove_dir_all(&path).is_ok())
        } else if kind.is_socket() && name.ends_with(SOCKET_SUFFIX) {
            is_deserted(&path) && std::fs::remove_file(&path).is_ok()
        } else {
            false
        };
        if removed {
            tracing::debug!("removed `{}`, which a killed run had left", path.display());
        }
    }
}

fn is_deserted(socket: &Path) -> bool {
    UnixStream::connect(socket).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn make(parent: &Path) -> ScratchDirectory {
        ScratchDirectory::make(parent.to_str()).expect("made")
    }

    #[test]
    fn the_scratch_directory_goes_with_the_run() {
        let directory = ScratchDirectory::make(None).expect("made");
        let path = directory.path().to_owned();
        assert!(path.is_dir());
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_is_used_stays() {
        let parent = tempfile::tempdir().expect("a directory");
        let used = make(parent.path());
        let left = parent.path().join(format!("{PREFIX}{}", Uuid::new_v4()));
        let others = parent.path().join("pyrite-kafka-1");
        for folder in [&left, &others] {
            std::fs::create_dir_all(folder.join("python")).expect("made");
        }
        let (deserted, listened) = (parent.path().join("pyrite-1.sock"), parent.path().join("pyrite-2.sock"));
        drop(UnixListener::bind(&deserted).expect("bound"));
        let _listener = UnixListener::bind(&listened).expect("bound");
        let next = make(parent.path());
        assert!(!left.exists() && !deserted.exists() && listened.exists());
        assert!(others.is_dir() && used.path().is_dir() && next.path().is_dir());
    }
}
