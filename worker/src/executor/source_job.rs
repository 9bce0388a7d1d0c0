//! A source job: takes ranges of one source, one after another, reads and combines them, and sends the groups to
//! their shards.

use std::sync::Arc;

use arrow::array::RecordBatch;
use pyrite_engine::plan::Sink;
use pyrite_engine::task::{Scratch, ShardMap, ShardTask, SourceTask, TaskError};
use pyrite_proto::executor as proto;
use pyrite_proto::executor::FailureKind;

use super::attempt::{Attempt, OwnShard};
use super::error::{Failure, WorkError};
use super::kafka::{KafkaError, RangeCounts};
use super::rows;
use super::wire::Split;

/// Reads ranges until none is left.
pub fn read(attempt: &Arc<Attempt>, source: usize) -> Result<(), Failure> {
    let shards = attempt.shard_map.clone().unwrap_or_else(|| Arc::new(ShardMap::new(vec![0])));
    let task = SourceTask::new(attempt.query.compiled.clone(), source, shards);
    let budget = attempt.shared.memory.combine_bytes / attempt.shared.config.cores.max(1);
    let mut job = SourceJob { attempt, task, budget };
    let mut done = None;
    while let Some(split) = next_split(attempt, source, done.as_ref()) {
        match job.read_split(source, &split) {
            Ok(counts) => job.count(&split, counts),
            Err(KafkaError::Cancelled) => return Ok(()),
            Err(error) => return Err(Failure::from(&error)),
        }
        done = Some(split);
    }
    job.flush()?;
    job.observe();
    attempt.source_done()
}

fn next_split(attempt: &Attempt, source: usize, done: Option<&Split>) -> Option<Split> {
    attempt.work.get(&source)?.lock().next(done)
}

struct SourceJob<'a> {
    attempt: &'a Arc<Attempt>,
    task: SourceTask,
    /// Bytes of combined groups after which they go out.
    budget: usize,
}

impl SourceJob<'_> {
    fn read_split(&mut self, source: usize, split: &Split) -> Result<RangeCounts, KafkaError> {
        let attempt = self.attempt;
        let reader = &attempt.query.readers[source];
        reader.read(&split.range, &|| attempt.is_cancelled(), &mut |batch| {
            self.push(split.index, batch).map_err(WorkError::from)
        })
    }

    fn push(&mut self, split: u32, batch: RecordBatch) -> Result<(), Failure> {
        self.task.pieces(batch).try_for_each(|piece| self.push_piece(split, piece))
    }

    fn push_piece(&mut self, split: u32, piece: RecordBatch) -> Result<(), Failure> {
        self.task.push(split, piece).map_err(|error| Failure::from(&error))?;
        if self.attempt.shard_map.is_none() {
            return self.emit(split);
        }
        if self.task.combined_bytes() > self.budget { self.flush() } else { Ok(()) }
    }

    /// Rows of a query without state go to the sink as they come.
    fn emit(&mut self, split: u32) -> Result<(), Failure> {
        let batches = self.task.take_rows();
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        self.attempt.results.lock().output_rows += rows as u64;
        match self.attempt.query.compiled.sink() {
            Sink::Noop => Ok(()),
            Sink::Driver => rows::send(self.attempt, split, &batches),
        }
    }

    /// Sends what is combined to the shards, here or elsewhere.
    fn flush(&mut self) -> Result<(), Failure> {
        if self.attempt.shard_map.is_none() {
            return Ok(());
        }
        let frames = self.task.take_frames().map_err(|error| Failure::from(&error))?;
        for (shard, frame) in frames {
            if self.attempt.is_cancelled() {
                return Ok(());
            }
            deliver(self.attempt, shard, frame)?;
        }
        Ok(())
    }

    fn count(&self, split: &Split, counts: RangeCounts) {
        let mut results = self.attempt.results.lock();
        results.sources.push(proto::SourceCounts {
            source: split.source,
            topic: split.range.topic.clone(),
            partition: split.range.partition,
            rows: counts.rows,
            bytes: counts.bytes,
        });
        results.data_loss.extend(counts.lost.iter().map(ToString::to_string));
    }

    fn observe(&self) {
        let splits = &self.attempt.batch.splits;
        let mut results = self.attempt.results.lock();
        for seen in self.task.observations() {
            let Some(split) = splits.iter().find(|split| split.index == seen.split) else {
                continue;
            };
            results.event_times.push(proto::EventTimes {
                node: seen.node,
                source: split.source,
                topic: split.range.topic.clone(),
                partition: split.range.partition,
                max_us: seen.max_us,
                min_us: seen.min_us,
                sum_offset_us: seen.sum_offset_us,
                count: seen.count,
            });
        }
    }
}

fn deliver(attempt: &Arc<Attempt>, shard: u32, frame: RecordBatch) -> Result<(), Failure> {
    if attempt.own.contains_key(&shard) {
        return receive(attempt, shard, frame);
    }
    let owner = attempt.batch.shards.get(shard as usize).map(|shard| shard.executor.clone());
    let owner = owner.ok_or_else(|| Failure::new(FailureKind::Task, format!("no shard {shard} in the batch")))?;
    attempt.shared.peers.frame(attempt, &owner, shard, &frame)
}

/// Puts a frame into the receiving buffer of one of this executor's shards. When buffers hold too much, this one's
/// groups go to disk: whoever brings frames does the work, and nobody waits for memory.
pub fn receive(attempt: &Attempt, shard: u32, frame: RecordBatch) -> Result<(), Failure> {
    let Some(own) = attempt.own.get(&shard) else {
        return Err(Failure::new(FailureKind::Task, format!("a frame for shard {shard}, which is not here")));
    };
    let mut buffer = own.task.lock();
    let received = match buffer.as_mut() {
        Some(task) => hold(attempt, own, task, frame).map_err(|error| Failure::from(&error)),
        // Finished: every sender had said "done", so this frame is of nobody who takes part.
        None => Err(Failure::new(FailureKind::Task, format!("a frame for shard {shard} after its end"))),
    };
    if attempt.is_cancelled() {
        *buffer = None;
        own.received.set(0);
    }
    received
}

fn hold(attempt: &Attempt, own: &OwnShard, task: &mut ShardTask, frame: RecordBatch) -> Result<(), TaskError> {
    task.push(frame)?;
    if own.received.set(task.buffered_bytes()) {
        let scratch: Arc<dyn Scratch> = attempt.query.scratch.clone();
        task.spill(&scratch)?;
        own.received.set(task.buffered_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pyrite_engine::state::StateView;
    use pyrite_engine::task::DueIndex;

    use super::*;
    use crate::executor::testing::{World, frame};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_buffer_that_holds_too_much_goes_to_disk_and_nothing_is_lost() {
        let world = World::with_memory(1);
        let attempt = world.attempt_with_shard(1);
        let (mut largest, mut spills) = (0, 0);
        for number in 0..40 {
            receive(&attempt, 0, frame(&attempt, number, 100)).expect("received");
            let held = attempt.own[&0].task.lock().as_ref().map_or(0, ShardTask::buffered_bytes);
            spills += usize::from(held == 0);
            largest = largest.max(held);
        }
        assert!(
            spills > 1 && largest <= attempt.shared.memory.receive_bytes,
            "{spills} times, {largest} bytes at most"
        );
        let own = &attempt.own[&0];
        let (task, view) = (own.task.lock().take().expect("it is there"), own.slot.store.view());
        let output = task.collect(&view as &dyn StateView, &DueIndex::default(), own.times).expect("finishes");
        assert_eq!((output.writes.len(), output.counts.rows_updated), (4_000, 4_000));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cancelled_attempt_holds_nothing() {
        let world = World::with_memory(1);
        let attempt = world.attempt_with_shard(1);
        (0..9).for_each(|number| receive(&attempt, 0, frame(&attempt, number, 100)).expect("received"));
        assert!(attempt.cancel(), "no job runs");
        assert!(attempt.own[&0].task.lock().is_none());
        assert!(receive(&attempt, 0, frame(&attempt, 9, 100)).is_err(), "nor does it take more");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_disk_that_takes_nothing_fails_the_attempt_and_says_where() {
        let world = World::with_memory(1);
        let attempt = world.attempt_with_shard(1);
        let folder = &attempt.query.folder;
        std::fs::remove_dir_all(folder).expect("removed");
        let failed = (0..40).find_map(|number| receive(&attempt, 0, frame(&attempt, number, 100)).err());
        let failure = failed.expect("it has no place");
        assert_eq!(failure.kind, FailureKind::Task);
        let (place, advice) = (folder.display().to_string(), "make room there");
        assert!(failure.message.contains(&place) && failure.message.contains(advice), "{}", failure.message);
    }
}
