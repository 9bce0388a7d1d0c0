//! Reads ranges `[start, end)` of partitions, each by one thread at a time, sticky from batch to batch.
//!
//! A range is done when the position has reached its end. Control records, aborted and compacted ones never arrive,
//! so the position is told by the next record's offset or by the end-of-partition event. Records fetched beyond the
//! end stay queued for the next batch.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::choice::{Chosen, choose};
use super::client::ClientLimits;
use super::columns::{ColumnsBuilder, UnknownColumn};
use super::partition::{Client, Drain, PartitionReader, Stop};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

/// One wait for records; after it cancellation and the client's errors are looked at.
const WAIT_SLICE: Duration = Duration::from_millis(50);
/// How long all brokers may be away before the batch is given back as not available.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(3);
/// Without a record for so long, though brokers answer, the read fails: Spark's `kafkaConsumer.pollTimeoutMs`.
const POLL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(120);
/// Without a record for so long a look at the partition's end tells whether there will be one.
const LOOK_AT_END_AFTER: Duration = Duration::from_secs(5);
/// Asking a broker for watermarks or a seek.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Partitions the first client is made for.
const PARTITIONS_AT_START: usize = 4;
/// A partition not read for so long is stopped.
const IDLE_AFTER: Duration = Duration::from_secs(60);

/// Why a range could not be read.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// The brokers cannot be reached, or do not answer; trying again may help.
    #[error("cannot reach Kafka at `{servers}`: {reason}")]
    Unavailable { servers: String, reason: String },
    /// Offsets of the batch are no longer in the topic and `failOnDataLoss` is true.
    #[error("{0}")]
    DataLoss(DataLoss),
    /// The client refuses the query's settings or the partition.
    #[error("the Kafka source of `{servers}` cannot be read: {reason}")]
    Invalid { servers: String, reason: String },
    /// The plan asks for a column that Kafka records do not have.
    #[error(transparent)]
    Column(#[from] UnknownColumn),
    /// Records are not what was written.
    #[error("records of `{topic}-{partition}` from offset {offset} on cannot be read: {reason}")]
    Corrupt { topic: String, partition: i32, offset: i64, reason: String },
    /// Records could not be put into columns.
    #[error("cannot build columns of Kafka records")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The attempt was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The consumer of the batches failed.
    #[error("{0}")]
    Sink(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Offsets that a batch named and the topic does not have any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataLoss {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// First offset that is gone.
    pub from: i64,
    /// First offset after those that are gone.
    pub to: i64,
}

impl std::fmt::Display for DataLoss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { topic, partition, from, to } = self;
        write!(
            f,
            "offsets [{from}, {to}) of `{topic}-{partition}` are gone: they were aged out by Kafka or the topic was deleted and made \
             again; set the source option `failOnDataLoss` to `false` to go on without them"
        )
    }
}

/// A part of a partition: offsets `[start, end)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub start: i64,
    /// The offset after the last.
    pub end: i64,
}

/// What was read of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeCounts {
    /// Records.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Offsets that were gone, under `failOnDataLoss=false`.
    pub lost: Vec<DataLoss>,
}

/// How a source is to be read.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// librdkafka's names and values.
    pub options: BTreeMap<String, String>,
    /// librdkafka reads, whatever the options are.
    pub librdkafka_only: bool,
    /// Offsets that are gone end the query.
    pub fail_on_data_loss: bool,
    /// Longest time without a record; zero: the default.
    pub poll_timeout: Duration,
    /// Bytes that all the partitions' queues may hold.
    pub queue_bytes: u64,
    /// Where connections are served.
    pub runtime: tokio::runtime::Handle,
}

/// One query's reader of one Kafka source.
pub struct KafkaReader {
    settings: KafkaSettings,
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
struct Sticky {
    source: Box<dyn PartitionReader>,
    columns: ColumnsBuilder,
    /// The offset that the next record would have, were none missing.
    position: i64,
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
        let mut state = self.state.lock();
        state.idle.retain(|_, sticky| sticky.used.elapsed() < IDLE_AFTER);
        self.make_room(&mut state, ranges.len())?;
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
        // Not reached after an error: a queue in doubt is dropped, and the next attempt starts afresh.
        sticky.used = Instant::now();
        let key = (range.topic.clone(), range.partition);
        let mut state = self.state.lock();
        if state.client.as_ref().is_some_and(|connected| is_same(&connected.client, &client)) {
            state.idle.insert(key, sticky);
        }
        Ok(counts)
    }

    fn take(&self, range: &Range) -> Result<(Arc<dyn Client>, Sticky), KafkaError> {
        let mut state = self.state.lock();
        let Some(connected) = state.client.clone() else {
            return Err(self.unavailable("the client is gone"));
        };
        let client = connected.client;
        if let Some(mut sticky) = state.idle.remove(&(range.topic.clone(), range.partition)) {
            drop(state);
            if sticky.position == range.start {
                return Ok((client, sticky));
            }
            if sticky.source.seek(range.start, REQUEST_TIMEOUT).is_ok() {
                sticky.position = range.start;
                return Ok((client, sticky));
            }
            // The queue is in a state that cannot seek: stop it and start anew.
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

    fn unavailable(&self, reason: impl std::fmt::Display) -> KafkaError {
        KafkaError::Unavailable { servers: self.servers.clone(), reason: reason.to_string() }
    }

    fn invalid(&self, reason: impl std::fmt::Display) -> KafkaError {
        KafkaError::Invalid { servers: self.servers.clone(), reason: reason.to_string() }
    }
}

fn is_same(one: &Arc<dyn Client>, other: &Arc<dyn Client>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

/// Why a read ended before its range.
enum Interrupted {
    /// For good.
    Failed(KafkaError),
    /// Only librdkafka can go on.
    Unspoken(String),
}

impl From<KafkaError> for Interrupted {
    fn from(error: KafkaError) -> Self {
        Self::Failed(error)
    }
}

/// One read of one range.
struct Reading<'a> {
    reader: &'a KafkaReader,
    client: &'a dyn Client,
    range: &'a Range,
    counts: &'a mut RangeCounts,
}

impl Reading<'_> {
    fn run<E>(
        &mut self,
        sticky: &mut Sticky,
        cancelled: &dyn Fn() -> bool,
        each: &mut dyn FnMut(RecordBatch) -> Result<(), E>,
    ) -> Result<(), Interrupted>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut last_progress = Instant::now();
        let mut last_look = last_progress;
        while sticky.position < self.range.end {
            if cancelled() {
                return Err(KafkaError::Cancelled.into());
            }
            if !sticky.source.wait(WAIT_SLICE) {
                self.check_patience(last_progress)?;
                if last_look.elapsed() > LOOK_AT_END_AFTER {
                    last_look = Instant::now();
                    self.look_at_end(&mut sticky.position)?;
                }
                continue;
            }
            let before = sticky.position;
            let mut drain = Drain::new(before, self.range.end, &mut sticky.columns);
            let result = sticky.source.drain(&mut drain);
            self.counts.rows += drain.rows;
            self.counts.bytes += drain.bytes;
            sticky.position = drain.position;
            if let Err(stop) = result {
                self.handle(stop, sticky)?;
            }
            if sticky.columns.is_full() {
                hand_over(&mut sticky.columns, each)?;
            }
            if sticky.position > before {
                last_progress = Instant::now();
                last_look = last_progress;
                self.client.well();
            }
        }
        Ok(hand_over(&mut sticky.columns, each)?)
    }

    fn handle(&mut self, stop: Stop, sticky: &mut Sticky) -> Result<(), Interrupted> {
        let Sticky { source, position, .. } = sticky;
        match stop {
            Stop::OffsetGone => Ok(self.offsets_gone(source.as_mut(), position)?),
            Stop::PartitionGone(text) => Ok(self.partition_gone(position, &text)?),
            Stop::Refused(text) => Err(self.reader.invalid(text).into()),
            Stop::Unavailable(text) => Err(self.reader.unavailable(text).into()),
            Stop::Corrupt { offset, reason } => {
                let Range { topic, partition, .. } = self.range;
                Err(KafkaError::Corrupt { topic: topic.clone(), partition: *partition, offset, reason }.into())
            }
            Stop::Unsupported(reason) => Err(Interrupted::Unspoken(reason)),
        }
    }

    /// The position is outside of what the partition holds: as Spark, an error, or a count of what is lost.
    fn offsets_gone(&mut self, source: &mut dyn PartitionReader, position: &mut i64) -> Result<(), KafkaError> {
        let Range { topic, partition, end, .. } = self.range;
        let watermarks = self.client.watermarks(topic, *partition, REQUEST_TIMEOUT);
        let (low, high) = watermarks.map_err(|error| self.reader.unavailable(error))?;
        let resume = if low > *position { low.min(*end) } else { *end };
        if low <= *position && *position <= high {
            // There again, perhaps after a change of leader: read on.
            return self.restart(source, *position);
        }
        self.lose(position, resume)?;
        if resume < *end {
            return self.restart(source, resume);
        }
        Ok(())
    }

    /// The brokers deny the partition. They may only not know it yet, so they are asked before its records count as lost.
    fn partition_gone(&mut self, position: &mut i64, text: &str) -> Result<(), KafkaError> {
        let Range { topic, partition, end, .. } = self.range;
        let is_there = self.client.has_partition(topic, *partition, REQUEST_TIMEOUT);
        let is_there = is_there.map_err(|error| self.reader.unavailable(error))?;
        if is_there {
            return Err(self.reader.unavailable(format!("`{topic}-{partition}` is not there: {text}")));
        }
        self.lose(position, *end)
    }

    /// A range may end beyond its partition, when the topic was deleted, made anew or cut off since the batch was planned:
    /// then no record will ever come. Brokers that do not answer are a matter of patience.
    fn look_at_end(&mut self, position: &mut i64) -> Result<(), KafkaError> {
        let Range { topic, partition, end, .. } = self.range;
        let will_come = match self.client.watermarks(topic, *partition, REQUEST_TIMEOUT) {
            Ok((_, high)) => high >= *end || *position < high,
            Err(_) => self.client.has_partition(topic, *partition, REQUEST_TIMEOUT).unwrap_or(true),
        };
        if will_come { Ok(()) } else { self.lose(position, *end) }
    }

    /// Goes on at `to` without the offsets before it, where the source's options allow it.
    fn lose(&mut self, position: &mut i64, to: i64) -> Result<(), KafkaError> {
        let Range { topic, partition, .. } = self.range;
        let loss = DataLoss { topic: topic.clone(), partition: *partition, from: *position, to };
        if self.reader.settings.fail_on_data_loss {
            return Err(KafkaError::DataLoss(loss));
        }
        // The driver tells the user.
        tracing::info!(topic, partition, from = loss.from, to = loss.to, "kafka offsets lost");
        self.counts.lost.push(loss);
        *position = to;
        Ok(())
    }

    fn restart(&self, source: &mut dyn PartitionReader, offset: i64) -> Result<(), KafkaError> {
        source.restart(offset).map_err(|error| self.reader.unavailable(error))
    }

    fn check_patience(&self, last_progress: Instant) -> Result<(), KafkaError> {
        if let Some(trouble) = self.client.trouble() {
            if trouble.refused {
                return Err(self.reader.invalid(trouble.text));
            }
            if trouble.all_down && trouble.since.elapsed().min(last_progress.elapsed()) > UNREACHABLE_AFTER {
                return Err(self.reader.unavailable(trouble.text));
            }
        }
        let patience = match self.reader.settings.poll_timeout {
            Duration::ZERO => POLL_TIMEOUT_DEFAULT,
            configured => configured,
        };
        if last_progress.elapsed() > patience {
            let Range { topic, partition, .. } = self.range;
            let waited = patience.as_secs();
            return Err(self.reader.unavailable(format!("no record of `{topic}-{partition}` came in {waited} s")));
        }
        Ok(())
    }
}

fn hand_over<E>(
    columns: &mut ColumnsBuilder,
    each: &mut dyn FnMut(RecordBatch) -> Result<(), E>,
) -> Result<(), KafkaError>
where
    E: std::error::Error + Send + Sync + 'static,
{
    if columns.rows() == 0 {
        return Ok(());
    }
    let batch = columns.finish()?;
    each(batch).map_err(|error| KafkaError::Sink(Box::new(error)))
}
