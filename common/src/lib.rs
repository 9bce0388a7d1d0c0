//! What every program needs: ids, errors, security, lifecycle, telemetry, and the checkpoint store that driver and
//! executors share. Nothing enters here before two programs need it.

pub mod backoff;
pub mod checkpoint;
pub mod error;
pub mod ids;
pub mod lifecycle;
pub mod memory;
pub mod nearest;
pub mod net;
pub mod security;
pub mod store;
pub mod telemetry;
