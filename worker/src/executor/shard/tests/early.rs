//! Writes that outgrow memory: in the database before the commit, and what becomes of them.

use parking_lot::Mutex;
use pyrite_engine::task::NEVER;

use super::*;
use crate::executor::scratch::ScratchFolder;

/// Writes of several pieces, different from batch to batch; every fifth key goes.
fn large(batch: u64) -> Vec<Write> {
    let value = |bucket: u16| (u64::from(bucket) % 5 != batch % 5).then(|| vec![batch as u8; 300]);
    (0..1024u16).map(|bucket| (key(bucket, 7), value(bucket))).collect()
}

/// A shard with its machine, in a world without memory for overlays.
struct Shard {
    world: World,
    store: ShardStore,
    machine: Mutex<ShardMachine>,
    scratch: ScratchFolder,
}

impl Shard {
    fn new() -> Self {
        let world = World::with_overlay_bytes(0);
        let store = world.shard(0, 0, 1023);
        let scratch = ScratchFolder::new(&world.local, 1);
        let machine = Mutex::new(ShardMachine::default());
        Self { world, store, machine, scratch }
    }

    fn begin(&self, base: Option<u64>, batch: u64) -> Vec<Action> {
        let mut machine = self.machine.lock();
        let actions = machine.apply(Event::Run { base: base.map(version), next: version(batch) });
        if actions == [Action::Restore(None)] {
            machine.apply(Event::Restored(None));
        }
        actions
    }

    /// The batch's writes as a shard job makes them, staged.
    fn work(&self, batch: u64, writes: &[Write]) -> EncodedSection {
        let mut buffer = WriteBuffer::new(&self.store, &self.machine, &self.scratch, version(batch));
        writes.iter().for_each(|(key, value)| buffer.add(key, value.as_deref()).expect("taken"));
        let Writes::Applied(spool) = buffer.finish().expect("taken") else { panic!("there is no memory for them") };
        let (bytes, dues) = (spool.length() as usize, vec![(3, 4), (5, NEVER)]);
        let pending = PendingWrites { version: version(batch), overlay: Arc::default(), bytes, dues, rows_total: 9 };
        self.store.stage(pending);
        assert_eq!(self.machine.lock().apply(Event::Finished(version(batch))), []);
        assert_eq!(self.machine.lock().state(), State::Dirty(version(batch)));
        EncodedSection::spooled(self.store.id(), spool, 9)
    }

    fn commit(&self, batch: u64) {
        let actions = self.machine.lock().apply(Event::Committed(version(batch)));
        assert_eq!(actions, [Action::Fold(version(batch))]);
        assert!(self.store.promote(version(batch)));
    }
}

#[test]
fn what_was_applied_early_is_the_state_once_it_is_committed() {
    let shard = Shard::new();
    let mut model = Model::new();
    for batch in 0..4u64 {
        assert!(shard.begin(batch.checked_sub(1), batch).iter().all(|action| *action == Action::Restore(None)));
        // What a batch reads is what it began with, whatever it has written.
        let view = shard.store.view();
        let section = shard.work(batch, &large(batch));
        if batch == 0 {
            assert!(content(&view).is_empty());
        }
        shard.commit(batch);
        play(&mut model, &large(batch));
        assert_eq!(content(&shard.store.view()), model, "batch {batch}");
        assert_eq!((shard.store.dues().next(3), shard.store.rows_total()), (4, 9));
        // Counted like any other, so that snapshots come in time.
        let before = shard.store.chain();
        assert_eq!(shard.store.fold().expect("folds"), Some(version(batch)));
        let Chain { versions, bytes } = shard.store.chain();
        assert_eq!((versions - before.versions, bytes - before.bytes), (1, section.section.length));
        assert_eq!(content(&shard.store.view()), model);
    }
}

#[test]
fn older_writes_that_wait_for_their_fold_stay_below() {
    let shard = Shard::new();
    shard.begin(None, 0);
    stage_and_promote(&shard.store, 0, &[(key(1, 7), Some(vec![1])), (key(4, 4), Some(vec![1]))]);
    shard.machine.lock().apply(Event::Finished(version(0)));
    shard.machine.lock().apply(Event::Committed(version(0)));
    shard.begin(Some(0), 1);
    shard.work(1, &large(1));
    shard.commit(1);
    while shard.store.fold().expect("folds").is_some() {}
    let mut model = Model::from([(key(1, 7), vec![1]), (key(4, 4), vec![1])]);
    play(&mut model, &large(1));
    assert_eq!(content(&shard.store.view()), model);
}

#[test]
fn what_is_not_committed_costs_the_database_and_the_checkpoint_gives_the_base_back() {
    for ends_by_abort in [true, false] {
        let shard = Shard::new();
        shard.begin(None, 0);
        let section = shard.work(0, &large(0));
        shard.world.commit_sections(0, &[section], Vec::new());
        shard.commit(0);
        shard.begin(Some(0), 1);
        shard.work(1, &large(1));
        let actions = if ends_by_abort {
            shard.machine.lock().apply(Event::Abort(attempt(1)))
        } else {
            // Another attempt of the same batch.
            shard.machine.lock().apply(Event::Run { base: Some(version(0)), next: version(2) })
        };
        assert_eq!(actions[0], Action::DropDatabase);
        shard.store.clear();
        assert!(content(&shard.store.view()).is_empty());
        let mut model = Model::new();
        play(&mut model, &large(0));
        assert_eq!(shard.world.restore(&shard.store, 0).expect("restorable"), model);
    }
}

#[test]
fn void_work_writes_nothing() {
    let shard = Shard::new();
    shard.begin(None, 0);
    shard.machine.lock().apply(Event::Abort(attempt(0)));
    let mut buffer = WriteBuffer::new(&shard.store, &shard.machine, &shard.scratch, version(0));
    let refused = large(0).iter().find_map(|(key, value)| buffer.add(key, value.as_deref()).err());
    assert!(matches!(refused, Some(WriteError::Void)), "{refused:?}");
    drop(buffer);
    assert!(content(&shard.store.view()).is_empty());
}

#[test]
fn a_spooled_section_makes_the_same_object() {
    let shard = Shard::new();
    shard.begin(None, 0);
    let spooled = shard.work(0, &large(0));
    let kept = EncodedSection::new(shard.store.id(), Arc::new(Overlay::new(large(0))), 9);
    let object = |sections: [EncodedSection; 1]| {
        let mut bytes = Vec::new();
        write_object(&mut bytes, (0, attempt(0), "e"), &sections).expect("memory takes it");
        bytes
    };
    assert!(object([spooled]) == object([kept]));
}

#[test]
fn no_snapshot_is_made_of_what_is_not_committed() {
    let shard = Shard::new();
    shard.begin(None, 0);
    stage_and_promote(&shard.store, 0, &writes(0, 0, 1023));
    shard.machine.lock().apply(Event::Finished(version(0)));
    shard.machine.lock().apply(Event::Committed(version(0)));
    shard.store.fold().expect("folds");
    shard.begin(Some(0), 1);
    shard.work(1, &large(1));
    assert!(shard.store.freeze().expect("asked").is_none(), "it is of no version");
    shard.commit(1);
    let frozen = shard.store.freeze().expect("freezes").expect("all of the next version is in the database");
    assert_eq!((frozen.version, frozen.rows_total), (version(1), 9));
}
