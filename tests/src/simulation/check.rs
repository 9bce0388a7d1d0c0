//! What must always be true (docs/ARCHITECTURE.md), checked when something durable appears and at the end.

use std::collections::{BTreeMap, BTreeSet};

use pyrite_common::checkpoint::{AttemptId, CommitFile, OffsetsFile, SplitPin};
use pyrite_driver::protocol::{Body, LogName, PublishBy, RunBatch};

use super::sink::Slots;
use super::store::Store;
use super::{UNITS, Violation};

/// What was seen so far.
#[derive(Default)]
pub struct Checks {
    /// What the first try of each batch was; all others are the same but for placement.
    tries: BTreeMap<u64, Pinned>,
    /// What driver-side sinks were given.
    pub sunk: BTreeSet<(u64, AttemptId)>,
}

#[derive(PartialEq, Debug)]
struct Pinned {
    clock_us: i64,
    splits: Vec<SplitPin>,
    shards: Vec<(u16, u16)>,
    watermarks: Vec<(i64, i64)>,
    base: Option<(u64, AttemptId)>,
}

fn violated<T>(text: String) -> Result<T, Violation> {
    Err(Violation(text))
}

impl Checks {
    /// A driver starts a try.
    pub fn on_run(&mut self, run: &RunBatch) -> Result<(), Violation> {
        let pinned = Pinned {
            clock_us: run.clock_us,
            splits: run.splits.iter().map(|placed| placed.split.clone()).collect(),
            shards: run.shards.iter().map(|shard| (shard.first_bucket, shard.last_bucket)).collect(),
            watermarks: run.watermarks.iter().map(|watermark| (watermark.late_us, watermark.evict_us)).collect(),
            base: run.base,
        };
        let first = self.tries.entry(run.batch).or_insert_with(|| Pinned {
            clock_us: pinned.clock_us,
            splits: pinned.splits.clone(),
            shards: pinned.shards.clone(),
            watermarks: pinned.watermarks.clone(),
            base: pinned.base,
        });
        if *first != pinned {
            return violated(format!("tries of batch {} differ: {first:?} and {pinned:?}", run.batch));
        }
        Ok(())
    }

    /// An object of the logs came to be.
    pub fn on_created(&self, name: LogName, store: &Store, slots: &Slots, publish: PublishBy) -> Result<(), Violation> {
        match (name, store.logs.get(&name)) {
            (LogName::Offsets(batch), Some(Body::Offsets(file))) => check_offsets(batch, file, store),
            (LogName::Commit(batch), Some(Body::Commit(file))) => {
                check_commit(batch, file, store)?;
                self.check_output(batch, file, slots, publish)
            }
            _ => Ok(()),
        }
    }

    fn check_output(&self, batch: u64, file: &CommitFile, slots: &Slots, publish: PublishBy) -> Result<(), Violation> {
        match publish {
            PublishBy::Nobody => Ok(()),
            PublishBy::Driver => {
                let attempt = file.attempt().unwrap_or_default();
                if self.sunk.contains(&(batch, attempt)) {
                    return Ok(());
                }
                violated(format!("batch {batch} is committed by {attempt}, whose rows are not out"))
            }
            PublishBy::Executors => exactly_once(batch, slots),
        }
    }
}

/// Each unit's rows of a committed batch are out once.
pub fn exactly_once(batch: u64, slots: &Slots) -> Result<(), Violation> {
    for unit in 0..UNITS {
        let times = slots.rows.get(&(batch, unit)).copied().unwrap_or(0);
        if times != 1 {
            return violated(format!("unit {unit} of batch {batch} is out {times} times"));
        }
    }
    Ok(())
}

fn check_offsets(batch: u64, file: &OffsetsFile, store: &Store) -> Result<(), Violation> {
    let Some(extra) = &file.pyrite else { return violated(format!("offsets/{batch} lacks our part")) };
    let Some(before) = batch.checked_sub(1) else { return Ok(()) };
    let (Some(Body::Offsets(previous)), Some(Body::Commit(commit))) =
        (store.logs.get(&LogName::Offsets(before)), store.logs.get(&LogName::Commit(before)))
    else {
        return violated(format!("offsets/{batch} came before commits/{before}"));
    };
    let start = extra.start(0).map_err(|error| Violation(error.to_string()))?;
    if previous.ends[0].as_ref() != Some(&start) {
        return violated(format!("batch {batch} starts at {start:?}, not where batch {before} ended"));
    }
    if file.batch_watermark_ms != commit.next_batch_watermark_ms
        || file.batch_watermark_ms < previous.batch_watermark_ms
    {
        return violated(format!("the watermark of batch {batch} does not follow from batch {before}"));
    }
    Ok(())
}

fn check_commit(batch: u64, file: &CommitFile, store: &Store) -> Result<(), Violation> {
    if !store.logs.contains_key(&LogName::Offsets(batch)) {
        return violated(format!("commits/{batch} without offsets/{batch}"));
    }
    if let Some(before) = batch.checked_sub(1)
        && !store.logs.contains_key(&LogName::Commit(before))
    {
        return violated(format!("commits/{batch} without commits/{before}"));
    }
    let Some(extra) = &file.pyrite else { return violated(format!("commits/{batch} lacks our part")) };
    let mut covered = BTreeSet::new();
    for reference in &extra.objects {
        let Some(object) = store.objects.get(&reference.name) else {
            return violated(format!("commits/{batch} names {}, which is not there", reference.name));
        };
        if object.attempt != extra.attempt || object.batch != batch {
            return violated(format!("commits/{batch} of {} names an object of {}", extra.attempt, object.attempt));
        }
        for unit in &object.units {
            if !covered.insert(*unit) {
                return violated(format!("commits/{batch} names the state of unit {unit} twice"));
            }
        }
    }
    if covered.len() != usize::from(UNITS) {
        return violated(format!("commits/{batch} names the state of {covered:?} only"));
    }
    Ok(())
}
