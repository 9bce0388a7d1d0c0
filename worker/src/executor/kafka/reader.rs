//! Reads ranges `[start, end)` of partitions, each by one thread at a time, sticky from batch to batch: records fetched
//! beyond the end stay queued for the next. Keeps the client and the partitions between batches; how one range is read
//! is `reading`'s.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::choice::{Chosen, choose};
use super::client::ClientLimits;
use super::columns::ColumnsBuilder;
use super::error::KafkaError;
use super::partition::{Client, PartitionReader};
use super::range::{Range, RangeCounts};
use super::reading::{Interrupted, Reading};
use super::settings::KafkaSettings;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

/// Partitions the first client is made for.
const PARTITIONS_AT_START: usize = 4;
/// A partition not read for so long is stopped, unless the next batch reads it.
const IDLE_AFTER: Duration = Duration::from_secs(60);

/// One query's reader of one Kafka source.
pub struct KafkaReader {
    pub(super) settings: KafkaSettings,
    schema: SchemaRef,
    servers: String,
    state: Mutex<State>,
}

struct State {
    client: Option<Connected>,
    /// Why librdkafka reads what the other reader began to.
    unspoken: Option<String>,
    idle: HashMap<(String, i32), Sticky>,
}

#[derive(Clone)]
struct Connected {
    client: Arc<dyn Client>,
    partitions: usize,
}

/// A partition between batches.
pub(super) struct Sticky {
    pub source: Box<dyn PartitionReader>,
    pub columns: ColumnsBuilder,
    /// The offset that the next record would have, were none missing.
    pub position: i64,
    used: Instant,
}

impl KafkaReader {
    /// Makes the reader of `schema`'s columns. The client connects in the background.
    pub fn new(settings: KafkaSettings, schema: SchemaRef) -> Result<Self, KafkaError> {
        let servers = settings.options.get("bootstrap.servers").cloned().unwrap_or_default();
        // A wrong column or setting is told at the start, not in the first batch.
        ColumnsBuilder::new(schema.clone(), "", 0)?;
        let state = State { client: None, unspoken: None, idle: HashMap::new() };
        let reader = Self { settings, schema, servers, state: Mutex::new(state) };
        let chosen = reader.make_room(&mut reader.state.lock(), PARTITIONS_AT_START)?;
        if let Some(Chosen { name, reason, .. }) = chosen {
            tracing::info!(reader = name, reason, servers = reader.servers, "kafka reader chosen");
        }
        Ok(reader)
    }

    /// Starts to fetch all of a batch's ranges, so that reading one after another does not wait for each. Never blocks.
    pub fn prepare(&self, ranges: &[Range]) -> Result<(), KafkaError> {
        let wanted: HashSet<(String, i32)> =
            ranges.iter().map(|range| (range.topic.clone(), range.partition)).collect();
        let mut state = self.state.lock();
        state.idle.retain(|key, sticky| wanted.contains(key) || sticky.used.elapsed() < IDLE_AFTER);
        // Those that rest keep what they fetched, and fetch on.
        let resting = state.idle.keys().filter(|key| !wanted.contains(*key)).count();
        self.make_room(&mut state, wanted.len() + resting)?;
        let Some(client) = state.client.as_ref().map(|connected| connected.client.clone()) else { return Ok(()) };
        for range in ranges.iter().filter(|range| range.start < range.end) {
            let key = (range.topic.clone(), range.partition);
            if let Entry::Vacant(place) = state.idle.entry(key) {
                place.insert(self.start(&client, range)?);
            }
        }
        Ok(())
    }

    /// More partitions than the client was made for mean a new client with smaller queues.
    fn make_room(&self, state: &mut State, partitions: usize) -> Result<Option<Chosen>, KafkaError> {
        if state.client.as_ref().is_some_and(|connected| connected.partitions >= partitions) {
            return Ok(None);
        }
        let partitions = partitions.next_power_of_two().max(PARTITIONS_AT_START);
        state.idle.clear();
        let limits = ClientLimits { queue_bytes: self.settings.queue_bytes, partitions };
        let chosen = choose(&self.settings, limits, state.unspoken.as_deref());
        let chosen = chosen.map_err(|error| self.invalid(error))?;
        state.client = Some(Connected { client: chosen.client.clone(), partitions });
        Ok(Some(chosen))
    }

    /// The brokers or the records need librdkafka after all. Returns the client to go on with.
    fn fall_back(&self, from: &Arc<dyn Client>, reason: String) -> Result<Arc<dyn Client>, KafkaError> {
        let mut state = self.state.lock();
        match state.client.clone() {
            // Another thread was first.
            Some(connected) if !is_same(&connected.client, from) => return Ok(connected.client),
            connected => {
                tracing::info!(reader = "librdkafka", reason, servers = self.servers, "kafka reader chosen");
                state.unspoken = Some(reason);
                state.client = None;
                self.make_room(&mut state, connected.map_or(PARTITIONS_AT_START, |connected| connected.partitions))?;
            }
        }
        let client = state.client.as_ref().map(|connected| connected.client.clone());
        client.ok_or_else(|| self.unavailable("the client is gone"))
    }

    /// Whether librdkafka took over from the other reader.
    #[cfg(test)]
    pub(super) fn has_fallen_back(&self) -> bool {
        self.state.lock().unspoken.is_some()
    }

    /// Partitions that share the memory.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.state.lock().client.as_ref().map_or(0, |connected| connected.partitions)
    }

    /// Reads `range` to its end and hands each batch to `each`. Blocks; looks at `cancelled` at least every 50 ms.
    pub fn read<E>(
        &self,
        range: &Range,
        cancelled: &dyn Fn() -> bool,
        each: &mut dyn FnMut(RecordBatch) -> Result<(), E>,
    ) -> Result<RangeCounts, KafkaError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut counts = RangeCounts::default();
        if range.start >= range.end {
            return Ok(counts);
        }
        let (mut client, mut sticky) = self.take(range)?;
        loop {
            let mut reading = Reading { reader: self, client: client.as_ref(), range, counts: &mut counts };
            match reading.run(&mut sticky, cancelled, each) {
                Ok(()) => break,
                Err(Interrupted::Failed(error)) => return Err(error),
                Err(Interrupted::Unspoken(reason)) => {
                    client = self.fall_back(&client, reason)?;
                    sticky.source = self.open(&client, range, sticky.position)?;
                }
            }
        }
        // Not reached after an error: a queue in doubt is dropped, and the next attempt starts afresh. A loss leaves
        // one in doubt too: at an offset that is not there the fetching has stopped.
        if counts.lost.is_empty() {
            self.rest(range, &client, sticky);
        }
        Ok(counts)
    }

    /// Keeps a partition for the next batch, unless another client was made meanwhile.
    fn rest(&self, range: &Range, client: &Arc<dyn Client>, mut sticky: Sticky) {
        sticky.used = Instant::now();
        sticky.source.rest();
        let mut state = self.state.lock();
        if state.client.as_ref().is_some_and(|connected| is_same(&connected.client, client)) {
            state.idle.insert((range.topic.clone(), range.partition), sticky);
        }
    }

    fn take(&self, range: &Range) -> Result<(Arc<dyn Client>, Sticky), KafkaError> {
        let mut state = self.state.lock();
        let Some(connected) = state.client.clone() else {
            return Err(self.unavailable("the client is gone"));
        };
        let client = connected.client;
        if let Some(mut sticky) = state.idle.remove(&(range.topic.clone(), range.partition)) {
            drop(state);
            if sticky.position != range.start {
                sticky.source.go_to(range.start).map_err(|error| self.unavailable(error))?;
                sticky.position = range.start;
            }
            return Ok((client, sticky));
        }
        let sticky = self.start(&client, range)?;
        Ok((client, sticky))
    }

    fn start(&self, client: &Arc<dyn Client>, range: &Range) -> Result<Sticky, KafkaError> {
        let source = self.open(client, range, range.start)?;
        let columns = ColumnsBuilder::new(self.schema.clone(), &range.topic, range.partition)?;
        Ok(Sticky { source, columns, position: range.start, used: Instant::now() })
    }

    fn open(
        &self,
        client: &Arc<dyn Client>,
        range: &Range,
        offset: i64,
    ) -> Result<Box<dyn PartitionReader>, KafkaError> {
        client.start(&range.topic, range.partition, offset).map_err(|error| self.invalid(error))
    }

    pub(super) fn unavailable(&self, reason: impl std::fmt::Display) -> KafkaError {
        KafkaError::Unavailable { servers: self.servers.clone(), reason: reason.to_string() }
    }

    pub(super) fn invalid(&self, reason: impl std::fmt::Display) -> KafkaError {
        KafkaError::Invalid { servers: self.servers.clone(), reason: reason.to_string() }
    }
}

fn is_same(one: &Arc<dyn Client>, other: &Arc<dyn Client>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}
