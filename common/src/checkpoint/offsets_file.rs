//! `offsets/N`: everything that a try of batch N needs to make the same rows, written before the first try.
//!
//! Spark's three parts stay Spark's: the version line, one line of metadata, one line of end offsets for each source.
//! The `pyrite` key pins the rest: start offsets, splits, shard ranges, watermarks, the clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{LogError, Offsets, crc, names, text_after_version};

/// A source that has no offsets yet, as Spark writes it.
const NO_OFFSETS: &str = "-";

/// The plan of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetsFile {
    /// The watermark that evicts in this batch, in milliseconds; 0 when there is none.
    pub batch_watermark_ms: i64,
    pub batch_timestamp_ms: i64,
    /// Settings that a query keeps for life, as Spark pins them.
    pub conf: BTreeMap<String, String>,
    /// Where each source's range ends; index = source id. `None`: the source has no offsets yet.
    pub ends: Vec<Option<Offsets>>,
    /// Absent in a checkpoint that Spark wrote.
    pub pyrite: Option<OffsetsExtra>,
}

/// Pyrite's part of [`OffsetsFile`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OffsetsExtra {
    pub term: u64,
    pub driver: String,
    /// Unique to the try of writing it: whoever reads its own nonce back has won.
    pub nonce: String,
    pub plan_hash: String,
    /// Counts shard maps: a new one starts with the first batch after a restart with another shard count.
    pub map_generation: u64,
    /// The first bucket of each shard, ascending from 0; empty for a query without state.
    pub shards: Vec<u16>,
    /// Where each source's range starts, as in Spark's line; index = source id.
    pub starts: Vec<serde_json::Value>,
    pub splits: Vec<SplitPin>,
    pub watermarks: Vec<OperatorWatermarks>,
    /// What `current_timestamp` is in every try of the batch, microseconds.
    pub clock_us: i64,
    /// The end offsets of the catch-up that this batch is part of; see the driver's `protocol::watermark`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<Vec<serde_json::Value>>,
    pub crc: String,
}

/// A range `[start, end)` of one partition, read by one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitPin {
    pub source: u32,
    pub topic: String,
    pub partition: i32,
    pub start: i64,
    pub end: i64,
}

/// What is late and what is final for one operator, microseconds; both compare with `<=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorWatermarks {
    pub operator: u32,
    /// The minimum of `i64` when the operator has no event time.
    pub late_us: i64,
    pub evict_us: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetadataLine {
    batch_watermark_ms: i64,
    batch_timestamp_ms: i64,
    #[serde(default)]
    conf: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pyrite: Option<OffsetsExtra>,
}

impl OffsetsFile {
    /// Reads `offsets/batch`; the checksum must hold when the file is ours.
    pub fn parse(batch: u64, bytes: &[u8]) -> Result<OffsetsFile, LogError> {
        let name = names::offsets(batch);
        let failed = |problem: String| LogError::new(&name, problem);
        let mut lines = text_after_version(&name, bytes)?.lines();
        let metadata = lines.next().ok_or_else(|| failed("no metadata line".to_string()))?;
        let metadata: MetadataLine = serde_json::from_str(metadata).map_err(|error| failed(error.to_string()))?;
        if metadata.pyrite.is_some() {
            let text = std::str::from_utf8(bytes).map_err(|error| failed(error.to_string()))?;
            crc::check(text).map_err(failed)?;
        }
        let mut ends = Vec::new();
        for line in lines {
            ends.push(match line {
                NO_OFFSETS => None,
                text => Some(Offsets::parse(text).map_err(|error| failed(error.to_string()))?),
            });
        }
        Ok(OffsetsFile {
            batch_watermark_ms: metadata.batch_watermark_ms,
            batch_timestamp_ms: metadata.batch_timestamp_ms,
            conf: metadata.conf,
            ends,
            pyrite: metadata.pyrite,
        })
    }

    /// The file's text, with its checksum.
    pub fn print(&self) -> String {
        let mut pyrite = self.pyrite.clone();
        if let Some(extra) = &mut pyrite {
            extra.crc = crc::placeholder();
        }
        let metadata = MetadataLine {
            batch_watermark_ms: self.batch_watermark_ms,
            batch_timestamp_ms: self.batch_timestamp_ms,
            conf: self.conf.clone(),
            pyrite,
        };
        let metadata = serde_json::to_string(&metadata).expect("maps have text keys");
        let mut text = format!("v1\n{metadata}");
        for end in &self.ends {
            text.push('\n');
            match end {
                Some(offsets) => text.push_str(&offsets.print()),
                None => text.push_str(NO_OFFSETS),
            }
        }
        if self.pyrite.is_some() { crc::seal(text) } else { text }
    }

    /// The term of the driver that wrote it; 0 when Spark did.
    pub fn term(&self) -> u64 {
        self.pyrite.as_ref().map_or(0, |extra| extra.term)
    }
}

impl OffsetsExtra {
    /// Where a source's range starts.
    pub fn start(&self, source: usize) -> Result<Offsets, LogError> {
        match self.starts.get(source) {
            Some(value) => {
                Offsets::parse(&value.to_string()).map_err(|error| LogError::new("offsets", error.to_string()))
            }
            None => Ok(Offsets::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> OffsetsFile {
        let ends = Offsets::parse(r#"{"logs":{"0":12,"1":9}}"#).unwrap();
        OffsetsFile {
            batch_watermark_ms: 7_000,
            batch_timestamp_ms: 1_700_000_000_123,
            conf: BTreeMap::from([("spark.sql.shuffle.partitions".to_string(), "2".to_string())]),
            ends: vec![Some(ends), None],
            pyrite: Some(OffsetsExtra {
                term: 3,
                driver: "d".into(),
                nonce: "n".into(),
                plan_hash: "h".into(),
                map_generation: 1,
                shards: vec![0, 512],
                starts: vec![serde_json::json!({"logs":{"0":10,"1":9}})],
                splits: vec![SplitPin { source: 0, topic: "logs".into(), partition: 0, start: 10, end: 12 }],
                watermarks: vec![OperatorWatermarks { operator: 0, late_us: 5_000_000, evict_us: 7_000_000 }],
                clock_us: 1,
                catch_up: None,
                crc: String::new(),
            }),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = file().print();
        let mut read = OffsetsFile::parse(4, text.as_bytes()).unwrap();
        read.pyrite.as_mut().unwrap().crc.clear();
        assert_eq!(read, file());
        assert!(text.starts_with("v1\n{\"batchWatermarkMs\":7000,\"batchTimestampMs\":1700000000123,\"conf\":"));
        assert!(text.ends_with("\n{\"logs\":{\"0\":12,\"1\":9}}\n-"));
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let text = file().print().replace("\"0\":12", "\"0\":13");
        let error = OffsetsFile::parse(4, text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("offsets/4") && error.to_string().contains("checksum"), "{error}");
        assert!(OffsetsFile::parse(4, b"v2\n{}").is_err());
    }

    #[test]
    fn a_file_that_spark_wrote_is_read() {
        let text = "v1\n{\"batchWatermarkMs\":0,\"batchTimestampMs\":5,\"conf\":{\"a\":\"b\"}}\n{\"t\":{\"0\":1}}";
        let read = OffsetsFile::parse(0, text.as_bytes()).unwrap();
        assert_eq!(read.pyrite, None);
        assert_eq!(read.term(), 0);
        assert_eq!(read.print(), text);
    }
}
