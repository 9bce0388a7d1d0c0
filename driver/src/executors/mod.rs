//! The executors that are attached to this driver, and the two ways to attach: a gRPC stream, or channels in one
//! process.
//!
//! ```text
//! stream or channels ─▶ one task an executor ─▶ the mailbox of each query that it has something for
//! ```
//!
//! One stream is one incarnation. Its end, or beats that stop coming, means that the executor is lost, and every query
//! is told so at once. What the messages mean is for `protocol`.

mod event;
mod registry;
mod service;
mod wire;

pub use event::{ExecutorEvent, OutputRows};
pub use registry::{ExecutorView, Executors, Subscription};
pub use service::DriverEndpoint;
pub use wire::to_driver_message;
