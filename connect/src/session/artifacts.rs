//! Blobs that the client uploads ahead of a plan: large local data, named by its hash.

use std::collections::BTreeMap;

use bytes::Bytes;
use pyrite_engine::error::{ExceptionKind, SparkError};

/// All blobs of a session together; `createDataFrame` of more than this is better read from a file.
const ARTIFACT_BYTES_MAX: usize = 1 << 30;

/// Uploaded blobs by name, for example `cache/<hash>`.
#[derive(Debug, Default)]
pub struct Artifacts {
    by_name: BTreeMap<String, Bytes>,
    bytes: usize,
}

impl Artifacts {
    /// Keeps a blob; the same name again replaces it.
    pub fn put(&mut self, name: String, data: Bytes) -> Result<(), SparkError> {
        let replaced = self.by_name.get(&name).map_or(0, Bytes::len);
        let total = self.bytes - replaced + data.len();
        if total > ARTIFACT_BYTES_MAX {
            let message = format!(
                "the session's uploads would take {total} bytes, more than the {ARTIFACT_BYTES_MAX} that are kept; read large data \
                 from a file instead"
            );
            return Err(SparkError::new(
                ExceptionKind::IllegalArgument,
                "LOCAL_RELATION_SIZE_LIMIT_EXCEEDED",
                "54000",
                message,
            ));
        }
        self.bytes = total;
        self.by_name.insert(name, data);
        Ok(())
    }

    /// The blob of this name.
    pub fn get(&self, name: &str) -> Option<Bytes> {
        self.by_name.get(name).cloned()
    }

    /// Whether there is such a blob.
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }
}
