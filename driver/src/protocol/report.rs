//! What a committed batch leaves for progress.

use pyrite_common::checkpoint::{AttemptId, Offsets, OffsetsFile, SnapshotRef};

use super::message::{EventTimes, OperatorCounts, PreparedReport, SourceCounts};

/// How long the parts of a batch took, microseconds; Spark's keys of `durationMs`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Durations {
    pub latest_offset_us: i64,
    pub query_planning_us: i64,
    pub wal_commit_us: i64,
    pub add_batch_us: i64,
    pub commit_offsets_us: i64,
    pub trigger_execution_us: i64,
}

/// One committed batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchReport {
    pub batch: u64,
    pub attempt: AttemptId,
    /// When its trigger began, microseconds since the epoch.
    pub started_us: i64,
    /// When the trigger before it began, whether or not that ran a batch; none before the first.
    pub previous_us: Option<i64>,
    pub ended_us: i64,
    pub durations: Durations,
    pub starts: Vec<Offsets>,
    pub ends: Vec<Offsets>,
    pub latest: Vec<Offsets>,
    /// The watermark that evicted in this batch; `None` for a query without watermarks.
    pub watermark_ms: Option<i64>,
    /// The watermark of the next batch.
    pub next_watermark_ms: i64,
    pub event_times: Vec<EventTimes>,
    pub sources: Vec<SourceCounts>,
    pub operators: Vec<OperatorCounts>,
    pub shards: usize,
    pub output_rows: u64,
    pub data_loss: Vec<String>,
    /// Became durable with this batch.
    pub snapshots: Vec<SnapshotRef>,
    pub map_generation: u64,
    /// Tries that failed before this one.
    pub failed_tries: u32,
}

impl BatchReport {
    /// Adds what one executor reported.
    pub(super) fn add(&mut self, report: &PreparedReport) {
        self.event_times.extend(report.event_times.iter().cloned());
        self.sources.extend(report.sources.iter().cloned());
        self.data_loss.extend(report.data_loss.iter().cloned());
        self.snapshots.extend(report.snapshots.iter().cloned());
        self.output_rows += report.output_rows;
        for counts in &report.operators {
            match self.operators.iter_mut().find(|sum| sum.operator == counts.operator) {
                Some(sum) => add_counts(sum, counts),
                None => self.operators.push(counts.clone()),
            }
        }
    }

    /// Rows read from one source.
    pub fn rows_of(&self, source: u32) -> u64 {
        self.sources.iter().filter(|counts| counts.source == source).map(|counts| counts.rows).sum()
    }

    /// How large one record of a source was, on average; unknown when none was read.
    pub fn record_bytes(&self, source: u32) -> Option<f64> {
        let bytes: u64 = self.sources.iter().filter(|counts| counts.source == source).map(|counts| counts.bytes).sum();
        let rows = self.rows_of(source);
        (rows > 0 && bytes > 0).then(|| bytes as f64 / rows as f64)
    }

    /// Rows read from all sources.
    pub fn input_rows(&self) -> u64 {
        self.sources.iter().map(|counts| counts.rows).sum()
    }
}

fn add_counts(sum: &mut OperatorCounts, more: &OperatorCounts) {
    sum.rows_total += more.rows_total;
    sum.rows_updated += more.rows_updated;
    sum.rows_removed += more.rows_removed;
    sum.rows_dropped += more.rows_dropped;
    sum.memory_bytes += more.memory_bytes;
    sum.updates_us += more.updates_us;
    sum.removals_us += more.removals_us;
    sum.commit_us += more.commit_us;
    sum.instances += more.instances;
    for (name, value) in &more.custom {
        *sum.custom.entry(name.clone()).or_default() += value;
    }
}

/// The end offsets of a plan; a source without any has none yet.
pub(super) fn ends(file: &OffsetsFile) -> Vec<Offsets> {
    file.ends.iter().map(|end| end.clone().unwrap_or_default()).collect()
}
