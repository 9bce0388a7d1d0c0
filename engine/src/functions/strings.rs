//! String functions by their Spark names, with Spark's default arguments and column names.

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, Like};
use datafusion::scalar::ScalarValue;

use super::arguments::scalar;
use super::kernels::datafusion_function;
use super::pattern::{like_to_regex, with_backslashes};
use super::registry::{Build, Built, Call, Function, Typed};
use super::text::{Text, TextOperator};
use crate::error::SparkError;

const fn row(name: &'static str, build: Build) -> Function {
    Function { name, build }
}

/// The rows of this family.
pub(super) static TABLE: &[Function] = &[
    row("lower", |call| of_datafusion(call, "lower", 1, DataType::Utf8)),
    row("lcase", |call| of_datafusion(call, "lower", 1, DataType::Utf8)),
    row("upper", |call| of_datafusion(call, "upper", 1, DataType::Utf8)),
    row("ucase", |call| of_datafusion(call, "upper", 1, DataType::Utf8)),
    row("contains", |call| of_datafusion(call, "contains", 2, DataType::Boolean)),
    row("startswith", |call| of_datafusion(call, "starts_with", 2, DataType::Boolean)),
    row("endswith", |call| of_datafusion(call, "ends_with", 2, DataType::Boolean)),
    row("length", length),
    row("len", length),
    row("char_length", length),
    row("character_length", length),
    row("trim", |call| trim(call, TextOperator::Trim, "BOTH")),
    row("btrim", |call| trim(call, TextOperator::Trim, "")),
    row("ltrim", |call| trim(call, TextOperator::TrimLeft, "LEADING")),
    row("rtrim", |call| trim(call, TextOperator::TrimRight, "TRAILING")),
    row("concat", concat),
    row("||", concat),
    row("concat_ws", concat_separated),
    row("substring", substring),
    row("substr", substring),
    row("mid", substring),
    row("left", |call| side(call, true)),
    row("right", |call| side(call, false)),
    row("split", split),
    row("replace", replace),
    row("regexp_replace", regexp_replace),
    row("regexp_extract", regexp_extract),
    row("lpad", |call| pad(call, TextOperator::PadLeft)),
    row("rpad", |call| pad(call, TextOperator::PadRight)),
    row("instr", |call| position(call, 0, 1)),
    row("locate", |call| position(call, 1, 0)),
    row("position", |call| position(call, 1, 0)),
    row("initcap", |call| texts(call, TextOperator::InitCap, 1)),
    row("reverse", |call| texts(call, TextOperator::Reverse, 1)),
    row("repeat", repeat),
    row("like", |call| like(call, TextOperator::Like)),
    row("ilike", |call| like(call, TextOperator::ILike)),
    row("rlike", |call| like(call, TextOperator::RLike)),
    row("regexp", |call| like(call, TextOperator::RLike)),
    row("regexp_like", |call| like(call, TextOperator::RLike)),
];

/// A string literal as an argument that the user left out.
fn default_text(text: &str) -> Typed {
    Typed::literal(ScalarValue::from(text))
}

fn default_int(value: i32) -> Typed {
    Typed::literal(ScalarValue::Int32(Some(value)))
}

/// A function of DataFusion's that means the same, over strings.
fn of_datafusion(call: &Call<'_>, name: &str, count: usize, result: DataType) -> Result<Built, SparkError> {
    call.arity(count..=count)?;
    let function =
        datafusion_function(name).ok_or_else(|| SparkError::unsupported(format!("the function `{name}`")))?;
    let mut arguments: Vec<Expr> = Vec::with_capacity(count);
    for index in 0..count {
        arguments.push(call.text(index)?.expr);
    }
    Ok(Built::Scalar(Typed::new(function.call(arguments), result, call.any_nullable(), call.pretty())))
}

/// A function whose arguments are strings all.
fn texts(call: &Call<'_>, operator: TextOperator, count: usize) -> Result<Built, SparkError> {
    call.arity(count..=count)?;
    let mut arguments = Vec::with_capacity(count);
    for index in 0..count {
        arguments.push(call.text(index)?);
    }
    built(call, operator, arguments, call.pretty())
}

fn built(call: &Call<'_>, operator: TextOperator, arguments: Vec<Typed>, name: String) -> Result<Built, SparkError> {
    scalar(Text(operator), arguments, operator.result(), call.any_nullable(), name)
}

fn length(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    match call.args[0].data_type {
        DataType::Binary => built(call, TextOperator::ByteLength, call.args.clone(), call.pretty()),
        _ => texts(call, TextOperator::Length, 1),
    }
}

/// `trim(text)`, or `trim(characters, text)` as the SQL form `TRIM(BOTH characters FROM text)` arrives.
fn trim(call: &Call<'_>, operator: TextOperator, direction: &str) -> Result<Built, SparkError> {
    call.arity(1..=2)?;
    if call.args.len() == 1 {
        return built(call, operator, vec![call.text(0)?, default_text(" ")], call.pretty());
    }
    if direction.is_empty() {
        return built(call, operator, vec![call.text(0)?, call.text(1)?], call.pretty());
    }
    let name = format!("TRIM({direction} {} FROM {})", call.args[0].name, call.args[1].name);
    built(call, operator, vec![call.text(1)?, call.text(0)?], name)
}

fn concat(call: &Call<'_>) -> Result<Built, SparkError> {
    let name = call.pretty_as("concat", &[]);
    if call.args.is_empty() {
        return Ok(Built::Scalar(default_text("").named(name)));
    }
    if let Some(DataType::List(_) | DataType::Binary) = call.args.iter().map(|argument| &argument.data_type).next() {
        return Err(SparkError::unsupported(format!(
            "`concat` of {}",
            crate::types::sql_name(&call.args[0].data_type)
        )));
    }
    let mut arguments = Vec::with_capacity(call.args.len());
    for index in 0..call.args.len() {
        arguments.push(call.text(index)?);
    }
    built(call, TextOperator::Concat, arguments, name)
}

fn concat_separated(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(1..=usize::MAX)?;
    let mut arguments = vec![call.text(0)?];
    for index in 1..call.args.len() {
        arguments.push(match &call.args[index].data_type {
            DataType::List(element) if element.data_type() == &DataType::Utf8 => call.args[index].clone(),
            _ => call.text(index)?,
        });
    }
    let nullable = arguments[0].nullable;
    scalar(Text(TextOperator::ConcatSeparated), arguments, DataType::Utf8, nullable, call.pretty())
}

fn substring(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(2..=3)?;
    let defaults: &[&str] = if call.args.len() == 2 { &["2147483647"] } else { &[] };
    let name = call.pretty_as(&call.lower_name(), defaults);
    let length = if call.args.len() == 3 { call.int(2)? } else { default_int(i32::MAX) };
    built(call, TextOperator::Substring, vec![call.text(0)?, call.int(1)?, length], name)
}

/// `left(text, n)` and `right(text, n)`: the ends of a string.
fn side(call: &Call<'_>, left: bool) -> Result<Built, SparkError> {
    call.arity(2..=2)?;
    if left {
        return built(call, TextOperator::Substring, vec![call.text(0)?, default_int(1), call.int(1)?], call.pretty());
    }
    let Some(count) = call.args[1].literal_integer().and_then(|count| i32::try_from(count).ok()) else {
        return Err(SparkError::unsupported("`right` with a count that is not a literal"));
    };
    if count <= 0 {
        return built(
            call,
            TextOperator::Substring,
            vec![call.text(0)?, default_int(1), default_int(0)],
            call.pretty(),
        );
    }
    built(call, TextOperator::Substring, vec![call.text(0)?, default_int(-count), default_int(count)], call.pretty())
}

fn split(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(2..=3)?;
    let defaults: &[&str] = if call.args.len() == 2 { &["-1"] } else { &[] };
    let name = call.pretty_as("split", defaults);
    let limit = if call.args.len() == 3 { call.int(2)? } else { default_int(-1) };
    built(call, TextOperator::Split, vec![call.text(0)?, call.text(1)?, limit], name)
}

fn replace(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(2..=3)?;
    let defaults: &[&str] = if call.args.len() == 2 { &[""] } else { &[] };
    let name = call.pretty_as("replace", defaults);
    let replacement = if call.args.len() == 3 { call.text(2)? } else { default_text("") };
    built(call, TextOperator::Replace, vec![call.text(0)?, call.text(1)?, replacement], name)
}

fn regexp_replace(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(3..=4)?;
    if call.args.get(3).is_some_and(|position| position.literal_integer() != Some(1)) {
        return Err(SparkError::unsupported("`regexp_replace` from another position than 1"));
    }
    let defaults: &[&str] = if call.args.len() == 3 { &["1"] } else { &[] };
    let name = call.pretty_as("regexp_replace", defaults);
    built(call, TextOperator::RegexReplace, vec![call.text(0)?, call.text(1)?, call.text(2)?], name)
}

fn regexp_extract(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(2..=3)?;
    let defaults: &[&str] = if call.args.len() == 2 { &["1"] } else { &[] };
    let name = call.pretty_as("regexp_extract", defaults);
    let group = if call.args.len() == 3 { call.int(2)? } else { default_int(1) };
    built(call, TextOperator::RegexExtract, vec![call.text(0)?, call.text(1)?, group], name)
}

fn pad(call: &Call<'_>, operator: TextOperator) -> Result<Built, SparkError> {
    call.arity(2..=3)?;
    let defaults: &[&str] = if call.args.len() == 2 { &[" "] } else { &[] };
    let name = call.pretty_as(&call.lower_name(), defaults);
    let padding = if call.args.len() == 3 { call.text(2)? } else { default_text(" ") };
    built(call, operator, vec![call.text(0)?, call.int(1)?, padding], name)
}

/// `instr(text, part)`, and `locate(part, text[, start])` with its arguments the other way round.
fn position(call: &Call<'_>, text: usize, part: usize) -> Result<Built, SparkError> {
    let locate = call.lower_name() != "instr";
    call.arity(2..=if locate { 3 } else { 2 })?;
    let defaults: &[&str] = if locate && call.args.len() == 2 { &["1"] } else { &[] };
    let name = call.pretty_as(&call.lower_name(), defaults);
    let start = if call.args.len() == 3 { call.int(2)? } else { default_int(1) };
    built(call, TextOperator::Position, vec![call.text(text)?, call.text(part)?, start], name)
}

fn repeat(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(2..=2)?;
    built(call, TextOperator::Repeat, vec![call.text(0)?, call.int(1)?], call.pretty())
}

/// `like(text, pattern, escape)` as one with a backslash for the other escape character.
fn like_with_escape(call: &Call<'_>, operator: TextOperator) -> Result<Built, SparkError> {
    let escape = call.args[2].literal_text().and_then(|text| {
        let mut chars = text.chars();
        chars.next().filter(|_| chars.next().is_none())
    });
    let (Some(escape), Some(pattern)) = (escape, call.args[1].literal_text()) else {
        return Err(SparkError::unsupported("`LIKE .. ESCAPE` without a literal pattern and one literal character"));
    };
    let pattern = Typed::literal(ScalarValue::from(with_backslashes(pattern, escape)?)).named(&call.args[1].name);
    let args = vec![call.args[0].clone(), pattern];
    let built = like(&Call { args, ..*call }, operator)?;
    match built {
        Built::Scalar(typed) if operator == TextOperator::Like => {
            let name = format!("{} ESCAPE '{escape}'", typed.name);
            Ok(Built::Scalar(typed.named(name)))
        }
        built => Ok(built),
    }
}

fn like(call: &Call<'_>, operator: TextOperator) -> Result<Built, SparkError> {
    if call.args.len() == 3 && operator != TextOperator::RLike {
        return like_with_escape(call, operator);
    }
    call.arity(2..=2)?;
    let (left, right) = (&call.args[0].name, &call.args[1].name);
    let name = match operator {
        TextOperator::Like => format!("{left} LIKE {right}"),
        TextOperator::RLike => format!("{}({left}, {right})", call.lower_name().to_uppercase()),
        _ => call.pretty(),
    };
    if operator != TextOperator::RLike
        && let Some(pattern) = call.args[1].literal_text()
    {
        // A pattern that is known and valid is Arrow's affair, which knows quick ways for the simple ones.
        let ignore_case = operator == TextOperator::ILike;
        like_to_regex(pattern, ignore_case)?;
        let (value, pattern) = (call.text(0)?, call.text(1)?);
        let like = Like::new(false, Box::new(value.expr), Box::new(pattern.expr), None, ignore_case);
        return Ok(Built::Scalar(Typed::new(Expr::Like(like), DataType::Boolean, call.any_nullable(), name)));
    }
    built(call, operator, vec![call.text(0)?, call.text(1)?], name)
}
