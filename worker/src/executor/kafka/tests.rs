//! The reader against librdkafka's mock cluster: sticky ranges, ends, lost offsets, brokers that are not there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

use super::{KafkaError, KafkaReader, KafkaSettings, Range};

const TOPIC: &str = "logs";

fn cluster(partitions: i32) -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic(TOPIC, partitions, 1).expect("a topic");
    cluster
}

fn produce(cluster: &MockCluster<'static, DefaultProducerContext>, partition: i32, values: std::ops::Range<usize>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("linger.ms", "0")
        .create()
        .expect("a producer");
    for value in values {
        let (key, text) = (format!("k{value}"), format!("value {value}"));
        let record =
            BaseRecord::to(TOPIC).partition(partition).key(&key).payload(&text).timestamp(1_000 + value as i64);
        producer.send(record).map_err(|(error, _)| error).expect("queued");
    }
    producer.flush(Duration::from_secs(10)).expect("sent");
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("value", DataType::Binary, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
    ]))
}

fn reader(servers: &str, fail_on_data_loss: bool) -> KafkaReader {
    let settings = KafkaSettings {
        options: BTreeMap::from([("bootstrap.servers".to_owned(), servers.to_owned())]),
        fail_on_data_loss,
        poll_timeout: Duration::from_secs(20),
        queue_bytes: 16 << 20,
    };
    KafkaReader::new(settings, schema()).expect("a reader")
}

fn range(partition: i32, start: i64, end: i64) -> Range {
    Range { topic: TOPIC.to_owned(), partition, start, end }
}

fn read(reader: &KafkaReader, range: &Range) -> Result<Vec<RecordBatch>, KafkaError> {
    let mut batches = Vec::new();
    reader.read::<std::io::Error>(range, &|| false, &mut |batch| {
        batches.push(batch);
        Ok(())
    })?;
    Ok(batches)
}

fn offsets(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().flat_map(|batch| batch.column(1).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[test]
fn ranges_are_read_exactly_and_go_on_where_the_last_ended() {
    let cluster = cluster(2);
    produce(&cluster, 0, 0..5000);
    produce(&cluster, 1, 0..10);
    let reader = reader(&cluster.bootstrap_servers(), true);
    reader.prepare(&[range(0, 0, 1234), range(1, 3, 7)]).expect("starts");
    let first = read(&reader, &range(0, 0, 1234)).expect("readable");
    assert_eq!(offsets(&first), (0..1234).collect::<Vec<_>>());
    assert_eq!(first[0].column(0).as_binary::<i32>().value(7), b"value 7");
    let time = first[0].column(2).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert_eq!(time.value(7), 1_007_000);
    // Sticky: the rest was fetched already; and another partition in between.
    assert_eq!(offsets(&read(&reader, &range(1, 3, 7)).expect("readable")), [3, 4, 5, 6]);
    assert_eq!(offsets(&read(&reader, &range(0, 1234, 5000)).expect("readable")), (1234..5000).collect::<Vec<_>>());
    // A replay goes back.
    assert_eq!(offsets(&read(&reader, &range(0, 100, 200)).expect("readable")), (100..200).collect::<Vec<_>>());
    assert!(read(&reader, &range(0, 7, 7)).expect("nothing to read").is_empty());
}

#[test]
fn records_that_come_later_are_waited_for() {
    let cluster = cluster(1);
    produce(&cluster, 0, 0..3);
    let reader = reader(&cluster.bootstrap_servers(), true);
    assert_eq!(offsets(&read(&reader, &range(0, 0, 3)).expect("readable")), [0, 1, 2]);
    produce(&cluster, 0, 3..6);
    assert_eq!(offsets(&read(&reader, &range(0, 3, 6)).expect("readable")), [3, 4, 5]);
}

#[test]
fn cancelling_ends_a_read_that_waits() {
    let cluster = cluster(1);
    let reader = reader(&cluster.bootstrap_servers(), true);
    let result = reader.read::<std::io::Error>(&range(0, 0, 3), &|| true, &mut |_| Ok(()));
    assert!(matches!(result, Err(KafkaError::Cancelled)));
}

#[test]
fn offsets_beyond_the_partition_are_data_loss() {
    let cluster = cluster(1);
    produce(&cluster, 0, 0..5);
    let strict = reader(&cluster.bootstrap_servers(), true);
    match read(&strict, &range(0, 50, 60)) {
        Err(KafkaError::DataLoss(loss)) => assert_eq!((loss.partition, loss.from, loss.to), (0, 50, 60)),
        other => panic!("expected data loss, got {other:?}"),
    }
    let lenient = reader(&cluster.bootstrap_servers(), false);
    let counts = lenient.read::<std::io::Error>(&range(0, 50, 60), &|| false, &mut |_| Ok(())).expect("goes on");
    assert_eq!((counts.rows, counts.lost.len()), (0, 1));
}

#[test]
fn an_unreachable_broker_is_named() {
    let reader = reader("127.0.0.1:1", true);
    let error = read(&reader, &range(0, 0, 3)).expect_err("nobody is there");
    assert!(matches!(error, KafkaError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[test]
fn an_error_of_the_consumer_of_batches_comes_back() {
    let cluster = cluster(1);
    produce(&cluster, 0, 0..5);
    let reader = reader(&cluster.bootstrap_servers(), true);
    let result = reader.read(&range(0, 0, 5), &|| false, &mut |_| Err(std::io::Error::other("full")));
    assert!(matches!(result, Err(KafkaError::Sink(error)) if error.to_string() == "full"));
    assert_eq!(offsets(&read(&reader, &range(0, 0, 5)).expect("readable again")), [0, 1, 2, 3, 4]);
}
