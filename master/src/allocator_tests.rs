//! Examples and properties of the allocator.

use proptest::prelude::*;

use super::*;

const GIB: u64 = 1 << 30;

fn worker(name: &str, cores: u32, gib: u64) -> Slots {
    Slots { worker: name.into(), cores, memory_bytes: gib * GIB }
}

fn demand(executors: Option<u32>, cores: Option<u32>, gib: u64) -> Demand {
    Demand {
        application: "app-1".into(),
        executors,
        executor_cores: cores,
        executor_memory_bytes: gib * GIB,
        cores_max: None,
    }
}

fn leases_of(grants: &[Grant]) -> Vec<Lease> {
    let lease = |grant: &Grant| Lease {
        application: grant.application.clone(),
        worker: grant.worker.clone(),
        cores: grant.cores,
        memory_bytes: grant.memory_bytes,
        ending: false,
    };
    grants.iter().map(lease).collect()
}

fn placed(allocation: &Allocation) -> Vec<(&str, u32)> {
    allocation.grants.iter().map(|grant| (grant.worker.as_str(), grant.cores)).collect()
}

#[test]
fn executors_are_spread_over_the_workers() {
    let workers = [worker("a", 8, 8), worker("b", 8, 8)];
    let allocation = allocate(&[demand(Some(4), Some(2), 1)], &workers, &[], Placement::default());
    assert_eq!(placed(&allocation), [("a", 2), ("b", 2), ("a", 2), ("b", 2)]);
    assert!(allocation.waiting.is_empty());
}

#[test]
fn packing_fills_a_worker_first() {
    let workers = [worker("a", 4, 8), worker("b", 8, 8)];
    let placement = Placement { spread_out: false, policy: SelectionPolicy::CoresFreeAsc };
    let allocation = allocate(&[demand(Some(3), Some(2), 1)], &workers, &[], placement);
    assert_eq!(placed(&allocation), [("a", 2), ("a", 2), ("b", 2)]);
}

#[test]
fn without_sizes_each_worker_gives_all_its_cores() {
    let workers = [worker("a", 4, 8), worker("b", 2, 8)];
    let allocation = allocate(&[demand(None, None, 1)], &workers, &[], Placement::default());
    assert_eq!(placed(&allocation), [("a", 4), ("b", 2)]);
}

#[test]
fn cores_max_is_dealt_over_the_workers() {
    let workers = [worker("a", 8, 8), worker("b", 8, 8)];
    let wanted = Demand { cores_max: Some(5), ..demand(None, None, 1) };
    assert_eq!(placed(&allocate(&[wanted], &workers, &[], Placement::default())), [("a", 3), ("b", 2)]);
    let sized = Demand { cores_max: Some(5), ..demand(None, Some(2), 1) };
    assert_eq!(placed(&allocate(&[sized], &workers, &[], Placement::default())), [("a", 2), ("b", 2)]);
}

#[test]
fn what_does_not_fit_waits_and_says_why() {
    let workers = [worker("a", 2, 6), worker("b", 8, 2)];
    let allocation = allocate(&[demand(Some(4), Some(2), 3)], &workers, &[], Placement::default());
    let reason = allocation.waiting.values().next().expect("it waits").to_string();
    assert_eq!(reason, "3 executors x 2 cores x 3 GiB; largest free worker: 8 cores, 2 GiB");

    let allocation = allocate(&[demand(Some(1), Some(4), 3)], &workers, &[], Placement::default());
    let reason = allocation.waiting.values().next().expect("it waits").to_string();
    assert_eq!(reason, "1 executor x 4 cores x 3 GiB; bigger than any worker, the largest has 8 cores, 2 GiB");

    let allocation = allocate(&[demand(None, None, 1)], &[], &[], Placement::default());
    let reason = allocation.waiting.values().next().expect("it waits").to_string();
    assert_eq!(reason, "1 executor x 1 GiB; no worker is registered");
}

#[test]
fn an_ending_executor_holds_its_slots_but_is_replaced() {
    let workers = [worker("a", 2, 2), worker("b", 2, 2)];
    let lease = Lease { application: "app-1".into(), worker: "a".into(), cores: 2, memory_bytes: GIB, ending: true };
    let allocation = allocate(&[demand(Some(1), Some(2), 1)], &workers, &[lease], Placement::default());
    assert_eq!(placed(&allocation), [("b", 2)]);
}

#[test]
fn the_first_application_is_served_first() {
    let workers = [worker("a", 4, 8)];
    let first = demand(Some(1), Some(3), 1);
    let second = Demand { application: "app-2".into(), ..demand(Some(1), Some(2), 1) };
    let allocation = allocate(&[first, second], &workers, &[], Placement::default());
    assert_eq!(allocation.grants.len(), 1);
    assert_eq!(allocation.grants[0].application.as_str(), "app-1");
    assert!(allocation.waiting.contains_key(&ApplicationId::from("app-2")));
}

fn any_placement() -> impl Strategy<Value = Placement> {
    (any::<bool>(), 0..SelectionPolicy::NAMES.len()).prop_map(|(spread_out, index)| Placement {
        spread_out,
        policy: SelectionPolicy::parse(SelectionPolicy::NAMES[index]).expect("its own name"),
    })
}

fn any_workers() -> impl Strategy<Value = Vec<Slots>> {
    proptest::collection::vec((0..12u32, 0..12u64), 0..6).prop_map(|sizes| {
        sizes.into_iter().enumerate().map(|(i, (cores, gib))| worker(&format!("w{i}"), cores, gib)).collect()
    })
}

fn any_demands() -> impl Strategy<Value = Vec<Demand>> {
    let one = (proptest::option::of(1..6u32), proptest::option::of(1..5u32), 1..5u64, proptest::option::of(1..20u32));
    proptest::collection::vec(one, 0..5).prop_map(|demands| {
        let build = |(index, (executors, cores, gib, cores_max)): (usize, (_, _, u64, _))| Demand {
            application: ApplicationId::new(format!("app-{index}")),
            executors,
            executor_cores: cores,
            executor_memory_bytes: gib * GIB,
            cores_max,
        };
        demands.into_iter().enumerate().map(build).collect()
    })
}

proptest! {
    #[test]
    fn no_worker_gives_more_than_it_has(workers in any_workers(), demands in any_demands(), placement in any_placement()) {
        let allocation = allocate(&demands, &workers, &[], placement);
        for slots in &workers {
            let on: Vec<_> = allocation.grants.iter().filter(|grant| grant.worker == slots.worker).collect();
            prop_assert!(on.iter().map(|grant| grant.cores).sum::<u32>() <= slots.cores);
            prop_assert!(on.iter().map(|grant| grant.memory_bytes).sum::<u64>() <= slots.memory_bytes);
        }
    }

    #[test]
    fn no_application_gets_more_than_it_asked_for(workers in any_workers(), demands in any_demands(), placement in any_placement()) {
        let allocation = allocate(&demands, &workers, &[], placement);
        for demand in &demands {
            let own: Vec<_> = allocation.grants.iter().filter(|grant| grant.application == demand.application).collect();
            if let Some(wanted) = executors_wanted(demand) {
                prop_assert!(own.len() <= wanted as usize);
                prop_assert!(own.len() == wanted as usize || allocation.waiting.contains_key(&demand.application));
            }
            if let Some(max) = demand.cores_max {
                prop_assert!(own.iter().map(|grant| grant.cores).sum::<u32>() <= max);
            }
            for grant in own {
                prop_assert!(grant.cores > 0);
                prop_assert_eq!(grant.memory_bytes, demand.executor_memory_bytes);
                if let Some(cores) = demand.executor_cores {
                    prop_assert_eq!(grant.cores, cores);
                }
            }
        }
    }

    #[test]
    fn at_rest_nothing_changes(workers in any_workers(), demands in any_demands(), placement in any_placement()) {
        let first = allocate(&demands, &workers, &[], placement);
        let again = allocate(&demands, &workers, &leases_of(&first.grants), placement);
        prop_assert_eq!(again.grants, vec![]);
        prop_assert_eq!(again.waiting.keys().collect::<Vec<_>>(), first.waiting.keys().collect::<Vec<_>>());
    }

    #[test]
    fn a_lost_executor_moves_no_other(workers in any_workers(), demands in any_demands(), placement in any_placement(), pick in any::<prop::sample::Index>()) {
        let first = allocate(&demands, &workers, &[], placement);
        prop_assume!(!first.grants.is_empty());
        let mut leases = leases_of(&first.grants);
        let lost = leases.remove(pick.index(leases.len()));
        let after = allocate(&demands, &workers, &leases, placement);
        // Its slots are free again, so its application has as many executors as before, unless one ahead of it took
        // them.
        let regained = after.grants.iter().any(|grant| grant.application == lost.application);
        let taken_by_earlier = after.grants.iter().any(|grant| grant.application < lost.application);
        prop_assert!(regained || taken_by_earlier);
    }

    #[test]
    fn an_application_waits_only_for_what_no_worker_has_free(workers in any_workers(), demands in any_demands(), placement in any_placement()) {
        let allocation = allocate(&demands, &workers, &[], placement);
        for (application, shortfall) in &allocation.waiting {
            let demand = demands.iter().find(|demand| demand.application == *application).expect("its demand");
            // Zero executors fit under a `cores_max` below one executor's size: that is no wait for workers.
            prop_assert!(executors_wanted(demand) != Some(0));
            for slots in &workers {
                let on: Vec<_> = allocation.grants.iter().filter(|grant| grant.worker == slots.worker).collect();
                let cores = slots.cores - on.iter().map(|grant| grant.cores).sum::<u32>();
                let memory = slots.memory_bytes - on.iter().map(|grant| grant.memory_bytes).sum::<u64>();
                prop_assert!(cores < shortfall.cores.unwrap_or(1) || memory < shortfall.memory_bytes);
            }
        }
    }
}
