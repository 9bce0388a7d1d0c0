"""Makes the golden files of the record batch walk: log segments of a real Kafka, and what a real consumer reads.

    python make.py [case ...]

For each case `NAME.bin` is the partition's segment file, which holds record batches exactly as a Fetch response does;
`NAME.json` what librdkafka's consumer read under each isolation level (once where that is the same);
`transactions.txnindex` the broker's index of aborted transactions. Run with the Python that has `confluent-kafka`; Kafka comes from `scripts/setup.sh --test`.
The files in the repository were made with Apache Kafka 4.1.1 and librdkafka 2.16.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[5] / "tests/python"))
from kafka_broker import KafkaBroker  # noqa: E402

from confluent_kafka import Consumer, Producer, TopicPartition  # noqa: E402

SEGMENT = "00000000000000000000"
CLEANED_SECONDS = 120


def records(count: int):
    """Records of every shape: null and empty keys and values, headers with and without a value, much repetition."""
    for index in range(count):
        key = [None, b"", f"key-{index}".encode()][index % 3]
        value = None if index % 7 == 3 else b"" if index % 7 == 5 else f"value {index} ".encode() * (index % 5 * 9 + 1)
        headers = [("name", f"h{index}".encode()), ("empty", b""), ("null", None), ("näme", b"\xff\x00")]
        yield key, value, [] if index % 2 else headers[: index % 5]


def produce(broker: KafkaBroker, topic: str, count: int, **settings) -> None:
    """Sends `count` records in batches of a few records."""
    settings = {key.replace("_", "."): value for key, value in settings.items()}
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 50, "batch.num.messages": 7} | settings)
    for index, (key, value, headers) in enumerate(records(count)):
        producer.produce(topic, value=value, key=key, headers=headers, partition=0,
                         timestamp=1_700_000_000_000 + index * 37)
    assert producer.flush(30) == 0


def transactions(broker: KafkaBroker, topic: str) -> None:
    """Committed, aborted and interleaved transactions, with plain records between."""
    def producer(name: str) -> Producer:
        made = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": f"{topic}-{name}", "linger.ms": 0})
        made.init_transactions(30)
        return made

    first, second = producer("first"), producer("second")
    plain = Producer({"bootstrap.servers": broker.bootstrap})

    def send(by: Producer, *values: str) -> None:
        for value in values:
            by.produce(topic, value=value, partition=0)
        by.flush(30)

    send(plain, "plain 0")
    for commits in (True, False, True):
        first.begin_transaction()
        send(first, f"first {commits} a", f"first {commits} b")
        (first.commit_transaction if commits else first.abort_transaction)(30)
        send(plain, "plain between")
    first.begin_transaction()
    second.begin_transaction()
    send(first, "first aborted, begun before")
    send(second, "second committed")
    send(plain, "plain inside")
    send(first, "first aborted, more")
    second.commit_transaction(30)
    second.begin_transaction()
    send(second, "second open while the first aborts")
    first.abort_transaction(30)
    first.begin_transaction()
    send(first, "first commits after its abort")
    second.abort_transaction(30)
    first.commit_transaction(30)
    send(plain, "plain last")


def compact(broker: KafkaBroker, topic: str) -> None:
    """Rewrites keys until the cleaner has taken old values out of the first segment."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 20, "batch.num.messages": 5})
    for turn in range(3):
        for index in range(20):
            value = None if index == 13 else f"turn {turn} value {index}"
            producer.produce(topic, key=f"k{index % 8}", value=value, partition=0)
        producer.produce(topic, key=f"only {turn}", value="kept", partition=0)
        producer.flush(30)
    before = segment(broker, topic).stat().st_size
    deadline = time.monotonic() + CLEANED_SECONDS
    while segment(broker, topic).stat().st_size >= before:
        assert time.monotonic() < deadline, "the cleaner did nothing"
        time.sleep(1.1)
        # A new record rolls the segment, which the cleaner leaves alone while it is the last.
        producer.produce(topic, key="roll", value=str(time.time()), partition=0)
        producer.flush(30)


def segment(broker: KafkaBroker, topic: str) -> Path:
    """The partition's first log file."""
    return broker.folder / "logs" / f"{topic}-0" / f"{SEGMENT}.log"


def consume(broker: KafkaBroker, topic: str, isolation: str) -> list:
    """All records of the partition as [offset, timestamp, type, key, value, headers], bytes as hexadecimal digits."""
    def text(data):
        data = data.encode() if isinstance(data, str) else data
        return None if data is None else data.hex()

    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "golden", "isolation.level": isolation,
                         "enable.partition.eof": True, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    rows = []
    while True:
        message = consumer.poll(30)
        assert message is not None, "the consumer waits for ever"
        if message.error():
            consumer.close()
            return rows
        kind, millis = message.timestamp()
        headers = [[name, text(value)] for name, value in message.headers() or []]
        # confluent-kafka counts kinds from 0 = none; Kafka's own numbers are 0 = create, 1 = append.
        rows.append([message.offset(), millis, kind - 1, text(message.key()), text(message.value()), headers])


def make(broker: KafkaBroker, name: str, fill, **config: str) -> None:
    """One case: a topic, its records, and both files."""
    broker.create_topic(name, 1, **config)
    fill(broker, name)
    read = {isolation: consume(broker, name, isolation) for isolation in ("read_uncommitted", "read_committed")}
    source = segment(broker, name)
    data = source.read_bytes()
    (HERE / f"{name}.bin").write_bytes(data)
    rows = read["read_uncommitted"]
    if read["read_committed"] == rows:
        del read["read_committed"]
    (HERE / f"{name}.json").write_text(json.dumps(read) + "\n")
    index = source.with_suffix(".txnindex")
    if index.exists() and index.stat().st_size:
        shutil.copy(index, HERE / f"{name}.txnindex")
    print(name, len(data), "bytes", len(rows), "records")


def main() -> None:
    cases = {"plain": (lambda broker, topic: produce(broker, topic, 20), {}),
             "idempotent": (lambda broker, topic: produce(broker, topic, 20, enable_idempotence=True), {}),
             "append_time": (lambda broker, topic: produce(broker, topic, 10),
                             {"message_timestamp_type": "LogAppendTime"}),
             "transactions": (transactions, {}),
             "compacted": (compact, {"cleanup_policy": "compact", "segment_ms": "1000",
                                     "min_cleanable_dirty_ratio": "0.01", "max_compaction_lag_ms": "1000",
                                     "delete_retention_ms": "1000"})}
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        cases[f"{codec}_c"] = (lambda broker, topic, codec=codec: produce(broker, topic, 20, compression_type=codec), {})
        # The broker itself compresses, with the libraries and the framing of Java's producers.
        cases[f"{codec}_java"] = (lambda broker, topic: produce(broker, topic, 20), {"compression_type": codec})
    with KafkaBroker() as broker:
        for name in sys.argv[1:] or cases:
            fill, config = cases[name]
            make(broker, name, fill, **config)


if __name__ == "__main__":
    main()
