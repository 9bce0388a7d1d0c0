//! A resolved streaming plan taken apart into its layers: source, what is below the aggregate, the aggregate, what is
//! above it, and what only the driver can do.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, ExprSchema};
use datafusion::logical_expr::{Aggregate, Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use indexmap::IndexMap;
use pyrite_engine::error::SparkError;

use super::driver_part::DriverPart;
use super::segment::{Barrier, Chain, column, unalias};
use super::{WatermarkSpec, identity};
use crate::analysis::nodes::{EventTimeWatermark, StreamSource, TimeWindow};

/// A plan in layers.
pub(super) struct Layers {
    pub(super) source: StreamSource,
    pub(super) below: Below,
    pub(super) aggregate: Option<AggregateNode>,
    /// Filters and projections over the aggregate's output; empty without one.
    pub(super) above: Chain,
    pub(super) driver_part: Option<DriverPart>,
}

/// The relations between the source and the aggregate (or the sink).
pub(super) struct Below {
    pub(super) chain: Chain,
    pub(super) watermarks: Vec<WatermarkSpec>,
    /// The columns of the top relation that carry a watermarked event time.
    pub(super) event_times: Vec<String>,
}

/// An aggregate: keys and calls over the columns below, and its output.
pub(super) struct AggregateNode {
    pub(super) keys: Vec<Expr>,
    pub(super) aggregates: Vec<Expr>,
    pub(super) schema: SchemaRef,
}

/// Takes a plan apart.
pub(super) fn layers(plan: &LogicalPlan) -> Result<Layers, SparkError> {
    let (top, rest) = split_driver_part(plan)?;
    let nodes = linear(rest)?;
    let (source, nodes) = match nodes.split_first() {
        Some((LogicalPlan::Extension(extension), rest)) => (as_node::<StreamSource>(extension), rest),
        _ => (None, &nodes[..]),
    };
    let source = source.ok_or_else(|| SparkError::unsupported("a streaming query without a streaming source"))?.clone();
    let mut below =
        Below { chain: Chain::over(scan_columns(&source)), watermarks: Vec::new(), event_times: Vec::new() };
    let mut aggregate = None;
    let mut above = Chain::over(IndexMap::new());
    for node in nodes {
        match (node, &aggregate) {
            (LogicalPlan::Aggregate(node), None) => {
                let node = aggregate_node(node);
                above = Chain::over(identity(&node.schema));
                aggregate = Some(node);
            }
            (LogicalPlan::Aggregate(_), Some(_)) => {
                return Err(SparkError::unsupported("a second streaming aggregation"));
            }
            (node, None) => below.add(node)?,
            (node, Some(_)) => add_plain(&mut above, node)?,
        }
    }
    Ok(Layers { source, below, aggregate, above, driver_part: top })
}

/// Everything from the lowest sort or limit up, as the driver's part, and the plan below it.
fn split_driver_part(plan: &LogicalPlan) -> Result<(Option<DriverPart>, &LogicalPlan), SparkError> {
    let mut lowest = None;
    let mut node = plan;
    while let [input] = node.inputs()[..] {
        if matches!(node, LogicalPlan::Sort(_) | LogicalPlan::Limit(_)) {
            lowest = Some(input);
        }
        node = input;
    }
    match lowest {
        Some(leaf) => Ok((Some(DriverPart::new(plan, leaf).map_err(super::from_datafusion)?), leaf)),
        None => Ok((None, plan)),
    }
}

/// The nodes of a plan without branches, from the source up.
fn linear(plan: &LogicalPlan) -> Result<Vec<&LogicalPlan>, SparkError> {
    let mut nodes = vec![plan];
    let mut node = plan;
    loop {
        match node.inputs()[..] {
            [] => break,
            [input] => {
                nodes.push(input);
                node = input;
            }
            _ => return Err(SparkError::unsupported("a streaming query with several inputs")),
        }
    }
    nodes.reverse();
    Ok(nodes)
}

fn as_node<T: UserDefinedLogicalNodeCore + 'static>(extension: &Extension) -> Option<&T> {
    extension.node.as_any().downcast_ref::<T>()
}

/// Internal names of a source's columns, each standing for the source's own name of it.
fn scan_columns(source: &StreamSource) -> IndexMap<String, Expr> {
    let fields = UserDefinedLogicalNodeCore::schema(source).fields();
    fields.iter().zip(&source.columns).map(|(field, name)| (field.name().clone(), column(name))).collect()
}

/// A source's columns under its own names.
pub(super) fn source_schema(source: &StreamSource) -> Schema {
    let fields = UserDefinedLogicalNodeCore::schema(source).fields();
    let named =
        fields.iter().zip(&source.columns).map(|(field, name)| Field::new(name, field.data_type().clone(), true));
    Schema::new(named.collect::<Vec<_>>())
}

fn aggregate_node(node: &Aggregate) -> AggregateNode {
    let fields: Vec<Arc<Field>> = node.schema.fields().iter().cloned().collect();
    AggregateNode {
        keys: node.group_expr.clone(),
        aggregates: node.aggr_expr.clone(),
        schema: Arc::new(Schema::new_with_metadata(fields, HashMap::new())),
    }
}

fn add_plain(chain: &mut Chain, node: &LogicalPlan) -> Result<(), SparkError> {
    let done = match node {
        LogicalPlan::Filter(filter) => chain.filter(filter.predicate.clone()),
        LogicalPlan::Projection(projection) => chain.project(&named(&projection.expr, node)),
        LogicalPlan::SubqueryAlias(_) => Ok(()),
        other => return Err(SparkError::unsupported(format!("`{}` in a streaming query", operator_name(other)))),
    };
    done.map_err(super::from_datafusion)
}

/// The expressions of a projection with the names of its output.
fn named(expressions: &[Expr], node: &LogicalPlan) -> Vec<(String, Expr)> {
    let names = node.schema().fields().iter().map(|field| field.name().clone());
    names.zip(expressions.iter().map(|expression| unalias(expression).clone())).collect()
}

fn operator_name(node: &LogicalPlan) -> String {
    let text = node.display().to_string();
    text.split([':', ' ']).next().unwrap_or_default().to_owned()
}

impl Below {
    fn add(&mut self, node: &LogicalPlan) -> Result<(), SparkError> {
        let LogicalPlan::Extension(extension) = node else {
            if let LogicalPlan::Projection(projection) = node {
                self.rename_event_times(&named(&projection.expr, node));
            }
            return add_plain(&mut self.chain, node);
        };
        if let Some(watermark) = as_node::<EventTimeWatermark>(extension) {
            return self.add_watermark(watermark);
        }
        if let Some(window) = as_node::<TimeWindow>(extension) {
            self.add_window(window);
            return Ok(());
        }
        Err(SparkError::unsupported(format!("`{}` in a streaming query", extension.node.name())))
    }

    fn add_watermark(&mut self, watermark: &EventTimeWatermark) -> Result<(), SparkError> {
        let field = watermark.input.schema().field_from_column(&watermark.column);
        let field = field.map_err(|error: DataFusionError| super::from_datafusion(error))?;
        if !matches!(field.data_type(), datafusion::arrow::datatypes::DataType::Timestamp(..)) {
            return Err(SparkError::unsupported("a watermark on a window column"));
        }
        if !self.watermarks.is_empty() {
            return Err(SparkError::unsupported("a second watermark in one query"));
        }
        let node = self.watermarks.len() as u32;
        self.watermarks.push(WatermarkSpec { node, delay_us: watermark.delay_us });
        let column = watermark.column.name.clone();
        self.event_times.push(column.clone());
        self.chain.barrier(Barrier::Watermark { node, column, delay_us: watermark.delay_us });
        Ok(())
    }

    fn add_window(&mut self, window: &TimeWindow) {
        if self.event_times.contains(&window.time.name) {
            self.event_times.push(window.output.clone());
        }
        self.chain.barrier(Barrier::TimeWindow {
            time: window.time.name.clone(),
            size_us: window.size_us,
            slide_us: window.slide_us,
            start_us: window.start_us,
            output: window.output.clone(),
        });
    }

    /// Follows event times through a projection's plain columns.
    fn rename_event_times(&mut self, columns: &[(String, Expr)]) {
        let known = std::mem::take(&mut self.event_times);
        for (name, expression) in columns {
            if matches!(expression, Expr::Column(column) if known.contains(&column.name)) {
                self.event_times.push(name.clone());
            }
        }
    }
}
