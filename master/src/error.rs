//! Why a master does not start.

use pyrite_common::error::Kind;

/// Failure of the master as a whole; failures of single calls are gRPC statuses made in `service`.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// It would take orders from anyone.
    #[error(
        "refusing to listen on `{host}`, which other machines can reach, without a secret; set `spark.authenticate.secret` or \
         `spark.authenticate.secret.file`, or say `--insecure`"
    )]
    Unprotected {
        /// The host to listen on.
        host: String,
    },
    /// A port cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Bind {
        /// `host:port`.
        address: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl MasterError {
    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            MasterError::Unprotected { .. } => Kind::Invalid,
            MasterError::Bind { .. } => Kind::Unavailable,
        }
    }
}
