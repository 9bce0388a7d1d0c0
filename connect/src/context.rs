//! What every request handler works with, and analysis of a relation in a session.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use pyrite_common::lifecycle::Lifecycle;
use pyrite_driver::analysis::unresolved::Relation;
use pyrite_driver::analysis::{Analyzed, Analyzer, Attribute, Catalog, Table};
use pyrite_driver::query::Driver;
use pyrite_engine::error::SparkError;
use pyrite_engine::functions::ExprSettings;
use pyrite_engine::types::Zone;

use crate::session::{Session, Sessions};
use crate::transcribe::{self, Transcribed};
use crate::wire;

/// The metadata key under which Spark's clients find a watermark.
const WATERMARK_DELAY_KEY: &str = "spark.watermarkDelayMs";

/// The server's shared parts. Cloned freely.
#[derive(Clone)]
pub struct Shared {
    /// Runs queries.
    pub driver: Driver,
    /// The open sessions.
    pub sessions: Sessions,
    /// Owns the tasks of executions.
    pub lifecycle: Lifecycle,
}

/// One request's view: the server and the session.
#[derive(Clone)]
pub struct Context {
    /// The server.
    pub shared: Shared,
    /// Whose request it is.
    pub session: Arc<Session>,
}

impl Context {
    /// The settings that expressions depend on.
    pub fn expr_settings(&self) -> ExprSettings {
        let conf = self.session.conf.lock();
        let text = |key: &str| conf.get(key).ok().flatten().unwrap_or_default().to_owned();
        ExprSettings {
            time_zone: text("spark.sql.session.timeZone"),
            ansi: !text("spark.sql.ansi.enabled").eq_ignore_ascii_case("false"),
        }
    }

    /// The session's time zone.
    pub fn zone(&self) -> Zone {
        Zone::parse(&self.expr_settings().time_zone).unwrap_or_else(Zone::utc)
    }

    /// Transcribes a relation and resolves its names and types. Off the async threads: plans can be large.
    pub async fn analyze(&self, relation: wire::Relation) -> Result<Analyzed, SparkError> {
        self.blocking(move |context| context.analyze_now(transcribe::relation(&context.session, relation)?)).await
    }

    /// Resolves a relation that is transcribed already.
    pub fn analyze_now(&self, transcribed: Transcribed) -> Result<Analyzed, SparkError> {
        let settings = self.expr_settings();
        let catalog = SessionCatalog { context: self, views: &transcribed.views };
        Analyzer::new(&settings, &catalog).analyze(&transcribed.relation)
    }

    /// Runs work that computes on a thread made for it.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Context) -> Result<T, SparkError> + Send + 'static,
    ) -> Result<T, SparkError> {
        let context = self.clone();
        match tokio::task::spawn_blocking(move || work(&context)).await {
            Ok(result) => result,
            Err(error) => Err(crate::error::internal(format!("the request's work stopped: {error}"))),
        }
    }
}

/// A DataFrame's schema as its user sees it, with what Spark notes on event-time columns.
pub fn schema_of(output: &[Attribute]) -> Schema {
    let fields = output.iter().map(|attribute| {
        let field = attribute.spark_field();
        match attribute.watermark_us {
            Some(delay_us) => {
                let mut metadata = field.metadata().clone();
                metadata.insert(WATERMARK_DELAY_KEY.to_owned(), (delay_us / 1000).to_string());
                field.with_metadata(metadata)
            }
            None => field,
        }
    });
    Schema::new(fields.collect::<Vec<_>>())
}

/// The names of a session: those that came with the plan, its temporary views, the tables of memory sinks.
struct SessionCatalog<'a> {
    context: &'a Context,
    views: &'a BTreeMap<String, Relation>,
}

impl Catalog for SessionCatalog<'_> {
    fn table(&self, name: &str) -> Option<Table> {
        let (schema, batches) = self.context.shared.driver.catalog().get(name)?;
        Some(Table { schema, batches })
    }

    fn view(&self, name: &str) -> Option<Arc<Relation>> {
        if let Some(relation) = self.views.get(&name.to_lowercase()) {
            return Some(Arc::new(relation.clone()));
        }
        self.context.session.views.lock().get(name).map(|view| view.relation.clone())
    }
}
