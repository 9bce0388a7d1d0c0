//! An aggregation taken apart, so that it can be made again with more columns, and the plan that it makes.
//!
//! ```text
//! input -> [Projection: the window's time] -> [TimeWindow] -> [Projection: keys and arguments that are no columns]
//!       -> Aggregate: keys are plain columns, arguments plain columns or literals -> [Projection: sum(a) / count(1)]
//! ```

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use pyrite_engine::error::SparkError;
use pyrite_engine::functions::Typed;

use super::aggregates::aggregate_expr;
use super::attribute::Attribute;
use super::nodes::projection;
use super::pending::PendingAggregate;
use super::{Session, errors};

/// An aggregation, so that it can be made again with more columns.
#[derive(Debug, Clone)]
pub(super) struct AggregateParts {
    /// The input, with the window column where there is one.
    pub input: LogicalPlan,
    /// The columns that expressions may name: the input's, and the window's.
    pub scope: Vec<Attribute>,
    pub keys: Vec<Key>,
    pub aggregates: Vec<PendingAggregate>,
    /// The results over keys and aggregates.
    pub results: Vec<Expr>,
}

/// A grouping key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Over the scope.
    pub expr: Expr,
    /// The column that carries it, below and above the aggregation.
    pub attribute: Attribute,
}

impl AggregateParts {
    /// The expression with grouping expressions replaced by their keys' columns.
    pub fn over_keys(&self, expr: Expr) -> Result<Expr, SparkError> {
        let replaced = expr.transform_down(|node| {
            if matches!(node, Expr::Literal(..)) {
                return Ok(Transformed::no(node));
            }
            Ok(match self.keys.iter().find(|key| key.expr == node) {
                Some(key) => Transformed::new(key.attribute.expr(), true, TreeNodeRecursion::Jump),
                None => Transformed::no(node),
            })
        });
        replaced.map(|replaced| replaced.data).map_err(errors::internal)
    }

    /// Fails where an expression uses a column that is neither key nor aggregate nor one of `also`.
    pub fn check_grouped(&self, typed: &Typed, also: &[Attribute]) -> Result<(), SparkError> {
        for column in typed.expr.column_refs() {
            let known = self.keys.iter().any(|key| key.attribute.column == column.name)
                || self.aggregates.iter().any(|pending| pending.column == column.name)
                || also.iter().any(|attribute| attribute.column == column.name);
            if known {
                continue;
            }
            if self.keys.is_empty() {
                return Err(errors::missing_group_by());
            }
            let name = self
                .scope
                .iter()
                .find(|attribute| attribute.column == column.name)
                .map_or(column.name.as_str(), |attribute| &attribute.name);
            return Err(errors::missing_aggregation(name));
        }
        Ok(())
    }

    /// The plan of the results, and of `more` columns of keys and aggregates.
    pub fn plan(&self, session: &Session<'_>, more: &[Column]) -> Result<LogicalPlan, SparkError> {
        let mut computed = Vec::new();
        let mut kept: Vec<Column> = Vec::new();
        let mut keys = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            keep_or_compute(&key.expr, &key.attribute.column, &mut kept, &mut computed);
            if !keys.contains(&key.attribute.expr()) {
                keys.push(key.attribute.expr());
            }
        }
        let mut calls = Vec::with_capacity(self.aggregates.len());
        for pending in &self.aggregates {
            let mut args = Vec::with_capacity(pending.call.args.len());
            for arg in &pending.call.args {
                args.push(match &arg.expr {
                    Expr::Literal(..) => arg.expr.clone(),
                    other => {
                        let column = match other {
                            Expr::Column(column) => column.name.clone(),
                            _ => session.column(&arg.name),
                        };
                        keep_or_compute(other, &column, &mut kept, &mut computed);
                        Expr::Column(Column::new_unqualified(column))
                    }
                });
            }
            calls.push(aggregate_expr(&pending.call, args).alias(&pending.column));
        }
        let mut input = self.input.clone();
        if !computed.is_empty() {
            let expressions = kept.into_iter().map(Expr::Column).chain(computed).collect();
            input = projection(input, expressions)?;
        }
        let aggregate = Aggregate::try_new(Arc::new(input), keys, calls).map_err(errors::internal)?;
        let plan = LogicalPlan::Aggregate(aggregate);
        let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let mut results = self.results.clone();
        results.extend(more.iter().cloned().map(Expr::Column));
        if results == columns { Ok(plan) } else { projection(plan, results) }
    }
}

/// Puts a column among those to keep, anything else among those to compute under the name `column`.
fn keep_or_compute(expr: &Expr, column: &str, kept: &mut Vec<Column>, computed: &mut Vec<Expr>) {
    match expr {
        Expr::Column(plain) => {
            if !kept.contains(plain) {
                kept.push(plain.clone());
            }
        }
        other => {
            let aliased = other.clone().alias(column);
            if !computed.contains(&aliased) {
                computed.push(aliased);
            }
        }
    }
}
