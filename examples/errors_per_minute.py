"""Failed requests per sliding minute, and the share of all: update mode, with a checkpoint that a restart continues from.

    bin/submit --master 'local[2]' examples/errors_per_minute.py /tmp/errors-checkpoint
"""
import os
import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import avg, col, count, from_json, sum, when, window

checkpoint = sys.argv[1] if len(sys.argv) > 1 else "/tmp/errors-per-minute"
spark = SparkSession.builder.appName("Errors per minute").getOrCreate()

logs = spark.readStream \
    .format("kafka") \
    .option("kafka.bootstrap.servers", os.environ.get("KAFKA_BROKER", "kafka:9092")) \
    .option("subscribe", os.environ.get("KAFKA_TOPIC", "logs")) \
    .option("startingOffsets", "latest") \
    .load()

parsed = logs \
    .select(from_json(col("value").cast("string"), "timestamp TIMESTAMP, status STRING").alias("log")) \
    .select("log.*") \
    .withColumn("failed", when(col("status").isin("ERROR", "FAILED"), 1).otherwise(0))

errors = parsed \
    .withWatermark("timestamp", "1 minute") \
    .groupBy(window("timestamp", "1 minute", "10 seconds")) \
    .agg(count("*").alias("requests"), sum("failed").alias("failed"), avg("failed").alias("share")) \
    .select("window.start", "window.end", "requests", "failed", "share")

query = errors.writeStream \
    .outputMode("update") \
    .format("console") \
    .option("truncate", "false") \
    .option("checkpointLocation", checkpoint) \
    .trigger(processingTime="10 seconds") \
    .start()

query.awaitTermination()
