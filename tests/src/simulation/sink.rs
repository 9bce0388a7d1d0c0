//! A simulated transactional sink: one slot a shard, fenced by tokens, with a marker in each transaction.

use std::collections::BTreeMap;

/// Which shard of a map of how many.
pub type SlotName = (usize, u32);

#[derive(Debug, Default)]
pub struct Slot {
    token: u64,
    /// The last batch in it.
    marker: Option<u64>,
}

/// All slots and what came out, by (batch, unit): how often.
#[derive(Debug, Default)]
pub struct Slots {
    slots: BTreeMap<SlotName, Slot>,
    pub rows: BTreeMap<(u64, u16), u32>,
}

/// One slot's way through a publication.
#[derive(Debug, Clone)]
pub struct Publication {
    pub slot: SlotName,
    pub batch: u64,
    pub units: Vec<u16>,
    step: Step,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Init,
    ReadMarker { token: u64 },
    Transact { token: u64, is_out: bool },
}

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    GoesOn,
    Done,
    /// Another producer of the slot has taken over.
    Fenced,
}

impl Publication {
    pub fn new(slot: SlotName, batch: u64, units: Vec<u16>) -> Publication {
        Publication { slot, batch, units, step: Step::Init }
    }

    /// Does the next step. `marker`: whether the sink looks at its marker.
    pub fn advance(&mut self, slots: &mut Slots, marker: bool) -> Progress {
        let slot = slots.slots.entry(self.slot).or_default();
        match self.step {
            Step::Init => {
                slot.token += 1;
                self.step = Step::ReadMarker { token: slot.token };
                Progress::GoesOn
            }
            Step::ReadMarker { token } => {
                let is_out = marker && slot.marker.is_some_and(|last| last >= self.batch);
                self.step = Step::Transact { token, is_out };
                Progress::GoesOn
            }
            Step::Transact { is_out: true, .. } => Progress::Done,
            Step::Transact { token, .. } if slot.token != token => Progress::Fenced,
            Step::Transact { .. } => {
                slot.marker = Some(self.batch);
                for unit in &self.units {
                    *slots.rows.entry((self.batch, *unit)).or_default() += 1;
                }
                Progress::Done
            }
        }
    }
}
