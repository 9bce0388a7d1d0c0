//! One partition's queue between the connection that fetches and the thread that reads: bounded in bytes, begun anew by
//! a seek.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use super::record_batch::{BatchError, Whole, whole_batches};
use super::requests::{Key, Leader};
use super::walk::Chunk;
use crate::executor::kafka::partition::Stop;

/// A partition that brokers deny for so long is gone, not merely unknown to them yet.
const GONE_AFTER: Duration = Duration::from_secs(5);

/// The queue.
pub(super) struct Queue {
    /// Whose.
    pub key: Key,
    bytes_max: usize,
    state: Mutex<State>,
    filled: Condvar,
}

struct State {
    /// Counts seeks: what was asked for before one is of no use after it.
    generation: u64,
    /// Where to fetch from.
    next: i64,
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// Of the largest batch in what came last: the next fetch must have room for such a one.
    batch_bytes: usize,
    /// The number of the answer that last brought something, so that those that got the least come first.
    served: u64,
    stop: Option<Stop>,
    leader: Option<Led>,
    denied_since: Option<Instant>,
    /// The reader has let go of it.
    dropped: bool,
}

/// Who fetches for it.
#[derive(Clone)]
pub(super) struct Led {
    /// The leader.
    pub leader: Leader,
    /// Wakes the leader's connection.
    pub wake: Arc<Notify>,
}

/// What to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub generation: u64,
    pub offset: i64,
    /// How many may come.
    pub bytes: usize,
    pub leader: Leader,
    pub served: u64,
}

/// Whether a queue takes part in the next fetch.
pub(super) enum Part {
    /// From here.
    Fetch(Place),
    /// It is full.
    Full,
    /// Another broker leads it, or it needs nothing.
    None,
}

/// What the reader gets.
pub(super) enum Taken {
    /// The next batches.
    Chunk(Chunk),
    /// Nothing comes until a seek.
    Stop(Stop),
    /// Nothing is there yet.
    Empty,
}

impl Queue {
    /// Empty, to be fetched from `offset` on.
    pub fn new(key: Key, offset: i64, bytes_max: usize) -> Self {
        let state = State {
            generation: 0,
            next: offset,
            chunks: VecDeque::new(),
            bytes: 0,
            batch_bytes: 0,
            served: 0,
            stop: None,
            leader: None,
            denied_since: None,
            dropped: false,
        };
        Self { key, bytes_max, state: Mutex::new(state), filled: Condvar::new() }
    }

    /// For the connection to `node`: what to fetch, of which `fetch_bytes` may come, or a batch as large as the last.
    /// Kafka sends one that is larger than it may be only to who is the first in a request, and a part of it to others.
    pub fn part(&self, node: i32, fetch_bytes: usize) -> Part {
        let state = self.state.lock();
        let Some(led) = state.leader.as_ref().filter(|led| led.leader.node == node) else { return Part::None };
        if state.stop.is_some() || state.dropped {
            return Part::None;
        }
        let bytes = fetch_bytes.max(state.batch_bytes);
        // An empty queue always takes part, however large one fetch is.
        if state.bytes > 0 && state.bytes + bytes > self.bytes_max {
            return Part::Full;
        }
        let State { generation, next, served, .. } = *state;
        Part::Fetch(Place { generation, offset: next, bytes, leader: led.leader, served })
    }

    /// Takes in what came of `place`. `true`: there was something.
    pub fn put(&self, place: Place, chunk: Chunk, answer: u64) -> bool {
        let whole = whole_batches(&chunk.batches);
        let mut state = self.state.lock();
        if state.generation != place.generation || state.stop.is_some() {
            return false;
        }
        state.denied_since = None;
        let Whole { bytes, next, largest } = match whole {
            Ok(whole) => whole,
            Err(error) => {
                state.stop = Some(stop(&error, place.offset));
                self.filled.notify_all();
                return true;
            }
        };
        if !chunk.batches.is_empty() {
            state.batch_bytes = largest;
        }
        // Without a whole batch nothing is there yet, or it did not fit in beside others, and is asked for again.
        let Some(next) = next.filter(|next| *next > place.offset) else { return false };
        state.next = next;
        state.served = answer;
        state.bytes += bytes;
        let batches: Bytes = chunk.batches.slice(..bytes);
        state.chunks.push_back(Chunk { batches, ..chunk });
        self.filled.notify_all();
        true
    }

    /// Nothing more is to come of `place`.
    pub fn stop(&self, place: Place, stop: Stop) {
        let mut state = self.state.lock();
        if state.generation == place.generation {
            state.stop = Some(stop);
            self.filled.notify_all();
        }
    }

    /// Nothing more is to come, wherever it is.
    pub fn stop_anyway(&self, stop: Stop) {
        self.state.lock().stop = Some(stop);
        self.filled.notify_all();
    }

    /// Whether somebody has to be found who leads it.
    pub fn is_leaderless(&self) -> bool {
        let state = self.state.lock();
        state.leader.is_none() && state.stop.is_none() && !state.dropped
    }

    /// It is led by these now.
    pub fn lead(&self, led: Led) {
        let mut state = self.state.lock();
        led.wake.notify_one();
        state.leader = Some(led);
    }

    /// The broker leads it no more, or is away. `true`: it did until now.
    pub fn unlead(&self, node: i32) -> bool {
        let mut state = self.state.lock();
        let is_led = state.leader.as_ref().is_some_and(|led| led.leader.node == node);
        if is_led {
            state.leader = None;
        }
        is_led
    }

    /// The brokers say that there is no such partition. They may not know it yet; after a while they are believed.
    pub fn deny(&self, text: String, now: Instant) {
        let mut state = self.state.lock();
        let since = *state.denied_since.get_or_insert(now);
        if now.duration_since(since) >= GONE_AFTER {
            state.denied_since = None;
            state.stop = Some(Stop::PartitionGone(text));
            self.filled.notify_all();
        }
    }

    /// Takes the next chunk, waiting for it at most `timeout`.
    pub fn take(&self, timeout: Duration, fetch_bytes: usize) -> Taken {
        let mut state = self.state.lock();
        if state.chunks.is_empty() && state.stop.is_none() && !timeout.is_zero() {
            self.filled.wait_for(&mut state, timeout);
        }
        let Some(chunk) = state.chunks.pop_front() else {
            return state.stop.clone().map_or(Taken::Empty, Taken::Stop);
        };
        let was_full = state.bytes + fetch_bytes.max(state.batch_bytes) > self.bytes_max;
        state.bytes -= chunk.batches.len();
        if was_full && let Some(led) = &state.leader {
            led.wake.notify_one();
        }
        Taken::Chunk(chunk)
    }

    /// Begins anew at `offset`.
    pub fn seek(&self, offset: i64) {
        let mut state = self.state.lock();
        state.generation += 1;
        state.next = offset;
        state.chunks.clear();
        state.bytes = 0;
        state.stop = None;
        state.denied_since = None;
        if let Some(led) = &state.leader {
            led.wake.notify_one();
        }
    }

    /// The reader lets go of it.
    pub fn let_go(&self) {
        let mut state = self.state.lock();
        state.dropped = true;
        state.chunks.clear();
    }
}

/// What a damaged batch means for the reading.
pub(super) fn stop(error: &BatchError, offset: i64) -> Stop {
    let text = pyrite_common::error::chain(error);
    match error {
        BatchError::OldFormat(_) | BatchError::Codec(_) => Stop::Unsupported(text),
        BatchError::Checksum { .. }
        | BatchError::Malformed(_)
        | BatchError::Packed { .. }
        | BatchError::TooLarge { .. } => Stop::Corrupt { offset, reason: text },
    }
}
