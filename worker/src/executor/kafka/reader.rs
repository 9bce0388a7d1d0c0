//! Reads ranges `[start, end)` of partitions, each by one thread at a time, sticky from batch to batch.
//!
//! A range is done when the position has reached its end. Control records, aborted and compacted ones never arrive,
//! so the position is told by the next record's offset or by the end-of-partition event. Records fetched beyond the
//! end stay queued for the next batch.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;

use super::client::{ClientLimits, Context, connect};
use super::columns::{ColumnsBuilder, UnknownColumn};
use super::native::{NativeError, PartitionQueue};

/// One wait for records; after it cancellation and the client's errors are looked at.
const WAIT_SLICE: Duration = Duration::from_millis(50);
/// How long all brokers may be away before the batch is given back as not available.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(3);
/// Without a record for so long, though brokers answer, the read fails: Spark's `kafkaConsumer.pollTimeoutMs`.
const POLL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(120);
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
    /// Offsets that are gone end the query.
    pub fail_on_data_loss: bool,
    /// Longest time without a record; zero: the default.
    pub poll_timeout: Duration,
    /// Bytes that all the partitions' queues may hold.
    pub queue_bytes: u64,
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
    idle: HashMap<(String, i32), Sticky>,
}

#[derive(Clone)]
struct Connected {
    client: Arc<BaseConsumer<Context>>,
    partitions: usize,
}

/// A partition's queue between batches.
struct Sticky {
    queue: PartitionQueue,
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
        let reader =
            Self { settings, schema, servers, state: Mutex::new(State { client: None, idle: HashMap::new() }) };
        reader.make_room(&mut reader.state.lock(), PARTITIONS_AT_START)?;
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
            if !state.idle.contains_key(&key) {
                state.idle.insert(key, self.start(&client, range)?);
            }
        }
        Ok(())
    }

    /// More partitions than the client was made for mean a new client with smaller queues.
    fn make_room(&self, state: &mut State, partitions: usize) -> Result<(), KafkaError> {
        if state.client.as_ref().is_some_and(|connected| connected.partitions >= partitions) {
            return Ok(());
        }
        let partitions = partitions.next_power_of_two().max(PARTITIONS_AT_START);
        state.idle.clear();
        let limits = ClientLimits { queue_bytes: self.settings.queue_bytes, partitions };
        let client = connect(&self.settings.options, limits).map_err(|error| self.invalid(error))?;
        state.client = Some(Connected { client, partitions });
        Ok(())
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
        let (client, mut sticky) = self.take(range)?;
        let mut reading = Reading { reader: self, client: &client, range, counts: &mut counts };
        reading.run(&mut sticky, cancelled, each)?;
        // Not reached after an error: a queue in doubt is dropped, and the next attempt starts afresh.
        sticky.used = Instant::now();
        let key = (range.topic.clone(), range.partition);
        let mut state = self.state.lock();
        if state.client.as_ref().is_some_and(|connected| Arc::ptr_eq(&connected.client, &client)) {
            state.idle.insert(key, sticky);
        }
        Ok(counts)
    }

    fn take(&self, range: &Range) -> Result<(Arc<BaseConsumer<Context>>, Sticky), KafkaError> {
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
            if sticky.queue.seek(range.start, REQUEST_TIMEOUT).is_ok() {
                sticky.position = range.start;
                return Ok((client, sticky));
            }
            // The queue is in a state that cannot seek: stop it and start anew.
        }
        let sticky = self.start(&client, range)?;
        Ok((client, sticky))
    }

    fn start(&self, client: &Arc<BaseConsumer<Context>>, range: &Range) -> Result<Sticky, KafkaError> {
        let Range { topic, partition, start, .. } = range;
        let queue =
            PartitionQueue::start(client.clone(), topic, *partition, *start).map_err(|error| self.invalid(error))?;
        let columns = ColumnsBuilder::new(self.schema.clone(), topic, *partition)?;
        Ok(Sticky { queue, columns, position: *start, used: Instant::now() })
    }

    fn unavailable(&self, reason: impl std::fmt::Display) -> KafkaError {
        KafkaError::Unavailable { servers: self.servers.clone(), reason: reason.to_string() }
    }

    fn invalid(&self, reason: impl std::fmt::Display) -> KafkaError {
        KafkaError::Invalid { servers: self.servers.clone(), reason: reason.to_string() }
    }
}

/// One read of one range.
struct Reading<'a> {
    reader: &'a KafkaReader,
    client: &'a BaseConsumer<Context>,
    range: &'a Range,
    counts: &'a mut RangeCounts,
}

impl Reading<'_> {
    fn run<E>(
        &mut self,
        sticky: &mut Sticky,
        cancelled: &dyn Fn() -> bool,
        each: &mut dyn FnMut(RecordBatch) -> Result<(), E>,
    ) -> Result<(), KafkaError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut last_progress = Instant::now();
        while sticky.position < self.range.end {
            if cancelled() {
                return Err(KafkaError::Cancelled);
            }
            if sticky.queue.fill(WAIT_SLICE) == 0 {
                // Serves the client's errors, which tell why nothing comes.
                while self.client.poll(Duration::ZERO).is_some() {}
                self.check_patience(last_progress)?;
                continue;
            }
            let before = sticky.position;
            self.drain(sticky, each)?;
            if sticky.position > before {
                last_progress = Instant::now();
                self.client.client().context().well();
            }
        }
        hand_over(&mut sticky.columns, each)
    }

    /// Takes what is held until the range or the batch is full.
    fn drain<E>(
        &mut self,
        sticky: &mut Sticky,
        each: &mut dyn FnMut(RecordBatch) -> Result<(), E>,
    ) -> Result<(), KafkaError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let Sticky { queue, columns, position, .. } = sticky;
        let (mut rows, mut bytes) = (0, 0);
        while let Some(record) = queue.peek() {
            if let Some(code) = record.error() {
                let (offset, text) = (record.offset(), record.error_text());
                if code == RDKafkaErrorCode::PartitionEOF {
                    *position = (*position).max(offset.min(self.range.end));
                    if offset > self.range.end {
                        // Stays queued: it tells the next batch that nothing comes before the partition's end.
                        break;
                    }
                    queue.advance();
                    if *position >= self.range.end {
                        break;
                    }
                    continue;
                }
                queue.advance();
                self.counts.rows += rows;
                self.counts.bytes += bytes;
                return self.handle(code, text, queue, position);
            }
            let offset = record.offset();
            if offset >= self.range.end {
                // Stays queued: it is the next batch's first record. What lay between never comes.
                *position = self.range.end;
                break;
            }
            if offset >= *position {
                bytes += columns.push(&record) as u64;
                rows += 1;
                *position = offset + 1;
            }
            queue.advance();
            if columns.is_full() {
                hand_over(columns, each)?;
            }
            if *position >= self.range.end {
                break;
            }
        }
        self.counts.rows += rows;
        self.counts.bytes += bytes;
        Ok(())
    }

    fn handle(
        &mut self,
        code: RDKafkaErrorCode,
        text: String,
        queue: &mut PartitionQueue,
        position: &mut i64,
    ) -> Result<(), KafkaError> {
        match code {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                self.offsets_gone(queue, position)
            }
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition => {
                let Range { topic, partition, .. } = self.range;
                Err(self.reader.unavailable(format!("`{topic}-{partition}` is not there: {text}")))
            }
            RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed => {
                Err(self.reader.invalid(text))
            }
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL => Err(self.reader.invalid(text)),
            _ => Err(self.reader.unavailable(text)),
        }
    }

    /// The position is outside of what the partition holds: as Spark, an error, or a count of what is lost.
    fn offsets_gone(&mut self, queue: &mut PartitionQueue, position: &mut i64) -> Result<(), KafkaError> {
        let Range { topic, partition, end, .. } = self.range;
        let watermarks = self.client.fetch_watermarks(topic, *partition, REQUEST_TIMEOUT);
        let (low, high) = watermarks.map_err(|error| self.reader.unavailable(error))?;
        let resume = if low > *position { low.min(*end) } else { *end };
        if low <= *position && *position <= high {
            // There again, perhaps after a change of leader: read on.
            return self.seek(queue, *position);
        }
        let loss = DataLoss { topic: topic.clone(), partition: *partition, from: *position, to: resume };
        if self.reader.settings.fail_on_data_loss {
            return Err(KafkaError::DataLoss(loss));
        }
        tracing::warn!(topic, partition, from = loss.from, to = loss.to, "kafka offsets lost");
        self.counts.lost.push(loss);
        *position = resume;
        if resume < *end {
            return self.seek(queue, resume);
        }
        Ok(())
    }

    fn seek(&self, queue: &mut PartitionQueue, offset: i64) -> Result<(), KafkaError> {
        queue.seek(offset, REQUEST_TIMEOUT).map_err(|error: NativeError| self.reader.unavailable(error))
    }

    fn check_patience(&self, last_progress: Instant) -> Result<(), KafkaError> {
        if let Some(trouble) = self.client.client().context().trouble() {
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
