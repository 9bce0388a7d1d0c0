//! State shards: what a shard is at (`machine`, pure), its data (`store`: database, committed and pending overlays,
//! read by `view`), and how both come from and go to the checkpoint.
//!
//! ```text
//!  batch N: view ──▶ work ──▶ overlay, section ──stage──▶ pending
//!                                    │                       │ Committed(N, a)
//!                              changelog object           committed overlays ──keeper──▶ database ──▶ snapshot
//!  restore: newest snapshots + sections that the commits after them name
//! ```

mod changelog;
mod database;
mod entry;
mod keeper;
mod machine;
mod overlay;
mod restore;
mod rocks;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;
mod view;

pub use changelog::{Changelog, ChangelogError, EncodedSection, Footer, Section, write_object};
pub use database::Database;
pub use keeper::{Keeper, SnapshotPolicy};
pub use machine::{Action, Event, ShardMachine, State, Version};
pub use overlay::{Overlay, Write};
pub use restore::{ObjectCache, RestoreError, Restored, Restorer};
pub use rocks::Rocks;
pub use snapshot::SnapshotError;
pub use store::{PendingWrites, ShardId, ShardStore};
pub use view::ShardView;
