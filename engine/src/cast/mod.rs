//! Spark's casts between all its types, in ANSI, `try_cast` and legacy meaning, and values as text.
//!
//! [`cast_array`] casts a column; [`Cast`] is the same as a function of plans, with the target type, the mode and the
//! session's time zone as its parameters. Arrow's own casts are not used where Spark's mean something else.

mod errors;
mod from_text;
mod hexadecimal;
mod number;
mod number_text;
mod rules;
mod temporal;
#[cfg(test)]
mod tests;
mod text;
mod time_text;

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, StructArray, new_null_array,
};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs};
use serde_json::{Value, json};

use crate::clock::BatchClock;
use crate::functions::kernel::{Kernel, bad_parameters, call, elementwise, text_parameter};
use crate::types::{Zone, is_numeric, parse_json_type, to_json_value};

pub use errors::{impossible, out_of_range, refused_in};
pub use number::rescale;
pub use number_text::{
    DecimalText, double_to_string, fits, parse_boolean, parse_decimal, parse_double, parse_integer, trim_all,
    write_decimal, write_double, write_float,
};
pub use rules::{can_cast, force_nullable};
pub use text::{display_strings, to_strings};
pub use time_text::{parse_date, parse_timestamp, parse_timestamp_ntz, push_padded, write_date, write_local};

/// What a cast does with a value that the target type does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CastMode {
    /// It fails with Spark's error.
    Ansi,
    /// It gives null.
    Try,
    /// It gives null or wraps, as Spark 3 did.
    Legacy,
}

impl CastMode {
    /// The mode of a plain cast in a session.
    pub fn of_session(ansi: bool) -> Self {
        if ansi { CastMode::Ansi } else { CastMode::Legacy }
    }

    fn name(self) -> &'static str {
        match self {
            CastMode::Ansi => "ansi",
            CastMode::Try => "try",
            CastMode::Legacy => "legacy",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [CastMode::Ansi, CastMode::Try, CastMode::Legacy].into_iter().find(|mode| mode.name() == name)
    }
}

/// The function `spark_cast`: its one argument as another type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cast {
    pub to: DataType,
    pub mode: CastMode,
    /// Where dates begin and timestamps without a zone are.
    pub zone: Zone,
}

impl Cast {
    /// The cast of an expression, without a look at whether it can be: see [`can_cast`].
    pub fn expr(self, argument: Expr) -> Expr {
        call(self, vec![argument])
    }
}

impl Kernel for Cast {
    const NAME: &'static str = "spark_cast";

    fn raises(&self) -> bool {
        self.mode == CastMode::Ansi
    }

    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)> {
        let argument = arguments.first().ok_or_else(|| bad_parameters("argument of a cast"))?;
        let from = argument.data_type();
        let nullable = argument.is_nullable()
            || self.mode == CastMode::Try
            || from == &DataType::Null
            || force_nullable(from, &self.to);
        Ok((self.to.clone(), nullable))
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        elementwise(arguments, |arrays, _| cast_array(&arrays[0], &self.to, self.mode, &self.zone))
    }

    fn encode(&self) -> Value {
        json!({"to": to_json_value(&self.to), "mode": self.mode.name(), "zone": self.zone.name()})
    }

    fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> {
        let to = parameters.get("to").map(Value::to_string).ok_or_else(|| bad_parameters("to"))?;
        Ok(Cast {
            to: parse_json_type(&to)?,
            mode: CastMode::parse(text_parameter(parameters, "mode")?).ok_or_else(|| bad_parameters("mode"))?,
            zone: Zone::parse(text_parameter(parameters, "zone")?).ok_or_else(|| bad_parameters("zone"))?,
        })
    }
}

/// Casts a column. Fails in ANSI mode on a value that the type does not have, and in every mode when no value could be
/// cast.
pub fn cast_array(array: &ArrayRef, to: &DataType, mode: CastMode, zone: &Zone) -> Result<ArrayRef> {
    let from = array.data_type();
    if from == to {
        return Ok(array.clone());
    }
    match (from, to) {
        (DataType::Null, _) => Ok(new_null_array(to, array.len())),
        (DataType::Binary, DataType::Utf8) => Ok(Arc::new(from_text::binary_to_text(array.as_binary())?)),
        (_, DataType::Utf8) => Ok(Arc::new(to_strings(array, zone)?)),
        (DataType::Utf8, _) => from_text::cast_text(array.as_string(), to, mode, zone),
        (DataType::Struct(_), DataType::Struct(_)) => cast_struct(array.as_struct(), to, mode, zone),
        (DataType::List(_), DataType::List(_)) => cast_list(array.as_list(), to, mode, zone),
        (DataType::Map(..), DataType::Map(..)) => cast_map(array.as_map(), to, mode, zone),
        (DataType::Date32, DataType::Timestamp(..))
        | (DataType::Timestamp(..), DataType::Date32 | DataType::Timestamp(..)) => {
            temporal::cast_from(array, to, mode, zone)
        }
        (DataType::Timestamp(_, Some(_)), _) if is_numeric(to) => temporal::cast_from(array, to, mode, zone),
        (_, DataType::Timestamp(_, Some(_))) if is_numeric(from) || from == &DataType::Boolean => {
            temporal::cast_to_timestamp(array, mode)
        }
        _ if is_number_or_boolean(from) && is_number_or_boolean(to) => number::cast_number(array, to, mode),
        _ => Err(impossible("CAST", from, to).into()),
    }
}

fn is_number_or_boolean(data_type: &DataType) -> bool {
    is_numeric(data_type) || data_type == &DataType::Boolean
}

/// Casts field by field, by position; the names are the target's.
fn cast_struct(array: &StructArray, to: &DataType, mode: CastMode, zone: &Zone) -> Result<ArrayRef> {
    let DataType::Struct(fields) = to else { return Err(bad_parameters("to")) };
    if fields.len() != array.num_columns() {
        return Err(impossible("CAST", array.data_type(), to).into());
    }
    let mut columns = Vec::with_capacity(fields.len());
    for (column, field) in array.columns().iter().zip(fields) {
        // A value under a null struct is not there, whatever its bytes are.
        let column = match array.nulls() {
            Some(nulls) if nulls.null_count() > 0 && mode == CastMode::Ansi => {
                let absent = BooleanArray::new(!nulls.inner(), None);
                compute::nullif(column, &absent)?
            }
            _ => column.clone(),
        };
        columns.push(cast_array(&column, field.data_type(), mode, zone)?);
    }
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len())?))
}

fn cast_list(array: &ListArray, to: &DataType, mode: CastMode, zone: &Zone) -> Result<ArrayRef> {
    let DataType::List(element) = to else { return Err(bad_parameters("to")) };
    let values = cast_array(array.values(), element.data_type(), mode, zone)?;
    Ok(Arc::new(ListArray::try_new(element.clone(), array.offsets().clone(), values, array.nulls().cloned())?))
}

fn cast_map(array: &MapArray, to: &DataType, mode: CastMode, zone: &Zone) -> Result<ArrayRef> {
    let DataType::Map(entries, ordered) = to else { return Err(bad_parameters("to")) };
    let inside: ArrayRef = Arc::new(array.entries().clone());
    let inside = cast_array(&inside, entries.data_type(), mode, zone)?;
    let inside = inside.as_struct().clone();
    Ok(Arc::new(MapArray::try_new(entries.clone(), array.offsets().clone(), inside, array.nulls().cloned(), *ordered)?))
}
