//! Bounds-checked reading of Kafka's record fields. Whatever the bytes are, nothing here panics or reads past the end.

use super::record_batch::BatchError;

/// What is left to read. Its functions are inlined by force and count places instead of cutting slices: they run many
/// times a record.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `bytes`.
    #[inline(always)]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes that are left.
    #[inline(always)]
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `count` bytes.
    #[inline(always)]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], BatchError> {
        let end = self.at.wrapping_add(count);
        let taken = self.bytes.get(self.at..end).ok_or(BatchError::Malformed("a field ends early"))?;
        self.at = end;
        Ok(taken)
    }

    /// A big-endian number.
    pub fn i16(&mut self) -> Result<i16, BatchError> {
        let bytes = self.take(2)?;
        Ok(i16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A number in zigzag, seven bits a byte, the lowest first.
    #[inline(always)]
    pub fn varint(&mut self) -> Result<i64, BatchError> {
        // Most numbers of a record take one or two bytes.
        let Some(&first) = self.bytes.get(self.at) else { return self.long_varint() };
        if first < 0x80 {
            self.at += 1;
            return Ok(zigzag(u64::from(first)));
        }
        let Some(&second) = self.bytes.get(self.at + 1) else { return self.long_varint() };
        if second < 0x80 {
            self.at += 2;
            return Ok(zigzag(u64::from(first & 0x7f) | u64::from(second) << 7));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<i64, BatchError> {
        let mut number = 0u64;
        for (index, byte) in self.bytes.iter().skip(self.at).take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.at += index + 1;
                return Ok(zigzag(number));
            }
        }
        Err(BatchError::Malformed("a number does not end"))
    }

    /// Bytes with their length before them; a length of -1 is null.
    #[inline(always)]
    pub fn nullable(&mut self) -> Result<Option<&'a [u8]>, BatchError> {
        match self.varint()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| BatchError::Malformed("a length is negative"))?;
                self.take(length).map(Some)
            }
        }
    }
}

#[inline(always)]
fn zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_lengths() {
        let cases: [(&[u8], i64); 7] = [
            (&[0], 0),
            (&[1], -1),
            (&[2], 1),
            (&[0xac, 0x02], 150),
            (&[0x80, 0x80, 0x01], 8192),
            (&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], i64::MAX),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], i64::MIN),
        ];
        for (bytes, expected) in cases {
            let mut cursor = Cursor::new(bytes);
            assert_eq!(cursor.varint().expect("well-formed"), expected);
            assert_eq!(cursor.left(), 0);
        }
    }

    #[test]
    fn what_ends_early_or_never_is_refused() {
        let endless: &[u8] = &[0xff; 11];
        for bytes in [&[][..], &[0x80], &[0x80, 0x80], endless] {
            assert!(Cursor::new(bytes).varint().is_err(), "{bytes:?}");
        }
        assert!(Cursor::new(&[6, b'a']).nullable().is_err(), "three bytes, of which one is there");
        assert!(Cursor::new(&[3]).nullable().is_err(), "a length of -2");
        assert_eq!(Cursor::new(&[1]).nullable().expect("null"), None);
        assert_eq!(Cursor::new(&[0]).nullable().expect("empty"), Some(&[][..]));
    }
}
