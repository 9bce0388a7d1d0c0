//! The simulated checkpoint: put-if-absent whose replies are lost and whose requests can arrive late.

use std::collections::BTreeMap;

use pyrite_common::checkpoint::AttemptId;
use pyrite_driver::protocol::{Body, LogName, StoreReply, StoreRequest};

/// A changelog object: which work made it, and for which units.
#[derive(Debug, Clone)]
pub struct Object {
    pub batch: u64,
    pub attempt: AttemptId,
    pub work: u64,
    pub units: Vec<u16>,
}

/// A request on its way.
#[derive(Debug, Clone)]
pub struct Pending {
    pub driver: usize,
    pub request: u64,
    pub ask: StoreRequest,
    /// Its sender was told that the outcome is unknown: no reply, but it may still arrive.
    pub is_ghost: bool,
}

/// What is stored.
#[derive(Debug, Default)]
pub struct Store {
    pub logs: BTreeMap<LogName, Body>,
    pub objects: BTreeMap<String, Object>,
    pub pending: Vec<Pending>,
}

impl Store {
    /// Performs a request; says what a creation created.
    pub fn perform(&mut self, ask: StoreRequest) -> (StoreReply, Option<LogName>) {
        match ask {
            StoreRequest::Create { name, body } => {
                if self.logs.contains_key(&name) {
                    return (StoreReply::Exists, None);
                }
                self.logs.insert(name, body);
                (StoreReply::Created, Some(name))
            }
            StoreRequest::Read { name } => (StoreReply::Value(self.logs.get(&name).cloned().map(Box::new)), None),
            StoreRequest::TermAbove(term) => {
                let above = self.logs.range(LogName::Term(term + 1)..=LogName::Term(u64::MAX)).next_back();
                let claim = above.and_then(|(name, body)| match (name, body) {
                    (LogName::Term(term), Body::Term(claim)) => Some((*term, Box::new(claim.clone()))),
                    _ => None,
                });
                (StoreReply::TermAbove(claim), None)
            }
            StoreRequest::Survey => {
                let highest = |pick: fn(&LogName) -> Option<u64>| self.logs.keys().filter_map(pick).max();
                let reply = StoreReply::Surveyed {
                    term: highest(|name| if let LogName::Term(term) = name { Some(*term) } else { None }).unwrap_or(0),
                    offsets: highest(|name| if let LogName::Offsets(batch) = name { Some(*batch) } else { None }),
                    commit: highest(|name| if let LogName::Commit(batch) = name { Some(*batch) } else { None }),
                };
                (reply, None)
            }
        }
    }

    /// How many batches are committed: without gaps from 0.
    pub fn commits(&self) -> u64 {
        (0..).find(|batch| !self.logs.contains_key(&LogName::Commit(*batch))).unwrap_or(0)
    }

    /// The works that made a unit what it is after a batch, oldest first; `None` if a commit lacks the unit.
    pub fn lineage(&self, unit: u16, last: Option<u64>) -> Option<Vec<u64>> {
        let Some(last) = last else { return Some(Vec::new()) };
        let mut works = Vec::new();
        for batch in 0..=last {
            let Some(Body::Commit(commit)) = self.logs.get(&LogName::Commit(batch)) else { return None };
            let names = commit.pyrite.iter().flat_map(|extra| &extra.objects);
            let object = names
                .filter_map(|object| self.objects.get(&object.name))
                .find(|object| object.units.contains(&unit))?;
            works.push(object.work);
        }
        Some(works)
    }
}
