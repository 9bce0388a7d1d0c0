//! What happens to the machine, and what it wants done.

use std::collections::BTreeMap;

use pyrite_common::checkpoint::{AttemptId, Offsets, TopicPartition};

use super::message::{BatchFailure, Command, ExecutorInfo, ExecutorKey, PreparedReport};
use super::report::BatchReport;
use super::store::{StoreReply, StoreRequest};

/// What happened. Events that no longer matter (an older attempt's, a reply to a forgotten request) are ignored.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The first event.
    Start,
    Store {
        request: u64,
        reply: StoreReply,
    },
    /// `startingOffsets` and kin of one source, made into numbers.
    StartResolved {
        source: u32,
        offsets: Offsets,
    },
    Available(Availability),
    /// A source could not be asked; `fatal`: asking again cannot help.
    SourceFailed {
        fault: Fault,
        fatal: bool,
    },
    ExecutorJoined(ExecutorInfo),
    ExecutorLost {
        executor: ExecutorKey,
        reason: String,
    },
    Prepared {
        from: ExecutorKey,
        batch: u64,
        attempt: AttemptId,
        report: Box<PreparedReport>,
    },
    Failed {
        from: ExecutorKey,
        batch: u64,
        attempt: AttemptId,
        failure: Box<BatchFailure>,
    },
    /// The plan cannot run in an executor.
    QueryRefused {
        from: ExecutorKey,
        fault: Fault,
    },
    Published {
        from: ExecutorKey,
        batch: u64,
        attempt: AttemptId,
    },
    SinkDone {
        batch: u64,
        attempt: AttemptId,
    },
    SinkFailed {
        batch: u64,
        attempt: AttemptId,
        fault: Fault,
    },
    /// Rows for the driver's sink could not be kept until their publication; another attempt may bring them.
    RowsLost {
        batch: u64,
        attempt: AttemptId,
        problem: String,
    },
    /// A time asked for by [`Action::Wake`] may have come.
    Wake,
    Stop,
}

/// What the sources had when asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Availability {
    /// The number of the asking.
    pub generation: u64,
    pub sources: Vec<SourceLatest>,
}

/// One source's newest offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceLatest {
    /// The end of every partition there is; the query goes on without those that are not there.
    pub latest: Offsets,
    /// Where partitions begin that the query did not know, and where it goes on in those that end before its position:
    /// at the beginning of one that was made anew, at the end of one that was cut off.
    pub new_partitions: BTreeMap<TopicPartition, i64>,
}

/// What the shell is to do. Actions of one call are performed in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Store {
        request: u64,
        ask: StoreRequest,
    },
    ResolveStart {
        source: u32,
    },
    /// Ask all sources for their latest offsets, given where the query stands.
    Poll {
        generation: u64,
        known: Vec<Offsets>,
    },
    Send {
        to: ExecutorKey,
        command: Command,
    },
    /// Give the rows of exactly this attempt to the driver's sink.
    RunSink {
        batch: u64,
        attempt: AttemptId,
    },
    /// Rows of this attempt will not be needed.
    DropRows {
        attempt: AttemptId,
    },
    Report(Box<BatchReport>),
    /// Everything found by the asking of this generation is processed.
    Idle {
        generation: u64,
    },
    Wake {
        at_us: i64,
    },
    Ended(Ending),
}

/// An error as Spark's clients expect it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    pub message: String,
    /// Spark's error class; empty when Spark has none.
    pub class: String,
    pub sql_state: String,
    pub parameters: BTreeMap<String, String>,
}

impl Fault {
    /// A fault for which Spark has no class.
    pub fn new(message: impl Into<String>) -> Fault {
        Fault { message: message.into(), ..Fault::default() }
    }

    /// A fault under Spark's name for it.
    pub fn classed(class: &str, sql_state: &str, message: impl Into<String>) -> Fault {
        Fault { message: message.into(), class: class.into(), sql_state: sql_state.into(), ..Fault::default() }
    }
}

/// How a query ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Asked to stop, or a trigger that ends found nothing more.
    Finished,
    Failed(Fault),
    /// Another driver has the checkpoint.
    Superseded(Fault),
}
