//! Runs of filters and projections in normal form: filters first, then the columns, all over the run's input.
//!
//! A chain of relations between two barriers (a watermark, a window) becomes one segment by substituting projections
//! into what stands above them. Filters sink as far as their columns allow, so that rows leave before they are decoded.
//!
//! Substituting doubles an expression that is named twice, and a chain of such projections doubles it each time: what
//! would grow beyond [`NODES_MAX`] is computed in a segment of its own instead.

use std::collections::{BTreeSet, HashMap};

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::split_conjunction_owned;
use indexmap::IndexMap;

/// How many nodes the expressions of a projection, or a sunk filter, may have after substitution.
const NODES_MAX: usize = 5_000;

/// What ends a segment.
#[derive(Debug, Clone)]
pub(super) enum Barrier {
    /// Observes the times of a column.
    Watermark { node: u32, column: String, delay_us: i64 },
    /// Appends a window column over a time column.
    TimeWindow { time: String, size_us: i64, slide_us: i64, start_us: i64, output: String },
}

impl Barrier {
    /// The column a filter must not name to sink below: the event time, or the window.
    fn guards(&self) -> &str {
        match self {
            Barrier::Watermark { column, .. } => column,
            Barrier::TimeWindow { output, .. } => output,
        }
    }

    /// The input column that the barrier itself reads.
    fn reads(&self) -> &str {
        match self {
            Barrier::Watermark { column, .. } => column,
            Barrier::TimeWindow { time, .. } => time,
        }
    }
}

/// Filters and columns over the segment's input, then a barrier, unless it is the last or was ended for its size.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) filters: Vec<Expr>,
    pub(super) columns: IndexMap<String, Expr>,
    pub(super) barrier: Option<Barrier>,
}

/// Segments from the source upwards.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) segments: Vec<Segment>,
}

impl Chain {
    /// A chain over an input whose columns are called differently above: name above to expression over the input.
    pub(super) fn over(columns: IndexMap<String, Expr>) -> Self {
        Chain { segments: vec![Segment { filters: Vec::new(), columns, barrier: None }] }
    }

    fn last(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a chain has a segment")
    }

    /// Replaces the columns.
    pub(super) fn project(&mut self, expressions: &[(String, Expr)]) -> Result<()> {
        let sizes = sizes(&self.last().columns)?;
        let mut nodes = 0usize;
        for (_, expression) in expressions {
            nodes = nodes.saturating_add(substituted_size(expression, &sizes)?);
        }
        if nodes > NODES_MAX {
            self.end_segment(None);
        }
        let last = self.last();
        let mut columns = IndexMap::with_capacity(expressions.len());
        for (name, expression) in expressions {
            columns.insert(name.clone(), substitute(expression.clone(), &last.columns)?);
        }
        last.columns = columns;
        Ok(())
    }

    /// Adds a filter; each conjunct sinks below the barriers whose columns it does not name.
    pub(super) fn filter(&mut self, predicate: Expr) -> Result<()> {
        for conjunct in split_conjunction_owned(predicate) {
            let mut segment = self.segments.len() - 1;
            let mut conjunct = substitute(conjunct, &self.segments[segment].columns)?;
            while segment > 0 && self.may_sink_into(segment - 1, &conjunct)? {
                segment -= 1;
                conjunct = substitute(conjunct, &self.segments[segment].columns)?;
            }
            self.segments[segment].filters.push(conjunct);
        }
        Ok(())
    }

    fn may_sink_into(&self, segment: usize, conjunct: &Expr) -> Result<bool> {
        let Segment { columns, barrier, .. } = &self.segments[segment];
        let guarded = barrier.as_ref().map(Barrier::guards);
        let is_free = match guarded {
            Some(guarded) => !columns_of(conjunct)?.contains(guarded),
            None => true,
        };
        Ok(is_free && substituted_size(conjunct, &sizes(columns)?)? <= NODES_MAX)
    }

    /// Ends the current segment; the next one sees its columns, and the window if the barrier makes one.
    pub(super) fn barrier(&mut self, barrier: Barrier) {
        self.end_segment(Some(barrier));
    }

    fn end_segment(&mut self, barrier: Option<Barrier>) {
        let last = self.last();
        let mut columns: IndexMap<String, Expr> =
            last.columns.keys().map(|name| (name.clone(), column(name))).collect();
        if let Some(Barrier::TimeWindow { output, .. }) = &barrier {
            columns.insert(output.clone(), column(output));
        }
        last.barrier = barrier;
        self.segments.push(Segment { filters: Vec::new(), columns, barrier: None });
    }

    /// Drops the columns that nothing above reads; the last segment's are all read.
    pub(super) fn prune(&mut self) -> Result<()> {
        for index in (1..self.segments.len()).rev() {
            let mut needed = BTreeSet::new();
            let above = &self.segments[index];
            for expression in above.filters.iter().chain(above.columns.values()) {
                needed.extend(columns_of(expression)?);
            }
            let below = &mut self.segments[index - 1];
            needed.extend(below.barrier.as_ref().map(|barrier| barrier.reads().to_owned()));
            below.columns.retain(|name, _| needed.contains(name));
        }
        Ok(())
    }
}

/// A column by its exact name.
pub(super) fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// The number of nodes of each column's expression.
fn sizes(columns: &IndexMap<String, Expr>) -> Result<HashMap<&str, usize>> {
    let none = HashMap::new();
    columns.iter().map(|(name, expression)| Ok((name.as_str(), substituted_size(expression, &none)?))).collect()
}

/// The number of nodes of an expression once columns are replaced by expressions of the given sizes.
fn substituted_size(expression: &Expr, sizes: &HashMap<&str, usize>) -> Result<usize> {
    let mut nodes = 0usize;
    expression.apply(|node| {
        let size = match node {
            Expr::Column(reference) => sizes.get(reference.name.as_str()).copied().unwrap_or(1),
            _ => 1,
        };
        nodes = nodes.saturating_add(size);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(nodes)
}

/// The expression with columns replaced by what they stand for.
pub(super) fn substitute(expression: Expr, columns: &IndexMap<String, Expr>) -> Result<Expr> {
    let replaced = expression.transform_up(|node| {
        Ok(match &node {
            Expr::Column(reference) => match columns.get(&reference.name) {
                Some(meaning) => Transformed::yes(meaning.clone()),
                None => Transformed::no(node),
            },
            _ => Transformed::no(node),
        })
    })?;
    Ok(replaced.data)
}

/// The names of the columns that an expression reads.
pub(super) fn columns_of(expression: &Expr) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    expression.apply(|node| {
        if let Expr::Column(reference) = node {
            names.insert(reference.name.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(names)
}

/// The expression below any aliases.
pub(super) fn unalias(expression: &Expr) -> &Expr {
    let mut expression = expression;
    while let Expr::Alias(alias) = expression {
        expression = &alias.expr;
    }
    expression
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::lit;

    fn chain() -> Chain {
        let mut chain = Chain::over(IndexMap::from([("value".to_owned(), column("value"))]));
        let columns = ["time", "level", "n"].map(|name| (name.to_owned(), column("value")));
        chain.project(&columns).expect("projects");
        chain.barrier(Barrier::Watermark { node: 0, column: "time".to_owned(), delay_us: 5 });
        chain
    }

    #[test]
    fn a_filter_on_other_columns_sinks_below_the_watermark() {
        let mut chain = chain();
        chain.filter(column("level").eq(lit("High"))).expect("filters");
        assert_eq!(chain.segments[0].filters, [column("value").eq(lit("High"))]);
        assert!(chain.segments[1].filters.is_empty());
    }

    #[test]
    fn a_filter_on_the_event_time_stays_above_the_watermark() {
        let mut chain = chain();
        chain.filter(column("time").is_not_null().and(column("level").eq(lit("High")))).expect("filters");
        assert_eq!(chain.segments[0].filters.len(), 1);
        assert_eq!(chain.segments[1].filters, [column("time").is_not_null()]);
    }

    #[test]
    fn a_chain_that_names_a_column_twice_each_time_stays_small_and_a_filter_above_it_whole() {
        let mut chain = chain();
        for _ in 0..60 {
            chain.project(&[("n".to_owned(), column("n") + column("n"))]).expect("projects");
        }
        chain.filter(column("n").gt(lit(1))).expect("filters");
        let size = |expression: &Expr| substituted_size(expression, &HashMap::new()).expect("counts");
        let nodes: usize =
            chain.segments.iter().flat_map(|s| s.filters.iter().chain(s.columns.values())).map(size).sum();
        assert!(nodes < 10 * NODES_MAX, "{nodes}");
        assert!((6..12).contains(&chain.segments.len()), "{}", chain.segments.len());
        assert_eq!(chain.segments.iter().map(|segment| segment.filters.len()).sum::<usize>(), 1);
    }

    #[test]
    fn columns_that_nothing_reads_are_dropped() {
        let mut chain = chain();
        chain.project(&[("one".to_owned(), lit(1))]).expect("projects");
        chain.prune().expect("prunes");
        assert_eq!(chain.segments[0].columns.keys().collect::<Vec<_>>(), ["time"]);
    }
}
