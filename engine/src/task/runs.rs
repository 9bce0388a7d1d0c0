//! Sorted runs of groups that did not fit into memory, and their merge.
//!
//! A run is a sequence of entries `key length (u32) · value length (u32) · state key · partial`, in the order of state
//! keys, each key once. Runs of one level share a file; when a level has [`MERGE_WIDTH`] of them they become one run of
//! the next, so that the number of open files and of read buffers stays small however much is put away, and what comes
//! again and again is kept about once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;

use super::groups::Groups;
use super::scratch::{Scratch, ScratchFile};
use super::{NEVER, TaskError};
use crate::plan::CompiledAggregate;
use crate::state::{StateError, split_due};

/// Runs of a level that are merged into one of the next.
const MERGE_WIDTH: usize = 16;
/// Bytes read or written at a time.
const BUFFER_BYTES: usize = 64 * 1024;
/// Entries that are decoded at a time.
const DECODE_ROWS: usize = 16 * 1024;
const HEADER_BYTES: usize = 8;

/// What a shard's buffer has put away.
pub(super) struct Runs {
    scratch: Arc<dyn Scratch>,
    levels: Vec<Level>,
}

/// Runs of about one size, in one file.
struct Level {
    file: Box<dyn ScratchFile>,
    /// Where each starts and ends.
    runs: Vec<(u64, u64)>,
    buffer: Vec<u8>,
    written: u64,
}

impl Runs {
    /// None yet.
    pub(super) fn new(scratch: Arc<dyn Scratch>) -> Self {
        Runs { scratch, levels: Vec::new() }
    }

    /// Puts groups away as a run.
    pub(super) fn add(&mut self, groups: Groups, aggregate: &CompiledAggregate) -> Result<(), TaskError> {
        self.make_room(0, aggregate)?;
        let level = &mut self.levels[0];
        level.begin();
        level.write_groups(groups, aggregate)?;
        level.end()
    }

    /// Sees to it that level `number` is there and takes another run.
    fn make_room(&mut self, number: usize, aggregate: &CompiledAggregate) -> Result<(), TaskError> {
        if number == self.levels.len() {
            let file = self.scratch.file()?;
            self.levels.push(Level { file, runs: Vec::new(), buffer: Vec::new(), written: 0 });
        }
        if self.levels[number].runs.len() < MERGE_WIDTH {
            return Ok(());
        }
        self.make_room(number + 1, aggregate)?;
        let (lower, upper) = self.levels.split_at_mut(number + 1);
        let (full, next) = (&mut lower[number], &mut upper[0]);
        let mut merge = Merge::new(std::slice::from_ref(full), aggregate, self.scratch.merge_bytes())?;
        next.begin();
        while let Some(groups) = merge.next_groups()? {
            next.write_groups(groups, aggregate)?;
        }
        next.end()?;
        full.clear()
    }

    /// All groups of all runs, in the order of their state keys.
    pub(super) fn merge<'a>(&'a self, aggregate: &'a CompiledAggregate) -> Result<Merge<'a>, TaskError> {
        Merge::new(&self.levels, aggregate, self.scratch.merge_bytes())
    }
}

impl Level {
    fn begin(&mut self) {
        self.runs.push((self.written, self.written));
    }

    fn write_groups(&mut self, mut groups: Groups, aggregate: &CompiledAggregate) -> Result<(), TaskError> {
        let order = groups.in_key_order(aggregate.event_time_key.is_some(), |_| true);
        let count = groups.keys.len();
        let values = aggregate.value_codec.encode(&groups.take_partials()?, count);
        for (at, touched) in order.touched.iter().enumerate() {
            self.write(order.key(at), values.row(touched.group))?;
        }
        Ok(())
    }

    fn write(&mut self, key: &[u8], value: &[u8]) -> Result<(), TaskError> {
        for length in [key.len(), value.len()] {
            let length = u32::try_from(length).map_err(|_| StateError::Corrupt("a group has 4 GiB".to_owned()))?;
            self.buffer.extend_from_slice(&length.to_le_bytes());
        }
        self.buffer.extend_from_slice(key);
        self.buffer.extend_from_slice(value);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.file.append(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn end(&mut self) -> Result<(), TaskError> {
        self.flush()?;
        self.buffer = Vec::new();
        self.runs.last_mut().expect("a run was begun").1 = self.written;
        Ok(())
    }

    fn clear(&mut self) -> Result<(), TaskError> {
        self.file.clear()?;
        self.runs.clear();
        self.written = 0;
        Ok(())
    }
}

/// A merge of runs: groups in chunks whose keys ascend and are disjoint.
pub(super) struct Merge<'a> {
    aggregate: &'a CompiledAggregate,
    cursors: Vec<Cursor<'a>>,
    /// The next key of each cursor that has one, the least first.
    heap: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
    chunk_bytes: usize,
}

impl<'a> Merge<'a> {
    fn new(levels: &'a [Level], aggregate: &'a CompiledAggregate, chunk_bytes: usize) -> Result<Self, TaskError> {
        let mut merge = Merge { aggregate, cursors: Vec::new(), heap: BinaryHeap::new(), chunk_bytes };
        for level in levels {
            for (start, end) in &level.runs {
                let mut cursor = Cursor::new(level.file.as_ref(), *start, *end);
                let mut key = Vec::new();
                if cursor.advance(&mut key)? {
                    merge.heap.push(Reverse((key, merge.cursors.len())));
                    merge.cursors.push(cursor);
                }
            }
        }
        Ok(merge)
    }

    /// The first state key that no chunk had yet.
    pub(super) fn next_key(&self) -> Option<&[u8]> {
        self.heap.peek().map(|Reverse((key, _))| key.as_slice())
    }

    /// The groups of the next chunk, each merged of all runs that have it.
    pub(super) fn next_groups(&mut self) -> Result<Option<Groups>, TaskError> {
        let mut entries = Entries::default();
        while let Some(mut least) = self.heap.peek_mut() {
            let Reverse((key, index)) = &mut *least;
            if entries.bytes.len() >= self.chunk_bytes && entries.last_key() != Some(key.as_slice()) {
                break;
            }
            let cursor = &mut self.cursors[*index];
            entries.push(key, cursor.value());
            if !cursor.advance(key)? {
                PeekMut::pop(least);
            }
        }
        if entries.spans.is_empty() { Ok(None) } else { entries.groups(self.aggregate).map(Some) }
    }
}

/// Entries of a chunk, one after another.
#[derive(Default)]
struct Entries {
    bytes: Vec<u8>,
    /// Start, end of the key, end of the value.
    spans: Vec<(usize, usize, usize)>,
}

impl Entries {
    fn push(&mut self, key: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.spans.push((start, start + key.len(), self.bytes.len()));
    }

    fn last_key(&self) -> Option<&[u8]> {
        self.spans.last().map(|(start, key_end, _)| &self.bytes[*start..*key_end])
    }

    fn groups(&self, aggregate: &CompiledAggregate) -> Result<Groups, TaskError> {
        let timed = aggregate.event_time_key.is_some();
        let mut keys = Vec::with_capacity(self.spans.len());
        for (start, key_end, _) in &self.spans {
            let state_key = &self.bytes[*start..*key_end];
            let parts = if timed { split_due(state_key) } else { state_key.get(2..).map(|key| (NEVER, key)) };
            let (due, key) = parts.ok_or_else(|| StateError::Corrupt("a key of a run is cut".to_owned()))?;
            keys.push((key, due));
        }
        let mut groups = Groups::new(&aggregate.aggregates)?;
        for (keys, spans) in keys.chunks(DECODE_ROWS).zip(self.spans.chunks(DECODE_ROWS)) {
            let values = spans.iter().map(|(_, key_end, end)| &self.bytes[*key_end..*end]);
            let partials = aggregate.value_codec.decode(values)?;
            groups.assign(keys.len(), |row| keys[row]);
            groups.merge(&partials)?;
        }
        Ok(groups)
    }
}

/// Reads one run from its front to its end.
struct Cursor<'a> {
    file: &'a dyn ScratchFile,
    /// What is not in the buffer yet.
    next: u64,
    end: u64,
    buffer: Vec<u8>,
    at: usize,
    value: (usize, usize),
}

impl<'a> Cursor<'a> {
    fn new(file: &'a dyn ScratchFile, start: u64, end: u64) -> Self {
        Cursor { file, next: start, end, buffer: Vec::new(), at: 0, value: (0, 0) }
    }

    /// The partial of the current entry.
    fn value(&self) -> &[u8] {
        &self.buffer[self.value.0..self.value.1]
    }

    /// Goes to the next entry and puts its key into `key`; `false` at the end.
    fn advance(&mut self, key: &mut Vec<u8>) -> Result<bool, TaskError> {
        if self.at == self.buffer.len() && self.next == self.end {
            return Ok(false);
        }
        self.need(HEADER_BYTES)?;
        let length = |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| self.buffer[at + byte])) as usize;
        let (key_length, value_length) = (length(self.at), length(self.at + 4));
        self.need(HEADER_BYTES + key_length + value_length)?;
        let key_start = self.at + HEADER_BYTES;
        let value_start = key_start + key_length;
        key.clear();
        key.extend_from_slice(&self.buffer[key_start..value_start]);
        self.value = (value_start, value_start + value_length);
        self.at = self.value.1;
        Ok(true)
    }

    /// Has `bytes` bytes of the run at `at` in the buffer.
    fn need(&mut self, bytes: usize) -> Result<(), TaskError> {
        let has = self.buffer.len() - self.at;
        if has >= bytes {
            return Ok(());
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let left = (self.end - self.next) as usize;
        let read = (bytes - has).max(BUFFER_BYTES).min(left);
        if has + read < bytes {
            return Err(StateError::Corrupt("a run of groups is cut".to_owned()).into());
        }
        self.buffer.resize(has + read, 0);
        self.file.read(self.next, &mut self.buffer[has..])?;
        self.next += read as u64;
        Ok(())
    }
}
