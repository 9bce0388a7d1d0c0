"""The two Kafka readers, the one that speaks the Fetch protocol itself and librdkafka, over the same topics of a real
Kafka: both give exactly the rows that a real consumer reads.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

import small_programs
from kafka_broker import TRANSACTION_MILLIS

READERS = ["fetch", "librdkafka"]
# A program that prints each row of a topic, what is large or binary by its digest.
PROGRAM = '''
import hashlib

options = json.loads(os.environ["OPTIONS"])
frame = stream(subscribe=os.environ["TOPIC"], startingOffsets="earliest", includeHeaders="true", **options)
frame = frame.selectExpr("topic", "partition", "offset", "unix_millis(timestamp) millis", "timestampType", "key", "value",
                         "headers")
query = frame.writeStream.format("memory").queryName("rows").trigger(availableNow=True).start()
query.awaitTermination()


def digest(data):
    return None if data is None else f"{len(data)} {hashlib.sha256(bytes(data)).hexdigest()[:16]}"


rows = [[row.topic, row.partition, row.offset, row.millis, row.timestampType, digest(row.key), digest(row.value),
         [[header.key, digest(header.value)] for header in row.headers or []]] for row in spark.table("rows").collect()]
print("FOUND", json.dumps(sorted(rows)))
'''


def digest(data) -> str | None:
    """As the program makes it."""
    data = data.encode() if isinstance(data, str) else data
    return None if data is None else f"{len(data)} {hashlib.sha256(data).hexdigest()[:16]}"


def read(pyrite, broker, topic: str, reader: str, **options: str) -> list:
    """The rows that a program reads with one of the readers."""
    flags = ["--conf", "spark.pyrite.kafka.reader=librdkafka"] if reader == "librdkafka" else []
    program = small_programs.run(pyrite, PROGRAM, broker.bootstrap, name=f"read-{reader}", seconds=90, flags=flags,
                                 TOPIC=topic, OPTIONS=json.dumps(options), PYRITE_LOG="info")
    assert chosen(program) == [reader], program.story()
    return json.loads(re.search(r"^FOUND (.*)$", program.output(), re.MULTILINE).group(1))


def chosen(program) -> list[str]:
    """Which reader the sources of the program got; it logs at INFO."""
    return re.findall(r"kafka reader chosen.*reader=\"?(\w+)", program.errors() + program.output())


def consumed(broker, topic: str, partitions: int = 1, isolation: str = "read_uncommitted") -> list:
    """The rows that a real consumer reads."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "compare", "isolation.level": isolation,
                         "enable.partition.eof": True, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    rows, ended = [], set()
    while len(ended) < partitions:
        message = consumer.poll(30)
        assert message is not None, "the consumer waits for ever"
        if message.error():
            ended.add(message.partition())
            continue
        kind, millis = message.timestamp()
        headers = [[name, digest(value)] for name, value in message.headers() or []]
        rows.append([topic, message.partition(), message.offset(), millis, kind - 1, digest(message.key()),
                     digest(message.value()), headers])
    consumer.close()
    return sorted(rows)


def produce(broker, topic: str, count: int, partitions: int = 1, size: int = 100, **settings) -> None:
    """Records of many shapes, in small batches."""
    settings = {name.replace("_", "."): value for name, value in settings.items()}
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 20, "batch.num.messages": 50} | settings)
    for index in range(count):
        value = [None, b"", f"{index} ".encode() * (index % size)][index % 3 if index % 10 == 0 else 2]
        headers = [("a", f"{index}".encode()), ("b", None), ("a", b"\xff\x00")][: index % 4]
        key = None if index % 5 == 0 else f"key {index}"
        while True:
            try:
                producer.produce(topic, value=value, key=key, headers=headers, partition=index % partitions,
                                 timestamp=1_700_000_000_000 + index * 7)
                break
            except BufferError:
                producer.poll(1)
    assert producer.flush(60) == 0


def both(pyrite, broker, topic: str, expected: list, **options: str) -> None:
    """Both readers give exactly these rows."""
    assert expected, "there is something to compare"
    for reader in READERS:
        assert read(pyrite, broker, topic, reader, **options) == expected, reader


def test_codecs_of_producers_and_of_brokers(pyrite, broker):
    """What librdkafka's producer packs, and what the broker packs anew with Java's libraries."""
    topics, expected = [], []
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        java = {"compression_type": codec}
        if codec == "none":
            java = {"compression_type": "uncompressed", "message_timestamp_type": "LogAppendTime"}
        for topic, sent, config in [(f"packed-{codec}", codec, {}), (f"packed-java-{codec}", "none", java)]:
            broker.create_topic(topic, 2, **config)
            produce(broker, topic, 1_000, 2, compression_type=sent)
            topics.append(topic)
            expected += consumed(broker, topic, 2)
    both(pyrite, broker, ",".join(topics), sorted(expected))


def test_transactions_under_both_isolation_levels(pyrite, broker):
    broker.create_topic("isolated", 1)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": "isolated", "linger.ms": 0})
    producer.init_transactions(30)
    for turn in range(12):
        producer.begin_transaction()
        for index in range(turn):
            producer.produce("isolated", value=f"{turn} {index}", partition=0)
        producer.flush(30)
        (producer.abort_transaction if turn % 3 == 2 else producer.commit_transaction)(30)
        produce(broker, "isolated", 3)
    counts = []
    for level in ("read_uncommitted", "read_committed"):
        expected = consumed(broker, "isolated", isolation=level)
        counts.append(len(expected))
        both(pyrite, broker, "isolated", expected, **{"kafka.isolation.level": level})
    assert counts[0] > counts[1]


def test_an_open_transaction_ends_what_is_read(pyrite, broker):
    broker.create_topic("open", 1)
    produce(broker, "open", 5)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": "open", "linger.ms": 0,
                         "transaction.timeout.ms": TRANSACTION_MILLIS})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce("open", value="not yet", partition=0)
    producer.flush(30)
    produce(broker, "open", 5)
    stable = consumed(broker, "open", isolation="read_committed")
    both(pyrite, broker, "open", stable, **{"kafka.isolation.level": "read_committed"})
    both(pyrite, broker, "open", consumed(broker, "open"))
    producer.abort_transaction(30)


def size(path: Path) -> int:
    """Bytes in the file; for a moment, when the broker puts a cleaned one in its place, there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_a_compacted_topic(pyrite, broker):
    broker.create_topic("compacted", 1, cleanup_policy="compact", segment_ms="1000", min_cleanable_dirty_ratio="0.01",
                        max_compaction_lag_ms="1000")
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 5, "batch.num.messages": 10})
    first = broker.folder / "logs" / "compacted-0" / "00000000000000000000.log"
    for index in range(300):
        producer.produce("compacted", key=f"k{index % 20}", value=f"v{index}", partition=0)
    producer.flush(30)
    before, deadline = size(first), time.monotonic() + 90
    while size(first) >= before:
        assert time.monotonic() < deadline, "the cleaner did nothing"
        time.sleep(1.1)
        producer.produce("compacted", key="roll", value="again", partition=0)
        producer.flush(30)
    for reader in READERS:
        expected, found = consumed(broker, "compacted"), read(pyrite, broker, "compacted", reader)
        while consumed(broker, "compacted") != expected:
            # The cleaner went on meanwhile; it comes to an end, for nothing is written any more.
            expected, found = consumed(broker, "compacted"), read(pyrite, broker, "compacted", reader)
        assert len(expected) < 100 and expected[0][2] > 0, "the cleaner took records away"
        assert found == expected, reader


def test_records_deleted_from_the_front(pyrite, broker):
    broker.create_topic("cut", 1)
    produce(broker, "cut", 500)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in admin.delete_records([TopicPartition("cut", 0, 123)]).values():
        future.result(30)
    expected = consumed(broker, "cut")
    assert expected[0][2] == 123
    both(pyrite, broker, "cut", expected)


def test_many_partitions(pyrite, broker):
    broker.create_topic("many", 64)
    produce(broker, "many", 20_000, 64)
    both(pyrite, broker, "many", consumed(broker, "many", 64))


def test_records_larger_than_a_fetch(pyrite, broker):
    """One that every limit of a fetch is smaller than, beside a partition that always has something to send."""
    broker.create_topic("big", 2, max_message_bytes="8000000")
    producer = Producer({"bootstrap.servers": broker.bootstrap, "message.max.bytes": 8_000_000, "linger.ms": 0})
    for index in range(3):
        producer.produce("big", value=b"%d" % index * 6_000_000, partition=1)
        producer.produce("big", value=b"small", partition=1)
        for _ in range(2_000):
            producer.produce("big", value=b"x" * 1_000, partition=0)
        producer.flush(60)
    expected = consumed(broker, "big", 2)
    both(pyrite, broker, "big", expected)


@pytest.mark.parametrize("reader", READERS)
def test_a_broker_that_goes_away_and_comes_back(pyrite, reader):
    """Its own broker, killed while a program waits for more; nothing is lost or read twice."""
    from kafka_broker import KafkaBroker

    with KafkaBroker() as broker:
        broker.create_topic("away", 3)
        produce(broker, "away", 3_000, 3)
        flags = ["--conf", "spark.pyrite.kafka.reader=librdkafka"] if reader == "librdkafka" else []
        body = '''
frame = stream(subscribe="away", startingOffsets="earliest").selectExpr("partition", "offset")
query = frame.writeStream.format("memory").queryName("rows").start()
while True:
    found = [(row.partition, row.offset) for row in spark.table("rows").collect()]
    print("SEEN", len(found), len(set(found)), flush=True)
    if len(found) >= 6000:
        break
    query.awaitTermination(0.2)
query.stop()
'''
        program = small_programs.start(pyrite, body, broker.bootstrap, flags=flags, PYRITE_LOG="info")
        program.wait_for(r"^SEEN 3000 3000$", 60)
        assert chosen(program) == [reader], program.story()
        broker.kill()
        # Long enough for connections to be refused.
        time.sleep(2)
        broker.start()
        produce(broker, "away", 3_000, 3)
        assert program.wait(120) == 0, program.story()
        assert program.output().rstrip().endswith("SEEN 6000 6000"), program.story()


def test_an_option_that_only_librdkafka_knows_chooses_it(pyrite, broker):
    broker.create_topic("chosen", 1)
    produce(broker, "chosen", 10)
    program = small_programs.run(pyrite, PROGRAM, broker.bootstrap, TOPIC="chosen", PYRITE_LOG="info",
                                 OPTIONS=json.dumps({"kafka.client.rack": "here"}))
    text = program.errors() + program.output()
    assert re.search(r"kafka reader chosen.*reader=\"?librdkafka.*client\.rack", text), program.story()
    found = json.loads(re.search(r"^FOUND (.*)$", program.output(), re.MULTILINE).group(1))
    assert found == consumed(broker, "chosen")
