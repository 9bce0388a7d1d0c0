//! The shuffle: frames of combined groups from source jobs to shards.
//!
//! Within an executor frames are handed over as they are (`source_job`). Between executors each ordered pair has one
//! stream per query:
//! `peers` sends, `service` receives. Credit in bytes flows back when a frame is in its shard's buffer, so that a
//! slow receiver slows its senders and nothing else. Receivers need no task thread, hence no circle of waiting.
//! "Done" costs credit too: a sender that has its whole window back knows that all it sent was taken.

mod inbox;
pub mod ipc;
mod peers;
mod service;

pub use inbox::Inboxes;
pub use peers::Peers;
pub use service::{Listening, listen};

/// Credit of a new stream: frames that may be on their way.
const WINDOW_BYTES: u64 = 8 * 1024 * 1024;
/// What "done" takes of it: that it comes back says that the receiver knows.
const DONE_BYTES: u64 = 0;
/// The unit in which credit is counted.
const CREDIT_UNIT: u64 = 1024;

/// What a frame takes of the window; a frame larger than all of it takes all.
fn credit_units(bytes: u64) -> u32 {
    bytes.div_ceil(CREDIT_UNIT).clamp(1, WINDOW_BYTES / CREDIT_UNIT) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_fits_the_window_and_costs_something() {
        assert_eq!(credit_units(0), 1);
        assert_eq!(credit_units(1025), 2);
        assert_eq!(u64::from(credit_units(u64::MAX / 2)), WINDOW_BYTES / CREDIT_UNIT);
    }
}
