//! From the unresolved form to DataFusion's logical plan with Spark's names, types and coercions.
//!
//! ```text
//! Relation --Analyzer--> Analyzed { plan, output } --check_streaming--> the streaming planner
//!                                                  \--collect--------> rows, for batch DataFrames
//! ```
//!
//! Columns of the plan have unique internal names (`value#12`) and no qualifiers. What Spark calls them, duplicates
//! included, is in `output`, one [`Attribute`] per column in the plan's order. So names are resolved here once, and
//! nothing below has to know Spark's rules for them.

mod aggregate;
mod aggregate_parts;
mod aggregates;
mod attribute;
mod batch;
mod calls;
mod errors;
mod explain;
mod expressions;
mod known_functions;
mod literals;
mod names;
mod node;
pub mod nodes;
mod pending;
mod project;
mod relations;
mod session;
mod sources;
mod stack;
mod streaming_check;
mod time_windows;
pub mod unresolved;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::logical_expr::LogicalPlan;

use pyrite_engine::error::SparkError;
use pyrite_engine::functions::ExprSettings;

pub use aggregates::aggregate_of;
pub use attribute::Attribute;
pub use batch::{collect, prepare_batch, spark_schema};
pub use explain::explain_text;
pub(crate) use session::session;
pub use sources::kafka_fields;
pub use streaming_check::{OutputMode, check_streaming};

use unresolved::{Relation, ViewScope};

/// What a session's names can mean besides its own expressions.
pub trait Catalog: Sync {
    /// A table in memory: the memory sink's. Names compare without case.
    fn table(&self, name: &str) -> Option<Table>;
    /// A temporary view: the relation it stands for.
    fn view(&self, name: &str) -> Option<Arc<Relation>>;
}

/// Rows in memory.
#[derive(Debug, Clone)]
pub struct Table {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}

/// A catalog without anything in it.
#[derive(Debug, Default, Clone, Copy)]
pub struct EmptyCatalog;

impl Catalog for EmptyCatalog {
    fn table(&self, _name: &str) -> Option<Table> {
        None
    }

    fn view(&self, _name: &str) -> Option<Arc<Relation>> {
        None
    }
}

/// A relation with all its names and types known.
#[derive(Debug, Clone)]
pub struct Analyzed {
    /// Its columns are `output`'s, in that order, under their internal names.
    pub plan: LogicalPlan,
    pub output: Vec<Attribute>,
    /// Whether a streaming source is below.
    pub streaming: bool,
}

/// Resolves relations by a session's settings and catalog.
pub struct Analyzer<'a> {
    settings: &'a ExprSettings,
    catalog: &'a dyn Catalog,
}

impl<'a> Analyzer<'a> {
    /// `settings` are pinned for what this analyzer makes.
    pub fn new(settings: &'a ExprSettings, catalog: &'a dyn Catalog) -> Self {
        Analyzer { settings, catalog }
    }

    /// Resolves a relation. The same relation gives the same plan, column and node ids included.
    ///
    /// # Errors
    /// Spark's analysis errors: unknown or ambiguous names, types that do not fit, and what Pyrite lacks.
    pub fn analyze(&self, relation: &Relation) -> Result<Analyzed, SparkError> {
        stack::on_deep_stack(|| {
            let session = Session {
                settings: self.settings,
                catalog: self.catalog,
                next_id: Cell::new(0),
                next_node: Cell::new(0),
                depth: Cell::new(0),
                plan_outputs: RefCell::new(HashMap::new()),
                scopes: RefCell::default(),
            };
            let node = session.relation(relation)?;
            Ok(Analyzed { plan: node.plan, output: node.output, streaming: node.streaming })
        })
    }
}

/// One analysis: the settings and what has been numbered so far.
struct Session<'a> {
    settings: &'a ExprSettings,
    catalog: &'a dyn Catalog,
    /// The next column's number.
    next_id: Cell<u64>,
    /// The next source's or watermark's number.
    next_node: Cell<u32>,
    /// How deep in views and relations; bounds recursion.
    depth: Cell<usize>,
    /// The output of each relation with a plan id, which `df["x"]` refers to.
    plan_outputs: RefCell<HashMap<i64, Vec<Attribute>>>,
    /// What names mean in the views that are being resolved, the innermost last.
    scopes: RefCell<Vec<ViewScope>>,
}

impl Session<'_> {
    /// A new internal column name.
    fn column(&self, name: &str) -> String {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        format!("{name}#{id}")
    }

    /// A new number for a source or a watermark.
    fn node_id(&self) -> u32 {
        let id = self.next_node.get();
        self.next_node.set(id + 1);
        id
    }
}

#[cfg(test)]
mod tests;
