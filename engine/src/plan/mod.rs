//! The compiled query: a plan as it came over the wire, decoded once, run every batch.

mod step;
mod time_window;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use pyrite_proto::plan as wire;

use crate::aggregate::{AggregateSet, AggregateSpec};
use crate::clock::BatchClock;
use crate::error::SparkError;
use crate::functions::AggregateKind;
use crate::state::{Purpose, RowCodec, StateError, types_of};

pub use step::{CompiledStep, EventTimeSink};
pub use time_window::{WindowSpec, expand_windows, window_fields};

/// Why a plan cannot be decoded or run.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The plan's bytes do not say what they must: another version wrote them.
    #[error("the plan cannot be decoded: {0}")]
    Malformed(String),
    #[error("{0}")]
    Spark(#[from] SparkError),
    #[error("{0}")]
    DataFusion(#[from] DataFusionError),
    #[error("{0}")]
    State(#[from] StateError),
}

impl From<arrow::error::ArrowError> for PlanError {
    fn from(cause: arrow::error::ArrowError) -> Self {
        PlanError::DataFusion(cause.into())
    }
}

/// What happens to groups when a batch has updated them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputMode {
    /// Groups leave once, when the watermark has passed them.
    Append,
    /// Groups leave each time a batch touches them.
    Update,
    /// All groups leave in every batch.
    Complete,
}

/// Where output rows go from an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// Counted and dropped.
    Noop,
    /// Sent to the driver.
    Driver,
}

/// A query, ready to run. Immutable; tasks share it.
#[derive(Debug)]
pub struct CompiledQuery {
    sources: Vec<CompiledSource>,
    aggregate: Option<CompiledAggregate>,
    post: Vec<CompiledStep>,
    output_schema: SchemaRef,
    output_mode: OutputMode,
    sink: Sink,
}

/// One source and the steps its rows take before the shuffle, or before the sink.
#[derive(Debug)]
pub struct CompiledSource {
    pub id: u32,
    pub kafka: wire::KafkaSource,
    /// The columns the scan must build, by the names of Spark's Kafka source.
    pub scan_schema: SchemaRef,
    pub(crate) steps: Vec<CompiledStep>,
}

/// Rows that the steps of a source may make of one batch.
const EXPANDED_ROWS_MAX: usize = 1 << 16;

impl CompiledSource {
    /// Scanned rows that go through the steps at once: a sliding window makes many of each.
    pub(crate) fn rows_at_once(&self) -> usize {
        let windows = self.steps.iter().map(|step| match step {
            CompiledStep::TimeWindow { spec, .. } => spec.windows_max(),
            _ => 1,
        });
        (EXPANDED_ROWS_MAX / windows.fold(1, usize::saturating_mul)).max(1)
    }
}

/// The aggregate of a query, with the codecs of its state.
#[derive(Debug)]
pub struct CompiledAggregate {
    pub operator_id: u32,
    pub(crate) key_columns: Vec<usize>,
    pub(crate) key_codec: RowCodec,
    pub(crate) value_codec: RowCodec,
    pub(crate) aggregates: Arc<AggregateSet>,
    /// Which key's time evicts a group.
    pub(crate) event_time_key: Option<usize>,
    /// Of the frames that go from source tasks to shards.
    pub(crate) frame_schema: SchemaRef,
    pub(crate) output_schema: SchemaRef,
}

impl CompiledAggregate {
    /// Whether groups have a time, by which a watermark evicts them.
    pub fn is_timed(&self) -> bool {
        self.event_time_key.is_some()
    }
}

impl CompiledQuery {
    /// Decodes a plan. Its `current_timestamp` reads `clock`.
    pub fn decode(plan: &wire::QueryPlan, clock: &BatchClock) -> Result<Arc<CompiledQuery>, PlanError> {
        let mut sources = Vec::with_capacity(plan.sources.len());
        let mut last_schema = None;
        for source in &plan.sources {
            let (source, schema) = decode_source(source, clock)?;
            sources.push(source);
            last_schema = Some(schema);
        }
        let mut schema = last_schema.ok_or_else(|| PlanError::Malformed("it has no source".to_owned()))?;
        let aggregate = plan.aggregate.as_ref().map(decode_aggregate).transpose()?;
        if let Some(aggregate) = &aggregate {
            schema = Arc::clone(&aggregate.output_schema);
        }
        let (post, _) = step::decode_steps(&plan.post, schema, clock)?;
        Ok(Arc::new(CompiledQuery {
            sources,
            aggregate,
            post,
            output_schema: decode_schema(&plan.output_schema)?,
            output_mode: output_mode(plan)?,
            sink: sink(plan)?,
        }))
    }

    /// The query's sources, in the order of their ids.
    pub fn sources(&self) -> &[CompiledSource] {
        &self.sources
    }

    /// The stateful operator, if there is one.
    pub fn aggregate(&self) -> Option<&CompiledAggregate> {
        self.aggregate.as_ref()
    }

    /// Whether rows pass through state and shards.
    pub fn is_stateful(&self) -> bool {
        self.aggregate.is_some()
    }

    /// The ids of the stateful operators.
    pub fn operator_ids(&self) -> Vec<u32> {
        self.aggregate.iter().map(|aggregate| aggregate.operator_id).collect()
    }

    /// The schema of the rows that the sink receives, under internal names.
    pub fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.output_schema)
    }

    /// When groups leave.
    pub fn output_mode(&self) -> OutputMode {
        self.output_mode
    }

    /// Where rows go.
    pub fn sink(&self) -> Sink {
        self.sink
    }

    pub(crate) fn post(&self) -> &[CompiledStep] {
        &self.post
    }
}

fn decode_source(source: &wire::SourcePlan, clock: &BatchClock) -> Result<(CompiledSource, SchemaRef), PlanError> {
    let scan_schema = decode_schema(&source.schema)?;
    let (steps, schema) = step::decode_steps(&source.steps, Arc::clone(&scan_schema), clock)?;
    let kafka = source.kafka.clone().ok_or_else(|| PlanError::Malformed("a source has no reader".to_owned()))?;
    Ok((CompiledSource { id: source.id, kafka, scan_schema, steps }, schema))
}

fn decode_aggregate(aggregate: &wire::AggregatePlan) -> Result<CompiledAggregate, PlanError> {
    let input = decode_schema(&aggregate.input_schema)?;
    let key_columns: Vec<usize> = aggregate.keys.iter().map(|key| key.column as usize).collect();
    if key_columns.iter().any(|column| *column >= input.fields().len()) {
        return Err(PlanError::Malformed("a key is no column of the aggregate's input".to_owned()));
    }
    let specs = aggregate.aggregates.iter().map(aggregate_spec).collect::<Result<Vec<_>, _>>()?;
    let aggregates = Arc::new(AggregateSet::new(&specs, &input)?);
    let key_types = types_of(key_columns.iter().map(|column| &input.fields()[*column]));
    Ok(CompiledAggregate {
        operator_id: aggregate.operator_id,
        frame_schema: frame_schema(aggregates.state_types()),
        key_codec: RowCodec::new(key_types, Purpose::Key)?,
        value_codec: RowCodec::new(aggregates.state_types().to_vec(), Purpose::Value)?,
        key_columns,
        aggregates,
        event_time_key: aggregate.event_time_key.map(|key| key as usize),
        output_schema: decode_schema(&aggregate.output_schema)?,
    })
}

/// The columns of a shuffle frame: due time, encoded key, then the partials.
fn frame_schema(partials: &[DataType]) -> SchemaRef {
    let mut fields = vec![Field::new("due", DataType::Int64, false), Field::new("key", DataType::Binary, false)];
    for (index, partial) in partials.iter().enumerate() {
        fields.push(Field::new(format!("p{index}"), partial.clone(), true));
    }
    Arc::new(Schema::new(fields))
}

fn aggregate_spec(aggregate: &wire::AggregateExpr) -> Result<AggregateSpec, PlanError> {
    use wire::AggregateFunction as Function;
    let kind = match aggregate.function() {
        Function::Count => AggregateKind::Count,
        Function::Sum => AggregateKind::Sum,
        Function::Avg => AggregateKind::Avg,
        Function::Min => AggregateKind::Min,
        Function::Max => AggregateKind::Max,
        Function::Unspecified => return Err(PlanError::Malformed("an aggregate has no function".to_owned())),
    };
    Ok(AggregateSpec { kind, column: aggregate.columns.first().map(|column| *column as usize) })
}

fn output_mode(plan: &wire::QueryPlan) -> Result<OutputMode, PlanError> {
    match plan.output_mode() {
        wire::OutputMode::Append => Ok(OutputMode::Append),
        wire::OutputMode::Update => Ok(OutputMode::Update),
        wire::OutputMode::Complete => Ok(OutputMode::Complete),
        wire::OutputMode::Unspecified => Err(PlanError::Malformed("it has no output mode".to_owned())),
    }
}

fn sink(plan: &wire::QueryPlan) -> Result<Sink, PlanError> {
    match plan.sink() {
        wire::Sink::Noop => Ok(Sink::Noop),
        wire::Sink::Driver => Ok(Sink::Driver),
        wire::Sink::Unspecified => Err(PlanError::Malformed("it has no sink".to_owned())),
    }
}

/// Encodes a schema as plans carry it: an Arrow IPC stream without batches.
pub fn encode_schema(schema: &Schema) -> Result<Vec<u8>, PlanError> {
    let mut bytes = Vec::new();
    arrow::ipc::writer::StreamWriter::try_new(&mut bytes, schema)?.finish()?;
    Ok(bytes)
}

/// Decodes a schema of a plan.
pub fn decode_schema(bytes: &[u8]) -> Result<SchemaRef, PlanError> {
    Ok(arrow::ipc::reader::StreamReader::try_new(bytes, None)?.schema())
}

/// Whether a key of this type has a time that a watermark can pass: a timestamp, or a window by its end.
pub fn is_event_time(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(_, _) => true,
        DataType::Struct(fields) => fields.len() == 2 && fields[0].name() == "start" && fields[1].name() == "end",
        _ => false,
    }
}
