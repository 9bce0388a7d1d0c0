//! The streaming planner: a resolved plan becomes what executors run.
//!
//! ```text
//! Sort, Limit ..          ─▶ the driver's part: runs on the rows of a complete-mode batch
//! Filter, Project         ─▶ post steps, in the shards
//! Aggregate               ─▶ state
//! Project, Filter,        ─▶ segments of filters and columns (segment.rs), JSON decoded once (json.rs),
//!   TimeWindow, Watermark       written as steps (steps.rs)
//! StreamSource            ─▶ a scan of the columns that are read
//! ```

mod driver_part;
mod json;
mod segment;
mod steps;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::Expr;
use indexmap::IndexMap;
use pyrite_engine::error::SparkError;
use pyrite_engine::functions::AggregateKind;
use pyrite_engine::plan::{OutputMode, Sink, encode_schema, is_event_time};
use pyrite_proto::plan as wire;

use crate::analysis::nodes::StreamSource;
use crate::analysis::{Analyzed, Attribute, aggregate_of};

pub use driver_part::DriverPart;
use segment::{Chain, columns_of, unalias};
use steps::StepWriter;
use walk::{AggregateNode, Layers};

/// The stateful operator's id: a query has at most one for now.
const OPERATOR_ID: u32 = 0;

/// A query as the run loop needs it.
#[derive(Debug)]
pub struct PlannedQuery {
    /// For the executors. The scan's Kafka client options are for the source to fill in.
    pub plan: wire::QueryPlan,
    pub sources: Vec<SourceSpec>,
    pub watermarks: Vec<WatermarkSpec>,
    pub operators: Vec<OperatorSpec>,
    /// What the driver does with a batch's rows before the sink.
    pub driver_part: Option<DriverPart>,
    /// The sink's columns under Spark's names.
    pub output: Vec<Attribute>,
    /// Changes when the meaning of the plan does.
    pub plan_hash: String,
}

/// A source of a query.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    /// Counts from 0 in the plan's order.
    pub id: u32,
    /// Lower case: `kafka`.
    pub format: String,
    /// By lower-case name.
    pub options: BTreeMap<String, String>,
}

/// A watermark of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatermarkSpec {
    pub node: u32,
    pub delay_us: i64,
}

/// A stateful operator of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorSpec {
    pub operator_id: u32,
    /// Whether a watermark evicts its groups.
    pub has_event_time: bool,
    pub output_mode: OutputMode,
}

/// Plans a query that passed the streaming checks.
///
/// # Errors
/// What the executors cannot run yet, by name.
pub fn plan_query(analyzed: &Analyzed, output_mode: OutputMode, sink: Sink) -> Result<PlannedQuery, SparkError> {
    let layers = walk::layers(&analyzed.plan)?;
    let mut planner = Planner { output_mode, sink, watermarks: Vec::new() };
    planner.plan(layers, analyzed).map_err(from_datafusion)
}

fn from_datafusion(error: DataFusionError) -> SparkError {
    match pyrite_engine::task::spark_error(&error) {
        Some(spark) => spark.clone(),
        None => SparkError::unsupported(format!("this plan ({})", error.strip_backtrace())),
    }
}

struct Planner {
    output_mode: OutputMode,
    sink: Sink,
    watermarks: Vec<WatermarkSpec>,
}

impl Planner {
    fn plan(&mut self, layers: Layers, analyzed: &Analyzed) -> Result<PlannedQuery, DataFusionError> {
        let Layers { source, mut below, aggregate, mut above, driver_part } = layers;
        self.watermarks.extend(below.watermarks.iter().copied());
        let mut operators = Vec::new();
        let mut aggregate_plan = None;
        let mut post = Vec::new();
        let (steps, scan, output);
        match aggregate {
            Some(aggregate) => {
                let shape = AggregateShape::new(&aggregate, &below.event_times)?;
                below.chain.project(&shape.input_columns)?;
                let written = write_source(&source, below.chain)?;
                (steps, scan) = (written.steps, written.scan);
                operators.push(OperatorSpec {
                    operator_id: OPERATOR_ID,
                    has_event_time: shape.event_time_key.is_some(),
                    output_mode: self.output_mode,
                });
                aggregate_plan = Some(shape.encode(&written.schema)?);
                let mut writer = StepWriter::new(Arc::clone(&shape.output));
                above.prune()?;
                writer.chain(&above)?;
                (post, output) = writer.finish();
            }
            None => {
                let written = write_source(&source, below.chain)?;
                (steps, scan, output) = (written.steps, written.scan, written.schema);
            }
        }
        let plan = wire::QueryPlan {
            sources: vec![wire::SourcePlan {
                id: 0,
                kafka: Some(wire::KafkaSource::default()),
                schema: encode(&scan)?,
                steps,
            }],
            aggregate: aggregate_plan,
            post,
            output_schema: encode(&output)?,
            output_mode: self.wire_mode().into(),
            sink: self.wire_sink().into(),
        };
        Ok(PlannedQuery {
            plan_hash: plan_hash(&plan),
            plan,
            sources: vec![SourceSpec { id: 0, format: source.format.clone(), options: source.options.clone() }],
            watermarks: std::mem::take(&mut self.watermarks),
            operators,
            driver_part,
            output: analyzed.output.clone(),
        })
    }

    fn wire_mode(&self) -> wire::OutputMode {
        match self.output_mode {
            OutputMode::Append => wire::OutputMode::Append,
            OutputMode::Update => wire::OutputMode::Update,
            OutputMode::Complete => wire::OutputMode::Complete,
        }
    }

    fn wire_sink(&self) -> wire::Sink {
        match self.sink {
            Sink::Noop => wire::Sink::Noop,
            Sink::Driver => wire::Sink::Driver,
        }
    }
}

fn encode(schema: &Schema) -> Result<prost::bytes::Bytes, DataFusionError> {
    let bytes = encode_schema(schema).map_err(|error| DataFusionError::External(Box::new(error)))?;
    Ok(bytes.into())
}

/// A hash of what the plan computes; where the rows come from and go to is not part of it.
fn plan_hash(plan: &wire::QueryPlan) -> String {
    let hash = crc32c::crc32c(&prost::Message::encode_to_vec(plan));
    format!("{hash:08x}")
}

struct WrittenSource {
    steps: Vec<wire::Step>,
    /// The columns to scan, under the source's names.
    scan: SchemaRef,
    /// The rows after the steps.
    schema: SchemaRef,
}

/// Writes a chain that starts at a source, which scans only what the chain reads.
fn write_source(source: &StreamSource, mut chain: Chain) -> Result<WrittenSource, DataFusionError> {
    chain.prune()?;
    let first = &chain.segments[0];
    let mut read = std::collections::BTreeSet::new();
    for expression in first.filters.iter().chain(first.columns.values()) {
        read.extend(columns_of(expression)?);
    }
    let all = walk::source_schema(source);
    let fields: Vec<Field> =
        all.fields().iter().filter(|field| read.contains(field.name())).map(|f| f.as_ref().clone()).collect();
    let scan: SchemaRef = Arc::new(Schema::new(fields));
    let mut writer = StepWriter::new(Arc::clone(&scan));
    writer.chain(&chain)?;
    let (steps, schema) = writer.finish();
    Ok(WrittenSource { steps, scan, schema })
}

/// An aggregate with its input laid out: keys first, then one column for each argument.
struct AggregateShape {
    /// Names and expressions of the input columns, over the relation below.
    input_columns: Vec<(String, Expr)>,
    keys: usize,
    aggregates: Vec<(AggregateKind, Option<usize>, DataType)>,
    event_time_key: Option<usize>,
    output: SchemaRef,
}

impl AggregateShape {
    fn new(aggregate: &AggregateNode, event_times: &[String]) -> Result<Self, DataFusionError> {
        let names: Vec<String> = aggregate.schema.fields().iter().map(|field| field.name().clone()).collect();
        let keys = aggregate.keys.len();
        let mut input_columns: Vec<(String, Expr)> =
            names.iter().cloned().zip(aggregate.keys.iter().cloned()).collect();
        input_columns.truncate(keys);
        let mut event_time_key = None;
        for (index, key) in aggregate.keys.iter().enumerate() {
            let is_watermarked = matches!(unalias(key), Expr::Column(column) if event_times.contains(&column.name));
            if is_watermarked && is_event_time(aggregate.schema.field(index).data_type()) {
                event_time_key = event_time_key.or(Some(index));
            }
        }
        let mut aggregates = Vec::new();
        for expression in &aggregate.aggregates {
            let (kind, arguments, result) = aggregate_of(unalias(expression)).ok_or_else(|| {
                DataFusionError::External(Box::new(SparkError::unsupported(format!("the aggregate `{expression}`"))))
            })?;
            let column =
                arguments.first().filter(|argument| !matches!(argument, Expr::Literal(value, _) if !value.is_null()));
            let column = column.map(|argument| {
                input_columns.push((format!("argument#{}", aggregates.len()), argument.clone()));
                input_columns.len() - 1
            });
            if column.is_none() && kind != AggregateKind::Count {
                // A literal argument of another aggregate still needs its value.
                input_columns.push((format!("argument#{}", aggregates.len()), arguments[0].clone()));
                aggregates.push((kind, Some(input_columns.len() - 1), result));
            } else {
                aggregates.push((kind, column, result));
            }
        }
        let mut fields: Vec<Field> =
            aggregate.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        for (field, (_, _, result)) in fields.iter_mut().skip(keys).zip(&aggregates) {
            *field = Field::new(field.name(), result.clone(), true);
        }
        Ok(AggregateShape { input_columns, keys, aggregates, event_time_key, output: Arc::new(Schema::new(fields)) })
    }

    fn encode(&self, input: &SchemaRef) -> Result<wire::AggregatePlan, DataFusionError> {
        let aggregates = self.aggregates.iter().map(|(kind, column, result)| {
            let result = Schema::new(vec![Field::new("result", result.clone(), true)]);
            Ok(wire::AggregateExpr {
                function: wire_function(*kind).into(),
                columns: column.iter().map(|column| *column as u32).collect(),
                result: encode(&result)?,
            })
        });
        Ok(wire::AggregatePlan {
            operator_id: OPERATOR_ID,
            input_schema: encode(input)?,
            keys: (0..self.keys as u32).map(|column| wire::GroupKey { column }).collect(),
            aggregates: aggregates.collect::<Result<Vec<_>, DataFusionError>>()?,
            event_time_key: self.event_time_key.map(|key| key as u32),
            output_schema: encode(&self.output)?,
        })
    }
}

fn wire_function(kind: AggregateKind) -> wire::AggregateFunction {
    match kind {
        AggregateKind::Count => wire::AggregateFunction::Count,
        AggregateKind::Sum => wire::AggregateFunction::Sum,
        AggregateKind::Avg => wire::AggregateFunction::Avg,
        AggregateKind::Min => wire::AggregateFunction::Min,
        AggregateKind::Max => wire::AggregateFunction::Max,
    }
}

/// Names to the columns themselves.
fn identity(schema: &Schema) -> IndexMap<String, Expr> {
    schema.fields().iter().map(|field| (field.name().clone(), segment::column(field.name()))).collect()
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
