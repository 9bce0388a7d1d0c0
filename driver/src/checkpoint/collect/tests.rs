//! The collector against a model of a checkpoint and of the executor that uploads to it, step by step.

use std::collections::VecDeque;

use proptest::prelude::*;
use pyrite_common::checkpoint::{AttemptId, ObjectRef};

use super::*;
use crate::protocol::shard_map;

/// A snapshot on its way: the database's files, written one by one, then the manifest.
struct Upload {
    snapshot: SnapshotRef,
    files: Vec<String>,
    written: usize,
}

/// A checkpoint, its driver and one executor with all shards.
struct World {
    owner: Owner,
    seen: Seen,
    unnamed: Unnamed,
    next_batch: u64,
    /// First and last bucket of each shard, and whether a batch was committed since.
    map: Vec<(u16, u16)>,
    is_folded: bool,
    /// The SST files of each shard's database.
    live: Vec<BTreeSet<String>>,
    files: u64,
    uploads: VecDeque<Upload>,
    /// What the uploader does not write again.
    known: BTreeSet<String>,
    /// Snapshots that no commit names yet.
    finished: Vec<SnapshotRef>,
}

impl World {
    fn new(shards: u32, batches_retained: u64) -> World {
        let owner = Owner { term: 0, batches_retained, operators: vec![0] };
        let mut world = World {
            owner,
            seen: Seen::default(),
            unnamed: Unnamed::new(),
            next_batch: 0,
            map: Vec::new(),
            is_folded: false,
            live: Vec::new(),
            files: 0,
            uploads: VecDeque::new(),
            known: BTreeSet::new(),
            finished: Vec::new(),
        };
        world.restart(shards);
        world
    }

    /// A new driver with another shard map; the executor lives on and reads the shards back into new files.
    fn restart(&mut self, shards: u32) {
        self.owner.term += 1;
        self.seen.names.insert(names::term(self.owner.term));
        self.unnamed.clear();
        let firsts = shard_map(shards);
        let ends = firsts.iter().skip(1).copied().chain([BUCKETS]);
        self.map = firsts.iter().copied().zip(ends.map(|end| end - 1)).collect();
        self.is_folded = false;
        self.live = (0..shards).map(|_| BTreeSet::new()).collect();
        (0..self.live.len()).for_each(|shard| self.flush(shard));
    }

    fn flush(&mut self, shard: usize) {
        self.files += 1;
        let file = names::snapshot_file(0, &format!("{:08}", self.files));
        self.live[shard].insert(file);
    }

    fn compact(&mut self, shard: usize) {
        self.live[shard].clear();
        self.flush(shard);
    }

    /// An object of an attempt of the next batch, which may never be committed.
    fn orphan(&mut self, term: u64) {
        let attempt = AttemptId::new(term, self.next_batch);
        self.seen.names.insert(names::state_log(self.next_batch, attempt, "orphan"));
    }

    fn commit(&mut self, names_snapshots: bool) {
        let batch = self.next_batch;
        self.next_batch += 1;
        let object = names::state_log(batch, AttemptId::new(self.owner.term, batch), "e");
        self.seen.names.extend([names::offsets(batch), names::commit(batch), object.clone()]);
        let snapshots = if names_snapshots { std::mem::take(&mut self.finished) } else { Vec::new() };
        self.seen.commits.insert(batch, Named { is_sparks: false, objects: vec![object], snapshots });
        self.is_folded = true;
    }

    /// Freezes a shard at the last commit.
    fn freeze(&mut self, shard: usize) {
        let (Some(batch), true) = (self.next_batch.checked_sub(1), self.is_folded) else { return };
        let attempt = AttemptId::new(self.owner.term, batch);
        let number = u32::try_from(shard).expect("few shards");
        let (first_bucket, last_bucket) = self.map[shard];
        let name = names::snapshot_manifest(0, number, batch, attempt);
        let manifest = ObjectRef { name, length: 0, crc: 0 };
        let snapshot = SnapshotRef { operator: 0, shard: number, first_bucket, last_bucket, batch, attempt, manifest };
        let mut files: Vec<String> = self.live[shard].iter().cloned().collect();
        files.push(names::snapshot_own_file(0, number, batch, attempt, "current"));
        self.uploads.push_back(Upload { snapshot, files, written: 0 });
    }

    /// The uploader's next write.
    fn upload(&mut self) {
        let Some(upload) = self.uploads.front_mut() else { return };
        if let Some(file) = upload.files.get(upload.written) {
            upload.written += 1;
            if self.known.insert(file.clone()) {
                self.seen.names.insert(file.clone());
            }
            return;
        }
        let Some(Upload { snapshot, files, .. }) = self.uploads.pop_front() else { return };
        let name = snapshot.manifest.name.clone();
        if self.seen.names.insert(name.clone()) {
            self.seen.manifests.insert(name, files);
            self.finished.push(snapshot);
        }
    }

    fn upload_all(&mut self) {
        while !self.uploads.is_empty() {
            self.upload();
        }
    }

    /// Looks and deletes; of what is to be deleted only the first `most`, as when the driver is killed.
    fn collect(&mut self, most: usize) {
        let Collection { doomed, unnamed } = collect(&self.owner, &self.seen, &self.unnamed);
        self.unnamed = unnamed;
        for name in doomed.into_iter().take(most) {
            assert!(self.seen.names.remove(&name), "{name} is not there");
            self.seen.manifests.remove(&name);
            if let Some(batch) = names::number_in(names::COMMITS, &name) {
                self.seen.commits.remove(&batch);
            }
        }
    }

    fn last(&self) -> u64 {
        self.next_batch - 1
    }

    /// What must hold at any time.
    fn check(&self) -> Result<(), String> {
        let Some(last) = self.next_batch.checked_sub(1) else { return Ok(()) };
        for batch in last.saturating_sub(self.owner.batches_retained)..=last {
            restore(&self.seen, batch)?;
        }
        for snapshot in self.seen.commits.values().flat_map(|named| &named.snapshots) {
            let is_later = snapshot.batch + self.owner.batches_retained > last;
            if is_later && !is_whole(&self.seen, snapshot) {
                return Err(format!("{} lost a file", snapshot.manifest.name));
            }
        }
        Ok(())
    }
}

fn is_whole(seen: &Seen, snapshot: &SnapshotRef) -> bool {
    let name = &snapshot.manifest.name;
    let files = seen.manifests.get(name).filter(|_| seen.names.contains(name));
    files.is_some_and(|files| files.iter().all(|file| seen.names.contains(file)))
}

/// What an executor reads to have all buckets at `base`: commits from there backwards until the snapshots among them
/// that are whole leave nothing out, then every changelog object of those commits.
fn restore(seen: &Seen, base: u64) -> Result<(), String> {
    let mut versions: Vec<Option<u64>> = vec![None; 1024];
    for batch in (0..=base).rev() {
        let named = seen.commits.get(&batch).filter(|_| seen.names.contains(&names::commit(batch)));
        let named = named.ok_or_else(|| format!("batch {base}: commits/{batch} is missing"))?;
        for object in &named.objects {
            if !seen.names.contains(object) {
                return Err(format!("batch {base}: {object} is missing"));
            }
        }
        for snapshot in named.snapshots.iter().filter(|snapshot| is_whole(seen, snapshot)) {
            for bucket in snapshot.first_bucket..=snapshot.last_bucket {
                let version = &mut versions[usize::from(bucket)];
                *version = (*version).max(Some(snapshot.batch));
            }
        }
        if versions.iter().all(|version| version.is_some_and(|version| version + 1 >= batch)) {
            return Ok(());
        }
    }
    Ok(())
}

/// A run as it should be: every batch, now and then a snapshot of every shard, a look every few batches.
fn run(world: &mut World, batches: u64) {
    for step in 0..batches {
        world.commit(true);
        if step % 10 == 9 {
            for shard in 0..world.map.len() {
                if step % 30 == 9 {
                    world.compact(shard)
                } else {
                    world.flush(shard)
                }
                world.freeze(shard);
            }
            world.upload_all();
        }
        if step % 4 == 3 {
            world.collect(usize::MAX);
            world.check().unwrap();
        }
    }
}

fn count(world: &World, folder: &str) -> usize {
    world.seen.names.iter().filter(|name| name.starts_with(&format!("{folder}/"))).count()
}

#[test]
fn a_checkpoint_does_not_grow_with_time() {
    let mut world = World::new(2, 5);
    run(&mut world, 100);
    let early = world.seen.names.len();
    run(&mut world, 2_000);
    assert!(world.seen.names.len() <= early + 4, "{early} objects, then {}", world.seen.names.len());
    // Two snapshots of each shard cover what is retained: at 2089 and 2099 when the last is 2099.
    assert_eq!(world.last(), 2_099);
    assert!(count(&world, "commits") <= 30, "{} commits", count(&world, "commits"));
    assert!(count(&world, "state/log") <= 30);
    assert!(world.seen.manifests.len() <= 8, "{:?}", world.seen.manifests.keys());
    assert!(count(&world, "state/snap/0/files") <= 16);
}

#[test]
fn snapshots_of_an_old_map_stay_until_every_bucket_has_a_newer_one() {
    let mut world = World::new(1, 2);
    run(&mut world, 40);
    let old = |world: &World| world.seen.manifests.keys().filter(|name| name.contains("-1-")).count();
    world.restart(4);
    for _ in 0..10 {
        world.commit(true);
    }
    (0..3).for_each(|shard| world.freeze(shard));
    world.upload_all();
    (0..10).for_each(|_| world.commit(true));
    world.collect(usize::MAX);
    world.check().unwrap();
    assert!(old(&world) > 0, "the fourth shard is only in the old map's snapshots");
    world.freeze(3);
    world.upload_all();
    (0..10).for_each(|_| world.commit(true));
    world.collect(usize::MAX);
    world.check().unwrap();
    assert_eq!(old(&world), 0, "{:?}", world.seen.manifests.keys());
}

#[test]
fn a_file_that_no_manifest_names_waits_for_a_later_snapshot_of_every_shard() {
    let mut world = World::new(2, 2);
    run(&mut world, 40);
    world.flush(0);
    let stray = world.live[0].last().cloned().unwrap();
    world.freeze(0);
    world.upload();
    world.upload();
    world.uploads.clear();
    world.compact(0);
    world.seen.names.insert(stray.clone());
    (0..9).for_each(|_| world.commit(true));
    world.collect(usize::MAX);
    world.commit(true);
    world.freeze(0);
    world.upload_all();
    world.commit(true);
    world.collect(usize::MAX);
    assert!(world.seen.names.contains(&stray), "the other shard may have it");
    world.freeze(1);
    world.upload_all();
    world.commit(true);
    world.collect(usize::MAX);
    assert!(!world.seen.names.contains(&stray));
    world.check().unwrap();
}

#[test]
fn the_model_sees_a_file_that_goes_too_early() {
    let mut world = World::new(2, 2);
    run(&mut world, 40);
    world.flush(0);
    let file = world.live[0].last().cloned().unwrap();
    world.commit(true);
    world.freeze(0);
    while !world.seen.names.contains(&file) {
        world.upload();
    }
    world.check().unwrap();
    world.seen.names.remove(&file);
    world.upload_all();
    world.commit(true);
    let problem = world.check().unwrap_err();
    assert!(problem.contains("lost a file"), "{problem}");
}

#[test]
fn a_driver_with_a_lower_term_deletes_nothing() {
    let mut world = World::new(2, 2);
    run(&mut world, 3);
    (0..100).for_each(|_| world.commit(true));
    (0..2).for_each(|shard| world.freeze(shard));
    world.upload_all();
    (0..100).for_each(|_| world.commit(true));
    world.seen.names.insert(names::term(world.owner.term + 1));
    assert_eq!(collect(&world.owner, &world.seen, &world.unnamed).doomed, Vec::<String>::new());
    world.owner.term += 1;
    assert!(collect(&world.owner, &world.seen, &world.unnamed).doomed.len() > 300);
}

#[test]
fn claims_and_orphans_of_earlier_drivers_go_and_their_newest_stay() {
    let mut world = World::new(1, 100);
    for _ in 0..20 {
        world.orphan(world.owner.term);
        world.restart(1);
    }
    world.orphan(world.owner.term);
    world.commit(true);
    world.orphan(world.owner.term - 1);
    world.collect(usize::MAX);
    let claims: Vec<u64> = world.seen.names.iter().filter_map(|name| names::number_in("terms", name)).collect();
    assert_eq!(claims.len(), TERMS_KEPT + 1);
    assert!(claims.contains(&world.owner.term) && claims.contains(&(world.owner.term - 1)) && !claims.contains(&1));
    // Left are the commit's object, our own orphan, and the one of a batch that is not committed.
    assert_eq!(count(&world, "state/log"), 3);
    world.check().unwrap();
}

#[test]
fn without_state_the_logs_go_and_without_a_way_back_nothing_does() {
    let mut world = World::new(1, 5);
    (0..30).for_each(|_| world.commit(true));
    let stateless = Owner { operators: Vec::new(), ..world.owner.clone() };
    let doomed = collect(&stateless, &world.seen, &Unnamed::new()).doomed;
    assert_eq!(doomed.iter().filter(|name| name.starts_with("commits/")).count(), 24);
    assert!(doomed.contains(&names::offsets(23)) && !doomed.contains(&names::offsets(24)));
    assert_eq!(collect(&world.owner, &world.seen, &Unnamed::new()).doomed, Vec::<String>::new(), "no snapshot");
    world.freeze(0);
    world.upload_all();
    (0..30).for_each(|_| world.commit(true));
    // A commit that is gone cuts the way back of those behind it to the snapshot.
    let broken = Seen {
        commits: world.seen.commits.clone().into_iter().filter(|(batch, _)| *batch != 40).collect(),
        ..world.seen.clone()
    };
    assert_eq!(collect(&world.owner, &broken, &Unnamed::new()).doomed, Vec::<String>::new());
    assert!(!collect(&world.owner, &world.seen, &Unnamed::new()).doomed.is_empty());
}

#[test]
fn a_snapshot_that_lost_a_file_does_not_count() {
    let mut world = World::new(1, 3);
    (0..20).for_each(|_| world.commit(true));
    world.freeze(0);
    world.upload_all();
    (0..20).for_each(|_| world.commit(true));
    let file = world.live[0].first().cloned().unwrap();
    assert!(world.seen.names.remove(&file));
    assert_eq!(collect(&world.owner, &world.seen, &Unnamed::new()).doomed, Vec::<String>::new());
    world.seen.names.insert(file);
    assert!(collect(&world.owner, &world.seen, &Unnamed::new()).doomed.contains(&names::commit(19)));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Commit {
        names_snapshots: bool,
    },
    Flush(usize),
    Compact(usize),
    Freeze(usize),
    Upload,
    UploadAll,
    /// The store fails in the middle of an upload.
    GiveUp,
    Orphan {
        of_earlier: bool,
    },
    Restart(u32),
    Collect {
        most: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => any::<bool>().prop_map(|names_snapshots| Step::Commit { names_snapshots }),
        4 => (0usize..8).prop_map(Step::Flush),
        3 => (0usize..8).prop_map(Step::Compact),
        6 => (0usize..8).prop_map(Step::Freeze),
        10 => Just(Step::Upload),
        4 => Just(Step::UploadAll),
        1 => Just(Step::GiveUp),
        1 => any::<bool>().prop_map(|of_earlier| Step::Orphan { of_earlier }),
        1 => (1u32..6).prop_map(Step::Restart),
        6 => prop_oneof![Just(usize::MAX), 0usize..12].prop_map(|most| Step::Collect { most }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_kept_every_retained_commit_can_be_restored(
        shards in 1u32..5,
        batches_retained in 1u64..6,
        steps in proptest::collection::vec(step(), 1..250),
    ) {
        let mut world = World::new(shards, batches_retained);
        for step in steps {
            let shards = world.map.len();
            match step {
                Step::Commit { names_snapshots } => world.commit(names_snapshots),
                Step::Flush(shard) => world.flush(shard % shards),
                Step::Compact(shard) => world.compact(shard % shards),
                Step::Freeze(shard) => world.freeze(shard % shards),
                Step::Upload => world.upload(),
                Step::UploadAll => world.upload_all(),
                Step::GiveUp => drop(world.uploads.pop_front()),
                Step::Orphan { of_earlier } => world.orphan(world.owner.term - u64::from(of_earlier)),
                Step::Restart(shards) => world.restart(shards),
                Step::Collect { most } => world.collect(most),
            }
            if let Err(problem) = world.check() {
                return Err(TestCaseError::fail(format!("after {step:?}: {problem}")));
            }
        }
    }
}
