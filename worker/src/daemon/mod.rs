//! The worker daemon.
//!
//! ```text
//! run        one task owns the state: orders of the master, reports of the children, shutdown
//! link       the stream to the master, re-opened with back-off
//! ledger     which executors there are, and what they hold (pure)
//! supervise  one task an executor: start, watch the resident memory, end
//! directory  work/<application>/<executor>/, and the cleaning of old ones
//! process    the few system calls that need care
//! web        JSON, page and logs from the published snapshot
//! ```

mod config;
mod directory;
mod error;
mod ledger;
mod link;
mod process;
mod run;
mod snapshot;
mod supervise;
mod web;

pub use config::{CleanupConfig, WorkerConfig, default_cores, default_memory_bytes};
pub use error::WorkerError;
pub use process::{LaunchSecrets, ORPHANED_EXIT_CODE, end_with_parent};
pub use run::{Worker, start};
pub use snapshot::Snapshot;
