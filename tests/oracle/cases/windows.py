"""window() over batch rows: tumbling, sliding, offsets, negative times, nulls, names and refusals."""

from pyspark.sql import functions as F

from harness import Family

cases = Family()

TIMES = ["2026-01-02 03:04:05", "2026-01-02 03:04:10", "2026-01-02 03:04:09.999999", "2026-01-02 03:04:00"]


def windows(duration: str, *more: str):
    """Start and end of each row's windows as text, one row a window."""
    def transform(df):
        return df.select("k", F.window(F.col("v").cast("timestamp"), duration, *more).alias("w")) \
            .select("k", F.col("w.start").cast("string").alias("start"), F.col("w.end").cast("string").alias("end"))
    return transform


cases.rows("tumbling", TIMES, windows("10 seconds"))
cases.rows("sliding", TIMES, windows("10 seconds", "5 seconds"), ordered=False)
cases.rows("sliding_uneven", TIMES[:2], windows("10 seconds", "4 seconds"), ordered=False)
cases.rows("sliding_many", TIMES[:1], windows("1 minute", "10 seconds"), ordered=False)
cases.rows("offset", TIMES, windows("10 seconds", "10 seconds", "3 seconds"))
cases.rows("sliding_offset", TIMES[:2], windows("10 seconds", "5 seconds", "2 seconds"), ordered=False)
cases.rows("before_1970", ["1969-12-31 23:59:58", "1969-12-31 23:59:50", "1970-01-01 00:00:00", "1960-02-29 12:00:01.5"], windows("10 seconds"))
cases.rows("before_1970_sliding", ["1969-12-31 23:59:58"], windows("10 seconds", "5 seconds"), ordered=False)
cases.rows("null_times_vanish", ["2026-01-02 03:04:05", None], windows("10 seconds"))
cases.rows("null_times_vanish_sliding", ["2026-01-02 03:04:05", None], windows("10 seconds", "5 seconds"), ordered=False)
cases.rows("units", TIMES[:1], lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t").groupBy(F.window("t", "1 minute 30 seconds")).count()
           .selectExpr("CAST(window.start AS STRING) AS s", "CAST(window.end AS STRING) AS e", "count"))
cases.rows("days_in_utc", ["2026-07-02 03:04:05"], windows("1 day"), conf={"spark.sql.session.timeZone": "America/New_York"})
cases.rows("weeks", ["2026-01-02 03:04:05"], windows("1 week"))
cases.rows("milliseconds", ["2026-01-02 03:04:05.6789"], windows("100 milliseconds"))
cases.rows("count_per_window_and_key", TIMES, lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t", "k % 2 AS u").groupBy(
    F.window("t", "10 seconds"), "u").agg(F.count("*").alias("n")), ordered=False)
cases.rows("schema_and_names", TIMES[:1], lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t").groupBy(F.window("t", "10 seconds")).count())
cases.rows("alias_of_window", TIMES[:1], lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t").groupBy(F.window("t", "10 seconds").alias("interval")).count().select("interval.end", "count"))
cases.rows("start_and_end", TIMES[:1], lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t").groupBy(F.window("t", "10 seconds")).count().select("window.start", "window.end", "window.*"))
cases.rows("of_text", TIMES[:1], lambda df: df.groupBy(F.window("v", "10 seconds")).count())
cases.rows("sql_form", TIMES[:1], lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t").selectExpr("window(t, '10 seconds')", "window(t, '10 seconds').start AS s"))
cases.rows("two_windows_refused", TIMES[:1], lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t").select(F.window("t", "10 seconds"), F.window("t", "5 seconds")))
cases.rows("months_refused", TIMES[:1], windows("1 month"))
cases.rows("zero_refused", TIMES[:1], windows("0 seconds"))
cases.rows("negative_refused", TIMES[:1], windows("-1 seconds"))
cases.rows("slide_longer_refused", TIMES[:1], windows("10 seconds", "11 seconds"))
cases.rows("offset_too_large_refused", TIMES[:1], windows("10 seconds", "10 seconds", "10 seconds"))
cases.rows("bad_interval_refused", TIMES[:1], windows("ten seconds"))
cases.rows("of_number_refused", TIMES[:1], lambda df: df.groupBy(F.window("k", "10 seconds")).count())
