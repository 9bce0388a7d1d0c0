//! The system calls that end executors with their worker. The only `unsafe` code of the daemon.
//!
//! Contract: every call here takes plain numbers, touches no memory of ours, and is async-signal-safe, which is what
//! may run between fork and exec and what a process may do to itself at any time.

#![allow(unsafe_code, reason = "prctl and kill have no safe form in the standard library")]

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};

/// The exit code of an executor whose worker was gone before it could ask to end with it.
pub const ORPHANED_EXIT_CODE: i32 = 64;

/// What an executor must be told and nobody else may read: one line of JSON on its standard input, never its arguments.
#[derive(Clone, Serialize, Deserialize)]
pub struct LaunchSecrets {
    /// The application's token.
    pub token: String,
    /// The application's settings, which may hold passwords.
    pub settings: BTreeMap<String, String>,
}

impl LaunchSecrets {
    /// Reads them from a new executor's standard input.
    pub fn read(input: &mut impl BufRead) -> io::Result<LaunchSecrets> {
        let mut line = String::new();
        input.read_line(&mut line)?;
        serde_json::from_str(&line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// The line to write.
    pub(crate) fn line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("text keys and values always serialize");
        line.push('\n');
        line
    }
}

/// Asks the system to kill this process when its parent dies; ends it when the parent, `parent`, is dead already.
/// Called by an executor first thing. A no-op where the system cannot do it.
pub fn end_with_parent(parent: u32) {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: see the contract above.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if std::os::unix::process::parent_id() != parent {
            std::process::exit(ORPHANED_EXIT_CODE);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
}

/// Asks a process to end: SIGTERM. False: there is no such process.
pub(crate) fn terminate(pid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return false };
    // SAFETY: see the contract above; a wrong pid gives an error.
    unsafe { libc::kill(pid, libc::SIGTERM) == 0 }
}

/// The resident memory of a process; none when it is gone or the system does not say.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    parse_resident(&status)
}

/// `VmRSS` of `/proc/<pid>/status`, in bytes.
fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_proc() {
        assert_eq!(parse_resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(parse_resident("Name:\tx\n"), None);
        if cfg!(target_os = "linux") {
            assert!(resident_bytes(std::process::id()).is_some_and(|bytes| bytes > 0));
        }
    }

    #[test]
    fn secrets_travel_in_one_line() {
        let secrets = LaunchSecrets {
            token: "abc".to_owned(),
            settings: BTreeMap::from([("spark.x".to_owned(), "two\nlines".to_owned())]),
        };
        let line = secrets.line();
        assert_eq!(line.matches('\n').count(), 1);
        let read = LaunchSecrets::read(&mut line.as_bytes()).expect("its own line");
        assert_eq!((read.token, read.settings), (secrets.token, secrets.settings));
    }
}
