//! Functions of strings, counted in characters as Spark does.

use std::fmt::Write;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int32Builder, StringArray, StringBuilder};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int32Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use serde_json::{Value, json};

use super::java_regex::{End, java_regex};
use super::kernel::{Kernel, bad_parameters, elementwise, text_parameter};
use super::pattern::like_to_regex;
use super::regex_text::{matches, regex_extract, regex_replace, split};
use crate::clock::BatchClock;
use crate::types::array_of;

/// Which function of strings. The arguments are strings and, where a number is named, `int`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextOperator {
    /// Characters of a string.
    Length,
    /// Bytes of a binary.
    ByteLength,
    /// `(text, characters)`: cuts them from both ends.
    Trim,
    TrimLeft,
    TrimRight,
    /// Null if any argument is.
    Concat,
    /// `(separator, text or array of text ..)`: nulls are left out.
    ConcatSeparated,
    /// `(text, start, length)`: counts from 1, or from the end when negative.
    Substring,
    /// `(text, regex, limit)`.
    Split,
    /// `(text, search, replacement)`.
    Replace,
    /// `(text, regex, replacement)`.
    RegexReplace,
    /// `(text, regex, group)`.
    RegexExtract,
    /// `(text, length, pad)`.
    PadLeft,
    PadRight,
    /// `(text, part, start)`: the position from 1 of the first part at `start` or behind it, or 0.
    Position,
    InitCap,
    Reverse,
    /// `(text, times)`.
    Repeat,
    /// `(text, pattern)`.
    Like,
    ILike,
    RLike,
}

impl TextOperator {
    const NAMES: [(TextOperator, &'static str); 21] = [
        (TextOperator::Length, "length"),
        (TextOperator::ByteLength, "byte_length"),
        (TextOperator::Trim, "trim"),
        (TextOperator::TrimLeft, "trim_left"),
        (TextOperator::TrimRight, "trim_right"),
        (TextOperator::Concat, "concat"),
        (TextOperator::ConcatSeparated, "concat_separated"),
        (TextOperator::Substring, "substring"),
        (TextOperator::Split, "split"),
        (TextOperator::Replace, "replace"),
        (TextOperator::RegexReplace, "regex_replace"),
        (TextOperator::RegexExtract, "regex_extract"),
        (TextOperator::PadLeft, "pad_left"),
        (TextOperator::PadRight, "pad_right"),
        (TextOperator::Position, "position"),
        (TextOperator::InitCap, "init_cap"),
        (TextOperator::Reverse, "reverse"),
        (TextOperator::Repeat, "repeat"),
        (TextOperator::Like, "like"),
        (TextOperator::ILike, "ilike"),
        (TextOperator::RLike, "rlike"),
    ];

    /// The type of the result.
    pub fn result(self) -> DataType {
        match self {
            TextOperator::Length | TextOperator::ByteLength | TextOperator::Position => DataType::Int32,
            TextOperator::Like | TextOperator::ILike | TextOperator::RLike => DataType::Boolean,
            TextOperator::Split => array_of(DataType::Utf8, false),
            _ => DataType::Utf8,
        }
    }
}

/// The function `spark_text`: one operator of strings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text(pub TextOperator);

impl Kernel for Text {
    const NAME: &'static str = "spark_text";

    fn raises(&self) -> bool {
        use TextOperator::{Like, RLike, RegexExtract, RegexReplace, Split};
        matches!(self.0, Like | RLike | RegexExtract | RegexReplace | Split)
    }

    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)> {
        let nullable = match self.0 {
            TextOperator::ConcatSeparated => arguments.first().is_some_and(|separator| separator.is_nullable()),
            _ => arguments.iter().any(|argument| argument.is_nullable()),
        };
        Ok((self.0.result(), nullable))
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        elementwise(arguments, |arrays, rows| self.compute(arrays, rows))
    }

    fn encode(&self) -> Value {
        let name = TextOperator::NAMES.iter().find(|(operator, _)| *operator == self.0).map(|(_, name)| *name);
        json!({"operator": name})
    }

    fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> {
        let name = text_parameter(parameters, "operator")?;
        let found = TextOperator::NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(operator, _)| Text(*operator)).ok_or_else(|| bad_parameters("operator"))
    }
}

impl Text {
    fn compute(&self, arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let text = |index: usize| arrays[index].as_string::<i32>();
        let int = |index: usize| arrays[index].as_primitive::<Int32Type>();
        match self.0 {
            TextOperator::Length => Ok(length(text(0))),
            TextOperator::ByteLength => Ok(compute::kernels::length::length(&arrays[0])?),
            TextOperator::Trim => Ok(map_two(text(0), text(1), |text, set| text.trim_matches(one_of(set)))),
            TextOperator::TrimLeft => Ok(map_two(text(0), text(1), |text, set| text.trim_start_matches(one_of(set)))),
            TextOperator::TrimRight => Ok(map_two(text(0), text(1), |text, set| text.trim_end_matches(one_of(set)))),
            TextOperator::Concat => Ok(concat(arrays, rows)),
            TextOperator::ConcatSeparated => concat_separated(arrays, rows),
            TextOperator::Substring => Ok(substrings(text(0), int(1), int(2))),
            TextOperator::Split => split(text(0), text(1), int(2)),
            TextOperator::Replace => Ok(replace(text(0), text(1), text(2))),
            TextOperator::RegexReplace => regex_replace(text(0), text(1), text(2)),
            TextOperator::RegexExtract => regex_extract(text(0), text(1), int(2)),
            TextOperator::PadLeft => Ok(pad(text(0), int(1), text(2), true)),
            TextOperator::PadRight => Ok(pad(text(0), int(1), text(2), false)),
            TextOperator::Position => Ok(position(text(0), text(1), int(2))),
            TextOperator::InitCap => Ok(map_one(text(0), init_cap)),
            TextOperator::Reverse => Ok(map_one(text(0), |text, out| out.extend(text.chars().rev()))),
            TextOperator::Repeat => Ok(repeat(text(0), int(1))),
            TextOperator::Like => matches(text(0), text(1), |pattern| like_to_regex(pattern, false)),
            TextOperator::ILike => matches(text(0), text(1), |pattern| like_to_regex(pattern, true)),
            TextOperator::RLike => matches(text(0), text(1), |pattern| Ok(java_regex(pattern, End::OfLastLine))),
        }
    }
}

fn one_of(set: &str) -> impl Fn(char) -> bool + '_ {
    |c| set.contains(c)
}

fn length(array: &StringArray) -> ArrayRef {
    let count = |text: &str| if text.is_ascii() { text.len() } else { text.chars().count() };
    let lengths: Int32Array =
        array.iter().map(|text| text.map(|text| i32::try_from(count(text)).unwrap_or(i32::MAX))).collect();
    Arc::new(lengths)
}

fn map_one(array: &StringArray, write: impl Fn(&str, &mut String)) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(array.len(), array.value_data().len());
    let mut cell = String::new();
    for text in array {
        match text {
            Some(text) => {
                cell.clear();
                write(text, &mut cell);
                builder.append_value(&cell);
            }
            None => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

fn map_two(one: &StringArray, other: &StringArray, cut: impl for<'a> Fn(&'a str, &str) -> &'a str) -> ArrayRef {
    let result: StringArray = one.iter().zip(other).map(|(one, other)| Some(cut(one?, other?))).collect();
    Arc::new(result)
}

fn concat(arrays: &[ArrayRef], rows: usize) -> ArrayRef {
    let texts: Vec<&StringArray> = arrays.iter().map(|array| array.as_string::<i32>()).collect();
    let mut builder = StringBuilder::new();
    for row in 0..rows {
        if texts.iter().any(|text| text.is_null(row)) {
            builder.append_null();
            continue;
        }
        for text in &texts {
            builder.write_str(text.value(row)).expect("a string builder takes all text");
        }
        builder.append_value("");
    }
    Arc::new(builder.finish())
}

fn concat_separated(arrays: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let separators = arrays[0].as_string::<i32>();
    let mut builder = StringBuilder::new();
    let mut cell = String::new();
    for row in 0..rows {
        if separators.is_null(row) {
            builder.append_null();
            continue;
        }
        let separator = separators.value(row);
        cell.clear();
        let mut any = false;
        let mut add = |text: &str| {
            cell.push_str(if any { separator } else { "" });
            cell.push_str(text);
            any = true;
        };
        for array in &arrays[1..] {
            if array.is_null(row) {
                continue;
            }
            match array.data_type() {
                DataType::List(_) => {
                    let items = array.as_list::<i32>().value(row);
                    items.as_string::<i32>().iter().flatten().for_each(&mut add);
                }
                _ => add(array.as_string::<i32>().value(row)),
            }
        }
        builder.append_value(&cell);
    }
    Ok(Arc::new(builder.finish()))
}

fn substrings(texts: &StringArray, starts: &Int32Array, lengths: &Int32Array) -> ArrayRef {
    let result: StringArray = (0..texts.len())
        .map(|row| {
            if texts.is_null(row) || starts.is_null(row) || lengths.is_null(row) {
                return None;
            }
            Some(substring(texts.value(row), starts.value(row), lengths.value(row)))
        })
        .collect();
    Arc::new(result)
}

/// As Spark: positions count from 1 (0 is 1), negative ones from the end; a start before the text uses up length.
fn substring(text: &str, start: i32, length: i32) -> &str {
    let count = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let start = match i64::from(start) {
        start if start > 0 => start - 1,
        0 => 0,
        start => count + start,
    };
    let end = start.saturating_add(i64::from(length)).min(count);
    let from = start.max(0);
    if end <= from {
        return "";
    }
    let byte = |position: i64| {
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        text.char_indices().nth(position).map_or(text.len(), |(at, _)| at)
    };
    &text[byte(from)..byte(end)]
}

fn replace(texts: &StringArray, searches: &StringArray, replacements: &StringArray) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    for row in 0..texts.len() {
        if texts.is_null(row) || searches.is_null(row) || replacements.is_null(row) {
            builder.append_null();
            continue;
        }
        let (text, search) = (texts.value(row), searches.value(row));
        if search.is_empty() || !text.contains(search) {
            builder.append_value(text);
        } else {
            builder.append_value(text.replace(search, replacements.value(row)));
        }
    }
    Arc::new(builder.finish())
}

fn pad(texts: &StringArray, lengths: &Int32Array, pads: &StringArray, left: bool) -> ArrayRef {
    let mut builder = StringBuilder::new();
    let mut cell = String::new();
    for row in 0..texts.len() {
        if texts.is_null(row) || lengths.is_null(row) || pads.is_null(row) {
            builder.append_null();
            continue;
        }
        let (text, padding) = (texts.value(row), pads.value(row));
        let length = usize::try_from(lengths.value(row)).unwrap_or(0);
        let count = text.chars().count();
        cell.clear();
        if count >= length {
            cell.extend(text.chars().take(length));
        } else {
            let filling = padding.chars().cycle().take(if padding.is_empty() { 0 } else { length - count });
            if left {
                cell.extend(filling);
                cell.push_str(text);
            } else {
                cell.push_str(text);
                cell.extend(filling);
            }
        }
        builder.append_value(&cell);
    }
    Arc::new(builder.finish())
}

fn position(texts: &StringArray, parts: &StringArray, starts: &Int32Array) -> ArrayRef {
    let mut builder = Int32Builder::with_capacity(texts.len());
    for ((text, part), start) in texts.iter().zip(parts).zip(starts) {
        let (Some(text), Some(part)) = (text, part) else {
            builder.append_null();
            continue;
        };
        // As Spark: from no start nothing is found, and nothing stands at the beginning.
        let found = match usize::try_from(start.unwrap_or(0)).unwrap_or(0) {
            0 => 0,
            _ if part.is_empty() => 1,
            start => {
                let from = text.char_indices().nth(start - 1).map_or(text.len(), |(at, _)| at);
                text[from..].find(part).map_or(0, |at| text[..from + at].chars().count() + 1)
            }
        };
        builder.append_value(i32::try_from(found).unwrap_or(i32::MAX));
    }
    Arc::new(builder.finish())
}

/// Only a space begins a word, as in Spark.
fn init_cap(text: &str, out: &mut String) {
    let mut first = true;
    for c in text.chars() {
        match title_form(c) {
            _ if !first => out.extend(c.to_lowercase()),
            Some(title) => out.push_str(title),
            None => out.extend(c.to_uppercase()),
        }
        first = c == ' ';
    }
}

/// How a character begins a word where that is not its upper case: digraphs and ligatures.
fn title_form(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "Ss",
        'Ǆ' | 'ǅ' | 'ǆ' => "ǅ",
        'Ǉ' | 'ǈ' | 'ǉ' => "ǈ",
        'Ǌ' | 'ǋ' | 'ǌ' => "ǋ",
        'Ǳ' | 'ǲ' | 'ǳ' => "ǲ",
        'ﬀ' => "Ff",
        'ﬁ' => "Fi",
        'ﬂ' => "Fl",
        'ﬃ' => "Ffi",
        'ﬄ' => "Ffl",
        'ﬅ' | 'ﬆ' => "St",
        _ => return None,
    })
}

fn repeat(texts: &StringArray, times: &Int32Array) -> ArrayRef {
    let mut builder = StringBuilder::new();
    for (text, times) in texts.iter().zip(times) {
        match (text, times) {
            (Some(text), Some(times)) => builder.append_value(text.repeat(usize::try_from(times).unwrap_or(0))),
            _ => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn ints(values: &[i32]) -> ArrayRef {
        Arc::new(Int32Array::from(values.to_vec()))
    }

    fn text(operator: TextOperator, arrays: &[ArrayRef]) -> String {
        let result = Text(operator).compute(arrays, 1).unwrap();
        crate::cast::to_strings(&result, &crate::types::Zone::utc()).unwrap().value(0).to_owned()
    }

    #[test]
    fn substrings_count_characters_from_one_or_the_end() {
        for (start, length, expected) in
            [(1, 3, "Spa"), (0, 3, "Spa"), (5, 9, "k SQL"), (-3, 2, "SQ"), (-12, 5, "Sp"), (20, 1, ""), (1, -1, "")]
        {
            assert_eq!(substring("Spark SQL", start, length), expected, "{start} {length}");
        }
        assert_eq!(substring("h\u{e9}llo", 2, 2), "\u{e9}l");
    }

    #[test]
    fn splits_as_java_does() {
        let split = |value: &str, pattern: &str, limit: i32| {
            text(TextOperator::Split, &[strings(&[value]), strings(&[pattern]), ints(&[limit])])
        };
        assert_eq!(split("a,b,,", ",", -1), "[a, b, , ]");
        assert_eq!(split("oneAtwoBthreeC", "[ABC]", 2), "[one, twoBthreeC]");
        assert_eq!(split("abc", "", -1), "[a, b, c]");
        assert_eq!(split("a|b", "\\|", -1), "[a, b]");
    }

    #[test]
    fn pads_trims_and_finds() {
        assert_eq!(text(TextOperator::PadLeft, &[strings(&["hi"]), ints(&[5]), strings(&["ab"])]), "abahi");
        assert_eq!(text(TextOperator::PadRight, &[strings(&["hello"]), ints(&[2]), strings(&["x"])]), "he");
        assert_eq!(text(TextOperator::Trim, &[strings(&["xxaxx"]), strings(&["x"])]), "a");
        let word = || strings(&["h\u{e9}llo"]);
        let find = |part, start| text(TextOperator::Position, &[word(), strings(&[part]), ints(&[start])]);
        assert_eq!((find("l", 1), find("l", 4), find("l", 5)), ("3".to_owned(), "4".to_owned(), "0".to_owned()));
        assert_eq!((find("", 3), find("h", 0)), ("1".to_owned(), "0".to_owned()));
        assert_eq!(text(TextOperator::InitCap, &[strings(&["sPark-sql is ßa"])]), "Spark-sql Is Ssa");
        assert_eq!(text(TextOperator::Replace, &[strings(&["aXbX"]), strings(&["X"]), strings(&["-"])]), "a-b-");
    }

    #[test]
    fn patterns() {
        let like = |value: &str, pattern: &str| text(TextOperator::Like, &[strings(&[value]), strings(&[pattern])]);
        assert_eq!(like("#tag", "#%"), "true");
        assert_eq!(like("a_b", "a\\_b"), "true");
        assert_eq!(like("axb", "a\\_b"), "false");
        assert_eq!(like("a\nb", "a_b"), "true");
        assert_eq!(text(TextOperator::RLike, &[strings(&["abc123"]), strings(&["\\d+"])]), "true");
        let extract = |group: i32| {
            text(TextOperator::RegexExtract, &[strings(&["100-200"]), strings(&["(\\d+)-(\\d+)"]), ints(&[group])])
        };
        assert_eq!(extract(2), "200");
        assert_eq!(extract(0), "100-200");
        let replaced =
            text(TextOperator::RegexReplace, &[strings(&["100-200"]), strings(&["(\\d+)"]), strings(&["<$1>"])]);
        assert_eq!(replaced, "<100>-<200>");
    }

    #[test]
    fn concatenation_and_nulls() {
        let null: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
        assert_eq!(
            text(TextOperator::ConcatSeparated, &[strings(&["-"]), strings(&["a"]), null.clone(), strings(&["b"])]),
            "a-b"
        );
        assert!(Text(TextOperator::Concat).compute(&[strings(&["a"]), null], 1).unwrap().is_null(0));
    }
}
