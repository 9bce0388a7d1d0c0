//! The worker's books: which executors there are, what they hold, what became of the last ones. No I/O.

use std::collections::{BTreeMap, VecDeque};

use pyrite_common::ids::{ApplicationId, ExecutorId};
use pyrite_proto::master::ExecutorState;

/// Ended executors that stay to be seen, as `spark.worker.ui.retainedExecutors`.
const ENDED_MAX: usize = 1_000;

/// An executor of any application.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub application: ApplicationId,
    pub executor: ExecutorId,
}

/// One executor, running or ended.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub application_name: String,
    pub cores: u32,
    pub memory_bytes: u64,
    pub state: ExecutorState,
    pub message: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    running: BTreeMap<Key, Entry>,
    ended: VecDeque<(Key, Entry)>,
}

impl Ledger {
    /// Enters one that starts. False: it is known, as when an order came twice.
    pub fn open(&mut self, key: Key, entry: Entry) -> bool {
        if self.running.contains_key(&key) || self.ended.iter().any(|(ended, _)| *ended == key) {
            return false;
        }
        self.running.insert(key, entry);
        true
    }

    /// Notes a change. False: it was unknown, or had ended: an end is final.
    pub fn change(&mut self, key: &Key, state: ExecutorState, message: &str) -> bool {
        let Some(entry) = self.running.get_mut(key) else { return false };
        entry.state = state;
        entry.message = message.to_owned();
        if is_ended(state) {
            let entry = self.running.remove(key).expect("it was just found");
            self.ended.push_back((key.clone(), entry));
            if self.ended.len() > ENDED_MAX {
                self.ended.pop_front();
            }
        }
        true
    }

    /// Those that hold cores and memory.
    pub fn running(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.running.iter()
    }

    /// The last ones that ended, oldest first.
    pub fn ended(&self) -> impl Iterator<Item = &(Key, Entry)> {
        self.ended.iter()
    }

    /// Whether nothing runs.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }
}

/// States after which nothing comes.
pub(crate) fn is_ended(state: ExecutorState) -> bool {
    match state {
        ExecutorState::Unspecified | ExecutorState::Launching | ExecutorState::Running => false,
        ExecutorState::Killed | ExecutorState::Failed | ExecutorState::Lost | ExecutorState::Exited => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(executor: &str) -> Key {
        Key { application: "app-1".into(), executor: executor.into() }
    }

    fn entry() -> Entry {
        Entry {
            application_name: String::new(),
            cores: 1,
            memory_bytes: 1,
            state: ExecutorState::Launching,
            message: String::new(),
        }
    }

    #[test]
    fn an_order_that_comes_twice_starts_one_executor() {
        let mut ledger = Ledger::default();
        assert!(ledger.open(key("0"), entry()));
        assert!(!ledger.open(key("0"), entry()));
        ledger.change(&key("0"), ExecutorState::Exited, "done");
        assert!(!ledger.open(key("0"), entry()), "not even after its end");
    }

    #[test]
    fn an_end_is_final() {
        let mut ledger = Ledger::default();
        ledger.open(key("0"), entry());
        assert!(ledger.change(&key("0"), ExecutorState::Killed, "told to"));
        assert!(!ledger.change(&key("0"), ExecutorState::Running, ""));
        assert!(ledger.is_idle());
        assert_eq!(ledger.ended().count(), 1);
    }

    #[test]
    fn the_list_of_ended_ones_is_bounded() {
        let mut ledger = Ledger::default();
        for number in 0..ENDED_MAX + 5 {
            ledger.open(key(&number.to_string()), entry());
            ledger.change(&key(&number.to_string()), ExecutorState::Exited, "");
        }
        assert_eq!(ledger.ended().count(), ENDED_MAX);
        assert_eq!(ledger.ended().next().map(|(key, _)| key.executor.as_str()), Some("5"));
    }
}
