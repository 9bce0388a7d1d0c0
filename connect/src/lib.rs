//! Spark Connect: what a PySpark program sends, turned into the driver's queries, and the launcher that lets a program
//! written for a JVM cluster run unchanged.
//!
//! ```text
//! PySpark ──gRPC──▶ service ──▶ config, analyze        answered at once
//!                      │
//!                      └─▶ operation ◀── execute: transcribe ─▶ driver::analysis ─▶ rows, or driver::query
//! ```
//!
//! `wire` has the generated messages, `error` is the one place that makes Spark's exceptions of errors, `session` is
//! what is kept for a client. Nothing here knows how a query runs.

mod analyze;
mod artifacts;
mod codec;
mod config;
mod context;
pub mod error;
mod execute;
mod ipc;
pub mod launcher;
mod nesting;
mod operation;
mod server;
mod service;
mod session;
mod transcribe;
mod wire;

pub use codec::STACK_BYTES;
pub use server::{ConnectOptions, ConnectServer};
pub use session::check_value as check_setting;
pub use wire::SPARK_VERSION;
