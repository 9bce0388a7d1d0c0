//! What a record must tell to become a row.

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
