//! The clock of a batch: the one time that every row of a batch sees as `current_timestamp`.
//!
//! The driver pins a batch's time in its plan, so a replay sees the same. An executor makes one clock for a decoded
//! plan and sets it before each batch; the expressions inside the plan hold clones of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A handle on a batch's time; clones share it.
#[derive(Debug, Clone)]
pub struct BatchClock(Arc<AtomicI64>);

/// What a clock holds before anybody sets it.
const UNSET: i64 = i64::MIN;

impl Default for BatchClock {
    fn default() -> Self {
        Self::at(UNSET)
    }
}

impl BatchClock {
    /// A clock at a time, microseconds since the epoch.
    pub fn at(micros: i64) -> Self {
        BatchClock(Arc::new(AtomicI64::new(micros)))
    }

    /// Sets the time of the batch that runs next, microseconds since the epoch.
    pub fn set(&self, micros: i64) {
        self.0.store(micros, Ordering::Release);
    }

    /// The batch's time, microseconds since the epoch. A clock that was never set, as in a query that is not a stream
    /// and has no batches, shows the machine's time.
    pub fn micros(&self) -> i64 {
        match self.0.load(Ordering::Acquire) {
            UNSET => chrono::Utc::now().timestamp_micros(),
            micros => micros,
        }
    }
}
