//! How every command ends.

#![allow(unsafe_code, reason = "_exit has no safe form in the standard library")]

use std::io::Write;
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long a reader of the output that does not read is waited for.
const FLUSH_DEADLINE: Duration = Duration::from_secs(1);

/// Ends the process without running what libraries left to be run at its end: a thread that still closes a database
/// or a client, because it was not waited for any longer, would find RocksDB's static objects destroyed, and abort.
pub(crate) fn leave(code: i32) -> ! {
    let (flushed, done) = channel();
    // On a thread of its own: one that is stuck in a write to a full pipe has the lock.
    let _ = std::thread::Builder::new().spawn(move || {
        // What cannot be written now cannot be told either.
        let _ = std::io::stdout().flush();
        let _ = std::io::stderr().flush();
        let _ = flushed.send(());
    });
    let _ = done.recv_timeout(FLUSH_DEADLINE);
    // SAFETY: it takes a number and does not come back.
    unsafe { libc::_exit(code) }
}
