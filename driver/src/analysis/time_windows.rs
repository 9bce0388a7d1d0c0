//! Event-time windows in batch execution: a function that lists the windows of a time, which an unnest then spreads.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, ListArray, StructArray, TimestampMicrosecondArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimestampMicrosecondType};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use pyrite_engine::plan::{WindowSpec, window_fields};

/// The windows that hold `time`, as an array of structs, latest first; empty for null.
pub(super) fn windows_of(time: Expr, spec: WindowSpec) -> Expr {
    let windows = TimeWindows {
        sizes: (spec.size_us, spec.slide_us, spec.start_us),
        signature: Signature::any(1, Volatility::Immutable),
    };
    ScalarUDF::new_from_impl(windows).call(vec![time])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeWindows {
    sizes: (i64, i64, i64),
    signature: Signature,
}

impl TimeWindows {
    fn element(time: &DataType) -> FieldRef {
        Arc::new(Field::new("element", DataType::Struct(window_fields(time)), false))
    }
}

impl ScalarUDFImpl for TimeWindows {
    fn name(&self) -> &str {
        "time_windows"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [time @ DataType::Timestamp(..)] => Ok(DataType::List(Self::element(time))),
            other => plan_err!("windows are of timestamps, not of {other:?}"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let times = arrays[0].as_primitive::<TimestampMicrosecondType>();
        let (size_us, slide_us, start_us) = self.sizes;
        let spec = WindowSpec { size_us, slide_us, start_us };
        let (mut starts, mut lengths) = (Vec::with_capacity(times.len()), Vec::with_capacity(times.len()));
        for row in 0..times.len() {
            let before = starts.len();
            if !times.is_null(row) {
                starts.extend(spec.starts(times.value(row)));
            }
            lengths.push(starts.len() - before);
        }
        let ends: Vec<i64> = starts.iter().map(|start| start + size_us).collect();
        let typed = |values: Vec<i64>| {
            Arc::new(TimestampMicrosecondArray::from(values).with_data_type(times.data_type().clone())) as _
        };
        let windows = StructArray::new(window_fields(times.data_type()), vec![typed(starts), typed(ends)], None);
        let offsets = OffsetBuffer::from_lengths(lengths);
        let list = ListArray::new(Self::element(times.data_type()), offsets, Arc::new(windows), None);
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}
