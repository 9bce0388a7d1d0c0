"""Session time zones and the change to summer time: windows, truncation, date arithmetic, casts."""

from pyspark.sql import functions as F

from harness import Family

cases = Family()

NEW_YORK = {"spark.sql.session.timeZone": "America/New_York"}
KOLKATA = {"spark.sql.session.timeZone": "Asia/Kolkata"}
# One hour apart around the night of the change to summer time and back, in UTC.
SPRING = ["2026-03-08T06:30:00Z", "2026-03-08T07:30:00Z", "2026-03-09T03:30:00Z", "2026-03-09T04:30:00Z"]
AUTUMN = ["2026-11-01T04:30:00Z", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-02T04:59:59Z"]


def windows(duration: str, *more: str):
    """Start and end of each row's windows, in the session's zone."""
    return lambda df: df.select("k", F.window(F.col("v").cast("timestamp"), duration, *more).alias("w")) \
        .select("k", F.col("w.start").cast("string").alias("start"), F.col("w.end").cast("string").alias("end"))


cases.rows("days_in_spring", SPRING, windows("1 day"), conf=NEW_YORK)
cases.rows("days_in_autumn_with_start", AUTUMN, windows("1 day", "1 day", "5 hours"), conf=NEW_YORK)
cases.rows("hours_in_spring", SPRING, windows("2 hours", "1 hour"), conf=NEW_YORK, ordered=False)
cases.rows("hours_in_half_hour_zone", SPRING, windows("1 hour"), conf=KOLKATA)
cases.rows("start_of_15_minutes", SPRING, windows("1 hour", "1 hour", "15 minutes"), conf=KOLKATA)
cases.rows("negative_start", SPRING[:1], windows("10 seconds", "10 seconds", "-3 seconds"))
cases.rows("slide_with_start", SPRING[:1], windows("1 hour", "20 minutes", "5 minutes"), ordered=False)
cases.rows("mixed_units", SPRING[:1], windows("1 day 12 hours", "6 hours"), ordered=False)
cases.rows("of_timestamp_ntz", ["2026-03-08 02:30:00"], lambda df: df.select(F.window(F.expr("CAST(v AS TIMESTAMP_NTZ)"), "1 hour").alias("w")).selectExpr("CAST(w.start AS STRING) AS s", "CAST(w.end AS STRING) AS e"), conf=NEW_YORK)
cases.rows("of_date", ["2026-03-08"], lambda df: df.select(F.window(F.expr("CAST(v AS DATE)"), "1 day").alias("w")).selectExpr("CAST(w.start AS STRING) AS s"), conf=NEW_YORK)
cases.rows("truncated", SPRING + AUTUMN, lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t").selectExpr("CAST(date_trunc('day', t) AS STRING) AS d", "CAST(date_trunc('HOUR', t) AS STRING) AS h", "CAST(date_trunc('week', t) AS STRING) AS w",
           "CAST(date_trunc('mon', t) AS STRING) AS m", "CAST(date_trunc('quarter', t) AS STRING) AS q", "date_trunc('nope', t) AS n", "trunc(t, 'MM') AS e"), conf=NEW_YORK)
cases.rows("fields", SPRING + AUTUMN, lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t").selectExpr("hour(t)", "day(t)", "dayofweek(t)", "weekday(t)", "weekofyear(t)", "dayofyear(t)", "minute(t)", "second(t)", "quarter(t)"), conf=NEW_YORK)
cases.rows("added_days_and_hours", SPRING[:1] + AUTUMN[:1], lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t").selectExpr("CAST(t + INTERVAL '1' DAY AS STRING) AS a", "CAST(t + INTERVAL '24' HOUR AS STRING) AS b",
           "CAST(t + INTERVAL '1' MONTH AS STRING) AS c", "CAST(t - INTERVAL '1 day 2 hours' AS STRING) AS d", "date_add(t, 1) AS e", "CAST(add_months(t, 1) AS STRING) AS f"), conf=NEW_YORK)
cases.rows("local_times_in_the_gap", ["2026-03-08 02:30:00", "2026-11-01 01:30:00", "2026-03-08 03:00:00"], "CAST(CAST(v AS TIMESTAMP) AS BIGINT) AS a", "CAST(to_timestamp(v, 'yyyy-MM-dd HH:mm:ss') AS BIGINT) AS b",
           "CAST(from_json('{\"t\":\"' || v || '\"}', 't TIMESTAMP').t AS BIGINT) AS c", conf=NEW_YORK)
cases.rows("between_zoneless_and_zoned", ["2026-07-02 03:04:05"], "CAST(CAST(CAST(v AS TIMESTAMP_NTZ) AS TIMESTAMP) AS BIGINT) AS a", "CAST(CAST(CAST(v AS TIMESTAMP) AS TIMESTAMP_NTZ) AS STRING) AS b",
           "CAST(v AS TIMESTAMP_NTZ) = CAST(v AS TIMESTAMP) AS c", conf=NEW_YORK)
cases.rows("old_offsets", ["1883-11-18 12:00:00", "1900-01-01 00:00:00"], "CAST(CAST(v AS TIMESTAMP) AS BIGINT) AS a", "date_format(CAST(v AS TIMESTAMP), 'XXXXX') AS b", "CAST(CAST(v AS TIMESTAMP) AS STRING) AS c", conf=NEW_YORK)
cases.rows("unknown_zone", ["2026-01-02"], "CAST(v AS TIMESTAMP)", conf={"spark.sql.session.timeZone": "Mars/Base"})
cases.rows("zone_offset_setting", ["2026-01-02T03:04:05Z"], "CAST(CAST(v AS TIMESTAMP) AS STRING) AS a", "CAST(CAST(v AS TIMESTAMP) AS DATE) AS b", conf={"spark.sql.session.timeZone": "-08:00"})
cases.rows("zone_gmt_setting", ["2026-01-02T03:04:05Z"], "CAST(CAST(v AS TIMESTAMP) AS STRING) AS a", conf={"spark.sql.session.timeZone": "GMT+3"})
cases.rows("zone_short_name", ["2026-01-02T03:04:05Z", "2026-07-02T03:04:05Z"], "CAST(CAST(v AS TIMESTAMP) AS STRING) AS a", conf={"spark.sql.session.timeZone": "PST"})
cases.rows("casts_of_extremes", ["9999-12-31 23:59:59.999999", "0001-01-01 00:00:00", "-0044-03-15 00:00:00", "10000-01-01 00:00:00"], "CAST(CAST(v AS TIMESTAMP) AS STRING) AS a", "CAST(CAST(CAST(v AS TIMESTAMP) AS DATE) AS STRING) AS b",
           "CAST(CAST(v AS TIMESTAMP) AS BIGINT) AS c")
cases.rows("truncated_where_an_hour_comes_twice", AUTUMN, lambda df: df.selectExpr("CAST(v AS TIMESTAMP) + INTERVAL 12 SECONDS AS t").selectExpr(
    *(f"CAST(date_trunc('{unit}', t) AS LONG) AS {unit}" for unit in ("second", "minute", "hour", "day", "week"))), conf=NEW_YORK)
cases.rows("shifted_where_an_hour_comes_twice", AUTUMN + ["2026-11-02T06:30:00Z", "2026-10-31T05:30:00Z"], lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t").selectExpr(
    "CAST(t + INTERVAL 1 DAY AS LONG) AS later", "CAST(t - INTERVAL 1 DAY AS LONG) AS earlier", "CAST(t + INTERVAL 1 MONTH - INTERVAL 1 MONTH AS LONG) AS back"), conf=NEW_YORK)
