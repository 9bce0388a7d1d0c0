//! A simulated driver process: the real machine, its timer, and the events that wait for it.

use std::collections::BTreeMap;
use std::time::Duration;

use pyrite_driver::protocol::{
    Event, OperatorSpec, PublishBy, QueryMachine, QuerySpec, Rules, Trigger, WatermarkNode, WatermarkPolicy,
};
use pyrite_driver::query::OutputMode;
use pyrite_driver::source::Subscription;
use pyrite_driver::source::limits::Limits;

/// One driver process.
pub struct Driver {
    pub machine: QueryMachine,
    pub is_alive: bool,
    /// Events of its own doing (store, offsets, sink), which may come in any order.
    pub events: Vec<Event>,
    pub wake_us: Option<i64>,
}

/// What differs from driver to driver.
pub struct Character {
    pub name: String,
    pub shards: u32,
    pub publish: PublishBy,
    pub trigger_ms: u64,
    pub batch_records: Option<u64>,
    pub rules: Rules,
}

impl Driver {
    pub fn new(character: Character) -> Driver {
        let trigger = match character.trigger_ms {
            0 => Trigger::Default,
            interval => Trigger::ProcessingTime(Duration::from_millis(interval)),
        };
        let spec = QuerySpec {
            new_query_id: character.name.clone(),
            driver: character.name,
            host: "h".into(),
            app: "a".into(),
            plan_hash: "p".into(),
            reads: vec![Subscription::Subscribe(vec!["t".into()])],
            limits: vec![Limits { max_offsets: character.batch_records, ..Limits::default() }],
            watermarks: vec![WatermarkNode { node: 0, delay_us: 1_000_000 }],
            watermark_policy: WatermarkPolicy::Min,
            operators: vec![OperatorSpec { operator: 0, has_event_time: true, mode: OutputMode::Append }],
            publish: character.publish,
            trigger,
            no_data_batches: true,
            shards: character.shards,
            splits_min: 0,
            task_failures_max: 4,
            conf: BTreeMap::new(),
            rules: character.rules,
        };
        Driver { machine: QueryMachine::new(spec), is_alive: true, events: vec![Event::Start], wake_us: None }
    }
}
