//! What a batch asks of a partition, and what it got.

/// Offsets that a batch named and the topic does not have any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataLoss {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// First offset that is gone.
    pub from: i64,
    /// First offset after those that are gone.
    pub to: i64,
}

impl std::fmt::Display for DataLoss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { topic, partition, from, to } = self;
        write!(
            f,
            "offsets [{from}, {to}) of `{topic}-{partition}` are gone: they were aged out by Kafka or the topic was deleted and made \
             again; set the source option `failOnDataLoss` to `false` to go on without them"
        )
    }
}

/// A part of a partition: offsets `[start, end)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub start: i64,
    /// The offset after the last.
    pub end: i64,
}

/// What was read of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeCounts {
    /// Records.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Offsets that were gone, under `failOnDataLoss=false`.
    pub lost: Vec<DataLoss>,
}
