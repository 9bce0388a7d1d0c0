//! Who makes snapshots, when, and that what restores replay stays bounded.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// Snapshots whenever there are `versions` versions.
fn keeper(world: &World, versions: u64) -> Keeper {
    let policy = SnapshotPolicy { versions, bytes: u64::MAX };
    Keeper::start(world.store.clone(), CODEC, policy).expect("threads")
}

/// Asks for folds until one snapshot more is finished.
fn next_snapshot(keeper: &Keeper, shard: &Arc<ShardStore>) -> SnapshotRef {
    let start = Instant::now();
    loop {
        keeper.fold(shard.clone());
        if let Some(snapshot) = keeper.take_finished().pop() {
            return snapshot;
        }
        assert!(start.elapsed() < PATIENCE, "no snapshot is made");
        std::thread::yield_now();
    }
}

#[test]
fn the_keeper_folds_and_makes_snapshots() {
    let world = World::new();
    let shard = Arc::new(world.shard(0, 0, 1023));
    let keeper = keeper(&world, 3);
    let mut model = Model::new();
    for last in [2, 5, 8] {
        for batch in last - 2..=last {
            play(&mut model, &writes(batch, 0, 1023));
            stage_and_promote(&shard, batch, &writes(batch, 0, 1023));
        }
        assert_eq!(next_snapshot(&keeper, &shard).batch, last);
        assert_eq!(shard.chain(), Chain::default());
    }
    assert_eq!(content(&shard.view()), model);
}

#[test]
fn shards_that_are_due_at_once_all_get_their_snapshot() {
    let world = World::new();
    let keeper = keeper(&world, 1);
    let shards: Vec<_> = (0..16).map(|index| Arc::new(world.shard(index, 0, 1023))).collect();
    for shard in &shards {
        stage_and_promote(shard, 0, &writes(0, 0, 1023));
        keeper.fold(shard.clone());
    }
    let (start, mut made) = (Instant::now(), BTreeSet::new());
    while made.len() < shards.len() {
        made.extend(keeper.take_finished().iter().map(|snapshot| snapshot.shard));
        assert!(start.elapsed() < PATIENCE, "only {made:?}");
        std::thread::yield_now();
    }
    // One that goes while it waits keeps nobody.
    let gone = Arc::downgrade(&shards[0]);
    drop(shards);
    drop(keeper);
    assert!(gone.upgrade().is_none());
}

#[test]
fn folds_of_others_count() {
    let world = World::new();
    let shard = Arc::new(world.shard(0, 0, 1023));
    let keeper = keeper(&world, 3);
    for batch in 0..3 {
        stage_and_promote(&shard, batch, &writes(batch, 0, 1023));
        // As a batch does that lacks memory.
        assert_eq!(shard.fold().expect("folds"), Some(version(batch)));
    }
    assert_eq!(next_snapshot(&keeper, &shard).batch, 2);
}

#[test]
fn a_query_that_runs_one_batch_a_start_replays_no_more_than_it_should() {
    const VERSIONS: u64 = 4;
    let world = World::new();
    let mut model = Model::new();
    for batch in 0..20u64 {
        // A process: it restores, runs a batch, commits it and ends before the keeper's snapshot could be named.
        let shard = world.shard(0, 0, 1023);
        let keeper = keeper(&world, VERSIONS);
        if let Some(base) = batch.checked_sub(1) {
            assert_eq!(world.restore(&shard, base).expect("restorable"), model, "batch {batch}");
            let replayed = shard.chain().versions;
            assert!(replayed <= VERSIONS && replayed <= batch, "batch {batch} replayed {replayed}");
            keeper.shorten(&shard, &|| false);
        }
        let batch_writes = writes(batch, 0, 1023);
        play(&mut model, &batch_writes);
        world.commit(batch, &[(&shard, batch_writes)], keeper.take_finished());
    }
    // The collector's floor rises with the snapshots.
    for batch in 0..20 - VERSIONS {
        world.store.blocking_view().delete(&names::commit(batch)).expect("deleted");
    }
    assert_eq!(world.restore(&world.shard(0, 0, 1023), 19).expect("restorable"), model);
}

#[test]
fn what_a_restore_replayed_is_counted() {
    let world = World::new();
    let shard = world.shard(0, 0, 1023);
    let mut bytes = 0;
    for batch in 0..5 {
        let batch_writes = writes(batch, 0, 1023);
        bytes += Overlay::new(batch_writes.clone()).encoded().len() as u64;
        world.commit(batch, &[(&shard, batch_writes)], Vec::new());
    }
    world.restore(&shard, 4).expect("restorable");
    assert_eq!(shard.chain(), Chain { versions: 5, bytes });
    stage_and_promote(&shard, 5, &[(key(1, 1), None)]);
    shard.fold().expect("folds");
    assert_eq!(shard.chain().versions, 6);
}

#[test]
fn a_snapshot_that_no_commit_named_is_found_again() {
    let world = World::new();
    let (mut named, keeper) = (Vec::new(), keeper(&world, 1));
    world.commit(0, &[(&world.shard(0, 0, 1023), writes(0, 0, 1023))], Vec::new());
    for _ in 0..2 {
        let shard = world.shard(0, 0, 1023);
        world.restore(&shard, 0).expect("restorable");
        keeper.shorten(&shard, &|| false);
        named.extend(keeper.take_finished());
    }
    assert!(named.len() == 2 && named[0] == named[1], "{named:?}");
    // Under another map the name may stand for other buckets: what is there is told.
    let half = world.shard(0, 0, 511);
    world.restore(&half, 0).expect("restorable");
    keeper.shorten(&half, &|| false);
    assert_eq!(keeper.take_finished(), named[..1]);
}

#[test]
fn a_restored_database_uploads_only_what_is_new() {
    let world = World::new();
    let shard = world.shard(0, 0, 1023);
    stage_and_promote(&shard, 0, &writes(0, 0, 1023));
    world.commit(0, &[(&shard, writes(0, 0, 1023))], Vec::new());
    shard.fold().expect("folds");
    let snapshot = world.snapshot(&shard);
    world.commit(1, &[(&shard, Vec::new())], snapshot.into_iter().collect());
    let fresh = world.shard(0, 0, 1023);
    world.restore(&fresh, 1).expect("restorable");
    // Were its files uploaded again, they would be back.
    let store = world.store.blocking_view();
    for name in store.list("state/snap/0/files").expect("listed") {
        store.delete(&name).expect("deleted");
    }
    assert!(world.snapshot(&fresh).is_some());
    assert_eq!(store.list("state/snap/0/files").expect("listed"), Vec::<String>::new());
}

#[test]
fn no_snapshot_is_made_of_half_a_fold() {
    let world = World::new();
    let shard = world.shard(0, 0, 1023);
    stage_and_promote(&shard, 0, &writes(0, 0, 1023));
    shard.fold().expect("folds");
    let large = |bucket: u16| (key(bucket, 7), Some(vec![1; 8192]));
    stage_and_promote(&shard, 1, &(0..1024).map(large).collect::<Vec<_>>());
    let away = world.local.with_extension("away");
    std::fs::rename(&world.local, &away).expect("moved");
    shard.fold().expect_err("there is no place for the file");
    std::fs::rename(&away, &world.local).expect("moved back");
    assert!(shard.freeze().expect("asked").is_none(), "nobody knows how much of it was written");
    shard.fold().expect("folds");
    let frozen = shard.freeze().expect("freezes").expect("it is of a version");
    assert_eq!(frozen.version, version(1));
}

#[test]
fn a_cancelled_upload_leaves_no_files_here() {
    let world = World::new();
    let shard = world.shard(0, 0, 1023);
    stage_and_promote(&shard, 0, &writes(0, 0, 1023));
    shard.fold().expect("folds");
    let frozen = shard.freeze().expect("freezes").expect("it is of a version");
    let count = || std::fs::read_dir(&world.local).expect("listed").count();
    assert_eq!(count(), 2);
    assert!(world.uploader.upload(frozen, &|| true).is_err());
    assert_eq!((count(), world.store.blocking_view().list("state/snap").expect("listed")), (1, Vec::new()));
}
