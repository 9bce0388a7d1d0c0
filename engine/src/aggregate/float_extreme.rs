//! `min` and `max` of floats, in Spark's order: NaN is the largest value and equal to itself, both zeros are equal.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::filter::{passes, without_filtered};

/// The best value of each group so far; none of a group without values.
#[derive(Debug)]
pub(super) struct FloatGroups<T: ArrowPrimitiveType> {
    /// How a value compares with the best so far when it is better.
    better: Ordering,
    best: Vec<Option<T::Native>>,
}

impl<T: ArrowPrimitiveType> FloatGroups<T> {
    pub(super) fn new(better: Ordering) -> Self {
        FloatGroups { better, best: Vec::new() }
    }
}

/// What compares with nothing, itself included, is NaN.
fn order<N: PartialOrd>(one: &N, other: &N) -> Ordering {
    let is_nan = |value: &N| value.partial_cmp(value).is_none();
    one.partial_cmp(other).unwrap_or_else(|| is_nan(one).cmp(&is_nan(other)))
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for FloatGroups<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.best.resize(groups, None);
        let values = values[0].as_primitive::<T>();
        for (row, group) in group_indices.iter().enumerate() {
            if !passes(filter, row) || values.is_null(row) {
                continue;
            }
            let candidate = values.value(row);
            if self.best[*group].is_none_or(|best| order(&candidate, &best) == self.better) {
                self.best[*group] = Some(candidate);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let best: PrimitiveArray<T> = emit_to.take_needed(&mut self.best).into_iter().collect();
        Ok(Arc::new(best))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.update_batch(values, group_indices, None, groups)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        Ok(vec![without_filtered(&values[0], filter)?])
    }

    fn size(&self) -> usize {
        self.best.capacity() * size_of::<Option<T::Native>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::Float64Array;
    use datafusion::arrow::datatypes::Float64Type;

    fn extreme(better: Ordering, values: Vec<Option<f64>>) -> Option<f64> {
        let mut groups = FloatGroups::<Float64Type>::new(better);
        let rows = values.len();
        groups.update_batch(&[Arc::new(Float64Array::from(values))], &vec![0; rows], None, 1).expect("updates");
        let result = groups.evaluate(EmitTo::All).expect("evaluates");
        let result = result.as_primitive::<Float64Type>();
        result.is_valid(0).then(|| result.value(0))
    }

    #[test]
    fn nan_is_the_largest_wherever_it_stands() {
        for values in [vec![Some(1.5), Some(f64::NAN)], vec![Some(f64::NAN), None, Some(1.5)]] {
            assert!(extreme(Ordering::Greater, values.clone()).is_some_and(f64::is_nan));
            assert_eq!(extreme(Ordering::Less, values), Some(1.5));
        }
        assert!(extreme(Ordering::Less, vec![Some(f64::NAN)]).is_some_and(f64::is_nan));
    }

    #[test]
    fn of_two_zeros_the_first_stays() {
        let least = extreme(Ordering::Less, vec![Some(0.0), Some(-0.0)]).expect("a value");
        assert!(least.is_sign_positive());
        assert_eq!(extreme(Ordering::Less, vec![None]), None);
    }
}
