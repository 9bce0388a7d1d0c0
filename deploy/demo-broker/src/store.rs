//! All topics in memory, under one bound of bytes; waiting readers are told of new records.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::bail;
use bytes::Bytes;
use tokio::sync::watch;

use crate::log::{AppendError, Log};

/// Partitions of a topic are bounded, so that a wrong number does not fill the memory.
const PARTITIONS_MAX: i32 = 1_000;

/// The broker's topics.
#[derive(Debug)]
pub struct Store {
    topics: Mutex<Topics>,
    bytes_max: u64,
    appended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Topics {
    by_name: BTreeMap<String, Vec<Log>>,
    bytes: u64,
    next_producer: i64,
}

impl Store {
    /// An empty store that keeps about so many bytes of records.
    pub fn new(bytes_max: u64) -> Self {
        Store { topics: Mutex::default(), bytes_max, appended: watch::Sender::new(0) }
    }

    /// Creates a topic. Fails when the name is taken or unusable, or the number of partitions is out of range.
    pub fn create_topic(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if name.is_empty() || name.len() > 249 || !name.chars().all(allowed) {
            bail!("`{name}` is no topic name");
        }
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            bail!("a topic has 1 to {PARTITIONS_MAX} partitions, not {partitions}");
        }
        let mut topics = self.lock();
        if topics.by_name.contains_key(name) {
            bail!("topic `{name}` exists");
        }
        topics.by_name.insert(name.to_owned(), (0..partitions).map(|_| Log::default()).collect());
        Ok(())
    }

    /// Removes a topic; whether it was there.
    pub fn delete_topic(&self, name: &str) -> bool {
        let mut topics = self.lock();
        let Some(partitions) = topics.by_name.remove(name) else {
            return false;
        };
        topics.bytes -= partitions.iter().map(Log::bytes).sum::<u64>();
        true
    }

    /// Each topic's name and number of partitions.
    pub fn topics(&self) -> Vec<(String, i32)> {
        self.lock().by_name.iter().map(|(name, logs)| (name.clone(), logs.len() as i32)).collect()
    }

    /// A topic's number of partitions.
    pub fn partitions(&self, name: &str) -> Option<i32> {
        self.lock().by_name.get(name).map(|logs| logs.len() as i32)
    }

    /// Appends batches to a partition; `None` where there is none such. Returns the first offset and the log's start.
    pub fn append(&self, name: &str, partition: i32, records: Bytes) -> Option<Result<(i64, i64), AppendError>> {
        let mut topics = self.lock();
        let log = topics.log_mut(name, partition)?;
        let before = log.bytes();
        let offset = log.append(records);
        let added = log.bytes() - before;
        topics.bytes += added;
        topics.shrink_to(self.bytes_max);
        let start = topics.log_mut(name, partition)?.bounds().start;
        drop(topics);
        self.appended.send_modify(|count| *count = count.wrapping_add(1));
        Some(offset.map(|offset| (offset, start)))
    }

    /// Looks at a partition; `None` where there is none such.
    pub fn with_log<T>(&self, name: &str, partition: i32, look: impl FnOnce(&Log) -> T) -> Option<T> {
        let mut topics = self.lock();
        topics.log_mut(name, partition).map(|log| look(log))
    }

    /// A producer id that nobody has.
    pub fn next_producer(&self) -> i64 {
        let mut topics = self.lock();
        topics.next_producer += 1;
        topics.next_producer
    }

    /// Changes with each append.
    pub fn appends(&self) -> watch::Receiver<u64> {
        self.appended.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Topics> {
        // A panic elsewhere leaves the topics whole: each change is one step.
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Topics {
    fn log_mut(&mut self, name: &str, partition: i32) -> Option<&mut Log> {
        self.by_name.get_mut(name)?.get_mut(usize::try_from(partition).ok()?)
    }

    /// Forgets the oldest batches of the largest partitions until the bound holds.
    fn shrink_to(&mut self, bytes_max: u64) {
        while self.bytes > bytes_max {
            let largest = self.by_name.values_mut().flatten().max_by_key(|log| log.bytes());
            let freed = largest.map_or(0, Log::forget_oldest);
            if freed == 0 {
                return;
            }
            self.bytes -= freed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::batch;
    use crate::log::Bounds;

    #[test]
    fn memory_stays_within_its_bound() {
        let one = batch(&[1]);
        let store = Store::new(3 * one.len() as u64);
        store.create_topic("logs", 2).expect("created");
        for _ in 0..10 {
            store.append("logs", 0, one.clone()).expect("a partition").expect("appended");
        }
        assert_eq!(store.with_log("logs", 0, Log::bounds), Some(Bounds { start: 7, end: 10 }));
        assert!(store.delete_topic("logs"));
        assert_eq!(store.lock().bytes, 0);
    }

    #[test]
    fn names_and_numbers_are_checked() {
        let store = Store::new(1);
        assert!(store.create_topic("a b", 1).is_err());
        assert!(store.create_topic("", 1).is_err());
        assert!(store.create_topic("a", 0).is_err());
        assert!(store.create_topic("a", 1).is_ok());
        assert!(store.create_topic("a", 1).is_err());
        assert_eq!(store.partitions("b"), None);
        assert!(store.append("a", 1, batch(&[1])).is_none());
    }
}
