"""Implicit casts: branches, lists, comparisons and functions whose arguments are of different types."""

from pyspark.sql import functions as F

from harness import Family

cases = Family()

MIXED = lambda df: df.selectExpr("k", "v", "CAST(k AS BIGINT) AS l", "CAST(k AS DOUBLE) AS d", "CAST('2026-01-02' AS DATE) AS e",  # noqa: E731
                                 "CAST('2026-01-02 03:04:05' AS TIMESTAMP) AS t", "true AS b")

cases.rows("when_types", ["1", "2"], lambda df: MIXED(df).select(
    F.when(F.col("k") == 0, F.col("k")).otherwise(F.col("l")), F.when(F.col("k") == 0, F.col("l")).otherwise(F.col("d")), F.when(F.col("k") == 0, 1).otherwise(2.5),
    F.when(F.col("b"), F.col("e")).otherwise(F.col("t")), F.when(F.col("k") == 0, F.lit(None)).otherwise(F.col("k"))))
cases.rows("when_number_and_text", ["1", "2"], lambda df: df.select(F.when(F.col("k") == 0, F.col("v")).otherwise(7)))
cases.rows("when_bad_text", ["x"], lambda df: df.select(F.when(F.col("k") == 1, 7).otherwise(F.col("v"))))
cases.rows("when_condition_is_text", ["true", "no"], lambda df: df.selectExpr("CASE WHEN v THEN 1 ELSE 2 END AS c"))
cases.rows("when_condition_is_number", ["1"], lambda df: df.select(F.when(F.col("k"), 1)))
cases.rows("when_boolean_and_number", ["1"], "CASE WHEN k = 0 THEN true ELSE 1 END")
cases.rows("isin_mixed", ["1", "2"], lambda df: MIXED(df).select(F.col("k").isin(0, 5), F.col("k").isin("0", "5"), F.col("k").isin(0, 1.5), F.col("d").isin(0, 1),
                                                                 F.col("v").isin("1", None), F.col("l").isin(0, None)))
cases.rows("isin_text_and_number", ["1", "2"], lambda df: df.select(F.col("v").isin("1", 2)))
cases.rows("isin_bad_text", ["x"], lambda df: df.select(F.col("v").isin(1, 2)))
cases.rows("isin_dates", ["2026-01-02"], lambda df: MIXED(df).select(F.col("e").isin("2026-01-02"), F.expr("t IN ('2026-01-02 03:04:05', DATE'2026-01-02')"), F.expr("v IN (e)")))
cases.rows("compared", ["1", "0"], lambda df: MIXED(df).selectExpr("k = v", "l < v", "d = v", "k <=> NULL", "e < t", "e = '2026-01-02'", "t > '2026-01-02'", "b = 'true'", "v = 1.0", "v > 0.5D"))
cases.rows("boolean_compared_with_number", ["1"], "true = 1")
cases.rows("date_compared_with_number", ["1"], "DATE'2026-01-02' = 1")
cases.rows("number_comparisons_with_decimals", ["1"], lambda df: MIXED(df).selectExpr(
    "k > 1.5", "k >= 1.5", "k < 1.5", "k <= 1.5", "k = 1.5", "1.5 > k", "1.5 >= k", "1.5 < k", "1.5 <= k", "k > -1.5", "k != 0.0", "l > 0.5", "d > 1.5", "k > 1e30BD", "k < 1e30BD",
    "k BETWEEN 0.5 AND 1.5", "k <=> 1.5"))
cases.rows("number_comparisons_with_decimals_api", ["1"], lambda df: df.select(F.col("k") > 1.5, F.expr("k > 0.5") & F.lit(True)))
cases.rows("coalesce_types", ["1", None], lambda df: MIXED(df).selectExpr("coalesce(k, l)", "coalesce(v, 'x')", "coalesce(e, t)", "ifnull(d, k)", "nvl(v, '0')", "nullif(k, 0)", "nvl2(v, 1, 2.5)"))
cases.rows("concat_types", ["x"], lambda df: MIXED(df).selectExpr("concat(k, l, d)", "v || e", "concat(v, b, t)", "concat_ws(',', v, k, d)", "concat_ws(',', NULL, v)"))
cases.rows("arithmetic_with_text", ["1.5", "2"], "v + 1.5D", "-v", "v % 2.5", "v + 1.5", "v * 2D", "abs(v)", "round(v)")
cases.rows("fraction_in_text_beside_integer", ["1.5"], "v * k")
cases.rows("fraction_in_text_divided", ["1.5"], "v / 2")
cases.rows("arithmetic_with_bad_text", ["x"], "v * 2")
cases.rows("arithmetic_with_date", ["1"], "DATE'2026-01-02' + 1", "DATE'2026-01-02' - 1")
cases.rows("arithmetic_with_boolean", ["1"], "true + 1")
cases.rows("text_functions_of_numbers", ["x"], lambda df: MIXED(df).selectExpr("upper(d)", "length(l)", "substring(k, 1)", "lower(e)", "trim(t)", "contains(d, '.')", "k LIKE '0%'"))
cases.rows("text_function_of_struct", ["x"], "upper(struct(k))")
cases.rows("and_or_of_numbers", ["x"], "k OR true")
cases.rows("not_of_number", ["x"], "NOT k")
cases.rows("not_of_text", ["true", "false"], "NOT v")
cases.rows("and_of_two_numbers", ["x"], "k AND k")
cases.rows("filter_on_text", ["true", "false"], lambda df: df.filter("v"))
cases.rows("greatest_types", ["3"], "greatest(k, 1.5D, 2)", "least(k, 1L)", "greatest(v, 'a')", "greatest(k, NULL)")
cases.rows("greatest_of_text_and_number", ["3"], "greatest(v, 2)")
cases.rows("union_of_null_types", [None], "CASE WHEN k = 1 THEN NULL END", "coalesce(NULL, NULL)", "if(true, NULL, 1)", "NULL = NULL", "NULL + 1", "NULL AND false")
