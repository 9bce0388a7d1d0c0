//! The reader that speaks the Fetch protocol itself.
//!
//! ```text
//!  executor's runtime                                    task threads
//!  tasks: leaders, one connection a broker ─▶ queue ─▶ client: walk ─▶ columns
//! ```
//!
//! `settings` says which sources it can read. `tasks` is the shell: it connects (`connection`), asks (`requests`) and
//! lets `cluster` decide what is asked next and what an answer means. What arrives is put into each partition's `queue`
//! as it came. The thread that reads a partition walks its batches in place (`walk`, over `record_batch`, `codec`,
//! `cursor` and `aborted`): records are read once, and only into columns that the plan has.

mod aborted;
mod client;
mod cluster;
mod codec;
mod connection;
mod cursor;
mod queue;
mod record_batch;
mod requests;
mod settings;
mod tasks;
#[cfg(test)]
mod tests;
mod walk;

pub(super) use client::FetchClient;
