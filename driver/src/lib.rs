//! The driver: what a user's DataFrames mean ([`sql`], [`analysis`]), and how their queries run.
//!
//! ```text
//! Relation ─ analysis ─▶ Analyzed ─ plan ─▶ PlannedQuery ─ query ─▶ one run loop a query
//!                                                               │
//!        source: offsets ─▶ protocol: the pure state machine ◀──┤──▶ executors: who is attached
//!        checkpoint: its logs ◀──┘            └──▶ sink, progress
//! ```

pub mod analysis;
pub mod checkpoint;
pub mod executors;
pub mod master_client;
pub mod plan;
pub mod progress;
pub mod protocol;
pub mod query;
pub mod sink;
pub mod source;
pub mod sql;
