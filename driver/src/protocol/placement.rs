//! Who does what: shards and splits to executors, shared out by cores, moving as little as can be.

use std::collections::BTreeMap;

/// An executor to place on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub executor: String,
    pub cores: u32,
}

/// Gives each item to an executor. Each executor's count follows its share of the cores within one item; an item stays
/// where `previous` has it while that executor is there and not over its share. The same input gives the same output,
/// and an output given back as `previous` changes nothing.
pub fn assign<K: Ord + Clone>(items: &[K], slots: &[Slot], previous: &BTreeMap<K, String>) -> BTreeMap<K, String> {
    if slots.is_empty() {
        return BTreeMap::new();
    }
    let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
    for item in items {
        if let Some(executor) = previous.get(item) {
            *kept.entry(executor).or_default() += 1;
        }
    }
    let mut left = quotas(items.len(), slots, &kept);
    let mut placed = BTreeMap::new();
    let mut homeless = Vec::new();
    for item in items {
        match previous.get(item).and_then(|executor| left.get_mut(executor.as_str()).map(|left| (executor, left))) {
            Some((executor, left)) if *left > 0 => {
                *left -= 1;
                placed.insert(item.clone(), executor.clone());
            }
            _ => homeless.push(item),
        }
    }
    for item in homeless {
        let (executor, left) =
            left.iter_mut().max_by(|(a_id, a), (b_id, b)| a.cmp(b).then(b_id.cmp(a_id))).expect("there are executors");
        debug_assert!(*left > 0, "quotas add up to the items");
        *left = left.saturating_sub(1);
        placed.insert(item.clone(), executor.to_string());
    }
    placed
}

/// How many items each executor gets: its share by cores, rounded so that all are given out. Of equal fractions the one
/// that was rounded up before is again, then the smaller name.
fn quotas<'a>(items: usize, slots: &'a [Slot], kept: &BTreeMap<&str, usize>) -> BTreeMap<&'a str, usize> {
    let cores: u64 = slots.iter().map(|slot| u64::from(slot.cores.max(1))).sum();
    let mut quotas = BTreeMap::new();
    let mut fractions = Vec::new();
    let mut given = 0;
    for slot in slots {
        let share = items as u64 * u64::from(slot.cores.max(1));
        let whole = usize::try_from(share / cores).expect("no more than the items");
        given += whole;
        quotas.insert(slot.executor.as_str(), whole);
        let keeps = kept.get(slot.executor.as_str()).copied().unwrap_or(0);
        let was_rounded_up = keeps > whole;
        fractions.push((std::cmp::Reverse(share % cores), std::cmp::Reverse(was_rounded_up), slot.executor.as_str()));
    }
    fractions.sort_unstable();
    for (_, _, executor) in fractions.iter().take(items - given) {
        *quotas.get_mut(executor).expect("every slot has a quota") += 1;
    }
    quotas
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slots(cores: &[u32]) -> Vec<Slot> {
        cores.iter().enumerate().map(|(index, cores)| Slot { executor: index.to_string(), cores: *cores }).collect()
    }

    fn count(placed: &BTreeMap<u32, String>, executor: &str) -> usize {
        placed.values().filter(|id| *id == executor).count()
    }

    #[test]
    fn shares_follow_cores() {
        let items: Vec<u32> = (0..6).collect();
        let placed = assign(&items, &slots(&[4, 2]), &BTreeMap::new());
        assert_eq!((count(&placed, "0"), count(&placed, "1")), (4, 2));
        assert!(assign(&items, &[], &BTreeMap::new()).is_empty());
    }

    #[test]
    fn a_lost_executor_moves_only_its_own() {
        let items: Vec<u32> = (0..9).collect();
        let before = assign(&items, &slots(&[1, 1, 1]), &BTreeMap::new());
        let after = assign(&items, &slots(&[1, 1]), &before);
        for item in &items {
            assert!(before[item] == "2" || before[item] == after[item]);
        }
    }

    proptest! {
        #[test]
        fn all_items_are_placed_evenly_and_stay(
            items in 0u32..300,
            cores in proptest::collection::vec(1u32..9, 1..8),
            gone in 0usize..8,
        ) {
            let items: Vec<u32> = (0..items).collect();
            let slots = slots(&cores);
            let placed = assign(&items, &slots, &BTreeMap::new());
            prop_assert_eq!(placed.len(), items.len());
            prop_assert_eq!(&assign(&items, &slots, &placed), &placed);
            let total: u32 = cores.iter().sum();
            for slot in &slots {
                let share = items.len() as f64 * f64::from(slot.cores) / f64::from(total);
                prop_assert!((count(&placed, &slot.executor) as f64 - share).abs() < 1.0);
            }
            let left: Vec<Slot> = slots.iter().filter(|slot| slot.executor != gone.to_string()).cloned().collect();
            if !left.is_empty() {
                let again = assign(&items, &left, &placed);
                prop_assert_eq!(again.len(), items.len());
                prop_assert_eq!(&assign(&items, &left, &again), &again);
            }
        }
    }
}
