//! The wire: generated types and stubs of every service, one module for each .proto file.
//!
//! Generated types stay at the borders of the programs (`wire.rs`, `service.rs`, `client.rs`); inside, each program has
//! its own. What each message means and whether repeating it is safe stands beside it in the .proto files.

#![allow(clippy::all, reason = "generated code")]

/// The compiled form of a streaming query.
pub mod plan {
    tonic::include_proto!("pyrite.plan.v1");
}

/// Driver and executors: the batch protocol, and the shuffle between executors.
pub mod executor {
    tonic::include_proto!("pyrite.executor.v1");
}

/// The master, its workers and its applications.
pub mod master {
    tonic::include_proto!("pyrite.master.v1");
}
