//! From what `start()` says to what the run loop needs. Everything that can be refused is refused here, before
//! anything is started.

use std::collections::BTreeMap;

use pyrite_engine::error::{ExceptionKind, SparkError};
use pyrite_engine::plan::{Sink, decode_schema};
use pyrite_engine::types::Zone;
use pyrite_proto::plan as wire;

use super::rows::spark_schema;
use super::{OutputMode, QueryStart};
use crate::analysis::check_streaming;
use crate::plan::{DriverPart, PlannedQuery, plan_query};
use crate::protocol::{OperatorSpec, PublishBy, WatermarkNode, WatermarkPolicy};
use crate::sink::{self, MemoryCatalog, Opened, SinkRequest};
use crate::source::KafkaOptions;

/// Spark's default of `spark.sql.shuffle.partitions`.
const SHUFFLE_PARTITIONS: u32 = 200;
const TASK_FAILURES_MAX: u32 = 4;
const PROGRESS_MAX: usize = 100;
const BATCHES_RETAINED: u64 = 100;
const IDLE_INTERVAL_MS: i64 = 10_000;

/// Settings that offsets/N pins, as Spark does.
const PINNED: &[&str] = &[
    "spark.sql.shuffle.partitions",
    "spark.sql.streaming.multipleWatermarkPolicy",
    "spark.sql.streaming.stateStore.providerClass",
    "spark.sql.session.timeZone",
];

/// A query that is ready to start.
pub(super) struct Prepared {
    pub plan: wire::QueryPlan,
    pub shape: String,
    pub sources: Vec<KafkaOptions>,
    pub watermarks: Vec<WatermarkNode>,
    pub operators: Vec<OperatorSpec>,
    pub publish: PublishBy,
    pub driver_part: Option<DriverPart>,
    pub schema: datafusion::arrow::datatypes::SchemaRef,
    pub sink: Opened,
    pub settings: Settings,
    pub checkpoint: Option<String>,
    /// A checkpoint with batches is refused: the sink cannot give back what it had.
    pub refuses_recovery: bool,
}

/// The session settings that the run loop reads.
pub(super) struct Settings {
    pub shards: u32,
    pub task_failures_max: u32,
    pub no_data_batches: bool,
    pub watermark_policy: WatermarkPolicy,
    pub progress_max: usize,
    pub batches_retained: u64,
    pub stop_active_run: bool,
    pub idle_interval_us: i64,
    pub pinned: BTreeMap<String, String>,
}

/// Plans a query and opens its sink.
///
/// # Errors
/// Spark's errors for what a query, its source's options or its sink's options cannot be.
pub(super) fn prepare(
    start: &QueryStart,
    run_id: &uuid::Uuid,
    catalog: &MemoryCatalog,
) -> Result<Prepared, SparkError> {
    check_streaming(&start.analyzed, start.output_mode)?;
    let settings = settings(&start.settings)?;
    let is_noop = start.sink_format == "noop";
    let sink_kind = if is_noop { Sink::Noop } else { Sink::Driver };
    let planned = plan_query(&start.analyzed, start.output_mode, sink_kind)?;
    let sources = sources(&planned, &start.settings)?;
    let shape = state_shape(&planned.plan)?;
    let schema = spark_schema(&planned.output);
    let zone = start.settings.get("spark.sql.session.timeZone").and_then(|name| Zone::parse(name));
    let request = SinkRequest {
        format: &start.sink_format,
        name: start.name.as_deref(),
        options: &start.options,
        mode: start.output_mode,
        schema: schema.clone(),
        zone: zone.unwrap_or_else(Zone::utc),
    };
    let sink = sink::open(&request, catalog, run_id)?;
    let PlannedQuery { mut plan, watermarks, operators, driver_part, .. } = planned;
    fill_sources(&mut plan, &sources);
    let checkpoint = checkpoint_location(start, run_id);
    Ok(Prepared {
        plan,
        shape,
        sources,
        watermarks: watermarks.iter().map(|spec| WatermarkNode { node: spec.node, delay_us: spec.delay_us }).collect(),
        operators: operators
            .iter()
            .map(|spec| OperatorSpec {
                operator: spec.operator_id,
                has_event_time: spec.has_event_time,
                mode: spec.output_mode,
            })
            .collect(),
        publish: if is_noop { PublishBy::Nobody } else { PublishBy::Driver },
        driver_part,
        schema,
        sink,
        settings,
        checkpoint,
        refuses_recovery: start.sink_format == "memory" && start.output_mode != OutputMode::Complete,
    })
}

fn sources(planned: &PlannedQuery, settings: &BTreeMap<String, String>) -> Result<Vec<KafkaOptions>, SparkError> {
    let mut sources = Vec::new();
    for source in &planned.sources {
        if source.format != "kafka" {
            return Err(SparkError::unsupported(format!("the streaming source `{}`", source.format)));
        }
        sources.push(KafkaOptions::parse(&source.options, settings)?);
    }
    Ok(sources)
}

/// Gives the executors' scans their clients' options.
fn fill_sources(plan: &mut wire::QueryPlan, sources: &[KafkaOptions]) {
    for (source, options) in plan.sources.iter_mut().zip(sources) {
        source.kafka = Some(wire::KafkaSource {
            client_options: options.client.clone().into_iter().collect(),
            include_headers: options.include_headers,
            fail_on_data_loss: options.fail_on_data_loss,
            poll_timeout_ms: u64::try_from(options.poll_timeout.as_millis()).unwrap_or(u64::MAX),
            librdkafka_only: options.reads_by_librdkafka,
        });
    }
}

/// What the state holds, in words that stay when filters and projections of the query change: a checkpoint of another
/// shape is another query's.
fn state_shape(plan: &wire::QueryPlan) -> Result<String, SparkError> {
    let Some(aggregate) = &plan.aggregate else { return Ok("no state".to_string()) };
    let schema = decode_schema(&aggregate.output_schema)
        .map_err(|error| SparkError::analysis("INTERNAL_ERROR", "XX000", format!("the plan's schema: {error}")))?;
    let types: Vec<String> = schema.fields().iter().map(|field| field.data_type().to_string()).collect();
    let (keys, results) = types.split_at(aggregate.keys.len().min(types.len()));
    let functions = aggregate.aggregates.iter().zip(results);
    let functions: Vec<String> =
        functions.map(|(function, result)| format!("{:?} {result}", function.function()).to_lowercase()).collect();
    let mut shape = format!("aggregate of [{}] by [{}]", functions.join(", "), keys.join(", "));
    if let Some(key) = aggregate.event_time_key {
        shape.push_str(&format!(", event time in key {key}"));
    }
    Ok(shape)
}

/// The writer's option, or a folder of the session's default root, as Spark.
fn checkpoint_location(start: &QueryStart, run_id: &uuid::Uuid) -> Option<String> {
    let given = start.options.iter().find(|(name, _)| name.eq_ignore_ascii_case("checkpointLocation"));
    if let Some((_, location)) = given {
        return Some(location.clone());
    }
    let root = start.settings.get("spark.sql.streaming.checkpointLocation").filter(|root| !root.is_empty())?;
    let name = start.name.clone().unwrap_or_else(|| run_id.to_string());
    Some(format!("{}/{name}", root.trim_end_matches('/')))
}

fn settings(settings: &BTreeMap<String, String>) -> Result<Settings, SparkError> {
    let policy = settings.get("spark.sql.streaming.multipleWatermarkPolicy").map(|text| text.to_lowercase());
    let watermark_policy = match policy.as_deref() {
        None | Some("min") => WatermarkPolicy::Min,
        Some("max") => WatermarkPolicy::Max,
        Some(other) => {
            return Err(illegal(format!(
                "Invalid value '{other}' for spark.sql.streaming.multipleWatermarkPolicy. Valid values are 'min' and 'max'"
            )));
        }
    };
    let flag = |name: &str| settings.get(name).is_none_or(|text| !text.trim().eq_ignore_ascii_case("false"));
    let pinned = PINNED.iter().filter_map(|name| Some((name.to_string(), settings.get(*name)?.clone())));
    Ok(Settings {
        shards: number(settings, "spark.sql.shuffle.partitions", SHUFFLE_PARTITIONS)?,
        task_failures_max: number(settings, "spark.task.maxFailures", TASK_FAILURES_MAX)?,
        no_data_batches: flag("spark.sql.streaming.noDataMicroBatches.enabled"),
        watermark_policy,
        progress_max: number(settings, "spark.sql.streaming.numRecentProgressUpdates", PROGRESS_MAX)?,
        batches_retained: number(settings, "spark.sql.streaming.minBatchesToRetain", BATCHES_RETAINED)?,
        stop_active_run: flag("spark.sql.streaming.stopActiveRunOnRestart"),
        idle_interval_us: number(settings, "spark.sql.streaming.noDataProgressEventInterval", IDLE_INTERVAL_MS)?
            .saturating_mul(1000),
        pinned: pinned.collect(),
    })
}

fn number<T: std::str::FromStr + PartialOrd + From<u8>>(
    settings: &BTreeMap<String, String>,
    name: &str,
    default: T,
) -> Result<T, SparkError> {
    let Some(text) = settings.get(name) else { return Ok(default) };
    match text.trim().parse::<T>() {
        Ok(number) if number >= T::from(1) => Ok(number),
        _ => Err(illegal(format!("{name} must be a positive number, but was {text}"))),
    }
}

fn illegal(message: impl Into<String>) -> SparkError {
    SparkError::new(ExceptionKind::IllegalArgument, "", "", message)
}
