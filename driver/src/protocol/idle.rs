//! IDLE: is it time, and is there anything to do?

use pyrite_common::checkpoint::Offsets;

use super::event::{Action, Availability, Event};
use super::machine::QueryMachine;
use super::report::Durations;
use super::spec::{OperatorSpec, Trigger};
use super::state::{Idle, State};
use super::watermark::behind;
use crate::source::limits;

/// How long the default trigger waits before it asks an idle source again, as `spark.sql.streaming.pollingDelay`.
const POLLING_DELAY_US: i64 = 10_000;

/// What a batch would take.
struct Selection {
    starts: Vec<Offsets>,
    ends: Vec<Offsets>,
    until: Vec<Offsets>,
}

impl QueryMachine {
    /// After a commit, or the recovery: waits for the trigger.
    pub(super) fn enter_idle(&mut self, now_us: i64) -> State {
        let ended = self.spec.trigger == Trigger::Once && self.batches_run > 0;
        if self.stopping || ended {
            return self.finish();
        }
        if now_us < self.due_us {
            self.act(Action::Wake { at_us: self.due_us });
            return State::Idle(Idle::Sleeping { until_us: self.due_us });
        }
        self.begin_trigger(now_us)
    }

    fn begin_trigger(&mut self, now_us: i64) -> State {
        self.due_us = next_due(self.spec.trigger, now_us);
        if let Some(target) = self.target.clone() {
            return self.decide(now_us, now_us, target);
        }
        if let Some(answer) = self.poll.answer.take() {
            return self.decide(now_us, now_us, answer);
        }
        if !self.poll.open {
            self.ask_sources(now_us, self.position.offsets.clone());
        }
        State::Idle(Idle::Polling { generation: self.poll.generation, since_us: now_us })
    }

    pub(super) fn on_idle(&mut self, now_us: i64, idle: Idle, event: Event) -> State {
        match (idle, event) {
            (Idle::Sleeping { until_us }, Event::Wake) if now_us >= until_us => self.begin_trigger(now_us),
            (Idle::Sleeping { until_us }, Event::Wake) => {
                self.act(Action::Wake { at_us: until_us });
                State::Idle(Idle::Sleeping { until_us })
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
        // As Spark: a query's first batch runs even when there is nothing to read.
        let has_data = self.next_batch == 0 || selection.starts != selection.ends || self.has_new_partitions(&selection);
        if has_data || self.no_data_batch_is_due() {
            if has_data {
                self.last_data_us = Some(now_us);
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
        self.act(Action::Wake { at_us: until_us });
        State::Idle(Idle::Sleeping { until_us })
    }

    fn has_new_partitions(&self, selection: &Selection) -> bool {
        let known = self.position.offsets.iter().map(|offsets| offsets.0.len());
        selection.ends.iter().map(|offsets| offsets.0.len()).ne(known)
    }

    /// Cuts what is there to what a batch may take.
    fn select(&self, now_us: i64, availability: &Availability) -> Selection {
        let mut selection = Selection { starts: Vec::new(), ends: Vec::new(), until: Vec::new() };
        for (index, limits) in self.spec.limits.iter().enumerate() {
            let mut start = self.position.offsets.get(index).cloned().unwrap_or_default();
            let source = availability.sources.get(index).cloned().unwrap_or_default();
            for (partition, first) in &source.new_partitions {
                start.0.entry(partition.clone()).or_insert(*first);
            }
            // A partition that vanished or went back stays where the query is: its loss is the source's to report.
            let until: Offsets = start
                .iter()
                .map(|(partition, begin)| (partition.clone(), source.latest.get(partition).unwrap_or(begin).max(begin)))
                .collect();
            let unbounded = matches!(self.spec.trigger, Trigger::AvailableNow | Trigger::Once);
            let available = limits::distance(&start, &until);
            let end = if !unbounded && limits::waits_for_more(limits, available, self.last_data_us, now_us) {
                start.clone()
            } else {
                self.cut(limits, &start, &until)
            };
            selection.starts.push(start);
            selection.ends.push(end);
            selection.until.push(until);
        }
        selection
    }

    fn cut(&self, limits: &limits::Limits, start: &Offsets, until: &Offsets) -> Offsets {
        if self.spec.trigger == Trigger::Once {
            return until.clone();
        }
        let budget = match (limits.max_offsets, limits.batch_duration_max_us) {
            (Some(max), _) => max,
            (None, Some(duration_us)) => self.rate.budget(duration_us),
            (None, None) => return until.clone(),
        };
        limits::cut(budget, start, until)
    }

    /// The running catch-up while it is not done; else a new one when this batch leaves records behind.
    fn catch_up(&self, selection: &Selection) -> Option<Vec<Offsets>> {
        if self.spec.watermarks.is_empty() {
            return None;
        }
        let running = self.position.catch_up.clone();
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

    #[test]
    fn processing_time_is_aligned_to_the_wall_clock() {
        let trigger = Trigger::ProcessingTime(Duration::from_secs(10));
        assert_eq!(next_due(trigger, 12_345_678), 20_000_000);
        assert_eq!(next_due(trigger, 20_000_000), 30_000_000);
        assert_eq!(next_due(Trigger::Default, 5), 5);
    }
}
