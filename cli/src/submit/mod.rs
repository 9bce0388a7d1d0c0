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
mod scratch;
mod submission;
mod terminal;
mod user;

use std::time::Duration;

use anyhow::Context;
use pyrite_common::lifecycle::{Lifecycle, Signals};
use pyrite_common::telemetry;
use pyrite_connect::launcher::{PythonTarget, find_python, write_shim};
use tokio::runtime::Builder;

use self::application::Application;
use self::flags::Request;
use self::python::Outcome;
use self::scratch::ScratchDirectory;
use self::submission::Submission;
use crate::leave::leave;
use crate::usage::SubmitArguments;

/// What `--verbose` shows.
const VERBOSE_LEVELS: &str = "info";
/// As if the program began with `setLogLevel`.
const LOG_LEVEL: &str = "spark.log.level";
/// How long servers and tasks may take at the end; their work is done by then.
const STOP_DEADLINE: Duration = Duration::from_millis(300);

/// Runs `submit` to its end.
pub(crate) fn run(arguments: &SubmitArguments) -> i32 {
    match flags::parse(&arguments.arguments) {
        Ok(Request::Help) => {
            print!("{}", flags::HELP);
            0
        }
        Ok(Request::Version) => {
            println!("pyrite {}, as Spark {}", env!("CARGO_PKG_VERSION"), pyrite_connect::SPARK_VERSION);
            0
        }
        Ok(Request::Run(parsed)) => {
            telemetry::init(if parsed.verbose { VERBOSE_LEVELS } else { telemetry::PROGRAM_LEVELS });
            let verbose = parsed.verbose;
            let submission = Submission::of(*parsed, |name| std::env::var(name).ok());
            code_of(submission.and_then(|submission| {
                submission.settings.get(LOG_LEVEL).map_or(Ok(()), telemetry::set_level)?;
                run_submission(&submission, verbose)
            }))
        }
        Err(error) => code_of(Err(error)),
    }
}

/// The exit code; an error has been printed.
fn code_of(result: anyhow::Result<i32>) -> i32 {
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("submit: error: {}", pyrite_common::error::chain(error.as_ref()));
            1
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
    show_not_applicable(&submission.not_applicable);
    if verbose {
        for (key, value) in submission.settings.iter() {
            tracing::info!("{key} = {}", redacted(key, value));
        }
    }
    let directory = ScratchDirectory::make(submission.settings.get("spark.local.dir"))?;
    let runtime = Builder::new_multi_thread()
        .enable_all()
        // A plan nests as deep as the program chains calls, and is walked by recursion.
        .thread_stack_size(pyrite_connect::STACK_BYTES)
        .build()
        .context("the threads cannot be started")?;
    let outcome = runtime.block_on(drive(submission, directory.path()));
    runtime.shutdown_timeout(STOP_DEADLINE);
    Ok(outcome?.exit_code())
}

async fn drive(submission: &Submission, directory: &std::path::Path) -> anyhow::Result<Outcome> {
    let mut signals = Signals::listen().context("signals cannot be received")?;
    let lifecycle = Lifecycle::new();
    // The application registers while Python is looked for, and a signal ends either.
    let chosen = submission.python();
    let python = tokio::task::spawn_blocking(move || find_python(chosen, |name| std::env::var(name).ok()));
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
        let target = PythonTarget {
            port: application.connect_port,
            token: &application.connect_token,
            shim: &shim,
            python: &python.executable,
        };
        python::start(submission, &target, &python::lay_out_files(submission, directory)?)
    });
    let outcome = match program {
        Ok(program) => Ok(python::wait(program, &mut signals, application.failed.clone()).await),
        Err(error) => Err(error),
    };
    let is_failure = !matches!(outcome, Ok(Outcome::Exited { code: 0 } | Outcome::Stopped { .. }));
    tokio::select! {
        () = application.end(is_failure) => {}
        second = signals.second(), if matches!(outcome, Ok(Outcome::Stopped { .. })) => {
            leave(second.exit_code())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_reach_the_log() {
        assert_eq!(redacted("kafka.sasl.jaas.config", "x"), "*********(redacted)");
        assert_eq!(redacted("spark.hadoop.fs.s3a.SECRET.key", "x"), "*********(redacted)");
        assert_eq!(redacted("spark.app.name", "x"), "x");
    }
}
