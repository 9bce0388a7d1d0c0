//! What the server keeps for one client session: settings, temporary views, uploaded blobs, running operations, the
//! errors whose details the client may still ask for.

mod artifacts;
mod conf;
mod defaults;
mod registry;
mod views;

use std::collections::BTreeMap;

use parking_lot::Mutex;
use pyrite_driver::query::Query;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::ErrorLog;
use crate::operation::Operations;
use crate::wire::StreamingQueryListenerEvent;

pub use artifacts::Artifacts;
pub use conf::{Conf, SetMode, check_value};
pub use registry::{Reconnect, SessionKey, Sessions};
pub use views::Views;

/// One client session. Its parts have their own locks; none is held across a wait.
pub struct Session {
    /// The user and the id that the client chose.
    pub key: SessionKey,
    /// Constant for the life of the session: the client refuses a server whose id changes.
    pub server_side_id: Uuid,
    /// Settings of this session.
    pub conf: Mutex<Conf>,
    /// Temporary views by name.
    pub views: Mutex<Views>,
    /// Blobs that the client uploaded ahead of the plans that name them.
    pub artifacts: Mutex<Artifacts>,
    /// The executions of this session.
    pub operations: Operations,
    /// Recent errors by id.
    pub errors: ErrorLog,
    queries: Mutex<BTreeMap<Uuid, Query>>,
    listener: Mutex<Option<ListenerBus>>,
}

/// Where the events of a session's queries go while its client listens.
#[derive(Clone)]
pub struct ListenerBus {
    /// Takes the events of all queries.
    pub events: mpsc::Sender<StreamingQueryListenerEvent>,
    /// Cancelled when the bus closes.
    pub closed: CancellationToken,
}

/// Ended queries that a session remembers, so that a program may still ask how they ended.
const ENDED_QUERIES_MAX: usize = 1000;

impl Session {
    /// A fresh session with the settings that the application was submitted with.
    pub fn new(key: SessionKey, conf: Conf) -> Session {
        let server_side_id = Uuid::new_v4();
        Session {
            operations: Operations::new(&key.session_id, server_side_id),
            key,
            server_side_id,
            conf: Mutex::new(conf),
            views: Mutex::default(),
            artifacts: Mutex::default(),
            errors: ErrorLog::default(),
            queries: Mutex::default(),
            listener: Mutex::default(),
        }
    }

    /// A session of its own id that starts with this one's settings and views, as `SparkSession.cloneSession`.
    pub fn clone_as(&self, session_id: String) -> Session {
        let key = SessionKey { user_id: self.key.user_id.clone(), session_id };
        let clone = Session::new(key, self.conf.lock().clone());
        *clone.views.lock() = self.views.lock().clone();
        clone
    }

    /// Remembers a query that this session started: by its run id it is found again, also after it ended.
    pub fn add_query(&self, query: Query) {
        let mut queries = self.queries.lock();
        if queries.len() >= ENDED_QUERIES_MAX {
            queries.retain(|_, query| query.is_active());
        }
        queries.insert(query.run_id(), query);
    }

    /// The query of this run, if this session started it.
    pub fn query(&self, run_id: Uuid) -> Option<Query> {
        self.queries.lock().get(&run_id).cloned()
    }

    /// The queries of this session that run.
    pub fn active_queries(&self) -> Vec<Query> {
        self.queries.lock().values().filter(|query| query.is_active()).cloned().collect()
    }

    /// Opens the session's listener bus into `events`; one that was open closes.
    pub fn open_listener(&self, events: mpsc::Sender<StreamingQueryListenerEvent>) -> ListenerBus {
        let bus = ListenerBus { events, closed: CancellationToken::new() };
        if let Some(old) = self.listener.lock().replace(bus.clone()) {
            old.closed.cancel();
        }
        bus
    }

    /// The listener bus, if it is open.
    pub fn listener(&self) -> Option<ListenerBus> {
        self.listener.lock().clone()
    }

    /// Closes the listener bus.
    pub fn close_listener(&self) {
        if let Some(bus) = self.listener.lock().take() {
            bus.closed.cancel();
        }
    }

    /// Takes all queries out; the caller stops them. Used when the session ends.
    pub fn take_queries(&self) -> Vec<Query> {
        std::mem::take(&mut *self.queries.lock()).into_values().collect()
    }
}
