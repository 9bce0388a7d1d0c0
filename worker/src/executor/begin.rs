//! The start of an attempt: shards are brought to the base as their machines say, then the jobs begin.

use std::sync::Arc;

use super::attempt::Attempt;
use super::context::{QueryContext, ShardSlot, Shared};
use super::error::Failure;
use super::shard::{Action, Event, ShardId, Version};
use super::shard_job::Opening;
use super::shuffle::Inboxes;
use super::wire::Batch;

/// Begins an attempt; older work of the query has ended.
pub fn begin(shared: &Arc<Shared>, query: &Arc<QueryContext>, inboxes: &Inboxes, batch: Batch) -> Arc<Attempt> {
    query.clock.set(batch.clock_us);
    let slots = query.own_shards(&own_ids(shared, query, &batch));
    let event = Event::Run { base: batch.base, next: batch.version() };
    let mut openings = Vec::new();
    for slot in &slots {
        let restore = apply(query, slot, event);
        let shard = slot.store.id().shard;
        match restore {
            Some(version) => openings.push((shard, Opening::Restore(version))),
            None if slot.store.is_behind() => openings.push((shard, Opening::Fold)),
            None => {}
        }
    }
    let attempt = Attempt::new(shared.clone(), query.clone(), batch, slots, openings.len());
    match prepare_readers(&attempt) {
        Ok(()) => attempt.launch(openings),
        Err(failure) => attempt.fail(failure),
    }
    // Not before: a sender's "done" must not move what the launch looks at.
    inboxes.set(attempt.clone());
    attempt
}

/// Tells every shard of the query.
pub fn apply_to_all(query: &QueryContext, event: Event) {
    for slot in query.slots() {
        apply(query, &slot, event);
    }
}

/// Does what the machine says. `Some`: a version has to be restored, which a job does.
fn apply(query: &QueryContext, slot: &ShardSlot, event: Event) -> Option<Version> {
    let mut machine = slot.machine.lock();
    let mut restore = None;
    for action in machine.apply(event) {
        match action {
            Action::Fold(version) => {
                if slot.store.promote(version) {
                    query.keeper.fold(slot.store.clone());
                } else {
                    // Of a batch that was not finished here: nobody knows what the database holds.
                    tracing::error!(
                        shard = slot.store.id().shard,
                        batch = version.batch,
                        "committed writes are not here"
                    );
                    machine.apply(Event::Failed);
                    query.keeper.close(slot.store.clear());
                }
            }
            Action::DropOverlay => slot.store.drop_pending(),
            Action::DropDatabase => query.keeper.close(slot.store.clear()),
            Action::Restore(None) => {
                query.keeper.close(slot.store.clear());
                machine.apply(Event::Restored(None));
            }
            Action::Restore(Some(version)) => restore = Some(version),
        }
    }
    restore
}

fn own_ids(shared: &Shared, query: &QueryContext, batch: &Batch) -> Vec<ShardId> {
    let mut ids = Vec::new();
    for operator in query.compiled.operator_ids() {
        for (index, shard) in batch.shards.iter().enumerate() {
            if shard.executor == shared.config.executor_id {
                let (first_bucket, last_bucket) = (shard.first_bucket, shard.last_bucket);
                ids.push(ShardId { operator, shard: index as u32, first_bucket, last_bucket });
            }
        }
    }
    ids
}

/// Partitions start to fetch now, so that a thread that comes to one later finds its records there.
fn prepare_readers(attempt: &Attempt) -> Result<(), Failure> {
    for (source, splits) in &attempt.work {
        let ranges = splits.lock().ranges();
        attempt.query.readers[*source].prepare(&ranges).map_err(|error| Failure::from(&error))?;
    }
    Ok(())
}
