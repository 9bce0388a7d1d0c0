//! Sums that raise on overflow, and the averages made of them.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, Float64Array,
    Int64Array, PrimitiveArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Int64Type, i256};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::filter::passes;
use crate::cast::{fits, out_of_range, write_decimal};
use crate::error::{ExceptionKind, SparkError};

/// What becomes of the sum at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Finish {
    Sum,
    Average,
}

/// Sum and count of each group. A group without values sums to null.
#[derive(Debug)]
pub(super) struct SumGroups<T: ArrowPrimitiveType> {
    finish: Finish,
    sum_type: DataType,
    result_type: DataType,
    sums: Vec<T::Native>,
    counts: Vec<i64>,
}

impl<T: ArrowPrimitiveType> SumGroups<T> {
    pub(super) fn new(finish: Finish, sum_type: DataType, result_type: DataType) -> Self {
        SumGroups { finish, sum_type, result_type, sums: Vec::new(), counts: Vec::new() }
    }

    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, T::default_value());
        self.counts.resize(groups, 0);
    }

    fn add(&mut self, group: usize, value: T::Native, count: i64) -> Result<()> {
        let sum = self.sums[group];
        let error = |_| overflow(&self.sum_type, || format!("{sum:?} + {value:?}"));
        self.sums[group] = sum.add_checked(value).map_err(error)?;
        self.counts[group] += count;
        Ok(())
    }

    fn sum_array(&self, sums: Vec<T::Native>, counts: &[i64]) -> PrimitiveArray<T> {
        let nulls = NullBuffer::from_iter(counts.iter().map(|count| *count > 0));
        PrimitiveArray::<T>::new(sums.into(), Some(nulls)).with_data_type(self.sum_type.clone())
    }
}

/// Spark's error of a sum that left its type; `value` is the sum as the error of a decimal shows it.
fn overflow(data_type: &DataType, value: impl FnOnce() -> String) -> DataFusionError {
    let error = match data_type {
        DataType::Decimal128(precision, scale) => out_of_range(&value(), *precision, *scale),
        _ => SparkError::new(
            ExceptionKind::Runtime,
            "ARITHMETIC_OVERFLOW",
            "22003",
            "long overflow. Use 'try_sum' to tolerate overflow and return NULL instead.",
        ),
    };
    DataFusionError::External(Box::new(error))
}

/// Fails on the first decimal with more digits than its type has.
fn check_decimals(decimals: &Decimal128Array) -> Result<()> {
    let (precision, scale) = (decimals.precision(), decimals.scale());
    match decimals.iter().flatten().find(|value| !fits(*value, precision)) {
        None => Ok(()),
        Some(value) => Err(overflow(decimals.data_type(), || {
            let mut text = String::new();
            write_decimal(&mut text, value, scale);
            text
        })),
    }
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for SumGroups<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.grow(groups);
        let values = values[0].as_primitive::<T>();
        for (row, group) in group_indices.iter().enumerate() {
            if values.is_valid(row) && passes(filter, row) {
                self.add(*group, values.value(row), 1)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.sums);
        let counts = emit_to.take_needed(&mut self.counts);
        let sums = self.sum_array(sums, &counts);
        match self.finish {
            Finish::Sum => finish_sum(sums),
            Finish::Average => finish_average(&sums, &counts, &self.result_type),
        }
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = emit_to.take_needed(&mut self.sums);
        let counts = emit_to.take_needed(&mut self.counts);
        let mut state: Vec<ArrayRef> = vec![Arc::new(self.sum_array(sums, &counts))];
        if self.finish == Finish::Average {
            state.push(Arc::new(Int64Array::from(counts)));
        }
        Ok(state)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.grow(groups);
        let sums = values[0].as_primitive::<T>();
        let counts = values.get(1).map(|counts| counts.as_primitive::<Int64Type>());
        for (row, group) in group_indices.iter().enumerate() {
            if sums.is_valid(row) {
                self.add(*group, sums.value(row), counts.map_or(1, |counts| counts.value(row)))?;
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<T>();
        let mut single = SumGroups::<T>::new(self.finish, self.sum_type.clone(), self.result_type.clone());
        single.grow(values.len());
        for row in (0..values.len()).filter(|row| values.is_valid(*row) && passes(filter, *row)) {
            single.add(row, values.value(row), 1)?;
        }
        single.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.counts.capacity() * size_of::<i64>()
    }
}

/// The sums as they are, after a check that decimals still fit their type.
fn finish_sum<T: ArrowPrimitiveType>(sums: PrimitiveArray<T>) -> Result<ArrayRef> {
    let sums: ArrayRef = Arc::new(sums);
    if let Some(decimals) = sums.as_primitive_opt::<Decimal128Type>() {
        check_decimals(decimals)?;
    }
    Ok(sums)
}

fn finish_average<T: ArrowPrimitiveType>(
    sums: &PrimitiveArray<T>,
    counts: &[i64],
    result_type: &DataType,
) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = result_type else {
        let sums = datafusion::arrow::compute::cast(sums, &DataType::Float64)?;
        let sums = sums.as_primitive::<datafusion::arrow::datatypes::Float64Type>();
        let averages =
            counts.iter().enumerate().map(|(row, count)| sums.is_valid(row).then(|| sums.value(row) / *count as f64));
        return Ok(Arc::new(Float64Array::from_iter(averages)));
    };
    let sums: ArrayRef = Arc::new(sums.clone());
    let sums = sums.as_primitive::<Decimal128Type>();
    let shift = 10i128.pow(u32::try_from(*scale - sums.scale()).unwrap_or(0));
    let average = |row: usize, count: i64| {
        let sum = sums.value(row);
        let error = || overflow(result_type, || format!("{sum} / {count}"));
        divide_half_up(sum, shift, i128::from(count)).ok_or_else(error)
    };
    let of_row = |(row, count): (usize, &i64)| sums.is_valid(row).then(|| average(row, *count)).transpose();
    let averages = counts.iter().enumerate().map(of_row);
    let averages = averages.collect::<Result<Vec<Option<i128>>>>()?;
    let averages = Decimal128Array::from(averages).with_precision_and_scale(*precision, *scale)?;
    check_decimals(&averages)?;
    Ok(Arc::new(averages))
}

/// `value * shift / count`, rounded half away from zero, as Java's HALF_UP; none beyond 128 bits.
fn divide_half_up(value: i128, shift: i128, count: i128) -> Option<i128> {
    let dividend = i256::from_i128(value).checked_mul(i256::from_i128(shift))?;
    let count = i256::from_i128(count);
    let (quotient, remainder) = (dividend.checked_div(count)?.to_i128()?, dividend.checked_rem(count)?.to_i128()?);
    let up = remainder.unsigned_abs() * 2 >= count.to_i128()?.unsigned_abs();
    if up { quotient.checked_add(value.signum()) } else { Some(quotient) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::Float64Type;

    #[test]
    fn a_long_sum_that_overflows_is_an_error() {
        let mut sum = SumGroups::<Int64Type>::new(Finish::Sum, DataType::Int64, DataType::Int64);
        let values: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1]));
        let error = sum.update_batch(&[values], &[0, 0], None, 1).expect_err("overflows");
        assert!(error.to_string().contains("ARITHMETIC_OVERFLOW"));
    }

    #[test]
    fn a_group_without_values_is_null_and_stays_so_through_state() {
        let mut first = SumGroups::<Int64Type>::new(Finish::Sum, DataType::Int64, DataType::Int64);
        let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), None]));
        first.update_batch(&[values], &[0, 1], None, 2).expect("adds");
        let state = first.state(EmitTo::All).expect("drains");
        let mut second = SumGroups::<Int64Type>::new(Finish::Sum, DataType::Int64, DataType::Int64);
        second.merge_batch(&state, &[0, 1], 2).expect("merges");
        let result = second.evaluate(EmitTo::All).expect("evaluates");
        assert_eq!(result.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(2), None]));
    }

    #[test]
    fn a_decimal_average_rounds_half_up() {
        let sum_type = DataType::Decimal128(20, 0);
        let mut average = SumGroups::<Decimal128Type>::new(Finish::Average, sum_type, DataType::Decimal128(14, 4));
        let values = Decimal128Array::from(vec![1, 1, 0]).with_precision_and_scale(10, 0).expect("fits");
        average.update_batch(&[Arc::new(values)], &[0, 0, 0], None, 1).expect("adds");
        let result = average.evaluate(EmitTo::All).expect("evaluates");
        assert_eq!(result.as_primitive::<Decimal128Type>().value(0), 6667);
    }

    #[test]
    fn a_decimal_that_leaves_its_type_is_out_of_range() {
        let wide = DataType::Decimal128(38, 0);
        let nines = 10i128.pow(38) - 1;
        let mut sum = SumGroups::<Decimal128Type>::new(Finish::Sum, wide.clone(), wide);
        let values = Decimal128Array::from(vec![nines, 1]).with_precision_and_scale(38, 0).expect("fits");
        sum.update_batch(&[Arc::new(values)], &[0, 0], None, 1).expect("128 bits hold it");
        let error = sum.evaluate(EmitTo::All).expect_err("39 digits");
        assert!(error.to_string().contains("NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION"));
        assert_eq!(divide_half_up(nines, 10_000, 20_000), Some(nines / 2 + 1));
        assert_eq!(divide_half_up(nines, 10_000, 1), None);
    }

    #[test]
    fn a_double_average_merges_sums_and_counts() {
        let mut average = SumGroups::<Float64Type>::new(Finish::Average, DataType::Float64, DataType::Float64);
        let state: Vec<ArrayRef> = vec![Arc::new(Float64Array::from(vec![6.0])), Arc::new(Int64Array::from(vec![4]))];
        average.merge_batch(&state, &[0], 1).expect("merges");
        let result = average.evaluate(EmitTo::All).expect("evaluates");
        assert_eq!(result.as_primitive::<Float64Type>().value(0), 1.5);
    }
}
