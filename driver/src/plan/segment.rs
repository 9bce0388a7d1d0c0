//! Runs of filters and projections in normal form: filters first, then the columns, all over the run's input.
//!
//! A chain of relations between two barriers (a watermark, a window) becomes one segment by substituting projections into
//! what stands above them. Filters sink as far as their columns allow, so that rows leave before they are decoded.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::split_conjunction_owned;
use indexmap::IndexMap;

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

/// Filters and columns over the segment's input, then a barrier unless it is the last.
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
            while segment > 0 && self.may_sink_below(segment - 1, &conjunct)? {
                segment -= 1;
                conjunct = substitute(conjunct, &self.segments[segment].columns)?;
            }
            self.segments[segment].filters.push(conjunct);
        }
        Ok(())
    }

    fn may_sink_below(&self, segment: usize, conjunct: &Expr) -> Result<bool> {
        let barrier = self.segments[segment].barrier.as_ref().expect("only the last segment has no barrier");
        Ok(!columns_of(conjunct)?.contains(barrier.guards()))
    }

    /// Ends the current segment; the next one sees its columns, and the window if the barrier makes one.
    pub(super) fn barrier(&mut self, barrier: Barrier) {
        let last = self.last();
        let mut columns: IndexMap<String, Expr> = last.columns.keys().map(|name| (name.clone(), column(name))).collect();
        if let Barrier::TimeWindow { output, .. } = &barrier {
            columns.insert(output.clone(), column(output));
        }
        last.barrier = Some(barrier);
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
            let barrier = below.barrier.as_ref().expect("only the last segment has no barrier");
            needed.insert(barrier.reads().to_owned());
            below.columns.retain(|name, _| needed.contains(name));
        }
        Ok(())
    }
}

/// A column by its exact name.
pub(super) fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
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
        let columns = [("time".to_owned(), column("value")), ("level".to_owned(), column("value"))];
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
    fn columns_that_nothing_reads_are_dropped() {
        let mut chain = chain();
        chain.project(&[("one".to_owned(), lit(1))]).expect("projects");
        chain.prune().expect("prunes");
        assert_eq!(chain.segments[0].columns.keys().collect::<Vec<_>>(), ["time"]);
    }
}
