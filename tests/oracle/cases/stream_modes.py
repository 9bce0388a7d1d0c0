"""The output modes and the memory sink: which rows come in which batch, what is refused at start."""

from pyspark.sql import functions as F

from cases.stream_watermarks import event, events
from harness import Family

cases = Family()

WORDS = [["a", "b", "a"], ["b", "c"], ["c"]]


def words(df):
    """Kafka records -> the column w."""
    return df.selectExpr("CAST(value AS STRING) AS w")


def counts(df):
    return words(df).groupBy("w").count()


cases.stream("plain_append", WORDS, words, ordered=True)
cases.stream("plain_update_is_append", WORDS, words, "update", ordered=True)
cases.stream("filter_leaves_nothing", WORDS, lambda df: words(df).filter("w = 'c'"), ordered=True)
cases.stream("update_counts", WORDS, counts, "update")
cases.stream("complete_counts", WORDS, counts, "complete")
cases.stream("complete_ordered", WORDS, lambda df: counts(df).orderBy(F.desc("count"), "w"), "complete", ordered=True)
cases.stream("complete_ordered_limited", WORDS, lambda df: counts(df).orderBy(F.desc("count"), "w").limit(2), "complete", ordered=True)
cases.stream("mode_in_capitals", [["a"]], counts, "COMPLETE")
cases.stream("global_update_repeats", [["1", "2"], ["x"], ["3"]], lambda df: words(df).filter("w <> 'x'").agg(F.count("*"), F.sum(F.expr("try_cast(w AS INT)")).alias("s")), "update")
cases.stream("global_complete", [["1", "2"], ["3"]], lambda df: words(df).agg(F.count("*").alias("n"), F.min("w"), F.max("w"), F.avg(F.col("w").cast("int"))), "complete")
cases.stream("global_of_an_empty_topic", [[]], lambda df: words(df).agg(F.count("*"), F.sum(F.col("w").cast("int"))), "update", available_now=True)
cases.stream("empty_topic", [[]], words, available_now=True)
cases.stream("empty_topic_grouped", [[]], counts, "update", available_now=True)
cases.stream("update_prints_unchanged_values", [["5", "1"], ["3"]], lambda df: words(df).selectExpr("CAST(w AS INT) AS n", "'g' AS g").groupBy("g").agg(F.max("n")), "update")
cases.stream("null_keys", [["a", None, None], [None]], counts, "update")
cases.stream("sums_of_types", [['{"i":1,"d":1.5,"m":"1.10"}', '{"i":2147483647,"d":2.5,"m":"2.20"}'], ['{"i":5}']], lambda df: df.select(
    F.from_json(F.col("value").cast("string"), "i INT, d DOUBLE, m DECIMAL(10,2)").alias("j")).select("j.*").agg(
    F.sum("i"), F.sum("d"), F.sum("m"), F.avg("i"), F.avg("m"), F.min("d"), F.max("m"), F.count("d")), "update", options={"truncate": "false"})
cases.stream("sum_overflow_fails", [["9223372036854775807", "1"]], lambda df: words(df).agg(F.sum(F.col("w").cast("bigint"))), "update")
cases.stream("group_by_many_types", [['{"b":true,"d":0.0,"x":1.10}', '{"b":true,"d":-0.0,"x":1.1}', '{"d":1}']], lambda df: df.select(
    F.from_json(F.col("value").cast("string"), "b BOOLEAN, d DOUBLE, x DECIMAL(5,2), t DATE").alias("j")).select("j.*").groupBy("b", "d", "x", "t").count(), "update")
cases.stream("cast_error_fails", [["1"], ["x"]], lambda df: words(df).select(F.col("w").cast("int")))
cases.stream("kafka_columns", [["a", "b"], [None]], lambda df: df.selectExpr("CAST(key AS STRING) AS key", "value", "partition", "offset", "timestamp", "timestampType"), ordered=True,
             options={"truncate": "false"})
cases.stream("available_now_cuts", [["1", "2", "3", "4", "5"]], words, available_now=True, source={"maxOffsetsPerTrigger": "2"}, ordered=True)
cases.stream("starting_offsets_latest", [["a"], ["b"]], words, source={"startingOffsets": "latest"}, ordered=True, available_now=True)

cases.stream("memory_append", WORDS, words, sink="memory", ordered=True)
cases.stream("memory_complete", WORDS, counts, "complete", sink="memory")
cases.stream("memory_update", WORDS, counts, "update", sink="memory")
cases.stream("memory_append_windows", [[event(1), event(12)], [event(25)], [event(26)]], lambda df: events(df).withWatermark("t", "0 seconds")
             .groupBy(F.window("t", "10 seconds")).count(), sink="memory")
cases.stream("memory_types", [['{"i":1,"a":[1,2],"s":{"x":"y"},"t":"2026-01-02T03:04:05.678Z","m":{"k":1.5}}', "{}"]], lambda df: df.select(
    F.from_json(F.col("value").cast("string"), "i INT, a ARRAY<INT>, s STRUCT<x: STRING>, t TIMESTAMP, m MAP<STRING, DOUBLE>").alias("j")).select("j.*"), sink="memory", ordered=True)

cases.stream("append_without_watermark_refused", [[]], counts, "append")
cases.stream("append_watermark_not_in_keys_refused", [[]], lambda df: events(df).withWatermark("t", "1 second").groupBy("k").count(), "append")
cases.stream("complete_without_aggregation_refused", [[]], words, "complete")
cases.stream("order_in_append_refused", [[]], lambda df: words(df).orderBy("w"), "append")
cases.stream("order_in_update_refused", [[]], lambda df: counts(df).orderBy("w"), "update")
cases.stream("limit_in_update_refused", [[]], lambda df: counts(df).limit(1), "update")
cases.stream("unknown_mode_refused", [[]], words, "sometimes")
cases.stream("unknown_sink_refused", [[]], words, sink="nowhere")
cases.stream("memory_without_name_is_named_here", [["a"]], words, sink="memory", ordered=True)
