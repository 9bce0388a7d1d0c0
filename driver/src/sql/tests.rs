//! What SQL text becomes, told by the shape of the unresolved form.

use datafusion::scalar::ScalarValue;

use super::{IntervalValue, parse_expression, parse_interval, parse_query};
use crate::analysis::unresolved::{CastMode, CastTarget, RelationNode, UnresolvedExpr};

/// A short text for an unresolved expression: `f(a, 'x')`, `cast(a as T)`, `a AS b`.
fn show(expr: &UnresolvedExpr) -> String {
    let list = |args: &[UnresolvedExpr]| args.iter().map(show).collect::<Vec<_>>().join(", ");
    match expr {
        UnresolvedExpr::Attribute { name, .. } => name.clone(),
        UnresolvedExpr::Literal(ScalarValue::Utf8(Some(text))) => format!("'{text}'"),
        UnresolvedExpr::Literal(value) => format!("{value:?}"),
        UnresolvedExpr::Function { name, args, distinct } => {
            format!("{name}({}{})", if *distinct { "distinct " } else { "" }, list(args))
        }
        UnresolvedExpr::Alias { child, names } => format!("{} AS {}", show(child), names.join("+")),
        UnresolvedExpr::Cast { child, to: CastTarget::Ddl(to), mode } => {
            let name = if *mode == CastMode::Try { "try_cast" } else { "cast" };
            format!("{name}({} as {to})", show(child))
        }
        UnresolvedExpr::Star { target } => target.as_ref().map_or("*".to_owned(), |target| format!("{target}.*")),
        UnresolvedExpr::ExtractValue { child, key } => format!("{}[{}]", show(child), show(key)),
        UnresolvedExpr::Case { operand, branches, otherwise } => {
            let branches: Vec<String> =
                branches.iter().map(|(when, then)| format!("{}:{}", show(when), show(then))).collect();
            let part = |expr: &Option<Box<UnresolvedExpr>>| expr.as_ref().map_or(String::new(), |expr| show(expr));
            format!("case({}|{}|{})", part(operand), branches.join(","), part(otherwise))
        }
        other => format!("{other:?}"),
    }
}

fn parsed(text: &str) -> String {
    parse_expression(text).map_or_else(|error| error.to_string(), |expr| show(&expr))
}

#[test]
fn what_streaming_programs_write() {
    let cases = [
        ("CAST(value AS STRING) as json", "cast(value as STRING) AS json"),
        ("from_json(json, 'a STRING, b INT') as data", "from_json(json, 'a STRING, b INT') AS data"),
        ("*", "*"),
        ("data.*", "data.*"),
        ("count(*) as n", "count(*) AS n"),
        ("to_json(struct(*)) AS value", "to_json(struct(*)) AS value"),
        ("case when a = 'x' then 1 else 0 end", "case(|==(a, 'x'):Int32(1)|Int32(0))"),
        ("case a when 1 then 'x' end", "case(a|Int32(1):'x'|)"),
        ("x like 'a%'", "like(x, 'a%')"),
        ("x not like 'a%'", "not(like(x, 'a%'))"),
        ("w LIKE '#%'", "like(w, '#%')"),
        ("a between 1 and 2", "between(a, Int32(1), Int32(2))"),
        ("a in ('x', \"y\")", "in(a, 'x', 'y')"),
        ("v::int", "cast(v as INT)"),
        ("arr[0]", "arr[Int32(0)]"),
        ("split(v, ',')[0]", "split(v, ',')[Int32(0)]"),
        ("s.field", "s.field"),
        ("a.b.c[0].d", "a.b.c[Int32(0)]['d']"),
        ("value.Field.Sub", "value.Field.Sub"),
        ("window.end", "window.end"),
        ("`a b`.c", "`a b`.c"),
        ("not x", "not(x)"),
        ("a || b", "concat(a, b)"),
        ("a <=> b", "<=>(a, b)"),
        ("a == b", "==(a, b)"),
        ("a != b", "not(==(a, b))"),
        ("x rlike 'y'", "rlike(x, 'y')"),
        ("date '2020-01-01'", "cast('2020-01-01' as DATE)"),
        ("timestamp '2020-01-01 00:00:00'", "cast('2020-01-01 00:00:00' as TIMESTAMP)"),
        (
            "cast(cast(n as double)/1000000000 as timestamp)",
            "cast(/(cast(n as DOUBLE), Int32(1000000000)) as TIMESTAMP)",
        ),
        ("timestamp", "timestamp"),
        ("timestamp as ts", "timestamp AS ts"),
        ("window(timestamp, '10 seconds')", "window(timestamp, '10 seconds')"),
        ("date", "date"),
        ("date(x)", "date(x)"),
        ("array(1, 2)[1]", "array(Int32(1), Int32(2))[Int32(1)]"),
        ("count(distinct a)", "count(distinct a)"),
        ("a is not null and b is null", "and(isnotnull(a), isnull(b))"),
        ("-length(v)", "-(length(v))"),
        ("-5", "Int32(-5)"),
        ("7 div 2 + 1", "+(div(Int32(7), Int32(2)), Int32(1))"),
        ("a % 2 = 0 or !b", "or(==(%(a, Int32(2)), Int32(0)), not(b))"),
        ("'it\\'s'", "'it's'"),
        ("'a' 'b'", "'ab'"),
        ("r'\\d+'", "'\\d+'"),
        ("1S", "Int16(1)"),
        ("1.5BD", "Decimal128(1.5,2,1)"),
        ("-1.5D", "Float64(-1.5)"),
        ("2L", "Int64(2)"),
        ("a * 0.2", "*(a, Decimal128(0.2,1,1))"),
        ("try_cast(x as int)", "try_cast(x as INT)"),
        ("trim(leading ' ' from x)", "ltrim(' ', x)"),
        ("substring(x, 1, 2)", "substring(x, Int32(1), Int32(2))"),
        ("if(a, 1, 2)", "if(a, Int32(1), Int32(2))"),
        ("current_timestamp()", "current_timestamp()"),
        ("current_timestamp", "current_timestamp()"),
        ("explode(value.Items) as x", "explode(value.Items) AS x"),
        ("a b", "a AS b"),
        ("to_json(struct(a AS x, b + 1, c.d))", "to_json(struct(a AS x, +(b, Int32(1)), c.d))"),
        ("struct(t.*, 1 * 2)", "struct(t.*, *(Int32(1), Int32(2)))"),
        ("substr(x, 2)", "substr(x, Int32(2))"),
        ("interval", "interval"),
        ("X'1F'", "Binary(\"31\")"),
        ("left(x, 2)", "left(x, Int32(2))"),
        ("f(x).y", "f(x)['y']"),
    ];
    for (text, expected) in cases {
        assert_eq!(parsed(text), expected, "{text}");
    }
}

#[test]
fn types_in_casts_are_passed_on_as_text() {
    let cases = [
        ("cast(x as decimal(10,2))", "DECIMAL(10,2)"),
        ("cast(x as array<string>)", "ARRAY<STRING>"),
        ("cast(x as long)", "BIGINT"),
        ("cast(x as binary)", "BINARY"),
        ("cast(x as boolean)", "BOOLEAN"),
        ("cast(x as smallint)", "SMALLINT"),
        ("cast(x as tinyint)", "TINYINT"),
        ("cast(x as float)", "FLOAT"),
        ("cast(x as timestamp_ntz)", "TIMESTAMP_NTZ"),
    ];
    for (text, expected) in cases {
        assert_eq!(parsed(text).to_uppercase(), format!("CAST(X AS {expected})"), "{text}");
    }
    for text in ["cast(x as struct<a: int, b: array<string>>)", "cast(x as map<string, int>)"] {
        let UnresolvedExpr::Cast { to: CastTarget::Ddl(ddl), .. } = parse_expression(text).unwrap() else {
            panic!("no cast")
        };
        pyrite_engine::types::parse_type(&ddl).unwrap_or_else(|error| panic!("{ddl}: {error}"));
    }
}

#[test]
fn intervals_in_all_their_forms() {
    let cases = [
        ("ts - INTERVAL 5 seconds", "-(ts, DurationMicrosecond(\"5000000\"))"),
        ("interval '5 seconds'", "DurationMicrosecond(\"5000000\")"),
        ("interval 1 hour 30 minutes", "DurationMicrosecond(\"5400000000\")"),
        ("interval '30' day", "DurationMicrosecond(\"2592000000000\")"),
        ("interval '1-2' year to month", "IntervalYearMonth(\"14\")"),
        ("interval '1 02:03:04.5' day to second", "DurationMicrosecond(\"93784500000\")"),
        ("interval -3 months", "IntervalYearMonth(\"-3\")"),
        ("t BETWEEN u AND u + interval 15 minute", "between(t, u, +(u, DurationMicrosecond(\"900000000\")))"),
    ];
    for (text, expected) in cases {
        assert_eq!(parsed(text), expected, "{text}");
    }
    assert_eq!(parse_interval("10 seconds").unwrap(), IntervalValue::DayTime(10_000_000));
    assert_eq!(parse_interval("1.5 seconds").unwrap(), IntervalValue::DayTime(1_500_000));
    assert!(parse_interval("ten seconds").is_err());
    assert!(parse_interval("1 month 1 day").is_err());
}

#[test]
fn what_is_no_sql_is_said_with_its_place() {
    let error = parse_expression("a +").unwrap_err();
    assert_eq!(error.class, "PARSE_SYNTAX_ERROR");
    assert!(error.message.starts_with("Syntax error at or near end of input"), "{error}");
    let error = parse_expression("a ) b").unwrap_err();
    assert!(error.message.starts_with("Syntax error at or near ')'"), "{error}");
    assert!(parse_expression("sum(x) over (partition by y)").unwrap_err().message.contains("window function"));
    assert!(parse_query("select * from a join b on a.x = b.x").unwrap_err().message.contains("join"));
    assert!(parse_query("insert into t values (1)").unwrap_err().message.contains("INSERT"));
}

#[test]
fn a_text_too_deep_or_too_long_to_walk_is_refused() {
    let long = vec!["a"; 100_000].join(" + ");
    let deep = format!("{}a{}", "(".repeat(5_000), ")".repeat(5_000));
    for text in [long, deep] {
        assert_eq!(parse_expression(&text).unwrap_err().class, "FAILED_TO_PARSE_TOO_COMPLEX");
    }
}

#[test]
fn a_select_becomes_relations() {
    let relation = parse_query(
        "SELECT user, count(*) AS n FROM t WHERE x > 1 GROUP BY 1 HAVING n > 2 ORDER BY n DESC \
        LIMIT 3",
    )
    .unwrap();
    let RelationNode::Limit { input, count: 3 } = relation.node else { panic!("no limit") };
    let RelationNode::Sort { input, keys } = input.node else { panic!("no sort") };
    assert!(!keys[0].ascending);
    let RelationNode::Filter { input, .. } = input.node else { panic!("no having") };
    let RelationNode::GroupBySelect { input, grouping, select } = input.node else { panic!("no aggregate") };
    assert_eq!(show(&grouping[0]), "user");
    assert_eq!(select.len(), 2);
    assert!(matches!(input.node, RelationNode::Filter { .. }));
}
