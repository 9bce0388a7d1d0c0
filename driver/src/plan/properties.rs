//! The property of the split into stages: whatever a chain of relations is cut into, batches, shards and sunk filters
//! among it, the rows are those that the uncut plan gives as a batch query over the same records.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BinaryArray, RecordBatch};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use proptest::collection::vec;
use proptest::prelude::*;
use pyrite_engine::clock::BatchClock;
use pyrite_engine::functions::ExprSettings;
use pyrite_engine::plan::{CompiledQuery, OutputMode};
use pyrite_engine::task::{ShardMap, SourceTask};

use super::tests::{Harness, filter, kafka, plan, relation, scanned, select};
use crate::analysis::unresolved::{Relation, RelationNode, UnresolvedExpr};
use crate::analysis::{Analyzer, EmptyCatalog, collect};

/// A relation over `a INT, b INT, s STRING, t TIMESTAMP` that keeps these columns.
#[derive(Debug, Clone)]
enum Link {
    Filter(&'static str),
    /// The second filter fails for rows that the first one drops.
    Guarded,
    WithColumn(&'static str, &'static str),
    Select(&'static [&'static str]),
    Watermark,
}

const FILTERS: &[&str] = &[
    "a > 2",
    "b IS NOT NULL",
    "a < b OR s IS NULL",
    "s = 'ab'",
    "contains(lower(s), 'b') AND a >= 0",
    "s IN ('ab', 'B', 'C\u{e9}')",
    "NOT (s = 'ab')",
    "t > TIMESTAMP '1970-01-01 00:00:05Z'",
    "t IS NULL OR b > 1",
    "b <> 0 AND 10 / b > 2",
    "CASE WHEN b = 0 THEN false ELSE a % b = 0 END",
];

const COLUMNS: &[(&str, &str)] = &[
    ("a", "a + 1"),
    ("a", "coalesce(a, b)"),
    ("a", "CASE WHEN a > b THEN a ELSE b END"),
    ("b", "a - b"),
    ("b", "length(s)"),
    ("s", "upper(s)"),
    ("s", "concat(s, '!')"),
    ("s", "CAST(a AS STRING)"),
];

const SELECTS: &[&[&str]] =
    &[&["t", "s", "b", "a"], &["b AS a", "a AS b", "s", "t"], &["a", "a AS b", "coalesce(s, 'none') AS s", "t"]];

const GROUPINGS: &[&[&str]] = &[
    &[],
    &["s"],
    &["a", "s"],
    &["window(t, '4 seconds')"],
    &["window(t, '4 seconds', '3 seconds')", "s"],
    &["window(t, '4 seconds', '4 seconds', '1 second')", "a"],
];

const AGGREGATES: &[&str] =
    &["count(1) AS n", "count(b) AS filled", "sum(b) AS total", "avg(a) AS mean", "min(s) AS low", "max(t) AS last"];

fn links() -> impl Strategy<Value = Vec<Link>> {
    let link = prop_oneof![
        3 => prop::sample::select(FILTERS).prop_map(Link::Filter),
        3 => prop::sample::select(COLUMNS).prop_map(|(name, text)| Link::WithColumn(name, text)),
        2 => prop::sample::select(SELECTS).prop_map(Link::Select),
        1 => Just(Link::Guarded),
        1 => Just(Link::Watermark),
    ];
    let few_watermarks = |links: &Vec<Link>| links.iter().filter(|link| matches!(link, Link::Watermark)).count() <= 1;
    vec(link, 0..7).prop_filter("a query has one watermark at most", few_watermarks)
}

fn records() -> impl Strategy<Value = Vec<String>> {
    let field = |name: &'static str, values: &'static [&'static str]| {
        prop::option::weighted(0.9, prop::sample::select(values))
            .prop_map(move |value| value.map(|v| format!("\"{name}\": {v}")))
    };
    let document = (
        field("a", &["0", "1", "2", "3", "null", "\"7\"", "1.5"]),
        field("b", &["0", "1", "2", "-4", "null", "[]"]),
        field("s", &["\"ab\"", "\"B\"", "\"\"", "null", "12", r#""C\u00e9""#, r#""a\u0062""#]),
        field(
            "t",
            &["\"1970-01-01T00:00:03Z\"", "\"1970-01-01T00:00:05Z\"", "\"1970-01-01T00:00:11.5Z\"", "\"no\"", "null"],
        ),
    );
    let document = document.prop_map(|(a, b, s, t)| {
        let fields: Vec<String> = [s, t, a, b].into_iter().flatten().collect();
        format!("{{{}}}", fields.join(", "))
    });
    vec(prop_oneof![9 => document, 1 => Just("{broken".to_owned())], 0..25)
}

/// The chain over a relation that has a column `value`.
fn chained(input: Box<Relation>, links: &[Link]) -> Box<Relation> {
    let parsed = select(input, &["from_json(CAST(value AS STRING), 'a INT, b INT, s STRING, t TIMESTAMP') AS d"]);
    let mut above = select(parsed, &["d.*"]);
    for link in links {
        above = match link {
            Link::Filter(text) => filter(above, text),
            Link::Guarded => filter(filter(above, "b <> 0"), "10 / b > 2"),
            Link::Select(texts) => select(above, texts),
            Link::WithColumn(name, text) => relation(RelationNode::WithColumns {
                input: above,
                columns: vec![((*name).to_owned(), UnresolvedExpr::Sql((*text).to_owned()))],
            }),
            Link::Watermark => relation(RelationNode::WithWatermark {
                input: above,
                column: "t".to_owned(),
                delay: "5 seconds".to_owned(),
            }),
        };
    }
    above
}

fn counted(input: Box<Relation>, grouping: &[&str]) -> Box<Relation> {
    let texts = |texts: &[&str]| texts.iter().map(|text| UnresolvedExpr::Sql((*text).to_owned())).collect();
    let counted = relation(RelationNode::Aggregate { input, grouping: texts(grouping), aggregates: texts(AGGREGATES) });
    filter(counted, "n > 1 OR low IS NULL")
}

/// The records as a table of a batch query.
fn table(records: &[String]) -> Box<Relation> {
    let values: ArrayRef = Arc::new(BinaryArray::from_iter_values(records.iter().map(|record| record.as_bytes())));
    let batch = RecordBatch::try_from_iter([("value", values)]).expect("one column");
    relation(RelationNode::Local { batches: vec![batch], schema: None })
}

fn expected(relation: &Relation) -> Vec<String> {
    let settings = ExprSettings::default();
    let analyzed = Analyzer::new(&settings, &EmptyCatalog).analyze(relation).expect("resolves");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    shown(&runtime.block_on(collect(&analyzed)).expect("the batch query runs"))
}

/// Rows as sorted text: their order says nothing.
fn shown(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let columns: Vec<ArrayFormatter<'_>> = columns.collect::<Result<_, _>>().expect("types that can be shown");
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            rows.push(cells.join(" | "));
        }
    }
    rows.sort();
    rows
}

fn texts(records: &[String]) -> Vec<&str> {
    records.iter().map(String::as_str).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_chain_without_state_gives_the_rows_of_its_batch_query(links in links(), records in records()) {
        let planned = plan(&chained(kafka(), &links), OutputMode::Append);
        let query = CompiledQuery::decode(&planned.plan, &BatchClock::default()).expect("decodes");
        let mut source = SourceTask::new(Arc::clone(&query), 0, Arc::new(ShardMap::new(vec![0])));
        source.push(0, scanned(&query, &texts(&records))).expect("runs");
        prop_assert_eq!(shown(&source.take_rows()), expected(&chained(table(&records), &links)));
    }

    #[test]
    fn an_aggregate_in_batches_and_shards_gives_the_rows_of_its_batch_query(
        links in links(),
        grouping in prop::sample::select(GROUPINGS),
        records in records(),
        batches in 1..4usize,
        cuts in prop::collection::btree_set(1..1024u16, 0..4),
    ) {
        let planned = plan(&counted(chained(kafka(), &links), grouping), OutputMode::Complete);
        let first_buckets: Vec<u16> = std::iter::once(0).chain(cuts).collect();
        let mut shards = Harness::shards(&planned, &first_buckets);
        let all = texts(&records);
        let size = all.len().div_ceil(batches).max(1);
        let mut rows = Vec::new();
        for number in 0..batches {
            let batch = all.chunks(size).nth(number).unwrap_or_default();
            rows = shards.iter_mut().flat_map(|shard| shard.batch(batch, i64::MIN, i64::MIN).rows).collect();
        }
        prop_assert_eq!(shown(&rows), expected(&counted(chained(table(&records), &links), grouping)));
    }
}
