//! Properties of the state codec over random rows: what is written is read back, keys are equal exactly when their
//! values are, no row is the beginning of another, and bytes from outside never panic.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, ListBuilder,
    StringArray, StringBuilder, StructArray,
};
use arrow::datatypes::{DataType, Field};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Purpose, RowCodec, split_due, state_key};

/// One row with a value of each shape that the codec tells apart.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    long: Option<i64>,
    text: Option<String>,
    flag: Option<bool>,
    float: Option<f64>,
    bytes: Option<Vec<u8>>,
    decimal: Option<i128>,
    /// An absent struct, or its two fields.
    pair: Option<(Option<i32>, Option<String>)>,
    list: Option<Vec<Option<String>>>,
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    // Few distinct values, so that equal rows and rows that share their beginning are common.
    let text = || prop::option::of("[ab]{0,2}|\u{e9}\u{1f600}|\\PC{0,9}");
    let float = prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), Just(-f64::NAN), Just(f64::INFINITY), any::<f64>()];
    let scalars = (
        prop::option::of(prop_oneof![0..3i64, any::<i64>()]),
        text(),
        any::<Option<bool>>(),
        prop::option::of(float),
        prop::option::of(vec(0..3u8, 0..4)),
        prop::option::of(prop_oneof![0..3i128, -(10i128.pow(37))..10i128.pow(37)]),
    );
    let nested = (prop::option::of((any::<Option<i32>>(), text())), prop::option::of(vec(text(), 0..3)));
    let row = (scalars, nested).prop_map(|((long, text, flag, float, bytes, decimal), (pair, list))| Row {
        long,
        text,
        flag,
        float,
        bytes,
        decimal,
        pair,
        list,
    });
    vec(row, 1..12)
}

fn columns(rows: &[Row]) -> Vec<ArrayRef> {
    let mut lists = ListBuilder::new(StringBuilder::new());
    rows.iter().for_each(|row| lists.append_option(row.list.clone()));
    let decimals: Decimal128Array = rows.iter().map(|row| row.decimal).collect();
    vec![
        Arc::new(rows.iter().map(|row| row.long).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.text.as_deref()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.flag).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.float).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.bytes.as_deref()).collect::<BinaryArray>()),
        Arc::new(decimals.with_precision_and_scale(38, 10).expect("within 38 digits")),
        Arc::new(pairs(rows)),
        Arc::new(lists.finish()),
    ]
}

fn pairs(rows: &[Row]) -> StructArray {
    let fields = vec![Field::new("n", DataType::Int32, true), Field::new("s", DataType::Utf8, true)];
    let numbers: Int32Array = rows.iter().map(|row| row.pair.as_ref().and_then(|pair| pair.0)).collect();
    let texts: StringArray = rows.iter().map(|row| row.pair.as_ref().and_then(|pair| pair.1.as_deref())).collect();
    let present = rows.iter().map(|row| row.pair.is_some()).collect::<Vec<_>>();
    StructArray::new(fields.into(), vec![Arc::new(numbers), Arc::new(texts)], Some(present.into()))
}

fn codec(columns: &[ArrayRef], purpose: Purpose) -> RowCodec {
    RowCodec::new(columns.iter().map(|column| column.data_type().clone()).collect(), purpose).expect("supported types")
}

/// Whether Spark groups the two rows together: one zero, one NaN.
fn group_together(left: &Row, right: &Row) -> bool {
    let canonical = |row: &Row| {
        let float = row.float.map(|float| if float.is_nan() { f64::NAN.to_bits() } else { (float + 0.0).to_bits() });
        (Row { float: None, ..row.clone() }, float)
    };
    canonical(left) == canonical(right)
}

proptest! {
    #[test]
    fn rows_come_back_as_they_were(rows in rows()) {
        let columns = columns(&rows);
        let codec = codec(&columns, Purpose::Value);
        let encoded = codec.encode(&columns, rows.len());
        let decoded = codec.decode((0..encoded.len()).map(|row| encoded.row(row))).expect("own rows decode");
        prop_assert_eq!(decoded.len(), columns.len());
        for (decoded, column) in decoded.iter().zip(&columns) {
            prop_assert_eq!(decoded, column);
        }
        let again = codec.encode(&decoded, rows.len());
        prop_assert_eq!(again.data, encoded.data);
    }

    #[test]
    fn keys_are_equal_when_values_are_and_none_begins_another(rows in rows()) {
        let columns = columns(&rows);
        let encoded = codec(&columns, Purpose::Key).encode(&columns, rows.len());
        for left in 0..rows.len() {
            for right in 0..rows.len() {
                let together = group_together(&rows[left], &rows[right]);
                prop_assert_eq!(encoded.row(left) == encoded.row(right), together, "{:?} {:?}", rows[left], rows[right]);
                prop_assert!(together || !encoded.row(left).starts_with(encoded.row(right)));
            }
        }
    }

    #[test]
    fn slices_encode_as_whole_columns_do(rows in rows(), cut in any::<prop::sample::Index>()) {
        let columns = columns(&rows);
        let cut = cut.index(rows.len());
        let codec = codec(&columns, Purpose::Key);
        let whole = codec.encode(&columns, rows.len());
        let rest: Vec<ArrayRef> = columns.iter().map(|column| column.slice(cut, rows.len() - cut)).collect();
        let sliced = codec.encode(&rest, rows.len() - cut);
        for row in cut..rows.len() {
            prop_assert_eq!(sliced.row(row - cut), whole.row(row));
        }
    }

    #[test]
    fn bytes_that_are_no_rows_are_errors_or_rows_but_never_panics(bytes in vec(prop_oneof![0..3u8, any::<u8>()], 0..60)) {
        let columns = columns(&[]);
        if let Ok(decoded) = codec(&columns, Purpose::Value).decode([&bytes[..]].into_iter()) {
            prop_assert!(decoded.iter().all(|column| column.len() == 1));
        }
    }

    #[test]
    fn state_keys_order_by_bucket_then_due_time_then_key(
        left in (0..1024u16, any::<i64>(), vec(0..3u8, 0..4)),
        right in (0..1024u16, any::<i64>(), vec(0..3u8, 0..4)),
    ) {
        let key = |(bucket, due, key): &(u16, i64, Vec<u8>)| state_key(*bucket, Some(*due), key);
        prop_assert_eq!(key(&left).cmp(&key(&right)), left.cmp(&right));
        let bytes = key(&left);
        prop_assert_eq!(split_due(&bytes), Some((left.1, &left.2[..])));
    }
}
