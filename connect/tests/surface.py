"""What a PySpark program sees of the server. Expected values are what Spark 4.2.0 gave. Run by `pyspark.rs`."""

import datetime
import sys
import threading
import time

import findspark

findspark.init()

from pyspark import SparkConf, SparkContext
from pyspark.errors import (
    AnalysisException,
    ArithmeticException,
    IllegalArgumentException,
    NumberFormatException,
    ParseException,
    PySparkNotImplementedError,
    SparkNoSuchElementException,
)
from pyspark.errors.exceptions.connect import InvalidPlanInput
from pyspark.sql import Row, SparkSession
from pyspark.sql.functions import col, count, desc, from_json, lit, lower, udf, upper, window
from pyspark.sql.types import IntegerType, StructField, StructType


def raises(kind, condition, work):
    try:
        result = work()
    except kind as error:
        assert error.getCondition() == condition, (error.getCondition(), str(error))
        return str(error)
    raise AssertionError(f"{kind.__name__} expected, got {result!r}")


spark = (
    SparkSession.builder.appName("Surface")
    .master("spark://elsewhere:7077")
    .config("spark.executor.memory", "3g")
    .config(conf=SparkConf().setMaster("local[*]").set("spark.foo", "bar"))
    .config("spark.sql.session.timeZone", "UTC")
    .getOrCreate()
)


def settings():
    conf = spark.conf
    assert conf.get("spark.app.name") == "Surface"
    assert conf.get("spark.executor.memory") == "3g"
    assert conf.get("spark.foo") == "bar"
    assert conf.get("spark.master") == "local[2]"
    assert conf.get("spark.sql.shuffle.partitions") == "200"
    assert conf.get("spark.nope", "x") == "x" and conf.get("spark.nope", None) is None
    assert conf.get("spark.sql.streaming.checkpointLocation") is None
    raises(SparkNoSuchElementException, "SQL_CONF_NOT_FOUND", lambda: conf.get("spark.nope"))
    raises(AnalysisException, "CANNOT_MODIFY_CONFIG", lambda: conf.set("spark.executor.memory", "1g"))
    raises(AnalysisException, "CANNOT_MODIFY_STATIC_CONFIG", lambda: conf.set("spark.sql.warehouse.dir", "/x"))
    raises(IllegalArgumentException, "INVALID_CONF_VALUE.TYPE_MISMATCH", lambda: conf.set("spark.sql.ansi.enabled", "maybe"))
    keys = ("spark.sql.shuffle.partitions", "spark.sql.warehouse.dir", "spark.executor.memory", "spark.foo")
    assert [conf.isModifiable(key) for key in keys] == [True, False, False, False]
    conf.set("spark.sql.shuffle.partitions", 7)
    assert conf.get("spark.sql.shuffle.partitions") == "7"
    conf.unset("spark.sql.shuffle.partitions")
    assert conf.get("spark.sql.shuffle.partitions") == "200"


def context():
    sc = spark.sparkContext
    sc.setLogLevel("WARN")
    assert (sc.appName, sc.applicationId, sc.master, sc.version) == ("Surface", "app-test", "local[2]", spark.version)
    assert spark.version == "4.2.0" and sc.defaultParallelism > 0
    assert sc.getConf().get("spark.foo") == "bar"
    assert SparkContext.getOrCreate() is sc and SparkSession(sc) is spark
    sc._jsc.hadoopConfiguration().set("fs.x", "1")
    assert spark.conf.get("spark.hadoop.fs.x") == "1"
    spark._jvm.org.apache.log4j.Logger.getLogger("org").setLevel(spark._jvm.org.apache.log4j.Level.ERROR)
    for refused in (lambda: sc.broadcast(1), lambda: spark._jvm.com.example.Thing()):
        try:
            refused()
        except PySparkNotImplementedError:
            continue
        raise AssertionError("refused")


def rows():
    numbers = spark.range(3)
    assert numbers.collect() == [Row(id=0), Row(id=1), Row(id=2)] and numbers.count() == 3
    assert (numbers.first(), numbers.tail(1), numbers.isEmpty()) == (Row(id=0), [Row(id=2)], False)
    assert numbers.toPandas()["id"].tolist() == [0, 1, 2]
    people = spark.createDataFrame([("a", 1, None), ("b", 2, 3.5)], "s STRING, n INT, d DOUBLE")
    assert people.collect() == [Row(s="a", n=1, d=None), Row(s="b", n=2, d=3.5)]
    assert spark.createDataFrame([], "a INT").collect() == []
    nested = [Row(x=1, y=[1, 2], z={"k": 1.5})]
    assert spark.createDataFrame(nested).collect() == nested
    changed = people.withColumn("q", col("n") * 2).withColumnRenamed("s", "t").drop("d")
    assert changed.collect() == [Row(t="a", n=1, q=2), Row(t="b", n=2, q=4)]
    assert people.filter(upper("s") == "B").select((col("n") + 1).alias("m")).collect() == [Row(m=3)]
    assert people.orderBy(desc("n")).limit(1).select("s").collect() == [Row(s="b")]
    assert people.groupBy("s").agg(count("*").alias("c")).orderBy("s").collect() == [Row(s="a", c=1), Row(s="b", c=1)]
    assert people.union(people).distinct().count() == 2
    when = spark.sql("select timestamp'2020-01-01 00:00:00' t, date'2020-02-03' d").first()
    assert when.d == datetime.date(2020, 2, 3)
    large = spark.createDataFrame([("x" * 1000, i) for i in range(5000)], "s STRING, i INT")
    assert large.count() == 5000 and [row.i for row in large.select("i").collect()] == list(range(5000))


def tables():
    assert spark.range(3)._show_string(1, True, False) == "+---+\n| id|\n+---+\n|  0|\n+---+\nonly showing top 1 row"
    assert spark.range(1)._show_string(2, True, False) == "+---+\n| id|\n+---+\n|  0|\n+---+\n"
    assert spark.range(3)._show_string(2, 5, True) == (
        "-RECORD 0--\n id  | 0   \n-RECORD 1--\n id  | 1   \nonly showing top 2 rows"
    )


def names():
    spark.range(3).createOrReplaceTempView("v")
    assert spark.table("V").count() == 3
    assert spark.sql("select id from v where id > 1").collect() == [Row(id=2)]
    assert spark.sql("show tables").collect() == [Row(namespace="", tableName="v", isTemporary=True)]
    raises(AnalysisException, "TEMP_TABLE_OR_VIEW_ALREADY_EXISTS", lambda: spark.range(1).createTempView("v"))
    assert spark.catalog.dropTempView("v") and not spark.catalog.dropTempView("v")
    for count in (1, 2):
        spark.range(count).createOrReplaceTempView("base")
        spark.sql("select count(*) c from base").createOrReplaceTempView(f"of_{count}")
    assert spark.table("of_1").first().c == 1 and spark.table("of_2").first().c == 2, "a view means what it meant when it was made"
    spark.sql("select id + 10 as id from base").createOrReplaceTempView("base")
    assert [row.id for row in spark.table("base").collect()] == [10, 11]
    spark.catalog.dropTempView("base")
    assert spark.table("of_2").first().c == 2
    assert [spark.catalog.dropTempView(name) for name in ("of_1", "of_2", "base")] == [True, True, False]
    raises(AnalysisException, "TABLE_OR_VIEW_NOT_FOUND", lambda: spark.table("v").schema)
    assert spark.sql("set spark.foo=2").collect() == [Row(key="spark.foo", value="2")]
    assert spark.range(3).sameSemantics(spark.range(3)) and not spark.range(3).sameSemantics(spark.range(4))


def errors():
    text = raises(ParseException, "PARSE_SYNTAX_ERROR", lambda: spark.sql("selec 1"))
    assert text.startswith("\n[PARSE_SYNTAX_ERROR] Syntax error at or near 'selec'. SQLSTATE: 42601 (line 1, pos 0)"), text
    raises(AnalysisException, "UNRESOLVED_COLUMN.WITH_SUGGESTION", lambda: spark.range(1).select("nope").schema)
    raises(ArithmeticException, "DIVIDE_BY_ZERO", lambda: spark.range(1).selectExpr("1/id").collect())
    raises(NumberFormatException, "CAST_INVALID_INPUT", lambda: spark.sql("select cast('x' as int)").collect())
    raises(AnalysisException, "UNSUPPORTED_FEATURE", lambda: spark.range(1).select(udf(lambda x: x)("id")).collect())
    raises(AnalysisException, "UNSUPPORTED_FEATURE", lambda: spark.range(1).join(spark.range(1), "id").collect())


def streams():
    source = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", "127.0.0.1:1")
        .option("subscribe", "logs")
        .load()
    )
    assert source.isStreaming and not spark.range(1).isStreaming
    parsed = source.selectExpr("CAST(value AS STRING) as json").selectExpr(
        "from_json(json, 'user_id STRING, severity STRING, content STRING, timestamp TIMESTAMP') as data"
    ).select("data.*")
    expected = "struct<user_id:string,severity:string,content:string,timestamp:timestamp>"
    assert parsed.schema.simpleString() == expected
    marked = parsed.withWatermark("timestamp", "30 seconds")
    assert marked.schema["timestamp"].metadata == {"spark.watermarkDelayMs": 30000}
    counts = (
        marked.filter(lower(col("content")).contains("crash") & col("severity").isin("High", "Critical"))
        .groupBy(window(col("timestamp"), "10 seconds"), col("user_id"))
        .agg(count("*").alias("crash_count"))
        .filter(col("crash_count") > 2)
    )
    assert counts.columns == ["window", "user_id", "crash_count"]
    fields = StructType([StructField("a", IntegerType())])
    typed = source.select(from_json(col("value").cast("string"), fields).alias("d")).select("d.*")
    assert typed.schema == fields
    raises(AnalysisException, "_LEGACY_ERROR_TEMP_3102", lambda: source.show())
    writer = lambda: counts.writeStream.format("console")
    raises(IllegalArgumentException, "STREAMING_OUTPUT_MODE.INVALID", lambda: writer().outputMode("foo").start())
    raises(IllegalArgumentException, "_LEGACY_ERROR_TEMP_3262", lambda: writer().trigger(processingTime="1 month").start())
    raises(AnalysisException, "UNSUPPORTED_FEATURE", lambda: writer().foreachBatch(lambda frame, batch: None).start())
    raises(AnalysisException, "WRITE_STREAM_NOT_ALLOWED", lambda: spark.range(1).writeStream.format("console").start())
    assert spark.streams.active == []
    assert spark.streams.get("00000000-0000-0000-0000-000000000000") is None
    assert spark.streams.awaitAnyTermination(1) is False


def deep_plans():
    def chained(calls):
        frame = spark.range(2).withColumn("n", col("id"))
        for _ in range(calls):
            frame = frame.withColumn("n", col("n") + 1)
        return frame

    assert chained(300).columns == ["id", "n"]
    assert chained(100).collect() == [Row(id=0, n=100), Row(id=1, n=101)]
    # The client recurses as well when it writes the plan down.
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    text = raises(InvalidPlanInput, "CONNECT_INVALID_PLAN.ASSERTION_FAILURE", lambda: chained(600).collect())
    assert "nests deeper than the 1024 messages" in text, text
    sys.setrecursionlimit(limit)
    assert spark.range(2).count() == 2


def interrupts():
    seen = []

    def wait():
        try:
            spark.streams.awaitAnyTermination()
        except Exception as error:
            seen.append(error.getCondition())

    thread = threading.Thread(target=wait)
    thread.start()
    deadline = time.monotonic() + 30
    while not spark.interruptAll() and time.monotonic() < deadline:
        time.sleep(0.05)
    thread.join(30)
    assert seen == ["OPERATION_CANCELED"], seen


def sessions():
    other = spark.newSession()
    other.conf.set("spark.foo", "other")
    assert spark.conf.get("spark.foo") != "other"
    other.stop()
    spark.stop()
    again = SparkSession.builder.appName("Again").getOrCreate()
    assert again.range(1).select(lit("x").alias("y")).collect() == [Row(y="x")]
    again.stop()


for check in (settings, context, rows, tables, names, errors, streams, deep_plans, interrupts, sessions):
    check()
    print("ok", check.__name__, flush=True)
