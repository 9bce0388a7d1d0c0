//! Settings: `spark.*` keys from files and flags. File < flag; a later one of the same kind wins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use pyrite_common::nearest::suggestion;
use pyrite_common::security::Secret;

use crate::usage::SettingsArgs;

/// The file of settings that is read where no `--properties-file` is given, as by Spark.
const DEFAULTS_FILE: &str = "spark-defaults.conf";

/// Our own settings; what begins like one of them and is none is a mistake.
const OWN: &[&str] = &["spark.pyrite.batch.durationMax", "spark.pyrite.kafka.reader"];
const OWN_PREFIX: &str = "spark.pyrite.";

/// Keys and values, with typed reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    values: BTreeMap<String, String>,
}

impl Settings {
    /// The settings of a daemon: the file, then `--conf`.
    pub fn of_daemon(args: &SettingsArgs) -> anyhow::Result<Settings> {
        let file = args.properties_file.clone().or_else(|| defaults_file(|name| std::env::var(name).ok()));
        let mut settings = match file {
            Some(path) => Settings::from_file(&path)?,
            None => Settings::default(),
        };
        for pair in &args.settings {
            settings.set_pair(pair)?;
        }
        settings.refuse_unknown()?;
        Ok(settings)
    }

    /// Reads a properties file, as Java does; keys that do not begin with `spark.` are ignored, as by Spark.
    pub fn from_file(path: &Path) -> anyhow::Result<Settings> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("properties file `{}` cannot be read", path.display()))?;
        let mut settings = Settings::default();
        for (key, value) in parse_properties(&text) {
            if key.starts_with("spark.") {
                settings.set(key, value);
            } else {
                tracing::warn!(
                    "ignoring the setting `{key}` of `{}`: its name does not begin with `spark.`",
                    path.display()
                );
            }
        }
        Ok(settings)
    }

    /// Sets from `key=value`.
    pub fn set_pair(&mut self, pair: &str) -> anyhow::Result<()> {
        let Some((key, value)) = pair.split_once('=') else {
            bail!("`--conf {pair}` is not `--conf key=value`");
        };
        self.set(key.trim(), value.trim());
        Ok(())
    }

    /// Sets one.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.values.insert(key.into(), value.into());
    }

    /// Sets those that are not set yet.
    pub fn fill_from(&mut self, other: Settings) {
        for (key, value) in other.values {
            self.values.entry(key).or_insert(value);
        }
    }

    /// Refuses what looks like one of our own settings and is none. Spark's are many and their users more: unknown ones
    /// are kept, as by Spark.
    pub fn refuse_unknown(&self) -> anyhow::Result<()> {
        let unknown = self.values.keys().find(|key| key.starts_with(OWN_PREFIX) && !OWN.contains(&key.as_str()));
        match unknown {
            None => Ok(()),
            Some(key) => bail!("setting `{key}` is unknown{}", suggestion(key, OWN.iter().copied())),
        }
    }

    /// The value of one.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// Takes one out.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.values.remove(key)
    }

    /// All of them.
    pub fn into_map(self) -> BTreeMap<String, String> {
        self.values
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The cluster's secret, taken out, so that it goes nowhere else.
    pub fn take_secret(&mut self) -> anyhow::Result<Option<Secret>> {
        let secret = Secret::from_settings(|key| self.get(key))?;
        self.remove("spark.authenticate.secret");
        self.remove("spark.authenticate.secret.file");
        if secret.is_none() && self.boolean("spark.authenticate", false)? {
            bail!(
                "`spark.authenticate` is true, but neither `spark.authenticate.secret` nor `spark.authenticate.secret.file` is set"
            );
        }
        Ok(secret)
    }

    /// `true` or `false`.
    pub fn boolean(&self, key: &str, default: bool) -> anyhow::Result<bool> {
        match self.get(key).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => bail!("`{key}` is `{other}`, which is neither `true` nor `false`"),
        }
    }

    /// A whole number.
    pub fn number<T: std::str::FromStr>(&self, key: &str) -> anyhow::Result<Option<T>> {
        match self.get(key) {
            None => Ok(None),
            Some(text) => match text.trim().parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => bail!("`{key}` is `{text}`, which is not a number that fits"),
            },
        }
    }

    /// A time such as `60`, `60s`, `500ms`, `2min`; without a unit seconds.
    pub fn seconds(&self, key: &str, default: Duration) -> anyhow::Result<Duration> {
        match self.get(key) {
            None => Ok(default),
            Some(text) => match parse_time(text) {
                Some(time) => Ok(time),
                None => bail!("`{key}` is `{text}`, which is not a time such as `60s`"),
            },
        }
    }
}

/// `$SPARK_CONF_DIR`, `$SPARK_HOME/conf`, or `conf` here: the first that has a file of defaults.
pub(crate) fn defaults_file(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let places = [
        variable("SPARK_CONF_DIR").map(PathBuf::from),
        variable("SPARK_HOME").map(|home| Path::new(&home).join("conf")),
        Some(PathBuf::from("conf")),
    ];
    places.into_iter().flatten().map(|directory| directory.join(DEFAULTS_FILE)).find(|file| file.is_file())
}

fn parse_time(text: &str) -> Option<Duration> {
    let text = text.trim().to_ascii_lowercase();
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let number: u64 = digits.parse().ok()?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    match unit.trim() {
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => seconds(1),
        "m" | "min" => seconds(60),
        "h" => seconds(3_600),
        "d" => seconds(86_400),
        _ => None,
    }
}

/// Keys and values of a Java properties file: `key=value`, `key: value` or `key value`; `#` and `!` begin comments; a
/// line that ends with a backslash goes on.
fn parse_properties(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut line = line.trim_start().to_owned();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        while line.ends_with('\\') && !line.ends_with("\\\\") {
            line.pop();
            line.push_str(lines.next().unwrap_or_default().trim_start());
        }
        let key_end = line.find(|c: char| c == '=' || c == ':' || c.is_whitespace()).unwrap_or(line.len());
        let (key, rest) = line.split_at(key_end);
        let value = rest.trim_start();
        let value = value.strip_prefix(['=', ':']).unwrap_or(value).trim();
        pairs.push((key.to_owned(), value.replace("\\\\", "\\")));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_read_as_java_reads_them() {
        let text = "# comment\nspark.master   spark://h:7077\nspark.app.name=My App\n! x\nspark.a : b\nspark.long one,\\\n   two\n\nspark.empty\n";
        let wanted = [
            ("spark.master", "spark://h:7077"),
            ("spark.app.name", "My App"),
            ("spark.a", "b"),
            ("spark.long", "one,two"),
            ("spark.empty", ""),
        ];
        let pairs = parse_properties(text);
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, wanted);
    }

    #[test]
    fn times_have_units() {
        let mut settings = Settings::default();
        for (text, wanted) in [("60", 60_000), ("60s", 60_000), ("500ms", 500), ("2min", 120_000)] {
            settings.set("spark.worker.timeout", text);
            let time = settings.seconds("spark.worker.timeout", Duration::ZERO).expect("a time");
            assert_eq!(time, Duration::from_millis(wanted), "{text}");
        }
        settings.set("spark.worker.timeout", "soon");
        assert!(settings.seconds("spark.worker.timeout", Duration::ZERO).is_err());
    }

    #[test]
    fn the_secret_is_taken_out() {
        let mut settings = Settings::default();
        settings.set("spark.authenticate.secret", "abc");
        assert!(settings.take_secret().expect("readable").is_some_and(|secret| secret.matches("abc")));
        assert_eq!(settings.iter().count(), 0);
        settings.set("spark.authenticate", "true");
        assert!(settings.take_secret().is_err(), "authentication without a secret is a mistake");
    }

    #[test]
    fn an_unknown_setting_of_ours_is_refused_with_the_nearest() {
        let mut settings = Settings::default();
        settings.set("spark.no.such.setting", "1");
        settings.set("spark.pyrite.batch.durationMax", "1s");
        assert!(settings.refuse_unknown().is_ok());
        settings.set("spark.pyrite.batch.maxDuration", "1s");
        let error = settings.refuse_unknown().expect_err("refused").to_string();
        assert!(error.contains("`spark.pyrite.batch.maxDuration` is unknown"), "{error}");
        assert!(error.contains("did you mean `spark.pyrite.batch.durationMax`?"), "{error}");
    }

    #[test]
    fn flags_win_over_files() {
        let mut flags = Settings::default();
        flags.set_pair("spark.x=1=2").expect("a pair");
        let mut file = Settings::default();
        file.set("spark.x", "0");
        file.set("spark.y", "3");
        flags.fill_from(file);
        assert_eq!(flags.iter().collect::<Vec<_>>(), [("spark.x", "1=2"), ("spark.y", "3")]);
        assert!(flags.set_pair("spark.x").is_err());
    }
}
