//! `spark.sql(text)`: a command runs now and answers with its rows; a query is only checked, and runs when it is used.

use pyrite_engine::error::SparkError;

use super::{Execution, set_command};
use crate::error::invalid_plan;
use crate::ipc;
use crate::wire::execute_plan_response::{ResponseType, SqlCommandResult};
use crate::wire::{self, SqlCommand, relation::RelType};

/// Answers with the relation that stands for the text's rows.
pub async fn execute(execution: &Execution, message: SqlCommand) -> Result<(), SparkError> {
    let input = input_of(message)?;
    let relation = match &input.rel_type {
        Some(RelType::Sql(sql)) => {
            let text = sql.query.clone();
            execution.context.blocking(move |context| set_command::sql(context, &text)).await?
        }
        _ => None,
    };
    let relation = match relation {
        Some((schema, rows)) => {
            let data = Some(ipc::stream_bytes(&rows)?);
            let schema = Some(pyrite_engine::types::ddl(schema.fields().iter().map(AsRef::as_ref)));
            let local = wire::LocalRelation { data, schema: schema.filter(|text| !text.is_empty()) };
            wire::Relation { common: None, rel_type: Some(RelType::LocalRelation(local)) }
        }
        None => {
            execution.context.analyze(input.clone()).await?;
            input
        }
    };
    let result = SqlCommandResult { relation: Some(relation) };
    execution.operation.push(ResponseType::SqlCommandResult(result)).await;
    Ok(())
}

/// The relation of the text; older clients send the text itself.
#[allow(deprecated, reason = "older clients send the older fields")]
fn input_of(message: SqlCommand) -> Result<wire::Relation, SparkError> {
    if let Some(input) = message.input {
        return Ok(input);
    }
    if message.sql.is_empty() {
        return Err(invalid_plan("the SQL command has no text"));
    }
    let sql = wire::Sql {
        query: message.sql,
        args: message.args,
        pos_args: message.pos_args,
        named_arguments: message.named_arguments,
        pos_arguments: message.pos_arguments,
    };
    Ok(wire::Relation { common: None, rel_type: Some(RelType::Sql(sql)) })
}
