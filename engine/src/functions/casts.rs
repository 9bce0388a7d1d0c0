//! The functions that are called as types: `int('5')`, `string(a)`, `date(t)`.

use datafusion::arrow::datatypes::DataType;

use super::registry::{Build, Built, Call, Function};
use super::typed::explicit_cast;
use crate::error::SparkError;
use crate::types::timestamp;

const fn row(name: &'static str, build: Build) -> Function {
    Function { name, build }
}

/// The rows of this family.
pub(super) static TABLE: &[Function] = &[
    row("boolean", |call| cast(call, DataType::Boolean)),
    row("tinyint", |call| cast(call, DataType::Int8)),
    row("smallint", |call| cast(call, DataType::Int16)),
    row("int", |call| cast(call, DataType::Int32)),
    row("bigint", |call| cast(call, DataType::Int64)),
    row("float", |call| cast(call, DataType::Float32)),
    row("double", |call| cast(call, DataType::Float64)),
    row("decimal", |call| cast(call, DataType::Decimal128(10, 0))),
    row("string", |call| cast(call, DataType::Utf8)),
    row("binary", |call| cast(call, DataType::Binary)),
    row("date", |call| cast(call, DataType::Date32)),
    row("timestamp", |call| cast(call, timestamp())),
];

/// The column keeps the argument's name: `double(v)` is `v`.
fn cast(call: &Call<'_>, to: DataType) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    let argument = call.args[0].clone();
    let name = argument.name.clone();
    Ok(Built::Scalar(explicit_cast(argument, &to, call.settings.cast_mode(), call.settings)?.named(name)))
}
