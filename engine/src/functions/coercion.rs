//! The common type of several, by Spark's ANSI rules.

use datafusion::arrow::datatypes::{DataType, FieldRef};

use crate::types::{DECIMAL_PRECISION_MAX, array_of, is_integral, is_numeric, map_fields, map_of, timestamp};

/// From the narrowest; a decimal stands apart.
const PRECEDENCE: [DataType; 6] =
    [DataType::Int8, DataType::Int16, DataType::Int32, DataType::Int64, DataType::Float32, DataType::Float64];

/// The type in which two values meet in a comparison, a branch or a list. As Spark's `findWiderTypeForTwo` in ANSI
/// mode.
pub fn common_type(one: &DataType, other: &DataType) -> Option<DataType> {
    tightest(one, other)
        .or_else(|| wider_decimal(one, other))
        .or_else(|| string_and(one, other).or_else(|| string_and(other, one)))
        .or_else(|| nested(one, other))
}

/// The common type of all, or none; without any it is `void`.
pub fn common_type_of<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Option<DataType> {
    types.into_iter().try_fold(DataType::Null, |common, next| common_type(&common, next))
}

/// Without decimals of different precision, and without strings.
fn tightest(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType::{Date32, Null, Timestamp};
    match (one, other) {
        _ if one == other => Some(one.clone()),
        (Null, _) => Some(other.clone()),
        (_, Null) => Some(one.clone()),
        (Date32, Timestamp(..)) => Some(other.clone()),
        (Timestamp(..), Date32) => Some(one.clone()),
        (Timestamp(..), Timestamp(..)) => Some(timestamp()),
        _ => {
            let rank = |data_type: &DataType| PRECEDENCE.iter().position(|known| known == data_type);
            let wider = &PRECEDENCE[rank(one)?.max(rank(other)?)];
            // An integer beside a float would lose digits in a float.
            Some(if wider == &DataType::Float32 { DataType::Float64 } else { wider.clone() })
        }
    }
}

/// The decimal that an integer type fits into.
pub fn decimal_for(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((20, 0)),
        DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

fn wider_decimal(one: &DataType, other: &DataType) -> Option<DataType> {
    let decimal = |data_type: &DataType| matches!(data_type, DataType::Decimal128(..));
    if !decimal(one) && !decimal(other) {
        return None;
    }
    let float = |data_type: &DataType| matches!(data_type, DataType::Float32 | DataType::Float64);
    if float(one) || float(other) {
        return Some(DataType::Float64);
    }
    let ((p1, s1), (p2, s2)) = (decimal_for(one)?, decimal_for(other)?);
    let scale = s1.max(s2);
    let whole = (i16::from(p1) - i16::from(s1)).max(i16::from(p2) - i16::from(s2));
    let precision = u8::try_from(whole + i16::from(scale)).ok()?;
    if precision <= DECIMAL_PRECISION_MAX {
        return Some(DataType::Decimal128(precision, scale));
    }
    // What does not fit loses digits of the fraction first.
    let scale = i16::from(DECIMAL_PRECISION_MAX) - whole;
    Some(DataType::Decimal128(DECIMAL_PRECISION_MAX, i8::try_from(scale.max(0)).ok()?))
}

/// What a string becomes beside another type.
fn string_and(string: &DataType, other: &DataType) -> Option<DataType> {
    if string != &DataType::Utf8 {
        return None;
    }
    match other {
        _ if is_integral(other) => Some(DataType::Int64),
        _ if is_numeric(other) => Some(DataType::Float64),
        DataType::Boolean | DataType::Binary | DataType::Date32 | DataType::Timestamp(..) => Some(other.clone()),
        _ => None,
    }
}

fn nested(one: &DataType, other: &DataType) -> Option<DataType> {
    match (one, other) {
        (DataType::List(one), DataType::List(other)) => {
            let element = common_type(one.data_type(), other.data_type())?;
            Some(array_of(element, one.is_nullable() || other.is_nullable()))
        }
        (DataType::Map(one, _), DataType::Map(other, _)) => {
            let ((key, value), (other_key, other_value)) = (map_fields(one)?, map_fields(other)?);
            Some(map_of(
                common_type(key.data_type(), other_key.data_type())?,
                common_type(value.data_type(), other_value.data_type())?,
                value.is_nullable() || other_value.is_nullable(),
            ))
        }
        (DataType::Struct(one), DataType::Struct(other)) if one.len() == other.len() => {
            let mut fields = Vec::with_capacity(one.len());
            for (field, other) in one.iter().zip(other) {
                if !field.name().eq_ignore_ascii_case(other.name()) {
                    return None;
                }
                let data_type = common_type(field.data_type(), other.data_type())?;
                let nullable = field.is_nullable() || other.is_nullable();
                fields.push(field.as_ref().clone().with_data_type(data_type).with_nullable(nullable));
            }
            Some(DataType::Struct(fields.into()))
        }
        _ => None,
    }
}

/// Whether the types differ in the names of fields and in what may be null at most. As Spark's `equalsStructurally`.
pub fn same_structure(one: &DataType, other: &DataType) -> bool {
    match (one, other) {
        (DataType::Struct(one), DataType::Struct(other)) => {
            let alike = |(one, other): (&FieldRef, &FieldRef)| same_structure(one.data_type(), other.data_type());
            one.len() == other.len() && one.iter().zip(other).all(alike)
        }
        (DataType::List(one), DataType::List(other)) => same_structure(one.data_type(), other.data_type()),
        _ => one == other,
    }
}

/// The types whose values have an order and can be compared.
pub fn is_orderable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) | DataType::Interval(_) => false,
        DataType::List(element) => is_orderable(element.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_orderable(field.data_type())),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::parse_type;

    fn common(one: &str, other: &str) -> Option<String> {
        common_type(&parse_type(one).unwrap(), &parse_type(other).unwrap())
            .map(|found| crate::types::simple_string(&found))
    }

    #[test]
    fn pairs_meet_where_spark_says() {
        for (one, other, expected) in [
            ("int", "bigint", "bigint"),
            ("int", "float", "double"),
            ("float", "double", "double"),
            ("string", "int", "bigint"),
            ("smallint", "string", "bigint"),
            ("string", "double", "double"),
            ("string", "timestamp", "timestamp"),
            ("date", "timestamp", "timestamp"),
            ("int", "decimal(5,2)", "decimal(12,2)"),
            ("decimal(10,2)", "decimal(8,4)", "decimal(12,4)"),
            ("decimal(10,2)", "double", "double"),
            ("void", "string", "string"),
            ("array<int>", "array<bigint>", "array<bigint>"),
        ] {
            assert_eq!(common(one, other).as_deref(), Some(expected), "{one} {other}");
            assert_eq!(common(other, one).as_deref(), Some(expected), "{other} {one}");
        }
        assert_eq!(common("int", "boolean"), None);
        assert_eq!(common("array<int>", "int"), None);
        assert_eq!(common("int", "timestamp"), None);
    }
}
