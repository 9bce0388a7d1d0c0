//! Where a key lives: its bucket, and its place in the order of a shard's database.
//!
//! A state key is `bucket (u16) · [due time (i64)] · encoded group key`, big endian and order-preserving, so that a
//! shard is a run of buckets, and the groups of a bucket that are due by a watermark are its first ones.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Buckets of a query: fixed for the life of a checkpoint.
pub const BUCKETS: u16 = 1024;

/// The seed of the bucket hash `xxh3-64/1`. Part of the format: never changes.
const HASH_SEED: u64 = 0x7079_7269_7465_0001;

/// The hash that places a key; its upper bits choose the bucket.
pub fn hash_key(key: &[u8]) -> u64 {
    // A global aggregate has one empty key, which lives in bucket 0.
    if key.is_empty() { 0 } else { xxh3_64_with_seed(key, HASH_SEED) }
}

/// The bucket of a key by its hash.
pub fn bucket_of(hash: u64) -> u16 {
    (hash >> (64 - BUCKETS.trailing_zeros())) as u16
}

/// The first bytes of all keys of `bucket`; `BUCKETS` gives the end of the last one.
pub fn bucket_prefix(bucket: u16) -> [u8; 2] {
    bucket.to_be_bytes()
}

/// The key under which a group's partial is kept; `due` for groups that a watermark evicts.
pub fn state_key(bucket: u16, due: Option<i64>, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10 + key.len());
    append_state_key(&mut bytes, bucket, due, key);
    bytes
}

/// As [`state_key`], at the end of `bytes`.
pub(crate) fn append_state_key(bytes: &mut Vec<u8>, bucket: u16, due: Option<i64>, key: &[u8]) {
    bytes.extend_from_slice(&bucket.to_be_bytes());
    if let Some(due) = due {
        bytes.extend_from_slice(&ordered(due).to_be_bytes());
    }
    bytes.extend_from_slice(key);
}

/// Due time and group key of a state key that has a due time; `None` when it is too short.
pub fn split_due(state_key: &[u8]) -> Option<(i64, &[u8])> {
    let due = state_key.get(2..10)?.try_into().ok()?;
    Some(((u64::from_be_bytes(due) ^ SIGN) as i64, &state_key[10..]))
}

const SIGN: u64 = 1 << 63;

/// Maps signed order to unsigned order.
fn ordered(time: i64) -> u64 {
    time as u64 ^ SIGN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_keys_order_by_bucket_then_time() {
        let keys = [
            state_key(0, Some(i64::MIN), b"z"),
            state_key(0, Some(-1), b"a"),
            state_key(0, Some(0), b"a"),
            state_key(0, Some(5), b"a"),
            state_key(1, Some(-9), b"a"),
        ];
        assert!(keys.is_sorted());
        assert_eq!(split_due(&keys[1]), Some((-1, &b"a"[..])));
    }

    #[test]
    fn the_bucket_hash_never_changes() {
        assert_eq!(bucket_of(hash_key(b"")), 0);
        assert_eq!(hash_key(b"user_1"), xxh3_64_with_seed(b"user_1", 0x7079_7269_7465_0001));
        assert!(bucket_of(u64::MAX) == BUCKETS - 1);
    }
}
