"""Failed requests per minute: how many of all, in windows of a minute that begin every ten seconds.

    bin/submit --master 'local[2]' examples/errors_per_minute.py /tmp/errors-checkpoint

It shows update mode (a window is printed again whenever its numbers change) and a checkpoint: stop the program, submit
it again with the same folder, and it goes on where it was, with the counts it had.
KAFKA_BROKER (kafka:9092) and KAFKA_TOPIC (logs) name the broker and the topic.
"""
import os
import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import avg, col, count, from_json, sum, when, window

checkpoint = sys.argv[1] if len(sys.argv) > 1 else "/tmp/errors-per-minute"
spark = SparkSession.builder.appName("Errors per minute").getOrCreate()

# Kafka gives each record as bytes in the column `value`; only what comes from now on is read
logs = spark.readStream \
    .format("kafka") \
    .option("kafka.bootstrap.servers", os.environ.get("KAFKA_BROKER", "kafka:9092")) \
    .option("subscribe", os.environ.get("KAFKA_TOPIC", "logs")) \
    .option("startingOffsets", "latest") \
    .load()

# The bytes are a JSON document: two of its fields become columns, and a third says 1 for a failure
parsed = logs \
    .select(from_json(col("value").cast("string"), "timestamp TIMESTAMP, status STRING").alias("log")) \
    .select("log.*") \
    .withColumn("failed", when(col("status").isin("ERROR", "FAILED"), 1).otherwise(0))

# A record falls into six windows. The watermark says how late it may come: a minute behind the newest one; windows
# older than that are forgotten
errors = parsed \
    .withWatermark("timestamp", "1 minute") \
    .groupBy(window("timestamp", "1 minute", "10 seconds")) \
    .agg(count("*").alias("requests"), sum("failed").alias("failed"), avg("failed").alias("share")) \
    .select("window.start", "window.end", "requests", "failed", "share")

# Every ten seconds, the windows that have changed
query = errors.writeStream \
    .outputMode("update") \
    .format("console") \
    .option("truncate", "false") \
    .option("checkpointLocation", checkpoint) \
    .trigger(processingTime="10 seconds") \
    .start()

query.awaitTermination()
