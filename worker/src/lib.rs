//! The worker daemon, which lends this machine's cores and memory to executors, and the executor itself. The daemon
//! never sees plans or rows; an executor serves one application and knows only its driver and its peers.
//!
//! ```text
//! daemon    registers with the master ─ starts, limits, watches and ends executor processes ─ web UI
//! executor  one stream to its driver ─ source tasks ─ shuffle ─ state shards ─ Prepared
//! ```

/// Where in its work directory an executor keeps state; worthless when it has ended.
pub(crate) const STATE_FOLDER: &str = "state";

/// A file beside it that the executor holds locked as long as it lives.
pub(crate) const STATE_LOCK: &str = "state.lock";

pub mod daemon;
pub mod executor;
