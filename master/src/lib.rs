//! The master: knows the workers and their slots, the applications and what they ask for, and grants the one to the
//! other as executor leases. It never sees plans or rows.
//!
//! ```text
//! service  gRPC streams of workers and drivers ──events──▶ run  (one task owns the state)
//! wire     messages <-> events and actions                  │ state.apply(now, event) -> actions
//! allocator (demand, workers, leases) -> grants             ▼
//! web      JSON and page from the published snapshot ◀── snapshot
//! ```

mod allocator;
mod config;
mod error;
mod inbox;
mod model;
mod run;
mod service;
mod snapshot;
mod state;
mod web;
mod wire;

pub use allocator::{Placement, SelectionPolicy};
pub use config::MasterConfig;
pub use error::MasterError;
pub use run::{Master, start};
pub use snapshot::Snapshot;
