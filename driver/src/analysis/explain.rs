//! The text of `explain()`, in Spark's layout.

use std::fmt::Write;

use datafusion::logical_expr::{Expr, LogicalPlan};
use pyrite_engine::types::simple_string;

use super::Analyzed;

/// `== Physical Plan ==` and a tree; `extended` puts the analyzed plan with its schema before it.
pub fn explain_text(analyzed: &Analyzed, extended: bool) -> String {
    let mut out = String::new();
    if extended {
        let columns: Vec<String> = analyzed
            .output
            .iter()
            .map(|attribute| format!("{}: {}", attribute.name, simple_string(&attribute.data_type)))
            .collect();
        out.push_str("== Analyzed Logical Plan ==\n");
        out.push_str(&columns.join(", "));
        out.push('\n');
        tree(&analyzed.plan, 0, &mut out);
        out.push('\n');
    }
    out.push_str("== Physical Plan ==\n");
    tree(&analyzed.plan, 0, &mut out);
    out.push('\n');
    out
}

/// A plan as a tree, one line a node.
pub(super) fn plan_tree(plan: &LogicalPlan) -> String {
    let mut out = String::new();
    tree(plan, 0, &mut out);
    out
}

fn tree(plan: &LogicalPlan, depth: usize, out: &mut String) {
    let indent = match depth {
        0 => String::new(),
        depth => format!("{}+- ", "   ".repeat(depth - 1)),
    };
    writeln!(out, "{indent}{}", line(plan)).expect("writing to a string cannot fail");
    for input in plan.inputs() {
        tree(input, depth + 1, out);
    }
}

fn line(plan: &LogicalPlan) -> String {
    match plan {
        LogicalPlan::Projection(projection) => format!("Project [{}]", list(&projection.expr)),
        LogicalPlan::Filter(filter) => format!("Filter {}", filter.predicate),
        LogicalPlan::Aggregate(aggregate) => {
            format!("HashAggregate(keys=[{}], functions=[{}])", list(&aggregate.group_expr), list(&aggregate.aggr_expr))
        }
        LogicalPlan::Sort(sort) => {
            let keys: Vec<String> = sort
                .expr
                .iter()
                .map(|key| {
                    let direction = if key.asc { "ASC" } else { "DESC" };
                    let nulls = if key.nulls_first { "FIRST" } else { "LAST" };
                    format!("{} {direction} NULLS {nulls}", key.expr)
                })
                .collect();
            format!("Sort [{}], true", keys.join(", "))
        }
        LogicalPlan::Limit(limit) => match (&limit.skip, &limit.fetch) {
            (None, Some(count)) => format!("GlobalLimit {count}"),
            (Some(count), _) => format!("Offset {count}"),
            (None, None) => "GlobalLimit".to_owned(),
        },
        LogicalPlan::Distinct(_) => "Deduplicate".to_owned(),
        LogicalPlan::Union(_) => "Union".to_owned(),
        LogicalPlan::TableScan(_) => {
            let columns: Vec<&str> = plan.schema().fields().iter().map(|field| field.name().as_str()).collect();
            format!("LocalTableScan [{}]", columns.join(", "))
        }
        LogicalPlan::EmptyRelation(_) => "OneRowRelation".to_owned(),
        other => other.display().to_string(),
    }
}

fn list(expressions: &[Expr]) -> String {
    expressions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
