//! The real PySpark client against the server, without a cluster: sessions, settings, analysis, batch rows, errors, and
//! the launcher's shim. The checks are in `surface.py`; the client is the one that `make setup` installs.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use pyrite_common::lifecycle::{Lifecycle, TaskKind};
use pyrite_common::security::Secret;
use pyrite_connect::launcher::{PythonTarget, find_python, python_env, write_shim};
use pyrite_connect::{ConnectOptions, ConnectServer, STACK_BYTES};
use pyrite_driver::executors::Executors;
use pyrite_driver::query::{Driver, DriverConfig};
use tokio::process::Command;
use tokio::runtime::Builder;

/// The script takes a few seconds on a busy machine.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(180);

#[test]
fn a_program_with_the_real_client_finds_what_spark_has() {
    // As in `submit`: plans are walked by recursion.
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().thread_stack_size(STACK_BYTES).build();
    runtime.expect("the threads start").block_on(run_the_script());
}

async fn run_the_script() {
    let lifecycle = Lifecycle::new();
    let config = DriverConfig { host: "127.0.0.1".to_owned(), app_name: "surface".to_owned() };
    let driver = Driver::new(config, Executors::new("app-test", "test-driver".to_owned()));
    let token = Secret::random();
    let settings = [("spark.master", "local[2]"), ("spark.app.id", "app-test"), ("spark.app.name", "surface.py")];
    let options = ConnectOptions {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        token: Some(token.clone()),
        settings: BTreeMap::from(settings.map(|(key, value)| (key.to_owned(), value.to_owned()))),
    };
    let (port, serving) = ConnectServer::bind(driver, &lifecycle, options).await.expect("a free port");
    lifecycle.spawn(TaskKind::Critical, "server", serving);

    let directory = std::env::temp_dir().join(format!("pyrite-surface-{}", std::process::id()));
    let shim = write_shim(&directory).expect("the shim is written");
    let python =
        find_python(None, |name| std::env::var(name).ok()).expect("a Python with the client; run `make setup`");
    let target = PythonTarget { port, token: &token, shim: &shim, python: &python.executable };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/surface.py");
    let run = Command::new(&python.executable)
        .arg(script)
        .envs(python_env(&target, std::env::var_os("PYTHONPATH")))
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(SCRIPT_TIMEOUT, run).await.expect("in time").expect("Python starts");
    lifecycle.shutdown();
    std::fs::remove_dir_all(&directory).expect("removed");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}
