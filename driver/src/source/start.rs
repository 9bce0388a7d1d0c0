//! Where a new query starts reading: the start options, and what they mean for the partitions there are.

use std::collections::{BTreeMap, BTreeSet};

use pyrite_common::checkpoint::{Offsets, TopicPartition};
use pyrite_common::nearest::suggestion;

/// Spark's number for the end of a partition in an offsets map.
pub const LATEST: i64 = -1;
/// And for its beginning.
pub const EARLIEST: i64 = -2;

/// The start options in Spark's order of precedence: `startingTimestamp`, `startingOffsetsByTimestamp`,
/// `startingOffsets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    /// For each partition an offset, -1 for latest, -2 for earliest.
    Offsets(Offsets),
    /// The first record at or after this time in every partition, milliseconds.
    Timestamp {
        at_ms: i64,
        missing: MissingTimestamp,
    },
    /// The same by partition.
    Timestamps {
        at_ms: Offsets,
        missing: MissingTimestamp,
    },
}

/// `startingOffsetsByTimestampStrategy`: what to do when no record is that young.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingTimestamp {
    Error,
    Latest,
}

/// A start that cannot be read, or does not fit the partitions; the text is the user's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// Reads the start options; names are lower case. As Spark, a streaming query starts at `latest`.
pub fn parse_start(options: &BTreeMap<String, String>) -> Result<Start, StartError> {
    let missing = match options.get("startingoffsetsbytimestampstrategy").map(|text| text.trim().to_lowercase()) {
        None => MissingTimestamp::Error,
        Some(text) if text == "error" => MissingTimestamp::Error,
        Some(text) if text == "latest" => MissingTimestamp::Latest,
        Some(text) => {
            let hint = suggestion(&text, ["error", "latest"]);
            return Err(StartError(format!(
                "`startingOffsetsByTimestampStrategy` must be error or latest, not `{text}`{hint}"
            )));
        }
    };
    if let Some(text) = options.get("startingtimestamp") {
        let at_ms: i64 = text.trim().parse().map_err(|_| {
            StartError(format!("`startingTimestamp` must be milliseconds since the epoch, not `{text}`"))
        })?;
        return Ok(Start::Timestamp { at_ms, missing });
    }
    if let Some(text) = options.get("startingoffsetsbytimestamp") {
        let at_ms =
            Offsets::parse(text).map_err(|error| StartError(format!("`startingOffsetsByTimestamp`: {error}")))?;
        return Ok(Start::Timestamps { at_ms, missing });
    }
    let Some(text) = options.get("startingoffsets") else { return Ok(Start::Latest) };
    match text.trim().to_lowercase().as_str() {
        "latest" => Ok(Start::Latest),
        "earliest" => Ok(Start::Earliest),
        _ if text.trim_start().starts_with('{') => {
            let offsets = Offsets::parse(text).map_err(|error| StartError(format!("`startingOffsets`: {error}")))?;
            if let Some((partition, offset)) = offsets.iter().find(|(_, offset)| *offset < EARLIEST) {
                return Err(StartError(format!(
                    "`startingOffsets` has offset {offset} for {partition}: only -1 (latest) and -2 (earliest) are below 0"
                )));
            }
            Ok(Start::Offsets(offsets))
        }
        other => {
            let hint = suggestion(other, ["earliest", "latest"]);
            Err(StartError(format!(
                "`startingOffsets` must be earliest, latest or a JSON text like {{\"topic\":{{\"0\":23,\"1\":-1}}}}, not `{text}`{hint}"
            )))
        }
    }
}

/// What a start needs to know of the brokers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    pub earliest: Offsets,
    pub latest: Offsets,
    /// The first offset at or after the asked time; absent when no record is that young.
    pub by_time: Offsets,
}

impl Start {
    /// Whether it fits the partitions there are; brokers have no answer for one that is not. As Spark: a map must name
    /// exactly the partitions that are read.
    pub fn check(&self, partitions: &[TopicPartition]) -> Result<(), StartError> {
        match self {
            Start::Earliest | Start::Latest | Start::Timestamp { .. } => Ok(()),
            Start::Offsets(offsets) => same_partitions("startingOffsets", offsets, partitions),
            Start::Timestamps { at_ms, .. } => same_partitions("startingOffsetsByTimestamp", at_ms, partitions),
        }
    }

    /// The times to ask for, by partition.
    pub fn times(&self, partitions: &[TopicPartition]) -> Option<Offsets> {
        match self {
            Start::Earliest | Start::Latest | Start::Offsets(_) => None,
            Start::Timestamp { at_ms, .. } => Some(partitions.iter().map(|one| (one.clone(), *at_ms)).collect()),
            Start::Timestamps { at_ms, .. } => Some(at_ms.clone()),
        }
    }

    /// The offset of every partition, after `check`.
    pub fn resolve(&self, bounds: &Bounds) -> Result<Offsets, StartError> {
        match self {
            Start::Earliest => Ok(bounds.earliest.clone()),
            Start::Latest => Ok(bounds.latest.clone()),
            Start::Offsets(offsets) => {
                let one = |(partition, offset): (&TopicPartition, i64)| {
                    let resolved = match offset {
                        LATEST => bounds.latest.get(partition),
                        EARLIEST => bounds.earliest.get(partition),
                        offset => Some(offset),
                    };
                    (partition.clone(), resolved.unwrap_or(0))
                };
                Ok(offsets.iter().map(one).collect())
            }
            Start::Timestamp { missing, .. } => by_time(&bounds.latest, bounds, *missing),
            Start::Timestamps { at_ms, missing } => by_time(at_ms, bounds, *missing),
        }
    }
}

fn by_time(partitions: &Offsets, bounds: &Bounds, missing: MissingTimestamp) -> Result<Offsets, StartError> {
    let mut offsets = BTreeMap::new();
    for (partition, _) in partitions.iter() {
        let offset = match (bounds.by_time.get(partition), missing) {
            (Some(offset), _) => offset,
            (None, MissingTimestamp::Latest) => bounds.latest.get(partition).unwrap_or(0),
            (None, MissingTimestamp::Error) => {
                return Err(StartError(format!(
                    "no record of {partition} is as young as the starting timestamp; set `startingOffsetsByTimestampStrategy` to latest to start at its end"
                )));
            }
        };
        offsets.insert(partition.clone(), offset);
    }
    Ok(Offsets(offsets))
}

fn same_partitions(option: &str, given: &Offsets, there: &[TopicPartition]) -> Result<(), StartError> {
    let there: BTreeSet<&TopicPartition> = there.iter().collect();
    if given.0.keys().eq(there.iter().copied()) {
        return Ok(());
    }
    Err(StartError(format!(
        "`{option}` must name every partition that is read, with {}. Named: [{}]; there are: [{}]",
        match option {
            "startingOffsets" => "-1 for latest and -2 for earliest",
            _ => "a time in milliseconds",
        },
        names(given.0.keys()),
        names(there.into_iter())
    )))
}

fn names<'a>(partitions: impl Iterator<Item = &'a TopicPartition>) -> String {
    partitions.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn offsets(text: &str) -> Offsets {
        Offsets::parse(text).unwrap()
    }

    fn bounds() -> Bounds {
        Bounds {
            earliest: offsets(r#"{"t":{"0":3,"1":4}}"#),
            latest: offsets(r#"{"t":{"0":30,"1":40}}"#),
            by_time: offsets(r#"{"t":{"0":10}}"#),
        }
    }

    #[test]
    fn words_and_maps() {
        assert_eq!(parse_start(&options(&[])), Ok(Start::Latest));
        assert_eq!(parse_start(&options(&[("startingoffsets", "EARLIEST")])), Ok(Start::Earliest));
        let start = parse_start(&options(&[("startingoffsets", r#"{"t":{"0":-2,"1":-1}}"#)])).unwrap();
        assert_eq!(start.resolve(&bounds()), Ok(offsets(r#"{"t":{"0":3,"1":40}}"#)));
        let error = parse_start(&options(&[("startingoffsets", "earlist")])).unwrap_err();
        assert!(error.0.contains("did you mean `earliest`"), "{error}");
        assert!(parse_start(&options(&[("startingoffsets", r#"{"t":{"0":-5}}"#)])).is_err());
        assert!(parse_start(&options(&[("startingtimestamp", "yesterday")])).is_err());
    }

    #[test]
    fn a_map_must_name_every_partition() {
        let partitions = [TopicPartition::new("t", 0), TopicPartition::new("t", 1)];
        let too_few = offsets(r#"{"t":{"0":1}}"#);
        let unknown = offsets(r#"{"t":{"0":1,"1":1},"u":{"0":1}}"#);
        for given in [too_few, unknown] {
            let times = Start::Timestamps { at_ms: given.clone(), missing: MissingTimestamp::Error };
            for start in [Start::Offsets(given), times] {
                assert!(start.check(&partitions).unwrap_err().0.contains("there are: [t-0, t-1]"));
            }
        }
        assert_eq!(Start::Offsets(offsets(r#"{"t":{"0":1,"1":-2}}"#)).check(&partitions), Ok(()));
        assert_eq!(Start::Latest.check(&[]), Ok(()));
    }

    #[test]
    fn a_time_that_no_record_reaches_is_an_error_or_the_end() {
        let at = |missing| Start::Timestamp { at_ms: 5, missing };
        assert!(at(MissingTimestamp::Error).resolve(&bounds()).is_err());
        assert_eq!(at(MissingTimestamp::Latest).resolve(&bounds()), Ok(offsets(r#"{"t":{"0":10,"1":40}}"#)));
    }
}
