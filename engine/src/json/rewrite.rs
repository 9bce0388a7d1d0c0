//! JSON written again: what a STRING field holds when the document has something else there.
//!
//! As Spark (Jackson's generator): no white space, integers as they are, fractions as doubles, strings with the least
//! escapes, except that characters beyond the basic plane are written as two `\uXXXX`.

use super::scan::{Fault, Scanner};
use super::text::{write_double, write_escaped_byte, write_unit};
use super::unescape::Piece;

impl Scanner<'_> {
    /// Consumes any value and writes it again.
    pub fn rewrite_value(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if !matches!(self.byte()?, b'{' | b'[') {
            return self.rewrite_scalar(out);
        }
        let mut closers: Vec<u8> = Vec::new();
        let mut first = self.rewrite_open(&mut closers, out)?;
        while let Some(&closer) = closers.last() {
            self.skip_space()?;
            if self.byte()? == closer {
                self.pos += 1;
                self.depth -= 1;
                out.push(closer);
                closers.pop();
                first = false;
                continue;
            }
            if !first {
                self.expect(b',')?;
                out.push(b',');
                self.skip_space()?;
            }
            if closer == b'}' {
                self.rewrite_name(out)?;
            }
            if matches!(self.byte()?, b'{' | b'[') {
                first = self.rewrite_open(&mut closers, out)?;
            } else {
                self.rewrite_scalar(out)?;
                first = false;
            }
        }
        Ok(())
    }

    /// Opens a container; true because its first member comes next.
    fn rewrite_open(&mut self, closers: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<bool, Fault> {
        let opener = self.byte()?;
        self.enter()?;
        out.push(opener);
        closers.push(if opener == b'{' { b'}' } else { b']' });
        Ok(true)
    }

    fn rewrite_name(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if matches!(self.byte()?, b'"' | b'\'') {
            self.rewrite_string(out)?;
        } else {
            let name = self.odd_name()?;
            out.push(b'"');
            rewrite_plain(&name, out);
            out.push(b'"');
        }
        self.colon()?;
        out.push(b':');
        Ok(())
    }

    fn rewrite_string(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        out.push(b'"');
        self.string_pieces(|piece| match piece {
            Piece::Plain(bytes) => rewrite_plain(bytes, out),
            Piece::Unit(unit @ 0xd800..=0xdfff) => write_unit(unit, out),
            Piece::Unit(unit) => match u8::try_from(unit) {
                Ok(b) if b < 0x80 => write_escaped_byte(b, out),
                _ => {
                    let mut buffer = [0u8; 4];
                    let c = char::from_u32(u32::from(unit)).unwrap_or('?');
                    out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
                }
            },
        })?;
        out.push(b'"');
        Ok(())
    }

    fn rewrite_scalar(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let start = self.pos;
        match self.byte()? {
            b'"' | b'\'' => self.rewrite_string(out),
            b't' | b'f' | b'n' => {
                self.skip_scalar()?;
                out.extend_from_slice(&self.bytes[start..self.pos]);
                Ok(())
            }
            b'0'..=b'9' => self.rewrite_number(out),
            b'-' if !self.at_odd_number() => self.rewrite_number(out),
            _ => {
                let value = self.odd_number()?;
                rewrite_double(value, out);
                Ok(())
            }
        }
    }

    fn rewrite_number(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let start = self.pos;
        let number = self.number()?;
        if number.integer {
            // Java has no integer -0.
            if number.negative && (number.wide || number.magnitude != 0) {
                out.push(b'-');
            }
            out.extend_from_slice(&self.bytes[number.digits..number.end]);
            return Ok(());
        }
        let text = std::str::from_utf8(&self.bytes[start..number.end]).map_err(|_| Fault::Syntax)?;
        rewrite_double(text.parse().map_err(|_| Fault::Syntax)?, out);
        Ok(())
    }
}

/// Jackson puts what is no number into quotes.
fn rewrite_double(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        write_double(value, out);
    } else {
        out.push(b'"');
        write_double(value, out);
        out.push(b'"');
    }
}

/// Valid UTF-8 into a JSON string; long characters as pairs of units.
fn rewrite_plain(bytes: &[u8], out: &mut Vec<u8>) {
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        if b >= 0xf0
            && let Some(c) =
                bytes.get(i..i + 4).and_then(|c| std::str::from_utf8(c).ok()).and_then(|c| c.chars().next())
        {
            let mut units = [0u16; 2];
            for unit in c.encode_utf16(&mut units) {
                write_unit(*unit, out);
            }
            i += 4;
        } else {
            write_escaped_byte(b, out);
            i += 1;
        }
    }
}
