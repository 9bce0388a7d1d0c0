//! The defaults of Spark's SQL settings, as Spark 4.2 prints them (`SET -v`), with Pyrite's own where it differs: plans
//! are not compressed, errors come without a server stack trace, state is in RocksDB.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use pyrite_engine::types::Zone;

static DEFAULTS: LazyLock<BTreeMap<&'static str, &'static str>> =
    LazyLock::new(|| include_str!("defaults.tsv").lines().filter_map(|line| line.split_once('\t')).collect());

/// SQL settings that are fixed when the application starts.
const STATIC: [&str; 14] = [
    "spark.sql.cache.serializer",
    "spark.sql.catalogImplementation",
    "spark.sql.codegen.cache.maxEntries",
    "spark.sql.event.truncate.length",
    "spark.sql.extensions",
    "spark.sql.filesourceTableRelationCacheSize",
    "spark.sql.globalTempDatabase",
    "spark.sql.metadataCacheTTLSeconds",
    "spark.sql.queryExecutionListeners",
    "spark.sql.sources.disabledJdbcConnProviderList",
    "spark.sql.streaming.streamingQueryListeners",
    "spark.sql.ui.retainedExecutions",
    "spark.sql.warehouse.dir",
    "spark.sql.streaming.ui.enabled",
];

/// Settings of the application rather than of SQL: read when it is submitted.
const CORE_PREFIXES: [&str; 21] = [
    "spark.authenticate",
    "spark.blockManager.",
    "spark.broadcast.",
    "spark.cores.max",
    "spark.deploy.",
    "spark.driver.",
    "spark.dynamicAllocation.",
    "spark.eventLog.",
    "spark.executor.",
    "spark.io.",
    "spark.kryo",
    "spark.locality.",
    "spark.memory.",
    "spark.metrics.",
    "spark.network.",
    "spark.rpc.",
    "spark.scheduler.",
    "spark.serializer",
    "spark.shuffle.",
    "spark.storage.",
    "spark.ui.",
];

/// What is known about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// A SQL setting that a session may change.
    Session,
    /// A SQL setting that is fixed at the start.
    Static,
    /// A setting of the application.
    Core,
    /// A key of no setting.
    Unknown,
}

/// The class of a key.
pub fn known(key: &str) -> Known {
    if STATIC.contains(&key) {
        Known::Static
    } else if DEFAULTS.contains_key(key) || key == TIME_ZONE {
        Known::Session
    } else if CORE_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
        Known::Core
    } else {
        Known::Unknown
    }
}

/// The default of a setting: `None` for a key of no setting, `Some(None)` for a setting without a default.
pub fn default_of(key: &str) -> Option<Option<&'static str>> {
    if key == TIME_ZONE {
        return Some(Some(&SYSTEM_ZONE));
    }
    DEFAULTS.get(key).map(|value| (*value != "<undefined>").then_some(*value))
}

/// The setting whose default comes from the system.
pub const TIME_ZONE: &str = "spark.sql.session.timeZone";

static SYSTEM_ZONE: LazyLock<String> = LazyLock::new(|| {
    let from_environment = std::env::var("TZ").ok().map(|zone| zone.trim_start_matches(':').to_owned());
    [from_environment, zone_of_link(), zone_of_file()]
        .into_iter()
        .flatten()
        .find(|name| !name.is_empty() && Zone::parse(name).is_some())
        .unwrap_or_else(|| "UTC".to_owned())
});

fn zone_of_link() -> Option<String> {
    let target = std::fs::canonicalize("/etc/localtime").ok()?;
    let (_, name) = target.to_str()?.split_once("zoneinfo/")?;
    Some(name.to_owned())
}

fn zone_of_file() -> Option<String> {
    let text = std::fs::read_to_string("/etc/timezone").ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_reads_has_a_default() {
        assert_eq!(default_of("spark.sql.shuffle.partitions"), Some(Some("200")));
        assert_eq!(default_of("spark.sql.ansi.enabled"), Some(Some("true")));
        assert_eq!(default_of("spark.connect.session.planCompression.threshold"), Some(Some("-1")));
        assert_eq!(default_of("spark.sql.streaming.checkpointLocation"), Some(None));
        assert_eq!(default_of("spark.nope"), None);
        assert!(Zone::parse(default_of(TIME_ZONE).unwrap().unwrap()).is_some());
    }

    #[test]
    fn keys_are_classed() {
        assert_eq!(known("spark.sql.shuffle.partitions"), Known::Session);
        assert_eq!(known("spark.sql.warehouse.dir"), Known::Static);
        assert_eq!(known("spark.executor.memory"), Known::Core);
        assert_eq!(known("spark.foo"), Known::Unknown);
    }
}
