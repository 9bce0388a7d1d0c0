//! Questions to the brokers of one source: which partitions, which offsets. All calls block and have a deadline.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pyrite_common::checkpoint::{Offsets, TopicPartition};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use regex::Regex;

use super::census::Census;
use super::context::Context;
use super::options::{KafkaOptions, Subscription};

/// A broker that does not answer by then is reported; the promise to users is 5 s.
const METADATA_TIMEOUT: Duration = Duration::from_secs(4);
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(10);
/// How often new partitions are looked for.
const PARTITIONS_AGE_MAX: Duration = Duration::from_secs(1);
/// Credentials that brokers refuse for so long are wrong, not merely new to them.
const REFUSED_AFTER: Duration = Duration::from_secs(30);
/// The client's complaints are read for so long before a failure is told.
const COMPLAINTS_TIMEOUT: Duration = Duration::from_millis(5);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    /// `reason` is empty or begins with `: `.
    #[error("no Kafka broker answers at `{servers}`{reason}")]
    Unreachable {
        servers: String,
        reason: String,
        #[source]
        source: KafkaError,
    },
    #[error("the Kafka brokers at `{servers}` refuse the source's credentials or certificates: {reason}")]
    Refused { servers: String, reason: String },
    #[error("topic `{topic}` has no leader on the Kafka brokers at `{servers}` now")]
    NoLeader { topic: String, servers: String },
    #[error("the Kafka brokers at `{servers}` do not name partition {partition}, which was there before")]
    Missing { partition: TopicPartition, servers: String },
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
            BrokerError::Unreachable { .. }
            | BrokerError::NoLeader { .. }
            | BrokerError::Missing { .. }
            | BrokerError::NoOffsets { .. } => true,
            BrokerError::Refused { .. }
            | BrokerError::NoTopic { .. }
            | BrokerError::Options(_)
            | BrokerError::Topic { .. } => false,
        }
    }
}

/// Topics of Kafka's own, which its answer marks as such, and librdkafka does not tell.
const INTERNAL_TOPICS: [&str; 3] = ["__consumer_offsets", "__share_group_state", "__transaction_state"];

/// One source's connection.
pub(super) struct Broker {
    consumer: BaseConsumer<Context>,
    options: KafkaOptions,
    pattern: Option<Regex>,
    partitions: Vec<TopicPartition>,
    census: Census,
    asked: Option<Instant>,
}

impl Broker {
    pub(super) fn new(options: KafkaOptions) -> Result<Broker, BrokerError> {
        let mut config = ClientConfig::new();
        // A group would make the client look for its coordinator, and need the right to; nothing here commits to one.
        for (name, value) in options.client.iter().filter(|(name, _)| *name != "group.id") {
            config.set(name, value);
        }
        config.set("enable.auto.commit", "false");
        let consumer = config.create_with_context(Context::default()).map_err(BrokerError::Options)?;
        let pattern = match &options.subscription {
            Subscription::Pattern(pattern) => Regex::new(pattern).ok(),
            Subscription::Subscribe(_) | Subscription::Assign(_) => None,
        };
        Ok(Broker { consumer, options, pattern, partitions: Vec::new(), census: Census::default(), asked: None })
    }

    pub(super) fn options(&self) -> &KafkaOptions {
        &self.options
    }

    /// The partitions that the subscription means now; asked anew once a second. `known` are the query's own.
    pub(super) fn partitions(&mut self, known: &Offsets) -> Result<&[TopicPartition], BrokerError> {
        // Answers callbacks and keeps the client's own timers going.
        let _ = self.consumer.poll(Duration::ZERO);
        if self.asked.is_none_or(|asked| asked.elapsed() >= PARTITIONS_AGE_MAX) {
            self.census.expect(known.0.keys());
            let named = self.ask_partitions()?;
            let servers = self.options.servers();
            self.census
                .take(&named, Instant::now())
                .map_err(|partition| BrokerError::Missing { partition, servers: servers.to_string() })?;
            self.partitions = named.into_iter().collect();
            self.asked = Some(Instant::now());
        }
        Ok(&self.partitions)
    }

    fn ask_partitions(&self) -> Result<BTreeSet<TopicPartition>, BrokerError> {
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
                    } else if !self.census.has(partition) {
                        return Err(self.no_topic(&partition.to_string()));
                    }
                }
            }
        }
        Ok(found)
    }

    /// None, when the topic was there once and is gone.
    fn partitions_of(&self, topic: &str) -> Result<Vec<TopicPartition>, BrokerError> {
        let metadata =
            self.consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT).map_err(|source| self.unreachable(source))?;
        let mut partitions = Vec::new();
        for found in metadata.topics() {
            match self.checked(found) {
                Ok(()) => partitions.extend(of_topic(found)),
                Err(BrokerError::NoTopic { .. }) if self.census.has_topic(topic) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(partitions)
    }

    /// Of all topics whose names match; one that is being deleted, may not be read or is Kafka's own is none of them, as
    /// in Spark.
    fn matching_partitions(&self) -> Result<Vec<TopicPartition>, BrokerError> {
        let metadata =
            self.consumer.fetch_metadata(None, METADATA_TIMEOUT).map_err(|source| self.unreachable(source))?;
        let mut partitions = Vec::new();
        for found in metadata.topics() {
            let matches = self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(found.name()));
            if !matches || INTERNAL_TOPICS.contains(&found.name()) {
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
            RDKafkaErrorCode::LeaderNotAvailable => Err(BrokerError::NoLeader {
                topic: topic.name().to_string(),
                servers: self.options.servers().to_string(),
            }),
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
            self.consumer.context().well();
            return Ok(Offsets::default());
        }
        let answer =
            self.consumer.offsets_for_times(list, OFFSETS_TIMEOUT).map_err(|source| self.unreachable(source))?;
        self.consumer.context().well();
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

    /// No answer came: with what the client says of the connections, and for good when they stay refused.
    fn unreachable(&self, source: KafkaError) -> BrokerError {
        // Complaints wait in the client until they are asked for.
        while self.consumer.poll(COMPLAINTS_TIMEOUT).is_some() {}
        let complaint = self.consumer.context().complaint();
        let servers = self.options.servers().to_string();
        if complaint.refused_since.is_some_and(|since| since.elapsed() >= REFUSED_AFTER) {
            return BrokerError::Refused { servers, reason: complaint.text };
        }
        let reason = if complaint.text.is_empty() { String::new() } else { format!(": {}", complaint.text) };
        BrokerError::Unreachable { servers, reason, source }
    }
}

fn of_topic(topic: &MetadataTopic) -> impl Iterator<Item = TopicPartition> {
    topic.partitions().iter().map(|partition| TopicPartition::new(topic.name(), partition.id()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;

    use super::*;

    fn cluster() -> MockCluster<'static, DefaultProducerContext> {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 2, 1).unwrap();
        cluster
    }

    fn broker(cluster: &MockCluster<'static, DefaultProducerContext>) -> Broker {
        let given = [("kafka.bootstrap.servers", cluster.bootstrap_servers()), ("subscribe", "t".to_string())];
        let given: BTreeMap<String, String> =
            given.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        Broker::new(KafkaOptions::parse(&given, &BTreeMap::new()).unwrap()).unwrap()
    }

    #[test]
    fn partitions_and_offsets_are_told_without_a_group() {
        let cluster = cluster();
        let mut broker = broker(&cluster);
        let partitions = broker.partitions(&Offsets::default()).unwrap().to_vec();
        assert_eq!(partitions, [TopicPartition::new("t", 0), TopicPartition::new("t", 1)]);
        assert_eq!(broker.latest(&partitions).unwrap(), Offsets::parse(r#"{"t":{"0":0,"1":0}}"#).unwrap());
    }

    #[test]
    fn a_partition_of_the_query_that_an_answer_lacks_is_asked_for_again() {
        let cluster = cluster();
        let mut broker = broker(&cluster);
        let known = Offsets::parse(r#"{"t":{"0":7,"2":7}}"#).unwrap();
        for _ in 0..2 {
            let error = broker.partitions(&known).unwrap_err();
            assert!(error.is_passing() && error.to_string().contains("t-2"), "{error}");
        }
    }
}
