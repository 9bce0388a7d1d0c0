//! The memory sink: a table that the session can query, named as the query. By its nature it holds rows in the driver's
//! memory, without bound: in append and update mode all that there ever were, in complete mode those of the last batch
//! (and while it is replaced, of two). As in Spark it is for looking at small results.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use parking_lot::RwLock;
use pyrite_engine::error::SparkError;
use pyrite_engine::plan::OutputMode;

use super::{BatchSink, Rows};

/// The tables of memory sinks; clones share them. Names compare without case.
#[derive(Clone, Default)]
pub struct MemoryCatalog {
    tables: Arc<RwLock<BTreeMap<String, Table>>>,
}

#[derive(Clone)]
struct Table {
    schema: SchemaRef,
    batches: Arc<RwLock<Vec<RecordBatch>>>,
}

impl MemoryCatalog {
    /// A table's columns under Spark's names and its rows so far.
    pub fn get(&self, name: &str) -> Option<(SchemaRef, Vec<RecordBatch>)> {
        let tables = self.tables.read();
        tables.get(&name.to_lowercase()).map(|table| (table.schema.clone(), table.batches.read().clone()))
    }

    /// Takes a table out, and its rows when no query writes to it. False: there is none.
    pub fn remove(&self, name: &str) -> bool {
        self.tables.write().remove(&name.to_lowercase()).is_some()
    }

    /// The tables' names, lower case.
    pub fn names(&self) -> Vec<String> {
        self.tables.read().keys().cloned().collect()
    }
}

/// Appends batches to a table, or replaces it in complete mode.
pub struct MemorySink {
    catalog: MemoryCatalog,
    name: String,
    table: Table,
    mode: OutputMode,
    last: Option<u64>,
}

impl MemorySink {
    /// A sink with an empty table, which the catalog shows when the query has started.
    pub fn new(catalog: &MemoryCatalog, name: &str, schema: SchemaRef, mode: OutputMode) -> MemorySink {
        let table = Table { schema, batches: Arc::default() };
        MemorySink { catalog: catalog.clone(), name: name.to_lowercase(), table, mode, last: None }
    }
}

impl BatchSink for MemorySink {
    /// A table of that name is replaced, as Spark.
    fn query_started(&mut self) {
        self.catalog.tables.write().insert(self.name.clone(), self.table.clone());
    }

    fn add_batch(&mut self, batch: u64, rows: &mut Rows<'_>) -> Result<(), SparkError> {
        if self.last.is_some_and(|last| batch <= last) {
            return Ok(());
        }
        // The table changes when all rows are read, so that a batch that fails leaves nothing in it.
        let mut added = Vec::new();
        while let Some(rows) = rows.next()? {
            added.push(rows);
        }
        let mut batches = self.table.batches.write();
        if self.mode == OutputMode::Complete {
            batches.clear();
        }
        batches.append(&mut added);
        self.last = Some(batch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn rows(values: Vec<i64>) -> (SchemaRef, RecordBatch) {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        (schema.clone(), RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values))]).unwrap())
    }

    fn add(sink: &mut MemorySink, number: u64, batch: &RecordBatch) {
        sink.add_batch(number, &mut Rows::new([Ok(batch.clone())].into_iter())).unwrap();
    }

    fn count(catalog: &MemoryCatalog) -> usize {
        catalog.get("T").unwrap().1.iter().map(RecordBatch::num_rows).sum()
    }

    #[test]
    fn append_adds_complete_replaces_and_a_repeat_changes_nothing() {
        let catalog = MemoryCatalog::default();
        let (schema, batch) = rows(vec![1, 2]);
        let mut sink = MemorySink::new(&catalog, "t", schema.clone(), OutputMode::Append);
        assert!(catalog.get("t").is_none());
        sink.query_started();
        add(&mut sink, 0, &batch);
        add(&mut sink, 0, &batch);
        add(&mut sink, 1, &batch);
        assert_eq!(count(&catalog), 4);
        let lost = Err(SparkError::unsupported("x"));
        assert!(sink.add_batch(2, &mut Rows::new([Ok(batch.clone()), lost].into_iter())).is_err());
        assert_eq!(count(&catalog), 4, "a batch that fails leaves nothing");
        let mut sink = MemorySink::new(&catalog, "t", schema, OutputMode::Complete);
        assert_eq!(count(&catalog), 4, "a query that has not started replaces nothing");
        sink.query_started();
        add(&mut sink, 0, &batch);
        add(&mut sink, 1, &batch);
        assert_eq!(count(&catalog), 2);
    }
}
