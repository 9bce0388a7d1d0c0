//! A whole cluster's batch protocol under one seed: the real state machines of driver and shards, in a world that delays,
//! loses, crashes and takes over.
//!
//! ```text
//! QueryMachine (driver) ── commands ──▶ Executor: ShardMachine, publish ──▶ Slots (a transactional sink)
//!        └── requests ──▶ Store (lost replies, late arrivals)
//! ```
//!
//! `world` chooses what happens next; `check` holds what must always be true (PROTOCOL 10). With one rule of the protocol
//! taken away the same checks must fail: that is the proof that they see.

mod check;
mod driver;
mod executor;
mod sink;
mod store;
mod world;

pub use world::{Switches, run};

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
    use std::collections::BTreeMap;

    use super::*;

    /// Seeds of the run without faults in the rules; about 20 s on two cores.
    const SEEDS: u64 = 3_000;
    /// A rule's absence must show within so many.
    const BLIND_SEEDS: u64 = 2_000;

    fn first_violation(seeds: std::ops::Range<u64>, switches: Switches) -> Option<(u64, Violation)> {
        let threads = 2;
        let (start, end) = (seeds.start, seeds.end);
        let found = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|thread| {
                    scope.spawn(move || {
                        (start + thread..end).step_by(threads as usize).find_map(|seed| {
                            run(seed, switches).err().map(|violation| (seed, violation))
                        })
                    })
                })
                .collect();
            let found: BTreeMap<u64, Violation> =
                workers.into_iter().filter_map(|worker| worker.join().expect("no panic")).collect();
            found
        });
        found.into_iter().next()
    }

    fn must_fail(switches: Switches) {
        let found = first_violation(0..BLIND_SEEDS, switches);
        assert!(found.is_some(), "{BLIND_SEEDS} seeds did not show that a rule is missing");
    }

    #[test]
    fn the_protocol_holds_over_thousands_of_seeds() {
        if let Some((seed, violation)) = first_violation(0..SEEDS, Switches::default()) {
            panic!("seed {seed}: {}", violation.0);
        }
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
