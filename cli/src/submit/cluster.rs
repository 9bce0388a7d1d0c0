//! What the master says, told to the user; and what the driver knows of its executors, told to the master.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pyrite_common::ids::ApplicationId;
use pyrite_common::memory::print_size;
use pyrite_driver::executors::Executors;
use pyrite_driver::master_client::{MasterClient, MasterEvent};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

/// How often a master that stays away is mentioned again.
const AWAY_REMINDER: Duration = Duration::from_secs(30);
/// How often attached executors are compared with those the master was told of.
const COMPARE_INTERVAL: Duration = Duration::from_millis(500);

/// Waits for the registration. None: the application was refused, and `failed` says why.
pub(super) async fn registered(
    events: &mut mpsc::Receiver<MasterEvent>,
    away: &mut Away,
) -> Result<ApplicationId, String> {
    while let Some(event) = events.recv().await {
        match event {
            MasterEvent::Registered { application_id, master_webui_url } => {
                away.over();
                tracing::info!("registered as {application_id}; the master's page is {master_webui_url}");
                return Ok(application_id);
            }
            MasterEvent::Away { master, reason } => away.tell(&master, &reason),
            MasterEvent::Ended { reason } => return Err(reason),
            MasterEvent::Granted { .. } | MasterEvent::Removed { .. } | MasterEvent::Waiting(_) => {}
        }
    }
    Err("the link to the master ended".to_owned())
}

/// Tells the user what happens until the application ends; an end that was not asked for goes to `failed`.
pub(super) async fn follow(
    mut events: mpsc::Receiver<MasterEvent>,
    mut away: Away,
    failed: watch::Sender<Option<String>>,
) {
    while let Some(event) = events.recv().await {
        match event {
            MasterEvent::Registered { application_id, .. } => {
                if away.over() {
                    tracing::info!("the master is back, {application_id} goes on");
                }
            }
            MasterEvent::Away { master, reason } => away.tell(&master, &reason),
            MasterEvent::Waiting(Some(reason)) => tracing::warn!("waiting for {reason}"),
            MasterEvent::Waiting(None) => tracing::info!("all executors are placed"),
            MasterEvent::Granted { executor_id, worker_id, host, cores, memory_bytes } => {
                let memory = print_size(memory_bytes);
                tracing::info!("executor {executor_id} starts on {host} ({worker_id}) with {cores} cores, {memory}");
            }
            MasterEvent::Removed { executor_id, reason, .. } => {
                tracing::warn!("executor {executor_id} has ended: {reason}");
            }
            MasterEvent::Ended { reason } => {
                failed.send_replace(Some(reason));
                return;
            }
        }
    }
}

/// Tells the master the name that the program gives its application.
pub(super) async fn report_name(mut names: watch::Receiver<String>, master: MasterClient) {
    while names.changed().await.is_ok() {
        let name = names.borrow_and_update().clone();
        master.rename(&name).await;
    }
}

/// A master that cannot be reached is mentioned at once, and then now and then.
#[derive(Default)]
pub(super) struct Away {
    last_told: Option<Instant>,
}

impl Away {
    fn tell(&mut self, master: &str, reason: &str) {
        if self.last_told.is_none_or(|last| last.elapsed() >= AWAY_REMINDER) {
            tracing::warn!("master at {master} cannot be reached, trying again: {reason}");
            self.last_told = Some(Instant::now());
        }
    }

    /// Whether it had been away.
    fn over(&mut self) -> bool {
        self.last_told.take().is_some()
    }
}

/// Tells the master which executors have attached, and which of these are gone, so that it ends and replaces them.
pub(super) async fn report_executors(executors: Executors, master: MasterClient) {
    let mut told: BTreeSet<String> = BTreeSet::new();
    let mut ticks = interval(COMPARE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let attached: BTreeSet<String> = executors.list().into_iter().map(|view| view.info.key.id.clone()).collect();
        for id in attached.difference(&told) {
            master.executor_attached(id).await;
        }
        for id in told.difference(&attached) {
            master.executor_unreachable(id, "its stream to the driver broke").await;
        }
        told = attached;
    }
}
