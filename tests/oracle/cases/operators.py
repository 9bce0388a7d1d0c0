"""Operators, conditionals, coercions, ANSI arithmetic, and the names that Spark makes for them."""

from pyspark.sql import functions as F

from harness import Family

cases = Family()

NUMBERS = ["0", "1", "2", "-3", None, "10"]

cases.rows("comparison", NUMBERS, lambda df: df.selectExpr("CAST(v AS INT) AS n").selectExpr(
    "n = 1", "n == 1", "n != 1", "n <> 1", "n < 2", "n <= 2", "n > 1.5", "n >= 10", "n <=> NULL", "n IS NULL", "n IS NOT NULL",
    "NOT n = 1", "n BETWEEN 0 AND 2", "n NOT BETWEEN 0 AND 2", "n IN (1, 2)", "n NOT IN (1, 2)", "n IN (1, NULL)"))
cases.rows("comparison_api", NUMBERS, lambda df: df.select(F.col("v").cast("int").alias("n")).select(
    F.col("n") == 1, F.col("n") != 1, F.col("n") < 2, F.col("n") >= 2, F.col("n").eqNullSafe(None), F.col("n").isNull(), F.col("n").isNotNull(),
    ~(F.col("n") == 1), F.col("n").between(0, 2), F.col("n").isin(1, 2), F.col("n").isin([1]), ~F.col("n").isin("1", "2")))
cases.rows("boolean", ["true,false", "true,true", "false,", ",", ",true"], lambda df: df.selectExpr(
    "from_json('{\"a\":' || CASE WHEN v LIKE 'true%' THEN 'true' WHEN v LIKE 'false%' THEN 'false' ELSE 'null' END || '}', 'a BOOLEAN').a AS a",
    "from_json('{\"a\":' || CASE WHEN v LIKE '%,true' THEN 'true' WHEN v LIKE '%,false' THEN 'false' ELSE 'null' END || '}', 'a BOOLEAN').a AS b")
    .selectExpr("a", "b", "a AND b", "a OR b", "NOT a", "(a OR b) AND NOT b", "a = b", "a <=> b"))
cases.rows("boolean_api", ["1", "2", None], lambda df: df.select(F.col("v").cast("int").alias("n")).select(
    (F.col("n") > 1) & (F.col("n") < 5), (F.col("n") > 1) | F.col("n").isNull(), ~(F.col("n") > 1)))
cases.rows("arithmetic", ["7", "-7", "2"], lambda df: df.selectExpr("CAST(v AS INT) AS n", "CAST(v AS DOUBLE) AS d", "CAST(v AS BIGINT) AS l", "CAST(v AS TINYINT) AS t").selectExpr(
    "n + 1", "n - 1", "n * 2", "n / 2", "n % 3", "n div 2", "-n", "+n", "n + 1.5", "n + 1.5D", "d / 2", "d % 3", "l + n", "t + t", "n * 1.50", "n / 3.0", "n & 3", "n | 8", "n ^ 1", "~n"))
cases.rows("arithmetic_api", ["7", "-7"], lambda df: df.select(F.col("v").cast("int").alias("n")).select(
    F.col("n") + 1, 1 + F.col("n"), F.col("n") - 1, 10 - F.col("n"), F.col("n") * 2, F.col("n") / 2, 7 / F.col("n"), F.col("n") % 3, -F.col("n"), F.col("n") * 1.5))
cases.rows("int_overflow", ["2147483647"], "CAST(v AS INT) + 1")
cases.rows("bigint_overflow", ["9223372036854775807"], "CAST(v AS BIGINT) * 2")
cases.rows("tinyint_overflow", ["127"], "CAST(v AS TINYINT) + CAST(1 AS TINYINT)")
cases.rows("negate_overflow", ["-2147483648"], "-CAST(v AS INT)")
cases.rows("divide_by_zero_int", ["0"], "1 / CAST(v AS INT)")
cases.rows("divide_by_zero_double", ["0"], "1D / CAST(v AS DOUBLE)")
cases.rows("remainder_by_zero", ["0"], "1 % CAST(v AS INT)")
cases.rows("divide_by_null", [None], "1 / CAST(v AS INT)")
cases.rows("overflow_without_ansi", ["2147483647"], "CAST(v AS INT) + 1", "CAST(v AS INT) / 0", conf={"spark.sql.ansi.enabled": "false"})
cases.rows("decimal_results", ["1.25", "-3.5"], lambda df: df.selectExpr("CAST(v AS DECIMAL(10,2)) AS d").selectExpr(
    "d + d", "d - 1", "d * d", "d / 3", "d % 2", "d * 2", "d + 0.001", "-d", "d / d"))
cases.rows("text_compared_with_number", ["10", " 11 ", "9"], "v > 9", "v = 10", "v + 1", "v * 2", "v / 4", "v IN (10, 9)")
cases.rows("text_compared_with_number_bad", ["x"], "v > 9")
cases.rows("two_texts_added", ["5"], "'5' + '6'")
cases.rows("text_columns_added", ["5"], "v + v")
cases.rows("concatenation", ["a", None, ""], "v || 'x'", "v || k", "'a' || 'b' || v", "k || k")
cases.rows("concatenation_precedence", ["5"], "'a' || 1 + 2")
cases.rows("like", ["abc", "a%c", "ABC", "a\nc", None, "", "a_c"], "v LIKE 'a%'", "v LIKE 'a_c'", "v LIKE 'a\\\\%c'", "v NOT LIKE '%b%'", "v LIKE ''", "v ILIKE 'ab%'", "v RLIKE '^a.c$'")
cases.rows("case_when", ["1", "2", None], lambda df: df.selectExpr("CAST(v AS INT) AS n").selectExpr(
    "CASE WHEN n = 1 THEN 'one' WHEN n = 2 THEN 'two' ELSE 'other' END", "CASE n WHEN 1 THEN 'one' END", "CASE WHEN n > 0 THEN n ELSE 1.5 END AS mixed",
    "CASE WHEN n IS NULL THEN NULL ELSE n END AS e", "if(n = 1, 'y', 'n')", "coalesce(n, 0)"))
cases.rows("when_api", ["1", "2", None], lambda df: df.select(F.col("v").cast("int").alias("n")).select(
    F.when(F.col("n") == 1, "one").when(F.col("n") == 2, "two").otherwise("other"), F.when(F.col("n") > 1, F.col("n")),
    F.when(F.col("n").isNull(), 0).otherwise(F.col("n")).alias("filled")))
cases.rows("case_types_refused", ["1"], "CASE WHEN k = 0 THEN 1 ELSE array(1) END")
cases.rows("in_types", ["1", "x"], "v IN ('1', 'x')", "k IN (0, 1.5)", "k IN ('0')")
cases.rows("literals", ["x"], "1", "1L", "1S", "1Y", "1.5", "1.5D", "1.5F", "1.5BD", "1e3", "'it''s'", "'a' 'b'", "\"dq\"", "true", "NULL", "DATE'2026-01-02'",
           "TIMESTAMP'2026-01-02 03:04:05'", "X'1F'", "'tab\\tq\\'s'", "r'raw\\t'", "-1", "2147483648", "99999999999999999999")
cases.rows("intervals", ["2026-01-31 10:00:00"], lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t").selectExpr(
    "CAST(t + INTERVAL 5 seconds AS STRING) AS a", "CAST(t - INTERVAL '1' DAY AS STRING) AS b", "CAST(t + INTERVAL 1 MONTH AS STRING) AS c",
    "CAST(t + INTERVAL '1 hour 30 minutes' AS STRING) AS d", "t > TIMESTAMP'2026-01-01 00:00:00' AS e", "t BETWEEN t - INTERVAL 1 hour AND t AS f"))
cases.rows("interval_names", ["2026-01-31 10:00:00"], lambda df: df.selectExpr("CAST(v AS TIMESTAMP) AS t").selectExpr("t + INTERVAL 5 seconds", "t - INTERVAL '1' DAY"))
cases.rows("names_of_sql", ["abc"], "v", "k + 1", "k+1*2", "(k + 1) * 2", "upper(v)", "UPPER(v)", "v = 'abc'", "NOT (k = 1)", "k IN (1,2)", "k BETWEEN 1 AND 2", "v IS NULL", "-k",
           "k % 2", "v LIKE 'a%'", "CASE WHEN k = 0 THEN 'x' END", "k AS a", "k b", "struct(k, v)", "k = 1 AND v = 'x' OR k = 2", "1 + 1", "'lit'", "v || 'x'", "coalesce(v, 'x')", "v <=> 'a'")
cases.rows("names_of_api", ["abc"], lambda df: df.select("v", df.k + 1, F.upper("v"), F.col("v") == "abc", ~(df.k == 1), df.k.isin(1, 2), df.k.between(1, 2), df.v.isNull(), -df.k, df.k % 2,
           df.v.like("a%"), F.when(df.k == 0, "x"), df.k.alias("a"), F.struct("k", "v"), (df.k == 1) & (df.v == "x"), F.lit(1), F.lit("lit"), F.lit(None), F.expr("k * 2"), F.concat(df.v, F.lit("x")),
           df.v.contains("a"), df.v.startswith("a"), df.v.endswith("c"), df.v.substr(1, 2)))
cases.rows("unknown_column", ["x"], "nope")
cases.rows("unknown_column_api", ["x"], lambda df: df.select(F.col("nope")))
cases.rows("unknown_function", ["x"], "nope(v)")
cases.rows("syntax_error", ["x"], "v +")
cases.rows("wrong_argument_count", ["x"], "lower(v, v)")
cases.rows("filter_not_boolean", ["x"], lambda df: df.filter("k + 1"))
cases.rows("boolean_of_number_refused", ["x"], "k AND true")
cases.rows("struct_compared_with_number", ["x"], "struct(k) = 1")
cases.rows("text_in_and", ["true", "false"], "v AND true")
cases.rows("nan_of_all_kinds", ["Infinity", "-1", "NaN", "4"], lambda df: df.selectExpr("CAST(v AS DOUBLE) AS d").selectExpr(
    "isnan(d - d)", "isnan(sqrt(d))", "sqrt(d) > 5", "d - d = double('NaN')", "d - d IN (double('NaN'))", "-d > 1e300", "greatest(sqrt(d), 1.0D)", "isnan(-(d - d))", "CAST(d - d AS FLOAT) > CAST(1 AS FLOAT)",
    "sqrt(d) <=> double('NaN')", "d * 0 = 0"))
cases.rows("long_chains_that_may_raise", ["1", "7", "12"], lambda df: df.selectExpr("v", " AND ".join(f"CAST(v AS INT) > {number}" for number in range(18)) + " AS every",
    " OR ".join(f"CAST(v AS INT) = {number}" for number in range(18)) + " AS any"))
