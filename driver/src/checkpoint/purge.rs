//! Takes away logs and changelog objects that nobody can need again. A checkpoint grows all the same: nothing collects
//! snapshots (`state/snap`) and terms, which stay until someone deletes the checkpoint.
//!
//! Spark's `spark.sql.streaming.minBatchesToRetain` batches stay readable. A changelog object is needed as long as a
//! restore may start below it: until every shard has a snapshot at or above its batch; the caller says which batch that is.

use pyrite_common::checkpoint::names;
use pyrite_common::store::{CheckpointStore, StoreError};

/// Deletes logs of batches below `batch` and changelog objects of batches below `state_batch`; never of a term above ours.
pub async fn purge(store: &CheckpointStore, term: u64, batch: u64, state_batch: u64) -> Result<usize, StoreError> {
    let mut doomed = Vec::new();
    for folder in [names::OFFSETS, names::COMMITS] {
        let listed = store.list(folder).await?;
        let below = |name: &String| names::number_in(folder, name).is_some_and(|number| number < batch.min(state_batch));
        doomed.extend(listed.into_iter().filter(below));
    }
    let listed = store.list(names::STATE_LOG).await?;
    let old = |name: &String| {
        names::parse_state_log(name).is_some_and(|(of, attempt)| of < state_batch && attempt.term.0 <= term)
    };
    doomed.extend(listed.into_iter().filter(old));
    for name in &doomed {
        store.delete(name).await?;
    }
    Ok(doomed.len())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pyrite_common::checkpoint::AttemptId;

    use super::*;

    #[tokio::test]
    async fn only_what_is_below_both_lines_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::open(folder.path().to_str().unwrap()).unwrap();
        for batch in 0..6 {
            for name in [names::offsets(batch), names::commit(batch)] {
                store.put(&name, Bytes::new()).await.unwrap();
            }
            store.put(&names::state_log(batch, AttemptId::new(2, batch), "e"), Bytes::new()).await.unwrap();
        }
        store.put(&names::state_log(0, AttemptId::new(9, 1), "e"), Bytes::new()).await.unwrap();
        assert_eq!(purge(&store, 2, 4, 3).await.unwrap(), 9);
        assert_eq!(store.list("commits").await.unwrap(), ["commits/3", "commits/4", "commits/5"]);
        assert_eq!(store.list("state/log").await.unwrap().len(), 4);
    }
}
