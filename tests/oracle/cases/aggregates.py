"""Aggregates at their edges: overflow, infinities, distinct, empty groups, odd arguments, filters over them."""

from pyspark.sql import functions as F

from harness import Family

cases = Family()

cases.rows("sum_of_tinyints", ["127", "127"], lambda df: df.selectExpr("CAST(v AS TINYINT) AS t", "CAST(v AS SMALLINT) AS s", "CAST(v AS INT) AS i").agg(F.sum("t"), F.sum("s"), F.sum("i"), F.avg("t")))
cases.rows("sum_overflow_without_ansi", ["9223372036854775807", "1"], lambda df: df.selectExpr("CAST(v AS BIGINT) AS l").agg(F.sum("l")), conf={"spark.sql.ansi.enabled": "false"})
cases.rows("sum_of_infinities", ["Infinity", "-Infinity", "1"], lambda df: df.selectExpr("CAST(v AS DOUBLE) AS d").agg(F.sum("d"), F.avg("d"), F.min("d"), F.max("d")))
cases.rows("sum_of_large_doubles", ["1e308", "1e308"], lambda df: df.selectExpr("CAST(v AS DOUBLE) AS d", "CAST(1e38 AS FLOAT) AS f").agg(F.sum("d"), F.avg("d"), F.sum("f")))
cases.rows("sum_of_floats", ["0.1", "0.2", "0.3"], lambda df: df.selectExpr("CAST(v AS FLOAT) AS f").agg(F.sum("f"), F.avg("f")))
cases.rows("sum_of_text", ["1.5", "2", None], lambda df: df.agg(F.sum("v"), F.avg("v"), F.min("v"), F.max("v"), F.count("v")))
cases.rows("sum_of_boolean_refused", ["x"], lambda df: df.agg(F.sum(F.lit(True))))
cases.rows("sum_of_date_refused", ["x"], lambda df: df.agg(F.sum(F.expr("DATE'2026-01-02'"))))
cases.rows("avg_of_struct_refused", ["x"], lambda df: df.agg(F.avg(F.struct("k"))))
cases.rows("sum_of_null", ["x"], lambda df: df.agg(F.sum(F.lit(None)), F.avg(F.lit(None)), F.sum(F.expr("CAST(NULL AS INT)"))))
cases.rows("counts", ["a", None, ""], lambda df: df.agg(F.count("*"), F.count("v"), F.count(F.lit(None)), F.count(F.lit(1)), F.expr("count(k)"), F.expr("count(CAST(NULL AS INT))"), F.count(F.struct("v"))))
cases.rows("count_without_argument", ["a"], lambda df: df.agg(F.expr("count()")))
cases.rows("sum_without_argument", ["a"], lambda df: df.agg(F.expr("sum()")))
cases.rows("sum_of_two", ["a"], lambda df: df.agg(F.expr("sum(k, k)")))
cases.rows("aggregate_of_aggregate_refused", ["a"], lambda df: df.agg(F.expr("sum(sum(k))")))
cases.rows("key_in_expression", ["a", "b"], lambda df: df.groupBy("v").agg(F.concat(F.col("v"), F.lit("!"), F.count("*").cast("string")).alias("c")), ordered=False)
cases.rows("other_column_refused", ["a", "b"], lambda df: df.groupBy("v").agg((F.col("k") + F.count("*")).alias("c")))
cases.rows("key_expression_again", ["a", "A"], lambda df: df.groupBy(F.lower("v")).agg(F.upper(F.lower("v")).alias("u"), F.count("*").alias("n")))
cases.rows("keys_with_nulls", ["a", None, None, ""], lambda df: df.groupBy("v", F.col("v").isNull().alias("none")).agg(F.count("*").alias("n"), F.max("k")), ordered=False)
cases.rows("same_aggregate_twice", ["a", "b"], lambda df: df.agg(F.sum("k"), F.sum("k"), F.sum("k").alias("s")))
cases.rows("filter_on_aggregate", ["a", "a", "b"], lambda df: df.groupBy("v").agg(F.count("*").alias("n"), F.sum("k").alias("s")).filter("n > 1 AND s >= 1").select("v", F.expr("s / n").alias("r")))
cases.rows("filter_on_generated_name", ["a", "a", "b"], lambda df: df.groupBy("v").count().filter(F.col("count") > 1))
cases.rows("dictionary_forms", ["a", "a"], lambda df: df.groupBy("v").agg({"k": "max", "*": "count"}), ordered=False)
cases.rows("short_methods", ["1", "2"], lambda df: df.groupBy().avg("k"))
cases.rows("short_methods_all", ["1", "2"], lambda df: df.groupBy("v").max(), ordered=False)
cases.rows("short_method_of_text_refused", ["1", "2"], lambda df: df.groupBy("k").sum("v"))
cases.rows("agg_without_groups_of_nothing", [], lambda df: df.groupBy("v").agg(F.count("*")))
cases.rows("group_by_position_refused", ["a"], lambda df: df.groupBy(F.lit(1)).count())
cases.rows("group_by_aggregate_refused", ["a"], lambda df: df.groupBy(F.sum("k")).count())
cases.rows("group_by_times", ["2026-01-02 03:04:05", "2026-01-02 03:04:05.000", "2026-01-02"], lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t", "CAST(v AS DATE) AS e").groupBy("t", "e").count(), ordered=False)
cases.rows("group_by_binary_and_array", ["a", "a", None], lambda df: df.groupBy(F.expr("CAST(v AS BINARY)").alias("b"), F.expr("split(v, ',')").alias("l")).count(), ordered=False)
cases.rows("group_by_decimals", ["1.0", "1.00", "1"], lambda df: df.selectExpr("CAST(v AS DECIMAL(10,2)) AS d").groupBy("d").agg(F.sum("d"), F.avg("d")))
cases.rows("case_in_sum", ["a", "b", "a"], lambda df: df.agg(F.sum(F.when(F.col("v") == "a", 1).otherwise(0)).alias("a"), F.sum(F.when(F.col("v") == "a", 1)).alias("b"), F.avg(F.when(F.col("v") == "zzz", 1)).alias("c"),
           F.expr("sum(CAST(v = 'a' AS INT))").alias("d"), F.max(F.when(F.col("k") > 0, F.col("v"))).alias("e")))
cases.meta("print_schema_of_counts", lambda spark, df: df.groupBy("v").agg(F.count("*"), F.sum("k"), F.avg("k"), F.min(F.struct("k")), F.max("v")).printSchema())
cases.meta("print_schema_of_calls", lambda spark, df: df.selectExpr("upper(v) AS a", "k + 1 AS b", "coalesce(k, 0) AS c", "coalesce(v, 'x') AS d", "k / 2 AS e", "CASE WHEN k = 0 THEN 1 ELSE 2 END AS f", "CASE WHEN k = 0 THEN 1 END AS g",
           "CAST('1' AS INT) AS h", "try_cast('1' AS INT) AS i", "struct(k, 'x') AS j", "array(1, k) AS l", "map('a', k) AS m", "v IS NULL AS n", "v <=> 'a' AS o", "concat('a', 'b') AS p", "split(v, ',') AS q", "true AS r", "current_timestamp() AS s",
           "to_timestamp('2026-01-02') AS t", "from_json('{}', 'a INT NOT NULL') AS u", "if(true, 1, NULL) AS x", "1 = 1 AS y", "greatest(1, 2) AS z").printSchema())
cases.meta("schema_json_of_calls", lambda spark, df: df.selectExpr("struct(k, 'x' AS t) AS s", "array(1, 2) AS a", "map('a', 1.5) AS m", "DATE'2026-01-02' AS d", "NULL AS n").schema.json())
cases.meta("interval_types", lambda spark, df: df.selectExpr("INTERVAL '1' DAY AS d", "INTERVAL '1' HOUR AS h", "INTERVAL 1 YEAR AS y", "DATE'2026-01-05' - DATE'2026-01-02' AS b").schema.simpleString())
