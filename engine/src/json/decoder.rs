//! The decoder: a column of JSON documents in, a column of Spark's `from_json` results out.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BinaryArray, StringArray, StructArray};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::{DataType, Fields};
use datafusion::arrow::error::ArrowError;

use super::display::row_text;
use super::node::{Bytes, Data, Node, StructNode, offset};
use super::options::{JsonOptions, ParseMode};
use super::reader::Reader;
use super::scan::{Fault, Scanner};
use super::times::TextTimes;
use crate::error::{ExceptionKind, SparkError};
use crate::types;

/// Why a batch could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A malformed document in the mode FAILFAST.
    #[error("{0}")]
    Malformed(SparkError),
    /// The input is no column of text, or the output does not fit one batch.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// Decodes batches of documents by one schema. It learns the order of the fields, so keep it for the next batch.
#[derive(Debug)]
pub struct JsonDecoder {
    root: Node,
    output: Output,
    options: JsonOptions,
    times: Arc<dyn TextTimes>,
    text: Vec<u8>,
}

/// What becomes of the decoded column.
#[derive(Debug)]
enum Output {
    /// An array or a map, as it is.
    Whole(DataType),
    /// Fields of a struct.
    Fields { fields: Fields, sources: Vec<Source>, corrupt: Option<Corrupt> },
}

/// Where a field of the output comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Decoded(usize),
    Corrupt,
}

/// The column of malformed documents.
#[derive(Debug)]
struct Corrupt(Node);

impl JsonDecoder {
    /// A decoder for a schema: a struct, an array or a map. All that it gives is nullable, whatever the schema says.
    ///
    /// With a projection, only those fields of a struct are given, in that order, and no others are decoded (unless the
    /// mode or the column of corrupt records needs to know whether they can be).
    ///
    /// Refuses types that JSON cannot give, map keys that are no strings, a corrupt-record field that is no string.
    pub fn try_new(
        schema: &DataType,
        options: &JsonOptions,
        projection: Option<&[usize]>,
        times: Arc<dyn TextTimes>,
    ) -> Result<Self, SparkError> {
        let schema = types::as_nullable(schema);
        let (root, output) = match &schema {
            DataType::Struct(fields) => plan_struct(fields, options, projection)?,
            DataType::List(_) | DataType::Map(..) => (Node::new(&schema)?, Output::Whole(schema)),
            other => return Err(invalid_schema(other)),
        };
        Ok(JsonDecoder { root, output, options: options.clone(), times, text: Vec::new() })
    }

    /// The type of the columns it gives.
    pub fn output_type(&self) -> DataType {
        match &self.output {
            Output::Whole(data_type) => data_type.clone(),
            Output::Fields { fields, .. } => DataType::Struct(fields.clone()),
        }
    }

    /// Decodes a `Utf8` or `Binary` column: one row of output per row of input.
    ///
    /// As Spark: a malformed document gives a struct of nulls (or, by mode, an error); null and blank text give null.
    pub fn decode(&mut self, input: &dyn Array) -> Result<ArrayRef, DecodeError> {
        let documents = Documents::new(input)?;
        if !documents.all_utf8() {
            return self.decode(&documents.repaired());
        }
        self.decode_rows(&documents, 0..documents.len())
    }

    /// Decodes only the rows whose bit is set; the output has just these rows.
    pub fn decode_selected(&mut self, input: &dyn Array, selection: &BooleanBuffer) -> Result<ArrayRef, DecodeError> {
        let documents = Documents::new(input)?;
        if selection.len() != documents.len() {
            let message = format!("a selection of {} rows for {}", selection.len(), documents.len());
            return Err(ArrowError::InvalidArgumentError(message).into());
        }
        if selection.set_indices().any(|row| simdutf8::basic::from_utf8(documents.bytes(row)).is_err()) {
            return self.decode_selected(&documents.repaired(), selection);
        }
        self.decode_rows(&documents, selection.set_indices())
    }

    fn decode_rows(
        &mut self,
        documents: &Documents<'_>,
        rows: impl Iterator<Item = usize>,
    ) -> Result<ArrayRef, DecodeError> {
        self.reset();
        self.root.reserve(rows.size_hint().0);
        let mut reader = Reader {
            scan: Scanner::new(self.options.syntax),
            times: self.times.as_ref(),
            bad: false,
            text: std::mem::take(&mut self.text),
        };
        let corrupt = match &mut self.output {
            Output::Fields { corrupt, .. } => corrupt.as_mut(),
            Output::Whole(_) => None,
        };
        let decoded = decode_all(&mut reader, &mut self.root, corrupt, self.options.mode, documents, rows);
        self.text = std::mem::take(&mut reader.text);
        decoded?;
        self.finish()
    }

    /// Drops what a failed batch may have left.
    fn reset(&mut self) {
        self.root.truncate(0);
        if let Output::Fields { corrupt: Some(corrupt), .. } = &mut self.output {
            corrupt.0.truncate(0);
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, DecodeError> {
        let decoded = self.root.finish()?;
        let Output::Fields { fields, sources, corrupt } = &mut self.output else {
            return Ok(decoded);
        };
        let corrupt = corrupt.as_mut().map(|corrupt| corrupt.0.finish()).transpose()?;
        let decoded = decoded
            .as_any()
            .downcast_ref::<StructArray>()
            .ok_or_else(|| ArrowError::ComputeError("a struct schema made no struct".to_owned()))?;
        let mut columns = Vec::with_capacity(sources.len());
        for source in sources.iter() {
            match (source, &corrupt) {
                (Source::Decoded(index), _) => columns.push(decoded.column(*index).clone()),
                (Source::Corrupt, Some(corrupt)) => columns.push(corrupt.clone()),
                (Source::Corrupt, None) => unreachable!("a projected corrupt column is always built"),
            }
        }
        let nulls = decoded.nulls().cloned();
        Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, decoded.len())?))
    }
}

/// Decides which fields of a struct are decoded and where each field of the output comes from.
fn plan_struct(
    fields: &Fields,
    options: &JsonOptions,
    projection: Option<&[usize]>,
) -> Result<(Node, Output), SparkError> {
    let corrupt = fields.iter().position(|field| *field.name() == options.corrupt_column);
    if let Some(corrupt) = corrupt.filter(|&corrupt| *fields[corrupt].data_type() != DataType::Utf8) {
        let message = format!(
            "The column `{}` for corrupt records must have the nullable STRING type, but got {}.",
            options.corrupt_column,
            types::quoted_sql_name(fields[corrupt].data_type())
        );
        return Err(SparkError::analysis("INVALID_CORRUPT_RECORD_TYPE", "42804", message));
    }
    let every: Vec<usize> = (0..fields.len()).collect();
    let projected = projection.unwrap_or(&every);
    if projected.iter().any(|&index| index >= fields.len()) {
        return Err(SparkError::analysis("INTERNAL_ERROR", "XX000", "a projected JSON field is not in the schema"));
    }
    let all_needed = options.mode == ParseMode::FailFast || corrupt.is_some_and(|index| projected.contains(&index));
    let mut decoded: Vec<usize> = if all_needed { every.clone() } else { projected.to_vec() };
    decoded.sort_unstable();
    decoded.dedup();
    decoded.retain(|&index| Some(index) != corrupt);
    let sources = projected
        .iter()
        .map(|index| decoded.binary_search(index).map_or(Source::Corrupt, Source::Decoded))
        .collect::<Vec<_>>();
    let node = StructNode::new(decoded.iter().map(|&index| fields[index].clone()).collect())?;
    let corrupt = match sources.iter().any(|source| matches!(source, Source::Corrupt)) {
        true => Some(Corrupt(Node::new(&DataType::Utf8)?)),
        false => None,
    };
    // Types that are not decoded must be valid all the same.
    Node::new(&DataType::Struct(fields.clone()))?;
    let output = projected.iter().map(|&index| fields[index].clone()).collect();
    let root = Node { data: Data::Struct(Box::new(node)), ..Node::new(&DataType::Null)? };
    Ok((root, Output::Fields { fields: output, sources, corrupt }))
}

fn decode_all<'a>(
    reader: &mut Reader<'a>,
    root: &mut Node,
    mut corrupt: Option<&mut Corrupt>,
    mode: ParseMode,
    documents: &Documents<'a>,
    rows: impl Iterator<Item = usize>,
) -> Result<(), DecodeError> {
    for row in rows {
        if documents.is_null(row) {
            root.append_null();
            if let Some(corrupt) = &mut corrupt {
                corrupt.0.append_null();
            }
            continue;
        }
        reader.bad = false;
        reader.scan.start(documents.bytes(row));
        read_document(reader, root);
        if reader.bad && mode == ParseMode::FailFast {
            return Err(DecodeError::Malformed(malformed(root)));
        }
        if let Some(corrupt) = &mut corrupt {
            corrupt.take(reader.bad.then_some(reader.scan.bytes));
        }
    }
    Ok(())
}

impl Corrupt {
    fn take(&mut self, document: Option<&[u8]>) {
        match (document, &mut self.0.data) {
            (Some(document), Data::Text(bytes)) => {
                bytes.values.extend_from_slice(document);
                bytes.seal();
                self.0.nulls.append_non_null();
            }
            _ => self.0.append_null(),
        }
    }
}

/// Appends one row for one document that is not null.
fn read_document(reader: &mut Reader<'_>, root: &mut Node) {
    let row = root.len();
    let read = reader.scan.skip_space().and_then(|()| match (reader.scan.peek(), &mut root.data) {
        (None, _) => Ok(false),
        (Some(b'{'), Data::Struct(fields)) => reader.object(fields, row).map(|()| true),
        (Some(b'['), Data::List(list)) => reader.array(list).map(|()| true),
        // As Spark: an object where an array of structs is wanted is its only element.
        (Some(b'{'), Data::List(list)) if matches!(list.child.data, Data::Struct(_)) => {
            reader.value(&mut list.child)?;
            list.offsets.push(offset(list.child.len()));
            Ok(true)
        }
        (Some(b'{'), Data::Map(map)) => reader.map(map).map(|()| true),
        // Anything else, `null` and an array of structs among it, is malformed.
        (Some(_), _) => Err(Fault::Value),
    });
    match read {
        Ok(true) => root.nulls.append_non_null(),
        Ok(false) => root.append_null(),
        Err(_) => {
            reader.bad = true;
            root.truncate(row);
            match &mut root.data {
                Data::Struct(fields) => {
                    fields.nodes.iter_mut().for_each(Node::append_null);
                    root.nulls.append_non_null();
                }
                _ => root.append_null(),
            }
        }
    }
}

fn malformed(root: &Node) -> SparkError {
    let record = row_text(root);
    let message = format!(
        "Malformed records are detected in record parsing: {record}. Parse Mode: FAILFAST. To process malformed \
         records as null result, try setting the option 'mode' as 'PERMISSIVE'."
    );
    let class = "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION";
    SparkError::new(ExceptionKind::Runtime, class, "22023", message)
        .with("badRecord", record)
        .with("failFastMode", "FAILFAST")
}

fn invalid_schema(data_type: &DataType) -> SparkError {
    let name = types::quoted_sql_name(data_type);
    let message = format!(
        "The input schema {name} is not a valid schema string. Input schema must be a struct, an array or a map."
    );
    SparkError::analysis("DATATYPE_MISMATCH.INVALID_JSON_SCHEMA", "42K09", message).with("schema", name)
}

/// The input column.
struct Documents<'a> {
    values: &'a [u8],
    offsets: &'a [i32],
    array: &'a dyn Array,
    text: bool,
}

impl<'a> Documents<'a> {
    fn new(array: &'a dyn Array) -> Result<Self, ArrowError> {
        if let Some(column) = array.as_any().downcast_ref::<StringArray>() {
            return Ok(Documents { values: column.value_data(), offsets: column.value_offsets(), array, text: true });
        }
        if let Some(column) = array.as_any().downcast_ref::<BinaryArray>() {
            return Ok(Documents { values: column.value_data(), offsets: column.value_offsets(), array, text: false });
        }
        Err(ArrowError::InvalidArgumentError(format!("JSON cannot be read from a column of {}", array.data_type())))
    }

    fn len(&self) -> usize {
        self.array.len()
    }

    fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row)
    }

    fn bytes(&self, row: usize) -> &'a [u8] {
        &self.values[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }

    /// Whether every document is valid UTF-8: all of them at once, and none starts inside a character.
    fn all_utf8(&self) -> bool {
        if self.text {
            return true;
        }
        let (start, end) = (self.offsets[0] as usize, self.offsets[self.offsets.len() - 1] as usize);
        let inside = |&at: &i32| self.values.get(at as usize).is_some_and(|b| b & 0xc0 == 0x80);
        simdutf8::basic::from_utf8(&self.values[start..end]).is_ok()
            && !self.offsets[..self.offsets.len() - 1].iter().any(inside)
    }

    /// The documents with what is no UTF-8 replaced, as Java's reader does.
    fn repaired(&self) -> StringArray {
        (0..self.len()).map(|row| (!self.is_null(row)).then(|| String::from_utf8_lossy(self.bytes(row)))).collect()
    }
}

impl Bytes {
    /// The text of the last value.
    pub fn last_value(&self) -> &[u8] {
        match self.offsets[..] {
            [.., start, end] => &self.values[start as usize..end as usize],
            _ => &[],
        }
    }
}
