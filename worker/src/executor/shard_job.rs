//! The jobs of one shard in a batch: open it at the base, and, when all input is there, merge, emit and stage.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use pyrite_common::error::chain;
use pyrite_engine::plan::{CompiledAggregate, Sink};
use pyrite_engine::state::{CODEC_VERSION, StateView};
use pyrite_engine::task::{DueIndex, DueUpdate, ShardCounts, ShardEnd, ShardSink, TaskError};
use pyrite_proto::executor::FailureKind;

use super::attempt::{Attempt, OwnShard};
use super::context::ShardSlot;
use super::error::{Failure, WorkError};
use super::rows;
use super::shard::{
    Action, EncodedSection, Event, Opened, PendingWrites, RestoreError, Restorer, ShardId, ShardView, SnapshotError,
    Version, WriteBuffer, WriteError, Writes,
};

/// Writes between looks at whether anyone still wants them.
const WRITES_PER_CHECK: u64 = 4096;

/// What has to be done before a shard can be read.
#[derive(Clone, Copy, Debug)]
pub enum Opening {
    /// Read it from the checkpoint.
    Restore(Version),
    /// Folds lag behind: memory is taken back first.
    Fold,
}

/// Makes the shard readable.
pub fn open(attempt: &Arc<Attempt>, shard: u32, opening: Opening) -> Result<(), Failure> {
    let own = own(attempt, shard)?;
    match opening {
        Opening::Restore(base) => restore(attempt, own, base)?,
        Opening::Fold => {
            while own.slot.store.is_behind() && !attempt.is_cancelled() {
                own.slot.store.fold().map_err(|error| local_state(own, &error))?;
            }
        }
    }
    attempt.shard_open();
    Ok(())
}

fn restore(attempt: &Arc<Attempt>, own: &OwnShard, base: Version) -> Result<(), Failure> {
    let started = Instant::now();
    let (query, id, store) = (&attempt.query, own.id(), &own.slot.store);
    let restorer = Restorer {
        store: &query.store,
        cache: &attempt.objects,
        rocks: store.rocks(),
        folder: store.folder(),
        codec: u32::from(CODEC_VERSION),
        cancelled: &|| attempt.is_cancelled(),
    };
    let restored = restorer.restore(id, base).map_err(|error| unrestored(own, &error))?;
    let (rows_total, chain) = (restored.rows_total, restored.chain);
    let database = restored.database.map(Arc::new);
    let dues = dues(attempt, id, &ShardView::new(database.clone(), Vec::new()))?;
    store.install(base, Opened { database, dues, rows_total, chain });
    let actions = own.slot.machine.lock().apply(Event::Restored(Some(base)));
    if actions.contains(&Action::DropDatabase) {
        query.keeper.close(store.clear());
    } else {
        // Before the batch: so its commit names the snapshot.
        query.keeper.shorten(store, &|| attempt.is_cancelled());
    }
    let millis = started.elapsed().as_millis() as u64;
    tracing::info!(
        query = query.query_id,
        shard = id.shard,
        batch = base.batch,
        rows = rows_total,
        replayed = chain.versions,
        millis,
        "shard restored"
    );
    Ok(())
}

fn unrestored(own: &OwnShard, error: &RestoreError) -> Failure {
    match error {
        RestoreError::Database(_) | RestoreError::Object(SnapshotError::Database(_) | SnapshotError::Local { .. }) => {
            local_state(own, error)
        }
        _ => Failure::from(error),
    }
}

/// When the buckets of a restored shard are due. Without event time none ever is, and keys hold no times.
fn dues(attempt: &Attempt, id: ShardId, view: &ShardView) -> Result<DueIndex, Failure> {
    if !attempt.query.compiled.aggregate().is_some_and(CompiledAggregate::is_timed) {
        return Ok(DueIndex::default());
    }
    DueIndex::rebuild(view, id.buckets()).map_err(|error| Failure::from(&TaskError::State(error)))
}

/// Gives the shard up: whatever is wrong with the local database, the next attempt reads the state from the checkpoint.
fn lose(attempt: &Attempt, own: &OwnShard) {
    own.slot.machine.lock().apply(Event::Failed);
    attempt.query.keeper.close(own.slot.store.clear());
}

/// Merges what was received with the state, emits, and stages the writes.
pub fn finish(attempt: &Arc<Attempt>, shard: u32) -> Result<(), Failure> {
    let started = Instant::now();
    let own = own(attempt, shard)?;
    let store = &own.slot.store;
    let Some(task) = own.task.lock().take() else { return Ok(()) };
    let view = store.view();
    let mut output = Output::new(attempt, own);
    let ended = task.finish(&view as &dyn StateView, &store.dues(), own.times, &mut output);
    own.received.set(0);
    let ShardEnd { counts, dues } = ended.map_err(|error| unfinished(attempt, own, &error))?;
    if attempt.is_cancelled() {
        return Ok(());
    }
    let emitted = output.rows;
    let writes = output.writes.finish().map_err(|error| refused(own, &error))?;
    let rows_total = store.rows_total().saturating_add_signed(counts.total_delta);
    let (pending, section) = pending(attempt, own, writes, (dues, rows_total));
    let version = pending.version;
    store.stage(pending);
    let actions = own.slot.machine.lock().apply(Event::Finished(version));
    if !actions.is_empty() {
        store.drop_pending();
        return Err(refused(own, &WriteError::Void));
    }
    record(attempt, Finished { id: own.id(), counts, rows_total, emitted, section, took: started.elapsed() });
    attempt.part_done();
    Ok(())
}

/// What is kept until the commit, and what goes into the batch's object.
fn pending(
    attempt: &Attempt,
    own: &OwnShard,
    writes: Writes,
    (dues, rows_total): (DueUpdate, u64),
) -> (PendingWrites, Option<EncodedSection>) {
    let version = attempt.batch.version();
    match writes {
        Writes::Overlay(overlay) => {
            let (bytes, overlay) = (overlay.encoded().len(), Arc::new(overlay));
            let section = (bytes > 0).then(|| EncodedSection::new(own.id(), overlay.clone(), rows_total));
            (PendingWrites { version, overlay, bytes, dues, rows_total }, section)
        }
        Writes::Applied(spool) => {
            let bytes = spool.length() as usize;
            tracing::debug!(shard = own.id().shard, batch = version.batch, bytes, "writes applied before the commit");
            let section = EncodedSection::spooled(own.id(), spool, rows_total);
            (PendingWrites { version, overlay: Arc::default(), bytes, dues, rows_total }, Some(section))
        }
    }
}

/// Takes a shard's writes and rows while they are made: writes to its buffer, rows to the driver.
struct Output<'a> {
    attempt: &'a Attempt,
    own: &'a OwnShard,
    writes: WriteBuffer<'a>,
    taken: u64,
    rows: u64,
}

impl<'a> Output<'a> {
    fn new(attempt: &'a Attempt, own: &'a OwnShard) -> Self {
        let ShardSlot { machine, store } = own.slot.as_ref();
        let writes = WriteBuffer::new(store, machine, &attempt.query.scratch, attempt.batch.version());
        Self { attempt, own, writes, taken: 0, rows: 0 }
    }

    fn check(&self) -> Result<(), TaskError> {
        if self.attempt.is_cancelled() { Err(ended(Failure::new(FailureKind::Task, "cancelled"))) } else { Ok(()) }
    }
}

impl ShardSink for Output<'_> {
    fn write(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), TaskError> {
        self.taken += 1;
        if self.taken.is_multiple_of(WRITES_PER_CHECK) {
            self.check()?;
        }
        self.writes.add(key, value).map_err(|error| ended(refused(self.own, &error)))
    }

    fn rows(&mut self, batch: RecordBatch) -> Result<(), TaskError> {
        self.check()?;
        self.rows += batch.num_rows() as u64;
        match self.attempt.query.compiled.sink() {
            Sink::Noop => Ok(()),
            Sink::Driver => rows::send(self.attempt, self.own.id().shard, &[batch]).map_err(ended),
        }
    }
}

/// A failure on its way through the task.
fn ended(failure: Failure) -> TaskError {
    TaskError::Sink(Box::new(WorkError::from(failure)))
}

/// State that cannot be read may be the local database's fault, so it does not end the query at once.
fn unfinished(attempt: &Attempt, own: &OwnShard, error: &TaskError) -> Failure {
    match error {
        TaskError::State(_) => {
            lose(attempt, own);
            let (shard, folder) = (own.id().shard, own.slot.store.folder().display());
            let message = format!("the state of shard {shard} in `{folder}` cannot be read: {}", chain(error));
            Failure::new(FailureKind::Task, message)
        }
        TaskError::Plan(_) | TaskError::Frame(_) | TaskError::Scratch(_) | TaskError::Sink(_) => Failure::from(error),
    }
}

fn refused(own: &OwnShard, error: &WriteError) -> Failure {
    match error {
        WriteError::Database(error) => local_state(own, error),
        WriteError::Void | WriteError::Scratch(_) => {
            Failure::new(FailureKind::Task, format!("shard {}: {}", own.id().shard, chain(error)))
        }
    }
}

/// What a shard did in the batch.
struct Finished {
    id: ShardId,
    counts: ShardCounts,
    rows_total: u64,
    emitted: u64,
    section: Option<EncodedSection>,
    took: Duration,
}

fn record(attempt: &Attempt, finished: Finished) {
    let Finished { id, counts, rows_total, emitted, section, took } = finished;
    let mut results = attempt.results.lock();
    results.output_rows += emitted;
    results.sections.extend(section);
    let operator = results.operators.entry(id.operator).or_default();
    operator.operator_id = id.operator;
    operator.rows_total += rows_total;
    operator.rows_updated += counts.rows_updated;
    operator.rows_removed += counts.rows_removed;
    operator.rows_dropped_by_watermark += counts.rows_dropped;
    operator.updates_micros += took.as_micros() as u64;
    operator.instances += 1;
}

fn own(attempt: &Attempt, shard: u32) -> Result<&OwnShard, Failure> {
    attempt.own.get(&shard).ok_or_else(|| Failure::new(FailureKind::Task, format!("shard {shard} is not here")))
}

/// The executor's own disk refuses: another try may find room, but not for ever. The shard stays: a restore writes
/// more, and what the database holds is as good as before.
fn local_state(own: &OwnShard, error: &(dyn std::error::Error + 'static)) -> Failure {
    let (folder, error) = (own.slot.store.folder().display(), chain(error));
    let message = format!(
        "the state databases in `{folder}` cannot be written: {error}; make room there, or start the worker with another `--work-dir`"
    );
    Failure::new(FailureKind::Task, message)
}

#[cfg(test)]
mod tests {
    use pyrite_engine::task::ShardTask;

    use super::*;
    use crate::executor::shard::{Overlay, State};
    use crate::executor::source_job::receive;
    use crate::executor::testing::{World, attempt_id, frame};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_shard_whose_state_cannot_be_read_comes_from_the_checkpoint_next_time() {
        let world = World::new();
        let attempt = world.attempt_with_shard(2);
        let own = &attempt.own[&0];
        let ShardSlot { machine, store } = own.slot.as_ref();
        let (base, next) = (Version { batch: 0, attempt: attempt_id(1) }, attempt.batch.version());
        machine.lock().apply(Event::Run { base: Some(base), next });
        machine.lock().apply(Event::Restored(Some(base)));
        // What the batch looks up is there, but no codec wrote it.
        receive(&attempt, 0, frame(&attempt, 0, 3)).expect("received");
        let task = own.task.lock().replace(ShardTask::new(attempt.query.compiled.clone(), own.id().buckets()));
        let output = task.expect("it is there").collect(&store.view(), &DueIndex::default(), own.times);
        let writes = output.expect("finishes").writes.into_iter().map(|(key, _)| (key, Some(vec![0xff; 3]))).collect();
        let overlay = Arc::new(Overlay::new(writes));
        store.stage(PendingWrites { version: base, overlay, bytes: 9, dues: DueUpdate::new(), rows_total: 3 });
        assert!(store.promote(base));
        receive(&attempt, 0, frame(&attempt, 0, 3)).expect("received");

        let failure = finish(&attempt, 0).expect_err("it cannot be read");
        assert_eq!(failure.kind, FailureKind::Task, "{}", failure.message);
        assert!(failure.message.contains("shard 0"), "{}", failure.message);
        assert_eq!((machine.lock().state(), store.rows_total()), (State::Absent, 0));
        let again = Event::Run { base: Some(base), next: Version { attempt: attempt_id(3), ..next } };
        assert_eq!(machine.lock().apply(again), [Action::Restore(Some(base))]);
    }
}
