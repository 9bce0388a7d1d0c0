//! The run loop of one query: receive an event, apply it to the machine, perform what it says. Nothing is decided here.

mod actions;
mod outcome;
mod tidy;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prost::Message as _;
use pyrite_engine::error::SparkError;
use pyrite_proto::executor::StartQuery;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use self::outcome::{Publication, caught};
use self::tidy::Tidy;
use super::clock::Clock;
use super::handle::{Command, Query};
use super::prepare::Prepared;
use super::rows::Collected;
use super::{Queries, QueryStart};
use crate::checkpoint::{Collector, Location};
use crate::executors::{ExecutorEvent, Executors, Subscription};
use crate::progress::{Identity, Uploads};
use crate::protocol::{Ending, Event, Fault, QueryMachine, QuerySpec, Rules, Status, StoreReply};
use crate::sink::BatchSink;
use crate::source::{Poller, SourceEvent};

/// Results of the loop's own work that wait: at most a few at a time.
const INTERNAL_MAX: usize = 64;
const COMMANDS_MAX: usize = 64;
/// The wait when nothing is asked for: the select needs some time.
const FAR: Duration = Duration::from_secs(3600);

/// Everything that a run starts with.
pub(super) struct Start {
    pub start: QueryStart,
    pub run_id: Uuid,
    pub prepared: Prepared,
    pub location: Location,
    /// New for each start: the driver's name in the checkpoint.
    pub driver: String,
    pub host: String,
    pub app: String,
    pub executors: Executors,
    pub queries: Queries,
    pub clock: Clock,
    pub started: oneshot::Sender<Result<Query, SparkError>>,
}

/// What the loop's own tasks report.
enum Internal {
    Store { request: u64, reply: StoreReply },
    Sink { event: Event, rows: u64 },
    Tidied(Box<Collector>),
}

/// One run of a query.
pub(super) struct Runner {
    machine: QueryMachine,
    start: QueryStart,
    run_id: Uuid,
    location: Location,
    executors: Executors,
    queries: Queries,
    clock: Clock,
    publication: Arc<Publication>,
    sink: Option<Arc<Mutex<Box<dyn BatchSink>>>>,
    start_query: StartQuery,
    identity: Identity,
    poller: Poller,
    /// There from the moment the checkpoint gave the query its id.
    running: Option<Running>,
    started: Option<oneshot::Sender<Result<Query, SparkError>>>,
    internal: mpsc::Sender<Internal>,
    collected: Collected,
    wake: Instant,
    drains: Vec<(u64, oneshot::Sender<()>)>,
    /// What is wrong with the sources, and with the place for the sink's rows.
    trouble: Option<String>,
    rows_trouble: Option<String>,
    /// The batch and the reason of the last failed try that was told.
    told: Option<(u64, String)>,
    shown: Option<(Status, Option<String>)>,
    sink_rows: Option<u64>,
    idle_since_us: i64,
    tidy: Tidy,
    uploads: Uploads,
    settings: super::prepare::Settings,
    ending: Option<Ending>,
}

struct Running {
    query: Query,
    subscription: Subscription,
}

impl Runner {
    /// Runs the query to its end.
    pub(super) async fn run(start: Start) {
        let (internal, mut results) = mpsc::channel(INTERNAL_MAX);
        let (source_sender, mut source_events) = mpsc::channel(INTERNAL_MAX);
        let (command_sender, mut commands) = mpsc::channel(COMMANDS_MAX);
        let poller = match Poller::start(start.prepared.sources.clone(), source_sender) {
            Ok(poller) => poller,
            Err(error) => {
                let message = format!("cannot start the thread for offsets: {error}");
                let _ = start.started.send(Err(outcome::internal(message)));
                return;
            }
        };
        let mut runner = Runner::new(start, poller, internal);
        let turns = runner.turns(&mut results, &mut source_events, &mut commands, &command_sender);
        // A panic is a defect of ours; the program must hear of it all the same, or it would wait for ever.
        if let Err(panic) = caught("the query's run loop", turns).await {
            runner.ending = Some(Ending::Failed(internal_fault(panic)));
        }
        runner.finish();
    }

    /// Takes events until the query has ended.
    async fn turns(
        &mut self,
        results: &mut mpsc::Receiver<Internal>,
        source_events: &mut mpsc::Receiver<SourceEvent>,
        commands: &mut mpsc::Receiver<Command>,
        command_sender: &mpsc::Sender<Command>,
    ) {
        self.apply(Event::Start, command_sender).await;
        while self.ending.is_none() {
            let wake = self.wake;
            tokio::select! {
                Some(result) = results.recv() => self.internal(result, command_sender).await,
                Some(event) = executor_event(&mut self.running) => match event {
                    ExecutorEvent::Protocol(event) => self.apply(event, command_sender).await,
                    ExecutorEvent::Rows(rows) => self.collect(rows, command_sender).await,
                },
                event = source_events.recv() => match event {
                    Some(SourceEvent::Protocol(event)) => self.apply(event, command_sender).await,
                    Some(SourceEvent::Trouble(trouble)) => {
                        self.trouble = trouble;
                        self.show();
                    }
                    // What ends the thread in good order is an event of its own, taken before this one.
                    None => {
                        let fault = internal_fault("the thread that asks the Kafka brokers for offsets panicked");
                        self.apply(Event::SourceFailed { fault, fatal: true }, command_sender).await;
                    }
                },
                Some(command) = commands.recv() => match command {
                    Command::Stop => self.apply(Event::Stop, command_sender).await,
                    Command::ProcessAllAvailable(done) => {
                        let generation = self.machine.next_generation();
                        self.drains.push((generation, done));
                    }
                },
                () = tokio::time::sleep_until(wake) => {
                    self.wake = Instant::now() + FAR;
                    self.apply(Event::Wake, command_sender).await;
                }
            }
        }
    }

    fn new(start: Start, poller: Poller, internal: mpsc::Sender<Internal>) -> Runner {
        let Start { start, run_id, prepared, location, driver, host, app, executors, queries, clock, started } = start;
        let identity = Identity {
            id: String::new(),
            run_id: run_id.to_string(),
            name: start.name.clone(),
            sources: prepared.sources.iter().map(|source| source.subscription.description()).collect(),
            sink: prepared.sink.description,
        };
        let stateful = prepared.operators.iter().map(|operator| operator.operator).collect();
        let collector = Collector::new(location.store.clone(), prepared.settings.batches_retained, stateful);
        let spec = QuerySpec {
            new_query_id: Uuid::new_v4().to_string(),
            driver,
            host,
            app,
            plan_hash: prepared.shape,
            limits: prepared.sources.iter().map(|source| source.limits).collect(),
            reads: prepared.sources.iter().map(|source| source.subscription.clone()).collect(),
            watermarks: prepared.watermarks,
            watermark_policy: prepared.settings.watermark_policy,
            operators: prepared.operators,
            publish: prepared.publish,
            trigger: start.trigger,
            no_data_batches: prepared.settings.no_data_batches,
            shards: prepared.settings.shards,
            splits_min: prepared.sources.iter().map(|source| source.splits_min).max().unwrap_or(0),
            task_failures_max: prepared.settings.task_failures_max,
            conf: prepared.settings.pinned.clone(),
            rules: Rules::default(),
        };
        let start_query = StartQuery {
            query_id: String::new(),
            run_id: run_id.to_string(),
            plan: prepared.plan.encode_to_vec().into(),
            checkpoint: location.path.clone(),
            settings: start.settings.clone().into_iter().collect(),
        };
        Runner {
            machine: QueryMachine::new(spec),
            start,
            run_id,
            location,
            executors,
            queries,
            publication: Arc::new(Publication { driver_part: prepared.driver_part, schema: prepared.schema }),
            sink: prepared.sink.sink.map(|sink| Arc::new(Mutex::new(sink))),
            start_query,
            identity,
            poller,
            running: None,
            started: Some(started),
            internal,
            collected: Collected::default(),
            wake: Instant::now() + FAR,
            drains: Vec::new(),
            trouble: None,
            rows_trouble: None,
            told: None,
            shown: None,
            sink_rows: None,
            idle_since_us: clock.now_us(),
            clock,
            tidy: Tidy::new(collector),
            uploads: Uploads::default(),
            settings: prepared.settings,
            ending: None,
        }
    }
}

/// A defect of ours, as Spark names it.
fn internal_fault(message: impl Into<String>) -> Fault {
    Fault::classed("INTERNAL_ERROR", "XX000", message)
}

async fn executor_event(running: &mut Option<Running>) -> Option<ExecutorEvent> {
    match running {
        Some(running) => running.subscription.events.recv().await,
        None => None,
    }
}
