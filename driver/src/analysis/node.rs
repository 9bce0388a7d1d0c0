//! A resolved relation on its way to a plan, with what it was made of.
//!
//! A filter or sort may name columns that the projection or aggregation below it dropped; then that node is made again
//! with the columns it lacks ([`Session::resolve_over`]).

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan};

use pyrite_engine::error::SparkError;

use super::aggregate_parts::AggregateParts;
use super::attribute::Attribute;
use super::expressions::{Resolved, Resolver};
use super::nodes::projection;
use super::unresolved::UnresolvedExpr;
use super::{Session, errors};

/// A resolved relation.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub plan: LogicalPlan,
    pub output: Vec<Attribute>,
    pub streaming: bool,
    pub origin: Origin,
}

/// What the node can be made again from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// Its columns are all there are.
    Whole,
    /// `expressions` over `input`, all columns of the node.
    Project {
        input: Box<Node>,
        expressions: Vec<Expr>,
    },
    Aggregate(Box<AggregateParts>),
}

impl Node {
    /// A node that shows all it has.
    pub fn whole(plan: LogicalPlan, output: Vec<Attribute>, streaming: bool) -> Self {
        Node { plan, output, streaming, origin: Origin::Whole }
    }

    /// The same columns over another plan that has them.
    pub fn with_plan(self, plan: LogicalPlan) -> Self {
        Node { plan, origin: Origin::Whole, ..self }
    }

    /// A projection back to exactly the output, where the plan has more columns.
    pub fn trimmed(self) -> Result<Self, SparkError> {
        if self.plan.schema().fields().len() == self.output.len() {
            return Ok(self);
        }
        let columns = self.output.iter().map(Attribute::expr).collect();
        Ok(Node::whole(projection(self.plan, columns)?, self.output, self.streaming))
    }
}

impl Session<'_> {
    /// Resolves expressions over a node's columns; where they need more, over what the node was made of. The plan of
    /// the node that comes back may then have more columns than its output.
    ///
    /// # Errors
    /// As [`Resolver::resolve`]; `INVALID_WHERE_CONDITION` for aggregates where there is nothing to aggregate.
    pub fn resolve_over(
        &self,
        node: Node,
        expressions: &[&UnresolvedExpr],
    ) -> Result<(Node, Vec<Resolved>), SparkError> {
        let mut resolver = Resolver::new(self, &node.output);
        let first = resolve_all(&mut resolver, expressions);
        let aggregates = std::mem::take(&mut resolver.aggregates);
        refuse_windows(&resolver)?;
        match (&first, &node.origin) {
            (Ok(_), _) if aggregates.is_empty() => Ok((node, first?)),
            (Ok(resolved), Origin::Whole | Origin::Project { .. }) => {
                let names: Vec<&str> = aggregates.iter().map(|pending| pending.call.name.as_str()).collect();
                let condition = resolved.first().map_or("", |resolved| resolved.typed.name.as_str());
                Err(errors::invalid_where(condition, &names.join(", ")))
            }
            (Err(error), _) if !errors::is_unresolved_column(error) => Err(error.clone()),
            (_, Origin::Whole) => first.map(|resolved| (node, resolved)),
            (_, Origin::Project { input, expressions: made }) => {
                let mut resolver = Resolver::new(self, &node.output).with_below(&input.output);
                let resolved = resolve_all(&mut resolver, expressions).map_err(|error| first.err().unwrap_or(error))?;
                if let Some(pending) = resolver.aggregates.first() {
                    return Err(errors::invalid_where(&resolved[0].typed.name, &pending.call.name));
                }
                refuse_windows(&resolver)?;
                let mut made = made.clone();
                made.extend(missing_columns(&node.output, &resolved).into_iter().map(Expr::Column));
                let plan = projection(input.plan.clone(), made)?;
                Ok((node.with_plan(plan), resolved))
            }
            (_, Origin::Aggregate(parts)) => {
                let mut parts = parts.clone();
                let resolved = self.resolve_over_aggregate(&node, &mut parts, expressions)?;
                let missing = missing_columns(&node.output, &resolved);
                let plan = parts.plan(self, &missing)?;
                Ok((node.with_plan(plan), resolved))
            }
        }
    }

    fn resolve_over_aggregate(
        &self,
        node: &Node,
        parts: &mut AggregateParts,
        expressions: &[&UnresolvedExpr],
    ) -> Result<Vec<Resolved>, SparkError> {
        let below = parts.scope.clone();
        let mut resolver = Resolver::new(self, &node.output).with_below(&below);
        resolver.aggregates = parts.aggregates.clone();
        let mut resolved = resolve_all(&mut resolver, expressions)?;
        refuse_windows(&resolver)?;
        parts.aggregates = resolver.aggregates;
        for resolved in &mut resolved {
            resolved.typed.expr = parts.over_keys(resolved.typed.expr.clone())?;
            parts.check_grouped(&resolved.typed, &node.output)?;
        }
        Ok(resolved)
    }
}

fn resolve_all(resolver: &mut Resolver<'_>, expressions: &[&UnresolvedExpr]) -> Result<Vec<Resolved>, SparkError> {
    let mut resolved = Vec::with_capacity(expressions.len());
    for expression in expressions {
        resolved.push(resolver.resolve(expression)?);
    }
    Ok(resolved)
}

fn refuse_windows(resolver: &Resolver<'_>) -> Result<(), SparkError> {
    match resolver.windows.first() {
        Some(_) => Err(SparkError::unsupported("`window` in a filter or sort")),
        None => Ok(()),
    }
}

/// The columns that the expressions use and the output lacks, each once.
fn missing_columns(output: &[Attribute], resolved: &[Resolved]) -> Vec<Column> {
    let mut missing: Vec<Column> = Vec::new();
    for resolved in resolved {
        let mut used: Vec<Column> = resolved.typed.expr.column_refs().into_iter().cloned().collect();
        used.sort();
        for column in used {
            if !missing.contains(&column) && !output.iter().any(|attribute| attribute.column == column.name) {
                missing.push(column);
            }
        }
    }
    missing
}
