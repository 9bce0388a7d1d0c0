//! Which batches of a response belong to aborted transactions, by the list that the broker sends with it (as Kafka's
//! own consumer does it): a producer's batches are void from an aborted transaction's first offset to its abort marker.

use std::collections::{HashSet, VecDeque};

use super::record_batch::BatchHeader;

/// An aborted transaction that overlaps a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aborted {
    /// Whose.
    pub producer_id: i64,
    /// Of its first batch.
    pub first_offset: i64,
}

/// Walks along with the batches of one response.
#[derive(Debug, Default)]
pub(super) struct AbortedTransactions {
    /// Not reached yet, in the order of their first offsets.
    ahead: VecDeque<Aborted>,
    /// Producers between the first batch and the marker.
    inside: HashSet<i64>,
}

impl AbortedTransactions {
    /// At the start of a response with this list.
    pub fn new(mut list: Vec<Aborted>) -> Self {
        list.sort_by_key(|aborted| aborted.first_offset);
        Self { ahead: list.into(), inside: HashSet::new() }
    }

    /// Whether the batch is void. To be asked of each batch in order, control batches too.
    pub fn covers(&mut self, header: &BatchHeader) -> bool {
        while let Some(next) = self.ahead.front()
            && next.first_offset <= header.last_offset
        {
            self.inside.insert(next.producer_id);
            self.ahead.pop_front();
        }
        header.is_transactional() && self.inside.contains(&header.producer_id)
    }

    /// The producer's abort marker was met.
    pub fn ended(&mut self, producer_id: i64) {
        self.inside.remove(&producer_id);
    }
}
