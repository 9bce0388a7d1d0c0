//! What can go wrong in an executor: the end of the whole, and the failure of one attempt, which the driver decides
//! about.

use std::collections::BTreeMap;

use pyrite_common::error::{Kind, chain};
use pyrite_common::store::StoreError;
use pyrite_engine::error::SparkError;
use pyrite_engine::task::TaskError;
use pyrite_proto::executor::FailureKind;

use super::kafka::KafkaError;
use super::shard::RestoreError;

/// Why an executor could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The local disk or a socket failed.
    #[error("cannot {action} `{what}`")]
    Local {
        action: &'static str,
        what: String,
        #[source]
        source: std::io::Error,
    },
    /// RocksDB's common part could not be set up.
    #[error("state databases cannot be set up: {0}")]
    State(#[from] rocksdb::Error),
    /// The driver cannot be reached, or refused the executor.
    #[error("cannot attach to the driver at `{url}`: {reason}")]
    Driver { url: String, reason: String, kind: Kind },
}

impl ExecutorError {
    /// The class that decides between retry and giving up.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Local { .. } | Self::State(_) => Kind::Internal,
            Self::Driver { kind, .. } => *kind,
        }
    }
}

/// Why an executor ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// The driver asked for it.
    Shutdown(String),
    /// The stream to the driver broke.
    DriverGone,
}

/// Why an attempt failed here, in the words of `BatchFailed`.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Whether trying again may help, and whether it counts.
    pub kind: FailureKind,
    /// For the user.
    pub message: String,
    /// Spark's, when a row raised it.
    pub error_class: String,
    /// Spark's.
    pub sql_state: String,
    /// Spark's.
    pub parameters: BTreeMap<String, String>,
    /// The peer that could not be reached.
    pub unreachable: String,
}

impl Failure {
    /// A failure without Spark's class.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            error_class: String::new(),
            sql_state: String::new(),
            parameters: BTreeMap::new(),
            unreachable: String::new(),
        }
    }

    /// A peer that does not answer.
    pub fn unreachable(executor: &str, reason: impl std::fmt::Display) -> Self {
        let message = format!("executor `{executor}` cannot be reached: {reason}");
        Self { unreachable: executor.to_owned(), ..Self::new(FailureKind::Unavailable, message) }
    }

    fn of_kind(kind: Kind, message: String) -> Self {
        let kind = match kind {
            Kind::Unavailable => FailureKind::Unavailable,
            Kind::Invalid | Kind::NotFound | Kind::Corrupt => FailureKind::Fatal,
            Kind::Stale | Kind::Internal => FailureKind::Task,
        };
        Self::new(kind, message)
    }

    fn spark(error: &SparkError) -> Self {
        Self {
            error_class: error.class.clone(),
            sql_state: error.sql_state.clone(),
            parameters: error.parameters.clone(),
            ..Self::new(FailureKind::Task, error.message.clone())
        }
    }
}

impl From<&TaskError> for Failure {
    fn from(error: &TaskError) -> Self {
        match (error.spark(), error) {
            (Some(spark), _) => Self::spark(spark),
            (None, TaskError::Sink(inner)) => match inner.downcast_ref::<WorkError>() {
                Some(WorkError(failure)) => failure.as_ref().clone(),
                None => Self::new(FailureKind::Task, inner.to_string()),
            },
            // Also state that cannot be decoded: it is of this machine's disk, and another try reads it anew.
            (None, _) => Self::new(FailureKind::Task, chain(error)),
        }
    }
}

impl From<&KafkaError> for Failure {
    fn from(error: &KafkaError) -> Self {
        let kind = match error {
            KafkaError::DataLoss(_) => {
                let failure = Self::new(FailureKind::Fatal, chain(error));
                return Self { error_class: "KAFKA_DATA_LOSS".to_owned(), sql_state: "22000".to_owned(), ..failure };
            }
            KafkaError::Unavailable { .. } => FailureKind::Unavailable,
            KafkaError::Invalid { .. } | KafkaError::Column(_) => FailureKind::Fatal,
            KafkaError::Corrupt { .. } | KafkaError::Arrow(_) | KafkaError::Cancelled => FailureKind::Task,
            KafkaError::Sink(inner) => {
                return match inner.downcast_ref::<WorkError>() {
                    Some(WorkError(failure)) => failure.as_ref().clone(),
                    None => Self::new(FailureKind::Task, inner.to_string()),
                };
            }
        };
        Self::new(kind, chain(error))
    }
}

impl From<&RestoreError> for Failure {
    fn from(error: &RestoreError) -> Self {
        Self::of_kind(error.kind(), chain(error))
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        Self::of_kind(error.kind(), chain(error))
    }
}

/// A failure on its way through code that knows only errors.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub struct WorkError(pub Box<Failure>);

impl From<Failure> for WorkError {
    fn from(failure: Failure) -> Self {
        Self(Box::new(failure))
    }
}
