//! The splits of one source that are still to be read, and the partitions that a thread has in its hands.
//!
//! A reader reads a partition by one thread at a time, but `minPartitions` cuts one into several splits. So a thread
//! takes only splits of partitions that no other thread reads. One that finds none ends: each of the rest is of a
//! partition that some thread reads, and that thread takes it afterwards.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::kafka::Range;
use super::wire::Split;

/// The splits of one source.
pub struct SplitQueue {
    /// Partitions that nobody reads, the one with the most to read last.
    free: Vec<Partition>,
    /// Partitions that are being read: one a thread.
    busy: Vec<Partition>,
}

/// What is left of one partition.
struct Partition {
    topic: String,
    number: i32,
    /// The next one last: reading a partition in order needs no seek.
    splits: Vec<Split>,
    /// Offsets in them.
    left: i64,
}

impl SplitQueue {
    /// Nothing is being read.
    pub fn new(mut splits: Vec<Split>) -> Self {
        splits.sort_by_key(|split| std::cmp::Reverse(split.range.start));
        let mut partitions: BTreeMap<(String, i32), Partition> = BTreeMap::new();
        for split in splits {
            let Range { topic, partition, .. } = &split.range;
            let partition = match partitions.entry((topic.clone(), *partition)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let (topic, number) = place.key().clone();
                    place.insert(Partition { topic, number, splits: Vec::new(), left: 0 })
                }
            };
            partition.left += length(&split);
            partition.splits.push(split);
        }
        let mut free: Vec<Partition> = partitions.into_values().rev().collect();
        free.sort_by_key(|partition| partition.left);
        Self { free, busy: Vec::new() }
    }

    /// Splits that nobody has taken.
    pub fn len(&self) -> usize {
        self.partitions().map(|partition| partition.splits.len()).sum()
    }

    /// Their ranges, in the order of their offsets.
    pub fn ranges(&self) -> Vec<Range> {
        let splits = self.partitions().flat_map(|partition| &partition.splits);
        let mut ranges: Vec<Range> = splits.map(|split| split.range.clone()).collect();
        ranges.sort_by_key(|range| range.start);
        ranges
    }

    /// Gives back the partition of `done`, which the thread has read, and takes the next split: of the partition with
    /// the most to read, so that no thread begins it when the others are done.
    pub fn next(&mut self, done: Option<&Split>) -> Option<Split> {
        if let Some(done) = done {
            self.give_back(&done.range);
        }
        let mut partition = self.free.pop()?;
        let split = partition.splits.pop();
        partition.left -= split.as_ref().map_or(0, length);
        self.busy.push(partition);
        split
    }

    fn give_back(&mut self, Range { topic, partition, .. }: &Range) {
        let is_it = |busy: &Partition| busy.number == *partition && busy.topic == *topic;
        let Some(index) = self.busy.iter().position(is_it) else { return };
        let partition = self.busy.swap_remove(index);
        if !partition.splits.is_empty() {
            let place = self.free.partition_point(|free| free.left < partition.left);
            self.free.insert(place, partition);
        }
    }

    fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.free.iter().chain(&self.busy)
    }
}

fn length(split: &Split) -> i64 {
    split.range.end - split.range.start
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
        assert_eq!(place(first.as_ref()), Some((0, 0)), "of the longest partition the first");
        let second = queue.next(None);
        assert_eq!(place(second.as_ref()), Some((1, 0)));
        assert!(queue.next(None).is_none(), "only a busy partition is left");
        assert!(queue.next(second.as_ref()).is_none(), "so it is for who has read another");
        let last = queue.next(first.as_ref());
        assert_eq!(place(last.as_ref()), Some((0, 10)));
        assert!(queue.next(last.as_ref()).is_none());
    }

    #[test]
    fn what_nobody_has_taken_is_told_in_the_order_of_offsets() {
        let mut queue = SplitQueue::new(vec![split(1, 20, 30), split(0, 5, 10), split(0, 0, 5)]);
        let starts = |queue: &SplitQueue| queue.ranges().iter().map(|range| range.start).collect::<Vec<_>>();
        assert_eq!((queue.len(), starts(&queue)), (3, vec![0, 5, 20]));
        assert!(queue.next(None).is_some());
        let of_other = queue.next(None);
        assert_eq!(place(of_other.as_ref()), Some((1, 20)));
        assert_eq!((queue.len(), starts(&queue)), (1, vec![5]), "the rest of a partition that is being read");
    }

    #[test]
    fn the_longest_go_first() {
        let mut queue = SplitQueue::new(vec![split(0, 0, 1), split(1, 0, 9), split(2, 0, 5)]);
        let order: Vec<i32> = std::iter::from_fn(|| queue.next(None)).map(|split| split.range.partition).collect();
        assert_eq!(order, [1, 2, 0]);
    }
}
