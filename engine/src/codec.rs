//! Expressions on the wire: what the driver resolves, the executors evaluate.
//!
//! An expression is DataFusion's protobuf, with every function as an explicit payload: its name and parameters. So a
//! function never resolves by the luck of a registry, and nothing of a session (time zone, ANSI) is needed to read one.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::Schema;
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::config::ConfigOptions;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, ScalarUDF};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::from_proto::parse_physical_expr;
use datafusion_proto::physical_plan::to_proto::serialize_physical_expr;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use datafusion_proto::protobuf::PhysicalExprNode;
use prost::Message;
use serde_json::{Value, json};

use crate::clock::BatchClock;
use crate::functions::kernels::{datafusion_function, kernel_entry};

/// Expressions get DataFusion's defaults, never a session's.
static CONFIG: LazyLock<Arc<ConfigOptions>> = LazyLock::new(|| Arc::new(ConfigOptions::default()));
static TASK_CONTEXT: LazyLock<TaskContext> = LazyLock::new(TaskContext::default);

/// The evaluable form of a resolved expression over the columns of a schema. Types must be coerced already.
///
/// Fails when a column is missing, or when types do not fit, which is a defect of the resolver.
pub fn physical_expr(expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    let mut properties = ExecutionProps::new();
    properties.config_options = Some(CONFIG.clone());
    create_physical_expr(expr, schema, &properties, &PhysicalPlanningContext::default())
}

/// The expression as bytes. Fails for a function that plans may not carry.
pub fn encode_expr(expr: &Arc<dyn PhysicalExpr>) -> Result<Vec<u8>> {
    let codec = ExprCodec { clock: BatchClock::default() };
    Ok(serialize_physical_expr(expr, &codec)?.encode_to_vec())
}

/// The expression that [`encode_expr`] wrote, over columns of `schema`; its `current_timestamp` reads `clock`.
pub fn decode_expr(bytes: &[u8], schema: &Schema, clock: &BatchClock) -> Result<Arc<dyn PhysicalExpr>> {
    let node = PhysicalExprNode::decode(bytes)
        .map_err(|error| DataFusionError::Plan(format!("cannot read an expression of the plan: {error}")))?;
    let codec = ExprCodec { clock: clock.clone() };
    parse_physical_expr(&node, &TASK_CONTEXT, schema, &codec)
}

/// Writes and reads functions as `{"kernel": name, "parameters": ..}` or `{"datafusion": name}`. Plans of operators
/// with expressions inside can use it as well.
#[derive(Debug)]
pub struct ExprCodec {
    /// The clock that decoded expressions read.
    pub clock: BatchClock,
}

impl PhysicalExtensionCodec for ExprCodec {
    fn try_decode(
        &self,
        _: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        _: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::Plan("this codec carries expressions, not operators".to_owned()))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        _: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        Err(DataFusionError::Plan(format!("this codec carries expressions, not the operator `{}`", node.name())))
    }

    fn try_encode_udf(&self, function: &ScalarUDF, buffer: &mut Vec<u8>) -> Result<()> {
        let name = function.name();
        let payload = match kernel_entry(name).and_then(|entry| entry.encode(function)) {
            Some(parameters) => json!({"kernel": name, "parameters": parameters}),
            None if datafusion_function(name).is_some_and(|known| known.as_ref() == function) => {
                json!({"datafusion": name})
            }
            None => return Err(DataFusionError::Plan(format!("the function `{name}` cannot be sent to executors"))),
        };
        buffer.extend_from_slice(payload.to_string().as_bytes());
        Ok(())
    }

    fn try_decode_udf(&self, name: &str, buffer: &[u8]) -> Result<Arc<ScalarUDF>> {
        let unknown = || DataFusionError::Plan(format!("the plan carries an unknown function `{name}`"));
        let payload: Value = serde_json::from_slice(buffer).map_err(|_| unknown())?;
        if let Some(kernel) = payload.get("kernel").and_then(Value::as_str) {
            let parameters = payload.get("parameters").unwrap_or(&Value::Null);
            return kernel_entry(kernel).ok_or_else(unknown)?.decode(parameters, &self.clock).map(Arc::new);
        }
        payload.get("datafusion").and_then(Value::as_str).and_then(datafusion_function).ok_or_else(unknown)
    }
}
