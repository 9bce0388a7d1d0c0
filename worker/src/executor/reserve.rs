//! Shares of the process's memory whose holders let go by themselves when too much is held. Nobody ever waits here.
//!
//! Half of a reserve is for whoever needs it, so that one large shard beside small ones may have it all; the other half
//! is divided evenly. A holder has to let go when more than half is held and it has more than its part of the other:
//! so all together hold about the reserve at most, whoever of them grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A share of memory.
#[derive(Debug)]
pub struct Reserve {
    bytes: usize,
    held: AtomicUsize,
    holders: AtomicUsize,
}

/// What one holder has of a reserve. Dropping it gives it back.
#[derive(Debug)]
pub struct Holding {
    reserve: Arc<Reserve>,
    bytes: AtomicUsize,
}

impl Reserve {
    /// A reserve that nobody has anything of.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { bytes, held: AtomicUsize::new(0), holders: AtomicUsize::new(0) })
    }

    /// A new holder, who has nothing yet.
    pub fn holding(self: &Arc<Self>) -> Holding {
        self.holders.fetch_add(1, Ordering::Relaxed);
        Holding { reserve: self.clone(), bytes: AtomicUsize::new(0) }
    }
}

impl Holding {
    /// Says how much the holder has. `true`: it has to let go.
    pub fn set(&self, bytes: usize) -> bool {
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        // Wraps when it becomes less: the sum is right all the same.
        let change = bytes.wrapping_sub(before);
        let held = self.reserve.held.fetch_add(change, Ordering::Relaxed).wrapping_add(change);
        let half = self.reserve.bytes / 2;
        held > half && bytes > half / self.reserve.holders.load(Ordering::Relaxed).max(1)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.set(0);
        self.reserve.holders.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alone_may_have_half_and_none_is_asked_below_its_part() {
        let reserve = Reserve::new(1000);
        let (large, small) = (reserve.holding(), reserve.holding());
        assert!(!large.set(500));
        assert!(large.set(501), "more than half is held");
        assert!(!small.set(250), "its part of the other half");
        assert!(small.set(251));
        large.set(100);
        assert!(!small.set(300), "there is room again");
        drop((large, small));
        assert_eq!((reserve.held.load(Ordering::Relaxed), reserve.holders.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn holders_that_let_go_when_asked_stay_within_the_reserve() {
        let reserve = Reserve::new(10_000);
        let holders: Vec<Holding> = (0..7).map(|_| reserve.holding()).collect();
        let mut bytes = [0usize; 7];
        for step in 0..5_000usize {
            let index = (step * step + step / 7) % 7;
            bytes[index] += step % 90;
            if holders[index].set(bytes[index]) {
                bytes[index] = 0;
                holders[index].set(0);
            }
            assert!(reserve.held.load(Ordering::Relaxed) <= reserve.bytes, "step {step}");
        }
    }
}
