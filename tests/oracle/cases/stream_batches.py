"""Streaming queries over several known batches: updates of every aggregate, zones, corrupt records, sliding windows."""

from pyspark.sql import functions as F

from cases.stream_watermarks import event, events
from harness import Family

cases = Family()


def crashes(df):
    """The crash monitor's parse and filter."""
    return df.selectExpr("CAST(value AS STRING) AS json").selectExpr(
        "from_json(json, 'user_id STRING, severity STRING, content STRING, timestamp TIMESTAMP') AS data").select("data.*") \
        .filter(F.lower(F.col("content")).contains("crash") & F.col("severity").isin("High", "Critical"))


def log(second: int, user: str, content: str = "App CRASH", severity: str = "High") -> str:
    """A record as the crash monitor reads them."""
    return f'{{"timestamp":"2026-01-02T03:{second // 60:02d}:{second % 60:02d}Z","user_id":"{user}","severity":"{severity}","content":"{content}"}}'


LOGS = [[log(1, "u1"), log(2, "u1"), log(3, "u1", severity="Critical"), log(4, "u2"), log(5, "u1", "fine"), log(6, "u1", severity="Low"), "garbage", ""],
        [log(11, "u2"), log(12, "u2"), log(13, "u2"), log(45, "u3"), log(7, "u1")], [log(55, "u4", "crash")], [log(8, "u1"), log(120, "u5")], [log(121, "u5")]]

cases.stream("the_crash_monitor", LOGS, lambda df: crashes(df).withWatermark("timestamp", "30 seconds").groupBy(F.window(F.col("timestamp"), "10 seconds"), F.col("user_id"))
             .agg(F.count("*").alias("crash_count")).filter(F.col("crash_count") > 2), options={"truncate": False})
cases.stream("the_crash_monitor_in_update", LOGS, lambda df: crashes(df).withWatermark("timestamp", "30 seconds").groupBy(F.window(F.col("timestamp"), "10 seconds"), F.col("user_id"))
             .agg(F.count("*").alias("crash_count")).filter(F.col("crash_count") > 2), "update", options={"truncate": False})
cases.stream("the_crash_monitor_in_new_york", LOGS, lambda df: crashes(df).withWatermark("timestamp", "30 seconds").groupBy(F.window(F.col("timestamp"), "10 seconds"), F.col("user_id"))
             .agg(F.count("*").alias("crash_count")), options={"truncate": False}, conf={"spark.sql.session.timeZone": "America/New_York"})
cases.stream("every_aggregate_in_update", [['{"k":"a","i":5,"d":1.5,"s":"x","t":"2026-01-02T00:00:00Z","b":true}', '{"k":"b"}'],
                                           ['{"k":"a","i":-2,"d":"NaN","s":"","t":"2025-01-02T00:00:00Z","b":false}'], ['{"k":"a"}', '{"k":"b","d":-0.0}'], ['{"i":1}']],
             lambda df: df.select(F.from_json(F.col("value").cast("string"), "k STRING, i INT, d DOUBLE, s STRING, t TIMESTAMP, b BOOLEAN").alias("j")).select("j.*").groupBy("k").agg(
                 F.count("*"), F.count("i"), F.sum("i"), F.avg("i"), F.min("d"), F.max("d"), F.min("s"), F.max("t"), F.min("b"), F.sum("d")), "update", options={"truncate": "false"})
cases.stream("extremes_of_structs", [['{"k":"a","n":1}', '{"k":"a","n":null}'], ['{"k":"a","n":5}', '{"k":"b"}'], ['{"k":"b","n":-1}']],
             lambda df: df.select(F.from_json(F.col("value").cast("string"), "k STRING, n INT").alias("j")).groupBy("j.k").agg(F.max("j"), F.min(F.struct("j.n", "j.k"))), "update", options={"truncate": "false"})
cases.stream("decimal_sums", [["1.10", "2.25"], ["-3.35", None], ["99999999.99"]], lambda df: df.selectExpr("CAST(CAST(value AS STRING) AS DECIMAL(10,2)) AS d").agg(F.sum("d"), F.avg("d"), F.max("d"), F.count("d")), "complete", options={"truncate": "false"})
cases.stream("sliding_with_start", [[event(1), event(14)], [event(31)], [event(2), event(60)], [event(61)]],
             lambda df: events(df).withWatermark("t", "5 seconds").groupBy(F.window("t", "20 seconds", "10 seconds", "3 seconds")).agg(F.count("*").alias("n"), F.sum("n")).select("window.start", "window.end", "n", "sum(n)"))
cases.stream("corrupt_records_counted", [['{"a":1}', "bad", '{"a":"x"}'], ["", None, "[1]"]],
             lambda df: df.select(F.from_json(F.col("value").cast("string"), "a INT, _corrupt_record STRING").alias("j")).groupBy(F.col("j._corrupt_record").isNotNull().alias("bad")).count(), "complete")
cases.stream("failfast_fails", [['{"a":1}'], ["bad"]], lambda df: df.select(F.from_json(F.col("value").cast("string"), "a INT", {"mode": "FAILFAST"}).alias("j")).select("j.a"))
cases.stream("case_and_coalesce_keys", [["1", "2", "x"], [None, "3"]], lambda df: df.selectExpr("try_cast(CAST(value AS STRING) AS INT) AS n").groupBy(
    F.when(F.col("n") > 1, "big").when(F.col("n").isNotNull(), "small").otherwise("none").alias("size")).agg(F.count("*").alias("c"), F.coalesce(F.sum("n"), F.lit(0)).alias("s")), "complete")
cases.stream("column_with_many_names", [["x"]], lambda df: df.selectExpr("CAST(value AS STRING) AS v").select(F.upper("v"), F.concat("v", F.lit("1")), F.length("v") * 2, F.col("v") == "x"))
cases.stream("watermark_on_window_key_by_sql", [[event(1), event(12)], [event(25)], [event(3), event(40)]],
             lambda df: events(df).withWatermark("t", "1 second").groupBy(F.expr("window(t, '10 seconds')"), "k").count().select(F.date_format("window.end", "mm:ss").alias("e"), "k", "count"))
cases.stream("arithmetic_above_the_aggregate", [[event(1, "a", 3), event(2, "b", 4)], [event(12, "a", 5)], [event(30)], [event(31)]],
             lambda df: events(df).withWatermark("t", "0 seconds").groupBy(F.window("t", "10 seconds"), "k").agg(F.sum("n").alias("s"), F.count("*").alias("c")).withColumn("mean", F.round(F.col("s") / F.col("c"), 2))
             .withColumn("size", F.when(F.col("s") > 3, "big").otherwise("small")).drop("window"))
cases.stream("complete_sorted_nulls_last", [["b", None], ["a", "b"]], lambda df: df.selectExpr("CAST(value AS STRING) AS w").groupBy("w").count().orderBy(F.col("w").asc_nulls_last()), "complete", ordered=True)
cases.stream("complete_sorted_by_struct", [['{"a":1,"b":null}', '{"a":null,"b":"x"}'], ['{"a":1,"b":"x"}']], lambda df: df.select(F.from_json(F.col("value").cast("string"), "a INT, b STRING").alias("j")).groupBy("j").count().orderBy("j"), "complete",
             ordered=True, options={"truncate": "false"})
