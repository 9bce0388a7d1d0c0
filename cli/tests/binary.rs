//! The binary as a user calls it: what it refuses, and that nothing is left behind when its processes are killed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use pyrite_common::net::HostPort;
use pyrite_common::security::Secret;
use pyrite_driver::master_client::{ApplicationSpec, MasterClient, MasterEvent};

const PYRITE: &str = env!("CARGO_BIN_EXE_pyrite");
/// Nothing here takes nearly as long; a test that would wait for ever ends.
const DEADLINE: Duration = Duration::from_secs(60);
const TOKEN: &str = "f00dfeedf00dfeedf00dfeedf00dfeed";
const POLL_INTERVAL: Duration = Duration::from_millis(20);

fn pyrite(arguments: &[&str]) -> Output {
    Command::new(PYRITE).args(arguments).stdin(Stdio::null()).output().expect("it runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A daemon that is killed at the end of its test.
struct Daemon {
    child: Child,
    /// Its log; closed when it has ended.
    lines: mpsc::Receiver<String>,
}

impl Daemon {
    fn start(arguments: &[&str]) -> Daemon {
        let mut child = Command::new(PYRITE)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Daemon { child, lines }
    }

    /// Reads its log up to the line that has `wanted`; returns what stands behind it.
    fn read_to(&mut self, wanted: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(DEADLINE).unwrap_or_else(|error| panic!("no `{wanted}`: {error}"));
            if let Some((_, rest)) = line.split_once(wanted) {
                return rest.trim().to_owned();
            }
        }
    }

    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processes whose command line has both texts.
fn processes(first: &str, second: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("Linux").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(first) && command.contains(second) {
            found.push(pid);
        }
    }
    found
}

fn poll_until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !reached() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[test]
fn a_master_that_others_can_reach_needs_a_secret() {
    let refused = pyrite(&["master", "--host", "0.0.0.0", "--port", "0", "--webui-port", "0"]);
    assert_eq!(refused.status.code(), Some(1));
    let text = stderr(&refused);
    assert!(text.contains("spark.authenticate.secret") && text.contains("--insecure"), "{text}");
}

#[test]
fn unknown_flags_are_refused_with_the_nearest() {
    let refused = pyrite(&["submit", "--executer-memory", "1g", "script.py"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("did you mean `--executor-memory`?"), "{}", stderr(&refused));
    assert_eq!(pyrite(&["master", "--hots", "x"]).status.code(), Some(2));
}

#[test]
fn what_submit_cannot_run_is_said() {
    for (arguments, wanted) in [
        (vec!["submit", "/no/such/script.py"], "script `/no/such/script.py` is not there"),
        (vec!["submit", "--master", "yarn", "Cargo.toml"], "not supported yet"),
        (vec!["submit", "--deploy-mode", "cluster", "x.py"], "not supported yet"),
        (vec!["submit"], "no program is given"),
        (vec!["submit", "program.jar"], "JVM program"),
    ] {
        let refused = pyrite(&arguments);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&refused).contains(wanted), "{arguments:?}: {}", stderr(&refused));
    }
}

#[test]
fn help_and_version_are_there() {
    for arguments in [vec!["--help"], vec!["--version"], vec!["submit", "--help"], vec!["submit", "--version"]] {
        let shown = pyrite(&arguments);
        assert!(shown.status.success() && !shown.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_master_that_is_not_there_is_named() {
    let script = tempfile::NamedTempFile::with_suffix(".py").expect("a file");
    let path = script.path().to_str().expect("text");
    // A port that was just free: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let master = format!("spark://127.0.0.1:{port}");
    let mut submit = Daemon::start(&["submit", "--master", &master, path]);
    submit.read_to(&format!("master at 127.0.0.1:{port} cannot be reached"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_leaves_no_executor_behind() {
    let work = tempfile::tempdir().expect("a directory");
    let mut master = Daemon::start(&["master", "--port", "0", "--webui-port", "0"]);
    let url = master.read_to("started master at ");
    let work_dir = work.path().to_str().expect("text");
    let mut worker =
        Daemon::start(&["worker", &url, "--cores", "2", "--memory", "2G", "--webui-port", "0", "--work-dir", work_dir]);
    worker.read_to("registered with master");

    // A driver that takes connections and says nothing keeps an executor waiting.
    let driver = TcpListener::bind("127.0.0.1:0").expect("a port");
    let spec = ApplicationSpec {
        masters: HostPort::parse_master(&url).expect("the master's own URL"),
        secret: None,
        name: "kill test".to_owned(),
        user: "ada".to_owned(),
        executors: Some(1),
        executor_cores: Some(1),
        executor_memory_bytes: 1 << 30,
        cores_max: None,
        driver_url: format!("http://{}", driver.local_addr().expect("bound")),
        token: Secret::new(TOKEN, "the test").expect("a secret"),
        ui_url: String::new(),
        settings: BTreeMap::new(),
    };
    let (_client, mut events) = MasterClient::start(spec);
    let id = loop {
        let event = tokio::time::timeout(DEADLINE, events.recv()).await.expect("the master answers");
        if let MasterEvent::Registered { application_id, .. } = event.expect("events go on") {
            break application_id;
        }
    };
    let executors = || processes(" executor ", id.as_str());
    poll_until("an executor runs", || !executors().is_empty());
    for pid in executors() {
        for shown in ["environ", "cmdline"] {
            let text = fs::read(format!("/proc/{pid}/{shown}")).expect("it is ours");
            assert!(!String::from_utf8_lossy(&text).contains(TOKEN), "the token is in its {shown}");
        }
    }

    worker.kill();
    poll_until("its executors are gone", || executors().is_empty());
    loop {
        let event = tokio::time::timeout(DEADLINE, events.recv()).await.expect("the master tells");
        if let MasterEvent::Removed { .. } = event.expect("events go on") {
            break;
        }
    }
}
