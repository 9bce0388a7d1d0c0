//! IDLE: is it time, and is there anything to do?

use pyrite_common::checkpoint::{Offsets, TopicPartition};

use super::event::{Action, Availability, Event, SourceLatest};
use super::machine::QueryMachine;
use super::report::Durations;
use super::spec::{OperatorSpec, Trigger};
use super::state::{Idle, State};
use super::store::StoreRequest;
use super::watermark::behind;
use crate::source::limits;

/// How long the default trigger waits before it asks an idle source again, as `spark.sql.streaming.pollingDelay`.
const POLLING_DELAY_US: i64 = 10_000;

/// How often an idle query looks whether another driver has its checkpoint; one with data looks at every plan.
const LOOK_US: i64 = 3_000_000;

/// What a batch would take.
struct Selection {
    starts: Vec<Offsets>,
    ends: Vec<Offsets>,
    until: Vec<Offsets>,
    /// The measured rate, and nothing the user asked for, leaves records behind.
    is_cut_by_rate: bool,
}

impl QueryMachine {
    /// After a commit, or the recovery: waits for the trigger.
    pub(super) fn enter_idle(&mut self, now_us: i64) -> State {
        let ended = self.spec.trigger == Trigger::Once && self.batches_run > 0;
        if self.stopping || ended {
            return self.finish();
        }
        self.look_us = now_us + LOOK_US;
        if now_us < self.due_us {
            return self.sleep(self.due_us);
        }
        self.begin_trigger(now_us)
    }

    fn sleep(&mut self, until_us: i64) -> State {
        self.act(Action::Wake { at_us: until_us.min(self.look_us) });
        State::Idle(Idle::Sleeping { until_us })
    }

    /// Asks, now and then, whether another driver has claimed the checkpoint. Nothing waits for the answer: a plan that
    /// is made meanwhile asks anew.
    fn look_for_a_higher_term(&mut self, now_us: i64) {
        if now_us >= self.look_us {
            self.look_us = now_us + LOOK_US;
            self.ask(StoreRequest::TermAbove(self.term));
        }
    }

    fn begin_trigger(&mut self, now_us: i64) -> State {
        self.due_us = next_due(self.spec.trigger, now_us);
        self.trigger_began(now_us);
        if let Some(target) = self.target.clone() {
            return self.decide(now_us, now_us, target);
        }
        if let Some(answer) = self.poll.answer.take() {
            return self.decide(now_us, now_us, answer);
        }
        if !self.poll.open {
            self.ask_sources(now_us, self.position.offsets.clone());
        }
        self.act(Action::Wake { at_us: self.look_us });
        State::Idle(Idle::Polling { generation: self.poll.generation, since_us: now_us })
    }

    pub(super) fn on_idle(&mut self, now_us: i64, idle: Idle, event: Event) -> State {
        if event == Event::Wake {
            self.look_for_a_higher_term(now_us);
        }
        match (idle, event) {
            (Idle::Sleeping { until_us }, Event::Wake) if now_us >= until_us => self.begin_trigger(now_us),
            (Idle::Sleeping { until_us }, Event::Wake) => self.sleep(until_us),
            (Idle::Polling { generation, since_us }, Event::Wake) => {
                self.act(Action::Wake { at_us: self.look_us });
                State::Idle(Idle::Polling { generation, since_us })
            }
            (idle, _) => State::Idle(idle),
        }
    }

    pub(super) fn available_in_idle(&mut self, now_us: i64, idle: Idle, availability: Availability) -> State {
        match idle {
            Idle::Polling { generation, since_us } if generation == availability.generation => {
                self.decide(now_us, since_us, availability)
            }
            idle => {
                self.poll.answer = Some(availability);
                State::Idle(idle)
            }
        }
    }

    /// Plans a batch, ends the query, or sleeps.
    fn decide(&mut self, now_us: i64, since_us: i64, availability: Availability) -> State {
        if self.spec.trigger == Trigger::AvailableNow && self.target.is_none() {
            self.target = Some(availability.clone());
        }
        let selection = self.select(now_us, &availability);
        // As Spark: a query's first batch runs even when there is nothing to read. Other partitions than before, or
        // another position, are written down at once, so that the records of a partition are counted from there on.
        let has_data =
            self.next_batch == 0 || selection.starts != selection.ends || selection.starts != self.position.offsets;
        if has_data || self.no_data_batch_is_due() {
            if has_data {
                self.last_data_us = Some(now_us);
            }
            if selection.is_cut_by_rate {
                // The interval is for what comes, not a limit on how fast the query may catch up.
                self.due_us = now_us;
            }
            let times = Durations { latest_offset_us: now_us - since_us, ..Durations::default() };
            let catch_up = self.catch_up(&selection);
            return self.plan(now_us, since_us, selection.starts, selection.ends, selection.until, catch_up, times);
        }
        self.act(Action::Idle { generation: availability.generation });
        let until_us = match self.spec.trigger {
            Trigger::AvailableNow | Trigger::Once => return self.finish(),
            Trigger::Default => now_us + POLLING_DELAY_US,
            Trigger::ProcessingTime(_) => self.due_us.max(now_us),
        };
        self.sleep(until_us)
    }

    /// Cuts what is there to what a batch may take.
    fn select(&mut self, now_us: i64, availability: &Availability) -> Selection {
        let mut selection =
            Selection { starts: Vec::new(), ends: Vec::new(), until: Vec::new(), is_cut_by_rate: false };
        let sources = self.spec.limits.iter().zip(&self.position.offsets).zip(&availability.sources);
        for ((limits, known), source) in sources {
            let start = starts(known, source);
            let until: Offsets = start
                .iter()
                .map(|(partition, begin)| (partition.clone(), source.latest.get(partition).unwrap_or(begin).max(begin)))
                .collect();
            let unbounded = matches!(self.spec.trigger, Trigger::AvailableNow | Trigger::Once);
            let available = limits::distance(&start, &until);
            let end = if !unbounded && limits::waits_for_more(limits, available, self.last_data_us, now_us) {
                start.clone()
            } else {
                let budget = if self.spec.trigger == Trigger::Once { None } else { self.rate.limit(limits) };
                budget.map_or_else(|| until.clone(), |budget| limits::cut(budget, &start, &until))
            };
            selection.is_cut_by_rate |= limits.max_offsets.is_none() && end != until && end != start;
            selection.starts.push(start);
            selection.ends.push(end);
            selection.until.push(until);
        }
        selection
    }

    /// The running catch-up while it is not done; else a new one when this batch leaves records behind.
    fn catch_up(&self, selection: &Selection) -> Option<Vec<Offsets>> {
        if self.spec.watermarks.is_empty() {
            return None;
        }
        let running = self.position.catch_up.as_ref();
        let running = running.map(|targets| within(targets, &selection.until));
        running.or_else(|| (!behind(&selection.ends, &selection.until).is_empty()).then(|| selection.until.clone()))
    }

    /// Decided from the logs alone, so that a stop in between changes nothing.
    fn no_data_batch_is_due(&self) -> bool {
        self.next_batch > 0
            && self.spec.no_data_batches
            && self.position.next_watermark_ms > self.position.last_watermark_ms
            && self.spec.operators.iter().any(OperatorSpec::uses_watermark)
    }
}

/// Where a source's next batch starts: where the query stands, and new partitions where they begin. What a query must
/// not lose has failed it before this (`failOnDataLoss`). So a partition that is gone leaves the offsets, as in Spark;
/// one that ends before the query's position goes on where the source says: at its beginning when it was made anew.
/// (Spark goes on from its end and loses what it holds by then.)
fn starts(known: &Offsets, source: &SourceLatest) -> Offsets {
    let start = |(partition, latest): (&TopicPartition, i64)| {
        let begin = source.new_partitions.get(partition).copied();
        let start = match known.get(partition) {
            Some(position) if position <= latest => position,
            Some(position) => begin.map_or(position, |begin| begin.min(latest)),
            None => begin?,
        };
        Some((partition.clone(), start))
    };
    source.latest.iter().filter_map(start).collect()
}

/// The ends of a running catch-up as far as they can still be reached: records that are gone would hold the watermark
/// for ever.
fn within(targets: &[Offsets], until: &[Offsets]) -> Vec<Offsets> {
    let one = |(targets, until): (&Offsets, &Offsets)| {
        let there =
            |(partition, target): (&TopicPartition, i64)| Some((partition.clone(), target.min(until.get(partition)?)));
        targets.iter().filter_map(there).collect()
    };
    targets.iter().zip(until).map(one).collect()
}

/// When the trigger after one at `now_us` fires, as Spark: the next multiple of the interval.
fn next_due(trigger: Trigger, now_us: i64) -> i64 {
    match trigger {
        Trigger::ProcessingTime(interval) => {
            let interval_us = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX);
            if interval_us == 0 { now_us } else { (now_us.div_euclid(interval_us) + 1).saturating_mul(interval_us) }
        }
        Trigger::Default | Trigger::AvailableNow | Trigger::Once => now_us,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn offsets(values: &[(i32, i64)]) -> Offsets {
        values.iter().map(|(partition, offset)| (TopicPartition::new("t", *partition), *offset)).collect()
    }

    fn source(latest: &[(i32, i64)], begins: &[(i32, i64)]) -> SourceLatest {
        SourceLatest { latest: offsets(latest), new_partitions: offsets(begins).0 }
    }

    #[test]
    fn a_batch_starts_at_the_position_and_in_new_partitions_at_their_beginning() {
        let known = offsets(&[(0, 5)]);
        assert_eq!(starts(&known, &source(&[(0, 9), (1, 4)], &[(1, 3)])), offsets(&[(0, 5), (1, 3)]));
        // Asked for before it was there: it comes with the next answer.
        assert_eq!(starts(&known, &source(&[(0, 9), (1, 4)], &[])), known);
    }

    #[test]
    fn a_partition_that_is_gone_leaves_and_one_made_anew_is_read_from_its_beginning() {
        let known = offsets(&[(0, 10), (1, 7)]);
        assert_eq!(starts(&known, &source(&[(0, 12)], &[])), offsets(&[(0, 10)]));
        assert_eq!(starts(&known, &source(&[(0, 3), (1, 7)], &[(0, 1)])), offsets(&[(0, 1), (1, 7)]));
        assert_eq!(starts(&known, &source(&[(0, 0), (1, 7)], &[(0, 0)])), offsets(&[(0, 0), (1, 7)]));
    }

    #[test]
    fn a_catch_up_does_not_wait_for_records_that_are_gone() {
        let targets = [offsets(&[(0, 200), (1, 50), (2, 80)])];
        let until = [offsets(&[(0, 3), (1, 60)])];
        assert_eq!(within(&targets, &until), [offsets(&[(0, 3), (1, 50)])]);
    }

    #[test]
    fn processing_time_is_aligned_to_the_wall_clock() {
        let trigger = Trigger::ProcessingTime(Duration::from_secs(10));
        assert_eq!(next_due(trigger, 12_345_678), 20_000_000);
        assert_eq!(next_due(trigger, 20_000_000), 30_000_000);
        assert_eq!(next_due(Trigger::Default, 5), 5);
    }
}
