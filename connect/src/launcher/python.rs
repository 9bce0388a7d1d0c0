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

/// No candidate has the client.
#[derive(Debug, thiserror::Error)]
#[error(
    "no Python with a Spark Connect client was found ({looked_at}); run `make setup`, or set PYSPARK_PYTHON to a Python where \
     `pip install pyspark-client` was run"
)]
pub struct FindPythonError {
    looked_at: String,
}

/// Looks, without importing anything, whether the packages of the client are there. It ends with 0 when they are, else it
/// prints the first that is missing.
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

/// Finds the Python to run a program with, in this order: `PYSPARK_PYTHON`, the active virtual environment, the one that
/// `make` made. `variable` reads an environment variable.
///
/// # Errors
/// None has the client: the error says what was looked at and the command that helps.
pub fn find_python(variable: impl Fn(&str) -> Option<String>) -> Result<Python, FindPythonError> {
    let mut looked_at = Vec::new();
    for candidate in candidates(variable) {
        match probe(&candidate.executable) {
            Ok(()) => return Ok(candidate),
            Err(why) => {
                if candidate.origin == PYSPARK_PYTHON {
                    tracing::warn!(
                        "{PYSPARK_PYTHON} is `{}`, which cannot run the program: {why}",
                        candidate.executable.display()
                    );
                }
                looked_at.push(format!("{} `{}`: {why}", candidate.origin, candidate.executable.display()));
            }
        }
    }
    Err(FindPythonError { looked_at: looked_at.join("; ") })
}

const PYSPARK_PYTHON: &str = "PYSPARK_PYTHON";

fn candidates(variable: impl Fn(&str) -> Option<String>) -> Vec<Python> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let mut found = Vec::new();
    if let Some(executable) = set(PYSPARK_PYTHON) {
        found.push(Python { executable: executable.into(), origin: PYSPARK_PYTHON });
    }
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
        let list = candidates(of(&[
            ("PYSPARK_PYTHON", "/p"),
            ("VIRTUAL_ENV", "/v"),
            ("HOME", "/h"),
            ("XDG_CACHE_HOME", "/x"),
        ]));
        let paths: Vec<_> = list.iter().map(|python| python.executable.to_str().expect("text")).collect();
        assert_eq!(paths, ["/p", "/v/bin/python", "/x/pyrite/venv/bin/python"]);
        let list = candidates(of(&[("HOME", "/h"), ("PYRITE_HOME", "/q"), ("VIRTUAL_ENV", "")]));
        assert_eq!(list[0].executable, Path::new("/q/venv/bin/python"));
        assert_eq!(list.len(), 1);
    }

    #[test]
    fn none_is_an_error_with_the_command_that_helps() {
        let error = find_python(of(&[("PYRITE_HOME", "/no/such/place")])).unwrap_err().to_string();
        assert!(error.contains("make setup") && error.contains("/no/such/place"), "{error}");
    }
}
