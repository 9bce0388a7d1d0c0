//! The FILTER of an aggregate: a row counts where it is true, not where it is false or null.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::compute;
use datafusion::common::Result;

/// Whether a row counts.
pub(super) fn passes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

/// The values, null where their row does not count.
pub(super) fn without_filtered(values: &ArrayRef, filter: Option<&BooleanArray>) -> Result<ArrayRef> {
    let Some(filter) = filter else { return Ok(Arc::clone(values)) };
    let dropped: BooleanArray = filter.iter().map(|passes| Some(passes != Some(true))).collect();
    Ok(compute::nullif(values, &dropped)?)
}
