//! What the driver's collector leaves of a checkpoint, the executors can restore: both sides' real code on a real
//! folder.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use pyrite_common::checkpoint::{AttemptId, CommitExtra, CommitFile, ObjectRef, SnapshotRef, TermFile, names};
use pyrite_common::store::CheckpointStore;
use pyrite_driver::checkpoint::Collector;
use pyrite_driver::protocol::shard_map;
use pyrite_engine::state::{BUCKETS, StateView};
use pyrite_worker::executor::shard::{
    Database, EncodedSection, ObjectCache, Overlay, Restorer, Rocks, ShardId, ShardView, Uploader, Version, Write,
    Written, freeze, write_object,
};

const CODEC: u32 = 1;
const BATCHES_RETAINED: u64 = 4;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A shard's database, with every batch in it.
struct Shard {
    id: ShardId,
    database: Arc<Database>,
}

/// A checkpoint, the executor that writes it, and what its state must be after each batch.
struct World {
    _folder: tempfile::TempDir,
    local: PathBuf,
    store: CheckpointStore,
    rocks: Rocks,
    uploader: Uploader,
    term: u64,
    next_batch: u64,
    shards: Vec<Shard>,
    finished: Vec<SnapshotRef>,
    models: BTreeMap<u64, Model>,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let local = folder.path().join("local");
        std::fs::create_dir(&local).expect("a folder");
        let store = CheckpointStore::open(&folder.path().join("checkpoint").display().to_string()).expect("a store");
        let uploader = Uploader::new(store.clone(), CODEC);
        World {
            _folder: folder,
            local,
            uploader,
            store,
            rocks: Rocks::new(8 << 20, 4 << 20, 1).expect("rocks"),
            term: 0,
            next_batch: 0,
            shards: Vec::new(),
            finished: Vec::new(),
            models: BTreeMap::new(),
        }
    }

    /// A new driver, whose shards are read back under its own map.
    fn restart(&mut self, shards: u32) {
        self.term += 1;
        let claim = TermFile { driver: "d".into(), nonce: "n".into(), host: "h".into(), app: "a".into(), time_ms: 0 };
        let name = names::term(self.term);
        self.store.blocking_view().put(&name, claim.print().as_bytes()).expect("claimed");
        self.uploader = Uploader::new(self.store.clone(), CODEC);
        let base = self.next_batch.checked_sub(1);
        self.shards = ids(shards).map(|id| Shard { id, database: self.database(id, base) }).collect();
    }

    fn database(&self, id: ShardId, base: Option<u64>) -> Arc<Database> {
        let restored = base.and_then(|base| self.restore(id, base));
        restored.unwrap_or_else(|| Arc::new(Database::create(&self.rocks, &self.local).expect("a database")))
    }

    fn restore(&self, id: ShardId, base: u64) -> Option<Arc<Database>> {
        let bytes = self.store.blocking_view().get(&names::commit(base)).expect("the commit is there");
        let attempt = CommitFile::parse(base, &bytes).expect("readable").attempt().expect("ours");
        let (cache, cancelled) = (ObjectCache::default(), || false);
        let restorer = Restorer {
            store: &self.store,
            cache: &cache,
            rocks: &self.rocks,
            folder: &self.local,
            codec: CODEC,
            cancelled: &cancelled,
        };
        let restored = restorer.restore(id, Version { batch: base, attempt });
        restored.unwrap_or_else(|error| panic!("batch {base}, {id:?}: {error}")).database.map(Arc::new)
    }

    fn commit(&mut self) {
        let (batch, attempt) = (self.next_batch, AttemptId::new(self.term, self.next_batch));
        let mut model = self.models.last_key_value().map(|(_, model)| model.clone()).unwrap_or_default();
        let mut sections = Vec::new();
        for shard in &self.shards {
            let overlay = Arc::new(Overlay::new(writes(batch, shard.id)));
            for (key, value) in overlay.iter() {
                match value {
                    Some(value) => drop(model.insert(key.to_vec(), value.to_vec())),
                    None => drop(model.remove(key)),
                }
            }
            shard.database.fold(&self.rocks, &overlay).expect("folds");
            sections.push(EncodedSection::new(shard.id, overlay, 0));
        }
        let name = names::state_log(batch, attempt, "e");
        let put = self.store.blocking_view().put_from(&name, |out| write_object(out, (batch, attempt, "e"), &sections));
        let Written { length, crc } = put.expect("stored");
        let extra = CommitExtra {
            term: self.term,
            driver: "d".into(),
            nonce: "n".into(),
            attempt,
            objects: vec![ObjectRef { name, length, crc }],
            node_watermarks: Vec::new(),
            catch_up: Vec::new(),
            snapshots: std::mem::take(&mut self.finished),
            crc: String::new(),
        };
        let text = CommitFile { next_batch_watermark_ms: 0, pyrite: Some(extra) }.print();
        self.store.blocking_view().put(&names::offsets(batch), b"pinned").expect("stored");
        self.store.blocking_view().put(&names::commit(batch), text.as_bytes()).expect("stored");
        self.models.insert(batch, model);
        self.next_batch += 1;
    }

    /// A snapshot of each shard at the last commit, which the next commit names.
    fn snapshot(&mut self) {
        let batch = self.next_batch - 1;
        let version = Version { batch, attempt: AttemptId::new(self.term, batch) };
        for shard in &self.shards {
            let frozen = freeze(shard.id, version, 0, Some(&shard.database)).expect("freezes");
            self.finished.extend(self.uploader.upload(frozen, &|| false).expect("uploads"));
        }
    }

    /// Restores every retained batch, under the map of the run and under another.
    fn check(&self) {
        let last = self.next_batch - 1;
        for batch in last.saturating_sub(BATCHES_RETAINED)..=last {
            for shards in [u32::try_from(self.shards.len()).expect("few"), 3] {
                let mut found = Model::new();
                for database in ids(shards).filter_map(|id| self.restore(id, batch)) {
                    let all = &mut |key: &[u8], value: &[u8]| {
                        found.insert(key.to_vec(), value.to_vec());
                        Ok(ControlFlow::Continue(()))
                    };
                    ShardView::new(Some(database), Vec::new()).scan(&[0, 0], &[0xff; 4], all).expect("readable");
                }
                assert_eq!(found, self.models[&batch], "batch {batch} in {shards} shards");
            }
        }
    }

    fn objects(&self, folder: &str) -> Vec<String> {
        self.store.blocking_view().list(folder).expect("listed")
    }
}

fn ids(shards: u32) -> impl Iterator<Item = ShardId> {
    let firsts = shard_map(shards);
    let lasts: Vec<u16> = firsts.iter().skip(1).copied().chain([BUCKETS]).map(|next| next - 1).collect();
    let ranges = firsts.into_iter().zip(lasts);
    (0..).zip(ranges).map(|(shard, (first_bucket, last_bucket))| ShardId {
        operator: 0,
        shard,
        first_bucket,
        last_bucket,
    })
}

/// A batch's writes to a shard: some new, some over older ones, some deletions.
fn writes(batch: u64, id: ShardId) -> Vec<Write> {
    let mut writes = BTreeMap::new();
    for step in 0..60u64 {
        let number = batch * 7_919 + step * 104_729;
        let bucket = u16::try_from(number % 1024).expect("a bucket");
        let key = [&bucket.to_be_bytes()[..], &(number % 5).to_be_bytes()].concat();
        if id.buckets().contains(&bucket) {
            writes.insert(key, (!number.is_multiple_of(3)).then(|| format!("{batch}:{number}").into_bytes()));
        }
    }
    writes.into_iter().collect()
}

/// Batches, a snapshot every few, and now and then a look of the collector.
async fn run(world: &mut World, batches: u64, collector: &mut Collector) {
    for _ in 0..batches {
        world.commit();
        if world.next_batch.is_multiple_of(5) {
            world.snapshot();
        }
        if world.next_batch.is_multiple_of(7) {
            collector.run(world.term).await.expect("collects");
        }
    }
    world.check();
}

#[tokio::test]
async fn what_is_left_can_be_restored_also_under_another_map_and_does_not_grow() {
    let mut world = World::new();
    world.restart(2);
    let mut collector = Collector::new(world.store.clone(), BATCHES_RETAINED, vec![0]);
    run(&mut world, 42, &mut collector).await;
    let early = (world.objects("state").len(), world.objects("commits").len());
    run(&mut world, 42, &mut collector).await;
    let late = (world.objects("state").len(), world.objects("commits").len());
    // They differ by where between two snapshots the look falls.
    assert!(late.0 <= early.0 + 8 && late.1 <= early.1 + 5, "{early:?} objects grew to {late:?}");
    assert!(!world.objects("commits").contains(&names::commit(60)), "old commits are gone");

    world.restart(5);
    let mut collector = Collector::new(world.store.clone(), BATCHES_RETAINED, vec![0]);
    world.commit();
    collector.run(world.term).await.expect("collects");
    world.check();
    run(&mut world, 34, &mut collector).await;
    let of_old_map = |name: &&String| names::batch_of_snapshot(name).is_some_and(|batch| batch < 84);
    let snapshots = world.objects("state/snap");
    assert_eq!(snapshots.iter().find(of_old_map), None);
    let versions = std::fs::read_dir(world.store.root().join("state/snap/0/0")).expect("the shard's folder").count();
    assert!(versions <= 4, "{versions} folders of snapshots, some of them empty");
    // The driver before it, were it still alive, has no say.
    let mut old = Collector::new(world.store.clone(), 0, vec![0]);
    assert_eq!(old.run(1).await.expect("looks"), 0);
    world.check();
}
