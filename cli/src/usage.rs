//! The command line of `pyrite`: commands, flags, and what is printed when they are wrong.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::loadgen::LoadgenArgs;

/// The exit code of a wrong command line, as of most programs.
const USAGE_EXIT_CODE: i32 = 2;

/// Spark Structured Streaming programs, unmodified, on a cluster written in Rust.
#[derive(Parser, Debug)]
#[command(name = "pyrite", version)]
struct Pyrite {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Runs the cluster's master
    Master(MasterArgs),
    /// Lends this machine's cores and memory to the cluster
    Worker(WorkerArgs),
    /// Runs a program; `pyrite submit --help` has all flags
    #[command(disable_help_flag = true)]
    Submit(SubmitArguments),
    /// Writes log records into a Kafka topic
    Loadgen(LoadgenArgs),
    /// Runs one executor; workers start it
    #[command(hide = true)]
    Executor(ExecutorArgs),
}

/// Everything after `submit`: its own parser reads it, because the program's arguments are not ours.
#[derive(Args, Debug)]
pub(crate) struct SubmitArguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

// `-h` is the host, as in Spark; so help is only `--help`.
/// Flags of `pyrite master`.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct MasterArgs {
    /// Name or address to listen on
    #[arg(short = 'h', long, env = "SPARK_MASTER_HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// Port for workers and drivers
    #[arg(short, long, env = "SPARK_MASTER_PORT", default_value_t = 7077)]
    pub port: u16,
    /// Port of the web UI; the next free one is taken when it is not free
    #[arg(long, env = "SPARK_MASTER_WEBUI_PORT", default_value_t = 8080)]
    pub webui_port: u16,
    /// Listen beyond this machine though there is no secret
    #[arg(long)]
    pub insecure: bool,
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Prints help
    #[arg(long, action = clap::ArgAction::Help)]
    pub help: Option<bool>,
}

/// Flags of `pyrite worker`.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct WorkerArgs {
    /// The master: spark://host:port
    pub master: String,
    /// Cores to lend (all)
    #[arg(short, long, env = "SPARK_WORKER_CORES", value_parser = clap::value_parser!(u32).range(1..))]
    pub cores: Option<u32>,
    /// Memory to lend, such as 8G (all but 1G)
    #[arg(short, long, env = "SPARK_WORKER_MEMORY")]
    pub memory: Option<String>,
    /// Where executors' files go
    #[arg(short = 'd', long, env = "SPARK_WORKER_DIR", default_value = "work")]
    pub work_dir: PathBuf,
    /// Name or address that others reach this machine by
    #[arg(short = 'h', long)]
    pub host: Option<String>,
    /// Port of the web UI; the next free one is taken when it is not free
    #[arg(long, env = "SPARK_WORKER_WEBUI_PORT", default_value_t = 8081)]
    pub webui_port: u16,
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Prints help
    #[arg(long, action = clap::ArgAction::Help)]
    pub help: Option<bool>,
}

/// Settings of the daemons.
#[derive(Args, Debug)]
pub(crate) struct SettingsArgs {
    /// A setting, such as spark.authenticate.secret.file=/etc/pyrite/secret
    #[arg(long = "conf", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// A file of settings (conf/spark-defaults.conf)
    #[arg(long, value_name = "FILE")]
    pub properties_file: Option<PathBuf>,
}

/// Flags of `pyrite executor`; its token and settings come on standard input.
#[derive(Args, Debug)]
pub(crate) struct ExecutorArgs {
    #[arg(long)]
    pub driver_url: String,
    #[arg(long)]
    pub app_id: String,
    #[arg(long)]
    pub executor_id: String,
    #[arg(long)]
    pub cores: usize,
    /// Bytes
    #[arg(long)]
    pub memory: u64,
    #[arg(long)]
    pub host: String,
    #[arg(long)]
    pub work_dir: PathBuf,
    /// Process id of the worker
    #[arg(long)]
    pub parent: u32,
}

/// Reads the command line. The error has been printed (help and version too).
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, i32> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let called_as = arguments.first().map(Path::new).and_then(Path::file_name);
    if called_as.is_some_and(|name| name == OsStr::new("submit") || name == OsStr::new("spark-submit")) {
        arguments.remove(0);
        return Ok(Command::Submit(SubmitArguments { arguments }));
    }
    // clap would take `--version` and the like out of what belongs to the program.
    if arguments.get(1).is_some_and(|command| command == "submit") {
        arguments.drain(..2);
        return Ok(Command::Submit(SubmitArguments { arguments }));
    }
    Pyrite::try_parse_from(arguments).map(|pyrite| pyrite.command).map_err(|error| {
        // Nothing helps when even this cannot be printed.
        let _ = error.print();
        match error.use_stderr() {
            true => USAGE_EXIT_CODE,
            false => 0,
        }
    })
}

/// Prints an error with its causes, once, and makes the exit code.
pub(crate) fn exit(result: anyhow::Result<()>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("pyrite: error: {}", pyrite_common::error::chain(error.as_ref()));
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Command {
        parse(line.split(' ').map(OsString::from)).expect("a good command line")
    }

    #[test]
    fn the_documented_commands_parse() {
        assert!(matches!(
            parsed("bin/pyrite master --host 127.0.0.1 --port 7077 --webui-port 8080"),
            Command::Master(_)
        ));
        let worker =
            parsed("pyrite worker spark://127.0.0.1:7077 --cores 8 --memory 8G --webui-port 0 --work-dir /tmp/w");
        let Command::Worker(worker) = worker else { panic!("a worker") };
        assert_eq!((worker.cores, worker.memory.as_deref()), (Some(8), Some("8G")));
    }

    #[test]
    fn submit_keeps_its_arguments_however_it_is_called() {
        for line in
            ["bin/submit --master local script.py --version", "pyrite submit --master local script.py --version"]
        {
            let Command::Submit(submit) = parsed(line) else { panic!("a submit") };
            assert_eq!(submit.arguments, ["--master", "local", "script.py", "--version"]);
        }
    }

    #[test]
    fn a_worker_with_no_cores_is_refused() {
        assert!(parse("pyrite worker spark://h:1 --cores 0".split(' ').map(OsString::from)).is_err());
    }
}
