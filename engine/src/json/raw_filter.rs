//! A test of the raw bytes of JSON documents for literals that a filter on their decoded strings needs.
//!
//! It may pass too much, never too little: a document is dropped only if no string of it can hold the literal. Why that
//! holds, for a decoded STRING value that contains a literal, by where the value came from:
//!
//! - A string without escapes: its bytes stand in the document one after another. With escapes: the document holds a
//!   backslash, and every such document passes.
//! - An integer, `true`, `false`: written as in the document (or its end, where leading zeros are allowed).
//! - A fraction, `NaN`, `1e400`: written anew, but only of the characters in [`is_number_byte`]. A literal of nothing
//!   else is not used.
//! - An object or array, written anew: white space is gone and strings are escaped again. Cut at `{ } [ ] , : " \`, the
//!   literal falls into pieces, each of which lies in one string, number or word, or in nothing. So only pieces are
//!   looked for. Inside a string the bytes are the document's, except where the writer escapes: quotes and backslashes
//!   (pieces have none), control characters (only where unquoted ones are allowed: then no test is made), and
//!   characters beyond the basic plane, which become `\uD83D\uDE00`, and a piece might start within that: documents
//!   with a byte of 0xF0 or above pass.
//! - Bytes that are no UTF-8 become U+FFFD: a literal with that character is not used.
//!
//! Under `lower` and `upper` letters compare without their ASCII case, and a literal with other letters is not used;
//! characters outside ASCII that turn into ASCII letters (`K` for one, the Kelvin sign) let their document pass.

use datafusion::arrow::array::{Array, BinaryArray, StringArray};
use datafusion::arrow::buffer::BooleanBuffer;
use memchr::memmem::Finder;

use super::raw_search::{FoldedFinder, Special};

/// One condition on a decoded string: that it contains, or is, one of some literals.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Needle {
    /// Literals of which one must be there, UTF-8.
    pub alternatives: Vec<Vec<u8>>,
    /// The string is compared after `lower` or `upper`.
    pub fold_case: bool,
}

/// A test for several needles, all of which a document must hold.
#[derive(Debug)]
pub struct RawFilter {
    tests: Vec<Test>,
    special: Special,
}

#[derive(Debug)]
struct Test {
    finders: Vec<AnyFinder>,
}

#[derive(Debug)]
enum AnyFinder {
    Exact(Finder<'static>),
    Folded(FoldedFinder),
}

impl AnyFinder {
    #[inline]
    fn find(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            AnyFinder::Exact(finder) => finder.find(bytes),
            AnyFinder::Folded(finder) => finder.find(bytes),
        }
    }

    fn length(&self) -> usize {
        match self {
            AnyFinder::Exact(finder) => finder.needle().len(),
            AnyFinder::Folded(finder) => finder.length(),
        }
    }
}

impl RawFilter {
    /// The test for these needles. Those of which nothing can be told from the bytes are left out; when none stays,
    /// every document passes. Only for options with which [`FromJson::raw_testable`](super::FromJson::raw_testable)
    /// says so.
    pub fn new(needles: Vec<Needle>) -> Self {
        let mut tests: Vec<Test> = needles.iter().filter_map(Test::new).collect();
        // The first test reads everything: let it be one literal, and a long one.
        tests.sort_by_key(|test| (test.finders.len(), std::cmp::Reverse(test.length_min())));
        let fold = tests.iter().any(|test| test.finders.iter().any(|finder| matches!(finder, AnyFinder::Folded(_))));
        RawFilter { tests, special: Special { fold } }
    }

    /// Whether every document passes, because no needle can be tested.
    pub fn passes_all(&self) -> bool {
        self.tests.is_empty()
    }

    /// The rows of a `Binary` or `Utf8` column that may pass the filter; all of a column of another type.
    pub fn select(&self, documents: &dyn Array) -> BooleanBuffer {
        let any = documents.as_any();
        let (values, offsets) = if let Some(column) = any.downcast_ref::<BinaryArray>() {
            (column.value_data(), column.value_offsets())
        } else if let Some(column) = any.downcast_ref::<StringArray>() {
            (column.value_data(), column.value_offsets())
        } else {
            return BooleanBuffer::new_set(documents.len());
        };
        let mut passed = self.scan(values, offsets);
        self.narrow(values, offsets, &mut passed);
        let passed = BooleanBuffer::from(passed.as_slice());
        // A null document gives a null string, which passes no filter.
        match documents.nulls() {
            Some(nulls) => &passed & nulls.inner(),
            None => passed,
        }
    }

    /// Whether one document may pass.
    pub fn matches(&self, document: &[u8]) -> bool {
        self.special.in_document(document) || self.tests.iter().all(|test| test.in_document(document))
    }

    /// The first test and the special documents, over the whole buffer at once.
    fn scan(&self, values: &[u8], offsets: &[i32]) -> Vec<bool> {
        let rows = offsets.len().saturating_sub(1);
        let Some(first) = self.tests.first() else {
            return vec![true; rows];
        };
        let mut passed = vec![false; rows];
        for finder in &first.finders {
            mark(values, offsets, finder, &mut passed);
        }
        self.special.each_document(values, offsets, |row| passed[row] = true);
        passed
    }

    /// The other tests, over what passed the first.
    fn narrow(&self, values: &[u8], offsets: &[i32], passed: &mut [bool]) {
        let Some((_, rest)) = self.tests.split_first().filter(|(_, rest)| !rest.is_empty()) else {
            return;
        };
        for (row, passed) in passed.iter_mut().enumerate().filter(|(_, passed)| **passed) {
            let document = &values[offsets[row] as usize..offsets[row + 1] as usize];
            *passed = rest.iter().all(|test| test.in_document(document)) || self.special.in_document(document);
        }
    }
}

/// Marks the rows in which a literal occurs.
fn mark(values: &[u8], offsets: &[i32], finder: &AnyFinder, passed: &mut [bool]) {
    let Some((&first, &last)) = offsets.first().zip(offsets.last()) else {
        return;
    };
    let (mut at, end) = (first as usize, last as usize);
    let mut row = 0;
    while let Some(found) = values.get(at..end).and_then(|rest| finder.find(rest)) {
        let hit = at + found;
        row = row_of(offsets, row, hit);
        let row_end = offsets[row + 1] as usize;
        if hit + finder.length() <= row_end {
            passed[row] = true;
            at = row_end;
        } else {
            // It runs over the end of its document: a true one may begin within it.
            at = hit + 1;
        }
    }
}

/// The row that holds the byte at `hit`, at or after `from`: doubling steps, then halving.
fn row_of(offsets: &[i32], from: usize, hit: usize) -> usize {
    let mut step = 1;
    let mut low = from;
    while low + step < offsets.len() && offsets[low + step] as usize <= hit {
        low += step;
        step *= 2;
    }
    let high = (low + step).min(offsets.len());
    low + offsets[low..high].partition_point(|&offset| offset as usize <= hit) - 1
}

impl Test {
    /// `None` when some alternative cannot be told from the bytes.
    fn new(needle: &Needle) -> Option<Self> {
        if needle.alternatives.is_empty() {
            return None;
        }
        let finders =
            needle.alternatives.iter().map(|literal| finder(literal, needle.fold_case)).collect::<Option<_>>()?;
        Some(Test { finders })
    }

    fn in_document(&self, document: &[u8]) -> bool {
        self.finders.iter().any(|finder| finder.find(document).is_some())
    }

    fn length_min(&self) -> usize {
        self.finders.iter().map(AnyFinder::length).min().unwrap_or(0)
    }
}

fn finder(literal: &[u8], fold_case: bool) -> Option<AnyFinder> {
    let text = std::str::from_utf8(literal).ok()?;
    if text.contains('\u{fffd}') || fold_case && !text.is_ascii() {
        return None;
    }
    let piece = literal
        .split(|b| b"{}[],:\"\\".contains(b))
        .filter(|piece| !piece.iter().all(|&b| is_number_byte(b, fold_case)))
        .max_by_key(|piece| piece.len())?;
    Some(if fold_case {
        AnyFinder::Folded(FoldedFinder::new(piece))
    } else {
        AnyFinder::Exact(Finder::new(piece).into_owned())
    })
}

/// The characters of which a number that is written anew can consist.
fn is_number_byte(b: u8, fold_case: bool) -> bool {
    const BYTES: &[u8] = b"0123456789.+-EInfityNa";
    BYTES.contains(&b) || fold_case && BYTES.iter().any(|number| number.eq_ignore_ascii_case(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(literals: &[&str], fold_case: bool) -> Option<RawFilter> {
        let alternatives = literals.iter().map(|literal| literal.as_bytes().to_vec()).collect();
        Some(RawFilter::new(vec![Needle { alternatives, fold_case }])).filter(|filter| !filter.passes_all())
    }

    fn select(filter: &RawFilter, documents: &[&str]) -> Vec<bool> {
        let column = StringArray::from(documents.to_vec());
        filter.select(&column).iter().collect()
    }

    #[test]
    fn finds_literals_row_by_row() {
        let filter = filter(&["crash"], true).expect("usable");
        let rows = ["App CRASHed", "ok", "cra", "sh", "", "a crash, a crash", r"\u0063rash", "x"];
        assert_eq!(select(&filter, &rows), [true, false, false, false, false, true, true, false]);
    }

    #[test]
    fn a_hit_across_a_border_hides_none() {
        let filter = filter(&["xoxo"], false).expect("usable");
        assert_eq!(select(&filter, &["xo", "xoxo", "axox", "oxoxo"]), [false, true, false, true]);
    }

    #[test]
    fn literals_that_prove_nothing_are_not_used() {
        for literals in [&[""][..], &["404"], &["inf"], &["{}"], &["\u{fffd}x"], &["crash", "1.5"]] {
            assert!(filter(literals, true).is_none(), "{literals:?}");
        }
        assert!(filter(&["é"], true).is_none());
        assert!(filter(&["é"], false).is_some());
        assert!(RawFilter::new(Vec::new()).passes_all());
    }

    #[test]
    fn special_characters_pass() {
        let lower = filter(&["kiss"], true).expect("usable");
        assert_eq!(
            select(&lower, &["\u{212a}iss", "ki\u{17f}s", "größe", "😀", "miss"]),
            [true, true, true, true, false]
        );
        let exact = filter(&["kiss"], false).expect("usable");
        assert_eq!(select(&exact, &["\u{212a}iss", "größe", "😀", "kiss"]), [false, false, true, true]);
    }

    #[test]
    fn literals_are_cut_at_structure() {
        let filter = filter(&["{\"error\" : timeouts"], false).expect("usable");
        assert_eq!(select(&filter, &["x timeouts", "timeouts", "error"]), [true, false, false]);
    }

    #[test]
    fn all_needles_must_be_there() {
        let needle = |literals: &[&str], fold_case| Needle {
            alternatives: literals.iter().map(|literal| literal.as_bytes().to_vec()).collect(),
            fold_case,
        };
        let filter =
            RawFilter::new(vec![needle(&["High", "Critical"], false), needle(&["crash"], true), needle(&["1"], false)]);
        let rows = ["High Crash", "Critical crash", "high crash", "Critical", "crash", r"\", "Low"];
        assert_eq!(select(&filter, &rows), [true, true, false, false, false, true, false]);
        for row in rows {
            assert_eq!(filter.matches(row.as_bytes()), select(&filter, &[row])[0], "{row}");
        }
    }

    #[test]
    fn sliced_and_null_columns() {
        let filter = filter(&["crash"], false).expect("usable");
        let column = BinaryArray::from_opt_vec(vec![Some(b"crash"), None, Some(b"crash"), Some(b"x"), Some(b"crash")]);
        let slice = column.slice(1, 3);
        assert_eq!(filter.select(&slice).iter().collect::<Vec<_>>(), [false, true, false]);
    }
}
