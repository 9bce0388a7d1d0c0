//! Properties over random documents.

use datafusion::arrow::array::{Array, AsArray, BinaryArray};
use datafusion::arrow::buffer::BooleanBuffer;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::super::from_json::FromJson;
use super::super::raw_filter::{Needle, RawFilter};
use super::super::text::write_string;
use super::{column, decoder, show};
use crate::types::parse_schema_text;

/// A schema whose values serde_json writes as the decoder's result is shown: no floats, no times.
const SCHEMA: &str = "a INT, b STRING, c ARRAY<BIGINT>, d STRUCT<x: BOOLEAN, y: STRING>, e MAP<STRING, INT>, \
                      f ARRAY<STRUCT<p: STRING>>";
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn nullable(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    prop_oneof![1 => Just(Value::Null), 5 => value].boxed()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9 ]{0,20}",
        "[a-f\\\\\"/\n\tA-Fé😀\u{212a}{}:,]{0,12}",
        Just("crash".to_owned()),
        Just("Critical".to_owned()),
    ]
}

fn string() -> BoxedStrategy<Value> {
    nullable(text().prop_map(Value::from))
}

fn object(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    values
        .prop_map(move |values| {
            Value::Object(names.iter().map(|name| (*name).to_owned()).zip(values).collect::<Map<_, _>>())
        })
        .boxed()
}

fn document() -> BoxedStrategy<Value> {
    object(vec![
        ("a", nullable(any::<i32>().prop_map(Value::from))),
        ("b", string()),
        (
            "c",
            nullable(prop::collection::vec(nullable(any::<i64>().prop_map(Value::from)), 0..4).prop_map(Value::from)),
        ),
        ("d", nullable(object(vec![("x", nullable(any::<bool>().prop_map(Value::from))), ("y", string())]))),
        (
            "e",
            nullable(
                prop::collection::btree_map("[a-z]{0,3}", nullable(any::<i32>().prop_map(Value::from)), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ),
        ),
        ("f", nullable(prop::collection::vec(object(vec![("p", string())]), 0..3).prop_map(Value::from))),
    ])
}

/// How a document is written: the order of its fields, white space, escapes, fields the schema does not have.
#[derive(Debug, Clone)]
struct Style {
    order: Vec<usize>,
    space: &'static str,
    escape: bool,
    extra: bool,
    leave_out_nulls: bool,
}

fn style() -> impl Strategy<Value = Style> {
    (
        Just((0..NAMES.len()).collect::<Vec<_>>()).prop_shuffle(),
        prop_oneof![Just(""), Just(" "), Just("\n\t ")],
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(order, space, escape, extra, leave_out_nulls)| Style {
            order,
            space,
            escape,
            extra,
            leave_out_nulls,
        })
}

fn write(value: &Value, style: &Style, out: &mut String) {
    let space = style.space;
    match value {
        Value::Object(fields) => {
            out.push('{');
            for (index, (name, value)) in fields.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(space);
                write_text(name, style, out);
                out.push_str(&format!("{space}:{space}"));
                write(value, style, out);
                out.push_str(space);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(space);
                write(value, style, out);
                out.push_str(space);
            }
            out.push(']');
        }
        Value::String(text) => write_text(text, style, out),
        other => out.push_str(&other.to_string()),
    }
}

fn write_text(text: &str, style: &Style, out: &mut String) {
    if !style.escape {
        return write_string(text, out);
    }
    out.push('"');
    text.encode_utf16().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
    out.push('"');
}

fn render(value: &Value, style: &Style) -> String {
    let mut fields = Map::new();
    if style.extra {
        fields.insert("unknown".to_owned(), serde_json::json!({"a": [1.5, "x"], "b": null}));
    }
    for &index in &style.order {
        let value = &value[NAMES[index]];
        if !(value.is_null() && style.leave_out_nulls) {
            fields.insert(NAMES[index].to_owned(), value.clone());
        }
    }
    let mut out = String::new();
    write(&Value::Object(fields), style, &mut out);
    out
}

/// Any kind of damage.
fn damage(text: &str, at: usize, kind: u8, byte: u8) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    let at = at % bytes.len().max(1);
    match kind % 4 {
        0 => bytes.truncate(at),
        1 => bytes[at] = byte,
        2 => drop(bytes.remove(at)),
        _ => bytes.insert(at, byte),
    }
    bytes
}

const DAMAGE: &[u8] = b"{}[],:\"'\\0123456789.eE+-tfnuNI /*\n\x00\xc3\xf0";

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn documents_come_back_as_they_were(documents in prop::collection::vec((document(), style()), 1..8)) {
        let written: Vec<String> = documents.iter().map(|(value, style)| render(value, style)).collect();
        let shown = show(&decoder(SCHEMA, &[]).decode(&column(&written)).expect("permissive"));
        for ((value, _), row) in documents.iter().zip(shown) {
            let back: Value = serde_json::from_str(&row).expect("to_json writes JSON");
            prop_assert_eq!(value, &back);
        }
    }

    #[test]
    fn damaged_documents_are_rows_like_others(
        documents in prop::collection::vec((document(), style(), any::<usize>(), any::<u8>(), prop::sample::select(DAMAGE)), 1..8),
        projected in prop::sample::subsequence(&NAMES[..], 0..6),
    ) {
        let bytes: Vec<Vec<u8>> = documents
            .iter()
            .map(|(value, style, at, kind, byte)| damage(&render(value, style), *at, *kind, *byte))
            .collect();
        let column = BinaryArray::from_iter_values(&bytes);
        let full = decoder(SCHEMA, &[]).decode(&column).expect("permissive");
        prop_assert_eq!(full.len(), bytes.len());

        // One by one and all together, with and without a memory of the last document, the same.
        for (row, document) in bytes.iter().enumerate() {
            let alone = BinaryArray::from_iter_values([document]);
            let alone = decoder(SCHEMA, &[]).decode(&alone).expect("permissive");
            prop_assert_eq!(show(&alone)[0].clone(), show(&full)[row].clone());
        }

        // A projection gives the columns of the whole.
        let schema = parse_schema_text(SCHEMA).expect("a schema");
        let function = FromJson::try_new(&schema, Default::default(), "UTC").expect("valid");
        let mut decoder = function.project(&projected).expect("fields").decoder().expect("a decoder");
        let part = decoder.decode(&column).expect("permissive");
        prop_assert_eq!(part.nulls(), full.nulls());
        for (index, name) in projected.iter().enumerate() {
            let whole = full.as_struct().column_by_name(name).expect("a field");
            prop_assert_eq!(part.as_struct().column(index), whole);
        }

        // A selection gives the rows of the whole.
        let selection = BooleanBuffer::from_iter((0..bytes.len()).map(|row| row % 2 == 0));
        let selected = decoder.decode_selected(&column, &selection).expect("permissive");
        let rows: Vec<String> = show(&part).into_iter().step_by(2).collect();
        prop_assert_eq!(show(&selected), rows);
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(prop::collection::vec(prop::sample::select(DAMAGE), 0..40), 1..5)) {
        for options in [&[][..], &[("allowComments", "true"), ("allowUnquotedFieldNames", "true")]] {
            let column = BinaryArray::from_iter_values(&bytes);
            prop_assert_eq!(decoder(SCHEMA, options).decode(&column).expect("permissive").len(), bytes.len());
        }
    }

    #[test]
    fn the_raw_filter_loses_no_row(
        documents in prop::collection::vec((loose_value(), loose_value(), style()), 1..12),
        literals in prop::collection::vec(literal(), 1..3),
        fold in prop_oneof![Just(None), Just(Some(false)), Just(Some(true))],
    ) {
        let written: Vec<String> = documents
            .iter()
            .map(|(a, b, style)| format!("{{\"a\":{}{},\"b\":{}}}", style.space, a.replace(' ', style.space), b))
            .collect();
        let column = column(&written);
        let decoded = decoder("a STRING, b STRUCT<c: STRING>", &[]).decode(&column).expect("permissive");
        let alternatives = literals.iter().map(|literal| literal.as_bytes().to_vec()).collect();
        let filter = RawFilter::new(vec![Needle { alternatives, fold_case: fold.is_some() }]);
        let selected = filter.select(&column);
        let fields = decoded.as_struct();
        let inner = fields.column(1).as_struct().column(0).as_string::<i32>();
        for (row, document) in written.iter().enumerate() {
            for values in [fields.column(0).as_string::<i32>(), inner] {
                if values.is_null(row) {
                    continue;
                }
                let value = match fold {
                    None => values.value(row).to_owned(),
                    Some(false) => values.value(row).to_lowercase(),
                    Some(true) => values.value(row).to_uppercase(),
                };
                let passes = literals.iter().any(|literal| value.contains(literal.as_str()));
                prop_assert!(!passes || selected.value(row), "{:?} of {} lost for {:?}", value, document, literals);
            }
            prop_assert_eq!(selected.value(row), filter.matches(document.as_bytes()));
        }
    }
}

/// A JSON value written in all the ways that a STRING field rewrites.
fn loose_value() -> BoxedStrategy<String> {
    let scalar = prop_oneof![
        text().prop_map(|text| {
            let mut out = String::new();
            write_string(&text, &mut out);
            out
        }),
        "'[a-zA-Z\"ßſK😀é ]{0,8}'",
        Just("1e400".to_owned()),
        Just("NaN".to_owned()),
        Just("-Infinity".to_owned()),
        "-?[1-9][0-9]{0,3}(\\.[0-9]{1,3})?([eE]-?[0-9]{1,2})?",
        Just("null".to_owned()),
        Just("true".to_owned()),
        "\"[a-fA-FkKıİſsSﬁ]{1,6}(crash|Critical)?\"",
    ]
    .boxed();
    scalar
        .prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(|values| format!("[ {} ]", values.join(" , "))),
                prop::collection::vec(("[a-zA-Z]{1,3}", inner), 0..3).prop_map(|fields| {
                    let fields: Vec<String> =
                        fields.into_iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
                    format!(
                        "{{ \"c\" : {} }}",
                        fields.first().map_or("1".to_owned(), |_| format!("{{ {} }}", fields.join(" , ")))
                    )
                }),
            ]
        })
        .boxed()
}

/// A literal that may well occur in such a value.
fn literal() -> BoxedStrategy<String> {
    prop_oneof![
        Just("crash".to_owned()),
        Just("Critical".to_owned()),
        "[a-fA-FkKsSi]{1,3}",
        "[0-9.eE]{1,3}",
        "(inf|NaN|ity|true|u|D83|uD83D|0cr|\"|\\{\"c\":|,|\\]|é|😀|\\\\)",
        "[a-e]{0,2}[\",:{}\\[\\]][a-e]{0,2}",
    ]
    .boxed()
}
