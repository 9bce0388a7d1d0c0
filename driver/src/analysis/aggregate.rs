//! Aggregations: keys, aggregate calls taken out of expressions, and the projection that puts the results together.
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
use super::attribute::{Attribute, attribute_of};
use super::calls::{PendingAggregate, PendingWindow};
use super::expressions::{Resolved, Resolver};
use super::names::{parse_name, same_name};
use super::node::{Node, Origin, projection};
use super::unresolved::UnresolvedExpr;
use super::{Session, errors};

/// An aggregation, so that it can be made again with more columns.
#[derive(Debug, Clone)]
pub(super) struct AggregateParts {
    /// The input, with the window column where there is one.
    input: LogicalPlan,
    /// The columns that expressions may name: the input's, and the window's.
    pub scope: Vec<Attribute>,
    keys: Vec<Key>,
    pub aggregates: Vec<PendingAggregate>,
    /// The results over keys and aggregates.
    results: Vec<Expr>,
}

/// A grouping key.
#[derive(Debug, Clone)]
struct Key {
    /// Over the scope.
    expr: Expr,
    /// The column that carries it, below and above the aggregation.
    attribute: Attribute,
}

/// What an aggregation's output consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AggregateOutput {
    /// `groupBy(keys).agg(...)`: the keys, then the expressions.
    KeysFirst,
    /// SQL's select list.
    ExpressionsOnly,
}

impl Session<'_> {
    /// `groupBy(grouping).agg(expressions)`, or SQL's `SELECT expressions GROUP BY grouping`.
    pub fn aggregate(
        &self,
        input: Node,
        grouping: &[UnresolvedExpr],
        expressions: &[UnresolvedExpr],
        shape: AggregateOutput,
    ) -> Result<Node, SparkError> {
        let scope = input.output.clone();
        let mut resolver = Resolver::new(self, &scope);
        let mut keys = Vec::with_capacity(grouping.len());
        for key in grouping {
            keys.extend(self.grouping_key(&mut resolver, key, expressions)?);
        }
        if let Some(pending) = resolver.aggregates.first() {
            return Err(errors::group_by_aggregate(&pending.call.name));
        }
        resolver.bring_windows_into_scope();
        let mut items = Vec::with_capacity(expressions.len());
        for expression in expressions {
            items.extend(resolver.list_item(expression)?);
        }
        let (aggregates, windows) = (resolver.aggregates, resolver.windows);
        if shape == AggregateOutput::KeysFirst {
            items.splice(0..0, keys.iter().cloned());
        }
        self.build(input, keys, items, aggregates, &windows)
    }

    /// `select(count("*"))`: all rows are one group.
    pub fn aggregate_all(
        &self,
        input: Node,
        items: Vec<Resolved>,
        aggregates: Vec<PendingAggregate>,
        windows: Vec<PendingWindow>,
    ) -> Result<Node, SparkError> {
        self.build(input, Vec::new(), items, aggregates, &windows)
    }

    /// A key; a name that is no column may be the alias of an expression of the select list, as Spark.
    fn grouping_key(
        &self,
        resolver: &mut Resolver<'_>,
        key: &UnresolvedExpr,
        expressions: &[UnresolvedExpr],
    ) -> Result<Vec<Resolved>, SparkError> {
        let error = match resolver.list_item(key) {
            Err(error) if errors::is_unresolved_column(&error) => error,
            other => return other,
        };
        let UnresolvedExpr::Attribute { name, .. } = key else { return Err(error) };
        let parts = parse_name(name)?;
        let aliased = expressions.iter().find_map(|expression| match expression {
            UnresolvedExpr::Alias { child, names }
                if parts.len() == 1 && names.len() == 1 && same_name(&names[0], &parts[0]) =>
            {
                Some(child)
            }
            _ => None,
        });
        match aliased {
            Some(child) => resolver.list_item(child),
            None => Err(error),
        }
    }

    fn build(
        &self,
        input: Node,
        keys: Vec<Resolved>,
        items: Vec<Resolved>,
        aggregates: Vec<PendingAggregate>,
        windows: &[PendingWindow],
    ) -> Result<Node, SparkError> {
        let (mut plan, mut scope, streaming) = (input.plan, input.output, input.streaming);
        match windows {
            [] => {}
            [window] => {
                let (with_window, attribute) = self.with_window(plan, &scope, window)?;
                plan = with_window;
                scope.push(attribute);
            }
            _ => return Err(errors::several_windows()),
        }
        let keys = keys.into_iter().map(|key| self.key(&scope, key)).collect();
        let mut parts = AggregateParts { input: plan, scope, keys, aggregates, results: Vec::new() };
        let mut results = Vec::with_capacity(items.len());
        for mut item in items {
            item.typed.expr = parts.over_keys(item.typed.expr)?;
            parts.check_grouped(&item.typed, &[])?;
            results.push(item);
        }
        let key_attributes: Vec<Attribute> = parts.keys.iter().map(|key| key.attribute.clone()).collect();
        let (expressions, output) = self.columns(&key_attributes, results);
        parts.results = expressions;
        let plan = parts.plan(self, &[])?;
        Ok(Node { plan, output, streaming, origin: Origin::Aggregate(Box::new(parts)) })
    }

    fn key(&self, scope: &[Attribute], key: Resolved) -> Key {
        let name = key.column_name().to_owned();
        let attribute = match attribute_of(&key.typed.expr, scope) {
            Some(source) => {
                let qualifiers = if same_name(&source.name, &name) { source.qualifiers.clone() } else { Vec::new() };
                Attribute { name, qualifiers, ..source.clone() }
            }
            None => {
                let column = self.column(&name);
                Attribute::new(name, column, key.typed.data_type, key.typed.nullable)
            }
        };
        Key { expr: key.typed.expr, attribute }
    }
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
