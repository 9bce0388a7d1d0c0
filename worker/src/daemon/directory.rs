//! The work directory: `<work>/<application>/<executor>/{stdout,stderr}`, as Spark's, and the removal of old ones.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pyrite_common::ids::ApplicationId;

use super::ledger::Key;
use crate::{STATE_FOLDER, STATE_LOCK};

/// How much of a log's end is read to find its last line.
const TAIL_BYTES: u64 = 4_096;
/// The last line is cut to this for messages.
const LAST_LINE_CHARS_MAX: usize = 300;

/// The directory of one executor. Both ids must be path-safe.
pub(crate) fn of_executor(work: &Path, key: &Key) -> PathBuf {
    work.join(key.application.as_str()).join(key.executor.as_str())
}

/// A new executor's directory and its two log files.
pub(crate) struct Logs {
    pub stdout: File,
    pub stderr: File,
}

/// Makes the directory and opens the logs.
pub(crate) fn prepare(directory: &Path) -> io::Result<Logs> {
    fs::create_dir_all(directory)?;
    Ok(Logs { stdout: File::create(directory.join("stdout"))?, stderr: File::create(directory.join("stderr"))? })
}

/// Whether files can be written there: makes it, and a file in it.
pub(crate) fn prove_writable(work: &Path) -> io::Result<()> {
    fs::create_dir_all(work)?;
    let probe = work.join(format!(".probe-{}", std::process::id()));
    fs::write(&probe, b"probe")?;
    fs::remove_file(&probe)
}

/// The last `bytes` of a file, from a character's beginning.
pub(crate) fn tail(path: &Path, bytes: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut content = Vec::new();
    file.take(bytes).read_to_end(&mut content)?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// The last line with text of an executor's stderr that is not just news: most often why it ended.
pub(crate) fn last_words(directory: &Path) -> Option<String> {
    let text = tail(&directory.join("stderr"), TAIL_BYTES).ok()?;
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty() && !line.contains(" INFO "))?;
    Some(line.chars().take(LAST_LINE_CHARS_MAX).collect())
}

/// Removes what an ended executor had restored or computed; its logs stay.
pub(crate) fn clear_state(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory.join(STATE_FOLDER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the state of executors that died with their worker, which nobody else clears. Two workers may share a work
/// directory: a lock tells the living. Returns how many there were.
pub(crate) fn clear_states_of_the_dead(work: &Path) -> io::Result<usize> {
    let mut cleared = 0;
    for application in applications(work)? {
        for entry in fs::read_dir(application)? {
            let executor = entry?.path();
            if executor.join(STATE_FOLDER).is_dir() && is_dead(&executor)? {
                clear_state(&executor)?;
                cleared += 1;
            }
        }
    }
    Ok(cleared)
}

fn is_dead(executor: &Path) -> io::Result<bool> {
    match File::open(executor.join(STATE_LOCK)) {
        Ok(lock) => match lock.try_lock_shared() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The directories of applications: only what looks like ours, for there may be other things.
fn applications(work: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(work)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.file_name().to_str().is_some_and(|name| name.starts_with("app-")) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Removes directories of applications that have no executor here and in which nothing changed for `keep`. Returns how
/// many.
pub(crate) fn clean(
    work: &Path,
    running: &BTreeSet<ApplicationId>,
    keep: Duration,
    now: SystemTime,
) -> io::Result<usize> {
    let mut removed = 0;
    for directory in applications(work)? {
        let Some(application) = directory.file_name().and_then(OsStr::to_str).map(ApplicationId::new) else { continue };
        if running.contains(&application) || changed_since(&directory, now - keep)? {
            continue;
        }
        tracing::info!(application = %application, "removing the old work directory");
        fs::remove_dir_all(&directory)?;
        removed += 1;
    }
    Ok(removed)
}

fn changed_since(directory: &Path, limit: SystemTime) -> io::Result<bool> {
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                open.push(entry.path());
            } else if metadata.modified()? > limit {
                return Ok(true);
            }
        }
    }
    Ok(fs::metadata(directory)?.modified()? > limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_with_text_is_the_last_word() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(
            directory.path().join("stderr"),
            "first\ncannot attach to the driver\n\n26/11/22 12:51:44 INFO Executor: ended\n",
        )
        .expect("written");
        assert_eq!(last_words(directory.path()).as_deref(), Some("cannot attach to the driver"));
        fs::write(directory.path().join("stderr"), "").expect("written");
        assert_eq!(last_words(directory.path()), None);
    }

    #[test]
    fn state_goes_when_its_executor_is_dead() {
        let work = tempfile::tempdir().expect("a directory");
        let executor = work.path().join("app-1").join("0");
        fs::create_dir_all(executor.join(STATE_FOLDER)).expect("made");
        assert_eq!(clear_states_of_the_dead(work.path()).expect("readable"), 0, "one that has no lock yet");
        let alive = File::create(executor.join(STATE_LOCK)).expect("made");
        alive.try_lock().expect("nobody else has it");
        assert_eq!(clear_states_of_the_dead(work.path()).expect("readable"), 0);
        // Said in so many words: a child that another test starts shares the open file until it runs its program.
        alive.unlock().expect("locked");
        assert_eq!(clear_states_of_the_dead(work.path()).expect("readable"), 1);
        assert!(!executor.join(STATE_FOLDER).exists() && executor.exists());
    }

    #[test]
    fn only_old_directories_of_ended_applications_go() {
        let work = tempfile::tempdir().expect("a directory");
        for name in ["app-1", "app-2", "mine"] {
            fs::create_dir_all(work.path().join(name).join("0")).expect("made");
        }
        let running = BTreeSet::from([ApplicationId::new("app-2")]);
        let keep = Duration::from_secs(60);
        assert_eq!(clean(work.path(), &running, keep, SystemTime::now()).expect("readable"), 0);
        let later = SystemTime::now() + Duration::from_secs(120);
        assert_eq!(clean(work.path(), &running, keep, later).expect("readable"), 1);
        assert!(!work.path().join("app-1").exists());
        assert!(work.path().join("app-2").exists() && work.path().join("mine").exists());
    }
}
