"""What a program sees of its streaming queries: handles, progress, failures, sinks, triggers, listeners.

Run by `test_streaming_query.py` on a cluster. Each check prints `ok NAME` at its end. The expected values are those of
real Spark 4.2 behind its own Connect server, where this program passes as it is (SPARK_REMOTE=local[2], the Kafka
connector in `spark.jars`).

SURFACE_BROKER   the broker; the program makes its topics there itself
SURFACE_FOLDER   an empty folder for checkpoints
SURFACE_HELPERS  the folder of `kafka_broker.py`
SURFACE_CHECKS   the checks to run, all without
"""

import contextlib
import datetime
import io
import json
import os
import sys
import threading
import time
import traceback
import uuid
from pathlib import Path

sys.path.insert(0, os.environ["SURFACE_HELPERS"])

from kafka_broker import KafkaBroker
from pyspark.errors import IllegalArgumentException, StreamingQueryException
from pyspark.sql import Row, SparkSession
from pyspark.sql.functions import col, count, from_json, sum as sum_, window
from pyspark.sql.streaming import StreamingQueryListener

FOLDER = Path(os.environ["SURFACE_FOLDER"])
broker = KafkaBroker(port=int(os.environ["SURFACE_BROKER"].rsplit(":", 1)[1]), folder=FOLDER)
spark = SparkSession.builder.appName("query surface").getOrCreate()
spark.conf.set("spark.sql.session.timeZone", "UTC")
spark.conf.set("spark.sql.shuffle.partitions", "2")


def topic_with(*partitions: list) -> str:
    """A new topic with these values in its partitions."""
    name = f"surface-{uuid.uuid4().hex[:8]}"
    broker.create_topic(name, len(partitions))
    for number, values in enumerate(partitions):
        broker.send(name, values, number)
    return name


def stream(topic: str, **options):
    """The values of a topic from its beginning, as text."""
    reader = spark.readStream.format("kafka").option("kafka.bootstrap.servers", broker.bootstrap)
    reader = reader.option("subscribe", topic).option("startingOffsets", "earliest").options(**options)
    return reader.load().select(col("value").cast("string").alias("v"), "partition", "offset")


def folder() -> str:
    return str(FOLDER / uuid.uuid4().hex)


def numbers(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last)]


def wait_until(condition, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


def moment_of(text: str) -> datetime.datetime:
    """A time as progress has it; raises for one in another form."""
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")


def printed(work) -> str:
    """What Python prints meanwhile."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        work()
    return out.getvalue()


def failing(topic: str):
    """The writer of a query that fails at the first value that is no number."""
    numbered = stream(topic).selectExpr("CAST(v AS INT) AS n")
    return numbered.writeStream.format("memory").queryName(f"f{uuid.uuid4().hex}")


def check_handle():
    topic = topic_with(numbers(0, 5), numbers(5, 9))
    query = stream(topic).writeStream.format("memory").queryName("handle").start()
    assert query.name == "handle" and query.isActive is True and query.exception() is None
    assert str(uuid.UUID(query.id)) == query.id and str(uuid.UUID(query.runId)) == query.runId != query.id
    query.processAllAvailable()
    assert query.awaitTermination(0.2) is False
    assert set(query.status) == {"message", "isDataAvailable", "isTriggerActive"}, query.status
    wait_until(lambda: query.status == {
        "message": "Waiting for data to arrive", "isDataAvailable": False, "isTriggerActive": False}, "idling")
    broker.send(topic, ["9"], 1)
    query.processAllAvailable()
    assert sorted(row.v for row in spark.table("handle").collect()) == numbers(0, 10)
    query.stop()
    assert query.isActive is False and query.exception() is None
    assert query.status == {"message": "Stopped", "isDataAvailable": False, "isTriggerActive": False}, query.status
    assert query.awaitTermination() is None and query.awaitTermination(5) is True
    query.stop()
    assert sum(progress.numInputRows for progress in query.recentProgress) == 10


def check_progress_of_a_replay():
    topic = topic_with(numbers(0, 40), numbers(40, 60))
    writer = stream(topic, maxOffsetsPerTrigger=25).writeStream.format("noop").trigger(availableNow=True)
    query = writer.queryName("replay").option("checkpointLocation", folder()).start()
    query.awaitTermination()
    batches = query.recentProgress
    assert [progress.batchId for progress in batches] == list(range(len(batches))) and len(batches) >= 3
    assert sum(progress.numInputRows for progress in batches) == 60
    assert query.lastProgress == batches[-1] and query.lastProgress["batchId"] == batches[-1].batchId
    for progress in batches:
        assert (str(progress.id), str(progress.runId), progress.name) == (query.id, query.runId, "replay")
        moment_of(progress.timestamp)
        assert set(progress.durationMs) >= {"addBatch", "commitOffsets", "getBatch", "latestOffset", "queryPlanning",
                                            "triggerExecution", "walCommit"}, progress.durationMs
        assert all(type(value) is int for value in progress.durationMs.values())
        assert type(progress.batchDuration) is int and type(progress.inputRowsPerSecond) in (float, int)
        assert type(progress.processedRowsPerSecond) is float and progress.processedRowsPerSecond > 0
        assert progress.stateOperators == [] and progress.observedMetrics == {}
        source = progress.sources[0]
        assert source.description == f"KafkaV2[Subscribe[{topic}]]" and source.numInputRows == progress.numInputRows
        assert (progress.sink.description, progress.sink.numOutputRows) == ("NoopTable", progress.numInputRows)
    assert json.loads(batches[0].sources[0].startOffset) is None or batches[0].sources[0].startOffset == "null"
    follow_offsets(topic, batches)
    for text in (query.lastProgress.json, query.lastProgress.prettyJson):
        assert json.loads(text)["batchId"] == len(batches) - 1, text


def follow_offsets(topic, batches):
    """Each batch begins where the one before it ended, at most the limit is read, the lag is what is left."""
    ends = {"0": 0, "1": 0}
    for number, progress in enumerate(batches):
        source = progress.sources[0]
        if number:
            assert json.loads(source.startOffset) == {topic: ends}, source
        new_ends = json.loads(source.endOffset)[topic]
        assert sum(new_ends.values()) - sum(ends.values()) == progress.numInputRows <= 25
        ends = new_ends
        assert json.loads(source.latestOffset) == {topic: {"0": 40, "1": 20}}
        behind = [40 - ends["0"], 20 - ends["1"]]
        metrics = source.metrics
        assert set(metrics) >= {"avgOffsetsBehindLatest", "maxOffsetsBehindLatest", "minOffsetsBehindLatest"}, metrics
        assert int(metrics["maxOffsetsBehindLatest"]) == max(behind), metrics
        assert int(metrics["minOffsetsBehindLatest"]) == min(behind), metrics
        assert float(metrics["avgOffsetsBehindLatest"]) == sum(behind) / 2
    assert ends == {"0": 40, "1": 20}


def check_progress_of_state():
    rows = [json.dumps({"t": f"2026-01-01T00:00:{second:02}Z", "k": "ab"[second % 2]}) for second in range(0, 40, 5)]
    topic = topic_with(rows)
    parsed = stream(topic).select(from_json("v", "t TIMESTAMP, k STRING").alias("d")).select("d.*")
    counts = parsed.withWatermark("t", "10 seconds").groupBy(window("t", "10 seconds"), "k").count()
    query = counts.writeStream.format("memory").queryName("state").outputMode("append").start()
    query.processAllAvailable()
    with_rows = [progress for progress in query.recentProgress if progress.numInputRows]
    assert [progress.numInputRows for progress in with_rows] == [8]
    first = with_rows[0]
    assert first.eventTime == {
        "avg": "2026-01-01T00:00:17.500Z", "max": "2026-01-01T00:00:35.000Z", "min": "2026-01-01T00:00:00.000Z",
        "watermark": "1970-01-01T00:00:00.000Z"}, first.eventTime
    operator = first.stateOperators[0]
    assert (operator.operatorName, operator.numRowsTotal, operator.numRowsUpdated) == ("stateStoreSave", 8, 8), operator
    assert (operator.numRowsRemoved, operator.numRowsDroppedByWatermark) == (0, 0), operator
    assert (operator.numShufflePartitions, operator.numStateStoreInstances) == (2, 2), operator
    for name in ("allUpdatesTimeMs", "allRemovalsTimeMs", "commitTimeMs", "memoryUsedBytes"):
        assert type(operator[name]) is int and operator[name] >= 0, (name, operator)
    assert all(type(value) is int for value in operator.customMetrics.values())
    # The watermark, 00:25, closes the windows that end at 00:10 and 00:20, in a batch without rows.
    last = query.lastProgress
    assert (last.numInputRows, last.eventTime["watermark"]) == (0, "2026-01-01T00:00:25.000Z"), last
    assert (last.stateOperators[0].numRowsRemoved, last.stateOperators[0].numRowsTotal) == (4, 4), last.stateOperators
    assert last.sink.numOutputRows == 4 and spark.table("state").count() == 4
    query.stop()


def check_failure():
    query = failing(topic_with(["1", "x"])).start()
    try:
        query.awaitTermination()
        raise AssertionError("the failure was not raised")
    except StreamingQueryException as error:
        raised = str(error)
    assert raised.startswith("[STREAM_FAILED] Query [id = ") and query.id in raised and query.runId in raised, raised
    assert "terminated with exception" in raised and "[CAST_INVALID_INPUT]" in raised, raised
    assert "The value 'x' of the type \"STRING\" cannot be cast to \"INT\"" in raised, raised
    assert query.isActive is False and query not in spark.streams.active
    kept = query.exception()
    assert isinstance(kept, StreamingQueryException) and "CAST_INVALID_INPUT" in str(kept), kept
    assert query.status["message"].startswith("Terminated with exception: "), query.status
    assert query.status["isTriggerActive"] is False and query.status["isDataAvailable"] is False
    for wait in (query.awaitTermination, lambda: query.awaitTermination(10), query.processAllAvailable):
        try:
            wait()
            raise AssertionError("each wait raises it")
        except StreamingQueryException:
            pass
    # The others go on, and the failure waits for whoever waits for any.
    try:
        spark.streams.awaitAnyTermination(10)
        raise AssertionError("it was not raised")
    except StreamingQueryException:
        spark.streams.resetTerminated()


def check_explain():
    query = stream(topic_with(["a"])).where("v = 'a'").writeStream.format("memory").queryName("explained").start()
    query.processAllAvailable()
    short, long = printed(query.explain), printed(lambda: query.explain(True))
    assert short.startswith("== Physical Plan ==") and "kafka" in short.lower(), short
    assert "== Analyzed Logical Plan ==" in long and "== Physical Plan ==" in long and len(long) > len(short), long
    query.stop()


def check_manager():
    topic = topic_with(["a"])
    spark.streams.resetTerminated()
    one, two = [stream(topic).writeStream.format("memory").queryName(f"managed{n}").start() for n in (1, 2)]
    assert {(query.id, query.runId, query.name) for query in spark.streams.active} == {
        (query.id, query.runId, query.name) for query in (one, two)}
    found = spark.streams.get(one.id)
    assert (found.id, found.runId, found.name, found.isActive) == (one.id, one.runId, "managed1", True)
    assert spark.streams.awaitAnyTermination(0.2) is False
    waits = threading.Thread(target=spark.streams.awaitAnyTermination)
    waits.start()
    one.stop()
    waits.join(60)
    assert not waits.is_alive() and spark.streams.awaitAnyTermination(1) is True
    spark.streams.resetTerminated()
    assert spark.streams.awaitAnyTermination(0.2) is False
    assert [query.id for query in spark.streams.active] == [two.id] and spark.streams.get(one.id) is None
    two.stop()
    assert spark.streams.active == [] and spark.streams.awaitAnyTermination() is None


class Listener(StreamingQueryListener):
    """Notes what it hears."""

    def __init__(self):
        self.heard = []

    def onQueryStarted(self, event):
        self.heard.append(("started", event.id, event.runId, event.name))
        moment_of(event.timestamp)

    def onQueryProgress(self, event):
        self.heard.append(("progress", event.progress.id, event.progress.batchId, event.progress.numInputRows))

    def onQueryIdle(self, event):
        self.heard.append(("idle", event.id))

    def onQueryTerminated(self, event):
        self.heard.append(("terminated", event.id, event.exception, event.errorClassOnException))


def check_listener():
    listener = Listener()
    spark.streams.addListener(listener)
    good = stream(topic_with(numbers(0, 7))).writeStream.format("memory").queryName("heard").start()
    good.processAllAvailable()
    good.stop()
    bad = failing(topic_with(["x"])).start()
    wait_until(lambda: not bad.isActive, "the failure")
    wait_until(lambda: sum(heard[0] == "terminated" for heard in listener.heard) == 2, "hearing both ends")
    spark.streams.removeListener(listener)
    of = {str(query.id): [heard for heard in listener.heard if str(heard[1]) == query.id] for query in (good, bad)}
    started, *progress, ended = [heard for heard in of[good.id] if heard[0] != "idle"]
    assert (started[0], str(started[2]), started[3]) == ("started", good.runId, "heard")
    assert [heard[0] for heard in progress] == ["progress"] * len(progress) and sum(heard[3] for heard in progress) == 7
    assert (ended[0], ended[2], ended[3]) == ("terminated", None, None), ended
    assert [heard[0] for heard in of[bad.id]] == ["started", "terminated"], of[bad.id]
    assert "CAST_INVALID_INPUT" in of[bad.id][1][2] and of[bad.id][1][3] is not None, of[bad.id]
    count_before = len(listener.heard)
    stream(topic_with(["1"])).writeStream.format("noop").trigger(availableNow=True).start().awaitTermination()
    assert len(listener.heard) == count_before, "a removed listener hears nothing"
    spark.streams.resetTerminated()


def check_several_queries():
    """Each has its own offsets, state and checkpoint."""
    topic = topic_with(numbers(0, 10), numbers(10, 20))
    rows = stream(topic).select(col("v").cast("int").alias("n"))
    even = rows.where("n % 2 = 0").writeStream.format("memory").queryName("even").start()
    total = rows.groupBy().agg(sum_("n").alias("total"), count("*").alias("rows"))
    total = total.writeStream.format("memory").queryName("total").outputMode("complete").start()
    even.processAllAvailable()
    even.stop()
    broker.send(topic, ["100"], 1)
    total.processAllAvailable()
    assert sorted(row.n for row in spark.table("even").collect()) == list(range(0, 20, 2))
    assert spark.table("total").collect() == [Row(total=290, rows=21)]
    late = rows.where("n > 50").writeStream.format("memory").queryName("late").start()
    late.processAllAvailable()
    assert spark.table("late").collect() == [Row(n=100)] and {q.name for q in spark.streams.active} == {"total", "late"}
    late.stop()
    total.stop()


def check_output_modes():
    topic = topic_with(["a", "b", "a"])
    counts = stream(topic).groupBy("v").count()
    update = counts.writeStream.format("memory").queryName("updates").outputMode("update").start()
    complete = counts.orderBy(col("count").desc()).limit(2).writeStream.format("memory").queryName("completes")
    complete = complete.outputMode("complete").start()
    plain = stream(topic).select("v").writeStream.format("memory").queryName("appends").outputMode("Append").start()
    for sent in ([], ["c", "c", "c"]):
        broker.send(topic, sent, 0)
        for query in (update, complete, plain):
            query.processAllAvailable()
    found = {name: sorted(tuple(row) for row in spark.table(name).collect()) for name in ("updates", "appends")}
    assert found["updates"] == [("a", 2), ("b", 1), ("c", 3)], found
    assert found["appends"] == [("a",), ("a",), ("b",), ("c",), ("c",), ("c",)], found
    assert spark.table("completes").collect() == [Row(v="c", count=3), Row(v="a", count=2)]
    sql = spark.sql("SELECT sum(count) AS s, max(v) AS m FROM updates WHERE v <> 'b'")
    assert sql.collect() == [Row(s=5, m="c")]
    shown = printed(lambda: spark.table("completes").show())
    assert shown == "+---+-----+\n|  v|count|\n+---+-----+\n|  c|    3|\n|  a|    2|\n+---+-----+\n\n", shown
    for query in (update, complete, plain):
        query.stop()


def check_restart():
    """The same checkpoint: the same id, another run id, and only what is new."""
    topic, checkpoint = topic_with(numbers(0, 3)), folder()

    def start():
        counts = stream(topic).groupBy().count()
        writer = counts.writeStream.format("memory").queryName("again").outputMode("complete")
        return writer.option("checkpointLocation", checkpoint).start()

    first = start()
    first.processAllAvailable()
    first.stop()
    broker.send(topic, numbers(3, 5))
    second = start()
    second.processAllAvailable()
    assert second.id == first.id and second.runId != first.runId and second.name == "again"
    assert [progress.batchId for progress in second.recentProgress if progress.numInputRows] == [1]
    assert sum(progress.numInputRows for progress in second.recentProgress) == 2
    assert spark.table("again").collect() == [Row(count=5)]
    assert first.isActive is False and spark.streams.get(first.id).runId == second.runId
    try:
        stream(topic).writeStream.format("memory").queryName("again").start()
        raise AssertionError("a second query of an active name was not refused")
    except IllegalArgumentException as error:
        assert "Cannot start query with name again as a query with that name is already active" in str(error), error
    second.stop()


def check_triggers():
    topic = topic_with(numbers(0, 30))
    limited = stream(topic, maxOffsetsPerTrigger=10)

    def batches(source, **trigger):
        query = source.writeStream.format("noop").option("checkpointLocation", folder()).trigger(**trigger).start()
        query.awaitTermination()
        assert query.isActive is False and query.exception() is None
        return [progress.numInputRows for progress in query.recentProgress if progress.numInputRows]

    assert batches(limited, availableNow=True) == [10, 10, 10]
    assert batches(stream(topic), availableNow=True) == [30]
    assert batches(limited, once=True) == [30]
    waiting = limited.writeStream.format("noop").trigger(processingTime="10000 days").start()
    wait_until(lambda: waiting.recentProgress and not waiting.status["isTriggerActive"], "the first batch")
    assert [progress.numInputRows for progress in waiting.recentProgress] == [10]
    assert waiting.status["message"] == "Waiting for next trigger", waiting.status
    waiting.stop()
    quick = limited.writeStream.format("noop").trigger(processingTime="100 milliseconds").start()
    quick.processAllAvailable()
    assert [progress.numInputRows for progress in quick.recentProgress if progress.numInputRows] == [10, 10, 10]
    # As Spark: all triggers but the first are at multiples of the interval.
    moments = [moment_of(progress.timestamp) for progress in quick.recentProgress]
    tenths = [moment.replace(microsecond=moment.microsecond // 100_000 * 100_000) for moment in moments]
    assert len(set(tenths)) == len(tenths), moments
    quick.stop()


def check_console():
    """What it prints is looked at in the output of `submit`."""
    topic = topic_with(["first", "second"])
    query = stream(topic).select("v", "offset").writeStream.format("console").start()
    query.processAllAvailable()
    sink = query.lastProgress.sink
    assert sink.description.startswith("org.apache.spark.sql.execution.streaming."), sink
    query.stop()


def main() -> int:
    wanted = os.environ.get("SURFACE_CHECKS", "").split()
    checks = [work for name, work in globals().items() if name.startswith("check_")]
    failed = 0
    for check in checks:
        name = check.__name__.removeprefix("check_")
        if wanted and name not in wanted:
            continue
        began = time.monotonic()
        try:
            check()
            print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {name}\n{traceback.format_exc()}", flush=True)
            for query in spark.streams.active:
                query.stop()
            spark.streams.resetTerminated()
    spark.stop()
    return failed


sys.exit(main())
