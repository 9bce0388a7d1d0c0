//! The header of a record batch, Kafka's unit of storage and transport since 0.11 ("magic 2"): where the batch ends,
//! which offsets it covers, and whether its bytes are what the producer sent.

use std::ops::Range;

/// Bytes before the first record.
pub(super) const HEADER_BYTES: usize = 61;
/// Bytes that the length field does not count: the base offset and the length itself.
const LENGTH_STARTS_AT: usize = 12;
/// What the checksum covers starts here and goes to the batch's end.
const CHECKED_FROM: usize = 21;

const MAGIC: i8 = 2;
const CODEC_BITS: i16 = 0x07;
const APPEND_TIME_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;

/// What is wrong with a batch.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    /// The bytes changed since they were written.
    #[error("the checksum of a record batch is {found:08x} where its header says {expected:08x}")]
    Checksum { expected: u32, found: u32 },
    /// Lengths and numbers that do not fit together.
    #[error("a record batch is malformed: {0}")]
    Malformed(&'static str),
    /// The codec's bytes are damaged.
    #[error("a record batch of codec {codec} cannot be unpacked")]
    Packed { codec: &'static str, source: std::io::Error },
    /// A batch that would take the executor's memory.
    #[error("a record batch of codec {codec} has more than {bytes_max} bytes when unpacked")]
    TooLarge { codec: &'static str, bytes_max: usize },
    /// Of a Kafka newer than this reader.
    #[error("compression codec {0} is not known")]
    Codec(i16),
    /// A message set of before Kafka 0.11.
    #[error("message format {0} is not spoken here")]
    OldFormat(i8),
}

/// The codecs by their numbers in a batch's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// A batch's header.
#[derive(Clone, Debug)]
pub(super) struct BatchHeader {
    /// Offset that the records count theirs from.
    pub base_offset: i64,
    /// Offset of the last record that the batch was written with; compaction may have taken the record away.
    pub last_offset: i64,
    /// Milliseconds that the records count theirs from.
    pub base_timestamp: i64,
    /// Who wrote it; -1: a producer without idempotence.
    pub producer_id: i64,
    /// Records in it.
    pub count: u32,
    /// Bytes of the whole batch.
    pub length: usize,
    max_timestamp: i64,
    checksum: u32,
    attributes: i16,
}

impl BatchHeader {
    /// The header at the start of `bytes`; `None` when not the whole batch is there, as the last one of a response may
    /// be.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, BatchError> {
        if bytes.len() < LENGTH_STARTS_AT {
            return Ok(None);
        }
        let length = i32::from_be_bytes(field(bytes, 8));
        // Before the length is believed: older formats are shorter.
        if let Some(&magic) = bytes.get(16)
            && magic as i8 != MAGIC
        {
            return Err(BatchError::OldFormat(magic as i8));
        }
        let length = usize::try_from(length).ok().and_then(|length| length.checked_add(LENGTH_STARTS_AT));
        let length = length.filter(|length| *length >= HEADER_BYTES);
        let length = length.ok_or(BatchError::Malformed("its length is too small for a header"))?;
        if bytes.len() < length {
            return Ok(None);
        }
        let base_offset = i64::from_be_bytes(field(bytes, 0));
        let last_delta = i32::from_be_bytes(field(bytes, 23));
        let last_offset = base_offset.checked_add(i64::from(last_delta));
        // The position after it must be a number too.
        let last_offset = last_offset.filter(|last| *last >= base_offset && base_offset >= 0 && *last < i64::MAX);
        let last_offset = last_offset.ok_or(BatchError::Malformed("its offsets are no range"))?;
        let count = i32::from_be_bytes(field(bytes, 57));
        let count = u32::try_from(count).map_err(|_| BatchError::Malformed("its count of records is negative"))?;
        Ok(Some(Self {
            base_offset,
            last_offset,
            base_timestamp: i64::from_be_bytes(field(bytes, 27)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            count,
            length,
            max_timestamp: i64::from_be_bytes(field(bytes, 35)),
            checksum: u32::from_be_bytes(field(bytes, 17)),
            attributes: i16::from_be_bytes(field(bytes, 21)),
        }))
    }

    /// Whether `batch`, all of its bytes, are those that the producer or the broker made the checksum of.
    pub fn check(&self, batch: &[u8]) -> Result<(), BatchError> {
        let found = crc32c::crc32c(&batch[CHECKED_FROM..]);
        if found == self.checksum { Ok(()) } else { Err(BatchError::Checksum { expected: self.checksum, found }) }
    }

    /// How the records are packed.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        Ok(match self.attributes & CODEC_BITS {
            0 => Codec::None,
            1 => Codec::Gzip,
            2 => Codec::Snappy,
            3 => Codec::Lz4,
            4 => Codec::Zstd,
            other => return Err(BatchError::Codec(other)),
        })
    }

    /// When the broker appended the batch, where the topic keeps that instead of the producers' times.
    pub fn append_time(&self) -> Option<i64> {
        (self.attributes & APPEND_TIME_BIT != 0).then_some(self.max_timestamp)
    }

    /// Whether it belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether it holds a marker of Kafka's own instead of records.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }
}

/// Reads fixed-width bytes; the caller has seen that the header is there.
fn field<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[start..start + N]);
    field
}

/// The whole batches at the start of a response's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    /// Their bytes.
    pub bytes: usize,
    /// The offset after the last; none when there is no whole batch.
    pub next: Option<i64>,
    /// Bytes of the largest batch, also of one that is cut off at the end.
    pub largest: usize,
}

/// Finds where the whole batches end, by their headers alone.
pub(super) fn whole_batches(bytes: &[u8]) -> Result<Whole, BatchError> {
    let mut whole = Whole { bytes: 0, next: None, largest: 0 };
    while let Some(header) = BatchHeader::read(&bytes[whole.bytes..])? {
        whole.bytes += header.length;
        whole.next = Some(header.last_offset + 1);
        whole.largest = whole.largest.max(header.length);
    }
    let cut = &bytes[whole.bytes..];
    if cut.len() >= LENGTH_STARTS_AT {
        let length = usize::try_from(i32::from_be_bytes(field(cut, 8))).unwrap_or_default();
        whole.largest = whole.largest.max(length + LENGTH_STARTS_AT);
    }
    Ok(whole)
}

/// Where the records of a batch lie that starts at `at`.
pub(super) fn records_of(header: &BatchHeader, at: usize) -> Range<usize> {
    at + HEADER_BYTES..at + header.length
}
