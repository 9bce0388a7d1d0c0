//! One executor process from start to end: started in its directory, told its secrets, watched, and ended when told.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use pyrite_common::memory::print_size;
use pyrite_proto::master::ExecutorState;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::directory;
use super::ledger::Key;
use super::process::{self, LaunchSecrets};

/// A process that lives this long has started.
const STARTED_AFTER: Duration = Duration::from_secs(2);
/// How often the resident memory is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// From SIGTERM to SIGKILL.
pub(crate) const END_GRACE: Duration = Duration::from_secs(5);
/// How long a new process may take to read its secrets.
const SECRETS_DEADLINE: Duration = Duration::from_secs(10);

/// What to start.
pub(crate) struct Launch {
    pub key: Key,
    pub program: PathBuf,
    pub directory: PathBuf,
    pub host: String,
    pub cores: u32,
    pub memory_bytes: u64,
    pub driver_url: String,
    pub secrets: LaunchSecrets,
}

/// What became of an executor.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub key: Key,
    pub state: ExecutorState,
    pub message: String,
    pub exit_code: Option<i32>,
}

/// Runs the executor to its end. A text on `stop` ends it, with the text as the reason. The last report is always an
/// end.
pub(crate) async fn supervise(launch: Launch, mut stop: mpsc::Receiver<String>, reports: mpsc::Sender<Report>) {
    let (key, directory) = (launch.key.clone(), launch.directory.clone());
    let last = match start(&launch).await {
        Ok(child) => watch(child, &launch, &mut stop, &reports).await,
        Err(message) => End { state: ExecutorState::Failed, message, exit_code: None },
    };
    let mut message = last.message;
    if last.state != ExecutorState::Killed
        && last.exit_code != Some(0)
        && let Some(words) = directory::last_words(&directory)
    {
        message = format!("{message}; its last line: {words}");
    }
    // Fails only when the worker's loop is gone, and then nobody needs to know.
    let _ = reports.send(Report { key, state: last.state, message, exit_code: last.exit_code }).await;
    // One that was killed left its state, which nobody reads again: the next executor restores from the checkpoint.
    let cleared = tokio::task::spawn_blocking(move || directory::clear_state(&directory)).await;
    if let Ok(Err(error)) = cleared {
        tracing::warn!("the state of an ended executor stays on the disk: {error}");
    }
}

struct End {
    state: ExecutorState,
    message: String,
    exit_code: Option<i32>,
}

async fn start(launch: &Launch) -> Result<Child, String> {
    let logs = directory::prepare(&launch.directory)
        .map_err(|error| format!("work directory `{}` cannot be used: {error}", launch.directory.display()))?;
    let mut command = Command::new(&launch.program);
    command
        .arg("executor")
        .args(["--driver-url", &launch.driver_url])
        .args(["--app-id", launch.key.application.as_str()])
        .args(["--executor-id", launch.key.executor.as_str()])
        .args(["--cores", &launch.cores.to_string()])
        .args(["--memory", &launch.memory_bytes.to_string()])
        .args(["--host", &launch.host])
        .args(["--parent", &std::process::id().to_string()])
        .arg("--work-dir")
        .arg(&launch.directory)
        .current_dir(&launch.directory)
        .stdin(Stdio::piped())
        .stdout(logs.stdout)
        .stderr(logs.stderr)
        // A group of its own: Ctrl-C at the worker's terminal reaches the worker only, which then ends its executors in
        // order.
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .map_err(|error| format!("executor program `{}` cannot be started: {error}", launch.program.display()))?;
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    let line = launch.secrets.line();
    let written = timeout(SECRETS_DEADLINE, async {
        stdin.write_all(line.as_bytes()).await?;
        stdin.shutdown().await
    });
    match written.await {
        Ok(Ok(())) => {}
        // It has ended already, and `watch` will say how.
        Ok(Err(error)) => tracing::debug!(executor = %launch.key.executor, "secrets not taken: {error}"),
        Err(_) => return Err("the executor did not read its standard input".to_owned()),
    }
    Ok(child)
}

async fn watch(
    mut child: Child,
    launch: &Launch,
    stop: &mut mpsc::Receiver<String>,
    reports: &mpsc::Sender<Report>,
) -> End {
    let pid = child.id();
    let started = Instant::now() + STARTED_AFTER;
    let mut running = false;
    let mut watches = interval(WATCH_INTERVAL);
    watches.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            status = child.wait() => return ended(status),
            reason = stop.recv() => {
                let reason = reason.unwrap_or_else(|| "its worker stops".to_owned());
                return end(child, pid, reason).await;
            }
            () = sleep_until(started), if !running => {
                running = true;
                let report =
                    Report { key: launch.key.clone(), state: ExecutorState::Running, message: String::new(), exit_code: None };
                let _ = reports.send(report).await;
            }
            _ = watches.tick() => {
                let resident = pid.and_then(process::resident_bytes).unwrap_or(0);
                if resident > launch.memory_bytes {
                    return over_limit(child, resident, launch.memory_bytes).await;
                }
            }
        }
    }
}

fn ended(status: std::io::Result<ExitStatus>) -> End {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => End {
                state: ExecutorState::Exited,
                message: format!("command exited with code {code}"),
                exit_code: Some(code),
            },
            (None, signal) => End {
                state: ExecutorState::Failed,
                message: format!("ended by signal {}", signal.unwrap_or_default()),
                exit_code: None,
            },
        },
        Err(error) => End {
            state: ExecutorState::Failed,
            message: format!("its end could not be learnt: {error}"),
            exit_code: None,
        },
    }
}

/// SIGTERM, some time, SIGKILL.
async fn end(mut child: Child, pid: Option<u32>, reason: String) -> End {
    let asked = pid.is_some_and(process::terminate);
    if !asked || timeout(END_GRACE, child.wait()).await.is_err() {
        kill(&mut child).await;
    }
    End { state: ExecutorState::Killed, message: reason, exit_code: None }
}

/// At once: a process that grows too fast would take others down while it tidies up.
async fn over_limit(mut child: Child, resident: u64, limit: u64) -> End {
    kill(&mut child).await;
    let message = format!(
        "used {} of resident memory, more than its {}; raise `--executor-memory`",
        print_size(resident),
        print_size(limit)
    );
    End { state: ExecutorState::Failed, message, exit_code: None }
}

async fn kill(child: &mut Child) {
    if let Err(error) = child.kill().await {
        tracing::warn!("an executor could not be killed: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Run {
        _directory: tempfile::TempDir,
        stop: mpsc::Sender<String>,
        reports: mpsc::Receiver<Report>,
    }

    impl Run {
        /// Supervises a shell in place of an executor: it runs the file named by its first argument, `executor`.
        fn script(body: &str, memory_bytes: u64) -> Run {
            let directory = tempfile::tempdir().expect("a directory");
            let of_executor = directory.path().join("app-1").join("0");
            std::fs::create_dir_all(&of_executor).expect("made");
            std::fs::write(of_executor.join("executor"), body).expect("written");
            Run::program(directory, PathBuf::from("/bin/sh"), memory_bytes)
        }

        fn program(directory: tempfile::TempDir, program: PathBuf, memory_bytes: u64) -> Run {
            let (stop, stopped) = mpsc::channel(1);
            let (sender, reports) = mpsc::channel(8);
            let launch = Launch {
                key: Key { application: "app-1".into(), executor: "0".into() },
                program,
                directory: directory.path().join("app-1").join("0"),
                host: "127.0.0.1".to_owned(),
                cores: 1,
                memory_bytes,
                driver_url: "http://127.0.0.1:1".to_owned(),
                secrets: LaunchSecrets { token: "abc".to_owned(), settings: BTreeMap::new() },
            };
            pyrite_common::lifecycle::spawn("supervised in a test", supervise(launch, stopped, sender));
            Run { _directory: directory, stop, reports }
        }

        async fn end(&mut self) -> Report {
            loop {
                let report = self.reports.recv().await.expect("an end is always reported");
                if super::super::ledger::is_ended(report.state) {
                    return report;
                }
            }
        }
    }

    #[tokio::test]
    async fn an_exit_is_reported_with_the_last_words() {
        let mut run = Run::script("echo 'no driver there' >&2; exit 3", 1 << 30);
        let report = run.end().await;
        assert_eq!((report.state, report.exit_code), (ExecutorState::Exited, Some(3)));
        assert_eq!(report.message, "command exited with code 3; its last line: no driver there");
    }

    #[tokio::test]
    async fn an_executor_that_is_told_to_ends() {
        let mut run = Run::script("exec sleep 600", 1 << 30);
        run.stop.send("its application has ended".to_owned()).await.expect("it runs");
        let report = run.end().await;
        assert_eq!((report.state, report.message.as_str()), (ExecutorState::Killed, "its application has ended"));
    }

    #[tokio::test]
    async fn an_executor_over_its_memory_is_ended_with_that_reason() {
        let mut run = Run::script("exec sleep 600", 1);
        let report = run.end().await;
        assert_eq!(report.state, ExecutorState::Failed);
        assert!(report.message.contains("resident memory, more than its 1 B"), "{}", report.message);
    }

    #[tokio::test]
    async fn what_cannot_start_says_why() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut run = Run::program(directory, PathBuf::from("/no/such/program"), 1 << 30);
        let report = run.end().await;
        assert_eq!(report.state, ExecutorState::Failed);
        assert!(report.message.contains("`/no/such/program` cannot be started"), "{}", report.message);
    }
}
