//! Functions of one number: negation, absolute value, rounding, roots.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Float64Array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, DurationMicrosecondType, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type,
};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use serde_json::{Value, json};

use super::arithmetic::overflow;
use super::floats::{one_nan, one_nan_f32};
use super::kernel::{Kernel, bad_parameters, elementwise, text_parameter};
use crate::cast::{DecimalText, double_to_string, parse_decimal, rescale};
use crate::clock::BatchClock;
use crate::types::{parse_json_type, to_json_value};

/// What is done to a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOperator {
    Negate,
    Absolute,
    BitwiseNot,
    Floor,
    Ceil,
    SquareRoot,
    Exp,
    Ln,
    Log10,
    Log2,
    /// A float as it compares.
    Comparable,
    /// To a number of digits after the point, half up.
    Round(i32),
}

impl UnaryOperator {
    const NAMES: [(UnaryOperator, &'static str); 11] = [
        (UnaryOperator::Negate, "negate"),
        (UnaryOperator::Absolute, "absolute"),
        (UnaryOperator::BitwiseNot, "bitwise_not"),
        (UnaryOperator::Floor, "floor"),
        (UnaryOperator::Ceil, "ceil"),
        (UnaryOperator::SquareRoot, "sqrt"),
        (UnaryOperator::Exp, "exp"),
        (UnaryOperator::Ln, "ln"),
        (UnaryOperator::Log10, "log10"),
        (UnaryOperator::Log2, "log2"),
        (UnaryOperator::Comparable, "comparable"),
    ];
}

/// The function `spark_unary`: an operator on one column of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Unary {
    pub operator: UnaryOperator,
    /// The type of the result.
    pub to: DataType,
    pub ansi: bool,
}

impl Kernel for Unary {
    const NAME: &'static str = "spark_unary";

    fn raises(&self) -> bool {
        self.ansi
    }

    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)> {
        let logarithm = matches!(self.operator, UnaryOperator::Ln | UnaryOperator::Log10 | UnaryOperator::Log2);
        Ok((self.to.clone(), logarithm || arguments.iter().any(|argument| argument.is_nullable())))
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        elementwise(arguments, |arrays, _| self.compute(&arrays[0]))
    }

    fn encode(&self) -> Value {
        let name = UnaryOperator::NAMES.iter().find(|(operator, _)| *operator == self.operator).map(|(_, name)| *name);
        let digits = match self.operator {
            UnaryOperator::Round(digits) => Some(digits),
            _ => None,
        };
        json!({"operator": name.unwrap_or("round"), "digits": digits, "to": to_json_value(&self.to), "ansi": self.ansi})
    }

    fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> {
        let name = text_parameter(parameters, "operator")?;
        let operator = match UnaryOperator::NAMES.iter().find(|(_, known)| *known == name) {
            Some((operator, _)) => *operator,
            None => {
                let digits =
                    parameters.get("digits").and_then(Value::as_i64).and_then(|digits| i32::try_from(digits).ok());
                UnaryOperator::Round(digits.ok_or_else(|| bad_parameters("digits"))?)
            }
        };
        let to = parameters.get("to").map(Value::to_string).ok_or_else(|| bad_parameters("to"))?;
        let ansi = parameters.get("ansi").and_then(Value::as_bool).ok_or_else(|| bad_parameters("ansi"))?;
        Ok(Unary { operator, to: parse_json_type(&to)?, ansi })
    }
}

impl Unary {
    fn compute(&self, array: &ArrayRef) -> Result<ArrayRef> {
        match self.operator {
            UnaryOperator::Negate => self.signed(array, false),
            UnaryOperator::Absolute => self.signed(array, true),
            UnaryOperator::BitwiseNot => bitwise_not(array),
            UnaryOperator::Floor | UnaryOperator::Ceil => self.whole(array),
            UnaryOperator::Round(digits) => self.round(array, digits),
            UnaryOperator::SquareRoot => Ok(doubles(array, f64::sqrt)),
            UnaryOperator::Exp => Ok(doubles(array, f64::exp)),
            UnaryOperator::Ln => Ok(logarithm(array, f64::ln)),
            UnaryOperator::Log10 => Ok(logarithm(array, f64::log10)),
            UnaryOperator::Log2 => Ok(logarithm(array, f64::log2)),
            UnaryOperator::Comparable => comparable(array),
        }
    }

    /// Negation, or the absolute value. The smallest integer has no positive twin: an error in ANSI mode.
    fn signed(&self, array: &ArrayRef, absolute: bool) -> Result<ArrayRef> {
        fn apply<T: ArrowPrimitiveType>(array: &ArrayRef, ansi: bool, absolute: bool, word: &str) -> Result<ArrayRef> {
            let zero = T::Native::default();
            let operate = |value: T::Native| {
                if absolute && value > zero {
                    return Ok(value);
                }
                if ansi {
                    value.neg_checked().map_err(|_| overflow(&format!("{word} overflow"), ""))
                } else {
                    Ok(value.neg_wrapping())
                }
            };
            Ok(Arc::new(array.as_primitive::<T>().try_unary::<_, T, _>(operate)?))
        }
        let ansi = self.ansi;
        match array.data_type() {
            DataType::Int8 => apply::<Int8Type>(array, ansi, absolute, "tinyint"),
            DataType::Int16 => apply::<Int16Type>(array, ansi, absolute, "smallint"),
            DataType::Int32 => apply::<Int32Type>(array, ansi, absolute, "integer"),
            DataType::Int64 => apply::<Int64Type>(array, ansi, absolute, "long"),
            DataType::Duration(_) => apply::<DurationMicrosecondType>(array, ansi, absolute, "interval"),
            DataType::Float32 => {
                let array = array.as_primitive::<Float32Type>();
                let operate = |value: f32| one_nan_f32(if absolute { value.abs() } else { -value });
                Ok(Arc::new(array.unary::<_, Float32Type>(operate)))
            }
            DataType::Float64 => Ok(doubles(array, |value| if absolute { value.abs() } else { -value })),
            DataType::Decimal128(precision, scale) => {
                let array = array.as_primitive::<Decimal128Type>();
                let result = array.unary::<_, Decimal128Type>(|value| if absolute { value.abs() } else { -value });
                Ok(Arc::new(result.with_precision_and_scale(*precision, *scale)?))
            }
            other => Err(bad_parameters(&format!("sign of `{other}`"))),
        }
    }

    /// Floor or ceiling: of doubles to `bigint`, of decimals to a decimal without fraction.
    fn whole(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let floor = self.operator == UnaryOperator::Floor;
        match (array.data_type(), &self.to) {
            (DataType::Decimal128(_, scale), DataType::Decimal128(precision, to_scale)) => {
                let unit = 10i128.pow(u32::from(scale.max(&0).unsigned_abs()));
                let operate = |value: i128| {
                    let down = value.div_euclid(unit);
                    if floor || value.rem_euclid(unit) == 0 { down } else { down + 1 }
                };
                let result = array.as_primitive::<Decimal128Type>().unary::<_, Decimal128Type>(operate);
                Ok(Arc::new(result.with_precision_and_scale(*precision, *to_scale)?))
            }
            (DataType::Float32 | DataType::Float64, _) => {
                let array = compute::cast(array, &DataType::Float64)?;
                let operate = |value: f64| (if floor { value.floor() } else { value.ceil() }) as i64;
                Ok(Arc::new(array.as_primitive::<Float64Type>().unary::<_, Int64Type>(operate)))
            }
            _ => Ok(compute::cast(array, &self.to)?),
        }
    }

    /// Half up on the decimal text of the number, as Java's `BigDecimal(double.toString)` in Spark.
    fn round(&self, array: &ArrayRef, digits: i32) -> Result<ArrayRef> {
        match array.data_type() {
            DataType::Decimal128(_, scale) => {
                let DataType::Decimal128(precision, to_scale) = &self.to else { return Err(bad_parameters("to")) };
                let operate = |value: i128| {
                    let cut = i8::try_from(digits.clamp(-38, 38)).ok()?;
                    let rounded = rescale(value, *scale, cut.min(*scale))?;
                    rescale(rounded, cut.min(*scale), *to_scale)
                };
                let result = array.as_primitive::<Decimal128Type>().unary_opt::<_, Decimal128Type>(operate);
                Ok(Arc::new(result.with_precision_and_scale(*precision, *to_scale)?))
            }
            DataType::Float64 => Ok(doubles(array, |value| round_double(value, digits))),
            DataType::Float32 => {
                let operate = |value: f32| round_double(f64::from(value), digits) as f32;
                Ok(Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(operate)))
            }
            _ if digits >= 0 => Ok(array.clone()),
            _ => self.round_integers(array, digits),
        }
    }

    fn round_integers(&self, array: &ArrayRef, digits: i32) -> Result<ArrayRef> {
        let unit = 10i128.checked_pow(digits.unsigned_abs()).unwrap_or(i128::MAX);
        let longs = compute::cast(array, &DataType::Int64)?;
        let (word, bits) = match self.to {
            DataType::Int8 => ("integer", 8),
            DataType::Int16 => ("integer", 16),
            DataType::Int32 => ("integer", 32),
            _ => ("long", 64),
        };
        let operate = |value: i64| {
            let value = i128::from(value);
            let rest = value % unit;
            let cut = value - rest;
            let rounded =
                if rest.unsigned_abs() >= (unit / 2).unsigned_abs() { cut + value.signum() * unit } else { cut };
            // The low bits, as Java's narrowing.
            let kept = rounded << (128 - bits) >> (128 - bits);
            if kept != rounded && self.ansi {
                return Err(overflow(&format!("{word} overflow"), ""));
            }
            Ok(kept as i64)
        };
        let rounded = longs.as_primitive::<Int64Type>().try_unary::<_, Int64Type, _>(operate)?;
        Ok(compute::cast(&rounded, &self.to)?)
    }
}

/// A double rounded half up to a number of digits after the point; before it when negative.
fn round_double(value: f64, digits: i32) -> f64 {
    if !value.is_finite() || !(-30..=30).contains(&digits) {
        return value;
    }
    let scale = i8::try_from(digits.max(0)).expect("at most 30");
    match parse_decimal(&double_to_string(value), 38, scale) {
        DecimalText::Value(unscaled) if digits >= 0 => {
            let mut text = String::new();
            crate::cast::write_decimal(&mut text, unscaled, scale);
            text.parse().unwrap_or(value)
        }
        DecimalText::Value(unscaled) => {
            let to = i8::try_from(digits).expect("at least -30");
            let text = rescale(unscaled, 0, to).and_then(|cut| rescale(cut, to, 0)).map(|whole| whole.to_string());
            text.and_then(|text| text.parse().ok()).unwrap_or(value)
        }
        DecimalText::Malformed | DecimalText::OutOfRange => value,
    }
}

fn bitwise_not(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Int8 => Arc::new(array.as_primitive::<Int8Type>().unary::<_, Int8Type>(|value| !value)),
        DataType::Int16 => Arc::new(array.as_primitive::<Int16Type>().unary::<_, Int16Type>(|value| !value)),
        DataType::Int32 => Arc::new(array.as_primitive::<Int32Type>().unary::<_, Int32Type>(|value| !value)),
        DataType::Int64 => Arc::new(array.as_primitive::<Int64Type>().unary::<_, Int64Type>(|value| !value)),
        other => return Err(bad_parameters(&format!("bits of `{other}`"))),
    })
}

fn doubles(array: &ArrayRef, operate: impl Fn(f64) -> f64) -> ArrayRef {
    Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(|value| one_nan(operate(value))))
}

/// As Spark: the logarithm of what has none is null.
fn logarithm(array: &ArrayRef, operate: impl Fn(f64) -> f64) -> ArrayRef {
    let result: Float64Array = array
        .as_primitive::<Float64Type>()
        .unary_opt::<_, Float64Type>(|value| if value <= 0.0 { None } else { Some(operate(value)) });
    Arc::new(result)
}

/// Floats as Arrow must see them to compare as Spark does: one zero, one NaN.
fn comparable(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Float32 => {
            let operate = |value: f32| one_nan_f32(value + 0.0);
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(operate))
        }
        DataType::Float64 => doubles(array, |value| value + 0.0),
        _ => array.clone(),
    })
}

/// The function `spark_pow`: one double to the power of another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Power;

impl Kernel for Power {
    const NAME: &'static str = "spark_pow";

    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)> {
        Ok((DataType::Float64, arguments.iter().any(|argument| argument.is_nullable())))
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        elementwise(arguments, |arrays, _| {
            let (base, exponent) = (arrays[0].as_primitive::<Float64Type>(), arrays[1].as_primitive::<Float64Type>());
            let result: Float64Array = compute::binary(base, exponent, f64::powf)?;
            Ok(Arc::new(result))
        })
    }

    fn decode(_: &Value, _: &BatchClock) -> Result<Self> {
        Ok(Power)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Decimal128Array, Int32Array, Int64Array};

    use super::*;
    use crate::error::SparkError;

    #[test]
    fn rounds_half_up_on_the_decimal_text() {
        assert_eq!(round_double(2.5, 0), 3.0);
        assert_eq!(round_double(-2.5, 0), -3.0);
        assert_eq!(round_double(1.005, 2), 1.01);
        assert_eq!(round_double(1250.0, -2), 1300.0);
        assert_eq!(round_double(1e300, 2), 1e300);
        let kernel = Unary { operator: UnaryOperator::Round(-1), to: DataType::Int32, ansi: true };
        let rounded = kernel.compute(&(Arc::new(Int32Array::from(vec![15, -15, 14])) as ArrayRef)).unwrap();
        assert_eq!(rounded.as_primitive::<Int32Type>().values(), &[20, -20, 10]);
    }

    #[test]
    fn floors_decimals_and_doubles() {
        let decimals: ArrayRef = Arc::new(Decimal128Array::from(vec![-15, 15]).with_precision_and_scale(3, 1).unwrap());
        let floor = Unary { operator: UnaryOperator::Floor, to: DataType::Decimal128(3, 0), ansi: true };
        assert_eq!(floor.compute(&decimals).unwrap().as_primitive::<Decimal128Type>().values(), &[-2, 1]);
        let ceil = Unary { operator: UnaryOperator::Ceil, to: DataType::Int64, ansi: true };
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![-0.1, 1.2]));
        assert_eq!(ceil.compute(&doubles).unwrap().as_primitive::<Int64Type>().values(), &[0, 2]);
    }

    #[test]
    fn the_smallest_number_cannot_be_negated() {
        let kernel = Unary { operator: UnaryOperator::Negate, to: DataType::Int64, ansi: true };
        let error = kernel.compute(&(Arc::new(Int64Array::from(vec![i64::MIN])) as ArrayRef)).unwrap_err();
        assert_eq!(SparkError::find(&error).unwrap().class, "ARITHMETIC_OVERFLOW");
    }
}
