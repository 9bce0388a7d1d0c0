//! How long-running tasks start, fail and stop. No bare `tokio::spawn`: each task has a name and a kind that says what
//! its error means, and one token tells all of a program's tasks to stop.

use std::fmt::Display;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::signal::unix::{self, SignalKind};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the failure of a task means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// The program cannot go on without it: its error or panic stops all the others.
    Critical,
    /// Its error or panic is logged, and nothing else happens.
    Background,
}

/// The first critical task that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{task} failed: {message}")]
pub struct TaskFailure {
    /// The task's name.
    pub task: &'static str,
    /// Its error, or the panic's message.
    pub message: String,
}

/// The tasks of one program, or of one part of it that starts and stops as a whole. Cloning gives another handle.
#[derive(Clone, Default)]
pub struct Lifecycle {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    token: CancellationToken,
    tracker: TaskTracker,
    failure: Mutex<Option<TaskFailure>>,
}

impl Lifecycle {
    /// A new part with no tasks.
    pub fn new() -> Lifecycle {
        Lifecycle::default()
    }

    /// Cancelled when the part is to stop; tasks wait on it wherever they wait for anything else.
    pub fn token(&self) -> &CancellationToken {
        &self.shared.token
    }

    /// Starts a task. It must end soon after the token is cancelled.
    pub fn spawn<E: Display>(
        &self,
        kind: TaskKind,
        name: &'static str,
        future: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> JoinHandle<()> {
        let shared = self.shared.clone();
        self.shared.tracker.spawn(async move {
            let message = match AssertUnwindSafe(future).catch_unwind().await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(panic) => format!("panicked: {}", panic_text(panic.as_ref())),
            };
            match kind {
                TaskKind::Background => tracing::warn!(task = name, "task failed: {message}"),
                TaskKind::Critical => {
                    tracing::error!(task = name, "task failed: {message}");
                    shared.failure.lock().get_or_insert(TaskFailure { task: name, message });
                    shared.token.cancel();
                }
            }
        })
    }

    /// Tells all tasks to stop; returns at once.
    pub fn shutdown(&self) {
        self.shared.token.cancel();
    }

    /// Waits until something asks for the stop.
    pub async fn stopping(&self) {
        self.shared.token.cancelled().await;
    }

    /// Waits until the stop is asked for and all tasks have ended, but no longer than `grace` after the asking. The
    /// error is the critical failure that caused the stop, if one did.
    pub async fn finished(&self, grace: Duration) -> Result<(), TaskFailure> {
        self.stopping().await;
        self.shared.tracker.close();
        if tokio::time::timeout(grace, self.shared.tracker.wait()).await.is_err() {
            tracing::debug!(tasks = self.shared.tracker.len(), "tasks did not stop in time");
        }
        match self.shared.failure.lock().clone() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// From now on the first Ctrl-C, SIGTERM or SIGHUP asks for the stop, and the second ends the process at once.
    pub fn stop_on_signals(&self) -> std::io::Result<()> {
        let mut signals = Signals::listen()?;
        let token = self.shared.token.clone();
        tokio::spawn(async move {
            let first = signals.next().await;
            tracing::info!("received {}, stopping", first.name());
            token.cancel();
            let second = signals.second().await;
            std::process::exit(second.exit_code());
        });
        Ok(())
    }
}

/// Starts a background task that has no error to tell; a panic is logged with the task's name.
pub fn spawn<T: Send + 'static>(
    name: &'static str,
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<Option<T>> {
    tokio::spawn(async move {
        match AssertUnwindSafe(future).catch_unwind().await {
            Ok(value) => Some(value),
            Err(panic) => {
                tracing::error!(task = name, "task panicked: {}", panic_text(panic.as_ref()));
                None
            }
        }
    })
}

/// What a caught panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "no message"
    }
}

/// A request of the operator to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal is gone.
    Hangup,
}

impl Signal {
    /// As the shell names it.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
            Signal::Hangup => "SIGHUP",
        }
    }

    /// The exit code of a process that this signal ended: 128 + its number.
    pub fn exit_code(self) -> i32 {
        match self {
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
            Signal::Hangup => 129,
        }
    }
}

/// Receives the stop signals; while one exists, they do not end the process by themselves.
pub struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    /// None under `nohup`, which stays in force.
    hangup: Option<unix::Signal>,
}

/// Two signals within this time are one: some supervisors send the first to the process and to its group.
const SECOND_SIGNAL_AFTER: Duration = Duration::from_millis(300);

impl Signals {
    /// Takes the signals over.
    pub fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hangup: if is_hangup_ignored() { None } else { Some(unix::signal(SignalKind::hangup())?) },
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = hangup(&mut self.hangup) => Signal::Hangup,
        }
    }

    /// Waits for one that is really another than the first, which came just now.
    pub async fn second(&mut self) -> Signal {
        let first = Instant::now();
        loop {
            let signal = self.next().await;
            if first.elapsed() >= SECOND_SIGNAL_AFTER {
                return signal;
            }
        }
    }
}

async fn hangup(signal: &mut Option<unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether this process was started with SIGHUP ignored. Not known: no.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_critical_failure_stops_the_others() {
        let lifecycle = Lifecycle::new();
        let token = lifecycle.token().clone();
        lifecycle.spawn(TaskKind::Background, "waits", async move {
            token.cancelled().await;
            Ok::<(), String>(())
        });
        lifecycle.spawn(TaskKind::Critical, "fails", async { Err::<(), _>("no disk") });
        let failure = lifecycle.finished(GRACE).await.expect_err("a critical task failed");
        assert_eq!(failure.to_string(), "fails failed: no disk");
    }

    #[tokio::test]
    async fn a_background_panic_stops_nothing() {
        let lifecycle = Lifecycle::new();
        let task = lifecycle.spawn(TaskKind::Background, "panics", async {
            if true {
                panic!("in the test");
            }
            Ok::<(), String>(())
        });
        task.await.expect("the panic is caught");
        assert!(!lifecycle.token().is_cancelled());
        lifecycle.shutdown();
        assert!(lifecycle.finished(GRACE).await.is_ok());
    }
}
