//! Aggregate calls as expressions of DataFusion's aggregate node, and back.
//!
//! A call keeps its kind and result type in the function itself, so that the streaming planner reads them off the
//! expression; batch execution runs the engine's function inside.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};
use pyrite_engine::aggregate::aggregate_udf;
use pyrite_engine::functions::{AggregateCall, AggregateKind};

/// The call over `args`, which are columns or literals of the aggregation's input.
pub(super) fn aggregate_expr(call: &AggregateCall, args: Vec<Expr>) -> Expr {
    let typed = TypedAggregate {
        kind: call.kind,
        data_type: call.data_type.clone(),
        nullable: call.nullable,
        inner: aggregate_udf(call.kind),
        signature: Signature::any(args.len(), Volatility::Immutable),
    };
    AggregateUDF::from(typed).call(args)
}

/// What an expression of an aggregate node computes: the kind, the arguments (columns or literals), and the type of the
/// result. `None` for an expression that this crate did not make.
pub fn aggregate_of(expr: &Expr) -> Option<(AggregateKind, Vec<Expr>, DataType)> {
    match expr {
        Expr::Alias(alias) => aggregate_of(&alias.expr),
        Expr::AggregateFunction(AggregateFunction { func, params }) => {
            let typed = func.inner().downcast_ref::<TypedAggregate>()?;
            Some((typed.kind, params.args.clone(), typed.data_type.clone()))
        }
        _ => None,
    }
}

/// The engine's aggregate with what analysis knows of the call.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TypedAggregate {
    kind: AggregateKind,
    data_type: DataType,
    nullable: bool,
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

impl AggregateUDFImpl for TypedAggregate {
    fn name(&self) -> &str {
        match self.kind {
            AggregateKind::Count => "count",
            AggregateKind::Sum => "sum",
            AggregateKind::Avg => "avg",
            AggregateKind::Min => "min",
            AggregateKind::Max => "max",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn is_nullable(&self) -> bool {
        self.nullable
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}
