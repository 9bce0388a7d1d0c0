//! How a PySpark program is run: with which Python, and with what in its environment. The program itself is not
//! touched; a small shim on `PYTHONPATH` lets it keep what is for JVM clusters.

mod environment;
mod python;
mod shim;

pub use environment::{PythonTarget, python_env};
pub use python::{ChosenPython, FindPythonError, Python, find_python};
pub use shim::write_shim;
