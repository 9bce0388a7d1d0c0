"""How many records of each severity there are so far, most first.

    bin/submit --master 'local[2]' examples/severity_counts.py

It shows complete mode: every five seconds the whole table, ordered, as far as there is something new.
KAFKA_BROKER (kafka:9092) and KAFKA_TOPIC (logs) name the broker and the topic.
"""
import os

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, desc, from_json

spark = SparkSession.builder.appName("Severity counts").getOrCreate()

# From the first record on, so that the counts are of all there are
logs = spark.readStream \
    .format("kafka") \
    .option("kafka.bootstrap.servers", os.environ.get("KAFKA_BROKER", "kafka:9092")) \
    .option("subscribe", os.environ.get("KAFKA_TOPIC", "logs")) \
    .option("startingOffsets", "earliest") \
    .load()

# One row a severity: without a window, the counts are kept for as long as the query runs
counts = logs \
    .select(from_json(col("value").cast("string"), "severity STRING, status STRING").alias("log")) \
    .groupBy("log.severity") \
    .count() \
    .orderBy(desc("count"))

query = counts.writeStream \
    .outputMode("complete") \
    .format("console") \
    .trigger(processingTime="5 seconds") \
    .start()

query.awaitTermination()
