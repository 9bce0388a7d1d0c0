//! RUN: tries of one batch until every executor has prepared one and the same attempt.

use std::collections::{BTreeMap, BTreeSet};

use pyrite_common::checkpoint::{OffsetsExtra, SplitPin, TopicPartition};

use super::event::{Action, Event, Fault};
use super::machine::QueryMachine;
use super::message::{BatchFailure, Command, ExecutorKey, FailureKind, PlacedShard, PlacedSplit, RunBatch};
use super::placement::{Slot, assign};
use super::shards::{ranges, shard_map};
use super::state::{Batch, Run, State, Try};

/// The first wait after something was out of reach; doubles up to the longest.
const BACKOFF_FIRST_US: i64 = 100_000;
const BACKOFF_LONGEST_US: i64 = 5_000_000;
/// So many peers that cannot reach an executor exclude it.
const UNREACHABLE_REPORTS: usize = 2;

impl Run {
    pub(super) fn waits_for_executors(&self) -> bool {
        matches!(self.try_, Try::NoExecutors)
    }
}

impl QueryMachine {
    /// The next attempt of a batch on the executors there are.
    pub(super) fn start_try(&mut self, now_us: i64, mut batch: Box<Batch>) -> State {
        if self.executors.is_empty() {
            return State::Run(Run { batch, try_: Try::NoExecutors });
        }
        batch.try_since_us = now_us;
        self.epoch += 1;
        let attempt = self.attempt();
        let message = self.run_batch(&batch);
        let keys: BTreeSet<ExecutorKey> = self.executors.values().map(|info| info.key.clone()).collect();
        for key in &keys {
            self.send(key, Command::RunBatch(Box::new(message.clone())));
        }
        State::Run(Run { batch, try_: Try::Running { attempt, waiting: keys, prepared: BTreeMap::new() } })
    }

    fn run_batch(&mut self, batch: &Batch) -> RunBatch {
        let extra = batch.file.pyrite.as_ref().expect("a plan is completed before it runs");
        let slots: Vec<Slot> =
            self.executors.values().map(|info| Slot { executor: info.key.id.clone(), cores: info.cores }).collect();
        RunBatch {
            batch: batch.number,
            attempt: self.attempt(),
            base: self.base,
            watermarks: extra.watermarks.clone(),
            clock_us: extra.clock_us,
            splits: self.place_splits(&extra.splits, &slots),
            shards: self.place_shards(extra, &slots),
            peers: self.executors.values().cloned().collect(),
        }
    }

    fn place_shards(&mut self, extra: &OffsetsExtra, slots: &[Slot]) -> Vec<PlacedShard> {
        let map = if self.spec.rules.pinned_shards || extra.shards.is_empty() {
            extra.shards.clone()
        } else {
            shard_map(self.spec.shards)
        };
        let indexes: Vec<u32> = (0u32..).take(map.len()).collect();
        self.shards_at = assign(&indexes, slots, &self.shards_at);
        let placed = indexes.into_iter().zip(ranges(&map)).map(|(index, (first_bucket, last_bucket))| PlacedShard {
            index,
            first_bucket,
            last_bucket,
            executor: self.shards_at[&index].clone(),
        });
        placed.collect()
    }

    /// Partitions stay where they were read, so that their consumers go on.
    fn place_splits(&mut self, splits: &[SplitPin], slots: &[Slot]) -> Vec<PlacedSplit> {
        let mut part_of: BTreeMap<(u32, TopicPartition), i64> = BTreeMap::new();
        let mut keys = Vec::new();
        for split in splits {
            let partition = TopicPartition::new(split.topic.clone(), split.partition);
            let part = part_of.entry((split.source, partition.clone())).or_default();
            keys.push((split.source, partition, *part));
            *part += 1;
        }
        let placed = assign(&keys, slots, &self.splits_at);
        let result = (0u32..).zip(splits.iter().zip(&keys)).map(|(index, (split, key))| PlacedSplit {
            index,
            split: split.clone(),
            executor: placed[key].clone(),
        });
        let result = result.collect();
        self.splits_at.extend(placed);
        result
    }

    pub(super) fn on_run(&mut self, now_us: i64, mut run: Run, event: Event) -> State {
        match event {
            Event::Wake => match run.try_ {
                Try::BackingOff { until_us } if now_us >= until_us => self.start_try(now_us, run.batch),
                Try::BackingOff { until_us } => {
                    self.act(Action::Wake { at_us: until_us });
                    State::Run(run)
                }
                Try::NoExecutors | Try::Running { .. } => State::Run(run),
            },
            Event::Prepared { from, batch, attempt: of, report } => {
                if let Try::Running { attempt, waiting, prepared } = &mut run.try_
                    && *attempt == of
                    && batch == run.batch.number
                    && waiting.remove(&from)
                {
                    prepared.insert(from, *report);
                    if waiting.is_empty() {
                        let (attempt, prepared) = (*attempt, std::mem::take(prepared));
                        return self.all_prepared(now_us, run.batch, attempt, prepared);
                    }
                }
                State::Run(run)
            }
            Event::Failed { from, batch, attempt: of, failure } => {
                let current = matches!(&run.try_, Try::Running { attempt, .. } if *attempt == of);
                if current && batch == run.batch.number {
                    self.try_failed(now_us, run.batch, &from, *failure)
                } else {
                    State::Run(run)
                }
            }
            Event::RowsLost { batch, attempt: of, .. } => {
                let current = matches!(&run.try_, Try::Running { attempt, .. } if *attempt == of);
                if current && batch == run.batch.number { self.rows_lost(now_us, run.batch) } else { State::Run(run) }
            }
            _ => State::Run(run),
        }
    }

    /// As when something was out of reach: again later.
    pub(super) fn rows_lost(&mut self, now_us: i64, batch: Box<Batch>) -> State {
        self.give_up_try();
        self.back_off(now_us, batch)
    }

    pub(super) fn joined_in_run(&mut self, now_us: i64, run: Run) -> State {
        if run.waits_for_executors() { self.start_try(now_us, run.batch) } else { State::Run(run) }
    }

    /// The first loss costs a batch no time. A batch that its executors do not survive must not kill them in turn.
    pub(super) fn lost_in_run(&mut self, now_us: i64, mut run: Run, executor: &ExecutorKey) -> State {
        match &run.try_ {
            Try::Running { waiting, prepared, .. } if waiting.contains(executor) || prepared.contains_key(executor) => {
                self.give_up_try();
                if std::mem::replace(&mut run.batch.has_lost_one, true) {
                    return self.back_off(now_us, run.batch);
                }
                self.start_try(now_us, run.batch)
            }
            Try::Running { .. } | Try::NoExecutors | Try::BackingOff { .. } => State::Run(run),
        }
    }

    /// Tells everyone that the newest attempt is over.
    pub(super) fn give_up_try(&mut self) {
        let attempt = self.attempt();
        self.send_all(&Command::Abort { attempt });
        self.act(Action::DropRows { attempt });
    }

    /// An executor could not do its part: again at once, again later, or never.
    pub(super) fn try_failed(
        &mut self,
        now_us: i64,
        mut batch: Box<Batch>,
        from: &ExecutorKey,
        failure: BatchFailure,
    ) -> State {
        self.give_up_try();
        match failure.kind {
            FailureKind::Fatal => self.fail(fault_of(failure)),
            FailureKind::Task => {
                batch.task_failures += 1;
                if batch.task_failures >= self.spec.task_failures_max {
                    return self.fail(fault_of(failure));
                }
                self.start_try(now_us, batch)
            }
            FailureKind::Unavailable => {
                if let Some(peer) = failure.unreachable {
                    self.reported_unreachable(&mut batch, from, &peer);
                }
                self.back_off(now_us, batch)
            }
        }
    }

    /// Tries without limit, each some time after the last.
    fn back_off(&mut self, now_us: i64, mut batch: Box<Batch>) -> State {
        batch.unavailable_tries += 1;
        let doublings = (batch.unavailable_tries - 1).min(10);
        let until_us = now_us + (BACKOFF_FIRST_US << doublings).min(BACKOFF_LONGEST_US);
        self.act(Action::Wake { at_us: until_us });
        State::Run(Run { batch, try_: Try::BackingOff { until_us } })
    }

    fn reported_unreachable(&mut self, batch: &mut Batch, from: &ExecutorKey, peer: &str) {
        let reporters = batch.unreachable.entry(peer.to_string()).or_default();
        reporters.insert(from.id.clone());
        if reporters.len() < UNREACHABLE_REPORTS {
            return;
        }
        if let Some(info) = self.executors.remove(peer) {
            let reason = format!("{} peers could not reach it", reporters.len());
            self.send(&info.key, Command::Shutdown { reason });
        }
    }
}

fn fault_of(failure: BatchFailure) -> Fault {
    Fault {
        message: failure.message,
        class: failure.error_class,
        sql_state: failure.sql_state,
        parameters: failure.parameters,
    }
}
