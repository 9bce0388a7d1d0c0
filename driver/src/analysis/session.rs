//! The DataFusion session in which the driver runs plans itself: batch DataFrames, sorts and limits of a batch's rows.

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::optimizer::OptimizerRule;
use datafusion::optimizer::push_down_limit::PushDownLimit;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};

/// The physical rules that join one filter with another.
const JOINS_FILTERS: &str = "FilterPushdown";

/// A session whose optimizers leave expressions as the resolver made them. DataFusion's other rules take them for free
/// of errors: `CASE WHEN b = 0 THEN false ELSE 10 / b > 2 END` becomes `b <> 0 AND 10 / b > 2`, and so do two filters
/// one above the other, which divides by zero where Spark never looks.
pub(crate) fn session(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> SessionContext {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> =
        vec![Arc::new(ReplaceDistinctWithAggregate::new()), Arc::new(PushDownLimit::new())];
    let physical =
        PhysicalOptimizer::default().rules.into_iter().filter(|rule| !rule.name().starts_with(JOINS_FILTERS));
    let state = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_optimizer_rules(rules)
        .with_physical_optimizer_rules(physical.collect())
        .build();
    SessionContext::new_with_state(state)
}
