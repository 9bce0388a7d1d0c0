//! The columns under construction: one [`Node`] per value of the schema, filled row by row.
//!
//! A node can always be cut back to an earlier length, which is how a malformed row, or a field of the wrong type,
//! leaves no trace.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray, NullArray, NullBufferBuilder,
    StringArray, StructArray, TimestampMicrosecondArray,
};
use datafusion::arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{DataType, FieldRef, Fields, TimeUnit};
use datafusion::arrow::error::ArrowError;
use hashbrown::HashMap;

use crate::error::SparkError;
use crate::types;

/// One column under construction.
#[derive(Debug)]
pub(super) struct Node {
    pub nulls: NullBufferBuilder,
    pub data: Data,
}

/// The values of a column; rows that are null hold some value too.
#[derive(Debug)]
pub(super) enum Data {
    Null,
    Boolean(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    /// Days since the epoch.
    Date(Vec<i32>),
    /// Microseconds since the epoch; the time zone of the Arrow type.
    Timestamp(Vec<i64>, Arc<str>),
    /// Microseconds of wall-clock time.
    TimestampNtz(Vec<i64>),
    Text(Bytes),
    Binary(Bytes),
    List(Box<ListNode>),
    Map(Box<MapNode>),
    Struct(Box<StructNode>),
}

/// Values of variable length, one after another.
#[derive(Debug)]
pub(super) struct Bytes {
    /// Where each value ends; the first entry is 0.
    pub offsets: Vec<i32>,
    pub values: Vec<u8>,
    /// Bytes of the last batch, which the next one will need as well.
    last: usize,
}

#[derive(Debug)]
pub(super) struct ListNode {
    field: FieldRef,
    pub offsets: Vec<i32>,
    pub child: Node,
}

#[derive(Debug)]
pub(super) struct MapNode {
    field: FieldRef,
    entries: Fields,
    pub offsets: Vec<i32>,
    pub keys: Bytes,
    pub values: Node,
}

#[derive(Debug)]
pub(super) struct StructNode {
    pub fields: Fields,
    pub nodes: Vec<Node>,
    /// Per field, the stamp of the last row that gave it a value.
    pub seen: Vec<u64>,
    pub stamp: u64,
    names: HashMap<Box<[u8]>, usize>,
    guesses: Vec<Guess>,
}

/// The bytes that stood between two values of the last document, and the field that they led to.
#[derive(Debug)]
struct Guess {
    bytes: Vec<u8>,
    target: Option<usize>,
}

/// Longer stretches are not remembered.
const GUESS_BYTES_MAX: usize = 96;
/// Nor more fields.
const GUESSES_MAX: usize = 512;

/// Whether `rest` starts with `text`: words of eight bytes instead of a call of the C library for so few.
#[inline]
fn starts_with(rest: &[u8], text: &[u8]) -> bool {
    let Some(rest) = rest.get(..text.len()) else {
        return false;
    };
    let (words, tail) = text.as_chunks::<8>();
    let (rest_words, rest_tail) = rest.as_chunks::<8>();
    words.iter().zip(rest_words).all(|(a, b)| u64::from_le_bytes(*a) == u64::from_le_bytes(*b))
        && match (text.last_chunk::<8>(), rest.last_chunk::<8>()) {
            (Some(a), Some(b)) => u64::from_le_bytes(*a) == u64::from_le_bytes(*b),
            _ => tail.iter().zip(rest_tail).all(|(a, b)| a == b),
        }
}

/// The end of a column of bytes; a batch never gets near: the reader bounds it.
pub(super) fn offset(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

impl Bytes {
    pub fn new() -> Self {
        Bytes { offsets: vec![0], values: Vec::new(), last: 0 }
    }

    /// Ends the value whose bytes have been added to `values`.
    #[inline]
    pub fn seal(&mut self) {
        self.offsets.push(offset(self.values.len()));
    }

    pub fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        let end = self.offsets.last().copied().unwrap_or(0);
        self.values.truncate(end as usize);
    }

    /// Makes room for a batch like the last one.
    pub fn reserve(&mut self, rows: usize) {
        self.offsets.reserve(rows);
        self.values.reserve(self.last);
    }

    fn finish(&mut self) -> Result<(OffsetBuffer<i32>, Buffer), ArrowError> {
        self.last = self.values.len();
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let values = std::mem::take(&mut self.values);
        Ok((finish_offsets(offsets, values.len())?, Buffer::from_vec(values)))
    }
}

/// Checked offsets: `length` is what they should reach.
fn finish_offsets(offsets: Vec<i32>, length: usize) -> Result<OffsetBuffer<i32>, ArrowError> {
    if i32::try_from(length).is_err() {
        return Err(ArrowError::ComputeError("a batch of JSON holds more than 2 GiB in one column".to_owned()));
    }
    Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
}

impl Node {
    /// An empty column of a Spark type; refuses types that JSON cannot give.
    pub fn new(data_type: &DataType) -> Result<Self, SparkError> {
        let data = match data_type {
            DataType::Null => Data::Null,
            DataType::Boolean => Data::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Data::Int8(Vec::new()),
            DataType::Int16 => Data::Int16(Vec::new()),
            DataType::Int32 => Data::Int32(Vec::new()),
            DataType::Int64 => Data::Int64(Vec::new()),
            DataType::Float32 => Data::Float32(Vec::new()),
            DataType::Float64 => Data::Float64(Vec::new()),
            DataType::Decimal128(precision, scale) => {
                Data::Decimal { values: Vec::new(), precision: *precision, scale: *scale }
            }
            DataType::Date32 => Data::Date(Vec::new()),
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => Data::Timestamp(Vec::new(), zone.clone()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Data::TimestampNtz(Vec::new()),
            DataType::Utf8 => Data::Text(Bytes::new()),
            DataType::Binary => Data::Binary(Bytes::new()),
            DataType::List(field) => Data::List(Box::new(ListNode {
                field: field.clone(),
                offsets: vec![0],
                child: Node::new(field.data_type())?,
            })),
            DataType::Map(field, _) => Data::Map(Box::new(MapNode::new(field)?)),
            DataType::Struct(fields) => Data::Struct(Box::new(StructNode::new(fields.clone())?)),
            other => {
                return Err(SparkError::unsupported(format!("reading {} from JSON", types::quoted_sql_name(other))));
            }
        };
        Ok(Node { nulls: NullBufferBuilder::new(1024), data })
    }

    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Makes room for so many rows.
    pub fn reserve(&mut self, rows: usize) {
        match &mut self.data {
            Data::Int32(values) | Data::Date(values) => values.reserve(rows),
            Data::Int64(values) | Data::Timestamp(values, _) | Data::TimestampNtz(values) => values.reserve(rows),
            Data::Float64(values) => values.reserve(rows),
            Data::Text(bytes) | Data::Binary(bytes) => bytes.reserve(rows),
            Data::Struct(fields) => fields.nodes.iter_mut().for_each(|node| node.reserve(rows)),
            // The others grow as they go.
            _ => {}
        }
    }

    /// Appends a null.
    pub fn append_null(&mut self) {
        self.nulls.append_null();
        match &mut self.data {
            Data::Null => {}
            Data::Boolean(values) => values.append(false),
            Data::Int8(values) => values.push(0),
            Data::Int16(values) => values.push(0),
            Data::Int32(values) | Data::Date(values) => values.push(0),
            Data::Int64(values) | Data::Timestamp(values, _) | Data::TimestampNtz(values) => values.push(0),
            Data::Float32(values) => values.push(0.0),
            Data::Float64(values) => values.push(0.0),
            Data::Decimal { values, .. } => values.push(0),
            Data::Text(bytes) | Data::Binary(bytes) => bytes.seal(),
            Data::List(list) => list.offsets.push(offset(list.child.len())),
            Data::Map(map) => map.offsets.push(offset(map.values.len())),
            Data::Struct(fields) => fields.nodes.iter_mut().for_each(Node::append_null),
        }
    }

    /// Cuts the column back to its first `rows` rows, whatever was half appended after them.
    pub fn truncate(&mut self, rows: usize) {
        self.nulls.truncate(rows);
        match &mut self.data {
            Data::Null => {}
            Data::Boolean(values) => values.truncate(rows),
            Data::Int8(values) => values.truncate(rows),
            Data::Int16(values) => values.truncate(rows),
            Data::Int32(values) | Data::Date(values) => values.truncate(rows),
            Data::Int64(values) | Data::Timestamp(values, _) | Data::TimestampNtz(values) => values.truncate(rows),
            Data::Float32(values) => values.truncate(rows),
            Data::Float64(values) => values.truncate(rows),
            Data::Decimal { values, .. } => values.truncate(rows),
            Data::Text(bytes) | Data::Binary(bytes) => bytes.truncate(rows),
            Data::List(list) => {
                list.offsets.truncate(rows + 1);
                list.child.truncate(list.end());
            }
            Data::Map(map) => {
                map.offsets.truncate(rows + 1);
                map.truncate_entries(map.end());
            }
            Data::Struct(fields) => fields.nodes.iter_mut().for_each(|node| node.truncate(rows)),
        }
    }

    /// Takes the finished column out and leaves an empty one.
    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        use std::mem::take;
        let rows = self.nulls.len();
        let nulls: Option<NullBuffer> = self.nulls.finish();
        Ok(match &mut self.data {
            Data::Null => Arc::new(NullArray::new(rows)),
            Data::Boolean(values) => {
                let values: BooleanBuffer = values.finish();
                Arc::new(BooleanArray::new(values, nulls))
            }
            Data::Int8(values) => Arc::new(Int8Array::try_new(take(values).into(), nulls)?),
            Data::Int16(values) => Arc::new(Int16Array::try_new(take(values).into(), nulls)?),
            Data::Int32(values) => Arc::new(Int32Array::try_new(take(values).into(), nulls)?),
            Data::Int64(values) => Arc::new(Int64Array::try_new(take(values).into(), nulls)?),
            Data::Float32(values) => Arc::new(Float32Array::try_new(take(values).into(), nulls)?),
            Data::Float64(values) => Arc::new(Float64Array::try_new(take(values).into(), nulls)?),
            Data::Decimal { values, precision, scale } => {
                let array = Decimal128Array::try_new(take(values).into(), nulls)?;
                Arc::new(array.with_precision_and_scale(*precision, *scale)?)
            }
            Data::Date(values) => Arc::new(Date32Array::try_new(take(values).into(), nulls)?),
            Data::Timestamp(values, zone) => {
                let array = TimestampMicrosecondArray::try_new(take(values).into(), nulls)?;
                Arc::new(array.with_timezone(zone.clone()))
            }
            Data::TimestampNtz(values) => Arc::new(TimestampMicrosecondArray::try_new(take(values).into(), nulls)?),
            Data::Text(bytes) => {
                let (offsets, values) = bytes.finish()?;
                Arc::new(StringArray::try_new(offsets, values, nulls)?)
            }
            Data::Binary(bytes) => {
                let (offsets, values) = bytes.finish()?;
                Arc::new(BinaryArray::try_new(offsets, values, nulls)?)
            }
            Data::List(list) => {
                let child = list.child.finish()?;
                let offsets = finish_offsets(std::mem::replace(&mut list.offsets, vec![0]), child.len())?;
                Arc::new(ListArray::try_new(list.field.clone(), offsets, child, nulls)?)
            }
            Data::Map(map) => Arc::new(map.finish(nulls)?),
            Data::Struct(fields) => {
                let children = fields.nodes.iter_mut().map(Node::finish).collect::<Result<Vec<_>, _>>()?;
                Arc::new(StructArray::try_new_with_length(fields.fields.clone(), children, nulls, rows)?)
            }
        })
    }
}

impl ListNode {
    fn end(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0) as usize
    }
}

impl MapNode {
    fn new(field: &FieldRef) -> Result<Self, SparkError> {
        let Some((key, value)) = types::map_fields(field) else {
            return Err(SparkError::unsupported("a map type without a key and a value"));
        };
        if key.data_type() != &DataType::Utf8 {
            let message = "Input schema can only contain STRING as a key type for a MAP.";
            return Err(SparkError::analysis("DATATYPE_MISMATCH.INVALID_JSON_MAP_KEY_TYPE", "42K09", message)
                .with("schema", types::quoted_sql_name(&DataType::Map(field.clone(), false))));
        }
        Ok(MapNode {
            field: field.clone(),
            entries: [key.clone(), value.clone()].into_iter().collect(),
            offsets: vec![0],
            keys: Bytes::new(),
            values: Node::new(value.data_type())?,
        })
    }

    fn end(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0) as usize
    }

    pub fn truncate_entries(&mut self, entries: usize) {
        self.keys.truncate(entries);
        self.values.truncate(entries);
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<MapArray, ArrowError> {
        let (key_offsets, key_values) = self.keys.finish()?;
        let keys: ArrayRef = Arc::new(StringArray::try_new(key_offsets, key_values, None)?);
        let values = self.values.finish()?;
        let offsets = finish_offsets(std::mem::replace(&mut self.offsets, vec![0]), values.len())?;
        let entries = StructArray::try_new(self.entries.clone(), vec![keys, values], None)?;
        MapArray::try_new(self.field.clone(), offsets, entries, nulls, false)
    }
}

impl StructNode {
    /// A struct of these fields. Of fields with the same name the last one gets the values, as Spark's lookup by name.
    pub fn new(fields: Fields) -> Result<Self, SparkError> {
        let nodes = fields.iter().map(|field| Node::new(field.data_type())).collect::<Result<Vec<_>, _>>()?;
        let names = fields.iter().enumerate().map(|(index, field)| (field.name().as_bytes().into(), index)).collect();
        Ok(StructNode { seen: vec![0; nodes.len()], fields, nodes, stamp: 0, names, guesses: Vec::new() })
    }

    /// Starts a row.
    #[inline]
    pub fn begin(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    /// The field of this name; names match with their case.
    pub fn lookup(&self, name: &[u8]) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The field that `rest` leads to, if it goes on as the last document did at this place, and how many bytes do.
    #[inline]
    pub fn guess(&self, index: usize, rest: &[u8]) -> Option<(Option<usize>, usize)> {
        let guess = self.guesses.get(index)?;
        starts_with(rest, &guess.bytes).then_some((guess.target, guess.bytes.len()))
    }

    /// Remembers what stood before the value of the field at this place.
    pub fn learn(&mut self, index: usize, bytes: &[u8], target: Option<usize>) {
        if bytes.len() > GUESS_BYTES_MAX || index >= GUESSES_MAX {
            return;
        }
        if let Some(guess) = self.guesses.get_mut(index) {
            guess.bytes.clear();
            guess.bytes.extend_from_slice(bytes);
            guess.target = target;
        } else if index == self.guesses.len() {
            self.guesses.push(Guess { bytes: bytes.to_vec(), target });
        }
    }
}
