//! When a shard gets a snapshot: before a restore would have to replay more after the last one than it should.

/// What a restore of a shard would replay: its batches since its last snapshot, by this process or another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Versions, also those in which the shard wrote nothing: their commits are read all the same.
    pub versions: u64,
    /// Bytes of their changelog sections.
    pub bytes: u64,
}

impl Chain {
    /// One more version, which wrote `bytes`.
    pub fn grow(&mut self, bytes: u64) {
        self.versions += 1;
        self.bytes += bytes;
    }
}

/// How long chains may get.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotPolicy {
    /// In versions.
    pub versions: u64,
    /// In bytes of changelog.
    pub bytes: u64,
}

impl Default for SnapshotPolicy {
    /// So that a restore replays at most so much of a shard.
    fn default() -> Self {
        Self { versions: 100, bytes: 64 << 20 }
    }
}

/// Each shard has its own part of the limits, in hundredths, between the rest of these and all: shards that grow alike
/// would else be due at once, and stop the folds of all for a while.
const SPREAD: u64 = 50;
/// Has no factor with `SPREAD`, so that neighbours are far apart and all parts are used.
const STAGGER: u64 = 37;

impl SnapshotPolicy {
    /// Whether a shard should get a snapshot when there is time.
    pub fn is_due(&self, shard: u32, chain: Chain) -> bool {
        let hundredths = 100 - u64::from(shard) * STAGGER % SPREAD;
        let part = |limit: u64| (limit.saturating_mul(hundredths) / 100).max(1);
        chain.versions >= part(self.versions) || chain.bytes >= part(self.bytes)
    }

    /// Whether a chain is so long that a snapshot must not wait.
    pub fn is_full(&self, chain: Chain) -> bool {
        chain.versions >= self.versions || chain.bytes >= self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const POLICY: SnapshotPolicy = SnapshotPolicy { versions: 100, bytes: 1_000 };

    #[test]
    fn shards_come_due_one_after_another_and_none_after_the_limit() {
        let due_at = |shard| (1..).find(|versions| POLICY.is_due(shard, Chain { versions: *versions, bytes: 0 }));
        let times: BTreeSet<u64> = (0..50).filter_map(due_at).collect();
        assert_eq!(times, (51..=100).collect());
        assert_eq!((due_at(0), due_at(1)), (Some(100), Some(63)));
    }

    #[test]
    fn bytes_count_as_versions_do() {
        let chain = |bytes| Chain { versions: 1, bytes };
        assert!(!POLICY.is_due(0, chain(999)) && POLICY.is_due(0, chain(1_000)) && POLICY.is_due(1, chain(630)));
        assert!(!POLICY.is_full(chain(999)) && POLICY.is_full(chain(1_000)));
        assert!(!POLICY.is_due(7, Chain::default()), "nothing is replayed");
    }
}
