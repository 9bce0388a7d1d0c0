//! The shard map: which contiguous runs of the fixed buckets make a shard.

use pyrite_engine::state::BUCKETS;

/// The first bucket of each of `shards` runs, as even as can be. More shards than buckets make no more runs.
pub fn shard_map(shards: u32) -> Vec<u16> {
    let shards = shards.clamp(1, u32::from(BUCKETS));
    let first = |shard: u32| u32::from(BUCKETS) * shard / shards;
    (0..shards).map(|shard| u16::try_from(first(shard)).expect("below the bucket count")).collect()
}

/// First and last bucket of each shard of a map.
pub(super) fn ranges(first_buckets: &[u16]) -> Vec<(u16, u16)> {
    let ends = first_buckets.iter().skip(1).copied().chain([BUCKETS]);
    first_buckets.iter().copied().zip(ends.map(|end| end - 1)).collect()
}

/// Why a map read from a checkpoint cannot be used; `None` when it can.
pub(super) fn problem(first_buckets: &[u16]) -> Option<&'static str> {
    if first_buckets.first().is_some_and(|first| *first != 0) {
        return Some("the first shard does not start at bucket 0");
    }
    if first_buckets.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Some("shards are not in order");
    }
    first_buckets.last().filter(|last| **last >= BUCKETS).map(|_| "a shard starts beyond the last bucket")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_covers_every_bucket_once() {
        for shards in [1, 2, 3, 7, 32, 200, 1024, 5000] {
            let map = shard_map(shards);
            assert_eq!(problem(&map), None);
            assert_eq!(map.len(), shards.min(1024) as usize);
            let ranges = ranges(&map);
            let sizes: Vec<u16> = ranges.iter().map(|(first, last)| last - first + 1).collect();
            assert_eq!(sizes.iter().map(|size| u32::from(*size)).sum::<u32>(), 1024);
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn broken_maps_are_seen() {
        assert!(problem(&[1, 5]).is_some());
        assert!(problem(&[0, 5, 5]).is_some());
        assert!(problem(&[0, 1024]).is_some());
        assert_eq!(problem(&[]), None);
    }
}
