//! Commands: one match that says what Pyrite has, and refuses the rest by the name that programs use.

use pyrite_engine::error::SparkError;

use super::{Execution, listener, query_command, sql_command, start};
use crate::error::invalid_plan;
use crate::transcribe;
use crate::wire::execute_plan_response::ResponseType;
use crate::wire::{self, Command, GetResourcesCommandResult, command::CommandType};

/// Executes a command.
pub async fn execute(execution: &Execution, command: Command) -> Result<(), SparkError> {
    match command.command_type.ok_or_else(|| invalid_plan("the command is empty"))? {
        CommandType::WriteStreamOperationStart(message) => start::execute(execution, message).await,
        CommandType::StreamingQueryCommand(message) => query_command::execute(execution, message).await,
        CommandType::StreamingQueryManagerCommand(message) => query_command::execute_manager(execution, message).await,
        CommandType::StreamingQueryListenerBusCommand(message) => listener::execute(execution, message).await,
        CommandType::SqlCommand(message) => sql_command::execute(execution, message).await,
        CommandType::CreateDataframeView(message) => create_view(execution, message).await,
        CommandType::GetResourcesCommand(_) => {
            let result = GetResourcesCommandResult::default();
            execution.operation.push(ResponseType::GetResourcesCommandResult(result)).await;
            Ok(())
        }
        // Nothing was cached, so nothing is to be removed.
        CommandType::RemoveCachedRemoteRelationCommand(_) => Ok(()),
        other => Err(SparkError::unsupported(name_of(&other))),
    }
}

async fn create_view(execution: &Execution, message: wire::CreateDataFrameViewCommand) -> Result<(), SparkError> {
    if message.is_global {
        return Err(SparkError::unsupported("a global temporary view"));
    }
    let input = message.input.ok_or_else(|| invalid_plan("the view has no input"))?;
    execution
        .context
        .blocking(move |context| {
            let transcribed = transcribe::relation(&context.session, input)?;
            if !transcribed.views.is_empty() {
                return Err(SparkError::unsupported("a view of `spark.sql` with DataFrame arguments"));
            }
            let relation = transcribed.relation.clone();
            // As Spark, a view of what cannot be analyzed is an error now, not when it is used.
            context.analyze_now(transcribed)?;
            context.session.views.lock().create(&message.name, relation, message.replace)
        })
        .await
}

fn name_of(command: &CommandType) -> String {
    match command {
        CommandType::RegisterFunction(function) => format!("registering the function `{}`", function.function_name),
        CommandType::RegisterTableFunction(function) => {
            format!("registering the table function `{}`", function.function_name)
        }
        CommandType::RegisterDataSource(source) => format!("registering the data source `{}`", source.name),
        CommandType::WriteOperation(write) => {
            format!("writing a batch DataFrame (`df.write`, format `{}`)", write.source())
        }
        CommandType::WriteOperationV2(write) => format!("writing to the table `{}`", write.table_name),
        CommandType::CreateResourceProfileCommand(_) => "a resource profile".to_owned(),
        CommandType::CheckpointCommand(_) => "`DataFrame.checkpoint`".to_owned(),
        CommandType::MergeIntoTableCommand(merge) => format!("merging into the table `{}`", merge.target_table_name),
        CommandType::MlCommand(_) => "machine learning (`pyspark.ml`)".to_owned(),
        CommandType::ExecuteExternalCommand(command) => format!("the external command runner `{}`", command.runner),
        CommandType::PipelineCommand(_) => "declarative pipelines".to_owned(),
        _ => "this command".to_owned(),
    }
}
