//! Literals: Spark Connect's to DataFusion's scalar values, of exactly the Arrow type that the Spark type maps to.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, MapArray, StructArray, new_empty_array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields, IntervalMonthDayNano};
use datafusion::scalar::ScalarValue;
use pyrite_engine::error::{ExceptionKind, SparkError};
use pyrite_engine::types;

use super::required;
use super::types::{data_type_from_wire, decimal_type};

use crate::wire::expression::{Literal, literal, literal::LiteralType};

/// The value of a literal.
///
/// # Errors
/// A decimal that is no number, or a type that Pyrite lacks.
#[allow(deprecated, reason = "older clients say a nested literal's type in the older fields")]
pub fn literal(value: Literal) -> Result<ScalarValue, SparkError> {
    let data_type = value.data_type.map(data_type_from_wire).transpose()?;
    Ok(match required(value.literal_type, "literal_type")? {
        LiteralType::Null(of) => null_of(&data_type_from_wire(of)?)?,
        LiteralType::Binary(bytes) => ScalarValue::Binary(Some(bytes.to_vec())),
        LiteralType::Boolean(value) => ScalarValue::Boolean(Some(value)),
        LiteralType::Byte(value) => ScalarValue::Int8(Some(narrow(value)?)),
        LiteralType::Short(value) => ScalarValue::Int16(Some(narrow(value)?)),
        LiteralType::Integer(value) => ScalarValue::Int32(Some(value)),
        LiteralType::Long(value) => ScalarValue::Int64(Some(value)),
        LiteralType::Float(value) => ScalarValue::Float32(Some(value)),
        LiteralType::Double(value) => ScalarValue::Float64(Some(value)),
        LiteralType::Decimal(decimal) => decimal_value(&decimal)?,
        LiteralType::String(value) => ScalarValue::Utf8(Some(value)),
        LiteralType::Date(days) => ScalarValue::Date32(Some(days)),
        LiteralType::Timestamp(micros) => ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())),
        LiteralType::TimestampNtz(micros) => ScalarValue::TimestampMicrosecond(Some(micros), None),
        LiteralType::CalendarInterval(interval) => ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano {
            months: interval.months,
            days: interval.days,
            nanoseconds: interval
                .microseconds
                .checked_mul(1000)
                .ok_or_else(|| invalid(format!("an interval of {} microseconds is too long", interval.microseconds)))?,
        })),
        LiteralType::YearMonthInterval(months) => ScalarValue::IntervalYearMonth(Some(months)),
        LiteralType::DayTimeInterval(micros) => ScalarValue::DurationMicrosecond(Some(micros)),
        LiteralType::Array(array) => {
            let element = match (&data_type, array.element_type) {
                (Some(DataType::List(element)), _) => Some(element.data_type().clone()),
                (_, Some(of)) => Some(data_type_from_wire(of)?),
                _ => None,
            };
            array_value(array.elements.into_iter().map(literal).collect::<Result<_, _>>()?, element)?
        }
        LiteralType::SpecializedArray(array) => specialized_array(array)?,
        LiteralType::Struct(value) => {
            let of = match (data_type, value.struct_type) {
                (Some(of), _) => of,
                (None, of) => data_type_from_wire(required(of, "struct_type")?)?,
            };
            struct_value(value.elements, &of)?
        }
        LiteralType::Map(map) => {
            let of = match data_type {
                Some(of) => of,
                None => types::map_of(
                    data_type_from_wire(required(map.key_type.clone(), "key_type")?)?,
                    data_type_from_wire(required(map.value_type.clone(), "value_type")?)?,
                    true,
                ),
            };
            map_value(map, &of)?
        }
        LiteralType::Time(_) => return Err(SparkError::unsupported("a literal of the type time")),
        LiteralType::TimestampNtzNanos(_) | LiteralType::TimestampLtzNanos(_) => {
            return Err(SparkError::unsupported("a literal of a timestamp of nanoseconds"));
        }
    })
}

fn null_of(data_type: &DataType) -> Result<ScalarValue, SparkError> {
    ScalarValue::try_from(data_type).map_err(|error| crate::error::internal(error.to_string()))
}

fn narrow<T: TryFrom<i32>>(value: i32) -> Result<T, SparkError> {
    T::try_from(value).map_err(|_| invalid(format!("the literal {value} is out of its type's range")))
}

fn invalid(message: String) -> SparkError {
    SparkError::new(ExceptionKind::Analysis, "INVALID_LITERAL", "42000", message)
}

/// What PySpark gives for a Python decimal, whatever that is: it says nothing of the value.
const PYTHON_DECIMAL: (Option<i32>, Option<i32>) = (Some(10), Some(0));

/// A decimal as text, such as `-1.50`; precision and scale are the text's where the message has none of its own.
fn decimal_value(decimal: &literal::Decimal) -> Result<ScalarValue, SparkError> {
    let (precision, scale) = match (decimal.precision, decimal.scale) {
        PYTHON_DECIMAL => (None, None),
        own => own,
    };
    let bad = || invalid(format!("the literal `{}` is no decimal", decimal.value));
    let text = decimal.value.trim();
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| bad())?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let mut unscaled: i128 = digits.parse().map_err(|_| bad())?;
    let mut own = i32::try_from(fraction.len()).map_err(|_| bad())? - exponent;
    let target = scale.unwrap_or(own.max(0));
    while own < target {
        unscaled = unscaled.checked_mul(10).ok_or_else(bad)?;
        own += 1;
    }
    while own > target {
        if unscaled % 10 != 0 {
            return Err(bad());
        }
        unscaled /= 10;
        own -= 1;
    }
    let needed = unscaled.unsigned_abs().to_string().len() as i32;
    let precision = precision.unwrap_or(needed.max(target));
    match decimal_type(Some(precision), Some(target))? {
        DataType::Decimal128(p, s) if needed <= i32::from(p) => Ok(ScalarValue::Decimal128(Some(unscaled), p, s)),
        _ => Err(bad()),
    }
}

fn array_value(values: Vec<ScalarValue>, element: Option<DataType>) -> Result<ScalarValue, SparkError> {
    let element = element
        .or_else(|| values.iter().map(ScalarValue::data_type).find(|of| *of != DataType::Null))
        .unwrap_or(DataType::Null);
    let values = column(values, &element)?;
    let contains_null = values.null_count() > 0;
    let field = Arc::new(Field::new("element", element, contains_null));
    let list =
        datafusion::arrow::array::ListArray::new(field, OffsetBuffer::from_lengths([values.len()]), values, None);
    Ok(ScalarValue::List(Arc::new(list)))
}

fn specialized_array(array: literal::SpecializedArray) -> Result<ScalarValue, SparkError> {
    use literal::specialized_array::ValueType;
    let (values, element): (Vec<ScalarValue>, DataType) = match required(array.value_type, "value_type")? {
        ValueType::Bools(list) => (list.values.into_iter().map(ScalarValue::from).collect(), DataType::Boolean),
        ValueType::Ints(list) => (list.values.into_iter().map(ScalarValue::from).collect(), DataType::Int32),
        ValueType::Longs(list) => (list.values.into_iter().map(ScalarValue::from).collect(), DataType::Int64),
        ValueType::Floats(list) => (list.values.into_iter().map(ScalarValue::from).collect(), DataType::Float32),
        ValueType::Doubles(list) => (list.values.into_iter().map(ScalarValue::from).collect(), DataType::Float64),
        ValueType::Strings(list) => {
            (list.values.into_iter().map(|text| ScalarValue::Utf8(Some(text))).collect(), DataType::Utf8)
        }
    };
    array_value(values, Some(element))
}

fn struct_value(elements: Vec<Literal>, of: &DataType) -> Result<ScalarValue, SparkError> {
    let DataType::Struct(fields) = of else {
        return Err(crate::error::invalid_plan(format!("a struct literal of type {of}")));
    };
    if fields.len() != elements.len() {
        return Err(crate::error::invalid_plan("a struct literal has other elements than its type has fields"));
    }
    let columns = elements
        .into_iter()
        .zip(fields)
        .map(|(element, field)| column(vec![literal(element)?], field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    let array = StructArray::try_new_with_length(fields.clone(), columns, None, 1).map_err(arrow)?;
    Ok(ScalarValue::Struct(Arc::new(array)))
}

fn map_value(map: literal::Map, of: &DataType) -> Result<ScalarValue, SparkError> {
    let DataType::Map(entries, _) = of else {
        return Err(crate::error::invalid_plan(format!("a map literal of type {of}")));
    };
    let (key, value) =
        types::map_fields(entries).ok_or_else(|| crate::error::internal(format!("a map of another shape: {of}")))?;
    let keys = column(map.keys.into_iter().map(literal).collect::<Result<_, _>>()?, key.data_type())?;
    let values = column(map.values.into_iter().map(literal).collect::<Result<_, _>>()?, value.data_type())?;
    let length = keys.len();
    let fields = Fields::from(vec![key.clone(), value.clone()]);
    let pairs = StructArray::try_new(fields, vec![keys, values], None).map_err(arrow)?;
    let array =
        MapArray::try_new(entries.clone(), OffsetBuffer::from_lengths([length]), pairs, None, false).map_err(arrow)?;
    Ok(ScalarValue::Map(Arc::new(array)))
}

/// Values as one column of a type; untyped nulls take it.
fn column(values: Vec<ScalarValue>, of: &DataType) -> Result<ArrayRef, SparkError> {
    if values.is_empty() {
        return Ok(new_empty_array(of));
    }
    let typed = values
        .into_iter()
        .map(|value| if value.data_type() == DataType::Null { null_of(of) } else { Ok(value) })
        .collect::<Result<Vec<_>, _>>()?;
    ScalarValue::iter_to_array(typed).map_err(|error| invalid(error.to_string()))
}

fn arrow(error: datafusion::arrow::error::ArrowError) -> SparkError {
    invalid(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{DataType as WireType, data_type};

    fn wire(literal_type: LiteralType) -> Literal {
        Literal { literal_type: Some(literal_type), ..Default::default() }
    }

    fn decimal(value: &str, precision: Option<i32>, scale: Option<i32>) -> Result<ScalarValue, SparkError> {
        literal(wire(LiteralType::Decimal(literal::Decimal { value: value.to_owned(), precision, scale })))
    }

    #[test]
    fn plain_values() {
        assert_eq!(literal(wire(LiteralType::Byte(-3))).unwrap(), ScalarValue::Int8(Some(-3)));
        assert!(literal(wire(LiteralType::Byte(300))).is_err());
        assert_eq!(
            literal(wire(LiteralType::String("x".to_owned()))).unwrap(),
            ScalarValue::Utf8(Some("x".to_owned()))
        );
        let null = WireType { kind: Some(data_type::Kind::Null(data_type::Null::default())) };
        assert_eq!(literal(wire(LiteralType::Null(null))).unwrap(), ScalarValue::Null);
    }

    #[test]
    fn decimals_are_read_from_text() {
        assert_eq!(decimal("-1.50", None, None).unwrap(), ScalarValue::Decimal128(Some(-150), 3, 2));
        assert_eq!(decimal("1.5", Some(10), Some(3)).unwrap(), ScalarValue::Decimal128(Some(1500), 10, 3));
        assert_eq!(decimal("1E+3", None, None).unwrap(), ScalarValue::Decimal128(Some(1000), 4, 0));
        assert_eq!(decimal("0.01", None, None).unwrap(), ScalarValue::Decimal128(Some(1), 2, 2));
        assert_eq!(decimal("1.1", Some(10), Some(0)).unwrap(), ScalarValue::Decimal128(Some(11), 2, 1));
        assert_eq!(decimal("100", Some(10), Some(0)).unwrap(), ScalarValue::Decimal128(Some(100), 3, 0));
        assert!(decimal("x", None, None).is_err());
        assert!(decimal("123", Some(2), Some(0)).is_err());
    }

    #[test]
    fn an_array_takes_its_type_from_its_elements() {
        let elements = vec![wire(LiteralType::Integer(1)), wire(LiteralType::Integer(2))];
        let value = literal(wire(LiteralType::Array(literal::Array { elements, ..Default::default() }))).unwrap();
        assert_eq!(value.data_type(), types::array_of(DataType::Int32, false));
    }
}
