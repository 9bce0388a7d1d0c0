"""Plans as deep and as wide as programs make them: chains of hundreds of calls over a stream, run to the end of a topic
with the right answer, and a chain that is too deep, which is refused while the server lives on.

JOB_BROKER, JOB_TOPIC  a topic of whole numbers
"""

import os
import sys
import threading
import time

import grpc
from pyspark.errors.exceptions.connect import InvalidPlanInput
from pyspark.sql import Row, SparkSession
from pyspark.sql.functions import col, expr, lit, when

CHAIN = 300
TOO_MANY = 600
FAR_TOO_MANY = 5_000

# The client recurses as well when it writes a plan down.
sys.setrecursionlimit(100_000)
threading.stack_size(256 << 20)


def answer(name: str, frame, mode: str = "append") -> list[Row]:
    """All rows that a query over the whole topic gives."""
    began = time.monotonic()
    query = frame.writeStream.format("memory").queryName(name).outputMode(mode).trigger(availableNow=True).start()
    query.awaitTermination()
    print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)
    return spark.table(name).collect()


def with_column_chain(frame, count: int):
    for _ in range(count):
        frame = frame.withColumn("n", col("n") + 1)
    return frame


def new_column_chain(frame, count: int):
    for step in range(count):
        frame = frame.withColumn(f"c{step}", col(f"c{step - 1}" if step else "n") + 1)
    return frame


def check_chains(numbers) -> None:
    started = with_column_chain(numbers.withColumn("start", col("n")), CHAIN)
    rows = answer("chain", started)
    assert len(rows) == 10 and all(row.n == row.start + CHAIN for row in rows), rows
    began = time.monotonic()
    widened = new_column_chain(numbers, CHAIN)
    assert len(widened.columns) == CHAIN + 1
    print(f"schema of {CHAIN} new columns: {time.monotonic() - began:.1f} s", flush=True)
    rows = answer("widened", widened)
    assert len(rows) == 10 and all(row[f"c{CHAIN - 1}"] == row.n + CHAIN for row in rows), rows
    kept = numbers
    for step in range(CHAIN):
        kept = kept.filter(col("n") != step + 1_000)
    assert sorted(row.n for row in answer("filters", kept)) == list(range(10))
    counts = with_column_chain(numbers, CHAIN).groupBy((col("n") % 2).alias("odd")).count()
    rows = answer("counts", counts, "complete")
    assert sorted(tuple(row) for row in rows) == [(0, 5), (1, 5)], rows


def check_wide_expressions(numbers) -> None:
    added = numbers.withColumns({f"c{step}": col("n") + step for step in range(CHAIN)})
    rows = answer("columns", added)
    assert len(rows) == 10 and all(row.c0 == row.n and row[f"c{CHAIN - 1}"] == row.n + CHAIN - 1 for row in rows)
    rows = answer("sums", numbers.select("n", expr(" + ".join(["n"] * CHAIN)).alias("total")))
    assert len(rows) == 10 and all(row.total == row.n * CHAIN for row in rows), rows
    branches = when(col("n") == 0, lit("number 0"))
    for number in range(1, CHAIN):
        branches = branches.when(col("n") == number, lit(f"number {number}"))
    rows = answer("branches", numbers.select("n", branches.otherwise("none").alias("name")))
    assert len(rows) == 10 and all(row.name == f"number {row.n}" for row in rows), rows
    either = expr(" OR ".join(f"n = {number}" for number in range(3, CHAIN)))
    assert sorted(row.n for row in answer("either", numbers.filter(either))) == list(range(3, 10))


def field(number: int, content: bytes) -> bytes:
    """A message as a field of another, in protobuf's wire format."""
    header = b""
    for value in (number << 3 | 2, len(content)):
        while value >= 128:
            header += bytes([value & 127 | 128])
            value >>= 7
        header += bytes([value])
    return header + content


def schema_of_chain(count: int) -> None:
    """Asks for the schema of a chain that the client itself would take minutes to write down."""
    relation = b""
    for _ in range(count):
        relation = field(8, field(1, relation))  # Relation.limit, Limit.input
    # AnalyzePlanRequest.session_id and AnalyzePlanRequest.schema.plan.root
    request = field(1, spark.session_id.encode()) + field(4, field(1, field(1, relation)))
    call = spark.client._channel.unary_unary("/spark.connect.SparkConnectService/AnalyzePlan")
    call(request, metadata=spark.client._builder.metadata())


def check_too_deep(numbers) -> None:
    refusal = "the plan nests deeper than the 1024 messages that are allowed"
    try:
        with_column_chain(numbers, TOO_MANY).writeStream.format("noop").start()
        raise AssertionError("it was not refused")
    except InvalidPlanInput as error:
        assert refusal in str(error) and "give many columns to one `withColumns`" in str(error), error
    try:
        schema_of_chain(FAR_TOO_MANY)
        raise AssertionError("it was not refused")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INTERNAL and refusal in error.details(), error
    assert spark.range(3).count() == 3
    assert len(answer("after", numbers)) == 10


def main() -> None:
    numbers = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", os.environ["JOB_BROKER"])
        .option("subscribe", os.environ["JOB_TOPIC"])
        .option("startingOffsets", "earliest")
        .load()
        .select(col("value").cast("string").cast("int").alias("n"))
    )
    for check in (check_chains, check_wide_expressions, check_too_deep):
        check(numbers)
        print(f"ok {check.__name__}", flush=True)


spark = SparkSession.builder.appName("deep plans").getOrCreate()
thread = threading.Thread(target=main)
thread.start()
thread.join()
spark.stop()
