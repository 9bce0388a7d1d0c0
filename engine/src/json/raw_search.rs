//! The searches of the raw filter, written so that the compiler makes vector code of their inner loops.

/// Bytes looked at in one go.
const BLOCK: usize = 64;
/// Bytes of which it is first asked whether they hold anything special at all.
const STRETCH: usize = 2048;

/// Finds an ASCII literal without regard to case: two of its rarest bytes at once, then the rest.
#[derive(Debug)]
pub(super) struct FoldedFinder {
    /// Lower case.
    literal: Vec<u8>,
    first: Anchor,
    second: Anchor,
}

/// A byte of the literal. A byte `b` of the text can be it only if `b | mask` is `value`.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    at: usize,
    value: u8,
    mask: u8,
}

impl FoldedFinder {
    /// A finder of a literal, which must not be empty.
    pub fn new(literal: &[u8]) -> Self {
        let literal = literal.to_ascii_lowercase();
        let mut places: Vec<usize> = (0..literal.len()).collect();
        places.sort_by_key(|&at| commonness(literal[at]));
        let anchor = |at: usize| {
            let value = literal[at];
            Anchor { at, value, mask: if value.is_ascii_lowercase() { 0x20 } else { 0 } }
        };
        let first = anchor(places[0]);
        // The two may be one, if the literal is.
        let second = anchor(places[usize::from(places.len() > 1)]);
        FoldedFinder { literal, first, second }
    }

    pub fn length(&self) -> usize {
        self.literal.len()
    }

    /// Where the literal first occurs.
    pub fn find(&self, bytes: &[u8]) -> Option<usize> {
        let starts = (bytes.len() + 1).checked_sub(self.literal.len())?;
        let ones = bytes.get(self.first.at..self.first.at + starts)?;
        let others = bytes.get(self.second.at..self.second.at + starts)?;
        let mut base = 0;
        let mut one_blocks = ones.chunks_exact(BLOCK);
        let mut other_blocks = others.chunks_exact(BLOCK);
        for (one, other) in (&mut one_blocks).zip(&mut other_blocks) {
            if self.may_match(one, other)
                && let Some(found) = self.verify(bytes, base, base + BLOCK)
            {
                return Some(found);
            }
            base += BLOCK;
        }
        self.verify(bytes, base, starts)
    }

    /// Whether both anchors stand right for some start in a block.
    #[inline(always)]
    fn may_match(&self, one: &[u8], other: &[u8]) -> bool {
        let mut any = 0u8;
        for (&a, &b) in one.iter().zip(other) {
            any |=
                u8::from(a | self.first.mask == self.first.value) & u8::from(b | self.second.mask == self.second.value);
        }
        any != 0
    }

    /// The first true match that starts in `from..to`.
    fn verify(&self, bytes: &[u8], from: usize, to: usize) -> Option<usize> {
        let Anchor { at, value, mask } = self.first;
        // Letters in both their cases; other bytes are one.
        memchr::memchr2_iter(value, value & !mask, bytes.get(from + at..to + at)?)
            .map(|found| from + found)
            .find(|&start| bytes[start..start + self.literal.len()].eq_ignore_ascii_case(&self.literal))
    }
}

/// How common a byte is in JSON logs; only the order matters.
fn commonness(b: u8) -> usize {
    const FROM_COMMON: &[u8] = b" etaoinsrdlcumphgfy_wbvkxjqz0123456789.-/";
    FROM_COMMON.iter().position(|&common| common == b).map_or(0, |place| FROM_COMMON.len() - place)
}

/// What makes a document pass whatever it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Special {
    /// Also characters whose lower or upper case has an ASCII letter.
    pub fold: bool,
}

impl Special {
    /// The smallest byte, besides the backslash, that needs a closer look.
    fn threshold(self) -> u8 {
        if self.fold { 0x80 } else { 0xf0 }
    }

    /// Whether a stretch holds a byte that needs a closer look.
    #[inline(always)]
    fn suspicious(self, bytes: &[u8]) -> bool {
        let threshold = self.threshold();
        let mut any = 0u8;
        for &b in bytes {
            any |= u8::from(b == b'\\') | u8::from(b >= threshold);
        }
        any != 0
    }

    /// Whether the document passes.
    pub fn in_document(self, document: &[u8]) -> bool {
        if !self.suspicious(document) {
            return false;
        }
        document.iter().any(|&b| b == b'\\' || b >= 0xf0)
            || self.fold && String::from_utf8_lossy(document).chars().any(becomes_ascii)
    }

    /// Calls `pass` for every document that passes.
    pub fn each_document(self, values: &[u8], offsets: &[i32], mut pass: impl FnMut(usize)) {
        let Some((&first, &last)) = offsets.first().zip(offsets.last()) else {
            return;
        };
        // The first document that has not been looked at.
        let mut row = 0;
        for (index, stretch) in values[first as usize..last as usize].chunks(STRETCH).enumerate() {
            if !self.suspicious(stretch) {
                continue;
            }
            let start = first as usize + index * STRETCH;
            row += offsets[row + 1..].partition_point(|&end| end as usize <= start);
            while row + 1 < offsets.len() && (offsets[row] as usize) < start + stretch.len() {
                if self.in_document(&values[offsets[row] as usize..offsets[row + 1] as usize]) {
                    pass(row);
                }
                row += 1;
            }
            if row + 1 >= offsets.len() {
                return;
            }
        }
    }
}

/// Whether a character that is not ASCII has an ASCII letter in its lower or upper case.
fn becomes_ascii(c: char) -> bool {
    !c.is_ascii() && (c.to_lowercase().any(|c| c.is_ascii()) || c.to_uppercase().any(|c| c.is_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_place_and_no_other() {
        let finder = FoldedFinder::new(b"Crash");
        for before in 0..200 {
            for after in [0, 1, 63, 64, 65] {
                let text = [vec![b'x'; before], b"cRaSh".to_vec(), vec![b'y'; after]].concat();
                assert_eq!(finder.find(&text), Some(before));
                let close = [vec![b'x'; before], b"crasx".to_vec(), vec![b'y'; after]].concat();
                assert_eq!(finder.find(&close), None);
            }
        }
        assert_eq!(finder.find(b"cras"), None);
        assert_eq!(finder.find(b""), None);
        assert_eq!(FoldedFinder::new(b"z").find(b"aZ"), Some(1));
    }

    #[test]
    fn specials_are_found_wherever_they_stand() {
        let special = Special { fold: true };
        let mut documents: Vec<Vec<u8>> = (0..3000).map(|row| vec![b'a'; row % 7]).collect();
        for row in [0, 5, 1000, 1001, 2999] {
            documents[row] = b"x\\".to_vec();
        }
        documents[2000] = "ß".repeat(3000).into_bytes();
        let mut offsets = vec![0i32];
        for document in &documents {
            offsets.push(offsets[offsets.len() - 1] + document.len() as i32);
        }
        let mut found = Vec::new();
        special.each_document(&documents.concat(), &offsets, |row| found.push(row));
        assert_eq!(found, [0, 5, 1000, 1001, 2000, 2999]);
    }
}
