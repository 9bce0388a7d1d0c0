//! Aggregates as state keeps them: one accumulator per aggregate for all groups of a task, and the partials they exchange.
//!
//! DataFusion's accumulators are used where their meaning is Spark's (`count`, `min`, `max`); `sum` and `avg` are our own
//! behind the same trait, because Spark raises on overflow and rounds decimals its own way.

mod checked_sum;
mod set;
mod udf;

pub use set::{Accumulators, AggregateSet, AggregateSpec};
pub use udf::aggregate_udf;
