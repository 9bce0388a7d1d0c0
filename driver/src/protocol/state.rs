//! The states of a query and the moves between them.

use std::collections::{BTreeMap, BTreeSet};

use pyrite_common::checkpoint::{AttemptId, CommitFile, Offsets, OffsetsFile};

use super::message::{ExecutorKey, PreparedReport};
use super::report::Durations;
use super::write::Write;

/// A state without what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Claim,
    Recover,
    Idle,
    Plan,
    Run,
    Publish,
    Commit,
    Stopped,
}

/// Every move there is; anything may also become `Stopped`, which is the end.
const MOVES: &[(Phase, Phase)] = &[
    (Phase::Claim, Phase::Recover),
    (Phase::Recover, Phase::Idle),
    // offsets/M+1 was pinned before the restart.
    (Phase::Recover, Phase::Run),
    (Phase::Idle, Phase::Plan),
    (Phase::Plan, Phase::Run),
    // Another try of the same batch.
    (Phase::Run, Phase::Run),
    (Phase::Run, Phase::Publish),
    (Phase::Publish, Phase::Commit),
    // A slot's executor was lost while it published.
    (Phase::Publish, Phase::Run),
    (Phase::Commit, Phase::Idle),
    // Through Idle in one step: new offsets were known already, or a batch without data was due.
    (Phase::Commit, Phase::Plan),
    // Nobody publishes: the rows are only counted.
    (Phase::Run, Phase::Commit),
    // The next three only with the rule "publish before commit" taken away, for the simulation.
    (Phase::Commit, Phase::Publish),
    (Phase::Publish, Phase::Idle),
    (Phase::Publish, Phase::Plan),
];

impl Phase {
    /// Whether the protocol has this move.
    pub fn may_become(self, next: Phase) -> bool {
        self != Phase::Stopped && (next == Phase::Stopped || MOVES.contains(&(self, next)))
    }

    /// Whether a stop waits for the commit from here on.
    pub fn is_past_stopping(self) -> bool {
        matches!(self, Phase::Publish | Phase::Commit)
    }
}

/// A state and what belongs to it alone.
#[derive(Debug)]
pub(super) enum State {
    Claim(Claim),
    Recover(Recover),
    Idle(Idle),
    Plan(Plan),
    Run(Run),
    Publish(Publish),
    Commit(Commit),
    Stopped,
}

impl State {
    pub(super) fn phase(&self) -> Phase {
        match self {
            State::Claim(_) => Phase::Claim,
            State::Recover(_) => Phase::Recover,
            State::Idle(_) => Phase::Idle,
            State::Plan(_) => Phase::Plan,
            State::Run(_) => Phase::Run,
            State::Publish(_) => Phase::Publish,
            State::Commit(_) => Phase::Commit,
            State::Stopped => Phase::Stopped,
        }
    }

    /// Whether the batch that is planned or run has records to read.
    pub(super) fn has_data(&self) -> bool {
        let file = match self {
            State::Plan(plan) => &plan.file,
            State::Run(run) => &run.batch.file,
            State::Publish(publish) => &publish.batch.file,
            State::Commit(commit) => &commit.batch.file,
            State::Claim(_) | State::Recover(_) | State::Idle(_) | State::Stopped => return false,
        };
        file.pyrite.as_ref().is_some_and(|extra| !extra.splits.is_empty())
    }
}

#[derive(Debug)]
pub(super) enum Claim {
    /// Before [`super::Event::Start`].
    Waiting,
    ReadMetadata,
    /// The checkpoint has no id: it must have no logs either.
    SurveyForMetadata,
    CreateMetadata(Write),
    SurveyTerms,
    CreateTerm(u64, Write),
}

#[derive(Debug)]
pub(super) enum Recover {
    Survey,
    ReadCommit {
        batch: u64,
        offsets: Option<u64>,
    },
    ReadOffsets {
        batch: u64,
        commit: Box<CommitFile>,
        offsets: Option<u64>,
    },
    ReadNext {
        batch: u64,
    },
    /// Before `ReadNext` when nothing is committed: an `offsets/0` of Spark does not say where its batch starts.
    ReadPlannedStart {
        source: u32,
    },
    ReadStart {
        source: u32,
    },
    ResolveStart {
        source: u32,
    },
    CreateStart {
        source: u32,
        write: Write,
    },
}

#[derive(Debug)]
pub(super) enum Idle {
    /// Until the trigger's time.
    Sleeping {
        until_us: i64,
    },
    Polling {
        generation: u64,
        since_us: i64,
    },
}

#[derive(Debug)]
pub(super) struct Plan {
    pub file: OffsetsFile,
    /// What each source had, for progress.
    pub latest: Vec<Offsets>,
    pub step: PlanStep,
    pub times: Durations,
    pub since_us: i64,
}

#[derive(Debug)]
pub(super) enum PlanStep {
    CheckTerm,
    Create(Write),
    /// The plan stands in the checkpoint, but it took long: is the checkpoint still ours?
    CheckAgain,
}

/// The batch that is under way, through all its tries.
#[derive(Debug)]
pub(super) struct Batch {
    pub number: u64,
    pub file: OffsetsFile,
    pub latest: Vec<Offsets>,
    pub times: Durations,
    /// When the batch's trigger began.
    pub started_us: i64,
    /// When its first try began.
    pub run_since_us: i64,
    /// When its newest try began.
    pub try_since_us: i64,
    pub task_failures: u32,
    pub unavailable_tries: u32,
    /// An executor was lost and the batch tried again at once; after the next loss it waits.
    pub has_lost_one: bool,
    /// Who could not reach whom.
    pub unreachable: BTreeMap<String, BTreeSet<String>>,
}

impl Batch {
    /// Tries that led to nothing.
    pub fn failed_tries(&self) -> u32 {
        self.task_failures + self.unavailable_tries + u32::from(self.has_lost_one)
    }
}

#[derive(Debug)]
pub(super) struct Run {
    pub batch: Box<Batch>,
    pub try_: Try,
}

#[derive(Debug)]
pub(super) enum Try {
    NoExecutors,
    BackingOff { until_us: i64 },
    Running { attempt: AttemptId, waiting: BTreeSet<ExecutorKey>, prepared: BTreeMap<ExecutorKey, PreparedReport> },
}

#[derive(Debug)]
pub(super) struct Publish {
    pub batch: Box<Batch>,
    pub attempt: AttemptId,
    pub prepared: BTreeMap<ExecutorKey, PreparedReport>,
    pub waiting: BTreeSet<ExecutorKey>,
    /// Nothing went out yet, for the batch ran long: is the checkpoint still ours?
    pub is_doubted: bool,
}

#[derive(Debug)]
pub(super) struct Commit {
    pub batch: Box<Batch>,
    pub attempt: AttemptId,
    pub prepared: BTreeMap<ExecutorKey, PreparedReport>,
    pub write: Write,
    /// The commit stands in the checkpoint, but it took long: is the checkpoint still ours?
    pub is_doubted: bool,
    pub since_us: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopped_is_the_end_and_reachable_from_everywhere() {
        let all = [Phase::Claim, Phase::Recover, Phase::Idle, Phase::Plan, Phase::Run, Phase::Publish, Phase::Commit];
        for phase in all {
            assert!(phase.may_become(Phase::Stopped));
            assert!(!Phase::Stopped.may_become(phase));
        }
        assert!(!Phase::Stopped.may_become(Phase::Stopped));
        assert!(!Phase::Plan.may_become(Phase::Commit));
        assert!(!Phase::Idle.may_become(Phase::Run));
    }
}
