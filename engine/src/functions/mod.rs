//! Spark's functions: the registry and, by family, what each name becomes.
//!
//! [`lookup`] finds a function by name; its builder takes resolved arguments, coerces them as Spark does, and gives an
//! expression, an aggregate or a time window, named as Spark names it. The families are tables of such rows:
//! `operators`, `numbers`, `strings`, `times`, `containers`, `aggregates`, `casts`. What they compute is in kernels
//! ([`kernel`]), each with its own file and one line in [`kernels`], by which plans carry it.

mod aggregates;
mod arguments;
mod arithmetic;
mod casts;
mod coercion;
mod containers;
mod datetime_pattern;
mod extremes;
mod floats;
mod interval;
mod java_regex;
pub mod kernel;
pub mod kernels;
mod lookup;
mod nested;
mod numbers;
mod operators;
mod pattern;
mod regex_text;
mod registry;
mod strings;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod time_arithmetic;
mod times;
mod typed;
mod unary;

pub use arguments::{mismatch, scalar};
pub use arithmetic::overflow;
pub use coercion::{common_type, common_type_of, is_orderable};
pub use containers::{extract_value, get_field};
pub use datetime_pattern::{DateTimePattern, ParseFailure};
pub use interval::{CalendarInterval, parse_interval};
pub use lookup::{lookup, suggest};
pub use nested::GetField;
pub use registry::{AggregateCall, AggregateKind, Build, Built, Call, ExprSettings, Function, TimeWindow, Typed};
pub use time::{CurrentTimestamp, truncated};
pub use typed::{explicit_cast, implicit_cast};
