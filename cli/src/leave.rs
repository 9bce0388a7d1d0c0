//! How every command ends.

#![allow(unsafe_code, reason = "_exit has no safe form in the standard library")]

use std::io::Write;

/// Ends the process without running what libraries left to be run at its end: a thread that still closes a database
/// or a client, because it was not waited for any longer, would find RocksDB's static objects destroyed, and abort.
pub(crate) fn leave(code: i32) -> ! {
    // What cannot be written now cannot be told either.
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    // SAFETY: it takes a number and does not come back.
    unsafe { libc::_exit(code) }
}
