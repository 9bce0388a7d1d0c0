//! The time of batches: all queries of a driver go by one clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the epoch that never fall.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    started_us: i64,
}

impl Clock {
    /// A clock that is right now, and goes on evenly whatever is done to the system's.
    pub fn start() -> Clock {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { started: Instant::now(), started_us: i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX) }
    }

    /// Now.
    pub fn now_us(&self) -> i64 {
        self.started_us + i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}
