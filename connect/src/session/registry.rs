//! All sessions of the server, found by user and session id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use pyrite_engine::error::{ExceptionKind, SparkError};
use uuid::Uuid;

use super::{Conf, Session};
use crate::error::{NOT_A_UUID, handle_error};

/// Sessions that may be open at once; an application has one, or a few.
const SESSIONS_MAX: usize = 1024;

/// Ids of released sessions that are remembered so that a late request does not open them again.
const RELEASED_MAX: usize = 4096;

/// Who a session belongs to, and the id its client gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionKey {
    /// `user_context.user_id`, often empty.
    pub user_id: String,
    /// A UUID in text.
    pub session_id: String,
}

/// The open sessions. Cloned freely.
#[derive(Clone)]
pub struct Sessions {
    inner: Arc<Mutex<Inner>>,
    conf: Conf,
}

#[derive(Default)]
struct Inner {
    open: BTreeMap<SessionKey, Arc<Session>>,
    released: BTreeSet<SessionKey>,
}

impl Sessions {
    /// No session yet; each new one starts with `conf`.
    pub fn new(conf: Conf) -> Sessions {
        Sessions { inner: Arc::default(), conf }
    }

    /// The session of this key, opened on its first request. `observed` is the server-side id that the client saw
    /// before.
    ///
    /// # Errors
    /// `INVALID_HANDLE.*` as Spark: the id is no UUID, the session was released, or the client knew another server.
    pub fn get_or_open(&self, key: SessionKey, observed: Option<&str>) -> Result<Arc<Session>, SparkError> {
        if Uuid::parse_str(&key.session_id).is_err() {
            return Err(handle_error("FORMAT", &key.session_id, NOT_A_UUID));
        }
        let mut inner = self.inner.lock();
        if inner.released.contains(&key) {
            return Err(handle_error("SESSION_CLOSED", &key.session_id, "session was closed"));
        }
        if let Some(session) = inner.open.get(&key) {
            check_observed(session, observed)?;
            return Ok(session.clone());
        }
        if observed.is_some_and(|id| !id.is_empty()) {
            return Err(session_changed(&key.session_id));
        }
        if inner.open.len() >= SESSIONS_MAX {
            let message = format!("more than {SESSIONS_MAX} sessions are open; stop some of them");
            return Err(SparkError::new(ExceptionKind::Runtime, "TOO_MANY_SESSIONS", "54000", message));
        }
        let session = Arc::new(Session::new(key.clone(), self.conf.clone()));
        tracing::debug!(session = %key.session_id, "session opened");
        inner.open.insert(key, session.clone());
        Ok(session)
    }

    /// The session of this key if it is open.
    pub fn get(&self, key: &SessionKey) -> Option<Arc<Session>> {
        self.inner.lock().open.get(key).cloned()
    }

    /// All open sessions.
    pub fn list(&self) -> Vec<Arc<Session>> {
        self.inner.lock().open.values().cloned().collect()
    }

    /// Adds a session made elsewhere (a clone). Refused when the id is taken.
    pub fn insert(&self, session: Session) -> Result<Arc<Session>, SparkError> {
        let mut inner = self.inner.lock();
        if inner.open.contains_key(&session.key) || inner.released.contains(&session.key) {
            return Err(SparkError::new(
                ExceptionKind::Runtime,
                "INVALID_CLONE_SESSION_REQUEST.TARGET_SESSION_ID_ALREADY_EXISTS",
                "42K04",
                format!("a session with the id {} exists", session.key.session_id),
            ));
        }
        let session = Arc::new(session);
        inner.open.insert(session.key.clone(), session.clone());
        Ok(session)
    }

    /// Takes a session out; further requests for it are refused unless the client may come back.
    pub fn release(&self, key: &SessionKey, reconnect: Reconnect) -> Option<Arc<Session>> {
        let mut inner = self.inner.lock();
        let session = inner.open.remove(key);
        if session.is_some() && reconnect == Reconnect::Refused {
            if inner.released.len() >= RELEASED_MAX {
                inner.released.pop_first();
            }
            inner.released.insert(key.clone());
        }
        session
    }
}

/// Whether a released session's id may be opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconnect {
    /// A new, empty session may take the id.
    Allowed,
    /// Requests with the id are refused.
    Refused,
}

fn check_observed(session: &Session, observed: Option<&str>) -> Result<(), SparkError> {
    match observed {
        Some(id) if !id.is_empty() && id != session.server_side_id.to_string() => {
            Err(session_changed(&session.key.session_id))
        }
        _ => Ok(()),
    }
}

fn session_changed(handle: &str) -> SparkError {
    handle_error("SESSION_CHANGED", handle, "the existing Spark server driver instance has restarted; please reconnect")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> SessionKey {
        SessionKey { user_id: String::new(), session_id: id.to_owned() }
    }

    const ID: &str = "00112233-4455-6677-8899-aabbccddeeff";

    #[test]
    fn the_server_side_id_stays_and_is_checked() {
        let sessions = Sessions::new(Conf::default());
        let first = sessions.get_or_open(key(ID), None).unwrap();
        let seen = first.server_side_id.to_string();
        let again = sessions.get_or_open(key(ID), Some(&seen)).unwrap();
        assert_eq!(again.server_side_id, first.server_side_id);
        let error = sessions.get_or_open(key(ID), Some("other")).err().unwrap();
        assert_eq!(error.class, "INVALID_HANDLE.SESSION_CHANGED");
    }

    #[test]
    fn a_released_session_is_closed_unless_it_may_come_back() {
        let sessions = Sessions::new(Conf::default());
        sessions.get_or_open(key(ID), None).unwrap();
        assert!(sessions.release(&key(ID), Reconnect::Allowed).is_some());
        assert!(sessions.get_or_open(key(ID), None).is_ok());
        assert!(sessions.release(&key(ID), Reconnect::Refused).is_some());
        assert_eq!(sessions.get_or_open(key(ID), None).err().unwrap().class, "INVALID_HANDLE.SESSION_CLOSED");
        assert!(sessions.release(&key(ID), Reconnect::Refused).is_none());
    }

    #[test]
    fn an_id_that_is_no_uuid_is_refused() {
        let sessions = Sessions::new(Conf::default());
        assert_eq!(sessions.get_or_open(key("x"), None).err().unwrap().class, "INVALID_HANDLE.FORMAT");
    }
}
