//! Projections: resolved expressions as the columns of a new node, with time windows put below them.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan};

use pyrite_engine::error::SparkError;

use super::attribute::{Attribute, attribute_of};
use super::expressions::{Resolved, Resolver, column_of, watermark_of};
use super::names::same_name;
use super::node::{Node, Origin};
use super::nodes::{TimeWindow, extension, projection};
use super::pending::PendingWindow;
use super::unresolved::UnresolvedExpr;
use super::{Session, errors};

impl Session<'_> {
    /// `select`: the expressions, stars expanded. With aggregates among them it is an aggregation of all rows, as
    /// Spark.
    pub fn select(&self, input: Node, expressions: &[UnresolvedExpr]) -> Result<Node, SparkError> {
        let scope = input.output.clone();
        let mut resolver = Resolver::new(self, &scope);
        let mut items = Vec::with_capacity(expressions.len());
        for expression in expressions {
            items.extend(resolver.select_item(expression)?);
        }
        self.project(input, resolver, items)
    }

    /// `withColumn(s)`: replaces columns of the same name in their place, appends the others.
    pub fn with_columns(&self, input: Node, columns: &[(String, UnresolvedExpr)]) -> Result<Node, SparkError> {
        let scope = input.output.clone();
        let mut resolver = Resolver::new(self, &scope);
        let mut named: Vec<Resolved> = Vec::with_capacity(columns.len());
        for (name, expression) in columns {
            if named.iter().any(|earlier| same_name(earlier.column_name(), name)) {
                return Err(errors::column_already_exists(&name.to_lowercase()));
            }
            let resolved = resolver.resolve(expression)?;
            named.push(resolved.alias(name));
        }
        let mut items: Vec<Resolved> = scope
            .iter()
            .map(|attribute| {
                let replacement = named.iter().find(|column| same_name(column.column_name(), &attribute.name));
                replacement.cloned().unwrap_or_else(|| column_of(attribute))
            })
            .collect();
        let is_new =
            |column: &&Resolved| !scope.iter().any(|attribute| same_name(&attribute.name, column.column_name()));
        items.extend(named.iter().filter(is_new).cloned());
        self.project(input, resolver, items)
    }

    fn project(&self, input: Node, resolver: Resolver<'_>, items: Vec<Resolved>) -> Result<Node, SparkError> {
        let (aggregates, windows) = (resolver.aggregates, resolver.windows);
        if !aggregates.is_empty() {
            return self.aggregate_all(input, items, aggregates, windows);
        }
        let (plan, mut scope) = (input.plan.clone(), input.output.clone());
        let plan = match windows.as_slice() {
            [] => plan,
            [window] => {
                let (plan, attribute) = self.with_window(plan, &scope, window)?;
                scope.push(attribute);
                plan
            }
            _ => return Err(errors::several_windows()),
        };
        let streaming = input.streaming;
        let below = Node::whole(plan.clone(), scope.clone(), streaming);
        let (expressions, output) = self.columns(&scope, items);
        let plan = projection(plan, expressions.clone())?;
        Ok(Node { plan, output, streaming, origin: Origin::Project { input: Box::new(below), expressions } })
    }

    /// The expressions of a projection and the attributes they make. A plain column keeps its internal name, so that
    /// `df["x"]` still finds it; the second use of one gets a new name. As Spark: what an alias names is another
    /// column, even when it has the same name.
    pub fn columns(&self, scope: &[Attribute], items: Vec<Resolved>) -> (Vec<Expr>, Vec<Attribute>) {
        let mut expressions = Vec::with_capacity(items.len());
        let mut output: Vec<Attribute> = Vec::with_capacity(items.len());
        for item in items {
            let name = item.column_name().to_owned();
            let source = attribute_of(&item.typed.expr, scope);
            let reused = source.filter(|source| !output.iter().any(|known| known.column == source.column));
            let column = reused.map_or_else(|| self.column(&name), |source| source.column.clone());
            expressions.push(if reused.is_some() { item.typed.expr } else { item.typed.expr.alias(&column) });
            let mut attribute = Attribute::new(name, column, item.typed.data_type, item.typed.nullable);
            if let Some(source) = source {
                attribute.watermark_us = source.watermark_us;
                attribute.identity = if item.aliased { self.column(&attribute.name) } else { source.identity.clone() };
                if same_name(&source.name, &attribute.name) {
                    attribute.qualifiers = source.qualifiers.clone();
                }
            }
            output.push(attribute);
        }
        (expressions, output)
    }

    /// The plan with a window column appended, and that column. A time that is no plain column is computed first.
    pub fn with_window(
        &self,
        plan: LogicalPlan,
        scope: &[Attribute],
        pending: &PendingWindow,
    ) -> Result<(LogicalPlan, Attribute), SparkError> {
        let window = &pending.window;
        let (plan, time) = match &window.time.expr {
            Expr::Column(column) => (plan, column.clone()),
            computed => {
                let column = self.column("time");
                let mut expressions: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
                expressions.push(computed.clone().alias(&column));
                (projection(plan, expressions)?, Column::new_unqualified(column))
            }
        };
        let sizes = (window.size_us, window.slide_us, window.start_us);
        let node = TimeWindow::try_new(plan, time, sizes, pending.column.clone()).map_err(errors::internal)?;
        let data_type = datafusion::arrow::datatypes::DataType::Struct(pending.fields.clone());
        // As Spark: a row has its one tumbling window, while sliding ones come out of an expand.
        let nullable = window.slide_us != window.size_us;
        let mut attribute = Attribute::new(&window.name, pending.column.clone(), data_type, nullable);
        attribute.watermark_us = watermark_of(&window.time.expr, scope);
        Ok((extension(node), attribute))
    }
}
