//! The steps that rows take: each a small change of a record batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::{filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::physical_expr::PhysicalExpr;
use pyrite_proto::plan as wire;

use super::PlanError;
use super::time_window::{WindowSpec, expand_windows, window_fields};
use crate::clock::BatchClock;
use crate::codec::decode_expr;
use crate::json::{Needle, RawFilter};

/// Learns the event times that pass a watermark.
pub trait EventTimeSink {
    /// The times that are not null among `times`, microseconds, at watermark `node`.
    fn observe(&mut self, node: u32, times: &arrow::array::TimestampMicrosecondArray);
}

/// One step, compiled.
#[derive(Debug)]
pub enum CompiledStep {
    /// Keeps rows whose undecoded bytes may satisfy the filter that follows.
    RawFilter { column: usize, filter: RawFilter },
    /// Keeps rows for which the predicate is true.
    Filter(Arc<dyn PhysicalExpr>),
    /// Replaces the columns.
    Project { expressions: Vec<Arc<dyn PhysicalExpr>>, schema: SchemaRef },
    /// Observes event times.
    Watermark { node: u32, column: usize },
    /// Appends a window column.
    TimeWindow { column: usize, spec: WindowSpec, output: String },
}

impl CompiledStep {
    /// Runs the step on a batch.
    pub fn apply(&self, batch: RecordBatch, times: &mut dyn EventTimeSink) -> Result<RecordBatch, PlanError> {
        match self {
            CompiledStep::RawFilter { column, filter } => {
                let selection = filter.select(batch.column(*column).as_ref());
                keep(batch, &BooleanArray::new(selection, None))
            }
            CompiledStep::Filter(predicate) => filter(batch, predicate),
            CompiledStep::Project { expressions, schema } => project(&batch, expressions, schema),
            CompiledStep::Watermark { node, column } => {
                times.observe(*node, batch.column(*column).as_primitive::<TimestampMicrosecondType>());
                Ok(batch)
            }
            CompiledStep::TimeWindow { column, spec, output } => Ok(expand_windows(&batch, *column, *spec, output)?),
        }
    }
}

fn filter(batch: RecordBatch, predicate: &Arc<dyn PhysicalExpr>) -> Result<RecordBatch, PlanError> {
    let selection = predicate.evaluate(&batch)?.into_array(batch.num_rows())?;
    let selection = selection.as_boolean();
    if selection.null_count() > 0 {
        return keep(batch, &prep_null_mask_filter(selection));
    }
    keep(batch, selection)
}

fn keep(batch: RecordBatch, selection: &BooleanArray) -> Result<RecordBatch, PlanError> {
    let kept = selection.true_count();
    if kept == batch.num_rows() {
        return Ok(batch);
    }
    if kept == 0 {
        return Ok(batch.slice(0, 0));
    }
    Ok(filter_record_batch(&batch, selection)?)
}

fn project(
    batch: &RecordBatch,
    expressions: &[Arc<dyn PhysicalExpr>],
    schema: &SchemaRef,
) -> Result<RecordBatch, PlanError> {
    let rows = batch.num_rows();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(expressions.len());
    for expression in expressions {
        columns.push(expression.evaluate(batch)?.into_array(rows)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn append_field(schema: &Schema, field: Arc<Field>) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    fields.push(field);
    Arc::new(Schema::new(fields))
}

/// Decodes steps one after another; each sees the columns that the one before leaves.
pub(super) fn decode_steps(
    steps: &[wire::Step],
    mut schema: SchemaRef,
    clock: &BatchClock,
) -> Result<(Vec<CompiledStep>, SchemaRef), PlanError> {
    let mut compiled = Vec::with_capacity(steps.len());
    for step in steps {
        let (step, after) = decode_step(step, schema, clock)?;
        compiled.push(step);
        schema = after;
    }
    Ok((compiled, schema))
}

fn decode_step(
    step: &wire::Step,
    schema: SchemaRef,
    clock: &BatchClock,
) -> Result<(CompiledStep, SchemaRef), PlanError> {
    use wire::step::Step;
    let step = step.step.as_ref().ok_or_else(|| PlanError::Malformed("a step is empty".to_owned()))?;
    match step {
        Step::RawFilter(raw) => {
            let needles = raw.needles.iter().map(|needle| Needle {
                alternatives: needle.alternatives.iter().map(|bytes| bytes.to_vec()).collect(),
                fold_case: needle.fold_case,
            });
            let filter = RawFilter::new(needles.collect());
            Ok((CompiledStep::RawFilter { column: column(raw.column, &schema)?, filter }, schema))
        }
        Step::Filter(filter) => Ok((CompiledStep::Filter(decode_expr(&filter.predicate, &schema, clock)?), schema)),
        Step::Project(project) => decode_project(project, &schema, clock),
        Step::Watermark(watermark) => {
            let column = column(watermark.column, &schema)?;
            if !matches!(
                schema.field(column).data_type(),
                DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _)
            ) {
                return Err(PlanError::Malformed("a watermark is not on a timestamp".to_owned()));
            }
            Ok((CompiledStep::Watermark { node: watermark.node, column }, schema))
        }
        Step::TimeWindow(window) => decode_window(window, schema),
    }
}

fn decode_project(
    project: &wire::Project,
    schema: &SchemaRef,
    clock: &BatchClock,
) -> Result<(CompiledStep, SchemaRef), PlanError> {
    let mut expressions = Vec::with_capacity(project.expressions.len());
    let mut fields = Vec::with_capacity(project.expressions.len());
    for named in &project.expressions {
        let expression = decode_expr(&named.expr, schema, clock)?;
        // Nullable whatever the expression says: a declared absence of nulls that a row breaks would fail the batch.
        fields.push(Field::new(&named.name, expression.data_type(schema)?, true));
        expressions.push(expression);
    }
    let after: SchemaRef = Arc::new(Schema::new(fields));
    Ok((CompiledStep::Project { expressions, schema: Arc::clone(&after) }, after))
}

fn decode_window(window: &wire::TimeWindow, schema: SchemaRef) -> Result<(CompiledStep, SchemaRef), PlanError> {
    let column = column(window.time_column, &schema)?;
    let spec = WindowSpec { size_us: window.size_us, slide_us: window.slide_us, start_us: window.start_us };
    if spec.size_us <= 0 || spec.slide_us <= 0 {
        return Err(PlanError::Malformed("a window has no length".to_owned()));
    }
    let fields = window_fields(schema.field(column).data_type());
    let after = append_field(&schema, Arc::new(Field::new(&window.output, DataType::Struct(fields), false)));
    Ok((CompiledStep::TimeWindow { column, spec, output: window.output.clone() }, after))
}

fn column(index: u32, schema: &Schema) -> Result<usize, PlanError> {
    let index = index as usize;
    if index >= schema.fields().len() {
        return Err(PlanError::Malformed(format!("a step reads column {index} of {}", schema.fields().len())));
    }
    Ok(index)
}
