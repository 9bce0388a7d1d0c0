//! Sorted writes of one batch, read together with the database below them.
//!
//! Pending writes are an overlay, not a write batch of RocksDB, because a batch's writes may have to be read, ranges
//! among them, and thrown away when the attempt does not become the batch. An overlay's bytes are the bytes of its
//! changelog section (`entry`): one buffer and four bytes an entry, instead of two allocations.

use std::cmp::Ordering;

use super::entry::{put_entry, take_entry};

/// One write: a key and its value; `None` deletes.
pub type Write = (Vec<u8>, Option<Vec<u8>>);

/// A batch's writes to one shard, in the order of their keys, each key once.
#[derive(Debug, Default)]
pub struct Overlay {
    bytes: Vec<u8>,
    /// Where each entry starts.
    starts: Vec<u32>,
}

impl Overlay {
    /// Takes writes that are sorted by key.
    pub fn new(writes: Vec<Write>) -> Self {
        let mut overlay = Self::default();
        writes.iter().for_each(|(key, value)| overlay.push(key, value.as_deref()));
        overlay
    }

    /// Adds a write, whose key is greater than all before; asserts it, for an unsorted overlay loses keys.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        assert!(self.is_empty() || self.key(self.len() - 1) < key, "writes are sorted and each key comes once");
        self.starts.push(u32::try_from(self.bytes.len()).expect("an overlay leaves memory long before 4 GiB"));
        put_entry(&mut self.bytes, key, value);
    }

    /// Forgets all writes, and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.starts.clear();
    }

    /// Number of writes.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The entries one after another, as a changelog section has them.
    pub fn encoded(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes in memory.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.starts.len() * size_of::<u32>()
    }

    /// The write at a position.
    pub fn entry(&self, index: usize) -> (&[u8], Option<&[u8]>) {
        let mut rest = &self.bytes[self.starts[index] as usize..];
        take_entry(&mut rest).expect("an overlay holds whole entries")
    }

    /// The key at a position.
    pub fn key(&self, index: usize) -> &[u8] {
        self.entry(index).0
    }

    /// The writes, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        (0..self.len()).map(|index| self.entry(index))
    }

    /// The first write at or after `key`.
    pub fn lower_bound(&self, key: &[u8]) -> usize {
        self.search(0, self.len(), key)
    }

    /// Looks sorted keys up, each from where the last one ended. `found(index, value)` is called for each key that is
    /// here.
    pub fn find_sorted<'a>(&'a self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<&'a [u8]>)) {
        let mut from = 0;
        for (index, key) in keys.iter().enumerate() {
            from = self.gallop(from, key);
            if from == self.len() {
                return;
            }
            let (other, value) = self.entry(from);
            if other == *key {
                found(index, value);
            }
        }
    }

    /// The first write at or after `key`, not before `from`: doubling steps, then a search within the last one.
    fn gallop(&self, from: usize, key: &[u8]) -> usize {
        let (mut low, mut step) = (from, 1);
        while low + step - 1 < self.len() && self.key(low + step - 1) < key {
            low += step;
            step *= 2;
        }
        self.search(low, (low + step).min(self.len()), key)
    }

    fn search(&self, mut low: usize, mut high: usize, key: &[u8]) -> usize {
        while low < high {
            let middle = low.midpoint(high);
            match self.key(middle).cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal | Ordering::Greater => high = middle,
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay(keys: &[&str]) -> Overlay {
        Overlay::new(keys.iter().map(|key| (key.as_bytes().to_vec(), Some(key.as_bytes().to_vec()))).collect())
    }

    #[test]
    fn sorted_lookups_find_exactly_what_is_there() {
        let names: Vec<String> = (0..200).map(|number| format!("{number:04}")).collect();
        let even: Vec<&str> = names.iter().step_by(2).map(String::as_str).collect();
        let overlay = overlay(&even);
        let keys: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        let mut found = Vec::new();
        overlay.find_sorted(&keys, |index, _| found.push(index));
        assert_eq!(found, (0..200).step_by(2).collect::<Vec<_>>());
        let mut far = Vec::new();
        overlay.find_sorted(&[b"0001", b"0196", b"9"], |index, _| far.push(index));
        assert_eq!(far, [1]);
    }

    #[test]
    fn deletions_are_not_empty_values() {
        let writes = vec![(b"a".to_vec(), None), (b"b".to_vec(), Some(Vec::new()))];
        let overlay = Overlay::new(writes);
        assert_eq!(overlay.iter().collect::<Vec<_>>(), [(&b"a"[..], None), (&b"b"[..], Some(&b""[..]))]);
    }

    #[test]
    #[should_panic(expected = "sorted")]
    fn unsorted_writes_are_a_defect() {
        overlay(&["b", "a"]);
    }

    #[test]
    fn the_lower_bound_is_the_first_at_or_after() {
        let overlay = overlay(&["b", "d"]);
        assert_eq!([0, 0, 1, 2].as_slice(), ["a", "b", "c", "e"].map(|key| overlay.lower_bound(key.as_bytes())));
    }
}
