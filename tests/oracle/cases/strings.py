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
cases.rows("the_crash_monitors_filter", ["app CRASH,High", "crash,Low", "Crashed,Critical", "fine,High", ","],
           lambda df: df.selectExpr("substring(v, 1, length(v) - 0) AS content", "CASE WHEN v LIKE '%,High' THEN 'High' WHEN v LIKE '%,Critical' THEN 'Critical' ELSE 'Low' END AS severity")
           .filter((F.lower(F.col("content")).contains("crash")) & (F.col("severity").isin("High", "Critical"))))
# Regular expressions where Java means something else than other engines do.
cases.rows("java_classes", ["café! 12 ١٢", "a\u00a0b c", "$5+1=6! ^~|`<x>"], lambda df: df.select(
    F.regexp_replace("v", r"[^\w\s]", "_").alias("words"), F.regexp_replace("v", r"\d+", "#").alias("digits"), F.regexp_replace("v", r"\s", "_").alias("blanks"),
    F.regexp_replace("v", r"\p{Punct}", "_").alias("points"), F.regexp_replace("v", r"\P{Alpha}", "_").alias("letters"), F.regexp_replace("v", r"[\S&&[^a]]", "_").alias("cut"),
    F.col("v").rlike(r"\p{IsAlphabetic}{4}").alias("four")))
cases.rows("java_line_ends", ["x ERROR", "x ERROR\n", "x ERROR\r\n", "x ERROR\n\n", "a\rb", "a\u2028b", "ERROR\nx"], lambda df: df.select(
    F.col("v").rlike("ERROR$").alias("last"), F.col("v").rlike(r"ERROR\Z").alias("big"), F.col("v").rlike(r"ERROR\z").alias("small"), F.col("v").rlike("a.b").alias("dot"),
    F.col("v").rlike("(?s)a.b").alias("all"), F.col("v").rlike("(?m)^x$").alias("lines"), F.col("v").rlike("^x.ERROR").alias("first")))
cases.rows("java_escapes", ["<b>bold</b> a.bb a-b", "no"], lambda df: df.select(
    F.regexp_replace("v", r"\<[^>]+\>", "").alias("tags"), F.regexp_replace("v", r"\Qa.b\E+", "_").alias("quoted"), F.regexp_extract("v", r"(\w)\-(\w)", 2).alias("two"),
    F.regexp_replace("v", "[.$-]", "_").alias("in_class"), F.split("v", r"\h+").alias("parts")))
cases.rows("group_that_is_not_there", ["123", "4"], lambda df: df.select(F.regexp_extract("v", "[a-z]+", 1)))
cases.rows("group_that_is_not_there_and_a_match", ["123", "a"], lambda df: df.select(F.regexp_extract("v", "[a-z]+", 1)))
