//! The seam between the reader, which decides, and what brings records: librdkafka or the Fetch protocol spoken here.

use std::time::{Duration, Instant};

use super::columns::ColumnsBuilder;
use super::row::Row;

/// A client of one cluster for one query.
pub(super) trait Client: Send + Sync {
    /// Starts to fetch a partition at `offset`. Never blocks.
    fn start(&self, topic: &str, partition: i32, offset: i64) -> Result<Box<dyn PartitionReader>, String>;

    /// The first offset that the partition has, and the one after its last.
    fn watermarks(&self, topic: &str, partition: i32, timeout: Duration) -> Result<(i64, i64), String>;

    /// Whether the brokers know the partition.
    fn has_partition(&self, topic: &str, partition: i32, timeout: Duration) -> Result<bool, String>;

    /// What is wrong with the brokers now, if something is.
    fn trouble(&self) -> Option<Trouble>;

    /// Records came in: whatever was wrong is over.
    fn well(&self);
}

/// One partition that is being fetched; held by one thread at a time.
pub(super) trait PartitionReader: Send {
    /// Goes on at `offset`, also after a stop; what was fetched from elsewhere is dropped.
    fn go_to(&mut self, offset: i64) -> Result<(), String>;

    /// It will not be drained for a while: memory that only draining needs is given back.
    fn rest(&mut self);

    /// Waits until something is there to drain, at most `timeout`. `false`: nothing came.
    fn wait(&mut self, timeout: Duration) -> bool;

    /// Moves records into the columns until the drain is over or nothing more is there. What lies beyond its end stays
    /// for the next range. What was drained before a stop counts.
    fn drain(&mut self, drain: &mut Drain) -> Result<(), Stop>;
}

/// Records of `[position, end)` on their way into columns.
pub(super) struct Drain<'a> {
    /// The first offset that is still wanted.
    pub position: i64,
    /// The first offset that is not of the range.
    pub end: i64,
    pub columns: &'a mut ColumnsBuilder,
    /// Records moved so far.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

impl<'a> Drain<'a> {
    pub fn new(position: i64, end: i64, columns: &'a mut ColumnsBuilder) -> Self {
        Self { position, end, columns, rows: 0, bytes: 0 }
    }

    /// Nothing more is wanted: the range is read, or the columns are full.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.position >= self.end || self.columns.is_full()
    }

    /// Takes a record at or after the position.
    #[inline]
    pub fn push(&mut self, record: &impl Row) {
        self.bytes += self.columns.push(record) as u64;
        self.rows += 1;
        self.position = record.offset() + 1;
    }

    /// No record lies before `offset`.
    pub fn pass(&mut self, offset: i64) {
        self.position = self.position.max(offset.min(self.end));
    }
}

/// Why a partition brings no more records until something is decided. The texts say what the brokers said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The partition does not have the offset.
    OffsetGone,
    /// The brokers do not know the partition.
    PartitionGone(String),
    /// Trying again does not help.
    Refused(String),
    /// Trying again may help.
    Unavailable(String),
    /// Bytes at this offset are not what was written.
    Corrupt { offset: i64, reason: String },
    /// This client does not speak what it would have to.
    Unsupported(String),
}

/// The last thing that went wrong with a broker.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    /// When it began.
    pub since: Instant,
    /// In words.
    pub text: String,
    /// Every known broker is unreachable.
    pub all_down: bool,
    /// Wrong credentials or certificates: trying again does not help soon.
    pub refused: bool,
}
