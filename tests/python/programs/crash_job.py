"""The crash monitor with its knobs in the environment, for tests: reads a topic to its end unless JOB_TRIGGER says otherwise."""
import os

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, count, lower, window

spark = SparkSession.builder.appName("crash job").getOrCreate()
reader = (
    spark.readStream.format("kafka")
    .option("kafka.bootstrap.servers", os.environ["JOB_BROKER"])
    .option("subscribe", os.environ["JOB_TOPIC"])
    .option("startingOffsets", "earliest")
)
if "JOB_MAX_OFFSETS" in os.environ:
    reader = reader.option("maxOffsetsPerTrigger", os.environ["JOB_MAX_OFFSETS"])
alerts = (
    reader.load()
    .selectExpr("CAST(value AS STRING) as json")
    .selectExpr("from_json(json, 'user_id STRING, severity STRING, content STRING, timestamp TIMESTAMP') as data")
    .select("data.*")
    .filter(lower(col("content")).contains("crash") & col("severity").isin("High", "Critical"))
    .withWatermark("timestamp", "30 seconds")
    .groupBy(window(col("timestamp"), "10 seconds"), col("user_id"))
    .agg(count("*").alias("crash_count"))
    .filter(col("crash_count") > 2)
)
writer = (
    alerts.selectExpr("unix_millis(window.start) AS start", "user_id", "crash_count")
    .writeStream.outputMode("append")
    .format("console")
    .option("truncate", False)
    .option("numRows", 1_000_000)
)
if "JOB_CHECKPOINT" in os.environ:
    writer = writer.option("checkpointLocation", os.environ["JOB_CHECKPOINT"])
if os.environ.get("JOB_TRIGGER", "availableNow") == "availableNow":
    writer = writer.trigger(availableNow=True)
query = writer.start()
query.awaitTermination()
