//! Batch DataFrames: the driver's own DataFusion session runs them.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError, NullHandling, Result, UnnestOptions};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{
    EmptyRelation, Expr, FetchType, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNode, lit,
};
use datafusion::prelude::SessionConfig;
use datafusion::scalar::ScalarValue;
use pyrite_engine::error::{ExceptionKind, SparkError};
use pyrite_engine::functions::CurrentTimestamp;
use pyrite_engine::functions::kernel::Kernel;
use pyrite_engine::plan::WindowSpec;

use super::nodes::{EventTimeWatermark, StreamSource, TimeWindow};
use super::session::session;
use super::stack::on_deep_stack;
use super::time_windows::windows_of;
use super::{Analyzed, Attribute, errors};

/// Batch queries of a driver are small; one partition keeps their rows in order.
const PARTITIONS: usize = 1;

/// The schema of a DataFrame under Spark's names, duplicates included.
pub fn spark_schema(output: &[Attribute]) -> SchemaRef {
    Arc::new(Schema::new(output.iter().map(Attribute::spark_field).collect::<Vec<_>>()))
}

/// A plan that DataFusion runs as it is: watermarks removed, as Spark does in batch, and windows spread by an unnest.
///
/// # Errors
/// When a streaming source is below: such queries are started, not collected.
pub fn prepare_batch(analyzed: &Analyzed) -> Result<LogicalPlan, SparkError> {
    let rewritten = analyzed.plan.clone().transform_up(|node| {
        let extension = match &node {
            LogicalPlan::Extension(extension) => extension,
            // DataFusion's sort for the first rows has no way to give none.
            LogicalPlan::Limit(limit) if matches!(limit.get_fetch_type()?, FetchType::Literal(Some(0))) => {
                let schema = Arc::clone(limit.input.schema());
                return Ok(Transformed::yes(LogicalPlan::EmptyRelation(EmptyRelation {
                    produce_one_row: false,
                    schema,
                })));
            }
            _ => return Ok(Transformed::yes(node.recompute_schema()?)),
        };
        Ok(Transformed::yes(match batch_node(extension.node.as_ref())? {
            Some(plan) => plan,
            None => node,
        }))
    });
    rewritten.map(|rewritten| rewritten.data).map_err(errors::internal)
}

fn batch_node(node: &dyn UserDefinedLogicalNode) -> Result<Option<LogicalPlan>> {
    let any: &dyn std::any::Any = node.as_any();
    if let Some(source) = any.downcast_ref::<StreamSource>() {
        let message =
            format!("Queries with streaming sources must be executed with writeStream.start();\n{}", source.format);
        return Err(DataFusionError::External(Box::new(SparkError::analysis("_LEGACY_ERROR_TEMP_3102", "", message))));
    }
    if let Some(watermark) = any.downcast_ref::<EventTimeWatermark>() {
        return Ok(Some(watermark.input.clone()));
    }
    let Some(window) = any.downcast_ref::<TimeWindow>() else { return Ok(None) };
    let spec = WindowSpec { size_us: window.size_us, slide_us: window.slide_us, start_us: window.start_us };
    let mut expressions: Vec<Expr> = window.input.schema().columns().into_iter().map(Expr::Column).collect();
    expressions.push(windows_of(Expr::Column(window.time.clone()), spec).alias(&window.output));
    let options = UnnestOptions::new().with_null_handling(NullHandling::Drop);
    LogicalPlanBuilder::new(window.input.clone())
        .project(expressions)?
        .unnest_column_with_options(Column::new_unqualified(&window.output), options)?
        .build()
        .map(Some)
}

/// Runs a batch query; the batches carry Spark's names.
///
/// # Errors
/// As [`prepare_batch`], and what a row raises, with Spark's error class.
pub async fn collect(analyzed: &Analyzed) -> Result<Vec<RecordBatch>, SparkError> {
    let context = session(SessionConfig::new().with_target_partitions(PARTITIONS), Arc::new(RuntimeEnv::default()));
    let now_us = chrono::Utc::now().timestamp_micros();
    let (state, analyzed_plan) = (context.state(), analyzed.clone());
    let plan = tokio::task::spawn_blocking(move || {
        on_deep_stack(|| {
            let plan = at_time(prepare_batch(&analyzed_plan)?, now_us).map_err(errors::internal)?;
            futures::executor::block_on(state.create_physical_plan(&plan)).map_err(runtime)
        })
    });
    let plan = plan.await.map_err(|error| runtime(DataFusionError::External(Box::new(error))))??;
    let batches = datafusion::physical_plan::collect(plan, context.task_ctx()).await.map_err(runtime)?;
    let mut renamed = Vec::with_capacity(batches.len());
    for batch in batches {
        renamed.push(rename(&batch, &analyzed.output)?);
    }
    Ok(renamed)
}

/// The plan with `current_timestamp` as a literal: one time for the whole query, as Spark.
fn at_time(plan: LogicalPlan, now_us: i64) -> Result<LogicalPlan> {
    let now = lit(ScalarValue::TimestampMicrosecond(Some(now_us), Some("UTC".into())));
    let at_time = |expr: Expr| {
        expr.transform_up(|expr| {
            Ok(match &expr {
                Expr::ScalarFunction(function) if function.func.name() == CurrentTimestamp::NAME => {
                    Transformed::yes(now.clone())
                }
                _ => Transformed::no(expr),
            })
        })
    };
    plan.transform_up(|node| node.map_expressions(at_time)).map(|plan| plan.data)
}

fn rename(batch: &RecordBatch, output: &[Attribute]) -> Result<RecordBatch, SparkError> {
    let fields: Vec<_> = output
        .iter()
        .zip(batch.columns())
        .map(|(attribute, column)| {
            attribute.spark_field().with_data_type(column.data_type().clone()).with_nullable(true)
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), batch.columns().to_vec(), &options)
        .map_err(|error| runtime(error.into()))
}

fn runtime(error: DataFusionError) -> SparkError {
    match SparkError::find(&error) {
        Some(spark) => spark.clone(),
        None => SparkError::new(ExceptionKind::Runtime, "INTERNAL_ERROR", "XX000", error.strip_backtrace()),
    }
}
