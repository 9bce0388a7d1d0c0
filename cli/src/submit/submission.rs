//! What is submitted: the command line and the files of settings, read and checked before anything starts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use pyrite_common::memory::{DefaultUnit, parse_size};
use pyrite_common::net::HostPort;
use pyrite_common::security::Secret;
use pyrite_connect::launcher::ChosenPython;

use super::flags::{Parsed, not_applicable};
use crate::settings::{Settings, defaults_file};

/// Executors below this cannot hold their own buffers.
const EXECUTOR_MEMORY_MIN: u64 = 128 << 20;
const EXECUTOR_MEMORY_DEFAULT: &str = "1g";
const MASTER_DEFAULT: &str = "local[*]";

/// Where the executors run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Master {
    /// In this process.
    Local { cores: usize },
    /// On workers.
    Cluster(Vec<HostPort>),
}

/// All that is known before the start.
#[derive(Debug)]
pub(super) struct Submission {
    pub master: Master,
    /// As given, for `spark.master`.
    pub master_text: String,
    pub name: String,
    pub script: PathBuf,
    pub arguments: Vec<OsString>,
    /// For `PYTHONPATH`, absolute.
    pub python_files: Vec<PathBuf>,
    /// For `SparkFiles.get`, absolute.
    pub files: Vec<PathBuf>,
    /// Flags and settings that cannot apply, each with why.
    pub not_applicable: Vec<(String, &'static str)>,
    pub executors: Option<u32>,
    pub executor_cores: Option<u32>,
    pub executor_memory_bytes: u64,
    pub cores_max: Option<u32>,
    /// The cluster's.
    pub secret: Option<Secret>,
    /// All settings but the secret.
    pub settings: Settings,
}

impl Submission {
    /// Puts the files beneath the flags and reads what they say. `variable` reads an environment variable.
    pub fn of(parsed: Parsed, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Submission> {
        let mut settings = parsed.settings;
        if let Some(file) = &parsed.properties_file {
            settings.fill_from(Settings::from_file(Path::new(file))?);
        }
        if (parsed.properties_file.is_none() || parsed.load_defaults)
            && let Some(file) = defaults_file(&variable)
        {
            settings.fill_from(Settings::from_file(&file)?);
        }
        settings.refuse_unknown()?;
        let secret = settings.take_secret()?;
        match settings.get("spark.submit.deployMode") {
            None | Some("client") => {}
            Some("cluster") => {
                bail!("`--deploy-mode cluster` is not supported yet: the driver runs where `submit` runs")
            }
            Some(other) => bail!("deploy mode `{other}` is neither `client` nor `cluster`"),
        }
        let script = script(&parsed.script)?;
        let master_text = settings.get("spark.master").unwrap_or(MASTER_DEFAULT).to_owned();
        let name = match settings.get("spark.app.name") {
            Some(name) => name.to_owned(),
            None => script.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        let memory = settings.get("spark.executor.memory").unwrap_or(EXECUTOR_MEMORY_DEFAULT);
        let executor_memory_bytes = parse_size(memory, DefaultUnit::Mebibytes).context("executor memory")?;
        if executor_memory_bytes < EXECUTOR_MEMORY_MIN {
            bail!("executor memory `{memory}` is too little; an executor needs at least 128m");
        }
        let existing_of = |key: &str, flag: &'static str| -> anyhow::Result<Vec<PathBuf>> {
            list(settings.get(key)).map(|file| existing(file, flag)).collect()
        };
        let mut ignored = parsed.not_applicable;
        ignored.extend(not_applicable(&settings));
        Ok(Submission {
            master: master(&master_text)?,
            master_text,
            name,
            script,
            arguments: parsed.arguments,
            python_files: existing_of("spark.submit.pyFiles", "--py-files")?,
            files: existing_of("spark.files", "--files")?,
            not_applicable: ignored,
            executors: positive(&settings, "spark.executor.instances")?,
            executor_cores: positive(&settings, "spark.executor.cores")?,
            executor_memory_bytes,
            cores_max: positive(&settings, "spark.cores.max")?,
            secret,
            settings,
        })
    }
}

impl Submission {
    /// The Python that the settings choose; they come before the environment.
    pub fn python(&self) -> Option<ChosenPython> {
        ["spark.pyspark.driver.python", "spark.pyspark.python"].into_iter().find_map(|setting| {
            let executable = self.settings.get(setting).filter(|path| !path.is_empty())?.into();
            Some(ChosenPython { setting, executable })
        })
    }
}

fn script(text: &str) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(text);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("jar") => bail!("`{text}` is a JVM program; Pyrite runs Python scripts"),
        Some("R" | "r") => bail!("`{text}` is an R program; Pyrite runs Python scripts"),
        Some(_) | None => {}
    }
    if !path.is_file() {
        bail!("script `{text}` is not there");
    }
    Ok(path)
}

fn existing(file: &str, flag: &str) -> anyhow::Result<PathBuf> {
    let path = Path::new(file.strip_prefix("file://").unwrap_or(file));
    if file.contains("://") && !file.starts_with("file://") {
        bail!("`{flag}` takes local files; `{file}` is not one");
    }
    if !path.exists() {
        bail!("`{file}` of `{flag}` is not there");
    }
    std::path::absolute(path).with_context(|| format!("`{file}` of `{flag}` cannot be resolved"))
}

fn list(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn positive(settings: &Settings, key: &str) -> anyhow::Result<Option<u32>> {
    match settings.number::<u32>(key)? {
        Some(0) => bail!("`{key}` must be at least 1"),
        number => Ok(number),
    }
}

/// `local`, `local[N]`, `local[*]`, also with Spark's count of task failures, `local[N, F]`; or a master's URL.
fn master(text: &str) -> anyhow::Result<Master> {
    let all_cores = || std::thread::available_parallelism().map_or(1, usize::from);
    if text == "local" {
        return Ok(Master::Local { cores: 1 });
    }
    if let Some(inner) = text.strip_prefix("local[").and_then(|rest| rest.strip_suffix(']')) {
        let cores = inner.split(',').next().unwrap_or_default().trim();
        return match (cores, cores.parse::<usize>()) {
            ("*", _) => Ok(Master::Local { cores: all_cores() }),
            (_, Ok(cores)) if cores > 0 => Ok(Master::Local { cores }),
            (_, Ok(_) | Err(_)) => bail!("master `{text}` is not `local[N]` or `local[*]`"),
        };
    }
    if text.starts_with("yarn")
        || text.starts_with("k8s://")
        || text.starts_with("mesos://")
        || text.starts_with("local-cluster")
    {
        bail!("master `{text}` is not supported yet; use `spark://host:port` or `local[N]`");
    }
    match HostPort::parse_master(text) {
        Ok(masters) => Ok(Master::Cluster(masters)),
        Err(_) => bail!(
            "master `{text}` is none of `spark://host:port`, `pyrite://host:port`, `local`, `local[N]`, `local[*]`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submit::flags::{Request, parse};

    fn submission(flags: &str) -> anyhow::Result<Submission> {
        of_line(flags, |_| None)
    }

    fn of_line(flags: &str, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Submission> {
        // This file stands for the script: it is there.
        let line = format!("{flags} {}", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        match parse(&arguments)? {
            Request::Run(parsed) => Submission::of(*parsed, variable),
            Request::Help | Request::Version => bail!("not a run"),
        }
    }

    #[test]
    fn masters_are_read() {
        assert_eq!(master("local").expect("valid"), Master::Local { cores: 1 });
        assert_eq!(master("local[2]").expect("valid"), Master::Local { cores: 2 });
        assert_eq!(master("local[2, 4]").expect("valid"), Master::Local { cores: 2 });
        assert!(matches!(master("local[*]").expect("valid"), Master::Local { cores } if cores >= 1));
        assert!(matches!(master("pyrite://h:7077").expect("valid"), Master::Cluster(_)));
        for bad in ["local[0]", "local[x]", "locl", "spark://h"] {
            assert!(master(bad).is_err(), "{bad}");
        }
        for later in ["yarn", "k8s://https://h:1"] {
            assert!(master(later).expect_err("refused").to_string().contains("not supported yet"));
        }
    }

    #[test]
    fn sizes_and_counts_are_checked() {
        let good = submission("--master local[2] --executor-memory 512m --executors 3").expect("valid");
        assert_eq!((good.executor_memory_bytes, good.executors, good.executor_cores), (512 << 20, Some(3), None));
        assert_eq!(good.name, "Cargo.toml");
        for bad in ["--executor-memory 1", "--executor-memory lots", "--executors 0", "--executor-cores -1"] {
            assert!(submission(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_that_are_not_there_are_refused() {
        let error = submission("--py-files /no/such.py").expect_err("refused").to_string();
        assert_eq!(error, "`/no/such.py` of `--py-files` is not there");
        assert!(submission("--files s3://bucket/x").is_err());
    }

    #[test]
    fn files_lie_beneath_flags_and_are_read_like_them() {
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("spark-defaults.conf");
        let text = "spark.app.name of the file\nspark.executor.memory 2g\nspark.jars.packages a:b:1\nspark.x 1\n";
        std::fs::write(&file, text).expect("written");
        let found = submission(&format!("--properties-file {} --name given --conf spark.x=2", file.display()));
        let found = found.expect("valid");
        assert_eq!((found.name.as_str(), found.executor_memory_bytes), ("given", 2 << 30));
        assert_eq!(found.settings.get("spark.x"), Some("2"));
        assert_eq!(found.not_applicable, [("spark.jars.packages".to_owned(), "the Kafka connector is built in")]);
        std::fs::write(&file, "spark.submit.deployMode cluster\n").expect("written");
        let refused = submission(&format!("--properties-file {}", file.display())).expect_err("refused").to_string();
        assert!(refused.contains("not supported yet"), "{refused}");
    }

    #[test]
    fn the_defaults_file_is_found_and_another_file_takes_its_place() {
        let folder = tempfile::tempdir().expect("a directory");
        std::fs::write(folder.path().join("spark-defaults.conf"), "spark.app.name default\n").expect("written");
        let other = folder.path().join("other.conf");
        std::fs::write(&other, "spark.executor.instances 3\n").expect("written");
        let directory = folder.path().to_str().map(str::to_owned);
        let of =
            |flags: &str| of_line(flags, |name| directory.clone().filter(|_| name == "SPARK_CONF_DIR")).expect("valid");
        let other = other.display();
        assert_eq!(of("").name, "default");
        let alone = of(&format!("--properties-file {other}"));
        assert_eq!((alone.name.as_str(), alone.executors), ("Cargo.toml", Some(3)));
        let both = of(&format!("--properties-file {other} --load-spark-defaults"));
        assert_eq!((both.name.as_str(), both.executors), ("default", Some(3)));
    }

    #[test]
    fn the_secret_does_not_stay_in_the_settings() {
        let found = submission("--conf spark.authenticate.secret=abc").expect("valid");
        assert!(found.secret.is_some());
        assert_eq!(found.settings.get("spark.authenticate.secret"), None);
    }
}
