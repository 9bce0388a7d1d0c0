//! Log lines as Spark's users know them: `26/11/22 10:58:00 INFO Master: registered worker cores=8`. Always to stderr,
//! so that standard output is the program's own.

use std::fmt;
use std::sync::OnceLock;

use chrono::Local;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

/// Overrides every level: `PYRITE_LOG=debug`, or per target, `PYRITE_LOG=warn,pyrite_driver=trace`.
pub const LOG_VARIABLE: &str = "PYRITE_LOG";

/// What the user of a program wants to see: our own few lines, and warnings of the rest. (A plain `pyrite` would match
/// every crate of ours.)
pub const PROGRAM_LEVELS: &str = "warn,pyrite::submit=info";

/// Libraries whose INFO lines mean nothing to a user of Pyrite.
const QUIET: &str = "h2=warn,hyper=warn,hyper_util=warn,tonic=warn,tower=warn,librdkafka=warn,rdkafka=warn,datafusion=warn,\
                     datafusion_optimizer=warn,datafusion_physical_plan=warn,object_store=warn,sqlparser=warn";

/// The levels that Spark's `setLogLevel` knows.
pub const LEVELS: [&str; 8] = ["ALL", "DEBUG", "ERROR", "FATAL", "INFO", "OFF", "TRACE", "WARN"];

type Reload = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;
static RELOAD: OnceLock<Reload> = OnceLock::new();

/// The level is none of Spark's.
#[derive(Debug, thiserror::Error)]
#[error("log level `{0}` is not one of ALL, DEBUG, ERROR, FATAL, INFO, OFF, TRACE, WARN")]
pub struct UnknownLevel(String);

/// Starts logging with these levels (`info`, or `warn,pyrite::submit=info`); the environment variable wins over them.
/// Only the first call in a process counts.
pub fn init(directives: &str) {
    let (filter, handle) = reload::Layer::new(filter(directives));
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).event_format(SparkLine).with_writer(std::io::stderr);
    let installed = tracing_subscriber::registry().with(filter).with(lines).try_init();
    if installed.is_ok() {
        // The first call won, so the cell is empty.
        let _ = RELOAD.set(Box::new(move |filter| handle.reload(filter)));
    }
}

/// Changes the level of a program while it runs, as `sparkContext.setLogLevel`; letter case does not matter. `WARN` is
/// what programs start with.
pub fn set_level(level: &str) -> Result<(), UnknownLevel> {
    let directive = match level.to_ascii_uppercase().as_str() {
        "ALL" | "TRACE" => "trace",
        "DEBUG" => "debug",
        "INFO" => "info",
        "WARN" => PROGRAM_LEVELS,
        "ERROR" | "FATAL" => "error",
        "OFF" => "off",
        _ => return Err(UnknownLevel(level.to_owned())),
    };
    if let Some(reload) = RELOAD.get() {
        // The only failure is that the subscriber is gone, and then there is nothing to set.
        let _ = reload(filter(directive));
    }
    Ok(())
}

fn filter(directives: &str) -> EnvFilter {
    match std::env::var(LOG_VARIABLE) {
        Ok(wanted) if !wanted.is_empty() => EnvFilter::new(wanted),
        _ if directives == "off" || directives == "error" => EnvFilter::new(directives),
        _ => EnvFilter::new(format!("{directives},{QUIET}")),
    }
}

struct SparkLine;

impl<S, N> FormatEvent<S, N> for SparkLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = Local::now().format("%y/%m/%d %H:%M:%S");
        let metadata = event.metadata();
        write!(writer, "{now} {} {}: ", metadata.level(), component(metadata.target()))?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// The part of the program that speaks: `pyrite_master::run` is `Master`.
fn component(target: &str) -> &str {
    let (root, rest) = target.split_once("::").unwrap_or((target, ""));
    match root {
        "pyrite_master" => "Master",
        "pyrite_worker" if rest.starts_with("executor") => "Executor",
        "pyrite_worker" => "Worker",
        "pyrite_driver" => "Driver",
        "pyrite_connect" => "Connect",
        "pyrite_engine" => "Engine",
        "pyrite" if rest.starts_with("submit") => "Submit",
        "pyrite" => "Pyrite",
        "pyrite_common" => rest.rsplit("::").next().unwrap_or(root),
        _ => root,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_the_component_not_the_module() {
        assert_eq!(component("pyrite_master::run"), "Master");
        assert_eq!(component("pyrite_worker::executor::batch"), "Executor");
        assert_eq!(component("pyrite_worker::daemon"), "Worker");
        assert_eq!(component("pyrite::submit::run"), "Submit");
        assert_eq!(component("Console"), "Console");
    }

    #[test]
    fn only_sparks_levels_are_levels() {
        for level in LEVELS {
            assert!(set_level(level).is_ok());
        }
        assert!(set_level("warn").is_ok());
        assert!(set_level("LOUD").is_err());
    }
}
