//! The client and its partitions as the reader sees them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pyrite_common::error::chain;
use pyrite_common::lifecycle;
use tokio::runtime::Handle;

use super::cluster::Cluster;
use super::connection::Connection;
use super::queue::{Queue, Taken, stop};
use super::requests::{self, Key, Leadership};
use super::settings::FetchSettings;
use super::tasks;
use super::walk::Walker;
use crate::executor::kafka::client::ClientLimits;
use crate::executor::kafka::partition::{Client, Drain, PartitionReader, Stop, Trouble};

/// Fetches partitions of one query over connections of its own; ends them when it is dropped.
pub(in crate::executor::kafka) struct FetchClient {
    cluster: Arc<Cluster>,
    runtime: Handle,
}

impl FetchClient {
    /// Begins; connections are made when a partition needs one. `Err` says why these options are left to librdkafka.
    pub fn start(options: &BTreeMap<String, String>, limits: ClientLimits, runtime: &Handle) -> Result<Self, String> {
        let cluster = Arc::new(Cluster::new(FetchSettings::read(options, limits)?));
        let _entered = runtime.enter();
        lifecycle::spawn("kafka-leaders", tasks::find_leaders(cluster.clone()));
        Ok(Self { cluster, runtime: runtime.clone() })
    }

    /// Runs a request of the calling thread's own.
    fn ask<T>(&self, timeout: Duration, asking: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        self.runtime.block_on(async {
            match tokio::time::timeout(timeout, asking).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("the brokers did not answer within {} ms", timeout.as_millis())),
            }
        })
    }
}

impl Drop for FetchClient {
    fn drop(&mut self) {
        self.cluster.token.cancel();
    }
}

impl Client for FetchClient {
    fn start(&self, topic: &str, partition: i32, offset: i64) -> Result<Box<dyn PartitionReader>, String> {
        let settings = &self.cluster.settings;
        let queue = Arc::new(Queue::new((topic.to_owned(), partition), offset, settings.queue_bytes));
        self.cluster.add(queue.clone());
        Ok(Box::new(FetchedPartition { queue, walker: Walker::new(settings.isolation), cluster: self.cluster.clone() }))
    }

    fn watermarks(&self, topic: &str, partition: i32, timeout: Duration) -> Result<(i64, i64), String> {
        let key: Key = (topic.to_owned(), partition);
        self.ask(timeout, async {
            // The other half is for the leader.
            let metadata = tasks::ask_any(&self.cluster, std::slice::from_ref(&key.0), timeout / 2).await;
            let metadata = metadata.map_err(|error| chain(&error))?;
            let leader = match metadata.leadership(&key) {
                Leadership::Led(leader) => leader,
                Leadership::Vacant(text) | Leadership::Unknown(text) | Leadership::Refused(text) => return Err(text),
            };
            let address = metadata.brokers.get(&leader.node);
            let address = address.ok_or_else(|| format!("the leader of `{topic}-{partition}` has no address"))?;
            let connection = Connection::open(address, &self.cluster.settings).await;
            requests::watermarks(&mut connection.map_err(|error| chain(&error))?, &key).await
        })
    }

    fn has_partition(&self, topic: &str, partition: i32, timeout: Duration) -> Result<bool, String> {
        let key: Key = (topic.to_owned(), partition);
        self.ask(timeout, async {
            let metadata = tasks::ask_any(&self.cluster, std::slice::from_ref(&key.0), timeout).await;
            let metadata = metadata.map_err(|error| chain(&error))?;
            Ok(!matches!(metadata.leadership(&key), Leadership::Unknown(_)))
        })
    }

    fn trouble(&self) -> Option<Trouble> {
        self.cluster.troubled()
    }

    fn well(&self) {
        self.cluster.well();
    }
}

/// One partition: what is queued, and what is being walked.
struct FetchedPartition {
    queue: Arc<Queue>,
    walker: Walker,
    cluster: Arc<Cluster>,
}

impl FetchedPartition {
    /// Loads the next chunk when the last is done. `Ok(false)`: nothing is there.
    fn load(&mut self, timeout: Duration) -> Result<bool, Stop> {
        if !self.walker.is_done() {
            return Ok(true);
        }
        match self.queue.take(timeout, self.cluster.fetch_bytes()) {
            Taken::Chunk(chunk) => {
                self.walker.load(chunk);
                Ok(true)
            }
            Taken::Empty => Ok(false),
            Taken::Stop(stop) => Err(stop),
        }
    }
}

impl PartitionReader for FetchedPartition {
    fn go_to(&mut self, offset: i64) -> Result<(), String> {
        self.walker.clear();
        self.queue.seek(offset);
        // While it was stopped nobody looked for a leader that it may have lost.
        if self.queue.is_leaderless() {
            self.cluster.leaderless.notify_one();
        }
        Ok(())
    }

    fn rest(&mut self) {
        self.walker.rest();
    }

    fn wait(&mut self, timeout: Duration) -> bool {
        // A stop is something too: the draining tells it.
        self.load(timeout).unwrap_or(true)
    }

    fn drain(&mut self, drain: &mut Drain) -> Result<(), Stop> {
        while !drain.is_over() && self.load(Duration::ZERO)? {
            self.walker.drain(drain).map_err(|error| stop(&error, drain.position))?;
        }
        Ok(())
    }
}

impl Drop for FetchedPartition {
    fn drop(&mut self) {
        self.cluster.remove(&self.queue);
    }
}
