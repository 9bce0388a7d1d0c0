//! Resolution from end to end: names, types, errors, plans, and rows of batch queries.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::scalar::ScalarValue;
use pyrite_engine::error::SparkError;
use pyrite_engine::functions::ExprSettings;
use pyrite_engine::types::simple_string;

use super::unresolved::{Read, Relation, RelationNode, SortKey, UnresolvedExpr};
use super::*;

mod streaming;

struct Views(BTreeMap<String, Relation>);

impl Catalog for Views {
    fn table(&self, _name: &str) -> Option<Table> {
        None
    }

    fn view(&self, name: &str) -> Option<Arc<Relation>> {
        self.0.get(&name.to_lowercase()).cloned().map(Arc::new)
    }
}

fn relation(node: RelationNode) -> Relation {
    Relation { plan_id: None, node }
}

fn boxed(node: RelationNode) -> Box<Relation> {
    Box::new(relation(node))
}

fn sql(text: &str) -> UnresolvedExpr {
    UnresolvedExpr::Sql(text.to_owned())
}

fn sqls(texts: &[&str]) -> Vec<UnresolvedExpr> {
    texts.iter().map(|text| sql(text)).collect()
}

/// Local rows: `user` string, `x` int, `ts` timestamp.
fn rows() -> RelationNode {
    let users: ArrayRef = Arc::new(StringArray::from(vec![Some("ann"), Some("bob"), Some("ann"), None]));
    let xs: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(2), Some(3), Some(4)]));
    let seconds =
        [Some(1), Some(11), Some(12), None].map(|second: Option<i64>| second.map(|second| second * 1_000_000));
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(seconds.to_vec()).with_timezone("UTC"));
    let batch = RecordBatch::try_from_iter_with_nullable([("user", users, true), ("x", xs, true), ("ts", times, true)])
        .unwrap();
    RelationNode::Local { batches: vec![batch], schema: None }
}

fn kafka() -> RelationNode {
    let options = [("kafka.bootstrap.servers", "h:9092"), ("subscribe", "logs"), ("startingOffsets", "latest")];
    RelationNode::Read(Read {
        format: "kafka".to_owned(),
        schema: None,
        options: options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        paths: Vec::new(),
        streaming: true,
    })
}

fn select(input: RelationNode, texts: &[&str]) -> RelationNode {
    RelationNode::Project { input: Some(boxed(input)), expressions: sqls(texts) }
}

fn filter(input: RelationNode, text: &str) -> RelationNode {
    RelationNode::Filter { input: boxed(input), condition: sql(text) }
}

fn group(input: RelationNode, keys: &[&str], aggregates: &[&str]) -> RelationNode {
    RelationNode::Aggregate { input: boxed(input), grouping: sqls(keys), aggregates: sqls(aggregates) }
}

fn watermark(input: RelationNode, column: &str, delay: &str) -> RelationNode {
    RelationNode::WithWatermark { input: boxed(input), column: column.to_owned(), delay: delay.to_owned() }
}

fn analyze(node: RelationNode) -> Result<Analyzed, SparkError> {
    let views = Views(BTreeMap::from([("t".to_owned(), relation(rows())), ("logs".to_owned(), relation(kafka()))]));
    Analyzer::new(&ExprSettings::default(), &views).analyze(&relation(node))
}

fn analyzed(node: RelationNode) -> Analyzed {
    analyze(node).unwrap_or_else(|error| panic!("{error}"))
}

fn query(text: &str) -> RelationNode {
    RelationNode::Sql { text: text.to_owned() }
}

/// Names and types: `a int, b string`.
fn schema(node: RelationNode) -> String {
    let analyzed = analyzed(node);
    for (field, attribute) in analyzed.plan.schema().fields().iter().zip(&analyzed.output) {
        assert_eq!(field.name(), &attribute.column);
        assert_eq!(simple_string(field.data_type()), simple_string(&attribute.data_type), "{}", attribute.name);
    }
    assert_eq!(analyzed.plan.schema().fields().len(), analyzed.output.len());
    let columns: Vec<String> =
        analyzed.output.iter().map(|a| format!("{} {}", a.name, simple_string(&a.data_type))).collect();
    columns.join(", ")
}

fn class(node: RelationNode) -> String {
    match analyze(node) {
        Ok(analyzed) => format!("{:?}", analyzed.output),
        Err(error) => error.class,
    }
}

/// The rows of a batch query, `|` between cells.
fn collected(node: RelationNode) -> Vec<String> {
    let analyzed = analyzed(node);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let batches = runtime.block_on(collect(&analyzed)).unwrap_or_else(|error| panic!("{error}"));
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells: Vec<String> =
                batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap()).collect();
            rows.push(cells.join("|"));
        }
    }
    rows
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

#[test]
fn names_are_those_of_spark() {
    let cases = [
        ("user", "user string"),
        ("USER", "USER string"),
        ("t.user", "user string"),
        ("x + 1", "(x + 1) int"),
        ("cast(x as string)", "x string"),
        ("cast(x + 1 as string)", "CAST((x + 1) AS STRING) string"),
        ("double(x)", "x double"),
        ("double(x) + 1D", "(x + 1.0) double"),
        ("struct(x, user as u, x + 1)", "struct(x, user AS u, (x + 1)) struct<x:int,u:string,col3:int>"),
        ("struct(*).ts", "struct(user, x, ts).ts timestamp"),
        ("array(x, 2)[0]", "array(x, 2)[0] int"),
        ("-length(user)", "(- length(user)) int"),
        ("x between 1 and 2", "between(x, 1, 2) boolean"),
        ("split(user, ',')[0]", "split(user, ,, -1)[0] string"),
        ("case when x > 1 then 'a' else user end", "CASE WHEN (x > 1) THEN a ELSE user END string"),
        ("ts - interval 5 seconds", "ts - INTERVAL '05' SECOND timestamp"),
        ("x != 1", "(NOT (x = 1)) boolean"),
        ("user like 'a%'", "user LIKE a% boolean"),
        ("'a' || user", "concat(a, user) string"),
        ("x as y", "y int"),
        ("*", "user string, x int, ts timestamp"),
        ("t.*", "user string, x int, ts timestamp"),
        ("x, x", "x int, x int"),
        ("count(*)", "count(1) bigint"),
        ("sum(x)", "sum(x) bigint"),
        ("avg(x) as a", "a double"),
        ("window(ts, '10 seconds')", "window struct<start:timestamp,end:timestamp>"),
        ("window(ts, '10 seconds').start", "window.start timestamp"),
    ];
    for (text, expected) in cases {
        assert_eq!(schema(query(&format!("select {text} from t"))), expected, "{text}");
    }
}

#[test]
fn values_and_with_are_tables() {
    let text = "select b, a + 1 from values (1, 'x'), (2, 'y'), (3L, null) as v(a, b) where a <> 2 order by a";
    assert_eq!(collected(query(text)), ["x|2", "|4"]);
    assert_eq!(schema(query("select * from values (1, 'x'), (2, 'y')")), "col1 int, col2 string");
    let text = "with a as (select x from t where x > 2), b as (select x * 2 as y from a) select b.y from b order by y";
    assert_eq!(collected(query(text)), ["6", "8"]);
    assert_eq!(schema(query("values (1)")), "col1 int");
    assert_eq!(class(query("with recursive a as (select 1) select * from a")), "UNSUPPORTED_FEATURE");
}

#[test]
fn aliases_further_left_can_be_named() {
    assert_eq!(
        schema(query("select x + 1 as y, y * 2 as z, struct(y) as s, s.y from t")),
        "y int, z int, s struct<y:int>, y int"
    );
    assert_eq!(collected(query("select x + 10 as y, y * 2, x as user, user from t limit 1")), ["11|22|1|ann"]);
    assert_eq!(class(query("select z, x as z from t")), "UNRESOLVED_COLUMN.WITH_SUGGESTION");
}

#[test]
fn unknown_things_are_refused_in_sparks_words() {
    let cases = [
        ("select usr from t", "UNRESOLVED_COLUMN.WITH_SUGGESTION"),
        ("select nosuch(x) from t", "UNRESOLVED_ROUTINE"),
        ("select soundex(user) from t", "UNSUPPORTED_FEATURE"),
        ("select count(distinct user) from t", "UNSUPPORTED_FEATURE"),
        ("select abc.x from abc.t", "TABLE_OR_VIEW_NOT_FOUND"),
        ("select * from nosuch", "TABLE_OR_VIEW_NOT_FOUND"),
        ("select user from t where x", "DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN"),
        ("select user, count(*) from t", "MISSING_GROUP_BY"),
        ("select user, x, count(*) from t group by user", "MISSING_AGGREGATION"),
        ("select user from t where count(*) > 1", "INVALID_WHERE_CONDITION"),
        ("select sum(count(*)) from t", "NESTED_AGGREGATE_FUNCTION"),
        ("select 1 from t group by count(*)", "GROUP_BY_AGGREGATE"),
        ("select user.a from t", "INVALID_EXTRACT_BASE_FIELD_TYPE"),
        ("select window(ts, '10 seconds').begin from t", "FIELD_NOT_FOUND"),
        ("select s.* from t", "CANNOT_RESOLVE_STAR_EXPAND"),
        ("select (x from t", "PARSE_SYNTAX_ERROR"),
        ("select x from t order by 3", "ORDER_BY_POS_OUT_OF_RANGE"),
        ("select cast(x as date) from t", "DATATYPE_MISMATCH.CAST_WITH_FUNC_SUGGESTION"),
        ("select window(ts, '10 seconds'), window(ts, '20 seconds') from t", "_LEGACY_ERROR_TEMP_1039"),
    ];
    for (text, expected) in cases {
        assert_eq!(class(query(text)), expected, "{text}");
    }
    let twice =
        RelationNode::WithColumnsRenamed { input: boxed(rows()), renames: vec![("x".to_owned(), "user".to_owned())] };
    assert_eq!(class(select(twice, &["user"])), "AMBIGUOUS_REFERENCE");
}

#[test]
fn columns_are_added_renamed_and_dropped() {
    let with = |columns: &[(&str, &str)]| RelationNode::WithColumns {
        input: boxed(rows()),
        columns: columns.iter().map(|(name, text)| ((*name).to_owned(), sql(text))).collect(),
    };
    assert_eq!(schema(with(&[("X", "x + 1"), ("y", "x")])), "user string, X int, ts timestamp, y int");
    assert_eq!(class(with(&[("y", "x"), ("Y", "x")])), "COLUMN_ALREADY_EXISTS");
    assert_eq!(
        schema(with(&[("w", "window(ts, '1 minute')")])),
        "user string, x int, ts timestamp, w \
        struct<start:timestamp,end:timestamp>"
    );
    let dropped = RelationNode::Drop {
        input: boxed(rows()),
        names: vec!["X".to_owned(), "none".to_owned()],
        columns: sqls(&["user"]),
    };
    assert_eq!(schema(dropped), "ts timestamp");
    let renamed =
        RelationNode::WithColumnsRenamed { input: boxed(rows()), renames: vec![("X".to_owned(), "n".to_owned())] };
    assert_eq!(schema(select(renamed, &["n", "user"])), "n int, user string");
    let to_df = RelationNode::ToDf { input: boxed(rows()), names: vec!["a".to_owned()] };
    assert!(analyze(to_df).unwrap_err().message.starts_with("requirement failed: The number of columns"));
}

#[test]
fn a_plan_id_names_the_column_of_that_relation() {
    let mut left = relation(rows());
    left.plan_id = Some(7);
    let node = RelationNode::Filter {
        input: Box::new(left),
        condition: UnresolvedExpr::Function {
            name: ">".to_owned(),
            args: vec![
                UnresolvedExpr::Attribute { name: "x".to_owned(), plan_id: Some(7) },
                UnresolvedExpr::Literal(ScalarValue::Int32(Some(2))),
            ],
            distinct: false,
        },
    };
    assert_eq!(collected(node).len(), 2);
}

#[test]
fn aggregates_inside_of_expressions() {
    let node = group(rows(), &["user"], &["sum(x) + count(*) as s", "max(x)", "count(x)"]);
    assert_eq!(schema(node.clone()), "user string, s bigint, max(x) int, count(x) bigint");
    assert_eq!(sorted(collected(node)), ["ann|6|3|2", "bob|3|2|1", "|5|4|1"]);
    let keyed = group(rows(), &["x % 2 as odd"], &["sum(x)"]);
    assert_eq!(schema(keyed.clone()), "odd int, sum(x) bigint");
    assert_eq!(sorted(collected(keyed)), ["0|6", "1|4"]);
    assert_eq!(collected(query("select count(*), avg(x), min(user) from t")), ["4|2.5|ann"]);
    assert_eq!(sorted(collected(query("select x % 2 + 1, count(*) from t group by x % 2"))), ["1|2", "2|2"]);
}

#[test]
fn having_and_order_by_see_what_was_dropped() {
    assert_eq!(collected(query("select user from t group by user having count(*) > 1")), ["ann"]);
    assert_eq!(collected(query("select user, sum(x) as s from t group by user having s > 3 and max(x) > 3")), ["|4"]);
    assert_eq!(collected(query("select user from t order by x desc limit 1")), [""]);
    assert_eq!(
        collected(query("select user from t where user is not null group by user order by sum(x) desc")),
        ["ann", "bob"]
    );
    assert_eq!(collected(query("select x, user from t order by 1 desc")), ["4|", "3|ann", "2|bob", "1|ann"]);
    let filtered = filter(group(rows(), &["user"], &["count(*) as n"]), "n > 1");
    assert_eq!(collected(filtered), ["ann|2"]);
    let dropped = filter(select(rows(), &["user"]), "x > 3");
    assert_eq!(collected(dropped), [""]);
    let descending = RelationNode::Sort {
        input: boxed(select(rows(), &["x"])),
        keys: vec![SortKey { expression: sql("x"), ascending: false, nulls_first: None }],
    };
    assert_eq!(collected(descending), ["4", "3", "2", "1"]);
}

#[test]
fn windows_over_local_rows() {
    let tumbling = group(rows(), &["window(ts, '10 seconds')"], &["count(*) as n"]);
    let tumbling = select(tumbling, &["cast(window.start as string) as s", "cast(window.end as string) as e", "n"]);
    assert_eq!(
        sorted(collected(tumbling)),
        ["1970-01-01 00:00:00|1970-01-01 00:00:10|1", "1970-01-01 00:00:10|1970-01-01 00:00:20|2"]
    );
    let sliding = group(rows(), &["window(ts, '10 seconds', '5 seconds') as w"], &["count(*) as n"]);
    let sliding = select(sliding, &["cast(w.start as string)", "n"]);
    assert_eq!(
        sorted(collected(sliding)),
        ["1969-12-31 23:59:55|1", "1970-01-01 00:00:00|1", "1970-01-01 00:00:05|2", "1970-01-01 00:00:10|2"]
    );
    let by_start = group(rows(), &["window(ts, '10 seconds').start as s"], &["count(*) as n"]);
    assert_eq!(collected(by_start).len(), 2);
    let text = "select window(ts, '10 seconds') as w, count(*) as n from t group by w";
    assert_eq!(collected(query(text)).len(), 2);
    let text = "select window.end, count(*) as n from t group by window(ts, '10 seconds') order by end";
    assert_eq!(collected(query(text)).len(), 2);
}

#[test]
fn unions_distinct_ranges_and_limits() {
    assert_eq!(collected(query("select 1 as a union all select 2L")), ["1", "2"]);
    assert_eq!(schema(query("select 1 as a union all select 2L")), "a bigint");
    assert_eq!(class(query("select 1 union all select 1, 2")), "NUM_COLUMNS_MISMATCH");
    assert_eq!(class(query("select 1 union all select date '2020-01-01'")), "INCOMPATIBLE_COLUMN_TYPE");
    assert_eq!(sorted(collected(query("select distinct user from t"))).len(), 3);
    let keyed = RelationNode::Deduplicate {
        input: boxed(rows()),
        columns: vec!["user".to_owned()],
        all_columns: false,
        within_watermark: false,
    };
    assert_eq!(collected(keyed).len(), 3);
    let range = RelationNode::Range { start: 0, end: 10, step: 4 };
    assert_eq!(collected(RelationNode::Limit { input: boxed(range), count: 2 }), ["0", "4"]);
    let by_name = RelationNode::Union {
        left: boxed(select(rows(), &["x", "user"])),
        right: boxed(select(rows(), &["user"])),
        by_name: true,
        allow_missing: true,
    };
    assert_eq!(collected(by_name).len(), 8);
}

#[test]
fn an_unnamed_type_is_nullable_as_spark_says() {
    let analyzed = analyzed(query("select x, 1 as one, null as nothing from t"));
    let nullable: Vec<bool> = analyzed.output.iter().map(|attribute| attribute.nullable).collect();
    assert_eq!(nullable, [true, false, true]);
    assert_eq!(analyzed.output[2].data_type, DataType::Null);
}

#[test]
fn deep_plans_and_expressions_end_in_an_answer() {
    let mut node = rows();
    for _ in 0..250 {
        node = filter(node, "x > 0");
    }
    assert_eq!(collected(node).len(), 4);
    let mut node = rows();
    for _ in 0..1_100 {
        node = filter(node, "x > 0");
    }
    assert_eq!(class(node), "UNSUPPORTED_FEATURE");
    let sum = vec!["x"; 90].join(" + ");
    assert_eq!(collected(query(&format!("select {sum} as s from t limit 1"))), ["90"]);
    let nested = format!("{}x{}", "(".repeat(200), ")".repeat(200));
    assert_eq!(class(query(&format!("select {nested} from t"))), "FAILED_TO_PARSE_TOO_COMPLEX");
}
