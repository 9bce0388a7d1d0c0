//! One partition: its batches in order, with offsets given at the append. No I/O, no locks.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::batch::{self, BadBatch, Header};

/// Why an append was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendError {
    /// The bytes are no batches of the format that is spoken.
    Bad(BadBatch),
    /// A sequence number is missing in between.
    OutOfOrder,
    /// The records are here already: a producer's second try.
    Duplicate,
}

/// The partition's bounds: the first offset that is kept, and the one that the next record gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// First offset that is kept.
    pub start: i64,
    /// Offset of the next record.
    pub end: i64,
}

/// A partition's records.
#[derive(Debug, Default)]
pub struct Log {
    batches: VecDeque<Batch>,
    start: i64,
    end: i64,
    bytes: u64,
    producers: HashMap<i64, Producer>,
}

#[derive(Debug)]
struct Batch {
    base: i64,
    header: Header,
    bytes: Bytes,
}

/// What an idempotent producer sent last.
#[derive(Debug, Clone, Copy)]
struct Producer {
    epoch: i16,
    last_sequence: i32,
}

impl Log {
    /// Appends all batches in `records`; returns the first one's offset. Nothing is appended on an error.
    pub fn append(&mut self, mut records: Bytes) -> Result<i64, AppendError> {
        let mut batches = Vec::new();
        while let Some(one) = batch::next_batch(&mut records).map_err(AppendError::Bad)? {
            batches.push(one);
        }
        if let Some((header, _)) = batches.first() {
            self.check_sequence(header)?;
        }
        let first = self.end;
        for (header, bytes) in batches {
            let bytes = batch::with_base_offset(&bytes, self.end);
            self.bytes += bytes.len() as u64;
            if header.producer_id >= 0 {
                let last_sequence = header.base_sequence.wrapping_add(header.last_offset_delta);
                self.producers.insert(header.producer_id, Producer { epoch: header.producer_epoch, last_sequence });
            }
            self.batches.push_back(Batch { base: self.end, header, bytes });
            self.end += i64::from(header.last_offset_delta) + 1;
        }
        Ok(first)
    }

    /// The first and the next offset.
    pub fn bounds(&self) -> Bounds {
        Bounds { start: self.start, end: self.end }
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whole batches from the one that holds `offset` on: as many as fit into `bytes_max`, at least one. The caller has
    /// checked that the offset lies within the bounds; nothing is returned at the end of the log.
    pub fn read(&self, offset: i64, bytes_max: usize) -> Vec<Bytes> {
        let first = self.batches.partition_point(|batch| batch.last() < offset);
        let mut bytes = 0;
        let mut found = Vec::new();
        for batch in self.batches.iter().skip(first) {
            bytes += batch.bytes.len();
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(batch.bytes.clone());
        }
        found
    }

    /// Offset and timestamp of the first record at or after a time; of a compressed batch, its first record's offset.
    pub fn first_at_or_after(&self, timestamp: i64) -> Option<(i64, i64)> {
        let found = self.batches.iter().find(|batch| batch.header.max_timestamp >= timestamp)?;
        let exact =
            (found.header.compression == 0).then(|| batch::first_at_or_after(&found.bytes, timestamp)).flatten();
        Some(exact.map_or((found.base, found.header.max_timestamp), |(delta, at)| (found.base + delta, at)))
    }

    /// Forgets the oldest batch; returns its bytes. The newest batch always stays.
    pub fn forget_oldest(&mut self) -> u64 {
        if self.batches.len() < 2 {
            return 0;
        }
        let Some(oldest) = self.batches.pop_front() else {
            return 0;
        };
        self.start = oldest.last() + 1;
        self.bytes -= oldest.bytes.len() as u64;
        oldest.bytes.len() as u64
    }

    fn check_sequence(&self, header: &Header) -> Result<(), AppendError> {
        let Some(known) = self.producers.get(&header.producer_id).filter(|known| known.epoch == header.producer_epoch)
        else {
            return Ok(());
        };
        // Sequence numbers wrap round at the largest integer.
        let ahead = header.base_sequence.wrapping_sub(known.last_sequence);
        match ahead {
            1 => Ok(()),
            ahead if ahead <= 0 => Err(AppendError::Duplicate),
            _ if known.last_sequence == i32::MAX && header.base_sequence == 0 => Ok(()),
            _ => Err(AppendError::OutOfOrder),
        }
    }
}

impl Batch {
    fn last(&self) -> i64 {
        self.base + i64::from(self.header.last_offset_delta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::{batch, producer_batch};

    fn base_offsets(batches: &[Bytes]) -> Vec<i64> {
        batches.iter().map(|batch| i64::from_be_bytes(batch[..8].try_into().expect("eight bytes"))).collect()
    }

    #[test]
    fn gives_offsets_in_order() {
        let mut log = Log::default();
        assert_eq!(log.append(batch(&[1, 2, 3])), Ok(0));
        assert_eq!(log.append(batch(&[4])), Ok(3));
        assert_eq!(log.bounds(), Bounds { start: 0, end: 4 });
    }

    #[test]
    fn an_offset_inside_a_batch_gives_that_batch() {
        let mut log = Log::default();
        log.append(batch(&[1, 2, 3])).expect("appended");
        log.append(batch(&[4])).expect("appended");
        assert_eq!(base_offsets(&log.read(2, usize::MAX)), [0, 3]);
        assert_eq!(base_offsets(&log.read(3, usize::MAX)), [3]);
        assert!(log.read(4, usize::MAX).is_empty());
    }

    #[test]
    fn bytes_are_bounded_but_one_batch_always_comes() {
        let mut log = Log::default();
        log.append(batch(&[1])).expect("appended");
        log.append(batch(&[2])).expect("appended");
        assert_eq!(base_offsets(&log.read(0, 1)), [0]);
    }

    #[test]
    fn the_oldest_is_forgotten_and_the_newest_stays() {
        let mut log = Log::default();
        log.append(batch(&[1, 2])).expect("appended");
        log.append(batch(&[3])).expect("appended");
        let before = log.bytes();
        assert!(log.forget_oldest() > 0);
        assert!(log.bytes() < before);
        assert_eq!(log.bounds(), Bounds { start: 2, end: 3 });
        assert_eq!(log.forget_oldest(), 0);
    }

    #[test]
    fn times_are_found() {
        let mut log = Log::default();
        log.append(batch(&[10, 20])).expect("appended");
        log.append(batch(&[30])).expect("appended");
        assert_eq!(log.first_at_or_after(15), Some((1, 20)));
        assert_eq!(log.first_at_or_after(21), Some((2, 30)));
        assert_eq!(log.first_at_or_after(31), None);
    }

    #[test]
    fn a_second_try_of_an_idempotent_producer_is_seen() {
        let mut log = Log::default();
        assert_eq!(log.append(producer_batch(&[1, 2], 7, 0, 0)), Ok(0));
        assert_eq!(log.append(producer_batch(&[1, 2], 7, 0, 0)), Err(AppendError::Duplicate));
        assert_eq!(log.append(producer_batch(&[3], 7, 0, 2)), Ok(2));
        assert_eq!(log.append(producer_batch(&[9], 7, 0, 9)), Err(AppendError::OutOfOrder));
        assert_eq!(log.bounds().end, 3);
    }

    #[test]
    fn a_bad_batch_appends_nothing() {
        let mut log = Log::default();
        assert_eq!(log.append(Bytes::from_static(b"x")), Err(AppendError::Bad(BadBatch::Malformed)));
        assert_eq!(log.bounds().end, 0);
    }
}
