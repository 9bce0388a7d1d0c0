//! Prints how fast JSON documents are decoded and tested raw: `cargo run -p pyrite-engine --example json_speed`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{Array, ArrayRef, BinaryArray};
use pyrite_engine::json::{FromJson, Needle, RawFilter};
use pyrite_engine::types::parse_schema_text;

const ROWS: usize = 10_000;
const ROUNDS: usize = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let documents = documents();
    let bytes = documents.get_array_memory_size() / ROWS;
    println!("{ROWS} documents, about {bytes} bytes each");
    let schema = parse_schema_text("user_id STRING, severity STRING, content STRING, timestamp TIMESTAMP")?;
    let function = FromJson::try_new(&schema, BTreeMap::new(), "UTC")?;
    for fields in [&["user_id", "severity", "content", "timestamp"][..], &["timestamp"], &["user_id", "timestamp"], &[]]
    {
        let mut decoder = function.project(fields)?.decoder()?;
        rate(&format!("decode {fields:?}"), || Ok(decoder.decode(documents.as_ref())?.len()))?;
    }
    let needle = |literals: &[&str], fold_case| Needle {
        alternatives: literals.iter().map(|literal| literal.as_bytes().to_vec()).collect(),
        fold_case,
    };
    for (name, needles) in [
        ("nothing matches, with case", vec![needle(&["NOTTHERE"], false)]),
        ("nothing matches, without case", vec![needle(&["notthere"], true)]),
        ("a quarter matches, without case", vec![needle(&["crash"], true)]),
        ("the monitor's two conditions", vec![needle(&["crash"], true), needle(&["High", "Critical"], false)]),
    ] {
        let filter = RawFilter::new(needles);
        rate(&format!("raw test: {name}"), || Ok(filter.select(documents.as_ref()).count_set_bits()))?;
    }
    let filter = RawFilter::new(vec![needle(&["crash"], true), needle(&["High", "Critical"], false)]);
    let mut decoder = function.decoder()?;
    rate("raw test, then decode what passes", || {
        let selection = filter.select(documents.as_ref());
        Ok(decoder.decode_selected(documents.as_ref(), &selection)?.len())
    })?;
    Ok(())
}

type Outcome = Result<usize, Box<dyn std::error::Error>>;

/// The best of some rounds.
fn rate(name: &str, mut run: impl FnMut() -> Outcome) -> Result<(), Box<dyn std::error::Error>> {
    let mut best = f64::INFINITY;
    let mut rows = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        rows = run()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    let (millions, nanos) = (ROWS as f64 / best / 1e6, best * 1e9 / ROWS as f64);
    println!("{name:60} {millions:7.2} M records/s {nanos:7.1} ns/record, {rows} rows");
    Ok(())
}

/// Documents like the benchmark's: four contents and four severities, evenly.
fn documents() -> ArrayRef {
    const CONTENTS: [&str; 4] = ["Request ok for x", "User login from x", "App crash at x", "Timeout of x"];
    const SEVERITIES: [&str; 4] = ["Low", "Medium", "High", "Critical"];
    let mut state = 42u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let documents = (0..ROWS).map(|row| {
        format!(
            "{{\"timestamp\": {}, \"status\": \"OK\", \"severity\": \"{}\", \"source_ip\": \"10.{}.{}.{}\", \
             \"user_id\": \"user_{}\", \"content\": \"{}{}\"}}",
            1_770_000_000_000 + row as u64,
            SEVERITIES[random(4) as usize],
            random(256),
            random(256),
            random(256),
            random(10_000),
            CONTENTS[random(4) as usize],
            random(1000),
        )
    });
    Arc::new(BinaryArray::from_iter_values(documents))
}
