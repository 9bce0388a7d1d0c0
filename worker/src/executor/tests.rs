//! Whole executors, driven as a driver does it, over librdkafka's mock cluster and a checkpoint in a temporary
//! folder: counts by value.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use prost::Message as _;
use pyrite_common::checkpoint::{AttemptId, CommitExtra, CommitFile, ObjectRef, names};
use pyrite_common::security::Secret;
use pyrite_common::store::CheckpointStore;
use pyrite_engine::plan::encode_schema;
use pyrite_proto::executor as wire;
use pyrite_proto::executor::driver_message::Message as ToExecutor;
use pyrite_proto::executor::executor_message::Message as FromExecutor;
use pyrite_proto::plan;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use tokio::sync::mpsc;

use super::shuffle::ipc;
use super::{DriverLink, ExecutorConfig, ExitReason, run};

mod spill;

const TOPIC: &str = "logs";
const PATIENCE: Duration = Duration::from_secs(30);
type Cluster = MockCluster<'static, DefaultProducerContext>;

/// A topic of one partition whose record `n` has the value `n % 3`.
fn cluster(records: usize) -> Cluster {
    cluster_of(records, 3)
}

/// A topic of one partition whose record `n` has the value `n % values`.
fn cluster_of(records: usize, values: usize) -> Cluster {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic(TOPIC, 1, 1).expect("a topic");
    let config = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).clone();
    let producer: BaseProducer = config.create().expect("a producer");
    for record in 0..records {
        let value = format!("v{}", record % values);
        producer
            .send(BaseRecord::<(), str>::to(TOPIC).partition(0).payload(&value))
            .map_err(|(error, _)| error)
            .expect("queued");
        if record % 50_000 == 49_999 {
            producer.flush(PATIENCE).expect("sent");
        }
    }
    producer.flush(PATIENCE).expect("sent");
    cluster
}

/// Counts by value.
pub(super) fn plan(servers: &str) -> plan::QueryPlan {
    let bytes = |fields: Vec<Field>| encode_schema(&Schema::new(fields)).expect("a schema").into();
    let value = || Field::new("value", DataType::Binary, true);
    let count = || Field::new("count", DataType::Int64, false);
    let kafka = plan::KafkaSource {
        client_options: [("bootstrap.servers".to_owned(), servers.to_owned())].into(),
        fail_on_data_loss: true,
        ..Default::default()
    };
    plan::QueryPlan {
        sources: vec![plan::SourcePlan { id: 0, kafka: Some(kafka), schema: bytes(vec![value()]), steps: Vec::new() }],
        aggregate: Some(plan::AggregatePlan {
            operator_id: 0,
            input_schema: bytes(vec![value()]),
            keys: vec![plan::GroupKey { column: 0 }],
            aggregates: vec![plan::AggregateExpr {
                function: plan::AggregateFunction::Count.into(),
                columns: Vec::new(),
                result: bytes(vec![count()]),
            }],
            event_time_key: None,
            output_schema: bytes(vec![value(), count()]),
        }),
        post: Vec::new(),
        output_schema: bytes(vec![value(), count()]),
        output_mode: plan::OutputMode::Update.into(),
        sink: plan::Sink::Driver.into(),
    }
}

/// One executor and the driver's end of its stream.
struct Executor {
    to: mpsc::Sender<wire::DriverMessage>,
    from: mpsc::Receiver<wire::ExecutorMessage>,
    hello: wire::Hello,
    ended: tokio::task::JoinHandle<Option<ExitReason>>,
}

impl Executor {
    async fn start(id: &str, folder: &Path) -> Self {
        Self::with_memory(id, folder, 512 << 20).await
    }

    async fn with_memory(id: &str, folder: &Path, memory_bytes: u64) -> Self {
        let config = ExecutorConfig {
            executor_id: id.to_owned(),
            application_id: "app".to_owned(),
            cores: 2,
            memory_bytes,
            work_dir: folder.join(format!("work-{id}")),
            token: Secret::new("token", "the test").expect("a secret"),
            shuffle_host: "127.0.0.1".to_owned(),
        };
        std::fs::create_dir_all(&config.work_dir).expect("a folder");
        let (to_driver, from) = mpsc::channel(32);
        let (to, from_driver) = mpsc::channel(32);
        let running = async move { run(config, DriverLink { to_driver, from_driver }).await.expect("starts") };
        let ended = pyrite_common::lifecycle::spawn("an executor in a test", running);
        let mut executor = Self { to, from, hello: wire::Hello::default(), ended };
        let FromExecutor::Hello(hello) = executor.next().await else { panic!("the first message is hello") };
        executor.hello = hello;
        executor
    }

    async fn send(&self, message: ToExecutor) {
        self.to.send(wire::DriverMessage { message: Some(message) }).await.expect("it listens");
    }

    /// The next message that is not a beat.
    async fn next(&mut self) -> FromExecutor {
        loop {
            let message =
                tokio::time::timeout(PATIENCE, self.from.recv()).await.expect("it answers").expect("it lives");
            match message.message.expect("a message") {
                FromExecutor::Beat(_) => {}
                other => return other,
            }
        }
    }

    async fn start_query(&mut self, servers: &str, checkpoint: &str) {
        let start = wire::StartQuery {
            query_id: "q".to_owned(),
            run_id: "r".to_owned(),
            plan: plan(servers).encode_to_vec().into(),
            checkpoint: checkpoint.to_owned(),
            settings: Default::default(),
        };
        self.send(ToExecutor::StartQuery(start)).await;
        let FromExecutor::Ready(ready) = self.next().await else { panic!("ready is the answer") };
        assert_eq!(ready.error, "");
    }

    /// Collects an attempt's rows until it is prepared.
    async fn prepared(&mut self) -> (BTreeMap<String, i64>, wire::Prepared) {
        let mut counts = BTreeMap::new();
        loop {
            match self.next().await {
                FromExecutor::Rows(rows) => {
                    for batch in ipc::decode(&rows.ipc).expect("decodes") {
                        let (values, numbers) =
                            (batch.column(0).as_binary::<i32>(), batch.column(1).as_primitive::<Int64Type>());
                        for row in 0..batch.num_rows() {
                            let value = String::from_utf8_lossy(values.value(row)).into_owned();
                            assert!(counts.insert(value, numbers.value(row)).is_none(), "each group leaves once");
                        }
                    }
                }
                FromExecutor::Prepared(prepared) => return (counts, prepared),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    async fn end(self) {
        drop(self.to);
        assert_eq!(self.ended.await.expect("no panic"), Some(ExitReason::DriverGone));
    }
}

/// The driver's part of the checkpoint, and what it knows of the lineage.
struct Driver {
    folder: tempfile::TempDir,
    store: CheckpointStore,
    base: Option<wire::Base>,
    epoch: u64,
}

impl Driver {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = CheckpointStore::open(&folder.path().join("checkpoint").display().to_string()).expect("a store");
        Self { folder, store, base: None, epoch: 0 }
    }

    fn checkpoint(&self) -> String {
        self.folder.path().join("checkpoint").display().to_string()
    }

    /// A try of the batch after the base: the first executor reads, the shards go round.
    fn run(&mut self, executors: &[&Executor], shards: u32, start: i64, end: i64) -> wire::RunBatch {
        self.epoch += 1;
        let id = |index: usize| executors[index % executors.len()].hello.executor_id.clone();
        let edge = |shard: u32| 1024 * shard / shards;
        let peer = |executor: &&Executor| wire::Peer {
            executor_id: executor.hello.executor_id.clone(),
            incarnation: executor.hello.incarnation.clone(),
            shuffle_address: executor.hello.shuffle_address.clone(),
            shuffle_socket: executor.hello.shuffle_socket.clone(),
            machine_id: executor.hello.machine_id.clone(),
        };
        let shard = |index: u32| wire::Shard {
            index,
            first_bucket: edge(index),
            last_bucket: edge(index + 1) - 1,
            executor_id: id(index as usize),
        };
        let split =
            wire::Split { index: 0, source: 0, topic: TOPIC.to_owned(), partition: 0, start, end, executor_id: id(0) };
        wire::RunBatch {
            query_id: "q".to_owned(),
            run_id: "r".to_owned(),
            batch: self.base.as_ref().map_or(0, |base| base.batch + 1),
            attempt: Some(wire::AttemptId { term: 1, epoch: self.epoch }),
            base: self.base,
            watermarks: Vec::new(),
            clock_us: 0,
            splits: if start < end { vec![split] } else { Vec::new() },
            shards: (0..shards).map(shard).collect(),
            peers: executors.iter().map(peer).collect(),
        }
    }

    /// Commits what was prepared, in the checkpoint and to the executors.
    async fn commit(&mut self, executors: &[&Executor], prepared: &[wire::Prepared]) {
        let (batch, attempt) = (prepared[0].batch, prepared[0].attempt.expect("it says its attempt"));
        let objects = prepared.iter().filter_map(|prepared| prepared.object.clone());
        let extra = CommitExtra {
            term: 1,
            driver: "d".to_owned(),
            nonce: "n".to_owned(),
            attempt: AttemptId::new(attempt.term, attempt.epoch),
            objects: objects
                .map(|object| ObjectRef { name: object.name, length: object.length, crc: object.crc })
                .collect(),
            node_watermarks: Vec::new(),
            catch_up: Vec::new(),
            snapshots: Vec::new(),
            crc: String::new(),
        };
        let text = CommitFile { next_batch_watermark_ms: 0, pyrite: Some(extra) }.print();
        self.store.put(&names::commit(batch), text.into()).await.expect("stored");
        self.base = Some(wire::Base { batch, attempt: Some(attempt) });
        for executor in executors {
            let committed = wire::Committed { query_id: "q".to_owned(), batch, attempt: Some(attempt) };
            executor.send(ToExecutor::Committed(committed)).await;
        }
    }

    /// Runs one batch on one executor and commits it.
    async fn batch(&mut self, executor: &mut Executor, shards: u32, start: i64, end: i64) -> BTreeMap<String, i64> {
        let run = self.run(&[executor], shards, start, end);
        executor.send(ToExecutor::RunBatch(run)).await;
        let (counts, prepared) = executor.prepared().await;
        self.commit(&[executor], &[prepared]).await;
        counts
    }
}

fn counts(each: i64) -> BTreeMap<String, i64> {
    (0..3).map(|value| (format!("v{value}"), each)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_grow_from_batch_to_batch_and_survive_restarts_with_other_shards() {
    let cluster = cluster(600);
    let mut driver = Driver::new();
    let mut executor = Executor::start("0", driver.folder.path()).await;
    executor.start_query(&cluster.bootstrap_servers(), &driver.checkpoint()).await;
    assert_eq!(driver.batch(&mut executor, 2, 0, 300).await, counts(100));
    assert_eq!(driver.batch(&mut executor, 2, 300, 330).await, counts(110));
    assert!(driver.batch(&mut executor, 2, 330, 330).await.is_empty(), "no rows, no updates");
    executor.end().await;
    for (shards, start, each) in [(2, 330, 120), (7, 360, 130), (1, 390, 140)] {
        let mut executor = Executor::start("0", driver.folder.path()).await;
        executor.start_query(&cluster.bootstrap_servers(), &driver.checkpoint()).await;
        assert_eq!(driver.batch(&mut executor, shards, start, start + 30).await, counts(each), "{shards} shards");
        executor.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_not_committed_leaves_nothing() {
    let cluster = cluster(90);
    let mut driver = Driver::new();
    let mut executor = Executor::start("0", driver.folder.path()).await;
    executor.start_query(&cluster.bootstrap_servers(), &driver.checkpoint()).await;
    assert_eq!(driver.batch(&mut executor, 2, 0, 30).await, counts(10));
    // Prepared, then aborted; then prepared and simply replaced.
    let run = driver.run(&[&executor], 2, 30, 60);
    let attempt = run.attempt;
    executor.send(ToExecutor::RunBatch(run)).await;
    assert_eq!(executor.prepared().await.0, counts(20));
    executor.send(ToExecutor::Abort(wire::Abort { query_id: "q".to_owned(), attempt })).await;
    let run = driver.run(&[&executor], 2, 30, 60);
    executor.send(ToExecutor::RunBatch(run)).await;
    assert_eq!(executor.prepared().await.0, counts(20));
    assert_eq!(driver.batch(&mut executor, 2, 30, 60).await, counts(20));
    assert_eq!(driver.batch(&mut executor, 2, 60, 90).await, counts(30));
    executor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_attempt_replaces_one_that_waits_for_records() {
    let cluster = cluster(30);
    let mut driver = Driver::new();
    let mut executor = Executor::start("0", driver.folder.path()).await;
    executor.start_query(&cluster.bootstrap_servers(), &driver.checkpoint()).await;
    // Records that never come: the attempt works until it is replaced.
    let stuck = driver.run(&[&executor], 2, 0, 1000);
    executor.send(ToExecutor::RunBatch(stuck.clone())).await;
    assert_eq!(driver.batch(&mut executor, 2, 0, 30).await, counts(10));
    // A late copy of the old attempt is refused.
    executor.send(ToExecutor::RunBatch(stuck)).await;
    executor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_executors_shuffle() {
    let cluster = cluster(600);
    let mut driver = Driver::new();
    let folder = driver.folder.path().to_owned();
    let (mut a, mut b) = (Executor::start("a", &folder).await, Executor::start("b", &folder).await);
    a.start_query(&cluster.bootstrap_servers(), &driver.checkpoint()).await;
    b.start_query(&cluster.bootstrap_servers(), &driver.checkpoint()).await;
    for (start, each) in [(0, 100), (300, 200)] {
        let run = driver.run(&[&a, &b], 8, start, start + 300);
        // The receiver learns of the batch after the sender has begun: its frames wait.
        a.send(ToExecutor::RunBatch(run.clone())).await;
        tokio::task::yield_now().await;
        b.send(ToExecutor::RunBatch(run)).await;
        let ((mut rows, from_a), (others, from_b)) = (a.prepared().await, b.prepared().await);
        rows.extend(others);
        assert_eq!(rows, counts(each));
        assert_eq!((from_a.sources.len(), from_b.sources.len()), (1, 0), "the first executor reads");
        driver.commit(&[&a, &b], &[from_a, from_b]).await;
    }
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_cannot_be_read_is_told() {
    let driver = Driver::new();
    let mut executor = Executor::start("0", driver.folder.path()).await;
    let start = wire::StartQuery { query_id: "q".to_owned(), plan: vec![0xff, 0xff].into(), ..Default::default() };
    executor.send(ToExecutor::StartQuery(start)).await;
    let FromExecutor::Ready(ready) = executor.next().await else { panic!("ready is the answer") };
    assert!(!ready.error.is_empty());
    executor.end().await;
}
