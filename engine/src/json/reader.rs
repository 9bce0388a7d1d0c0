//! Typed reading: puts the values of one document into the columns of a schema, with the meaning of Spark's
//! `JacksonParser`.
//!
//! A value of the wrong type is passed over and loses only the field that holds it; inside an array or a map value it
//! loses the array or the map. What is no JSON loses the row. Both show as a [`Fault`]; the caller cuts the columns
//! back.

use super::node::{Bytes, Data, ListNode, MapNode, Node, StructNode, offset};
use super::scan::{Fault, Number, Scanner, string_stop};
use super::text::{parse_base64, parse_decimal};
use super::times::{TextTimes, seconds_to_micros};
use super::unescape::Unescape;

/// Reads documents into columns.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub scan: Scanner<'a>,
    pub times: &'a dyn TextTimes,
    /// Some field of the row could not be read: the row is malformed, though other fields may have values.
    pub bad: bool,
    /// Text of the value being read.
    pub text: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// Appends the value at the current place to `node`.
    ///
    /// On a fault the caller cuts `node` back; after [`Fault::Value`] the value has been passed over.
    pub fn value(&mut self, node: &mut Node) -> Result<(), Fault> {
        let first = self.scan.byte()?;
        match &mut node.data {
            Data::Text(bytes) if first == b'"' => {
                self.plain_text(bytes)?;
                bytes.seal();
            }
            _ if first == b'n' => {
                self.scan.literal(b"null")?;
                node.append_null();
                return Ok(());
            }
            Data::Int8(values) => values.push(self.byte_value(first)?),
            Data::Int16(values) => values.push(self.narrow(first)?),
            Data::Int32(values) => values.push(self.narrow(first)?),
            Data::Int64(values) => values.push(self.integer(first)?),
            Data::Timestamp(values, _) => values.push(self.timestamp(first)?),
            Data::Float64(values) => values.push(self.float(first, |text| text.parse().ok())?),
            Data::Float32(values) => {
                values.push(self.float(first, |text| text.parse::<f32>().ok().map(f64::from))? as f32)
            }
            Data::Boolean(values) => match first {
                b't' => {
                    self.scan.literal(b"true")?;
                    values.append(true);
                }
                b'f' => {
                    self.scan.literal(b"false")?;
                    values.append(false);
                }
                _ => return self.mismatch(),
            },
            Data::Struct(fields) if first == b'{' => self.object(fields, node.nulls.len())?,
            Data::List(list) if first == b'[' => self.array(list)?,
            Data::Map(map) if first == b'{' => self.map(map)?,
            Data::Text(bytes) => {
                self.any_text(first, bytes)?;
                bytes.seal();
            }
            Data::Decimal { values, precision, scale } => values.push(self.decimal(first, *precision, *scale)?),
            Data::Date(values) => {
                let times = self.times;
                values.push(self.text_as(first, |text| times.date(text))?);
            }
            Data::TimestampNtz(values) => {
                let times = self.times;
                values.push(self.text_as(first, |text| times.timestamp_ntz(text))?);
            }
            Data::Binary(bytes) => self.binary(first, bytes)?,
            Data::Null => {
                self.scan.skip_value()?;
                node.append_null();
                return Ok(());
            }
            Data::Struct(_) | Data::List(_) | Data::Map(_) => return self.mismatch(),
        }
        node.nulls.append_non_null();
        Ok(())
    }

    /// Passes over a value that is not of the wanted type.
    fn mismatch<T>(&mut self) -> Result<T, Fault> {
        self.scan.skip_value()?;
        Err(Fault::Value)
    }

    /// Reads an object into the fields of a struct; `row` is the index of the row being made.
    pub fn object(&mut self, node: &mut StructNode, row: usize) -> Result<(), Fault> {
        self.scan.enter()?;
        let stamp = node.begin();
        let mut index = 0;
        loop {
            let rest = self.scan.bytes.get(self.scan.pos..).unwrap_or_default();
            let target = match node.guess(index, rest) {
                Some((target, length)) => {
                    self.scan.pos += length;
                    if matches!(self.scan.peek(), Some(b' ' | b'\t' | b'\r' | b'\n' | b'/')) {
                        self.scan.skip_space()?;
                    }
                    target
                }
                None => match self.next_field(node, index)? {
                    Some(target) => target,
                    None => break,
                },
            };
            index += 1;
            match target {
                None => self.scan.skip_value()?,
                Some(field) if node.seen[field] == stamp => self.repeated(&mut node.nodes[field], row)?,
                Some(field) => match self.value(&mut node.nodes[field]) {
                    Ok(()) => node.seen[field] = stamp,
                    Err(Fault::Value) => {
                        self.bad = true;
                        node.nodes[field].truncate(row);
                    }
                    Err(Fault::Syntax) => return Err(Fault::Syntax),
                },
            }
        }
        self.scan.depth -= 1;
        for (field, child) in node.nodes.iter_mut().enumerate() {
            if node.seen[field] != stamp {
                child.append_null();
            }
        }
        Ok(())
    }

    /// Reads up to the next field's value: `None` at the end of the object, else the field that the name means.
    fn next_field(&mut self, node: &mut StructNode, index: usize) -> Result<Option<Option<usize>>, Fault> {
        let start = self.scan.pos;
        self.scan.skip_space()?;
        if self.scan.byte()? == b'}' {
            self.scan.pos += 1;
            return Ok(None);
        }
        if index > 0 {
            self.scan.expect(b',')?;
            self.scan.skip_space()?;
        }
        let bytes = self.scan.bytes;
        let name_start = self.scan.pos + 1;
        // Not before it is known to be in double quotes: what ends such a name may be far away.
        let stop = if self.scan.byte()? == b'"' { string_stop(bytes, name_start) } else { bytes.len() };
        let plain = bytes.get(stop) == Some(&b'"');
        let target = if plain {
            self.scan.pos = stop + 1;
            node.lookup(&bytes[name_start..stop])
        } else {
            node.lookup(&self.scan.odd_name()?)
        };
        self.scan.colon()?;
        if plain {
            node.learn(index, &bytes[start..self.scan.pos], target);
        }
        Ok(Some(target))
    }

    /// A field that the row already has: the new value replaces the old one if it can be read.
    #[cold]
    fn repeated(&mut self, node: &mut Node, row: usize) -> Result<(), Fault> {
        let place = self.scan.pos;
        match self.value(node) {
            Ok(()) => {
                // It can be: drop both and read it again into its place.
                node.truncate(row);
                self.scan.pos = place;
                self.value(node)
            }
            Err(Fault::Value) => {
                self.bad = true;
                node.truncate(row + 1);
                Ok(())
            }
            Err(Fault::Syntax) => Err(Fault::Syntax),
        }
    }

    /// Reads an array; one bad element loses it, after all of it has been passed over.
    pub fn array(&mut self, list: &mut ListNode) -> Result<(), Fault> {
        self.scan.enter()?;
        self.scan.skip_space()?;
        let mut fault = None;
        if self.scan.byte()? == b']' {
            self.scan.pos += 1;
        } else {
            loop {
                if fault.is_some() {
                    self.scan.skip_value()?;
                } else if let Err(found) = self.value(&mut list.child) {
                    if found == Fault::Syntax {
                        return Err(found);
                    }
                    fault = Some(found);
                }
                self.scan.skip_space()?;
                match self.scan.byte()? {
                    b',' => self.scan.pos += 1,
                    b']' => break self.scan.pos += 1,
                    _ => return Err(Fault::Syntax),
                }
                self.scan.skip_space()?;
            }
        }
        self.scan.depth -= 1;
        list.offsets.push(offset(list.child.len()));
        fault.map_or(Ok(()), Err)
    }

    /// Reads an object into a map; repeated keys stay, one bad value loses the map after all of it has been read.
    pub fn map(&mut self, map: &mut MapNode) -> Result<(), Fault> {
        self.scan.enter()?;
        self.scan.skip_space()?;
        let mut fault = None;
        if self.scan.byte()? == b'}' {
            self.scan.pos += 1;
        } else {
            loop {
                let entries = map.values.len();
                if self.scan.byte()? == b'"' {
                    self.plain_text(&mut map.keys)?;
                } else {
                    map.keys.values.extend_from_slice(&self.scan.odd_name()?);
                }
                map.keys.seal();
                self.scan.colon()?;
                if let Err(found) = self.value(&mut map.values) {
                    if found == Fault::Syntax {
                        return Err(found);
                    }
                    fault = Some(found);
                    map.truncate_entries(entries);
                }
                self.scan.skip_space()?;
                match self.scan.byte()? {
                    b',' => self.scan.pos += 1,
                    b'}' => break self.scan.pos += 1,
                    _ => return Err(Fault::Syntax),
                }
                self.scan.skip_space()?;
            }
        }
        self.scan.depth -= 1;
        map.offsets.push(offset(map.values.len()));
        fault.map_or(Ok(()), Err)
    }

    /// Appends the text of a string in double quotes, without sealing it.
    #[inline]
    fn plain_text(&mut self, out: &mut Bytes) -> Result<(), Fault> {
        let start = self.scan.pos + 1;
        let stop = string_stop(self.scan.bytes, start);
        if self.scan.bytes.get(stop) == Some(&b'"') {
            out.values.extend_from_slice(&self.scan.bytes[start..stop]);
            self.scan.pos = stop + 1;
            return Ok(());
        }
        self.escaped_text(&mut out.values)
    }

    #[cold]
    fn escaped_text(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut text = Unescape::new(out);
        self.scan.string_pieces(|piece| text.take(piece))?;
        text.finish();
        Ok(())
    }

    /// Appends whatever value there is as text: strings in single quotes as they are, all else written again.
    #[cold]
    fn any_text(&mut self, first: u8, out: &mut Bytes) -> Result<(), Fault> {
        if first == b'\'' { self.escaped_text(&mut out.values) } else { self.scan.rewrite_value(&mut out.values) }
    }

    /// The number at the current place, if there is one.
    #[inline]
    fn number(&mut self, first: u8) -> Result<Number, Fault> {
        match first {
            b'0'..=b'9' => self.scan.number(),
            b'-' if !self.scan.at_odd_number() => self.scan.number(),
            _ => self.mismatch(),
        }
    }

    #[inline]
    fn integer(&mut self, first: u8) -> Result<i64, Fault> {
        self.number(first)?.as_i64().ok_or(Fault::Value)
    }

    fn narrow<T: TryFrom<i64>>(&mut self, first: u8) -> Result<T, Fault> {
        T::try_from(self.integer(first)?).map_err(|_| Fault::Value)
    }

    /// A tinyint. As Spark: 128 to 255 wrap round.
    fn byte_value(&mut self, first: u8) -> Result<i8, Fault> {
        match self.integer(first)? {
            value @ -128..=255 => Ok(value as i8),
            _ => Err(Fault::Value),
        }
    }

    /// A number, or one of the words for what is none, in quotes or not.
    fn float(&mut self, first: u8, parse: impl Fn(&str) -> Option<f64>) -> Result<f64, Fault> {
        match first {
            b'"' | b'\'' => {
                let words = self.scan.syntax.non_numeric;
                self.text_as(first, |text| match text {
                    "NaN" if words => Some(f64::NAN),
                    "+INF" | "+Infinity" | "Infinity" if words => Some(f64::INFINITY),
                    "-INF" | "-Infinity" if words => Some(f64::NEG_INFINITY),
                    _ => None,
                })
            }
            b'N' | b'I' | b'+' => self.scan.odd_number(),
            b'-' if self.scan.at_odd_number() => self.scan.odd_number(),
            _ => {
                let start = self.scan.pos;
                let number = self.number(first)?;
                let text = std::str::from_utf8(&self.scan.bytes[start..number.end]).map_err(|_| Fault::Syntax)?;
                let value = parse(text).ok_or(Fault::Value)?;
                // An integer has no negative zero.
                Ok(if number.integer && value == 0.0 { 0.0 } else { value })
            }
        }
    }

    /// A decimal from a number, or from text in which commas do not count.
    fn decimal(&mut self, first: u8, precision: u8, scale: i8) -> Result<i128, Fault> {
        if matches!(first, b'"' | b'\'') {
            return self.text_as(first, |text| {
                let digits: String = text.chars().filter(|&c| c != ',').collect();
                parse_decimal(digits.as_bytes(), precision, scale)
            });
        }
        if matches!(first, b'N' | b'I' | b'+') || first == b'-' && self.scan.at_odd_number() {
            self.scan.odd_number()?;
            return Err(Fault::Value);
        }
        let start = self.scan.pos;
        let number = self.number(first)?;
        parse_decimal(&self.scan.bytes[start..number.end], precision, scale).ok_or(Fault::Value)
    }

    /// A timestamp: integers are seconds since the epoch (and wrap round, as in Spark), text is read as text.
    fn timestamp(&mut self, first: u8) -> Result<i64, Fault> {
        if matches!(first, b'"' | b'\'') {
            let times = self.times;
            return self.text_as(first, |text| times.timestamp(text));
        }
        self.integer(first).map(seconds_to_micros)
    }

    /// Reads a string that is not empty and converts it.
    fn text_as<T>(&mut self, first: u8, convert: impl FnOnce(&str) -> Option<T>) -> Result<T, Fault> {
        if !matches!(first, b'"' | b'\'') {
            return self.mismatch();
        }
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let read = self.escaped_text(&mut text);
        let value = read.and_then(|()| {
            let text = std::str::from_utf8(&text).map_err(|_| Fault::Syntax)?;
            if text.is_empty() { None } else { convert(text) }.ok_or(Fault::Value)
        });
        self.text = text;
        value
    }

    fn binary(&mut self, first: u8, out: &mut Bytes) -> Result<(), Fault> {
        if !matches!(first, b'"' | b'\'') {
            return self.mismatch();
        }
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let read = self.escaped_text(&mut text);
        let value = read.and_then(|()| parse_base64(&text, &mut out.values).ok_or(Fault::Value));
        self.text = text;
        value?;
        out.seal();
        Ok(())
    }
}
