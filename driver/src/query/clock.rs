//! The time of batches: all queries of a driver go by one clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the epoch that never fall. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct Clock {
    started: Instant,
    /// The system's time less the time since the start, as far as it ever was ahead.
    offset_us: Arc<AtomicI64>,
}

impl Clock {
    /// A clock that goes with the system's, also when that steps forward, as after the machine slept; when it is set
    /// back, this one goes on evenly.
    pub fn start() -> Clock {
        Clock { started: Instant::now(), offset_us: Arc::new(AtomicI64::new(i64::MIN)) }
    }

    /// Now.
    pub fn now_us(&self) -> i64 {
        // In this order a pause between the two makes the offset too small, which the next call mends.
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.at(system, self.started.elapsed())
    }

    fn at(&self, system: Duration, elapsed: Duration) -> i64 {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let (system_us, elapsed_us) = (micros(system), micros(elapsed));
        let offset_us = system_us - elapsed_us;
        offset_us.max(self.offset_us.fetch_max(offset_us, Ordering::Relaxed)) + elapsed_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_forward_is_taken_and_a_step_back_is_not() {
        let clock = Clock::start();
        let at = |system: u64, elapsed: u64| clock.at(Duration::from_secs(system), Duration::from_secs(elapsed));
        assert_eq!(at(1_000, 0), 1_000_000_000);
        assert_eq!(at(1_005, 5), 1_005_000_000);
        // It slept for an hour.
        assert_eq!(at(4_610, 10), 4_610_000_000);
        // It was set back, then on again.
        assert_eq!(at(1_020, 20), 4_620_000_000);
        assert_eq!(at(4_630, 30), 4_630_000_000);
    }
}
