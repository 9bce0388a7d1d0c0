//! The name of a shard.

use std::ops::RangeInclusive;

/// Which state a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId {
    /// The stateful operator.
    pub operator: u32,
    /// Its number in the shard map.
    pub shard: u32,
    /// Its first bucket.
    pub first_bucket: u16,
    /// Its last bucket.
    pub last_bucket: u16,
}

impl ShardId {
    /// Its buckets.
    pub fn buckets(&self) -> RangeInclusive<u16> {
        self.first_bucket..=self.last_bucket
    }
}
