//! What a streaming query may be, by output mode: Spark's `UnsupportedOperationChecker` for what Pyrite has.

use std::any::Any;
use std::collections::BTreeSet;

use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use pyrite_engine::error::SparkError;
pub use pyrite_engine::plan::OutputMode;

use super::Analyzed;
use super::explain::plan_tree;
use super::nodes::{EventTimeWatermark, StreamSource, TimeWindow};

/// Refuses what cannot run as a stream in `mode`.
///
/// # Errors
/// Spark's errors for what Spark refuses, `UNSUPPORTED_FEATURE` for what Pyrite lacks.
pub fn check_streaming(analyzed: &Analyzed, mode: OutputMode) -> Result<(), SparkError> {
    if !analyzed.streaming {
        return Err(SparkError::analysis(
            "WRITE_STREAM_NOT_ALLOWED",
            "42601",
            "`writeStream` can be called only on streaming Dataset/DataFrame.",
        ));
    }
    let mut found = Found::default();
    walk(&analyzed.plan, &mut found)?;
    match (found.aggregates.as_slice(), mode) {
        ([], OutputMode::Complete) => return Err(unsupported_mode(mode, "no streaming aggregations")),
        ([_, _, ..], _) => return Err(SparkError::unsupported("more than one streaming aggregation in a query")),
        ([aggregate], OutputMode::Append) if !aggregate.has_event_time => {
            return Err(unsupported_mode(mode, "streaming aggregations without watermark"));
        }
        _ => {}
    }
    let complete = mode == OutputMode::Complete;
    if found.sorts && !(complete && found.sorted_after_aggregate) {
        return Err(operation(
            &analyzed.plan,
            "Sorting is not supported on streaming DataFrames/Datasets, unless it is on aggregated \
            DataFrame/Dataset in Complete output mode",
        ));
    }
    if found.limits && mode == OutputMode::Update {
        let message = "Limits are not supported on streaming DataFrames/Datasets in Update output mode";
        return Err(operation(&analyzed.plan, message));
    }
    if found.limits && !complete {
        return Err(SparkError::unsupported("`limit` on a streaming DataFrame in append mode"));
    }
    if found.limits_below_aggregate {
        return Err(SparkError::unsupported("`limit` below a streaming aggregation"));
    }
    Ok(())
}

/// What a plan has, from the top down.
#[derive(Debug, Default)]
struct Found {
    aggregates: Vec<FoundAggregate>,
    sorts: bool,
    /// Every sort is above an aggregation.
    sorted_after_aggregate: bool,
    limits: bool,
    limits_below_aggregate: bool,
}

#[derive(Debug)]
struct FoundAggregate {
    /// A key is an event time with a watermark, or a window of one.
    has_event_time: bool,
}

fn walk(plan: &LogicalPlan, found: &mut Found) -> Result<(), SparkError> {
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::Extension(_) => {}
        LogicalPlan::Aggregate(aggregate) => {
            found.aggregates.push(FoundAggregate { has_event_time: has_event_time(aggregate) })
        }
        LogicalPlan::Sort(_) => {
            let after_aggregate = found.aggregates.is_empty() && has_aggregate(plan);
            found.sorted_after_aggregate = after_aggregate && (found.sorted_after_aggregate || !found.sorts);
            found.sorts = true;
        }
        LogicalPlan::Limit(_) => {
            found.limits = true;
            found.limits_below_aggregate |= !found.aggregates.is_empty();
        }
        LogicalPlan::Distinct(_) => {
            return Err(SparkError::unsupported("`distinct` and `dropDuplicates` on a streaming DataFrame"));
        }
        LogicalPlan::Union(_) => return Err(SparkError::unsupported("`union` of streaming DataFrames")),
        LogicalPlan::Join(_) => return Err(SparkError::unsupported("a join with a streaming DataFrame")),
        LogicalPlan::TableScan(_) | LogicalPlan::EmptyRelation(_) => {
            return Err(SparkError::unsupported("a batch relation inside a streaming query"));
        }
        other => {
            let text = other.display().to_string();
            let name = text.split([':', ' ']).next().unwrap_or_default().to_owned();
            return Err(SparkError::unsupported(format!("`{name}` in a streaming query")));
        }
    }
    for input in plan.inputs() {
        walk(input, found)?;
    }
    Ok(())
}

fn has_aggregate(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Aggregate(_)) || plan.inputs().iter().any(|input| has_aggregate(input))
}

fn has_event_time(aggregate: &Aggregate) -> bool {
    let event_times = event_times(&aggregate.input);
    aggregate.group_expr.iter().any(|key| matches!(key, Expr::Column(column) if event_times.contains(&column.name)))
}

/// The columns of a plan that carry a watermarked event time, windows of one included.
fn event_times(plan: &LogicalPlan) -> BTreeSet<String> {
    let mut below: BTreeSet<String> = plan.inputs().iter().flat_map(|input| event_times(input)).collect();
    match plan {
        LogicalPlan::Projection(projection) => {
            let fields = projection.schema.fields();
            let kept = projection.expr.iter().zip(fields).filter(|(expr, _)| match without_alias(expr) {
                Expr::Column(column) => below.contains(&column.name),
                _ => false,
            });
            kept.map(|(_, field)| field.name().clone()).collect()
        }
        LogicalPlan::Extension(extension) => {
            let any: &dyn Any = extension.node.as_any();
            if let Some(watermark) = any.downcast_ref::<EventTimeWatermark>() {
                return BTreeSet::from([watermark.column.name.clone()]);
            }
            if let Some(window) = any.downcast_ref::<TimeWindow>().filter(|window| below.contains(&window.time.name)) {
                below.insert(window.output.clone());
            }
            debug_assert!(!plan.inputs().is_empty() || any.downcast_ref::<StreamSource>().is_some());
            below
        }
        _ => below,
    }
}

fn without_alias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => without_alias(&alias.expr),
        other => other,
    }
}

fn unsupported_mode(mode: OutputMode, operation: &str) -> SparkError {
    let mode = match mode {
        OutputMode::Append => "append",
        OutputMode::Update => "update",
        OutputMode::Complete => "complete",
    };
    let message = format!(
        "Invalid streaming output mode: {mode}. This output mode is not supported for {operation} \
        on streaming DataFrames/DataSets."
    );
    SparkError::analysis("STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION", "42KDE", message)
        .with("outputMode", mode)
        .with("operation", operation)
}

/// What Spark refuses by operator; its message ends with the plan.
fn operation(plan: &LogicalPlan, message: &str) -> SparkError {
    let text = format!("{message};\n{}", plan_tree(plan));
    SparkError::analysis("_LEGACY_ERROR_TEMP_3102", "", text).with("msg", message)
}
