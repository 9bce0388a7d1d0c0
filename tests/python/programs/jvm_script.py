"""A program as they are written for a JVM cluster: what is for the JVM stays in, and does no harm.

JOB_BROKER, JOB_TOPIC  a topic of JSON documents with a `user` and a `severity`
"""

import os

os.environ["PYSPARK_SUBMIT_ARGS"] = "--packages org.apache.spark:spark-sql-kafka-0-10_2.13:4.0.0 pyspark-shell"
os.environ["HADOOP_HOME"] = "/opt/hadoop"

import findspark

findspark.init("/opt/spark")

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, from_json
from pyspark.sql.types import StringType, StructField, StructType

conf = SparkConf().setAppName("jvm script").setMaster("spark://elsewhere:7077").set("spark.executor.memory", "1g")
context = SparkContext(conf=conf)
context.setLogLevel("ERROR")
spark = (
    SparkSession.builder.master("local[*]")
    .config(conf=conf)
    .config("spark.jars.packages", "org.apache.spark:spark-sql-kafka-0-10_2.13:4.0.0")
    .config("spark.streaming.stopGracefullyOnShutdown", "true")
    .config("spark.driver.memory", "2g")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("WARN")
log4j = spark._jvm.org.apache.log4j
log4j.LogManager.getLogger("org").setLevel(log4j.Level.ERROR)
logger = spark.sparkContext._jvm.org.apache.log4j.LogManager.getLogger("script")
logger.warn("the script's own logger")
assert SparkContext.getOrCreate() is spark.sparkContext and context.appName == "jvm script", context.appName
assert spark.sparkContext.master == spark.conf.get("spark.master") != "local[*]", spark.sparkContext.master
assert spark.sparkContext.applicationId and spark.sparkContext.defaultParallelism > 0

schema = StructType([StructField("user", StringType(), False), StructField("severity", StringType(), True)])
records = (
    spark.readStream.format("kafka")
    .option("kafka.bootstrap.servers", os.environ["JOB_BROKER"])
    .option("subscribe", os.environ["JOB_TOPIC"])
    .option("startingOffsets", "earliest")
    .option("failOnDataLoss", "false")
    .load()
    .selectExpr("CAST(value AS STRING)")
    .select(from_json(col("value"), schema).alias("data"))
    .select("data.*")
)
records.printSchema()
query = (
    records.groupBy(records.severity).count().orderBy(col("count").desc())
    .writeStream.outputMode("complete").format("console").option("truncate", "False")
    .trigger(availableNow=True).start()
)
query.awaitTermination()
spark.sparkContext.stop()
