//! Expressions.

use pyrite_driver::analysis::unresolved::{CastMode, CastTarget, SortKey, UnresolvedExpr};
use pyrite_engine::error::SparkError;

use super::literals::literal;
use super::required;
use super::types::data_type_from_wire;
use crate::wire::Expression;
use crate::wire::expression::{self as wire, ExprType, cast, sort_order};

/// Transcribes one expression.
pub fn expression(expression: Expression) -> Result<UnresolvedExpr, SparkError> {
    Ok(match required(expression.expr_type, "expr_type")? {
        ExprType::Literal(value) => UnresolvedExpr::Literal(literal(value)?),
        ExprType::UnresolvedAttribute(attribute) => {
            UnresolvedExpr::Attribute { name: attribute.unparsed_identifier, plan_id: attribute.plan_id }
        }
        ExprType::UnresolvedFunction(function) => {
            function_call(function.function_name, function.arguments, function.is_distinct)?
        }
        ExprType::CallFunction(call) => function_call(call.function_name, call.arguments, false)?,
        ExprType::ExpressionString(text) => UnresolvedExpr::Sql(text.expression),
        ExprType::UnresolvedStar(star) => UnresolvedExpr::Star { target: star.unparsed_target.map(star_target) },
        ExprType::Alias(alias) => self::alias(*alias)?,
        ExprType::Cast(cast) => self::cast(*cast)?,
        ExprType::SortOrder(order) => UnresolvedExpr::Sort(Box::new(sort_key(*order)?)),
        ExprType::UnresolvedExtractValue(extract) => UnresolvedExpr::ExtractValue {
            child: Box::new(self::expression(*required(extract.child, "child")?)?),
            key: Box::new(self::expression(*required(extract.extraction, "extraction")?)?),
        },
        other => return Err(SparkError::unsupported(name_of(&other))),
    })
}

/// Transcribes several.
pub fn expressions(list: Vec<Expression>) -> Result<Vec<UnresolvedExpr>, SparkError> {
    list.into_iter().map(expression).collect()
}

/// One key of an `orderBy`.
pub fn sort_key(order: wire::SortOrder) -> Result<SortKey, SparkError> {
    let (direction, nulls) = (order.direction(), order.null_ordering());
    Ok(SortKey {
        expression: expression(*required(order.child, "child")?)?,
        ascending: direction != sort_order::SortDirection::Descending,
        nulls_first: match nulls {
            sort_order::NullOrdering::SortNullsUnspecified => None,
            sort_order::NullOrdering::SortNullsFirst => Some(true),
            sort_order::NullOrdering::SortNullsLast => Some(false),
        },
    })
}

/// An alias, also of `withColumns`.
pub fn alias(alias: wire::Alias) -> Result<UnresolvedExpr, SparkError> {
    let child = expression(*required(alias.expr, "expr")?)?;
    Ok(UnresolvedExpr::Alias { child: Box::new(child), names: alias.name })
}

fn function_call(name: String, arguments: Vec<Expression>, distinct: bool) -> Result<UnresolvedExpr, SparkError> {
    Ok(UnresolvedExpr::Function { name, args: expressions(arguments)?, distinct })
}

fn cast(cast: wire::Cast) -> Result<UnresolvedExpr, SparkError> {
    let mode = match cast.eval_mode() {
        cast::EvalMode::Unspecified => CastMode::Session,
        cast::EvalMode::Legacy => CastMode::Legacy,
        cast::EvalMode::Ansi => CastMode::Ansi,
        cast::EvalMode::Try => CastMode::Try,
    };
    let to = match required(cast.cast_to_type, "cast_to_type")? {
        cast::CastToType::Type(data_type) => CastTarget::Type(data_type_from_wire(data_type)?),
        cast::CastToType::TypeStr(text) => CastTarget::Ddl(text),
    };
    let child = expression(*required(cast.expr, "expr")?)?;
    Ok(UnresolvedExpr::Cast { child: Box::new(child), to, mode })
}

/// `d.*` is sent whole; the target is `d`.
fn star_target(text: String) -> String {
    text.strip_suffix(".*").map_or_else(|| text.clone(), str::to_owned)
}

/// What a program calls the expression that Pyrite does not have yet.
fn name_of(expression: &ExprType) -> String {
    match expression {
        ExprType::UnresolvedRegex(regex) => format!("the column regex `{}`", regex.col_name),
        ExprType::LambdaFunction(_) | ExprType::UnresolvedNamedLambdaVariable(_) => "a lambda function".to_owned(),
        ExprType::Window(_) => "a window function (`over`)".to_owned(),
        ExprType::UpdateFields(fields) => format!("`withField`/`dropFields` of `{}`", fields.field_name),
        ExprType::CommonInlineUserDefinedFunction(function) => {
            format!("the user-defined function `{}`", function.function_name)
        }
        ExprType::NamedArgumentExpression(argument) => format!("the named argument `{}`", argument.key),
        ExprType::MergeAction(_) => "`MERGE INTO`".to_owned(),
        ExprType::TypedAggregateExpression(_) => "a typed aggregate".to_owned(),
        ExprType::SubqueryExpression(_) => "a subquery expression".to_owned(),
        ExprType::DirectShufflePartitionId(_) => "`partitionById`".to_owned(),
        _ => "an expression extension".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire_expr(expr_type: ExprType) -> Expression {
        Expression { expr_type: Some(expr_type), common: None }
    }

    fn attribute(name: &str) -> Expression {
        wire_expr(ExprType::UnresolvedAttribute(wire::UnresolvedAttribute {
            unparsed_identifier: name.to_owned(),
            ..Default::default()
        }))
    }

    #[test]
    fn a_filter_of_the_seed() {
        let lower = wire_expr(ExprType::UnresolvedFunction(wire::UnresolvedFunction {
            function_name: "lower".to_owned(),
            arguments: vec![attribute("content")],
            ..Default::default()
        }));
        match expression(lower).unwrap() {
            UnresolvedExpr::Function { name, args, distinct } => {
                assert_eq!((name.as_str(), distinct), ("lower", false));
                assert!(matches!(&args[0], UnresolvedExpr::Attribute { name, plan_id: None } if name == "content"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_star_with_a_target_loses_its_star() {
        let star = wire::UnresolvedStar { unparsed_target: Some("d.*".to_owned()), plan_id: None };
        let star = expression(wire_expr(ExprType::UnresolvedStar(star))).unwrap();
        assert!(matches!(star, UnresolvedExpr::Star { target: Some(target) } if target == "d"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let udf =
            crate::wire::CommonInlineUserDefinedFunction { function_name: "my_udf".to_owned(), ..Default::default() };
        let error = expression(wire_expr(ExprType::CommonInlineUserDefinedFunction(udf))).unwrap_err();
        assert!(error.message.contains("my_udf"), "{error}");
    }
}
