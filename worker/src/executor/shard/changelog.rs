//! Changelog objects: what one executor's shards wrote in one batch, in one object.
//!
//! Layout, version 1, all numbers little endian: `PYLG` `01` · the sections' bytes one after another · footer (JSON)
//! · length of the footer (u32) · crc32c of the footer (u32) · `PYLG`. A section is a run of entries (`entry`) sorted
//! by key. Sections name their buckets, so that a restore under another shard map finds what it needs.

use std::fs::File;
use std::io::{Error, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use pyrite_common::checkpoint::{AttemptId, ObjectRef};
use pyrite_common::error::Kind;
use pyrite_common::store::{CheckpointStore, StoreError};

use super::entry::take_entry;
use super::id::ShardId;
use super::overlay::Overlay;
use super::spool::Spool;

const MAGIC: &[u8; 4] = b"PYLG";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;
const TAIL_BYTES: usize = 12;
/// Bytes of an object in the checkpoint that are read at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// A changelog object that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ChangelogError {
    /// It does not hold what it must.
    #[error("changelog object `{name}` is corrupt: {problem}")]
    Corrupt { name: String, problem: String },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ChangelogError {
    fn corrupt(name: &str, problem: &str) -> Self {
        Self::Corrupt { name: name.to_owned(), problem: problem.to_owned() }
    }

    /// What it means for the batch. A missing object counts as corrupt: a commit named it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Corrupt { .. } => Kind::Corrupt,
            Self::Store(error) if error.kind() == Kind::NotFound => Kind::Corrupt,
            Self::Store(error) => error.kind(),
        }
    }
}

/// What an object says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footer {
    /// The batch.
    pub batch: u64,
    /// The attempt that wrote it.
    pub attempt: AttemptId,
    /// The executor that wrote it.
    pub executor: String,
    /// What is in it.
    pub sections: Vec<Section>,
}

/// The writes of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// The stateful operator.
    pub operator: u32,
    /// The shard's number in the batch's shard map.
    pub shard: u32,
    /// Its first bucket.
    pub first_bucket: u16,
    /// Its last bucket.
    pub last_bucket: u16,
    /// Where its bytes start in the object.
    pub offset: u64,
    /// How many they are.
    pub length: u64,
    /// Their CRC-32C.
    pub crc: u32,
    /// Keys in the shard after the batch.
    pub rows_total: u64,
}

/// One shard's writes, ready for an object.
#[derive(Debug)]
pub struct EncodedSection {
    /// The offset is set when the object is put together.
    pub section: Section,
    entries: Entries,
}

/// Where a section's bytes are.
#[derive(Debug)]
enum Entries {
    Memory(Arc<Overlay>),
    Spooled(Spool),
}

impl EncodedSection {
    /// The section of a shard that wrote `overlay` and has `rows_total` keys then.
    pub fn new(id: ShardId, overlay: Arc<Overlay>, rows_total: u64) -> Self {
        let (length, crc) = (overlay.encoded().len() as u64, crc32c::crc32c(overlay.encoded()));
        Self { section: Section::new(id, (length, crc), rows_total), entries: Entries::Memory(overlay) }
    }

    /// The section of a shard whose writes are in a file.
    pub fn spooled(id: ShardId, spool: Spool, rows_total: u64) -> Self {
        let section = Section::new(id, (spool.length(), spool.crc()), rows_total);
        Self { section, entries: Entries::Spooled(spool) }
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), Error> {
        match &self.entries {
            Entries::Memory(overlay) => out.write_all(overlay.encoded()),
            Entries::Spooled(spool) => spool.copy_to(out),
        }
    }
}

impl Section {
    fn new(id: ShardId, (length, crc): (u64, u32), rows_total: u64) -> Self {
        let ShardId { operator, shard, first_bucket, last_bucket } = id;
        Self { operator, shard, first_bucket, last_bucket, offset: 0, length, crc, rows_total }
    }
}

/// What was written: length and CRC-32C of the whole object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes.
    pub length: u64,
    /// CRC-32C.
    pub crc: u32,
}

/// Writes the object of a batch and attempt, section after section: none is held in memory beside its overlay.
pub fn write_object(
    out: &mut dyn Write,
    of: (u64, AttemptId, &str),
    sections: &[EncodedSection],
) -> Result<Written, Error> {
    let (batch, attempt, executor) = of;
    let mut out = Measured { out, written: Written::default() };
    out.write_all(MAGIC)?;
    out.write_all(&[VERSION])?;
    let mut footer = Footer { batch, attempt, executor: executor.to_owned(), sections: Vec::new() };
    for encoded in sections {
        footer.sections.push(Section { offset: out.written.length, ..encoded.section.clone() });
        encoded.write(&mut out)?;
    }
    let text = serde_json::to_vec(&footer).expect("a footer has plain fields");
    out.write_all(&text)?;
    out.write_all(&(text.len() as u32).to_le_bytes())?;
    out.write_all(&crc32c::crc32c(&text).to_le_bytes())?;
    out.write_all(MAGIC)?;
    Ok(out.written)
}

/// Counts and checks what goes through.
struct Measured<'a> {
    out: &'a mut dyn Write,
    written: Written,
}

impl Write for Measured<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let count = self.out.write(bytes)?;
        self.written.crc = crc32c::crc32c_append(self.written.crc, &bytes[..count]);
        self.written.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.out.flush()
    }
}

/// An object in the checkpoint, its footer checked. Its sections are read from there, a piece at a time, and only those
/// that are asked for.
#[derive(Clone, Debug)]
pub struct Changelog {
    store: CheckpointStore,
    name: String,
    length: u64,
    footer: Footer,
}

impl Changelog {
    /// Opens the object that a commit of `batch` and `attempt` named: its length must be the named one, its footer must
    /// hold and say the same. What is between them each section's checksum tells, when it is read.
    pub fn open(
        store: &CheckpointStore,
        object: &ObjectRef,
        batch: u64,
        attempt: AttemptId,
    ) -> Result<Self, ChangelogError> {
        let file = ObjectFile::open(store, &object.name)?;
        let footer = file.footer(object.length)?;
        if (footer.batch, footer.attempt) != (batch, attempt) {
            let found =
                format!("it is of batch {}, attempt {}, not of {batch}, {attempt}", footer.batch, footer.attempt);
            return Err(ChangelogError::corrupt(&object.name, &found));
        }
        Ok(Self { store: store.clone(), name: object.name.clone(), length: object.length, footer })
    }

    /// What is in it.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Calls `each` with the key and value of every entry of a section, in order; the checksum is looked at first.
    pub fn entries(&self, section: &Section, mut each: impl FnMut(&[u8], Option<&[u8]>)) -> Result<(), ChangelogError> {
        let corrupt = |problem: &str| ChangelogError::corrupt(&self.name, problem);
        let end = section.offset.checked_add(section.length).filter(|end| *end <= self.length);
        let end = end.ok_or_else(|| corrupt("a section lies outside of it"))?;
        let file = ObjectFile::open(&self.store, &self.name)?;
        let mut crc = 0;
        file.pieces(section.offset, end, &mut |piece| crc = crc32c::crc32c_append(crc, piece))?;
        if crc != section.crc {
            return Err(corrupt(&format!(
                "the checksum of operator {}, shard {} is wrong",
                section.operator, section.shard
            )));
        }
        // What is left of a piece is the beginning of an entry that the next one ends.
        let mut bytes = Vec::new();
        file.pieces(section.offset, end, &mut |piece| {
            bytes.extend_from_slice(piece);
            let mut rest = bytes.as_slice();
            loop {
                let before = rest;
                let Some((key, value)) = take_entry(&mut rest) else {
                    rest = before;
                    break;
                };
                each(key, value);
            }
            let taken = bytes.len() - rest.len();
            bytes.drain(..taken);
        })?;
        if bytes.is_empty() { Ok(()) } else { Err(corrupt("an entry is cut")) }
    }
}

/// The open file of an object.
struct ObjectFile<'a> {
    store: &'a CheckpointStore,
    name: &'a str,
    file: File,
}

impl<'a> ObjectFile<'a> {
    fn open(store: &'a CheckpointStore, name: &'a str) -> Result<Self, StoreError> {
        Ok(Self { store, name, file: store.blocking_view().open(name)? })
    }

    /// The footer of an object that must have `length` bytes.
    fn footer(&self, length: u64) -> Result<Footer, ChangelogError> {
        let corrupt = |problem: &str| ChangelogError::corrupt(self.name, problem);
        let found = self.file.metadata().map_err(|source| self.failed(source))?.len();
        if found != length {
            return Err(corrupt(&format!("it has {found} bytes, not {length}")));
        }
        if length < (HEADER_BYTES + TAIL_BYTES) as u64 {
            return Err(corrupt("it does not begin and end as one"));
        }
        let tail_start = length - TAIL_BYTES as u64;
        let (head, tail) = (self.read(0, HEADER_BYTES as u64)?, self.read(tail_start, length)?);
        if &head[..4] != MAGIC || &tail[8..] != MAGIC {
            return Err(corrupt("it does not begin and end as one"));
        }
        if head[4] != VERSION {
            return Err(corrupt(&format!("version {} is not known", head[4])));
        }
        let number = |at: usize| u32::from_le_bytes([tail[at], tail[at + 1], tail[at + 2], tail[at + 3]]);
        let start = tail_start
            .checked_sub(u64::from(number(0)))
            .filter(|start| *start >= HEADER_BYTES as u64)
            .ok_or_else(|| corrupt("its footer is cut"))?;
        let text = self.read(start, tail_start)?;
        if crc32c::crc32c(&text) != number(4) {
            return Err(corrupt("the checksum of its footer is wrong"));
        }
        serde_json::from_slice(&text).map_err(|error| corrupt(&error.to_string()))
    }

    fn read(&self, start: u64, end: u64) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        self.pieces(start, end, &mut |piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }

    /// Calls `each` with the bytes from `start` to `end`, piece after piece.
    fn pieces(&self, start: u64, end: u64, each: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        let mut piece = vec![0; PIECE_BYTES.min((end - start) as usize)];
        let mut at = start;
        while at < end {
            let piece = &mut piece[..PIECE_BYTES.min((end - at) as usize)];
            self.file.read_exact_at(piece, at).map_err(|source| self.failed(source))?;
            each(piece);
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn failed(&self, source: Error) -> StoreError {
        StoreError::Io { action: "read", path: self.store.root().join(self.name), source }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::executor::shard::Write;

    const ATTEMPT: AttemptId = AttemptId::new(2, 5);

    /// A checkpoint with objects that tests put there.
    struct World {
        _folder: tempfile::TempDir,
        store: CheckpointStore,
        objects: Cell<u32>,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let store = CheckpointStore::open(&folder.path().display().to_string()).expect("a store");
            Self { _folder: folder, store, objects: Cell::new(0) }
        }

        fn open(&self, bytes: &[u8], attempt: AttemptId) -> Result<Changelog, ChangelogError> {
            let name = format!("state/log/{}", self.objects.replace(self.objects.get() + 1));
            self.store.blocking_view().put(&name, bytes).expect("stored");
            let object = ObjectRef { name, length: bytes.len() as u64, crc: crc32c::crc32c(bytes) };
            Changelog::open(&self.store, &object, 9, attempt)
        }
    }

    fn object_of(sections: &[EncodedSection]) -> Vec<u8> {
        let mut object = Vec::new();
        let written = write_object(&mut object, (9, ATTEMPT, "exec-1"), sections).expect("memory takes it");
        assert_eq!(written, Written { length: object.len() as u64, crc: crc32c::crc32c(&object) });
        object
    }

    fn object() -> (Vec<Write>, Vec<u8>) {
        let writes: Vec<Write> =
            vec![(b"a".to_vec(), Some(vec![7; 300])), (b"b".to_vec(), None), (b"c".to_vec(), Some(Vec::new()))];
        let sections = [0u16, 512].map(|first_bucket| {
            let id = ShardId {
                operator: 0,
                shard: u32::from(first_bucket / 512),
                first_bucket,
                last_bucket: first_bucket + 511,
            };
            EncodedSection::new(id, Arc::new(Overlay::new(writes.clone())), 2)
        });
        (writes, object_of(&sections))
    }

    fn entries(log: &Changelog, section: &Section) -> Result<Vec<Write>, ChangelogError> {
        let mut read = Vec::new();
        log.entries(section, |key, value| read.push((key.to_vec(), value.map(<[u8]>::to_vec))))?;
        Ok(read)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (writes, object) = object();
        let world = World::new();
        let log = world.open(&object, ATTEMPT).expect("a good object");
        assert_eq!(log.footer().sections.len(), 2);
        for section in &log.footer().sections {
            assert_eq!(entries(&log, section).expect("a good section"), writes);
        }
    }

    #[test]
    fn an_object_is_read_in_pieces_that_cut_entries() {
        let world = World::new();
        let value = |number: u32| (!number.is_multiple_of(7)).then(|| vec![number as u8; 1_000 + number as usize % 91]);
        let mut writes: Vec<Write> = (0..900u32).map(|number| (number.to_be_bytes().to_vec(), value(number))).collect();
        // Larger than a piece.
        writes.push((vec![1; 2 * PIECE_BYTES], Some(vec![2; PIECE_BYTES])));
        let id = ShardId { operator: 0, shard: 0, first_bucket: 0, last_bucket: 1023 };
        let object = object_of(&[EncodedSection::new(id, Arc::new(Overlay::new(writes.clone())), 2)]);
        let log = world.open(&object, ATTEMPT).expect("a good object");
        assert!(entries(&log, &log.footer().sections[0]).expect("a good section") == writes);
        world.store.blocking_view().delete(&log.name).expect("deleted");
        let gone = entries(&log, &log.footer().sections[0]).expect_err("it is gone");
        assert_eq!(gone.kind(), Kind::Corrupt);
    }

    #[test]
    fn damage_and_other_attempts_are_named() {
        let world = World::new();
        let (_, good) = object();
        let other = world.open(&good, AttemptId::new(2, 6)).expect_err("another attempt");
        assert!(other.to_string().contains("state/log/0") && other.to_string().contains("2-5"), "{other}");
        for cut in [0, 3, 20, good.len() - 1] {
            assert!(world.open(&good[..cut], ATTEMPT).is_err(), "cut at {cut}");
        }
        let mut damaged = good.clone();
        damaged[HEADER_BYTES + 4] ^= 1;
        let log = world.open(&damaged, ATTEMPT).expect("its footer is whole");
        let sections = &log.footer().sections;
        assert!(entries(&log, &sections[0]).is_err());
        assert!(entries(&log, &sections[1]).is_ok());
        let mut version = good.clone();
        version[4] = 9;
        assert!(world.open(&version, ATTEMPT).expect_err("unknown").to_string().contains("version 9"));
    }

    #[test]
    fn another_length_than_the_commit_says_is_named() {
        let world = World::new();
        let (_, good) = object();
        world.store.blocking_view().put("state/log/x", &good).expect("stored");
        let longer = ObjectRef { name: "state/log/x".to_owned(), length: good.len() as u64 + 1, crc: 0 };
        let error = Changelog::open(&world.store, &longer, 9, ATTEMPT).expect_err("it is shorter");
        assert_eq!((error.kind(), error.to_string().contains("state/log/x")), (Kind::Corrupt, true));
    }
}
