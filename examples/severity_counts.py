"""How many records of each severity so far: complete mode, ordered, a new table every five seconds.

    bin/submit --master 'local[2]' examples/severity_counts.py
"""
import os

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, desc, from_json

spark = SparkSession.builder.appName("Severity counts").getOrCreate()

logs = spark.readStream \
    .format("kafka") \
    .option("kafka.bootstrap.servers", os.environ.get("KAFKA_BROKER", "kafka:9092")) \
    .option("subscribe", os.environ.get("KAFKA_TOPIC", "logs")) \
    .option("startingOffsets", "earliest") \
    .load()

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
