//! The executor's loop: receives from the driver and from its own work, decides per query, starts attempts.
//!
//! For each query at most one attempt works. A newer one cancels it and begins when the last job of the older has
//! ended, so that two attempts never touch one shard. An attempt at or below the highest seen is refused.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use pyrite_common::checkpoint::AttemptId;
use pyrite_common::lifecycle;
use pyrite_common::security::ClientAuth;
use pyrite_proto::executor as proto;
use pyrite_proto::executor::driver_message::Message;
use pyrite_proto::executor::executor_message::Message as Reply;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::attempt::Attempt;
use super::begin;
use super::config::{DriverLink, ExecutorConfig, MemoryPlan};
use super::context::{QueryContext, Shared, WorkEvent};
use super::error::{ExecutorError, ExitReason, Failure};
use super::pool::Pool;
use super::reserve::Reserve;
use super::shard::{Event, Rocks};
use super::shuffle::{Inboxes, Listening, Peers, listen};
use super::{usage, wire};
use crate::{STATE_FOLDER, STATE_LOCK};

const BEAT_INTERVAL: Duration = Duration::from_secs(1);
/// How long the end waits for work that was cancelled.
const JOIN_MAX: Duration = Duration::from_secs(5);

/// Runs an executor until the driver says so or is gone. Its first message is `Hello`.
pub async fn run(config: ExecutorConfig, link: DriverLink) -> Result<ExitReason, ExecutorError> {
    let DriverLink { to_driver, mut from_driver } = link;
    let (mut executor, mut events) = Executor::start(config, to_driver).await?;
    let mut beats = tokio::time::interval(BEAT_INTERVAL);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let reason = loop {
        tokio::select! {
            message = from_driver.recv() => match message.map(|message| message.message) {
                None => break ExitReason::DriverGone,
                Some(Some(Message::Shutdown(shutdown))) => break ExitReason::Shutdown(shutdown.reason),
                Some(Some(message)) => executor.receive(message).await,
                Some(None) => {}
            },
            Some(event) = events.recv() => executor.work_event(event),
            _ = beats.tick() => executor.beat(),
        }
    };
    executor.stop(&mut events).await;
    tracing::info!(?reason, "executor stops");
    Ok(reason)
}

struct Executor {
    shared: Arc<Shared>,
    inboxes: Inboxes,
    listening: Listening,
    queries: HashMap<String, Query>,
    /// Queries that were stopped, while their clients and databases are closed.
    closing: JoinSet<()>,
    /// Locked: a worker must not take the state for a dead executor's.
    _alive: std::fs::File,
}

/// A started query.
struct Query {
    context: Arc<QueryContext>,
    highest: Option<AttemptId>,
    /// The attempt that works, or has, or was cancelled and has not ended.
    current: Option<Arc<Attempt>>,
    /// Begins when `current` has ended.
    next: Option<wire::Batch>,
}

impl Executor {
    async fn start(
        config: ExecutorConfig,
        to_driver: mpsc::Sender<proto::ExecutorMessage>,
    ) -> Result<(Self, mpsc::UnboundedReceiver<WorkEvent>), ExecutorError> {
        let local = |action, what: &std::path::Path| {
            let what = what.display().to_string();
            move |source| ExecutorError::Local { action, what, source }
        };
        // Databases of an earlier process: without a log nobody knows their version.
        let state = config.work_dir.join(STATE_FOLDER);
        match std::fs::remove_dir_all(&state) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(local("clear", &state)(error)),
            Ok(()) | Err(_) => {}
        }
        std::fs::create_dir_all(&config.work_dir).map_err(local("make", &config.work_dir))?;
        // Before there is state, so that no worker takes it for a dead executor's.
        let lock = config.work_dir.join(STATE_LOCK);
        let alive = std::fs::File::create(&lock).map_err(local("make", &lock))?;
        alive.try_lock().map_err(|error| local("lock", &lock)(error.into()))?;
        std::fs::create_dir_all(&state).map_err(local("make", &state))?;
        let memory = MemoryPlan::of(config.memory_bytes);
        let rocks = Arc::new(Rocks::new(memory.state_cache_bytes, memory.write_buffer_bytes, config.cores.min(2))?);
        let pool = Pool::start(config.cores).map_err(local("start", std::path::Path::new("task threads")))?;
        let inboxes = Inboxes::default();
        let listening = listen(&config.shuffle_host, &config.work_dir, config.token.clone(), inboxes.clone()).await;
        let listening = listening.map_err(local("listen on", std::path::Path::new(&config.shuffle_host)))?;
        let incarnation = uuid::Uuid::new_v4().to_string();
        let machine_id = usage::machine_id();
        let peers = Peers::new(ClientAuth::new(Some(&config.token)), &config.executor_id, &incarnation, &machine_id);
        let hello = proto::Hello {
            application_id: config.application_id.clone(),
            executor_id: config.executor_id.clone(),
            incarnation,
            host: config.shuffle_host.clone(),
            cores: u32::try_from(config.cores).unwrap_or(u32::MAX),
            memory_bytes: config.memory_bytes,
            shuffle_address: listening.address.to_string(),
            shuffle_socket: listening.socket.clone(),
            machine_id,
            pid: std::process::id(),
        };
        let (events, receiver) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Handle::current();
        // A driver that is gone already shows as the end of the stream from it.
        let _ = to_driver.send(wire::message(Reply::Hello(hello))).await;
        let (received, overlays) = (Reserve::new(memory.receive_bytes), Reserve::new(memory.overlay_bytes));
        let shared = Shared { config, memory, pool, rocks, received, overlays, to_driver, events, runtime, peers };
        let shared = Arc::new(shared);
        let (queries, closing) = (HashMap::new(), JoinSet::new());
        Ok((Self { shared, inboxes, listening, queries, closing, _alive: alive }, receiver))
    }

    async fn receive(&mut self, message: Message) {
        match message {
            Message::Welcome(welcome) => tracing::info!(driver = welcome.driver_id, "attached to driver"),
            Message::StartQuery(start) => self.start_query(start).await,
            Message::RunBatch(run) => self.run_batch(run),
            Message::Abort(abort) => self.abort(&abort),
            Message::Publish(publish) => self.publish(publish),
            Message::Committed(committed) => self.committed(&committed),
            Message::StopQuery(stop) => self.stop_query(&stop.query_id, &stop.run_id),
            Message::Shutdown(_) => {}
        }
    }

    async fn start_query(&mut self, start: proto::StartQuery) {
        let (query_id, run_id) = (start.query_id.clone(), start.run_id.clone());
        let mut ready = proto::QueryReady { query_id: query_id.clone(), run_id: run_id.clone(), ..Default::default() };
        let same = self.queries.get(&query_id).map(|query| query.context.run_id == run_id);
        if same != Some(true) {
            if let Some(old) = self.queries.get(&query_id).map(|query| query.context.run_id.clone()) {
                self.stop_query(&query_id, &old);
            }
            let shared = self.shared.clone();
            let started = tokio::task::spawn_blocking(move || QueryContext::start(&shared, &start)).await;
            match started {
                Ok(Ok(context)) => {
                    let context = Arc::new(context);
                    tracing::info!(query = query_id, run = run_id, "query started");
                    self.queries.insert(query_id, Query { context, highest: None, current: None, next: None });
                }
                Ok(Err(failure)) => (ready.error, ready.error_class) = (failure.message, failure.error_class),
                Err(_) => ready.error = "the plan could not be decoded; the executor's log has the message".to_owned(),
            }
        }
        self.reply(Reply::Ready(ready));
    }

    fn run_batch(&mut self, run: proto::RunBatch) {
        let (query_id, batch, attempt) = (run.query_id.clone(), run.batch, run.attempt.unwrap_or_default());
        let refuse = |kind, text: String| {
            let failure = Failure::new(kind, text);
            wire::failed_wire(&query_id, wire::version(batch, attempt), failure)
        };
        let known = self.queries.get_mut(&query_id).filter(|query| query.context.run_id == run.run_id);
        let Some(query) = known else {
            let text = "the query is not started on this executor".to_owned();
            return self.send(refuse(proto::FailureKind::Unavailable, text));
        };
        let batch = match wire::batch(run) {
            Ok(batch) => batch,
            // Every try would be answered so.
            Err(problem) => return self.send(refuse(proto::FailureKind::Fatal, problem)),
        };
        if query.highest.is_some_and(|highest| batch.attempt <= highest) {
            tracing::debug!(query = query_id, attempt = %batch.attempt, "old attempt refused");
            return;
        }
        query.highest = Some(batch.attempt);
        query.next = Some(batch);
        query.cancel_current();
        query.begin_next(&self.shared, &self.inboxes);
    }

    fn abort(&mut self, abort: &proto::Abort) {
        let attempt = wire::attempt_id(abort.attempt.unwrap_or_default());
        let Some(query) = self.queries.get_mut(&abort.query_id) else { return };
        query.highest = query.highest.max(Some(attempt));
        query.next.take_if(|next| next.attempt <= attempt);
        if query.current.as_ref().is_some_and(|current| current.batch.attempt <= attempt) {
            query.cancel_current();
        }
        begin::apply_to_all(&query.context, Event::Abort(attempt));
    }

    /// The sinks of this version run in the driver or were done before `Prepared`: there is nothing left to put out.
    fn publish(&self, publish: proto::Publish) {
        let proto::Publish { query_id, batch, attempt } = publish;
        self.reply(Reply::Published(proto::Published { query_id, batch, attempt }));
    }

    fn committed(&mut self, committed: &proto::Committed) {
        let Some(query) = self.queries.get(&committed.query_id) else { return };
        let version = wire::version(committed.batch, committed.attempt.unwrap_or_default());
        begin::apply_to_all(&query.context, Event::Committed(version));
        query.context.snapshots_named(version.attempt);
    }

    fn stop_query(&mut self, query_id: &str, run_id: &str) {
        if self.queries.get(query_id).is_none_or(|query| query.context.run_id != run_id) {
            return;
        }
        self.shared.peers.close(query_id);
        if let Some(mut query) = self.queries.remove(query_id) {
            self.inboxes.remove(query_id, query.highest);
            query.cancel_current();
            tracing::info!(query = query_id, run = run_id, "query stopped");
            while self.closing.try_join_next().is_some() {}
            // Closing clients and databases takes time; the last job that ends drops what it holds.
            self.closing.spawn_blocking(move || drop(query));
        }
    }

    fn work_event(&mut self, event: WorkEvent) {
        match event {
            WorkEvent::Failed { query_id, version, failure } => {
                let message = failure.message.as_str();
                // The driver tells the user.
                tracing::info!(query = query_id, batch = version.batch, attempt = %version.attempt, message, "batch failed here");
                self.send(wire::failed_wire(&query_id, version, failure));
            }
            WorkEvent::Joined { query_id, attempt } => {
                let Some(query) = self.queries.get_mut(&query_id) else { return };
                query.current.take_if(|current| current.batch.attempt == attempt);
                query.begin_next(&self.shared, &self.inboxes);
            }
        }
    }

    fn beat(&self) {
        let beat = proto::Beat {
            resident_bytes: usage::resident_bytes(),
            cpu_micros: usage::cpu_micros(),
            active_tasks: u32::try_from(self.shared.pool.running()).unwrap_or(u32::MAX),
        };
        // A driver that does not keep up with rows sees that there is life by the rows.
        let _ = self.shared.to_driver.try_send(wire::message(Reply::Beat(beat)));
    }

    fn reply(&self, reply: Reply) {
        self.send(wire::message(reply));
    }

    /// Never waits: the loop must go on taking aborts while the queue to the driver is full of rows.
    fn send(&self, message: proto::ExecutorMessage) {
        if let Err(mpsc::error::TrySendError::Full(message)) = self.shared.to_driver.try_send(message) {
            let to_driver = self.shared.to_driver.clone();
            lifecycle::spawn("reply", async move { to_driver.send(message).await });
        }
    }

    async fn stop(mut self, events: &mut mpsc::UnboundedReceiver<WorkEvent>) {
        let mut left = BTreeSet::new();
        for (query_id, query) in &mut self.queries {
            query.next = None;
            query.cancel_current();
            left.extend(query.current.as_ref().map(|current| (query_id.clone(), current.batch.attempt)));
        }
        let joined = async {
            while !left.is_empty() {
                match events.recv().await {
                    // Attempts of queries that were stopped before also end here.
                    Some(WorkEvent::Joined { query_id, attempt }) => drop(left.remove(&(query_id, attempt))),
                    Some(WorkEvent::Failed { .. }) => {}
                    None => return,
                }
            }
        };
        if tokio::time::timeout(JOIN_MAX, joined).await.is_err() {
            tracing::warn!("work did not end in time");
        }
        self.inboxes.close();
        drop(self.listening);
        let (queries, shared, mut closing) = (self.queries, self.shared, self.closing);
        closing.spawn_blocking(move || drop(queries));
        let closed = async {
            while closing.join_next().await.is_some() {}
            // The last of the threads that use it.
            tokio::task::spawn_blocking(move || {
                let state = shared.config.work_dir.join(STATE_FOLDER);
                drop(shared);
                let _ = std::fs::remove_dir_all(state);
            })
            .await
        };
        if tokio::time::timeout(JOIN_MAX, closed).await.is_err() {
            tracing::warn!("clients and databases did not close in time");
        }
    }
}

impl Query {
    fn cancel_current(&mut self) {
        if self.current.as_ref().is_some_and(|current| current.cancel()) {
            self.current = None;
        }
    }

    fn begin_next(&mut self, shared: &Arc<Shared>, inboxes: &Inboxes) {
        if self.current.is_some() {
            return;
        }
        if let Some(batch) = self.next.take() {
            self.current = Some(begin::begin(shared, &self.context, inboxes, batch));
        }
    }
}
