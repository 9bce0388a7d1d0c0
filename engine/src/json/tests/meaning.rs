//! What Spark 4.2 was seen to print, case by case.

use datafusion::arrow::array::{Array, AsArray, BinaryArray};
use datafusion::arrow::buffer::BooleanBuffer;

use super::super::decoder::DecodeError;
use super::super::from_json::{FromJson, with_projection};
use super::{column, decode, decoder, field, one, show, with};
use crate::types::parse_schema_text;

const SCHEMA: &str = "a INT, b STRING";
const NULLS: &str = r#"{"a":null,"b":null}"#;

#[test]
fn the_benchmark_document() {
    let schema = "user_id STRING, severity STRING, content STRING, timestamp TIMESTAMP";
    let document = r#"{"timestamp": 1770000002, "status": "OK", "severity": "Low", "source_ip": "10.130.60.253", "user_id": "user_7364", "content": "Request ok for x667"}"#;
    let expected = r#"{"user_id":"user_7364","severity":"Low","content":"Request ok for x667","timestamp":"2026-02-02T02:40:02.000Z"}"#;
    assert_eq!(one(schema, document), expected);
    let milliseconds = document.replace("1770000002", "1770000002171");
    assert!(one(schema, &milliseconds).contains("\"+58059-"), "{}", one(schema, &milliseconds));
}

#[test]
fn malformed_text_gives_nulls_and_blank_text_null() {
    for malformed in
        ["x", "{", "}", "null", "1", "\"a\"", "[]", r#"[{"a":1}]"#, "{\"a\":1", r#"{"a" 1}"#, r#"{"a":1,}"#, r#"{a:1}"#]
    {
        assert_eq!(one(SCHEMA, malformed), NULLS, "{malformed}");
    }
    for blank in ["", " ", "\n\t\r "] {
        assert_eq!(one(SCHEMA, blank), "NULL");
    }
    assert_eq!(one(SCHEMA, "{}"), NULLS);
    let null = BinaryArray::from_opt_vec(vec![None, Some(b"{\"a\":1}")]);
    assert_eq!(show(&decoder(SCHEMA, &[]).decode(&null).expect("binary")), ["NULL", r#"{"a":1,"b":null}"#]);
}

#[test]
fn what_follows_a_complete_object_is_ignored() {
    for document in [r#"{"a":1}} x"#, r#" {"a" : 1 }{"a":2}"#, r#"{"a":1}garbage"#] {
        assert_eq!(one(SCHEMA, document), r#"{"a":1,"b":null}"#);
    }
}

#[test]
fn single_quotes_are_fine() {
    assert_eq!(one(SCHEMA, r#"{'a':1,'b':'x"y\'z'}"#), r#"{"a":1,"b":"x\"y'z"}"#);
    assert_eq!(with(SCHEMA, &[("allowSingleQuotes", "false")], r#"{'a':1}"#), NULLS);
}

#[test]
fn a_truncated_object_loses_all() {
    let document = r#"{"a":1,"b":"x"}"#;
    for length in 1..document.len() {
        assert_eq!(one(SCHEMA, &document[..length]), NULLS);
    }
}

#[test]
fn a_wrong_type_loses_only_its_field() {
    assert_eq!(one(SCHEMA, r#"{"a":"x","b":"y"}"#), r#"{"a":null,"b":"y"}"#);
    assert_eq!(field("ARRAY<INT>", r#"[1,"x",[3],{"a":"]"}]"#), "null");
    assert_eq!(field("MAP<STRING,INT>", r#"{"k":1,"l":"x","m":2}"#), "null");
    assert_eq!(field("ARRAY<STRUCT<x:INT>>", r#"[{"x":1},{"x":"bad"}]"#), r#"[{"x":1},{"x":null}]"#);
    assert_eq!(field("STRUCT<x:INT,y:INT>", r#"{"x":[],"y":2}"#), r#"{"x":null,"y":2}"#);
    assert_eq!(field("STRUCT<x:INT>", "[1]"), "null");
    assert_eq!(field("ARRAY<INT>", r#"{"x":1}"#), "null");
    assert_eq!(field("ARRAY<ARRAY<INT>>", "[[1],[2,true],[3]]"), "null");
    assert_eq!(field("ARRAY<INT>", "[1,null,3]"), "[1,null,3]");
    assert_eq!(field("BOOLEAN", "1"), "null");
    assert_eq!(field("BOOLEAN", "true"), "true");
}

#[test]
fn strings_and_numbers_do_not_mix() {
    for data_type in ["INT", "BIGINT"] {
        for value in [r#""1""#, "1.0", "1e3", "99999999999999999999"] {
            assert_eq!(field(data_type, value), "null", "{data_type} {value}");
        }
    }
    assert_eq!(field("INT", "-2147483648"), "-2147483648");
    assert_eq!(field("INT", "2147483648"), "null");
    assert_eq!(field("BIGINT", "-9223372036854775808"), "-9223372036854775808");
    assert_eq!(field("BIGINT", "9223372036854775808"), "null");
    assert_eq!(field("DOUBLE", r#""1.5""#), "null");
    assert_eq!(field("DECIMAL(10,2)", r#""1,000.5""#), "1000.50");
    assert_eq!(field("DECIMAL(10,2)", "1.005"), "1.01");
    assert_eq!(field("DECIMAL(3,2)", "10"), "null");
    assert_eq!(field("DECIMAL(3,2)", "NaN"), "null");
    assert_eq!(field("TINYINT", "128"), "-128");
    assert_eq!(field("TINYINT", "256"), "null");
    assert_eq!(field("SMALLINT", "32768"), "null");
}

#[test]
fn floating_point_words() {
    for (value, expected) in [
        (r#""+INF""#, r#""Infinity""#),
        (r#""-INF""#, r#""-Infinity""#),
        (r#""INF""#, "null"),
        (r#""NaN""#, r#""NaN""#),
        ("NaN", r#""NaN""#),
        ("-Infinity", r#""-Infinity""#),
        ("1e400", r#""Infinity""#),
        ("-0", "0.0"),
        ("-0.0", "-0.0"),
        ("1", "1.0"),
        (r#""""#, "null"),
    ] {
        assert_eq!(field("DOUBLE", value), expected, "{value}");
        assert_eq!(field("FLOAT", value), expected, "{value}");
    }
    assert_eq!(field("FLOAT", "0.1"), "0.1");
    let off = [("allowNonNumericNumbers", "false")];
    assert_eq!(with("a DOUBLE, z INT", &off, r#"{"a":"NaN","z":1}"#), r#"{"a":null,"z":1}"#);
    assert_eq!(with("a DOUBLE, z INT", &off, r#"{"a":NaN,"z":1}"#), r#"{"a":null,"z":null}"#);
}

#[test]
fn into_strings_json_is_written_again() {
    let text = |value: &str| {
        let column = decode("a STRING", &[], &[&format!("{{\"a\":{value}}}")]).expect("permissive");
        column.as_struct().column(0).as_string::<i32>().value(0).to_owned()
    };
    for (value, expected) in [
        ("1.50", "1.5"),
        ("1E5", "100000.0"),
        ("-0", "0"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("true", "true"),
        ("NaN", "\"NaN\""),
        (r#"{ "x" : [ 1 , 2.0 ] , "y" : null , 'z':{}, "w":[] }"#, r#"{"x":[1,2.0],"y":null,"z":{},"w":[]}"#),
        (r#"["a\u0041\n\/\"😀\u00e9\ud800"]"#, r#"["aA\n/\"\uD83D\uDE00é\uD800"]"#),
        (r#""\ud800x""#, "?x"),
        (r#""x\udc00""#, "x?"),
        (r#""\ud83d\ude00""#, "😀"),
        (r#""\u00e9\t""#, "é\t"),
        (r#""""#, ""),
    ] {
        assert_eq!(text(value), expected, "{value}");
    }
}

#[test]
fn names_match_exactly_and_the_last_valid_value_wins() {
    assert_eq!(one(SCHEMA, r#"{"A":1,"b":"x"}"#), r#"{"a":null,"b":"x"}"#);
    assert_eq!(one(SCHEMA, r#"{"\u0061":1}"#), r#"{"a":1,"b":null}"#);
    assert_eq!(one(SCHEMA, r#"{"a":2,"a":"x"}"#), r#"{"a":2,"b":null}"#);
    assert_eq!(one(SCHEMA, r#"{"a":2,"a":3}"#), r#"{"a":3,"b":null}"#);
    assert_eq!(one(SCHEMA, r#"{"a":"x","a":3}"#), r#"{"a":3,"b":null}"#);
    assert_eq!(one(SCHEMA, r#"{"a":2,"a":null}"#), NULLS);
    assert_eq!(one(SCHEMA, r#"{"b":"one","b":"two","b":[1, 2]}"#), r#"{"a":null,"b":"[1,2]"}"#);
    assert_eq!(field("STRUCT<x:INT>", r#"{"x":1},"a":{"x":2},"a":3"#), r#"{"x":2}"#);
    let map = decode("a MAP<STRING,INT>", &[], &[r#"{"a":{"k":1,"k":2}}"#]).expect("permissive");
    assert_eq!(map.as_struct().column(0).as_map().value(0).len(), 2);
}

#[test]
fn timestamps() {
    for (value, expected) in [
        ("0", "\"1970-01-01T00:00:00.000Z\""),
        ("-1", "\"1969-12-31T23:59:59.000Z\""),
        (r#""1700000000""#, "null"),
        ("1.5", "null"),
        (r#""2024""#, "\"2024-01-01T00:00:00.000Z\""),
        (r#""2024-1-2""#, "\"2024-01-02T00:00:00.000Z\""),
        (r#""2024-01-02T03:04:05+0200""#, "\"2024-01-02T01:04:05.000Z\""),
        (r#""2024-01-02 03:04:05 UTC""#, "\"2024-01-02T03:04:05.000Z\""),
        (r#""2024-01-02 03:04:05.1239999""#, "\"2024-01-02T03:04:05.123Z\""),
        (r#""x""#, "null"),
        (r#""""#, "null"),
        ("true", "null"),
    ] {
        assert_eq!(field("TIMESTAMP", value), expected, "{value}");
    }
    assert_ne!(field("TIMESTAMP", r#""3:4:5""#), "null");
    assert_eq!(field("DATE", r#""2024-01-02""#), "\"2024-01-02\"");
    assert_eq!(field("DATE", "1"), "null");
    assert_eq!(field("TIMESTAMP_NTZ", r#""2024-01-02 03:04:05""#), "\"2024-01-02T03:04:05.000\"");
    assert_eq!(field("TIMESTAMP_NTZ", r#""2024-01-02 03:04:05Z""#), "null");
    let zone = [("timeZone", "+02:00")];
    assert_eq!(with("a TIMESTAMP", &zone, r#"{"a":"2024-01-01 02:00:00"}"#), r#"{"a":"2024-01-01T00:00:00.000Z"}"#);
}

#[test]
fn binary_and_void() {
    assert_eq!(field("BINARY", r#""YWI\/""#), "\"YWI/\"");
    assert_eq!(field("BINARY", r#""!""#), "null");
    assert_eq!(field("BINARY", "1"), "null");
    assert_eq!(field("VOID", "[1]"), "null");
}

#[test]
fn failfast_raises_on_any_bad_field() {
    let failfast = [("mode", "FAILFAST")];
    let error = decode("a INT, b INT", &failfast, &[r#"{"a":1,"b":"x"}"#]).expect_err("a bad field");
    let DecodeError::Malformed(error) = error else { panic!("another error") };
    assert_eq!(error.class, "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION");
    assert!(error.message.contains(": [1,null]. Parse Mode: FAILFAST."), "{}", error.message);
    assert!(decode("a INT", &failfast, &["x"]).is_err());
    assert!(decode("a INT", &failfast, &["", r#"{"a":1,"b":"x"}"#]).is_ok());
    let schema = parse_schema_text("a INT, b INT").expect("a schema");
    let options = [("mode".to_owned(), "FAILFAST".to_owned())].into();
    let function = FromJson::try_new(&schema, options, "UTC").expect("valid").project(&["a"]).expect("a field");
    assert!(function.decoder().expect("a decoder").decode(&column(&[r#"{"a":1,"b":"x"}"#.to_owned()])).is_err());
    assert!(!function.raw_testable("a"));
}

#[test]
fn the_corrupt_record_column() {
    let schema = "a INT, _corrupt_record STRING";
    assert_eq!(one(schema, r#"{"a":1,"_corrupt_record":"x"}"#), r#"{"a":1,"_corrupt_record":null}"#);
    assert_eq!(one(schema, "{\"a\":1"), r#"{"a":null,"_corrupt_record":"{\"a\":1"}"#);
    assert_eq!(one(schema, r#"{"a":"x"}"#), r#"{"a":null,"_corrupt_record":"{\"a\":\"x\"}"}"#);
    assert_eq!(one(schema, ""), "NULL");
    let named = [("columnNameOfCorruptRecord", "bad")];
    assert_eq!(with("bad STRING, a INT", &named, "x"), r#"{"bad":"x","a":null}"#);
    let wrong = parse_schema_text("_corrupt_record INT").expect("a schema");
    assert!(FromJson::try_new(&wrong, Default::default(), "UTC").is_err());
}

#[test]
fn other_roots() {
    assert_eq!(one("ARRAY<INT>", "[1,2]"), "[1,2]");
    assert_eq!(one("ARRAY<INT>", "[1,\"x\"]"), "NULL");
    assert_eq!(one("ARRAY<INT>", "{}"), "NULL");
    assert_eq!(one("ARRAY<STRUCT<x:INT>>", r#"{"x":1}"#), r#"[{"x":1}]"#);
    assert_eq!(one("ARRAY<STRUCT<x:INT>>", r#"{"x":1"#), "NULL");
    assert_eq!(one("ARRAY<STRUCT<x:INT>>", "{}"), r#"[{"x":null}]"#);
    assert_eq!(one("MAP<STRING,INT>", r#"{"k":1, 'l':2}"#), r#"{"k":1,"l":2}"#);
    assert_eq!(one("MAP<STRING,INT>", "[]"), "NULL");
    assert_eq!(one("MAP<STRING,INT>", "null"), "NULL");
}

#[test]
fn liberties_by_option() {
    let on = |name, document| with(SCHEMA, &[(name, "true")], document);
    let good = r#"{"a":1,"b":"x"}"#;
    assert_eq!(on("allowComments", "/* c */{\"a\"/**/:1, // d\n\"b\":\"x\"}"), good);
    assert_eq!(on("allowUnquotedFieldNames", "{a:1, b :\"x\"}"), good);
    assert_eq!(on("allowNumericLeadingZeros", r#"{"a":001,"b":"x"}"#), good);
    assert_eq!(on("allowUnquotedControlChars", "{\"a\":1,\"b\":\"\n\"}"), r#"{"a":1,"b":"\n"}"#);
    assert_eq!(on("allowBackslashEscapingAnyCharacter", r#"{"a":1,"b":"\x"}"#), good);
    for document in ["/**/{\"a\":1}", "{a:1}", r#"{"a":01}"#, "{\"a\":1,\"b\":\"\n\"}", r#"{"a":1,"b":"\x"}"#] {
        assert_eq!(one(SCHEMA, document), NULLS);
    }
}

#[test]
fn depth_and_digits_have_a_limit() {
    let nested = |depth: usize| format!("{{\"a\":1,\"n\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(one(SCHEMA, &nested(999)), r#"{"a":1,"b":null}"#);
    assert_eq!(one(SCHEMA, &nested(1000)), NULLS);
    assert_eq!(one("n STRING, a INT", &nested(1000)), r#"{"n":null,"a":null}"#);
    assert_eq!(one(SCHEMA, &format!("{{\"a\":1,\"n\":{}}}", "1".repeat(1001))), NULLS);
}

#[test]
fn bytes_that_are_no_utf8_are_replaced() {
    let documents = BinaryArray::from_vec(vec![b"{\"b\":\"x\xff\"}", b"{\"b\":\"\xc3\xa9\"}"]);
    let expected = ["{\"a\":null,\"b\":\"x\u{fffd}\"}", "{\"a\":null,\"b\":\"é\"}"];
    assert_eq!(show(&decoder(SCHEMA, &[]).decode(&documents).expect("binary")), expected);
    let split = BinaryArray::from_vec(vec![b"{\"b\":\"\xc3", b"\xa9\"}"]);
    assert_eq!(show(&decoder(SCHEMA, &[]).decode(&split).expect("binary")), [NULLS, NULLS]);
}

#[test]
fn selections_and_projections() {
    let documents: Vec<String> = (0..10).map(|row| format!("{{\"a\":{row},\"b\":\"r{row}\"}}")).collect();
    let selection = BooleanBuffer::from_iter((0..10).map(|row| row % 4 == 1));
    let selected = decoder(SCHEMA, &[]).decode_selected(&column(&documents), &selection).expect("valid");
    assert_eq!(show(&selected), [r#"{"a":1,"b":"r1"}"#, r#"{"a":5,"b":"r5"}"#, r#"{"a":9,"b":"r9"}"#]);

    let schema = parse_schema_text("a INT, b STRING, c INT").expect("a schema");
    let function = FromJson::try_new(&schema, Default::default(), "UTC").expect("valid");
    let call = crate::functions::kernel::call(function, vec![datafusion::logical_expr::col("json")]);
    let projected = with_projection(&call, &["c", "a"]).expect("fields");
    let datafusion::logical_expr::Expr::ScalarFunction(projected) = projected else { panic!("no function") };
    let mut decoder = FromJson::of(&projected.func).expect("from_json").decoder().expect("a decoder");
    let decoded = decoder.decode(&column(&[r#"{"a":1,"b":3,"c":2}"#.to_owned()])).expect("valid");
    assert_eq!(show(&decoded), [r#"{"c":2,"a":1}"#]);
    assert_eq!(decoded.data_type(), &decoder.output_type());
    assert!(with_projection(&call, &["nope"]).is_err());
}

#[test]
fn to_json_leaves_out_null_fields_only() {
    let schema = "a INT, m MAP<STRING, INT>, l ARRAY<INT>, s STRUCT<x: INT>, f DOUBLE, t STRING";
    let document = r#"{"m":{"k":null},"l":[null],"s":{},"f":1e400,"t":"é\u0001/"}"#;
    let column = decode(schema, &[], &[document, "{}", ""]).expect("permissive");
    let times = super::OptionTimes::new(&super::JsonOptions::new("UTC")).expect("a zone");
    let writer = super::JsonWriter { times: &times, ignore_null_fields: true };
    let written = writer.write_column(&column);
    assert_eq!(written.value(0), r#"{"m":{"k":null},"l":[null],"s":{},"f":"Infinity","t":"é\u0001/"}"#);
    assert_eq!(written.value(1), "{}");
    assert!(written.is_null(2));
}
