//! Ctrl-C and SIGTERM as a flag that loops look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

/// Set once the process is asked to end.
#[derive(Debug, Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Starts to listen for the signals, on a thread that lives as long as the process. A second signal ends the
    /// process at once.
    pub fn on_signals() -> anyhow::Result<Self> {
        let stop = Stop(Arc::new(AtomicBool::new(false)));
        let flag = stop.clone();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot listen for signals")?;
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    interrupted().await;
                    flag.0.store(true, Ordering::Relaxed);
                    interrupted().await;
                    std::process::exit(130);
                });
            })
            .context("cannot listen for signals")?;
        Ok(stop)
    }

    /// Whether the process was asked to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
