"""Orders and extremes: nulls first and last, NaN, nested values, booleans, times; and what has no order."""

from pyspark.sql import functions as F

from harness import Family

cases = Family()

NUMBERS = ["2", None, "NaN", "-Infinity", "-0.0", "0.0", "1e300"]
JSON = ['{"a":1,"b":"x"}', '{"a":null,"b":"y"}', None, '{"a":1,"b":null}', '{"a":0,"b":"z"}']

cases.rows("nulls_last", ["b", None, "a"], lambda df: df.orderBy(F.col("v").asc_nulls_last()).select("v"))
cases.rows("desc_nulls_first", ["b", None, "a"], lambda df: df.orderBy(F.col("v").desc_nulls_first()).select("v"))
cases.rows("desc", ["b", None, "a"], lambda df: df.orderBy(F.col("v").desc()).select("v"))
cases.rows("ascending_list", ["b", None, "a", "b"], lambda df: df.orderBy(["v", "k"], ascending=[False, True]))
cases.rows("sort_by_expression", ["bb", "a", "ccc"], lambda df: df.orderBy(F.length("v").desc(), "k").select("v"))
cases.rows("sort_by_alias", ["b", "a"], lambda df: df.select(F.upper("v").alias("u")).sort("u"))
cases.rows("sort_by_dropped_column", ["b", "a"], lambda df: df.select("v", (F.col("k") + 1).alias("n")).orderBy("k"))
cases.rows("doubles", NUMBERS, lambda df: df.selectExpr("CAST(v AS DOUBLE) AS d", "k").orderBy("d", "k"))
cases.rows("extremes_of_doubles", NUMBERS, lambda df: df.selectExpr("CAST(v AS DOUBLE) AS d", "CAST(v AS FLOAT) AS f").agg(F.min("d"), F.max("d"), F.min("f"), F.max("f")))
cases.rows("comparisons_with_nan", NUMBERS, lambda df: df.selectExpr("CAST(v AS DOUBLE) AS d").selectExpr("d > 1", "d = double('NaN')", "d < double('NaN')", "d = 0", "d <=> NULL", "d IN (double('NaN'))", "greatest(d, 1D)", "least(d, 1D)", "isnan(d)"))
cases.rows("structs", JSON, lambda df: df.select(F.from_json("v", "a INT, b STRING").alias("s"), "k").orderBy("s", "k"))
cases.rows("structs_desc", JSON, lambda df: df.select(F.from_json("v", "a INT, b STRING").alias("s"), "k").orderBy(F.desc("s"), "k"))
cases.rows("extremes_of_structs", JSON, lambda df: df.select(F.from_json("v", "a INT, b STRING").alias("s"), "k").agg(F.min("s"), F.max("s")))
cases.rows("extremes_of_structs_by_group", JSON, lambda df: df.select(F.from_json("v", "a INT, b STRING").alias("s"), (F.col("k") % 2).alias("g")).groupBy("g").agg(F.min("s"), F.max("s")), ordered=False)
cases.rows("structs_compared", JSON, lambda df: df.select(F.from_json("v", "a INT, b STRING").alias("s")).selectExpr(
    "s = s", "s <=> from_json('{\"a\":1}', 'a INT, b STRING')", "s < from_json('{\"a\":1,\"b\":\"x\"}', 'a INT, b STRING')", "s > from_json('{\"b\":\"z\"}', 'a INT, b STRING')",
    "greatest(s, from_json('{\"b\":\"z\"}', 'a INT, b STRING'))", "s IN (from_json('{\"a\":1,\"b\":\"x\"}', 'a INT, b STRING'))"))
cases.rows("structs_of_other_names_compared", JSON, lambda df: df.select(F.from_json("v", "a INT, b STRING").alias("s")).selectExpr("greatest(s, struct(0, 'y'))"))
cases.rows("struct_comparisons_of_other_names", JSON, lambda df: df.select(F.from_json("v", "a INT, b STRING").alias("s")).selectExpr("s = struct(1, 'x')", "s < struct(1, 'x')"))
cases.rows("arrays", ["a,b", "a", "a,b,c", None, ""], lambda df: df.selectExpr("split(v, ',') AS l").orderBy("l"))
cases.rows("extremes_of_arrays", ["a,b", "a", "b", None], lambda df: df.selectExpr("split(v, ',') AS l").agg(F.min("l"), F.max("l")))
cases.rows("extremes_of_arrays_with_nulls", ["[1,null]", "[1]", "[null,5]", "[1,2]", None], lambda df: df.select(F.from_json("v", "ARRAY<INT>").alias("l")).agg(F.min("l"), F.max("l")))
cases.rows("extremes_of_booleans", ["true", "false", None], lambda df: df.selectExpr("CAST(v AS BOOLEAN) AS b").agg(F.min("b"), F.max("b")))
cases.rows("extremes_of_times", ["2026-01-02 03:04:05.5", "1969-01-01", None], lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t", "CAST(v AS DATE) AS e").agg(F.min("t"), F.max("t"), F.min("e"), F.max("e")))
cases.rows("extremes_of_binary", ["b", "", "é", None], lambda df: df.selectExpr("CAST(v AS BINARY) AS b").agg(F.min("b"), F.max("b")))
cases.rows("extremes_of_nothing", [None, None], lambda df: df.selectExpr("CAST(v AS INT) AS n", "struct(v) AS s", "v").agg(F.min("n"), F.max("v"), F.min("s"), F.sum("n"), F.avg("n"), F.count("n")))
cases.rows("extremes_of_null_literal", ["a"], lambda df: df.agg(F.min(F.lit(None)), F.max(F.lit(None)), F.count(F.lit(None))))
cases.rows("extremes_of_maps_refused", ["a"], lambda df: df.agg(F.max(F.expr("map(v, k)"))))
cases.rows("maps_refused", ["a"], lambda df: df.orderBy(F.expr("map(v, k)")))
cases.rows("maps_compared", ["a"], "map(v, k) = map(v, k)")
cases.rows("grouped_by_map_refused", ["a"], lambda df: df.groupBy(F.expr("map(v, k)")).count())
cases.rows("limits", ["a", "b"], lambda df: df.orderBy("v").limit(0))
cases.rows("limit_negative", ["a", "b"], lambda df: df.limit(-1))
