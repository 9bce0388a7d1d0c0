"""DataFrame operations and their names and types: select, d.*, withColumn, drop, groupBy, schema, printSchema."""

from pyspark.sql import functions as F

from harness import Family

cases = Family()

JSON = ['{"a":1,"b":"x","c":{"d":2.5}}', '{"a":2,"b":null}', '{"a":3,"b":"x"}', None]
SCHEMA = "a INT, b STRING, c STRUCT<d: DOUBLE>"


def d(df):
    """The parsed columns a, b and c."""
    return df.select(F.from_json("v", SCHEMA).alias("d")).select("d.*")


cases.rows("star_of_struct", JSON, d)
cases.rows("star_keeps_order", ["x"], lambda df: df.select("*", F.lit(1).alias("one")))
cases.rows("sql_star", ["x"], "*", "k AS again")
cases.rows("nested_names", JSON, lambda df: d(df).select("c.d", "c.*", F.col("c")["d"], F.col("c").getField("d"), "a"))
cases.rows("field_of_a_null_struct", JSON, lambda df: df.select("k", F.when(F.col("k") != 1, F.from_json("v", SCHEMA)).alias("d")).select("k", "d.a", F.col("d")["b"], "d.c.d", "d.*").filter("a IS NULL OR b = 'x'"))
cases.rows("group_by_field_of_a_null_struct", JSON, lambda df: df.select(F.when(F.col("k") != 1, F.from_json("v", SCHEMA)).getField("a").alias("a")).groupBy("a").count(), ordered=False)
cases.rows("field_of_structs_in_an_array", ['{"i":[{"p":1.5,"q":{"z":1}},{"p":null},null]}', '{"i":[]}', '{"i":null}', None], lambda df: df.select(
    F.from_json("v", "i ARRAY<STRUCT<p: DOUBLE, q: STRUCT<z: INT>>>").alias("j")).select("j.i.p", F.col("j.i")["p"], F.col("j.i").getField("p"), F.expr("j.i.q.z"), F.size("j.i.p")))
cases.rows("names_ignore_case", ["x"], lambda df: df.select("K", F.col("V"), df["k"]))
cases.rows("backticks", ["x"], lambda df: df.select(F.col("k").alias("a b"), F.col("v").alias("c.d")).select("`a b`", F.col("`c.d`")))
cases.rows("with_column", ["x"], lambda df: df.withColumn("n", F.col("k") + 1).withColumn("k", F.lit("replaced")).withColumn("K2", F.col("n")))
cases.rows("with_column_case", ["x"], lambda df: df.withColumn("V", F.lit(1)))
cases.rows("with_columns", ["x"], lambda df: df.withColumns({"a": F.col("k"), "b": F.upper("v")}))
cases.rows("renamed", ["x"], lambda df: df.withColumnRenamed("v", "w").withColumnRenamed("nope", "z"))
cases.rows("drop", ["x"], lambda df: df.withColumn("w", F.lit(1)).drop("v").drop("nope", "k"))
cases.rows("filter_forms", ["a", "b", None, ""], lambda df: df.filter("v IS NOT NULL").where(F.col("v") != "").filter(df.k < 5).where("k >= 0 AND v = 'a'"))
cases.rows("filter_null_condition", ["a", None], lambda df: df.filter(F.col("v") == "a"))
cases.rows("alias_of_frame", ["x"], lambda df: df.alias("t").select("t.k", F.col("t.v"), "t.*"))
cases.rows("ambiguous_after_double_alias", ["x"], lambda df: df.select("k", F.col("v").alias("k")).select("k"))
cases.rows("column_and_star", ["x"], lambda df: df.select("v", "*").select("v", F.upper("v")))
cases.rows("star_and_column_filtered", ["x"], lambda df: df.select("*", "v").filter("v = 'x'").select("*").select("v", "k"))
cases.rows("ambiguous_after_alias_and_star", ["x"], lambda df: df.select(F.col("v").alias("v"), "*").select("v"))
cases.rows("same_name_twice", ["x"], lambda df: df.select("k", F.col("v").alias("k")))
cases.rows("group_count", ["a", "b", "a", None], lambda df: df.groupBy("v").count(), ordered=False)
cases.rows("group_many", ["1", "2", "2", None, "10"], lambda df: df.groupBy((F.col("k") % 2).alias("odd")).agg(
    F.count("*").alias("n"), F.count("v"), F.sum("k"), F.avg("k"), F.min("v"), F.max("v"), F.sum(F.col("v").cast("double")), F.avg(F.col("v").cast("int")).alias("m")), ordered=False)
cases.rows("aggregate_names", ["1"], lambda df: df.groupBy("v").agg(F.count("*"), F.count(F.lit(1)), F.sum("k"), F.avg("k"), F.mean("k"), F.min("k"), F.max(F.col("k") + 1), F.expr("count(k)"), F.expr("sum(k) / 2"), F.expr("count(*) > 1")))
cases.rows("aggregate_short_forms", ["1", "2"], lambda df: df.groupBy().agg({"k": "sum"}))
cases.rows("group_sum_method", ["1", "2"], lambda df: df.groupBy("v").sum("k"), ordered=False)
cases.rows("sum_types", ["1", "2"], lambda df: df.selectExpr("CAST(v AS TINYINT) t", "CAST(v AS BIGINT) l", "CAST(v AS FLOAT) f", "CAST(v AS DECIMAL(10,2)) d", "v").agg(
    F.sum("t"), F.sum("l"), F.sum("f"), F.sum("d"), F.sum("v"), F.avg("t"), F.avg("f"), F.avg("d"), F.avg("v"), F.min("d"), F.max("f")))
cases.rows("sum_bigint_overflow", ["9223372036854775807", "1"], lambda df: df.selectExpr("CAST(v AS BIGINT) l").agg(F.sum("l")))
cases.rows("avg_bigint_no_overflow", ["9223372036854775807", "9223372036854775807"], lambda df: df.selectExpr("CAST(v AS BIGINT) l").agg(F.avg("l")))
cases.rows("sum_of_text_bad", ["x"], lambda df: df.agg(F.sum("v")))
cases.rows("min_max_odd", ["NaN", "1", "-0.0", "0.0", None], lambda df: df.selectExpr("CAST(v AS DOUBLE) d", "v").agg(F.min("d"), F.max("d"), F.min("v"), F.max("v")))
cases.rows("min_max_of_structs", ["b", "a", None], lambda df: df.agg(F.max(F.struct("v", "k")), F.min(F.struct("v", "k"))))
cases.rows("global_aggregate_of_nothing", [], lambda df: df.agg(F.count("*"), F.sum("k"), F.avg("k"), F.min("v")))
cases.rows("group_keys_of_doubles", ["0.0", "-0.0", "NaN", "NaN"], lambda df: df.groupBy(F.col("v").cast("double").alias("d")).count(), ordered=False)
cases.rows("group_by_struct", JSON, lambda df: d(df).groupBy("c").count(), ordered=False)
cases.rows("group_by_expression", ["A", "a", "b"], lambda df: df.groupBy(F.lower("v")).count().select("*"), ordered=False)
cases.rows("having", ["a", "b", "a"], lambda df: df.groupBy("v").agg(F.count("*").alias("n")).filter(F.col("n") > 1))
cases.rows("order_and_limit", ["b", "a", None, "c"], lambda df: df.orderBy(F.col("v").desc()).limit(3))
cases.rows("order_nulls_first", ["b", None, "a"], lambda df: df.orderBy("v"))
cases.rows("order_by_two", ["b", "a", "b"], lambda df: df.orderBy(F.desc("v"), F.asc("k")))
cases.rows("order_by_sql_position", ["b", "a"], lambda df: df.selectExpr("v AS w", "k").orderBy("w"))
cases.rows("not_grouped", ["a"], lambda df: df.groupBy("v").agg(F.col("k")))
cases.rows("aggregate_in_filter", ["a"], lambda df: df.filter(F.count("*") > 1))
cases.rows("nested_aggregate", ["a"], lambda df: df.agg(F.sum(F.count("*"))))
cases.rows("unknown_alias", ["a"], lambda df: df.alias("t").select("u.k"))
cases.rows("star_of_scalar", ["a"], lambda df: df.select("v.*"))
cases.rows("missing_field", JSON, lambda df: d(df).select("c.nope"))
cases.rows("field_of_text", ["a"], lambda df: df.select("v.x"))

cases.meta("schema", lambda spark, df: d(df).schema.simpleString())
cases.meta("schema_json", lambda spark, df: d(df).schema.json())
cases.meta("columns", lambda spark, df: [d(df).columns, df.columns])
cases.meta("dtypes", lambda spark, df: [list(pair) for pair in d(df).dtypes])
cases.meta("print_schema", lambda spark, df: d(df).printSchema())
cases.meta("print_schema_nested", lambda spark, df: df.select(
    F.from_json("v", "a ARRAY<STRUCT<x: INT, y: MAP<STRING, ARRAY<DATE>>>>, t TIMESTAMP, d DECIMAL(10,2), b BINARY").alias("p"), F.lit(1).alias("one")).printSchema())
cases.meta("print_schema_aggregate", lambda spark, df: df.selectExpr("CAST(v AS TIMESTAMP) AS t", "k").groupBy(F.window("t", "10 seconds"), "k").count().printSchema())
cases.meta("is_streaming", lambda spark, df: [df.isStreaming, spark.readStream.format("kafka").option("kafka.bootstrap.servers", "127.0.0.1:9")
           .option("subscribe", "t").load().isStreaming])
cases.meta("text_of_a_frame", lambda spark, df: str(d(df)))
cases.meta("kafka_schema", lambda spark, df: spark.readStream.format("kafka").option("kafka.bootstrap.servers", "127.0.0.1:9")
           .option("subscribe", "t").load().printSchema())
cases.meta("kafka_schema_headers", lambda spark, df: spark.readStream.format("kafka").option("kafka.bootstrap.servers", "127.0.0.1:9")
           .option("subscribe", "t").option("includeHeaders", "true").load().schema.simpleString())
