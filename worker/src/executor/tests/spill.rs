//! Batches that do not fit into memory: receiving buffers and writes go to disk, and nothing else changes.

use super::*;

/// So little that the shards' buffers and overlays hold next to nothing.
const MEMORY_BYTES: u64 = 1;
/// Each value comes once in `VALUES` records.
const VALUES: usize = 40_000;
const BATCH: i64 = VALUES as i64;

fn all(each: i64) -> BTreeMap<String, i64> {
    (0..VALUES).map(|value| (format!("v{value}"), each)).collect()
}

/// Databases that the executor has made.
fn databases(folder: &Path) -> usize {
    let state = folder.join("work-0/state/r");
    let entries = std::fs::read_dir(state).expect("the query's folder");
    entries
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("db-")))
        .count()
}

async fn start(driver: &Driver, cluster: &Cluster, memory_bytes: u64) -> Executor {
    let mut executor = Executor::with_memory("0", driver.folder.path(), memory_bytes).await;
    executor.start_query(&cluster.bootstrap_servers(), &driver.checkpoint()).await;
    executor
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_larger_than_memory_commits_is_read_by_the_next_and_survives_restarts() {
    let cluster = cluster_of(4 * VALUES, VALUES);
    let mut driver = Driver::new();
    let mut executor = start(&driver, &cluster, MEMORY_BYTES).await;
    let run = driver.run(&[&executor], 2, 0, BATCH);
    executor.send(ToExecutor::RunBatch(run)).await;
    let (counts, prepared) = executor.prepared().await;
    assert!(counts == all(1));
    assert_eq!(databases(driver.folder.path()), 2, "both shards wrote before the commit");
    assert_eq!((prepared.output_rows, prepared.operators[0].rows_total), (VALUES as u64, VALUES as u64));
    driver.commit(&[&executor], &[prepared]).await;
    assert!(driver.batch(&mut executor, 2, BATCH, 2 * BATCH).await == all(2));
    executor.end().await;
    // Another process, with memory and another shard map: the objects are like any others.
    let mut executor = start(&driver, &cluster, 512 << 20).await;
    assert!(driver.batch(&mut executor, 3, 2 * BATCH, 3 * BATCH).await == all(3));
    executor.end().await;
    let mut executor = start(&driver, &cluster, MEMORY_BYTES).await;
    assert!(driver.batch(&mut executor, 1, 3 * BATCH, 4 * BATCH).await == all(4));
    executor.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_wrote_before_its_commit_and_was_aborted_leaves_nothing() {
    let cluster = cluster_of(3 * VALUES, VALUES);
    let mut driver = Driver::new();
    let mut executor = start(&driver, &cluster, MEMORY_BYTES).await;
    assert!(driver.batch(&mut executor, 2, 0, BATCH).await == all(1));
    // Prepared, then aborted; then prepared and simply replaced.
    let run = driver.run(&[&executor], 2, BATCH, 2 * BATCH);
    let attempt = run.attempt;
    executor.send(ToExecutor::RunBatch(run)).await;
    assert!(executor.prepared().await.0 == all(2));
    executor.send(ToExecutor::Abort(wire::Abort { query_id: "q".to_owned(), attempt })).await;
    let run = driver.run(&[&executor], 2, BATCH, 2 * BATCH);
    executor.send(ToExecutor::RunBatch(run)).await;
    assert!(executor.prepared().await.0 == all(2));
    assert!(driver.batch(&mut executor, 2, BATCH, 2 * BATCH).await == all(2));
    assert!(driver.batch(&mut executor, 2, 2 * BATCH, 3 * BATCH).await == all(3));
    executor.end().await;
}
