//! State shards: what a shard is at (`machine`, pure), its data (`store`: database, committed and pending overlays,
//! read by `view`), and how both come from and go to the checkpoint.
//!
//! ```text
//!  batch N: view ──▶ work ──▶ overlay, section ──stage──▶ pending
//!                                    │                       │ Committed(N, a)
//!                              changelog object           committed overlays ──keeper──▶ database ──▶ snapshot
//!  outgrown memory: ──▶ database (dirty until Committed) and spooled section
//!  restore: newest snapshots + sections that the commits after them name
//! ```

mod changelog;
mod database;
mod entry;
mod id;
mod keeper;
mod machine;
mod overlay;
mod policy;
mod restore;
mod rocks;
mod snapshot;
mod spool;
mod store;
#[cfg(test)]
mod tests;
mod view;
mod writes;

pub use changelog::{Changelog, ChangelogError, EncodedSection, Footer, Section, Written, write_object};
pub use database::Database;
pub use id::ShardId;
pub use keeper::Keeper;
pub use machine::{Action, Event, ShardMachine, State, Version};
pub use overlay::{Overlay, Write};
pub use policy::{Chain, SnapshotPolicy};
pub use restore::{ObjectCache, RestoreError, Restored, Restorer};
pub use rocks::Rocks;
pub use snapshot::{SnapshotError, Uploader, freeze};
pub use store::{Opened, PendingWrites, ShardStore};
pub use view::ShardView;
pub use writes::{WriteBuffer, WriteError, Writes};
