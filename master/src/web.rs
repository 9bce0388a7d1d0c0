//! The web UI of the master: Spark's JSON at `/json/`, and a plain page at `/`. Both read the published snapshot.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::get;
use pyrite_common::lifecycle::{Lifecycle, TaskKind};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::snapshot::{ApplicationView, Snapshot};

type Snapshots = watch::Receiver<Arc<Snapshot>>;

/// Serves until the lifecycle stops. The cluster goes on without its page, so a failure only is logged.
pub(crate) fn spawn(listener: TcpListener, snapshots: Snapshots, lifecycle: &Lifecycle) {
    let router = Router::new()
        .route("/", get(page))
        .route("/json", get(whole))
        .route("/json/", get(whole))
        .route("/json/{field}", get(field))
        .with_state(snapshots);
    let stopping = lifecycle.token().clone().cancelled_owned();
    lifecycle.spawn(TaskKind::Background, "master web UI", async move {
        axum::serve(listener, router).with_graceful_shutdown(stopping).await
    });
}

async fn whole(State(snapshots): State<Snapshots>) -> Response {
    let snapshot = snapshots.borrow().clone();
    Json(snapshot.json(None)).into_response()
}

async fn field(State(snapshots): State<Snapshots>, Path(field): Path<String>) -> Response {
    let snapshot = snapshots.borrow().clone();
    match snapshot.json(Some(&field)) {
        Some(json) => Json(json).into_response(),
        None => (StatusCode::NOT_FOUND, format!("no field `{field}`\n")).into_response(),
    }
}

async fn page(State(snapshots): State<Snapshots>) -> Html<String> {
    let snapshot = snapshots.borrow().clone();
    Html(render(&snapshot))
}

fn render(snapshot: &Snapshot) -> String {
    let mut page = String::from(
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5><title>Pyrite Master</title>\
         <style>body{font:14px system-ui,sans-serif;margin:2em}table{border-collapse:collapse;margin:0 0 2em}\
         td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left}</style>",
    );
    let url = escape(&snapshot.url);
    // Writing to a string does not fail.
    let _ = write!(page, "<h1>Pyrite Master at {url}</h1><p>Alive workers: {}. ", snapshot.aliveworkers);
    let _ = write!(
        page,
        "Cores: {} total, {} used. Memory: {} MiB total, {} MiB used. <a href=/json/>JSON</a></p>",
        snapshot.cores, snapshot.coresused, snapshot.memory, snapshot.memoryused
    );
    page.push_str("<h2>Workers</h2><table><tr><th>Worker Id<th>Address<th>State<th>Cores<th>Memory");
    for worker in &snapshot.workers {
        let _ = write!(
            page,
            "<tr><td><a href=\"{}\">{}</a><td>{}:{}<td>{}<td>{} ({} used)<td>{} MiB ({} MiB used)",
            escape(&worker.webuiaddress),
            escape(&worker.id),
            escape(&worker.host),
            worker.port,
            worker.state,
            worker.cores,
            worker.coresused,
            worker.memory,
            worker.memoryused
        );
    }
    page.push_str("</table>");
    applications(&mut page, "Running Applications", &snapshot.activeapps);
    applications(&mut page, "Completed Applications", &snapshot.completedapps);
    page
}

fn applications(page: &mut String, title: &str, applications: &[ApplicationView]) {
    let _ = write!(
        page,
        "<h2>{title}</h2><table><tr><th>Application ID<th>Name<th>Cores<th>Memory per Executor<th>Submitted Time<th>User\
         <th>State<th>Duration<th>Executors<th>Waits for"
    );
    for application in applications {
        let executors: Vec<String> = application
            .executors
            .iter()
            .map(|executor| format!("{} {} on {}", executor.id, executor.state, executor.worker))
            .collect();
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{} MiB<td>{}<td>{}<td>{}<td>{} s<td>{}<td>{}",
            escape(&application.id),
            escape(&application.name),
            application.cores,
            application.memoryperexecutor,
            escape(&application.submitdate),
            escape(&application.user),
            application.state,
            application.duration / 1_000,
            escape(&executors.join(", ")),
            escape(&application.waiting)
        );
    }
    page.push_str("</table>");
}

/// Text that came from others must not become markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_applications_do_not_become_markup() {
        assert_eq!(escape("<script>'x\"&"), "&lt;script&gt;&#39;x&quot;&amp;");
        let page = render(&Snapshot { url: "<b>".to_owned(), ..Snapshot::default() });
        assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"));
    }
}
