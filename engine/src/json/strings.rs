//! The slow ways through a JSON string: escapes, single quotes, names without quotes.

use super::scan::{Fault, Scanner};
use super::unescape::{Piece, Unescape};

impl<'a> Scanner<'a> {
    /// Reads a string with escapes or single quotes piece by piece.
    pub fn string_pieces(&mut self, mut take: impl FnMut(Piece<'a>)) -> Result<(), Fault> {
        let quote = self.byte()?;
        if quote != b'"' && !(quote == b'\'' && self.syntax.single_quotes) {
            return Err(Fault::Syntax);
        }
        let bytes = self.bytes;
        let mut i = self.pos + 1;
        let mut plain = i;
        loop {
            let b = *bytes.get(i).ok_or(Fault::Syntax)?;
            if b == quote {
                take(Piece::Plain(&bytes[plain..i]));
                self.pos = i + 1;
                return Ok(());
            }
            if b == b'\\' {
                take(Piece::Plain(&bytes[plain..i]));
                let (piece, next) = self.escape(i + 1)?;
                take(piece);
                i = next;
                plain = i;
            } else if b < 0x20 && !self.syntax.control_chars {
                return Err(Fault::Syntax);
            } else {
                i += 1;
            }
        }
    }

    /// The escape whose character after the backslash is at `at`, and the place after it.
    fn escape(&self, at: usize) -> Result<(Piece<'a>, usize), Fault> {
        let b = *self.bytes.get(at).ok_or(Fault::Syntax)?;
        let plain = match b {
            b'"' | b'\\' | b'/' => b,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let hex = self.bytes.get(at + 1..at + 5).ok_or(Fault::Syntax)?;
                let mut unit = 0u16;
                for &digit in hex {
                    let value = (digit as char).to_digit(16).ok_or(Fault::Syntax)?;
                    unit = (unit << 4) | value as u16;
                }
                return Ok((Piece::Unit(unit), at + 5));
            }
            b'\'' if self.syntax.single_quotes => b,
            _ if self.syntax.backslash_any => {
                let mut end = at + 1;
                while self.bytes.get(end).is_some_and(|b| b & 0xc0 == 0x80) {
                    end += 1;
                }
                return Ok((Piece::Plain(&self.bytes[at..end]), end));
            }
            _ => return Err(Fault::Syntax),
        };
        Ok((Piece::Unit(u16::from(plain)), at + 1))
    }

    /// Consumes a field name that is not a plain string in double quotes and gives its text: with escapes, in single
    /// quotes, or without quotes, as options allow.
    #[cold]
    pub fn odd_name(&mut self) -> Result<Vec<u8>, Fault> {
        let mut name = Vec::new();
        if matches!(self.byte()?, b'"' | b'\'') {
            let mut text = Unescape::new(&mut name);
            self.string_pieces(|piece| text.take(piece))?;
            text.finish();
            return Ok(name);
        }
        if !self.syntax.unquoted_names {
            return Err(Fault::Syntax);
        }
        let rest = std::str::from_utf8(&self.bytes[self.pos..]).map_err(|_| Fault::Syntax)?;
        // Jackson: what Java takes in an identifier, and `@ # * - +` besides.
        let length = rest.find(|c: char| !(c.is_alphanumeric() || "_$@#*-+".contains(c))).unwrap_or(rest.len());
        if length == 0 {
            return Err(Fault::Syntax);
        }
        name.extend_from_slice(&rest.as_bytes()[..length]);
        self.pos += length;
        Ok(name)
    }
}
