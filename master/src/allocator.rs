//! Who gets which cores: a plain function from demands, workers and standing leases to new grants. It never takes a
//! lease away, serves applications first come first served, and grants nothing when called again on its own result.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pyrite_common::ids::{ApplicationId, WorkerId};
use pyrite_common::memory::print_size;

/// What one application asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    pub application: ApplicationId,
    /// Executors wanted; none: as many as the other limits and the workers allow.
    pub executors: Option<u32>,
    /// Cores of each; none with `executors`: 1 (as Spark on YARN); none without: one executor on each worker with all
    /// its free cores (as Spark standalone).
    pub executor_cores: Option<u32>,
    pub executor_memory_bytes: u64,
    /// Cores of all together, as `spark.cores.max`.
    pub cores_max: Option<u32>,
}

/// A living worker and all that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slots {
    pub worker: WorkerId,
    pub cores: u32,
    pub memory_bytes: u64,
}

/// Cores and memory of a worker that an executor holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub application: ApplicationId,
    pub worker: WorkerId,
    pub cores: u32,
    pub memory_bytes: u64,
    /// The executor is being ended: it still holds its slots but no longer serves the demand.
    pub ending: bool,
}

/// A new lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub application: ApplicationId,
    pub worker: WorkerId,
    pub cores: u32,
    pub memory_bytes: u64,
}

/// Which worker comes first, as `spark.deploy.workerSelectionPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelectionPolicy {
    /// Most free cores first.
    #[default]
    CoresFreeDesc,
    /// Fewest free cores first.
    CoresFreeAsc,
    /// Most free memory first.
    MemoryFreeDesc,
    /// Least free memory first.
    MemoryFreeAsc,
    /// In order of worker ids.
    WorkerId,
}

impl SelectionPolicy {
    /// The names that the setting takes.
    pub const NAMES: [&str; 5] =
        ["CORES_FREE_DESC", "CORES_FREE_ASC", "MEMORY_FREE_DESC", "MEMORY_FREE_ASC", "WORKER_ID"];

    /// Reads the setting's value; letter case does not matter.
    pub fn parse(name: &str) -> Option<SelectionPolicy> {
        match name.to_ascii_uppercase().as_str() {
            "CORES_FREE_DESC" => Some(SelectionPolicy::CoresFreeDesc),
            "CORES_FREE_ASC" => Some(SelectionPolicy::CoresFreeAsc),
            "MEMORY_FREE_DESC" => Some(SelectionPolicy::MemoryFreeDesc),
            "MEMORY_FREE_ASC" => Some(SelectionPolicy::MemoryFreeAsc),
            "WORKER_ID" => Some(SelectionPolicy::WorkerId),
            _ => None,
        }
    }
}

/// How grants are laid over the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// One executor a worker in turn, as `spark.deploy.spreadOutApps`; else fill a worker before the next.
    pub spread_out: bool,
    /// The order of workers.
    pub policy: SelectionPolicy,
}

impl Default for Placement {
    fn default() -> Self {
        Placement { spread_out: true, policy: SelectionPolicy::default() }
    }
}

/// What an application did not get, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shortfall {
    /// None: wanted at least one, on any worker.
    pub executors: Option<u32>,
    /// None: all free cores of a worker.
    pub cores: Option<u32>,
    pub memory_bytes: u64,
    pub obstacle: Obstacle,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    NoWorkers,
    /// It would not fit if all were idle: the largest worker's size.
    BiggerThanAnyWorker {
        cores: u32,
        memory_bytes: u64,
    },
    /// The free slots of the worker that has most.
    Busy {
        cores: u32,
        memory_bytes: u64,
    },
}

/// New grants, and who still waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allocation {
    pub grants: Vec<Grant>,
    pub waiting: BTreeMap<ApplicationId, Shortfall>,
}

/// Grants what fits. `demands` come in the order in which the applications registered.
pub(crate) fn allocate(demands: &[Demand], workers: &[Slots], leases: &[Lease], placement: Placement) -> Allocation {
    let mut free: Vec<Slots> = workers.to_vec();
    for lease in leases {
        if let Some(slots) = free.iter_mut().find(|slots| slots.worker == lease.worker) {
            // A worker that came back smaller may hold more than it has: then nothing is free.
            slots.cores = slots.cores.saturating_sub(lease.cores);
            slots.memory_bytes = slots.memory_bytes.saturating_sub(lease.memory_bytes);
        }
    }
    let mut allocation = Allocation::default();
    for demand in demands {
        let held: Vec<&Lease> =
            leases.iter().filter(|lease| !lease.ending && lease.application == demand.application).collect();
        sort_by_policy(&mut free, placement.policy);
        let (grants, missing) = match executor_cores(demand) {
            Some(cores) => grant_sized(demand, cores, &held, &mut free, placement.spread_out),
            None => grant_whole_workers(demand, &held, &mut free, placement.spread_out),
        };
        if let Some(missing) = missing {
            let shortfall = shortfall(demand, missing, workers, &free);
            allocation.waiting.insert(demand.application.clone(), shortfall);
        }
        allocation.grants.extend(grants);
    }
    allocation
}

/// The size of each executor; none: whole workers.
fn executor_cores(demand: &Demand) -> Option<u32> {
    demand.executor_cores.or(demand.executors.map(|_| 1))
}

/// How many executors the demand comes to; none: no limit.
pub(crate) fn executors_wanted(demand: &Demand) -> Option<u32> {
    let by_cores = match (demand.cores_max, executor_cores(demand)) {
        (Some(cores_max), Some(cores)) => Some(cores_max / cores.max(1)),
        (Some(_), None) | (None, _) => None,
    };
    match (demand.executors, by_cores) {
        (Some(executors), Some(by_cores)) => Some(executors.min(by_cores)),
        (executors, by_cores) => executors.or(by_cores),
    }
}

/// Missing executors; `AtLeastOne` when the demand has no number.
enum Missing {
    Executors(u32),
    AtLeastOne,
}

fn grant_sized(
    demand: &Demand,
    cores: u32,
    held: &[&Lease],
    free: &mut [Slots],
    spread_out: bool,
) -> (Vec<Grant>, Option<Missing>) {
    let wanted = executors_wanted(demand);
    let held_count = u32::try_from(held.len()).unwrap_or(u32::MAX);
    let mut remaining = wanted.map_or(u32::MAX, |wanted| wanted.saturating_sub(held_count));
    let mut grants = Vec::new();
    let mut progress = true;
    while remaining > 0 && progress {
        progress = false;
        for slots in free.iter_mut() {
            while remaining > 0 && slots.cores >= cores && slots.memory_bytes >= demand.executor_memory_bytes {
                grants.push(take(demand, slots, cores));
                remaining -= 1;
                progress = true;
                if spread_out {
                    break;
                }
            }
        }
    }
    let missing = match wanted {
        Some(_) if remaining > 0 => Some(Missing::Executors(remaining)),
        None if held.is_empty() && grants.is_empty() => Some(Missing::AtLeastOne),
        Some(_) | None => None,
    };
    (grants, missing)
}

/// One executor on each worker that has none of this application; cores are dealt one at a time when spread out.
fn grant_whole_workers(
    demand: &Demand,
    held: &[&Lease],
    free: &mut [Slots],
    spread_out: bool,
) -> (Vec<Grant>, Option<Missing>) {
    let held_on: BTreeSet<&WorkerId> = held.iter().map(|lease| &lease.worker).collect();
    let held_cores: u32 = held.iter().map(|lease| lease.cores).sum();
    let mut remaining = demand.cores_max.map_or(u32::MAX, |max| max.saturating_sub(held_cores));
    let open = |slots: &Slots| {
        slots.cores > 0 && slots.memory_bytes >= demand.executor_memory_bytes && !held_on.contains(&slots.worker)
    };
    let mut dealt = vec![0u32; free.len()];
    let mut progress = true;
    while remaining > 0 && progress {
        progress = false;
        for (slots, dealt) in free.iter().zip(&mut dealt) {
            while remaining > 0 && open(slots) && *dealt < slots.cores {
                *dealt += 1;
                remaining -= 1;
                progress = true;
                if spread_out {
                    break;
                }
            }
        }
    }
    let mut grants = Vec::new();
    for (slots, cores) in free.iter_mut().zip(dealt) {
        if cores > 0 {
            grants.push(take(demand, slots, cores));
        }
    }
    let missing = (held.is_empty() && grants.is_empty()).then_some(Missing::AtLeastOne);
    (grants, missing)
}

fn take(demand: &Demand, slots: &mut Slots, cores: u32) -> Grant {
    slots.cores -= cores;
    slots.memory_bytes -= demand.executor_memory_bytes;
    Grant {
        application: demand.application.clone(),
        worker: slots.worker.clone(),
        cores,
        memory_bytes: demand.executor_memory_bytes,
    }
}

fn sort_by_policy(free: &mut [Slots], policy: SelectionPolicy) {
    // The worker id breaks ties, so that the same state always gives the same grants.
    free.sort_by(|left, right| left.worker.cmp(&right.worker));
    match policy {
        SelectionPolicy::CoresFreeDesc => free.sort_by_key(|slots| Reverse(slots.cores)),
        SelectionPolicy::CoresFreeAsc => free.sort_by_key(|slots| slots.cores),
        SelectionPolicy::MemoryFreeDesc => free.sort_by_key(|slots| Reverse(slots.memory_bytes)),
        SelectionPolicy::MemoryFreeAsc => free.sort_by_key(|slots| slots.memory_bytes),
        SelectionPolicy::WorkerId => {}
    }
}

fn shortfall(demand: &Demand, missing: Missing, workers: &[Slots], free: &[Slots]) -> Shortfall {
    let cores = executor_cores(demand);
    let needed = cores.unwrap_or(1);
    let largest =
        |slots: &[Slots]| slots.iter().map(|slots| (slots.cores, slots.memory_bytes)).max().unwrap_or_default();
    let fits_somewhere =
        workers.iter().any(|slots| slots.cores >= needed && slots.memory_bytes >= demand.executor_memory_bytes);
    let obstacle = if workers.is_empty() {
        Obstacle::NoWorkers
    } else if !fits_somewhere {
        let (cores, memory_bytes) = largest(workers);
        Obstacle::BiggerThanAnyWorker { cores, memory_bytes }
    } else {
        let (cores, memory_bytes) = largest(free);
        Obstacle::Busy { cores, memory_bytes }
    };
    let executors = match missing {
        Missing::Executors(count) => Some(count),
        Missing::AtLeastOne => None,
    };
    Shortfall { executors, cores, memory_bytes: demand.executor_memory_bytes, obstacle }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let executors = self.executors.unwrap_or(1);
        write!(f, "{executors} {}", plural(executors, "executor"))?;
        if let Some(cores) = self.cores {
            write!(f, " x {cores} {}", plural(cores, "core"))?;
        }
        write!(f, " x {}; ", print_size(self.memory_bytes))?;
        match &self.obstacle {
            Obstacle::NoWorkers => f.write_str("no worker is registered"),
            Obstacle::BiggerThanAnyWorker { cores, memory_bytes } => write!(
                f,
                "bigger than any worker, the largest has {cores} {}, {}",
                plural(*cores, "core"),
                print_size(*memory_bytes)
            ),
            Obstacle::Busy { cores, memory_bytes } => {
                write!(f, "largest free worker: {cores} {}, {}", plural(*cores, "core"), print_size(*memory_bytes))
            }
        }
    }
}

fn plural(count: u32, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

#[cfg(test)]
#[path = "allocator_tests.rs"]
mod tests;
