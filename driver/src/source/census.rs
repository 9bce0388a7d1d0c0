//! Which partitions a source has had, and since when the brokers no longer name some of them. Pure: the clock is an
//! argument.
//!
//! A broker that has just started, or just become the controller, may not know a topic yet that is there. Were one such
//! answer believed, a query would die of lost records or read a partition anew from its beginning. So a partition that
//! was there once is gone only when it has stayed away for a while, as executors have it too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pyrite_common::checkpoint::TopicPartition;

/// How long a partition must stay away to be gone; executors wait as long before they count its records as lost.
const GONE_AFTER: Duration = Duration::from_secs(5);

/// The partitions of one source over time.
#[derive(Debug, Default)]
pub(super) struct Census {
    seen: BTreeSet<TopicPartition>,
    missing_since: BTreeMap<TopicPartition, Instant>,
}

impl Census {
    /// These were there once, or the query reads them.
    pub(super) fn expect<'a>(&mut self, partitions: impl Iterator<Item = &'a TopicPartition>) {
        for partition in partitions {
            if !self.seen.contains(partition) {
                self.seen.insert(partition.clone());
            }
        }
    }

    /// Whether the partition was there once.
    pub(super) fn has(&self, partition: &TopicPartition) -> bool {
        self.seen.contains(partition)
    }

    /// Whether one of the topic's partitions was there once.
    pub(super) fn has_topic(&self, topic: &str) -> bool {
        self.seen.iter().any(|partition| partition.topic == topic)
    }

    /// Takes in all the partitions that the brokers name. `Err`: the first that they do not name and that is not gone
    /// yet; the answer is not to be believed.
    pub(super) fn take(&mut self, named: &BTreeSet<TopicPartition>, now: Instant) -> Result<(), TopicPartition> {
        self.expect(named.iter());
        self.missing_since.retain(|partition, _| !named.contains(partition));
        let mut doubted = None;
        for partition in self.seen.difference(named) {
            let since = *self.missing_since.entry(partition.clone()).or_insert(now);
            if now.duration_since(since) < GONE_AFTER && doubted.is_none() {
                doubted = Some(partition.clone());
            }
        }
        doubted.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(numbers: &[i32]) -> BTreeSet<TopicPartition> {
        numbers.iter().map(|number| TopicPartition::new("t", *number)).collect()
    }

    #[test]
    fn one_answer_that_lacks_a_partition_is_not_believed() {
        let (mut census, start) = (Census::default(), Instant::now());
        census.expect(partitions(&[0, 1]).iter());
        assert_eq!(census.take(&partitions(&[0]), start), Err(TopicPartition::new("t", 1)));
        assert_eq!(census.take(&partitions(&[0, 1]), start + Duration::from_secs(1)), Ok(()));
        // The time counts from when it was last there.
        let later = start + Duration::from_secs(60);
        assert_eq!(census.take(&BTreeSet::new(), later), Err(TopicPartition::new("t", 0)));
    }

    #[test]
    fn a_partition_that_stays_away_is_gone_and_stays_so() {
        let (mut census, start) = (Census::default(), Instant::now());
        assert_eq!(census.take(&partitions(&[0, 1]), start), Ok(()));
        assert!(census.take(&partitions(&[0]), start).is_err());
        assert!(census.take(&partitions(&[0]), start + GONE_AFTER - Duration::from_millis(1)).is_err());
        for waited in [GONE_AFTER, GONE_AFTER * 2] {
            assert_eq!(census.take(&partitions(&[0]), start + waited), Ok(()));
        }
        assert!(census.has(&TopicPartition::new("t", 1)) && census.has_topic("t") && !census.has_topic("u"));
    }

    #[test]
    fn new_partitions_are_no_reason_to_wait() {
        let mut census = Census::default();
        assert_eq!(census.take(&BTreeSet::new(), Instant::now()), Ok(()));
        assert_eq!(census.take(&partitions(&[0]), Instant::now()), Ok(()));
    }
}
