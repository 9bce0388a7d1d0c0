"""to_json: what each type becomes, nulls, options, nesting."""

from pyspark.sql import functions as F

from harness import Family

cases = Family()

cases.rows("scalars", ["5"], "to_json(struct(k, v, CAST(v AS BIGINT) + 1 AS n, true AS t, 1.5D AS d, CAST(1.5 AS FLOAT) AS f, 1.50 AS dec)) AS j")
cases.rows("nulls_left_out", [None, "x"], "to_json(struct(k, v)) AS j", "to_json(struct(v)) AS none")
cases.rows("nulls_kept", [None, "x"], "to_json(struct(k, v), map('ignoreNullFields', 'false')) AS j")
cases.rows("null_struct", ['{"a":1}', None], "to_json(from_json(v, 'a INT')) AS j")
cases.rows("nested", ['{"a":{"b":[1,null,3],"m":{"x":"y"}}}'], "to_json(from_json(v, 'a STRUCT<b: ARRAY<INT>, m: MAP<STRING, STRING>>')) AS j")
cases.rows("escapes", ['q"b\\s/n\nt\tü😀', "\u0001\u007f\u2028"], "to_json(struct(v)) AS j")
cases.rows("times", ["2026-01-02 03:04:05.678", "2026-07-02 03:04:05.123456"],
           "to_json(struct(CAST(v AS TIMESTAMP) AS ts, CAST(CAST(v AS TIMESTAMP) AS DATE) AS d)) AS j")
cases.rows("times_in_zone", ["2026-07-02 03:04:05"], "to_json(struct(CAST(v AS TIMESTAMP) AS ts)) AS j",
           conf={"spark.sql.session.timeZone": "Europe/Prague"})
cases.rows("timestamp_format", ["2026-01-02 03:04:05.678"],
           "to_json(struct(CAST(v AS TIMESTAMP) AS ts), map('timestampFormat', 'yyyy/MM/dd HH:mm')) AS j")
cases.rows("doubles", ["1", "1e10", "1e-5", "NaN", "Infinity", "-0.0", "123456789.125"], "to_json(struct(CAST(v AS DOUBLE) AS d)) AS j")
cases.rows("struct_star", ["x"], lambda df: df.select(F.to_json(F.struct("*")).alias("value")))
cases.rows("array_and_map", ['[{"a":1},{"a":null}]'], "to_json(from_json(v, 'ARRAY<STRUCT<a: INT>>')) AS j")
cases.rows("generated_name", ["x"], "to_json(struct(k, v))", "to_json(struct(k AS a))")
cases.rows("generated_name_api", ["x"], lambda df: df.select(F.to_json(F.struct("k", F.col("v").alias("w"))), F.struct("k", "v")))
cases.rows("not_a_struct", ["x"], "to_json(v)")
