//! Comparison, logic and null tests: `=`, `<=>`, `and`, `in`, `isnull`, `coalesce`, `when`.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Case, Expr, Operator, lit};
use datafusion::scalar::ScalarValue;

use super::arguments::{different_operands, wrong_operand};
use super::coercion::{common_type, common_type_of, is_orderable, same_structure};
use super::kernel;
use super::kernels::raises;
use super::registry::{Build, Built, Call, Function, Typed};
use super::typed::implicit_cast;
use super::unary::{Unary, UnaryOperator};
use crate::error::SparkError;
use crate::types::{as_nullable, is_integral, quoted_sql_name};

const fn row(name: &'static str, build: Build) -> Function {
    Function { name, build }
}

/// The rows of this family.
pub(super) static TABLE: &[Function] = &[
    row("=", equal),
    row("==", equal),
    row("<=>", equal_null_safe),
    row("equal_null", equal_null_safe),
    row("!=", not_equal),
    row("<>", not_equal),
    row("<", |call| compare(call, Operator::Lt)),
    row("<=", |call| compare(call, Operator::LtEq)),
    row(">", |call| compare(call, Operator::Gt)),
    row(">=", |call| compare(call, Operator::GtEq)),
    row("between", between),
    row("and", |call| logic(call, Operator::And)),
    row("or", |call| logic(call, Operator::Or)),
    row("not", not),
    row("!", not),
    row("in", in_list),
    row("isnull", |call| null_test(call, true)),
    row("isnotnull", |call| null_test(call, false)),
    row("isnan", is_nan),
    row("coalesce", coalesce),
    row("nvl", |call| two(call).and_then(|()| coalesce(call))),
    row("ifnull", |call| two(call).and_then(|()| coalesce(call))),
    row("nullif", null_if),
    row("nvl2", nvl2),
    row("when", when),
    row("case", when),
    row("if", if_else),
    row("iff", if_else),
];

fn two(call: &Call<'_>) -> Result<(), SparkError> {
    call.arity(2..=2)
}

/// The two arguments in the type in which they can be compared.
fn comparable(call: &Call<'_>, symbol: &str) -> Result<(Typed, Typed), SparkError> {
    call.arity(2..=2)?;
    let (left, right) = (&call.args[0], &call.args[1]);
    let name = format!("({} {symbol} {})", left.name, right.name);
    let common = common_type(&left.data_type, &right.data_type)
        .or_else(|| same_structure(&left.data_type, &right.data_type).then(|| as_nullable(&left.data_type)));
    let Some(common) = common else {
        return Err(different_operands(&name, &left.data_type, &right.data_type));
    };
    if !is_orderable(&common) {
        return Err(super::arguments::mismatch(
            &name,
            "INVALID_ORDERING_TYPE",
            format!("The `{symbol}` does not support ordering on type {}.", quoted_sql_name(&common)),
        ));
    }
    Ok((call.coerced(0, &common)?, call.coerced(1, &common)?))
}

/// A comparison of two values of one type. Both zeros of a float, and all NaNs, are one value in Spark, but not in Arrow.
fn binary(left: Typed, operator: Operator, right: Typed) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(one_float(left)), operator, Box::new(one_float(right))))
}

fn one_float(value: Typed) -> Expr {
    match (&value.data_type, &value.literal) {
        (DataType::Float64 | DataType::Float32, None) => {}
        (DataType::Float64, Some(ScalarValue::Float64(Some(number)))) if *number == 0.0 => return lit(0.0f64),
        (DataType::Float32, Some(ScalarValue::Float32(Some(number)))) if *number == 0.0 => return lit(0.0f32),
        _ => return value.expr,
    }
    kernel::call(Unary { operator: UnaryOperator::Comparable, to: value.data_type, ansi: false }, vec![value.expr])
}

fn compare(call: &Call<'_>, operator: Operator) -> Result<Built, SparkError> {
    let symbol = operator.to_string();
    let whole;
    let call = match without_fraction(call, operator) {
        Some(Without::Constant(value)) => {
            return Ok(Built::Scalar(Typed::literal(ScalarValue::Boolean(Some(value)))));
        }
        Some(Without::Fraction(args)) => {
            whole = Call { args, ..*call };
            &whole
        }
        None => call,
    };
    let (left, right) = comparable(call, &symbol)?;
    let name = format!("({} {symbol} {})", left.name, right.name);
    let nullable = left.nullable || right.nullable;
    Ok(Built::Scalar(Typed::new(binary(left, operator, right), DataType::Boolean, nullable, name)))
}

/// What becomes of an order of an integer and a decimal literal.
enum Without {
    /// No integer is beyond the literal.
    Constant(bool),
    /// The arguments, with a `bigint` for the literal: what is above 1.5 is above 1.
    Fraction(Vec<Typed>),
}

/// As Spark, which shows it in the name too: `n > 1.5` is `(n > 1)`. None for other arguments and operators.
fn without_fraction(call: &Call<'_>, operator: Operator) -> Option<Without> {
    let (integer, literal) = match call.args.as_slice() {
        [left, right] if is_integral(&left.data_type) => (0, right),
        [left, right] if is_integral(&right.data_type) => (1, left),
        _ => return None,
    };
    let Some(ScalarValue::Decimal128(Some(unscaled), _, scale)) = literal.literal else { return None };
    let unit = 10i128.checked_pow(u32::try_from(scale).ok()?)?;
    let floor = unscaled.div_euclid(unit);
    let ceiling = floor + i128::from(unscaled.rem_euclid(unit) != 0);
    // Seen from the integer's side, and whether the bound itself is left out.
    let (above, strict) = match (operator, integer) {
        (Operator::Gt, 0) | (Operator::Lt, 1) => (true, true),
        (Operator::GtEq, 0) | (Operator::LtEq, 1) => (true, false),
        (Operator::Lt, 0) | (Operator::Gt, 1) => (false, true),
        (Operator::LtEq, 0) | (Operator::GtEq, 1) => (false, false),
        _ => return None,
    };
    if unscaled < i128::from(i64::MIN).checked_mul(unit)? {
        return Some(Without::Constant(above));
    }
    if unscaled > i128::from(i64::MAX).checked_mul(unit)? {
        return Some(Without::Constant(!above));
    }
    let bound = i64::try_from(if above == strict { floor } else { ceiling }).ok()?;
    let bound = Typed::literal(ScalarValue::Int64(Some(bound)));
    let kept = call.args[integer].clone();
    Some(Without::Fraction(if integer == 0 { vec![kept, bound] } else { vec![bound, kept] }))
}

fn equal(call: &Call<'_>) -> Result<Built, SparkError> {
    compare(call, Operator::Eq)
}

/// Spark has no operator of its own for it: `a != b` is `NOT (a = b)` and named so.
fn not_equal(call: &Call<'_>) -> Result<Built, SparkError> {
    let (left, right) = comparable(call, "=")?;
    let name = format!("(NOT ({} = {}))", left.name, right.name);
    let nullable = left.nullable || right.nullable;
    Ok(Built::Scalar(Typed::new(binary(left, Operator::NotEq, right), DataType::Boolean, nullable, name)))
}

fn equal_null_safe(call: &Call<'_>) -> Result<Built, SparkError> {
    let (left, right) = comparable(call, "<=>")?;
    let name =
        if call.lower_name() == "equal_null" { call.pretty() } else { format!("({} <=> {})", left.name, right.name) };
    let expr = binary(left, Operator::IsNotDistinctFrom, right);
    Ok(Built::Scalar(Typed::new(expr, DataType::Boolean, false, name)))
}

/// `between(v, a, b)`, which the resolver renames when it comes from SQL.
fn between(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(3..=3)?;
    let side = |index: usize, name| {
        let args = vec![call.args[0].clone(), call.args[index].clone()];
        let call = Call { name, args, distinct: false, settings: call.settings };
        scalar_of(compare(&call, if index == 1 { Operator::GtEq } else { Operator::LtEq })?)
    };
    let args = vec![side(1, ">=")?, side(2, "<=")?];
    let both = Call { name: "and", args, distinct: false, settings: call.settings };
    Ok(Built::Scalar(scalar_of(logic(&both, Operator::And)?)?.named(call.pretty())))
}

/// The scalar that a builder made; the builders of operators make nothing else.
fn scalar_of(built: Built) -> Result<Typed, SparkError> {
    match built {
        Built::Scalar(typed) => Ok(typed),
        Built::Aggregate(_) | Built::TimeWindow(_) => Err(SparkError::unsupported("an aggregate inside an operator")),
    }
}

fn logic(call: &Call<'_>, operator: Operator) -> Result<Built, SparkError> {
    call.arity(2..=2)?;
    let name = format!("({} {operator} {})", call.args[0].name, call.args[1].name);
    let (left, right) = truth_values(call, &name)?;
    let nullable = left.nullable || right.nullable;
    let expr = if raises(&right.expr) {
        // The right side runs only for the rows that the left one leaves open, as in Spark.
        let open = guarded(settling(&left.expr, operator), operator, right.expr);
        Expr::BinaryExpr(BinaryExpr::new(Box::new(left.expr), operator, Box::new(open)))
    } else {
        Expr::BinaryExpr(BinaryExpr::new(Box::new(left.expr), operator, Box::new(right.expr)))
    };
    Ok(Built::Scalar(Typed::new(expr, DataType::Boolean, nullable, name)))
}

/// The right side of an `and` or `or`, only computed where `left` does not settle it: `CASE WHEN left <=> false THEN false
/// ELSE right END`.
fn guarded(left: Expr, operator: Operator, right: Expr) -> Expr {
    let settles = operator == Operator::Or;
    let settled = BinaryExpr::new(Box::new(left), Operator::IsNotDistinctFrom, Box::new(lit(settles)));
    let branch = (Box::new(Expr::BinaryExpr(settled)), Box::new(lit(settles)));
    Expr::Case(Case::new(None, vec![branch], Some(Box::new(right))))
}

/// What is settled where a chain of conditions is. A guarded side is settled where any before it is, so it stands for
/// them: the whole chain in its place would double with every condition.
fn settling(chain: &Expr, operator: Operator) -> Expr {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = chain else { return chain.clone() };
    if *op != operator {
        return chain.clone();
    }
    let before = settling(left, operator);
    if let Expr::Case(Case { expr: None, else_expr: Some(last), .. }) = right.as_ref()
        && guarded(before.clone(), operator, last.as_ref().clone()) == **right
    {
        return right.as_ref().clone();
    }
    Expr::BinaryExpr(BinaryExpr::new(Box::new(before), operator, right.clone()))
}

/// Both sides of `and` and `or` as booleans, with Spark's refusals of other types.
fn truth_values(call: &Call<'_>, name: &str) -> Result<(Typed, Typed), SparkError> {
    let (left, right) = (&call.args[0].data_type, &call.args[1].data_type);
    let truth = |data_type: &DataType| matches!(data_type, DataType::Boolean | DataType::Null | DataType::Utf8);
    if truth(left) && truth(right) {
        return Ok((call.boolean(0)?, call.boolean(1)?));
    }
    Err(if left == right { wrong_operand(name, "\"BOOLEAN\"", left) } else { different_operands(name, left, right) })
}

fn not(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    let argument = call.boolean(0)?;
    let name = format!("(NOT {})", argument.name);
    Ok(Built::Scalar(Typed::new(Expr::Not(Box::new(argument.expr)), DataType::Boolean, argument.nullable, name)))
}

fn in_list(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(1..=usize::MAX)?;
    let names: Vec<&str> = call.args[1..].iter().map(|argument| argument.name.as_str()).collect();
    let name = format!("({} IN ({}))", call.args[0].name, names.join(", "));
    let Some(common) = common_type_of(call.args.iter().map(|argument| &argument.data_type)) else {
        let types: Vec<String> = call.args.iter().map(|argument| quoted_sql_name(&argument.data_type)).collect();
        return Err(super::arguments::mismatch(
            &name,
            "DATA_DIFF_TYPES",
            format!("Input to `in` should all be the same type, but it's [{}].", types.join(", ")),
        ));
    };
    let nullable = call.any_nullable();
    if call.args.len() == 1 {
        return Ok(Built::Scalar(Typed::literal(ScalarValue::Boolean(Some(false))).named(name)));
    }
    let value = one_float(call.coerced(0, &common)?);
    let mut list = Vec::with_capacity(call.args.len() - 1);
    for index in 1..call.args.len() {
        list.push(one_float(call.coerced(index, &common)?));
    }
    let expr = Expr::InList(InList::new(Box::new(value), list, false));
    Ok(Built::Scalar(Typed::new(expr, DataType::Boolean, nullable, name)))
}

fn null_test(call: &Call<'_>, null: bool) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    let argument = call.args[0].clone();
    let (expr, word) = match null {
        true => (Expr::IsNull(Box::new(argument.expr)), "IS NULL"),
        false => (Expr::IsNotNull(Box::new(argument.expr)), "IS NOT NULL"),
    };
    let name = format!("({} {word})", argument.name);
    Ok(Built::Scalar(Typed::new(expr, DataType::Boolean, false, name)))
}

/// NaN is one value and the largest, for Arrow's comparison as for Spark's. A null is not NaN.
fn is_nan(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    let argument = call.double(0)?;
    let equal = Expr::BinaryExpr(BinaryExpr::new(
        Box::new(one_float(argument)),
        Operator::IsNotDistinctFrom,
        Box::new(lit(f64::NAN)),
    ));
    Ok(Built::Scalar(Typed::new(equal, DataType::Boolean, false, call.pretty())))
}

/// The arguments from `start` in their common type.
fn alike(call: &Call<'_>, indices: &[usize], name: &str) -> Result<(Vec<Typed>, DataType), SparkError> {
    let types = indices.iter().map(|index| &call.args[*index].data_type);
    let Some(common) = common_type_of(types.clone()) else {
        let types: Vec<String> = types.map(quoted_sql_name).collect();
        return Err(super::arguments::mismatch(
            name,
            "DATA_DIFF_TYPES",
            format!("Input to `{}` should all be the same type, but it's ({}).", call.lower_name(), types.join(" or ")),
        )
        .with("functionName", format!("`{}`", call.lower_name()))
        .with("dataType", format!("({})", types.join(" or "))));
    };
    let mut coerced = Vec::with_capacity(indices.len());
    for index in indices {
        coerced.push(call.coerced(*index, &common)?);
    }
    Ok((coerced, common))
}

/// Evaluates an argument only for the rows that those before left null.
fn coalesce(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(1..=usize::MAX)?;
    let name = call.pretty();
    let indices: Vec<usize> = (0..call.args.len()).collect();
    let (mut values, common) = alike(call, &indices, &name)?;
    let nullable = values.iter().all(|value| value.nullable);
    let last = values.pop().ok_or_else(|| SparkError::unsupported("`coalesce` of nothing"))?;
    if values.is_empty() {
        return Ok(Built::Scalar(last.named(name)));
    }
    let branches = values
        .into_iter()
        .map(|value| (Box::new(Expr::IsNotNull(Box::new(value.expr.clone()))), Box::new(value.expr)))
        .collect();
    let expr = Expr::Case(Case::new(None, branches, Some(Box::new(last.expr))));
    Ok(Built::Scalar(Typed::new(expr, common, nullable, name)))
}

fn null_if(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(2..=2)?;
    let (left, right) = comparable(call, "=")?;
    let value = call.args[0].clone();
    let equal = binary(left, Operator::Eq, right);
    let null = implicit_cast(Typed::literal(ScalarValue::Null), &value.data_type, call.settings)?;
    let expr = Case::new(None, vec![(Box::new(equal), Box::new(null.expr))], Some(Box::new(value.expr)));
    Ok(Built::Scalar(Typed::new(Expr::Case(expr), value.data_type, true, call.pretty())))
}

fn nvl2(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(3..=3)?;
    let name = call.pretty();
    let (values, common) = alike(call, &[1, 2], &name)?;
    let there = Expr::IsNotNull(Box::new(call.args[0].expr.clone()));
    let nullable = values.iter().any(|value| value.nullable);
    let [value, other]: [Typed; 2] =
        values.try_into().map_err(|_| SparkError::unsupported("`nvl2` of other than three arguments"))?;
    let expr = Case::new(None, vec![(Box::new(there), Box::new(value.expr))], Some(Box::new(other.expr)));
    Ok(Built::Scalar(Typed::new(Expr::Case(expr), common, nullable, name)))
}

/// `when(condition, value[, condition, value ..][, else])`.
fn when(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(2..=usize::MAX)?;
    let count = call.args.len();
    let pairs = count / 2;
    let mut name = String::from("CASE");
    for pair in 0..pairs {
        name.push_str(&format!(" WHEN {} THEN {}", call.args[2 * pair].name, call.args[2 * pair + 1].name));
    }
    if count % 2 == 1 {
        name.push_str(&format!(" ELSE {}", call.args[count - 1].name));
    }
    name.push_str(" END");
    case(call, name)
}

fn if_else(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(3..=3)?;
    let names: Vec<&str> = call.args.iter().map(|argument| argument.name.as_str()).collect();
    case(call, format!("(IF({}))", names.join(", ")))
}

fn case(call: &Call<'_>, name: String) -> Result<Built, SparkError> {
    let count = call.args.len();
    let mut indices: Vec<usize> = (0..count / 2).map(|pair| 2 * pair + 1).collect();
    if count % 2 == 1 {
        indices.push(count - 1);
    }
    let (values, common) = alike(call, &indices, &name)?;
    let nullable = count.is_multiple_of(2) || values.iter().any(|value| value.nullable);
    let mut values = values.into_iter();
    let mut branches = Vec::with_capacity(count / 2);
    for pair in 0..count / 2 {
        let condition = match &call.args[2 * pair].data_type {
            DataType::Boolean | DataType::Null => call.boolean(2 * pair)?,
            // No text here, though `and` takes it.
            _ => return Err(call.unexpected(2 * pair, "\"BOOLEAN\"")),
        };
        let value = values.next().ok_or_else(|| SparkError::unsupported("a branch without a value"))?;
        branches.push((Box::new(condition.expr), Box::new(value.expr)));
    }
    let otherwise = values.next().map(|value| Box::new(value.expr));
    let otherwise = match otherwise {
        Some(otherwise) => Some(otherwise),
        // A typed null, since a branch of only nulls has no type of its own.
        None => Some(Box::new(implicit_cast(Typed::literal(ScalarValue::Null), &common, call.settings)?.expr)),
    };
    let expr = Expr::Case(Case::new(None, branches, otherwise));
    Ok(Built::Scalar(Typed::new(expr, common, nullable, name)))
}
