//! Watermark arithmetic (as Spark 4): event times of a batch in, the next batch's watermark out.

use std::collections::{BTreeMap, BTreeSet};

use pyrite_common::checkpoint::{CatchUpMaximum, NodeWatermark, Offsets, TopicPartition};

use super::message::EventTimes;
use super::spec::{WatermarkNode, WatermarkPolicy};

/// Where the watermarks of a query stand after a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watermarks {
    /// Milliseconds; a node that saw no time yet is absent.
    pub nodes: BTreeMap<u32, i64>,
    /// Over all nodes, milliseconds; never falls.
    pub global_ms: i64,
    /// The largest times of the running catch-up.
    pub maxima: BTreeMap<PartitionAt, i64>,
}

/// One partition's records at one watermark node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionAt {
    pub node: u32,
    pub source: u32,
    pub partition: TopicPartition,
}

/// The partitions that a limited batch left behind the catch-up's end.
pub type Behind = BTreeSet<(u32, TopicPartition)>;

impl Watermarks {
    /// What a commit's file says.
    pub fn from_commit(global_ms: i64, nodes: &[NodeWatermark], maxima: &[CatchUpMaximum]) -> Watermarks {
        let at = |entry: &CatchUpMaximum| PartitionAt {
            node: entry.node,
            source: entry.source,
            partition: TopicPartition::new(entry.topic.clone(), entry.partition),
        };
        Watermarks {
            nodes: nodes.iter().map(|entry| (entry.node, entry.watermark_ms)).collect(),
            global_ms,
            maxima: maxima.iter().map(|entry| (at(entry), entry.max_us)).collect(),
        }
    }

    /// The nodes as a commit's file has them.
    pub fn node_entries(&self) -> Vec<NodeWatermark> {
        self.nodes
            .iter()
            .map(|(node, watermark_ms)| NodeWatermark { node: *node, watermark_ms: *watermark_ms })
            .collect()
    }

    /// The maxima as a commit's file has them.
    pub fn maxima_entries(&self) -> Vec<CatchUpMaximum> {
        let entry = |(at, max_us): (&PartitionAt, &i64)| CatchUpMaximum {
            node: at.node,
            source: at.source,
            topic: at.partition.topic.clone(),
            partition: at.partition.partition,
            max_us: *max_us,
        };
        self.maxima.iter().map(entry).collect()
    }

    /// The state after a batch that saw `times`. `catch_up`: the batch is part of a catch-up and these partitions are
    /// still behind its end; while any is, a node moves only as far as the slowest of them has come, so cutting a
    /// backlog makes no row late that one batch would have kept.
    pub fn advance(
        &self,
        nodes: &[WatermarkNode],
        policy: WatermarkPolicy,
        times: &[EventTimes],
        catch_up: Option<&Behind>,
    ) -> Watermarks {
        let mut maxima = if catch_up.is_some() { self.maxima.clone() } else { BTreeMap::new() };
        for seen in times.iter().filter(|seen| seen.count > 0) {
            let partition = TopicPartition::new(seen.topic.clone(), seen.partition);
            let at = PartitionAt { node: seen.node, source: seen.source, partition };
            let max = maxima.entry(at).or_insert(i64::MIN);
            *max = (*max).max(seen.max_us);
        }
        let mut after = self.nodes.clone();
        for node in nodes {
            let Some(time_us) = candidate(node.node, &maxima, catch_up) else { continue };
            let watermark_ms = time_us.div_euclid(1000) - node.delay_us.div_euclid(1000);
            let entry = after.entry(node.node).or_insert(watermark_ms);
            *entry = (*entry).max(watermark_ms);
        }
        let values = nodes.iter().map(|node| after.get(&node.node).copied().unwrap_or(0));
        let chosen = match policy {
            WatermarkPolicy::Min => values.min(),
            WatermarkPolicy::Max => values.max(),
        };
        let global_ms = self.global_ms.max(chosen.unwrap_or(0));
        let still_catching_up = catch_up.is_some_and(|behind| !behind.is_empty());
        Watermarks { nodes: after, global_ms, maxima: if still_catching_up { maxima } else { BTreeMap::new() } }
    }
}

/// The time that a node's watermark may follow; `None`: nothing seen, or a partition behind has shown nothing yet.
fn candidate(node: u32, maxima: &BTreeMap<PartitionAt, i64>, catch_up: Option<&Behind>) -> Option<i64> {
    let of_node = || maxima.iter().filter(|(at, _)| at.node == node);
    match catch_up {
        Some(behind) if !behind.is_empty() => {
            let mut slowest = i64::MAX;
            for (source, partition) in behind {
                let at = PartitionAt { node, source: *source, partition: partition.clone() };
                slowest = slowest.min(*maxima.get(&at)?);
            }
            Some(slowest)
        }
        _ => of_node().map(|(_, max)| *max).max(),
    }
}

/// The partitions whose end is before the catch-up's.
pub fn behind(ends: &[Offsets], targets: &[Offsets]) -> Behind {
    let mut behind = Behind::new();
    for (source, (ends, targets)) in (0..).zip(ends.iter().zip(targets)) {
        for (partition, target) in targets.iter() {
            if ends.get(partition).is_some_and(|end| end < target) {
                behind.insert((source, partition.clone()));
            }
        }
    }
    behind
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND_US: i64 = 1_000_000;

    fn node(node: u32, delay_s: i64) -> WatermarkNode {
        WatermarkNode { node, delay_us: delay_s * SECOND_US }
    }

    fn seen(node: u32, partition: i32, max_us: i64) -> EventTimes {
        EventTimes { node, source: 0, topic: "t".into(), partition, max_us, min_us: 0, sum_offset_us: 0.0, count: 1 }
    }

    fn behind_of(partitions: &[i32]) -> Behind {
        partitions.iter().map(|partition| (0, TopicPartition::new("t", *partition))).collect()
    }

    #[test]
    fn the_largest_time_minus_the_delay_cut_to_milliseconds() {
        let start = Watermarks::default();
        let after = start.advance(&[node(0, 30)], WatermarkPolicy::Min, &[seen(0, 0, 100 * SECOND_US + 1_999)], None);
        assert_eq!(after.global_ms, 70_001);
        let back = after.advance(&[node(0, 30)], WatermarkPolicy::Min, &[seen(0, 0, 90 * SECOND_US)], None);
        assert_eq!(back.global_ms, 70_001);
    }

    #[test]
    fn a_node_without_data_pins_the_minimum_but_not_the_maximum() {
        let nodes = [node(0, 0), node(1, 0)];
        let times = [seen(0, 0, 50 * SECOND_US)];
        assert_eq!(Watermarks::default().advance(&nodes, WatermarkPolicy::Min, &times, None).global_ms, 0);
        assert_eq!(Watermarks::default().advance(&nodes, WatermarkPolicy::Max, &times, None).global_ms, 50_000);
    }

    #[test]
    fn a_catch_up_follows_the_slowest_partition_behind() {
        let nodes = [node(0, 0)];
        let first = Watermarks::default().advance(
            &nodes,
            WatermarkPolicy::Min,
            &[seen(0, 0, 100 * SECOND_US), seen(0, 1, 10 * SECOND_US)],
            Some(&behind_of(&[0, 1])),
        );
        assert_eq!(first.global_ms, 10_000);
        // Partition 2 has shown nothing: the watermark stays.
        let unknown =
            first.advance(&nodes, WatermarkPolicy::Min, &[seen(0, 1, 20 * SECOND_US)], Some(&behind_of(&[1, 2])));
        assert_eq!(unknown.global_ms, 10_000);
        // The end of the catch-up follows the largest of all its batches.
        let done = unknown.advance(&nodes, WatermarkPolicy::Min, &[], Some(&behind_of(&[])));
        assert_eq!(done.global_ms, 100_000);
        assert!(done.maxima.is_empty());
    }

    #[test]
    fn a_commit_keeps_all_of_it() {
        let nodes = [node(0, 1)];
        let state = Watermarks::default().advance(
            &nodes,
            WatermarkPolicy::Min,
            &[seen(0, 0, 7 * SECOND_US)],
            Some(&behind_of(&[0])),
        );
        let read = Watermarks::from_commit(state.global_ms, &state.node_entries(), &state.maxima_entries());
        assert_eq!(read, state);
    }

    proptest! {
        #[test]
        fn watermarks_never_fall_and_cutting_never_runs_ahead(
            batches in proptest::collection::vec(proptest::collection::vec((0i32..3, 0i64..1_000_000_000), 0..4), 1..12),
        ) {
            let nodes = [node(0, 3)];
            let (mut cut, mut whole) = (Watermarks::default(), Watermarks::default());
            for (index, batch) in batches.iter().enumerate() {
                let times: Vec<EventTimes> = batch.iter().map(|(partition, time)| seen(0, *partition, *time)).collect();
                let last = index + 1 == batches.len();
                let behind = if last { behind_of(&[]) } else { behind_of(&[0, 1, 2]) };
                let next = cut.advance(&nodes, WatermarkPolicy::Min, &times, Some(&behind));
                prop_assert!(next.global_ms >= cut.global_ms);
                cut = next;
                whole = whole.advance(&nodes, WatermarkPolicy::Min, &times, None);
                prop_assert!(cut.global_ms <= whole.global_ms);
            }
            prop_assert_eq!(cut.global_ms, whole.global_ms);
        }
    }
}
