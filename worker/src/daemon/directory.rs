//! The work directory: `<work>/<application>/<executor>/{stdout,stderr}`, as Spark's, and the removal of old ones.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pyrite_common::ids::ApplicationId;

use super::ledger::Key;
use crate::STATE_FOLDER;

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

/// Removes directories of applications that have no executor here and in which nothing changed for `keep`. Returns how
/// many.
pub(crate) fn clean(
    work: &Path,
    running: &BTreeSet<ApplicationId>,
    keep: Duration,
    now: SystemTime,
) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(work)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(application) = name.to_str().map(ApplicationId::new) else { continue };
        // Only what looks like ours: the directory may have other things in it.
        let is_ours = application.as_str().starts_with("app-") && entry.file_type()?.is_dir();
        if !is_ours || running.contains(&application) || changed_since(&entry.path(), now - keep)? {
            continue;
        }
        tracing::info!(application = %application, "removing the old work directory");
        fs::remove_dir_all(entry.path())?;
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
