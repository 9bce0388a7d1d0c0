"""The names that Spark gives to columns nobody named: nested calls, operators, casts, fields, literals."""

from pyspark.sql import functions as F

from harness import Family

cases = Family()

cases.rows("nested_calls", ["abc"], "upper(lower(trim(v)))", "length(concat(v, 'x')) + 1", "coalesce(nullif(v, ''), 'none')", "round(k / 3, 2)", "-(k + 1)", "NOT (k = 1 OR v = 'x')",
           "if(k > 0, 'a', 'b')", "CASE WHEN k = 0 THEN v ELSE upper(v) END", "CASE k WHEN 0 THEN 'zero' ELSE 'more' END", "abs(-k)", "substring(v, 2)", "concat_ws('-', v, k)")
cases.rows("nested_calls_api", ["abc"], lambda df: df.select(
    F.upper(F.lower(F.trim("v"))), F.length(F.concat("v", F.lit("x"))) + 1, F.coalesce(F.col("v"), F.lit("none")), F.round(F.col("k") / 3, 2), -(F.col("k") + 1),
    F.when(F.col("k") == 0, F.col("v")).otherwise(F.upper("v")), F.abs(-F.col("k")), F.substring("v", 2, 1), F.concat_ws("-", "v", F.col("k").cast("string")),
    F.lower(F.col("v")).contains("b") & (F.col("k") < 5), F.col("v").isNotNull() | F.col("k").isNull(), F.col("v").rlike("a.c"), F.col("v").ilike("A%")))
cases.rows("casts_in_calls", ["1"], "CAST(v AS INT) + 1", "upper(CAST(k AS STRING))", "CAST(v AS DECIMAL(5,1)) * 2", "CAST(upper(v) AS STRING)", "CAST(CAST(v AS INT) AS BIGINT)",
           "int(v) + 1", "CAST(k + 1 AS DOUBLE)", "CAST('5' AS INT)", "CAST(1 AS STRING) || v", "try_cast(v AS INT)", "try_cast(v AS INT) + 1")
cases.rows("fields", ['{"a":{"b":1},"l":[1,2],"m":{"x":"y"}}'], lambda df: df.select(F.from_json("v", "a STRUCT<b: INT>, l ARRAY<INT>, m MAP<STRING, STRING>").alias("d")).selectExpr(
    "d.a.b", "d.a.b + 1", "d.l[0]", "d.l[0] * 2", "d.m['x']", "d.m.x", "upper(d.m['x'])", "d.a", "size(d.l)", "d.l[1 - 1]", "d.a.b AS named", "struct(d.a.b)", "struct(d.a, d.l[0])"))
cases.rows("fields_api", ['{"a":{"b":1},"l":[1,2],"m":{"x":"y"}}'], lambda df: df.select(F.from_json("v", "a STRUCT<b: INT>, l ARRAY<INT>, m MAP<STRING, STRING>").alias("d")).select(
    F.col("d.a.b"), F.col("d.a.b") + 1, F.col("d.l")[0], F.col("d.l").getItem(1), F.col("d.m")["x"], F.col("d.m").getItem("x"), F.col("d")["a"]["b"], F.col("d").getField("l")[0]))
cases.rows("literals_in_calls", ["x"], "concat('a', 1, true, NULL, 1.50)", "coalesce(NULL, 1.0D)", "struct(1, 'a', 1.5, true, NULL)", "array(1, 2)", "k = 1L", "k = -1", "k + (-1)", "- 5",
           "k > 1.0", "k * 1e2", "date_add(DATE'2026-01-02', 1)", "TIMESTAMP'2026-01-02 00:00:00' > DATE'2026-01-01'", "map('a', 1)", "X'00FF' = X'00'")
cases.rows("aggregates", ["1", "2"], lambda df: df.groupBy().agg(
    F.sum(F.col("k") + 1), F.expr("sum(k) + count(*)"), F.expr("max(upper(v))"), F.expr("count(k + 1)"), F.expr("count(1)"), F.expr("count('x')"), F.expr("avg(CAST(v AS INT))"),
    F.sum(F.when(F.col("k") == 0, 1).otherwise(0)), F.expr("sum(CASE WHEN k = 0 THEN 1 END)"), F.expr("min(struct(k, v))"), F.expr("count(*) * 2 AS doubled"), F.max(F.length("v")),
    F.expr("round(avg(k), 1)"), F.expr("coalesce(sum(k), 0)")))
cases.rows("group_keys", ["a", "B"], lambda df: df.groupBy(F.upper("v"), F.col("k") % 2, F.col("k").cast("string"), F.expr("k + 1 AS next")).count(), ordered=False)
cases.rows("windows_and_times", ["2026-01-02 03:04:05"], lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t").groupBy(F.window("t", "10 seconds"), F.date_format("t", "yyyy")).agg(F.max("t")))
cases.rows("functions_of_times", ["2026-01-02 03:04:05"], lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t").selectExpr(
    "year(t)", "hour(t) + 1", "date_trunc('hour', t)", "to_date(t)", "unix_timestamp(t)", "date_format(t, 'HH')", "t + INTERVAL 1 HOUR", "t - INTERVAL 2 MINUTES", "CAST(t AS DATE)", "CAST(t AS LONG)",
    "datediff(t, '2026-01-01')", "last_day(t)", "from_unixtime(0)"))
cases.rows("aliases_seen_to_the_right", ["x"], lambda df: df.selectExpr("k + 1 AS n", "n + 1", "n * 2 AS m", "m"))
cases.rows("capitals_and_blanks", ["x"], "K", "upper( V )", "Coalesce(V,'y')", "k   +   1", "`k`", "`k` + 1", "LENGTH(v)")
cases.rows("negated", ["x"], "NOT k IN (1, 2)", "k NOT IN (1)", "v NOT LIKE 'x%'", "NOT v LIKE 'x%'", "k IS NOT NULL AND NOT k = 1", "v NOT RLIKE 'x'", "k NOT BETWEEN 1 AND 2", "!(k = 1)", "v IS DISTINCT FROM 'x'",
           "(k = 1) IS TRUE", "(k = 1) IS NOT FALSE", "(k = 1) IS UNKNOWN")
cases.rows("bitwise", ["x"], "~k", "~(k + 1)", "k & 1 | 2", "k ^ 3", "~CAST(k AS TINYINT)", "~1")
cases.rows("bitwise_api", ["x"], lambda df: df.select(F.bitwise_not("k"), F.col("k").bitwiseAND(1), F.col("k").bitwiseOR(1), F.col("k").bitwiseXOR(1), F.bitwise_not(F.col("k").cast("bigint"))))
cases.rows("bitwise_not_of_text", ["x"], "~v")
cases.rows("bitwise_not_of_double", ["x"], "~1.5D")
cases.rows("json_maps", ['{"a":1}'], "from_json(v, 'map<string,int>')", "from_json(v, 'map<string,int>')['a']", "size(from_json(v, 'map<string,int>'))", "from_json(v, 'a int')", "from_json(v, 'a int').a")
