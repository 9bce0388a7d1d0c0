//! The splits of one source that are still to be read, and the partitions that a thread has in its hands.
//!
//! A reader reads a partition by one thread at a time, but `minPartitions` cuts one into several splits. So a thread
//! takes only splits of partitions that no other thread reads. One that finds none ends: each of the rest is of a
//! partition that some thread reads, and that thread takes it afterwards.

use std::collections::BTreeSet;

use super::kafka::Range;
use super::wire::Split;

/// The splits of one source.
pub struct SplitQueue {
    /// The longest first, so that no thread begins it when the others are done.
    splits: Vec<Split>,
    /// Topics and partitions that are being read.
    busy: BTreeSet<(String, i32)>,
}

impl SplitQueue {
    /// Nothing is being read.
    pub fn new(mut splits: Vec<Split>) -> Self {
        splits.sort_by_key(|split| std::cmp::Reverse(split.range.end - split.range.start));
        Self { splits, busy: BTreeSet::new() }
    }

    /// Splits that nobody has taken.
    pub fn len(&self) -> usize {
        self.splits.len()
    }

    /// Their ranges, in the order of their offsets.
    pub fn ranges(&self) -> Vec<Range> {
        let mut ranges: Vec<Range> = self.splits.iter().map(|split| split.range.clone()).collect();
        ranges.sort_by_key(|range| range.start);
        ranges
    }

    /// Gives back the partition of `done`, which the thread has read, and takes the next split.
    pub fn next(&mut self, done: Option<&Split>) -> Option<Split> {
        if let Some(done) = done {
            self.busy.remove(&partition(done));
        }
        let free = self.splits.iter().map(partition).find(|partition| !self.busy.contains(partition))?;
        // The partition's first: reading it in order needs no seek.
        let of_partition = self.splits.iter().enumerate().filter(|(_, split)| partition(split) == free);
        let (index, _) = of_partition.min_by_key(|(_, split)| split.range.start)?;
        self.busy.insert(free);
        Some(self.splits.remove(index))
    }
}

fn partition(split: &Split) -> (String, i32) {
    (split.range.topic.clone(), split.range.partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(partition: i32, start: i64, end: i64) -> Split {
        let range = Range { topic: "t".to_owned(), partition, start, end };
        Split { index: 0, source: 0, range, executor: "0".to_owned() }
    }

    fn place(split: Option<&Split>) -> Option<(i32, i64)> {
        split.map(|split| (split.range.partition, split.range.start))
    }

    #[test]
    fn no_partition_is_in_two_hands_and_its_holder_takes_the_rest() {
        let mut queue = SplitQueue::new(vec![split(0, 0, 10), split(0, 10, 30), split(1, 0, 5)]);
        let first = queue.next(None);
        assert_eq!(place(first.as_ref()), Some((0, 0)), "of the longest split's partition the first");
        let second = queue.next(None);
        assert_eq!(place(second.as_ref()), Some((1, 0)));
        assert!(queue.next(None).is_none(), "only a busy partition is left");
        assert!(queue.next(second.as_ref()).is_none(), "so it is for who has read another");
        let last = queue.next(first.as_ref());
        assert_eq!(place(last.as_ref()), Some((0, 10)));
        assert!(queue.next(last.as_ref()).is_none());
    }

    #[test]
    fn the_longest_go_first() {
        let mut queue = SplitQueue::new(vec![split(0, 0, 1), split(1, 0, 9), split(2, 0, 5)]);
        let order: Vec<i32> = std::iter::from_fn(|| queue.next(None)).map(|split| split.range.partition).collect();
        assert_eq!(order, [1, 2, 0]);
    }
}
