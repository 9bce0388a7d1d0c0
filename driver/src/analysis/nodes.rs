//! Plan nodes that DataFusion does not have: a streaming source, a watermark, event-time windows.
//!
//! They stand in the plan as `LogicalPlan::Extension`; the streaming planner takes them apart by downcasting, and batch
//! execution removes or executes them ([`super::prepare_batch`]).

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Column, DFSchema, DFSchemaRef, ExprSchema, Result, plan_err};
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, Projection, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use pyrite_engine::error::SparkError;
use pyrite_engine::plan::window_fields;

use super::errors;
use super::unresolved::Read;

/// A streaming source: the leaf of every streaming plan.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StreamSource {
    /// Number of the source or watermark in this plan, in the order of resolution.
    pub id: u32,
    /// Lower case: `kafka`.
    pub format: String,
    /// As written, by lower-case name; `kafka.*` values keep their case, names do not.
    pub options: BTreeMap<String, String>,
    /// The source's own names of the columns, in the schema's order: `key`, `value`, `topic`.
    pub columns: Vec<String>,
    /// The columns under their internal names: `key#0`, `value#1`.
    schema: DFSchemaRef,
}

impl StreamSource {
    /// A source whose columns `fields` carry Spark's names; `columns` are the internal names, in the same order.
    pub(super) fn new(id: u32, read: &Read, fields: &Fields, columns: &[String]) -> Result<Self> {
        let options = read.options.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
        let internal: Fields = fields
            .iter()
            .zip(columns)
            .map(|(field, column)| Arc::new(field.as_ref().clone().with_name(column)))
            .collect();
        Ok(StreamSource {
            id,
            format: read.format.clone(),
            options,
            columns: fields.iter().map(|field| field.name().clone()).collect(),
            schema: Arc::new(DFSchema::from_unqualified_fields(internal, HashMap::new())?),
        })
    }

    /// An option by name, any case.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(&name.to_lowercase()).map(String::as_str)
    }

    /// The source's name of an internal column.
    pub fn source_column(&self, column: &str) -> Option<&str> {
        let at = self.schema.fields().iter().position(|field| field.name() == column)?;
        self.columns.get(at).map(String::as_str)
    }
}

/// Observes the largest value of an event-time column; rows pass unchanged.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EventTimeWatermark {
    pub input: LogicalPlan,
    /// A timestamp column of the input, or a window struct whose end counts.
    pub column: Column,
    pub delay_us: i64,
    /// Number of the source or watermark in this plan.
    pub node_id: u32,
}

/// Appends a `struct<start, end>` column: a row for each window that holds the row's time; null times vanish.
#[derive(Clone, PartialEq, Eq)]
pub struct TimeWindow {
    pub input: LogicalPlan,
    /// A timestamp column of the input.
    pub time: Column,
    pub size_us: i64,
    pub slide_us: i64,
    pub start_us: i64,
    /// The internal name of the window column, the last of the output.
    pub output: String,
    schema: DFSchemaRef,
}

impl TimeWindow {
    /// Windows over the column `time` of `input`.
    ///
    /// # Errors
    /// When `input` has no such column, or it is no timestamp.
    pub(super) fn try_new(
        input: LogicalPlan,
        time: Column,
        (size_us, slide_us, start_us): (i64, i64, i64),
        output: String,
    ) -> Result<Self> {
        let time_type = input.schema().field_from_column(&time)?.data_type().clone();
        if !matches!(time_type, DataType::Timestamp(..)) {
            return plan_err!("a window needs a timestamp, not {time_type}");
        }
        let window = Field::new(&output, DataType::Struct(window_fields(&time_type)), false);
        let mut fields: Vec<_> =
            input.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
        fields.push((None, Arc::new(window)));
        let schema = Arc::new(DFSchema::new_with_metadata(fields, HashMap::new())?);
        Ok(TimeWindow { input, time, size_us, slide_us, start_us, output, schema })
    }
}

/// The node in a plan.
pub(super) fn extension(node: impl UserDefinedLogicalNode + 'static) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(node) })
}

/// A projection in a plan.
pub(super) fn projection(input: LogicalPlan, expressions: Vec<Expr>) -> Result<LogicalPlan, SparkError> {
    Projection::try_new(expressions, Arc::new(input)).map(LogicalPlan::Projection).map_err(errors::internal)
}

impl UserDefinedLogicalNodeCore for StreamSource {
    fn name(&self) -> &str {
        "StreamSource"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let columns: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "StreamingRelation {}, [{}]", self.format, columns.join(", "))
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, _inputs: Vec<LogicalPlan>) -> Result<Self> {
        Ok(self.clone())
    }

    fn necessary_children_exprs(&self, _output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(Vec::new())
    }
}

impl UserDefinedLogicalNodeCore for EventTimeWatermark {
    fn name(&self) -> &str {
        "EventTimeWatermark"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![Expr::Column(self.column.clone())]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "EventTimeWatermark {}, {} us", self.column.name, self.delay_us)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (column, input) = column_and_input(exprs, inputs)?;
        Ok(EventTimeWatermark { input, column, ..self.clone() })
    }
}

impl UserDefinedLogicalNodeCore for TimeWindow {
    fn name(&self) -> &str {
        "TimeWindow"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![Expr::Column(self.time.clone())]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let TimeWindow { time, size_us, slide_us, start_us, output, .. } = self;
        write!(f, "TimeWindow {}, {size_us}, {slide_us}, {start_us} AS {output}", time.name)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (time, input) = column_and_input(exprs, inputs)?;
        TimeWindow::try_new(input, time, (self.size_us, self.slide_us, self.start_us), self.output.clone())
    }
}

fn column_and_input(exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<(Column, LogicalPlan)> {
    match (exprs.into_iter().next(), inputs.into_iter().next()) {
        (Some(Expr::Column(column)), Some(input)) => Ok((column, input)),
        other => plan_err!("expected one column and one input, got {other:?}"),
    }
}

// Nodes order by what identifies them; DataFusion asks for an order and uses none.
impl PartialOrd for StreamSource {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl PartialOrd for EventTimeWatermark {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl PartialOrd for TimeWindow {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl Hash for TimeWindow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.input, &self.time, self.size_us, self.slide_us, self.start_us, &self.output).hash(state);
    }
}

impl fmt::Debug for StreamSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        UserDefinedLogicalNodeCore::fmt_for_explain(self, f)
    }
}

impl fmt::Debug for EventTimeWatermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        UserDefinedLogicalNodeCore::fmt_for_explain(self, f)
    }
}

impl fmt::Debug for TimeWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        UserDefinedLogicalNodeCore::fmt_for_explain(self, f)
    }
}
