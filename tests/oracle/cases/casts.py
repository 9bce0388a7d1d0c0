"""Casts between types, with ANSI's errors; Spark's text forms of numbers."""

from pyspark.sql import functions as F

from harness import Family

cases = Family()

cases.rows("text_to_int", ["1", " 2 ", "-3", "+4", "2147483647", "-2147483648", "007"], "CAST(v AS INT) AS i", "CAST(v AS BIGINT) AS l",
           "CAST(v AS DOUBLE) AS d")
cases.rows("text_to_int_bad", ["x"], "CAST(v AS INT)")
cases.rows("text_to_int_empty", [""], "CAST(v AS INT)")
cases.rows("text_to_int_fraction", ["1.5"], "CAST(v AS INT)")
cases.rows("text_to_int_overflow", ["2147483648"], "CAST(v AS INT)")
cases.rows("text_to_tinyint_overflow", ["128"], "CAST(v AS TINYINT)")
cases.rows("text_to_double", ["1.5", "1e3", " 2 ", "NaN", "Infinity", "-inf", "1d", "1f", "0x10p0", ".5", "5.", "-0"], "CAST(v AS DOUBLE) AS d")
cases.rows("text_to_double_bad", ["abc"], "CAST(v AS DOUBLE)")
cases.rows("text_to_boolean", ["true", "FALSE", "t", "f", "yes", "no", "y", "n", "1", "0", " true "], "CAST(v AS BOOLEAN) AS b")
cases.rows("text_to_boolean_bad", ["maybe"], "CAST(v AS BOOLEAN)")
cases.rows("text_to_decimal", ["1.25", "1.255", "1.245", "-1.255", "1e2", " 3 ", "12345678"], "CAST(v AS DECIMAL(10,2)) AS d")
cases.rows("text_to_decimal_overflow", ["123456789"], "CAST(v AS DECIMAL(10,2))")
cases.rows("text_to_date", ["2026-01-02", "2026-1-2", "2026", "2026-05", "2026-01-02T10:00:00", "2026-01-02 x"], "CAST(v AS DATE) AS d")
cases.rows("text_to_date_bad", ["2026-02-30"], "CAST(v AS DATE)")
cases.rows("text_to_timestamp", ["2026-01-02 03:04:05", "2026-01-02T03:04:05.123456789Z", "2026-01-02 03:04:05+02:00", "2026-01-02",
                                 "2026", "2026-1-2 3:4", " 2026-01-02 03:04:05 ", "2026-01-02 03:04:05 Europe/Prague"],
           "CAST(CAST(v AS TIMESTAMP) AS STRING) AS t")
cases.rows("text_to_timestamp_bad", ["yesterday"], "CAST(v AS TIMESTAMP)")
cases.rows("try_cast", ["1", "x", "", None, "99999999999"], "try_cast(v AS INT) AS i", "try_cast(v AS DOUBLE) AS d", "try_cast(v AS TIMESTAMP) IS NULL AS t")
cases.rows("number_to_text", ["0", "1.0", "1.5", "100000.0", "1e7", "12345678.9", "1e-3", "1e-4", "NaN", "Infinity", "-0.0", "0.1", "1e21",
                              "123456789012345680"],
           "CAST(CAST(v AS DOUBLE) AS STRING) AS d", "CAST(CAST(v AS FLOAT) AS STRING) AS f")
cases.rows("decimal_to_text", ["1", "1.50", "-0.05", "0"], "CAST(CAST(v AS DECIMAL(10,2)) AS STRING) AS s", "CAST(CAST(v AS DECIMAL(20,10)) AS STRING) AS w")
cases.rows("double_to_int", ["1.9", "-1.9", "2147483647.5", "0.0"], "CAST(CAST(v AS DOUBLE) AS INT) AS i", "CAST(CAST(v AS DOUBLE) AS BIGINT) AS l")
cases.rows("double_to_int_overflow", ["1e10"], "CAST(CAST(v AS DOUBLE) AS INT)")
cases.rows("double_nan_to_int", ["NaN"], "CAST(CAST(v AS DOUBLE) AS INT)")
cases.rows("bigint_to_int_overflow", ["3000000000"], "CAST(CAST(v AS BIGINT) AS INT)")
cases.rows("int_to_tinyint_overflow", ["200"], "CAST(CAST(v AS INT) AS TINYINT)")
cases.rows("boolean_to_number", ["true", "false"], "CAST(CAST(v AS BOOLEAN) AS INT) AS i", "CAST(CAST(v AS BOOLEAN) AS DOUBLE) AS d",
           "CAST(CAST(v AS BOOLEAN) AS STRING) AS s")
cases.rows("number_to_boolean", ["0", "1", "-5"], "CAST(CAST(v AS INT) AS BOOLEAN) AS b", "CAST(CAST(v AS DOUBLE) AS BOOLEAN) AS d")
cases.rows("number_to_timestamp", ["0", "1770000002", "-1"], "CAST(CAST(CAST(v AS BIGINT) AS TIMESTAMP) AS STRING) AS t",
           "CAST(CAST(CAST(v AS DOUBLE) / 1000 AS TIMESTAMP) AS STRING) AS d")
cases.rows("timestamp_to_number", ["2026-01-02 03:04:05.678", "1969-12-31 23:59:59.5"], "CAST(CAST(v AS TIMESTAMP) AS BIGINT) AS l",
           "CAST(CAST(v AS TIMESTAMP) AS DOUBLE) AS d", "CAST(CAST(v AS TIMESTAMP) AS INT) AS i")
cases.rows("timestamp_to_date_in_zone", ["2026-01-02T03:04:05Z", "2026-07-02T23:04:05Z"], "CAST(CAST(v AS TIMESTAMP) AS DATE) AS d",
           "CAST(CAST(v AS TIMESTAMP) AS STRING) AS s", conf={"spark.sql.session.timeZone": "America/Los_Angeles"})
cases.rows("date_to_timestamp", ["2026-01-02"], "CAST(CAST(CAST(v AS DATE) AS TIMESTAMP) AS STRING) AS t")
cases.rows("timestamp_text_forms", ["2026-01-02 03:04:05.1", "2026-01-02 03:04:05.120", "2026-01-02 03:04:05.000001", "2026-01-02 03:04:05.000"],
           "CAST(CAST(v AS TIMESTAMP) AS STRING) AS t")
cases.rows("binary", ["héllo", ""], "CAST(v AS BINARY) AS b", "CAST(CAST(v AS BINARY) AS STRING) AS s")
cases.rows("struct_to_text", ['{"a":1,"b":"x","c":[1,null],"m":{"p":1.5}}', '{"b":null}'],
           "CAST(from_json(v, 'a INT, b STRING, c ARRAY<INT>, m MAP<STRING, DOUBLE>') AS STRING) AS s")
cases.rows("null_casts", [None], "CAST(v AS INT) AS i", "CAST(v AS TIMESTAMP) AS t", "CAST(NULL AS STRING) AS s", "CAST(v AS BOOLEAN) AS b")
cases.rows("legacy_off_ansi", ["x", "1", "99999999999", "1.5", ""], "CAST(v AS INT) AS i", "CAST(v AS DOUBLE) AS d", "CAST(v AS BOOLEAN) AS b",
           conf={"spark.sql.ansi.enabled": "false"})
cases.rows("names", ["1"], "CAST(v AS INT)", "v::int", "int(v)", "double(v)", "CAST(v AS DECIMAL(10,2))", "CAST(k + 1 AS STRING)",
           "CAST(CAST(v AS INT) AS STRING) || 'x'")
cases.rows("names_api", ["1"], lambda df: df.select(F.col("v").cast("int"), F.col("v").cast("int") + 1, (df.k + 1).cast("string"), df["v"].cast("double").alias("d")))
cases.rows("bad_pairs", ["1"], "CAST(CAST(k AS BOOLEAN) AS DATE)")
cases.rows("int_to_date", ["1"], "CAST(k AS DATE)")
cases.rows("blanks_that_are_none", ["\u00a012", "12\u2003", "\u300012", "\t12\n", "\x7f12\x01", " 12 "], "try_cast(v AS INT) AS i", "try_cast(v AS DOUBLE) AS d", "try_cast(v AS DECIMAL(5,1)) AS c", "try_cast(v AS BIGINT) AS l")
cases.rows("zones_that_are_words", ["2026-01-02 03:04:05-año", "2026-01-02 03:04:05+1€", "2026-01-02 03:04:05 GMT-1…", "2026-01-02 03:04:05-0530"], "try_cast(v AS TIMESTAMP) AS t", "from_json(concat('{\"t\":\"', v, '\"}'), 't TIMESTAMP').t AS j")
cases.rows("double_beyond_times", ["1.7e18"], "CAST(CAST(v AS DOUBLE) AS TIMESTAMP)")
cases.rows("double_beyond_times_tried", ["1.7e18", "NaN", "1.5"], "try_cast(CAST(v AS DOUBLE) AS TIMESTAMP) AS t")
cases.rows("double_beyond_times_without_ansi", ["1.7e18", "-1.7e18", "NaN"], "CAST(CAST(CAST(v AS DOUBLE) AS TIMESTAMP) AS LONG) AS l", conf={"spark.sql.ansi.enabled": "false"})
cases.rows("date_beyond_times", ["300000-01-01"], "CAST(CAST(v AS DATE) AS TIMESTAMP)")
cases.rows("rounded_beyond", ["2147483647"], "round(CAST(v AS INT), -1)")
cases.rows("rounded_beyond_without_ansi", ["2147483647"], "round(CAST(v AS INT), -1) AS r", "round(CAST(127 AS TINYINT), -1) AS b", conf={"spark.sql.ansi.enabled": "false"})
