//! The one unresolved form: what Spark Connect messages and SQL text both become before names and types are known.
//!
//! It mirrors Spark's unresolved plans closely enough that the front ends only transcribe. The analyzer in this folder
//! gives it meaning.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::scalar::ScalarValue;

/// An unresolved relation with the id that the client gave it, which `df["x"]` refers to.
#[derive(Debug, Clone)]
pub struct Relation {
    pub plan_id: Option<i64>,
    pub node: RelationNode,
}

/// The relations. What is not here is refused by the front end, by name.
#[derive(Debug, Clone)]
pub enum RelationNode {
    /// `spark.read` / `spark.readStream` with a format.
    Read(Read),
    /// `spark.table(name)`, `readStream.table(name)`: temporary views and memory sinks.
    NamedTable {
        name: String,
        streaming: bool,
    },
    /// `createDataFrame`: data that came with the plan. Column names as in the batches unless `schema` renames and
    /// casts.
    Local {
        batches: Vec<RecordBatch>,
        schema: Option<String>,
    },
    Range {
        start: i64,
        end: i64,
        step: i64,
    },
    Project {
        input: Option<Box<Relation>>,
        expressions: Vec<UnresolvedExpr>,
    },
    Filter {
        input: Box<Relation>,
        condition: UnresolvedExpr,
    },
    /// `withColumn(s)`: replaces a column of the same name in its place, else appends.
    WithColumns {
        input: Box<Relation>,
        columns: Vec<(String, UnresolvedExpr)>,
    },
    WithColumnsRenamed {
        input: Box<Relation>,
        renames: Vec<(String, String)>,
    },
    /// `drop`: names that do not exist are ignored, as Spark.
    Drop {
        input: Box<Relation>,
        names: Vec<String>,
        columns: Vec<UnresolvedExpr>,
    },
    SubqueryAlias {
        input: Box<Relation>,
        alias: String,
    },
    ToDf {
        input: Box<Relation>,
        names: Vec<String>,
    },
    Aggregate {
        input: Box<Relation>,
        grouping: Vec<UnresolvedExpr>,
        aggregates: Vec<UnresolvedExpr>,
    },
    /// SQL's `SELECT select FROM input GROUP BY grouping`: unlike `Aggregate`, the output is the select list alone, and
    /// a grouping name may be an alias of it.
    GroupBySelect {
        input: Box<Relation>,
        grouping: Vec<UnresolvedExpr>,
        select: Vec<UnresolvedExpr>,
    },
    Sort {
        input: Box<Relation>,
        keys: Vec<SortKey>,
    },
    Limit {
        input: Box<Relation>,
        count: i64,
    },
    Offset {
        input: Box<Relation>,
        count: i64,
    },
    WithWatermark {
        input: Box<Relation>,
        column: String,
        delay: String,
    },
    /// `distinct()` and `dropDuplicates()`; batch only for now.
    Deduplicate {
        input: Box<Relation>,
        columns: Vec<String>,
        all_columns: bool,
        within_watermark: bool,
    },
    Union {
        left: Box<Relation>,
        right: Box<Relation>,
        by_name: bool,
        allow_missing: bool,
    },
    /// `spark.sql(text)`.
    Sql {
        text: String,
    },
    /// What a temporary view stands for: names in it mean the views that there were when it was made.
    View {
        input: Box<Relation>,
        views: ViewScope,
    },
}

/// Temporary views by their names in lower case.
pub type ViewScope = Arc<BTreeMap<String, Arc<Relation>>>;

/// A source as the reader described it.
#[derive(Debug, Clone)]
pub struct Read {
    /// Lower case: `kafka`, `json`, `rate`.
    pub format: String,
    /// DDL or JSON text given by `.schema(...)`.
    pub schema: Option<String>,
    /// As written; names compare without case, as Spark.
    pub options: BTreeMap<String, String>,
    pub paths: Vec<String>,
    pub streaming: bool,
}

/// One key of an `orderBy`.
#[derive(Debug, Clone)]
pub struct SortKey {
    pub expression: UnresolvedExpr,
    pub ascending: bool,
    /// `None`: Spark's default, nulls first when ascending and last when descending.
    pub nulls_first: Option<bool>,
}

/// An unresolved expression.
#[derive(Debug, Clone)]
pub enum UnresolvedExpr {
    /// A possibly dotted, possibly quoted name; `plan_id` when it came from `df["x"]`.
    Attribute {
        name: String,
        plan_id: Option<i64>,
    },
    /// A literal; `sql_type` is set where the Arrow type does not say Spark's whole type.
    Literal(ScalarValue),
    /// A function or operator, by Spark's name: `+`, `==`, `and`, `isNotNull`, `count`, `when`.
    Function {
        name: String,
        args: Vec<UnresolvedExpr>,
        distinct: bool,
    },
    /// `names` has more than one entry only for generators.
    Alias {
        child: Box<UnresolvedExpr>,
        names: Vec<String>,
    },
    Cast {
        child: Box<UnresolvedExpr>,
        to: CastTarget,
        mode: CastMode,
    },
    /// `*` or `target.*`.
    Star {
        target: Option<String>,
    },
    /// Text of a `selectExpr`, `expr` or string filter; parsed by the analyzer.
    Sql(String),
    /// `child[key]`, `child.field`.
    ExtractValue {
        child: Box<UnresolvedExpr>,
        key: Box<UnresolvedExpr>,
    },
    /// `Column.asc()` and kin outside of a sort.
    Sort(Box<SortKey>),
    /// `CASE` keeps its own name text in SQL; branches then `otherwise`.
    Case {
        operand: Option<Box<UnresolvedExpr>>,
        branches: Vec<(UnresolvedExpr, UnresolvedExpr)>,
        otherwise: Option<Box<UnresolvedExpr>>,
    },
}

/// The type a cast names: text to be parsed as DDL, or a type already known.
#[derive(Debug, Clone)]
pub enum CastTarget {
    Ddl(String),
    Type(DataType),
}

/// How a cast treats a value that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CastMode {
    /// By `spark.sql.ansi.enabled`.
    Session,
    Ansi,
    Legacy,
    Try,
}
