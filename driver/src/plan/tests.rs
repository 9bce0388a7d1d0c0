//! From a relation to rows without a cluster: analyzer, planner, and the engine's tasks over a map as state.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use pyrite_engine::clock::BatchClock;
use pyrite_engine::functions::ExprSettings;
use pyrite_engine::plan::{CompiledQuery, OutputMode, Sink};
use pyrite_engine::state::BUCKETS;
use pyrite_engine::task::{DueIndex, OperatorTimes, ShardMap, ShardOutput, ShardTask, SourceTask};
use pyrite_proto::plan::step::Step;

use super::{PlannedQuery, plan_query};
use crate::analysis::unresolved::{Read, Relation, RelationNode, UnresolvedExpr};
use crate::analysis::{Analyzer, EmptyCatalog};

pub(super) fn relation(node: RelationNode) -> Box<Relation> {
    Box::new(Relation { plan_id: None, node })
}

pub(super) fn kafka() -> Box<Relation> {
    relation(RelationNode::Read(Read {
        format: "kafka".to_owned(),
        schema: None,
        options: BTreeMap::from([
            ("kafka.bootstrap.servers".to_owned(), "broker:9092".to_owned()),
            ("subscribe".to_owned(), "logs".to_owned()),
        ]),
        paths: Vec::new(),
        streaming: true,
    }))
}

pub(super) fn select(input: Box<Relation>, texts: &[&str]) -> Box<Relation> {
    let expressions = texts.iter().map(|text| UnresolvedExpr::Sql((*text).to_owned())).collect();
    relation(RelationNode::Project { input: Some(input), expressions })
}

pub(super) fn filter(input: Box<Relation>, text: &str) -> Box<Relation> {
    relation(RelationNode::Filter { input, condition: UnresolvedExpr::Sql(text.to_owned()) })
}

/// The crash monitor of `examples/`.
fn crash_monitor() -> Box<Relation> {
    let schema = "user_id STRING, severity STRING, content STRING, timestamp TIMESTAMP";
    let parsed =
        select(select(kafka(), &["CAST(value AS STRING) as json"]), &[&format!("from_json(json, '{schema}') as data")]);
    let crashes =
        filter(select(parsed, &["data.*"]), "contains(lower(content), 'crash') AND severity IN ('High', 'Critical')");
    let watermarked = relation(RelationNode::WithWatermark {
        input: crashes,
        column: "timestamp".to_owned(),
        delay: "30 seconds".to_owned(),
    });
    let counted = relation(RelationNode::Aggregate {
        input: watermarked,
        grouping: vec![
            UnresolvedExpr::Sql("window(timestamp, '10 seconds')".to_owned()),
            UnresolvedExpr::Sql("user_id".to_owned()),
        ],
        aggregates: vec![UnresolvedExpr::Sql("count(*) AS crash_count".to_owned())],
    });
    filter(counted, "crash_count > 2")
}

pub(super) fn plan(relation: &Relation, mode: OutputMode) -> PlannedQuery {
    let settings = ExprSettings::default();
    let analyzed = Analyzer::new(&settings, &EmptyCatalog).analyze(relation).expect("resolves");
    plan_query(&analyzed, mode, Sink::Driver).expect("plans")
}

/// One shard with state in a map, driven batch by batch.
pub(super) struct Harness {
    query: Arc<CompiledQuery>,
    map: Arc<ShardMap>,
    /// Which of the map's shards.
    number: u32,
    buckets: RangeInclusive<u16>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    dues: DueIndex,
}

impl Harness {
    fn new(planned: &PlannedQuery) -> Self {
        Harness::shards(planned, &[0]).remove(0)
    }

    /// The shards of a query by their first buckets. All are fed the same records; each keeps what is its own.
    pub(super) fn shards(planned: &PlannedQuery, first_buckets: &[u16]) -> Vec<Self> {
        let query = CompiledQuery::decode(&planned.plan, &BatchClock::default()).expect("decodes");
        let map = Arc::new(ShardMap::new(first_buckets.to_vec()));
        let ends = first_buckets.iter().skip(1).copied().chain([BUCKETS]);
        let shard = |(number, (first, end)): (usize, (&u16, u16))| Harness {
            query: Arc::clone(&query),
            map: Arc::clone(&map),
            number: number as u32,
            buckets: *first..=end - 1,
            state: BTreeMap::new(),
            dues: DueIndex::default(),
        };
        first_buckets.iter().zip(ends).enumerate().map(shard).collect()
    }

    pub(super) fn batch(&mut self, records: &[&str], late_us: i64, evict_us: i64) -> ShardOutput {
        let mut source = SourceTask::new(Arc::clone(&self.query), 0, Arc::clone(&self.map));
        source.push(0, scanned(&self.query, records)).expect("runs");
        let mut shard = ShardTask::new(Arc::clone(&self.query), self.buckets.clone());
        for (number, frame) in source.take_frames().expect("combines") {
            if number == self.number {
                shard.push(frame).expect("merges");
            }
        }
        let output = shard.collect(&self.state, &self.dues, OperatorTimes { late_us, evict_us }).expect("finishes");
        for (key, value) in &output.writes {
            match value {
                Some(value) => self.state.insert(key.clone(), value.clone()),
                None => self.state.remove(key),
            };
        }
        self.dues.apply(&output.dues);
        output
    }
}

/// Records as the source's scan gives them, of which only the values are read.
pub(super) fn scanned(query: &CompiledQuery, records: &[&str]) -> RecordBatch {
    let values: ArrayRef = Arc::new(BinaryArray::from_iter_values(records.iter().map(|record| record.as_bytes())));
    let scan = Arc::clone(&query.sources()[0].scan_schema);
    RecordBatch::try_new(scan, vec![values]).expect("only `value` is scanned")
}

fn crash(second: u32, user: &str) -> String {
    format!(
        r#"{{"timestamp": "1970-01-01T00:00:{second:02}Z", "severity": "High", "user_id": "{user}", "content": "App CRASH"}}"#
    )
}

fn users(rows: &[RecordBatch]) -> Vec<(String, i64)> {
    let mut found = Vec::new();
    for batch in rows {
        let (users, counts) = (batch.column(1).as_string::<i32>(), batch.column(2).as_primitive::<Int64Type>());
        found.extend((0..batch.num_rows()).map(|row| (users.value(row).to_owned(), counts.value(row))));
    }
    found.sort();
    found
}

#[test]
fn the_crash_monitor_scans_only_values_and_tests_their_bytes_first() {
    let planned = plan(&crash_monitor(), OutputMode::Append);
    let source = &planned.plan.sources[0];
    let scan = pyrite_engine::plan::decode_schema(&source.schema).expect("a schema");
    assert_eq!(scan.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["value"]);
    let Some(Step::RawFilter(raw)) = &source.steps[0].step else {
        panic!("the raw test comes first: {:?}", source.steps)
    };
    assert_eq!(raw.needles.len(), 2);
    assert_eq!(planned.watermarks.len(), 1);
    assert!(planned.operators[0].has_event_time);
}

#[test]
fn the_crash_monitor_emits_a_window_once_when_the_watermark_has_passed_it() {
    let mut harness = Harness::new(&plan(&crash_monitor(), OutputMode::Append));
    let three: Vec<String> = (1..4).map(|second| crash(second, "ann")).collect();
    let mut records: Vec<&str> = three.iter().map(String::as_str).collect();
    let bob = crash(5, "bob");
    records.extend([bob.as_str(), "{broken", r#"{"severity": "High"}"#]);
    let first = harness.batch(&records, i64::MIN, i64::MIN);
    assert!(first.rows.is_empty());
    assert_eq!(harness.state.len(), 2);

    let late = crash(9, "bob");
    let second = harness.batch(&[&late], i64::MIN, 10_000_000);
    assert_eq!(users(&second.rows), [("ann".to_owned(), 3)], "bob's two stay below the threshold");
    assert!(harness.state.is_empty());
    assert_eq!(second.counts.rows_removed, 2);

    let third = harness.batch(&[&late], 10_000_000, 10_000_000);
    assert_eq!((third.counts.rows_dropped, third.rows.len()), (1, 0));
}

#[test]
fn update_mode_emits_what_a_batch_touched() {
    let counted = relation(RelationNode::Aggregate {
        input: select(kafka(), &["CAST(value AS STRING) AS word"]),
        grouping: vec![UnresolvedExpr::Sql("word".to_owned())],
        aggregates: vec![
            UnresolvedExpr::Sql("word AS again".to_owned()),
            UnresolvedExpr::Sql("count(1) AS n".to_owned()),
        ],
    });
    let mut harness = Harness::new(&plan(&counted, OutputMode::Update));
    harness.batch(&["a", "b", "a"], i64::MIN, i64::MIN);
    let second = harness.batch(&["a"], i64::MIN, i64::MIN);
    assert_eq!(users(&second.rows), [("a".to_owned(), 3)]);
}

#[test]
fn complete_mode_emits_everything_and_a_global_aggregate_its_row_without_input() {
    let total = relation(RelationNode::Aggregate {
        input: select(kafka(), &["length(CAST(value AS STRING)) AS size"]),
        grouping: Vec::new(),
        aggregates: vec![
            UnresolvedExpr::Sql("count(1) AS n".to_owned()),
            UnresolvedExpr::Sql("sum(size) AS total".to_owned()),
        ],
    });
    let mut harness = Harness::new(&plan(&total, OutputMode::Complete));
    let empty = harness.batch(&[], i64::MIN, i64::MIN);
    assert_eq!(empty.rows[0].column(0).as_primitive::<Int64Type>().value(0), 0);
    assert!(empty.rows[0].column(1).is_null(0));
    harness.batch(&["abc", "de"], i64::MIN, i64::MIN);
    let third = harness.batch(&["f"], i64::MIN, i64::MIN);
    assert_eq!(third.rows[0].column(0).as_primitive::<Int64Type>().value(0), 3);
    assert_eq!(third.rows[0].column(1).as_primitive::<Int64Type>().value(0), 6);
}

#[test]
fn a_query_without_state_gives_rows() {
    let planned = plan(&select(kafka(), &["CAST(value AS STRING) AS text", "topic"]), OutputMode::Append);
    assert!(planned.operators.is_empty());
    let query = CompiledQuery::decode(&planned.plan, &BatchClock::default()).expect("decodes");
    let names: Vec<String> = query.sources()[0].scan_schema.fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["value", "topic"]);
}
