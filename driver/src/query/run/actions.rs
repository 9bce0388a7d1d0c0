//! Performing the machine's actions, and showing what it does.

use pyrite_common::error::chain;
use pyrite_common::lifecycle;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use super::outcome::{Refusal, caught, publish, spark_error, text};
use super::{Internal, Runner, Running, internal_fault};
use crate::checkpoint::perform;
use crate::executors::{OutputRows, to_driver_message};
use crate::progress::{progress, timestamp};
use crate::protocol::{
    Action, BatchFailure, BatchReport, Ending, Event, FailureKind, Fault, Phase, StoreReply, Trigger,
};
use crate::query::handle::{Activity, Command, Query, QueryEvent, QueryFailure};

impl Runner {
    pub(super) async fn internal(&mut self, result: Internal, commands: &mpsc::Sender<Command>) {
        match result {
            Internal::Store { request, reply } => self.apply(Event::Store { request, reply }, commands).await,
            Internal::Sink { event, rows } => {
                self.sink_rows = Some(rows);
                self.apply(event, commands).await;
            }
            Internal::Tidied(collector) => self.tidy.done(*collector),
        }
    }

    pub(super) async fn apply(&mut self, event: Event, commands: &mpsc::Sender<Command>) {
        if let Event::ExecutorLost { executor, reason } = &event {
            tracing::debug!(executor = executor.id, reason, "query lost an executor");
        }
        if let Event::RowsLost { attempt, problem, .. } = &event {
            tracing::warn!(query = self.identity.id, %attempt, "batch is tried again: {problem}");
            self.rows_trouble = Some(problem.clone());
        }
        if let Event::Failed { from, batch, failure, .. } = &event {
            self.mention(*batch, &from.id, failure);
        }
        let actions = self.machine.apply(self.clock.now_us(), event);
        if self.running.is_none()
            && let Some(id) = self.machine.query_id().map(str::to_string)
        {
            self.register(&id, commands).await;
        }
        for action in actions {
            self.perform(action);
        }
        self.show();
    }

    /// A try that failed is told once for each batch and reason: some are repeated until the trouble is over.
    fn mention(&mut self, batch: u64, executor: &str, failure: &BatchFailure) {
        let told = Some((batch, failure.message.clone()));
        if failure.kind != FailureKind::Fatal && self.told != told {
            tracing::warn!("batch {batch} failed on executor {executor}, trying again: {}", failure.message);
            self.told = told;
        }
    }

    /// The checkpoint gave the query its id: from here on it is visible, and executors can be told about it.
    async fn register(&mut self, id: &str, commands: &mpsc::Sender<Command>) {
        let Ok(uuid) = Uuid::parse_str(id) else {
            let fault = Fault::new(format!("the checkpoint's `metadata` has the id `{id}`, which is no UUID"));
            self.ending = Some(Ending::Failed(fault));
            return;
        };
        self.identity.id = id.to_string();
        self.start_query.query_id = id.to_string();
        let query = Query::new(
            uuid,
            self.run_id,
            self.start.name.clone(),
            self.clock.now_us(),
            self.start.analyzed.clone(),
            self.settings.progress_max,
            commands.clone(),
        );
        if let Err(fault) = self.enter(&query).await {
            self.ending = Some(Ending::Failed(fault));
            return;
        }
        tracing::info!(query = id, run = %self.run_id, name = self.start.name, checkpoint = self.location.path, "query started");
        let subscription = self.executors.subscribe(id, &self.identity.run_id);
        if let Some(started) = self.started.take() {
            let _ = started.send(Ok(query.clone()));
        }
        if let Some(sink) = &self.sink {
            sink.lock().query_started();
        }
        query.tell(QueryEvent::Started);
        self.running = Some(Running { query, subscription });
    }

    /// Makes the run the active one of its query. While an old one stops, a third may come: each pass looks again.
    async fn enter(&mut self, query: &Query) -> Result<(), Fault> {
        while let Some(active) = self.queries.enter(query) {
            let id = query.id();
            if !self.settings.stop_active_run {
                return Err(Fault::new(format!(
                    "Cannot start query with id {id} as another query with same id is already active. Perhaps you are \
                     attempting to restart a query from checkpoint that is already active. You may stop the old query \
                     by setting the SQL configuration: spark.conf.set(\"spark.sql.streaming.stopActiveRunOnRestart\", true) and retry."
                )));
            }
            tracing::warn!(query = %id, run = %active.run_id(), "the active run of this checkpoint is stopped for the new one");
            active.stop().await;
        }
        Ok(())
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Store { request, ask } => {
                let (store, results) = (self.location.store.clone(), self.internal.clone());
                lifecycle::spawn("checkpoint", async move {
                    let reply = caught("the checkpoint's task", perform(&store, ask)).await;
                    let reply = reply.unwrap_or_else(StoreReply::Failed);
                    let _ = results.send(Internal::Store { request, reply }).await;
                });
            }
            Action::ResolveStart { source } => self.poller.resolve(source),
            Action::Poll { generation, known } => self.poller.poll(generation, known),
            Action::Send { to, command } => {
                let message = to_driver_message(&self.identity.id, &self.identity.run_id, &self.start_query, command);
                self.executors.send(&to, message);
            }
            Action::RunSink { batch, attempt } => {
                let Some(sink) = self.sink.clone() else { return };
                let rows = self.collected.take(attempt);
                let (publication, results) = (self.publication.clone(), self.internal.clone());
                lifecycle::spawn("sink", async move {
                    let published = caught("the sink's task", publish(publication, sink, batch, rows)).await;
                    let published = published.unwrap_or_else(|panic| Err(Refusal::Final(internal_fault(panic))));
                    let (event, rows) = match published {
                        Ok(rows) => (Event::SinkDone { batch, attempt }, rows),
                        Err(Refusal::Final(fault)) => (Event::SinkFailed { batch, attempt, fault }, 0),
                        Err(Refusal::RowsLost(problem)) => (Event::RowsLost { batch, attempt, problem }, 0),
                    };
                    let _ = results.send(Internal::Sink { event, rows }).await;
                });
            }
            Action::DropRows { attempt } => self.collected.drop_through(attempt),
            Action::Report(report) => self.report(*report),
            Action::Idle { generation } => self.idle(generation),
            Action::Wake { at_us } => {
                let wait = u64::try_from(at_us - self.clock.now_us()).unwrap_or(0);
                self.wake = Instant::now() + std::time::Duration::from_micros(wait);
            }
            Action::Ended(ending) => self.ending = Some(ending),
        }
    }

    /// Rows for the sink came.
    pub(super) async fn collect(&mut self, rows: OutputRows, commands: &mpsc::Sender<Command>) {
        let (batch, attempt) = (rows.batch, rows.attempt);
        if let Err(error) = self.collected.add(rows).await {
            let problem = chain(&error);
            self.apply(Event::RowsLost { batch, attempt, problem }, commands).await;
        }
    }

    /// In Spark's words.
    fn warn_when_behind(&self, report: &BatchReport) {
        let Trigger::ProcessingTime(interval) = self.start.trigger else { return };
        let (interval_ms, spent_ms) = (interval.as_millis(), report.durations.trigger_execution_us / 1000);
        if i128::from(spent_ms) > interval_ms as i128 {
            tracing::warn!(
                query = self.identity.id,
                batch = report.batch,
                "Current batch is falling behind. The trigger interval is {interval_ms} milliseconds, but spent {spent_ms} \
                 milliseconds"
            );
        }
    }

    fn report(&mut self, report: BatchReport) {
        self.uploads.add(&report);
        let progress = progress(&self.identity, &report, &self.uploads, self.sink_rows.take());
        self.idle_since_us = report.ended_us;
        self.rows_trouble = None;
        self.warn_when_behind(&report);
        for loss in &report.data_loss {
            tracing::warn!(query = self.identity.id, batch = report.batch, "records were lost: {loss}");
        }
        tracing::info!(
            query = self.identity.id,
            batch = report.batch,
            attempt = %report.attempt,
            rows = report.input_rows(),
            duration_ms = report.durations.trigger_execution_us / 1000,
            failed_tries = report.failed_tries,
            "batch committed"
        );
        if let Some(running) = &self.running {
            running.query.add_progress(progress);
        }
        self.tidy.committed(self.machine.status().term, &self.internal);
    }

    /// Everything that was there is processed.
    fn idle(&mut self, generation: u64) {
        let (done, waiting) = self.drains.drain(..).partition(|(from, _)| *from <= generation);
        self.drains = waiting;
        let done: Vec<_> = done;
        for (_, waiter) in done {
            let _ = waiter.send(());
        }
        let now_us = self.clock.now_us();
        if now_us - self.idle_since_us >= self.settings.idle_interval_us {
            self.idle_since_us = now_us;
            if let Some(running) = &self.running {
                running.query.tell(QueryEvent::Idle(timestamp(now_us)));
            }
        }
    }

    /// Puts what the machine does into the query's status, in Spark's words where it has them.
    pub(super) fn show(&mut self) {
        let Some(running) = &self.running else { return };
        let status = self.machine.status();
        let trouble = self.trouble.clone().or_else(|| self.rows_trouble.clone());
        let shown = Some((status.clone(), trouble.clone()));
        if self.shown == shown {
            return;
        }
        let activity = match status.phase {
            Phase::Claim | Phase::Recover | Phase::Idle | Phase::Stopped => Activity::Idle,
            Phase::Plan | Phase::Run | Phase::Publish | Phase::Commit => Activity::InTrigger,
        };
        let text = match (&trouble, status.phase) {
            (Some(trouble), _) => format!("Waiting: {trouble}"),
            (None, Phase::Claim | Phase::Recover) => "Initializing sources".to_string(),
            (None, Phase::Idle) => match self.start.trigger {
                Trigger::ProcessingTime(_) => "Waiting for next trigger".to_string(),
                Trigger::Default | Trigger::AvailableNow | Trigger::Once => "Waiting for data to arrive".to_string(),
            },
            (None, Phase::Run) if status.waits_for_executors => {
                tracing::info!(query = self.identity.id, batch = status.batch, "batch waits for executors");
                "Waiting for executors".to_string()
            }
            (None, Phase::Plan | Phase::Run | Phase::Publish | Phase::Commit) => "Processing new data".to_string(),
            (None, Phase::Stopped) => "Stopped".to_string(),
        };
        running.query.set_status(text, activity, status.has_data);
        self.shown = shown;
    }

    /// The query's end: tells everyone who waits.
    pub(super) fn finish(mut self) {
        let ending = self.ending.take().unwrap_or(Ending::Finished);
        let fault = match ending {
            Ending::Finished => None,
            Ending::Failed(fault) | Ending::Superseded(fault) => Some(fault),
        };
        if fault.is_some() {
            self.location.keep();
        }
        if let (Some(started), Some(fault)) = (self.started.take(), fault.clone()) {
            let _ = started.send(Err(spark_error(fault)));
        }
        let Some(Running { query, subscription }) = self.running.take() else { return };
        drop(subscription);
        let failure = fault.map(|fault| {
            tracing::error!(query = self.identity.id, run = %self.run_id, "query failed: {}", text(&fault));
            QueryFailure {
                id: query.id(),
                run_id: self.run_id,
                message: text(&fault),
                error_class: Some(fault.class).filter(|class| !class.is_empty()),
                cause: Some(fault.message),
            }
        });
        if failure.is_none() {
            tracing::info!(query = self.identity.id, run = %self.run_id, "query stopped");
        }
        self.queries.remove(&query);
        query.end(failure);
        self.queries.announce_end(&query);
    }
}
