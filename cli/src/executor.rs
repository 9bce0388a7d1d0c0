//! `pyrite executor`: what a worker starts. It ends when its driver lets it go, its worker ends, or it is told to.

use std::io::BufReader;
use std::time::Duration;

use anyhow::Context;
use pyrite_common::lifecycle::Signals;
use pyrite_common::security::Secret;
use pyrite_common::telemetry;
use pyrite_worker::daemon::{LaunchSecrets, end_with_parent};
use pyrite_worker::executor::{ExecutorConfig, attach_and_run};
use tokio::runtime::Builder;

use crate::usage::ExecutorArgs;

/// What still runs on blocking threads at the end is not waited for longer.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// Runs until the end.
pub(crate) fn run(args: ExecutorArgs) -> anyhow::Result<()> {
    end_with_parent(args.parent);
    telemetry::init("info");
    let secrets = LaunchSecrets::read(&mut BufReader::new(std::io::stdin().lock()))
        .context("the worker's line cannot be read from standard input")?;
    let config = ExecutorConfig {
        executor_id: args.executor_id,
        application_id: args.app_id,
        cores: args.cores,
        memory_bytes: args.memory,
        work_dir: args.work_dir,
        token: Secret::new(&secrets.token, "the worker")?,
        shuffle_host: args.host,
    };
    let runtime = Builder::new_multi_thread().enable_all().build().context("the threads cannot be started")?;
    let result = runtime.block_on(async {
        let mut signals = Signals::listen().context("signals cannot be received")?;
        tokio::select! {
            reason = attach_and_run(config, &args.driver_url) => {
                tracing::info!("executor ended: {:?}", reason?);
            }
            signal = signals.next() => tracing::info!("received {}, ending", signal.name()),
        }
        Ok(())
    });
    runtime.shutdown_timeout(STOP_DEADLINE);
    result
}
