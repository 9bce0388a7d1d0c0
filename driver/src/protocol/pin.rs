//! The plan of a new batch: what `offsets/N` pins, from what was committed and what the sources have.

use pyrite_common::checkpoint::{Offsets, OffsetsExtra, OffsetsFile, OperatorWatermarks, SplitPin};

use super::spec::QuerySpec;

/// No watermark: nothing compares below it.
pub(super) const NO_WATERMARK_US: i64 = i64::MIN;

/// What the last committed batch leaves to the next plan.
#[derive(Debug, Clone, Default)]
pub(super) struct Position {
    /// Where the next batch starts; index = source.
    pub offsets: Vec<Offsets>,
    /// The watermark that evicted in the last batch, milliseconds: rows behind it are late in the next.
    pub last_watermark_ms: i64,
    /// The watermark that evicts in the next batch.
    pub next_watermark_ms: i64,
    /// The shard map of the last batch and its generation; empty before the first.
    pub shards: Vec<u16>,
    pub map_generation: u64,
    /// The end of the running catch-up.
    pub catch_up: Option<Vec<Offsets>>,
}

/// Who writes a plan, and when.
pub(super) struct Author {
    pub term: u64,
    pub nonce: String,
    pub now_us: i64,
}

/// The file of a new batch with these ends.
pub(super) fn new_plan(
    spec: &QuerySpec,
    position: &Position,
    starts: &[Offsets],
    ends: Vec<Offsets>,
    catch_up: Option<Vec<Offsets>>,
    author: Author,
) -> OffsetsFile {
    let (shards, map_generation) = next_map(spec, position);
    let extra = OffsetsExtra {
        term: author.term,
        driver: spec.driver.clone(),
        nonce: author.nonce,
        plan_hash: spec.plan_hash.clone(),
        map_generation,
        shards,
        starts: starts.iter().map(Offsets::to_json).collect(),
        splits: splits(starts, &ends, spec.splits_min),
        watermarks: operator_watermarks(spec, position),
        clock_us: author.now_us,
        catch_up: catch_up.map(|targets| targets.iter().map(Offsets::to_json).collect()),
        crc: String::new(),
    };
    OffsetsFile {
        batch_watermark_ms: position.next_watermark_ms,
        batch_timestamp_ms: author.now_us.div_euclid(1000),
        conf: spec.conf.clone(),
        ends: ends.into_iter().map(Some).collect(),
        pyrite: Some(extra),
    }
}

/// A plan that Spark wrote and did not commit, completed in the one way that every try repeats. Partitions that only
/// the ends know were new to it, and such begin at 0.
pub(super) fn complete_sparks_plan(spec: &QuerySpec, position: &Position, file: OffsetsFile) -> OffsetsFile {
    let ends: Vec<Offsets> = file.ends.iter().map(|end| end.clone().unwrap_or_default()).collect();
    let author = Author { term: 0, nonce: String::new(), now_us: file.batch_timestamp_ms * 1000 };
    let start = |(index, ends): (usize, &Offsets)| {
        let mut start = position.offsets.get(index).cloned().unwrap_or_default();
        for partition in ends.0.keys() {
            start.0.entry(partition.clone()).or_insert(0);
        }
        start
    };
    let starts: Vec<Offsets> = ends.iter().enumerate().map(start).collect();
    let completed = new_plan(spec, position, &starts, ends, None, author);
    OffsetsFile { pyrite: completed.pyrite, ..file }
}

/// The last map while the wanted number of shards is its own, else a new one.
fn next_map(spec: &QuerySpec, position: &Position) -> (Vec<u16>, u64) {
    if !spec.is_stateful() {
        return (Vec::new(), position.map_generation);
    }
    let wanted = super::shards::shard_map(spec.shards);
    if position.shards == wanted {
        (wanted, position.map_generation)
    } else if position.shards.is_empty() {
        (wanted, 0)
    } else {
        (wanted, position.map_generation + 1)
    }
}

fn operator_watermarks(spec: &QuerySpec, position: &Position) -> Vec<OperatorWatermarks> {
    let one = |operator: &super::spec::OperatorSpec| {
        let used = operator.uses_watermark() && !spec.watermarks.is_empty();
        let (late_us, evict_us) = if used {
            (position.last_watermark_ms.saturating_mul(1000), position.next_watermark_ms.saturating_mul(1000))
        } else {
            (NO_WATERMARK_US, NO_WATERMARK_US)
        };
        OperatorWatermarks { operator: operator.operator, late_us, evict_us }
    };
    spec.operators.iter().map(one).collect()
}

/// One split for each partition that has records; more, cut evenly in proportion, when at least `splits_min` are
/// wanted, as Spark's `minPartitions`.
fn splits(starts: &[Offsets], ends: &[Offsets], splits_min: u32) -> Vec<SplitPin> {
    let mut ranges = Vec::new();
    for (source, (starts, ends)) in (0u32..).zip(starts.iter().zip(ends)) {
        for (partition, end) in ends.iter() {
            let start = starts.get(partition).unwrap_or(end);
            if start < end {
                let (topic, partition) = (partition.topic.clone(), partition.partition);
                ranges.push(SplitPin { source, topic, partition, start, end });
            }
        }
    }
    if ranges.len() >= splits_min as usize {
        return ranges;
    }
    let total: i64 = ranges.iter().map(|range| range.end - range.start).sum();
    let mut splits = Vec::new();
    for range in ranges {
        let size = range.end - range.start;
        let share = size as f64 / total as f64 * f64::from(splits_min);
        let parts = (share.round() as i64).clamp(1, size);
        for part in 0..parts {
            let at = |part: i64| range.start + (i128::from(size) * i128::from(part) / i128::from(parts)) as i64;
            splits.push(SplitPin { start: at(part), end: at(part + 1), ..range.clone() });
        }
    }
    splits
}

#[cfg(test)]
mod tests {
    use pyrite_common::checkpoint::TopicPartition;

    use super::*;

    fn offsets(values: &[i64]) -> Offsets {
        values.iter().enumerate().map(|(index, offset)| (TopicPartition::new("t", index as i32), *offset)).collect()
    }

    #[test]
    fn a_split_for_each_partition_with_records() {
        let made = splits(&[offsets(&[5, 7])], &[offsets(&[9, 7])], 0);
        assert_eq!(made.len(), 1);
        assert_eq!((made[0].partition, made[0].start, made[0].end), (0, 5, 9));
    }

    #[test]
    fn more_splits_cover_the_same_records() {
        let made = splits(&[offsets(&[0, 0])], &[offsets(&[90, 10])], 10);
        assert_eq!(made.len(), 10);
        let first: Vec<_> = made.iter().filter(|split| split.partition == 0).collect();
        assert!(first.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!((first[0].start, first.last().unwrap().end), (0, 90));
        assert_eq!(splits(&[offsets(&[0])], &[offsets(&[2])], 8).len(), 2);
    }
}
