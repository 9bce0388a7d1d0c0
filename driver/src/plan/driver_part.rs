//! The part of a plan that only the driver can do: sorts and limits over all the rows of a complete-mode batch.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::SessionContext;

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

    /// Runs the part on one batch's rows, whose columns are the leaf's.
    pub async fn run(&self, rows: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        let columns = rows.into_iter().map(|batch| RecordBatch::try_new(Arc::clone(&self.input), batch.columns().to_vec()));
        let rows = columns.collect::<Result<Vec<_>, _>>()?;
        let table = MemTable::try_new(Arc::clone(&self.input), vec![rows])?;
        let scan = LogicalPlanBuilder::scan(ROWS, provider_as_source(Arc::new(table)), None)?.build()?;
        let plan = self.plan.clone().transform_down(|node| {
            Ok(if node == self.leaf {
                Transformed::new(scan.clone(), true, TreeNodeRecursion::Jump)
            } else {
                Transformed::no(node)
            })
        })?;
        SessionContext::new().execute_logical_plan(plan.data).await?.collect().await
    }
}
