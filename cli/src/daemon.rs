//! `pyrite master` and `pyrite worker`: their settings, their start, and their wait for a signal.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, bail};
use pyrite_common::lifecycle::Lifecycle;
use pyrite_common::memory::{DefaultUnit, parse_size};
use pyrite_common::nearest::suggestion;
use pyrite_common::net::HostPort;
use pyrite_common::telemetry;
use pyrite_master::{MasterConfig, Placement, SelectionPolicy};
use pyrite_worker::daemon::{CleanupConfig, WorkerConfig, default_cores, default_memory_bytes};
use tokio::runtime::Runtime;

use crate::settings::Settings;
use crate::usage::{MasterArgs, WorkerArgs};

/// How long a daemon may take to stop: a worker's executors get their grace first.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Runs a master until a signal.
pub(crate) fn master(args: &MasterArgs) -> anyhow::Result<()> {
    telemetry::init("info");
    let mut settings = Settings::of_daemon(&args.settings)?;
    let secret = settings.take_secret()?;
    let defaults = MasterConfig::default();
    let config = MasterConfig {
        host: args.host.clone(),
        port: args.port,
        webui_port: args.webui_port,
        secret,
        insecure: args.insecure,
        worker_timeout: settings.seconds("spark.worker.timeout", defaults.worker_timeout)?,
        placement: placement(&settings)?,
        executor_failures_max: executor_failures_max(&settings, defaults.executor_failures_max)?,
        ended_applications_max: settings
            .number("spark.deploy.retainedApplications")?
            .unwrap_or(defaults.ended_applications_max),
        ..defaults
    };
    run_until_stopped(|lifecycle| async move { pyrite_master::start(config, &lifecycle).await.map(drop) })
}

fn placement(settings: &Settings) -> anyhow::Result<Placement> {
    let spread_out = match settings.get("spark.deploy.spreadOutApps") {
        Some(_) => settings.boolean("spark.deploy.spreadOutApps", true)?,
        // The setting's old name.
        None => settings.boolean("spark.deploy.spreadOut", true)?,
    };
    let Some(name) = settings.get("spark.deploy.workerSelectionPolicy") else {
        return Ok(Placement { spread_out, ..Placement::default() });
    };
    match SelectionPolicy::parse(name) {
        Some(policy) => Ok(Placement { spread_out, policy }),
        None => bail!(
            "`spark.deploy.workerSelectionPolicy` is `{name}`, which is none of {}{}",
            SelectionPolicy::NAMES.join(", "),
            suggestion(name, SelectionPolicy::NAMES)
        ),
    }
}

/// -1: never.
fn executor_failures_max(settings: &Settings, default: Option<u32>) -> anyhow::Result<Option<u32>> {
    match settings.number::<i64>("spark.deploy.maxExecutorRetries")? {
        None => Ok(default),
        Some(-1) => Ok(None),
        Some(count) => match u32::try_from(count) {
            Ok(count) => Ok(Some(count)),
            Err(_) => bail!("`spark.deploy.maxExecutorRetries` is `{count}`, which is neither -1 nor a count"),
        },
    }
}

/// Runs a worker until a signal, or until the master refuses it.
pub(crate) fn worker(args: &WorkerArgs) -> anyhow::Result<()> {
    telemetry::init("info");
    let mut settings = Settings::of_daemon(&args.settings)?;
    let secret = settings.take_secret()?;
    let memory_bytes = match &args.memory {
        Some(text) => parse_size(text, DefaultUnit::Bytes)?,
        None => default_memory_bytes(),
    };
    const LEAST: u64 = 1 << 20;
    if memory_bytes < LEAST {
        bail!("memory of {memory_bytes} bytes is too little; is a unit missing, as in `8G`?");
    }
    let cleanup = CleanupConfig::default();
    let config = WorkerConfig {
        masters: HostPort::parse_master(&args.master)?,
        host: args.host.clone(),
        cores: args.cores.unwrap_or_else(default_cores),
        memory_bytes,
        work_dir: args.work_dir.clone(),
        webui_port: args.webui_port,
        secret,
        program: std::env::current_exe().context("this program's own file cannot be found")?,
        cleanup: CleanupConfig {
            enabled: settings.boolean("spark.worker.cleanup.enabled", cleanup.enabled)?,
            interval: settings.seconds("spark.worker.cleanup.interval", cleanup.interval)?,
            keep: settings.seconds("spark.worker.cleanup.appDataTtl", cleanup.keep)?,
        },
    };
    run_until_stopped(|lifecycle| async move { pyrite_worker::daemon::start(config, &lifecycle).await.map(drop) })
}

fn run_until_stopped<F, E>(start: impl FnOnce(Lifecycle) -> F) -> anyhow::Result<()>
where
    F: Future<Output = Result<(), E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    let runtime = Runtime::new().context("the threads cannot be started")?;
    runtime.block_on(async {
        let lifecycle = Lifecycle::new();
        lifecycle.stop_on_signals().context("signals cannot be received")?;
        start(lifecycle.clone()).await?;
        lifecycle.finished(STOP_DEADLINE).await?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(key: &str, value: &str) -> Settings {
        let mut settings = Settings::default();
        settings.set(key, value);
        settings
    }

    #[test]
    fn placement_follows_the_settings() {
        let packed = placement(&settings("spark.deploy.spreadOutApps", "false")).expect("valid");
        assert!(!packed.spread_out);
        let by_memory = placement(&settings("spark.deploy.workerSelectionPolicy", "memory_free_desc")).expect("valid");
        assert_eq!(by_memory.policy, SelectionPolicy::MemoryFreeDesc);
        let error = placement(&settings("spark.deploy.workerSelectionPolicy", "CORE_FREE_DESC")).expect_err("unknown");
        assert!(error.to_string().contains("did you mean `CORES_FREE_DESC`?"), "{error}");
    }

    #[test]
    fn minus_one_means_executors_may_fail_for_ever() {
        let max = |value| executor_failures_max(&settings("spark.deploy.maxExecutorRetries", value), Some(10));
        assert_eq!(max("-1").expect("valid"), None);
        assert_eq!(max("3").expect("valid"), Some(3));
        assert!(max("-2").is_err());
    }
}
