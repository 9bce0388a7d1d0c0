//! Why a worker does not start, or gives up.

use std::path::PathBuf;

use pyrite_common::error::Kind;

/// Failure of the worker as a whole; what befalls one executor is reported to the master.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A port cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Bind {
        /// `host:port`.
        address: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The work directory cannot be made or written.
    #[error("work directory `{path}` cannot be used")]
    WorkDirectory {
        /// As given.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// This machine's address towards the master is not known.
    #[error("cannot tell this machine's address towards master `{master}`; say it with `--host`")]
    NoAddress {
        /// `host:port`.
        master: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The master does not want this worker: the secret is wrong, or its description is.
    #[error("master `{master}` refused this worker: {reason}")]
    Refused {
        /// `host:port`.
        master: String,
        /// Its words.
        reason: String,
    },
}

impl WorkerError {
    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            WorkerError::Refused { .. } | WorkerError::NoAddress { .. } => Kind::Invalid,
            WorkerError::Bind { .. } => Kind::Unavailable,
            WorkerError::WorkDirectory { .. } => Kind::Internal,
        }
    }
}
