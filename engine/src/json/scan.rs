//! The scanner: reads one JSON document byte by byte as Spark's reader (Jackson) does, without knowing a schema.
//!
//! It validates what it passes over, because a document that is malformed anywhere before its end loses all its fields.
//! The document must be valid UTF-8. Everything rare (comments, single quotes, unquoted names) sits in cold functions.

use super::options::Syntax;

/// Jackson refuses documents that nest deeper.
const DEPTH_MAX: usize = 1000;
/// Jackson refuses numbers with more digits.
const NUMBER_DIGITS_MAX: usize = 1000;

/// Why a value could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The document is not JSON: every field of the row is lost.
    Syntax,
    /// The value is JSON, but not of the wanted type. It has been passed over; only what held it is lost.
    Value,
}

/// A number token, validated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    /// First byte of the digits, after the sign and after leading zeros that do not count.
    pub digits: usize,
    pub end: usize,
    pub negative: bool,
    /// No fraction and no exponent.
    pub integer: bool,
    /// The integer part without its sign; meaningless when `wide`.
    pub magnitude: u64,
    /// More digits than a u64 surely holds.
    pub wide: bool,
}

impl Number {
    /// The value as a signed 64-bit integer, unless it is a fraction or too large.
    #[inline]
    pub fn as_i64(&self) -> Option<i64> {
        if !self.integer || self.wide {
            return None;
        }
        if self.negative { 0i64.checked_sub_unsigned(self.magnitude) } else { i64::try_from(self.magnitude).ok() }
    }
}

/// A place in a document.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    pub bytes: &'a [u8],
    pub pos: usize,
    pub syntax: Syntax,
    /// Containers that typed decoding has open.
    pub depth: usize,
    /// Containers that [`Scanner::skip_value`] has open, kept to reuse the memory.
    open: Vec<u8>,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// A mark in the high bit of each byte of a word at which a string may stop: `"`, `\` and control characters. The
/// lowest mark is exact; those above it may be false.
#[inline]
fn string_stops(word: u64) -> u64 {
    let quote = word ^ (ONES * 0x22);
    let slash = word ^ (ONES * 0x5c);
    ((quote.wrapping_sub(ONES) & !quote)
        | (slash.wrapping_sub(ONES) & !slash)
        | (word.wrapping_sub(ONES * 0x20) & !word))
        & HIGHS
}

/// The first of `"`, `\` and control characters at or after `from`; the length when there is none.
#[inline]
pub(super) fn string_stop(bytes: &[u8], from: usize) -> usize {
    let mut i = from;
    while let Some(chunk) = bytes.get(i..).and_then(|rest| rest.first_chunk::<8>()) {
        let marks = string_stops(u64::from_le_bytes(*chunk));
        if marks != 0 {
            return i + (marks.trailing_zeros() / 8) as usize;
        }
        i += 8;
    }
    while let Some(&b) = bytes.get(i) {
        if b == b'"' || b == b'\\' || b < 0x20 {
            return i;
        }
        i += 1;
    }
    i
}

/// The number that eight digits make, if all are digits.
#[inline]
fn eight_digits(bytes: &[u8; 8]) -> Option<u64> {
    let digits = u64::from_le_bytes(*bytes) ^ (ONES * u64::from(b'0'));
    // A digit is below 10: no high nibble, and adding 6 makes none.
    if (digits | digits.wrapping_add(ONES * 6)) & 0xf0f0_f0f0_f0f0_f0f0 != 0 {
        return None;
    }
    // Neighbours join to pairs, pairs to fours, fours to eight.
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff)
}

impl<'a> Scanner<'a> {
    pub fn new(syntax: Syntax) -> Self {
        Scanner { bytes: &[], pos: 0, syntax, depth: 0, open: Vec::new() }
    }

    /// Goes on to another document.
    #[inline]
    pub fn start(&mut self, bytes: &'a [u8]) {
        self.bytes = bytes;
        self.pos = 0;
        self.depth = 0;
        self.open.clear();
    }

    /// The byte at the current place; the end of the document is a fault.
    #[inline]
    pub fn byte(&self) -> Result<u8, Fault> {
        self.bytes.get(self.pos).copied().ok_or(Fault::Syntax)
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    /// Consumes exactly this byte.
    #[inline]
    pub fn expect(&mut self, wanted: u8) -> Result<(), Fault> {
        if self.peek() == Some(wanted) {
            self.pos += 1;
            Ok(())
        } else {
            Err(Fault::Syntax)
        }
    }

    /// Passes over white space, and comments where they are allowed.
    #[inline]
    pub fn skip_space(&mut self) -> Result<(), Fault> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.pos += 1,
                Some(b'/') if self.syntax.comments => self.skip_comment()?,
                _ => return Ok(()),
            }
        }
    }

    #[cold]
    fn skip_comment(&mut self) -> Result<(), Fault> {
        let rest = self.bytes.get(self.pos + 1..).unwrap_or_default();
        match rest.first() {
            Some(b'/') => {
                let line = rest.iter().position(|&b| b == b'\n' || b == b'\r').unwrap_or(rest.len());
                self.pos += 1 + line;
                Ok(())
            }
            Some(b'*') => {
                let close = memchr::memmem::find(&rest[1..], b"*/").ok_or(Fault::Syntax)?;
                self.pos += 1 + 1 + close + 2;
                Ok(())
            }
            _ => Err(Fault::Syntax),
        }
    }

    /// Opens a container: counts its depth.
    #[inline]
    pub fn enter(&mut self) -> Result<(), Fault> {
        self.pos += 1;
        self.depth += 1;
        if self.depth + self.open.len() > DEPTH_MAX { Err(Fault::Syntax) } else { Ok(()) }
    }

    /// Consumes `true`, `false` or `null`.
    #[inline]
    pub fn literal(&mut self, word: &[u8]) -> Result<(), Fault> {
        if self.bytes.get(self.pos..).is_some_and(|rest| rest.starts_with(word)) {
            self.pos += word.len();
            Ok(())
        } else {
            Err(Fault::Syntax)
        }
    }

    /// Consumes a number that starts with a digit or a minus sign and a digit.
    #[inline]
    pub fn number(&mut self) -> Result<Number, Fault> {
        let start = self.pos;
        let negative = self.peek() == Some(b'-');
        let first = start + usize::from(negative);
        let mut magnitude = 0u64;
        let mut i = first;
        while let Some(word) = self.bytes.get(i..).and_then(|rest| rest.first_chunk::<8>()).and_then(eight_digits) {
            magnitude = magnitude.wrapping_mul(100_000_000).wrapping_add(word);
            i += 8;
        }
        while let Some(digit) = self.digit(i) {
            magnitude = magnitude.wrapping_mul(10).wrapping_add(u64::from(digit));
            i += 1;
        }
        let mut digits = first;
        if self.bytes.get(first) == Some(&b'0') && i - first > 1 {
            if !self.syntax.leading_zeros {
                return Err(Fault::Syntax);
            }
            while digits + 1 < i && self.bytes[digits] == b'0' {
                digits += 1;
            }
        }
        let count = i - digits;
        if count == 0 || count > NUMBER_DIGITS_MAX {
            return Err(Fault::Syntax);
        }
        let mut number = Number { digits, end: i, negative, integer: true, magnitude, wide: count > 19 };
        if matches!(self.bytes.get(i), Some(b'.' | b'e' | b'E')) {
            number.integer = false;
            number.end = self.fraction(i, count)?;
        }
        self.pos = number.end;
        Ok(number)
    }

    /// The end of the fraction and exponent that start at `at`.
    fn fraction(&self, at: usize, digits_before: usize) -> Result<usize, Fault> {
        let mut i = at;
        let mut digits = digits_before;
        if self.bytes.get(i) == Some(&b'.') {
            let from = i + 1;
            i = self.digits_end(from);
            if i == from {
                return Err(Fault::Syntax);
            }
            digits += i - from;
        }
        if matches!(self.bytes.get(i), Some(b'e' | b'E')) {
            i += 1;
            if matches!(self.bytes.get(i), Some(b'+' | b'-')) {
                i += 1;
            }
            let from = i;
            i = self.digits_end(from);
            if i == from {
                return Err(Fault::Syntax);
            }
            digits += i - from;
        }
        if digits > NUMBER_DIGITS_MAX { Err(Fault::Syntax) } else { Ok(i) }
    }

    #[inline]
    fn digit(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|&digit| digit < 10)
    }

    fn digits_end(&self, from: usize) -> usize {
        let mut i = from;
        while self.digit(i).is_some() {
            i += 1;
        }
        i
    }

    /// Consumes an unquoted `NaN`, `Infinity`, `+INF`, `-Infinity` and so on, where options allow them.
    #[cold]
    pub fn odd_number(&mut self) -> Result<f64, Fault> {
        const WORDS: [(&[u8], f64); 6] = [
            (b"NaN", f64::NAN),
            (b"Infinity", f64::INFINITY),
            (b"+INF", f64::INFINITY),
            (b"-INF", f64::NEG_INFINITY),
            (b"+Infinity", f64::INFINITY),
            (b"-Infinity", f64::NEG_INFINITY),
        ];
        if self.syntax.non_numeric {
            for (word, value) in WORDS {
                if self.literal(word).is_ok() {
                    return Ok(value);
                }
            }
        }
        Err(Fault::Syntax)
    }

    /// True at a minus sign that no digit follows: `-Infinity`, or an error.
    #[inline]
    pub fn at_odd_number(&self) -> bool {
        self.digit(self.pos + 1).is_none()
    }

    /// Passes over any value; the current place is its first byte.
    pub fn skip_value(&mut self) -> Result<(), Fault> {
        match self.byte()? {
            b'"' => self.skip_string(),
            b'{' | b'[' => self.skip_container(),
            _ => self.skip_scalar(),
        }
    }

    /// Passes over anything but an object or an array.
    pub fn skip_scalar(&mut self) -> Result<(), Fault> {
        match self.byte()? {
            b'"' => self.skip_string(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            b'0'..=b'9' => self.number().map(drop),
            b'-' if !self.at_odd_number() => self.number().map(drop),
            b'\'' => self.skip_string(),
            _ => self.odd_number().map(drop),
        }
    }

    fn skip_container(&mut self) -> Result<(), Fault> {
        let base = self.open.len();
        self.open_skipped()?;
        let mut first = true;
        while self.open.len() > base {
            self.skip_space()?;
            let object = self.open.last() == Some(&b'{');
            if self.byte()? == if object { b'}' } else { b']' } {
                self.pos += 1;
                self.open.pop();
                first = false;
                continue;
            }
            if !first {
                self.expect(b',')?;
                self.skip_space()?;
            }
            if object {
                self.skip_name()?;
            }
            first = matches!(self.byte()?, b'{' | b'[');
            if first {
                self.open_skipped()?;
            } else {
                self.skip_scalar()?;
            }
        }
        Ok(())
    }

    fn open_skipped(&mut self) -> Result<(), Fault> {
        let opener = self.byte()?;
        self.open.push(opener);
        self.pos += 1;
        if self.depth + self.open.len() > DEPTH_MAX { Err(Fault::Syntax) } else { Ok(()) }
    }

    /// Passes over a field name, its colon and the space around.
    fn skip_name(&mut self) -> Result<(), Fault> {
        match self.byte()? {
            b'"' => self.skip_string()?,
            _ => drop(self.odd_name()?),
        }
        self.colon()
    }

    /// Consumes the colon after a field name, and the space around it.
    #[inline]
    pub fn colon(&mut self) -> Result<(), Fault> {
        self.skip_space()?;
        self.expect(b':')?;
        self.skip_space()
    }

    /// Passes over a string in double quotes, or in single quotes where they are allowed.
    #[inline]
    pub fn skip_string(&mut self) -> Result<(), Fault> {
        if self.bytes[self.pos] == b'"' {
            let stop = string_stop(self.bytes, self.pos + 1);
            if self.bytes.get(stop) == Some(&b'"') {
                self.pos = stop + 1;
                return Ok(());
            }
        }
        self.skip_odd_string()
    }

    #[cold]
    fn skip_odd_string(&mut self) -> Result<(), Fault> {
        self.string_pieces(|_| ()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_digits_are_read_at_once() {
        for text in ["00000000", "12345678", "99999999", "10000001"] {
            let bytes = text.as_bytes().first_chunk().expect("eight");
            assert_eq!(eight_digits(bytes), text.parse().ok());
        }
        for b in (0..=255u8).filter(|b| !b.is_ascii_digit()) {
            for at in 0..8 {
                let mut bytes = *b"12345678";
                bytes[at] = b;
                assert_eq!(eight_digits(&bytes), None, "{b} at {at}");
            }
        }
    }

    #[test]
    fn strings_stop_where_they_should() {
        for length in 0..40 {
            for stop in [b'"', b'\\', 0x1f, 0] {
                let text = [vec![b'a'; length], vec![stop], vec![0xff; 9]].concat();
                assert_eq!(string_stop(&text, 0), length);
            }
            assert_eq!(string_stop(&vec![0xff; length], 0), length);
        }
    }
}
