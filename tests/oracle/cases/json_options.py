"""from_json and to_json with options: modes, the corrupt record, time formats, locale-free numbers, odd schemas."""

from pyspark.sql import functions as F
from pyspark.sql import types as T

from harness import Family

cases = Family()

TEXTS = ['{"a":1,"t":"2026-01-02 03:04"}', '{"a":"x","t":"2026-01-02 03:04"}', '{"a":2,"t":"bad"}', "no json", None, ""]


def parsed(schema: str, options: dict | None = None, *more: str):
    """The parsed document and, behind it, its fields: `d.*`."""
    return lambda df: df.select(F.from_json("v", schema, options).alias("d")).select("d.*", F.col("d").isNull().alias("none"), *more)


cases.rows("permissive", TEXTS, parsed("a INT, t TIMESTAMP", {"mode": "PERMISSIVE", "timestampFormat": "yyyy-MM-dd HH:mm"}))
cases.rows("corrupt_record", TEXTS, parsed("a INT, t TIMESTAMP, _corrupt_record STRING", {"timestampFormat": "yyyy-MM-dd HH:mm"}))
cases.rows("corrupt_record_first", TEXTS, parsed("bad STRING, a INT", {"columnNameOfCorruptRecord": "bad"}))
cases.rows("corrupt_record_alone_is_asked", TEXTS, lambda df: df.select(F.from_json("v", "a INT, _corrupt_record STRING").alias("d")).select("d._corrupt_record"))
cases.rows("corrupt_record_in_the_text", ['{"a":1,"_corrupt_record":"mine"}', '{"a":"x","_corrupt_record":"mine"}'], parsed("a INT, _corrupt_record STRING"))
cases.rows("corrupt_record_of_array", ["[1]", '[{"a":"x"}]', "[{"], parsed("a INT, _corrupt_record STRING"))
cases.rows("corrupt_record_wrong_type", ['{"a":1}'], parsed("a INT, _corrupt_record INT"))
cases.rows("failfast", TEXTS[:1], parsed("a INT, t TIMESTAMP", {"mode": "FAILFAST", "timestampFormat": "yyyy-MM-dd HH:mm"}))
cases.rows("failfast_bad_time", TEXTS[2:3], parsed("a INT, t TIMESTAMP", {"mode": "failfast", "timestampFormat": "yyyy-MM-dd HH:mm"}))
cases.rows("failfast_null_and_empty", [None, ""], parsed("a INT", {"mode": "FAILFAST"}))
cases.rows("failfast_one_field_asked", TEXTS[1:2], lambda df: df.select(F.from_json("v", "a INT, t STRING", {"mode": "FAILFAST"}).alias("d")).select("d.t"))
cases.rows("option_names_ignore_case", TEXTS[:2], parsed("a INT, t TIMESTAMP", {"TIMESTAMPFORMAT": "yyyy-MM-dd HH:mm", "Mode": "permissive"}))
cases.rows("timestamp_format_bad", TEXTS[:1], parsed("t TIMESTAMP", {"timestampFormat": "yyyy-bb"}))
cases.rows("time_zone_option", ['{"t":"2026-07-02 03:04:05"}'], lambda df: df.select(F.from_json("v", "t TIMESTAMP", {"timeZone": "America/New_York"}).alias("d")).selectExpr("CAST(d.t AS STRING) AS t"))
cases.rows("timestamp_ntz_format", ['{"t":"02.01.2026 03:04"}', '{"t":"2026-01-02 03:04"}'], lambda df: df.select(F.from_json("v", "t TIMESTAMP_NTZ", {"timestampNTZFormat": "dd.MM.yyyy HH:mm"}).alias("d")).selectExpr("CAST(d.t AS STRING) AS t"))
cases.rows("epoch_numbers_as_timestamps", ['{"t":0}', '{"t":1770000002}', '{"t":1770000002171}', '{"t":-1}', '{"t":1.5}', '{"t":"1770000002"}'],
           lambda df: df.select(F.from_json("v", "t TIMESTAMP").alias("d")).selectExpr("CAST(d.t AS STRING) AS t"))
cases.rows("non_numeric_numbers", ['{"d":NaN}', '{"d":"NaN"}', '{"d":Infinity}', '{"d":-Infinity}', '{"d":-INF}'], parsed("d DOUBLE"))
cases.rows("non_numeric_numbers_refused", ['{"d":NaN}', '{"d":"NaN"}', '{"d":Infinity}'], parsed("d DOUBLE", {"allowNonNumericNumbers": "false"}))
cases.rows("big_numbers", ['{"a":1e40,"b":1e10,"c":12345678901234567890.123}', '{"a":-1e-400,"b":9999999999,"c":0.1}'], parsed("a DOUBLE, b BIGINT, c DECIMAL(38,5)"))
cases.rows("decimals", ['{"a":0.125}', '{"a":"0.135"}', '{"a":1e2}', '{"a":100000}', '{"a":99999.994}', '{"a":99999.995}'], parsed("a DECIMAL(7,2)"))
cases.rows("control_letters", ['{"a":"x\u0001y"}'], parsed("a STRING", {"allowUnquotedControlChars": "true"}))
cases.rows("backslash_any", [r'{"a":"\q"}'], parsed("a STRING", {"allowBackslashEscapingAnyCharacter": "true"}))
cases.rows("drop_field_if_all_null", ['{"a":null}'], parsed("a INT", {"dropFieldIfAllNull": "true"}))
cases.rows("empty_struct_schema", ['{"a":1}'], lambda df: df.select(F.from_json("v", T.StructType([])).alias("d")))
cases.rows("same_field_twice", ['{"a":1}'], lambda df: df.select(F.from_json("v", "a INT, a STRING").alias("d")))
cases.rows("same_field_in_other_case", ['{"a":1,"A":2}'], lambda df: df.select(F.from_json("v", "a INT, A INT").alias("d")))
cases.rows("map_of_other_keys", ['{"m":{"1":2}}'], lambda df: df.select(F.from_json("v", "m MAP<INT, INT>").alias("d")))
cases.rows("array_of_arrays", ['[[1,2],[],null,[3,"x"]]', "[]", "[[1]]"], lambda df: df.select(F.from_json("v", "ARRAY<ARRAY<INT>>").alias("d")))
cases.rows("scalar_schema", ["1", '"x"', "{}"], lambda df: df.select(F.from_json("v", "INT").alias("d")))
cases.rows("ddl_of_all_types", ["{}"], lambda df: df.select(F.from_json("v", "a BYTE, b SHORT, c INTEGER, d LONG, e REAL, f DEC, g NUMERIC(5), h DECIMAL(5,1), i BOOLEAN, j BINARY, k DATE, l TIMESTAMP, m TIMESTAMP_NTZ, n TIMESTAMP_LTZ, "
                                                                 "o STRUCT<`x y`: INT, z: ARRAY<MAP<STRING, DOUBLE>>>, p VOID").alias("d")))
cases.rows("ddl_void", ['{"p":null}'], lambda df: df.select(F.from_json("v", "p VOID").alias("d")))
cases.rows("ddl_keywords_as_names", ['{"timestamp":"2026","date":"2026-01-02","user":"u","order":1}'], lambda df: df.select(F.from_json("v", "timestamp STRING, date DATE, user STRING, order INT, interval INT, struct INT").alias("d")))
cases.rows("ddl_default_refused", ["{}"], "from_json(v, 'a INT DEFAULT 5')")
cases.rows("ddl_trailing_comma", ["{}"], "from_json(v, 'a INT,')")
cases.rows("ddl_number_as_name", ["{}"], "from_json(v, '1a INT')")
cases.rows("ddl_dash_in_name", ["{}"], "from_json(v, 'user-id INT')")
cases.rows("ddl_empty", ["{}"], "from_json(v, '')")
cases.rows("ddl_char_in_cast", ["abc"], "CAST(v AS CHAR(2))")
cases.rows("ddl_varchar_in_struct_type", ["{}"], "from_json(v, 'a STRUCT<b: VARCHAR(3)>')")
cases.rows("ddl_unknown_type", ["{}"], "from_json(v, 'a WHATEVER, b INT')")
cases.rows("ddl_bad_decimal", ["{}"], "from_json(v, 'a DECIMAL(50,2)')")
cases.rows("ddl_bad_array", ["{}"], "from_json(v, 'a ARRAY<>')")
cases.rows("ddl_colons_in_one_struct", ['{"a":1}'], "from_json(v, 'STRUCT<a: INT, b STRING>') AS d")
cases.rows("option_not_text", ["{}"], "from_json(v, 'a INT', map('mode', 1))")
cases.rows("options_not_a_map", ["{}"], "from_json(v, 'a INT', 'mode')")
cases.rows("to_json_options", ["2026-01-02 03:04:05.678"], "to_json(struct(CAST(v AS TIMESTAMP) AS t, CAST(v AS DATE) AS e), map('dateFormat', 'dd.MM.yyyy', 'timestampFormat', 'HH:mm')) AS a",
           "to_json(struct(CAST(v AS TIMESTAMP) AS t), map('timeZone', 'America/New_York')) AS b", "to_json(struct(1.10 AS d, CAST(NULL AS INT) AS n), map('ignoreNullFields', 'false')) AS c")
cases.rows("to_json_of_odd_values", ["x"], "to_json(array(1, NULL))", "to_json(map('a', 1, 'b', NULL))", "to_json(struct(CAST(v AS BINARY) AS b))", "to_json(struct(array() AS e, map() AS m))", "to_json(struct(1e20D AS d, 1e-7D AS s, 100BD AS n))",
           "to_json(named_struct('a b', 1, 'ü', 2))", "to_json(array(struct(1 AS a)))")
cases.rows("to_json_of_number", ["x"], "to_json(k)")
cases.rows("to_json_of_null", ["x"], "to_json(NULL)")
cases.rows("read_back", ['{"a":[{"b":1.50}],"t":"2026-01-02T03:04:05.120Z"}'], "to_json(from_json(v, 'a ARRAY<STRUCT<b: DECIMAL(5,2)>>, t TIMESTAMP')) AS j")
