"""The console sink's layout: widths, truncation, numRows, nulls, unicode, escapes, empty batches, nested values."""

from pyspark.sql import functions as F

from harness import Family

cases = Family()

LONG = "a text that is longer than twenty letters"
NESTED = ['{"i":1,"d":1.5,"s":{"x":"a long text inside of it","y":null},"a":[1,null,3],"m":{"k":"v"},"b":true,"t":"2026-01-02T03:04:05.120Z","e":"2026-01-02","n":null}', "{}"]
NESTED_SCHEMA = "i INT, d DOUBLE, s STRUCT<x: STRING, y: INT>, a ARRAY<INT>, m MAP<STRING, STRING>, b BOOLEAN, t TIMESTAMP, e DATE, n STRING"


def words(df):
    return df.selectExpr("CAST(value AS STRING) AS word", "partition")


def nested(df):
    return df.select(F.from_json(F.col("value").cast("string"), NESTED_SCHEMA).alias("j")).select("j.*")


def shown(name: str, values: list, transform=words, **options) -> None:
    cases.stream(name, [values], transform, options=options, ordered=True)


shown("default", ["short", LONG, None, ""])
shown("not_truncated", ["short", LONG, None, ""], truncate="false")
shown("not_truncated_python", ["short", LONG], truncate=False)
shown("truncate_in_capitals", ["short", LONG], truncate="TRUE")
shown("truncate_number_refused", ["short"], truncate="5")
shown("twenty_letters", ["12345678901234567890", "123456789012345678901"])
shown("num_rows", ["a", "b", "c"], numRows="2")
shown("num_rows_one_more", ["a", "b"], numRows="1")
shown("num_rows_zero", ["a"], numRows="0")
shown("more_than_twenty_rows", [str(number) for number in range(25)])
shown("exactly_twenty_rows", [str(number) for number in range(20)])
shown("wide_letters", ["日本語", "😀😀", "ＦＵＬＬ", "é", "e\u0301", "ｱ", "한글", "Ж"])
shown("wide_letters_not_truncated", ["日本語", "😀", "x"], truncate="false")
shown("wide_letters_cut", ["日本語" * 8, "😀" * 11])
shown("escapes", ["a\nb", "a\tb", "a\rb", "a\bb", "a\fb", "a\x0bb", "a\x07b", "a\\nb"])
shown("escapes_not_truncated", ["a\nb", "a\tb"], truncate="false")
shown("header_escapes_and_width", ["x"], lambda df: df.selectExpr("CAST(value AS STRING) AS `a\tb`", "1 AS `日本`", "1 AS `a very long column name that goes on`"))
shown("nested_default", NESTED, nested)
shown("nested_not_truncated", NESTED, nested, truncate="false")
shown("binary", ["abc", "", "é"], lambda df: df.select("value", F.struct("value").alias("s")))
shown("numbers", ["1", "-2.50", "1e10"], lambda df: df.selectExpr("CAST(CAST(value AS STRING) AS DOUBLE) AS d", "CAST(CAST(value AS STRING) AS DECIMAL(20,3)) AS m",
                                                               "CAST(CAST(CAST(value AS STRING) AS DOUBLE) AS FLOAT) AS f", "CAST(CAST(CAST(value AS STRING) AS DOUBLE) AS BIGINT) AS l"))
shown("window_column", ["2026-01-02 03:04:05"], lambda df: df.selectExpr("CAST(CAST(value AS STRING) AS TIMESTAMP) AS t").select("t", F.window("t", "10 seconds")), truncate="false")
shown("window_column_truncated", ["2026-01-02 03:04:05"], lambda df: df.selectExpr("CAST(CAST(value AS STRING) AS TIMESTAMP) AS t").select(F.window("t", "10 seconds"), "t"))
shown("intervals", ["x"], lambda df: df.selectExpr("INTERVAL 30 DAYS AS d", "INTERVAL '1 02:03:04' DAY TO SECOND AS ds", "INTERVAL 5 MONTHS AS m", "INTERVAL 5 SECONDS AS s"), truncate="false")
shown("times_in_session_zone", ["2026-07-02T03:04:05Z"], lambda df: df.selectExpr("CAST(CAST(value AS STRING) AS TIMESTAMP) AS t", "CAST(value AS STRING) AS v"))
cases.stream("session_zone_new_york", [["2026-07-02T03:04:05Z"]], lambda df: df.selectExpr("CAST(CAST(value AS STRING) AS TIMESTAMP) AS t"), ordered=True,
             conf={"spark.sql.session.timeZone": "America/New_York"})
shown("one_narrow_column", ["", None], lambda df: df.selectExpr("CAST(value AS STRING) AS w"))
shown("nothing_selected_matches", ["a"], lambda df: words(df).filter("word = 'b'"))
shown("null_everywhere", ["x"], lambda df: df.selectExpr("CAST(NULL AS STRING) AS a", "NULL AS b", "CAST(NULL AS INT) AS c"))
