//! `submit`: runs a Python program as the driver of an application, here, and ends with its exit code.
//!
//! ```text
//! flags ─▶ submission ─▶ application (executors, driver, Spark Connect) ─▶ python ─▶ end
//!                            └─ cluster: what the master says
//! ```

mod application;
mod cluster;
mod flags;
mod python;
mod submission;
mod terminal;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use pyrite_common::lifecycle::{Lifecycle, Signals};
use pyrite_common::telemetry;
use pyrite_connect::launcher::{find_python, write_shim};
use tokio::runtime::Runtime;

use self::application::Application;
use self::flags::Request;
use self::python::Outcome;
use self::submission::Submission;
use crate::usage::SubmitArguments;

/// What a user wants to see: our own few lines, and warnings of the rest. (A plain `pyrite` would match every crate of ours.)
const LOG_LEVELS: &str = "warn,pyrite::submit=info";
const LOG_LEVELS_VERBOSE: &str = "info";
/// How long servers and tasks may take at the end; their work is done by then.
const STOP_DEADLINE: Duration = Duration::from_millis(300);

/// Runs `submit` to its end.
pub(crate) fn run(arguments: &SubmitArguments) -> ExitCode {
    match flags::parse(&arguments.arguments) {
        Ok(Request::Help) => {
            print!("{}", flags::HELP);
            ExitCode::SUCCESS
        }
        Ok(Request::Version) => {
            println!("pyrite {}, as Spark {}", env!("CARGO_PKG_VERSION"), pyrite_connect::SPARK_VERSION);
            ExitCode::SUCCESS
        }
        Ok(Request::Run(parsed)) => {
            telemetry::init(if parsed.verbose { LOG_LEVELS_VERBOSE } else { LOG_LEVELS });
            show_not_applicable(&parsed.not_applicable);
            let verbose = parsed.verbose;
            let submission = Submission::of(*parsed, |name| std::env::var(name).ok());
            code_of(submission.and_then(|submission| run_submission(&submission, verbose)))
        }
        Err(error) => code_of(Err(error)),
    }
}

/// 0 to 255, as a process ends.
fn code_of(result: anyhow::Result<i32>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(u8::try_from(code & 0xff).expect("one byte")),
        Err(error) => {
            eprintln!("submit: error: {}", pyrite_common::error::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn show_not_applicable(flags: &[(String, &'static str)]) {
    if flags.is_empty() {
        return;
    }
    let each: Vec<String> = flags.iter().map(|(flag, why)| format!("{flag} ({why})")).collect();
    tracing::info!("accepted without effect: {}", each.join(", "));
}

fn run_submission(submission: &Submission, verbose: bool) -> anyhow::Result<i32> {
    if verbose {
        for (key, value) in submission.settings.iter() {
            tracing::info!("{key} = {}", redacted(key, value));
        }
    }
    let directory = ScratchDirectory::make(submission.settings.get("spark.local.dir"))?;
    let runtime = Runtime::new().context("the threads cannot be started")?;
    let outcome = runtime.block_on(drive(submission, &directory.path));
    runtime.shutdown_timeout(STOP_DEADLINE);
    Ok(outcome?.exit_code())
}

async fn drive(submission: &Submission, directory: &std::path::Path) -> anyhow::Result<Outcome> {
    let mut signals = Signals::listen().context("signals cannot be received")?;
    let lifecycle = Lifecycle::new();
    // The application registers while Python is looked for, and a signal ends either.
    let python = tokio::task::spawn_blocking(|| find_python(|name| std::env::var(name).ok()));
    let starting = async {
        let (application, python) = tokio::join!(Application::start(submission, directory, &lifecycle), python);
        anyhow::Ok((application?, python.context("the search for Python failed")?))
    };
    let (application, python) = tokio::select! {
        started = starting => started?,
        signal = signals.next() => return Ok(Outcome::Stopped { code: signal.exit_code() }),
    };
    let program = python.map_err(anyhow::Error::from).and_then(|python| {
        let shim = write_shim(directory).context("the launcher's files cannot be written")?;
        python::start(submission, &python, &shim, application.connect_port, &application.connect_token)
    });
    let outcome = match program {
        Ok(program) => Ok(python::wait(program, &mut signals, application.failed.clone()).await),
        Err(error) => Err(error),
    };
    let is_failure = !matches!(outcome, Ok(Outcome::Exited { code: 0 } | Outcome::Stopped { .. }));
    tokio::select! {
        () = application.end(is_failure) => {}
        second = python::second(&mut signals), if matches!(outcome, Ok(Outcome::Stopped { .. })) => {
            std::process::exit(second.exit_code())
        }
    }
    lifecycle.shutdown();
    // Connections of clients that are gone are not waited for.
    let _ = lifecycle.finished(STOP_DEADLINE).await;
    outcome
}

/// As `spark.redaction.regex`: the log is no place for secrets.
fn redacted<'a>(key: &str, value: &'a str) -> &'a str {
    let key = key.to_ascii_lowercase();
    let secret = ["secret", "password", "token", "access.key", "accesskey", "credential", "jaas"];
    if secret.iter().any(|word| key.contains(word)) { "*********(redacted)" } else { value }
}

/// A directory of this run, removed at its end.
struct ScratchDirectory {
    path: PathBuf,
}

impl ScratchDirectory {
    fn make(local_dir: Option<&str>) -> anyhow::Result<ScratchDirectory> {
        use std::os::unix::fs::DirBuilderExt;
        let parent = local_dir.map_or_else(std::env::temp_dir, PathBuf::from);
        let path = parent.join(format!("pyrite-{}", uuid::Uuid::new_v4()));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("the scratch directory `{}` cannot be made", path.display()))?;
        Ok(ScratchDirectory { path })
    }
}

impl Drop for ScratchDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!("the scratch directory `{}` could not be removed: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_reach_the_log() {
        assert_eq!(redacted("kafka.sasl.jaas.config", "x"), "*********(redacted)");
        assert_eq!(redacted("spark.hadoop.fs.s3a.SECRET.key", "x"), "*********(redacted)");
        assert_eq!(redacted("spark.app.name", "x"), "x");
    }

    #[test]
    fn the_scratch_directory_goes_with_the_run() {
        let directory = ScratchDirectory::make(None).expect("made");
        let path = directory.path.clone();
        assert!(path.is_dir());
        drop(directory);
        assert!(!path.exists());
    }
}
