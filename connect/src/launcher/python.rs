//! Which Python runs the program: the first of a few candidates that has a Spark Connect client.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A Python that has the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// The interpreter.
    pub executable: PathBuf,
    /// Where it was found, for the log.
    pub origin: &'static str,
}

/// A setting that names the Python.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenPython {
    /// The setting's key, or the environment variable.
    pub setting: &'static str,
    /// Its value.
    pub executable: PathBuf,
}

/// No Python can run the program.
#[derive(Debug, thiserror::Error)]
pub enum FindPythonError {
    /// The one that was chosen cannot; another than that is not what the user wants.
    #[error(
        "{setting} is `{executable}`, which cannot run the program: {why}; name a Python where `pip install pyspark-client` was \
         run, or leave {setting} out to have one looked for"
    )]
    Chosen {
        /// What chose it.
        setting: &'static str,
        /// The interpreter.
        executable: String,
        /// What is wrong with it.
        why: String,
    },
    /// No candidate has the client.
    #[error(
        "no Python with a Spark Connect client was found ({looked_at}); run `make setup`, or set PYSPARK_PYTHON to a Python where \
         `pip install pyspark-client` was run"
    )]
    NoneFound {
        /// The candidates, each with what is wrong with it.
        looked_at: String,
    },
}

/// Looks, without importing anything, whether the packages of the client are there. It ends with 0 when they are, else
/// it prints the first that is missing.
const PROBE: &str = "
import importlib.util, os, sys
if sys.version_info < (3, 10):
    sys.exit('Python %d.%d is older than 3.10' % sys.version_info[:2])
for name in ('pyspark', 'grpc', 'grpc_status', 'google', 'pandas', 'pyarrow'):
    spec = importlib.util.find_spec(name)
    if spec is None:
        sys.exit('no package ' + name)
    if name == 'pyspark':
        place = list(spec.submodule_search_locations or ['?'])[0]
        if not os.path.isdir(os.path.join(place, 'sql', 'connect')):
            sys.exit('a pyspark without Spark Connect')
";

/// Finds the Python to run a program with: the one that is `chosen`, else the one that `PYSPARK_PYTHON` names, else the
/// first that has the client of the active virtual environment and the one that `make` made. `variable` reads an
/// environment variable.
///
/// # Errors
/// The named one cannot run the program, or none of the others can: the error says what was looked at and what helps.
pub fn find_python(
    chosen: Option<ChosenPython>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Python, FindPythonError> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let from_variable = || {
        let executable = PathBuf::from(set(PYSPARK_PYTHON)?);
        Some(ChosenPython { setting: PYSPARK_PYTHON, executable })
    };
    if let Some(ChosenPython { setting, executable }) = chosen.or_else(from_variable) {
        return match probe(&executable) {
            Ok(()) => Ok(Python { executable, origin: setting }),
            Err(why) => Err(FindPythonError::Chosen { setting, executable: executable.display().to_string(), why }),
        };
    }
    let mut looked_at = Vec::new();
    for candidate in candidates(set) {
        match probe(&candidate.executable) {
            Ok(()) => return Ok(candidate),
            Err(why) => looked_at.push(format!("{} `{}`: {why}", candidate.origin, candidate.executable.display())),
        }
    }
    Err(FindPythonError::NoneFound { looked_at: looked_at.join("; ") })
}

const PYSPARK_PYTHON: &str = "PYSPARK_PYTHON";

/// Those that nobody named. `set` reads an environment variable that is not empty.
fn candidates(set: impl Fn(&str) -> Option<String>) -> Vec<Python> {
    let mut found = Vec::new();
    if let Some(directory) = set("VIRTUAL_ENV") {
        found.push(Python { executable: interpreter(directory.as_ref()), origin: "the active virtual environment" });
    }
    let home = set("PYRITE_HOME").map(PathBuf::from).or_else(|| {
        let cache = set("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| set("HOME").map(|home| Path::new(&home).join(".cache")));
        cache.map(|cache| cache.join("pyrite"))
    });
    if let Some(home) = home {
        found.push(Python { executable: interpreter(&home.join("venv")), origin: "the environment that `make` makes" });
    }
    found
}

fn interpreter(environment: &Path) -> PathBuf {
    environment.join("bin").join("python")
}

/// Asks a candidate, in the environment that the program would have.
fn probe(executable: &Path) -> Result<(), String> {
    let output = Command::new(executable)
        .args(["-c", PROBE])
        .env_remove("PYRITE_SHIM")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text.lines().last().unwrap_or("it failed").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_candidates_come_in_order() {
        let list = candidates(of(&[("VIRTUAL_ENV", "/v"), ("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]));
        let paths: Vec<_> = list.iter().map(|python| python.executable.to_str().expect("text")).collect();
        assert_eq!(paths, ["/v/bin/python", "/x/pyrite/venv/bin/python"]);
        let list = candidates(of(&[("HOME", "/h"), ("PYRITE_HOME", "/q")]));
        assert_eq!(list[0].executable, Path::new("/q/venv/bin/python"));
        assert_eq!(list.len(), 1);
    }

    #[test]
    fn none_is_an_error_with_the_command_that_helps() {
        let error = find_python(None, of(&[("PYRITE_HOME", "/no/such/place"), ("VIRTUAL_ENV", "")]));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("make setup") && error.contains("/no/such/place"), "{error}");
        assert!(!error.contains("virtual environment"), "{error}");
    }

    #[test]
    fn one_that_is_named_and_cannot_run_is_not_replaced() {
        let variables = of(&[("PYSPARK_PYTHON", "/no/such/python"), ("HOME", "/h")]);
        let error = find_python(None, &variables).unwrap_err().to_string();
        assert!(error.starts_with("PYSPARK_PYTHON is `/no/such/python`, which cannot run the program: "), "{error}");
        let chosen = ChosenPython { setting: "spark.pyspark.python", executable: "/bin/false".into() };
        let error = find_python(Some(chosen), &variables).unwrap_err().to_string();
        assert!(error.starts_with("spark.pyspark.python is `/bin/false`") && error.contains("pip install"), "{error}");
    }
}
