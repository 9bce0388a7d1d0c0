//! One read of one range: waits, drains, and decides what lost offsets and silent brokers mean.
//!
//! A range is done when the position has reached its end. Control records, aborted and compacted ones never arrive,
//! so the position is told by the next record's offset or by the end-of-partition event.

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use super::columns::ColumnsBuilder;
use super::error::KafkaError;
use super::partition::{Client, Drain, PartitionReader, Stop};
use super::range::{DataLoss, Range, RangeCounts};
use super::reader::{KafkaReader, Sticky};

/// One wait for records; after it cancellation and the client's errors are looked at.
const WAIT_SLICE: Duration = Duration::from_millis(50);
/// How long all brokers may be away, or refuse this client, before the batch is given back.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(3);
/// Without a record for so long, though brokers answer, the read fails: Spark's `kafkaConsumer.pollTimeoutMs`.
const POLL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(120);
/// Without a record for so long a look at the partition's end tells whether there will be one.
const LOOK_AT_END_AFTER: Duration = Duration::from_secs(5);
/// Asking brokers for watermarks or partitions.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a read ended before its range.
pub(super) enum Interrupted {
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
pub(super) struct Reading<'a> {
    pub reader: &'a KafkaReader,
    pub client: &'a dyn Client,
    pub range: &'a Range,
    /// What was read so far.
    pub counts: &'a mut RangeCounts,
}

impl Reading<'_> {
    /// Reads from the sticky's position to the range's end. What was read before an interruption counts.
    pub fn run<E>(
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
            let before = sticky.position;
            if sticky.source.wait(WAIT_SLICE) {
                self.drain(sticky)?;
                if sticky.columns.is_full() {
                    hand_over(&mut sticky.columns, each)?;
                }
            }
            if sticky.position > before {
                last_progress = Instant::now();
                last_look = last_progress;
                self.client.well();
                continue;
            }
            // Nothing came, or a stop whose handling changed nothing: neither may last.
            self.check_patience(last_progress)?;
            if last_look.elapsed() > LOOK_AT_END_AFTER {
                last_look = Instant::now();
                self.look_at_end(&mut sticky.position)?;
            }
        }
        Ok(hand_over(&mut sticky.columns, each)?)
    }

    fn drain(&mut self, sticky: &mut Sticky) -> Result<(), Interrupted> {
        let mut drain = Drain::new(sticky.position, self.range.end, &mut sticky.columns);
        let result = sticky.source.drain(&mut drain);
        self.counts.rows += drain.rows;
        self.counts.bytes += drain.bytes;
        sticky.position = drain.position;
        result.or_else(|stop| self.handle(stop, sticky))
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
            return self.go_to(source, *position);
        }
        self.lose(position, resume)?;
        if resume < *end {
            return self.go_to(source, resume);
        }
        Ok(())
    }

    /// The brokers deny the partition. They may only not know it yet, so they are asked before its records count as
    /// lost.
    fn partition_gone(&mut self, position: &mut i64, text: &str) -> Result<(), KafkaError> {
        let Range { topic, partition, end, .. } = self.range;
        let is_there = self.client.has_partition(topic, *partition, REQUEST_TIMEOUT);
        let is_there = is_there.map_err(|error| self.reader.unavailable(error))?;
        if is_there {
            return Err(self.reader.unavailable(format!("`{topic}-{partition}` is not there: {text}")));
        }
        self.lose(position, *end)
    }

    /// A range may end beyond its partition, when the topic was deleted, made anew or cut off since the batch was
    /// planned: then no record will ever come. Brokers that do not answer are a matter of patience.
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

    fn go_to(&self, source: &mut dyn PartitionReader, offset: i64) -> Result<(), KafkaError> {
        source.go_to(offset).map_err(|error| self.reader.unavailable(error))
    }

    fn check_patience(&self, last_progress: Instant) -> Result<(), KafkaError> {
        let waited = last_progress.elapsed();
        let trouble = self.client.trouble();
        // Trouble of long ago, as of a partition that is not read any more, says nothing of a read that has just begun.
        let lasting = trouble.as_ref().filter(|trouble| trouble.since.elapsed().min(waited) > UNREACHABLE_AFTER);
        if let Some(trouble) = lasting {
            if trouble.refused {
                return Err(self.reader.invalid(&trouble.text));
            }
            if trouble.all_down {
                return Err(self.reader.unavailable(&trouble.text));
            }
        }
        let patience = match self.reader.settings.poll_timeout {
            Duration::ZERO => POLL_TIMEOUT_DEFAULT,
            configured => configured,
        };
        if waited > patience {
            let Range { topic, partition, .. } = self.range;
            let known = trouble.map(|trouble| format!(": {}", trouble.text)).unwrap_or_default();
            let seconds = patience.as_secs();
            return Err(self
                .reader
                .unavailable(format!("no record of `{topic}-{partition}` came in {seconds} s{known}")));
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
