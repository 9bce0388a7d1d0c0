//! The writes of a batch to one shard while they are made: an overlay as long as it may be held, and when it may not,
//! the database at once and the section in a file.
//!
//! Writes come in the order of their keys, so each piece that leaves memory continues the section, and no later piece
//! has a key of an earlier one.

use parking_lot::Mutex;
use pyrite_engine::task::ScratchError;

use super::machine::{Event, ShardMachine, Version};
use super::overlay::Overlay;
use super::spool::Spool;
use super::store::ShardStore;
use crate::executor::scratch::ScratchFolder;

/// Between looks at what may be held.
const LOOK_BYTES: usize = 64 * 1024;

/// Why writes could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The shard was given to other work meanwhile.
    #[error("the shard is not at the batch's base any more")]
    Void,
    /// The database's disk.
    #[error(transparent)]
    Database(#[from] rocksdb::Error),
    /// The section's disk.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
}

/// All writes of a batch.
#[derive(Debug)]
pub enum Writes {
    /// To be folded when they are committed.
    Overlay(Overlay),
    /// In the database already; the section is in a file.
    Applied(Spool),
}

/// Takes the writes of one batch.
pub struct WriteBuffer<'a> {
    store: &'a ShardStore,
    machine: &'a Mutex<ShardMachine>,
    scratch: &'a ScratchFolder,
    version: Version,
    overlay: Overlay,
    /// The size at which to look again.
    next_look: usize,
    spool: Option<Spool>,
}

impl<'a> WriteBuffer<'a> {
    /// For the writes that lead to `version`.
    pub fn new(
        store: &'a ShardStore,
        machine: &'a Mutex<ShardMachine>,
        scratch: &'a ScratchFolder,
        version: Version,
    ) -> Self {
        Self { store, machine, scratch, version, overlay: Overlay::default(), next_look: LOOK_BYTES, spool: None }
    }

    /// Takes one write, whose key is greater than all before.
    #[inline]
    pub fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), WriteError> {
        self.overlay.push(key, value);
        if self.overlay.memory_bytes() < self.next_look { Ok(()) } else { self.look() }
    }

    /// All that was taken.
    pub fn finish(mut self) -> Result<Writes, WriteError> {
        if self.spool.is_some() {
            self.apply()?;
        }
        Ok(match self.spool.take() {
            Some(spool) => Writes::Applied(spool),
            None => Writes::Overlay(std::mem::take(&mut self.overlay)),
        })
    }

    fn look(&mut self) -> Result<(), WriteError> {
        let bytes = self.overlay.memory_bytes();
        self.next_look = bytes + LOOK_BYTES;
        if !self.store.is_making(bytes) {
            return Ok(());
        }
        // What is committed leaves first: it may be all that is too much.
        while self.store.fold()?.is_some() {}
        if self.store.is_making(bytes) { self.apply() } else { Ok(()) }
    }

    /// Moves what is held into the database and the section's file.
    fn apply(&mut self) -> Result<(), WriteError> {
        if !self.machine.lock().apply(Event::AppliedEarly(self.version)).is_empty() {
            return Err(WriteError::Void);
        }
        let spool = match &mut self.spool {
            Some(spool) => spool,
            None => self.spool.insert(Spool::new(self.scratch.temporary()?)),
        };
        spool.append(self.overlay.encoded())?;
        self.store.apply_early(&self.overlay)?;
        self.overlay.clear();
        self.next_look = LOOK_BYTES;
        self.store.is_making(0);
        Ok(())
    }
}

impl Drop for WriteBuffer<'_> {
    /// What was made is staged now, or thrown away.
    fn drop(&mut self) {
        self.store.is_making(0);
    }
}
