//! What lies in a checkpoint: the names of its objects and the text of its logs.
//!
//! The logs are Spark's own text formats with one more key, `pyrite`, so that tools that read a Spark checkpoint read
//! ours and a Spark query can move over with its offsets. Everything here parses and prints; reading and
//! writing is the store's, deciding the driver's.

mod commits;
mod crc;
pub mod names;
mod offsets;
mod offsets_file;
mod small;
mod snapshot;

pub use crate::ids::AttemptId;
pub use commits::{CatchUpMaximum, CommitExtra, CommitFile, NodeWatermark, ObjectRef, SnapshotRef};
pub use offsets::{Offsets, OffsetsError, TopicPartition};
pub use offsets_file::{OffsetsExtra, OffsetsFile, OperatorWatermarks, SplitPin};
pub use small::{MetadataFile, SourceStartFile, TermFile};
pub use snapshot::{SnapshotFile, SnapshotManifest};

use crate::error::Kind;

/// A log file that cannot be read as what its name says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a readable log file: {problem}")]
pub struct LogError {
    pub name: String,
    pub problem: String,
}

impl LogError {
    fn new(name: &str, problem: impl std::fmt::Display) -> LogError {
        LogError { name: name.to_string(), problem: problem.to_string() }
    }

    /// Always [`Kind::Corrupt`]: the store keeps whole objects only, so trying again helps nothing.
    pub fn kind(&self) -> Kind {
        Kind::Corrupt
    }
}

/// The text of a log object, whose first line must name version 1.
fn text_after_version<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, LogError> {
    let text = std::str::from_utf8(bytes).map_err(|error| LogError::new(name, error))?;
    match text.split_once('\n') {
        Some(("v1", rest)) => Ok(rest),
        Some((version, _)) => Err(LogError::new(name, format!("unknown version line `{version}`"))),
        None => Err(LogError::new(name, "no version line")),
    }
}
