"""Decimals: the type of each operator's result, division, rounding, overflow, sums and averages."""

from decimal import Decimal

from pyspark.sql import functions as F

from harness import Family

cases = Family()

PAIRS = ["12.34 3", "-12.35 7", "0.01 -0.5", "99999.99 0.25"]


def pair(left: str, right: str):
    """The columns a and b as these types, from two numbers in one text."""
    return lambda df: df.selectExpr(f"CAST(split(v, ' ')[0] AS {left}) AS a", f"CAST(split(v, ' ')[1] AS {right}) AS b").selectExpr(
        "a + b", "a - b", "a * b", "a / b", "a % b", "a div b", "a > b", "a = b")


cases.rows("like_scales", PAIRS, pair("DECIMAL(10,2)", "DECIMAL(10,2)"))
cases.rows("unlike_scales", PAIRS[:3], pair("DECIMAL(8,4)", "DECIMAL(12,1)"))
cases.rows("wide", PAIRS, pair("DECIMAL(38,10)", "DECIMAL(38,18)"))
cases.rows("wide_without_fraction", ["12 5", "-7 2"], pair("DECIMAL(38,0)", "DECIMAL(38,0)"))
cases.rows("with_bigint", PAIRS, lambda df: df.selectExpr("CAST(split(v, ' ')[0] AS DECIMAL(10,2)) AS a", "CAST(k + 2 AS BIGINT) AS l", "CAST(k + 2 AS TINYINT) AS t",
           "CAST(1.5 AS FLOAT) AS f").selectExpr("a + l", "a * l", "a / l", "l / a", "a + t", "a * t", "a / t", "a + f", "a * f", "a / f"))
cases.rows("with_literals", ["12.34", "-0.05"], lambda df: df.selectExpr("CAST(v AS DECIMAL(10,2)) AS a").selectExpr(
    "a + 1", "a * 10", "a / 10", "a % 10", "a + 1L", "a * 1.5", "a / 1.5", "a + 1e0", "a > 1", "a > 1.234", "a IN (12.34, 1)", "-a", "abs(a)", "a BETWEEN 0 AND 12.340"))
cases.rows("division_by_zero", ["1"], "CAST(v AS DECIMAL(10,2)) / 0")
cases.rows("remainder_by_zero", ["1"], "CAST(v AS DECIMAL(10,2)) % CAST(k AS DECIMAL(5,1))")
cases.rows("product_overflow", ["99999999999999999999"], "CAST(v AS DECIMAL(38,0)) * CAST(v AS DECIMAL(38,0))")
cases.rows("product_overflow_without_ansi", ["99999999999999999999"], "CAST(v AS DECIMAL(38,0)) * CAST(v AS DECIMAL(38,0))", conf={"spark.sql.ansi.enabled": "false"})
cases.rows("sum_overflow", ["99999999999999999999999999999999999999", "1"], lambda df: df.selectExpr("CAST(v AS DECIMAL(38,0)) AS a").agg(F.sum("a")))
cases.rows("sums", ["12.34", "0.66", None, "-5.01"], lambda df: df.selectExpr("CAST(v AS DECIMAL(10,2)) AS a", "CAST(v AS DECIMAL(38,10)) AS w", "CAST(v AS DECIMAL(5,2)) AS n").agg(
    F.sum("a"), F.avg("a"), F.min("a"), F.max("a"), F.sum("w"), F.avg("w"), F.avg("n"), F.expr("sum(a) / count(a)"), F.expr("sum(a * 2)"), F.expr("avg(a + w)")))
cases.rows("rounding", ["2.5", "-2.5", "3.45", "0.005"], lambda df: df.selectExpr("CAST(v AS DECIMAL(10,3)) AS a", "CAST(v AS DOUBLE) AS d").selectExpr(
    "round(a)", "round(a, 1)", "round(d)", "round(d, 1)", "floor(a)", "ceil(a)", "floor(d)", "ceil(d)", "CAST(a AS INT)", "CAST(a AS DECIMAL(10,1)) AS c", "round(d, 2)"))
cases.rows("narrowing_overflow", ["123.45"], "CAST(CAST(v AS DECIMAL(10,2)) AS DECIMAL(4,2))")
cases.rows("narrowing_try", ["123.45", "1.999"], "try_cast(CAST(v AS DECIMAL(10,3)) AS DECIMAL(4,2)) AS a", "try_cast(v AS DECIMAL(3,1)) AS b")
cases.rows("of_doubles", ["0.1", "1e-7", "123456.789", "-0.0"], "CAST(CAST(v AS DOUBLE) AS DECIMAL(20,10)) AS a", "CAST(CAST(v AS FLOAT) AS DECIMAL(10,3)) AS b")
cases.rows("of_infinity", ["Infinity"], "CAST(CAST(v AS DOUBLE) AS DECIMAL(20,10))")
cases.rows("branches", ["1.5"], lambda df: df.selectExpr("CAST(v AS DECIMAL(10,2)) AS a", "k").selectExpr(
    "CASE WHEN k = 0 THEN a ELSE 1 END AS c", "coalesce(a, 1.2345) AS e", "if(k = 0, a, 2L) AS i", "greatest(a, 1) AS g", "least(a, 1.555) AS l", "nvl(a, 2D) AS n"))
cases.rows("python_decimals", ["x"], lambda df: df.select(*[F.lit(Decimal(text)) for text in ("1.1", "1.50", "100", "-0.001", "0", "1E+3", "12345678901234567890.5")], F.col("k") * Decimal("1.5")))
