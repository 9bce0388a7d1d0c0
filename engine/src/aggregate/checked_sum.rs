//! Sums that raise on overflow, and the averages made of them.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, Float64Array,
    Int64Array, PrimitiveArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, DecimalType, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::udf::Finish;
use crate::error::{ExceptionKind, SparkError};

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
        self.sums[group] = self.sums[group].add_checked(value).map_err(|_| overflow())?;
        self.counts[group] += count;
        Ok(())
    }

    fn sum_array(&self, sums: Vec<T::Native>, counts: &[i64]) -> PrimitiveArray<T> {
        let nulls = NullBuffer::from_iter(counts.iter().map(|count| *count > 0));
        PrimitiveArray::<T>::new(sums.into(), Some(nulls)).with_data_type(self.sum_type.clone())
    }
}

fn overflow() -> DataFusionError {
    DataFusionError::External(Box::new(SparkError::new(
        ExceptionKind::Runtime,
        "ARITHMETIC_OVERFLOW",
        "22003",
        "long overflow. Use 'try_sum' to tolerate overflow and return NULL instead.",
    )))
}

fn passes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
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

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        groups: usize,
    ) -> Result<()> {
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
        decimals.validate_decimal_precision(decimals.precision()).map_err(|_| overflow())?;
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
        let averages = counts.iter().enumerate().map(|(row, count)| sums.is_valid(row).then(|| sums.value(row) / *count as f64));
        return Ok(Arc::new(Float64Array::from_iter(averages)));
    };
    let sums: ArrayRef = Arc::new(sums.clone());
    let sums = sums.as_primitive::<Decimal128Type>();
    let shift = 10i128.pow(u32::try_from(*scale - sums.scale()).unwrap_or(0));
    let averages = counts.iter().enumerate().map(|(row, count)| {
        sums.is_valid(row).then(|| divide_half_up(sums.value(row), shift, i128::from(*count))).transpose()
    });
    let averages = averages.collect::<Result<Vec<Option<i128>>>>()?;
    let averages = Decimal128Array::from(averages).with_precision_and_scale(*precision, *scale)?;
    averages.validate_decimal_precision(Decimal128Type::MAX_PRECISION.min(*precision)).map_err(|_| overflow())?;
    Ok(Arc::new(averages))
}

/// `value * shift / count`, rounded half away from zero, as Java's HALF_UP.
fn divide_half_up(value: i128, shift: i128, count: i128) -> Result<i128> {
    let dividend = value.checked_mul(shift).ok_or_else(overflow)?;
    let (quotient, remainder) = (dividend / count, dividend % count);
    Ok(if remainder.abs() * 2 >= count { quotient + dividend.signum() } else { quotient })
}

/// The accumulator of a plan without keys: the grouped one with its one group.
#[derive(Debug)]
pub(super) struct SingleGroup<T: ArrowPrimitiveType> {
    groups: SumGroups<T>,
}

impl<T: ArrowPrimitiveType> SingleGroup<T> {
    pub(super) fn new(mut groups: SumGroups<T>) -> Self {
        groups.grow(1);
        SingleGroup { groups }
    }
}

impl<T: ArrowPrimitiveType + std::fmt::Debug> Accumulator for SingleGroup<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.groups.update_batch(values, &vec![0; values[0].len()], None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let evaluated = self.groups.evaluate(EmitTo::All)?;
        self.groups.grow(1);
        ScalarValue::try_from_array(&evaluated, 0)
    }

    fn size(&self) -> usize {
        self.groups.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = self.groups.state(EmitTo::All)?;
        self.groups.grow(1);
        state.iter().map(|array| ScalarValue::try_from_array(array, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.groups.merge_batch(states, &vec![0; states[0].len()], 1)
    }
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
    fn a_double_average_merges_sums_and_counts() {
        let mut average = SumGroups::<Float64Type>::new(Finish::Average, DataType::Float64, DataType::Float64);
        let state: Vec<ArrayRef> = vec![Arc::new(Float64Array::from(vec![6.0])), Arc::new(Int64Array::from(vec![4]))];
        average.merge_batch(&state, &[0], 1).expect("merges");
        let result = average.evaluate(EmitTo::All).expect("evaluates");
        assert_eq!(result.as_primitive::<Float64Type>().value(0), 1.5);
    }
}
