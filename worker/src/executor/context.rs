//! What the parts of an executor share: the process's, and each query's.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prost::Message;
use pyrite_common::checkpoint::{AttemptId, SnapshotRef};
use pyrite_common::error::chain;
use pyrite_common::store::CheckpointStore;
use pyrite_engine::clock::BatchClock;
use pyrite_engine::plan::CompiledQuery;
use pyrite_engine::state::CODEC_VERSION;
use pyrite_proto::executor::{ExecutorMessage, StartQuery};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::config::{ExecutorConfig, MemoryPlan};
use super::error::Failure;
use super::kafka::{KafkaReader, KafkaSettings};
use super::pool::Pool;
use super::reserve::Reserve;
use super::scratch::ScratchFolder;
use super::shard::{Keeper, Rocks, ShardId, ShardMachine, ShardStore, SnapshotPolicy, Version};
use super::shuffle::Peers;
use crate::STATE_FOLDER;

/// Of the process.
pub struct Shared {
    /// As it was started.
    pub config: ExecutorConfig,
    /// How its memory is divided.
    pub memory: MemoryPlan,
    /// The task threads.
    pub pool: Pool,
    /// The databases' common part.
    pub rocks: Arc<Rocks>,
    /// Memory for what shards receive.
    pub received: Arc<Reserve>,
    /// Memory for what shards wrote and the databases do not have yet.
    pub overlays: Arc<Reserve>,
    /// To the driver.
    pub to_driver: mpsc::Sender<ExecutorMessage>,
    /// To the run loop.
    pub events: mpsc::UnboundedSender<WorkEvent>,
    /// For task threads that have to wait for something asynchronous.
    pub runtime: tokio::runtime::Handle,
    /// Connections to other executors.
    pub peers: Peers,
}

/// What the work tells the run loop.
#[derive(Debug)]
pub enum WorkEvent {
    /// All jobs of a cancelled attempt have ended.
    Joined { query_id: String, attempt: AttemptId },
    /// An attempt failed here.
    Failed { query_id: String, version: Version, failure: Failure },
}

impl Shared {
    /// Sends from a task thread; waits while the driver does not keep up. `false`: cancelled, or the driver is gone.
    pub fn send(&self, message: ExecutorMessage, token: &CancellationToken) -> bool {
        let message = match self.to_driver.try_send(message) {
            Ok(()) => return true,
            Err(mpsc::error::TrySendError::Closed(_)) => return false,
            Err(mpsc::error::TrySendError::Full(message)) => message,
        };
        self.runtime.block_on(async {
            tokio::select! {
                sent = self.to_driver.send(message) => sent.is_ok(),
                () = token.cancelled() => false,
            }
        })
    }
}

/// Of one started query.
pub struct QueryContext {
    /// The query.
    pub query_id: String,
    /// This start of it.
    pub run_id: String,
    /// The plan, decoded once.
    pub compiled: Arc<CompiledQuery>,
    /// Set before each batch.
    pub clock: BatchClock,
    /// The checkpoint.
    pub store: CheckpointStore,
    /// One for each source.
    pub readers: Vec<KafkaReader>,
    /// Folds and snapshots.
    pub keeper: Keeper,
    /// Where databases go.
    pub folder: PathBuf,
    /// Where batches put what does not fit into memory: beside the databases.
    pub scratch: Arc<ScratchFolder>,
    rocks: Arc<Rocks>,
    overlays: Arc<Reserve>,
    shards: Mutex<BTreeMap<ShardId, Arc<ShardSlot>>>,
    /// Finished snapshots, until a commit has named them.
    snapshots: Mutex<Vec<(SnapshotRef, Option<AttemptId>)>>,
}

/// A shard: what its data stands for, and the data.
pub struct ShardSlot {
    /// Decides.
    pub machine: Mutex<ShardMachine>,
    /// Holds.
    pub store: Arc<ShardStore>,
}

impl QueryContext {
    /// Decodes the plan, opens the checkpoint and the sources. `Err` says what the user gets to see.
    pub fn start(shared: &Shared, message: &StartQuery) -> Result<Self, Failure> {
        let fatal = |text: String| Failure::new(pyrite_proto::executor::FailureKind::Fatal, text);
        let plan =
            pyrite_proto::plan::QueryPlan::decode(message.plan.clone()).map_err(|error| fatal(error.to_string()))?;
        let clock = BatchClock::default();
        let compiled = CompiledQuery::decode(&plan, &clock).map_err(|error| fatal(chain(&error)))?;
        let store = CheckpointStore::open(&message.checkpoint).map_err(|error| fatal(chain(&error)))?;
        let mut readers = Vec::new();
        for source in compiled.sources() {
            let settings = KafkaSettings {
                options: source.kafka.client_options.clone().into_iter().collect(),
                librdkafka_only: source.kafka.librdkafka_only,
                fail_on_data_loss: source.kafka.fail_on_data_loss,
                poll_timeout: Duration::from_millis(source.kafka.poll_timeout_ms),
                queue_bytes: shared.memory.kafka_bytes / compiled.sources().len() as u64,
                runtime: shared.runtime.clone(),
            };
            let reader = KafkaReader::new(settings, source.scan_schema.clone());
            readers.push(reader.map_err(|error| Failure::from(&error))?);
        }
        let folder = shared.config.work_dir.join(STATE_FOLDER).join(&message.run_id);
        std::fs::create_dir_all(&folder)
            .map_err(|error| fatal(format!("cannot make `{}`: {error}", folder.display())))?;
        let keeper = Keeper::start(store.clone(), u32::from(CODEC_VERSION), SnapshotPolicy::default());
        let keeper = keeper.map_err(|error| fatal(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            query_id: message.query_id.clone(),
            run_id: message.run_id.clone(),
            compiled,
            clock,
            store,
            readers,
            keeper,
            scratch: Arc::new(ScratchFolder::new(&folder, shared.memory.merge_bytes())),
            folder,
            rocks: shared.rocks.clone(),
            overlays: shared.overlays.clone(),
            shards: Mutex::default(),
            snapshots: Mutex::default(),
        })
    }

    /// Which reader reads the source with this id.
    pub fn source_index(&self, id: u32) -> Option<usize> {
        self.compiled.sources().iter().position(|source| source.id == id)
    }

    /// The slots of exactly these shards. Others that are here are given up: another executor has them, or another map.
    pub fn own_shards(&self, ids: &[ShardId]) -> Vec<Arc<ShardSlot>> {
        let mut shards = self.shards.lock();
        let wanted: HashSet<ShardId> = ids.iter().copied().collect();
        shards.retain(|id, slot| {
            let keep = wanted.contains(id);
            if !keep {
                self.keeper.close(slot.store.clear());
            }
            keep
        });
        let fresh = |id: ShardId| {
            let store = Arc::new(ShardStore::new(id, self.rocks.clone(), self.folder.clone(), &self.overlays));
            Arc::new(ShardSlot { machine: Mutex::default(), store })
        };
        ids.iter().map(|id| shards.entry(*id).or_insert_with(|| fresh(*id)).clone()).collect()
    }

    /// All slots here.
    pub fn slots(&self) -> Vec<Arc<ShardSlot>> {
        self.shards.lock().values().cloned().collect()
    }

    /// The snapshots to report with an attempt: all that no commit has named yet.
    pub fn report_snapshots(&self, attempt: AttemptId) -> Vec<SnapshotRef> {
        let mut snapshots = self.snapshots.lock();
        snapshots.extend(self.keeper.take_finished().into_iter().map(|snapshot| (snapshot, None)));
        for (_, reported) in snapshots.iter_mut() {
            *reported = Some(attempt);
        }
        snapshots.iter().map(|(snapshot, _)| snapshot.clone()).collect()
    }

    /// An attempt was committed: what it reported is named.
    pub fn snapshots_named(&self, attempt: AttemptId) {
        self.snapshots.lock().retain(|(_, reported)| *reported != Some(attempt));
    }
}
