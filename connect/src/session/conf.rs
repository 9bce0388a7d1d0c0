//! The settings of a session: what was set over Spark's defaults.

use std::collections::BTreeMap;

use pyrite_engine::error::{ExceptionKind, SparkError};
use pyrite_engine::types::Zone;

use super::defaults::{Known, TIME_ZONE, default_of, known};

/// How strict a `set` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetMode {
    /// `spark.conf.set`: what a session cannot change is an error.
    Strict,
    /// The builder's options: what a session cannot change is taken note of, so that it reads back.
    Silent,
}

/// Settings by key.
#[derive(Debug, Clone, Default)]
pub struct Conf {
    values: BTreeMap<String, String>,
}

impl Conf {
    /// The settings that the application starts with.
    pub fn new(values: BTreeMap<String, String>) -> Conf {
        values.iter().for_each(|(key, value)| warn_unheeded(key, value));
        Conf { values }
    }

    /// Sets a key.
    ///
    /// # Errors
    /// As Spark: a static or application setting (strict mode only), or a value of the wrong type.
    pub fn set(&mut self, key: &str, value: &str, mode: SetMode) -> Result<(), SparkError> {
        if mode == SetMode::Strict {
            check_modifiable(key)?;
        }
        check_value(key, value)?;
        if self.get_set(key) != Some(value.trim()) {
            warn_unheeded(key, value);
        }
        self.values.insert(key.to_owned(), value.trim().to_owned());
        Ok(())
    }

    /// Takes a key back to its default.
    pub fn unset(&mut self, key: &str) -> Result<(), SparkError> {
        check_modifiable(key)?;
        self.values.remove(key);
        Ok(())
    }

    /// The value set, or the default. `None` inside: a setting without a value.
    ///
    /// # Errors
    /// `SQL_CONF_NOT_FOUND` for a key that was not set and is no setting.
    pub fn get(&self, key: &str) -> Result<Option<&str>, SparkError> {
        if let Some(value) = self.values.get(key) {
            return Ok(Some(value));
        }
        default_of(key).ok_or_else(|| {
            let quoted = format!("\"{key}\"");
            let message = format!("The SQL config {quoted} cannot be found. Please verify that the config exists.");
            SparkError::new(ExceptionKind::Runtime, "SQL_CONF_NOT_FOUND", "42K0I", message).with("sqlConf", quoted)
        })
    }

    /// The value that was set, without defaults.
    pub fn get_set(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// Whether a session may change the key, as `spark.conf.isModifiable`.
    pub fn is_modifiable(&self, key: &str) -> bool {
        known(key) == Known::Session
    }

    /// All that was set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// A copy for a query that starts now, with the defaults that the driver needs filled in.
    pub fn snapshot(&self) -> BTreeMap<String, String> {
        let mut values = self.values.clone();
        for key in [TIME_ZONE, "spark.sql.ansi.enabled", "spark.sql.shuffle.partitions"] {
            if let (false, Some(Some(value))) = (values.contains_key(key), default_of(key)) {
                values.insert(key.to_owned(), value.to_owned());
            }
        }
        values
    }
}

fn check_modifiable(key: &str) -> Result<(), SparkError> {
    let quoted = format!("\"{key}\"");
    match known(key) {
        Known::Session | Known::Unknown => Ok(()),
        Known::Static => Err(SparkError::analysis(
            "CANNOT_MODIFY_STATIC_CONFIG",
            "46110",
            format!("Cannot modify the value of the static Spark config: {quoted}."),
        )
        .with("key", quoted)),
        Known::Core => Err(SparkError::analysis(
            "CANNOT_MODIFY_CONFIG",
            "46110",
            format!(
                "Cannot modify the value of the Spark config: {quoted}.\nSee also \
                 'https://spark.apache.org/docs/latest/sql-migration-guide.html#ddl-statements'."
            ),
        )
        .with("key", quoted)
        .with("docroot", "https://spark.apache.org/docs/latest")),
    }
}

/// Whether the setting can have the value, whoever sets it.
///
/// # Errors
/// `INVALID_CONF_VALUE.*`.
pub fn check_value(key: &str, value: &str) -> Result<(), SparkError> {
    let value = value.trim();
    if key == TIME_ZONE {
        if Zone::parse(value).is_none() {
            return Err(invalid_value(key, value, "TIME_ZONE", "Cannot resolve the given timezone."));
        }
        return Ok(());
    }
    let Some(Some(default)) = default_of(key) else { return Ok(()) };
    if matches!(default, "true" | "false") && !matches!(value.to_ascii_lowercase().as_str(), "true" | "false") {
        return Err(type_mismatch(key, value, "boolean"));
    }
    if default.parse::<i64>().is_ok() && value.parse::<i64>().is_err() && !is_size(value) {
        return Err(type_mismatch(key, value, "int"));
    }
    if key == "spark.sql.shuffle.partitions" && value.parse::<i64>().is_ok_and(|count| count <= 0) {
        let requirement = "The value of spark.sql.shuffle.partitions must be positive";
        return Err(invalid_value(key, value, "REQUIREMENT", requirement).with("confRequirement", requirement));
    }
    Ok(())
}

/// Settings that change answers in Spark and not here yet: a program that asks for them should hear of it.
fn warn_unheeded(key: &str, value: &str) {
    if let Some(what) = unheeded(key, value) {
        tracing::warn!("setting `{key}={}` is not supported yet and changes nothing: {what}", value.trim());
    }
}

/// What stays as it is in spite of the setting; `None`: the setting is heeded, or is the default.
fn unheeded(key: &str, value: &str) -> Option<&'static str> {
    let is = |wanted: &str| value.trim().eq_ignore_ascii_case(wanted);
    match key {
        "spark.sql.caseSensitive" if is("true") => Some("names of columns and fields compare without case"),
        "spark.sql.legacy.timeParserPolicy" if is("legacy") => Some("patterns of times are those of Spark 3 and later"),
        "spark.sql.jsonGenerator.ignoreNullFields" if is("false") => Some("`to_json` leaves null fields out"),
        "spark.sql.streaming.stateStore.providerClass"
            if !PROVIDERS.iter().any(|name| value.trim().ends_with(name)) =>
        {
            Some("state is kept in RocksDB")
        }
        _ => None,
    }
}

/// Spark's own, in whose place Pyrite's state stands.
const PROVIDERS: [&str; 2] = ["state.RocksDBStateStoreProvider", "state.HDFSBackedStateStoreProvider"];

/// A number with a unit, which the settings of sizes and times take although their defaults print as bare numbers.
fn is_size(value: &str) -> bool {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    !digits.is_empty() && digits.len() < value.len() && digits.parse::<f64>().is_ok()
}

fn type_mismatch(key: &str, value: &str, expected: &str) -> SparkError {
    let why = format!("It should be a/an '{expected}' value.");
    invalid_value(key, value, "TYPE_MISMATCH", &why).with("confType", expected)
}

fn invalid_value(key: &str, value: &str, sub_class: &str, why: &str) -> SparkError {
    let message = format!("The value '{value}' in the config \"{key}\" is invalid. {why}");
    SparkError::new(ExceptionKind::IllegalArgument, &format!("INVALID_CONF_VALUE.{sub_class}"), "22022", message)
        .with("confName", key)
        .with("confValue", value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unset_key_has_its_default_or_is_an_error() {
        let conf = Conf::default();
        assert_eq!(conf.get("spark.sql.shuffle.partitions").unwrap(), Some("200"));
        assert_eq!(conf.get("spark.sql.streaming.checkpointLocation").unwrap(), None);
        assert_eq!(conf.get("spark.nope").unwrap_err().class, "SQL_CONF_NOT_FOUND");
    }

    #[test]
    fn strict_sets_refuse_what_a_session_cannot_change() {
        let mut conf = Conf::default();
        let core = conf.set("spark.executor.memory", "1g", SetMode::Strict).unwrap_err();
        assert_eq!(core.class, "CANNOT_MODIFY_CONFIG");
        conf.set("spark.executor.memory", "1g", SetMode::Silent).unwrap();
        assert_eq!(conf.get("spark.executor.memory").unwrap(), Some("1g"));
        let fixed = conf.set("spark.sql.warehouse.dir", "/x", SetMode::Strict).unwrap_err();
        assert_eq!(fixed.class, "CANNOT_MODIFY_STATIC_CONFIG");
        conf.set("spark.foo", "bar", SetMode::Strict).unwrap();
    }

    #[test]
    fn values_are_checked() {
        let mut conf = Conf::default();
        for (key, value, class) in [
            ("spark.sql.shuffle.partitions", "abc", "INVALID_CONF_VALUE.TYPE_MISMATCH"),
            ("spark.sql.shuffle.partitions", "-1", "INVALID_CONF_VALUE.REQUIREMENT"),
            ("spark.sql.ansi.enabled", "maybe", "INVALID_CONF_VALUE.TYPE_MISMATCH"),
            ("spark.sql.session.timeZone", "Mars/X", "INVALID_CONF_VALUE.TIME_ZONE"),
        ] {
            assert_eq!(conf.set(key, value, SetMode::Strict).unwrap_err().class, class, "{key}={value}");
        }
        conf.set("spark.sql.ansi.enabled", "FALSE", SetMode::Strict).unwrap();
    }

    #[test]
    fn settings_without_effect_are_told() {
        assert!(unheeded("spark.sql.caseSensitive", "TRUE").is_some());
        assert!(unheeded("spark.sql.caseSensitive", "false").is_none());
        let provider = "spark.sql.streaming.stateStore.providerClass";
        assert!(unheeded(provider, "org.foo.Bar").is_some());
        assert!(unheeded(provider, default_of(provider).unwrap().unwrap()).is_none());
    }

    #[test]
    fn a_snapshot_has_what_the_driver_needs() {
        let mut conf = Conf::default();
        conf.set("spark.sql.shuffle.partitions", "7", SetMode::Strict).unwrap();
        let snapshot = conf.snapshot();
        assert_eq!(snapshot["spark.sql.shuffle.partitions"], "7");
        assert_eq!(snapshot["spark.sql.ansi.enabled"], "true");
        assert!(snapshot.contains_key("spark.sql.session.timeZone"));
    }
}
