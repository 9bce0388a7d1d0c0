//! A master, workers and an application's client in one process, over real gRPC on loopback; executors are real
//! processes, though of a script that only stands in for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pyrite_common::lifecycle::Lifecycle;
use pyrite_common::net::HostPort;
use pyrite_common::security::Secret;
use pyrite_driver::master_client::{ApplicationSpec, MasterClient, MasterEvent};
use pyrite_master::{Master, MasterConfig};
use pyrite_worker::daemon::{CleanupConfig, Worker, WorkerConfig};
use tokio::sync::mpsc;
use tokio::time::timeout;

const GIB: u64 = 1 << 30;
/// Nothing here takes nearly as long; a test that hangs ends.
const DEADLINE: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(15);

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn secret(text: &str) -> Option<Secret> {
    Some(Secret::new(text, "the test").expect("a good secret"))
}

struct Part<T> {
    lifecycle: Lifecycle,
    part: T,
}

impl<T> Part<T> {
    async fn stop(self) {
        self.lifecycle.shutdown();
        let _ = self.lifecycle.finished(STOP).await;
    }
}

async fn master(port: u16) -> Part<Master> {
    let lifecycle = Lifecycle::new();
    let config = MasterConfig { port, webui_port: 0, secret: secret("abc"), ..MasterConfig::default() };
    let part = pyrite_master::start(config, &lifecycle).await.expect("the master starts");
    Part { lifecycle, part }
}

async fn worker(master: &Master, directory: &Path, cores: u32, gib: u64, program: &str) -> Part<Worker> {
    let lifecycle = Lifecycle::new();
    let config = WorkerConfig {
        masters: vec![HostPort::new("127.0.0.1", master.address.port())],
        host: None,
        cores,
        memory_bytes: gib * GIB,
        work_dir: directory.to_owned(),
        webui_port: 0,
        secret: secret("abc"),
        program: script(program),
        cleanup: CleanupConfig::default(),
    };
    let part = pyrite_worker::daemon::start(config, &lifecycle).await.expect("the worker starts");
    Part { lifecycle, part }
}

fn spec(master: &Master, executors: u32, cores: u32, gib: u64) -> ApplicationSpec {
    ApplicationSpec {
        masters: vec![HostPort::new("127.0.0.1", master.address.port())],
        secret: secret("abc"),
        name: "crash monitoring".to_owned(),
        user: "ada".to_owned(),
        executors: Some(executors),
        executor_cores: Some(cores),
        executor_memory_bytes: gib * GIB,
        cores_max: None,
        driver_url: "http://127.0.0.1:1".to_owned(),
        token: Secret::random(),
        ui_url: String::new(),
        settings: BTreeMap::new(),
    }
}

async fn wait_for(events: &mut mpsc::Receiver<MasterEvent>, wanted: impl Fn(&MasterEvent) -> bool) -> MasterEvent {
    let found = timeout(DEADLINE, async {
        loop {
            let event = events.recv().await.expect("events go on");
            if wanted(&event) {
                return event;
            }
        }
    });
    found.await.expect("the event comes in time")
}

async fn until(master: &Master, wanted: impl Fn(&pyrite_master::Snapshot) -> bool) {
    let reached = timeout(DEADLINE, master.wait_for(|snapshot| wanted(snapshot))).await;
    assert!(reached.expect("in time"), "the master runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_start_and_end_with_their_application() {
    let directory = tempfile::tempdir().expect("a directory");
    let master = master(0).await;
    let first = worker(&master.part, directory.path(), 4, 8, "fake_executor.sh").await;
    let second = worker(&master.part, directory.path(), 4, 8, "fake_executor.sh").await;
    until(&master.part, |snapshot| snapshot.aliveworkers == 2).await;

    let (client, mut events) = MasterClient::start(spec(&master.part, 2, 3, 2));
    wait_for(&mut events, |event| matches!(event, MasterEvent::Registered { .. })).await;
    until(&master.part, |snapshot| {
        snapshot.activeapps.iter().any(|app| app.executors.iter().filter(|one| one.state == "RUNNING").count() == 2)
    })
    .await;
    let snapshot = master.part.snapshot();
    assert!(snapshot.workers.iter().all(|worker| (worker.coresused, worker.memoryused) == (3, 2_048)), "spread out");
    let id = snapshot.activeapps[0].id.clone();
    let log = std::fs::read_to_string(directory.path().join(&id).join("0").join("stdout")).expect("its log");
    assert_eq!(log, "started with executor\n");

    client.finish(false, "").await;
    until(&master.part, |snapshot| snapshot.coresused == 0 && snapshot.completedapps.len() == 1).await;
    assert_eq!(master.part.snapshot().completedapps[0].state, "FINISHED");
    assert!(first.part.snapshot().executors.is_empty() && second.part.snapshot().executors.is_empty());
    first.stop().await;
    second.stop().await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_outlive_a_restart_of_the_master() {
    let directory = tempfile::tempdir().expect("a directory");
    let before = master(0).await;
    let port = before.part.address.port();
    let worker = worker(&before.part, directory.path(), 4, 8, "fake_executor.sh").await;
    let (client, mut events) = MasterClient::start(spec(&before.part, 1, 2, 1));
    wait_for(&mut events, |event| matches!(event, MasterEvent::Granted { .. })).await;
    let id = before.part.snapshot().activeapps[0].id.clone();
    before.stop().await;
    wait_for(&mut events, |event| matches!(event, MasterEvent::Away { .. })).await;

    let after = master(port).await;
    wait_for(
        &mut events,
        |event| matches!(event, MasterEvent::Registered { application_id, .. } if application_id.as_str() == id),
    )
    .await;
    until(&after.part, |snapshot| {
        snapshot.activeapps.iter().any(|app| app.id == id && app.executors.len() == 1 && app.executors[0].id == "0")
    })
    .await;
    assert_eq!(worker.part.snapshot().executors.len(), 1, "it never stopped");
    client.finish(false, "").await;
    worker.stop().await;
    after.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_ends_its_executors_and_another_takes_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let master = master(0).await;
    let first = worker(&master.part, directory.path(), 2, 8, "fake_executor.sh").await;
    let (client, mut events) = MasterClient::start(spec(&master.part, 1, 2, 1));
    wait_for(&mut events, |event| matches!(event, MasterEvent::Granted { .. })).await;
    let second = worker(&master.part, directory.path(), 2, 8, "fake_executor.sh").await;
    until(&master.part, |snapshot| snapshot.aliveworkers == 2).await;

    let first_worker = first.part.clone();
    first.stop().await;
    assert!(first_worker.snapshot().executors.is_empty(), "no process is left behind");
    let granted = wait_for(&mut events, |event| matches!(event, MasterEvent::Granted { .. })).await;
    let MasterEvent::Granted { executor_id, worker_id, .. } = granted else { unreachable!("as waited for") };
    assert_eq!((executor_id.as_str(), worker_id.as_str()), ("1", second.part.id.as_str()));
    client.finish(false, "").await;
    second.stop().await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_bigger_than_any_worker_waits_and_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let master = master(0).await;
    let worker = worker(&master.part, directory.path(), 2, 6, "fake_executor.sh").await;
    until(&master.part, |snapshot| snapshot.aliveworkers == 1).await;
    let (client, mut events) = MasterClient::start(spec(&master.part, 4, 4, 3));
    let waiting = wait_for(&mut events, |event| matches!(event, MasterEvent::Waiting(Some(_)))).await;
    let reason = "4 executors x 4 cores x 3 GiB; bigger than any worker, the largest has 2 cores, 6 GiB";
    assert_eq!(waiting, MasterEvent::Waiting(Some(reason.to_owned())));
    assert_eq!(master.part.snapshot().activeapps[0].waiting, reason);
    client.finish(false, "").await;
    worker.stop().await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_that_never_run_fail_the_application_with_their_last_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let master = master(0).await;
    let worker = worker(&master.part, directory.path(), 2, 6, "failing_executor.sh").await;
    let (_client, mut events) = MasterClient::start(spec(&master.part, 1, 2, 1));
    let ended = wait_for(&mut events, |event| matches!(event, MasterEvent::Ended { .. })).await;
    let MasterEvent::Ended { reason } = ended else { unreachable!("as waited for") };
    assert!(reason.contains("10 executors failed in a row") && reason.contains("no room for the cache"), "{reason}");
    assert_eq!(master.part.snapshot().completedapps[0].state, "FAILED");
    worker.stop().await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_refused_and_not_tried_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let master = master(0).await;
    for wrong in [None, secret("abd")] {
        let (_client, mut events) =
            MasterClient::start(ApplicationSpec { secret: wrong, ..spec(&master.part, 1, 1, 1) });
        let ended = wait_for(&mut events, |event| !matches!(event, MasterEvent::Away { .. })).await;
        assert!(matches!(&ended, MasterEvent::Ended { reason } if reason.contains("secret")), "{ended:?}");
    }
    let lifecycle = Lifecycle::new();
    let config = WorkerConfig {
        masters: vec![HostPort::new("127.0.0.1", master.part.address.port())],
        host: None,
        cores: 1,
        memory_bytes: GIB,
        work_dir: directory.path().to_owned(),
        webui_port: 0,
        secret: secret("abd"),
        program: script("fake_executor.sh"),
        cleanup: CleanupConfig::default(),
    };
    pyrite_worker::daemon::start(config, &lifecycle).await.expect("it starts");
    let failure = timeout(DEADLINE, lifecycle.finished(STOP)).await.expect("in time").expect_err("it gives up");
    assert!(failure.message.contains("secret"), "{failure}");
    assert_eq!(master.part.snapshot().aliveworkers, 0);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_has_sparks_keys() {
    let master = master(0).await;
    let json = master.part.snapshot().json(None).expect("the whole");
    for key in [
        "url",
        "workers",
        "aliveworkers",
        "cores",
        "coresused",
        "memory",
        "memoryused",
        "activeapps",
        "completedapps",
        "status",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert!(master.part.snapshot().json(Some("clusterutilization")).is_some());
    assert!(master.part.snapshot().json(Some("nothing")).is_none());
    master.stop().await;
}
