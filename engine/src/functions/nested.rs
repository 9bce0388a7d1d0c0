//! Kernels of structs, arrays and maps: making them and reaching into them.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, MapArray, StructArray, UInt32Array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs};
use serde_json::{Value, json};

use super::kernel::{Kernel, KernelUdf, bad_parameters, elementwise, text_parameter};
use crate::clock::BatchClock;
use crate::error::{ExceptionKind, SparkError};
use crate::types::{array_of, map_fields, parse_json_type, to_json_value};

/// The function `spark_get_field`: a field of a struct by its exact name, so that a planner may narrow the struct.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GetField {
    pub name: String,
}

impl GetField {
    /// The field that a call takes from its argument; `None`: the expression is no such call.
    pub fn of(expression: &Expr) -> Option<(&str, &Expr)> {
        let Expr::ScalarFunction(call) = expression else { return None };
        let udf = call.func.inner().as_ref().downcast_ref::<KernelUdf<GetField>>()?;
        Some((&udf.kernel().name, call.args.first()?))
    }
}

impl Kernel for GetField {
    const NAME: &'static str = "spark_get_field";

    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)> {
        let argument = arguments.first().ok_or_else(|| bad_parameters("struct"))?;
        let DataType::Struct(fields) = argument.data_type() else { return Err(bad_parameters("struct")) };
        let (_, field) = fields.find(&self.name).ok_or_else(|| bad_parameters("name"))?;
        Ok((field.data_type().clone(), argument.is_nullable() || field.is_nullable()))
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        elementwise(arguments, |arrays, _| {
            let parent = arrays[0].as_struct();
            let (index, _) = parent.fields().find(&self.name).ok_or_else(|| bad_parameters("name"))?;
            field_of(parent, index)
        })
    }

    fn encode(&self) -> Value {
        json!({"name": self.name})
    }

    fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> {
        Ok(GetField { name: text_parameter(parameters, "name")?.to_owned() })
    }
}

/// The function `spark_get_array_field`: a field, by its position, of every struct in an array.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GetArrayField {
    pub index: usize,
}

impl Kernel for GetArrayField {
    const NAME: &'static str = "spark_get_array_field";

    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)> {
        let argument = arguments.first().ok_or_else(|| bad_parameters("array"))?;
        let DataType::List(element) = argument.data_type() else { return Err(bad_parameters("array")) };
        let DataType::Struct(fields) = element.data_type() else { return Err(bad_parameters("struct")) };
        let field = fields.get(self.index).ok_or_else(|| bad_parameters("index"))?;
        let contains_null = element.is_nullable() || field.is_nullable();
        Ok((array_of(field.data_type().clone(), contains_null), argument.is_nullable()))
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let DataType::List(element) = arguments.return_type().clone() else { return Err(bad_parameters("array")) };
        elementwise(arguments, |arrays, _| {
            let list = arrays[0].as_list::<i32>();
            let values = field_of(list.values().as_struct(), self.index)?;
            Ok(Arc::new(ListArray::try_new(element, list.offsets().clone(), values, list.nulls().cloned())?))
        })
    }

    fn encode(&self) -> Value {
        json!({"index": self.index})
    }

    fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> {
        let index = parameters.get("index").and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
        Ok(GetArrayField { index: index.ok_or_else(|| bad_parameters("index"))? })
    }
}

/// A field's column; a field of a null struct is null, whatever its own buffer says.
fn field_of(parent: &StructArray, index: usize) -> Result<ArrayRef> {
    let field = parent.columns().get(index).ok_or_else(|| bad_parameters("index"))?;
    match parent.nulls().filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => Ok(compute::nullif(field, &BooleanArray::new(!nulls.inner(), None))?),
        None => Ok(field.clone()),
    }
}

/// Which container is made of the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    Struct,
    Array,
    /// Of keys and values in turn.
    Map,
}

/// The function `spark_make`: a struct, array or map of its arguments, which have the types that it declares.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Make {
    pub container: Container,
    pub to: DataType,
}

impl Kernel for Make {
    const NAME: &'static str = "spark_make";

    fn raises(&self) -> bool {
        self.container == Container::Map
    }

    fn result(&self, _: &[FieldRef]) -> Result<(DataType, bool)> {
        Ok((self.to.clone(), false))
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        elementwise(arguments, |arrays, rows| match (&self.to, self.container) {
            (DataType::Struct(fields), _) => {
                Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), arrays.to_vec(), None, rows)?))
            }
            (DataType::List(element), _) => {
                let values = interleaved(arrays, rows, element.data_type())?;
                let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(arrays.len(), rows));
                Ok(Arc::new(ListArray::try_new(element.clone(), offsets, values, None)?))
            }
            (DataType::Map(entries, _), _) => make_map(arrays, rows, entries),
            (other, _) => Err(bad_parameters(&format!("container `{other}`"))),
        })
    }

    fn encode(&self) -> Value {
        json!({"to": to_json_value(&self.to)})
    }

    fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> {
        let to = parameters.get("to").map(Value::to_string).ok_or_else(|| bad_parameters("to"))?;
        let to = parse_json_type(&to)?;
        let container = match to {
            DataType::Struct(_) => Container::Struct,
            DataType::List(_) => Container::Array,
            _ => Container::Map,
        };
        Ok(Make { container, to })
    }
}

/// The values of all columns, row by row.
fn interleaved(arrays: &[ArrayRef], rows: usize, data_type: &DataType) -> Result<ArrayRef> {
    if arrays.is_empty() {
        return Ok(datafusion::arrow::array::new_empty_array(data_type));
    }
    let columns: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    let indices: Vec<(usize, usize)> =
        (0..rows).flat_map(|row| (0..arrays.len()).map(move |column| (column, row))).collect();
    Ok(compute::interleave(&columns, &indices)?)
}

fn make_map(arrays: &[ArrayRef], rows: usize, entries: &FieldRef) -> Result<ArrayRef> {
    let (key, value) = map_fields(entries).ok_or_else(|| bad_parameters("map"))?;
    let side = |first: usize| -> Vec<ArrayRef> { arrays.iter().skip(first).step_by(2).cloned().collect() };
    let keys = interleaved(&side(0), rows, key.data_type())?;
    let values = interleaved(&side(1), rows, value.data_type())?;
    if keys.null_count() > 0 {
        return Err(
            SparkError::new(ExceptionKind::Runtime, "NULL_MAP_KEY", "2200E", "Cannot use null as map key.").into()
        );
    }
    let width = arrays.len() / 2;
    let converter = RowConverter::new(vec![SortField::new(keys.data_type().clone())])?;
    let encoded = converter.convert_columns(std::slice::from_ref(&keys))?;
    for row in 0..rows {
        for one in row * width..(row + 1) * width {
            if let Some(other) = (row * width..one).find(|other| encoded.row(*other) == encoded.row(one)) {
                return Err(duplicated_key(&keys, other).into());
            }
        }
    }
    let DataType::Struct(fields) = entries.data_type() else { return Err(bad_parameters("map")) };
    let inside = StructArray::try_new_with_length(fields.clone(), vec![keys, values], None, rows * width)?;
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows));
    Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, inside, None, false)?))
}

fn duplicated_key(keys: &ArrayRef, row: usize) -> SparkError {
    let texts = crate::cast::to_strings(&keys.slice(row, 1), &crate::types::Zone::utc());
    let key = texts.map(|texts| texts.value(0).to_owned()).unwrap_or_default();
    SparkError::new(
        ExceptionKind::Runtime,
        "DUPLICATED_MAP_KEY",
        "23505",
        format!(
            "Duplicate map key {key} was found, please check the input data. If you want to remove the duplicated keys, you \
             can set \"spark.sql.mapKeyDedupPolicy\" to \"LAST_WIN\" so that the key inserted at last takes precedence."
        ),
    )
    .with("key", key)
    .with("mapKeyDedupPolicy", "\"spark.sql.mapKeyDedupPolicy\"")
}

/// Which element of an array an index means, and what an index that is none does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Indexing {
    /// `v[i]`: from 0; another is an error.
    Checked,
    /// `get(v, i)`, and `v[i]` without ANSI: from 0; another gives null.
    Lenient,
    /// `element_at(v, i)`: from 1, or from the end; another is an error.
    OneBased,
    /// The same; another gives null.
    OneBasedLenient,
}

impl Indexing {
    const NAMES: [(Indexing, &'static str); 4] = [
        (Indexing::Checked, "checked"),
        (Indexing::Lenient, "lenient"),
        (Indexing::OneBased, "one_based"),
        (Indexing::OneBasedLenient, "one_based_lenient"),
    ];
}

/// The function `spark_array_item`: an element of an array; the index is a `bigint`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ArrayItem {
    pub indexing: Indexing,
}

impl Kernel for ArrayItem {
    const NAME: &'static str = "spark_array_item";

    fn raises(&self) -> bool {
        matches!(self.indexing, Indexing::Checked | Indexing::OneBased)
    }

    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)> {
        match arguments.first().map(|argument| argument.data_type()) {
            Some(DataType::List(element)) => Ok((element.data_type().clone(), true)),
            _ => Err(bad_parameters("array")),
        }
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        elementwise(arguments, |arrays, rows| {
            let (list, indices) = (arrays[0].as_list::<i32>(), arrays[1].as_primitive::<Int64Type>());
            let mut taken = Vec::with_capacity(rows);
            for row in 0..rows {
                taken.push(if list.is_null(row) || indices.is_null(row) {
                    None
                } else {
                    self.position(i64::from(list.value_length(row)), indices.value(row))?
                        .and_then(|at| u32::try_from(i64::from(list.value_offsets()[row]) + at).ok())
                });
            }
            Ok(compute::take(list.values(), &UInt32Array::from(taken), None)?)
        })
    }

    fn encode(&self) -> Value {
        let name = Indexing::NAMES.iter().find(|(indexing, _)| *indexing == self.indexing).map(|(_, name)| *name);
        json!({"indexing": name})
    }

    fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> {
        let name = text_parameter(parameters, "indexing")?;
        let found = Indexing::NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(indexing, _)| ArrayItem { indexing: *indexing }).ok_or_else(|| bad_parameters("indexing"))
    }
}

impl ArrayItem {
    /// The position from 0 that an index means in an array of that length.
    fn position(&self, length: i64, index: i64) -> Result<Option<i64>, SparkError> {
        match self.indexing {
            Indexing::Checked if !(0..length).contains(&index) => {
                Err(out_of_bounds("INVALID_ARRAY_INDEX", "get()", index, length))
            }
            Indexing::Checked | Indexing::Lenient => Ok((0..length).contains(&index).then_some(index)),
            Indexing::OneBased | Indexing::OneBasedLenient if index == 0 => Err(SparkError::new(
                ExceptionKind::Runtime,
                "INVALID_INDEX_OF_ZERO",
                "22003",
                "The index 0 is invalid. An index shall be either < 0 or > 0 (the first element has index 1).",
            )),
            Indexing::OneBased if index.unsigned_abs() > length.unsigned_abs() => {
                Err(out_of_bounds("INVALID_ARRAY_INDEX_IN_ELEMENT_AT", "try_element_at()", index, length))
            }
            Indexing::OneBased | Indexing::OneBasedLenient => {
                let position = if index > 0 { index - 1 } else { length + index };
                Ok((0..length).contains(&position).then_some(position))
            }
        }
    }
}

fn out_of_bounds(class: &str, tolerant: &str, index: i64, length: i64) -> SparkError {
    SparkError::new(
        ExceptionKind::Runtime,
        class,
        "22003",
        format!(
            "The index {index} is out of bounds. The array has {length} elements. Use the SQL function `{tolerant}` to \
             tolerate accessing element at invalid index and return NULL instead."
        ),
    )
    .with("indexValue", index)
    .with("arraySize", length)
}

/// The function `spark_map_value`: the value of a key, null if the map does not have it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MapValue;

impl Kernel for MapValue {
    const NAME: &'static str = "spark_map_value";

    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)> {
        match arguments.first().map(|argument| argument.data_type()) {
            Some(DataType::Map(entries, _)) => {
                let (_, value) = map_fields(entries).ok_or_else(|| bad_parameters("map"))?;
                Ok((value.data_type().clone(), true))
            }
            _ => Err(bad_parameters("map")),
        }
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        elementwise(arguments, |arrays, rows| {
            let map = arrays[0].as_map();
            let converter = RowConverter::new(vec![SortField::new(map.keys().data_type().clone())])?;
            let keys = converter.convert_columns(std::slice::from_ref(map.keys()))?;
            let wanted = converter.convert_columns(std::slice::from_ref(&arrays[1]))?;
            let offsets = map.value_offsets();
            let mut taken: Vec<Option<u32>> = Vec::with_capacity(rows);
            for row in 0..rows {
                if map.is_null(row) || arrays[1].is_null(row) {
                    taken.push(None);
                    continue;
                }
                let bound = |index: usize| usize::try_from(offsets[index]).expect("offsets are not negative");
                let found = (bound(row)..bound(row + 1)).find(|at| keys.row(*at) == wanted.row(row));
                taken.push(found.and_then(|at| u32::try_from(at).ok()));
            }
            Ok(compute::take(map.values(), &UInt32Array::from(taken), None)?)
        })
    }

    fn decode(_: &Value, _: &BatchClock) -> Result<Self> {
        Ok(MapValue)
    }
}

/// The function `spark_size`: how many elements an array or map has. A null has none that can be counted: null, or -1
/// as Spark counted without ANSI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Size {
    pub null_is_minus_one: bool,
}

impl Kernel for Size {
    const NAME: &'static str = "spark_size";

    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)> {
        let nullable = arguments.iter().any(|argument| argument.is_nullable());
        Ok((DataType::Int32, nullable && !self.null_is_minus_one))
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        elementwise(arguments, |arrays, _| {
            let offsets = match arrays[0].data_type() {
                DataType::List(_) => arrays[0].as_list::<i32>().value_offsets(),
                DataType::Map(..) => arrays[0].as_map().value_offsets(),
                other => return Err(bad_parameters(&format!("size of `{other}`"))),
            };
            let nulls: Option<&NullBuffer> = arrays[0].nulls();
            let missing = self.null_is_minus_one.then_some(-1);
            let sizes: Int32Array = offsets
                .windows(2)
                .enumerate()
                .map(|(row, bounds)| match nulls {
                    Some(nulls) if nulls.is_null(row) => missing,
                    _ => Some(bounds[1] - bounds[0]),
                })
                .collect();
            Ok(Arc::new(sizes))
        })
    }

    fn encode(&self) -> Value {
        json!({"null_is_minus_one": self.null_is_minus_one})
    }

    fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> {
        let flag = parameters.get("null_is_minus_one").and_then(Value::as_bool);
        Ok(Size { null_is_minus_one: flag.ok_or_else(|| bad_parameters("null_is_minus_one"))? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_elements() {
        let item = |indexing| ArrayItem { indexing };
        assert_eq!(item(Indexing::Checked).position(3, 2).unwrap(), Some(2));
        assert_eq!(item(Indexing::Checked).position(3, 3).unwrap_err().class, "INVALID_ARRAY_INDEX");
        assert_eq!(item(Indexing::Lenient).position(3, -1).unwrap(), None);
        assert_eq!(item(Indexing::OneBased).position(3, -1).unwrap(), Some(2));
        assert_eq!(item(Indexing::OneBased).position(3, 0).unwrap_err().class, "INVALID_INDEX_OF_ZERO");
        assert_eq!(item(Indexing::OneBasedLenient).position(3, 4).unwrap(), None);
    }
}
