//! An executor's parts without its loop, for tests of single ones.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch};
use prost::Message;
use pyrite_common::checkpoint::AttemptId;
use pyrite_common::security::{ClientAuth, Secret};
use pyrite_engine::task::{ShardMap, SourceTask};
use pyrite_proto::executor as proto;
use tokio::sync::mpsc;

use super::attempt::Attempt;
use super::config::{ExecutorConfig, MemoryPlan};
use super::context::{QueryContext, ShardSlot, Shared, WorkEvent};
use super::error::Failure;
use super::pool::{Pool, Priority};
use super::reserve::Reserve;
use super::shard::{Rocks, ShardId};
use super::shuffle::Peers;
use super::{tests, wire};

/// A process with one task thread and the query `q`, whose brokers are not there.
pub struct World {
    /// What the driver gets.
    pub from_executor: mpsc::Receiver<proto::ExecutorMessage>,
    shared: Arc<Shared>,
    query: Arc<QueryContext>,
    events: mpsc::UnboundedReceiver<WorkEvent>,
    _folder: tempfile::TempDir,
}

impl World {
    /// Must be called in a runtime.
    pub fn new() -> Self {
        Self::with_memory(512 << 20)
    }

    /// With so much memory.
    pub fn with_memory(memory_bytes: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let token = Secret::new("token", "the test").expect("a secret");
        let config = ExecutorConfig {
            executor_id: "0".to_owned(),
            application_id: "app".to_owned(),
            cores: 1,
            memory_bytes,
            work_dir: folder.path().to_owned(),
            token: token.clone(),
            shuffle_host: "127.0.0.1".to_owned(),
        };
        let (to_driver, from_executor) = mpsc::channel(32);
        let (events, receiver) = mpsc::unbounded_channel();
        let memory = MemoryPlan::of(config.memory_bytes);
        let shared = Arc::new(Shared {
            memory,
            received: Reserve::new(memory.receive_bytes),
            overlays: Reserve::new(memory.overlay_bytes),
            config,
            pool: Pool::start(1).expect("a thread"),
            rocks: Arc::new(Rocks::new(8 << 20, 4 << 20, 1).expect("opens")),
            to_driver,
            events,
            runtime: tokio::runtime::Handle::current(),
            peers: Peers::new(ClientAuth::new(Some(&token)), "0", "incarnation", "machine"),
        });
        let start = proto::StartQuery {
            query_id: "q".to_owned(),
            run_id: "r".to_owned(),
            plan: tests::plan("127.0.0.1:1").encode_to_vec().into(),
            checkpoint: folder.path().join("checkpoint").display().to_string(),
            settings: Default::default(),
        };
        let query = Arc::new(QueryContext::start(&shared, &start).expect("starts"));
        Self { from_executor, shared, query, events: receiver, _folder: folder }
    }

    /// An attempt without input whose one shard is here, not launched.
    pub fn attempt_with_shard(&self, epoch: u64) -> Arc<Attempt> {
        let id = ShardId { operator: 0, shard: 0, first_bucket: 0, last_bucket: 1023 };
        self.attempt_of(epoch, self.query.own_shards(&[id]))
    }

    /// An attempt without input and shards, not launched.
    pub fn attempt(&self, epoch: u64) -> Arc<Attempt> {
        self.attempt_of(epoch, Vec::new())
    }

    fn attempt_of(&self, epoch: u64, slots: Vec<Arc<ShardSlot>>) -> Arc<Attempt> {
        let run = proto::RunBatch {
            query_id: "q".to_owned(),
            run_id: "r".to_owned(),
            attempt: Some(wire::attempt_wire(attempt_id(epoch))),
            ..Default::default()
        };
        let batch = wire::batch(run).expect("a batch");
        Attempt::new(self.shared.clone(), self.query.clone(), batch, slots, 0)
    }

    /// What the run loop hears of an attempt's end, if it failed.
    pub fn failure(&mut self) -> Option<Failure> {
        std::iter::from_fn(|| self.events.try_recv().ok()).find_map(|event| match event {
            WorkEvent::Failed { failure, .. } => Some(failure),
            WorkEvent::Joined { .. } => None,
        })
    }

    /// Waits until the task thread has done what it was given so far.
    pub async fn jobs_ended(&self) {
        let (done, ended) = tokio::sync::oneshot::channel();
        self.shared.pool.submit(Priority::Shard, Box::new(move || done.send(()).expect("the test waits")));
        ended.await.expect("the thread lives");
    }
}

/// The frame of `groups` groups, different ones for each `number`.
pub fn frame(attempt: &Attempt, number: usize, groups: usize) -> RecordBatch {
    let compiled = &attempt.query.compiled;
    let mut source = SourceTask::new(compiled.clone(), 0, Arc::new(ShardMap::new(vec![0])));
    let values = (0..groups).map(|group| format!("{number}-{group}"));
    let values: ArrayRef = Arc::new(BinaryArray::from_iter_values(values));
    let scan = compiled.sources()[0].scan_schema.clone();
    source.push(0, RecordBatch::try_new(scan, vec![values]).expect("of the schema")).expect("runs");
    source.take_frames().expect("combines").remove(0).1
}

/// Of the first term.
pub fn attempt_id(epoch: u64) -> AttemptId {
    AttemptId::new(1, epoch)
}
