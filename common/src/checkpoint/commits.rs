//! `commits/N`: batch N has happened. Its manifest names every object that holds the batch's state.

use serde::{Deserialize, Serialize};

use super::{AttemptId, LogError, crc, names, text_after_version};

/// The commit of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitFile {
    /// The watermark of the next batch, milliseconds.
    pub next_batch_watermark_ms: i64,
    /// Absent in a checkpoint that Spark wrote.
    pub pyrite: Option<CommitExtra>,
}

/// Pyrite's part of [`CommitFile`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitExtra {
    pub term: u64,
    pub driver: String,
    /// Unique to the try of writing it: whoever reads its own nonce back has won.
    pub nonce: String,
    /// The attempt whose state and output are the batch's.
    pub attempt: AttemptId,
    /// The changelog objects of the attempt: one for each executor whose shards changed.
    pub objects: Vec<ObjectRef>,
    /// Where each watermark node stands after this batch; nodes that saw no time yet are absent.
    pub node_watermarks: Vec<NodeWatermark>,
    /// The largest event times of the running catch-up; empty outside of one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catch_up: Vec<CatchUpMaximum>,
    /// Snapshots that became durable since the last commit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotRef>,
    pub crc: String,
}

/// A durable object with its length in bytes and CRC-32C.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    pub name: String,
    pub length: u64,
    pub crc: u32,
}

/// The watermark of one `withWatermark`, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeWatermark {
    pub node: u32,
    pub watermark_ms: i64,
}

/// The largest event time of one partition at one watermark node, microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatchUpMaximum {
    pub node: u32,
    pub source: u32,
    pub topic: String,
    pub partition: i32,
    pub max_us: i64,
}

/// The state of buckets `[first_bucket, last_bucket]` of one operator as of `batch`, made by `attempt`'s lineage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRef {
    pub operator: u32,
    pub shard: u32,
    pub first_bucket: u16,
    pub last_bucket: u16,
    pub batch: u64,
    pub attempt: AttemptId,
    /// The snapshot's manifest, which names its files.
    pub manifest: ObjectRef,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitLine {
    next_batch_watermark_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pyrite: Option<CommitExtra>,
}

impl CommitFile {
    /// Reads `commits/batch`; the checksum must hold when the file is ours.
    pub fn parse(batch: u64, bytes: &[u8]) -> Result<CommitFile, LogError> {
        let name = names::commit(batch);
        let line = text_after_version(&name, bytes)?;
        let line: CommitLine = serde_json::from_str(line).map_err(|error| LogError::new(&name, error))?;
        if line.pyrite.is_some() {
            let text = std::str::from_utf8(bytes).map_err(|error| LogError::new(&name, error))?;
            crc::check(text).map_err(|problem| LogError::new(&name, problem))?;
        }
        Ok(CommitFile { next_batch_watermark_ms: line.next_batch_watermark_ms, pyrite: line.pyrite })
    }

    /// The file's text, with its checksum.
    pub fn print(&self) -> String {
        let mut pyrite = self.pyrite.clone();
        if let Some(extra) = &mut pyrite {
            extra.crc = crc::placeholder();
        }
        let sealed = pyrite.is_some();
        let line = CommitLine { next_batch_watermark_ms: self.next_batch_watermark_ms, pyrite };
        let text = format!("v1\n{}", serde_json::to_string(&line).expect("a commit has plain fields"));
        if sealed { crc::seal(text) } else { text }
    }

    /// The term of the driver that wrote it; 0 when Spark did.
    pub fn term(&self) -> u64 {
        self.pyrite.as_ref().map_or(0, |extra| extra.term)
    }

    /// The attempt that a shard must be at after this batch; absent when Spark wrote it, and no state of ours exists.
    pub fn attempt(&self) -> Option<AttemptId> {
        self.pyrite.as_ref().map(|extra| extra.attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> CommitFile {
        CommitFile {
            next_batch_watermark_ms: 12,
            pyrite: Some(CommitExtra {
                term: 1,
                driver: "d".into(),
                nonce: "n".into(),
                attempt: AttemptId::new(1, 2),
                objects: vec![ObjectRef { name: "state/log/3-1-2-e".into(), length: 10, crc: 77 }],
                node_watermarks: vec![NodeWatermark { node: 0, watermark_ms: 12 }],
                catch_up: vec![],
                snapshots: vec![],
                crc: String::new(),
            }),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = file().print();
        let mut read = CommitFile::parse(3, text.as_bytes()).unwrap();
        read.pyrite.as_mut().unwrap().crc.clear();
        assert_eq!(read, file());
        assert!(text.starts_with("v1\n{\"nextBatchWatermarkMs\":12,\"pyrite\":{"));
    }

    #[test]
    fn spark_commits_are_read_and_damage_is_named() {
        let read = CommitFile::parse(0, b"v1\n{\"nextBatchWatermarkMs\":3}").unwrap();
        assert_eq!((read.next_batch_watermark_ms, read.attempt()), (3, None));
        let damaged = file().print().replace("\"length\":10", "\"length\":11");
        assert!(CommitFile::parse(3, damaged.as_bytes()).unwrap_err().to_string().contains("commits/3"));
    }
}
