//! Running queries: the shell around [`crate::protocol::QueryMachine`], and what programs see of it.
//!
//! ```text
//! QueryStart ─ prepare ─▶ run (one task a query: receive, apply, persist, act) ─▶ Query, Queries, QueryEvent
//! ```

mod clock;
mod driver;
mod handle;
mod prepare;
mod queries;
mod rows;
mod run;

use std::collections::BTreeMap;

pub use driver::{Driver, DriverConfig};
pub use handle::{Query, QueryEvent, QueryFailure, QueryStatus};
pub use queries::Queries;

pub use crate::protocol::Trigger;
pub use pyrite_engine::plan::OutputMode;

use crate::analysis::Analyzed;

/// What `writeStream....start()` says.
#[derive(Debug, Clone)]
pub struct QueryStart {
    pub analyzed: Analyzed,
    pub name: Option<String>,
    pub output_mode: OutputMode,
    pub trigger: Trigger,
    /// Lower case.
    pub sink_format: String,
    /// The writer's options, `checkpointLocation` among them.
    pub options: BTreeMap<String, String>,
    pub path: Option<String>,
    /// The session's settings at the start; the query keeps them.
    pub settings: BTreeMap<String, String>,
    pub session_id: String,
}
