//! Who is attached, and who is to be told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pyrite_common::lifecycle;
use pyrite_proto::executor::executor_message::Message;
use pyrite_proto::executor::{DriverMessage, ExecutorMessage, Shutdown, Welcome, driver_message};
use tokio::sync::{Semaphore, mpsc};

use super::event::ExecutorEvent;
use super::wire::{self, Addressed};
use crate::protocol::{Event, ExecutorInfo, ExecutorKey};

/// Messages to one executor that wait to be sent: a few for each query and batch.
const OUTGOING_MAX: usize = 1_024;
/// Messages from all executors that wait for one query; beyond, the executors' streams are held back.
const MAILBOX_MAX: usize = 4_096;
/// Bytes of rows among them: rows go on to a file when they are many, and their senders wait for it.
const ROWS_WAITING_MAX: usize = 32 << 20;
/// What a permit for them stands for.
const ROOM_UNIT: usize = 1 << 10;
/// An attached stream that does not say hello by then is dropped.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a beat for so long an executor counts as stuck: a stopped process breaks no stream.
const STALL_MAX: Duration = Duration::from_secs(10);

/// An executor as pages and tools show it.
#[derive(Debug, Clone)]
pub struct ExecutorView {
    pub info: ExecutorInfo,
    pub resident_bytes: u64,
    pub cpu_micros: u64,
    pub active_tasks: u32,
}

/// A handle on the registry; clones share it.
#[derive(Clone)]
pub struct Executors {
    shared: Arc<Shared>,
}

struct Shared {
    application_id: String,
    driver_id: String,
    stall_max: Duration,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    executors: BTreeMap<ExecutorKey, Attached>,
    queries: BTreeMap<String, Mailbox>,
    /// Subscriptions there have ever been: the newest one's generation.
    generations: u64,
    /// Why all executors were told to end; one that attaches later is told so too.
    ended: Option<String>,
}

impl Tables {
    fn senders(&self) -> Vec<mpsc::Sender<ExecutorEvent>> {
        self.queries.values().map(|mailbox| mailbox.sender.clone()).collect()
    }
}

/// Where the newest run of a query is told things.
struct Mailbox {
    generation: u64,
    run_id: String,
    sender: mpsc::Sender<ExecutorEvent>,
    room: Arc<Semaphore>,
}

impl Mailbox {
    /// Waits for room and leaves the event there, unless the query has ended.
    async fn put(sender: mpsc::Sender<ExecutorEvent>, room: Arc<Semaphore>, mut event: ExecutorEvent) {
        if let ExecutorEvent::Rows(rows) = &mut event {
            let permits = rows.ipc.len().min(ROWS_WAITING_MAX).div_ceil(ROOM_UNIT);
            rows.room = room.acquire_many_owned(u32::try_from(permits).unwrap_or(u32::MAX)).await.ok();
        }
        let _ = sender.send(event).await;
    }
}

struct Attached {
    view: ExecutorView,
    outgoing: mpsc::Sender<DriverMessage>,
}

/// A query's mailbox; dropping it ends the subscription.
pub struct Subscription {
    shared: Arc<Shared>,
    query_id: String,
    generation: u64,
    pub events: mpsc::Receiver<ExecutorEvent>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut tables = self.shared.tables.lock();
        // A later run of the query may have the place by now.
        if tables.queries.get(&self.query_id).is_some_and(|mailbox| mailbox.generation == self.generation) {
            tables.queries.remove(&self.query_id);
        }
    }
}

impl Executors {
    pub fn new(application_id: impl Into<String>, driver_id: impl Into<String>) -> Executors {
        Executors::with_stall_max(application_id.into(), driver_id.into(), STALL_MAX)
    }

    fn with_stall_max(application_id: String, driver_id: String, stall_max: Duration) -> Executors {
        let tables = Mutex::new(Tables::default());
        Executors { shared: Arc::new(Shared { application_id, driver_id, stall_max, tables }) }
    }

    /// The ends of an executor in this process: where it sends, and where it receives.
    pub fn attach_in_process(&self) -> (mpsc::Sender<ExecutorMessage>, mpsc::Receiver<DriverMessage>) {
        let (to_driver, from_executor) = mpsc::channel(OUTGOING_MAX);
        // What stalls it stalls the driver too.
        (to_driver, self.attach_watched(from_executor, Duration::MAX))
    }

    /// Takes an executor's messages and gives those for it; the channel closes when it is no longer wanted.
    pub fn attach(&self, from_executor: mpsc::Receiver<ExecutorMessage>) -> mpsc::Receiver<DriverMessage> {
        self.attach_watched(from_executor, self.shared.stall_max)
    }

    fn attach_watched(
        &self,
        mut from_executor: mpsc::Receiver<ExecutorMessage>,
        stall_max: Duration,
    ) -> mpsc::Receiver<DriverMessage> {
        let (outgoing, to_executor) = mpsc::channel(OUTGOING_MAX);
        let registry = self.clone();
        lifecycle::spawn("executor stream", async move {
            let hello = tokio::time::timeout(HELLO_TIMEOUT, from_executor.recv()).await;
            let Ok(Some(ExecutorMessage { message: Some(Message::Hello(hello)) })) = hello else {
                tracing::warn!("a stream of no executor was closed: its first message was not `Hello`");
                return;
            };
            if hello.application_id != registry.shared.application_id {
                let reason = format!("this driver runs application `{}`", registry.shared.application_id);
                let _ = outgoing.try_send(message(driver_message::Message::Shutdown(Shutdown { reason })));
                return;
            }
            let info = wire::executor_info(hello);
            let key = info.key.clone();
            tracing::info!(executor = key.id, host = info.host, cores = info.cores, "executor attached");
            registry.joined(info, outgoing).await;
            let reason = registry.receive(&key, &mut from_executor, stall_max).await;
            registry.lost(&key, reason).await;
        });
        to_executor
    }

    /// The mailbox of a query's run: first a `Joined` for each executor there is, then what happens. An older run of
    /// the query hears nothing more.
    pub fn subscribe(&self, query_id: &str, run_id: &str) -> Subscription {
        let (sender, events) = mpsc::channel(MAILBOX_MAX);
        let mut tables = self.shared.tables.lock();
        for attached in tables.executors.values() {
            let joined = Event::ExecutorJoined(attached.view.info.clone());
            let _ = sender.try_send(ExecutorEvent::Protocol(joined));
        }
        tables.generations += 1;
        let generation = tables.generations;
        let room = Arc::new(Semaphore::new(ROWS_WAITING_MAX / ROOM_UNIT));
        tables.queries.insert(query_id.to_string(), Mailbox { generation, run_id: run_id.to_string(), sender, room });
        Subscription { shared: self.shared.clone(), query_id: query_id.to_string(), generation, events }
    }

    /// Sends without waiting. An executor whose queue is full or closed is about to be lost anyway.
    pub fn send(&self, to: &ExecutorKey, message: DriverMessage) {
        let outgoing = self.shared.tables.lock().executors.get(to).map(|attached| attached.outgoing.clone());
        if let Some(outgoing) = outgoing
            && outgoing.try_send(message).is_err()
        {
            tracing::warn!(executor = to.id, "executor takes no messages");
            self.shared.tables.lock().executors.remove(to);
        }
    }

    /// The attached executors.
    pub fn list(&self) -> Vec<ExecutorView> {
        self.shared.tables.lock().executors.values().map(|attached| attached.view.clone()).collect()
    }

    /// Tells all executors to end.
    pub fn shut_down(&self, reason: &str) {
        let mut tables = self.shared.tables.lock();
        tables.ended = Some(reason.to_string());
        for attached in tables.executors.values() {
            let shutdown = Shutdown { reason: reason.to_string() };
            let _ = attached.outgoing.try_send(message(driver_message::Message::Shutdown(shutdown)));
        }
    }

    async fn joined(&self, info: ExecutorInfo, outgoing: mpsc::Sender<DriverMessage>) {
        let welcome = Welcome { driver_id: self.shared.driver_id.clone() };
        let _ = outgoing.try_send(message(driver_message::Message::Welcome(welcome)));
        let queries = {
            let mut tables = self.shared.tables.lock();
            if let Some(reason) = tables.ended.clone() {
                let _ = outgoing.try_send(message(driver_message::Message::Shutdown(Shutdown { reason })));
            }
            let view = ExecutorView { info: info.clone(), resident_bytes: 0, cpu_micros: 0, active_tasks: 0 };
            tables.executors.insert(info.key.clone(), Attached { view, outgoing });
            tables.senders()
        };
        tell(queries, || Event::ExecutorJoined(info.clone())).await;
    }

    async fn lost(&self, key: &ExecutorKey, reason: String) {
        tracing::info!(executor = key.id, reason, "executor lost");
        let queries = {
            let mut tables = self.shared.tables.lock();
            tables.executors.remove(key);
            tables.senders()
        };
        tell(queries, || Event::ExecutorLost { executor: key.clone(), reason: reason.clone() }).await;
    }

    /// Forwards what an executor says until it is gone; says why it is.
    async fn receive(
        &self,
        key: &ExecutorKey,
        messages: &mut mpsc::Receiver<ExecutorMessage>,
        stall_max: Duration,
    ) -> String {
        let mut beats = false;
        loop {
            let received =
                if beats { tokio::time::timeout(stall_max, messages.recv()).await } else { Ok(messages.recv().await) };
            let received = match received {
                Ok(Some(received)) => received,
                Ok(None) => return "its stream ended".to_string(),
                Err(_) => return format!("it showed no life for {} s", stall_max.as_secs()),
            };
            let Some(received) = received.message else { continue };
            if let Message::Beat(beat) = &received {
                beats = true;
                if let Some(attached) = self.shared.tables.lock().executors.get_mut(key) {
                    attached.view.resident_bytes = beat.resident_bytes;
                    attached.view.cpu_micros = beat.cpu_micros;
                    attached.view.active_tasks = beat.active_tasks;
                }
                continue;
            }
            let Some(addressed) = wire::event(key, received) else { continue };
            if let Some((sender, room)) = self.mailbox(&addressed) {
                Mailbox::put(sender, room, addressed.event).await;
            }
        }
    }

    /// Where a message belongs; nowhere when it is for another run than the newest.
    fn mailbox(&self, addressed: &Addressed) -> Option<(mpsc::Sender<ExecutorEvent>, Arc<Semaphore>)> {
        let tables = self.shared.tables.lock();
        let mailbox = tables.queries.get(&addressed.query_id)?;
        let is_for_it = addressed.run_id.as_ref().is_none_or(|run_id| *run_id == mailbox.run_id);
        is_for_it.then(|| (mailbox.sender.clone(), mailbox.room.clone()))
    }
}

async fn tell(queries: Vec<mpsc::Sender<ExecutorEvent>>, event: impl Fn() -> Event) {
    for query in queries {
        let _ = query.send(ExecutorEvent::Protocol(event())).await;
    }
}

fn message(message: driver_message::Message) -> DriverMessage {
    DriverMessage { message: Some(message) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pyrite_proto::executor::{Hello, Published, QueryReady, Rows};

    use super::*;
    use crate::executors::OutputRows;

    fn say(message: Message) -> ExecutorMessage {
        ExecutorMessage { message: Some(message) }
    }

    fn hello(application_id: &str) -> ExecutorMessage {
        say(Message::Hello(Hello {
            application_id: application_id.into(),
            executor_id: "0".into(),
            incarnation: "i".into(),
            cores: 2,
            ..Hello::default()
        }))
    }

    #[tokio::test]
    async fn a_query_hears_of_executors_before_and_after_it_subscribes() {
        let executors = Executors::new("app", "driver");
        let mut early = executors.subscribe("early", "run");
        let (to_driver, mut from_driver) = executors.attach_in_process();
        to_driver.send(hello("app")).await.unwrap();
        assert!(matches!(from_driver.recv().await.unwrap().message, Some(driver_message::Message::Welcome(_))));
        assert!(matches!(early.events.recv().await, Some(ExecutorEvent::Protocol(Event::ExecutorJoined(_)))));
        let mut late = executors.subscribe("late", "run");
        assert!(matches!(late.events.recv().await, Some(ExecutorEvent::Protocol(Event::ExecutorJoined(_)))));
        let published = Published { query_id: "late".into(), batch: 3, attempt: None };
        to_driver.send(say(Message::Published(published))).await.unwrap();
        let heard = late.events.recv().await;
        assert!(matches!(heard, Some(ExecutorEvent::Protocol(Event::Published { batch: 3, .. }))), "{heard:?}");
        drop(to_driver);
        assert!(matches!(early.events.recv().await, Some(ExecutorEvent::Protocol(Event::ExecutorLost { .. }))));
        assert!(matches!(late.events.recv().await, Some(ExecutorEvent::Protocol(Event::ExecutorLost { .. }))));
        assert!(executors.list().is_empty());
    }

    #[tokio::test]
    async fn an_executor_of_another_application_is_sent_away() {
        let executors = Executors::new("app", "driver");
        let (to_driver, mut from_driver) = executors.attach_in_process();
        to_driver.send(hello("other")).await.unwrap();
        assert!(matches!(from_driver.recv().await.unwrap().message, Some(driver_message::Message::Shutdown(_))));
        assert!(from_driver.recv().await.is_none());
    }

    #[tokio::test]
    async fn an_old_run_neither_unsubscribes_nor_fails_the_new_one() {
        let executors = Executors::new("app", "driver");
        let old = executors.subscribe("q", "old");
        let mut new = executors.subscribe("q", "new");
        drop(old);
        let (to_driver, _from_driver) = executors.attach_in_process();
        to_driver.send(hello("app")).await.unwrap();
        assert!(matches!(new.events.recv().await, Some(ExecutorEvent::Protocol(Event::ExecutorJoined(_)))));
        for run_id in ["old", "new"] {
            let (query_id, error) = ("q".into(), run_id.into());
            let ready = QueryReady { query_id, run_id: run_id.into(), error, ..QueryReady::default() };
            to_driver.send(say(Message::Ready(ready))).await.unwrap();
        }
        let Some(ExecutorEvent::Protocol(Event::QueryRefused { fault, .. })) = new.events.recv().await else {
            panic!("a refusal");
        };
        assert_eq!(fault.message, "new");
        drop(new);
        assert!(executors.shared.tables.lock().queries.is_empty());
    }

    #[tokio::test]
    async fn rows_wait_at_their_sender_while_the_mailbox_holds_many() {
        let executors = Executors::new("app", "driver");
        let mut query = executors.subscribe("q", "run");
        let (to_driver, _from_driver) = executors.attach_in_process();
        to_driver.send(hello("app")).await.unwrap();
        for shard in 0..2 {
            let ipc = Bytes::from(vec![0; ROWS_WAITING_MAX]);
            let rows = Rows { query_id: "q".into(), shard, ipc, ..Rows::default() };
            to_driver.send(say(Message::Rows(rows))).await.unwrap();
        }
        query.events.recv().await;
        let Some(ExecutorEvent::Rows(first)) = query.events.recv().await else { panic!("rows") };
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(query.events.try_recv().is_err(), "the second waits until the first is kept elsewhere");
        drop(first);
        assert!(matches!(query.events.recv().await, Some(ExecutorEvent::Rows(OutputRows { shard: 1, .. }))));
    }

    #[tokio::test]
    async fn beats_that_stop_are_a_loss() {
        let executors = Executors::with_stall_max("app".into(), "driver".into(), Duration::from_millis(20));
        let mut query = executors.subscribe("q", "run");
        let (to_driver, from_executor) = mpsc::channel(OUTGOING_MAX);
        let _from_driver = executors.attach(from_executor);
        to_driver.send(hello("app")).await.unwrap();
        to_driver.send(say(Message::Beat(Default::default()))).await.unwrap();
        query.events.recv().await;
        let lost = query.events.recv().await;
        assert!(matches!(lost, Some(ExecutorEvent::Protocol(Event::ExecutorLost { .. }))));
    }
}
