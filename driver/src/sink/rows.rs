//! A batch's rows on their way to a sink.

use datafusion::arrow::record_batch::RecordBatch;
use pyrite_engine::error::SparkError;

/// The rows of one batch, of which only one record batch need be in memory at a time. All have the sink's schema.
pub struct Rows<'a> {
    batches: Box<dyn Iterator<Item = Result<RecordBatch, SparkError>> + 'a>,
    count: u64,
}

impl<'a> Rows<'a> {
    pub fn new(batches: impl Iterator<Item = Result<RecordBatch, SparkError>> + 'a) -> Rows<'a> {
        Rows { batches: Box::new(batches), count: 0 }
    }

    /// The next rows, never none of them; `None` after the last.
    ///
    /// # Errors
    /// The rows cannot be read or computed: the batch fails, and the sink must not have let anything out of it.
    #[expect(clippy::should_implement_trait, reason = "an error ends the rows, and `?` is what sinks want")]
    pub fn next(&mut self) -> Result<Option<RecordBatch>, SparkError> {
        for rows in self.batches.by_ref() {
            let rows = rows?;
            if rows.num_rows() > 0 {
                self.count += rows.num_rows() as u64;
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    /// How many rows the batch has; reads what is left.
    ///
    /// # Errors
    /// As [`Rows::next`].
    pub fn count_all(&mut self) -> Result<u64, SparkError> {
        while self.next()?.is_some() {}
        Ok(self.count)
    }
}
