//! How many records are due at a moment: a pure function of the time since the start.

use std::time::Duration;

/// After a stall no more than this much of the rate is made up for; the rest is given up, as a real source would lose
/// it.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// Spreads records evenly over time at a fixed rate.
#[derive(Debug, Clone)]
pub struct Pace {
    per_second: u64,
    sent: u64,
    /// Time that has been given up after stalls.
    skipped: Duration,
}

impl Pace {
    /// A pace of so many records per second.
    pub fn new(per_second: u64) -> Self {
        Pace { per_second, sent: 0, skipped: Duration::ZERO }
    }

    /// How many records should be sent now, `elapsed` after the start.
    pub fn due(&mut self, elapsed: Duration) -> u64 {
        let mut behind = self.target(elapsed).saturating_sub(self.sent);
        let most = self.target(CATCH_UP_MAX + self.skipped).max(1);
        if behind > most {
            let given_up = Duration::from_secs_f64((behind - most) as f64 / self.per_second as f64);
            self.skipped += given_up;
            behind = self.target(elapsed).saturating_sub(self.sent).min(most);
        }
        behind
    }

    /// Notes that so many records were sent.
    pub fn note_sent(&mut self, records: u64) {
        self.sent += records;
    }

    fn target(&self, elapsed: Duration) -> u64 {
        let elapsed = elapsed.saturating_sub(self.skipped);
        let records = elapsed.as_nanos() * u128::from(self.per_second) / 1_000_000_000;
        u64::try_from(records).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_evenly() {
        let mut pace = Pace::new(1_000);
        assert_eq!(pace.due(Duration::ZERO), 0);
        assert_eq!(pace.due(Duration::from_millis(10)), 10);
        pace.note_sent(10);
        assert_eq!(pace.due(Duration::from_millis(10)), 0);
        assert_eq!(pace.due(Duration::from_millis(11)), 1);
    }

    #[test]
    fn exact_over_a_long_time() {
        let mut pace = Pace::new(3);
        let mut sent = 0;
        for millis in 0..=100_000_u64 {
            let due = pace.due(Duration::from_millis(millis));
            pace.note_sent(due);
            sent += due;
        }
        assert_eq!(sent, 300);
    }

    #[test]
    fn a_long_stall_is_not_made_up_for() {
        let mut pace = Pace::new(1_000);
        let due = pace.due(Duration::from_secs(60));
        assert_eq!(due, 1_000);
        pace.note_sent(due);
        assert_eq!(pace.due(Duration::from_secs(60)), 0);
        assert_eq!(pace.due(Duration::from_millis(60_010)), 10);
    }
}
