//! The web UI of the worker: Spark's JSON at `/json/`, a plain page at `/`, executors' logs at `/logPage`.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::get;
use pyrite_common::lifecycle::{Lifecycle, TaskKind};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::directory;
use super::ledger::Key;
use super::snapshot::{ExecutorView, Snapshot};

/// How much of a log's end is shown.
const LOG_BYTES_MAX: u64 = 100 * 1_024;

/// What the pages read.
#[derive(Clone)]
pub(crate) struct Pages {
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    pub work_dir: PathBuf,
}

/// Serves until the lifecycle stops. Executors go on without the page, so a failure only is logged.
pub(crate) fn spawn(listener: TcpListener, pages: Pages, lifecycle: &Lifecycle) {
    let router = Router::new()
        .route("/", get(page))
        .route("/json", get(whole))
        .route("/json/", get(whole))
        .route("/logPage", get(log))
        .route("/logPage/", get(log))
        .with_state(pages);
    let stopping = lifecycle.token().clone().cancelled_owned();
    lifecycle.spawn(TaskKind::Background, "worker web UI", async move {
        axum::serve(listener, router).with_graceful_shutdown(stopping).await
    });
}

async fn whole(State(pages): State<Pages>) -> Response {
    let snapshot = pages.snapshots.borrow().clone();
    Json(snapshot.json()).into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogQuery {
    app_id: String,
    executor_id: String,
    log_type: String,
}

async fn log(State(pages): State<Pages>, Query(query): Query<LogQuery>) -> Response {
    let key = Key { application: query.app_id.into(), executor: query.executor_id.into() };
    let known_log = matches!(query.log_type.as_str(), "stdout" | "stderr");
    if !known_log || !key.application.is_path_safe() || !key.executor.is_path_safe() {
        return (StatusCode::BAD_REQUEST, "no such log\n").into_response();
    }
    let path = directory::of_executor(&pages.work_dir, &key).join(query.log_type);
    match tokio::task::spawn_blocking(move || directory::tail(&path, LOG_BYTES_MAX)).await {
        Ok(Ok(text)) => text.into_response(),
        Ok(Err(_)) | Err(_) => (StatusCode::NOT_FOUND, "no such log\n").into_response(),
    }
}

async fn page(State(pages): State<Pages>) -> Html<String> {
    let snapshot = pages.snapshots.borrow().clone();
    Html(render(&snapshot))
}

fn render(snapshot: &Snapshot) -> String {
    let mut page = String::from(
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5><title>Pyrite Worker</title>\
         <style>body{font:14px system-ui,sans-serif;margin:2em}table{border-collapse:collapse;margin:0 0 2em}\
         td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left}</style>",
    );
    // Writing to a string does not fail.
    let _ = write!(
        page,
        "<h1>Pyrite Worker {}</h1><p>Master: <a href=\"{}\">{}</a>. Cores: {} ({} used). Memory: {} MiB ({} MiB used). \
         <a href=/json/>JSON</a></p>",
        escape(&snapshot.id),
        escape(&snapshot.masterwebuiurl),
        escape(&snapshot.masterurl),
        snapshot.cores,
        snapshot.coresused,
        snapshot.memory,
        snapshot.memoryused
    );
    executors(&mut page, "Running Executors", &snapshot.executors);
    executors(&mut page, "Finished Executors", &snapshot.finishedexecutors);
    page
}

fn executors(page: &mut String, title: &str, executors: &[ExecutorView]) {
    let _ = write!(
        page,
        "<h2>{title}</h2><table><tr><th>ExecutorID<th>Application<th>State<th>Cores<th>Memory<th>Logs<th>Notes"
    );
    for executor in executors {
        let link = |log: &str| {
            let (application, id) = (escape(&executor.appid), escape(&executor.id));
            format!("<a href=\"/logPage?appId={application}&executorId={id}&logType={log}\">{log}</a>")
        };
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{} MiB<td>{} {}<td>{}",
            escape(&executor.id),
            escape(&executor.appid),
            executor.state,
            executor.cores,
            executor.memory,
            link("stdout"),
            link("stderr"),
            escape(&executor.message)
        );
    }
    page.push_str("</table>");
}

/// Text that came from others must not become markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
