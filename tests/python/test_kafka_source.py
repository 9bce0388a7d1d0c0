"""The Kafka source at its edges: every option and column, topics that grow, transactions, gaps, records that are gone.

Real Kafka, the real PySpark client; answers are what was sent.
"""

from __future__ import annotations

import re
import time

import pytest

import console
from kafka_broker import TRANSACTION_MILLIS, KafkaBroker
from processes import PATIENCE
from small_programs import no_trace_of_ours, rows, run, start

# A query that goes on from a checkpoint and prints partitions and offsets; OPTIONS are more options of the source.
RESUMED = '''
options = {"subscribe": os.environ["TOPIC"], "startingOffsets": "earliest"} | json.loads(os.environ.get("OPTIONS", "{}"))
writer = (
    stream(**options).select("topic", "partition", "offset", col("value").cast("string").alias("v"))
    .writeStream.format("console").option("numRows", 100000).option("checkpointLocation", os.environ["CHECKPOINT"])
)
if "GO_ON" not in os.environ:
    writer = writer.trigger(availableNow=True)
writer.start().awaitTermination()
'''


def printed(process) -> list[dict]:
    """The rows that the console has, of all batches."""
    return [row for batch in console.batches(process.output()) for row in batch.dicts()]


def wait_for_rows(process, count: int, seconds: float = 60) -> list[dict]:
    deadline = time.monotonic() + seconds * PATIENCE
    while len(printed(process)) < count:
        assert process.alive() and time.monotonic() < deadline, f"{count} rows wanted\n{process.story()}"
        time.sleep(0.05)
    return printed(process)


def administer(broker, request: str, *arguments) -> None:
    """Sends one of the AdminClient's requests and waits for its answers."""
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in getattr(client, request)(*arguments).values():
        future.result(30)


def delete_records(broker, topic: str, partition: int, before: int) -> None:
    from confluent_kafka import TopicPartition

    administer(broker, "delete_records", [TopicPartition(topic, partition, before)])


def recreate(broker, topic: str, partitions: int = 1) -> None:
    """Deletes a topic and makes it again, once the broker has forgotten it."""
    from confluent_kafka import KafkaException

    administer(broker, "delete_topics", [topic])
    deadline = time.monotonic() + 30
    while True:
        try:
            return broker.create_topic(topic, partitions)
        except KafkaException as error:
            assert "already exists" in str(error).lower() and time.monotonic() < deadline, error
            time.sleep(0.1)


def test_all_columns_are_as_they_were_sent(pyrite, broker):
    from confluent_kafka import Producer

    broker.create_topic("columns", 2)
    broker.create_topic("appended", message_timestamp_type="LogAppendTime")
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce("columns", value="v", key="k", partition=1, timestamp=1_600_000_000_123,
                     headers=[("a", b"1"), ("a", b"2"), ("none", None)])
    producer.produce("columns", value=None, key=None, partition=1, timestamp=1_600_000_000_124)
    producer.produce("columns", value="", key="", partition=1, timestamp=1_600_000_000_125)
    producer.produce("appended", value="x", timestamp=1_600_000_000_123)
    assert producer.flush(30) == 0
    program = '''
columns = ["key", "value", "topic", "partition", "offset", expr("unix_millis(timestamp)").alias("ms"), "timestampType"]
frame = stream(subscribe="columns", startingOffsets="earliest", includeHeaders="true")
print("SCHEMA", frame.schema.simpleString())
show(frame.select(*columns, "headers"))
show(stream(subscribe="appended", startingOffsets="earliest").select(*columns), "appended")
'''
    process = run(pyrite, program, broker.bootstrap)
    assert ("SCHEMA struct<key:binary,value:binary,topic:string,partition:int,offset:bigint,timestamp:timestamp,"
            "timestampType:int,headers:array<struct<key:string,value:binary>>>") in process.output(), process.story()
    found, appended = rows(process)
    same = {"topic": "columns", "partition": 1, "timestampType": 0}
    headers = [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}, {"key": "none", "value": None}]
    assert sorted(found, key=lambda row: row["offset"]) == [
        same | {"key": "k", "value": "v", "offset": 0, "ms": 1_600_000_000_123, "headers": headers},
        same | {"key": None, "value": None, "offset": 1, "ms": 1_600_000_000_124, "headers": None},
        same | {"key": "", "value": "", "offset": 2, "ms": 1_600_000_000_125, "headers": None},
    ]
    assert appended[0]["timestampType"] == 1 and abs(appended[0]["ms"] / 1000 - time.time()) < 3600, appended


def test_a_query_starts_where_it_is_told_and_takes_what_it_may(pyrite, broker, topic):
    for partition in (0, 1):
        broker.send(topic, [str(index) for index in range(10)], partition, timestamps=[1000 * (1 + i) for i in range(10)])
    program = '''
topic = os.environ["TOPIC"]

def read(name, **options):
    chosen = {} if {"assign", "subscribePattern"} & options.keys() else {"subscribe": topic}
    query = show(stream(**chosen, **options).select("partition", "offset"), name)
    print("SIZES", json.dumps([progress["numInputRows"] for progress in query.recentProgress if progress["numInputRows"]]))

read("offsets", startingOffsets=json.dumps({topic: {"0": -2, "1": 7}}))
read("ends", startingOffsets=json.dumps({topic: {"0": -1, "1": 9}}))
read("time", startingTimestamp="6000")
read("times", startingOffsetsByTimestamp=json.dumps({topic: {"0": 3000, "1": 9500}}))
read("young", startingTimestamp="99000", startingOffsetsByTimestampStrategy="latest")
read("assign", assign=json.dumps({topic: [1]}), startingOffsets="earliest")
read("pattern", subscribePattern=topic[:-1] + ".", startingOffsets="earliest")
read("limited", startingOffsets="earliest", maxOffsetsPerTrigger="6")
read("split", startingOffsets="earliest", minPartitions="7")
try:
    read("old", startingTimestamp="99000")
except Exception as error:
    print("REFUSED", type(error).__name__, str(error).splitlines()[0])
try:
    read("one", startingOffsets=json.dumps({topic: {"0": 1}}))
except Exception as error:
    print("REFUSED", type(error).__name__, str(error).splitlines()[0])
'''
    process = run(pyrite, program, broker.bootstrap, TOPIC=topic)
    from_each = [((0, 0), (1, 7)), ((0, 10), (1, 9)), ((0, 5), (1, 5)), ((0, 2), (1, 9)), ((0, 10), (1, 10)), ((1, 0),),
                 ((0, 0), (1, 0)), ((0, 0), (1, 0)), ((0, 0), (1, 0))]
    found = [sorted((row["partition"], row["offset"]) for row in answer) for answer in rows(process)]
    assert found == [[(p, o) for p, first in starts for o in range(first, 10)] for starts in from_each], process.story()
    sizes = re.findall(r"^SIZES (.*)$", process.output(), re.MULTILINE)
    assert sizes[7] == "[6, 6, 6, 2]" and sizes[8] == "[20]", sizes
    refusals = re.findall(r"^REFUSED (.*)$", process.output(), re.MULTILINE)
    assert "as young as the starting timestamp" in refusals[0] and f"{topic}-1" in refusals[1], refusals


def test_topics_and_partitions_that_appear_are_read_from_their_beginning(pyrite, broker):
    from confluent_kafka.admin import NewPartitions

    broker.create_topic("grow-a")
    broker.create_topic("ungrown")
    broker.send("grow-a", ["a0"])
    body = '''
frame = stream(subscribePattern="grow-.*", startingOffsets="latest")
frame.select(col("value").cast("string").alias("v"), "topic", "partition").writeStream.format("console").start().awaitTermination()
'''
    process = start(pyrite, body, broker.bootstrap)
    process.wait_for(r"^Batch: 0$", 60)
    broker.create_topic("grow-b")
    broker.send("grow-b", ["b0", "b1"])
    broker.send("ungrown", ["no"])
    wait_for_rows(process, 2)
    administer(broker, "create_partitions", [NewPartitions("grow-a", 2)])
    broker.send("grow-a", ["a1"])
    broker.send("grow-a", ["a2"], partition=1)
    found = {(row["v"], row["topic"], row["partition"]) for row in wait_for_rows(process, 4)}
    assert found == {("b0", "grow-b", "0"), ("b1", "grow-b", "0"), ("a1", "grow-a", "0"), ("a2", "grow-a", "1")}
    process.interrupt()
    no_trace_of_ours(process)


def test_a_minimum_is_waited_for_until_the_longest_delay(pyrite, broker, topic):
    broker.send(topic, ["x"] * 12)
    body = '''
options = json.loads(os.environ["OPTIONS"])
stream(subscribe=os.environ["TOPIC"], startingOffsets="earliest", **options).select("offset") \\
    .writeStream.format("console").start().awaitTermination()
'''
    patient = start(pyrite, body, broker.bootstrap, name="patient", TOPIC=topic, OPTIONS='{"minOffsetsPerTrigger": "10"}')
    hasty = start(pyrite, body, broker.bootstrap, name="hasty", TOPIC=topic,
                  OPTIONS='{"minOffsetsPerTrigger": "1000", "maxTriggerDelay": "2s"}')
    for process in (patient, hasty):
        wait_for_rows(process, 12)
    broker.send(topic, ["y"] * 5)
    # The hasty one shows that its delay is over, and so that the patient one has seen these records and waits.
    wait_for_rows(hasty, 17)
    broker.send(topic, ["z"] * 5)
    wait_for_rows(patient, 22)
    sizes = [len(batch.rows) for batch in console.batches(patient.output()) if batch.rows]
    assert sizes == [12, 10], patient.story()
    for process in (patient, hasty):
        process.interrupt()
        no_trace_of_ours(process)


def test_aborted_records_are_not_seen_and_control_records_end_a_batch(pyrite, broker):
    from confluent_kafka import Producer

    broker.create_topic("transactions")
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": "t",
                         "transaction.timeout.ms": TRANSACTION_MILLIS})
    producer.init_transactions(30)
    for values, ending in ((["a", "b"], "commit"), (["lost"], "abort"), (["c"], "commit"), (["lost"], "abort"), (["open"], "")):
        producer.begin_transaction()
        for value in values:
            producer.produce("transactions", value)
        if ending == "commit":
            producer.commit_transaction(30)
        elif ending == "abort":
            producer.flush(30)
            producer.abort_transaction(30)
        else:
            producer.flush(30)
    program = '''
def read(**more):
    frame = stream(subscribe="transactions", startingOffsets="earliest", **more)
    return frame.select(col("value").cast("string").alias("v"))

committed = {"kafka.isolation.level": "read_committed"}
show(read(**committed), "committed")
show(read(**committed, maxOffsetsPerTrigger="1"), "one")
show(read(), "all")
'''
    process = run(pyrite, program, broker.bootstrap)
    committed, one_by_one, everything = [sorted(row["v"] for row in answer) for answer in rows(process)]
    assert committed == one_by_one == ["a", "b", "c"], process.story()
    assert everything == ["a", "b", "c", "lost", "lost", "open"], process.story()
    producer.abort_transaction(30)


def test_compacted_and_empty_partitions_end_their_batches(pyrite, broker):
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    quick = ConfigEntry("log.cleaner.backoff.ms", "100", incremental_operation=AlterConfigOpType.SET)
    administer(broker, "incremental_alter_configs", [ConfigResource(ResourceType.BROKER, "1", incremental_configs=[quick])])
    broker.create_topic("compacted-away", 3, cleanup_policy="compact", segment_ms="50", min_cleanable_dirty_ratio="0.001")
    for round_ in range(20):
        broker.send("compacted-away", [f"{round_}-{key}" for key in range(5)], 1, keys=[f"k{key}" for key in range(5)])
    deadline = time.monotonic() + 240
    while (left := kept(broker, "compacted-away", 1)) > 60:
        assert time.monotonic() < deadline, f"{left} of 100 records are still there"
        broker.send("compacted-away", ["last"], 1, keys=["last"])
    assert left >= 6, "each key has its newest record"
    program = '''
frame = stream(subscribe="compacted-away", startingOffsets="earliest", maxOffsetsPerTrigger="7")
show(frame.select("partition", expr("CAST(key AS STRING) AS k"), expr("CAST(value AS STRING) AS v")))
'''
    process = run(pyrite, program, broker.bootstrap)
    newest = {row["k"]: row["v"] for row in rows(process)[0] if row["partition"] == 1}
    newest.pop("last", None)
    assert newest == {f"k{key}": f"19-{key}" for key in range(5)}, process.story()


def kept(broker, topic: str, partition: int) -> int:
    """How many records a reader from the beginning gets."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "kept", "enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(topic, partition, 0)])
        count = 0
        while True:
            message = consumer.poll(30)
            assert message is not None, "the consumer waits for ever"
            if message.error() and message.error().code() == KafkaError._PARTITION_EOF:
                return count
            count += 1
    finally:
        consumer.close()


def test_a_broker_that_crashes_in_the_middle_costs_no_record(pyrite, tmp_path):
    count = 20_000
    with KafkaBroker() as own:
        own.create_topic("crash", 2)
        for partition in (0, 1):
            own.send("crash", [str(index) for index in range(count)], partition)
        environment = {"TOPIC": "crash", "CHECKPOINT": str(tmp_path / "checkpoint"), "OPTIONS": '{"maxOffsetsPerTrigger": "200"}'}
        process = start(pyrite, RESUMED, own.bootstrap, **environment)
        process.wait_for(r"^Batch: 10$", 60)
        own.kill()
        own.start()
        assert process.wait(120) == 0, process.story()
    found = sorted((int(row["partition"]), int(row["offset"])) for row in printed(process))
    assert found == [(partition, offset) for partition in (0, 1) for offset in range(count)], "each record once"
    no_trace_of_ours(process)


@pytest.fixture
def resumed(pyrite, broker, tmp_path):
    """Runs `RESUMED` on a topic's checkpoint."""

    def run_it(topic: str, *, code: int = 0, fail: bool = True, name: str = "resumed", **options):
        options = {"failOnDataLoss": str(fail).lower()} | options
        text = "{" + ", ".join(f'"{key}": "{value}"' for key, value in options.items()) + "}"
        checkpoint = tmp_path / f"checkpoint-{topic}"
        return run(pyrite, RESUMED, broker.bootstrap, code=code, name=name, TOPIC=topic, CHECKPOINT=str(checkpoint), OPTIONS=text)

    return run_it


def offsets(process) -> list[int]:
    return sorted(int(row["offset"]) for row in printed(process))


def test_records_that_are_gone_stop_the_query_or_are_told(broker, resumed):
    broker.create_topic("aged")
    broker.send("aged", ["old"] * 10)
    assert offsets(resumed("aged")) == list(range(10))
    broker.send("aged", ["new"] * 10)
    delete_records(broker, "aged", 0, 15)
    failed = resumed("aged", code=1)
    assert "KAFKA_DATA_LOSS" in failed.errors() and "aged-0" in failed.errors() and "[10, 15)" in failed.errors()
    assert printed(failed) == []
    went_on = resumed("aged", fail=False)
    assert offsets(went_on) == list(range(15, 20))
    assert re.search(r"WARN .*aged-0.*\[10, 15\)", went_on.errors()), went_on.story()


def test_a_topic_made_anew_stops_the_query_or_is_read_from_its_beginning(broker, resumed):
    broker.create_topic("anew")
    broker.send("anew", ["old"] * 10)
    assert offsets(resumed("anew")) == list(range(10))
    recreate(broker, "anew")
    broker.send("anew", ["new"] * 3)
    failed = resumed("anew", code=1)
    assert "KAFKA_DATA_LOSS" in failed.errors() and "anew-0" in failed.errors() and "[3, 10)" in failed.errors()
    went_on = resumed("anew", fail=False)
    assert offsets(went_on) == [0, 1, 2] and {row["v"] for row in printed(went_on)} == {"new"}, went_on.story()
    assert re.search(r"WARN .*anew-0.*\[3, 10\)", went_on.errors()), went_on.story()
    broker.send("anew", ["newer"])
    assert offsets(resumed("anew")) == [3]


def test_a_running_query_goes_on_with_a_topic_made_anew(pyrite, broker, tmp_path):
    broker.create_topic("rerun", 2)
    broker.send("rerun", ["old"] * 10)
    environment = {"TOPIC": "rerun", "CHECKPOINT": str(tmp_path / "checkpoint"), "OPTIONS": '{"failOnDataLoss": "false"}'}
    process = start(pyrite, RESUMED, broker.bootstrap, GO_ON="1", **environment)
    wait_for_rows(process, 10)
    recreate(broker, "rerun", 2)
    broker.send("rerun", ["new"] * 3)
    wait_for_rows(process, 13)
    broker.send("rerun", ["new"] * 8)
    broker.send("rerun", ["new"], partition=1)
    found = [(row["v"], row["partition"], int(row["offset"])) for row in wait_for_rows(process, 22)]
    assert sorted(found[10:]) == [("new", "0", offset) for offset in range(11)] + [("new", "1", 0)], process.story()
    assert "rerun-0" in process.errors() and "failOnDataLoss" in process.errors(), process.story()
    process.interrupt()
    no_trace_of_ours(process)


def test_offsets_before_the_beginning_are_named_by_whoever_reads_them(broker, resumed):
    broker.create_topic("early")
    broker.send("early", ["x"] * 20)
    delete_records(broker, "early", 0, 10)
    start_at = {"startingOffsets": '{\\"early\\":{\\"0\\":5}}'}
    failed = resumed("early", code=1, **start_at)
    assert "KAFKA_DATA_LOSS" in failed.errors() and "[5, 10)" in failed.errors() and "early-0" in failed.errors()
    # The batch is pinned from 5 on; it runs without what is gone.
    went_on = resumed("early", fail=False, **start_at)
    assert offsets(went_on) == list(range(10, 20))
    assert re.search(r"WARN .*\[5, 10\) of `early-0`", went_on.errors()), went_on.story()


def test_a_replay_of_records_that_are_gone_names_them(broker, resumed, tmp_path):
    """The batch is pinned and not committed; meanwhile its topic is made anew."""
    broker.create_topic("replayed")
    broker.send("replayed", ["old"] * 10)
    assert offsets(resumed("replayed")) == list(range(10))
    (tmp_path / "checkpoint-replayed" / "commits" / "0").unlink()
    recreate(broker, "replayed")
    broker.send("replayed", ["new"] * 3)
    failed = resumed("replayed", code=1)
    assert "KAFKA_DATA_LOSS" in failed.errors() and "[3, 10) of `replayed-0`" in failed.errors(), failed.story()
    assert printed(failed) == []
