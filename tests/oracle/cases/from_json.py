"""from_json: types, malformed text, missing and extra fields, nesting, numbers as text, timestamps, options."""

from pyspark.sql import functions as F
from pyspark.sql import types as T

from harness import Family

cases = Family()


def parsed(schema: str, *options: str):
    """The whole struct and its validity, so that NULL and a struct of NULLs are told apart."""
    extra = "".join(f", {option}" for option in options)
    return [f"from_json(v, '{schema}'{extra}) AS d", f"from_json(v, '{schema}'{extra}) IS NULL AS none"]


# ---- the shape of the text

cases.rows("malformed", ['{"a":1}', '{"a":1', '{"a":}', "not json", "", "   ", None, "{}", "[]", "null", "1", '"text"',
                         "{a:1}", "{'a':1}", '{"a":1}} x', '{"a":1}{"a":2}', '{"a":1,}', '{"a" 1}', "{", "}", "[1", "tru"],
           *parsed("a INT"))
cases.rows("truncated_loses_all", ['{"a":1,"b":"x"}', '{"a":1,"b":"x', '{"a":1,"b":', '{"a":1,', '{"a":1,"b":"x"'],
           *parsed("a INT, b STRING"))
cases.rows("missing_and_extra", ['{"a":1}', '{"b":"x"}', '{"a":1,"b":"x","c":[1,{"z":2}]}', '{"c":null}',
                                 '{"c":{"a":5},"a":6}', '{"a":null,"b":null}'],
           *parsed("a INT, b STRING"))
cases.rows("wrong_type_loses_itself", ['{"a":"x","b":"y"}', '{"a":[1],"b":"y"}', '{"a":{"z":1},"b":"y"}', '{"a":true,"b":1}',
                                       '{"a":1.5,"b":2.50}', '{"a":1,"b":{"z":1}}', '{"b":[1, 2 ,"x"],"a":3}'],
           *parsed("a INT, b STRING"))
cases.rows("case_sensitive_names", ['{"a":1}', '{"A":2}', '{"a":1,"A":2}', '{"A":2,"a":1}'], *parsed("a INT"))
cases.rows("duplicate_keys", ['{"a":1,"a":2}', '{"a":2,"a":"x"}', '{"a":2,"a":null}', '{"a":null,"a":2}', '{"a":"x","a":2}'],
           *parsed("a INT"))
cases.rows("white_space", [' { "a" : 1 } ', '\n{"a":\t1}\r\n', '\ufeff{"a":1}', '{"a":1}\u00a0', '\x0b{"a":1}'],
           *parsed("a INT"))
cases.rows("comments_and_names_refused", ['/* c */ {"a":1}', '{"a":1} // c', '{"a":01}', '{"a":+1}', '{"a":NaN}', '{"a":.5}',
                                          '{"a":1.}', '{"a":0x1}', '{"a":-}'],
           *parsed("a DOUBLE"))
cases.rows("root_is_an_array", ['[{"a":1}]', '[{"a":1},{"a":2}]', "[]", '{"a":3}', "[1]", "[null]"], *parsed("a INT"))

# ---- numbers

cases.rows("int", ['{"a":1}', '{"a":"1"}', '{"a":1.0}', '{"a":1e3}', '{"a":2147483647}', '{"a":2147483648}', '{"a":-2147483648}',
                   '{"a":-0}', '{"a":true}', '{"a":""}', '{"a":99999999999999999999}'], *parsed("a INT"))
cases.rows("bigint", ['{"a":1}', '{"a":"1"}', '{"a":1.0}', '{"a":9223372036854775807}', '{"a":9223372036854775808}',
                      '{"a":-9223372036854775808}', '{"a":1e3}'], *parsed("a BIGINT"))
cases.rows("tinyint_wraps", ['{"a":127}', '{"a":128}', '{"a":255}', '{"a":256}', '{"a":-129}', '{"a":1000}', '{"a":"1"}'],
           *parsed("a TINYINT"))
cases.rows("smallint", ['{"a":32767}', '{"a":32768}', '{"a":-32768}', '{"a":-32769}', '{"a":70000}'], *parsed("a SMALLINT"))
cases.rows("double", ['{"a":1}', '{"a":1.5}', '{"a":"1.5"}', '{"a":1e400}', '{"a":-1e400}', '{"a":"NaN"}', '{"a":"Infinity"}',
                      '{"a":"-Infinity"}', '{"a":"+Infinity"}', '{"a":"+INF"}', '{"a":"-INF"}', '{"a":"INF"}', '{"a":""}',
                      '{"a":-0}', '{"a":-0.0}', '{"a":1e-400}', '{"a":123456789012345678901234567890}', '{"a":true}'],
           *parsed("a DOUBLE"))
cases.rows("float", ['{"a":1.1}', '{"a":16777217}', '{"a":1e39}', '{"a":"NaN"}', '{"a":"1"}', '{"a":3.4028236e38}'],
           *parsed("a FLOAT"))
cases.rows("decimal", ['{"a":1.25}', '{"a":"1.25"}', '{"a":"1,000.5"}', '{"a":1.255}', '{"a":1.245}', '{"a":12345678.9}',
                       '{"a":123456789}', '{"a":1e3}', '{"a":""}', '{"a":"x"}', '{"a":true}', '{"a":-0.005}', '{"a":"1e2"}'],
           *parsed("a DECIMAL(10,2)"))
cases.rows("boolean", ['{"a":true}', '{"a":false}', '{"a":"true"}', '{"a":1}', '{"a":TRUE}', '{"a":null}', '{"a":""}'],
           *parsed("a BOOLEAN"))

# ---- text

cases.rows("anything_as_string", ['{"a":"x"}', '{"a":1}', '{"a":1.50}', '{"a":1E5}', '{"a":-0}', '{"a":true}', '{"a":null}',
                                  '{"a":[1, 2,  {"b" : "c"}]}', '{"a":{"b": 1.0, "c": null}}', '{"a":""}', '{"a":12345678901234567890}',
                                  '{"a":0.1}', '{"a":1e-7}', '{"a":123456789.123456789}', '{"a":100000000.0}', '{"a":{}}', '{"a":[]}'],
           *parsed("a STRING"))
cases.rows("escapes", [r'{"a":"\u0063rash"}', r'{"a":"tab\tnl\nq\"s\/b\\"}', r'{"a":"\ud83d\ude00"}', r'{"a":"\x"}', r'{"a":"\u00e9é"}',
                       r'{"a":"\u12"}', '{"a":"raw\ttab"}', '{"a":"raw\nline"}', r'{"\u0061":"key"}', r'{"a":"\b\f\r"}'],
           *parsed("a STRING"))
cases.rows("unicode", ['{"a":"日本語"}', '{"a":"😀"}', '{"ключ":"x","a":"ż"}'], *parsed("a STRING, `ключ` STRING"))
cases.rows("nested_text_written_again", ['{"a":{"x":[1,2.0,"z",null,true],"y":{"k":"v\\"q"}}}', '{"a":["\\u00e9","\\n"]}',
                                         '{"a":{"x":1,"x":2}}'], *parsed("a STRING"))
cases.rows("binary", ['{"a":"aGk="}', '{"a":"%%"}', '{"a":1}'], *parsed("a BINARY"))

# ---- nesting

cases.rows("nested_struct", ['{"a":{"b":1,"c":"x"}}', '{"a":{"b":"x","c":"y"}}', '{"a":null}', '{"a":{}}', '{"a":1}', '{"a":"{}"}',
                             '{"a":[]}'], *parsed("a STRUCT<b: INT, c: STRING>"))
cases.rows("array", ['{"a":[1,2]}', '{"a":[]}', '{"a":[1,"x"]}', '{"a":[1,null]}', '{"a":1}', '{"a":null}', '{"a":{"0":1}}'],
           *parsed("a ARRAY<INT>"))
cases.rows("array_of_structs", ['{"a":[{"x":1},{"x":2}]}', '{"a":[{"x":1},{"x":"bad"}]}', '{"a":[{"y":1}]}', '{"a":[1]}', '{"a":[null]}'],
           *parsed("a ARRAY<STRUCT<x: INT>>"))
cases.rows("map", ['{"a":{"x":1,"y":2}}', '{"a":{}}', '{"a":{"x":"bad"}}', '{"a":{"x":null}}', '{"a":[1]}', '{"a":{"x":1,"x":2}}'],
           *parsed("a MAP<STRING, INT>"))
cases.rows("root_array_schema", ['[{"a":1},{"a":2}]', '{"a":3}', "[]", "[1]", "x"], *parsed("ARRAY<STRUCT<a: INT>>"))
cases.rows("root_map_schema", ['{"a":1,"b":2}', "{}", "[1]", '{"a":"x"}'], *parsed("MAP<STRING, INT>"))
cases.rows("deep_field", ['{"a":{"b":{"c":7}}}', '{"a":{"b":null}}', "{}"],
           lambda df: df.select(F.from_json("v", "a STRUCT<b: STRUCT<c: INT>>").alias("d")).select("d.a.b.c", F.col("d.a").alias("a")))

# ---- dates and timestamps

cases.rows("timestamp", ['{"a":"2026-01-02T03:04:05Z"}', '{"a":"2026-01-02 03:04:05"}', '{"a":"2026-01-02T03:04:05.123456789Z"}',
                         '{"a":"2026-01-02T03:04:05+02:00"}', '{"a":"2026-01-02T03:04:05+0200"}', '{"a":"2026-01-02 03:04:05 UTC"}',
                         '{"a":"2026-01-02 03:04:05 Europe/Prague"}', '{"a":"2026-01-02"}', '{"a":"2026"}', '{"a":"2024-1-2"}',
                         '{"a":"2024-1-2 3:4:5"}', '{"a":"x"}', '{"a":""}', '{"a":"2026-13-01"}',
                         '{"a":"2026-02-30"}', '{"a":" 2026-01-02 "}', '{"a":"2026-01-02T03:04"}', '{"a":"2026-01-02T25:00:00"}'],
           "CAST(from_json(v, 'a TIMESTAMP').a AS STRING) AS a")
# An hour alone is one of today, so the answer must not tell the day.
cases.rows("timestamp_of_today", ['{"a":"3:4:5"}', '{"a":"T03:04"}', '{"a":"T25:04"}'],
           "date_format(from_json(v, 'a TIMESTAMP').a, 'HH:mm:ss') AS hour",
           "CAST(from_json(v, 'a TIMESTAMP').a AS DATE) = CAST(current_timestamp() AS DATE) AS of_today")
cases.rows("timestamp_number", ['{"a":0}', '{"a":1770000002}', '{"a":-1}', '{"a":1.5}', '{"a":"1770000002"}', '{"a":1770000002171}',
                                '{"a":true}', '{"a":null}'],
           "CAST(from_json(v, 'a TIMESTAMP').a AS STRING) AS a")
cases.rows("timestamp_session_zone", ['{"a":"2026-07-01 12:00:00"}', '{"a":"2026-07-01T12:00:00Z"}', '{"a":"2026-07-01"}'],
           "CAST(from_json(v, 'a TIMESTAMP').a AS STRING) AS a", "CAST(from_json(v, 'a TIMESTAMP').a AS BIGINT) AS s",
           conf={"spark.sql.session.timeZone": "America/New_York"})
cases.rows("timestamp_format", ['{"a":"02/01/2026 03:04"}', '{"a":"2/1/2026 03:04"}', '{"a":"2026-01-02T03:04:05Z"}', '{"a":"02/01/2026 03:04 x"}',
                                '{"a":5}'],
           "CAST(from_json(v, 'a TIMESTAMP', map('timestampFormat', 'dd/MM/yyyy HH:mm')).a AS STRING) AS a")
cases.rows("timestamp_format_zone", ['{"a":"2026-01-02 03:04:05.678 +0100"}', '{"a":"2026-01-02 03:04:05.6 +0100"}'],
           "CAST(from_json(v, 'a TIMESTAMP', map('timestampFormat', 'yyyy-MM-dd HH:mm:ss.SSS Z')).a AS STRING) AS a")
cases.rows("date", ['{"a":"2026-01-02"}', '{"a":"2026-1-2"}', '{"a":"2026-01-02T03:04:05"}', '{"a":"2026"}', '{"a":"x"}', '{"a":1}',
                    '{"a":"2026-02-30"}', '{"a":""}'], *parsed("a DATE"))
cases.rows("date_format_option", ['{"a":"02.01.2026"}', '{"a":"2026-01-02"}', '{"a":"2.1.2026"}'],
           "from_json(v, 'a DATE', map('dateFormat', 'dd.MM.yyyy')) AS d")
cases.rows("timestamp_ntz", ['{"a":"2026-01-02T03:04:05"}', '{"a":"2026-01-02T03:04:05Z"}', '{"a":"2026-01-02"}', '{"a":1}', '{"a":"x"}'],
           "CAST(from_json(v, 'a TIMESTAMP_NTZ').a AS STRING) AS a")

# ---- modes and options

cases.rows("corrupt_record", ['{"a":1}', '{"a":"x"}', '{"a":', "", None, "[1]"], *parsed("a INT, _corrupt_record STRING"))
cases.rows("corrupt_record_named", ['{"a":1}', '{"a":"x"}', "no"],
           *parsed("a INT, bad STRING", "map('columnNameOfCorruptRecord', 'bad')"))
cases.rows("failfast_good", ['{"a":1}', '{"b":1}'], "from_json(v, 'a INT', map('mode', 'FAILFAST')) AS d")
cases.rows("failfast_bad", ['{"a":1,"b":"x"}', '{"a":"x","b":"y"}'], "from_json(v, 'a INT, b STRING', map('mode', 'FAILFAST')) AS d")
cases.rows("dropmalformed_refused", ['{"a":1}'], "from_json(v, 'a INT', map('mode', 'DROPMALFORMED')) AS d")
cases.rows("unknown_mode", ['{"a":1}', '{"a":"x"}'], "from_json(v, 'a INT', map('mode', 'WHATEVER')) AS d")
cases.rows("primitives_as_string", ['{"a":1.50,"b":true,"c":null}'],
           "from_json(v, 'a STRING, b STRING, c STRING', map('primitivesAsString', 'true')) AS d")
cases.rows("allow_options", ["{'a':1}", "{a:1}", '{"a":01}', '{"a":1} // c', '/* c */{"a":1}'],
           "from_json(v, 'a INT', map('allowSingleQuotes', 'false')) AS strict",
           "from_json(v, 'a INT', map('allowUnquotedFieldNames', 'true', 'allowNumericLeadingZeros', 'true', 'allowComments', 'true')) AS lax")

# ---- schemas and names

cases.rows("struct_type_schema", ['{"a":1,"b":{"c":[1.5]}}'],
           lambda df: df.select(F.from_json("v", T.StructType([
               T.StructField("a", T.LongType(), False),
               T.StructField("b", T.StructType([T.StructField("c", T.ArrayType(T.DoubleType()))]))])).alias("d")).select("d.*"))
cases.rows("struct_type_not_null_gives_null", ['{"b":1}'],
           lambda df: df.select(F.from_json("v", T.StructType([T.StructField("a", T.LongType(), False)])).alias("d")).select("d.a"))
cases.rows("generated_name", ['{"a":1}'], "from_json(v, 'a INT')", "from_json(v, 'a INT').a")
cases.rows("generated_name_api", ['{"a":1}'],
           lambda df: df.select(F.from_json(F.col("v"), "a INT"), F.from_json("v", "a INT")["a"], F.from_json("v", "a INT").getField("a")))
cases.rows("ddl_forms", ['{"a":1,"b":"x"}'],
           "from_json(v, 'struct<a:int,b:string>') AS struct",
           "from_json(v, 'a INT NOT NULL, b STRING COMMENT \"c\"') AS noted", "from_json(v, '`a` INTEGER').a AS quoted")
cases.rows("ddl_with_varchar", ['{"a":1,"b":"x"}'], "from_json(v, 'b VARCHAR(5)') AS d")
cases.rows("ddl_with_colons", ['{"a":1}'], "from_json(v, 'a: INT, b: STRING') AS colon")
cases.rows("bad_ddl", ["{}"], "from_json(v, 'a INTT')")
cases.rows("schema_not_constant", ["{}"], "from_json(v, v)")
cases.rows("not_a_string", ["{}"], "from_json(k, 'a INT')")
cases.rows("the_crash_monitors_parse", ['{"timestamp": "2026-01-02T03:04:05Z", "severity": "High", "user_id": "user_1", "content": "App CRASH", "status": 1}',
                               '{"timestamp": 1770000002, "severity": "Low"}', "garbage"],
           lambda df: df.selectExpr("v as json").selectExpr(
               "from_json(json, 'user_id STRING, severity STRING, content STRING, timestamp TIMESTAMP') as data").select("data.*"))
cases.rows("names_in_single_quotes", ["{'a': 1, 'skipped': 'it\\'s', 'b': 'x\"y'}", "[{'a': 1}, {'b': 'z'}]", "{'a': 'x\"}", "{'a: 1}"], lambda df: df.select(F.from_json("v", "a INT, b STRING").alias("d")).select("d.*"))
