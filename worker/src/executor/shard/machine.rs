//! What a shard's data stands for: the state machine of one (operator, shard) on one executor. Pure: events in,
//! actions out.
//!
//! ```text
//!            Restored            Finished              Committed
//!   Absent ───────────▶ At(v) ───────────▶ Pending ───────────────▶ At(v+1)
//!      ▲                  │ ▲                │  │
//!      │  other base      │ └────────────────┘  │ the overlay outgrew its budget
//!      └──────────────────┘   abort, other base ▼
//!      └───────────────────────────────────── Dirty ──Committed──▶ At(v+1)
//! ```
//!
//! `AppliedEarly` comes before the first write of a batch goes into the database, so that whatever ends the batch
//! afterwards finds the shard dirty; `Finished` comes in either case, when the batch's writes are complete.
//!
//! Pending writes become the base only when the driver names exactly their batch *and attempt*: the same batch of
//! another attempt, or of another driver's term, has other bytes in the manifest. A version is `None` before the
//! first batch: the empty state.

use pyrite_common::checkpoint::AttemptId;

/// A committed or to be committed version of the state: the batch and the attempt that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The batch.
    pub batch: u64,
    /// The attempt whose bytes it has.
    pub attempt: AttemptId,
}

/// What the shard's database and overlay hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing that can be used.
    Absent,
    /// The database with its folded overlays is this version; `None` is the empty state.
    At(Option<Version>),
    /// The same, and an overlay that leads to `next` once it is committed.
    Pending {
        /// What the database holds.
        base: Option<Version>,
        /// What it will hold.
        next: Version,
    },
    /// Writes of a version that is not committed are in the database: it can only go forward.
    Dirty(Version),
}

/// What happens to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A batch starts on `base`. Older work on the shard was cancelled and has ended.
    Run {
        /// The committed version before the batch.
        base: Option<Version>,
        /// The version that the batch makes.
        next: Version,
    },
    /// The state of a version was read back from the checkpoint.
    Restored(Option<Version>),
    /// It could not be, or the database failed.
    Failed,
    /// The batch's writes are complete, in an overlay or in the database.
    Finished(Version),
    /// The batch's writes outgrew memory: unless there are actions, they go into the database from now on, before the
    /// commit.
    AppliedEarly(Version),
    /// The version is committed.
    Committed(Version),
    /// All work up to this attempt is void.
    Abort(AttemptId),
    /// The stream to the driver broke.
    Disconnected,
}

/// What the shell has to do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// What the batch left is part of the committed state now; put its overlay into the database when there is time.
    Fold(Version),
    /// Throw the overlay away.
    DropOverlay,
    /// Throw the database away.
    DropDatabase,
    /// Read this version from the checkpoint.
    Restore(Option<Version>),
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardMachine {
    state: State,
    running: Option<Run>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    base: Option<Version>,
    next: Version,
}

impl Default for ShardMachine {
    fn default() -> Self {
        Self { state: State::Absent, running: None }
    }
}

impl ShardMachine {
    /// What the data stands for now.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the batch that runs can read the state.
    pub fn is_ready(&self) -> bool {
        match (self.state, self.running) {
            (State::At(version), Some(run)) => version == run.base,
            (State::At(_) | State::Absent | State::Pending { .. } | State::Dirty(_), _) => false,
        }
    }

    /// Moves on by one event.
    pub fn apply(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Run { base, next } => self.run(Run { base, next }),
            Event::Restored(version) => self.restored(version),
            Event::Failed => {
                self.running = None;
                self.lose()
            }
            Event::Finished(version) => self.finished(version),
            Event::AppliedEarly(version) => self.applied_early(version),
            Event::Committed(version) => self.committed(version),
            Event::Abort(attempt) => self.abort(|version| version.attempt <= attempt),
            Event::Disconnected => self.abort(|_| true),
        }
    }

    fn run(&mut self, run: Run) -> Vec<Action> {
        let mut actions = Vec::new();
        self.running = Some(run);
        match self.state {
            State::Pending { next, .. } if run.base == Some(next) => {
                actions.push(Action::Fold(next));
                self.state = State::At(Some(next));
            }
            State::Pending { base, .. } => {
                actions.push(Action::DropOverlay);
                self.state = State::At(base);
            }
            State::Dirty(version) if run.base == Some(version) => {
                actions.push(Action::Fold(version));
                self.state = State::At(Some(version));
            }
            State::Dirty(_) => actions.extend(self.lose()),
            State::At(_) | State::Absent => {}
        }
        if matches!(self.state, State::At(version) if version != run.base) {
            actions.extend(self.lose());
        }
        if self.state == State::Absent {
            actions.push(Action::Restore(run.base));
        }
        actions
    }

    fn restored(&mut self, version: Option<Version>) -> Vec<Action> {
        let wanted = self.running.is_some_and(|run| run.base == version);
        match self.state {
            State::Absent if wanted => {
                self.state = State::At(version);
                Vec::new()
            }
            // Another batch was asked for meanwhile: what was read is of no use.
            State::Absent => vec![Action::DropDatabase],
            State::At(_) | State::Pending { .. } | State::Dirty(_) => Vec::new(),
        }
    }

    fn finished(&mut self, version: Version) -> Vec<Action> {
        match self.state {
            State::At(base) if self.is_expected(version) => {
                self.state = State::Pending { base, next: version };
                Vec::new()
            }
            State::Dirty(early) if early == version => Vec::new(),
            State::At(_) | State::Absent | State::Pending { .. } | State::Dirty(_) => vec![Action::DropOverlay],
        }
    }

    fn applied_early(&mut self, version: Version) -> Vec<Action> {
        match self.state {
            State::At(_) if self.is_expected(version) => {
                self.state = State::Dirty(version);
                Vec::new()
            }
            State::Dirty(early) if early == version => Vec::new(),
            // Work that is void: it has not written yet, and must not.
            State::At(_) | State::Absent | State::Pending { .. } | State::Dirty(_) => vec![Action::DropOverlay],
        }
    }

    fn is_expected(&self, version: Version) -> bool {
        self.running.is_some_and(|run| run.next == version) && self.is_ready()
    }

    fn committed(&mut self, version: Version) -> Vec<Action> {
        match self.state {
            State::Pending { next, .. } if next == version => {
                self.running = None;
                self.state = State::At(Some(next));
                vec![Action::Fold(next)]
            }
            State::Dirty(next) if next == version => {
                self.running = None;
                self.state = State::At(Some(next));
                vec![Action::Fold(next)]
            }
            // Another attempt's commit: the next batch names its base, and decides.
            State::Pending { .. } | State::Dirty(_) | State::At(_) | State::Absent => Vec::new(),
        }
    }

    fn abort(&mut self, is_void: impl Fn(Version) -> bool) -> Vec<Action> {
        if self.running.is_some_and(|run| is_void(run.next)) {
            self.running = None;
        }
        match self.state {
            State::Pending { base, next } if is_void(next) => {
                self.state = State::At(base);
                vec![Action::DropOverlay]
            }
            State::Dirty(version) if is_void(version) => self.lose(),
            State::Pending { .. } | State::Dirty(_) | State::At(_) | State::Absent => Vec::new(),
        }
    }

    fn lose(&mut self) -> Vec<Action> {
        let had = self.state;
        self.state = State::Absent;
        match had {
            State::Absent => Vec::new(),
            State::Pending { .. } => vec![Action::DropOverlay, Action::DropDatabase],
            State::At(_) | State::Dirty(_) => vec![Action::DropDatabase],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(batch: u64, epoch: u64) -> Version {
        Version { batch, attempt: AttemptId::new(1, epoch) }
    }

    fn at(base: Option<Version>) -> ShardMachine {
        ShardMachine { state: State::At(base), running: None }
    }

    fn pending(base: Option<Version>, next: Version) -> ShardMachine {
        ShardMachine { state: State::Pending { base, next }, running: Some(Run { base, next }) }
    }

    #[test]
    fn an_absent_shard_restores_its_base_and_runs() {
        let mut shard = ShardMachine::default();
        let (base, next) = (Some(version(4, 7)), version(5, 8));
        assert_eq!(shard.apply(Event::Run { base, next }), [Action::Restore(base)]);
        assert!(!shard.is_ready());
        assert_eq!(shard.apply(Event::Restored(base)), []);
        assert!(shard.is_ready());
        assert_eq!(shard.apply(Event::Finished(next)), []);
        assert_eq!(shard.state(), State::Pending { base, next });
        assert_eq!(shard.apply(Event::Committed(next)), [Action::Fold(next)]);
        assert_eq!(shard.state(), State::At(Some(next)));
    }

    #[test]
    fn a_batch_on_the_pending_version_folds_it_without_a_commit_message() {
        let mut shard = pending(None, version(0, 1));
        let actions = shard.apply(Event::Run { base: Some(version(0, 1)), next: version(1, 2) });
        assert_eq!(actions, [Action::Fold(version(0, 1))]);
        assert!(shard.is_ready());
    }

    #[test]
    fn pending_writes_of_another_attempt_are_dropped_and_the_shard_restored() {
        let base = Some(version(3, 1));
        let mut shard = pending(base, version(4, 2));
        // The same batch number, but another attempt became the batch.
        let actions = shard.apply(Event::Run { base: Some(version(4, 3)), next: version(5, 4) });
        assert_eq!(actions, [Action::DropOverlay, Action::DropDatabase, Action::Restore(Some(version(4, 3)))]);
        assert!(!shard.is_ready());
    }

    #[test]
    fn a_second_attempt_of_the_batch_starts_from_the_same_base() {
        let base = Some(version(3, 1));
        let mut shard = pending(base, version(4, 2));
        assert_eq!(shard.apply(Event::Run { base, next: version(4, 3) }), [Action::DropOverlay]);
        assert!(shard.is_ready());
        assert_eq!(shard.apply(Event::Finished(version(4, 2))), [Action::DropOverlay], "work of the older attempt");
        assert!(shard.is_ready());
    }

    #[test]
    fn dirty_goes_forward_only() {
        let (base, next) = (Some(version(3, 1)), version(4, 2));
        let dirty = || {
            let mut shard = at(base);
            shard.apply(Event::Run { base, next });
            assert_eq!(shard.apply(Event::AppliedEarly(next)), []);
            assert_eq!(shard.state(), State::Dirty(next));
            shard
        };
        assert_eq!(dirty().apply(Event::Finished(next)), [], "its writes are complete");
        assert_eq!(dirty().apply(Event::AppliedEarly(next)), [], "more of them");
        assert_eq!(
            dirty().apply(Event::Run { base: Some(next), next: version(5, 3) }),
            [Action::Fold(next)],
            "it is the base without a commit message"
        );
        let mut again = dirty();
        assert_eq!(
            again.apply(Event::Run { base, next: version(4, 3) }),
            [Action::DropDatabase, Action::Restore(base)]
        );
        assert_eq!(dirty().apply(Event::Abort(AttemptId::new(1, 2))), [Action::DropDatabase]);
        assert_eq!(dirty().apply(Event::Disconnected), [Action::DropDatabase]);
        assert_eq!(dirty().apply(Event::Committed(version(4, 9))), [], "another attempt's commit");
        let mut committed = dirty();
        assert_eq!(committed.apply(Event::Committed(next)), [Action::Fold(next)]);
        assert_eq!(committed.state(), State::At(Some(next)));
    }

    #[test]
    fn void_work_must_not_write() {
        let base = Some(version(3, 1));
        let mut shard = at(base);
        shard.apply(Event::Run { base, next: version(4, 3) });
        assert_eq!(shard.apply(Event::AppliedEarly(version(4, 2))), [Action::DropOverlay], "an older attempt's");
        shard.apply(Event::Abort(AttemptId::new(1, 3)));
        assert_eq!(shard.apply(Event::AppliedEarly(version(4, 3))), [Action::DropOverlay], "an aborted one's");
        assert_eq!(shard.state(), State::At(base), "the database is as it was");
    }

    #[test]
    fn an_other_base_makes_absent() {
        let mut shard = at(Some(version(3, 1)));
        let base = Some(version(7, 9));
        let actions = shard.apply(Event::Run { base, next: version(8, 10) });
        assert_eq!(actions, [Action::DropDatabase, Action::Restore(base)]);
    }

    #[test]
    fn what_was_restored_for_an_older_batch_is_not_used() {
        let mut shard = ShardMachine::default();
        shard.apply(Event::Run { base: Some(version(3, 1)), next: version(4, 2) });
        shard.apply(Event::Run { base: Some(version(4, 5)), next: version(5, 6) });
        assert_eq!(shard.apply(Event::Restored(Some(version(3, 1)))), [Action::DropDatabase]);
        assert_eq!(shard.state(), State::Absent);
    }

    #[test]
    fn aborts_void_their_attempt_and_older_ones_only() {
        let base = Some(version(3, 1));
        let mut shard = pending(base, version(4, 5));
        assert_eq!(shard.apply(Event::Abort(AttemptId::new(1, 4))), []);
        assert_eq!(shard.state(), State::Pending { base, next: version(4, 5) });
        assert_eq!(shard.apply(Event::Abort(AttemptId::new(1, 5))), [Action::DropOverlay]);
        assert_eq!(shard.state(), State::At(base));
        assert_eq!(shard.apply(Event::Finished(version(4, 5))), [Action::DropOverlay], "cancelled work");
    }

    #[test]
    fn a_broken_stream_keeps_only_what_is_committed() {
        let base = Some(version(3, 1));
        let mut shard = pending(base, version(4, 5));
        assert_eq!(shard.apply(Event::Disconnected), [Action::DropOverlay]);
        assert_eq!(shard.state(), State::At(base));
        assert_eq!(at(base).apply(Event::Disconnected), []);
    }

    #[test]
    fn commits_of_other_attempts_change_nothing() {
        let base = Some(version(3, 1));
        let mut shard = pending(base, version(4, 5));
        assert_eq!(shard.apply(Event::Committed(version(4, 6))), []);
        assert_eq!(shard.state(), State::Pending { base, next: version(4, 5) });
    }

    #[test]
    fn a_failed_database_is_lost() {
        let mut shard = pending(None, version(0, 1));
        assert_eq!(shard.apply(Event::Failed), [Action::DropOverlay, Action::DropDatabase]);
        assert_eq!(shard.state(), State::Absent);
    }
}
