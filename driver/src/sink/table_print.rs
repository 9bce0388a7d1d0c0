//! Rows as the table that Spark prints, for `show()` and the console sink.

use std::borrow::Cow;
use std::fmt::Write;

use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use pyrite_engine::cast::display_strings;
use pyrite_engine::error::{ExceptionKind, SparkError};
use pyrite_engine::types::Zone;

/// Spark never makes a column narrower.
const WIDTH_MIN: usize = 3;

/// Cells of this length or shorter are cut without an ellipsis.
const ELLIPSIS: &str = "...";

/// How a table is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableFormat {
    /// Rows printed; when there are more, a footer says so.
    pub num_rows: usize,
    /// Cells are cut to this many UTF-16 units and right-aligned; 0: whole cells, left-aligned.
    pub truncate: usize,
    /// One line a cell instead of one a row.
    pub vertical: bool,
}

/// The text of the table, as Spark 4.2's `Dataset.showString`: with a line break at the end only where no footer
/// follows. `schema` has the names as Spark shows them; `batches` may hold more rows than are printed. Timestamps print
/// in `zone`.
///
/// # Errors
/// A column of a type that cannot be shown.
pub fn format_table(
    schema: &Schema,
    batches: &[RecordBatch],
    format: TableFormat,
    zone: &Zone,
) -> Result<String, SparkError> {
    let header: Vec<Cell> = schema.fields().iter().map(|field| Cell::new(escape(field.name()).into_owned())).collect();
    let (rows, has_more) = cells(header.len(), batches, format, zone)?;
    let mut out = String::new();
    if format.vertical {
        write_vertical(&mut out, &header, &rows);
        if rows.is_empty() {
            out.push_str("(0 rows)");
            return Ok(out);
        }
    } else {
        write_horizontal(&mut out, &header, &rows, format.truncate == 0);
    }
    if has_more {
        let noun = if format.num_rows == 1 { "row" } else { "rows" };
        write!(out, "only showing top {} {noun}", format.num_rows).expect("writing to a string cannot fail");
    }
    Ok(out)
}

/// A cell's text and the columns that it takes on the screen.
struct Cell {
    text: String,
    width: usize,
}

impl Cell {
    fn new(text: String) -> Cell {
        let width = screen_width(&text);
        Cell { text, width }
    }
}

/// The rows that are printed, and whether there are more.
fn cells(
    columns: usize,
    batches: &[RecordBatch],
    format: TableFormat,
    zone: &Zone,
) -> Result<(Vec<Vec<Cell>>, bool), SparkError> {
    let total: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut rows = Vec::with_capacity(total.min(format.num_rows));
    for batch in batches {
        let left = format.num_rows - rows.len();
        if left == 0 {
            break;
        }
        let batch = batch.slice(0, batch.num_rows().min(left));
        let texts = batch
            .columns()
            .iter()
            .map(|column| display_strings(column, zone).map_err(|error| not_shown(&error)))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let mut cells = Vec::with_capacity(columns);
            for text in &texts {
                cells.push(Cell::new(cut(&escape(text.value(row)), format.truncate)));
            }
            rows.push(cells);
        }
    }
    Ok((rows, total > format.num_rows))
}

fn not_shown(error: &DataFusionError) -> SparkError {
    match SparkError::find(error) {
        Some(found) => found.clone(),
        None => SparkError::new(ExceptionKind::Runtime, "INTERNAL_ERROR", "XX000", error.to_string()),
    }
}

fn write_horizontal(out: &mut String, header: &[Cell], rows: &[Vec<Cell>], left_aligned: bool) {
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            rows.iter().map(|row| row[column].width).chain([header[column].width, WIDTH_MIN]).max().unwrap_or(0)
        })
        .collect();
    let rule = rule(&widths);
    out.push_str(&rule);
    write_row(out, header, &widths, left_aligned);
    out.push_str(&rule);
    for row in rows {
        write_row(out, row, &widths, left_aligned);
    }
    out.push_str(&rule);
}

fn rule(widths: &[usize]) -> String {
    let dashes: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    format!("+{}+\n", dashes.join("+"))
}

fn write_row(out: &mut String, row: &[Cell], widths: &[usize], left_aligned: bool) {
    out.push('|');
    for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
        if index > 0 {
            out.push('|');
        }
        let padding = width - cell.width;
        if left_aligned {
            out.push_str(&cell.text);
            push_blanks(out, padding);
        } else {
            push_blanks(out, padding);
            out.push_str(&cell.text);
        }
    }
    out.push_str("|\n");
}

fn write_vertical(out: &mut String, header: &[Cell], rows: &[Vec<Cell>]) {
    let name_width = header.iter().map(|cell| cell.width).chain([WIDTH_MIN]).max().unwrap_or(WIDTH_MIN);
    let data_width = rows.iter().flatten().map(|cell| cell.width).chain([WIDTH_MIN]).max().unwrap_or(WIDTH_MIN);
    for (index, row) in rows.iter().enumerate() {
        let title = format!("-RECORD {index}");
        let dashes = (name_width + data_width + 5).saturating_sub(title.len());
        out.push_str(&title);
        out.push_str(&"-".repeat(dashes));
        out.push('\n');
        for (name, cell) in header.iter().zip(row) {
            out.push(' ');
            out.push_str(&name.text);
            push_blanks(out, name_width - name.width);
            out.push_str(" | ");
            out.push_str(&cell.text);
            push_blanks(out, data_width - cell.width);
            out.push_str(" \n");
        }
    }
}

fn push_blanks(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

/// Control characters that would break the layout, written with a backslash; others print as they are.
fn escape(text: &str) -> Cow<'_, str> {
    const BREAKING: [(char, &str); 7] = [
        ('\n', "\\n"),
        ('\r', "\\r"),
        ('\t', "\\t"),
        ('\u{c}', "\\f"),
        ('\u{8}', "\\b"),
        ('\u{b}', "\\v"),
        ('\u{7}', "\\a"),
    ];
    if !text.contains(|c| BREAKING.iter().any(|(breaking, _)| *breaking == c)) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match BREAKING.iter().find(|(breaking, _)| *breaking == c) {
            Some((_, written)) => escaped.push_str(written),
            None => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// The text cut to a number of UTF-16 units, the last three of them an ellipsis where they fit.
fn cut(text: &str, units_max: usize) -> String {
    if units_max == 0 || text.len() <= units_max || text.encode_utf16().count() <= units_max {
        return text.to_owned();
    }
    // As Java: the cut is by UTF-16 units, and half a character left at its end prints as `?`.
    let kept = if units_max < 4 { units_max } else { units_max - ELLIPSIS.len() };
    let units: Vec<u16> = text.encode_utf16().take(kept).collect();
    let mut cut: String = char::decode_utf16(units).map(|unit| unit.unwrap_or('?')).collect();
    if units_max >= 4 {
        cut.push_str(ELLIPSIS);
    }
    cut
}

/// Columns on the screen as Spark counts them: UTF-16 units, and one more for each character of the wide scripts.
fn screen_width(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.chars().map(|c| c.len_utf16() + usize::from(is_wide(c))).sum()
}

/// The ranges of Spark's `Utils.fullWidthRegex`.
fn is_wide(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{115F}'
        | '\u{2E80}'..='\u{A4CF}'
        | '\u{AC00}'..='\u{D7A3}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FE30}'..='\u{FE6F}'
        | '\u{FF00}'..='\u{FF60}'
        | '\u{FFE0}'..='\u{FFE6}')
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, BinaryArray, Int64Array, NullArray, StringArray};

    use super::*;

    fn print(columns: Vec<(&str, ArrayRef)>, num_rows: usize, truncate: usize, vertical: bool) -> String {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let format = TableFormat { num_rows, truncate, vertical };
        format_table(&batch.schema(), &[batch], format, &Zone::utc()).unwrap()
    }

    fn ids(count: i64) -> Vec<(&'static str, ArrayRef)> {
        vec![("id", Arc::new(Int64Array::from_iter_values(0..count)))]
    }

    fn strings(values: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    // The expected texts are what Spark 4.2.0 printed.

    #[test]
    fn the_footer_counts_rows_and_takes_the_place_of_the_last_line_break() {
        assert_eq!(print(ids(3), 3, 20, false), "+---+\n| id|\n+---+\n|  0|\n|  1|\n|  2|\n+---+\n");
        assert_eq!(print(ids(3), 1, 20, false), "+---+\n| id|\n+---+\n|  0|\n+---+\nonly showing top 1 row");
        assert_eq!(print(ids(3), 0, 20, false), "+---+\n| id|\n+---+\n+---+\nonly showing top 0 rows");
    }

    #[test]
    fn vertical() {
        assert_eq!(
            print(ids(3), 2, 5, true),
            "-RECORD 0--\n id  | 0   \n-RECORD 1--\n id  | 1   \nonly showing top 2 rows"
        );
        assert_eq!(print(ids(0), 2, 20, true), "(0 rows)");
    }

    fn odd_row() -> Vec<(&'static str, ArrayRef)> {
        vec![
            ("x\ny", strings(&["a\nb\tc"])),
            ("c", strings(&["你好"])),
            ("e", strings(&["😀"])),
            ("l", strings(&["abcdefghijklmnopqrstuvwxyz"])),
            ("n", Arc::new(NullArray::new(1))),
            ("b", Arc::new(BinaryArray::from(vec![b"ab".as_slice()]))),
        ]
    }

    #[test]
    fn cut_cells_are_right_aligned() {
        let expected = "\
+-------+----+---+--------------------+----+-------+
|   x\\ny|   c|  e|                   l|   n|      b|
+-------+----+---+--------------------+----+-------+
|a\\nb\\tc|你好| 😀|abcdefghijklmnopq...|NULL|[61 62]|
+-------+----+---+--------------------+----+-------+
";
        assert_eq!(print(odd_row(), 2, 20, false), expected);
    }

    #[test]
    fn whole_cells_are_left_aligned() {
        let expected = "\
+-------+----+---+--------------------------+----+-------+
|x\\ny   |c   |e  |l                         |n   |b      |
+-------+----+---+--------------------------+----+-------+
|a\\nb\\tc|你好|😀 |abcdefghijklmnopqrstuvwxyz|NULL|[61 62]|
+-------+----+---+--------------------------+----+-------+
";
        assert_eq!(print(odd_row(), 2, 0, false), expected);
    }

    #[test]
    fn short_cuts_have_no_ellipsis_and_may_halve_a_character() {
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(cut("abcdef", 5), "ab...");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("a😀b", 2), "a?");
    }

    #[test]
    fn no_columns() {
        let schema = Schema::empty();
        let batch = RecordBatch::try_new_with_options(
            Arc::new(schema.clone()),
            Vec::new(),
            &datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(3)),
        )
        .unwrap();
        let format = TableFormat { num_rows: 2, truncate: 20, vertical: false };
        let text = format_table(&schema, &[batch], format, &Zone::utc()).unwrap();
        assert_eq!(text, "++\n||\n++\n||\n||\n++\nonly showing top 2 rows");
    }
}
