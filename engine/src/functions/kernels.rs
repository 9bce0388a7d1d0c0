//! The table of all scalar functions that a plan may carry: Pyrite's own, and those of DataFusion's whose meaning
//! is Spark's. What is not here does not travel, so nothing runs by accident of a name.

use std::sync::Arc;

use datafusion::functions::string;
use datafusion::logical_expr::{Expr, ScalarUDF};

use super::arithmetic::Arithmetic;
use super::extremes::Extreme;
use super::kernel::KernelEntry;
use super::nested::{ArrayItem, GetArrayField, GetField, Make, MapValue, Size};
use super::text::Text;
use super::time::{CurrentTimestamp, Time};
use super::time_arithmetic::{DateAdd, TimeArithmetic};
use super::unary::{Power, Unary};
use crate::cast::Cast;
use crate::json::{FromJson, ToJson};

/// Pyrite's own functions, one line each.
pub static KERNELS: &[KernelEntry] = &[
    KernelEntry::of::<Cast>(),
    KernelEntry::of::<Arithmetic>(),
    KernelEntry::of::<Unary>(),
    KernelEntry::of::<Power>(),
    KernelEntry::of::<Extreme>(),
    KernelEntry::of::<TimeArithmetic>(),
    KernelEntry::of::<DateAdd>(),
    KernelEntry::of::<Text>(),
    KernelEntry::of::<Time>(),
    KernelEntry::of::<CurrentTimestamp>(),
    KernelEntry::of::<GetField>(),
    KernelEntry::of::<GetArrayField>(),
    KernelEntry::of::<Make>(),
    KernelEntry::of::<ArrayItem>(),
    KernelEntry::of::<MapValue>(),
    KernelEntry::of::<Size>(),
    KernelEntry::of::<FromJson>(),
    KernelEntry::of::<ToJson>(),
];

/// The entry of a kernel by its name in plans.
pub fn kernel_entry(name: &str) -> Option<&'static KernelEntry> {
    KERNELS.iter().find(|entry| entry.name == name)
}

/// DataFusion's functions that mean what Spark's do, by DataFusion's name.
pub fn datafusion_function(name: &str) -> Option<Arc<ScalarUDF>> {
    Some(match name {
        "lower" => string::lower(),
        "upper" => string::upper(),
        "contains" => string::contains(),
        "starts_with" => string::starts_with(),
        "ends_with" => string::ends_with(),
        _ => return None,
    })
}

/// Whether evaluating the expression can fail for a row.
pub fn raises(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|node| {
        Ok(match node {
            Expr::ScalarFunction(function) => {
                kernel_entry(function.func.name()).is_some_and(|entry| entry.raises(&function.func))
            }
            _ => false,
        })
    })
    .unwrap_or(true)
}
