"""The benchmark's job, the same on Pyrite and on real Spark: the crash monitor over the benchmark topic, rows discarded.

A PySpark program that `scripts/bench.py` starts; it writes what it saw to the file `--out` as JSON: seconds to the
session, from `start()` to the first finished batch and to the end, and each batch's progress.
"""

import argparse
import json
import time

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, count, lower, window

PROGRESS_EVERY_SECONDS = 0.02

parser = argparse.ArgumentParser()
parser.add_argument("--bootstrap", required=True)
parser.add_argument("--topic", required=True)
parser.add_argument("--out", required=True)
parser.add_argument("--seconds", type=float, help="run live for so long instead of reading the topic to its end")
parser.add_argument("--max-offsets", help="records per batch")
arguments = parser.parse_args()

began = time.monotonic()
spark = SparkSession.builder.appName("bench").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
spark.conf.set("spark.sql.streaming.numRecentProgressUpdates", "100000")
session_seconds = time.monotonic() - began

reader = spark.readStream.format("kafka") \
    .option("kafka.bootstrap.servers", arguments.bootstrap) \
    .option("subscribe", arguments.topic) \
    .option("startingOffsets", "latest" if arguments.seconds else "earliest")
if arguments.max_offsets:
    reader = reader.option("maxOffsetsPerTrigger", arguments.max_offsets)

# The benchmark topic holds epoch milliseconds, which from_json into TIMESTAMP would read as seconds.
alerts = reader.load() \
    .selectExpr("CAST(value AS STRING) as json") \
    .selectExpr("from_json(json, 'user_id STRING, severity STRING, content STRING, timestamp BIGINT') as data") \
    .select("data.*") \
    .filter(lower(col("content")).contains("crash") & col("severity").isin("High", "Critical")) \
    .withColumn("timestamp", (col("timestamp") / 1000).cast("timestamp")) \
    .withWatermark("timestamp", "30 seconds") \
    .groupBy(window(col("timestamp"), "10 seconds"), col("user_id")) \
    .agg(count("*").alias("crash_count")) \
    .filter(col("crash_count") > 2)

writer = alerts.writeStream.outputMode("append").format("noop")
if not arguments.seconds:
    writer = writer.trigger(availableNow=True)
started = time.monotonic()
query = writer.start()
first_batch_seconds = None
while query.isActive:
    if first_batch_seconds is None and query.lastProgress is not None:
        first_batch_seconds = time.monotonic() - started
    if arguments.seconds and time.monotonic() - started > arguments.seconds:
        break
    time.sleep(PROGRESS_EVERY_SECONDS if first_batch_seconds is None else 0.2)
seconds = time.monotonic() - started
if not arguments.seconds and query.exception() is not None:
    raise query.exception()
progress = [json.loads(each.json) if hasattr(each, "json") and isinstance(each.json, str) else dict(each)
            for each in query.recentProgress]
query.stop()
with open(arguments.out, "w") as out:
    json.dump({"version": spark.version, "session_seconds": session_seconds, "seconds": seconds,
               "first_batch_seconds": first_batch_seconds if first_batch_seconds is not None else seconds,
               "progress": [{"numInputRows": each["numInputRows"], "durationMs": dict(each["durationMs"]),
                             "output": each["sink"]["numOutputRows"]} for each in progress]}, out)
spark.stop()
