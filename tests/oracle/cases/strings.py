"""Text functions and operators of the surface: lower, upper, contains, startswith, like and their kin."""

from pyspark.sql import functions as F

from harness import Family

cases = Family()

WORDS = ["Crash", "app CRASH now", "", None, "ÀÉß", "İstanbul", "日本", "ΑΣ"]

cases.rows("lower_upper", WORDS, "lower(v) AS l", "upper(v) AS u", "lcase(v) AS lc", "ucase(v) AS uc")
cases.rows("contains", WORDS, lambda df: df.select(F.lower("v").contains("crash"), F.col("v").contains(""), F.col("v").contains("C"),
                                                   F.col("v").startswith("a"), F.col("v").endswith("w"), F.col("v").contains(F.col("v"))))
cases.rows("contains_sql", WORDS, "contains(v, 'CRASH')", "startswith(v, 'app')", "endswith(v, 'now')", "contains(lower(v), 'crash') AS c")
cases.rows("contains_number", ["a1", "b2"], "contains(v, 1)")
cases.rows("names", ["a"], "lower(v)", "upper(lower(v))", "contains(v, 'a')", "concat(v, 'x', k)", "length(v)", "substring(v, 1, 2)", "trim(v)")
cases.rows("concat", ["a", None], "concat(v, 'x')", "concat(v, k)", "concat_ws('-', v, 'x', k) AS w")
cases.rows("length", WORDS, "length(v) AS n", "char_length(v) AS c")
cases.rows("substring", ["abcdef", "é😀x", None], "substring(v, 2, 3) AS a", "substring(v, -2) AS b", "substring(v, 0, 2) AS c", "substr(v, 2) AS d", "substring(v, 9, 1) AS e")
cases.rows("trim", ["  a ", "\ta\n", "xxaxx"], "trim(v) AS t", "ltrim(v) AS l", "rtrim(v) AS r", "trim(BOTH 'x' FROM v) AS x")
cases.rows("lower_of_number", ["a"], "lower(k)", "upper(1.50) AS u")
cases.rows("isin_text", ["High", "high", "Critical", None, ""], lambda df: df.select("v", F.col("v").isin("High", "Critical").alias("keep")).where("keep OR v IS NULL"))
cases.rows("isin_empty", ["a"], lambda df: df.select(F.col("v").isin([])))
cases.rows("the_seeds_filter", ["app CRASH,High", "crash,Low", "Crashed,Critical", "fine,High", ","],
           lambda df: df.selectExpr("substring(v, 1, length(v) - 0) AS content", "CASE WHEN v LIKE '%,High' THEN 'High' WHEN v LIKE '%,Critical' THEN 'Critical' ELSE 'Low' END AS severity")
           .filter((F.lower(F.col("content")).contains("crash")) & (F.col("severity").isin("High", "Critical"))))
