//! From messages to own types and back: the only place, beside the shells of the services, that sees the wire's types.

use std::collections::BTreeMap;

use pyrite_common::checkpoint::{AttemptId, ObjectRef, SnapshotRef};
use pyrite_engine::task::OperatorTimes;
use pyrite_proto::executor as wire;

use super::error::Failure;
use super::kafka::Range;
use super::shard::Version;

/// A batch as the driver asked for it, checked.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The query.
    pub query_id: String,
    /// Its number.
    pub batch: u64,
    /// The attempt.
    pub attempt: AttemptId,
    /// The committed version it starts from.
    pub base: Option<Version>,
    /// Of each stateful operator.
    pub times: BTreeMap<u32, OperatorTimes>,
    /// What `current_timestamp` is.
    pub clock_us: i64,
    /// All executors' ranges.
    pub splits: Vec<Split>,
    /// All shards, by their number.
    pub shards: Vec<Shard>,
    /// All executors that take part.
    pub peers: Vec<wire::Peer>,
}

/// A range and who reads it.
#[derive(Clone, Debug)]
pub struct Split {
    /// Its number, which tags its rows.
    pub index: u32,
    /// The source's id.
    pub source: u32,
    /// Where.
    pub range: Range,
    /// Who.
    pub executor: String,
}

/// A shard and who has it.
#[derive(Clone, Debug)]
pub struct Shard {
    /// The first bucket.
    pub first_bucket: u16,
    /// The last bucket.
    pub last_bucket: u16,
    /// Who.
    pub executor: String,
}

impl Batch {
    /// The version that it makes.
    pub fn version(&self) -> Version {
        Version { batch: self.batch, attempt: self.attempt }
    }
}

/// Reads the driver's message; `Err` says what is wrong with it.
pub fn batch(message: wire::RunBatch) -> Result<Batch, String> {
    let attempt = message.attempt.ok_or("the batch has no attempt")?;
    let base = message
        .base
        .map(|base| base.attempt.map(|attempt| version(base.batch, attempt)).ok_or("the base has no attempt"));
    let mut shards: Vec<wire::Shard> = message.shards;
    shards.sort_by_key(|shard| shard.index);
    let mut next_bucket = 0;
    for (index, shard) in shards.iter().enumerate() {
        if shard.index as usize != index || shard.first_bucket != next_bucket || shard.last_bucket < shard.first_bucket
        {
            return Err("the shards do not cover the buckets in order".to_owned());
        }
        next_bucket = shard.last_bucket + 1;
    }
    if !shards.is_empty() && next_bucket != u32::from(pyrite_engine::state::BUCKETS) {
        return Err("the shards do not cover all buckets".to_owned());
    }
    let times = |marks: &wire::OperatorWatermarks| OperatorTimes { late_us: marks.late_us, evict_us: marks.evict_us };
    Ok(Batch {
        query_id: message.query_id,
        batch: message.batch,
        attempt: attempt_id(attempt),
        base: base.transpose()?,
        times: message.watermarks.iter().map(|marks| (marks.operator_id, times(marks))).collect(),
        clock_us: message.clock_us,
        splits: message.splits.into_iter().map(split).collect(),
        shards: shards.into_iter().map(shard).collect(),
        peers: message.peers,
    })
}

fn split(split: wire::Split) -> Split {
    let range = Range { topic: split.topic, partition: split.partition, start: split.start, end: split.end };
    Split { index: split.index, source: split.source, range, executor: split.executor_id }
}

/// Buckets were checked to lie below the number of buckets.
fn shard(shard: wire::Shard) -> Shard {
    Shard {
        first_bucket: shard.first_bucket as u16,
        last_bucket: shard.last_bucket as u16,
        executor: shard.executor_id,
    }
}

/// The attempt of a message.
pub fn attempt_id(attempt: wire::AttemptId) -> AttemptId {
    attempt.into()
}

/// The attempt for a message.
pub fn attempt_wire(attempt: AttemptId) -> wire::AttemptId {
    attempt.into()
}

/// The version of a message.
pub fn version(batch: u64, attempt: wire::AttemptId) -> Version {
    Version { batch, attempt: attempt_id(attempt) }
}

/// A durable object for a message.
pub fn object_wire(object: &ObjectRef) -> wire::ObjectRef {
    wire::ObjectRef { name: object.name.clone(), length: object.length, crc: object.crc }
}

/// A snapshot for a message.
pub fn snapshot_wire(snapshot: &SnapshotRef) -> wire::SnapshotRef {
    wire::SnapshotRef {
        operator_id: snapshot.operator,
        shard: snapshot.shard,
        first_bucket: u32::from(snapshot.first_bucket),
        last_bucket: u32::from(snapshot.last_bucket),
        batch: snapshot.batch,
        attempt: Some(attempt_wire(snapshot.attempt)),
        manifest: Some(object_wire(&snapshot.manifest)),
    }
}

/// A failed attempt for the driver.
pub fn failed_wire(query_id: &str, version: Version, failure: Failure) -> wire::ExecutorMessage {
    message(wire::executor_message::Message::Failed(wire::BatchFailed {
        query_id: query_id.to_owned(),
        batch: version.batch,
        attempt: Some(attempt_wire(version.attempt)),
        kind: failure.kind.into(),
        message: failure.message,
        error_class: failure.error_class,
        sql_state: failure.sql_state,
        parameters: failure.parameters.into_iter().collect(),
        unreachable_executor: failure.unreachable,
    }))
}

/// Wraps a message to the driver.
pub fn message(message: wire::executor_message::Message) -> wire::ExecutorMessage {
    wire::ExecutorMessage { message: Some(message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(index: u32, first_bucket: u32, last_bucket: u32) -> wire::Shard {
        wire::Shard { index, first_bucket, last_bucket, executor_id: "0".to_owned() }
    }

    fn run(shards: Vec<wire::Shard>) -> wire::RunBatch {
        wire::RunBatch { attempt: Some(wire::AttemptId { term: 1, epoch: 1 }), shards, ..Default::default() }
    }

    #[test]
    fn shards_must_cover_all_buckets_once() {
        assert!(batch(run(vec![shard(1, 512, 1023), shard(0, 0, 511)])).is_ok());
        assert!(batch(run(vec![])).is_ok());
        for bad in [vec![shard(0, 0, 511)], vec![shard(0, 0, 600), shard(1, 512, 1023)], vec![shard(1, 0, 1023)]] {
            assert!(batch(run(bad)).is_err());
        }
        assert!(batch(wire::RunBatch::default()).is_err(), "no attempt");
    }
}
