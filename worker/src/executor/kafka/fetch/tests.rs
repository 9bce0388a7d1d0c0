//! The walk against log segments of a real Kafka (`golden/`, made by `golden/make.py`), whole, in parts, and damaged.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Field, Fields, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::aborted::Aborted;
use super::record_batch::{BatchError, BatchHeader, whole_batches};
use super::walk::{Chunk, Isolation, Walker};
use crate::executor::kafka::columns::ColumnsBuilder;
use crate::executor::kafka::partition::Drain;

const CASES: [&str; 13] = [
    "plain",
    "idempotent",
    "append_time",
    "transactions",
    "compacted",
    "gzip_c",
    "gzip_java",
    "snappy_c",
    "snappy_java",
    "lz4_c",
    "lz4_java",
    "zstd_c",
    "zstd_java",
];

/// One record as `make.py` writes it: offset, timestamp, its type, key, value, headers.
type Row = (i64, i64, i32, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn golden(file: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/executor/kafka/fetch/golden").join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn bytes_of(hex: &Value) -> Option<Vec<u8>> {
    let digits = hex.as_str()?;
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    Some((0..digits.len()).step_by(2).map(byte).collect())
}

/// What the consumer read, up to the offset where the segment ends.
fn expected(case: &str, isolation: Isolation, end: i64) -> Vec<Row> {
    let read: Value = serde_json::from_slice(&golden(&format!("{case}.json"))).expect("JSON");
    let rows = match isolation {
        Isolation::ReadCommitted if !read["read_committed"].is_null() => &read["read_committed"],
        _ => &read["read_uncommitted"],
    };
    let header = |pair: &Value| (pair[0].as_str().expect("a name").to_owned(), bytes_of(&pair[1]));
    let row = |row: &Value| {
        let headers = row[5].as_array().expect("a list").iter().map(header).collect();
        let kind = row[2].as_i64().expect("a number") as i32;
        let number = |at: usize| row[at].as_i64().expect("a number");
        (number(0), number(1), kind, bytes_of(&row[3]), bytes_of(&row[4]), headers)
    };
    rows.as_array().expect("a list").iter().map(row).filter(|row| row.0 < end).collect()
}

/// The broker's index of aborted transactions: version, producer, first offset, last offset, last stable offset.
fn aborted(case: &str) -> Vec<Aborted> {
    if case != "transactions" {
        return Vec::new();
    }
    let index = golden("transactions.txnindex");
    let number = |entry: &[u8], at: usize| i64::from_be_bytes(entry[at..at + 8].try_into().expect("eight bytes"));
    let entries = index.chunks_exact(34);
    entries.map(|entry| Aborted { producer_id: number(entry, 2), first_offset: number(entry, 10) }).collect()
}

fn chunk(case: &str, isolation: Isolation) -> (Chunk, i64) {
    let batches = Bytes::from(golden(&format!("{case}.bin")));
    let whole = whole_batches(&batches).expect("well-formed");
    assert_eq!(whole.bytes, batches.len(), "{case}: the segment ends with a whole batch");
    let aborted = if isolation == Isolation::ReadCommitted { aborted(case) } else { Vec::new() };
    (Chunk { batches, aborted }, whole.next.expect("it has a batch"))
}

fn schema() -> SchemaRef {
    let header =
        Fields::from(vec![Field::new("key", DataType::Utf8, true), Field::new("value", DataType::Binary, true)]);
    Arc::new(Schema::new(vec![
        Field::new("offset", DataType::Int64, true),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("timestampType", DataType::Int32, true),
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("headers", DataType::new_list(DataType::Struct(header), true), true),
    ]))
}

fn columns() -> ColumnsBuilder {
    ColumnsBuilder::new(schema(), "t", 0).expect("known columns")
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let binary = |column: usize, row: usize| {
        let array = batch.column(column).as_binary::<i32>();
        array.is_valid(row).then(|| array.value(row).to_vec())
    };
    let headers = |row: usize| {
        let list = batch.column(5).as_list::<i32>();
        if list.is_null(row) {
            return Vec::new();
        }
        let entries = list.value(row);
        let (names, values) =
            (entries.as_struct().column(0).as_string::<i32>(), entries.as_struct().column(1).as_binary::<i32>());
        let value = |at: usize| values.is_valid(at).then(|| values.value(at).to_vec());
        (0..entries.len()).map(|at| (names.value(at).to_owned(), value(at))).collect()
    };
    let row = |at: usize| {
        let micros = batch.column(1).as_primitive::<TimestampMicrosecondType>().value(at);
        let kind = batch.column(2).as_primitive::<Int32Type>().value(at);
        let offset = batch.column(0).as_primitive::<Int64Type>().value(at);
        (offset, micros / 1000, kind, binary(3, at), binary(4, at), headers(at))
    };
    (0..batch.num_rows()).map(row).collect()
}

/// Reads `[start, end)` in ranges of `step` offsets.
fn read(chunk: Chunk, isolation: Isolation, range: std::ops::Range<i64>, step: i64) -> Result<Vec<Row>, BatchError> {
    let mut walker = Walker::new(isolation);
    walker.load(chunk);
    let (mut columns, mut position, mut drained) = (columns(), range.start, 0);
    let mut read = Vec::new();
    while position < range.end {
        let end = (position + step).min(range.end);
        let mut drain = Drain::new(position, end, &mut columns);
        walker.drain(&mut drain)?;
        (position, drained) = (drain.position, drained + drain.rows);
        read.extend(rows(&columns.finish().expect("columns of one length")));
        assert_eq!(position, end, "the headers tell that nothing else comes");
    }
    assert_eq!(drained, read.len() as u64);
    Ok(read)
}

#[test]
fn the_walk_reads_what_a_real_consumer_reads() {
    for case in CASES {
        for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
            let (_, end) = chunk(case, isolation);
            let wanted = expected(case, isolation, end);
            assert!(!wanted.is_empty());
            for step in [i64::MAX / 2, 1, 3, 7] {
                let found = read(chunk(case, isolation).0, isolation, 0..end, step).expect("well-formed");
                assert_eq!(found, wanted, "{case}, {isolation:?}, {step} offsets at a time");
            }
            for start in 0..end {
                let found = read(chunk(case, isolation).0, isolation, start..end, 5).expect("well-formed");
                let from = wanted.partition_point(|row| row.0 < start);
                assert_eq!(found, wanted[from..], "{case}, {isolation:?}, from {start}");
            }
        }
    }
}

#[test]
fn isolation_makes_a_difference_where_transactions_were_aborted() {
    let texts = |isolation| {
        let (chunk, end) = chunk("transactions", isolation);
        let rows = read(chunk, isolation, 0..end, i64::MAX / 2).expect("well-formed");
        let text = |row: Row| String::from_utf8(row.4.expect("no nulls")).expect("text");
        rows.into_iter().map(text).collect::<Vec<String>>()
    };
    let committed = texts(Isolation::ReadCommitted);
    assert!(committed.iter().all(|text| !text.contains("False") && !text.contains("aborted")), "{committed:?}");
    assert!(committed.contains(&"first commits after its abort".to_owned()));
    assert!(texts(Isolation::ReadUncommitted).contains(&"first aborted, more".to_owned()));
}

#[test]
fn a_changed_byte_is_told_by_the_checksum() {
    let (Chunk { batches, .. }, end) = chunk("plain", Isolation::ReadUncommitted);
    let mut damaged = batches.to_vec();
    damaged[80] ^= 1;
    let chunk = Chunk { batches: damaged.into(), aborted: Vec::new() };
    let error = read(chunk, Isolation::ReadUncommitted, 0..end, 100).expect_err("damaged");
    assert!(matches!(error, BatchError::Checksum { .. }), "{error}");
}

#[test]
fn a_batch_that_is_not_all_there_is_left_for_the_next_fetch() {
    let (Chunk { batches, .. }, _) = chunk("plain", Isolation::ReadUncommitted);
    let first = BatchHeader::read(&batches).expect("well-formed").expect("whole");
    for cut in [0, 1, 11, 12, 16, 40, first.length - 1] {
        assert_eq!(whole_batches(&batches[..cut]).expect("nothing is wrong").next, None, "{cut} bytes");
    }
    let whole = whole_batches(&batches[..first.length + 20]).expect("well-formed");
    assert_eq!((whole.bytes, whole.next), (first.length, Some(first.last_offset + 1)));
}

#[test]
fn older_formats_are_told_apart() {
    let mut batches = golden("plain.bin");
    batches[16] = 1;
    assert!(matches!(whole_batches(&batches), Err(BatchError::OldFormat(1))));
}

/// Makes the checksums right again, so that what lies behind them is reached.
fn mend(batches: &mut [u8]) {
    let mut at = 0;
    while let Ok(Some(header)) = BatchHeader::read(&batches[at..]) {
        let checksum = crc32c::crc32c(&batches[at + 21..at + header.length]);
        batches[at + 17..at + 21].copy_from_slice(&checksum.to_be_bytes());
        at += header.length;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever bytes come, the walk ends: with rows within the range, or with an error.
    #[test]
    fn no_bytes_make_the_walk_panic_or_leave_its_range(
        case in 0..CASES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_mended in any::<bool>(),
        start in 0i64..30,
        length in 1i64..60,
    ) {
        let mut batches = golden(&format!("{}.bin", CASES[case]));
        for (place, byte) in changes {
            let place = place.index(batches.len());
            batches[place] = byte;
        }
        batches.truncate(cut.index(batches.len() * 4).max(batches.len() / 2));
        if is_mended {
            mend(&mut batches);
        }
        if let Ok(whole) = whole_batches(&batches) {
            batches.truncate(whole.bytes);
        }
        let isolation = if is_mended { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
        let mut walker = Walker::new(isolation);
        walker.load(Chunk { batches: batches.into(), aborted: aborted(CASES[case]) });
        let mut columns = columns();
        let end = start + length;
        let mut drain = Drain::new(start, end, &mut columns);
        let result = walker.drain(&mut drain);
        let position = drain.position;
        prop_assert!((start..=end).contains(&position));
        let read = rows(&columns.finish().expect("columns of one length"));
        prop_assert!(read.windows(2).all(|pair| pair[0].0 < pair[1].0));
        prop_assert!(read.iter().all(|row| (start..end).contains(&row.0)));
        if result.is_ok() {
            prop_assert!(position == end || walker.is_done() || !read.is_empty());
        }
    }
}
