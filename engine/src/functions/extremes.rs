//! `greatest` and `least`: over columns, row by row, nulls left out.

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, make_comparator};
use datafusion::arrow::compute::{self, SortOptions, kernels::cmp, kernels::zip::zip};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use serde_json::{Value, json};

use super::kernel::{Kernel, bad_parameters, elementwise};
use crate::clock::BatchClock;

/// The function `spark_extreme`: all arguments have one type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Extreme {
    pub greatest: bool,
}

impl Kernel for Extreme {
    const NAME: &'static str = "spark_extreme";

    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)> {
        let first = arguments.first().ok_or_else(|| bad_parameters("argument"))?;
        Ok((first.data_type().clone(), arguments.iter().all(|argument| argument.is_nullable())))
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        elementwise(arguments, |arrays, _| {
            let mut best = arrays[0].clone();
            for next in &arrays[1..] {
                best = self.better(&best, next)?;
            }
            Ok(best)
        })
    }

    fn encode(&self) -> Value {
        json!({"greatest": self.greatest})
    }

    fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> {
        let greatest = parameters.get("greatest").and_then(Value::as_bool).ok_or_else(|| bad_parameters("greatest"))?;
        Ok(Extreme { greatest })
    }
}

impl Extreme {
    fn better(&self, one: &ArrayRef, other: &ArrayRef) -> Result<ArrayRef> {
        let wins = match one.data_type() {
            DataType::Struct(_) | DataType::List(_) => self.nested_wins(one, other)?,
            _ if self.greatest => cmp::gt_eq(one, other)?,
            _ => cmp::lt_eq(one, other)?,
        };
        // Where one side is null the other wins.
        let other_null = compute::is_null(other)?;
        let wins = BooleanArray::from_iter(
            (0..one.len()).map(|row| Some(other_null.value(row) || (one.is_valid(row) && wins.value(row)))),
        );
        Ok(zip(&wins, one, other)?)
    }

    /// Nulls inside of nested values come first, as in every order of Spark's.
    fn nested_wins(&self, one: &ArrayRef, other: &ArrayRef) -> Result<BooleanArray> {
        let order = make_comparator(one, other, SortOptions { descending: false, nulls_first: true })?;
        let wins = |row| if self.greatest { order(row, row).is_ge() } else { order(row, row).is_le() };
        Ok((0..one.len()).map(|row| Some(wins(row))).collect())
    }
}
