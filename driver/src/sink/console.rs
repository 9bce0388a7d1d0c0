//! The console sink: each batch as Spark prints it, to standard output.

use std::collections::BTreeMap;
use std::io::Write;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use pyrite_engine::error::{ExceptionKind, SparkError};
use pyrite_engine::types::Zone;

use super::{BatchSink, Rows, TableFormat, format_table, illegal, option};

const LINE: &str = "-------------------------------------------";
/// Spark's defaults of `numRows` and `truncate`.
const NUM_ROWS: usize = 20;
const TRUNCATE: usize = 20;

/// Prints batches.
pub struct ConsoleSink {
    format: TableFormat,
    schema: SchemaRef,
    zone: Zone,
    last: Option<u64>,
}

impl ConsoleSink {
    /// Reads the options `numRows` and `truncate`, which as in Spark is a boolean here.
    pub fn new(options: &BTreeMap<String, String>, schema: SchemaRef, zone: Zone) -> Result<ConsoleSink, SparkError> {
        let num_rows = match option(options, "numRows") {
            None => NUM_ROWS,
            Some(text) => {
                let number: i64 = text
                    .trim()
                    .parse()
                    .map_err(|_| illegal(format!("For input string: \"{text}\" (option `numRows`)")))?;
                usize::try_from(number).unwrap_or(0)
            }
        };
        let truncate = match option(options, "truncate").map(|text| text.trim().to_lowercase()).as_deref() {
            None | Some("true") => TRUNCATE,
            Some("false") => 0,
            Some(other) => return Err(illegal(format!("{other} is not a boolean string. (option `truncate`)"))),
        };
        Ok(ConsoleSink { format: TableFormat { num_rows, truncate, vertical: false }, schema, zone, last: None })
    }

    /// What is printed for a batch: its first rows, and one more to know that there are more.
    fn text(&self, batch: u64, rows: &mut Rows<'_>) -> Result<String, SparkError> {
        let mut first: Vec<RecordBatch> = Vec::new();
        let mut missing = self.format.num_rows.saturating_add(1);
        while missing > 0
            && let Some(more) = rows.next()?
        {
            let taken = more.slice(0, more.num_rows().min(missing));
            missing -= taken.num_rows();
            first.push(taken);
        }
        let table = format_table(&self.schema, &first, self.format, &self.zone)?;
        Ok(format!("{LINE}\nBatch: {batch}\n{LINE}\n{table}\n"))
    }
}

impl BatchSink for ConsoleSink {
    fn add_batch(&mut self, batch: u64, rows: &mut Rows<'_>) -> Result<(), SparkError> {
        if self.last.is_some_and(|last| batch <= last) {
            return Ok(());
        }
        let text = self.text(batch, rows)?;
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| {
            SparkError::new(
                ExceptionKind::Runtime,
                "",
                "",
                format!("cannot write batch {batch} to the console: {error}"),
            )
        })?;
        self.last = Some(batch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::StringArray;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("user_id", DataType::Utf8, true)]))
    }

    fn sink(pairs: &[(&str, &str)]) -> Result<ConsoleSink, SparkError> {
        let options = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        ConsoleSink::new(&options, schema(), Zone::utc())
    }

    #[test]
    fn a_batch_looks_as_spark_prints_it() {
        let rows = RecordBatch::try_new(schema(), vec![Arc::new(StringArray::from(vec!["user_1"]))]).unwrap();
        let mut rows = Rows::new([Ok(rows)].into_iter());
        let text = sink(&[("truncate", "false")]).unwrap().text(3, &mut rows).unwrap();
        let expected = "-------------------------------------------\nBatch: 3\n-------------------------------------------\n\
                        +-------+\n|user_id|\n+-------+\n|user_1 |\n+-------+\n\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn no_more_rows_are_read_than_are_printed_and_one() {
        let one = RecordBatch::try_new(schema(), vec![Arc::new(StringArray::from(vec!["x"; 2]))]).unwrap();
        let read = std::cell::Cell::new(0);
        let endless = std::iter::repeat_with(|| {
            read.set(read.get() + 1);
            Ok(one.clone())
        });
        let text = sink(&[("numRows", "4")]).unwrap().text(3, &mut Rows::new(endless)).unwrap();
        assert!(text.ends_with("only showing top 4 rows\n"), "{text}");
        assert_eq!(text.matches("|x").count() + text.matches("|      x|").count(), 4, "{text}");
        assert_eq!(read.get(), 3);
    }

    #[test]
    fn truncate_is_a_boolean() {
        assert!(sink(&[("truncate", "5")]).is_err_and(|error| error.message.contains("5 is not a boolean")));
        assert!(sink(&[("NUMROWS", "x")]).is_err());
        assert_eq!(sink(&[("numrows", "3")]).unwrap().format.num_rows, 3);
    }
}
