"""Reads a topic to its present end and stops: the critical crashes among all records so far.

    bin/submit --master 'local[2]' examples/replay_to_the_end.py /tmp/replay-checkpoint

It shows the availableNow trigger: the work of a batch job, in batches of at most 100,000 records, and with a checkpoint,
so that submitted again it prints only what has come since.
KAFKA_BROKER (kafka:9092) and KAFKA_TOPIC (logs) name the broker and the topic.
"""
import os
import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, from_json, lower

checkpoint = sys.argv[1] if len(sys.argv) > 1 else "/tmp/replay-to-the-end"
spark = SparkSession.builder.appName("Replay to the end").getOrCreate()

# From the first record on; Kafka says of each record also where it was
logs = spark.readStream \
    .format("kafka") \
    .option("kafka.bootstrap.servers", os.environ.get("KAFKA_BROKER", "kafka:9092")) \
    .option("subscribe", os.environ.get("KAFKA_TOPIC", "logs")) \
    .option("startingOffsets", "earliest") \
    .option("maxOffsetsPerTrigger", 100000) \
    .load()

# JSON to columns, and of these rows only some: no windows and no counts, so nothing has to be remembered
crashes = logs \
    .select(from_json(col("value").cast("string"), "user_id STRING, content STRING, severity STRING").alias("log"),
            "partition", "offset") \
    .select("log.*", "partition", "offset") \
    .filter(lower(col("content")).contains("crash") & (col("severity") == "Critical"))

# Five rows of each batch; the program ends when all that was there at its start is read
query = crashes.writeStream \
    .format("console") \
    .option("numRows", 5) \
    .option("checkpointLocation", checkpoint) \
    .trigger(availableNow=True) \
    .start()

query.awaitTermination()
