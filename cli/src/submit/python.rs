//! The program's process: started with its environment, signalled when we are, and waited for.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use pyrite_common::lifecycle::{Signal, Signals};
use pyrite_connect::launcher::{PythonTarget, python_env};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use super::submission::Submission;
use super::terminal;
use crate::leave::leave;

/// How long a program that was asked to end may take.
const END_GRACE: Duration = Duration::from_secs(15);
/// Tells the program's `SparkFiles` where its files are.
const FILES_VARIABLE: &str = "PYRITE_FILES";
/// Variables that would send the program's session elsewhere.
const NOT_INHERITED: [&str; 3] = ["MASTER", "SPARK_MASTER", "PYSPARK_GATEWAY_PORT"];

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// By itself.
    Exited { code: i32 },
    /// We were asked to stop.
    Stopped { code: i32 },
    /// The application could not go on.
    Failed,
}

impl Outcome {
    /// The exit code of `submit`.
    pub fn exit_code(self) -> i32 {
        match self {
            Outcome::Exited { code } | Outcome::Stopped { code } => code,
            Outcome::Failed => 1,
        }
    }
}

/// The running program.
pub(super) struct Program {
    child: Child,
    /// Ctrl-C reaches it without us.
    shares_ctrl_c: bool,
}

/// Puts the files of `--files` where `SparkFiles.get` finds them: in one directory, under their own names.
pub(super) fn lay_out_files(submission: &Submission, directory: &Path) -> anyhow::Result<PathBuf> {
    let files = directory.join("files");
    std::fs::create_dir_all(&files).with_context(|| format!("`{}` cannot be made", files.display()))?;
    for file in &submission.files {
        let name = file.file_name().unwrap_or_default();
        std::os::unix::fs::symlink(file, files.join(name))
            .with_context(|| format!("`{}` of `--files` cannot be laid out", file.display()))?;
    }
    Ok(files)
}

/// Starts the program. Its input and output are ours.
pub(super) fn start(submission: &Submission, target: &PythonTarget<'_>, files: &Path) -> anyhow::Result<Program> {
    let python = target.python;
    let mut command = Command::new(python);
    command
        .arg(&submission.script)
        .args(&submission.arguments)
        .envs(python_env(target, python_path(submission)))
        .env(FILES_VARIABLE, files)
        .kill_on_drop(true);
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    let shares_ctrl_c = terminal::shares_ctrl_c();
    if !shares_ctrl_c {
        // A signal to our whole group, as some supervisors send it, reaches the program once, through us.
        command.process_group(0);
    }
    terminal::tie_to_this_process(&mut command);
    let child = command.spawn().with_context(|| format!("Python `{}` cannot be started", python.display()))?;
    Ok(Program { child, shares_ctrl_c })
}

/// `--py-files`, then what was there.
fn python_path(submission: &Submission) -> Option<OsString> {
    let mut entries: Vec<OsString> = Vec::new();
    for file in &submission.python_files {
        // A module is found in its directory, an archive is a directory of its own.
        let is_module = file.extension().is_some_and(|extension| extension == "py");
        let entry = if is_module { file.parent().unwrap_or(file) } else { file.as_path() };
        entries.push(entry.as_os_str().to_owned());
    }
    entries.extend(std::env::var_os("PYTHONPATH"));
    (!entries.is_empty()).then(|| entries.join(&OsString::from(":")))
}

/// Waits for the program's end. The first signal is passed on, the second ends the process at once; `failed` turning to
/// a reason ends the program.
pub(super) async fn wait(
    program: Program,
    signals: &mut Signals,
    mut failed: watch::Receiver<Option<String>>,
) -> Outcome {
    let Program { mut child, shares_ctrl_c } = program;
    tokio::select! {
        status = child.wait() => Outcome::Exited { code: exit_code(status) },
        reason = failure(&mut failed) => {
            tracing::error!("the application cannot go on: {reason}");
            kill(&mut child).await;
            Outcome::Failed
        }
        signal = signals.next() => {
            tracing::info!("received {}, stopping; once more to stop at once", signal.name());
            tokio::select! {
                code = end(&mut child, signal, shares_ctrl_c && signal == Signal::Interrupt) => Outcome::Stopped { code },
                second = signals.second() => {
                    kill(&mut child).await;
                    leave(second.exit_code());
                }
            }
        }
    }
}

/// Waits for a reason; without anybody who could give one, for ever.
async fn failure(failed: &mut watch::Receiver<Option<String>>) -> String {
    match failed.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or_default(),
        Err(_) => std::future::pending().await,
    }
}

async fn end(child: &mut Child, signal: Signal, has_it_already: bool) -> i32 {
    if let Some(pid) = child.id()
        && !has_it_already
    {
        terminal::send(pid, signal);
    }
    match timeout(END_GRACE, child.wait()).await {
        Ok(status) => exit_code(status),
        Err(_) => {
            tracing::warn!("the program did not end within {} s, killing it", END_GRACE.as_secs());
            kill(child).await;
            signal.exit_code()
        }
    }
}

async fn kill(child: &mut Child) {
    if let Err(error) = child.kill().await {
        tracing::warn!("the program could not be killed: {error}");
    }
}

/// As the shell: 128 + the number of the signal that ended it.
fn exit_code(status: std::io::Result<ExitStatus>) -> i32 {
    match status {
        Ok(status) => status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
        Err(_) => 1,
    }
}
