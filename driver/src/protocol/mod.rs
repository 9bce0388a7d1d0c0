//! The batch protocol of a query, pure: [`QueryMachine::apply`] takes what happened and says what to do.
//!
//! ```text
//! CLAIM -> RECOVER -> IDLE -> PLAN -> RUN -> PUBLISH -> COMMIT -> IDLE ..        any -> STOPPED
//! ```
//!
//! It reads no clock, writes no file and sends nothing: `query` performs its actions and feeds back what came of them,
//! and the simulation in `tests` does the same with a world that loses and delays. The states and what each may become
//! are in `state`; each state's rules are in the file of its name.

mod claim;
mod commit;
mod event;
mod idle;
mod machine;
mod message;
mod pin;
pub mod placement;
mod plan;
mod publish;
mod recover;
mod report;
mod run;
mod shards;
mod spec;
mod state;
mod store;
pub mod watermark;
mod write;

pub use event::{Action, Availability, Ending, Event, Fault, SourceLatest};
pub use machine::{QueryMachine, Status};
pub use message::{
    BatchFailure, Command, EventTimes, ExecutorInfo, ExecutorKey, FailureKind, OperatorCounts, PlacedShard,
    PlacedSplit, PreparedReport, RunBatch, SourceCounts,
};
pub use report::{BatchReport, Durations};
pub use shards::shard_map;
pub use spec::{OperatorSpec, PublishBy, QuerySpec, Rules, Trigger, WatermarkNode, WatermarkPolicy};
pub use state::Phase;
pub use store::{Body, LogName, StoreReply, StoreRequest};

#[cfg(test)]
mod tests;
