//! When the buckets of a shard next have something due, so that a batch evicts without looking at what stays.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};

use crate::state::{StateError, StateView, bucket_prefix, split_due};

/// The due time of a group that no watermark evicts.
pub const NEVER: i64 = i64::MAX;

/// The earliest due time of each bucket that has one. Derived from state: never written, rebuilt when a shard opens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueIndex {
    next: BTreeMap<u16, i64>,
}

/// New earliest due times of buckets; `NEVER` for none.
pub type DueUpdate = Vec<(u16, i64)>;

impl DueIndex {
    /// Reads the first key of each bucket of a shard whose keys carry due times.
    pub fn rebuild(state: &dyn StateView, buckets: RangeInclusive<u16>) -> Result<DueIndex, StateError> {
        let mut index = DueIndex::default();
        for bucket in buckets {
            let mut first = NEVER;
            let each = &mut |key: &[u8], _: &[u8]| {
                first = split_due(key).map_or(NEVER, |(due, _)| due);
                Ok(ControlFlow::Break(()))
            };
            state.scan(&bucket_prefix(bucket), &bucket_prefix(bucket + 1), each)?;
            index.set(bucket, first);
        }
        Ok(index)
    }

    /// The earliest due time of a bucket; `NEVER` when there is none.
    pub fn next(&self, bucket: u16) -> i64 {
        self.next.get(&bucket).copied().unwrap_or(NEVER)
    }

    /// The buckets that have something due by `time`.
    pub fn due_by(&self, time: i64) -> Vec<u16> {
        self.next.iter().filter(|(_, next)| **next <= time).map(|(bucket, _)| *bucket).collect()
    }

    /// Takes over what a batch changed, once the batch is committed.
    pub fn apply(&mut self, update: &DueUpdate) {
        for (bucket, next) in update {
            self.set(*bucket, *next);
        }
    }

    fn set(&mut self, bucket: u16, next: i64) {
        if next == NEVER {
            self.next.remove(&bucket);
        } else {
            self.next.insert(bucket, next);
        }
    }
}
