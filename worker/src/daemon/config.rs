//! The worker's settings, with their defaults.

use std::path::PathBuf;
use std::time::Duration;

use pyrite_common::net::HostPort;
use pyrite_common::security::Secret;

/// How a worker runs.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The master and its standbys, tried in turn.
    pub masters: Vec<HostPort>,
    /// What others on the network reach this machine by; none: the address that it uses towards the master.
    pub host: Option<String>,
    /// Cores to lend.
    pub cores: u32,
    /// Memory to lend.
    pub memory_bytes: u64,
    /// Where executors' directories go.
    pub work_dir: PathBuf,
    /// Port of the web UI; the next free one is taken when it is not free; 0 is any.
    pub webui_port: u16,
    /// The cluster's secret.
    pub secret: Option<Secret>,
    /// The program that is an executor when called with `executor` as its first argument.
    pub program: PathBuf,
    /// Removal of old application directories.
    pub cleanup: CleanupConfig,
}

/// As `spark.worker.cleanup.*`.
#[derive(Clone, Debug)]
pub struct CleanupConfig {
    /// `enabled`.
    pub enabled: bool,
    /// `interval`.
    pub interval: Duration,
    /// `appDataTtl`: directories in which nothing changed for so long go.
    pub keep: Duration,
}

impl Default for CleanupConfig {
    fn default() -> Self {
        CleanupConfig { enabled: true, interval: Duration::from_secs(1_800), keep: Duration::from_secs(604_800) }
    }
}

/// All cores of this machine that the process may use.
pub fn default_cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

/// As Spark: all memory of this machine less 1 GiB, and 512 MiB at least.
pub fn default_memory_bytes() -> u64 {
    const RESERVE: u64 = 1 << 30;
    const LEAST: u64 = 512 << 20;
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory_total(&text)).unwrap_or(2 << 30);
    total.saturating_sub(RESERVE).max(LEAST)
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn memory_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_its_memory() {
        assert_eq!(memory_total("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16_384 * 1_024));
        assert_eq!(memory_total("MemFree: 1 kB\n"), None);
        assert!(default_memory_bytes() >= 512 << 20);
        assert!(default_cores() >= 1);
    }
}
