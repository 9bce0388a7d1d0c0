//! Answers to requests: each message decoded, looked up in the store, encoded again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, BrokerId, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, FetchRequest, FetchResponse, InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse, ProducerId, RequestHeader, ResponseHeader,
    TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes, decode_request_header_from_buffer};

use crate::batch::BadBatch;
use crate::log::AppendError;
use crate::store::Store;

/// The one node's id.
const NODE: BrokerId = BrokerId(1);
/// "The next offset" and "the first offset" in a request for offsets.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// A fetch waits no longer than this, whatever it asks for.
const FETCH_WAIT_MAX: Duration = Duration::from_secs(30);
/// A response holds no more than this, whatever is asked for.
const FETCH_BYTES_MAX: usize = 64 << 20;

/// What is spoken: request, lowest and highest version. The highest are the last before topics go by id.
const SPOKEN: [(ApiKey, i16, i16); 8] = [
    (ApiKey::Produce, 3, 9),
    (ApiKey::Fetch, 4, 12),
    (ApiKey::ListOffsets, 1, 6),
    (ApiKey::Metadata, 0, 9),
    (ApiKey::ApiVersions, 0, 3),
    (ApiKey::CreateTopics, 2, 6),
    (ApiKey::DeleteTopics, 1, 5),
    (ApiKey::InitProducerId, 0, 4),
];

/// The one broker of the cluster.
#[derive(Debug)]
pub struct Broker {
    /// The topics.
    pub store: Arc<Store>,
    /// Host that clients are told.
    pub host: String,
    /// Port that clients are told.
    pub port: u16,
}

impl Broker {
    /// The response to a request, both without their frame's length; `None` where the client wants none.
    ///
    /// # Errors
    /// Bytes that are no request, and requests that were not announced: the connection is then closed.
    pub async fn answer(&self, mut request: Bytes) -> anyhow::Result<Option<Bytes>> {
        if request.len() < 8 {
            bail!("a request of {} bytes", request.len());
        }
        let key = i16::from_be_bytes([request[0], request[1]]);
        let version = i16::from_be_bytes([request[2], request[3]]);
        let Some(&(api, lowest, highest)) = SPOKEN.iter().find(|(api, ..)| *api as i16 == key) else {
            bail!("request {key} is not spoken here");
        };
        if !(lowest..=highest).contains(&version) {
            if api == ApiKey::ApiVersions {
                // The answer to a version that is not known: an old one, with the list to choose from.
                let correlation = i32::from_be_bytes([request[4], request[5], request[6], request[7]]);
                let response = api_versions(ResponseError::UnsupportedVersion.code());
                return encode(api, 0, correlation, &response).map(Some);
            }
            bail!("version {version} of {api:?} is not spoken here");
        }
        let header: RequestHeader = decode_request_header_from_buffer(&mut request).context("bad request header")?;
        self.answer_spoken(api, version, header.correlation_id, &mut request).await
    }

    /// The response to a request of a version that is spoken, from its body.
    async fn answer_spoken(
        &self,
        api: ApiKey,
        version: i16,
        id: i32,
        body: &mut Bytes,
    ) -> anyhow::Result<Option<Bytes>> {
        let response = match api {
            ApiKey::ApiVersions => encode(api, version, id, &api_versions(0)),
            ApiKey::Metadata => {
                let request = MetadataRequest::decode(body, version)?;
                encode(api, version, id, &self.metadata(&request, version))
            }
            ApiKey::CreateTopics => {
                let request = CreateTopicsRequest::decode(body, version)?;
                encode(api, version, id, &self.create_topics(&request))
            }
            ApiKey::DeleteTopics => {
                let request = DeleteTopicsRequest::decode(body, version)?;
                encode(api, version, id, &self.delete_topics(&request))
            }
            ApiKey::Produce => {
                let request = ProduceRequest::decode(body, version)?;
                let wanted = request.acks != 0;
                let response = self.produce(request);
                if !wanted {
                    return Ok(None);
                }
                encode(api, version, id, &response)
            }
            ApiKey::Fetch => {
                let request = FetchRequest::decode(body, version)?;
                encode(api, version, id, &self.fetch(request).await)
            }
            ApiKey::ListOffsets => {
                let request = ListOffsetsRequest::decode(body, version)?;
                encode(api, version, id, &self.list_offsets(&request))
            }
            ApiKey::InitProducerId => {
                let response = InitProducerIdResponse::default()
                    .with_producer_id(ProducerId(self.store.next_producer()))
                    .with_producer_epoch(0);
                encode(api, version, id, &response)
            }
            other => bail!("request {other:?} is not spoken here"),
        };
        response.map(Some)
    }

    fn metadata(&self, request: &MetadataRequest, version: i16) -> MetadataResponse {
        // Version 0 asks for all topics by an empty list, later ones by none.
        let named = request.topics.as_ref().filter(|topics| version > 0 || !topics.is_empty());
        let topics = match named {
            None => {
                self.store.topics().into_iter().map(|(name, count)| topic_metadata(text(&name), Some(count))).collect()
            }
            Some(topics) => topics
                .iter()
                .filter_map(|topic| topic.name.clone())
                .map(|name| {
                    let count = self.store.partitions(name.0.as_str());
                    topic_metadata(name, count)
                })
                .collect(),
        };
        MetadataResponse::default()
            .with_brokers(vec![
                MetadataResponseBroker::default()
                    .with_node_id(NODE)
                    .with_host(StrBytes::from_string(self.host.clone()))
                    .with_port(i32::from(self.port)),
            ])
            .with_cluster_id(Some(StrBytes::from_static_str("pyrite-demo")))
            .with_controller_id(NODE)
            .with_topics(topics)
    }

    fn create_topics(&self, request: &CreateTopicsRequest) -> CreateTopicsResponse {
        let results = request.topics.iter().map(|topic| {
            // -1 leaves the number to the broker.
            let partitions = if topic.num_partitions == -1 { 1 } else { topic.num_partitions };
            let name = topic.name.0.as_str();
            let outcome = if request.validate_only { Ok(()) } else { self.store.create_topic(name, partitions) };
            let code = match &outcome {
                Ok(()) => 0,
                Err(_) if self.store.partitions(name).is_some() => ResponseError::TopicAlreadyExists.code(),
                Err(_) if !(1..=1_000).contains(&partitions) => ResponseError::InvalidPartitions.code(),
                Err(_) => ResponseError::InvalidTopicException.code(),
            };
            CreatableTopicResult::default()
                .with_name(topic.name.clone())
                .with_error_code(code)
                .with_error_message(outcome.err().map(|error| StrBytes::from_string(error.to_string())))
                .with_num_partitions(partitions)
                .with_replication_factor(1)
        });
        CreateTopicsResponse::default().with_topics(results.collect())
    }

    fn delete_topics(&self, request: &DeleteTopicsRequest) -> DeleteTopicsResponse {
        let results = request.topic_names.iter().map(|name| {
            let deleted = self.store.delete_topic(name.0.as_str());
            DeletableTopicResult::default().with_name(Some(name.clone())).with_error_code(if deleted {
                0
            } else {
                ResponseError::UnknownTopicOrPartition.code()
            })
        });
        DeleteTopicsResponse::default().with_responses(results.collect())
    }

    fn produce(&self, request: ProduceRequest) -> ProduceResponse {
        let mut responses = Vec::with_capacity(request.topic_data.len());
        for topic in request.topic_data {
            let mut partitions = Vec::with_capacity(topic.partition_data.len());
            for data in topic.partition_data {
                let records = data.records.unwrap_or_default();
                let (code, offset, start) = match self.store.append(topic.name.0.as_str(), data.index, records) {
                    None => (ResponseError::UnknownTopicOrPartition.code(), -1, -1),
                    Some(Ok((offset, start))) => (0, offset, start),
                    Some(Err(error)) => (append_error(error).code(), -1, -1),
                };
                partitions.push(
                    PartitionProduceResponse::default()
                        .with_index(data.index)
                        .with_error_code(code)
                        .with_base_offset(offset)
                        .with_log_append_time_ms(-1)
                        .with_log_start_offset(start),
                );
            }
            responses.push(TopicProduceResponse::default().with_name(topic.name).with_partition_responses(partitions));
        }
        ProduceResponse::default().with_responses(responses)
    }

    /// Answers at once when there is something to send or to say, else when there is, or when the client's wait is
    /// over.
    async fn fetch(&self, request: FetchRequest) -> FetchResponse {
        let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(FETCH_WAIT_MAX);
        let deadline = tokio::time::Instant::now() + wait;
        let bytes_min = usize::try_from(request.min_bytes).unwrap_or(0);
        let mut appends = self.store.appends();
        loop {
            appends.mark_unchanged();
            let (response, bytes, urgent) = self.fetch_now(&request);
            if urgent || bytes >= bytes_min || tokio::time::Instant::now() >= deadline {
                return response;
            }
            // An error or the end of the wait both lead to the answer that there is.
            let _ = tokio::time::timeout_at(deadline, appends.changed()).await;
        }
    }

    /// The response as of now, its bytes of records, and whether it holds an error.
    fn fetch_now(&self, request: &FetchRequest) -> (FetchResponse, usize, bool) {
        let mut left = usize::try_from(request.max_bytes).unwrap_or(0).min(FETCH_BYTES_MAX);
        let (mut bytes, mut urgent) = (0, false);
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for wanted in &topic.partitions {
                let data = self.fetch_partition(topic.topic.0.as_str(), wanted, left, bytes == 0);
                let found = data.records.as_ref().map_or(0, Bytes::len);
                left = left.saturating_sub(found);
                bytes += found;
                urgent |= data.error_code != 0;
                partitions.push(data);
            }
            topics.push(FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_partitions(partitions));
        }
        (FetchResponse::default().with_responses(topics), bytes, urgent)
    }

    /// One partition's part. The first batch of a response comes even where it is larger than what is asked for.
    fn fetch_partition(&self, topic: &str, wanted: &FetchPartition, left: usize, is_first: bool) -> PartitionData {
        let data = PartitionData::default()
            .with_partition_index(wanted.partition)
            .with_aborted_transactions(None)
            .with_preferred_read_replica(BrokerId(-1));
        let bytes_max = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(left);
        let looked = self.store.with_log(topic, wanted.partition, |log| {
            let bounds = log.bounds();
            let within = (bounds.start..=bounds.end).contains(&wanted.fetch_offset);
            let batches = if within { log.read(wanted.fetch_offset, bytes_max) } else { Vec::new() };
            (bounds, within, batches)
        });
        let Some((bounds, within, batches)) = looked else {
            let code = ResponseError::UnknownTopicOrPartition.code();
            return data
                .with_error_code(code)
                .with_high_watermark(-1)
                .with_last_stable_offset(-1)
                .with_log_start_offset(-1);
        };
        let mut records = BytesMut::new();
        let total: usize = batches.iter().map(Bytes::len).sum();
        if is_first || total <= bytes_max {
            records.reserve(total);
            batches.iter().for_each(|batch| records.put_slice(batch));
        }
        data.with_error_code(if within { 0 } else { ResponseError::OffsetOutOfRange.code() })
            .with_high_watermark(bounds.end)
            .with_last_stable_offset(bounds.end)
            .with_log_start_offset(bounds.start)
            .with_records(Some(records.freeze()))
    }

    fn list_offsets(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| {
                let found =
                    self.store.with_log(topic.name.0.as_str(), wanted.partition_index, |log| match wanted.timestamp {
                        LATEST => (log.bounds().end, -1),
                        EARLIEST => (log.bounds().start, -1),
                        timestamp => log.first_at_or_after(timestamp).unwrap_or((-1, -1)),
                    });
                let response = ListOffsetsPartitionResponse::default().with_partition_index(wanted.partition_index);
                match found {
                    Some((offset, timestamp)) => response.with_offset(offset).with_timestamp(timestamp),
                    None => response
                        .with_error_code(ResponseError::UnknownTopicOrPartition.code())
                        .with_offset(-1)
                        .with_timestamp(-1),
                }
            });
            ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    }
}

fn api_versions(error_code: i16) -> ApiVersionsResponse {
    let spoken = SPOKEN.iter().map(|&(api, lowest, highest)| {
        ApiVersion::default().with_api_key(api as i16).with_min_version(lowest).with_max_version(highest)
    });
    ApiVersionsResponse::default().with_error_code(error_code).with_api_keys(spoken.collect())
}

fn topic_metadata(name: TopicName, partitions: Option<i32>) -> MetadataResponseTopic {
    let Some(count) = partitions else {
        return MetadataResponseTopic::default()
            .with_name(Some(name))
            .with_error_code(ResponseError::UnknownTopicOrPartition.code());
    };
    let partitions = (0..count).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(NODE)
            .with_leader_epoch(-1)
            .with_replica_nodes(vec![NODE])
            .with_isr_nodes(vec![NODE])
    });
    MetadataResponseTopic::default().with_name(Some(name)).with_partitions(partitions.collect())
}

fn append_error(error: AppendError) -> ResponseError {
    match error {
        AppendError::Bad(BadBatch::Malformed | BadBatch::WrongChecksum) => ResponseError::CorruptMessage,
        AppendError::Bad(BadBatch::OldFormat) => ResponseError::UnsupportedForMessageFormat,
        AppendError::OutOfOrder => ResponseError::OutOfOrderSequenceNumber,
        AppendError::Duplicate => ResponseError::DuplicateSequenceNumber,
    }
}

fn text(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn encode<M: Encodable>(api: ApiKey, version: i16, correlation_id: i32, message: &M) -> anyhow::Result<Bytes> {
    let mut out = BytesMut::new();
    let header_version = api.response_header_version(version);
    ResponseHeader::default().with_correlation_id(correlation_id).encode(&mut out, header_version)?;
    message.encode(&mut out, version).with_context(|| format!("cannot encode the answer to {api:?}"))?;
    Ok(out.freeze())
}
