//! The AnalyzePlan RPC: what a DataFrame is, without running it.

use std::hash::{DefaultHasher, Hash, Hasher};

use datafusion::arrow::datatypes::DataType;
use pyrite_driver::analysis::{Analyzed, explain_text};
use pyrite_engine::error::SparkError;
use pyrite_engine::types;

use crate::context::{Context, schema_of};
use crate::error::invalid_plan;
use crate::transcribe::{self, data_type_to_wire, struct_to_wire};
use crate::wire::analyze_plan_request::{Analyze, explain::ExplainMode};
use crate::wire::analyze_plan_response::{self as response, Result as Answer};
use crate::wire::{AnalyzePlanRequest, AnalyzePlanResponse, Plan, Relation, SPARK_VERSION, StorageLevel, plan::OpType};

/// Answers one AnalyzePlan request.
pub async fn handle(context: &Context, request: AnalyzePlanRequest) -> Result<AnalyzePlanResponse, SparkError> {
    let analyze = request.analyze.ok_or_else(|| invalid_plan("the AnalyzePlan request asks for nothing"))?;
    let result = answer(context, analyze).await?;
    Ok(AnalyzePlanResponse {
        session_id: context.session.key.session_id.clone(),
        server_side_session_id: context.session.server_side_id.to_string(),
        result: Some(result),
    })
}

async fn answer(context: &Context, analyze: Analyze) -> Result<Answer, SparkError> {
    Ok(match analyze {
        Analyze::SparkVersion(_) => Answer::SparkVersion(response::SparkVersion { version: SPARK_VERSION.to_owned() }),
        Analyze::Schema(ask) => {
            let schema = schema_of(&resolve(context, ask.plan).await?.output);
            let schema = struct_to_wire(schema.fields().iter().map(AsRef::as_ref))?;
            Answer::Schema(response::Schema { schema: Some(schema) })
        }
        Analyze::TreeString(ask) => {
            let schema = schema_of(&resolve(context, ask.plan).await?.output);
            let tree = types::tree_string(schema.fields().iter().map(AsRef::as_ref));
            Answer::TreeString(response::TreeString { tree_string: to_level(&tree, ask.level) })
        }
        Analyze::Explain(ask) => {
            let extended = matches!(ask.explain_mode(), ExplainMode::Extended | ExplainMode::Cost);
            let analyzed = resolve(context, ask.plan).await?;
            Answer::Explain(response::Explain { explain_string: explain_text(&analyzed, extended) })
        }
        Analyze::IsLocal(ask) => {
            resolve(context, ask.plan).await?;
            Answer::IsLocal(response::IsLocal { is_local: false })
        }
        Analyze::IsStreaming(ask) => {
            let is_streaming = resolve(context, ask.plan).await?.streaming;
            Answer::IsStreaming(response::IsStreaming { is_streaming })
        }
        Analyze::InputFiles(ask) => {
            resolve(context, ask.plan).await?;
            Answer::InputFiles(response::InputFiles { files: Vec::new() })
        }
        Analyze::DdlParse(ask) => {
            let parsed = data_type_to_wire(&ddl_type(&ask.ddl_string)?)?;
            Answer::DdlParse(response::DdlParse { parsed: Some(parsed) })
        }
        Analyze::JsonToDdl(ask) => {
            let ddl_string = match types::parse_json_type(&ask.json_string)? {
                DataType::Struct(fields) => types::ddl(fields.iter().map(AsRef::as_ref)),
                single => types::sql_name(&single),
            };
            Answer::JsonToDdl(response::JsonToDdl { ddl_string })
        }
        Analyze::SameSemantics(ask) => {
            let target = meaning(context, ask.target_plan).await?;
            let other = meaning(context, ask.other_plan).await?;
            Answer::SameSemantics(response::SameSemantics { result: target == other })
        }
        Analyze::SemanticHash(ask) => {
            let mut hasher = DefaultHasher::new();
            meaning(context, ask.plan).await?.hash(&mut hasher);
            Answer::SemanticHash(response::SemanticHash { result: hasher.finish() as i32 })
        }
        // Batch plans are small and run again each time: persisting has nothing to keep.
        Analyze::Persist(_) => Answer::Persist(response::Persist {}),
        Analyze::Unpersist(_) => Answer::Unpersist(response::Unpersist {}),
        Analyze::GetStorageLevel(_) => Answer::GetStorageLevel(response::GetStorageLevel {
            storage_level: Some(StorageLevel { replication: 1, ..Default::default() }),
        }),
    })
}

async fn resolve(context: &Context, plan: Option<Plan>) -> Result<Analyzed, SparkError> {
    context.analyze(root_of(plan)?).await
}

fn root_of(plan: Option<Plan>) -> Result<Relation, SparkError> {
    match plan.and_then(|plan| plan.op_type) {
        Some(OpType::Root(root)) => Ok(root),
        Some(OpType::CompressedOperation(_)) => Err(crate::execute::cannot_parse("the plan is compressed")),
        Some(OpType::Command(_)) => Err(invalid_plan("a command cannot be analyzed")),
        None => Err(invalid_plan("the request has no plan")),
    }
}

/// As `DataType.fromDDL`: a type, or else the fields of a struct.
fn ddl_type(text: &str) -> Result<DataType, SparkError> {
    match types::parse_fields(text) {
        Ok(fields) => Ok(DataType::Struct(fields)),
        Err(error) => types::parse_type(text).map_err(|_| error),
    }
}

/// Two plans with the same text compute the same: the relation as it was written, without the client's ids, and what it
/// resolves to.
async fn meaning(context: &Context, plan: Option<Plan>) -> Result<String, SparkError> {
    let root = root_of(plan)?;
    let work = move |context: &Context| {
        let transcribed = transcribe::relation(&context.session, root)?;
        let written = without_plan_ids(&format!("{transcribed:?}"));
        let resolved = context.analyze_now(transcribed)?;
        Ok(format!("{written}\n{}", resolved.plan.display_indent()))
    };
    context.blocking(work).await
}

fn without_plan_ids(text: &str) -> String {
    let mut parts = text.split("plan_id: Some(");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-'));
    }
    out
}

/// Only the first levels of a printed schema; each level is indented by five characters.
fn to_level(tree: &str, level: Option<i32>) -> String {
    let Some(level) = level.and_then(|level| usize::try_from(level).ok()).filter(|level| *level > 0) else {
        return tree.to_owned();
    };
    tree.lines()
        .filter(|line| line.find("|-- ").is_none_or(|at| at / 5 < level))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_cut_at_a_level() {
        let tree = "root\n |-- a: struct (nullable = true)\n |    |-- b: string (nullable = true)\n";
        assert_eq!(to_level(tree, Some(1)), "root\n |-- a: struct (nullable = true)\n");
        assert_eq!(to_level(tree, Some(2)), tree);
        assert_eq!(to_level(tree, None), tree);
    }

    #[test]
    fn the_clients_ids_do_not_change_the_meaning() {
        assert_eq!(without_plan_ids("a plan_id: Some(12), b plan_id: Some(-3)"), "a ), b )");
        assert_eq!(without_plan_ids("none"), "none");
    }

    #[test]
    fn ddl_is_fields_or_one_type() {
        assert!(matches!(ddl_type("a INT, b STRING").unwrap(), DataType::Struct(fields) if fields.len() == 2));
        assert_eq!(ddl_type("bigint").unwrap(), DataType::Int64);
    }
}
