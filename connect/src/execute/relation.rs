//! A relation at the root of a plan: its rows go to the client. `show()` and `tail()` exist only there.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use pyrite_driver::analysis::{Analyzed, collect};
use pyrite_driver::sink::{TableFormat, format_table};
use pyrite_engine::error::SparkError;

use super::Execution;
use crate::context::schema_of;
use crate::error::invalid_plan;
use crate::ipc;
use crate::transcribe::struct_to_wire;
use crate::wire::execute_plan_response::ResponseType;
use crate::wire::{self, ExecutePlanResponse, relation::RelType};

/// Sends the rows of a relation.
pub async fn execute(execution: &Execution, relation: wire::Relation) -> Result<(), SparkError> {
    match relation.rel_type {
        Some(RelType::ShowString(show)) => show_string(execution, *show).await,
        Some(RelType::Tail(tail)) => {
            let analyzed = analyze_input(execution, tail.input).await?;
            let rows = collect(&analyzed).await?;
            let last = last_rows(&rows, usize::try_from(tail.limit).unwrap_or(0));
            send(execution, &analyzed, &last).await
        }
        Some(RelType::Catalog(catalog)) => {
            let (schema, rows) = super::set_command::catalog(&execution.context, catalog)?;
            send_batches(execution, &schema, &[rows]).await
        }
        _ => {
            let analyzed = execution.context.analyze(relation).await?;
            let rows = collect(&analyzed).await?;
            send(execution, &analyzed, &rows).await
        }
    }
}

async fn analyze_input(execution: &Execution, input: Option<Box<wire::Relation>>) -> Result<Analyzed, SparkError> {
    let input = input.ok_or_else(|| invalid_plan("the message has no `input`"))?;
    execution.context.analyze(*input).await
}

async fn send(execution: &Execution, analyzed: &Analyzed, rows: &[RecordBatch]) -> Result<(), SparkError> {
    let schema = schema_of(&analyzed.output);
    execution
        .operation
        .push_response(ExecutePlanResponse {
            schema: Some(struct_to_wire(schema.fields().iter().map(AsRef::as_ref))?),
            ..Default::default()
        })
        .await;
    // Arrow's nullability is a promise about the buffers, Spark's one about the plan: only the latter is sent above.
    let nullable: Vec<Field> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let data_type = rows.first().map_or(field.data_type(), |batch| batch.column(index).data_type());
            Field::new(field.name(), data_type.clone(), true)
        })
        .collect();
    send_batches(execution, &Arc::new(Schema::new(nullable)), rows).await
}

async fn send_batches(execution: &Execution, schema: &SchemaRef, rows: &[RecordBatch]) -> Result<(), SparkError> {
    for message in ipc::messages(schema, rows)? {
        execution.operation.push(ResponseType::ArrowBatch(message)).await;
    }
    Ok(())
}

/// `df.show()`: one row with the whole table as text.
async fn show_string(execution: &Execution, show: wire::ShowString) -> Result<(), SparkError> {
    let num_rows = usize::try_from(show.num_rows).unwrap_or(0);
    let input = show.input.ok_or_else(|| invalid_plan("`show` has no input"))?;
    // One row more than is printed, so that the footer knows whether there are more.
    let limit =
        wire::Limit { input: Some(input), limit: i32::try_from(num_rows).unwrap_or(i32::MAX).saturating_add(1) };
    let limited = wire::Relation { common: None, rel_type: Some(RelType::Limit(Box::new(limit))) };
    let analyzed = execution.context.analyze(limited).await?;
    let rows = collect(&analyzed).await?;
    let format =
        TableFormat { num_rows, truncate: usize::try_from(show.truncate).unwrap_or(0), vertical: show.vertical };
    let text = format_table(&schema_of(&analyzed.output), &rows, format, &execution.context.zone())?;
    let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let schema = Arc::new(Schema::new(vec![Field::new("show_string", DataType::Utf8, false)]));
    let batch = RecordBatch::try_new(schema.clone(), vec![column])
        .map_err(|error| crate::error::internal(error.to_string()))?;
    let wire_schema = struct_to_wire(schema.fields().iter().map(AsRef::as_ref))?;
    execution.operation.push_response(ExecutePlanResponse { schema: Some(wire_schema), ..Default::default() }).await;
    send_batches(execution, &schema, &[batch]).await
}

/// The last rows of all, in order.
fn last_rows(batches: &[RecordBatch], count: usize) -> Vec<RecordBatch> {
    let mut left = count;
    let mut taken = Vec::new();
    for batch in batches.iter().rev() {
        let rows = left.min(batch.num_rows());
        taken.push(batch.slice(batch.num_rows() - rows, rows));
        left -= rows;
        if left == 0 {
            break;
        }
    }
    taken.reverse();
    taken
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{AsArray, Int64Array};
    use datafusion::arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn the_last_rows_may_span_batches() {
        let batch = |values: Vec<i64>| {
            let column: ArrayRef = Arc::new(Int64Array::from(values));
            RecordBatch::try_from_iter([("a", column)]).unwrap()
        };
        let last = last_rows(&[batch(vec![1, 2]), batch(vec![3]), batch(vec![4, 5])], 4);
        let values: Vec<i64> =
            last.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(values, vec![2, 3, 4, 5]);
        assert!(last_rows(&[], 3).is_empty());
    }
}
