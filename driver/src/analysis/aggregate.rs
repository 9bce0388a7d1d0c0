//! Aggregations: their keys, and the aggregate calls taken out of expressions.

use pyrite_engine::error::SparkError;

use super::aggregate_parts::{AggregateParts, Key};
use super::attribute::{Attribute, attribute_of};
use super::expressions::{Resolved, Resolver};
use super::names::{parse_name, same_name};
use super::node::{Node, Origin};
use super::pending::{PendingAggregate, PendingWindow};
use super::unresolved::UnresolvedExpr;
use super::{Session, errors};

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
