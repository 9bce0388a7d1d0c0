//! sqlparser's expressions as unresolved expressions. One match; what Pyrite lacks is refused by name.

use datafusion::scalar::ScalarValue;
use sqlparser::ast::{
    AccessExpr, ArrayElemTypeDef, BinaryOperator, CastKind, CeilFloorKind, DataType, DuplicateTreatment, Expr,
    Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart, SelectItem,
    SelectItemQualifiedWildcardKind, StructField, Subscript, TrimWhereField, UnaryOperator, Value,
    WildcardAdditionalOptions,
};

use pyrite_engine::error::SparkError;

use super::errors::unsupported;
use super::interval::{self, IntervalValue};
use super::literals;
use super::tokens::{INTERVAL, NUMBER};
use crate::analysis::unresolved::{CastMode, CastTarget, UnresolvedExpr};

type Lowered = Result<UnresolvedExpr, SparkError>;

/// One item of a select list.
pub(super) fn select_item(item: SelectItem) -> Lowered {
    match item {
        SelectItem::UnnamedExpr(expr) => lower(expr),
        SelectItem::ExprWithAlias { expr, alias } => {
            Ok(UnresolvedExpr::Alias { child: Box::new(lower(expr)?), names: vec![alias.value] })
        }
        SelectItem::ExprWithAliases { expr, aliases } => Ok(UnresolvedExpr::Alias {
            child: Box::new(lower(expr)?),
            names: aliases.into_iter().map(|alias| alias.value).collect(),
        }),
        SelectItem::Wildcard(options) => {
            plain_wildcard(&options)?;
            Ok(UnresolvedExpr::Star { target: None })
        }
        SelectItem::QualifiedWildcard(kind, options) => {
            plain_wildcard(&options)?;
            match kind {
                SelectItemQualifiedWildcardKind::ObjectName(name) => {
                    Ok(UnresolvedExpr::Star { target: Some(object_name(&name)?) })
                }
                SelectItemQualifiedWildcardKind::Expr(_) => Err(unsupported("`expression.*`")),
            }
        }
    }
}

fn plain_wildcard(options: &WildcardAdditionalOptions) -> Result<(), SparkError> {
    let text = options.to_string();
    if text.is_empty() { Ok(()) } else { Err(unsupported(format!("`* {text}`"))) }
}

/// One expression.
pub(super) fn lower(expr: Expr) -> Lowered {
    match expr {
        Expr::Identifier(ident) => Ok(attribute(&[ident])),
        Expr::CompoundIdentifier(idents) => Ok(attribute(&idents)),
        Expr::CompoundFieldAccess { root, access_chain } => field_access(*root, access_chain),
        Expr::Nested(inner) => lower(*inner),
        Expr::Value(value) => literal(value.value),
        Expr::TypedString(typed) => typed_string(&typed.data_type.to_string(), typed.value.value),
        Expr::BinaryOp { left, op, right } => binary(*left, &op, *right),
        Expr::UnaryOp { op, expr } => unary(op, *expr),
        Expr::IsNull(child) => call("isnull", vec![*child]),
        Expr::IsNotNull(child) => call("isnotnull", vec![*child]),
        Expr::IsTrue(child) => is_boolean(*child, true),
        Expr::IsFalse(child) => is_boolean(*child, false),
        Expr::IsNotTrue(child) => Ok(not(is_boolean(*child, true)?)),
        Expr::IsNotFalse(child) => Ok(not(is_boolean(*child, false)?)),
        Expr::IsUnknown(child) => call("isnull", vec![*child]),
        Expr::IsNotUnknown(child) => call("isnotnull", vec![*child]),
        Expr::IsNotDistinctFrom(left, right) => call("<=>", vec![*left, *right]),
        Expr::IsDistinctFrom(left, right) => Ok(not(call("<=>", vec![*left, *right])?)),
        Expr::InList { expr, list, negated } => {
            let mut args = vec![*expr];
            args.extend(list);
            negate(negated, call("in", args)?)
        }
        Expr::Between { expr, negated, low, high } => negate(negated, call("between", vec![*expr, *low, *high])?),
        Expr::Like { negated, any: false, expr, pattern, escape_char } => {
            negate(negated, like("like", *expr, *pattern, escape_char.map(|value| value.value))?)
        }
        Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
            negate(negated, like("ilike", *expr, *pattern, escape_char.map(|value| value.value))?)
        }
        Expr::RLike { negated, expr, pattern, .. } => negate(negated, call("rlike", vec![*expr, *pattern])?),
        Expr::Cast { kind, expr, data_type, format: None, array: false } => Ok(UnresolvedExpr::Cast {
            child: Box::new(lower(*expr)?),
            to: CastTarget::Ddl(ddl_of(&data_type)),
            mode: match kind {
                CastKind::TryCast | CastKind::SafeCast => CastMode::Try,
                CastKind::Cast | CastKind::DoubleColon => CastMode::Session,
            },
        }),
        Expr::Case { operand, conditions, else_result, .. } => {
            let mut branches = Vec::with_capacity(conditions.len());
            for branch in conditions {
                branches.push((lower(branch.condition)?, lower(branch.result)?));
            }
            Ok(UnresolvedExpr::Case { operand: boxed(operand)?, branches, otherwise: boxed(else_result)? })
        }
        Expr::Function(function) => lower_function(function),
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => Err(unsupported("a subquery")),
        Expr::Lambda(_) => Err(unsupported("a lambda function")),
        other => special_call(other),
    }
}

/// Calls that sqlparser has a syntax of their own for.
fn special_call(expr: Expr) -> Lowered {
    match expr {
        Expr::Ceil { expr, field } => ceil_or_floor("ceil", *expr, &field),
        Expr::Floor { expr, field } => ceil_or_floor("floor", *expr, &field),
        Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
            let args = [Some(expr), substring_from, substring_for].into_iter().flatten().map(|arg| *arg).collect();
            call(if shorthand { "substr" } else { "substring" }, args)
        }
        Expr::Struct { values, fields } if fields.is_empty() => call("struct", values),
        Expr::Named { expr, name } => {
            Ok(UnresolvedExpr::Alias { child: Box::new(lower(*expr)?), names: vec![name.value] })
        }
        Expr::Trim { trim_where, trim_what, expr, trim_characters: None } => {
            let name = match trim_where {
                None | Some(TrimWhereField::Both) => "trim",
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
            };
            // As Spark: the characters come first where there are two arguments.
            call(name, trim_what.map(|what| *what).into_iter().chain([*expr]).collect())
        }
        Expr::Position { expr, r#in } => call("locate", vec![*expr, *r#in]),
        Expr::Extract { field, expr, .. } => Ok(function(
            "extract",
            vec![UnresolvedExpr::Literal(ScalarValue::Utf8(Some(field.to_string()))), lower(*expr)?],
        )),
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let args = [Some(expr), Some(overlay_what), Some(overlay_from), overlay_for];
            call("overlay", args.into_iter().flatten().map(|arg| *arg).collect())
        }
        other => Err(unsupported(format!("`{other}`"))),
    }
}

/// A type as DDL. sqlparser writes maps in another dialect's way.
fn ddl_of(data_type: &DataType) -> String {
    match data_type {
        DataType::Map(key, value) => format!("MAP<{}, {}>", ddl_of(key), ddl_of(value)),
        DataType::Array(ArrayElemTypeDef::AngleBracket(element)) => format!("ARRAY<{}>", ddl_of(element)),
        DataType::Struct(fields, _) => {
            let field = |field: &StructField| match &field.field_name {
                Some(name) => format!("{}: {}", quote_part(&name.value), ddl_of(&field.field_type)),
                None => ddl_of(&field.field_type),
            };
            format!("STRUCT<{}>", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn boxed(expr: Option<Box<Expr>>) -> Result<Option<Box<UnresolvedExpr>>, SparkError> {
    expr.map(|expr| lower(*expr).map(Box::new)).transpose()
}

/// A name of one or more parts, quoted again where a part is no plain identifier.
fn attribute(idents: &[Ident]) -> UnresolvedExpr {
    let parts: Vec<String> = idents.iter().map(|ident| quote_part(&ident.value)).collect();
    UnresolvedExpr::Attribute { name: parts.join("."), plan_id: None }
}

/// A part of a name, in backticks unless it is a plain identifier.
pub(super) fn quote_part(part: &str) -> String {
    let plain = !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
    if plain { part.to_owned() } else { format!("`{}`", part.replace('`', "``")) }
}

/// `a.b` as text, each part quoted where it must be.
pub(super) fn object_name(name: &ObjectName) -> Result<String, SparkError> {
    let mut parts = Vec::with_capacity(name.0.len());
    for part in &name.0 {
        match part {
            ObjectNamePart::Identifier(ident) => parts.push(quote_part(&ident.value)),
            ObjectNamePart::Function(_) => return Err(unsupported(format!("the name `{name}`"))),
        }
    }
    Ok(parts.join("."))
}

fn field_access(root: Expr, chain: Vec<AccessExpr>) -> Lowered {
    let mut chain = chain.into_iter().peekable();
    let mut child = match root {
        Expr::Identifier(first) => {
            // `a.b.c[0]`: the dotted part is one name, whose first part may be a qualifier.
            let mut idents = vec![first];
            while let Some(AccessExpr::Dot(Expr::Identifier(ident))) = chain.peek() {
                idents.push(ident.clone());
                chain.next();
            }
            attribute(&idents)
        }
        other => lower(other)?,
    };
    for access in chain {
        let key = match access {
            AccessExpr::Dot(Expr::Identifier(ident)) => UnresolvedExpr::Literal(ScalarValue::Utf8(Some(ident.value))),
            AccessExpr::Subscript(Subscript::Index { index }) => lower(index)?,
            AccessExpr::Dot(other) => return Err(unsupported(format!("`.{other}`"))),
            AccessExpr::Subscript(slice) => return Err(unsupported(format!("`[{slice}]`"))),
        };
        child = UnresolvedExpr::ExtractValue { child: Box::new(child), key: Box::new(key) };
    }
    Ok(child)
}

fn literal(value: Value) -> Lowered {
    Ok(UnresolvedExpr::Literal(match value {
        Value::Number(digits, _) => literals::number(&digits)?,
        Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => ScalarValue::Utf8(Some(text)),
        Value::Boolean(value) => ScalarValue::Boolean(Some(value)),
        Value::Null => ScalarValue::Null,
        Value::HexStringLiteral(digits) => ScalarValue::Binary(Some(literals::hex(&digits)?)),
        other => return Err(unsupported(format!("the literal `{other}`"))),
    }))
}

/// `date '2020-01-01'` and `timestamp '...'`: casts of a text, by the session's time zone.
fn typed_string(data_type: &str, value: Value) -> Lowered {
    let upper = data_type.to_ascii_uppercase();
    if !matches!(upper.as_str(), "DATE" | "TIMESTAMP" | "TIMESTAMP_NTZ" | "TIMESTAMP_LTZ") {
        return Err(unsupported(format!("a literal of type {upper}")));
    }
    Ok(UnresolvedExpr::Cast { child: Box::new(literal(value)?), to: CastTarget::Ddl(upper), mode: CastMode::Ansi })
}

fn binary(left: Expr, op: &BinaryOperator, right: Expr) -> Lowered {
    let name = match op {
        BinaryOperator::Plus => "+",
        BinaryOperator::Minus => "-",
        BinaryOperator::Multiply => "*",
        BinaryOperator::Divide => "/",
        BinaryOperator::Modulo => "%",
        BinaryOperator::MyIntegerDivide => "div",
        BinaryOperator::StringConcat => "concat",
        BinaryOperator::Eq => "==",
        BinaryOperator::NotEq => return Ok(not(call("==", vec![left, right])?)),
        BinaryOperator::Gt => ">",
        BinaryOperator::Lt => "<",
        BinaryOperator::GtEq => ">=",
        BinaryOperator::LtEq => "<=",
        BinaryOperator::Spaceship => "<=>",
        BinaryOperator::And => "and",
        BinaryOperator::Or => "or",
        BinaryOperator::BitwiseAnd => "&",
        BinaryOperator::BitwiseOr => "|",
        BinaryOperator::BitwiseXor => "^",
        other => return Err(unsupported(format!("the operator `{other}`"))),
    };
    call(name, vec![left, right])
}

fn unary(op: UnaryOperator, child: Expr) -> Lowered {
    match op {
        UnaryOperator::Not | UnaryOperator::BangNot => Ok(not(lower(child)?)),
        UnaryOperator::BitwiseNot => call("~", vec![child]),
        UnaryOperator::Plus => call("+", vec![child]),
        UnaryOperator::Minus => match child {
            Expr::Value(value) => match value.value {
                Value::Number(digits, _) => Ok(UnresolvedExpr::Literal(literals::number(&format!("-{digits}"))?)),
                other => Ok(function("-", vec![literal(other)?])),
            },
            Expr::Function(function) if reserved_name(&function) == Some(NUMBER) => {
                let texts = reserved_args(function);
                let digits = texts.first().map_or("", String::as_str);
                Ok(UnresolvedExpr::Literal(literals::number(&format!("-{digits}"))?))
            }
            other => call("-", vec![other]),
        },
        other => Err(unsupported(format!("the operator `{other}`"))),
    }
}

fn is_boolean(child: Expr, value: bool) -> Lowered {
    Ok(function("<=>", vec![lower(child)?, UnresolvedExpr::Literal(ScalarValue::Boolean(Some(value)))]))
}

fn like(name: &str, expr: Expr, pattern: Expr, escape: Option<Value>) -> Lowered {
    let mut args = vec![lower(expr)?, lower(pattern)?];
    if let Some(escape) = escape {
        args.push(literal(escape)?);
    }
    Ok(function(name, args))
}

fn ceil_or_floor(name: &str, expr: Expr, field: &CeilFloorKind) -> Lowered {
    match field {
        CeilFloorKind::DateTimeField(sqlparser::ast::DateTimeField::NoDateTime) => call(name, vec![expr]),
        other => Err(unsupported(format!("{name} with {other:?}"))),
    }
}

fn lower_function(call: Function) -> Lowered {
    match reserved_name(&call) {
        Some(NUMBER) => {
            let texts = reserved_args(call);
            return Ok(UnresolvedExpr::Literal(literals::number(texts.first().map_or("", String::as_str))?));
        }
        Some(INTERVAL) => return interval_literal(&reserved_args(call)),
        _ => {}
    }
    if call.over.is_some() {
        return Err(unsupported(format!("the window function `{}`", call.name)));
    }
    if call.filter.is_some() || call.null_treatment.is_some() || !call.within_group.is_empty() {
        return Err(unsupported(format!("FILTER, IGNORE NULLS or WITHIN GROUP of `{}`", call.name)));
    }
    let name = function_name(&call.name)?;
    let list = match call.args {
        FunctionArguments::None => return Ok(function(&name, Vec::new())),
        FunctionArguments::Subquery(_) => return Err(unsupported("a subquery")),
        FunctionArguments::List(list) => list,
    };
    if let Some(clause) = list.clauses.first() {
        return Err(unsupported(format!("`{clause}` in `{name}`")));
    }
    let mut args = Vec::with_capacity(list.args.len());
    for arg in list.args {
        args.push(argument(arg)?);
    }
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    Ok(UnresolvedExpr::Function { name, args, distinct })
}

fn argument(arg: FunctionArg) -> Lowered {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => lower(expr),
        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => Ok(UnresolvedExpr::Star { target: None }),
        FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => {
            Ok(UnresolvedExpr::Star { target: Some(object_name(&name)?) })
        }
        other => Err(unsupported(format!("the argument `{other}`"))),
    }
}

/// The last part of a function's name: catalogs have no functions here.
fn function_name(name: &ObjectName) -> Result<String, SparkError> {
    match name.0.last() {
        Some(ObjectNamePart::Identifier(ident)) => Ok(ident.value.clone()),
        _ => Err(unsupported(format!("the function name `{name}`"))),
    }
}

fn reserved_name(function: &Function) -> Option<&'static str> {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] if ident.value == NUMBER => Some(NUMBER),
        [ObjectNamePart::Identifier(ident)] if ident.value == INTERVAL => Some(INTERVAL),
        _ => None,
    }
}

/// The texts that the token step put into a reserved function.
fn reserved_args(function: Function) -> Vec<String> {
    let FunctionArguments::List(list) = function.args else { return Vec::new() };
    let text = |arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) => value.value.into_string(),
        _ => None,
    };
    list.args.into_iter().filter_map(text).collect()
}

fn interval_literal(texts: &[String]) -> Lowered {
    let value = match texts {
        [text] => interval::parse_interval(text)?,
        [text, range] => interval::parse_range(text, range)?,
        _ => return Err(unsupported("this interval")),
    };
    Ok(UnresolvedExpr::Literal(match value {
        IntervalValue::YearMonth(months) => ScalarValue::IntervalYearMonth(Some(months)),
        IntervalValue::DayTime(micros) => ScalarValue::DurationMicrosecond(Some(micros)),
    }))
}

fn call(name: &str, args: Vec<Expr>) -> Lowered {
    let mut lowered = Vec::with_capacity(args.len());
    for arg in args {
        lowered.push(lower(arg)?);
    }
    Ok(function(name, lowered))
}

fn function(name: &str, args: Vec<UnresolvedExpr>) -> UnresolvedExpr {
    UnresolvedExpr::Function { name: name.to_owned(), args, distinct: false }
}

fn not(child: UnresolvedExpr) -> UnresolvedExpr {
    function("not", vec![child])
}

fn negate(negated: bool, child: UnresolvedExpr) -> Lowered {
    Ok(if negated { not(child) } else { child })
}
