//! The one kind of scalar function that Pyrite writes itself, and the table by which plans carry them.
//!
//! A function is a type that implements [`Kernel`]: a name that is unique for life, parameters (a target type, a time
//! zone, an operator) that travel as JSON, and the computation. To add one: implement [`Kernel`] in its own file and
//! put one line, `KernelEntry::of::<MyKernel>()`, into the table of `functions/kernels.rs`. [`call`] makes an
//! expression of it, and the codec then carries it to the executors without more.
//!
//! ```ignore
//! #[derive(Debug, Clone, PartialEq, Eq, Hash)]
//! struct Shout { times: usize }
//! impl Kernel for Shout {
//!     const NAME: &'static str = "spark_shout";
//!     fn result(&self, _: &[FieldRef]) -> Result<(DataType, bool)> { Ok((DataType::Utf8, true)) }
//!     fn invoke(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> { elementwise(args, |arrays, rows| ..) }
//!     fn encode(&self) -> Value { json!({"times": self.times}) }
//!     fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> { .. }
//! }
//! let expr: Expr = call(Shout { times: 2 }, vec![col("a")]);
//! ```

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use serde_json::Value;

use crate::clock::BatchClock;

/// A scalar function of Pyrite's. The arguments come coerced: the registry's builders see to that.
pub trait Kernel: Debug + Clone + PartialEq + Eq + Hash + Send + Sync + Sized + 'static {
    /// The name in plans; never change or reuse one.
    const NAME: &'static str;
    /// `Volatile` for what must not be computed while planning.
    const VOLATILITY: Volatility = Volatility::Immutable;

    /// Whether a row can make it fail. What can fail is never evaluated for rows that Spark would skip.
    fn raises(&self) -> bool {
        false
    }

    /// The type of the result and whether it can be null.
    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)>;

    /// Computes one batch.
    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue>;

    /// The parameters, for a plan on its way to the executors.
    fn encode(&self) -> Value {
        Value::Null
    }

    /// The function with the parameters that [`Kernel::encode`] wrote; `clock` is the decoded plan's.
    fn decode(parameters: &Value, clock: &BatchClock) -> Result<Self>;
}

/// A kernel as DataFusion sees it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct KernelUdf<K> {
    kernel: K,
    signature: Signature,
}

impl<K: Kernel> KernelUdf<K> {
    /// The kernel inside.
    pub fn kernel(&self) -> &K {
        &self.kernel
    }
}

impl<K: Kernel> ScalarUDFImpl for KernelUdf<K> {
    fn name(&self) -> &str {
        K::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, argument_types: &[DataType]) -> Result<DataType> {
        let fields: Vec<FieldRef> =
            argument_types.iter().map(|data_type| Arc::new(Field::new("", data_type.clone(), true))).collect();
        Ok(self.kernel.result(&fields)?.0)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let (data_type, nullable) = self.kernel.result(arguments.arg_fields)?;
        Ok(Arc::new(Field::new(K::NAME, data_type, nullable)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.kernel.invoke(arguments)
    }
}

/// The kernel as a function of DataFusion's.
pub fn udf<K: Kernel>(kernel: K) -> ScalarUDF {
    let any = TypeSignature::OneOf(vec![TypeSignature::Nullary, TypeSignature::VariadicAny]);
    ScalarUDF::new_from_impl(KernelUdf { kernel, signature: Signature::new(any, K::VOLATILITY) })
}

/// The kernel applied to arguments.
pub fn call<K: Kernel>(kernel: K, arguments: Vec<Expr>) -> Expr {
    udf(kernel).call(arguments)
}

/// How a plan carries one type of kernel.
#[derive(Debug)]
pub struct KernelEntry {
    /// [`Kernel::NAME`].
    pub name: &'static str,
    encode: fn(&dyn ScalarUDFImpl) -> Option<Value>,
    decode: fn(&Value, &BatchClock) -> Result<ScalarUDF>,
    raises: fn(&dyn ScalarUDFImpl) -> bool,
}

impl KernelEntry {
    /// The entry of a kernel: the line that the table needs.
    pub const fn of<K: Kernel>() -> Self {
        KernelEntry { name: K::NAME, encode: encode::<K>, decode: decode::<K>, raises: raises::<K> }
    }

    /// The parameters of a function that this entry made.
    pub fn encode(&self, function: &ScalarUDF) -> Option<Value> {
        (self.encode)(function.inner().as_ref())
    }

    /// The function with those parameters.
    pub fn decode(&self, parameters: &Value, clock: &BatchClock) -> Result<ScalarUDF> {
        (self.decode)(parameters, clock)
    }

    /// Whether a row can make the function fail.
    pub fn raises(&self, function: &ScalarUDF) -> bool {
        (self.raises)(function.inner().as_ref())
    }
}

fn encode<K: Kernel>(function: &dyn ScalarUDFImpl) -> Option<Value> {
    function.downcast_ref::<KernelUdf<K>>().map(|function| function.kernel.encode())
}

fn decode<K: Kernel>(parameters: &Value, clock: &BatchClock) -> Result<ScalarUDF> {
    K::decode(parameters, clock).map(udf)
}

fn raises<K: Kernel>(function: &dyn ScalarUDFImpl) -> bool {
    function.downcast_ref::<KernelUdf<K>>().is_some_and(|function| function.kernel.raises())
}

/// Computes a function over whole columns: scalar arguments are repeated, and a result of scalars only is one.
pub fn elementwise(
    arguments: ScalarFunctionArgs,
    compute: impl FnOnce(&[ArrayRef], usize) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let all_scalar = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
    let rows = if all_scalar { 1 } else { arguments.number_rows };
    let arrays: Vec<ArrayRef> =
        arguments.args.into_iter().map(|argument| argument.into_array(rows)).collect::<Result<_>>()?;
    let result = compute(&arrays, rows)?;
    if all_scalar {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
    }
    Ok(ColumnarValue::Array(result))
}

/// The text under a name in a kernel's parameters.
pub fn text_parameter<'a>(parameters: &'a Value, name: &str) -> Result<&'a str> {
    parameters.get(name).and_then(Value::as_str).ok_or_else(|| bad_parameters(name))
}

/// The error of a plan whose parameters cannot be read.
pub fn bad_parameters(what: &str) -> DataFusionError {
    DataFusionError::Plan(format!("the plan carries no valid `{what}` for a function"))
}
