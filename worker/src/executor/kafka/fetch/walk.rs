//! Walks the record batches of a response where they lie and puts what a range needs of them into columns.
//!
//! A walk can stop at any record, because the columns are full or the range ends, and go on there later. The position
//! moves by records and, where compaction, transactions or control records leave none, by the batches' headers.

use std::ops::Range;

use bytes::Bytes;

use super::aborted::{Aborted, AbortedTransactions};
use super::codec::unpack;
use super::cursor::Cursor;
use super::record_batch::{BatchError, BatchHeader, Codec, records_of};
use crate::executor::kafka::partition::Drain;
use crate::executor::kafka::row::Row;

/// The most one batch may take when unpacked. Kafka bounds a batch only as it is stored, at 1 MiB unless told
/// otherwise.
const UNPACKED_BYTES_MAX: usize = 256 << 20;
/// Unpacked bytes that are kept for the next batch, while a thread reads.
const UNPACKED_BYTES_KEPT: usize = 4 << 20;
/// The same of a partition that nobody reads: there may be thousands.
const UNPACKED_BYTES_AT_REST: usize = 16 << 10;
/// Type of a control record that ends a transaction without effect.
const ABORT_MARKER: i16 = 0;
/// Spark's `timestampType` of the producers' times, and of the broker's.
const CREATE_TIME: i32 = 0;
const APPEND_TIME: i32 = 1;

/// Which records of transactions are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolation {
    /// All of them.
    ReadUncommitted,
    /// Those of committed ones.
    ReadCommitted,
}

/// Whole record batches of one partition, as a response brought them.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The batches.
    pub batches: Bytes,
    /// The aborted transactions among them; empty unless only committed ones are read.
    pub aborted: Vec<Aborted>,
}

/// Where in a chunk the reading stands.
pub(super) struct Walker {
    isolation: Isolation,
    batches: Bytes,
    /// The next batch.
    at: usize,
    open: Option<OpenBatch>,
    aborted: AbortedTransactions,
    unpacked: Vec<u8>,
}

/// A batch with records that are not read yet.
struct OpenBatch {
    header: BatchHeader,
    append_time: Option<i64>,
    place: Place,
    /// Of the next record, within the place.
    at: usize,
    left: u32,
}

/// Where the records lie.
enum Place {
    /// In the chunk.
    Chunk(Range<usize>),
    /// In the walker's own memory.
    Unpacked,
}

/// One record, its fields where they lie.
struct Record<'a> {
    offset: i64,
    timestamp: i64,
    timestamp_type: i32,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    /// Count and entries; read only when a plan wants them.
    headers: Cursor<'a>,
}

impl Walker {
    /// Has nothing to walk.
    pub fn new(isolation: Isolation) -> Self {
        Self {
            isolation,
            batches: Bytes::new(),
            at: 0,
            open: None,
            aborted: AbortedTransactions::default(),
            unpacked: Vec::new(),
        }
    }

    /// Drops what it has and starts with `chunk`.
    pub fn load(&mut self, chunk: Chunk) {
        self.batches = chunk.batches;
        self.at = 0;
        self.open = None;
        self.aborted = AbortedTransactions::new(chunk.aborted);
    }

    /// Drops what it has.
    pub fn clear(&mut self) {
        self.load(Chunk { batches: Bytes::new(), aborted: Vec::new() });
    }

    /// Nothing is read for a while: what only reading needs is given back. An open batch is in the middle of its
    /// records and stays.
    pub fn rest(&mut self) {
        if self.is_done() {
            self.clear();
        }
        self.give_back(UNPACKED_BYTES_AT_REST);
    }

    fn give_back(&mut self, bytes_kept: usize) {
        if self.open.is_none() && self.unpacked.capacity() > bytes_kept {
            self.unpacked = Vec::new();
        }
    }

    /// Whether the chunk is read to its end.
    pub fn is_done(&self) -> bool {
        self.open.is_none() && self.at >= self.batches.len()
    }

    /// Reads until the drain is over or the chunk is done.
    pub fn drain(&mut self, drain: &mut Drain) -> Result<(), BatchError> {
        while !drain.is_over() {
            if self.open.is_none() && !self.open_next(drain)? {
                break;
            }
            self.walk(drain)?;
        }
        Ok(())
    }

    /// Opens the next batch that may hold records for the drain. `false`: there is none, or the end is reached.
    fn open_next(&mut self, drain: &mut Drain) -> Result<bool, BatchError> {
        while drain.position < drain.end {
            let Some(header) = BatchHeader::read(&self.batches[self.at..])? else {
                // Only whole batches are loaded, so nothing is left.
                self.at = self.batches.len();
                return Ok(false);
            };
            if header.base_offset >= drain.end {
                // Stays: it is for the next range. What lay between never comes.
                drain.pass(header.base_offset);
                return Ok(false);
            }
            let start = self.at;
            let batch = &self.batches[start..start + header.length];
            if header.last_offset >= drain.position {
                header.check(batch)?;
            }
            self.at += header.length;
            let is_void = self.isolation == Isolation::ReadCommitted && self.aborted.covers(&header);
            if header.is_control() {
                self.control(&header, start)?;
            } else if !is_void && header.last_offset >= drain.position && header.count > 0 {
                self.open = Some(self.open(header, start)?);
                return Ok(true);
            }
            drain.pass(header.last_offset + 1);
        }
        Ok(false)
    }

    fn open(&mut self, header: BatchHeader, start: usize) -> Result<OpenBatch, BatchError> {
        let records = records_of(&header, start);
        let place = match header.codec()? {
            Codec::None => Place::Chunk(records),
            codec => {
                unpack(codec, &self.batches[records], &mut self.unpacked, UNPACKED_BYTES_MAX)?;
                Place::Unpacked
            }
        };
        Ok(OpenBatch { append_time: header.append_time(), left: header.count, at: 0, header, place })
    }

    /// A marker is no row; an abort marker ends what it aborts.
    fn control(&mut self, header: &BatchHeader, start: usize) -> Result<(), BatchError> {
        if self.isolation == Isolation::ReadUncommitted || header.count == 0 {
            return Ok(());
        }
        let open = OpenBatch { header: header.clone(), append_time: None, place: Place::Unpacked, at: 0, left: 1 };
        let mut cursor = Cursor::new(&self.batches[records_of(header, start)]);
        let record = open.record(&mut cursor)?;
        let mut key = Cursor::new(record.key.ok_or(BatchError::Malformed("a control record has no key"))?);
        let _version = key.i16()?;
        if key.i16()? == ABORT_MARKER {
            self.aborted.ended(header.producer_id);
        }
        Ok(())
    }

    fn walk(&mut self, drain: &mut Drain) -> Result<(), BatchError> {
        let Some(open) = self.open.as_mut() else { return Ok(()) };
        let records = match &open.place {
            Place::Chunk(range) => &self.batches[range.clone()],
            Place::Unpacked => &self.unpacked,
        };
        let checks_headers = drain.columns.has_headers();
        let mut cursor = Cursor::new(&records[open.at..]);
        while open.left > 0 && !drain.is_over() {
            let before = cursor;
            let record = open.record(&mut cursor)?;
            if record.offset >= drain.end {
                // Stays: it is the next range's first record.
                cursor = before;
                drain.pass(record.offset);
                break;
            }
            open.left -= 1;
            if record.offset < drain.position {
                continue;
            }
            if checks_headers {
                each_header(record.headers, |_, _| {})?;
            }
            drain.push(&record);
        }
        open.at = records.len() - cursor.left();
        if open.left == 0 {
            if cursor.left() > 0 {
                return Err(BatchError::Malformed("bytes follow its last record"));
            }
            drain.pass(open.header.last_offset + 1);
            self.open = None;
            self.give_back(UNPACKED_BYTES_KEPT);
        }
        Ok(())
    }
}

impl OpenBatch {
    #[inline(always)]
    fn record<'a>(&self, cursor: &mut Cursor<'a>) -> Result<Record<'a>, BatchError> {
        let length = cursor.varint()?;
        let length = usize::try_from(length).map_err(|_| BatchError::Malformed("a record's length is negative"))?;
        let mut body = Cursor::new(cursor.take(length)?);
        let _attributes = body.take(1)?;
        let timestamp_delta = body.varint()?;
        let offset_delta = body.varint()?;
        let offset = self.header.base_offset.checked_add(offset_delta);
        let offset = offset.filter(|offset| (self.header.base_offset..=self.header.last_offset).contains(offset));
        let offset = offset.ok_or(BatchError::Malformed("a record's offset is outside of its batch"))?;
        let (timestamp, timestamp_type) = match self.append_time {
            Some(time) => (time, APPEND_TIME),
            None => (self.header.base_timestamp.saturating_add(timestamp_delta), CREATE_TIME),
        };
        let key = body.nullable()?;
        let value = body.nullable()?;
        Ok(Record { offset, timestamp, timestamp_type, key, value, headers: body })
    }
}

/// Calls `each` with every name and value. Returns how many there are.
fn each_header<'a>(
    mut cursor: Cursor<'a>,
    mut each: impl FnMut(&'a [u8], Option<&'a [u8]>),
) -> Result<usize, BatchError> {
    let count = usize::try_from(cursor.varint()?).map_err(|_| BatchError::Malformed("a count is negative"))?;
    for _ in 0..count {
        let name = cursor.nullable()?.ok_or(BatchError::Malformed("a header has no name"))?;
        let value = cursor.nullable()?;
        each(name, value);
    }
    if cursor.left() > 0 {
        return Err(BatchError::Malformed("bytes follow a record's last header"));
    }
    Ok(count)
}

impl Row for Record<'_> {
    #[inline]
    fn offset(&self) -> i64 {
        self.offset
    }

    #[inline]
    fn timestamp(&self) -> (i64, i32) {
        (self.timestamp, self.timestamp_type)
    }

    #[inline]
    fn key(&self) -> Option<&[u8]> {
        self.key
    }

    #[inline]
    fn value(&self) -> Option<&[u8]> {
        self.value
    }

    fn headers(&self, each: impl FnMut(&[u8], Option<&[u8]>)) -> usize {
        // Read once before, when the record was met: they are well-formed.
        each_header(self.headers, each).unwrap_or(0)
    }
}
