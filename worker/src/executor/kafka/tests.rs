//! Both readers against librdkafka's mock cluster: sticky ranges, ends, lost offsets, brokers that are not there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::{KafkaError, KafkaReader, KafkaSettings, Range};

const TOPIC: &str = "logs";
/// What each test is done with.
const READERS: [&str; 2] = ["auto", "librdkafka"];

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
    producer.flush(Duration::from_secs(60)).expect("sent");
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("value", DataType::Binary, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
    ]))
}

/// Serves connections for all tests of the process.
fn runtime() -> tokio::runtime::Handle {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads")
    });
    RUNTIME.handle().clone()
}

fn reader(which: &str, servers: &str, fail_on_data_loss: bool) -> KafkaReader {
    let settings = KafkaSettings {
        options: [("bootstrap.servers".to_owned(), servers.to_owned())].into(),
        librdkafka_only: which == "librdkafka",
        fail_on_data_loss,
        poll_timeout: Duration::from_secs(20),
        queue_bytes: 16 << 20,
        runtime: runtime(),
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
    for which in READERS {
        let cluster = cluster(2);
        produce(&cluster, 0, 0..5000);
        produce(&cluster, 1, 0..10);
        let reader = reader(which, &cluster.bootstrap_servers(), true);
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
}

#[test]
fn records_that_come_later_are_waited_for() {
    for which in READERS {
        let cluster = cluster(1);
        produce(&cluster, 0, 0..3);
        let reader = reader(which, &cluster.bootstrap_servers(), true);
        assert_eq!(offsets(&read(&reader, &range(0, 0, 3)).expect("readable")), [0, 1, 2]);
        produce(&cluster, 0, 3..6);
        assert_eq!(offsets(&read(&reader, &range(0, 3, 6)).expect("readable")), [3, 4, 5]);
    }
}

#[test]
fn cancelling_ends_a_read_that_waits() {
    for which in READERS {
        let cluster = cluster(1);
        let reader = reader(which, &cluster.bootstrap_servers(), true);
        let result = reader.read::<std::io::Error>(&range(0, 0, 3), &|| true, &mut |_| Ok(()));
        assert!(matches!(result, Err(KafkaError::Cancelled)));
    }
}

#[test]
fn offsets_beyond_the_partition_are_data_loss() {
    for which in READERS {
        let cluster = cluster(1);
        produce(&cluster, 0, 0..5);
        let strict = reader(which, &cluster.bootstrap_servers(), true);
        match read(&strict, &range(0, 50, 60)) {
            Err(KafkaError::DataLoss(loss)) => assert_eq!((loss.partition, loss.from, loss.to), (0, 50, 60)),
            other => panic!("expected data loss, got {other:?}"),
        }
        let lenient = reader(which, &cluster.bootstrap_servers(), false);
        let counts = lenient.read::<std::io::Error>(&range(0, 50, 60), &|| false, &mut |_| Ok(())).expect("goes on");
        assert_eq!((counts.rows, counts.lost.len()), (0, 1));
        // What comes there afterwards is read, though the fetching had stopped.
        produce(&cluster, 0, 5..70);
        let next = read(&lenient, &range(0, 60, 65)).expect("readable");
        assert_eq!(offsets(&next), [60, 61, 62, 63, 64], "{which}");
        assert_eq!(offsets(&read(&lenient, &range(0, 0, 3)).expect("readable")), [0, 1, 2], "{which}");
    }
}

/// The broker refuses in the middle of a range what only librdkafka speaks.
#[test]
fn librdkafka_takes_over_where_the_other_reader_stands() {
    let cluster = cluster(1);
    produce(&cluster, 0, 0..50);
    let reader = reader("auto", &cluster.bootstrap_servers(), true);
    let turns = AtomicUsize::new(0);
    // Asked at each turn, and a turn in which nothing comes waits. So after some the first half is in the columns, and
    // after some more the refusal has come; then the second half does.
    let turn = || {
        match turns.fetch_add(1, Ordering::Relaxed) {
            20 => cluster.request_errors(
                RDKafkaApiKey::Fetch,
                &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE],
            ),
            40 => produce(&cluster, 0, 50..100),
            _ => {}
        }
        false
    };
    let mut batches = Vec::new();
    let mut keep = |batch| {
        batches.push(batch);
        Ok::<_, std::io::Error>(())
    };
    let counts = reader.read(&range(0, 0, 100), &turn, &mut keep).expect("readable");
    assert!(reader.has_fallen_back());
    assert_eq!(counts.rows, 100);
    assert_eq!(offsets(&batches), (0..100).collect::<Vec<_>>());
    produce(&cluster, 0, 100..110);
    assert_eq!(offsets(&read(&reader, &range(0, 100, 110)).expect("readable")), (100..110).collect::<Vec<_>>());
}

#[test]
fn the_memory_is_shared_by_the_partitions_named_and_those_at_rest() {
    for which in READERS {
        let cluster = cluster(8);
        let reader = reader(which, &cluster.bootstrap_servers(), true);
        let of_one: Vec<Range> = (0..5).map(|part| range(0, part, part + 1)).collect();
        reader.prepare(&of_one).expect("starts");
        assert_eq!(reader.room(), 4, "{which}: five ranges of one partition");
        let others: Vec<Range> = (1..5).map(|partition| range(partition, 0, 1)).collect();
        reader.prepare(&others).expect("starts");
        assert_eq!(reader.room(), 8, "{which}: four partitions, and the one from before");
    }
}

#[test]
fn an_unreachable_broker_is_named() {
    for which in READERS {
        let reader = reader(which, "127.0.0.1:1", true);
        let error = read(&reader, &range(0, 0, 3)).expect_err("nobody is there");
        assert!(matches!(error, KafkaError::Unavailable { .. }), "{error}");
        assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    }
}

#[test]
fn an_error_of_the_consumer_of_batches_comes_back() {
    for which in READERS {
        let cluster = cluster(1);
        produce(&cluster, 0, 0..5);
        let reader = reader(which, &cluster.bootstrap_servers(), true);
        let result = reader.read(&range(0, 0, 5), &|| false, &mut |_| Err(std::io::Error::other("full")));
        assert!(matches!(result, Err(KafkaError::Sink(error)) if error.to_string() == "full"));
        assert_eq!(offsets(&read(&reader, &range(0, 0, 5)).expect("readable again")), [0, 1, 2, 3, 4]);
    }
}

#[test]
fn a_leader_that_changes_is_followed() {
    for which in READERS {
        let cluster = MockCluster::new(3).expect("a mock cluster");
        cluster.create_topic(TOPIC, 2, 3).expect("a topic");
        cluster.partition_leader(TOPIC, 0, Some(1)).expect("a leader");
        produce(&cluster, 0, 0..100);
        let reader = reader(which, &cluster.bootstrap_servers(), true);
        assert_eq!(offsets(&read(&reader, &range(0, 0, 100)).expect("readable")).len(), 100, "{which}");
        for (turn, leader) in [2, 3, 1].into_iter().enumerate() {
            cluster.partition_leader(TOPIC, 0, Some(leader)).expect("another leader");
            let (start, end) = (100 * (turn + 1), 100 * (turn + 2));
            produce(&cluster, 0, start..end);
            let batches = read(&reader, &range(0, start as i64, end as i64)).expect("readable from the new leader");
            assert_eq!(offsets(&batches), (start as i64..end as i64).collect::<Vec<_>>(), "{which}");
        }
    }
}

#[test]
fn brokers_errors_that_pass_are_waited_out() {
    for which in READERS {
        let cluster = cluster(1);
        produce(&cluster, 0, 0..10);
        cluster.request_errors(
            RDKafkaApiKey::Fetch,
            &[
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
            ],
        );
        let reader = reader(which, &cluster.bootstrap_servers(), true);
        let batches = read(&reader, &range(0, 0, 10)).expect("readable in the end");
        assert_eq!(offsets(&batches), (0..10).collect::<Vec<_>>(), "{which}");
    }
}

#[test]
fn a_broker_that_goes_and_comes_back_is_found_again() {
    for which in READERS {
        let cluster = cluster(1);
        produce(&cluster, 0, 0..10);
        let reader = reader(which, &cluster.bootstrap_servers(), true);
        assert_eq!(offsets(&read(&reader, &range(0, 0, 5)).expect("readable")), [0, 1, 2, 3, 4], "{which}");
        cluster.broker_down(1).expect("it goes");
        let gone = read(&reader, &range(0, 10, 12));
        assert!(matches!(gone, Err(KafkaError::Unavailable { .. })), "{which}: {gone:?}");
        cluster.broker_up(1).expect("it comes back");
        produce(&cluster, 0, 10..12);
        assert_eq!(offsets(&read(&reader, &range(0, 5, 12)).expect("readable")), [5, 6, 7, 8, 9, 10, 11], "{which}");
    }
}

#[test]
fn more_partitions_than_threads_share_the_queues() {
    for which in READERS {
        let cluster = cluster(40);
        for partition in 0..40 {
            produce(&cluster, partition, 0..30);
        }
        let reader = reader(which, &cluster.bootstrap_servers(), true);
        let ranges: Vec<Range> = (0..40).map(|partition| range(partition, 0, 30)).collect();
        reader.prepare(&ranges).expect("starts");
        for range in &ranges {
            let batches = read(&reader, range).expect("readable");
            assert_eq!(offsets(&batches), (0..30).collect::<Vec<_>>(), "{which} {}", range.partition);
        }
    }
}
