"""Reads a topic to its present end and stops: the availableNow trigger, in batches of at most 100,000 records.

    bin/submit --master 'local[2]' examples/replay_to_the_end.py /tmp/replay-checkpoint

Submit it again and it prints what has come since.
"""
import os
import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, from_json, lower

checkpoint = sys.argv[1] if len(sys.argv) > 1 else "/tmp/replay-to-the-end"
spark = SparkSession.builder.appName("Replay to the end").getOrCreate()

logs = spark.readStream \
    .format("kafka") \
    .option("kafka.bootstrap.servers", os.environ.get("KAFKA_BROKER", "kafka:9092")) \
    .option("subscribe", os.environ.get("KAFKA_TOPIC", "logs")) \
    .option("startingOffsets", "earliest") \
    .option("maxOffsetsPerTrigger", 100000) \
    .load()

crashes = logs \
    .select(from_json(col("value").cast("string"), "user_id STRING, content STRING, severity STRING").alias("log"),
            "partition", "offset") \
    .select("log.*", "partition", "offset") \
    .filter(lower(col("content")).contains("crash") & (col("severity") == "Critical"))

query = crashes.writeStream \
    .format("console") \
    .option("numRows", 5) \
    .option("checkpointLocation", checkpoint) \
    .trigger(availableNow=True) \
    .start()

query.awaitTermination()
