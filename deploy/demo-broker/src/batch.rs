//! The fixed header of a record batch (format version 2), read and patched in place; records stay as they came.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes before the first record.
const HEADER_BYTES: usize = 61;
/// Base offset and length come before what the length counts.
const LENGTH_END: usize = 12;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
/// What the checksum covers starts here, so that the broker can set offset and epoch without computing it anew.
const CRC_FROM: usize = 21;

/// What the broker needs of a batch's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Last offset less the first.
    pub last_offset_delta: i32,
    /// Milliseconds since 1970.
    pub max_timestamp: i64,
    /// -1 without idempotence.
    pub producer_id: i64,
    /// Epoch of the producer id.
    pub producer_epoch: i16,
    /// Sequence number of the first record.
    pub base_sequence: i32,
    /// Codec bits: 0 is no compression.
    pub compression: i16,
}

/// Why bytes are not a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadBatch {
    /// Too short, wrong length, negative counts.
    Malformed,
    /// A format older than version 2.
    OldFormat,
    /// The checksum does not fit.
    WrongChecksum,
}

/// Cuts the first batch off `records` and reads its header; `None` when nothing is left.
pub fn next_batch(records: &mut Bytes) -> Result<Option<(Header, Bytes)>, BadBatch> {
    if records.is_empty() {
        return Ok(None);
    }
    if records.len() < HEADER_BYTES {
        return Err(BadBatch::Malformed);
    }
    let length = usize::try_from(int(records, 8)).map_err(|_| BadBatch::Malformed)? + LENGTH_END;
    if records[MAGIC_AT] != 2 {
        return Err(BadBatch::OldFormat);
    }
    if length < HEADER_BYTES || length > records.len() {
        return Err(BadBatch::Malformed);
    }
    let batch = records.split_to(length);
    if crc32c::crc32c(&batch[CRC_FROM..]) != int(&batch, CRC_AT) as u32 {
        return Err(BadBatch::WrongChecksum);
    }
    let header = Header {
        compression: short(&batch, 21) & 7,
        last_offset_delta: int(&batch, 23),
        max_timestamp: long(&batch, 35),
        producer_id: long(&batch, 43),
        producer_epoch: short(&batch, 51),
        base_sequence: int(&batch, 53),
    };
    if header.last_offset_delta < 0 || int(&batch, 57) < 0 {
        return Err(BadBatch::Malformed);
    }
    Ok(Some((header, batch)))
}

/// A copy of the batch with the offset that it has in the log.
pub fn with_base_offset(batch: &[u8], base_offset: i64) -> Bytes {
    let mut copy = BytesMut::with_capacity(batch.len());
    copy.put_i64(base_offset);
    copy.put_slice(&batch[8..LEADER_EPOCH_AT]);
    copy.put_i32(0);
    copy.put_slice(&batch[MAGIC_AT..]);
    copy.freeze()
}

/// Offset delta and timestamp of the first record of an uncompressed batch at or after `timestamp`.
pub fn first_at_or_after(batch: &[u8], timestamp: i64) -> Option<(i64, i64)> {
    let base_timestamp = long(batch, 27);
    let mut rest = batch.get(HEADER_BYTES..)?;
    while !rest.is_empty() {
        let length = usize::try_from(zigzag(&mut rest)?).ok()?;
        let mut record = rest.get(..length)?;
        rest = &rest[length..];
        record = record.get(1..)?;
        let record_timestamp = base_timestamp + zigzag(&mut record)?;
        let offset_delta = zigzag(&mut record)?;
        if record_timestamp >= timestamp {
            return Some((offset_delta, record_timestamp));
        }
    }
    None
}

fn zigzag(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

fn short(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(array(bytes, at))
}

fn int(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(array(bytes, at))
}

fn long(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(array(bytes, at))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// An uncompressed batch of records with these timestamps and the value `x`.
    pub fn batch(timestamps: &[i64]) -> Bytes {
        producer_batch(timestamps, -1, -1, -1)
    }

    /// The same from an idempotent producer.
    pub fn producer_batch(timestamps: &[i64], producer: i64, epoch: i16, sequence: i32) -> Bytes {
        let base = timestamps[0];
        let mut records = BytesMut::new();
        for (delta, timestamp) in timestamps.iter().enumerate() {
            let mut record = vec![0_u8];
            put_zigzag(timestamp - base, &mut record);
            put_zigzag(delta as i64, &mut record);
            put_zigzag(-1, &mut record);
            put_zigzag(1, &mut record);
            record.push(b'x');
            put_zigzag(0, &mut record);
            let mut length = Vec::new();
            put_zigzag(record.len() as i64, &mut length);
            records.put_slice(&length);
            records.put_slice(&record);
        }
        let mut covered = BytesMut::new();
        covered.put_i16(0);
        covered.put_i32(timestamps.len() as i32 - 1);
        covered.put_i64(base);
        covered.put_i64(*timestamps.iter().max().expect("a timestamp"));
        covered.put_i64(producer);
        covered.put_i16(epoch);
        covered.put_i32(sequence);
        covered.put_i32(timestamps.len() as i32);
        covered.put_slice(&records);
        let mut out = BytesMut::new();
        out.put_i64(0);
        out.put_i32(9 + covered.len() as i32);
        out.put_i32(-1);
        out.put_i8(2);
        out.put_u32(crc32c::crc32c(&covered));
        out.put_slice(&covered);
        out.freeze()
    }

    fn put_zigzag(value: i64, out: &mut Vec<u8>) {
        let mut bits = ((value << 1) ^ (value >> 63)) as u64;
        while bits >= 0x80 {
            out.push(bits as u8 | 0x80);
            bits >>= 7;
        }
        out.push(bits as u8);
    }

    #[test]
    fn reads_batches_one_after_the_other() {
        let mut records = BytesMut::from(&batch(&[10, 20])[..]);
        records.put_slice(&batch(&[30]));
        let mut records = records.freeze();
        let (first, _) = next_batch(&mut records).expect("a batch").expect("one");
        let (second, _) = next_batch(&mut records).expect("a batch").expect("two");
        assert_eq!((first.last_offset_delta, first.max_timestamp), (1, 20));
        assert_eq!((second.last_offset_delta, second.max_timestamp), (0, 30));
        assert_eq!(next_batch(&mut records), Ok(None));
    }

    #[test]
    fn offset_is_set_without_touching_the_checksum() {
        let mut placed = with_base_offset(&batch(&[10]), 77);
        assert_eq!(long(&placed, 0), 77);
        assert!(next_batch(&mut placed).expect("still a batch").is_some());
    }

    #[test]
    fn broken_batches_are_refused() {
        let good = batch(&[10]);
        let mut cut = good.slice(..good.len() - 1);
        assert_eq!(next_batch(&mut cut), Err(BadBatch::Malformed));
        let mut flipped = BytesMut::from(&good[..]);
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        assert_eq!(next_batch(&mut flipped.freeze()), Err(BadBatch::WrongChecksum));
        let mut old = BytesMut::from(&good[..]);
        old[MAGIC_AT] = 1;
        assert_eq!(next_batch(&mut old.freeze()), Err(BadBatch::OldFormat));
    }

    #[test]
    fn finds_a_record_by_its_time() {
        let batch = batch(&[10, 20, 15, 30]);
        assert_eq!(first_at_or_after(&batch, 0), Some((0, 10)));
        assert_eq!(first_at_or_after(&batch, 11), Some((1, 20)));
        assert_eq!(first_at_or_after(&batch, 30), Some((3, 30)));
        assert_eq!(first_at_or_after(&batch, 31), None);
    }
}
