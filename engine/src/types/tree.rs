//! The text of `printSchema`.

use std::fmt::Write;

use datafusion::arrow::datatypes::{DataType, Field};

use super::{map_fields, type_name};

/// The schema as a tree: `root`, then ` |-- a: string (nullable = true)` for each field; ends with a line break.
pub fn tree_string<'a>(fields: impl IntoIterator<Item = &'a Field>) -> String {
    let mut out = String::from("root\n");
    for field in fields {
        write_field(&mut out, field, " |");
    }
    out
}

fn write_field(out: &mut String, field: &Field, prefix: &str) {
    line(out, prefix, field.name(), field.data_type(), Some(("nullable", field.is_nullable())));
    write_inside(out, field.data_type(), &format!("{prefix}    |"));
}

fn line(out: &mut String, prefix: &str, name: &str, data_type: &DataType, flag: Option<(&str, bool)>) {
    let escaped = escape(name);
    let result = match flag {
        Some((word, value)) => writeln!(out, "{prefix}-- {escaped}: {} ({word} = {value})", type_name(data_type)),
        None => writeln!(out, "{prefix}-- {escaped}: {}", type_name(data_type)),
    };
    result.expect("writing to a string cannot fail");
}

fn write_inside(out: &mut String, data_type: &DataType, prefix: &str) {
    match data_type {
        DataType::Struct(fields) => {
            for field in fields {
                write_field(out, field, prefix);
            }
        }
        DataType::List(element) => {
            line(out, prefix, "element", element.data_type(), Some(("containsNull", element.is_nullable())));
            write_inside(out, element.data_type(), &format!("{prefix}    |"));
        }
        DataType::Map(entries, _) => {
            let Some((key, value)) = map_fields(entries) else { return };
            let inside = format!("{prefix}    |");
            line(out, prefix, "key", key.data_type(), None);
            write_inside(out, key.data_type(), &inside);
            line(out, prefix, "value", value.data_type(), Some(("valueContainsNull", value.is_nullable())));
            write_inside(out, value.data_type(), &inside);
        }
        _ => {}
    }
}

/// Control characters that would break the line are written with a backslash.
fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for c in name.chars() {
        let letter = match c {
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\u{c}' => 'f',
            '\u{8}' => 'b',
            '\u{b}' => 'v',
            '\u{7}' => 'a',
            _ => {
                escaped.push(c);
                continue;
            }
        };
        escaped.push('\\');
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::parse_fields;

    #[test]
    fn prints_as_print_schema_does() {
        let fields =
            parse_fields("a STRING, s STRUCT<x: INT NOT NULL>, l ARRAY<ARRAY<INT>>, m MAP<STRING, STRUCT<y: DOUBLE>>")
                .unwrap();
        let expected = "\
root
 |-- a: string (nullable = true)
 |-- s: struct (nullable = true)
 |    |-- x: integer (nullable = false)
 |-- l: array (nullable = true)
 |    |-- element: array (containsNull = true)
 |    |    |-- element: integer (containsNull = true)
 |-- m: map (nullable = true)
 |    |-- key: string
 |    |-- value: struct (valueContainsNull = true)
 |    |    |-- y: double (nullable = true)
";
        assert_eq!(tree_string(fields.iter().map(AsRef::as_ref)), expected);
    }
}
