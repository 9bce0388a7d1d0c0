"""Text functions at their edges: nulls, empty text, letters beyond the first plane, zero and negative positions."""

from pyspark.sql import functions as F

from harness import Family

cases = Family()

TEXTS = ["abc", "", None, "日本語😀", "e\u0301x", " a b ", "ǆ ß ŉ", "\u0130I"]

cases.rows("lengths", TEXTS, "length(v) AS a", "char_length(v) AS b", "length(CAST(v AS BINARY)) AS c")
cases.rows("case", TEXTS, "upper(v) AS a", "lower(v) AS b", "initcap(v) AS c")
cases.rows("reversed_and_repeated", TEXTS, "reverse(v) AS a", "repeat(v, 2) AS b", "repeat(v, 0) AS c", "repeat(v, -1) AS d")
cases.rows("parts", TEXTS, "substring(v, 1, 1) AS a", "substring(v, 0) AS b", "substring(v, -1, 1) AS c", "substring(v, -5, 3) AS d", "substring(v, 2, -1) AS e", "left(v, 2) AS f", "right(v, 2) AS g",
           "substring(v, 4, 100) AS h", "left(v, -1) AS i")
cases.rows("parts_api", TEXTS, lambda df: df.select(F.col("v").substr(1, 2).alias("a"), F.substring("v", 2, 2).alias("b"), F.col("v").substr(F.lit(2), F.lit(1)).alias("c")))
cases.rows("padded", TEXTS, "lpad(v, 5, '*') AS a", "rpad(v, 5, 'xy') AS b", "lpad(v, 2, '*') AS c", "rpad(v, 5) AS d", "lpad(v, 5, '') AS e", "lpad(v, -1, 'x') AS f")
cases.rows("found", TEXTS, "instr(v, 'b') AS a", "locate('b', v) AS b", "locate('b', v, 3) AS c", "instr(v, '') AS d", "position('語' IN v) AS e", "locate('a', v, 0) AS f")
cases.rows("replaced", ["aXbX", "", None, "a.b"], "replace(v, 'X', '--') AS a", "replace(v, 'X') AS b", "replace(v, '', 'y') AS c", "regexp_replace(v, '[a-z]', '<$0>') AS d",
           "regexp_replace(v, '(.)X', '$1') AS e", "regexp_replace(v, '.', '') AS f")
cases.rows("extracted", ["user_12 x7", "none", None, ""], "regexp_extract(v, '([a-z]+)_([0-9]+)', 2) AS a", "regexp_extract(v, '([a-z]+)', 0) AS b", "regexp_extract(v, '([a-z]+)') AS c",
           "v RLIKE '^user' AS d", "v RLIKE '' AS e", "regexp_like(v, '\\\\\\\\d') AS f")
cases.rows("extracted_group_missing", ["a"], "regexp_extract(v, 'a', 1)")
cases.rows("bad_regex", ["a"], "v RLIKE '('")
cases.rows("split_forms", ["a,b,,c,,", "", None, "a1b22c"], "split(v, ',') AS a", "split(v, ',', 2) AS b", "split(v, '[0-9]+') AS c", "split(v, '') AS d", "split(v, ',', 0) AS e", "size(split(v, ',')) AS f")
cases.rows("element_beyond_the_end", ["a,b"], "split(v, ',')[5]")
cases.rows("element_before_the_start", ["a,b"], "split(v, ',')[-1]")
cases.rows("element_beyond_the_end_without_ansi", ["a,b"], "split(v, ',')[5] AS a", conf={"spark.sql.ansi.enabled": "false"})
cases.rows("element_at_forms", ["a,b"], "element_at(split(v, ','), 1) AS a", "element_at(split(v, ','), -1) AS b", "try_element_at(split(v, ','), 9) AS c", "get(split(v, ','), 9) AS d")
cases.rows("element_at_zero", ["a,b"], "element_at(split(v, ','), 0)")
cases.rows("trimmed", ["  a ", "\t\u00a0b\u3000", "xxaxyx", None, ""], "trim(v) AS a", "trim('x', v) AS b", "trim(LEADING 'xy' FROM v) AS c", "ltrim('x', v) AS d", "rtrim('xy', v) AS e", "btrim(v) AS f", "btrim(v, 'x') AS g")
cases.rows("nulls_in", ["a"], "lower(NULL)", "contains(v, NULL)", "contains(NULL, 'a')", "substring(v, NULL, 1)", "concat(v, NULL)", "startswith(NULL, NULL)", "v LIKE NULL", "length(NULL)", "trim(NULL)", "upper(NULL) IS NULL")
cases.rows("like_wildcards", ["a%b", "a_b", "axb", "a\\b", "日本", "", None], "v LIKE 'a%b'", "v LIKE 'a_b'", "v LIKE '%\\\\%%'", "v LIKE 'a!%b' ESCAPE '!'", "v LIKE '__'", "v LIKE '%'", "v ILIKE 'A_B'", "v NOT LIKE '%b'")
cases.rows("like_bad_escape", ["a"], "v LIKE 'a\\\\\\\\b'")
cases.rows("like_api", ["a%b", "axb", None], lambda df: df.select(F.col("v").like("a%b"), F.col("v").ilike("A%"), F.col("v").rlike("a.b"), ~F.col("v").like("a_b")))
cases.rows("binary_in_text_functions", ["abc"], "upper(CAST(v AS BINARY)) AS a", "CAST(v AS BINARY) || CAST(v AS BINARY) AS b", "substring(CAST(v AS BINARY), 2) AS c", "concat(CAST(v AS BINARY), 'x') AS d")
cases.rows("compared_by_bytes", ["a", "B", "é", "z", "😀", "\uffee", ""], lambda df: df.orderBy("v").select("v"))
cases.rows("min_max_of_text", ["b", "B", None, "é", "", "10", "9"], lambda df: df.agg(F.min("v"), F.max("v"), F.min(F.lower("v")), F.max(F.length("v"))))
