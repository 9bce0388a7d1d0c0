//! The codec of state: rows of Arrow columns to bytes and back, in an encoding of our own.
//!
//! Keys and partial aggregates outlive a release, so neither arrow-row nor DataFusion's encodings may define them. The
//! encoding is self-delimiting for a fixed list of types, so concatenated columns are prefix-free: two rows have the
//! same bytes exactly when their columns are equal. Version 1:
//!
//! ```text
//! column    := 0x00 | 0x01 value                     null | present
//! value     := fixed width: little endian             integers, floats, dates, times, decimals, intervals
//!            | u8 (0 or 1)                            boolean
//!            | varint length, bytes                   string, binary
//!            | column of each field                   struct
//!            | varint length, column of each element  list
//! ```
//!
//! A key codec writes canonical floats (one zero, one NaN), so that values that Spark groups together have one key.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, BooleanBufferBuilder, make_array};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::{DataType, Field};

use super::StateError;

/// The version that changelogs and snapshots carry.
pub const CODEC_VERSION: u8 = 1;

/// Whether floats are made canonical: keys yes, values no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Key,
    Value,
}

/// Encodes and decodes rows of a fixed list of column types.
#[derive(Debug, Clone)]
pub struct RowCodec {
    types: Vec<DataType>,
    purpose: Purpose,
}

/// Many encoded rows in one buffer.
#[derive(Debug, Default)]
pub struct EncodedRows {
    pub data: Vec<u8>,
    /// `rows + 1` positions in `data`.
    pub offsets: Vec<usize>,
}

impl EncodedRows {
    /// The bytes of row `row`.
    pub fn row(&self, row: usize) -> &[u8] {
        &self.data[self.offsets[row]..self.offsets[row + 1]]
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl RowCodec {
    /// A codec for columns of `types`; fails on a type that cannot be kept in state, such as a map.
    pub fn new(types: Vec<DataType>, purpose: Purpose) -> Result<Self, StateError> {
        for data_type in &types {
            check_type(data_type)?;
        }
        Ok(RowCodec { types, purpose })
    }

    /// The column types, in order.
    pub fn types(&self) -> &[DataType] {
        &self.types
    }

    /// Encodes `rows` rows of `columns`; with no columns every row is empty.
    pub fn encode(&self, columns: &[ArrayRef], rows: usize) -> EncodedRows {
        assert_eq!(columns.len(), self.types.len(), "a row has the codec's columns");
        let sources: Vec<Source> = columns.iter().map(|column| Source::of(column, self.purpose)).collect();
        let mut encoded =
            EncodedRows { data: Vec::with_capacity(rows * columns.len() * 10), offsets: Vec::with_capacity(rows + 1) };
        encoded.offsets.push(0);
        for row in 0..rows {
            for source in &sources {
                source.append(row, &mut encoded.data);
            }
            encoded.offsets.push(encoded.data.len());
        }
        encoded
    }

    /// Decodes rows into columns.
    ///
    /// # Errors
    /// `StateError::Corrupt` when a row is shorter or longer than its types say.
    pub fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, StateError> {
        let mut sinks: Vec<Sink> = self.types.iter().map(Sink::new).collect();
        for row in rows {
            let mut rest = row;
            for sink in &mut sinks {
                rest = sink.read(rest)?;
            }
            if !rest.is_empty() {
                return Err(StateError::corrupt("a row is longer than its columns"));
            }
        }
        sinks.into_iter().map(Sink::finish).collect()
    }
}

fn check_type(data_type: &DataType) -> Result<(), StateError> {
    match data_type {
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_type(field.data_type())),
        DataType::List(field) => check_type(field.data_type()),
        DataType::Boolean | DataType::Utf8 | DataType::Binary | DataType::Null => Ok(()),
        other if other.primitive_width().is_some() => Ok(()),
        other => Err(StateError::Unsupported(other.clone())),
    }
}

/// A column being encoded, with its buffers found once.
enum Source<'a> {
    Null,
    Fixed { nulls: Option<&'a NullBuffer>, width: usize, bytes: &'a [u8] },
    Float { nulls: Option<&'a NullBuffer>, array: &'a ArrayRef },
    Boolean { nulls: Option<&'a NullBuffer>, array: &'a ArrayRef },
    Bytes { nulls: Option<&'a NullBuffer>, offsets: &'a [i32], values: &'a [u8] },
    Struct { nulls: Option<&'a NullBuffer>, fields: Vec<Source<'a>> },
    List { nulls: Option<&'a NullBuffer>, offsets: &'a [i32], values: Box<Source<'a>> },
}

impl<'a> Source<'a> {
    fn of(array: &'a ArrayRef, purpose: Purpose) -> Source<'a> {
        let nulls = array.nulls();
        match array.data_type() {
            DataType::Null => Source::Null,
            DataType::Boolean => Source::Boolean { nulls, array },
            DataType::Utf8 => {
                let array = array.as_string::<i32>();
                Source::Bytes { nulls, offsets: array.value_offsets(), values: array.value_data() }
            }
            DataType::Binary => {
                let array = array.as_binary::<i32>();
                Source::Bytes { nulls, offsets: array.value_offsets(), values: array.value_data() }
            }
            DataType::Struct(_) => {
                let fields = array.as_struct().columns().iter().map(|field| Source::of(field, purpose)).collect();
                Source::Struct { nulls, fields }
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let values = Box::new(Source::of(list.values(), purpose));
                Source::List { nulls, offsets: list.value_offsets(), values }
            }
            DataType::Float32 | DataType::Float64 if purpose == Purpose::Key => Source::Float { nulls, array },
            fixed => {
                let width = fixed.primitive_width().expect("`RowCodec::new` admits no other type");
                Source::Fixed { nulls, width, bytes: fixed_bytes(array, width) }
            }
        }
    }

    fn append(&self, row: usize, out: &mut Vec<u8>) {
        let nulls = match self {
            Source::Null => return out.push(0),
            Source::Fixed { nulls, .. }
            | Source::Float { nulls, .. }
            | Source::Boolean { nulls, .. }
            | Source::Bytes { nulls, .. }
            | Source::Struct { nulls, .. }
            | Source::List { nulls, .. } => nulls,
        };
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return out.push(0);
        }
        out.push(1);
        match self {
            Source::Null => {}
            Source::Fixed { width, bytes, .. } => out.extend_from_slice(&bytes[row * width..(row + 1) * width]),
            Source::Float { array, .. } => append_canonical_float(array, row, out),
            Source::Boolean { array, .. } => out.push(u8::from(array.as_boolean().value(row))),
            Source::Bytes { offsets, values, .. } => {
                let value = &values[offsets[row] as usize..offsets[row + 1] as usize];
                append_varint(value.len() as u64, out);
                out.extend_from_slice(value);
            }
            Source::Struct { fields, .. } => fields.iter().for_each(|field| field.append(row, out)),
            Source::List { offsets, values, .. } => {
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                append_varint((end - start) as u64, out);
                (start..end).for_each(|element| values.append(element, out));
            }
        }
    }
}

/// The value bytes of a fixed-width array, from its own first row on.
fn fixed_bytes(array: &ArrayRef, width: usize) -> &[u8] {
    use arrow::downcast_primitive_array;
    let array = array.as_ref();
    let bytes: &[u8] = downcast_primitive_array!(
        array => array.values().inner().as_slice(),
        other => unreachable!("`{other}` has no fixed width")
    );
    debug_assert_eq!(bytes.len(), array.len() * width);
    bytes
}

fn append_canonical_float(array: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    use arrow::datatypes::{Float32Type, Float64Type};
    if array.data_type() == &DataType::Float32 {
        let value = array.as_primitive::<Float32Type>().value(row);
        let value = if value == 0.0 {
            0.0
        } else if value.is_nan() {
            f32::NAN
        } else {
            value
        };
        out.extend_from_slice(&value.to_le_bytes());
    } else {
        let value = array.as_primitive::<Float64Type>().value(row);
        let value = if value == 0.0 {
            0.0
        } else if value.is_nan() {
            f64::NAN
        } else {
            value
        };
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn append_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(mut rest: &[u8]) -> Result<(u64, &[u8]), StateError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first().ok_or_else(|| StateError::corrupt("a row ends in a length"))?;
        rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok((value, rest));
        }
    }
    Err(StateError::corrupt("a length is longer than 64 bits"))
}

fn take(rest: &[u8], count: usize) -> Result<(&[u8], &[u8]), StateError> {
    if rest.len() < count {
        return Err(StateError::corrupt("a row is shorter than its columns"));
    }
    Ok(rest.split_at(count))
}

/// A column being decoded.
struct Sink {
    data_type: DataType,
    rows: usize,
    nulls: BooleanBufferBuilder,
    null_count: usize,
    /// Fixed-width values, or the bytes of strings and binaries.
    values: Vec<u8>,
    bits: BooleanBufferBuilder,
    offsets: Vec<i32>,
    children: Vec<Sink>,
}

impl Sink {
    fn new(data_type: &DataType) -> Sink {
        let children = match data_type {
            DataType::Struct(fields) => fields.iter().map(|field| Sink::new(field.data_type())).collect(),
            DataType::List(field) => vec![Sink::new(field.data_type())],
            _ => Vec::new(),
        };
        Sink {
            data_type: data_type.clone(),
            rows: 0,
            nulls: BooleanBufferBuilder::new(0),
            null_count: 0,
            values: Vec::new(),
            bits: BooleanBufferBuilder::new(0),
            offsets: vec![0],
            children,
        }
    }

    fn read<'a>(&mut self, rest: &'a [u8]) -> Result<&'a [u8], StateError> {
        let (tag, rest) = take(rest, 1)?;
        match tag[0] {
            0 => {
                self.push_null();
                Ok(rest)
            }
            1 => self.read_value(rest),
            _ => Err(StateError::corrupt("a column starts with neither 0 nor 1")),
        }
    }

    fn read_value<'a>(&mut self, rest: &'a [u8]) -> Result<&'a [u8], StateError> {
        self.rows += 1;
        self.nulls.append(true);
        match &self.data_type {
            DataType::Null => Ok(rest),
            DataType::Boolean => {
                let (value, rest) = take(rest, 1)?;
                self.bits.append(value[0] != 0);
                Ok(rest)
            }
            DataType::Utf8 | DataType::Binary => {
                let (length, rest) = take_varint(rest)?;
                let (value, rest) = take(rest, length as usize)?;
                self.values.extend_from_slice(value);
                self.offsets.push(self.values.len() as i32);
                Ok(rest)
            }
            DataType::Struct(_) => {
                let mut rest = rest;
                for child in &mut self.children {
                    rest = child.read(rest)?;
                }
                Ok(rest)
            }
            DataType::List(_) => {
                let (length, mut rest) = take_varint(rest)?;
                for _ in 0..length {
                    rest = self.children[0].read(rest)?;
                }
                self.offsets.push(self.children[0].rows as i32);
                Ok(rest)
            }
            fixed => {
                let width = fixed.primitive_width().expect("`RowCodec::new` admits no other type");
                let (value, rest) = take(rest, width)?;
                self.values.extend_from_slice(value);
                Ok(rest)
            }
        }
    }

    fn push_null(&mut self) {
        self.rows += 1;
        self.null_count += 1;
        self.nulls.append(false);
        match &self.data_type {
            DataType::Null => {}
            DataType::Boolean => self.bits.append(false),
            DataType::Utf8 | DataType::Binary => self.offsets.push(self.values.len() as i32),
            DataType::Struct(_) => self.children.iter_mut().for_each(Sink::push_null),
            DataType::List(_) => self.offsets.push(self.children[0].rows as i32),
            fixed => {
                let width = fixed.primitive_width().expect("`RowCodec::new` admits no other type");
                self.values.resize(self.values.len() + width, 0);
            }
        }
    }

    fn finish(mut self) -> Result<ArrayRef, StateError> {
        if self.data_type == DataType::Null {
            return Ok(Arc::new(arrow::array::NullArray::new(self.rows)));
        }
        let mut builder = ArrayData::builder(self.data_type.clone()).len(self.rows);
        if self.null_count > 0 {
            builder = builder.nulls(Some(NullBuffer::new(self.nulls.finish())));
        }
        builder = match &self.data_type {
            DataType::Boolean => builder.add_buffer(self.bits.finish().into_inner()),
            DataType::Utf8 | DataType::Binary => {
                builder.add_buffer(Buffer::from_vec(self.offsets)).add_buffer(Buffer::from_vec(self.values))
            }
            DataType::Struct(_) => {
                let children: Result<Vec<_>, _> = self.children.into_iter().map(Sink::finish).collect();
                builder.child_data(children?.iter().map(|child| child.to_data()).collect())
            }
            DataType::List(_) => {
                let child = self.children.pop().expect("a list has one child").finish()?;
                builder.add_buffer(Buffer::from_vec(self.offsets)).add_child_data(child.to_data())
            }
            // A copy, because a byte vector need not be aligned for its values.
            _ => builder.add_buffer(Buffer::from_slice_ref(&self.values)),
        };
        builder.build().map(make_array).map_err(|cause| StateError::corrupt(&cause.to_string()))
    }
}

/// The types of `fields`, as the codec takes them.
pub fn types_of<'a>(fields: impl Iterator<Item = &'a Arc<Field>>) -> Vec<DataType> {
    fields.map(|field| field.data_type().clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BooleanArray, Float64Array, Int64Array, StringArray, StructArray, TimestampMicrosecondArray};

    fn round_trip(columns: Vec<ArrayRef>, purpose: Purpose) -> Vec<ArrayRef> {
        let codec = RowCodec::new(columns.iter().map(|c| c.data_type().clone()).collect(), purpose).expect("supported");
        let encoded = codec.encode(&columns, columns[0].len());
        codec.decode((0..encoded.len()).map(|row| encoded.row(row))).expect("decodes")
    }

    #[test]
    fn every_kind_of_column_comes_back_equal() {
        let window = StructArray::from(vec![
            (
                Arc::new(Field::new("start", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None), true)),
                Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None, Some(-7)])) as ArrayRef,
            ),
            (
                Arc::new(Field::new("n", DataType::Utf8, true)),
                Arc::new(StringArray::from(vec![None, Some(""), Some("é")])),
            ),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(3)])),
            Arc::new(StringArray::from(vec![Some("a"), Some(""), None])),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
            Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::INFINITY), None])),
            Arc::new(window),
        ];
        assert_eq!(round_trip(columns.clone(), Purpose::Value), columns);
    }

    #[test]
    fn keys_of_equal_floats_are_equal() {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
        let codec = RowCodec::new(vec![DataType::Float64], Purpose::Key).expect("supported");
        let encoded = codec.encode(&[column], 4);
        assert_eq!(encoded.row(0), encoded.row(1));
        assert_eq!(encoded.row(2), encoded.row(3));
    }

    #[test]
    fn version_1_is_pinned() {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![258])), Arc::new(StringArray::from(vec!["ab"]))];
        let codec = RowCodec::new(vec![DataType::Int64, DataType::Utf8], Purpose::Key).expect("supported");
        assert_eq!(codec.encode(&columns, 1).data, [1, 2, 1, 0, 0, 0, 0, 0, 0, 1, 2, b'a', b'b']);
    }

    #[test]
    fn a_sliced_array_encodes_its_own_rows() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let sliced = column.slice(1, 2);
        assert_eq!(round_trip(vec![sliced.clone()], Purpose::Value), vec![sliced]);
    }

    #[test]
    fn a_cut_row_is_an_error() {
        let codec = RowCodec::new(vec![DataType::Int64], Purpose::Value).expect("supported");
        assert!(codec.decode([&[1u8, 2, 3][..]].into_iter()).is_err());
        assert!(codec.decode([&[0u8, 0][..]].into_iter()).is_err());
    }
}
