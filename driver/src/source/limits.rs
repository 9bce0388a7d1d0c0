//! How much one batch takes: offsets in, offsets out, no broker.
//!
//! `maxOffsetsPerTrigger`, `minOffsetsPerTrigger` and `maxTriggerDelay` are Spark's. Without a maximum a batch is sized
//! from the measured rate, so that catching up makes many short batches and not one that never ends.

use pyrite_common::checkpoint::Offsets;

/// A source's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_offsets: Option<u64>,
    pub min_offsets: Option<u64>,
    /// How long a batch may wait for `min_offsets`.
    pub trigger_delay_max_us: i64,
    /// How long a batch sized from the measured rate should last; `None`: such sizing is off.
    pub batch_duration_max_us: Option<i64>,
}

/// Spark's default of `maxTriggerDelay`: 15 minutes.
pub const TRIGGER_DELAY_MAX_US: i64 = 15 * 60 * 1_000_000;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_offsets: None,
            min_offsets: None,
            trigger_delay_max_us: TRIGGER_DELAY_MAX_US,
            batch_duration_max_us: None,
        }
    }
}

/// Whether a batch has to wait for more records, as Spark's `delayBatch`: too few are there and the last batch with
/// data began less than the longest delay ago. `last_batch_us`: `None` before the first.
pub fn waits_for_more(limits: &Limits, available: u64, last_batch_us: Option<i64>, now_us: i64) -> bool {
    let (Some(min), Some(last)) = (limits.min_offsets, last_batch_us) else { return false };
    available < min && now_us - last < limits.trigger_delay_max_us
}

/// Records between two positions; a partition that only `until` knows counts from 0, one that went back counts nothing.
pub fn distance(from: &Offsets, until: &Offsets) -> u64 {
    let sizes = until.iter().map(|(partition, end)| end - from.get(partition).unwrap_or(0));
    sizes.map(|size| u64::try_from(size).unwrap_or(0)).sum()
}

/// The ends of a batch of about `limit` records, shared out in proportion to what each partition has, as Spark's
/// `rateLimit`: a partition with anything gets at least one record, none goes beyond `until` or behind `from`.
pub fn cut(limit: u64, from: &Offsets, until: &Offsets) -> Offsets {
    let total = distance(from, until);
    if total == 0 {
        return until.clone();
    }
    let cut_one = |end: i64, begin: i64| {
        let size = end - begin;
        if size <= 0 {
            return end;
        }
        let share = limit as f64 * (size as f64 / total as f64);
        let share = if share < 1.0 { share.ceil() } else { share.floor() };
        begin.saturating_add(share as i64).min(end)
    };
    until.iter().map(|(partition, end)| (partition.clone(), cut_one(end, from.get(partition).unwrap_or(0)))).collect()
}

/// Records a microsecond that batches achieved, to size the next one.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateMeter {
    records_per_us: Option<f64>,
    /// The largest batch measured: the next is at most so many times it.
    largest: u64,
    /// The last budget. A batch that used it up says something however small it was.
    budget: Option<u64>,
}

/// The first batch of a catch-up, when no rate is known.
const FIRST_RECORDS: u64 = 100_000;
/// Growth from one batch to the next.
const GROWTH_MAX: u64 = 8;
/// Smaller batches say more about fixed costs than about the rate.
const MEASURED_RECORDS_MIN: u64 = 10_000;
/// The weight of the newest batch.
const NEWEST_WEIGHT: f64 = 0.5;

impl RateMeter {
    /// Takes a finished batch into account.
    pub fn observe(&mut self, records: u64, duration_us: i64) {
        let enough = self.budget.map_or(MEASURED_RECORDS_MIN, |budget| budget.min(MEASURED_RECORDS_MIN));
        if records < enough || duration_us <= 0 {
            return;
        }
        let rate = records as f64 / duration_us as f64;
        let mixed = self.records_per_us.map_or(rate, |old| old * (1.0 - NEWEST_WEIGHT) + rate * NEWEST_WEIGHT);
        self.records_per_us = Some(mixed);
        self.largest = self.largest.max(records);
    }

    /// How many records the next batch of a source may have; `None`: all there are.
    pub fn limit(&mut self, limits: &Limits) -> Option<u64> {
        limits.max_offsets.or_else(|| {
            self.budget = limits.batch_duration_max_us.map(|duration_us| self.budget(duration_us));
            self.budget
        })
    }

    /// How many records a batch of that duration has; at least one.
    fn budget(&self, duration_max_us: i64) -> u64 {
        let Some(rate) = self.records_per_us else { return FIRST_RECORDS };
        let by_rate = (rate * duration_max_us as f64) as u64;
        by_rate.min(self.largest.saturating_mul(GROWTH_MAX)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pyrite_common::checkpoint::TopicPartition;

    use super::*;

    fn offsets(values: &[i64]) -> Offsets {
        values.iter().enumerate().map(|(index, offset)| (TopicPartition::new("t", index as i32), *offset)).collect()
    }

    #[test]
    fn a_limit_is_shared_in_proportion_as_spark_does() {
        assert_eq!(cut(10, &offsets(&[0, 0]), &offsets(&[90, 10])), offsets(&[9, 1]));
        assert_eq!(cut(10, &offsets(&[0, 0, 0]), &offsets(&[1000, 1, 0])), offsets(&[9, 1, 0]));
        assert_eq!(cut(100, &offsets(&[5]), &offsets(&[20])), offsets(&[20]));
        assert_eq!(cut(3, &offsets(&[100]), &offsets(&[100])), offsets(&[100]));
    }

    #[test]
    fn a_minimum_waits_until_the_longest_delay() {
        let limits = Limits { min_offsets: Some(10), trigger_delay_max_us: 1_000, ..Limits::default() };
        assert!(!waits_for_more(&limits, 3, None, 0));
        assert!(waits_for_more(&limits, 3, Some(0), 999));
        assert!(!waits_for_more(&limits, 3, Some(0), 1_000));
        assert!(!waits_for_more(&limits, 10, Some(0), 1));
        assert!(!waits_for_more(&Limits::default(), 0, Some(0), 1));
    }

    #[test]
    fn the_budget_starts_small_and_grows_by_steps() {
        let mut meter = RateMeter::default();
        assert_eq!(meter.budget(5_000_000), FIRST_RECORDS);
        meter.observe(100_000, 100_000);
        assert_eq!(meter.budget(5_000_000), 800_000);
        meter.observe(800_000, 800_000);
        assert_eq!(meter.budget(5_000_000), 5_000_000);
        meter.observe(5, 1_000_000);
        assert_eq!(meter.budget(5_000_000), 5_000_000);
    }

    #[test]
    fn a_rate_once_measured_too_low_recovers() {
        let limits = Limits { batch_duration_max_us: Some(5_000_000), ..Limits::default() };
        let mut meter = RateMeter::default();
        assert_eq!(meter.limit(&limits), Some(FIRST_RECORDS));
        meter.observe(100_000, 600_000_000);
        let small = meter.limit(&limits).unwrap();
        assert!(small < MEASURED_RECORDS_MIN);
        for _ in 0..20 {
            let records = meter.limit(&limits).unwrap();
            meter.observe(records, 1_000 + records as i64);
        }
        assert!(meter.limit(&limits).unwrap() > 1_000_000);
        let fixed = Limits { max_offsets: Some(7), ..limits };
        assert_eq!(meter.limit(&fixed), Some(7));
    }

    proptest! {
        #[test]
        fn a_cut_moves_forward_and_stays_inside(
            limit in 1u64..1_000_000,
            ranges in proptest::collection::vec((0i64..1 << 40, 0i64..100_000), 1..20),
        ) {
            let from = offsets(&ranges.iter().map(|(start, _)| *start).collect::<Vec<_>>());
            let until = offsets(&ranges.iter().map(|(start, size)| start + size).collect::<Vec<_>>());
            let ends = cut(limit, &from, &until);
            let mut taken = 0;
            for (partition, end) in ends.iter() {
                let (start, last) = (from.get(partition).unwrap(), until.get(partition).unwrap());
                prop_assert!(start <= end && end <= last);
                prop_assert!(last == start || end > start, "a partition with records starves");
                taken += end - start;
            }
            prop_assert!(taken as u64 <= limit + ranges.len() as u64);
        }
    }
}
