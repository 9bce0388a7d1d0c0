//! The jobs of one shard in a batch: open it at the base, and, when all input is there, merge, emit and stage.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use pyrite_common::error::chain;
use pyrite_engine::plan::Sink;
use pyrite_engine::state::{CODEC_VERSION, StateView};
use pyrite_engine::task::{DueIndex, DueUpdate, ShardCounts, ShardEnd, ShardSink, TaskError};
use pyrite_proto::executor::FailureKind;

use super::attempt::{Attempt, OwnShard};
use super::context::ShardSlot;
use super::error::{Failure, WorkError};
use super::rows;
use super::shard::{
    Action, EncodedSection, Event, PendingWrites, Restorer, ShardId, ShardView, Version, WriteBuffer, WriteError,
    Writes,
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
                let folded = own.slot.store.fold();
                folded.map_err(|error| local_state(own, &error))?;
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
    let restored = restorer.restore(id, base).map_err(|error| Failure::from(&error))?;
    let database = restored.database.map(Arc::new);
    let view = ShardView::new(database.clone(), Vec::new());
    let dues =
        DueIndex::rebuild(&view, id.buckets()).map_err(|error| Failure::new(FailureKind::Fatal, error.to_string()))?;
    store.install(Some(base), database, dues, restored.rows_total);
    let actions = own.slot.machine.lock().apply(Event::Restored(Some(base)));
    if actions.contains(&Action::DropDatabase) {
        query.keeper.close(store.clear());
    }
    let millis = started.elapsed().as_millis() as u64;
    tracing::info!(
        query = query.query_id,
        shard = id.shard,
        batch = base.batch,
        rows = restored.rows_total,
        millis,
        "shard restored"
    );
    Ok(())
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
    let ShardEnd { counts, dues } = ended.map_err(|error| Failure::from(&error))?;
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

/// The executor's own disk refuses: another try may find room, but not for ever.
fn local_state(own: &OwnShard, error: &rocksdb::Error) -> Failure {
    let folder = own.slot.store.folder().display();
    let message = format!(
        "the state databases in `{folder}` cannot be written: {error}; make room there, or start the worker with another `--work-dir`"
    );
    Failure::new(FailureKind::Task, message)
}
