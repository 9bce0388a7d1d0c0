//! A shard task that puts everything away gives what one gives that keeps everything in memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::display::array_value_to_string;
use proptest::collection::vec;
use proptest::prelude::*;
use pyrite_proto::plan as wire;

use super::scratch::testing::MemoryScratch;
use super::{DueIndex, OperatorTimes, Scratch, ShardMap, ShardOutput, ShardTask, SourceTask, TaskError};
use crate::clock::BatchClock;
use crate::plan::{CompiledQuery, OutputMode, encode_schema};
use crate::state::{StateError, StateView, Step, split_due};

/// Key, time, number.
type Row = (u8, i64, Option<i64>);

/// Whether groups have an event time, and whether they have a key at all.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Grouping {
    KeyAndTime,
    Key,
    Global,
}

/// Counts, sums, maxima and averages by key, or by key and time.
fn query(grouping: Grouping, mode: OutputMode) -> Arc<CompiledQuery> {
    let bytes = |fields: &[Field]| encode_schema(&Schema::new(fields.to_vec())).expect("a schema").into();
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let key_columns = [Field::new("key", DataType::Utf8, true), Field::new("time", time, true)];
    let input = [&key_columns[..], &[Field::new("n", DataType::Int64, true)]].concat();
    let result = |name: &str, data_type| Field::new(name, data_type, true);
    let aggregates = [
        (wire::AggregateFunction::Count, vec![], result("count", DataType::Int64)),
        (wire::AggregateFunction::Sum, vec![2], result("sum", DataType::Int64)),
        (wire::AggregateFunction::Max, vec![0], result("max", DataType::Utf8)),
        (wire::AggregateFunction::Avg, vec![2], result("avg", DataType::Float64)),
    ];
    let keys = match grouping {
        Grouping::KeyAndTime => 2,
        Grouping::Key => 1,
        Grouping::Global => 0,
    };
    let output: Vec<Field> =
        key_columns[..keys].iter().chain(aggregates.iter().map(|(_, _, field)| field)).cloned().collect();
    let exprs = aggregates.iter().map(|(function, columns, field)| wire::AggregateExpr {
        function: (*function).into(),
        columns: columns.clone(),
        result: bytes(std::slice::from_ref(field)),
    });
    let source =
        wire::SourcePlan { id: 0, kafka: Some(wire::KafkaSource::default()), schema: bytes(&input), steps: Vec::new() };
    let plan = wire::QueryPlan {
        sources: vec![source],
        aggregate: Some(wire::AggregatePlan {
            operator_id: 0,
            input_schema: bytes(&input),
            keys: (0..keys as u32).map(|column| wire::GroupKey { column }).collect(),
            aggregates: exprs.collect(),
            event_time_key: (grouping == Grouping::KeyAndTime).then_some(1),
            output_schema: bytes(&output),
        }),
        post: Vec::new(),
        output_schema: bytes(&output),
        output_mode: match mode {
            OutputMode::Append => wire::OutputMode::Append,
            OutputMode::Update => wire::OutputMode::Update,
            OutputMode::Complete => wire::OutputMode::Complete,
        }
        .into(),
        sink: wire::Sink::Driver.into(),
    };
    CompiledQuery::decode(&plan, &BatchClock::default()).expect("decodes")
}

/// What a source task sends for some rows.
fn frame(query: &Arc<CompiledQuery>, rows: &[Row]) -> Option<RecordBatch> {
    let mut source = SourceTask::new(Arc::clone(query), 0, Arc::new(ShardMap::new(vec![0])));
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| format!("key {}", row.0))));
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.1)).with_timezone("UTC");
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.2)));
    let schema = Arc::clone(&query.sources()[0].scan_schema);
    let batch = RecordBatch::try_new(schema, vec![keys, Arc::new(times), numbers]).expect("of the schema");
    source.push(0, batch).expect("runs");
    source.take_frames().expect("combines").pop().map(|(_, frame)| frame)
}

fn scratch(merge_bytes: usize) -> (Arc<MemoryScratch>, Arc<dyn Scratch>) {
    let scratch = Arc::new(MemoryScratch { merge_bytes, ..MemoryScratch::default() });
    (Arc::clone(&scratch), scratch)
}

/// A shard from batch to batch.
struct Shard {
    query: Arc<CompiledQuery>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    dues: DueIndex,
}

impl Shard {
    fn new(grouping: Grouping, mode: OutputMode) -> Self {
        Shard { query: query(grouping, mode), state: BTreeMap::new(), dues: DueIndex::default() }
    }

    /// One batch; `spill`: after which frames the buffer is put away.
    fn batch(&mut self, batch: &Batch, spill: Option<&Arc<dyn Scratch>>) -> ShardOutput {
        let mut task = ShardTask::new(Arc::clone(&self.query), 0..=1023);
        for (rows, spills) in &batch.frames {
            frame(&self.query, rows).into_iter().for_each(|frame| task.push(frame).expect("merges"));
            if let Some(scratch) = spill.filter(|_| *spills) {
                task.spill(scratch).expect("there is room");
                assert_eq!(task.buffered_bytes(), 0);
            }
        }
        let times = OperatorTimes { late_us: batch.late_us, evict_us: batch.evict_us };
        let output = task.collect(&self.state, &self.dues, times).expect("finishes");
        assert!(output.writes.is_sorted_by(|left, right| left.0 < right.0), "each key once, in order");
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

/// Rows as text, in an order of their own.
fn texts(output: &ShardOutput) -> Vec<String> {
    let mut texts = Vec::new();
    for batch in &output.rows {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| array_value_to_string(column, row).expect("it has a text"));
            texts.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    texts.sort();
    texts
}

#[derive(Debug, Clone)]
struct Batch {
    /// Rows, and whether the buffer is put away after them.
    frames: Vec<(Vec<Row>, bool)>,
    late_us: i64,
    evict_us: i64,
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let row = (0..12u8, 0..12i64, prop::option::of(-9..9i64));
    let frames = vec((vec(row, 0..12), any::<bool>()), 0..9);
    vec((frames, 0..5i64), 1..5).prop_map(|batches| {
        let mut late_us = i64::MIN;
        let with_times = |(frames, step): (Vec<_>, i64)| {
            let evict_us = late_us.max(-1) + step;
            let batch = Batch { frames, late_us, evict_us };
            late_us = evict_us;
            batch
        };
        batches.into_iter().map(with_times).collect()
    })
}

proptest! {
    #[test]
    fn what_is_put_away_changes_nothing(
        batches in batches(),
        grouping in prop_oneof![Just(Grouping::KeyAndTime), Just(Grouping::Key), Just(Grouping::Global)],
        mode in prop_oneof![Just(OutputMode::Append), Just(OutputMode::Update), Just(OutputMode::Complete)],
        merge_bytes in 1..400usize,
    ) {
        let (files, scratch) = scratch(merge_bytes);
        let (mut small, mut large) = (Shard::new(grouping, mode), Shard::new(grouping, mode));
        for batch in &batches {
            let (spilled, kept) = (small.batch(batch, Some(&scratch)), large.batch(batch, None));
            prop_assert_eq!(texts(&spilled), texts(&kept));
            prop_assert_eq!(&spilled.writes, &kept.writes);
            prop_assert_eq!(spilled.counts, kept.counts);
            prop_assert_eq!(&spilled.dues, &kept.dues);
            prop_assert_eq!(large.state.len() as i64, small.state.len() as i64);
            if grouping == Grouping::KeyAndTime {
                prop_assert_eq!(&small.dues, &DueIndex::rebuild(&small.state, 0..=1023).expect("readable"));
            }
        }
        prop_assert_eq!(files.alive.load(Ordering::Relaxed), 0, "no file outlives its task");
    }
}

/// Frames that bring the same 40 keys again and again.
fn many(frames: usize) -> Batch {
    let rows = |frame: usize| (0..40u8).map(|key| (key, 7, Some(frame as i64))).collect();
    Batch { frames: (0..frames).map(|frame| (rows(frame), true)).collect(), late_us: i64::MIN, evict_us: i64::MIN }
}

#[test]
fn hundreds_of_runs_take_few_files_and_few_bytes() {
    let (files, scratch) = scratch(500);
    let (mut small, mut large) =
        (Shard::new(Grouping::Key, OutputMode::Update), Shard::new(Grouping::Key, OutputMode::Update));
    let batch = many(600);
    let (spilled, kept) = (small.batch(&batch, Some(&scratch)), large.batch(&batch, None));
    assert_eq!((texts(&spilled), &spilled.writes), (texts(&kept), &kept.writes));
    assert_eq!(spilled.counts.rows_updated, 40);
    assert_eq!(files.made.load(Ordering::Relaxed), 3, "one for each level");
}

#[test]
fn an_empty_run_does_not_hide_the_state() {
    let (_, scratch) = scratch(1);
    let mut shard = Shard::new(Grouping::KeyAndTime, OutputMode::Complete);
    shard.batch(&many(1), None);
    let mut task = ShardTask::new(Arc::clone(&shard.query), 0..=1023);
    let frame = frame(&shard.query, &[(1, 1, None)]).expect("it has a group");
    task.push(frame.slice(0, 0)).expect("merges");
    task.spill(&scratch).expect("there is room");
    let times = OperatorTimes { late_us: i64::MIN, evict_us: i64::MIN };
    let output = task.collect(&shard.state, &shard.dues, times).expect("finishes");
    assert_eq!(texts(&output).len(), 40);
}

#[test]
fn a_frame_of_another_plan_is_refused() {
    let query = query(Grouping::Key, OutputMode::Update);
    let frame = frame(&query, &[(1, 1, Some(1))]).expect("it has a group");
    for column in 0..frame.num_columns() {
        let mut columns: Vec<(String, ArrayRef)> = frame
            .schema()
            .fields()
            .iter()
            .zip(frame.columns())
            .map(|(field, values)| (field.name().clone(), Arc::clone(values)))
            .collect();
        columns[column].1 = Arc::new(BooleanArray::from(vec![true]));
        let foreign = RecordBatch::try_from_iter(columns).expect("equal lengths");
        let pushed = ShardTask::new(Arc::clone(&query), 0..=1023).push(foreign);
        assert!(matches!(pushed, Err(TaskError::Frame(_))), "column {column}: {pushed:?}");
    }
}

#[test]
fn eviction_does_not_look_at_what_was_evicted_before() {
    /// Notes where scans begin.
    struct Watched<'a>(&'a BTreeMap<Vec<u8>, Vec<u8>>, RefCell<Vec<Vec<u8>>>);
    impl StateView for Watched<'_> {
        fn multi_get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StateError> {
            self.0.multi_get(keys)
        }
        fn scan(&self, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> Step) -> Result<(), StateError> {
            self.1.borrow_mut().push(from.to_vec());
            self.0.scan(from, to, each)
        }
    }
    let mut shard = Shard::new(Grouping::KeyAndTime, OutputMode::Append);
    shard.batch(&many(1), None);
    let (watched, task) =
        (Watched(&shard.state, RefCell::default()), ShardTask::new(Arc::clone(&shard.query), 0..=1023));
    let times = OperatorTimes { late_us: i64::MIN, evict_us: 7 };
    let output = task.collect(&watched, &shard.dues, times).expect("finishes");
    assert_eq!(texts(&output).len(), 40);
    let starts = watched.1.into_inner();
    assert!(!starts.is_empty() && starts.iter().all(|start| split_due(start) == Some((7, &[]))), "{starts:?}");
}

#[test]
fn full_scratch_fails_the_task_and_leaves_no_file() {
    let files = Arc::new(MemoryScratch { merge_bytes: 100, bytes_max: 2_000, ..MemoryScratch::default() });
    let scratch: Arc<dyn Scratch> = Arc::clone(&files) as _;
    let shard = Shard::new(Grouping::Key, OutputMode::Update);
    let mut task = ShardTask::new(Arc::clone(&shard.query), 0..=1023);
    let full = many(9).frames.iter().find_map(|(rows, _)| {
        frame(&shard.query, rows).into_iter().for_each(|frame| task.push(frame).expect("merges"));
        task.spill(&scratch).err()
    });
    let Some(TaskError::Scratch(error)) = full else { panic!("it is full: {full:?}") };
    assert!(error.to_string().contains("`memory`") && error.to_string().contains("make room"), "{error}");
    assert_eq!(files.alive.load(Ordering::Relaxed), 1);
    drop(task);
    assert_eq!(files.alive.load(Ordering::Relaxed), 0);
}

#[test]
fn a_task_ends_when_nobody_takes_its_rows() {
    struct Gone;
    impl super::ShardSink for Gone {
        fn write(&mut self, _: &[u8], _: Option<&[u8]>) -> Result<(), TaskError> {
            Ok(())
        }
        fn rows(&mut self, _: RecordBatch) -> Result<(), TaskError> {
            Err(TaskError::Sink("nobody is there".into()))
        }
    }
    let mut shard = Shard::new(Grouping::Key, OutputMode::Complete);
    shard.batch(&many(1), None);
    let task = ShardTask::new(Arc::clone(&shard.query), 0..=1023);
    let times = OperatorTimes { late_us: i64::MIN, evict_us: i64::MIN };
    let ended = task.finish(&shard.state, &shard.dues, times, &mut Gone).expect_err("it cannot go on");
    assert_eq!(ended.to_string(), "nobody is there");
}
