//! What an expression uses that is no expression of a plan: whoever asked for it gives it a node.

use datafusion::arrow::datatypes::Fields;
use pyrite_engine::functions::{AggregateCall, TimeWindow};

/// An aggregate call put aside, and the column that stands for it.
#[derive(Debug, Clone)]
pub(super) struct PendingAggregate {
    pub call: AggregateCall,
    pub column: String,
}

/// A time window put aside, and the column that stands for it.
#[derive(Debug, Clone)]
pub(super) struct PendingWindow {
    pub window: TimeWindow,
    pub column: String,
    pub fields: Fields,
}
