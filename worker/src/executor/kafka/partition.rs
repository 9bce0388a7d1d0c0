//! The seam between the reader, which decides, and what brings records: librdkafka or the Fetch protocol spoken here.

use std::time::{Duration, Instant};

use super::columns::ColumnsBuilder;

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
    /// Goes on at `offset`; what was fetched from elsewhere is dropped.
    fn seek(&mut self, offset: i64, timeout: Duration) -> Result<(), String>;

    /// Goes on at `offset` after a stop.
    fn restart(&mut self, offset: i64) -> Result<(), String>;

    /// Waits until something is there to drain, at most `timeout`. `false`: nothing came.
    fn wait(&mut self, timeout: Duration) -> bool;

    /// Moves records of `[position, end)` into the columns until these are full, the position has reached the end, or
    /// nothing more is there. What lies beyond the end stays for the next range. What was drained before a stop counts.
    fn drain(
        &mut self,
        position: &mut i64,
        end: i64,
        columns: &mut ColumnsBuilder,
        drained: &mut Drained,
    ) -> Result<(), Stop>;
}

/// How much was moved into columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Drained {
    /// Records.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
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

/// One record's fields, asked for only where a column wants them.
pub(super) trait Row {
    /// Its offset.
    fn offset(&self) -> i64;

    /// Milliseconds since 1970 and Spark's `timestampType`: -1 none, 0 create time, 1 append time.
    fn timestamp(&self) -> (i64, i32);

    /// The key's bytes; null is `None`.
    fn key(&self) -> Option<&[u8]>;

    /// The value's bytes; null is `None`.
    fn value(&self) -> Option<&[u8]>;

    /// Calls `each` with the name and value of every header, in order. Returns how many there are.
    fn headers(&self, each: impl FnMut(&[u8], Option<&[u8]>)) -> usize;
}
