//! What an executor is told at its start, and how it divides its memory.

use std::path::PathBuf;

use pyrite_common::security::Secret;
use pyrite_proto::executor::{DriverMessage, ExecutorMessage};
use tokio::sync::mpsc;

const MIB: u64 = 1024 * 1024;

/// How one executor runs.
#[derive(Clone, Debug)]
pub struct ExecutorConfig {
    /// Its id within the application.
    pub executor_id: String,
    /// The application.
    pub application_id: String,
    /// Task threads.
    pub cores: usize,
    /// What the process may use.
    pub memory_bytes: u64,
    /// Where local files go; what lies in its `state` folder is deleted at the start.
    pub work_dir: PathBuf,
    /// The application's secret, on every call to the driver and between executors.
    pub token: Secret,
    /// The address that other executors reach this one by.
    pub shuffle_host: String,
}

/// The stream to the driver, in the process or over gRPC.
pub struct DriverLink {
    /// Bounded: when the driver does not keep up, tasks with rows for it wait.
    pub to_driver: mpsc::Sender<ExecutorMessage>,
    /// Ends when the driver is gone.
    pub from_driver: mpsc::Receiver<DriverMessage>,
}

/// Shares of `memory_bytes`, each with a ceiling: a larger executor does not need larger buffers, and a small process
/// starts fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// RocksDB's cache: blocks, filters and write buffers.
    pub state_cache_bytes: usize,
    /// Of these, write buffers.
    pub write_buffer_bytes: usize,
    /// Records fetched ahead, of one source.
    pub kafka_bytes: u64,
    /// Groups combined before they go to their shards, of all source tasks together.
    pub combine_bytes: usize,
    /// Groups received for the shards of all running attempts; more goes to disk.
    pub receive_bytes: usize,
    /// Writes of batches that are not in the databases yet, of all shards; more goes there before the commit.
    pub overlay_bytes: usize,
}

/// What shards may hold at least, however little memory there is.
const SHARDS_BYTES_MIN: u64 = 64 * 1024;
/// One shard alone may receive half of the reserve, and Arrow counts the bytes of its texts in 31 bits.
const RECEIVE_BYTES_MAX: u64 = 2 << 30;
/// One overlay alone may take half of the reserve, and the write that crosses it; its entries' places have 32 bits.
const OVERLAY_BYTES_MAX: u64 = 4 << 30;

impl MemoryPlan {
    /// Divides `memory_bytes`.
    pub fn of(memory_bytes: u64) -> Self {
        let share = |percent: u64, most: u64| (memory_bytes / 100 * percent).clamp(4 * MIB, most);
        let state = share(30, if memory_bytes > 8 << 30 { 1024 * MIB } else { 128 * MIB });
        let shards = |percent: u64, most: u64| (memory_bytes / 100 * percent).clamp(SHARDS_BYTES_MIN, most) as usize;
        Self {
            state_cache_bytes: state as usize,
            write_buffer_bytes: (state / 2) as usize,
            kafka_bytes: share(12, 48 * MIB),
            combine_bytes: share(13, 96 * MIB) as usize,
            receive_bytes: shards(15, RECEIVE_BYTES_MAX),
            overlay_bytes: shards(10, OVERLAY_BYTES_MAX),
        }
    }

    /// Bytes of encoded groups that a shard takes back at a time, of those that went to disk.
    pub fn merge_bytes(&self) -> usize {
        (self.receive_bytes / 32).clamp(16 * 1024, 4 * MIB as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_stay_within_the_memory_and_below_their_ceilings() {
        for memory in [256 * MIB, 1 << 30, 3 << 30, 64 << 30] {
            let plan = MemoryPlan::of(memory);
            let shards = (plan.combine_bytes + plan.receive_bytes + plan.overlay_bytes) as u64;
            let sum = plan.state_cache_bytes as u64 + plan.kafka_bytes + shards;
            assert!(sum <= memory / 100 * 80, "{memory}: {plan:?}");
        }
        assert_eq!(MemoryPlan::of(3 << 30).state_cache_bytes, 128 << 20);
    }

    #[test]
    fn no_machine_is_so_large_that_a_shard_outgrows_its_counters() {
        let plan = MemoryPlan::of(16 << 40);
        // With room for as much again, in one write.
        assert!(plan.receive_bytes / 2 <= i32::MAX as usize / 2 + 1, "{plan:?}");
        assert!(plan.overlay_bytes / 2 <= u32::MAX as usize / 2 + 1, "{plan:?}");
    }
}
