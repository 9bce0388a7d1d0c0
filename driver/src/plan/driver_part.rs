//! The part of a plan that only the driver can do: sorts and limits over all the rows of a complete-mode batch.
//!
//! Rows stream through it. What a sort cannot hold in its share of memory, DataFusion spills to the temporary folder.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::SessionConfig;
use parking_lot::Mutex;

use crate::analysis::session;

/// Bytes that a batch's sort may hold.
const MEMORY_MAX: usize = 64 << 20;
/// Record batches that are read ahead of the sort.
const READ_AHEAD: usize = 2;

/// The name under which the rows of a batch stand in for the plan below.
const ROWS: &str = "rows";

/// A plan over the rows that the shards emit.
#[derive(Debug, Clone)]
pub struct DriverPart {
    plan: LogicalPlan,
    leaf: LogicalPlan,
    input: SchemaRef,
}

impl DriverPart {
    /// The part of `plan` above its descendant `leaf`.
    pub(super) fn new(plan: &LogicalPlan, leaf: &LogicalPlan) -> Result<Self> {
        let fields: Vec<_> = leaf.schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        Ok(DriverPart { plan: plan.clone(), leaf: leaf.clone(), input: Arc::new(Schema::new(fields)) })
    }

    /// Runs the part on one batch's rows, whose columns are the leaf's. They are read on a thread of their own.
    pub async fn run(
        &self,
        rows: impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send + 'static,
    ) -> Result<SendableRecordBatchStream> {
        self.run_within(rows, MEMORY_MAX).await
    }

    async fn run_within(
        &self,
        rows: impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send + 'static,
        memory_max: usize,
    ) -> Result<SendableRecordBatchStream> {
        let input = Input { schema: self.input.clone(), rows: Mutex::new(Some(Box::new(rows))) };
        let table = StreamingTable::try_new(self.input.clone(), vec![Arc::new(input)])?;
        let scan = LogicalPlanBuilder::scan(ROWS, provider_as_source(Arc::new(table)), None)?.build()?;
        let plan = self.plan.clone().transform_down(|node| {
            Ok(if node == self.leaf {
                Transformed::new(scan.clone(), true, TreeNodeRecursion::Jump)
            } else {
                Transformed::no(node)
            })
        })?;
        let runtime =
            RuntimeEnvBuilder::new().with_memory_pool(Arc::new(GreedyMemoryPool::new(memory_max))).build_arc()?;
        // A second partition would only hold more at a time.
        let mut config = SessionConfig::new().with_target_partitions(1);
        config.options_mut().execution.sort_spill_reservation_bytes = memory_max / 8;
        session(config, runtime).execute_logical_plan(plan.data).await?.execute_stream().await
    }
}

type InputRows = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// The rows of a batch as a table that is read once.
struct Input {
    schema: SchemaRef,
    rows: Mutex<Option<InputRows>>,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the rows of a batch")
    }
}

impl PartitionStream for Input {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStream::builder(self.schema.clone(), READ_AHEAD);
        let (sender, schema, rows) = (stream.tx(), self.schema.clone(), self.rows.lock().take());
        stream.spawn_blocking(move || {
            for batch in rows.ok_or_else(|| internal_datafusion_err!("the rows of a batch are read twice"))? {
                let batch = RecordBatch::try_new(schema.clone(), batch?.columns().to_vec())?;
                if sender.blocking_send(Ok(batch)).is_err() {
                    // A limit has what it wants.
                    break;
                }
            }
            Ok(())
        });
        stream.build()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{AsArray as _, Int64Array, StringArray};
    use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
    use datafusion::logical_expr::{col, table_scan};
    use futures::StreamExt as _;

    use super::*;

    const ROWS_IN_ALL: i64 = 60_000;
    const ROWS_A_BATCH: i64 = 1_000;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("text", DataType::Utf8, true)]))
    }

    /// Numbers in no order, each with a text of 100 bytes: 6 MB in all.
    fn rows() -> impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send {
        (0..ROWS_IN_ALL / ROWS_A_BATCH).map(|batch| {
            let numbers = (0..ROWS_A_BATCH).map(|row| (batch * ROWS_A_BATCH + row) * 7_919 % ROWS_IN_ALL);
            let numbers = Int64Array::from_iter_values(numbers);
            let texts = StringArray::from_iter_values(numbers.values().iter().map(|number| format!("{number:0100}")));
            RecordBatch::try_new(schema(), vec![Arc::new(numbers), Arc::new(texts)])
        })
    }

    /// What is below the sort; its columns have no table, as those of a planned query.
    fn leaf() -> LogicalPlan {
        let below = table_scan(Some("below"), &schema(), None).unwrap();
        below.project([col("n").alias("n"), col("text").alias("text")]).unwrap().build().unwrap()
    }

    async fn sorted(limit: Option<usize>, memory_max: usize) -> Result<Vec<i64>> {
        let leaf = leaf();
        let plan =
            LogicalPlanBuilder::from(leaf.clone()).sort(vec![col("n").sort(false, true)])?.limit(0, limit)?.build()?;
        let mut results = DriverPart::new(&plan, &leaf)?.run_within(rows(), memory_max).await?;
        let mut numbers = Vec::new();
        while let Some(batch) = results.next().await {
            numbers.extend_from_slice(batch?.column(0).as_primitive::<Int64Type>().values());
        }
        Ok(numbers)
    }

    #[tokio::test]
    async fn a_sort_of_more_than_its_memory_is_right() {
        let expected: Vec<i64> = (0..ROWS_IN_ALL).rev().collect();
        assert_eq!(sorted(None, 2 << 20).await.unwrap(), expected);
        assert_eq!(sorted(Some(5), 2 << 20).await.unwrap(), expected[..5]);
    }

    #[tokio::test]
    async fn an_error_of_the_rows_is_the_errors_of_the_result() {
        let leaf = leaf();
        let plan =
            LogicalPlanBuilder::from(leaf.clone()).sort(vec![col("n").sort(true, true)]).unwrap().build().unwrap();
        let broken = rows().take(3).chain([Err(ArrowError::IpcError("cut short".into()))]);
        let mut results = DriverPart::new(&plan, &leaf).unwrap().run(broken).await.unwrap();
        let error = results.next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("cut short"), "{error}");
    }
}
