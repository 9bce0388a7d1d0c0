//! The flags of `submit`: all of spark-submit's and `--executors`, in one table. Flags end at the program; what follows
//! is the program's own.

use std::ffi::OsString;

use anyhow::bail;
use pyrite_common::nearest::suggestion;

use crate::settings::Settings;

/// What a flag means here.
enum Meaning {
    /// It sets this key.
    Sets(&'static str),
    /// It says something about the submission itself.
    Own(Own),
    /// It cannot apply here; the text says why.
    NotApplicable(&'static str),
    /// It is not there yet; the text names what it asks for.
    Missing(&'static str),
}

#[derive(Clone, Copy)]
enum Own {
    Conf,
    PropertiesFile,
    LoadDefaults,
    Class,
    Verbose,
    Help,
    Version,
}

struct Flag {
    names: &'static [&'static str],
    takes_value: bool,
    meaning: Meaning,
}

const fn value(names: &'static [&'static str], meaning: Meaning) -> Flag {
    Flag { names, takes_value: true, meaning }
}

const fn switch(names: &'static [&'static str], meaning: Meaning) -> Flag {
    Flag { names, takes_value: false, meaning }
}

const NO_JVM: &str = "there is no JVM";
const YARN_ONLY: &str = "for YARN only";

const FLAGS: &[Flag] = &[
    value(&["--master"], Meaning::Sets("spark.master")),
    value(&["--name"], Meaning::Sets("spark.app.name")),
    value(&["--executors", "--num-executors"], Meaning::Sets("spark.executor.instances")),
    value(&["--executor-cores"], Meaning::Sets("spark.executor.cores")),
    value(&["--executor-memory"], Meaning::Sets("spark.executor.memory")),
    value(&["--total-executor-cores"], Meaning::Sets("spark.cores.max")),
    value(&["--py-files"], Meaning::Sets("spark.submit.pyFiles")),
    value(&["--files"], Meaning::Sets("spark.files")),
    value(&["--conf", "-c"], Meaning::Own(Own::Conf)),
    value(&["--properties-file"], Meaning::Own(Own::PropertiesFile)),
    switch(&["--load-spark-defaults"], Meaning::Own(Own::LoadDefaults)),
    value(&["--deploy-mode"], Meaning::Sets("spark.submit.deployMode")),
    value(&["--class"], Meaning::Own(Own::Class)),
    switch(&["--verbose", "-v"], Meaning::Own(Own::Verbose)),
    switch(&["--help", "-h"], Meaning::Own(Own::Help)),
    switch(&["--version"], Meaning::Own(Own::Version)),
    value(&["--packages"], Meaning::NotApplicable("the Kafka connector is built in")),
    value(&["--exclude-packages"], Meaning::NotApplicable(NO_JVM)),
    value(&["--repositories"], Meaning::NotApplicable(NO_JVM)),
    value(&["--jars"], Meaning::NotApplicable(NO_JVM)),
    value(&["--driver-memory"], Meaning::NotApplicable(NO_JVM)),
    value(&["--driver-java-options"], Meaning::NotApplicable(NO_JVM)),
    value(&["--driver-library-path"], Meaning::NotApplicable(NO_JVM)),
    value(&["--driver-class-path"], Meaning::NotApplicable(NO_JVM)),
    value(&["--driver-cores"], Meaning::NotApplicable("for cluster deploy mode only")),
    value(&["--queue"], Meaning::NotApplicable(YARN_ONLY)),
    value(&["--principal"], Meaning::NotApplicable(YARN_ONLY)),
    value(&["--keytab"], Meaning::NotApplicable(YARN_ONLY)),
    value(&["--archives"], Meaning::Missing("archives for executors")),
    value(&["--proxy-user"], Meaning::Missing("acting as another user")),
    value(&["--remote"], Meaning::Missing("submitting to another Spark Connect server")),
    switch(&["--supervise"], Meaning::Missing("restarting a failed driver")),
    value(&["--kill"], Meaning::Missing("killing a submitted driver")),
    value(&["--status"], Meaning::Missing("asking for a submitted driver's status")),
];

/// Settings that belong to a JVM, or name what is built in: accepted, and told like their flags.
const NOT_APPLICABLE_SETTINGS: &[(&str, &str)] = &[
    ("spark.jars.packages", "the Kafka connector is built in"),
    ("spark.jars", NO_JVM),
    ("spark.driver.memory", NO_JVM),
    ("spark.driver.extraJavaOptions", NO_JVM),
    ("spark.driver.extraClassPath", NO_JVM),
    ("spark.driver.extraLibraryPath", NO_JVM),
    ("spark.executor.extraJavaOptions", NO_JVM),
    ("spark.executor.extraClassPath", NO_JVM),
    ("spark.executor.extraLibraryPath", NO_JVM),
];

/// What the command line says.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// From flags and `--conf`; a flag wins over `--conf`, as in Spark.
    pub settings: Settings,
    pub properties_file: Option<String>,
    /// Read the defaults file though there is a properties file.
    pub load_defaults: bool,
    pub verbose: bool,
    /// Flags that cannot apply, each with why.
    pub not_applicable: Vec<(String, &'static str)>,
    pub script: String,
    pub arguments: Vec<OsString>,
}

/// What to do.
#[derive(Debug)]
pub(super) enum Request {
    Run(Box<Parsed>),
    Help,
    Version,
}

/// Reads the arguments after `submit`.
pub(super) fn parse(arguments: &[OsString]) -> anyhow::Result<Request> {
    let mut parsed = Parsed::default();
    let mut from_flags = Settings::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(text) = argument.to_str() else { bail!("argument {argument:?} is not text") };
        if !text.starts_with('-') {
            parsed.script = text.to_owned();
            parsed.arguments = rest.cloned().collect();
            from_flags.fill_from(std::mem::take(&mut parsed.settings));
            parsed.settings = from_flags;
            return Ok(Request::Run(Box::new(parsed)));
        }
        // Spark takes `--flag=value` too; `-c` and `-v` have no such form.
        let (name, attached) = match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            Some(_) | None => (text, None),
        };
        let flag = find(name)?;
        let value = match (flag.takes_value, attached) {
            (false, None) => String::new(),
            (false, Some(_)) => bail!("flag `{name}` takes no value"),
            (true, Some(value)) => value,
            (true, None) => match rest.next().map(|value| value.to_str()) {
                Some(Some(value)) => value.to_owned(),
                Some(None) => bail!("the value of flag `{name}` is not text"),
                None => bail!("flag `{name}` needs a value"),
            },
        };
        if let Some(request) = take(&mut parsed, &mut from_flags, flag, name, value)? {
            return Ok(request);
        }
    }
    bail!("no program is given; say `submit [flags] script.py [arguments]`, or `submit --help`")
}

fn find(name: &str) -> anyhow::Result<&'static Flag> {
    match FLAGS.iter().find(|flag| flag.names.contains(&name)) {
        Some(flag) => Ok(flag),
        None => {
            let names = FLAGS.iter().flat_map(|flag| flag.names.iter().copied());
            bail!("flag `{name}` is unknown{}", suggestion(name, names))
        }
    }
}

fn take(
    parsed: &mut Parsed,
    from_flags: &mut Settings,
    flag: &'static Flag,
    name: &str,
    value: String,
) -> anyhow::Result<Option<Request>> {
    match flag.meaning {
        Meaning::Sets(key) => from_flags.set(key, value),
        Meaning::NotApplicable(why) => parsed.not_applicable.push((name.to_owned(), why)),
        Meaning::Missing(what) => bail!("`{name}` is not supported yet: {what}"),
        Meaning::Own(own) => match own {
            Own::Conf => parsed.settings.set_pair(&value)?,
            Own::PropertiesFile => parsed.properties_file = Some(value),
            Own::LoadDefaults => parsed.load_defaults = true,
            Own::Verbose => parsed.verbose = true,
            Own::Help => return Ok(Some(Request::Help)),
            Own::Version => return Ok(Some(Request::Version)),
            Own::Class => parsed.not_applicable.push((name.to_owned(), "programs are Python scripts")),
        },
    }
    Ok(None)
}

/// The settings that cannot apply, each with why, wherever they come from.
pub(super) fn not_applicable(settings: &Settings) -> impl Iterator<Item = (String, &'static str)> {
    let said = |(key, _): &&(&str, &str)| settings.get(key).is_some();
    NOT_APPLICABLE_SETTINGS.iter().filter(said).map(|(key, why)| ((*key).to_owned(), *why))
}

/// The text of `--help`.
pub(super) const HELP: &str = "\
Usage: submit [flags] script.py [arguments]

  --master URL                 spark://host:port, pyrite://host:port, local, local[N], local[*] (local[*])
  --name NAME                  name of the application (the script's file name)
  --executors N                executors; also --num-executors (as many as fit)
  --executor-cores N           cores of each executor (1 with --executors, else all of each worker)
  --executor-memory MEMORY     memory of each executor, such as 3G (1G)
  --total-executor-cores N     cores of all executors
  --conf, -c KEY=VALUE         a setting
  --properties-file FILE       a file of settings, instead of conf/spark-defaults.conf
  --load-spark-defaults        read conf/spark-defaults.conf as well
  --py-files FILES             .py, .zip and .egg files for PYTHONPATH, with commas between
  --files FILES                files that the program needs, with commas between
  --deploy-mode client         where the driver runs; cluster is not supported yet
  --verbose, -v                show the settings and more of the log
  --help, -h                   this text
  --version                    the version

Accepted without effect, because there is no JVM and the Kafka connector is built in: --packages, --exclude-packages,
--repositories, --jars, --class, --driver-memory, --driver-cores, --driver-java-options, --driver-library-path,
--driver-class-path, --queue, --principal, --keytab.
Not supported yet: --archives, --proxy-user, --remote, --supervise, --kill, --status, yarn and k8s:// masters.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> anyhow::Result<Request> {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(&arguments)
    }

    fn run(line: &str) -> Box<Parsed> {
        match parse_line(line) {
            Ok(Request::Run(parsed)) => parsed,
            other => panic!("not a run: {other:?}"),
        }
    }

    fn error(line: &str) -> String {
        parse_line(line).expect_err("refused").to_string()
    }

    #[test]
    fn the_documented_submit_parses() {
        let parsed = run("--master spark://127.0.0.1:7077 --executors 4 --executor-cores 4 --executor-memory 3G \
             --conf spark.sql.shuffle.partitions=32 --conf spark.streaming.backpressure.enabled=true \
             --packages org.apache.spark:spark-sql-kafka-0-10_2.13:4.0.0 script.py one --two");
        assert_eq!(parsed.settings.get("spark.master"), Some("spark://127.0.0.1:7077"));
        assert_eq!(parsed.settings.get("spark.executor.instances"), Some("4"));
        assert_eq!(parsed.settings.get("spark.executor.cores"), Some("4"));
        assert_eq!(parsed.settings.get("spark.executor.memory"), Some("3G"));
        assert_eq!(parsed.settings.get("spark.sql.shuffle.partitions"), Some("32"));
        assert_eq!(parsed.not_applicable, [("--packages".to_owned(), "the Kafka connector is built in")]);
        assert_eq!(parsed.script, "script.py");
        assert_eq!(parsed.arguments, ["one", "--two"]);
    }

    #[test]
    fn a_flag_wins_over_conf_and_may_carry_its_value() {
        let parsed = run("--conf=spark.executor.memory=1g --executor-memory=2g -c spark.executor.memory=3g x.py");
        assert_eq!(parsed.settings.get("spark.executor.memory"), Some("2g"));
    }

    #[test]
    fn flags_after_the_program_are_the_programs() {
        let parsed = run("x.py --master local --help");
        assert_eq!(parsed.settings.get("spark.master"), None);
        assert_eq!(parsed.arguments, ["--master", "local", "--help"]);
    }

    #[test]
    fn unknown_flags_are_refused_with_the_nearest() {
        assert_eq!(
            error("--executor-core 4 x.py"),
            "flag `--executor-core` is unknown; did you mean `--executor-cores`?"
        );
        assert_eq!(error("--zzzzzz x.py"), "flag `--zzzzzz` is unknown");
    }

    #[test]
    fn what_is_to_come_is_refused_by_name() {
        for line in ["--supervise x.py", "--kill d --master m", "--status d", "--remote sc://h x.py"] {
            assert!(error(line).contains("not supported yet"), "{line}");
        }
    }

    #[test]
    fn a_command_line_without_a_program_or_a_value_is_refused() {
        assert!(error("--master local").contains("no program is given"));
        assert!(error("--master").contains("needs a value"));
        assert!(error("--verbose=yes x.py").contains("takes no value"));
        assert!(error("--conf spark.x x.py").contains("not `--conf key=value`"));
    }

    #[test]
    fn all_of_spark_submits_flags_are_known() {
        let spark = "--master --deploy-mode --class --name --jars --packages --exclude-packages --repositories --py-files --files \
             --archives -c --conf --properties-file --load-spark-defaults --driver-memory --driver-java-options \
             --driver-library-path --driver-class-path --executor-memory --proxy-user --help -h --verbose -v --version --remote \
             --driver-cores --supervise --kill --status --total-executor-cores --executor-cores --num-executors --principal \
             --keytab --queue";
        for flag in spark.split_whitespace() {
            assert!(find(flag).is_ok(), "{flag}");
        }
    }

    #[test]
    fn help_names_every_flag() {
        for flag in FLAGS.iter().flat_map(|flag| flag.names) {
            assert!(HELP.contains(flag), "{flag}");
        }
    }
}
