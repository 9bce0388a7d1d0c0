"""Time functions: to_timestamp, date_format, from_unixtime, the session time zone, current_timestamp's shape."""

from pyspark.sql import functions as F

from harness import Family

cases = Family()

TIMES = ["2026-01-02 03:04:05.678901", "2024-02-29 23:59:59", "1969-12-31 00:00:00", "0001-01-01 00:00:00"]
NEW_YORK = {"spark.sql.session.timeZone": "America/New_York"}


def formatted(pattern: str):
    """One case of date_format for one pattern."""
    return lambda df: df.selectExpr(f"date_format(CAST(v AS TIMESTAMP), '{pattern}') AS f")


cases.rows("to_timestamp_plain", ["2026-01-02 03:04:05", "2026-01-02", None], "CAST(to_timestamp(v) AS STRING) AS t")
cases.rows("to_timestamp_bad", ["x"], "to_timestamp(v)")
cases.rows("to_timestamp_format", ["02/01/2026 03:04:05", None], "CAST(to_timestamp(v, 'dd/MM/yyyy HH:mm:ss') AS STRING) AS t")
cases.rows("to_timestamp_iso", ["2026-01-02T03:04:05.678Z"], "CAST(to_timestamp(v, \"yyyy-MM-dd'T'HH:mm:ss.SSSX\") AS STRING) AS t")
cases.rows("to_timestamp_offset", ["2026-01-02 03:04:05 +0200"], "CAST(to_timestamp(v, 'yyyy-MM-dd HH:mm:ss Z') AS STRING) AS t")
cases.rows("to_timestamp_zone_name", ["2026-01-02 03:04 Europe/Prague"], "CAST(to_timestamp(v, 'yyyy-MM-dd HH:mm VV') AS STRING) AS t")
cases.rows("to_timestamp_twelve_hours", ["01/02/26 3:04 PM", "12/31/99 12:00 AM"], "CAST(to_timestamp(v, 'MM/dd/yy h:mm a') AS STRING) AS t")
cases.rows("to_timestamp_names", ["02 Jan 2026"], "CAST(to_timestamp(v, 'dd MMM yyyy') AS STRING) AS t")
cases.rows("to_timestamp_mismatch", ["2026-01-02"], "to_timestamp(v, 'dd/MM/yyyy')")
cases.rows("to_timestamp_trailing", ["2026-01-02 x"], "to_timestamp(v, 'yyyy-MM-dd')")
cases.rows("to_timestamp_lenient_digits", ["2026-1-2 3:4:5"], "CAST(to_timestamp(v, 'yyyy-M-d H:m:s') AS STRING) AS t")
cases.rows("to_timestamp_strict_digits", ["2026-1-2"], "to_timestamp(v, 'yyyy-MM-dd')")
cases.rows("to_timestamp_millis", ["2026-01-02 03:04:05.6", "2026-01-02 03:04:05.678901"], "CAST(to_timestamp(v, 'yyyy-MM-dd HH:mm:ss.[SSSSSS][S]') AS STRING) AS t")
cases.rows("to_timestamp_without_ansi", ["x", "2026-01-02"], "CAST(to_timestamp(v) AS STRING) AS a", "CAST(to_timestamp(v, 'dd/MM/yyyy') AS STRING) AS b", conf={"spark.sql.ansi.enabled": "false"})
cases.rows("to_timestamp_new_york", ["2026-07-01 12:00:00", "2026-01-01 12:00:00"], "CAST(to_timestamp(v) AS BIGINT) AS s", "CAST(to_timestamp(v, 'yyyy-MM-dd HH:mm:ss') AS BIGINT) AS f", conf=NEW_YORK)
cases.rows("to_timestamp_number", ["1"], "CAST(to_timestamp(k) AS STRING) AS t")
cases.rows("to_timestamp_bad_pattern", ["2026"], "to_timestamp(v, 'yyyy-bb')")
cases.rows("to_timestamp_legacy_pattern", ["2026-01-02"], "to_timestamp(v, 'YYYY-MM-dd')")
cases.rows("date_format_plain", TIMES, formatted("yyyy-MM-dd HH:mm:ss.SSSSSS"))
cases.rows("date_format_short", TIMES[:2], formatted("y M d H m s S"))
cases.rows("date_format_names", TIMES[:2], formatted("E EEEE MMM MMMM a h hh"))
cases.rows("date_format_text", TIMES[:2], lambda df: df.selectExpr("date_format(CAST(v AS TIMESTAMP), \"yyyy'T'HH 'o''clock'\") AS f"))
cases.rows("date_format_days", TIMES[:2], formatted("D DDD F Q QQQ"))
cases.rows("date_format_zone", TIMES[:1], formatted("VV z zzzz X XXX Z O"))
cases.rows("date_format_zone_new_york", TIMES[:1], formatted("HH:mm VV z X XXX Z"), conf=NEW_YORK)
cases.rows("date_format_of_text_and_date", ["2026-01-02"], "date_format(v, 'yyyy/MM') AS a", "date_format(CAST(v AS DATE), 'dd.MM.yyyy HH') AS b", "date_format(v, 'yyyy')")
cases.rows("date_format_bad_pattern", TIMES[:1], formatted("yyyy-bb"))
cases.rows("from_unixtime", ["0", "1770000002", "-1", "253402300799", None], "from_unixtime(CAST(v AS BIGINT)) AS a", "from_unixtime(CAST(v AS BIGINT), 'yyyy-MM-dd') AS b")
cases.rows("from_unixtime_new_york", ["0", "1770000002"], "from_unixtime(CAST(v AS BIGINT)) AS a", conf=NEW_YORK)
cases.rows("from_unixtime_of_text", ["1770000002"], "from_unixtime(v) AS a", "from_unixtime(CAST(v AS DOUBLE) / 1000) AS b")
cases.rows("from_unixtime_back", ["1770000002171"], "CAST(to_timestamp(from_unixtime(CAST(v AS BIGINT) / 1000)) AS STRING) AS t")
cases.rows("unix_timestamp", ["2026-01-02 03:04:05"], "unix_timestamp(v) AS a", "unix_timestamp(CAST(v AS TIMESTAMP)) AS b", "unix_timestamp(v, 'yyyy-MM-dd HH:mm:ss') AS c")
cases.rows("names", ["2026-01-02"], "to_timestamp(v)", "to_timestamp(v, 'yyyy-MM-dd')", "date_format(to_timestamp(v), 'yyyy')", "from_unixtime(k)", "from_unixtime(k, 'yyyy')")
cases.rows("names_api", ["2026-01-02"], lambda df: df.select(F.to_timestamp("v"), F.to_timestamp("v", "yyyy-MM-dd"), F.date_format(F.col("v").cast("timestamp"), "yyyy"), F.from_unixtime("k")))
cases.rows("current_timestamp_shape", ["x", "y"], "current_timestamp() > TIMESTAMP'2020-01-01 00:00:00' AS later", "current_timestamp() = now() AS same", "current_timestamp() IS NULL AS none")
cases.rows("current_timestamp_name", ["x"], lambda df: df.select(F.current_timestamp()).limit(0))
cases.rows("compare_timestamp_with_text", ["2026-01-02 03:04:05"], "CAST(v AS TIMESTAMP) > '2026-01-01'", "CAST(v AS TIMESTAMP) = v", "CAST(v AS TIMESTAMP) < DATE'2026-01-03' AS d")
cases.rows("summer_time_gap", ["2026-03-08 02:30:00", "2026-11-01 01:30:00"], "CAST(CAST(v AS TIMESTAMP) AS BIGINT) AS s", "CAST(CAST(v AS TIMESTAMP) AS STRING) AS t", conf=NEW_YORK)
