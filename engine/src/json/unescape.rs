//! The parts of a JSON string with escapes, and their way back into UTF-8.

/// A part of a string.
#[derive(Debug, Clone, Copy)]
pub(super) enum Piece<'a> {
    /// Bytes that stand for themselves.
    Plain(&'a [u8]),
    /// An escaped UTF-16 unit, possibly half of a pair.
    Unit(u16),
}

/// Puts pieces together into UTF-8 text; halves of pairs that stay alone become `?`, as Java encodes them.
#[derive(Debug)]
pub(super) struct Unescape<'o> {
    out: &'o mut Vec<u8>,
    high: Option<u16>,
}

impl<'o> Unescape<'o> {
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        Unescape { out, high: None }
    }

    pub fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Plain([]) => {}
            Piece::Plain(bytes) => {
                self.finish();
                self.out.extend_from_slice(bytes);
            }
            Piece::Unit(low @ 0xdc00..=0xdfff) => match self.high.take() {
                Some(high) => {
                    let code = 0x10000 + ((u32::from(high) - 0xd800) << 10) + (u32::from(low) - 0xdc00);
                    self.push(char::from_u32(code).unwrap_or('?'));
                }
                None => self.out.push(b'?'),
            },
            Piece::Unit(unit) => {
                self.finish();
                match char::from_u32(u32::from(unit)) {
                    Some(c) => self.push(c),
                    None => self.high = Some(unit),
                }
            }
        }
    }

    /// Ends the text; a high half that still waits becomes `?`.
    pub fn finish(&mut self) {
        if self.high.take().is_some() {
            self.out.push(b'?');
        }
    }

    fn push(&mut self, c: char) {
        let mut buffer = [0u8; 4];
        self.out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
    }
}
