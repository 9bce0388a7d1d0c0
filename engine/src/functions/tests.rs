//! Functions from their Spark name to a computed column, each by way of the wire: what is encoded and decoded again
//! computes the same.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, ListArray, MapArray,
    RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema};
use datafusion::common::DFSchema;
use datafusion::logical_expr::col;
use datafusion::scalar::ScalarValue;

use super::{AggregateKind, Built, Call, ExprSettings, Typed, explicit_cast, extract_value, get_field, lookup};
use crate::cast::{CastMode, display_strings, parse_timestamp};
use crate::clock::BatchClock;
use crate::codec::{decode_expr, encode_expr, physical_expr};
use crate::error::SparkError;
use crate::types::{Zone, array_of, map_of, simple_string, timestamp};

/// Two rows; the second is null where it can be.
fn batch() -> RecordBatch {
    let at = |text: &str| parse_timestamp(text, &Zone::utc()).unwrap();
    let strings = |values: [Option<&str>; 2]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let structs = StructArray::from(vec![
        (Arc::new(Field::new("x", DataType::Int32, true)), Arc::new(Int32Array::from(vec![Some(7), None])) as ArrayRef),
        (Arc::new(Field::new("y", DataType::Utf8, true)), strings([Some("in"), None])),
    ]);
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(10), None, Some(30)]), None]);
    let DataType::List(element) = array_of(DataType::Int32, true) else { panic!("a list") };
    let list = ListArray::new(element, list.offsets().clone(), list.values().clone(), list.nulls().cloned());
    let DataType::Map(entries, _) = map_of(DataType::Utf8, DataType::Int32, true) else { panic!("a map") };
    let DataType::Struct(fields) = entries.data_type().clone() else { panic!("entries") };
    let inside = StructArray::new(
        fields,
        vec![strings([Some("k"), Some("l")]), Arc::new(Int32Array::from(vec![Some(1), None])) as ArrayRef],
        None,
    );
    let map = MapArray::new(entries, OffsetBuffer::new(vec![0, 2, 2].into()), inside, None, false);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("v", strings([Some("12"), None])),
        ("content", strings([Some("App CRASHED, badly"), Some("fine")])),
        ("severity", strings([Some("High"), Some("Low")])),
        ("a", Arc::new(Int32Array::from(vec![Some(5), None]))),
        ("d", Arc::new(Float64Array::from(vec![Some(2.5), None]))),
        ("dec", Arc::new(Decimal128Array::from(vec![Some(1250), None]).with_precision_and_scale(10, 2).unwrap())),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        (
            "t",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(at("2024-03-05 17:08:09.5")), None]).with_timezone("UTC"),
            ),
        ),
        ("day", Arc::new(Date32Array::from(vec![Some(19_787), None]))),
        ("s", Arc::new(structs)),
        ("l", Arc::new(list)),
        ("m", Arc::new(map)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn column(name: &str) -> Typed {
    let data_type = batch().schema().field_with_name(name).unwrap().data_type().clone();
    Typed::new(col(name), data_type, true, name)
}

fn text(value: &str) -> Typed {
    Typed::literal(ScalarValue::from(value))
}

fn int(value: i32) -> Typed {
    Typed::literal(ScalarValue::Int32(Some(value)))
}

fn build(name: &str, args: Vec<Typed>) -> Result<Built, SparkError> {
    let settings = ExprSettings::default();
    let call = Call { name, args, distinct: false, settings: &settings };
    (lookup(name).unwrap_or_else(|| panic!("no function `{name}`")).build)(&call)
}

fn scalar(name: &str, args: Vec<Typed>) -> Typed {
    match build(name, args) {
        Ok(Built::Scalar(typed)) => typed,
        other => panic!("`{name}` gave {other:?}"),
    }
}

/// The cells of the column that an expression computes, after a trip over the wire.
fn try_show(typed: &Typed) -> Result<Vec<String>, datafusion::common::DataFusionError> {
    let batch = batch();
    let schema: Arc<Schema> = batch.schema();
    let expr = physical_expr(&typed.expr, &DFSchema::try_from(schema.as_ref().clone())?)?;
    assert_eq!(simple_string(&expr.data_type(&schema)?), simple_string(&typed.data_type), "{}", typed.name);
    let clock = BatchClock::at(parse_timestamp("2024-01-01 00:00:00", &Zone::utc()).unwrap());
    let decoded = decode_expr(&encode_expr(&expr)?, &schema, &clock)?;
    let array = decoded.evaluate(&batch)?.into_array(batch.num_rows())?;
    assert_eq!(array.data_type(), &typed.data_type, "{}", typed.name);
    let shown = display_strings(&array, &Zone::utc())?;
    Ok(shown.iter().map(|cell| cell.unwrap_or_default().to_owned()).collect())
}

fn show(typed: &Typed) -> Vec<String> {
    try_show(typed).unwrap_or_else(|error| panic!("`{}` fails: {error}", typed.name))
}

/// A call, the name of its column, the type, and the two cells.
fn check(name: &str, args: Vec<Typed>, column: &str, data_type: &str, cells: [&str; 2]) {
    let typed = scalar(name, args);
    assert_eq!(typed.name, column);
    assert_eq!(simple_string(&typed.data_type), data_type, "{column}");
    assert_eq!(show(&typed), cells, "{column}");
}

fn fails(name: &str, args: Vec<Typed>) -> String {
    let error = try_show(&scalar(name, args)).unwrap_err();
    SparkError::find(&error).unwrap_or_else(|| panic!("no Spark error: {error}")).class.clone()
}

fn refused(name: &str, args: Vec<Typed>) -> String {
    build(name, args).unwrap_err().class
}

#[test]
fn the_filter_of_a_crash_monitor() {
    let contains = scalar("contains", vec![scalar("lower", vec![column("content")]), text("crash")]);
    let listed = scalar("in", vec![column("severity"), text("High"), text("Critical")]);
    check(
        "and",
        vec![contains, listed],
        "(contains(lower(content), crash) AND (severity IN (High, Critical)))",
        "boolean",
        ["true", "false"],
    );
}

#[test]
fn comparisons_meet_in_a_common_type() {
    check(">", vec![column("v"), int(9)], "(v > 9)", "boolean", ["true", "NULL"]);
    check("==", vec![column("a"), column("d")], "(a = d)", "boolean", ["false", "NULL"]);
    check("!=", vec![column("a"), int(5)], "(NOT (a = 5))", "boolean", ["false", "NULL"]);
    check("<=>", vec![column("a"), Typed::literal(ScalarValue::Null)], "(a <=> NULL)", "boolean", ["false", "true"]);
    check("<", vec![column("t"), text("2024-03-06")], "(t < 2024-03-06)", "boolean", ["true", "NULL"]);
    check("between", vec![column("a"), int(1), int(5)], "between(a, 1, 5)", "boolean", ["true", "NULL"]);
    check(">=", vec![column("dec"), int(12)], "(dec >= 12)", "boolean", ["true", "NULL"]);
    assert_eq!(fails(">", vec![column("content"), int(9)]), "CAST_INVALID_INPUT");
    assert_eq!(refused("=", vec![column("a"), column("flag")]), "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES");
}

#[test]
fn logic_and_null_tests() {
    check("not", vec![column("flag")], "(NOT flag)", "boolean", ["false", "NULL"]);
    check("or", vec![column("flag"), column("flag")], "(flag OR flag)", "boolean", ["true", "NULL"]);
    check("isnull", vec![column("a")], "(a IS NULL)", "boolean", ["false", "true"]);
    check("isNotNull", vec![column("a")], "(a IS NOT NULL)", "boolean", ["true", "false"]);
    check("isnan", vec![column("d")], "isnan(d)", "boolean", ["false", "false"]);
    check("coalesce", vec![column("a"), int(0)], "coalesce(a, 0)", "int", ["5", "0"]);
    check("nvl", vec![column("v"), int(1)], "nvl(v, 1)", "bigint", ["12", "1"]);
    check(
        "when",
        vec![scalar(">", vec![column("a"), int(3)]), text("big"), text("small")],
        "CASE WHEN (a > 3) THEN big ELSE small END",
        "string",
        ["big", "small"],
    );
    check("if", vec![column("flag"), int(1), int(2)], "(IF(flag, 1, 2))", "int", ["1", "2"]);
}

#[test]
fn what_the_left_side_settles_is_not_computed() {
    let zero = scalar("=", vec![scalar("-", vec![column("a"), int(5)]), int(0)]);
    let quotient = scalar(">", vec![scalar("/", vec![int(10), scalar("-", vec![column("a"), int(5)])]), int(2)]);
    assert_eq!(show(&scalar("or", vec![zero.clone(), quotient.clone()])), ["true", "NULL"]);
    assert_eq!(show(&scalar("and", vec![scalar("not", vec![zero.clone()]), quotient.clone()])), ["false", "NULL"]);
    assert_eq!(show(&scalar("when", vec![zero, int(1), scalar("int", vec![quotient])])), ["1", "NULL"]);
}

#[test]
fn long_chains_of_conditions_do_not_double_with_each() {
    for operator in ["and", "or"] {
        // Two in three may raise: a cast of a text.
        let condition = |number: i32| match number % 3 {
            0 => scalar(">", vec![column("a"), int(number)]),
            _ => scalar(">", vec![column("v"), int(number)]),
        };
        let chain = (1..30).fold(condition(0), |chain, number| scalar(operator, vec![chain, condition(number)]));
        let nodes = format!("{:?}", chain.expr).matches("Literal(").count();
        assert!(nodes < 30 * 30 * 2, "{operator}: {nodes} literals");
        let expected = if operator == "and" { "false" } else { "true" };
        assert_eq!(show(&chain), [expected, "NULL"]);
    }
}

#[test]
fn nan_is_one_value_however_it_was_made() {
    let double = |number: f64| Typed::literal(ScalarValue::Float64(Some(number)));
    let infinite = || scalar("+", vec![column("d"), double(f64::INFINITY)]);
    for made in [
        scalar("-", vec![infinite(), infinite()]),
        scalar("sqrt", vec![scalar("-", vec![column("d"), double(100.0)])]),
        scalar("negative", vec![scalar("-", vec![infinite(), infinite()])]),
    ] {
        assert_eq!(show(&scalar("isnan", vec![made.clone()])), ["true", "false"]);
        assert_eq!(show(&scalar(">", vec![made.clone(), double(5.0)])), ["true", "NULL"]);
        assert_eq!(show(&scalar("=", vec![made, double(f64::NAN)])), ["true", "NULL"]);
    }
}

#[test]
fn arithmetic() {
    check("+", vec![column("a"), int(1)], "(a + 1)", "int", ["6", "NULL"]);
    check("*", vec![column("a"), column("d")], "(a * d)", "double", ["12.5", "NULL"]);
    check("/", vec![column("a"), int(2)], "(a / 2)", "double", ["2.5", "NULL"]);
    check("%", vec![column("a"), int(3)], "(a % 3)", "int", ["2", "NULL"]);
    check("+", vec![column("v"), int(1)], "(v + 1)", "bigint", ["13", "NULL"]);
    check("+", vec![column("dec"), int(1)], "(dec + 1)", "decimal(11,2)", ["13.50", "NULL"]);
    check("*", vec![column("dec"), column("dec")], "(dec * dec)", "decimal(21,4)", ["156.2500", "NULL"]);
    check("-", vec![column("a")], "(- a)", "int", ["-5", "NULL"]);
    check("negative", vec![column("a")], "negative(a)", "int", ["-5", "NULL"]);
    check("&", vec![column("a"), int(4)], "(a & 4)", "int", ["4", "NULL"]);
    assert_eq!(fails("/", vec![column("d"), int(0)]), "DIVIDE_BY_ZERO");
    assert_eq!(fails("+", vec![column("a"), int(i32::MAX)]), "ARITHMETIC_OVERFLOW");
    assert_eq!(refused("+", vec![text("5"), text("6")]), "DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE");
}

#[test]
fn functions_of_numbers() {
    check("abs", vec![scalar("-", vec![column("a")])], "abs((- a))", "int", ["5", "NULL"]);
    check("round", vec![column("d")], "round(d, 0)", "double", ["3.0", "NULL"]);
    check("round", vec![column("dec"), int(1)], "round(dec, 1)", "decimal(10,1)", ["12.5", "NULL"]);
    check("floor", vec![column("d")], "FLOOR(d)", "bigint", ["2", "NULL"]);
    check("ceil", vec![column("d")], "CEIL(d)", "bigint", ["3", "NULL"]);
    check("sqrt", vec![column("a")], "SQRT(a)", "double", ["2.23606797749979", "NULL"]);
    check("pow", vec![column("a"), int(2)], "pow(a, 2)", "double", ["25.0", "NULL"]);
    check("greatest", vec![column("a"), column("d")], "greatest(a, d)", "double", ["5.0", "NULL"]);
    check("least", vec![column("a"), int(9)], "least(a, 9)", "int", ["5", "9"]);
}

#[test]
fn strings() {
    check("upper", vec![column("severity")], "upper(severity)", "string", ["HIGH", "LOW"]);
    check("length", vec![column("content")], "length(content)", "int", ["18", "4"]);
    check("concat", vec![column("severity"), column("a")], "concat(severity, a)", "string", ["High5", "NULL"]);
    check(
        "concat_ws",
        vec![text("-"), column("v"), column("severity")],
        "concat_ws(-, v, severity)",
        "string",
        ["12-High", "Low"],
    );
    check(
        "split",
        vec![column("content"), text(",")],
        "split(content, ,, -1)",
        "array<string>",
        ["[App CRASHED,  badly]", "[fine]"],
    );
    check("substring", vec![column("content"), int(1), int(3)], "substring(content, 1, 3)", "string", ["App", "fin"]);
    check("trim", vec![text("  x ")], "trim(  x )", "string", ["x", "x"]);
    check("like", vec![column("content"), text("App%")], "content LIKE App%", "boolean", ["true", "false"]);
    check("like", vec![column("content"), column("severity")], "content LIKE severity", "boolean", ["false"; 2]);
    check(
        "ilike",
        vec![column("content"), text("%crashed_ b%")],
        "ilike(content, %crashed_ b%)",
        "boolean",
        ["true", "false"],
    );
    assert_eq!(refused("like", vec![column("content"), text("a\\b")]), "INVALID_FORMAT.ESC_IN_THE_MIDDLE");
    check("rlike", vec![column("content"), text("^f")], "RLIKE(content, ^f)", "boolean", ["false", "true"]);
    check("startswith", vec![column("content"), text("App")], "startswith(content, App)", "boolean", ["true", "false"]);
    check(
        "regexp_replace",
        vec![column("v"), text("1"), text("x")],
        "regexp_replace(v, 1, x, 1)",
        "string",
        ["x2", "NULL"],
    );
    check("lpad", vec![column("v"), int(4), text("0")], "lpad(v, 4, 0)", "string", ["0012", "NULL"]);
    assert_eq!(refused("lower", vec![]), "WRONG_NUM_ARGS.WITHOUT_SUGGESTION");
    assert_eq!(refused("lower", vec![column("l")]), "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE");
}

#[test]
fn times() {
    check(
        "to_timestamp",
        vec![text("2024-01-02 03:04:05")],
        "to_timestamp(2024-01-02 03:04:05)",
        "timestamp",
        ["2024-01-02 03:04:05"; 2],
    );
    check(
        "to_timestamp",
        vec![text("02/01/2024"), text("dd/MM/yyyy")],
        "to_timestamp(02/01/2024, dd/MM/yyyy)",
        "timestamp",
        ["2024-01-02 00:00:00"; 2],
    );
    check(
        "from_unixtime",
        vec![column("a")],
        "from_unixtime(a, yyyy-MM-dd HH:mm:ss)",
        "string",
        ["1970-01-01 00:00:05", "NULL"],
    );
    check(
        "unix_timestamp",
        vec![column("t")],
        "unix_timestamp(t, yyyy-MM-dd HH:mm:ss)",
        "bigint",
        ["1709658489", "NULL"],
    );
    check(
        "date_format",
        vec![column("t"), text("dd.MM. HH:mm")],
        "date_format(t, dd.MM. HH:mm)",
        "string",
        ["05.03. 17:08", "NULL"],
    );
    check("current_timestamp", vec![], "current_timestamp()", "timestamp", ["2024-01-01 00:00:00"; 2]);
    check("current_date", vec![], "current_date()", "date", ["2024-01-01"; 2]);
    check("hour", vec![column("t")], "hour(t)", "int", ["17", "NULL"]);
    check("year", vec![column("day")], "year(day)", "int", ["2024", "NULL"]);
    check("dayofmonth", vec![column("t")], "dayofmonth(t)", "int", ["5", "NULL"]);
    check(
        "date_trunc",
        vec![text("hour"), column("t")],
        "date_trunc(hour, t)",
        "timestamp",
        ["2024-03-05 17:00:00", "NULL"],
    );
    check("timestamp_millis", vec![int(1500)], "timestamp_millis(1500)", "timestamp", ["1970-01-01 00:00:01.5"; 2]);
    check(
        "timestamp_seconds",
        vec![column("d")],
        "timestamp_seconds(d)",
        "timestamp",
        ["1970-01-01 00:00:02.5", "NULL"],
    );
    check("unix_millis", vec![column("t")], "unix_millis(t)", "bigint", ["1709658489500", "NULL"]);
    let five_seconds = Typed::literal(ScalarValue::DurationMicrosecond(Some(5_000_000))).named("INTERVAL '05' SECOND");
    check(
        "-",
        vec![column("t"), five_seconds],
        "t - INTERVAL '05' SECOND",
        "timestamp",
        ["2024-03-05 17:08:04.5", "NULL"],
    );
    check(
        "-",
        vec![column("t"), column("day")],
        "(t - day)",
        "interval day to second",
        ["INTERVAL '0 17:08:09.5' DAY TO SECOND", "NULL"],
    );
    assert_eq!(fails("to_timestamp", vec![column("content"), text("yyyy")]), "CANNOT_PARSE_TIMESTAMP");
    assert_eq!(fails("to_timestamp", vec![column("content")]), "CAST_INVALID_INPUT");
}

#[test]
fn structs_arrays_and_maps() {
    let settings = ExprSettings::default();
    let field = get_field(column("s"), "X", &settings).unwrap();
    assert_eq!((field.name.as_str(), show(&field)), ("s.x", vec!["7".to_owned(), "NULL".to_owned()]));
    assert_eq!(get_field(column("s"), "z", &settings).unwrap_err().class, "FIELD_NOT_FOUND");
    let item = extract_value(column("l"), int(0), &settings).unwrap();
    assert_eq!((item.name.as_str(), show(&item)), ("l[0]", vec!["10".to_owned(), "NULL".to_owned()]));
    let beyond = extract_value(column("l"), int(5), &settings).unwrap();
    assert_eq!(SparkError::find(&try_show(&beyond).unwrap_err()).unwrap().class, "INVALID_ARRAY_INDEX");
    let structs = scalar("array", vec![column("s")]);
    let fields = get_field(structs, "y", &settings).unwrap();
    assert_eq!((fields.name.as_str(), show(&fields)), ("array(s).y", vec!["[in]".to_owned(), "[NULL]".to_owned()]));
    let fields = extract_value(scalar("array", vec![column("s")]), text("y"), &settings).unwrap();
    assert_eq!((fields.name.as_str(), show(&fields)), ("array(s).y", vec!["[in]".to_owned(), "[NULL]".to_owned()]));
    let value = extract_value(column("m"), text("k"), &settings).unwrap();
    assert_eq!((value.name.as_str(), show(&value)), ("m[k]", vec!["1".to_owned(), "NULL".to_owned()]));
    check("struct", vec![column("a"), field], "struct(a, s.x)", "struct<a:int,x:int>", ["{5, 7}", "{NULL, NULL}"]);
    check("named_struct", vec![text("n"), column("a")], "named_struct(n, a)", "struct<n:int>", ["{5}", "{NULL}"]);
    check("array", vec![column("a"), int(1)], "array(a, 1)", "array<int>", ["[5, 1]", "[NULL, 1]"]);
    check("map", vec![text("k"), column("a")], "map(k, a)", "map<string,int>", ["{k -> 5}", "{k -> NULL}"]);
    check("size", vec![column("l")], "size(l)", "int", ["3", "NULL"]);
    check("element_at", vec![column("l"), int(-1)], "element_at(l, -1)", "int", ["30", "NULL"]);
    check("typeof", vec![column("l")], "typeof(l)", "string", ["array<int>"; 2]);
    assert_eq!(fails("map", vec![text("k"), int(1), text("k"), int(2)]), "DUPLICATED_MAP_KEY");
}

#[test]
fn casts_are_named_and_travel() {
    let settings = ExprSettings::default();
    let cast = |name: &str, to: DataType| explicit_cast(column(name), &to, CastMode::Ansi, &settings).unwrap();
    assert_eq!(cast("v", DataType::Int32).name, "CAST(v AS INT)");
    for (typed, cells) in [
        (cast("v", DataType::Int32), ["12", "NULL"]),
        (cast("v", DataType::Decimal128(10, 2)), ["12.00", "NULL"]),
        (cast("d", DataType::Utf8), ["2.5", "NULL"]),
        (cast("d", DataType::Int32), ["2", "NULL"]),
        (cast("d", timestamp()), ["1970-01-01 00:00:02.5", "NULL"]),
        (cast("t", DataType::Int64), ["1709658489", "NULL"]),
        (cast("t", DataType::Date32), ["2024-03-05", "NULL"]),
        (cast("t", DataType::Utf8), ["2024-03-05 17:08:09.5", "NULL"]),
        (cast("flag", DataType::Int32), ["1", "NULL"]),
        (cast("s", DataType::Utf8), ["{7, in}", "{null, null}"]),
        (cast("l", array_of(DataType::Utf8, true)), ["[10, NULL, 30]", "NULL"]),
    ] {
        assert_eq!(show(&typed), cells, "{}", typed.name);
    }
    assert_eq!(scalar("double", vec![column("v")]).name, "v");
    let tried = explicit_cast(column("content"), &DataType::Int32, CastMode::Try, &settings).unwrap();
    assert_eq!((tried.name.as_str(), show(&tried)), ("TRY_CAST(content AS INT)", vec!["NULL".to_owned(); 2]));
    let failing = explicit_cast(column("content"), &DataType::Int32, CastMode::Ansi, &settings).unwrap();
    let error = try_show(&failing).unwrap_err();
    let error = SparkError::find(&error).unwrap();
    assert_eq!(
        error.message,
        "The value 'App CRASHED, badly' of the type \"STRING\" cannot be cast to \"INT\" because it is malformed. Correct \
         the value as per the syntax, or change its target type. Use `try_cast` to tolerate malformed input and return \
         NULL instead."
    );
}

#[test]
fn aggregates_have_the_types_of_spark() {
    let aggregate = |name: &str, args| match build(name, args) {
        Ok(Built::Aggregate(call)) => (call.kind, call.name, simple_string(&call.data_type), call.nullable),
        other => panic!("`{name}` gave {other:?}"),
    };
    assert_eq!(aggregate("count", vec![int(1)]), (AggregateKind::Count, "count(1)".into(), "bigint".into(), false));
    assert_eq!(aggregate("sum", vec![column("a")]), (AggregateKind::Sum, "sum(a)".into(), "bigint".into(), true));
    assert_eq!(aggregate("sum", vec![column("dec")]).2, "decimal(20,2)");
    assert_eq!(aggregate("avg", vec![column("dec")]).2, "decimal(14,6)");
    assert_eq!(aggregate("mean", vec![column("a")]), (AggregateKind::Avg, "mean(a)".into(), "double".into(), true));
    assert_eq!(aggregate("MAX", vec![column("t")]), (AggregateKind::Max, "max(t)".into(), "timestamp".into(), true));
    assert_eq!(refused("min", vec![column("m")]), "DATATYPE_MISMATCH.INVALID_ORDERING_TYPE");
}

#[test]
fn windows() {
    let window = |args| match build("window", args) {
        Ok(Built::TimeWindow(window)) => (window.size_us, window.slide_us, window.start_us),
        other => panic!("`window` gave {other:?}"),
    };
    assert_eq!(window(vec![column("t"), text("10 seconds")]), (10_000_000, 10_000_000, 0));
    assert_eq!(window(vec![column("t"), text("10 minutes"), text("5 minutes")]), (600_000_000, 300_000_000, 0));
    assert_eq!(
        refused("window", vec![column("t"), text("5 minutes"), text("10 minutes")]),
        "DATATYPE_MISMATCH.PARAMETER_CONSTRAINT_VIOLATION"
    );
    assert_eq!(refused("window", vec![column("t"), text("0 seconds")]), "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE");
    assert!(build("window", vec![column("t"), text("1 month")]).is_err());
}
