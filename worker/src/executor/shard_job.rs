//! The jobs of one shard in a batch: open it at the base, and, when all input is there, merge, emit and stage.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyrite_engine::plan::Sink;
use pyrite_engine::state::{CODEC_VERSION, StateView};
use pyrite_engine::task::{DueIndex, ShardCounts};
use pyrite_proto::executor::FailureKind;

use super::attempt::{Attempt, OwnShard};
use super::error::Failure;
use super::rows;
use super::shard::{Action, EncodedSection, Event, Overlay, PendingWrites, Restorer, ShardId, ShardView, Version};

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
                folded.map_err(|error| Failure::new(FailureKind::Unavailable, format!("state database: {error}")))?;
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
    let output =
        task.finish(&view as &dyn StateView, &store.dues(), own.times).map_err(|error| Failure::from(&error))?;
    let emitted: usize = output.rows.iter().map(|batch| batch.num_rows()).sum();
    if attempt.query.compiled.sink() == Sink::Driver {
        rows::send(attempt, shard, &output.rows)?;
    }
    if attempt.is_cancelled() {
        return Ok(());
    }
    let rows_total = store.rows_total().saturating_add_signed(output.counts.total_delta);
    let overlay = Arc::new(Overlay::new(output.writes));
    let section = (!overlay.is_empty()).then(|| EncodedSection::new(own.id(), overlay.clone(), rows_total));
    let version = attempt.batch.version();
    store.stage(PendingWrites { version, overlay, dues: output.dues, rows_total });
    let actions = own.slot.machine.lock().apply(Event::Finished(version));
    if !actions.is_empty() {
        store.drop_pending();
        return Err(Failure::new(FailureKind::Task, format!("shard {shard} is not at the batch's base")));
    }
    record(
        attempt,
        Finished { id: own.id(), counts: output.counts, rows_total, emitted, section, took: started.elapsed() },
    );
    attempt.part_done();
    Ok(())
}

/// What a shard did in the batch.
struct Finished {
    id: ShardId,
    counts: ShardCounts,
    rows_total: u64,
    emitted: usize,
    section: Option<EncodedSection>,
    took: Duration,
}

fn record(attempt: &Attempt, finished: Finished) {
    let Finished { id, counts, rows_total, emitted, section, took } = finished;
    let mut results = attempt.results.lock();
    results.output_rows += emitted as u64;
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
