//! Arithmetic as Spark's ANSI mode has it: overflow and division by zero are errors, decimals keep Spark's precision.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, PrimitiveArray, PrimitiveBuilder,
};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, i256,
};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use serde_json::{Value, json};

use super::floats::{one_nan, one_nan_f32};
use super::kernel::{Kernel, bad_parameters, elementwise, text_parameter};
use crate::cast::{fits, write_decimal};
use crate::clock::BatchClock;
use crate::error::{ExceptionKind, SparkError};
use crate::types::{DECIMAL_PRECISION_MAX, parse_json_type, sql_name, to_json_value};

/// An operator on two numbers of one type; decimals may differ in precision and scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    /// Of doubles or decimals.
    Divide,
    Remainder,
    /// SQL's `div`: of integers to `bigint`.
    IntegralDivide,
}

impl Operator {
    const ALL: [Operator; 6] = [
        Operator::Add,
        Operator::Subtract,
        Operator::Multiply,
        Operator::Divide,
        Operator::Remainder,
        Operator::IntegralDivide,
    ];

    /// The symbol in names: `(a + 1)`.
    pub fn symbol(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Remainder => "%",
            Operator::IntegralDivide => "div",
        }
    }

    /// The function that Spark's error recommends.
    fn tolerant(self) -> &'static str {
        match self {
            Operator::Add => "try_add",
            Operator::Subtract => "try_subtract",
            Operator::Multiply => "try_multiply",
            Operator::Divide | Operator::IntegralDivide => "try_divide",
            Operator::Remainder => "try_mod",
        }
    }

    fn divides(self) -> bool {
        matches!(self, Operator::Divide | Operator::Remainder | Operator::IntegralDivide)
    }
}

/// The function `spark_arithmetic`: one operator on two columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Arithmetic {
    pub operator: Operator,
    /// The type of the result.
    pub to: DataType,
    /// Whether a result that does not exist is an error, else it is null (and integers wrap).
    pub ansi: bool,
}

impl Kernel for Arithmetic {
    const NAME: &'static str = "spark_arithmetic";

    fn raises(&self) -> bool {
        self.ansi
    }

    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)> {
        let decimal = matches!(self.to, DataType::Decimal128(..));
        let nullable = arguments.iter().any(|argument| argument.is_nullable())
            || self.operator.divides()
            || (decimal && !self.ansi);
        Ok((self.to.clone(), nullable))
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        elementwise(arguments, |arrays, _| self.compute(&arrays[0], &arrays[1]))
    }

    fn encode(&self) -> Value {
        json!({"operator": self.operator.symbol(), "to": to_json_value(&self.to), "ansi": self.ansi})
    }

    fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> {
        let symbol = text_parameter(parameters, "operator")?;
        let operator = Operator::ALL.into_iter().find(|operator| operator.symbol() == symbol);
        let to = parameters.get("to").map(Value::to_string).ok_or_else(|| bad_parameters("to"))?;
        let ansi = parameters.get("ansi").and_then(Value::as_bool).ok_or_else(|| bad_parameters("ansi"))?;
        Ok(Arithmetic {
            operator: operator.ok_or_else(|| bad_parameters("operator"))?,
            to: parse_json_type(&to)?,
            ansi,
        })
    }
}

impl Arithmetic {
    fn compute(&self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        match left.data_type() {
            DataType::Int8 => self.integers::<Int8Type>(left, right),
            DataType::Int16 => self.integers::<Int16Type>(left, right),
            DataType::Int32 => self.integers::<Int32Type>(left, right),
            DataType::Int64 => self.integers::<Int64Type>(left, right),
            DataType::Float32 => self.floats::<Float32Type>(left, right, one_nan_f32),
            DataType::Float64 => self.floats::<Float64Type>(left, right, one_nan),
            DataType::Decimal128(..) => self.decimals(left, right),
            other => Err(bad_parameters(&format!("arithmetic on `{other}`"))),
        }
    }

    /// Computes row by row where both are there; none is an error in ANSI mode, null otherwise.
    fn zip<T: ArrowPrimitiveType, R: ArrowPrimitiveType>(
        &self,
        left: &PrimitiveArray<T>,
        right: &PrimitiveArray<T>,
        compute: impl Fn(T::Native, T::Native) -> Option<R::Native>,
    ) -> Result<PrimitiveArray<R>> {
        let zero_value = T::Native::default();
        let mut builder = PrimitiveBuilder::<R>::with_capacity(left.len());
        for row in 0..left.len() {
            if left.is_null(row) || right.is_null(row) {
                builder.append_null();
                continue;
            }
            let (one, other) = (left.value(row), right.value(row));
            match compute(one, other) {
                Some(value) => builder.append_value(value),
                None if self.ansi => {
                    let zero = self.operator.divides() && other == zero_value;
                    return Err(if zero { self.by_zero() } else { self.overflow(&one, &other) }.into());
                }
                None => builder.append_null(),
            }
        }
        Ok(builder.finish())
    }

    fn integers<T>(&self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef>
    where
        T: ArrowPrimitiveType,
        T::Native: Into<i64>,
    {
        let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
        let ansi = self.ansi;
        let zero = |value: T::Native| value == T::Native::default();
        Ok(match self.operator {
            Operator::Add if ansi => Arc::new(self.zip::<T, T>(left, right, |a, b| a.add_checked(b).ok())?),
            Operator::Subtract if ansi => Arc::new(self.zip::<T, T>(left, right, |a, b| a.sub_checked(b).ok())?),
            Operator::Multiply if ansi => Arc::new(self.zip::<T, T>(left, right, |a, b| a.mul_checked(b).ok())?),
            Operator::Add => Arc::new(self.zip::<T, T>(left, right, |a, b| Some(a.add_wrapping(b)))?),
            Operator::Subtract => Arc::new(self.zip::<T, T>(left, right, |a, b| Some(a.sub_wrapping(b)))?),
            Operator::Multiply => Arc::new(self.zip::<T, T>(left, right, |a, b| Some(a.mul_wrapping(b)))?),
            Operator::Remainder => {
                Arc::new(self.zip::<T, T>(left, right, |a, b| (!zero(b)).then(|| a.mod_wrapping(b)))?)
            }
            Operator::IntegralDivide | Operator::Divide => {
                Arc::new(self.zip::<T, Int64Type>(left, right, |a, b| a.into().checked_div(b.into()))?)
            }
        })
    }

    fn floats<T: ArrowPrimitiveType>(
        &self,
        left: &ArrayRef,
        right: &ArrayRef,
        one_nan: fn(T::Native) -> T::Native,
    ) -> Result<ArrayRef> {
        let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
        let zero = |value: T::Native| value == T::Native::default();
        let compute = |a: T::Native, b: T::Native| match self.operator {
            Operator::Add => Some(a.add_wrapping(b)),
            Operator::Subtract => Some(a.sub_wrapping(b)),
            Operator::Multiply => Some(a.mul_wrapping(b)),
            // A zero divisor is an error for doubles too.
            _ if zero(b) => None,
            Operator::Divide | Operator::IntegralDivide => Some(a.div_wrapping(b)),
            Operator::Remainder => Some(a.mod_wrapping(b)),
        };
        Ok(Arc::new(self.zip::<T, T>(left, right, |a, b| compute(a, b).map(one_nan))?))
    }

    fn decimals(&self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        let (DataType::Decimal128(_, s1), DataType::Decimal128(_, s2)) = (left.data_type(), right.data_type()) else {
            return Err(bad_parameters("a decimal"));
        };
        let (s1, s2) = (*s1, *s2);
        let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
        if self.to == DataType::Int64 {
            let divide = |a: i128, b: i128| {
                let scale = s1.max(s2);
                let (a, b) = (up(a, scale - s1)?, up(b, scale - s2)?);
                a.checked_div(b)?.to_i128().map(|value| value as i64)
            };
            return Ok(Arc::new(self.zip::<Decimal128Type, Int64Type>(left, right, divide)?));
        }
        let DataType::Decimal128(precision, scale) = self.to else { return Err(bad_parameters("to")) };
        let mut builder = PrimitiveBuilder::<Decimal128Type>::with_capacity(left.len());
        for row in 0..left.len() {
            if left.is_null(row) || right.is_null(row) {
                builder.append_null();
                continue;
            }
            let (a, b) = (left.value(row), right.value(row));
            if self.operator.divides() && b == 0 {
                if self.ansi {
                    return Err(self.by_zero().into());
                }
                builder.append_null();
                continue;
            }
            match decimal(self.operator, (a, s1), (b, s2), scale).filter(|value| fits(*value, precision)) {
                Some(value) => builder.append_value(value),
                None if self.ansi => return Err(self.decimal_overflow((a, s1), (b, s2), precision, scale).into()),
                None => builder.append_null(),
            }
        }
        Ok(Arc::new(builder.finish().with_precision_and_scale(precision, scale)?))
    }

    fn by_zero(&self) -> SparkError {
        let (class, text) = match self.operator {
            Operator::Remainder => (
                "REMAINDER_BY_ZERO",
                "Remainder by zero. Use `try_mod` to tolerate divisor being 0 and return NULL instead.",
            ),
            _ => (
                "DIVIDE_BY_ZERO",
                "Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead.",
            ),
        };
        let message = format!("{text} If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.");
        SparkError::new(ExceptionKind::Runtime, class, "22012", message).with("config", "\"spark.sql.ansi.enabled\"")
    }

    fn overflow(&self, left: &dyn std::fmt::Debug, right: &dyn std::fmt::Debug) -> SparkError {
        if matches!(self.to, DataType::Int8 | DataType::Int16) {
            let (symbol, tolerant) = (self.operator.symbol(), self.operator.tolerant());
            // Spark writes both small types with the suffix of a short.
            return SparkError::new(
                ExceptionKind::Runtime,
                "BINARY_ARITHMETIC_OVERFLOW",
                "22003",
                format!(
                    "{left:?}S {symbol} {right:?}S caused overflow. Use `{tolerant}` to ignore overflow problem and return \
                     NULL."
                ),
            )
            .with("value1", format!("{left:?}S"))
            .with("symbol", symbol)
            .with("value2", format!("{right:?}S"))
            .with("functionName", format!("`{tolerant}`"));
        }
        let type_word = match &self.to {
            DataType::Int32 => "integer".to_owned(),
            DataType::Int64 => "long".to_owned(),
            other => sql_name(other).to_lowercase(),
        };
        overflow(&format!("{type_word} overflow"), self.operator.tolerant())
    }

    fn decimal_overflow(&self, left: (i128, i8), right: (i128, i8), precision: u8, scale: i8) -> SparkError {
        // The exact value is what Spark shows; the operands say enough when it has too many digits to hold.
        let mut value = String::new();
        match decimal(self.operator, left, right, scale) {
            Some(exact) => write_decimal(&mut value, exact, scale),
            None => {
                write_decimal(&mut value, left.0, left.1);
                value.push_str(&format!(" {} ", self.operator.symbol()));
                write_decimal(&mut value, right.0, right.1);
            }
        }
        SparkError::new(
            ExceptionKind::Runtime,
            "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
            "22003",
            format!(
                "{value} cannot be represented as Decimal({precision}, {scale}). If necessary set \
                 \"spark.sql.ansi.enabled\" to \"false\" to bypass this error, and return NULL instead."
            ),
        )
    }
}

/// Spark's error of a number that left its type; `tolerant` is the function that gives null instead, or empty.
pub fn overflow(what: &str, tolerant: &str) -> SparkError {
    let alternative = if tolerant.is_empty() {
        String::new()
    } else {
        format!(" Use '{tolerant}' to tolerate overflow and return NULL instead.")
    };
    SparkError::new(
        ExceptionKind::Runtime,
        "ARITHMETIC_OVERFLOW",
        "22003",
        format!("{what}.{alternative} If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error."),
    )
    .with("message", what)
    .with("alternative", alternative)
    .with("config", "\"spark.sql.ansi.enabled\"")
}

/// A number widened and multiplied by ten to `scale`.
fn up(value: i128, scale: i8) -> Option<i256> {
    i256::from_i128(value).checked_mul(i256::from_i128(10).checked_pow(u32::try_from(scale).ok()?)?)
}

/// The exact result of an operator on decimals, rounded half up to a scale.
fn decimal(operator: Operator, (a, s1): (i128, i8), (b, s2): (i128, i8), scale: i8) -> Option<i128> {
    let common = s1.max(s2);
    match operator {
        Operator::Add | Operator::Subtract => {
            let (a, b) = (up(a, common - s1)?, up(b, common - s2)?);
            let value = if operator == Operator::Add { a.checked_add(b)? } else { a.checked_sub(b)? };
            round(value, common, scale)
        }
        Operator::Multiply => round(i256::from_i128(a).checked_mul(i256::from_i128(b))?, s1 + s2, scale),
        Operator::Divide | Operator::IntegralDivide => {
            // Two more digits than asked for would round twice: divide once, and look at the rest.
            let shift = scale - s1 + s2;
            let (a, b) =
                if shift >= 0 { (up(a, shift)?, i256::from_i128(b)) } else { (i256::from_i128(a), up(b, -shift)?) };
            half_up(a, b)?.to_i128()
        }
        Operator::Remainder => {
            let (a, b) = (up(a, common - s1)?, up(b, common - s2)?);
            round(a.checked_rem(b)?, common, scale)
        }
    }
}

fn round(value: i256, from: i8, to: i8) -> Option<i128> {
    if to >= from {
        return value.checked_mul(up(1, to - from)?)?.to_i128();
    }
    half_up(value, up(1, from - to)?)?.to_i128()
}

/// The quotient rounded half away from zero.
fn half_up(a: i256, b: i256) -> Option<i256> {
    let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    let magnitude = |value: i256| if value.is_negative() { value.checked_neg() } else { Some(value) };
    let rest = magnitude(rest)?;
    if rest >= magnitude(b)?.checked_sub(rest)? {
        let step = i256::from_i128(if a.is_negative() == b.is_negative() { 1 } else { -1 });
        return quotient.checked_add(step);
    }
    Some(quotient)
}

/// The type of an operator's result on two decimals. As Spark's `DecimalPrecision`, precision loss allowed.
pub fn decimal_result(operator: Operator, (p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> DataType {
    let (p1, s1, p2, s2) = (i16::from(p1), i16::from(s1), i16::from(p2), i16::from(s2));
    let (precision, scale) = match operator {
        Operator::Add | Operator::Subtract => {
            let scale = s1.max(s2);
            ((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
        Operator::Multiply => (p1 + p2 + 1, s1 + s2),
        Operator::Divide => {
            let scale = 6.max(s1 + p2 + 1);
            (p1 - s1 + s2 + scale, scale)
        }
        Operator::Remainder => {
            let scale = s1.max(s2);
            ((p1 - s1).min(p2 - s2) + scale, scale)
        }
        Operator::IntegralDivide => return DataType::Int64,
    };
    adjusted(precision, scale)
}

/// Cuts a decimal type to 38 digits: the fraction goes first, down to six digits.
fn adjusted(precision: i16, scale: i16) -> DataType {
    const SCALE_KEPT: i16 = 6;
    let max = i16::from(DECIMAL_PRECISION_MAX);
    let (precision, scale) = if precision <= max {
        (precision, scale)
    } else {
        (max, (max - (precision - scale)).max(scale.min(SCALE_KEPT)))
    };
    let narrow = u8::try_from(precision).ok().zip(i8::try_from(scale).ok());
    let (precision, scale) = narrow.expect("both are between 0 and 38");
    DataType::Decimal128(precision, scale)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Decimal128Array, Float64Array, Int32Array};

    use super::*;

    fn ints(operator: Operator, a: i32, b: i32) -> Result<ArrayRef> {
        let kernel = Arithmetic { operator, to: DataType::Int32, ansi: true };
        kernel.compute(
            &(Arc::new(Int32Array::from(vec![a])) as ArrayRef),
            &(Arc::new(Int32Array::from(vec![b])) as ArrayRef),
        )
    }

    fn class(result: Result<ArrayRef>) -> String {
        SparkError::find(&result.unwrap_err()).unwrap().class.clone()
    }

    #[test]
    fn integers_are_checked() {
        assert_eq!(ints(Operator::Add, 1, 2).unwrap().as_primitive::<Int32Type>().value(0), 3);
        assert_eq!(ints(Operator::Remainder, -7, 3).unwrap().as_primitive::<Int32Type>().value(0), -1);
        assert_eq!(class(ints(Operator::Add, i32::MAX, 1)), "ARITHMETIC_OVERFLOW");
        assert_eq!(class(ints(Operator::Remainder, 1, 0)), "REMAINDER_BY_ZERO");
        assert_eq!(class(ints(Operator::IntegralDivide, 1, 0)), "DIVIDE_BY_ZERO");
        assert_eq!(ints(Operator::Remainder, i32::MIN, -1).unwrap().as_primitive::<Int32Type>().value(0), 0);
    }

    #[test]
    fn doubles_divide_by_zero_with_an_error() {
        let kernel = Arithmetic { operator: Operator::Divide, to: DataType::Float64, ansi: true };
        let one: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None]));
        let zero: ArrayRef = Arc::new(Float64Array::from(vec![0.0, 0.0]));
        assert_eq!(class(kernel.compute(&one, &zero)), "DIVIDE_BY_ZERO");
        let nulls: ArrayRef = Arc::new(Float64Array::from(vec![None::<f64>, None]));
        assert_eq!(kernel.compute(&nulls, &zero).unwrap().null_count(), 2);
    }

    #[test]
    fn decimals_follow_the_precision_rules() {
        assert_eq!(decimal_result(Operator::Add, (10, 2), (8, 4)), DataType::Decimal128(13, 4));
        assert_eq!(decimal_result(Operator::Multiply, (10, 2), (8, 4)), DataType::Decimal128(19, 6));
        assert_eq!(decimal_result(Operator::Divide, (10, 2), (8, 4)), DataType::Decimal128(23, 11));
        assert_eq!(decimal_result(Operator::Multiply, (38, 10), (38, 10)), DataType::Decimal128(38, 6));
        let to = decimal_result(Operator::Divide, (3, 1), (3, 1));
        let kernel = Arithmetic { operator: Operator::Divide, to, ansi: true };
        let decimal = |value| -> ArrayRef {
            Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(3, 1).unwrap())
        };
        let result = kernel.compute(&decimal(20), &decimal(30)).unwrap();
        assert_eq!(result.data_type(), &DataType::Decimal128(9, 6));
        assert_eq!(result.as_primitive::<Decimal128Type>().value(0), 666_667);
    }
}
