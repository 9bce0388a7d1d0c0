//! Progress: one object for each batch, with Spark's fields. Log line, `lastProgress`, REST, pages and metrics read it.

use chrono::{DateTime, SecondsFormat, Utc};
use pyrite_common::checkpoint::Offsets;
use serde_json::{Map, Value, json};

use crate::protocol::{BatchReport, EventTimes, OperatorCounts};

mod uploads;

pub use uploads::Uploads;

/// What does not change from batch to batch.
#[derive(Debug, Clone)]
pub struct Identity {
    pub id: String,
    pub run_id: String,
    pub name: Option<String>,
    pub sources: Vec<String>,
    pub sink: String,
}

/// Microseconds since the epoch as Spark prints times: `2026-11-22T05:28:43.789Z`.
pub fn timestamp(us: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp_micros(us).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The progress of a committed batch. `sink_rows`: what the driver's sink was given, where it differs from what the executors emitted. `uploads` has heard of the batch.
pub fn progress(identity: &Identity, report: &BatchReport, uploads: &Uploads, sink_rows: Option<u64>) -> Value {
    let rates = Rates {
        input_seconds: report.previous_us.map(|previous| (report.started_us - previous) as f64 / 1e6),
        processing_seconds: report.durations.trigger_execution_us as f64 / 1e6,
    };
    let rows = report.input_rows();
    let mut progress = Map::new();
    progress.insert("id".into(), identity.id.clone().into());
    progress.insert("runId".into(), identity.run_id.clone().into());
    progress.insert("name".into(), identity.name.clone().into());
    progress.insert("timestamp".into(), timestamp(report.started_us).into());
    progress.insert("batchId".into(), report.batch.into());
    progress.insert("batchDuration".into(), millis(report.durations.trigger_execution_us).into());
    rates.insert(&mut progress, rows);
    progress.insert("durationMs".into(), durations(report));
    let times = event_time(report);
    if !times.is_empty() {
        progress.insert("eventTime".into(), times.into());
    }
    let operators: Vec<Value> =
        report.operators.iter().map(|counts| operator(counts, report.shards, uploads)).collect();
    progress.insert("stateOperators".into(), operators.into());
    let sources: Vec<Value> =
        (0..).zip(&identity.sources).map(|(index, name)| source(index, name, report, &rates)).collect();
    progress.insert("sources".into(), sources.into());
    let output_rows = sink_rows.unwrap_or(report.output_rows);
    progress.insert("sink".into(), json!({ "description": identity.sink, "numOutputRows": output_rows }));
    progress.into()
}

struct Rates {
    /// From the trigger before to this one; none at the first.
    input_seconds: Option<f64>,
    processing_seconds: f64,
}

impl Rates {
    /// As Spark: a rate that is no number is left out, the first batch's input rate is 0.
    fn insert(&self, object: &mut Map<String, Value>, rows: u64) {
        object.insert("numInputRows".into(), rows.into());
        let input = self.input_seconds.map_or(0.0, |seconds| rows as f64 / seconds);
        for (name, rate) in
            [("inputRowsPerSecond", input), ("processedRowsPerSecond", rows as f64 / self.processing_seconds)]
        {
            if rate.is_finite() {
                object.insert(name.into(), rate.into());
            }
        }
    }
}

fn millis(us: i64) -> i64 {
    us.max(0) / 1000
}

fn durations(report: &BatchReport) -> Value {
    let durations = &report.durations;
    json!({
        "addBatch": millis(durations.add_batch_us),
        "commitOffsets": millis(durations.commit_offsets_us),
        "getBatch": 0,
        "latestOffset": millis(durations.latest_offset_us),
        "queryPlanning": millis(durations.query_planning_us),
        "triggerExecution": millis(durations.trigger_execution_us),
        "walCommit": millis(durations.wal_commit_us),
    })
}

/// Average, largest and smallest event time over all watermark nodes, and the watermark of this batch.
fn event_time(report: &BatchReport) -> Map<String, Value> {
    let mut object = Map::new();
    let seen: Vec<&EventTimes> = report.event_times.iter().filter(|times| times.count > 0).collect();
    if let (Some(max), Some(min)) =
        (seen.iter().map(|times| times.max_us).max(), seen.iter().map(|times| times.min_us).min())
    {
        let count: f64 = seen.iter().map(|times| times.count as f64).sum();
        let offsets: f64 =
            seen.iter().map(|times| times.sum_offset_us + (times.min_us - min) as f64 * times.count as f64).sum();
        let average = min + (offsets / count) as i64;
        object.insert("avg".into(), timestamp(average).into());
        object.insert("max".into(), timestamp(max).into());
        object.insert("min".into(), timestamp(min).into());
    }
    if let Some(watermark_ms) = report.watermark_ms {
        object.insert("watermark".into(), timestamp(watermark_ms.saturating_mul(1000)).into());
    }
    object
}

fn operator(counts: &OperatorCounts, shards: usize, uploads: &Uploads) -> Value {
    let micros = |us: u64| us / 1000;
    let mut custom = counts.custom.clone();
    custom.extend(uploads.metrics(counts.operator, shards));
    json!({
        "operatorName": "stateStoreSave",
        "numRowsTotal": counts.rows_total,
        "numRowsUpdated": counts.rows_updated,
        "allUpdatesTimeMs": micros(counts.updates_us),
        "numRowsRemoved": counts.rows_removed,
        "allRemovalsTimeMs": micros(counts.removals_us),
        "commitTimeMs": micros(counts.commit_us),
        "memoryUsedBytes": counts.memory_bytes,
        "numRowsDroppedByWatermark": counts.rows_dropped,
        "numShufflePartitions": shards,
        "numStateStoreInstances": counts.instances,
        "customMetrics": custom,
    })
}

fn source(index: usize, description: &str, report: &BatchReport, rates: &Rates) -> Value {
    let offsets = |all: &[Offsets]| all.get(index).filter(|offsets| !offsets.is_empty()).map(Offsets::to_json);
    let mut object = Map::new();
    object.insert("description".into(), description.into());
    // As Spark: a query's first batch has no start.
    let start = if report.batch == 0 { None } else { offsets(&report.starts) };
    object.insert("startOffset".into(), start.into());
    object.insert("endOffset".into(), offsets(&report.ends).into());
    object.insert("latestOffset".into(), offsets(&report.latest).into());
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    rates.insert(&mut object, report.rows_of(index));
    if let (Some(ends), Some(latest)) = (report.ends.get(index as usize), report.latest.get(index as usize))
        && !latest.is_empty()
    {
        object.insert("metrics".into(), lag(ends, latest, report.record_bytes(index)));
    }
    object.into()
}

/// How far the batch's ends are behind the latest offsets, as Spark's source metrics: texts. The bytes are an estimate
/// from the batch's own records, and left out when there is none to go by.
fn lag(ends: &Offsets, latest: &Offsets, record_bytes: Option<f64>) -> Value {
    let behind: Vec<i64> =
        latest.iter().map(|(partition, latest)| latest - ends.get(partition).unwrap_or(latest)).collect();
    let total = behind.iter().sum::<i64>();
    let mut metrics = json!({
        "avgOffsetsBehindLatest": format!("{:?}", total as f64 / behind.len() as f64),
        "maxOffsetsBehindLatest": behind.iter().max().unwrap_or(&0).to_string(),
        "minOffsetsBehindLatest": behind.iter().min().unwrap_or(&0).to_string(),
    });
    let bytes = if total == 0 { Some(0.0) } else { record_bytes };
    if let Some(bytes) = bytes {
        metrics["estimatedTotalBytesBehindLatest"] = format!("{:?}", bytes * total as f64).into();
    }
    metrics
}

#[cfg(test)]
mod tests {
    use pyrite_common::checkpoint::AttemptId;

    use super::*;
    use crate::protocol::{Durations, SourceCounts};

    pub(super) fn report() -> BatchReport {
        let offsets = |text: &str| vec![Offsets::parse(text).unwrap()];
        BatchReport {
            batch: 4,
            attempt: AttemptId::new(1, 5),
            started_us: 1_700_000_001_000_000,
            previous_us: Some(1_700_000_000_000_000),
            ended_us: 1_700_000_001_500_000,
            durations: Durations { trigger_execution_us: 500_000, add_batch_us: 400_000, ..Durations::default() },
            starts: offsets(r#"{"logs":{"0":10,"1":20}}"#),
            ends: offsets(r#"{"logs":{"0":110,"1":20}}"#),
            latest: offsets(r#"{"logs":{"0":115,"1":20}}"#),
            watermark_ms: Some(0),
            next_watermark_ms: 5,
            event_times: vec![
                EventTimes {
                    node: 0,
                    source: 0,
                    topic: "logs".into(),
                    partition: 0,
                    max_us: 4_000_000,
                    min_us: 2_000_000,
                    sum_offset_us: 2_000_000.0,
                    count: 2,
                },
                EventTimes {
                    node: 0,
                    source: 0,
                    topic: "logs".into(),
                    partition: 1,
                    max_us: 8_000_000,
                    min_us: 6_000_000,
                    sum_offset_us: 2_000_000.0,
                    count: 2,
                },
            ],
            sources: vec![SourceCounts { source: 0, topic: "logs".into(), partition: 0, rows: 100, bytes: 1_200 }],
            operators: vec![OperatorCounts { rows_total: 7, instances: 2, ..OperatorCounts::default() }],
            shards: 2,
            output_rows: 3,
            data_loss: vec![],
            snapshots: vec![],
            map_generation: 0,
            failed_tries: 0,
        }
    }

    fn identity() -> Identity {
        Identity {
            id: "i".into(),
            run_id: "r".into(),
            name: None,
            sources: vec!["KafkaV2[Subscribe[logs]]".into()],
            sink: "NoopTable".into(),
        }
    }

    #[test]
    fn fields_and_their_order_are_sparks() {
        let progress = progress(&identity(), &report(), &Uploads::default(), None);
        let keys: Vec<&String> = progress.as_object().unwrap().keys().collect();
        let expected = [
            "id",
            "runId",
            "name",
            "timestamp",
            "batchId",
            "batchDuration",
            "numInputRows",
            "inputRowsPerSecond",
            "processedRowsPerSecond",
            "durationMs",
            "eventTime",
            "stateOperators",
            "sources",
            "sink",
        ];
        assert_eq!(keys, expected);
        assert_eq!(progress["timestamp"], "2023-11-14T22:13:21.000Z");
        assert_eq!(
            (progress["inputRowsPerSecond"].as_f64(), progress["processedRowsPerSecond"].as_f64()),
            (Some(100.0), Some(200.0))
        );
        assert_eq!(progress["eventTime"]["avg"], "1970-01-01T00:00:05.000Z");
        assert_eq!(progress["eventTime"]["watermark"], "1970-01-01T00:00:00.000Z");
        assert_eq!(progress["sources"][0]["metrics"]["maxOffsetsBehindLatest"], "5");
        assert_eq!(progress["sources"][0]["metrics"]["avgOffsetsBehindLatest"], "2.5");
        // 100 records of 1,200 bytes were read, 5 are left.
        assert_eq!(progress["sources"][0]["metrics"]["estimatedTotalBytesBehindLatest"], "60.0");
        assert_eq!(progress["stateOperators"][0]["numShufflePartitions"], 2);
        let custom =
            json!({"SnapshotLastUploaded.partition_0_default": -1, "SnapshotLastUploaded.partition_1_default": -1});
        assert_eq!(progress["stateOperators"][0]["customMetrics"], custom);
    }

    #[test]
    fn bytes_behind_are_told_where_they_can_be_known() {
        let with = |latest: &str, sources: Vec<SourceCounts>| {
            let report = BatchReport { latest: vec![Offsets::parse(latest).unwrap()], sources, ..report() };
            let progress = progress(&identity(), &report, &Uploads::default(), None);
            progress["sources"][0]["metrics"].get("estimatedTotalBytesBehindLatest").cloned()
        };
        assert_eq!(with(r#"{"logs":{"0":115,"1":20}}"#, vec![]), None);
        assert_eq!(with(r#"{"logs":{"0":110,"1":20}}"#, vec![]), Some("0.0".into()));
    }

    #[test]
    fn a_first_batch_has_no_start_and_no_rate_that_is_no_number() {
        let report =
            BatchReport { batch: 0, previous_us: None, durations: Durations::default(), sources: vec![], ..report() };
        let progress = progress(&identity(), &report, &Uploads::default(), Some(9));
        assert!(progress["sources"][0]["startOffset"].is_null());
        assert_eq!(progress["inputRowsPerSecond"].as_f64(), Some(0.0));
        assert!(progress.get("processedRowsPerSecond").is_none());
        assert_eq!(progress["sink"]["numOutputRows"], 9);
    }
}
