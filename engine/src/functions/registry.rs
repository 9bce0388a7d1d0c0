//! The registry of Spark's functions: a name, its arguments' types, and what it becomes.
//!
//! The analyzer resolves arguments first and then asks [`lookup`]; the entry coerces the arguments as Spark does, gives
//! the generated column name, and builds either a scalar expression, an aggregate or a time window. An entry touches no
//! other: a new function is one more row of one of the tables in this folder.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;

use crate::error::SparkError;

/// A resolved expression with what Spark knows of it.
#[derive(Debug, Clone)]
pub struct Typed {
    pub expr: Expr,
    pub data_type: DataType,
    pub nullable: bool,
    /// The text Spark generates for it, which names the column when no alias does: `count(1)`, `(a + 1)`.
    pub name: String,
    /// The value when the expression is a literal, so that functions that need one can read it.
    pub literal: Option<datafusion::scalar::ScalarValue>,
}

/// Session settings that decide what an expression means. They are pinned when a query starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExprSettings {
    /// `spark.sql.session.timeZone`, an IANA name or an offset.
    pub time_zone: String,
    /// `spark.sql.ansi.enabled`; on by default as in Spark 4.
    pub ansi: bool,
}

impl Default for ExprSettings {
    fn default() -> Self {
        ExprSettings { time_zone: "UTC".to_owned(), ansi: true }
    }
}

/// One use of a function: the name as written and the resolved arguments.
#[derive(Debug)]
pub struct Call<'a> {
    pub name: &'a str,
    pub args: Vec<Typed>,
    pub distinct: bool,
    pub settings: &'a ExprSettings,
}

/// The aggregates the engine can keep in state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateKind {
    /// Rows whose argument is not null; over a literal: all rows.
    Count,
    Sum,
    Avg,
    Min,
    Max,
}

/// A resolved aggregate call, before it has a place in a plan.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    pub kind: AggregateKind,
    /// Already coerced to the type that the aggregate takes.
    pub args: Vec<Typed>,
    pub data_type: DataType,
    pub nullable: bool,
    pub name: String,
}

/// `window(time, size[, slide[, start]])`: microseconds all.
#[derive(Debug, Clone)]
pub struct TimeWindow {
    pub time: Typed,
    pub size_us: i64,
    pub slide_us: i64,
    pub start_us: i64,
    /// `window`, as Spark names the column.
    pub name: String,
}

/// What a function call becomes.
#[derive(Debug, Clone)]
pub enum Built {
    Scalar(Typed),
    Aggregate(AggregateCall),
    TimeWindow(TimeWindow),
}

/// Builds one call; fails with Spark's error when the arguments do not fit.
pub type Build = fn(&Call<'_>) -> Result<Built, SparkError>;

/// One row of the registry.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// Lower case. Aliases are rows of their own.
    pub name: &'static str,
    pub build: Build,
}
