//! Groups of a task: encoded keys, interned, and the accumulators of their aggregates.
//!
//! A key is encoded once, where its rows are first combined; from there on its bytes are the group. One hash serves the
//! table and the bucket.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::error::DataFusionError;
use hashbrown::HashTable;

use crate::aggregate::{Accumulators, AggregateSet};
use crate::state::{append_state_key, bucket_of, hash_key};

/// Bucket and due time.
const STATE_KEY_HEAD_BYTES: usize = 10;

/// Interned keys: group ids count from 0 in the order of first sight.
#[derive(Default)]
pub(super) struct Keys {
    table: HashTable<u32>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    hashes: Vec<u64>,
    dues: Vec<i64>,
}

impl Keys {
    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The group of `key`; a new group is due at `due`.
    pub(super) fn intern(&mut self, key: &[u8], due: i64) -> usize {
        let hash = hash_key(key);
        let (bytes, ends, hashes) = (&self.bytes, &self.ends, &self.hashes);
        let found = self
            .table
            .find(hash, |group| hashes[*group as usize] == hash && slice(bytes, ends, *group as usize) == key);
        if let Some(group) = found {
            return *group as usize;
        }
        let group = self.ends.len() as u32;
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
        self.hashes.push(hash);
        self.dues.push(due);
        let hashes = &self.hashes;
        self.table.insert_unique(hash, group, |group| hashes[*group as usize]);
        group as usize
    }

    /// The bytes of a group's key.
    pub(super) fn key(&self, group: usize) -> &[u8] {
        slice(&self.bytes, &self.ends, group)
    }

    /// When a group is due, microseconds.
    pub(super) fn due(&self, group: usize) -> i64 {
        self.dues[group]
    }

    /// The bucket of a group.
    pub(super) fn bucket(&self, group: usize) -> u16 {
        bucket_of(self.hashes[group])
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 24 + self.table.capacity() * 5
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[usize], group: usize) -> &'a [u8] {
    let start = if group == 0 { 0 } else { ends[group - 1] };
    &bytes[start..ends[group]]
}

/// A group in the order of state keys.
pub(super) struct Touched {
    pub(super) group: usize,
    pub(super) bucket: u16,
    pub(super) due: i64,
    /// Whether the committed state has it.
    pub(super) in_state: bool,
    /// Where its state key ends, which begins where the one before ends.
    key_end: usize,
}

/// Groups in the order of their state keys.
#[derive(Default)]
pub(super) struct Ordered {
    pub(super) touched: Vec<Touched>,
    state_keys: Vec<u8>,
}

impl Ordered {
    /// The state key of the group at a position.
    pub(super) fn key(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.touched[at - 1].key_end };
        &self.state_keys[start..self.touched[at].key_end]
    }
}

/// Keys with the aggregates of their rows.
pub(super) struct Groups {
    pub(super) keys: Keys,
    accumulators: Accumulators,
    group_of_row: Vec<usize>,
}

impl Groups {
    /// No groups.
    pub(super) fn new(aggregates: &Arc<AggregateSet>) -> Result<Self, DataFusionError> {
        Ok(Groups { keys: Keys::default(), accumulators: aggregates.accumulators()?, group_of_row: Vec::new() })
    }

    /// Finds the group of each of `rows` rows: `key_of` gives key and due time.
    pub(super) fn assign<'a>(&mut self, rows: usize, key_of: impl Fn(usize) -> (&'a [u8], i64)) {
        self.group_of_row.clear();
        for row in 0..rows {
            let (key, due) = key_of(row);
            self.group_of_row.push(self.keys.intern(key, due));
        }
    }

    /// Adds the input rows of the last [`Groups::assign`].
    pub(super) fn update(&mut self, columns: &[ArrayRef]) -> Result<(), DataFusionError> {
        self.accumulators.update(columns, &self.group_of_row, self.keys.len())
    }

    /// Merges the partials of the last [`Groups::assign`].
    pub(super) fn merge(&mut self, partials: &[ArrayRef]) -> Result<(), DataFusionError> {
        self.accumulators.merge(partials, &self.group_of_row, self.keys.len())
    }

    /// Merges partials into groups that exist.
    pub(super) fn merge_into(&mut self, partials: &[ArrayRef], groups: &[usize]) -> Result<(), DataFusionError> {
        self.accumulators.merge(partials, groups, self.keys.len())
    }

    /// Makes the group of the empty key exist, without rows.
    pub(super) fn ensure_global_group(&mut self, due: i64) -> Result<(), DataFusionError> {
        self.keys.intern(&[], due);
        self.accumulators.ensure_groups(self.keys.len())
    }

    /// The groups whose due time `keeps` likes, in the order of their state keys; `timed`: these have the due time.
    pub(super) fn in_key_order(&self, timed: bool, mut keeps: impl FnMut(i64) -> bool) -> Ordered {
        let keys = &self.keys;
        let mut touched = Vec::with_capacity(keys.len());
        for group in 0..keys.len() {
            let due = keys.due(group);
            if keeps(due) {
                touched.push(Touched { group, bucket: keys.bucket(group), due, in_state: false, key_end: 0 });
            }
        }
        // As their state keys compare; most differ by what is at hand, without a look at the keys.
        let time = |group: &Touched| if timed { group.due } else { 0 };
        touched.sort_unstable_by(|left, right| {
            let heads = left.bucket.cmp(&right.bucket).then_with(|| time(left).cmp(&time(right)));
            heads.then_with(|| keys.key(left.group).cmp(keys.key(right.group)))
        });
        let mut state_keys = Vec::with_capacity(keys.bytes.len() + touched.len() * STATE_KEY_HEAD_BYTES);
        for group in &mut touched {
            append_state_key(&mut state_keys, group.bucket, timed.then_some(group.due), keys.key(group.group));
            group.key_end = state_keys.len();
        }
        Ordered { touched, state_keys }
    }

    /// Takes the partials of all groups, in the order of their ids.
    pub(super) fn take_partials(&mut self) -> Result<Vec<ArrayRef>, DataFusionError> {
        self.accumulators.take_partials()
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.keys.size() + self.accumulators.size()
    }
}
