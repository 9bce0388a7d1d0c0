//! Queries as relations: `SELECT` over one table or derived table, `WHERE`, `GROUP BY`, `HAVING`, `ORDER BY`, `LIMIT`,
//! `UNION`, `VALUES`, `WITH`. The rest is refused by name.

use datafusion::scalar::ScalarValue;
use sqlparser::ast::{
    Distinct, GroupByExpr, LimitClause, OrderBy, OrderByKind, Query, Select, SetExpr, SetOperator, SetQuantifier,
    TableAlias, TableFactor, TableWithJoins, Values, With,
};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use pyrite_engine::error::SparkError;

use super::errors::unsupported;
use super::lower::{lower, object_name, quote_part, select_item};
use crate::analysis::unresolved::{Relation, RelationNode, SortKey, UnresolvedExpr};

/// Statements that Spark has and this front end does not yet, recognised by their first word.
const OTHER_STATEMENTS: &[Keyword] = &[
    Keyword::CREATE,
    Keyword::DROP,
    Keyword::INSERT,
    Keyword::UPDATE,
    Keyword::DELETE,
    Keyword::MERGE,
    Keyword::ALTER,
    Keyword::SHOW,
    Keyword::DESCRIBE,
    Keyword::DESC,
    Keyword::EXPLAIN,
    Keyword::SET,
    Keyword::USE,
    Keyword::CACHE,
    Keyword::ANALYZE,
    Keyword::TRUNCATE,
    Keyword::GRANT,
    Keyword::REVOKE,
    Keyword::REFRESH,
];

/// Refuses a statement that is no query by its first word.
pub(super) fn refuse_other_statements(first: &Token) -> Result<(), SparkError> {
    match first {
        Token::Word(word) if OTHER_STATEMENTS.contains(&word.keyword) => {
            Err(unsupported(format!("the statement {}", word.value.to_uppercase())))
        }
        _ => Ok(()),
    }
}

/// The queries that `WITH` names, innermost last.
type Named = Vec<(String, Relation)>;

/// A whole statement.
pub(super) fn lower_statement(query: Query) -> Result<Relation, SparkError> {
    lower_query(query, &Vec::new())
}

/// A query with its `WITH`, `ORDER BY` and `LIMIT`.
fn lower_query(query: Query, named: &Named) -> Result<Relation, SparkError> {
    let named = &match query.with {
        Some(with) => with_queries(with, named)?,
        None => named.clone(),
    };
    if query.fetch.is_some()
        || !query.locks.is_empty()
        || query.for_clause.is_some()
        || !query.pipe_operators.is_empty()
    {
        return Err(unsupported("FETCH, FOR or a pipe operator"));
    }
    let mut relation = set_expression(*query.body, named)?;
    if let Some(order_by) = query.order_by {
        relation = new(RelationNode::Sort { input: Box::new(relation), keys: sort_keys(order_by)? });
    }
    match query.limit_clause {
        None => Ok(relation),
        Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
            if let Some(offset) = offset {
                relation = new(RelationNode::Offset { input: Box::new(relation), count: row_count(offset.value)? });
            }
            if let Some(limit) = limit {
                relation = new(RelationNode::Limit { input: Box::new(relation), count: row_count(limit)? });
            }
            Ok(relation)
        }
        Some(other) => Err(unsupported(format!("`{other}`"))),
    }
}

fn with_queries(with: With, outer: &Named) -> Result<Named, SparkError> {
    if with.recursive {
        return Err(unsupported("WITH RECURSIVE"));
    }
    let mut named = outer.clone();
    for query in with.cte_tables {
        let name = query.alias.name.value.clone();
        let relation = with_alias(lower_query(*query.query, &named)?, Some(query.alias))?;
        named.push((name, relation));
    }
    Ok(named)
}

fn new(node: RelationNode) -> Relation {
    Relation { plan_id: None, node }
}

fn set_expression(body: SetExpr, named: &Named) -> Result<Relation, SparkError> {
    match body {
        SetExpr::Select(select) => lower_select(*select, named),
        SetExpr::Query(query) => lower_query(*query, named),
        SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, right } => {
            let (left, right) = (Box::new(set_expression(*left, named)?), Box::new(set_expression(*right, named)?));
            let union = new(RelationNode::Union { left, right, by_name: false, allow_missing: false });
            match set_quantifier {
                SetQuantifier::All => Ok(union),
                SetQuantifier::None | SetQuantifier::Distinct => Ok(distinct(union)),
                other => Err(unsupported(format!("UNION {other}"))),
            }
        }
        SetExpr::SetOperation { op, .. } => Err(unsupported(op)),
        SetExpr::Values(values) => lower_values(values),
        SetExpr::Table(_) => Err(unsupported("TABLE")),
        _ => Err(unsupported("this statement")),
    }
}

/// `VALUES (1, 'a'), (2, 'b')`: a union of rows, columns `col1`, `col2`.
fn lower_values(values: Values) -> Result<Relation, SparkError> {
    let mut rows = Vec::with_capacity(values.rows.len());
    for row in values.rows {
        let mut expressions = Vec::with_capacity(row.content.len());
        for (index, value) in row.content.into_iter().enumerate() {
            let names = vec![format!("col{}", index + 1)];
            expressions.push(UnresolvedExpr::Alias { child: Box::new(lower(value)?), names });
        }
        rows.push(new(RelationNode::Project { input: None, expressions }));
    }
    // Halves of halves, so that many rows do not nest deeply.
    while rows.len() > 1 {
        let mut pairs = Vec::with_capacity(rows.len().div_ceil(2));
        let mut rest = rows.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => new(RelationNode::Union {
                    left: Box::new(left),
                    right: Box::new(right),
                    by_name: false,
                    allow_missing: false,
                }),
                None => left,
            });
        }
        rows = pairs;
    }
    rows.pop().ok_or_else(|| unsupported("VALUES without rows"))
}

fn distinct(input: Relation) -> Relation {
    new(RelationNode::Deduplicate {
        input: Box::new(input),
        columns: Vec::new(),
        all_columns: true,
        within_watermark: false,
    })
}

fn lower_select(select: Select, named: &Named) -> Result<Relation, SparkError> {
    refuse_clauses(&select)?;
    let mut input = from_clause(select.from, named)?;
    if let Some(condition) = select.selection {
        let child = input.ok_or_else(|| unsupported("WHERE without FROM"))?;
        input = Some(new(RelationNode::Filter { input: Box::new(child), condition: lower(condition)? }));
    }
    let mut items = Vec::with_capacity(select.projection.len());
    for item in select.projection {
        items.push(select_item(item)?);
    }
    let grouping = grouping(select.group_by, &items)?;
    let mut relation = match (grouping.is_empty(), input) {
        (true, input) => new(RelationNode::Project { input: input.map(Box::new), expressions: items }),
        (false, Some(input)) => new(RelationNode::GroupBySelect { input: Box::new(input), grouping, select: items }),
        (false, None) => return Err(unsupported("GROUP BY without FROM")),
    };
    if let Some(having) = select.having {
        relation = new(RelationNode::Filter { input: Box::new(relation), condition: lower(having)? });
    }
    match select.distinct {
        None | Some(Distinct::All) => Ok(relation),
        Some(Distinct::Distinct) => Ok(distinct(relation)),
        Some(other) => Err(unsupported(other)),
    }
}

fn refuse_clauses(select: &Select) -> Result<(), SparkError> {
    let clauses = [
        (select.top.is_some(), "TOP"),
        (select.into.is_some(), "INTO"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (!select.named_window.is_empty(), "WINDOW"),
        (select.qualify.is_some(), "QUALIFY"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (select.exclude.is_some(), "EXCLUDE"),
    ];
    match clauses.iter().find(|(present, _)| *present) {
        Some((_, name)) => Err(unsupported(name)),
        None => Ok(()),
    }
}

fn from_clause(from: Vec<TableWithJoins>, named: &Named) -> Result<Option<Relation>, SparkError> {
    let mut tables = from.into_iter();
    let Some(table) = tables.next() else { return Ok(None) };
    if tables.next().is_some() || !table.joins.is_empty() {
        return Err(unsupported("a join"));
    }
    match table.relation {
        TableFactor::Table { name, alias, args: None, version: None, sample: None, .. } => {
            let name = object_name(&name)?;
            let query = named.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(&name));
            let table = match query {
                Some((_, relation)) => relation.clone(),
                None => new(RelationNode::NamedTable { name, streaming: false }),
            };
            with_alias(table, alias).map(Some)
        }
        TableFactor::Derived { lateral: false, subquery, alias, sample: None } => {
            with_alias(lower_query(*subquery, named)?, alias).map(Some)
        }
        other => Err(unsupported(format!("FROM {other}"))),
    }
}

fn with_alias(relation: Relation, alias: Option<TableAlias>) -> Result<Relation, SparkError> {
    let Some(alias) = alias else { return Ok(relation) };
    let names: Vec<String> = alias.columns.into_iter().map(|column| column.name.value).collect();
    let input = match names.is_empty() {
        true => relation,
        false => new(RelationNode::ToDf { input: Box::new(relation), names }),
    };
    Ok(new(RelationNode::SubqueryAlias { input: Box::new(input), alias: quote_part(&alias.name.value) }))
}

/// The grouping expressions; a number names a select item, as Spark.
fn grouping(group_by: GroupByExpr, items: &[UnresolvedExpr]) -> Result<Vec<UnresolvedExpr>, SparkError> {
    let GroupByExpr::Expressions(expressions, modifiers) = group_by else { return Err(unsupported("GROUP BY ALL")) };
    if let Some(modifier) = modifiers.first() {
        return Err(unsupported(format!("GROUP BY {modifier}")));
    }
    let mut grouping = Vec::with_capacity(expressions.len());
    for expression in expressions {
        let lowered = lower(expression)?;
        let UnresolvedExpr::Literal(ScalarValue::Int32(Some(position))) = &lowered else {
            grouping.push(lowered);
            continue;
        };
        let item = usize::try_from(*position).ok().and_then(|position| items.get(position.checked_sub(1)?));
        grouping.push(match item {
            Some(UnresolvedExpr::Alias { child, .. }) => child.as_ref().clone(),
            Some(item) => item.clone(),
            None => {
                let message = format!(
                    "GROUP BY position {position} is not in select list (valid range is [1, {}]).",
                    items.len()
                );
                return Err(SparkError::analysis("GROUP_BY_POS_OUT_OF_RANGE", "42805", message)
                    .with("index", position)
                    .with("size", items.len()));
            }
        });
    }
    Ok(grouping)
}

fn sort_keys(order_by: OrderBy) -> Result<Vec<SortKey>, SparkError> {
    let OrderByKind::Expressions(expressions) = order_by.kind else { return Err(unsupported("ORDER BY ALL")) };
    let mut keys = Vec::with_capacity(expressions.len());
    for key in expressions {
        keys.push(SortKey {
            expression: lower(key.expr)?,
            ascending: key.options.asc.unwrap_or(true),
            nulls_first: key.options.nulls_first,
        });
    }
    Ok(keys)
}

fn row_count(expression: sqlparser::ast::Expr) -> Result<i64, SparkError> {
    match lower(expression)? {
        UnresolvedExpr::Literal(ScalarValue::Int32(Some(count))) if count >= 0 => Ok(i64::from(count)),
        _ => Err(unsupported("LIMIT or OFFSET by anything but a number")),
    }
}
