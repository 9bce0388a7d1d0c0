//! What a task computes: Spark's types, casts, functions and `from_json`, event-time windows, aggregate state, and the
//! compiled form of a query plan. Arrow in, Arrow out; no I/O, no clock, no threads.

pub mod aggregate;
pub mod cast;
pub mod clock;
pub mod codec;
pub mod error;
pub mod functions;
pub mod json;
pub mod plan;
pub mod state;
pub mod task;
pub mod types;
