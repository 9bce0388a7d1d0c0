//! The requests that the reader makes, in the words of the reader: who leads a partition, which offsets it has, and
//! its records.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiKey, BrokerId, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest,
    MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use pyrite_common::net::HostPort;

use super::aborted::Aborted;
use super::connection::{Connection, ConnectionError};
use super::settings::FetchSettings;
use super::walk::{Chunk, Isolation};

/// How long brokers may take to tell leaders and offsets.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// "A consumer", where followers name themselves.
const NO_REPLICA: BrokerId = BrokerId(-1);
/// `ListOffsets` takes these for times.
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;
/// Of a frame a part smaller than one in so many is copied out: else it would keep the whole in memory.
const FRAME_SHARE_KEPT: usize = 4;

/// A topic and the number of one of its partitions.
pub(super) type Key = (String, i32);

/// A partition's leader, as metadata tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leader {
    /// Its broker.
    pub node: i32,
    /// Its term; -1 from brokers that do not tell.
    pub epoch: i32,
}

/// What the brokers say of themselves and of some topics.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    /// Where brokers are reached.
    pub brokers: BTreeMap<i32, HostPort>,
    topics: BTreeMap<String, Result<BTreeMap<i32, Option<Leader>>, ResponseError>>,
}

/// Who leads a partition.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leadership {
    /// This one.
    Led(Leader),
    /// Nobody just now, or the brokers do not know yet.
    Vacant(String),
    /// There is no such topic or partition.
    Unknown(String),
    /// This client may not know.
    Refused(String),
}

impl Metadata {
    /// What was said of one partition.
    pub fn leadership(&self, (topic, partition): &Key) -> Leadership {
        match self.topics.get(topic) {
            None => Leadership::Unknown(format!("the brokers do not name topic `{topic}`")),
            Some(Err(ResponseError::UnknownTopicOrPartition)) => {
                Leadership::Unknown(format!("there is no topic `{topic}`"))
            }
            Some(Err(error)) if error.is_retriable() => Leadership::Vacant(format!("topic `{topic}`: {error}")),
            Some(Err(error)) => Leadership::Refused(format!("topic `{topic}`: {error}")),
            Some(Ok(partitions)) => match partitions.get(partition) {
                None => Leadership::Unknown(format!("topic `{topic}` has no partition {partition}")),
                Some(None) => Leadership::Vacant(format!("`{topic}-{partition}` has no leader now")),
                Some(Some(leader)) => Leadership::Led(*leader),
            },
        }
    }

    /// All partitions of the topics that have leaders.
    pub fn leaders(&self) -> impl Iterator<Item = (Key, Leader)> {
        self.topics.iter().filter_map(|(topic, found)| Some((topic, found.as_ref().ok()?))).flat_map(
            |(topic, partitions)| {
                let led = partitions.iter().filter_map(|(partition, leader)| Some((*partition, (*leader)?)));
                led.map(|(partition, leader)| ((topic.clone(), partition), leader))
            },
        )
    }
}

/// Asks for the leaders of topics.
pub(super) async fn metadata(connection: &mut Connection, topics: &[String]) -> Result<Metadata, ConnectionError> {
    let version = connection.versions.metadata;
    let names = topics.iter().map(|topic| MetadataRequestTopic::default().with_name(Some(name(topic))));
    let request = MetadataRequest::default().with_topics(Some(names.collect())).with_allow_auto_topic_creation(false);
    let answer = connection.call::<_, MetadataResponse>(ApiKey::Metadata, version, &request, REQUEST_TIMEOUT).await?;
    let mut found = Metadata::default();
    for broker in answer.message.brokers {
        let port = u16::try_from(broker.port).unwrap_or_default();
        found.brokers.insert(broker.node_id.0, HostPort::new(broker.host.as_str(), port));
    }
    for topic in answer.message.topics {
        let Some(name) = topic.name else { continue };
        let partitions = topic.partitions.iter().map(|partition| {
            let leader = Leader { node: partition.leader_id.0, epoch: partition.leader_epoch };
            (partition.partition_index, (leader.node >= 0).then_some(leader))
        });
        let result = match ResponseError::try_from_code(topic.error_code) {
            None => Ok(partitions.collect()),
            Some(error) => Err(error),
        };
        found.topics.insert(name.to_string(), result);
    }
    Ok(found)
}

/// Asks the leader for the first offset of a partition and the one after its last, committed or not.
pub(super) async fn watermarks(connection: &mut Connection, key: &Key) -> Result<(i64, i64), String> {
    let first = list_offset(connection, key, EARLIEST).await?;
    let last = list_offset(connection, key, LATEST).await?;
    Ok((first, last))
}

async fn list_offset(connection: &mut Connection, (topic, partition): &Key, at: i64) -> Result<i64, String> {
    let version = connection.versions.list_offsets;
    let asked = ListOffsetsPartition::default().with_partition_index(*partition).with_timestamp(at);
    let asked = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![asked]);
    let request = ListOffsetsRequest::default().with_replica_id(NO_REPLICA).with_topics(vec![asked]);
    let answer =
        connection.call::<_, ListOffsetsResponse>(ApiKey::ListOffsets, version, &request, REQUEST_TIMEOUT).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let told = answer.message.topics.iter().flat_map(|topic| &topic.partitions).next();
    let told = told.ok_or_else(|| format!("the leader of `{topic}-{partition}` told no offsets"))?;
    match ResponseError::try_from_code(told.error_code) {
        None => Ok(told.offset),
        Some(error) => Err(format!("offsets of `{topic}-{partition}`: {error}")),
    }
}

/// A partition to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Which.
    pub key: Key,
    /// From where.
    pub offset: i64,
    /// How many bytes may come; a single batch may be larger.
    pub bytes: i32,
    /// The leader's term, as known here.
    pub leader_epoch: i32,
}

/// What came of one partition.
pub(super) struct Fetched {
    /// Which.
    pub key: Key,
    /// Its batches, the last perhaps in part, or the broker's refusal.
    pub chunk: Result<Chunk, ResponseError>,
}

/// Fetches partitions, in this order while the answer has room. The broker holds the answer back for `wait` while it
/// has nothing to send.
pub(super) async fn fetch(
    connection: &mut Connection,
    settings: &FetchSettings,
    wanted: &[Wanted],
    wait: Duration,
) -> Result<Vec<Fetched>, ConnectionError> {
    let version = connection.versions.fetch;
    let request = request(settings, wanted, wait);
    let answer =
        connection.call::<_, FetchResponse>(ApiKey::Fetch, version, &request, wait + settings.request_timeout).await?;
    let mut fetched = Vec::new();
    for topic in answer.message.responses {
        for partition in topic.partitions {
            let key = (topic.topic.to_string(), partition.partition_index);
            let chunk = match ResponseError::try_from_code(partition.error_code) {
                Some(error) => Err(error),
                None => Ok(Chunk {
                    batches: keep(partition.records.unwrap_or_default(), answer.frame_bytes),
                    aborted: partition.aborted_transactions.unwrap_or_default().iter().map(aborted).collect(),
                }),
            };
            fetched.push(Fetched { key, chunk });
        }
    }
    if let (true, Some(error)) = (fetched.is_empty(), ResponseError::try_from_code(answer.message.error_code)) {
        // Of the whole request; which says nothing of a partition, so each of them has it.
        fetched.extend(wanted.iter().map(|wanted| Fetched { key: wanted.key.clone(), chunk: Err(error) }));
    }
    Ok(fetched)
}

fn request(settings: &FetchSettings, wanted: &[Wanted], wait: Duration) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for Wanted { key: (topic, partition), offset, bytes, leader_epoch } in wanted {
        let partition = FetchPartition::default()
            .with_partition(*partition)
            .with_fetch_offset(*offset)
            .with_current_leader_epoch(*leader_epoch)
            .with_partition_max_bytes(*bytes);
        // Neighbours of one topic share its entry; the order is what decides who gets the room.
        match topics.last_mut() {
            Some(last) if last.topic.as_str() == topic.as_str() => last.partitions.push(partition),
            _ => topics.push(FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition])),
        }
    }
    FetchRequest::default()
        .with_replica_id(NO_REPLICA)
        .with_max_wait_ms(i32::try_from(wait.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(settings.bytes_min)
        .with_max_bytes(settings.response_bytes)
        .with_isolation_level(i8::from(settings.isolation == Isolation::ReadCommitted))
        // No session: each request names all that it wants.
        .with_session_epoch(-1)
        .with_topics(topics)
}

fn aborted(told: &kafka_protocol::messages::fetch_response::AbortedTransaction) -> Aborted {
    Aborted { producer_id: told.producer_id.0, first_offset: told.first_offset }
}

fn keep(batches: Bytes, frame_bytes: usize) -> Bytes {
    if batches.len() * FRAME_SHARE_KEPT < frame_bytes { Bytes::copy_from_slice(&batches) } else { batches }
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}
