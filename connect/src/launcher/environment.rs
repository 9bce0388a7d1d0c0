//! What the Python process is told.

use std::ffi::OsString;
use std::path::Path;

use pyrite_common::security::Secret;

/// Where the program's session goes.
pub struct PythonTarget<'a> {
    /// The port of the Spark Connect server on this machine.
    pub port: u16,
    /// The token that the server asks for.
    pub token: &'a Secret,
    /// The directory that [`super::write_shim`] returned.
    pub shim: &'a Path,
    /// The Python that runs, for what the program starts itself.
    pub python: &'a Path,
}

/// The variables to set on the Python process, over those it inherits. `MASTER` must not be inherited: unset it.
pub fn python_env(target: &PythonTarget<'_>, inherited_python_path: Option<OsString>) -> Vec<(OsString, OsString)> {
    // The name matters: for any other host the client takes a token to mean TLS.
    let remote = format!("sc://localhost:{}/;token={}", target.port, target.token.expose());
    let mut python_path = OsString::from(target.shim);
    if let Some(inherited) = inherited_python_path.filter(|path| !path.is_empty()) {
        python_path.push(":");
        python_path.push(inherited);
    }
    let python = OsString::from(target.python);
    [
        ("SPARK_REMOTE", OsString::from(remote)),
        ("SPARK_CONNECT_MODE_ENABLED", OsString::from("1")),
        ("SPARK_API_MODE", OsString::from("connect")),
        ("PYRITE_SHIM", OsString::from("1")),
        ("PYTHONPATH", python_path),
        // What the program prints shows at once, also through a pipe.
        ("PYTHONUNBUFFERED", OsString::from("1")),
        // One session is not worth a proxy's detour.
        ("no_grpc_proxy", OsString::from("localhost")),
        ("PYSPARK_PYTHON", python.clone()),
        ("PYSPARK_DRIVER_PYTHON", python),
    ]
    .into_iter()
    .map(|(name, value)| (OsString::from(name), value))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(inherited: Option<&str>) -> Vec<(OsString, OsString)> {
        let token = Secret::new("abc", "the test").expect("a good secret");
        let target = PythonTarget {
            port: 4711,
            token: &token,
            shim: Path::new("/tmp/shim"),
            python: Path::new("/usr/bin/python3"),
        };
        python_env(&target, inherited.map(OsString::from))
    }

    fn value(env: &[(OsString, OsString)], name: &str) -> String {
        let (_, value) = env.iter().find(|(key, _)| key == name).expect("the variable");
        value.to_string_lossy().into_owned()
    }

    #[test]
    fn the_address_has_the_token() {
        assert_eq!(value(&env(None), "SPARK_REMOTE"), "sc://localhost:4711/;token=abc");
    }

    #[test]
    fn the_shim_comes_before_what_was_on_the_path() {
        assert_eq!(value(&env(Some("/a:/b")), "PYTHONPATH"), "/tmp/shim:/a:/b");
        assert_eq!(value(&env(Some("")), "PYTHONPATH"), "/tmp/shim");
    }
}
