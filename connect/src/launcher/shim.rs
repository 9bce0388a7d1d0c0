//! The shim's files, carried in the binary and laid out in a directory of the application.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Path below the shim's directory, and content.
const FILES: [(&str, &str); 19] = [
    ("pyrite_shim/__init__.py", include_str!("../../python/pyrite_shim/__init__.py")),
    ("pyrite_shim/context.py", include_str!("../../python/pyrite_shim/context.py")),
    ("pyrite_shim/dstreams/__init__.py", include_str!("../../python/pyrite_shim/dstreams/__init__.py")),
    ("pyrite_shim/dstreams/context.py", include_str!("../../python/pyrite_shim/dstreams/context.py")),
    ("pyrite_shim/dstreams/dstream.py", include_str!("../../python/pyrite_shim/dstreams/dstream.py")),
    ("pyrite_shim/dstreams/listener.py", include_str!("../../python/pyrite_shim/dstreams/listener.py")),
    ("pyrite_shim/jvm.py", include_str!("../../python/pyrite_shim/jvm.py")),
    ("pyrite_shim/lent/findspark.py", include_str!("../../python/pyrite_shim/lent/findspark.py")),
    ("pyrite_shim/lent/py4j/__init__.py", include_str!("../../python/pyrite_shim/lent/py4j/__init__.py")),
    (
        "pyrite_shim/lent/py4j/java_collections.py",
        include_str!("../../python/pyrite_shim/lent/py4j/java_collections.py"),
    ),
    ("pyrite_shim/lent/py4j/java_gateway.py", include_str!("../../python/pyrite_shim/lent/py4j/java_gateway.py")),
    ("pyrite_shim/lent/py4j/protocol.py", include_str!("../../python/pyrite_shim/lent/py4j/protocol.py")),
    ("pyrite_shim/listeners.py", include_str!("../../python/pyrite_shim/listeners.py")),
    ("pyrite_shim/log.py", include_str!("../../python/pyrite_shim/log.py")),
    ("pyrite_shim/patches.py", include_str!("../../python/pyrite_shim/patches.py")),
    ("pyrite_shim/refusals.py", include_str!("../../python/pyrite_shim/refusals.py")),
    ("pyrite_shim/sql_context.py", include_str!("../../python/pyrite_shim/sql_context.py")),
    ("pyrite_shim/submitted.py", include_str!("../../python/pyrite_shim/submitted.py")),
    ("sitecustomize.py", include_str!("../../python/sitecustomize.py")),
];

/// Writes the shim below `directory` and returns the path that goes onto `PYTHONPATH`.
///
/// # Errors
/// The directory cannot be written.
pub fn write_shim(directory: &Path) -> io::Result<PathBuf> {
    let root = directory.join("python");
    for (name, content) in FILES {
        let path = root.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, content)?;
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_shim_is_carried() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let mut found = Vec::new();
        let mut folders = vec![source.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("the shim's source") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "py") {
                    found.push(path.strip_prefix(&source).expect("below").to_string_lossy().into_owned());
                }
            }
        }
        found.sort();
        let mut carried: Vec<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        carried.sort();
        assert_eq!(found, carried);
    }

    #[test]
    fn the_shim_is_laid_out() {
        let directory = std::env::temp_dir().join(format!("pyrite-shim-test-{}", std::process::id()));
        let root = write_shim(&directory).expect("written");
        assert!(root.join("sitecustomize.py").is_file());
        assert!(root.join("pyrite_shim/__init__.py").is_file());
        fs::remove_dir_all(directory).expect("removed");
    }
}
