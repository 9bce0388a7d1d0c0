//! Questions to the brokers of one source: which partitions, which offsets. All calls block and have a deadline.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pyrite_common::checkpoint::{Offsets, TopicPartition};
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::options::{KafkaOptions, Subscription, whole_name};

/// A broker that does not answer by then is reported; the promise to users is 5 s.
const METADATA_TIMEOUT: Duration = Duration::from_secs(4);
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(10);
/// How often new partitions are looked for.
const PARTITIONS_AGE_MAX: Duration = Duration::from_secs(1);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    #[error("no Kafka broker answers at `{servers}`")]
    Unreachable {
        servers: String,
        #[source]
        source: KafkaError,
    },
    #[error("the Kafka brokers at `{servers}` do not know the offsets of `{partition}` now")]
    NoOffsets {
        partition: String,
        servers: String,
        #[source]
        source: KafkaError,
    },
    #[error("topic `{topic}` does not exist on the Kafka brokers at `{servers}`")]
    NoTopic { topic: String, servers: String },
    #[error("the Kafka options are not valid: {0}")]
    Options(KafkaError),
    #[error("topic `{topic}` cannot be read")]
    Topic {
        topic: String,
        #[source]
        source: KafkaError,
    },
}

impl BrokerError {
    /// Whether asking again may help.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            BrokerError::Unreachable { .. } | BrokerError::NoOffsets { .. } => true,
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
    /// Partitions that were there once, or that the query reads: one that is missing is gone, not mistaken.
    seen: BTreeSet<TopicPartition>,
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
            Subscription::Pattern(pattern) => whole_name(pattern).ok(),
            Subscription::Subscribe(_) | Subscription::Assign(_) => None,
        };
        Ok(Broker { consumer, options, pattern, partitions: Vec::new(), seen: BTreeSet::new(), asked: None })
    }

    pub(super) fn options(&self) -> &KafkaOptions {
        &self.options
    }

    /// The partitions that the subscription means now; asked anew once a second. `known` are the query's own.
    pub(super) fn partitions(&mut self, known: &Offsets) -> Result<&[TopicPartition], BrokerError> {
        // Answers callbacks and keeps the client's own timers going.
        let _ = self.consumer.poll(Duration::ZERO);
        if self.asked.is_none_or(|asked| asked.elapsed() >= PARTITIONS_AGE_MAX) {
            self.seen.extend(known.0.keys().cloned());
            self.partitions = self.ask_partitions()?;
            self.seen.extend(self.partitions.iter().cloned());
            self.asked = Some(Instant::now());
        }
        Ok(&self.partitions)
    }

    fn ask_partitions(&self) -> Result<Vec<TopicPartition>, BrokerError> {
        let mut found = BTreeSet::new();
        match &self.options.subscription {
            Subscription::Subscribe(topics) => {
                for topic in topics {
                    found.extend(self.partitions_of(topic)?);
                }
            }
            Subscription::Pattern(_) => found.extend(self.matching_partitions()?),
            Subscription::Assign(partitions) => {
                let topics: BTreeSet<&String> = partitions.iter().map(|partition| &partition.topic).collect();
                let mut there = BTreeSet::new();
                for topic in topics {
                    there.extend(self.partitions_of(topic)?);
                }
                for partition in partitions {
                    if there.contains(partition) {
                        found.insert(partition.clone());
                    } else if !self.seen.contains(partition) {
                        return Err(self.no_topic(&partition.to_string()));
                    }
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    /// None, when the topic was there once and is gone.
    fn partitions_of(&self, topic: &str) -> Result<Vec<TopicPartition>, BrokerError> {
        let metadata =
            self.consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT).map_err(|source| self.unreachable(source))?;
        let mut partitions = Vec::new();
        for found in metadata.topics() {
            match self.checked(found) {
                Ok(()) => partitions.extend(of_topic(found)),
                Err(BrokerError::NoTopic { .. }) if self.seen.iter().any(|one| one.topic == topic) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(partitions)
    }

    /// Of all topics whose names match; one that is being deleted or may not be read is none of them, as in Spark.
    fn matching_partitions(&self) -> Result<Vec<TopicPartition>, BrokerError> {
        let metadata =
            self.consumer.fetch_metadata(None, METADATA_TIMEOUT).map_err(|source| self.unreachable(source))?;
        let mut partitions = Vec::new();
        for found in metadata.topics() {
            if !self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(found.name())) {
                continue;
            }
            match self.checked(found) {
                Ok(()) => partitions.extend(of_topic(found)),
                Err(error) if error.is_passing() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(partitions)
    }

    fn checked(&self, topic: &MetadataTopic) -> Result<(), BrokerError> {
        let Some(error) = topic.error() else { return Ok(()) };
        let code = RDKafkaErrorCode::from(error);
        match code {
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                Err(self.no_topic(topic.name()))
            }
            RDKafkaErrorCode::LeaderNotAvailable => Err(self.unreachable(KafkaError::MetadataFetch(code))),
            _ => Err(BrokerError::Topic { topic: topic.name().to_string(), source: KafkaError::MetadataFetch(code) }),
        }
    }

    fn no_topic(&self, name: &str) -> BrokerError {
        BrokerError::NoTopic { topic: name.to_string(), servers: self.options.servers().to_string() }
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
        let answer =
            self.consumer.offsets_for_times(list, OFFSETS_TIMEOUT).map_err(|source| self.unreachable(source))?;
        let mut offsets = Offsets::default();
        for element in answer.elements() {
            element.error().map_err(|source| BrokerError::NoOffsets {
                partition: format!("{}-{}", element.topic(), element.partition()),
                servers: self.options.servers().to_string(),
                source,
            })?;
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

fn of_topic(topic: &MetadataTopic) -> impl Iterator<Item = TopicPartition> {
    topic.partitions().iter().map(|partition| TopicPartition::new(topic.name(), partition.id()))
}
