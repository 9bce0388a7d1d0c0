//! Changelog objects: what one executor's shards wrote in one batch, in one object.
//!
//! Layout, version 1, all numbers little endian: `PYLG` `01` · the sections' bytes one after another · footer (JSON)
//! · length of the footer (u32) · crc32c of the footer (u32) · `PYLG`. A section is a run of entries (`entry`) sorted
//! by key. Sections name their buckets, so that a restore under another shard map finds what it needs.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use pyrite_common::checkpoint::AttemptId;

use super::entry::take_entry;
use super::overlay::Overlay;
use super::store::ShardId;

const MAGIC: &[u8; 4] = b"PYLG";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;
const TAIL_BYTES: usize = 12;

/// A changelog object that does not hold what it must.
#[derive(Debug, thiserror::Error)]
#[error("changelog object `{name}` is corrupt: {problem}")]
pub struct ChangelogError {
    name: String,
    problem: String,
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
    /// The entries.
    pub overlay: Arc<Overlay>,
}

impl EncodedSection {
    /// The section of a shard that wrote `overlay` and has `rows_total` keys then.
    pub fn new(id: ShardId, overlay: Arc<Overlay>, rows_total: u64) -> Self {
        let ShardId { operator, shard, first_bucket, last_bucket } = id;
        let (length, crc) = (overlay.encoded().len() as u64, crc32c::crc32c(overlay.encoded()));
        let section = Section { operator, shard, first_bucket, last_bucket, offset: 0, length, crc, rows_total };
        Self { section, overlay }
    }
}

/// Puts the object together.
pub fn write_object(batch: u64, attempt: AttemptId, executor: &str, sections: Vec<EncodedSection>) -> Vec<u8> {
    let bytes: usize = sections.iter().map(|encoded| encoded.overlay.encoded().len()).sum();
    let mut object = Vec::with_capacity(bytes + 256 * sections.len() + 256);
    object.extend_from_slice(MAGIC);
    object.push(VERSION);
    let mut footer = Footer { batch, attempt, executor: executor.to_owned(), sections: Vec::new() };
    for encoded in sections {
        let offset = object.len() as u64;
        object.extend_from_slice(encoded.overlay.encoded());
        footer.sections.push(Section { offset, ..encoded.section });
    }
    let text = serde_json::to_vec(&footer).expect("a footer has plain fields");
    object.extend_from_slice(&text);
    object.extend_from_slice(&(text.len() as u32).to_le_bytes());
    object.extend_from_slice(&crc32c::crc32c(&text).to_le_bytes());
    object.extend_from_slice(MAGIC);
    object
}

/// An object that was read back, its footer checked.
#[derive(Clone, Debug)]
pub struct Changelog {
    name: String,
    bytes: Bytes,
    footer: Footer,
}

impl Changelog {
    /// Reads an object. The footer must hold and say `batch` and `attempt`.
    pub fn open(name: &str, bytes: Bytes, batch: u64, attempt: AttemptId) -> Result<Self, ChangelogError> {
        let corrupt = |problem: &str| ChangelogError { name: name.to_owned(), problem: problem.to_owned() };
        if bytes.len() < HEADER_BYTES + TAIL_BYTES || &bytes[..4] != MAGIC || &bytes[bytes.len() - 4..] != MAGIC {
            return Err(corrupt("it does not begin and end as one"));
        }
        if bytes[4] != VERSION {
            return Err(corrupt(&format!("version {} is not known", bytes[4])));
        }
        let tail = bytes.len() - TAIL_BYTES;
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let (length, crc) = (number(tail) as usize, number(tail + 4));
        let start = tail
            .checked_sub(length)
            .filter(|start| *start >= HEADER_BYTES)
            .ok_or_else(|| corrupt("its footer is cut"))?;
        let text = &bytes[start..tail];
        if crc32c::crc32c(text) != crc {
            return Err(corrupt("the checksum of its footer is wrong"));
        }
        let footer: Footer = serde_json::from_slice(text).map_err(|error| corrupt(&error.to_string()))?;
        if (footer.batch, footer.attempt) != (batch, attempt) {
            let found =
                format!("it is of batch {}, attempt {}, not of {batch}, {attempt}", footer.batch, footer.attempt);
            return Err(corrupt(&found));
        }
        Ok(Self { name: name.to_owned(), bytes, footer })
    }

    /// What is in it.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Calls `each` with the key and value of every entry of a section, in order; the checksum is looked at first.
    pub fn entries<'a>(
        &'a self,
        section: &Section,
        mut each: impl FnMut(&'a [u8], Option<&'a [u8]>),
    ) -> Result<(), ChangelogError> {
        let corrupt = |problem: &str| ChangelogError { name: self.name.clone(), problem: problem.to_owned() };
        let end = section.offset.checked_add(section.length).filter(|end| *end <= self.bytes.len() as u64);
        let end = end.ok_or_else(|| corrupt("a section lies outside of it"))?;
        let mut rest = &self.bytes[section.offset as usize..end as usize];
        if crc32c::crc32c(rest) != section.crc {
            return Err(corrupt(&format!(
                "the checksum of operator {}, shard {} is wrong",
                section.operator, section.shard
            )));
        }
        while !rest.is_empty() {
            let (key, value) = take_entry(&mut rest).ok_or_else(|| corrupt("an entry is cut"))?;
            each(key, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::shard::Write;

    const ATTEMPT: AttemptId = AttemptId::new(2, 5);

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
        (writes, write_object(9, ATTEMPT, "exec-1", sections.into()))
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (writes, object) = object();
        let log = Changelog::open("o", object.into(), 9, ATTEMPT).expect("a good object");
        assert_eq!(log.footer().sections.len(), 2);
        for section in &log.footer().sections {
            let mut read = Vec::new();
            log.entries(section, |key, value| read.push((key.to_vec(), value.map(<[u8]>::to_vec))))
                .expect("a good section");
            assert_eq!(read, writes);
        }
    }

    #[test]
    fn damage_and_other_attempts_are_named() {
        let (_, good) = object();
        let other =
            Changelog::open("state/log/x", good.clone().into(), 9, AttemptId::new(2, 6)).expect_err("another attempt");
        assert!(other.to_string().contains("state/log/x") && other.to_string().contains("2-5"), "{other}");
        for cut in [0, 3, 20, good.len() - 1] {
            assert!(Changelog::open("o", good[..cut].to_vec().into(), 9, ATTEMPT).is_err(), "cut at {cut}");
        }
        let mut damaged = good.clone();
        damaged[HEADER_BYTES + 4] ^= 1;
        let log = Changelog::open("o", damaged.into(), 9, ATTEMPT).expect("its footer is whole");
        let sections = &log.footer().sections;
        assert!(log.entries(&sections[0], |_, _| {}).is_err());
        assert!(log.entries(&sections[1], |_, _| {}).is_ok());
        let mut version = good;
        version[4] = 9;
        assert!(
            Changelog::open("o", version.into(), 9, ATTEMPT).expect_err("unknown").to_string().contains("version 9")
        );
    }
}
