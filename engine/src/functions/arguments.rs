//! What the builders of all families do with arguments: count them, coerce them, name the result, refuse.

use std::ops::RangeInclusive;

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;

use super::kernel::{Kernel, call};
use super::registry::{Built, Call, Typed};
use super::typed::implicit_cast;
use crate::error::SparkError;
use crate::types::{quoted_sql_name, timestamp};

const ORDINALS: [&str; 10] =
    ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];

impl Call<'_> {
    /// Refuses another number of arguments than these. As Spark's `WRONG_NUM_ARGS`.
    pub fn arity(&self, allowed: RangeInclusive<usize>) -> Result<(), SparkError> {
        if allowed.contains(&self.args.len()) {
            return Ok(());
        }
        let (low, high) = (*allowed.start(), *allowed.end());
        let expected = match high {
            _ if low == high => low.to_string(),
            usize::MAX => format!("> {}", low.saturating_sub(1)),
            _ => format!("[{}]", allowed.map(|count| count.to_string()).collect::<Vec<_>>().join(", ")),
        };
        Err(SparkError::analysis(
            "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
            "42605",
            format!(
                "The `{}` requires {expected} parameters but the actual number is {}. Please, refer to \
                 'https://spark.apache.org/docs/latest/sql-ref-functions.html' for a fix.",
                self.lower_name(),
                self.args.len()
            ),
        )
        .with("functionName", format!("`{}`", self.lower_name()))
        .with("expectedNum", expected)
        .with("actualNum", self.args.len()))
    }

    /// The function's name as the registry has it.
    pub fn lower_name(&self) -> String {
        self.name.to_lowercase()
    }

    /// The name of the result: `lower(content)`.
    pub fn pretty(&self) -> String {
        self.pretty_as(&self.lower_name(), &[])
    }

    /// The name of the result under another function name, with default arguments that Spark shows.
    pub fn pretty_as(&self, function: &str, defaults: &[&str]) -> String {
        let names: Vec<&str> =
            self.args.iter().map(|argument| argument.name.as_str()).chain(defaults.iter().copied()).collect();
        format!("{function}({})", names.join(", "))
    }

    /// Whether any argument can be null.
    pub fn any_nullable(&self) -> bool {
        self.args.iter().any(|argument| argument.nullable)
    }

    /// The error of arguments whose types do not fit: a sub-class of Spark's `DATATYPE_MISMATCH`.
    pub fn mismatch(&self, sub_class: &str, detail: impl std::fmt::Display) -> SparkError {
        mismatch(&self.pretty(), sub_class, detail)
    }

    /// The error of one argument whose type is not the one required.
    pub fn unexpected(&self, index: usize, required: &str) -> SparkError {
        let argument = &self.args[index];
        let ordinal = ORDINALS.get(index).unwrap_or(&"next");
        self.mismatch(
            "UNEXPECTED_INPUT_TYPE",
            format!(
                "The {ordinal} parameter requires the {required} type, however \"{}\" has the type {}.",
                argument.name,
                quoted_sql_name(&argument.data_type)
            ),
        )
        .with("paramIndex", ordinal)
        .with("requiredType", required)
        .with("inputSql", format!("\"{}\"", argument.name))
        .with("inputType", quoted_sql_name(&argument.data_type))
    }

    /// An argument as another type, by the cast that Spark would add.
    pub fn coerced(&self, index: usize, to: &DataType) -> Result<Typed, SparkError> {
        implicit_cast(self.args[index].clone(), to, self.settings)
    }

    /// An argument as a string: any type that is not nested is taken.
    pub fn text(&self, index: usize) -> Result<Typed, SparkError> {
        match &self.args[index].data_type {
            DataType::Struct(_) | DataType::List(_) | DataType::Map(..) => Err(self.unexpected(index, "\"STRING\"")),
            _ => self.coerced(index, &DataType::Utf8),
        }
    }

    /// An argument as an `int`: smaller integers and text are taken.
    pub fn int(&self, index: usize) -> Result<Typed, SparkError> {
        let argument = &self.args[index];
        match &argument.data_type {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Utf8 | DataType::Null => {
                self.coerced(index, &DataType::Int32)
            }
            DataType::Int64 if argument.literal_integer().is_some_and(|value| i32::try_from(value).is_ok()) => {
                self.coerced(index, &DataType::Int32)
            }
            _ => Err(self.unexpected(index, "\"INT\"")),
        }
    }

    /// An argument as a `double`: any number and text.
    pub fn double(&self, index: usize) -> Result<Typed, SparkError> {
        let argument = &self.args[index].data_type;
        if crate::types::is_numeric(argument) || matches!(argument, DataType::Utf8 | DataType::Null) {
            return self.coerced(index, &DataType::Float64);
        }
        Err(self.unexpected(index, "\"DOUBLE\""))
    }

    /// An argument as a `timestamp`: dates, wall-clock times and text are taken.
    pub fn timestamp(&self, index: usize) -> Result<Typed, SparkError> {
        match &self.args[index].data_type {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Utf8 | DataType::Null => {
                self.coerced(index, &timestamp())
            }
            _ => Err(self.unexpected(index, "\"TIMESTAMP\"")),
        }
    }

    /// An argument as a `date`: timestamps and text are taken.
    pub fn date(&self, index: usize) -> Result<Typed, SparkError> {
        match &self.args[index].data_type {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Utf8 | DataType::Null => {
                self.coerced(index, &DataType::Date32)
            }
            _ => Err(self.unexpected(index, "\"DATE\"")),
        }
    }

    /// An argument as a `boolean`; text is taken, as Spark does in ANSI mode.
    pub fn boolean(&self, index: usize) -> Result<Typed, SparkError> {
        match &self.args[index].data_type {
            DataType::Boolean | DataType::Null | DataType::Utf8 => self.coerced(index, &DataType::Boolean),
            _ => Err(self.unexpected(index, "\"BOOLEAN\"")),
        }
    }
}

/// The error of an expression whose types do not fit.
pub fn mismatch(sql: &str, sub_class: &str, detail: impl std::fmt::Display) -> SparkError {
    SparkError::analysis(
        &format!("DATATYPE_MISMATCH.{sub_class}"),
        "42K09",
        format!("Cannot resolve \"{sql}\" due to data type mismatch: {detail}"),
    )
    .with("sqlExpr", format!("\"{sql}\""))
}

/// The error of an operator whose two sides have no type in common.
pub(super) fn different_operands(name: &str, left: &DataType, right: &DataType) -> SparkError {
    let (left, right) = (quoted_sql_name(left), quoted_sql_name(right));
    let detail =
        format!("the left and right operands of the binary operator have incompatible types ({left} and {right}).");
    mismatch(name, "BINARY_OP_DIFF_TYPES", detail).with("left", left).with("right", right)
}

/// The error of an operator whose sides have one type that it does not take.
pub(super) fn wrong_operand(name: &str, required: &str, data_type: &DataType) -> SparkError {
    let given = quoted_sql_name(data_type);
    let detail = format!("the binary operator requires the input type {required}, not {given}.");
    mismatch(name, "BINARY_OP_WRONG_TYPE", detail).with("inputType", required).with("actualDataType", given)
}

/// A kernel over arguments, as a builder's result.
pub fn scalar<K: Kernel>(
    kernel: K,
    arguments: Vec<Typed>,
    data_type: DataType,
    nullable: bool,
    name: String,
) -> Result<Built, SparkError> {
    let arguments: Vec<Expr> = arguments.into_iter().map(|argument| argument.expr).collect();
    Ok(Built::Scalar(Typed::new(call(kernel, arguments), data_type, nullable, name)))
}
