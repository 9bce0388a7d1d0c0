//! Aggregates as state keeps them: one accumulator per aggregate for all groups of a task, and the partials they
//! exchange.
//!
//! DataFusion's accumulators are used where their meaning is Spark's (`count`, and `min` and `max` of most types).
//! `sum` and `avg` are our own behind the same trait, because Spark raises on overflow and rounds decimals its own way,
//! and so are `min` and `max` of nested values and floats, whose nulls and NaN Spark orders otherwise.

mod checked_sum;
mod filter;
mod float_extreme;
mod nested_extreme;
mod set;
mod single;
mod udf;

pub use set::{Accumulators, AggregateSet, AggregateSpec};
pub use udf::aggregate_udf;
