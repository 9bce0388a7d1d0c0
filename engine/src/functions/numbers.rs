//! Arithmetic operators and functions of numbers, coerced and named as Spark does.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator as DataFusionOperator};

use super::arguments::{different_operands, scalar, wrong_operand};
use super::arithmetic::{Arithmetic, Operator, decimal_result};
use super::coercion::{common_type, common_type_of, decimal_for, is_orderable};
use super::extremes::Extreme;
use super::registry::{Build, Built, Call, Function, Typed};
use super::time_arithmetic::{DateAdd, TimeArithmetic};
use super::typed::implicit_cast;
use super::unary::{Power, Unary, UnaryOperator};
use crate::error::SparkError;
use crate::types::{day_time_interval, is_integral, is_numeric, is_timestamp, quoted_sql_name, timestamp};

const fn row(name: &'static str, build: Build) -> Function {
    Function { name, build }
}

/// The rows of this family.
pub(super) static TABLE: &[Function] = &[
    row("+", |call| if call.args.len() == 1 { positive(call) } else { plus_minus(call, Operator::Add) }),
    row("-", |call| if call.args.len() == 1 { negative(call) } else { plus_minus(call, Operator::Subtract) }),
    row("*", |call| arithmetic(call, Operator::Multiply)),
    row("/", |call| arithmetic(call, Operator::Divide)),
    row("%", |call| arithmetic(call, Operator::Remainder)),
    row("mod", |call| arithmetic(call, Operator::Remainder)),
    row("div", |call| arithmetic(call, Operator::IntegralDivide)),
    row("negative", negative),
    row("positive", positive),
    row("date_add", |call| add_days(call, false)),
    row("dateadd", |call| add_days(call, false)),
    row("date_sub", |call| add_days(call, true)),
    row("&", |call| bits(call, DataFusionOperator::BitwiseAnd)),
    row("|", |call| bits(call, DataFusionOperator::BitwiseOr)),
    row("^", |call| bits(call, DataFusionOperator::BitwiseXor)),
    row("~", bitwise_not),
    row("abs", abs),
    row("round", round),
    row("floor", |call| whole(call, UnaryOperator::Floor, "FLOOR")),
    row("ceil", |call| whole(call, UnaryOperator::Ceil, "CEIL")),
    row("ceiling", |call| whole(call, UnaryOperator::Ceil, "ceiling")),
    row("sqrt", |call| of_double(call, UnaryOperator::SquareRoot, "SQRT")),
    row("exp", |call| of_double(call, UnaryOperator::Exp, "EXP")),
    row("ln", |call| of_double(call, UnaryOperator::Ln, "ln")),
    row("log", |call| of_double(call, UnaryOperator::Ln, "ln")),
    row("log10", |call| of_double(call, UnaryOperator::Log10, "LOG10")),
    row("log2", |call| of_double(call, UnaryOperator::Log2, "LOG2")),
    row("pow", |call| power(call, "pow")),
    row("power", |call| power(call, "POWER")),
    row("greatest", |call| extreme(call, true)),
    row("least", |call| extreme(call, false)),
];

/// The name of a binary operator's result: `(a + 1)`, or `mod(a, 2)` for a function's.
fn operator_name(call: &Call<'_>, operator: Operator) -> String {
    if call.lower_name() == "mod" {
        return call.pretty();
    }
    format!("({} {} {})", call.args[0].name, operator.symbol(), call.args[1].name)
}

/// `+` and `-`, of numbers or of times and intervals.
fn plus_minus(call: &Call<'_>, operator: Operator) -> Result<Built, SparkError> {
    call.arity(2..=2)?;
    let (left, right) = (&call.args[0].data_type, &call.args[1].data_type);
    let subtract = operator == Operator::Subtract;
    let interval = |data_type: &DataType| matches!(data_type, DataType::Duration(_) | DataType::Interval(_));
    let time = |data_type: &DataType| is_timestamp(data_type) || data_type == &DataType::Date32;
    match (left, right) {
        // Text beside an interval is a time, and an interval may come first.
        _ if interval(right) && (time(left) || left == &DataType::Utf8) => time_and_interval(call, 0, 1, subtract),
        _ if interval(left) && (time(right) || right == &DataType::Utf8) && !subtract => {
            time_and_interval(call, 1, 0, false)
        }
        (DataType::Duration(_), DataType::Duration(_)) => {
            let name = operator_name(call, operator);
            let kernel = TimeArithmetic { subtract, zone: call.settings.zone()? };
            scalar(kernel, call.args.clone(), day_time_interval(), call.any_nullable(), name)
        }
        (DataType::Date32, _) if is_integral(right) => add_days(call, subtract),
        _ if subtract && (is_timestamp(left) || is_timestamp(right)) => time_between(call),
        (DataType::Date32, DataType::Date32) if subtract => time_between(call),
        _ => arithmetic(call, operator),
    }
}

/// A time and an interval. A date with a time of day added becomes a timestamp, as in Spark; with whole months it
/// stays.
fn time_and_interval(call: &Call<'_>, time: usize, interval: usize, subtract: bool) -> Result<Built, SparkError> {
    let sign = if subtract { "-" } else { "+" };
    let name = format!("{} {sign} {}", call.args[0].name, call.args[1].name);
    let from_date = call.args[time].data_type == DataType::Date32;
    let to = match &call.args[time].data_type {
        DataType::Timestamp(_, None) => call.args[time].data_type.clone(),
        _ => timestamp(),
    };
    let kernel = TimeArithmetic { subtract, zone: call.settings.zone()? };
    let value = call.coerced(time, &to)?;
    let arguments = vec![value, call.args[interval].clone()];
    let nullable = call.any_nullable();
    let built = scalar(kernel, arguments, to, nullable, name)?;
    let keeps_date = matches!(call.args[interval].data_type, DataType::Interval(_));
    match built {
        Built::Scalar(typed) if from_date && keeps_date => {
            Ok(Built::Scalar(implicit_cast(typed, &DataType::Date32, call.settings)?))
        }
        built => Ok(built),
    }
}

fn time_between(call: &Call<'_>) -> Result<Built, SparkError> {
    let name = format!("({} - {})", call.args[0].name, call.args[1].name);
    let arguments = vec![call.timestamp(0)?, call.timestamp(1)?];
    let kernel = TimeArithmetic { subtract: true, zone: call.settings.zone()? };
    scalar(kernel, arguments, day_time_interval(), call.any_nullable(), name)
}

fn add_days(call: &Call<'_>, subtract: bool) -> Result<Built, SparkError> {
    call.arity(2..=2)?;
    let name = if subtract { call.pretty_as("date_sub", &[]) } else { call.pretty_as("date_add", &[]) };
    let arguments = vec![call.date(0)?, call.int(1)?];
    scalar(DateAdd { subtract }, arguments, DataType::Date32, call.any_nullable(), name)
}

/// An operator on numbers; text beside a number becomes one.
fn arithmetic(call: &Call<'_>, operator: Operator) -> Result<Built, SparkError> {
    call.arity(2..=2)?;
    let name = operator_name(call, operator);
    let (left, right) = (&call.args[0].data_type, &call.args[1].data_type);
    let Some(mut common) = common_type(left, right) else {
        return Err(different_operands(&name, left, right));
    };
    if common == DataType::Null {
        common = DataType::Float64;
    }
    if !is_numeric(&common) {
        return Err(wrong_operand(&name, "\"NUMERIC\"", &common));
    }
    if matches!(common, DataType::Decimal128(..)) {
        return decimals(call, operator, name);
    }
    let (operand, result) = match operator {
        Operator::Divide => (DataType::Float64, DataType::Float64),
        Operator::IntegralDivide if is_integral(&common) => (DataType::Int64, DataType::Int64),
        Operator::IntegralDivide => return Err(wrong_operand(&name, "(\"DECIMAL\" or \"BIGINT\")", &common)),
        _ => (common.clone(), common.clone()),
    };
    // Text becomes what it has in common with the other side first: `'1.5' / 2` fails, since no integer is read.
    let argument = |index: usize| match &call.args[index].data_type {
        DataType::Utf8 => implicit_cast(call.coerced(index, &common)?, &operand, call.settings),
        _ => call.coerced(index, &operand),
    };
    let arguments = vec![argument(0)?, argument(1)?];
    let nullable =
        call.any_nullable() || matches!(operator, Operator::Divide | Operator::Remainder | Operator::IntegralDivide);
    let kernel = Arithmetic { operator, to: result.clone(), ansi: call.settings.ansi };
    scalar(kernel, arguments, result, nullable, name)
}

fn decimals(call: &Call<'_>, operator: Operator, name: String) -> Result<Built, SparkError> {
    let decimal = |argument: &Typed| -> Option<(u8, i8)> {
        match argument.literal_integer() {
            // A literal is as wide as its digits.
            Some(value) => {
                let digits = u8::try_from(value.unsigned_abs().to_string().len()).ok()?;
                Some((digits, 0))
            }
            None => decimal_for(&argument.data_type),
        }
    };
    let side = |index: usize, other: usize| {
        decimal(&call.args[index]).or_else(|| decimal(&call.args[other])).unwrap_or((38, 0))
    };
    let (left, right) = (side(0, 1), side(1, 0));
    let result = decimal_result(operator, left, right);
    let arguments = vec![
        call.coerced(0, &DataType::Decimal128(left.0, left.1))?,
        call.coerced(1, &DataType::Decimal128(right.0, right.1))?,
    ];
    let divides = matches!(operator, Operator::Divide | Operator::Remainder | Operator::IntegralDivide);
    let nullable = call.any_nullable() || divides || !call.settings.ansi;
    let kernel = Arithmetic { operator, to: result.clone(), ansi: call.settings.ansi };
    scalar(kernel, arguments, result, nullable, name)
}

/// An argument that is a number already, or becomes a double.
fn number(call: &Call<'_>, index: usize) -> Result<Typed, SparkError> {
    match &call.args[index].data_type {
        data_type if is_numeric(data_type) => Ok(call.args[index].clone()),
        DataType::Utf8 | DataType::Null => call.coerced(index, &DataType::Float64),
        _ => Err(call.unexpected(index, "\"NUMERIC\"")),
    }
}

/// `- a` in SQL and `negative(a)` otherwise, by the name that the front end uses.
fn negative(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    let name = if call.name == "-" { format!("(- {})", call.args[0].name) } else { call.pretty_as("negative", &[]) };
    let argument = match call.args[0].data_type {
        DataType::Duration(_) => call.args[0].clone(),
        _ => number(call, 0)?,
    };
    unary(call, UnaryOperator::Negate, argument.clone(), argument.data_type, name)
}

fn positive(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    let name = format!("(+ {})", call.args[0].name);
    Ok(Built::Scalar(number(call, 0)?.named(name)))
}

fn unary(
    call: &Call<'_>,
    operator: UnaryOperator,
    argument: Typed,
    to: DataType,
    name: String,
) -> Result<Built, SparkError> {
    let nullable = argument.nullable;
    scalar(Unary { operator, to: to.clone(), ansi: call.settings.ansi }, vec![argument], to, nullable, name)
}

fn abs(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    let argument = number(call, 0)?;
    unary(call, UnaryOperator::Absolute, argument.clone(), argument.data_type, call.pretty())
}

fn whole(call: &Call<'_>, operator: UnaryOperator, word: &str) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    let argument = number(call, 0)?;
    let to = match &argument.data_type {
        DataType::Decimal128(precision, scale) => {
            let digits = i16::from(*precision) - i16::from(*scale) + i16::from(*scale > 0);
            DataType::Decimal128(u8::try_from(digits.clamp(1, 38)).expect("between 1 and 38"), 0)
        }
        _ => DataType::Int64,
    };
    unary(call, operator, argument, to, call.pretty_as(word, &[]))
}

fn of_double(call: &Call<'_>, operator: UnaryOperator, word: &str) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    let argument = call.double(0)?;
    let logarithm = matches!(operator, UnaryOperator::Ln | UnaryOperator::Log10 | UnaryOperator::Log2);
    let nullable = argument.nullable || logarithm;
    let kernel = Unary { operator, to: DataType::Float64, ansi: call.settings.ansi };
    scalar(kernel, vec![argument], DataType::Float64, nullable, call.pretty_as(word, &[]))
}

fn round(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(1..=2)?;
    let digits = match call.args.get(1) {
        None => 0,
        Some(argument) => {
            argument.literal_integer().and_then(|digits| i32::try_from(digits).ok()).ok_or_else(|| {
                call.mismatch("NON_FOLDABLE_INPUT", "the input `scale` should be a foldable \"INT\" expression.")
            })?
        }
    };
    let defaults: &[&str] = if call.args.len() == 1 { &["0"] } else { &[] };
    let name = call.pretty_as("round", defaults);
    let argument = number(call, 0)?;
    let to = match &argument.data_type {
        DataType::Decimal128(precision, scale) => {
            let whole = i32::from(*precision) - i32::from(*scale) + 1;
            let (precision, scale) = if digits < 0 {
                (whole.max(1 - digits), 0)
            } else {
                (whole + digits.min(i32::from(*scale)), digits.min(i32::from(*scale)))
            };
            let narrow = u8::try_from(precision.clamp(1, 38)).ok().zip(i8::try_from(scale).ok());
            let (precision, scale) = narrow.expect("both are between 0 and 38");
            DataType::Decimal128(precision, scale)
        }
        other => other.clone(),
    };
    unary(call, UnaryOperator::Round(digits), argument, to, name)
}

fn power(call: &Call<'_>, word: &str) -> Result<Built, SparkError> {
    call.arity(2..=2)?;
    let arguments = vec![call.double(0)?, call.double(1)?];
    scalar(Power, arguments, DataType::Float64, call.any_nullable(), call.pretty_as(word, &[]))
}

fn bits(call: &Call<'_>, operator: DataFusionOperator) -> Result<Built, SparkError> {
    call.arity(2..=2)?;
    let name = format!("({} {} {})", call.args[0].name, call.name, call.args[1].name);
    let common = common_type(&call.args[0].data_type, &call.args[1].data_type).filter(is_integral);
    let Some(common) = common else {
        return Err(wrong_operand(&name, "\"INTEGRAL\"", &call.args[0].data_type));
    };
    let (left, right) = (call.coerced(0, &common)?, call.coerced(1, &common)?);
    let expr = Expr::BinaryExpr(BinaryExpr::new(Box::new(left.expr), operator, Box::new(right.expr)));
    Ok(Built::Scalar(Typed::new(expr, common, call.any_nullable(), name)))
}

fn bitwise_not(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    let name = format!("~{}", call.args[0].name);
    let argument = match &call.args[0].data_type {
        data_type if is_integral(data_type) => call.args[0].clone(),
        DataType::Null => call.coerced(0, &DataType::Int32)?,
        _ => return Err(call.unexpected(0, "\"INTEGRAL\"")),
    };
    unary(call, UnaryOperator::BitwiseNot, argument.clone(), argument.data_type, name)
}

/// The largest or smallest of the arguments that are not null.
fn extreme(call: &Call<'_>, greatest: bool) -> Result<Built, SparkError> {
    call.arity(2..=usize::MAX)?;
    let types = || call.args.iter().map(|argument| &argument.data_type);
    // Text and other values have no common type here, though they have one in `coalesce`.
    let text = types().any(|data_type| data_type == &DataType::Utf8);
    let only_text = types().all(|data_type| matches!(data_type, DataType::Utf8 | DataType::Null));
    let common = common_type_of(types()).filter(|common| is_orderable(common) && (!text || only_text));
    let Some(common) = common else {
        let types: Vec<String> = call.args.iter().map(|argument| quoted_sql_name(&argument.data_type)).collect();
        return Err(call.mismatch(
            "DATA_DIFF_TYPES",
            format!("Input to `{}` should all be the same type, but it's ({}).", call.lower_name(), types.join(" or ")),
        ));
    };
    let mut arguments = Vec::with_capacity(call.args.len());
    for index in 0..call.args.len() {
        arguments.push(call.coerced(index, &common)?);
    }
    let nullable = arguments.iter().all(|argument| argument.nullable);
    scalar(Extreme { greatest }, arguments, common, nullable, call.pretty())
}
