//! librdkafka behind the reader's seam: every security mechanism, every option, message by message.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{ClientLimits, Context, connect};
use super::native::PartitionQueue;
use super::partition::{Client, Drain, PartitionReader, Stop, Trouble};
use super::row::Row;

/// One of librdkafka's clients.
pub(super) struct LibrdkafkaClient {
    client: Arc<BaseConsumer<Context>>,
}

impl LibrdkafkaClient {
    /// Makes the client, which connects in the background. `Err`: it refuses an option.
    pub fn start(options: &BTreeMap<String, String>, limits: ClientLimits) -> Result<Self, KafkaError> {
        Ok(Self { client: connect(options, limits)? })
    }
}

impl Client for LibrdkafkaClient {
    fn start(&self, topic: &str, partition: i32, offset: i64) -> Result<Box<dyn PartitionReader>, String> {
        let queue = PartitionQueue::start(self.client.clone(), topic, partition, offset);
        Ok(Box::new(queue.map_err(|error| error.to_string())?))
    }

    fn watermarks(&self, topic: &str, partition: i32, timeout: Duration) -> Result<(i64, i64), String> {
        self.client.fetch_watermarks(topic, partition, timeout).map_err(|error| error.to_string())
    }

    fn has_partition(&self, topic: &str, partition: i32, timeout: Duration) -> Result<bool, String> {
        let metadata = self.client.fetch_metadata(Some(topic), timeout).map_err(|error| error.to_string())?;
        Ok(metadata.topics().iter().any(|found| {
            let error = found.error().map(RDKafkaErrorCode::from);
            let is_gone =
                matches!(error, Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic));
            !is_gone && (error.is_some() || found.partitions().iter().any(|one| one.id() == partition))
        }))
    }

    fn trouble(&self) -> Option<Trouble> {
        // Serves the client's errors, which tell why nothing comes.
        while self.client.poll(Duration::ZERO).is_some() {}
        self.client.client().context().trouble()
    }

    fn well(&self) {
        self.client.client().context().well();
    }
}

impl PartitionReader for PartitionQueue {
    fn go_to(&mut self, offset: i64) -> Result<(), String> {
        PartitionQueue::go_to(self, offset).map_err(|error| error.to_string())
    }

    fn rest(&mut self) {
        // What it holds are the next range's messages, which librdkafka counts.
    }

    fn wait(&mut self, timeout: Duration) -> bool {
        self.fill(timeout) > 0
    }

    fn drain(&mut self, drain: &mut Drain) -> Result<(), Stop> {
        while !drain.is_over() {
            let Some(record) = self.peek() else { break };
            let offset = record.offset();
            if let Some(code) = record.error() {
                let text = record.error_text();
                if code == RDKafkaErrorCode::PartitionEOF {
                    drain.pass(offset);
                    if offset > drain.end {
                        // Stays queued: it tells the next range that nothing comes before the partition's end.
                        break;
                    }
                    self.advance();
                    continue;
                }
                self.advance();
                return Err(stop(code, text, if offset < 0 { drain.position } else { offset }));
            }
            if offset >= drain.end {
                // Stays queued: it is the next range's first record. What lay between never comes.
                drain.pass(offset);
                break;
            }
            if offset >= drain.position {
                drain.push(&record);
            }
            self.advance();
        }
        Ok(())
    }
}

/// What an error in place of the record at `offset` means.
fn stop(code: RDKafkaErrorCode, text: String, offset: i64) -> Stop {
    match code {
        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => Stop::OffsetGone,
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownPartition
        | RDKafkaErrorCode::UnknownTopicOrPartition => Stop::PartitionGone(text),
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::GroupAuthorizationFailed
        | RDKafkaErrorCode::Authentication
        | RDKafkaErrorCode::SSL => Stop::Refused(text),
        RDKafkaErrorCode::BadMessage
        | RDKafkaErrorCode::BadCompression
        | RDKafkaErrorCode::InvalidMessage
        | RDKafkaErrorCode::InvalidMessageSize => Stop::Corrupt { offset, reason: text },
        _ => Stop::Unavailable(text),
    }
}
