//! A started query as programs hold it: cheap to clone, alive after the query's end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use uuid::Uuid;

use crate::analysis::{Analyzed, explain_text};
use crate::progress::timestamp;

/// Events that a slow listener may lag behind.
const EVENTS_MAX: usize = 256;

/// What a listener hears of a query.
#[derive(Debug, Clone)]
pub enum QueryEvent {
    Started,
    Progress(Arc<Value>),
    /// Nothing to do for the idle interval; when that was, as Spark prints times.
    Idle(String),
    Terminated,
}

/// Why a query ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryFailure {
    pub id: Uuid,
    pub run_id: Uuid,
    /// The cause as Spark prints it, its error class in brackets.
    pub message: String,
    pub error_class: Option<String>,
    pub cause: Option<String>,
}

/// As Spark's `StreamingQueryStatus`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryStatus {
    pub message: String,
    pub is_data_available: bool,
    pub is_trigger_active: bool,
    pub is_active: bool,
}

/// Whether a trigger runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// No, and nothing is there to read.
    Idle,
    InTrigger,
}

/// What programs ask of the run loop.
pub(super) enum Command {
    Stop,
    /// Answered when everything that was there at the asking is processed, or the query has ended.
    ProcessAllAvailable(oneshot::Sender<()>),
}

/// A handle on a query.
#[derive(Clone)]
pub struct Query {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub id: Uuid,
    pub run_id: Uuid,
    pub name: Option<String>,
    pub started_us: i64,
    pub analyzed: Analyzed,
    pub view: Mutex<View>,
    pub commands: mpsc::Sender<Command>,
    pub ended: watch::Sender<bool>,
    pub events: broadcast::Sender<QueryEvent>,
    pub events_from_start: Mutex<Option<broadcast::Receiver<QueryEvent>>>,
    pub progress_max: usize,
}

/// What changes while a query runs.
#[derive(Default)]
pub(super) struct View {
    pub status: String,
    pub is_data_available: bool,
    pub is_trigger_active: bool,
    pub progress: VecDeque<Arc<Value>>,
    pub failure: Option<QueryFailure>,
}

impl Query {
    pub(super) fn new(
        id: Uuid,
        run_id: Uuid,
        name: Option<String>,
        started_us: i64,
        analyzed: Analyzed,
        progress_max: usize,
        commands: mpsc::Sender<Command>,
    ) -> Query {
        let (ended, _) = watch::channel(false);
        let (events, from_start) = broadcast::channel(EVENTS_MAX);
        let events_from_start = Mutex::new(Some(from_start));
        let view = Mutex::new(View { status: "Initializing sources".into(), ..View::default() });
        let shared = Shared {
            id,
            run_id,
            name,
            started_us,
            analyzed,
            view,
            commands,
            ended,
            events,
            events_from_start,
            progress_max,
        };
        Query { shared: Arc::new(shared) }
    }

    /// Constant for the life of the checkpoint.
    pub fn id(&self) -> Uuid {
        self.shared.id
    }

    /// New for each start.
    pub fn run_id(&self) -> Uuid {
        self.shared.run_id
    }

    /// What `queryName` said; none: nothing.
    pub fn name(&self) -> Option<String> {
        self.shared.name.clone()
    }

    /// `2026-11-22T05:28:43.789Z`.
    pub fn started_at(&self) -> String {
        timestamp(self.shared.started_us)
    }

    /// Whether it has not ended.
    pub fn is_active(&self) -> bool {
        !*self.shared.ended.borrow()
    }

    /// What it is doing, as `StreamingQuery.status`.
    pub fn status(&self) -> QueryStatus {
        let view = self.shared.view.lock();
        QueryStatus {
            message: view.status.clone(),
            is_data_available: view.is_data_available,
            is_trigger_active: view.is_trigger_active,
            is_active: self.is_active(),
        }
    }

    /// The newest batches' progress, oldest first.
    pub fn recent_progress(&self) -> Vec<Value> {
        self.shared.view.lock().progress.iter().map(|progress| Value::clone(progress)).collect()
    }

    /// The newest batch's progress; none before the first.
    pub fn last_progress(&self) -> Option<Value> {
        self.shared.view.lock().progress.back().map(|progress| Value::clone(progress))
    }

    /// What ended the query; `None` while it runs and after a stop.
    pub fn exception(&self) -> Option<QueryFailure> {
        self.shared.view.lock().failure.clone()
    }

    /// The plan as text.
    pub fn explain(&self, extended: bool) -> String {
        explain_text(&self.shared.analyzed, extended)
    }

    /// Stops the query and returns when it has ended. A batch that is already coming out is finished first.
    pub async fn stop(&self) {
        let _ = self.shared.commands.send(Command::Stop).await;
        self.await_termination(None).await;
    }

    /// Waits for the end; whether it came within the time.
    pub async fn await_termination(&self, timeout: Option<Duration>) -> bool {
        let mut ended = self.shared.ended.subscribe();
        let wait = async {
            let _ = ended.wait_for(|ended| *ended).await;
        };
        match timeout {
            None => {
                wait.await;
                true
            }
            Some(timeout) => tokio::time::timeout(timeout, wait).await.is_ok(),
        }
    }

    /// Waits until all that the sources have now is processed, as Spark's `processAllAvailable`.
    pub async fn process_all_available(&self) -> Result<(), QueryFailure> {
        let (sender, done) = oneshot::channel();
        if self.shared.commands.send(Command::ProcessAllAvailable(sender)).await.is_ok() {
            let _ = done.await;
        }
        self.exception().map_or(Ok(()), Err)
    }

    /// All events since the start; only who asks first, and soon, gets them.
    pub fn events_from_start(&self) -> Option<broadcast::Receiver<QueryEvent>> {
        self.shared.events_from_start.lock().take()
    }

    /// Events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<QueryEvent> {
        self.shared.events.subscribe()
    }

    /// What the query does now.
    pub(super) fn set_status(&self, status: impl Into<String>, activity: Activity, has_data: bool) {
        let mut view = self.shared.view.lock();
        view.status = status.into();
        view.is_trigger_active = activity == Activity::InTrigger;
        view.is_data_available = has_data;
    }

    pub(super) fn add_progress(&self, progress: Value) {
        let progress = Arc::new(progress);
        {
            let mut view = self.shared.view.lock();
            if view.progress.len() >= self.shared.progress_max {
                view.progress.pop_front();
            }
            view.progress.push_back(progress.clone());
        }
        self.tell(QueryEvent::Progress(progress));
    }

    pub(super) fn tell(&self, event: QueryEvent) {
        let _ = self.shared.events.send(event);
    }

    /// Marks the end; the last thing that the run loop does.
    pub(super) fn end(&self, failure: Option<QueryFailure>) {
        {
            let mut view = self.shared.view.lock();
            view.is_trigger_active = false;
            view.is_data_available = false;
            view.status = match &failure {
                Some(failure) => format!("Terminated with exception: {}", failure.message),
                None => "Stopped".to_string(),
            };
            view.failure = failure;
        }
        // Told first: who saw the end and closes its listener then has the event.
        self.tell(QueryEvent::Terminated);
        self.shared.ended.send_replace(true);
    }
}
