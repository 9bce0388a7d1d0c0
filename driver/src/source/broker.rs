//! Questions to the brokers of one source: which partitions, which offsets. All calls block and have a deadline.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pyrite_common::checkpoint::{Offsets, TopicPartition};
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::options::{KafkaOptions, Subscription};

/// A broker that does not answer by then is reported; the promise to users is 5 s.
const METADATA_TIMEOUT: Duration = Duration::from_secs(4);
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(10);
/// How often new partitions are looked for.
const PARTITIONS_AGE_MAX: Duration = Duration::from_secs(1);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    #[error("no Kafka broker answers at `{servers}`")]
    Unreachable { servers: String, #[source] source: KafkaError },
    #[error("topic `{topic}` does not exist on the Kafka brokers at `{servers}`")]
    NoTopic { topic: String, servers: String },
    #[error("the Kafka options are not valid: {0}")]
    Options(KafkaError),
    #[error("topic `{topic}` cannot be read")]
    Topic { topic: String, #[source] source: KafkaError },
}

impl BrokerError {
    /// Whether asking again may help.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            BrokerError::Unreachable { .. } => true,
            BrokerError::NoTopic { .. } | BrokerError::Options(_) | BrokerError::Topic { .. } => false,
        }
    }
}

/// Hands librdkafka's log lines to ours.
struct QuietContext;

impl ClientContext for QuietContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::warn!(facility, "kafka client: {message}");
            }
            _ => tracing::debug!(facility, "kafka client: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("kafka client: {error}: {reason}");
    }
}

impl ConsumerContext for QuietContext {}

/// One source's connection.
pub(super) struct Broker {
    consumer: BaseConsumer<QuietContext>,
    options: KafkaOptions,
    pattern: Option<regex::Regex>,
    partitions: Vec<TopicPartition>,
    asked: Option<Instant>,
}

impl Broker {
    pub(super) fn new(options: KafkaOptions) -> Result<Broker, BrokerError> {
        let mut config = ClientConfig::new();
        for (name, value) in &options.client {
            config.set(name, value);
        }
        config.set("enable.auto.commit", "false");
        if !options.client.contains_key("group.id") {
            config.set("group.id", "pyrite-offsets");
        }
        let consumer = config.create_with_context(QuietContext).map_err(BrokerError::Options)?;
        let pattern = match &options.subscription {
            Subscription::Pattern(pattern) => regex::Regex::new(&format!("^(?:{pattern})$")).ok(),
            Subscription::Subscribe(_) | Subscription::Assign(_) => None,
        };
        Ok(Broker { consumer, options, pattern, partitions: Vec::new(), asked: None })
    }

    pub(super) fn options(&self) -> &KafkaOptions {
        &self.options
    }

    /// The partitions that the subscription means now; asked anew once a second.
    pub(super) fn partitions(&mut self) -> Result<&[TopicPartition], BrokerError> {
        // Answers callbacks and keeps the client's own timers going.
        let _ = self.consumer.poll(Duration::ZERO);
        if self.asked.is_none_or(|asked| asked.elapsed() >= PARTITIONS_AGE_MAX) {
            self.partitions = self.ask_partitions()?;
            self.asked = Some(Instant::now());
        }
        Ok(&self.partitions)
    }

    fn ask_partitions(&self) -> Result<Vec<TopicPartition>, BrokerError> {
        let mut found = BTreeSet::new();
        match &self.options.subscription {
            Subscription::Subscribe(topics) => {
                for topic in topics {
                    found.extend(self.partitions_of(Some(topic))?);
                }
            }
            Subscription::Pattern(_) => {
                let matches = |topic: &str| self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(topic));
                found.extend(self.partitions_of(None)?.into_iter().filter(|one| matches(&one.topic)));
            }
            Subscription::Assign(partitions) => {
                let topics: BTreeSet<&String> = partitions.iter().map(|partition| &partition.topic).collect();
                let mut there = BTreeSet::new();
                for topic in topics {
                    there.extend(self.partitions_of(Some(topic))?);
                }
                if let Some(missing) = partitions.iter().find(|partition| !there.contains(partition)) {
                    let servers = self.options.servers().to_string();
                    return Err(BrokerError::NoTopic { topic: missing.to_string(), servers });
                }
                found.extend(partitions.iter().cloned());
            }
        }
        Ok(found.into_iter().collect())
    }

    fn partitions_of(&self, topic: Option<&String>) -> Result<Vec<TopicPartition>, BrokerError> {
        let metadata = self
            .consumer
            .fetch_metadata(topic.map(String::as_str), METADATA_TIMEOUT)
            .map_err(|source| self.unreachable(source))?;
        let mut partitions = Vec::new();
        for found in metadata.topics() {
            if let Some(error) = found.error() {
                let code = RDKafkaErrorCode::from(error);
                let name = found.name().to_string();
                match code {
                    _ if topic.is_none() => continue,
                    RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                        let servers = self.options.servers().to_string();
                        return Err(BrokerError::NoTopic { topic: name, servers });
                    }
                    RDKafkaErrorCode::LeaderNotAvailable => {
                        return Err(self.unreachable(KafkaError::MetadataFetch(code)));
                    }
                    _ => return Err(BrokerError::Topic { topic: name, source: KafkaError::MetadataFetch(code) }),
                }
            }
            for partition in found.partitions() {
                partitions.push(TopicPartition::new(found.name(), partition.id()));
            }
        }
        Ok(partitions)
    }

    pub(super) fn latest(&self, partitions: &[TopicPartition]) -> Result<Offsets, BrokerError> {
        self.ask_offsets(partitions.iter().map(|partition| (partition, Offset::End)))
    }

    pub(super) fn earliest(&self, partitions: &[TopicPartition]) -> Result<Offsets, BrokerError> {
        self.ask_offsets(partitions.iter().map(|partition| (partition, Offset::Beginning)))
    }

    /// The first offset at or after each partition's time (milliseconds); a partition without one is absent.
    pub(super) fn at_times(&self, times: &Offsets) -> Result<Offsets, BrokerError> {
        self.ask_offsets(times.iter().map(|(partition, time)| (partition, Offset::Offset(time))))
    }

    /// One request to each broker for all of its partitions.
    fn ask_offsets<'a>(
        &self,
        asked: impl Iterator<Item = (&'a TopicPartition, Offset)>,
    ) -> Result<Offsets, BrokerError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in asked {
            list.add_partition_offset(&partition.topic, partition.partition, offset)
                .map_err(|source| BrokerError::Topic { topic: partition.topic.clone(), source })?;
        }
        if list.count() == 0 {
            return Ok(Offsets::default());
        }
        let answer = self
            .consumer
            .offsets_for_times(list, OFFSETS_TIMEOUT)
            .map_err(|source| self.unreachable(source))?;
        let mut offsets = Offsets::default();
        for element in answer.elements() {
            element.error().map_err(|source| self.unreachable(source))?;
            if let Offset::Offset(offset) = element.offset() {
                offsets.0.insert(TopicPartition::new(element.topic(), element.partition()), offset);
            }
        }
        Ok(offsets)
    }

    fn unreachable(&self, source: KafkaError) -> BrokerError {
        BrokerError::Unreachable { servers: self.options.servers().to_string(), source }
    }
}
