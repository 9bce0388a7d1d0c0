//! Round trips of shard state through real databases and a checkpoint in a temporary folder.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use pyrite_common::checkpoint::{AttemptId, CommitExtra, CommitFile, ObjectRef, SnapshotRef, names};
use pyrite_common::store::CheckpointStore;
use pyrite_engine::state::StateView;
use pyrite_engine::task::DueIndex;

use super::*;
use crate::executor::reserve::Reserve;

mod early;
mod snapshots;

const CODEC: u32 = 1;
type Model = BTreeMap<Vec<u8>, Vec<u8>>;

struct World {
    /// Below it everything lies; it goes with the test.
    _folder: tempfile::TempDir,
    local: PathBuf,
    store: CheckpointStore,
    rocks: Arc<Rocks>,
    overlays: Arc<Reserve>,
    uploader: Uploader,
}

impl World {
    fn new() -> Self {
        Self::with_overlay_bytes(64 << 20)
    }

    fn with_overlay_bytes(overlay_bytes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let local = folder.path().join("local");
        std::fs::create_dir(&local).expect("a folder");
        let store = CheckpointStore::open(&folder.path().join("checkpoint").display().to_string()).expect("a store");
        let rocks = Arc::new(Rocks::new(8 << 20, 4 << 20, 1).expect("rocks"));
        let uploader = Uploader::new(store.clone(), CODEC);
        Self { _folder: folder, local, store, rocks, overlays: Reserve::new(overlay_bytes), uploader }
    }

    fn shard(&self, shard: u32, first_bucket: u16, last_bucket: u16) -> ShardStore {
        let id = ShardId { operator: 0, shard, first_bucket, last_bucket };
        ShardStore::new(id, self.rocks.clone(), self.local.clone(), &self.overlays)
    }

    /// Writes a commit of a batch whose shards wrote `writes`.
    fn commit(&self, batch: u64, writes: &[(&ShardStore, Vec<Write>)], snapshots: Vec<SnapshotRef>) {
        let sections = writes
            .iter()
            .filter(|(_, writes)| !writes.is_empty())
            .map(|(shard, writes)| EncodedSection::new(shard.id(), Arc::new(Overlay::new(writes.clone())), 0));
        self.commit_sections(batch, &sections.collect::<Vec<_>>(), snapshots);
    }

    fn commit_sections(&self, batch: u64, sections: &[EncodedSection], snapshots: Vec<SnapshotRef>) {
        let attempt = attempt(batch);
        let name = names::state_log(batch, attempt, "e");
        let put = self.store.blocking_view().put_from(&name, |out| write_object(out, (batch, attempt, "e"), sections));
        let Written { length, crc } = put.expect("stored");
        let object = ObjectRef { name, length, crc };
        let extra = CommitExtra {
            term: 1,
            driver: "d".to_owned(),
            nonce: "n".to_owned(),
            attempt,
            objects: vec![object],
            node_watermarks: Vec::new(),
            catch_up: Vec::new(),
            snapshots,
            crc: String::new(),
        };
        let text = CommitFile { next_batch_watermark_ms: 0, pyrite: Some(extra) }.print();
        self.store.blocking_view().put(&names::commit(batch), text.as_bytes()).expect("stored");
    }

    fn restorer<'a>(&'a self, cache: &'a ObjectCache, cancelled: &'a dyn Fn() -> bool) -> Restorer<'a> {
        Restorer { store: &self.store, cache, rocks: &self.rocks, folder: &self.local, codec: CODEC, cancelled }
    }

    fn restore(&self, shard: &ShardStore, batch: u64) -> Result<Model, RestoreError> {
        let restored = self.restorer(&ObjectCache::default(), &|| false).restore(shard.id(), version(batch))?;
        let database = restored.database.map(Arc::new);
        let content = content(&ShardView::new(database.clone(), Vec::new()));
        let (rows_total, chain) = (content.len() as u64, restored.chain);
        shard.install(version(batch), Opened { database, dues: DueIndex::default(), rows_total, chain });
        Ok(content)
    }

    /// A snapshot of what the shard has folded.
    fn snapshot(&self, shard: &ShardStore) -> Option<SnapshotRef> {
        let frozen = shard.freeze().expect("freezes").expect("it is of a version");
        self.uploader.upload(frozen, &|| false).expect("uploads")
    }
}

fn attempt(batch: u64) -> AttemptId {
    AttemptId::new(1, batch + 10)
}

fn version(batch: u64) -> Version {
    Version { batch, attempt: attempt(batch) }
}

fn key(bucket: u16, name: u64) -> Vec<u8> {
    [&bucket.to_be_bytes()[..], &name.to_be_bytes()].concat()
}

/// Writes that differ from batch to batch, deletions among them.
fn writes(batch: u64, first: u16, last: u16) -> Vec<Write> {
    let mut writes: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
    for step in 0..40u64 {
        let number = batch * 7919 + step * 104_729;
        let bucket = (number % 1024) as u16;
        if (first..=last).contains(&bucket) {
            let value = (!number.is_multiple_of(3)).then(|| format!("{batch}:{number}").into_bytes());
            writes.insert(key(bucket, number % 5), value);
            writes.insert(key(bucket, 77), Some(batch.to_be_bytes().to_vec()));
        }
    }
    writes.into_iter().collect()
}

fn play(model: &mut Model, writes: &[Write]) {
    for (key, value) in writes {
        match value {
            Some(value) => drop(model.insert(key.clone(), value.clone())),
            None => drop(model.remove(key)),
        }
    }
}

fn content(view: &ShardView) -> Model {
    let mut content = Model::new();
    view.scan(&[0, 0], &[0xff; 4], &mut |key, value| {
        content.insert(key.to_vec(), value.to_vec());
        Ok(ControlFlow::Continue(()))
    })
    .expect("readable");
    content
}

fn stage_and_promote(shard: &ShardStore, batch: u64, writes: &[Write]) {
    let overlay = Arc::new(Overlay::new(writes.to_vec()));
    let bytes = overlay.encoded().len();
    shard.stage(PendingWrites { version: version(batch), overlay, bytes, dues: Vec::new(), rows_total: 0 });
    shard.promote(version(batch));
}

#[test]
fn a_view_is_the_same_before_during_and_after_folds() {
    let world = World::new();
    let shard = world.shard(0, 0, 1023);
    let mut model = Model::new();
    for batch in 0..30 {
        let batch_writes = writes(batch, 0, 1023);
        play(&mut model, &batch_writes);
        stage_and_promote(&shard, batch, &batch_writes);
        if batch % 3 == 0 {
            shard.fold().expect("folds");
        }
        let view = shard.view();
        assert_eq!(content(&view), model, "batch {batch}");
        let mut keys: Vec<Vec<u8>> = model.keys().cloned().chain((0..50).map(|name| key(500, name))).collect();
        keys.sort();
        let borrowed: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let wanted: Vec<Option<Vec<u8>>> = keys.iter().map(|key| model.get(key).cloned()).collect();
        assert_eq!(view.multi_get(&borrowed).expect("readable"), wanted);
    }
    while shard.fold().expect("folds").is_some() {}
    assert_eq!(content(&shard.view()), model);
}

#[test]
fn a_large_overlay_is_folded_as_a_file() {
    let world = World::new();
    let shard = world.shard(0, 0, 1023);
    stage_and_promote(&shard, 0, &[(key(3, 7), Some(vec![9])), (key(9, 9), Some(vec![9]))]);
    shard.fold().expect("folds");
    let large =
        |value: u8| (0..1024u16).map(move |bucket| (key(bucket, 7), Some(vec![value; 8192]))).collect::<Vec<Write>>();
    let mut model: Model = large(1).into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    stage_and_promote(&shard, 1, &large(1));
    shard.fold().expect("folds");
    model.insert(key(9, 9), vec![9]);
    assert_eq!(content(&shard.view()), model);
    let mut deletions: Vec<Write> = large(2);
    deletions.iter_mut().step_by(2).for_each(|(_, value)| *value = None);
    play(&mut model, &deletions);
    stage_and_promote(&shard, 2, &deletions);
    shard.fold().expect("folds");
    assert_eq!(content(&shard.view()), model);
}

#[test]
fn scans_are_bounded_ordered_and_can_stop() {
    let world = World::new();
    let shard = world.shard(0, 0, 1023);
    let entry = |bucket, name: u64| (key(bucket, name), Some(vec![1]));
    stage_and_promote(&shard, 0, &[entry(1, 1), entry(1, 3), entry(2, 0)]);
    shard.fold().expect("folds");
    stage_and_promote(&shard, 1, &[entry(1, 2), (key(1, 3), None)]);
    let mut seen = Vec::new();
    let view = shard.view();
    let all = &mut |key: &[u8], _: &[u8]| {
        seen.push(key.to_vec());
        Ok(ControlFlow::Continue(()))
    };
    view.scan(&[0, 1], &[0, 2], all).expect("readable");
    assert_eq!(seen, [key(1, 1), key(1, 2)]);
    let mut count = 0;
    let first = &mut |_: &[u8], _: &[u8]| {
        count += 1;
        Ok(ControlFlow::Break(()))
    };
    view.scan(&[0, 0], &[9, 0], first).expect("readable");
    assert_eq!(count, 1);
}

#[test]
fn dropped_and_cleared_writes_leave_nothing() {
    let world = World::new();
    let shard = world.shard(0, 0, 1023);
    let overlay = Arc::new(Overlay::new(writes(0, 0, 1023)));
    shard.stage(PendingWrites { version: version(0), overlay, bytes: 9, dues: Vec::new(), rows_total: 9 });
    assert!(content(&shard.view()).is_empty(), "pending writes are not committed");
    shard.promote(version(1));
    assert!(content(&shard.view()).is_empty(), "another version was committed");
    stage_and_promote(&shard, 0, &writes(0, 0, 1023));
    shard.fold().expect("folds");
    let database = shard.clear().expect("it was folded");
    let folder = database.folder().to_owned();
    assert!(folder.exists());
    drop(database);
    assert!(!folder.exists(), "a closed database leaves no files");
}

#[test]
fn state_comes_back_from_changelogs_alone() {
    let world = World::new();
    let shard = world.shard(0, 0, 1023);
    let mut model = Model::new();
    for batch in 0..12 {
        let batch_writes = writes(batch, 0, 1023);
        play(&mut model, &batch_writes);
        world.commit(batch, &[(&shard, batch_writes)], Vec::new());
    }
    assert_eq!(world.restore(&shard, 11).expect("restorable"), model);
}

#[test]
fn state_comes_back_from_a_snapshot_and_what_followed() {
    let world = World::new();
    let shard = world.shard(0, 0, 1023);
    let mut model = Model::new();
    let mut ready = Vec::new();
    for batch in 0..12 {
        let batch_writes = writes(batch, 0, 1023);
        play(&mut model, &batch_writes);
        stage_and_promote(&shard, batch, &batch_writes);
        world.commit(batch, &[(&shard, batch_writes)], std::mem::take(&mut ready));
        shard.fold().expect("folds");
        if batch == 4 || batch == 8 {
            ready.extend(world.snapshot(&shard));
        }
    }
    // What the snapshot covers is not read again.
    for batch in 0..8 {
        world.store.blocking_view().delete(&names::commit(batch)).expect("deleted");
    }
    let fresh = world.shard(0, 0, 1023);
    assert_eq!(world.restore(&fresh, 11).expect("restorable"), model);
    stage_and_promote(&fresh, 12, &writes(12, 0, 1023));
    play(&mut model, &writes(12, 0, 1023));
    assert_eq!(content(&fresh.view()), model);
}

#[test]
fn a_damaged_snapshot_gives_way_to_an_older_one_and_a_damaged_log_is_named() {
    let world = World::new();
    let shard = world.shard(0, 0, 1023);
    let mut model = Model::new();
    let mut ready = Vec::new();
    for batch in 0..8 {
        let batch_writes = writes(batch, 0, 1023);
        play(&mut model, &batch_writes);
        stage_and_promote(&shard, batch, &batch_writes);
        world.commit(batch, &[(&shard, batch_writes)], std::mem::take(&mut ready));
        shard.fold().expect("folds");
        if batch == 2 || batch == 5 {
            ready.extend(world.snapshot(&shard));
        }
    }
    let manifest = format!("{}/manifest", names::snapshot(0, 0, 5, attempt(5)));
    std::fs::write(world.store.root().join(&manifest), b"{}").expect("damaged");
    assert_eq!(world.restore(&shard, 7).expect("restorable"), model);
    let log = names::state_log(6, attempt(6), "e");
    let path = world.store.root().join(&log);
    let mut bytes = std::fs::read(&path).expect("there");
    bytes[9] ^= 1;
    std::fs::write(&path, bytes).expect("damaged");
    let error = world.restore(&shard, 7).expect_err("damaged");
    assert!(error.to_string().contains(&log), "{error}");
    assert_eq!(error.kind(), pyrite_common::error::Kind::Corrupt);
}

#[test]
fn another_attempts_base_is_refused() {
    let world = World::new();
    let shard = world.shard(0, 0, 1023);
    world.commit(0, &[(&shard, writes(0, 0, 1023))], Vec::new());
    let wrong = Version { batch: 0, attempt: AttemptId::new(9, 9) };
    let restored = world.restorer(&ObjectCache::default(), &|| false).restore(shard.id(), wrong);
    assert!(matches!(restored, Err(RestoreError::OtherAttempt { .. })));
}

#[test]
fn a_cancelled_restore_ends() {
    let world = World::new();
    let shard = world.shard(0, 0, 1023);
    world.commit(0, &[(&shard, writes(0, 0, 1023))], Vec::new());
    let restored = world.restorer(&ObjectCache::default(), &|| true).restore(shard.id(), version(0));
    let ended = restored.map(|restored| restored.rows_total);
    assert_eq!(ended.expect_err("nobody wants it").to_string(), "cancelled");
}

#[test]
fn shards_split_and_merge() {
    let world = World::new();
    let halves = [world.shard(0, 0, 511), world.shard(1, 512, 1023)];
    let mut model = Model::new();
    let mut ready = Vec::new();
    for batch in 0..10 {
        let parts: Vec<(&ShardStore, Vec<Write>)> = halves
            .iter()
            .map(|shard| (shard, writes(batch, shard.id().first_bucket, shard.id().last_bucket)))
            .collect();
        for (shard, writes) in &parts {
            play(&mut model, writes);
            stage_and_promote(shard, batch, writes);
        }
        world.commit(batch, &parts, std::mem::take(&mut ready));
        for (index, shard) in halves.iter().enumerate() {
            shard.fold().expect("folds");
            // The halves have snapshots of different versions, the second only one.
            if batch == 6 || (batch == 3 && index == 0) {
                ready.extend(world.snapshot(shard));
            }
        }
    }
    let expected = |first: u16, last: u16| -> Model {
        let range = first.to_be_bytes().to_vec()..(u32::from(last) + 1).to_be_bytes()[2..].to_vec();
        let all = last == 1023;
        model
            .iter()
            .filter(|(key, _)| **key >= range.start && (all || **key < range.end))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    // Seven shards, whose borders lie across the old one; then one.
    let borders = [0u16, 146, 292, 438, 585, 731, 877, 1024];
    for (number, pair) in borders.windows(2).enumerate() {
        let shard = world.shard(number as u32, pair[0], pair[1] - 1);
        assert_eq!(world.restore(&shard, 9).expect("restorable"), expected(pair[0], pair[1] - 1), "shard {number}");
    }
    assert_eq!(world.restore(&world.shard(0, 0, 1023), 9).expect("restorable"), model);
}
