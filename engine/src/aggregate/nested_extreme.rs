//! `min` and `max` of structs and arrays, in Spark's order: a null inside of a value is less than anything else there.
//!
//! Values are kept as rows of bytes that compare as the values do.

use std::cmp::Ordering;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, new_null_array};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::filter::{passes, without_filtered};

/// Whether values of the type have values inside.
pub(super) fn is_nested(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Struct(_) | DataType::List(_))
}

/// The best value of each group so far; none of a group without values.
#[derive(Debug)]
pub(super) struct ExtremeGroups {
    /// How a value compares with the best so far when it is better.
    better: Ordering,
    converter: RowConverter,
    null: OwnedRow,
    best: Vec<Option<OwnedRow>>,
    /// Bytes of all of them: `size` is asked for after each batch of rows.
    row_bytes: usize,
}

impl ExtremeGroups {
    pub(super) fn new(better: Ordering, data_type: &DataType) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        let null = converter.convert_columns(&[new_null_array(data_type, 1)])?.row(0).owned();
        Ok(ExtremeGroups { better, converter, null, best: Vec::new(), row_bytes: 0 })
    }
}

impl GroupsAccumulator for ExtremeGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.best.resize(groups, None);
        let rows = self.converter.convert_columns(&values[..1])?;
        for (row, group) in group_indices.iter().enumerate() {
            if !passes(filter, row) || values[0].is_null(row) {
                continue;
            }
            let candidate = rows.row(row);
            let best = &mut self.best[*group];
            if best.as_ref().is_none_or(|best| candidate.cmp(&best.row()) == self.better) {
                self.row_bytes += candidate.as_ref().len();
                self.row_bytes -= best.replace(candidate.owned()).map_or(0, |worse| worse.as_ref().len());
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let best = emit_to.take_needed(&mut self.best);
        self.row_bytes -= row_bytes(&best);
        let rows = best.iter().map(|best| best.as_ref().unwrap_or(&self.null).row());
        let mut columns = self.converter.convert_rows(rows)?;
        columns.pop().ok_or_else(|| DataFusionError::Internal("rows of one column came back as none".to_owned()))
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
        self.row_bytes + self.best.capacity() * size_of::<Option<OwnedRow>>()
    }
}

fn row_bytes(rows: &[Option<OwnedRow>]) -> usize {
    rows.iter().flatten().map(|row| row.as_ref().len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::single::SingleGroup;
    use datafusion::arrow::array::{Int32Array, StringArray, StructArray};
    use datafusion::arrow::buffer::NullBuffer;
    use datafusion::arrow::datatypes::{Field, Fields};
    use datafusion::common::ScalarValue;
    use datafusion::logical_expr::Accumulator;
    use std::sync::Arc;

    fn structs() -> StructArray {
        let fields = Fields::from(vec![Field::new("v", DataType::Utf8, true), Field::new("k", DataType::Int32, false)]);
        let texts = StringArray::from(vec![Some("b"), Some("a"), None, None]);
        let numbers = Int32Array::from(vec![0, 1, 2, 3]);
        // The last one is no struct at all.
        let there = NullBuffer::from(vec![true, true, true, false]);
        StructArray::new(fields, vec![Arc::new(texts), Arc::new(numbers)], Some(there))
    }

    fn extreme(better: Ordering) -> ArrayRef {
        let values = structs();
        let mut first = ExtremeGroups::new(better, values.data_type()).expect("a type with an order");
        first.update_batch(&[Arc::new(values)], &[0, 0, 0, 1], None, 2).expect("updates");
        let state = first.state(EmitTo::All).expect("drains");
        let mut second = ExtremeGroups::new(better, state[0].data_type()).expect("a type with an order");
        second.merge_batch(&state, &[0, 1], 3).expect("merges");
        second.evaluate(EmitTo::All).expect("evaluates")
    }

    #[test]
    fn nulls_inside_come_first_and_null_structs_do_not_count() {
        let (least, greatest) = (extreme(Ordering::Less), extreme(Ordering::Greater));
        assert_eq!(least.slice(0, 1).as_ref(), &structs().slice(2, 1) as &dyn Array);
        assert_eq!(greatest.slice(0, 1).as_ref(), &structs().slice(0, 1) as &dyn Array);
        for group in [1, 2] {
            assert!(least.is_null(group) && greatest.is_null(group));
        }
    }

    #[test]
    fn its_size_is_what_it_holds() {
        let values: ArrayRef = Arc::new(structs());
        let mut groups = ExtremeGroups::new(Ordering::Less, values.data_type()).expect("a type with an order");
        let bytes = |groups: &ExtremeGroups| groups.size() - groups.best.capacity() * size_of::<Option<OwnedRow>>();
        for group_indices in [[0, 0, 0, 1], [1, 0, 2, 2], [2, 2, 1, 0]] {
            groups.update_batch(std::slice::from_ref(&values), &group_indices, None, 3).expect("updates");
            assert_eq!(bytes(&groups), row_bytes(&groups.best));
        }
        groups.evaluate(EmitTo::First(1)).expect("evaluates");
        assert_eq!(bytes(&groups), row_bytes(&groups.best));
        groups.evaluate(EmitTo::All).expect("evaluates");
        assert_eq!(bytes(&groups), 0);
    }

    #[test]
    fn one_group_without_rows_is_null() {
        let data_type = structs().data_type().clone();
        let groups = ExtremeGroups::new(Ordering::Greater, &data_type).expect("a type with an order");
        let mut single = SingleGroup::new(Box::new(groups), data_type.clone());
        assert!(single.evaluate().expect("evaluates").is_null());
        single.update_batch(&[Arc::new(structs())]).expect("updates");
        let expected = ScalarValue::try_from_array(&structs(), 0).expect("a struct");
        assert_eq!(single.evaluate().expect("evaluates"), expected);
    }
}
