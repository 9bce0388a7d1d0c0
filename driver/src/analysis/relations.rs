//! Relations: one match over the unresolved nodes, and the small ones among them.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::{Distinct, DistinctOn, Expr, Filter, Limit, LogicalPlan, Sort, SortExpr, Union, lit};
use datafusion::scalar::ScalarValue;

use pyrite_engine::cast::{Cast, CastMode};
use pyrite_engine::error::SparkError;
use pyrite_engine::functions::{common_type, is_orderable};
use pyrite_engine::types::Zone;

use super::aggregate::AggregateOutput;
use super::attribute::Attribute;
use super::expressions::{Resolver, column_of};
use super::names::{find, parse_name, same_name, unresolved_column};
use super::node::Node;
use super::nodes::{EventTimeWatermark, extension, projection};
use super::unresolved::{Relation, RelationNode, SortKey, UnresolvedExpr};
use super::{Session, errors};
use crate::sql::{self, IntervalValue};

/// The deepest nesting of relations, views included; deeper ones are refused instead of overflowing the stack.
const DEPTH_MAX: usize = 1_024;
/// A month in a watermark's delay, as Spark: 31 days.
const MONTH_US: i64 = 31 * 24 * 60 * 60 * 1_000_000;

impl Session<'_> {
    /// Resolves a relation and notes its output under its plan id.
    pub fn relation(&self, relation: &Relation) -> Result<Node, SparkError> {
        self.depth.set(self.depth.get() + 1);
        if self.depth.get() > DEPTH_MAX {
            return Err(SparkError::unsupported(format!("a plan nested deeper than {DEPTH_MAX}")));
        }
        let node = self.relation_node(&relation.node)?;
        self.depth.set(self.depth.get() - 1);
        if let Some(plan_id) = relation.plan_id {
            self.plan_outputs.borrow_mut().insert(plan_id, node.output.clone());
        }
        Ok(node)
    }

    fn relation_node(&self, node: &RelationNode) -> Result<Node, SparkError> {
        match node {
            RelationNode::Read(read) => self.read(read),
            RelationNode::NamedTable { name, streaming } => self.named_table(name, *streaming),
            RelationNode::Local { batches, schema } => self.local(batches, schema.as_deref()),
            RelationNode::Range { start, end, step } => self.range(*start, *end, *step),
            RelationNode::Project { input: None, expressions } => self.select(self.one_row()?, expressions),
            RelationNode::Project { input: Some(input), expressions } => {
                self.select(self.relation(input)?, expressions)
            }
            RelationNode::Filter { input, condition } => self.filter(self.relation(input)?, condition),
            RelationNode::WithColumns { input, columns } => self.with_columns(self.relation(input)?, columns),
            RelationNode::WithColumnsRenamed { input, renames } => Ok(rename(self.relation(input)?, renames)),
            RelationNode::Drop { input, names, columns } => self.drop_columns(self.relation(input)?, names, columns),
            RelationNode::SubqueryAlias { input, alias } => {
                let mut node = self.relation(input)?;
                let parts = parse_name(alias).unwrap_or_else(|_| vec![alias.clone()]);
                node.output.iter_mut().for_each(|attribute| attribute.qualifiers.clone_from(&parts));
                Ok(node)
            }
            RelationNode::ToDf { input, names } => to_df(self.relation(input)?, names),
            RelationNode::Aggregate { input, grouping, aggregates } => {
                self.aggregate(self.relation(input)?, grouping, aggregates, AggregateOutput::KeysFirst)
            }
            RelationNode::GroupBySelect { input, grouping, select } => {
                self.aggregate(self.relation(input)?, grouping, select, AggregateOutput::ExpressionsOnly)
            }
            RelationNode::Sort { input, keys } => self.sort(self.relation(input)?, keys),
            RelationNode::Limit { input, count } => limit(self.relation(input)?, None, Some(*count)),
            RelationNode::Offset { input, count } => limit(self.relation(input)?, Some(*count), None),
            RelationNode::WithWatermark { input, column, delay } => {
                self.watermark(self.relation(input)?, column, delay)
            }
            RelationNode::Deduplicate { within_watermark: true, .. } => {
                Err(SparkError::unsupported("dropDuplicatesWithinWatermark"))
            }
            RelationNode::Deduplicate { input, columns, all_columns, .. } => {
                let columns: &[String] = if *all_columns { &[] } else { columns };
                deduplicate(self.relation(input)?, columns)
            }
            RelationNode::Union { left, right, by_name, allow_missing } => {
                let (left, right) = (self.relation(left)?, self.relation(right)?);
                if *by_name { self.union_by_name(left, right, *allow_missing) } else { self.union(left, right) }
            }
            RelationNode::Sql { text } => self.relation(&sql::parse_query(text)?),
            RelationNode::View { input, views } => {
                self.scopes.borrow_mut().push(views.clone());
                let node = self.relation(input);
                self.scopes.borrow_mut().pop();
                node
            }
        }
    }

    fn filter(&self, input: Node, condition: &UnresolvedExpr) -> Result<Node, SparkError> {
        let (node, resolved) = self.resolve_over(input, &[condition])?;
        let condition = resolved.into_iter().next().map(|resolved| resolved.typed);
        let Some(condition) = condition else { return Err(SparkError::unsupported("a filter without a condition")) };
        if !matches!(condition.data_type, DataType::Boolean | DataType::Null) {
            return Err(errors::filter_not_boolean(&condition.name, &condition.data_type));
        }
        let filter = Filter::try_new(condition.expr, Arc::new(node.plan.clone())).map_err(errors::internal)?;
        node.with_plan(LogicalPlan::Filter(filter)).trimmed()
    }

    fn drop_columns(&self, input: Node, names: &[String], columns: &[UnresolvedExpr]) -> Result<Node, SparkError> {
        let mut dropped: Vec<String> = Vec::new();
        for column in columns {
            let mut resolver = Resolver::new(self, &input.output);
            match resolver.resolve(column) {
                Ok(resolved) => {
                    dropped.extend(resolved.typed.expr.column_refs().iter().map(|column| column.name.clone()))
                }
                Err(error) if errors::is_unresolved_column(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let gone = |attribute: &Attribute| {
            names.iter().any(|name| same_name(name, &attribute.name)) || dropped.contains(&attribute.column)
        };
        let output: Vec<Attribute> = input.output.iter().filter(|attribute| !gone(attribute)).cloned().collect();
        if output.len() == input.output.len() {
            return Ok(input);
        }
        let plan = projection(input.plan, output.iter().map(Attribute::expr).collect())?;
        Ok(Node::whole(plan, output, input.streaming))
    }

    fn sort(&self, input: Node, keys: &[SortKey]) -> Result<Node, SparkError> {
        let keys: Vec<&SortKey> = keys.iter().map(inner_key).collect();
        let expressions: Vec<&UnresolvedExpr> = keys.iter().map(|key| &key.expression).collect();
        let (node, resolved) = self.resolve_over(input, &expressions)?;
        let mut sort = Vec::with_capacity(keys.len());
        for (key, resolved) in keys.iter().zip(resolved) {
            if !is_orderable(&resolved.typed.data_type) {
                return Err(errors::no_order(&resolved.typed));
            }
            let expr = match &resolved.typed.literal {
                Some(ScalarValue::Int32(Some(position))) => ordinal(*position, &node.output)?,
                _ => resolved.typed.expr,
            };
            sort.push(SortExpr::new(expr, key.ascending, key.nulls_first.unwrap_or(key.ascending)));
        }
        let plan = LogicalPlan::Sort(Sort { expr: sort, input: Arc::new(node.plan.clone()), fetch: None });
        node.with_plan(plan).trimmed()
    }

    fn watermark(&self, input: Node, column: &str, delay: &str) -> Result<Node, SparkError> {
        let delay_us = delay_us(delay)?;
        let parts = parse_name(column)?;
        let event_time = match find(&parts, &input.output)? {
            Some(found) if found.fields.is_empty() => found.attribute.clone(),
            _ => return Err(unresolved_column(column, &input.output)),
        };
        if !is_event_time(&event_time.data_type) {
            return Err(errors::event_time_type(&event_time.name, &event_time.data_type));
        }
        let node = EventTimeWatermark {
            input: input.plan.clone(),
            column: Column::new_unqualified(&event_time.column),
            delay_us,
            node_id: self.node_id(),
        };
        let mut output = input.output.clone();
        for attribute in &mut output {
            // As Spark: the newest watermark is the only one a relation's columns carry.
            attribute.watermark_us = (attribute.column == event_time.column).then_some(delay_us);
        }
        Ok(Node::whole(extension(node), output, input.streaming))
    }

    fn union(&self, left: Node, right: Node) -> Result<Node, SparkError> {
        if left.output.len() != right.output.len() {
            return Err(errors::columns_mismatch(left.output.len(), right.output.len()));
        }
        let (mut of_left, mut of_right, mut output) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (a, b)) in left.output.iter().zip(&right.output).enumerate() {
            let common = common_type(&a.data_type, &b.data_type)
                .ok_or_else(|| errors::incompatible_column(index, &a.data_type, &b.data_type))?;
            let column = self.column(&a.name);
            of_left.push(self.as_type(a, &common)?.alias(&column));
            of_right.push(self.as_type(b, &common)?.alias(&column));
            output.push(Attribute::new(&a.name, column, common, a.nullable || b.nullable));
        }
        let inputs = vec![Arc::new(projection(left.plan, of_left)?), Arc::new(projection(right.plan, of_right)?)];
        let plan = LogicalPlan::Union(Union::try_new_with_loose_types(inputs).map_err(errors::internal)?);
        Ok(Node::whole(plan, output, left.streaming || right.streaming))
    }

    fn union_by_name(&self, left: Node, right: Node, allow_missing: bool) -> Result<Node, SparkError> {
        let missing_right: Vec<&Attribute> =
            right.output.iter().filter(|b| !left.output.iter().any(|a| same_name(&a.name, &b.name))).collect();
        if !missing_right.is_empty() && !allow_missing {
            return Err(errors::columns_mismatch(left.output.len(), right.output.len()));
        }
        let left = if missing_right.is_empty() { left } else { self.with_nulls(left.clone(), &missing_right)? };
        let missing_left: Vec<&Attribute> =
            left.output.iter().filter(|a| !right.output.iter().any(|b| same_name(&a.name, &b.name))).collect();
        if let Some(first) = missing_left.first().filter(|_| !allow_missing) {
            return Err(among_fields(&first.name, &right.output));
        }
        let mut right = if missing_left.is_empty() { right } else { self.with_nulls(right.clone(), &missing_left)? };
        let mut ordered = Vec::with_capacity(left.output.len());
        for attribute in &left.output {
            let same = right.output.iter().find(|other| same_name(&other.name, &attribute.name));
            ordered.extend(same.cloned());
        }
        right.plan = projection(right.plan, ordered.iter().map(Attribute::expr).collect())?;
        right.output = ordered;
        self.union(left, right)
    }

    /// The node with a null column for each of `missing`.
    fn with_nulls(&self, node: Node, missing: &[&Attribute]) -> Result<Node, SparkError> {
        let mut items: Vec<_> = node.output.iter().map(column_of).collect();
        for attribute in missing {
            let mut null = column_of(attribute);
            null.typed.expr = lit(ScalarValue::try_from(&attribute.data_type).map_err(errors::internal)?);
            null.typed.nullable = true;
            items.push(null);
        }
        let (expressions, output) = self.columns(&node.output, items);
        Ok(Node::whole(projection(node.plan, expressions)?, output, node.streaming))
    }

    fn as_type(&self, attribute: &Attribute, to: &DataType) -> Result<Expr, SparkError> {
        if attribute.data_type == *to {
            return Ok(attribute.expr());
        }
        let zone = Zone::parse(&self.settings.time_zone).unwrap_or_else(Zone::utc);
        Ok(Cast { to: to.clone(), mode: CastMode::of_session(self.settings.ansi), zone }.expr(attribute.expr()))
    }
}

/// `Column.desc()` inside of an `orderBy` decides over the key around it.
fn inner_key(key: &SortKey) -> &SortKey {
    match &key.expression {
        UnresolvedExpr::Sort(inner) => inner_key(inner),
        _ => key,
    }
}

fn ordinal(position: i32, output: &[Attribute]) -> Result<Expr, SparkError> {
    let attribute = usize::try_from(position).ok().and_then(|position| output.get(position.checked_sub(1)?));
    attribute.map(Attribute::expr).ok_or_else(|| errors::sort_position(position, output.len()))
}

fn rename(mut node: Node, renames: &[(String, String)]) -> Node {
    for (from, to) in renames {
        for attribute in node.output.iter_mut().filter(|attribute| same_name(&attribute.name, from)) {
            attribute.name.clone_from(to);
        }
    }
    node
}

fn to_df(mut node: Node, names: &[String]) -> Result<Node, SparkError> {
    if names.len() != node.output.len() {
        let old: Vec<&str> = node.output.iter().map(|attribute| attribute.name.as_str()).collect();
        return Err(errors::requirement(format!(
            "The number of columns doesn't match.\nOld column names ({}): {}\nNew column names ({}): {}",
            old.len(),
            old.join(", "),
            names.len(),
            names.join(", ")
        )));
    }
    for (attribute, name) in node.output.iter_mut().zip(names) {
        attribute.name.clone_from(name);
        attribute.qualifiers.clear();
    }
    Ok(node)
}

fn limit(node: Node, skip: Option<i64>, fetch: Option<i64>) -> Result<Node, SparkError> {
    if let Some(count) = skip.into_iter().chain(fetch).find(|count| *count < 0) {
        let message = format!(
            "The limit like expression \"{count}\" is invalid. The limit expression must be equal \
            to or greater than 0, but got {count}."
        );
        return Err(SparkError::analysis("INVALID_LIMIT_LIKE_EXPRESSION.IS_NEGATIVE", "42K0E", message));
    }
    let boxed = |count: Option<i64>| count.map(|count| Box::new(lit(count)));
    let plan = LogicalPlan::Limit(Limit { skip: boxed(skip), fetch: boxed(fetch), input: Arc::new(node.plan.clone()) });
    Ok(node.with_plan(plan))
}

fn deduplicate(node: Node, columns: &[String]) -> Result<Node, SparkError> {
    let input = Arc::new(node.plan.clone());
    if columns.is_empty() {
        return Ok(node.with_plan(LogicalPlan::Distinct(Distinct::All(input))));
    }
    let mut on = Vec::with_capacity(columns.len());
    for name in columns {
        let matches = node.output.iter().filter(|attribute| same_name(&attribute.name, name));
        let before = on.len();
        on.extend(matches.map(Attribute::expr));
        if on.len() == before {
            return Err(among_fields(name, &node.output));
        }
    }
    let select = node.output.iter().map(Attribute::expr).collect();
    let distinct = DistinctOn::try_new(on, select, None, input).map_err(errors::internal)?;
    Ok(node.with_plan(LogicalPlan::Distinct(Distinct::On(distinct))))
}

fn among_fields(name: &str, output: &[Attribute]) -> SparkError {
    let names: Vec<&str> = output.iter().map(|attribute| attribute.name.as_str()).collect();
    let message = format!("Cannot resolve column name \"{name}\" among ({}).", names.join(", "));
    SparkError::analysis("UNRESOLVED_COLUMN_AMONG_FIELD_NAMES", "42703", message)
        .with("colName", name)
        .with("fieldNames", names.join(", "))
}

/// The delay of a watermark in microseconds, cut to milliseconds as Spark does.
fn delay_us(text: &str) -> Result<i64, SparkError> {
    let value = sql::parse_interval(text).map_err(|_| errors::cannot_parse_interval(text))?;
    let micros = match value {
        IntervalValue::DayTime(micros) => micros,
        IntervalValue::YearMonth(months) => i64::from(months) * MONTH_US,
    };
    if micros < 0 {
        return Err(errors::requirement(format!("delay threshold ({text}) should not be negative.")));
    }
    Ok(micros / 1000 * 1000)
}

/// Timestamps, and windows by their end.
fn is_event_time(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(..) => true,
        DataType::Struct(fields) => {
            fields.iter().any(|field| field.name() == "end" && matches!(field.data_type(), DataType::Timestamp(..)))
        }
        _ => false,
    }
}
