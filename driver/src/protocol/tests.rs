//! The machine against a small world without faults: one event at a time, and what comes of it. Faults in every order
//! are the simulation's, in the package of tests.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use pyrite_common::checkpoint::{Offsets, TopicPartition};
use pyrite_engine::plan::OutputMode;

use super::*;
use crate::source::Subscription;
use crate::source::limits::Limits;

mod trouble;

fn offsets(values: &[i64]) -> Offsets {
    values.iter().enumerate().map(|(index, offset)| (TopicPartition::new("t", index as i32), *offset)).collect()
}

fn spec(driver: &str) -> QuerySpec {
    QuerySpec {
        new_query_id: format!("query of {driver}"),
        driver: driver.into(),
        host: "h".into(),
        app: "a".into(),
        plan_hash: "p".into(),
        limits: vec![Limits::default()],
        reads: vec![Subscription::Subscribe(vec!["t".into()])],
        watermarks: vec![WatermarkNode { node: 0, delay_us: 1_000_000 }],
        watermark_policy: WatermarkPolicy::Min,
        operators: vec![OperatorSpec { operator: 0, has_event_time: true, mode: OutputMode::Append }],
        publish: PublishBy::Driver,
        trigger: Trigger::AvailableNow,
        no_data_batches: true,
        shards: 2,
        splits_min: 0,
        task_failures_max: 4,
        conf: BTreeMap::new(),
        rules: Rules::default(),
    }
}

fn executor(id: &str) -> ExecutorInfo {
    ExecutorInfo {
        key: ExecutorKey { id: id.into(), incarnation: "1".into() },
        host: "h".into(),
        cores: 1,
        memory_bytes: 0,
        shuffle_address: String::new(),
        shuffle_socket: String::new(),
        machine_id: String::new(),
        pid: 0,
    }
}

/// A store, a topic and a sink; executors that the test answers for.
#[derive(Default)]
struct World {
    objects: BTreeMap<LogName, Body>,
    latest: Vec<i64>,
    /// What the sources say of new partitions.
    begins: BTreeMap<TopicPartition, i64>,
    sunk: Vec<u64>,
    reports: Vec<BatchReport>,
    runs: VecDeque<(ExecutorKey, RunBatch)>,
    commands: Vec<(ExecutorKey, Command)>,
    ending: Option<Ending>,
    /// Lose the reply of the next creation.
    lose_next: bool,
    now_us: i64,
}

impl World {
    /// Applies the event and all that follows, up to what only executors can do.
    fn apply(&mut self, machine: &mut QueryMachine, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            self.now_us += 1;
            for action in machine.apply(self.now_us, event) {
                self.perform(action, &mut events);
            }
        }
    }

    fn perform(&mut self, action: Action, events: &mut VecDeque<Event>) {
        match action {
            Action::Store { request, ask } => {
                let reply = self.store(ask);
                events.push_back(Event::Store { request, reply });
            }
            Action::ResolveStart { source } => {
                let zeros = vec![0; self.latest.len()];
                events.push_back(Event::StartResolved { source, offsets: offsets(&zeros) });
            }
            Action::Poll { generation, .. } => {
                let latest = SourceLatest { latest: offsets(&self.latest), new_partitions: self.begins.clone() };
                events.push_back(Event::Available(Availability { generation, sources: vec![latest] }));
            }
            Action::Send { to, command: Command::RunBatch(run) } => self.runs.push_back((to, *run)),
            Action::Send { to, command } => self.commands.push((to, command)),
            Action::RunSink { batch, attempt } => {
                self.sunk.push(batch);
                events.push_back(Event::SinkDone { batch, attempt });
            }
            Action::Report(report) => self.reports.push(*report),
            Action::Ended(ending) => self.ending = Some(ending),
            Action::DropRows { .. } | Action::Idle { .. } | Action::Wake { .. } => {}
        }
    }

    fn store(&mut self, ask: StoreRequest) -> StoreReply {
        match ask {
            StoreRequest::Create { name, body } => {
                let exists = self.objects.contains_key(&name);
                self.objects.entry(name).or_insert(body);
                if std::mem::take(&mut self.lose_next) {
                    return StoreReply::Uncertain("lost".into());
                }
                if exists { StoreReply::Exists } else { StoreReply::Created }
            }
            StoreRequest::Read { name } => StoreReply::Value(self.objects.get(&name).cloned().map(Box::new)),
            StoreRequest::TermAbove(term) => {
                let above = self.objects.range(LogName::Term(term + 1)..=LogName::Term(u64::MAX)).next_back();
                StoreReply::TermAbove(above.map(|(name, body)| match (name, body) {
                    (LogName::Term(term), Body::Term(claim)) => (*term, Box::new(claim.clone())),
                    other => panic!("{other:?} is no claim"),
                }))
            }
            StoreRequest::Survey => {
                let highest = |pick: fn(&LogName) -> Option<u64>| self.objects.keys().filter_map(pick).max();
                StoreReply::Surveyed {
                    term: highest(|name| if let LogName::Term(term) = name { Some(*term) } else { None }).unwrap_or(0),
                    offsets: highest(|name| if let LogName::Offsets(batch) = name { Some(*batch) } else { None }),
                    commit: highest(|name| if let LogName::Commit(batch) = name { Some(*batch) } else { None }),
                }
            }
        }
    }

    /// The next executor that was told to run answers that it did, having seen this event time.
    fn prepare(&mut self, machine: &mut QueryMachine, max_us: Option<i64>) -> RunBatch {
        let (from, run) = self.runs.pop_front().expect("a batch runs");
        let mut report = PreparedReport::default();
        if let Some(max_us) = max_us {
            let (topic, sum_offset_us) = ("t".to_string(), 0.0);
            report.event_times = vec![EventTimes {
                node: 0,
                source: 0,
                topic,
                partition: 0,
                max_us,
                min_us: 0,
                sum_offset_us,
                count: 1,
            }];
        }
        let event = Event::Prepared { from, batch: run.batch, attempt: run.attempt, report: Box::new(report) };
        self.apply(machine, event);
        run
    }

    fn fail(&mut self, machine: &mut QueryMachine, kind: FailureKind) {
        let (from, run) = self.runs.pop_front().expect("a batch runs");
        let failure = BatchFailure {
            kind,
            message: "boom".into(),
            error_class: String::new(),
            sql_state: String::new(),
            parameters: BTreeMap::new(),
            unreachable: None,
        };
        let event = Event::Failed { from, batch: run.batch, attempt: run.attempt, failure: Box::new(failure) };
        self.apply(machine, event);
    }
}

/// A machine with one executor, started.
fn started(world: &mut World, spec: QuerySpec) -> QueryMachine {
    let mut machine = QueryMachine::new(spec);
    world.apply(&mut machine, Event::Start);
    world.apply(&mut machine, Event::ExecutorJoined(executor("0")));
    machine
}

#[test]
fn available_now_runs_to_its_end_with_a_last_batch_without_data() {
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, spec("d"));
    let first = world.prepare(&mut machine, Some(9_000_000));
    assert_eq!((first.batch, first.base, first.shards.len(), first.splits.len()), (0, None, 2, 1));
    assert_eq!((first.watermarks[0].late_us, first.watermarks[0].evict_us), (0, 0));
    // The watermark moved: a batch without data evicts by it, and what was late before is late still.
    let second = world.prepare(&mut machine, None);
    assert_eq!((second.batch, second.splits.len()), (1, 0));
    assert_eq!(second.base, Some((0, first.attempt)));
    assert_eq!((second.watermarks[0].late_us, second.watermarks[0].evict_us), (0, 8_000_000));
    assert_eq!(world.ending, Some(Ending::Finished));
    assert_eq!(world.sunk, [0, 1]);
    assert_eq!(world.reports[1].watermark_ms, Some(8_000));
    let committed = Command::Committed { batch: 1, attempt: second.attempt };
    assert!(world.commands.iter().any(|(_, command)| *command == committed));
}

#[test]
fn an_empty_topic_still_has_its_first_batch() {
    let mut world = World { latest: vec![0], ..World::default() };
    let mut machine = started(&mut world, spec("d"));
    assert_eq!(world.prepare(&mut machine, None).batch, 0);
    assert_eq!((world.sunk.as_slice(), world.ending), ([0].as_slice(), Some(Ending::Finished)));
}

#[test]
fn a_pinned_batch_runs_again_as_it_was_under_another_shard_count() {
    let mut world = World { latest: vec![10], ..World::default() };
    started(&mut world, spec("first"));
    let (_, before) = world.runs.pop_front().unwrap();
    world.latest = vec![50];
    let mut machine = started(&mut world, QuerySpec { shards: 7, ..spec("second") });
    let again = world.prepare(&mut machine, None);
    assert_eq!((again.clock_us, &again.shards.len()), (before.clock_us, &2));
    assert_eq!(again.splits[0].split, before.splits[0].split);
    assert!(again.attempt > before.attempt);
    let next = world.prepare(&mut machine, None);
    assert_eq!((next.shards.len(), next.splits[0].split.start, next.splits[0].split.end), (7, 10, 50));
    let Some(Body::Offsets(file)) = world.objects.get(&LogName::Offsets(1)) else { panic!("offsets/1") };
    assert_eq!(file.pyrite.as_ref().unwrap().map_generation, 1);
}

/// A checkpoint of Spark whose first batch, of two partitions, was planned and not committed.
fn planned_by_spark() -> World {
    let metadata = pyrite_common::checkpoint::MetadataFile { id: "spark's".into() };
    let plan = pyrite_common::checkpoint::OffsetsFile {
        batch_watermark_ms: 0,
        batch_timestamp_ms: 7,
        conf: BTreeMap::new(),
        ends: vec![Some(offsets(&[10, 4]))],
        pyrite: None,
    };
    let objects = BTreeMap::from([
        (LogName::Metadata, Body::Metadata(metadata)),
        (LogName::SourceStart(0), Body::SourceStart(offsets(&[3]))),
        (LogName::Offsets(0), Body::Offsets(plan)),
    ]);
    World { objects, latest: vec![50, 4], ..World::default() }
}

#[test]
fn a_first_batch_that_spark_planned_runs_from_where_its_source_began() {
    let mut world = planned_by_spark();
    let mut machine = started(&mut world, spec("d"));
    let run = world.prepare(&mut machine, None);
    let ranges: Vec<_> = run.splits.iter().map(|placed| (placed.split.start, placed.split.end)).collect();
    // The second partition came after the start was resolved.
    assert_eq!((run.batch, ranges), (0, vec![(3, 10), (0, 4)]));
    let next = world.prepare(&mut machine, None);
    assert_eq!((next.splits[0].split.start, next.splits[0].split.end), (10, 50));
}

#[test]
fn a_planned_first_batch_without_its_start_is_refused() {
    let mut world = planned_by_spark();
    world.objects.remove(&LogName::SourceStart(0));
    started(&mut world, spec("d"));
    assert!(
        matches!(&world.ending, Some(Ending::Failed(fault)) if fault.message.contains("sources/0/0")),
        "{:?}",
        world.ending
    );
    assert!(world.runs.is_empty() && !world.objects.contains_key(&LogName::SourceStart(0)));
}

#[test]
fn a_lost_executor_means_a_new_attempt_on_the_others() {
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, spec("d"));
    let (from, run) = world.runs.pop_front().unwrap();
    world.apply(&mut machine, Event::ExecutorJoined(executor("1")));
    assert!(world.runs.is_empty(), "a newcomer waits for the next try");
    world.apply(&mut machine, Event::ExecutorLost { executor: from.clone(), reason: "killed".into() });
    let (to, again) = world.runs.pop_front().unwrap();
    assert_eq!((to.id.as_str(), again.batch), ("1", 0));
    assert!(again.attempt > run.attempt && again.shards.iter().all(|shard| shard.executor == "1"));
    // A late answer of the older attempt changes nothing.
    let late = Event::Prepared { from, batch: 0, attempt: run.attempt, report: Box::default() };
    world.apply(&mut machine, late);
    assert!(world.sunk.is_empty());
}

#[test]
fn task_errors_count_and_unreachable_things_do_not() {
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, spec("d"));
    for _ in 0..20 {
        world.fail(&mut machine, FailureKind::Unavailable);
        assert!(world.runs.is_empty(), "it backs off");
        world.now_us += 6_000_000;
        world.apply(&mut machine, Event::Wake);
    }
    for _ in 0..3 {
        world.fail(&mut machine, FailureKind::Task);
        assert_eq!(world.ending, None);
    }
    world.fail(&mut machine, FailureKind::Task);
    assert!(matches!(&world.ending, Some(Ending::Failed(fault)) if fault.message == "boom"));
    assert!(!world.objects.contains_key(&LogName::Commit(0)));
}

#[test]
fn what_is_fatal_ends_the_query_at_once() {
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, spec("d"));
    world.fail(&mut machine, FailureKind::Fatal);
    assert!(matches!(world.ending, Some(Ending::Failed(_))));
}

#[test]
fn the_newer_of_two_drivers_wins_and_the_other_says_who() {
    let mut world = World { latest: vec![10], ..World::default() };
    let mut old = started(&mut world, QuerySpec { trigger: Trigger::Default, ..spec("old") });
    let (from, run) = world.runs.pop_front().unwrap();
    let mut new = started(&mut world, spec("new"));
    world.prepare(&mut new, None);
    assert_eq!(world.ending.take(), Some(Ending::Finished));
    // The old one prepared the same batch, but the new one's commit stands.
    let event = Event::Prepared { from, batch: 0, attempt: run.attempt, report: Box::default() };
    world.apply(&mut old, event);
    assert!(
        matches!(&world.ending, Some(Ending::Superseded(fault)) if fault.message.contains("`new`")),
        "{:?}",
        world.ending
    );
    let Some(Body::Commit(commit)) = world.objects.get(&LogName::Commit(0)) else { panic!("commits/0") };
    assert_eq!(commit.term(), 2);
}

#[test]
fn a_lost_reply_of_any_write_is_settled_by_reading() {
    for lost in 0..5 {
        let mut world = World { latest: vec![10], lose_next: lost == 0, ..World::default() };
        let mut machine = QueryMachine::new(spec("d"));
        world.apply(&mut machine, Event::Start);
        world.lose_next = lost == 1;
        world.apply(&mut machine, Event::ExecutorJoined(executor("0")));
        world.lose_next = lost > 1;
        world.prepare(&mut machine, None);
        assert_eq!(world.ending, Some(Ending::Finished), "reply {lost} lost");
        assert_eq!(world.sunk, [0]);
    }
}

#[test]
fn a_stop_gives_up_a_batch_that_runs_and_leaves_its_plan() {
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, spec("d"));
    world.apply(&mut machine, Event::Stop);
    assert_eq!(world.ending, Some(Ending::Finished));
    assert!(world.commands.iter().any(|(_, command)| *command == Command::StopQuery));
    assert!(world.objects.contains_key(&LogName::Offsets(0)) && !world.objects.contains_key(&LogName::Commit(0)));
}

#[test]
fn another_queries_checkpoint_is_refused() {
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, spec("d"));
    world.prepare(&mut machine, None);
    world.ending = None;
    started(&mut world, QuerySpec { plan_hash: "q".into(), ..spec("e") });
    assert!(matches!(&world.ending, Some(Ending::Failed(fault)) if fault.message.contains("checkpoint belongs to")));
}

#[test]
fn logs_without_metadata_are_refused() {
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, spec("d"));
    world.prepare(&mut machine, None);
    world.objects.remove(&LogName::Metadata);
    world.ending = None;
    started(&mut world, spec("e"));
    assert!(
        matches!(&world.ending, Some(Ending::Failed(fault)) if fault.class == "STREAMING_CHECKPOINT_MISSING_METADATA_FILE")
    );
}

#[test]
fn the_default_trigger_goes_on_and_takes_new_partitions_from_their_start() {
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, QuerySpec { trigger: Trigger::Default, watermarks: vec![], ..spec("d") });
    world.prepare(&mut machine, None);
    assert_eq!(machine.status().phase, Phase::Idle);
    let generation = machine.next_generation();
    world.now_us += 20_000;
    let wake = machine.apply(world.now_us, Event::Wake);
    assert!(matches!(wake.as_slice(), [Action::Poll { .. }, Action::Wake { .. }]));
    let new_partitions = BTreeMap::from([(TopicPartition::new("t", 1), 3)]);
    let latest = SourceLatest { latest: offsets(&[10, 5]), new_partitions };
    world.apply(&mut machine, Event::Available(Availability { generation, sources: vec![latest] }));
    let run = world.prepare(&mut machine, None);
    assert_eq!(run.splits.len(), 1);
    assert_eq!((run.splits[0].split.partition, run.splits[0].split.start, run.splits[0].split.end), (1, 3, 5));
}

/// A batch's ranges as (partition, start, end).
fn ranges(run: &RunBatch) -> Vec<(i32, i64, i64)> {
    run.splits.iter().map(|split| (split.split.partition, split.split.start, split.split.end)).collect()
}

#[test]
fn a_topic_made_anew_is_read_from_its_beginning_and_does_not_hold_the_watermark() {
    let limits = vec![Limits { max_offsets: Some(10), ..Limits::default() }];
    let mut world = World { latest: vec![100, 100], ..World::default() };
    let mut machine = started(&mut world, QuerySpec { trigger: Trigger::Default, limits, ..spec("d") });
    // The catch-up to 100 in both partitions begins, and the next offsets are asked for.
    world.latest = vec![3, 100];
    world.begins = BTreeMap::from([(TopicPartition::new("t", 0), 1)]);
    world.prepare(&mut machine, Some(50_000_000));
    let again = world.prepare(&mut machine, None);
    assert_eq!(ranges(&again)[0], (0, 1, 2), "a share of the limit, at least one record");
    world.begins.clear();
    // The partition is gone.
    world.latest = vec![];
    world.prepare(&mut machine, None);
    let planned = world.objects.get(&LogName::Offsets(3));
    let Some(Body::Offsets(file)) = planned else { panic!("the change is written down: {planned:?}") };
    assert_eq!(file.ends, [Some(Offsets::default())]);
    world.prepare(&mut machine, None);
    let Some(Body::Commit(commit)) = world.objects.get(&LogName::Commit(3)) else { panic!("committed") };
    assert_eq!(commit.next_batch_watermark_ms, 49_000, "nothing that is gone is waited for");
}

#[test]
fn a_checkpoint_of_other_topics_is_refused_with_both_names() {
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, spec("d"));
    world.prepare(&mut machine, None);
    world.ending = None;
    started(&mut world, QuerySpec { reads: vec![Subscription::Subscribe(vec!["u".into()])], ..spec("e") });
    let Some(Ending::Failed(fault)) = &world.ending else { panic!("refused: {:?}", world.ending) };
    assert!(fault.message.contains("`t`") && fault.message.contains("Subscribe[u]"), "{}", fault.message);
}

#[test]
fn once_is_one_batch_whatever_the_limit() {
    let limits = vec![Limits { max_offsets: Some(2), ..Limits::default() }];
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, QuerySpec { trigger: Trigger::Once, limits: limits.clone(), ..spec("d") });
    let run = world.prepare(&mut machine, Some(5_000_000));
    assert_eq!(run.splits[0].split.end, 10);
    assert_eq!(world.ending, Some(Ending::Finished));
    let mut world = World { latest: vec![10], ..World::default() };
    let mut machine = started(&mut world, QuerySpec { limits, watermarks: vec![], ..spec("d") });
    let ends: Vec<i64> = (0..5).map(|_| world.prepare(&mut machine, None).splits[0].split.end).collect();
    assert_eq!(ends, [2, 4, 6, 8, 10]);
    assert_eq!(world.ending, Some(Ending::Finished));
}

#[test]
fn processing_time_waits_for_the_wall_clock() {
    let trigger = Trigger::ProcessingTime(Duration::from_secs(10));
    let mut world = World { latest: vec![10], now_us: 12_000_000, ..World::default() };
    let mut machine = started(&mut world, QuerySpec { trigger, watermarks: vec![], ..spec("d") });
    world.prepare(&mut machine, None);
    world.latest = vec![20];
    world.apply(&mut machine, Event::Wake);
    assert!(world.runs.is_empty());
    world.now_us = 20_000_000;
    world.apply(&mut machine, Event::Wake);
    assert_eq!(world.runs.len(), 1);
}
