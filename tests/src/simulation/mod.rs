//! A whole cluster's batch protocol under one seed: the real state machines of driver and shards, in a world that
//! delays, loses, crashes and takes over.
//!
//! ```text
//! QueryMachine (driver) ── commands ──▶ Executor: ShardMachine, publish ──▶ Slots (a transactional sink)
//!        └── requests ──▶ Store (lost replies, late arrivals)
//! ```
//!
//! `world` chooses what happens next; `check` holds what must always be true (*What always holds* in
//! docs/ARCHITECTURE.md). With one mechanism of the protocol taken away the same checks must fail: that is the proof
//! that they see.

mod check;
mod driver;
mod executor;
mod sink;
mod store;
mod world;

pub use world::{Summary, Switches, run};

/// Something that must never be true was, or the run came to no end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

/// Keys fall into so many units, each standing for its share of the buckets.
pub const UNITS: u16 = 6;

/// A bucket of a unit: which shard has it is the shard that has the unit.
pub fn bucket_of(unit: u16) -> u16 {
    unit * (1024 / UNITS) + 10
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds of the run without faults in the rules; about 20 s on two cores.
    const SEEDS: u64 = 3_000;
    /// A rule's absence must show within so many.
    const BLIND_SEEDS: u64 = 2_000;

    const THREADS: u64 = 2;

    /// Runs seeds from 0 until one fails.
    fn run_all(seeds: u64, switches: Switches) -> Result<Summary, (u64, Violation)> {
        let share = |thread: u64| {
            let mut sum = Summary::default();
            for seed in (thread..seeds).step_by(THREADS as usize) {
                sum += run(seed, switches).map_err(|violation| (seed, violation))?;
            }
            Ok(sum)
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || share(thread))).collect();
            let mut sum = Summary::default();
            for worker in workers {
                sum += worker.join().expect("a thread of the simulation panicked")?;
            }
            Ok(sum)
        })
    }

    fn must_fail(switches: Switches) {
        match run_all(BLIND_SEEDS, switches) {
            Ok(_) => panic!("{BLIND_SEEDS} seeds did not show that a rule is missing"),
            // That it comes to no end would be no proof.
            Err((seed, violation)) => assert!(!violation.0.starts_with("not finished"), "seed {seed}: {}", violation.0),
        }
    }

    #[test]
    fn the_protocol_holds_over_thousands_of_seeds() {
        let sum = match run_all(SEEDS, Switches::default()) {
            Ok(sum) => sum,
            Err((seed, violation)) => panic!("seed {seed}: {}", violation.0),
        };
        println!("{sum:?}");
        // A run that meets no trouble shows nothing: all of it must have been met, often.
        for (what, times) in [
            ("a newer driver", sum.superseded),
            ("a shard read back", sum.restores),
            ("writes before the commit", sum.early),
            ("a fenced slot", sum.fenced),
            ("a lost reply", sum.lost_replies),
            ("a late request", sum.late_requests),
            ("another shard map", sum.map_changes),
        ] {
            assert!(times > SEEDS / 100, "{what} was met only {times} times");
        }
        assert!(sum.batches > SEEDS * 5 && sum.runs_sent > sum.batches * 3 / 2);
    }

    #[test]
    fn without_publish_before_commit_it_fails() {
        let mut switches = Switches::default();
        switches.rules.publish_before_commit = false;
        must_fail(switches);
    }

    #[test]
    fn without_the_exact_attempt_it_fails() {
        must_fail(Switches { exact_attempt: false, ..Switches::default() });
    }

    #[test]
    fn without_pinned_shards_it_fails() {
        let mut switches = Switches::default();
        switches.rules.pinned_shards = false;
        must_fail(switches);
    }

    #[test]
    fn without_the_term_it_fails() {
        let mut switches = Switches::default();
        switches.rules.term_in_attempt = false;
        must_fail(switches);
    }

    #[test]
    fn without_the_sinks_marker_it_fails() {
        must_fail(Switches { marker: false, ..Switches::default() });
    }

    #[test]
    fn the_same_seed_is_the_same_run() {
        assert_eq!(run(7, Switches::default()), run(7, Switches::default()));
    }
}
