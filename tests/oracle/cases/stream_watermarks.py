"""Watermarks with late data in known batches: what is dropped, what is closed, and in which batch it comes out."""

from pyspark.sql import functions as F

from harness import Family

cases = Family()


def event(second: float, key: str = "a", number: int = 1) -> str:
    """A record whose event time is so many seconds after 2026-01-02 03:00:00."""
    minutes, rest = divmod(second, 60)
    return f'{{"t":"2026-01-02T03:{int(minutes):02d}:{rest:09.6f}Z","k":"{key}","n":{number}}}'


def events(df):
    """Kafka records -> t TIMESTAMP, k STRING, n INT."""
    return df.selectExpr("CAST(value AS STRING) AS json").select(F.from_json("json", "t TIMESTAMP, k STRING, n INT").alias("d")).select("d.*")


def counted(delay: str, duration: str = "10 seconds", *slide: str):
    """The count per window, as the crash monitor has it, with the window's bounds as short text."""
    def transform(df):
        return events(df).withWatermark("t", delay).groupBy(F.window("t", duration, *slide)).agg(F.count("*").alias("n")) \
            .select(F.date_format("window.start", "mm:ss").alias("start"), "n")
    return transform


STEPS = [[event(1), event(2), event(12)], [event(3), event(25)], [event(4), event(14), event(26)], [event(60)], [event(13), event(61)]]

cases.stream("append_late_rows", STEPS, counted("0 seconds"))
cases.stream("update_late_rows", STEPS, counted("0 seconds"), "update")
cases.stream("complete_ignores_lateness", STEPS, lambda df: counted("0 seconds")(df).orderBy("start"), "complete", ordered=True)
cases.stream("append_delay", STEPS, counted("10 seconds"))
cases.stream("update_delay", STEPS, counted("10 seconds"), "update")
cases.stream("append_sliding", STEPS, counted("5 seconds", "10 seconds", "5 seconds"))
cases.stream("append_available_now", STEPS, counted("0 seconds"), available_now=True, source={"maxOffsetsPerTrigger": "3"})
cases.stream("update_available_now", STEPS, counted("0 seconds"), "update", available_now=True, source={"maxOffsetsPerTrigger": "3"})
cases.stream("complete_available_now", STEPS, lambda df: counted("0 seconds")(df).orderBy("start"), "complete", available_now=True,
             source={"maxOffsetsPerTrigger": "3"}, ordered=True)
cases.stream("window_end_equal_to_watermark_closes", [[event(1), event(10)], [event(2), event(11)], [event(12)]], counted("0 seconds"))
cases.stream("watermark_is_cut_to_millis", [[event(1), event(10.0009)], [event(9.9995), event(10.0009)], [event(2), event(20.0019)], [event(20.001)]], counted("0 seconds"))
cases.stream("null_times_vanish", [[event(1), '{"k":"a","n":1}', "bad"], [event(30), None], [event(31)]], counted("0 seconds"))
cases.stream("older_than_the_watermark_just_announced", [[event(1), event(40)], [event(2), event(41)], [event(3), event(42)]], counted("10 seconds"))
cases.stream("filter_after_watermark_is_pushed_below", [[event(1), event(2, "b")], [event(50, "b"), event(3)], [event(4), event(5)], [event(60), event(6)], [event(61)]],
             lambda df: events(df).withWatermark("t", "0 seconds").filter("k = 'a'").groupBy(F.window("t", "10 seconds")).agg(F.count("*").alias("n"))
             .select(F.date_format("window.start", "mm:ss").alias("start"), "n"))
cases.stream("filter_on_time_stays_above", [[event(1), event(2)], [event(50), event(3)], [event(4), event(5)], [event(20)]],
             lambda df: events(df).withWatermark("t", "0 seconds").filter("t < TIMESTAMP'2026-01-02 03:00:30'").groupBy(F.window("t", "10 seconds")).agg(F.count("*").alias("n"))
             .select(F.date_format("window.start", "mm:ss").alias("start"), "n"))
cases.stream("key_is_the_raw_time", [[event(1), event(1), event(5)], [event(5), event(9)], [event(20)], [event(21)]],
             lambda df: events(df).withWatermark("t", "0 seconds").groupBy("t").count().select(F.date_format("t", "mm:ss").alias("at"), "count"))
cases.stream("window_and_key", [[event(1, "a"), event(2, "b"), event(3, "a")], [event(15, "a"), event(4, "b")], [event(31, "c")], [event(45, "c")]],
             lambda df: events(df).withWatermark("t", "5 seconds").groupBy(F.window("t", "10 seconds"), "k").agg(F.count("*").alias("n"), F.sum("n").alias("s"), F.avg("n"), F.min("t"), F.max("n"))
             .select(F.date_format("window.start", "mm:ss").alias("start"), "k", "n", "s", "avg(n)", F.date_format("min(t)", "mm:ss").alias("first"), "max(n)"))
cases.stream("alias_of_window_is_event_time", [[event(1), event(12)], [event(25)], [event(26)]],
             lambda df: events(df).withWatermark("t", "0 seconds").groupBy(F.window("t", "10 seconds").alias("interval")).count()
             .select(F.date_format("interval.end", "mm:ss").alias("end"), "count"))
cases.stream("having_in_append", [[event(1), event(2), event(12)], [event(25)], [event(26)]],
             lambda df: counted("0 seconds")(df).filter("n > 1"))
cases.stream("two_partitions", [[(event(1), 0), (event(40), 1)], [(event(2), 0)], [(event(41), 1)], [(event(55), 0)], [(event(56), 1)]],
             counted("10 seconds"), partitions=2)
cases.stream("watermark_moves_by_the_maximum_seen", [[event(100), event(1)], [event(50)], [event(101)]], counted("30 seconds"))
cases.stream("the_crash_monitor", [[f'{{"timestamp":"2026-01-02T03:00:{second:02d}Z","status":"OK","severity":"{severity}","user_id":"{user}","content":"{content}"}}'
                                for second, severity, user, content in step] for step in [
    [(1, "High", "u1", "App crash"), (2, "Critical", "u1", "CRASH"), (3, "High", "u1", "crashed"), (4, "Low", "u1", "crash"), (5, "High", "u2", "fine")],
    [(6, "High", "u2", "crash"), (7, "High", "u2", "crash"), (8, "High", "u2", "Crash"), (9, "Critical", "u2", "crash"), (45, "High", "u3", "crash")],
    [(1, "High", "u4", "crash"), (2, "High", "u4", "crash"), (3, "High", "u4", "crash"), (46, "High", "u3", "crash"), (47, "High", "u3", "crash")],
    [(59, "High", "u9", "crash")]]],
    lambda df: df.selectExpr("CAST(value AS STRING) as json").selectExpr(
        "from_json(json, 'user_id STRING, severity STRING, content STRING, timestamp TIMESTAMP') as data").select("data.*")
    .filter(F.lower(F.col("content")).contains("crash") & F.col("severity").isin("High", "Critical"))
    .withWatermark("timestamp", "30 seconds").groupBy(F.window(F.col("timestamp"), "10 seconds"), F.col("user_id"))
    .agg(F.count("*").alias("crash_count")).filter(F.col("crash_count") > 2), options={"truncate": "false"})
cases.stream("progress_of_batches_without_data", [[event(1)], [event(30)]], counted("0 seconds"), "update")
cases.stream("watermark_on_text_refused", [[]], lambda df: events(df).withWatermark("k", "1 second").groupBy("k").count(), "update")
cases.stream("bad_delay_refused", [[]], lambda df: events(df).withWatermark("t", "soon").groupBy("t").count(), "update")
cases.stream("negative_delay_refused", [[]], lambda df: events(df).withWatermark("t", "-5 seconds").groupBy("t").count(), "update")
