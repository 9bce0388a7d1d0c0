//! The system calls with which the program's process is signalled and tied to this one. With `leave.rs` the only
//! `unsafe` code of the command line.
//!
//! Contract: every call takes plain numbers and touches no memory of ours; what runs between fork and exec is
//! async-signal-safe.

#![allow(unsafe_code, reason = "kill, tcgetpgrp and prctl have no safe form in the standard library")]

use std::io::IsTerminal;

use pyrite_common::lifecycle::Signal;
use tokio::process::Command;

/// Sends a signal to a process. False: there is no such process.
pub(super) fn send(pid: u32, signal: Signal) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return false };
    let number = match signal {
        Signal::Interrupt => libc::SIGINT,
        Signal::Terminate => libc::SIGTERM,
        Signal::Hangup => libc::SIGHUP,
    };
    // SAFETY: see the contract above; a wrong pid gives an error.
    unsafe { libc::kill(pid, number) == 0 }
}

/// Whether Ctrl-C at the terminal reaches this process's whole group, and so the program too, without our help.
pub(super) fn shares_ctrl_c() -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    // SAFETY: see the contract above.
    unsafe { libc::tcgetpgrp(libc::STDIN_FILENO) == libc::getpgrp() }
}

/// The system kills the program when this process dies, however it dies: a client without its server would wait for
/// minutes. It must be started from the main thread, which lives as long as the process.
pub(super) fn tie_to_this_process(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: prctl is async-signal-safe and takes numbers only.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            })
        };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}
