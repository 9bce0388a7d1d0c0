//! The tasks of one client: one that looks for leaders whenever a partition has none, and one for each broker that
//! leads some, with one connection and one fetch under way at a time. They only move bytes; records are read by the
//! threads that need them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyrite_common::backoff::Backoff;
use pyrite_common::error::chain;
use pyrite_common::lifecycle;

use super::cluster::{Cluster, NewBroker, Reach, Waits, wanted};
use super::connection::{Connection, ConnectionError};
use super::requests::{self, Metadata};

/// Waits between looks for leaders, while the last has not helped.
const LOOK_FIRST: Duration = Duration::from_millis(40);
const LOOK_LONGEST: Duration = Duration::from_secs(1);
/// All brokers together have so long to tell the leaders.
const LOOK_TIMEOUT: Duration = Duration::from_secs(15);
/// After so long without a look the next one is not the last one's repetition.
const LOOK_QUIET: Duration = Duration::from_secs(10);

/// Looks for leaders until the client ends.
pub(super) async fn find_leaders(cluster: Arc<Cluster>) {
    let mut backoff = Backoff::new(LOOK_FIRST, LOOK_LONGEST);
    let mut last: Option<Instant> = None;
    loop {
        tokio::select! {
            () = cluster.token.cancelled() => return,
            () = cluster.leaderless.notified() => {}
        }
        loop {
            if last.is_none_or(|last| last.elapsed() > LOOK_QUIET) {
                backoff.reset();
            } else {
                tokio::select! {
                    () = cluster.token.cancelled() => return,
                    () = tokio::time::sleep(backoff.next_wait()) => {}
                }
            }
            let topics = cluster.leaderless_topics();
            if topics.is_empty() {
                break;
            }
            last = Some(Instant::now());
            tokio::select! {
                () = cluster.token.cancelled() => return,
                () = look(&cluster, &topics) => {}
            }
        }
    }
}

async fn look(cluster: &Arc<Cluster>, topics: &[String]) {
    match ask_any(cluster, topics, LOOK_TIMEOUT).await {
        Ok(metadata) => {
            cluster.reached();
            for broker in cluster.learn(&metadata, Instant::now()) {
                lifecycle::spawn("kafka-fetch", serve(cluster.clone(), broker));
            }
        }
        Err(error @ ConnectionError::Versions { .. }) => cluster.unsupported(&chain(&error)),
        Err(error) => cluster.trouble(chain(&error), Reach::None),
    }
}

/// Asks one broker after another for the leaders of topics. Each has its share of the time that is left, so that one
/// that is dead does not take it from the others.
pub(super) async fn ask_any(
    cluster: &Cluster,
    topics: &[String],
    timeout: Duration,
) -> Result<Metadata, ConnectionError> {
    let deadline = Instant::now() + timeout;
    let addresses = cluster.addresses();
    let mut failed = None;
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - index) as u32;
        let answer = tokio::time::timeout(share, ask(cluster, address, topics)).await;
        let silent = |_| ConnectionError::Silent { address: address.clone(), waited: share };
        match answer.map_err(silent).flatten() {
            Ok(metadata) => return Ok(metadata),
            Err(error) => failed = Some(error),
        }
        cluster.passed_over();
    }
    Err(failed.expect("a client has at least one server, which the settings check"))
}

async fn ask(
    cluster: &Cluster,
    address: &pyrite_common::net::HostPort,
    topics: &[String],
) -> Result<Metadata, ConnectionError> {
    let mut connection = Connection::open(address, &cluster.settings).await?;
    requests::metadata(&mut connection, topics).await
}

/// Fetches from one broker until the connection breaks or the client ends.
async fn serve(cluster: Arc<Cluster>, broker: NewBroker) {
    tokio::select! {
        () = cluster.token.cancelled() => return,
        result = fetch_all(&cluster, &broker) => match result {
            Err(error @ ConnectionError::Versions { .. }) => cluster.unsupported(&chain(&error)),
            Err(error) => cluster.trouble(chain(&error), Reach::Some),
            Ok(never) => match never {},
        },
    }
    cluster.lost(broker.node);
}

async fn fetch_all(cluster: &Cluster, broker: &NewBroker) -> Result<std::convert::Infallible, ConnectionError> {
    let mut connection = Connection::open(&broker.address, &cluster.settings).await?;
    let mut waits = Waits::new(&cluster.settings);
    loop {
        let plan = cluster.plan(broker.node);
        if plan.parts.is_empty() {
            broker.wake.notified().await;
            continue;
        }
        let wait = waits.next(&plan);
        let fetched = requests::fetch(&mut connection, &cluster.settings, &wanted(&plan), wait).await?;
        let brought = cluster.deliver(&plan, broker.node, fetched);
        waits.seen(brought);
    }
}
