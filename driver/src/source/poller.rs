//! One thread for each query that asks the brokers where its sources stand.
//!
//! What fails for a while is tried again here for as long as it takes, and said; the query only waits. What cannot
//! succeed, or would lose records that `failOnDataLoss` protects, is a fatal event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use pyrite_common::checkpoint::{Offsets, TopicPartition};
use pyrite_common::error::chain;
use tokio::sync::mpsc::Sender;

use super::broker::{Broker, BrokerError};
use super::options::KafkaOptions;
use super::start::Bounds;
use crate::protocol::{Availability, Event, Fault, SourceLatest};

const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How often the same trouble is said again.
const REPEAT_AFTER: Duration = Duration::from_secs(30);

/// What the thread tells the query.
#[derive(Debug)]
pub enum SourceEvent {
    Protocol(Event),
    /// Waiting for something outside; for the status and the log. `None`: over.
    Trouble(Option<String>),
}

enum Request {
    Resolve { source: u32 },
    Poll { generation: u64, known: Vec<Offsets> },
}

/// A handle on the thread, which ends when this is dropped.
pub struct Poller {
    requests: mpsc::Sender<Request>,
    stop: Arc<AtomicBool>,
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Poller {
    /// Starts the thread for a query's sources, in the order of their ids.
    pub fn start(sources: Vec<KafkaOptions>, events: Sender<SourceEvent>) -> std::io::Result<Poller> {
        let (requests, receiver) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let checked = vec![false; sources.len()];
        let thread = Thread { events, stop: stop.clone(), trouble: None, checked, warned: Warned::default() };
        std::thread::Builder::new().name("kafka offsets".into()).spawn(move || thread.run(sources, &receiver))?;
        Ok(Poller { requests, stop })
    }

    /// Asks where a new query begins in a source.
    pub fn resolve(&self, source: u32) {
        let _ = self.requests.send(Request::Resolve { source });
    }

    /// Asks for the latest offsets of all sources.
    pub fn poll(&self, generation: u64, known: Vec<Offsets>) {
        let _ = self.requests.send(Request::Poll { generation, known });
    }
}

struct Thread {
    events: Sender<SourceEvent>,
    stop: Arc<AtomicBool>,
    /// What is wrong now, and when it was said.
    trouble: Option<(String, Instant)>,
    /// Whether the start of a source was compared with what the brokers still have.
    checked: Vec<bool>,
    warned: Warned,
}

/// Where the query stood when a partition's loss was last said, by source: polls repeat many times a second.
#[derive(Default)]
struct Warned(BTreeMap<(usize, TopicPartition), i64>);

impl Warned {
    /// Whether this loss was not said yet, and from now on is.
    fn is_news(&mut self, source: usize, loss: &Loss) -> bool {
        self.0.insert((source, loss.partition.clone()), loss.position) != Some(loss.position)
    }
}

/// The query's end, or a fatal event that was sent.
struct Over;

impl Thread {
    fn run(mut self, sources: Vec<KafkaOptions>, requests: &mpsc::Receiver<Request>) {
        let mut brokers = Vec::new();
        for options in sources {
            match Broker::new(options) {
                Ok(broker) => brokers.push(broker),
                Err(error) => return self.fatal(Fault::new(chain(&error))),
            }
        }
        while !self.is_stopped() {
            let request = match requests.recv_timeout(RETRY_AFTER) {
                Ok(request) => request,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let answer = match request {
                Request::Resolve { source } => self.resolve(&mut brokers[source as usize], source),
                Request::Poll { generation, known } => self.poll(&mut brokers, generation, &known),
            };
            match answer {
                Ok(event) => self.send(SourceEvent::Protocol(event)),
                Err(Over) => return,
            }
        }
    }

    fn resolve(&mut self, broker: &mut Broker, source: u32) -> Result<Event, Over> {
        self.checked[source as usize] = true;
        let bounds = self.until_done(|| {
            let partitions = broker.partitions(&Offsets::default())?.to_vec();
            let start = &broker.options().start;
            if let Err(error) = start.check(&partitions) {
                return Ok(Err(error));
            }
            let times = start.times(&partitions);
            Ok(Ok(Bounds {
                earliest: broker.earliest(&partitions)?,
                latest: broker.latest(&partitions)?,
                by_time: times.map(|times| broker.at_times(&times)).transpose()?.unwrap_or_default(),
            }))
        })?;
        match bounds.and_then(|bounds| broker.options().start.resolve(&bounds)) {
            Ok(offsets) => Ok(Event::StartResolved { source, offsets }),
            Err(error) => {
                self.fatal(Fault::new(error.to_string()));
                Err(Over)
            }
        }
    }

    fn poll(&mut self, brokers: &mut [Broker], generation: u64, known: &[Offsets]) -> Result<Event, Over> {
        let mut sources = Vec::new();
        for (index, broker) in brokers.iter_mut().enumerate() {
            let known = known.get(index).cloned().unwrap_or_default();
            let check_start = !std::mem::replace(&mut self.checked[index], true);
            let seen = self.until_done(|| {
                let partitions = broker.partitions(&known)?.to_vec();
                let latest = broker.latest(&partitions)?;
                let new: Vec<TopicPartition> =
                    partitions.iter().filter(|one| begins_anew(one, &known, &latest)).cloned().collect();
                let asked = if check_start { &partitions } else { &new };
                Ok(Seen { earliest: broker.earliest(asked)?, latest, new })
            })?;
            let new_partitions = beginnings(&known, &seen);
            for loss in lost_records(&known, &seen) {
                if broker.options().fail_on_data_loss {
                    self.fatal(data_loss_fault(&loss.text));
                    return Err(Over);
                }
                if self.warned.is_news(index, &loss) {
                    let at = new_partitions.get(&loss.partition);
                    let at = at.map(|offset| format!(" at offset {offset}")).unwrap_or_default();
                    tracing::warn!("{}; `failOnDataLoss` is false, so the query goes on{at}", loss.text);
                }
            }
            sources.push(SourceLatest { latest: seen.latest, new_partitions });
        }
        Ok(Event::Available(Availability { generation, sources }))
    }

    /// Tries until there is an answer, an error that stays, or the query's end.
    fn until_done<T>(&mut self, mut work: impl FnMut() -> Result<T, BrokerError>) -> Result<T, Over> {
        loop {
            match work() {
                Ok(answer) => {
                    if self.trouble.take().is_some() {
                        tracing::warn!("the Kafka brokers answer again");
                        self.send(SourceEvent::Trouble(None));
                    }
                    return Ok(answer);
                }
                Err(error) if error.is_passing() => self.say(chain(&error)),
                Err(error) => {
                    let class = match &error {
                        BrokerError::NoTopic { .. } => "UNKNOWN_TOPIC_OR_PARTITION",
                        _ => "",
                    };
                    let fault = Fault { class: class.to_string(), ..Fault::new(chain(&error)) };
                    self.fatal(fault);
                    return Err(Over);
                }
            }
            if self.is_stopped() {
                return Err(Over);
            }
            std::thread::sleep(RETRY_AFTER);
        }
    }

    fn say(&mut self, trouble: String) {
        let is_news = self.trouble.as_ref().is_none_or(|(old, at)| *old != trouble || at.elapsed() > REPEAT_AFTER);
        if is_news {
            tracing::warn!("{trouble}; trying again");
            self.send(SourceEvent::Trouble(Some(trouble.clone())));
            self.trouble = Some((trouble, Instant::now()));
        }
    }

    fn fatal(&self, fault: Fault) {
        self.send(SourceEvent::Protocol(Event::SourceFailed { fault, fatal: true }));
    }

    /// A closed channel means that the query is over.
    fn send(&self, event: SourceEvent) {
        if self.events.blocking_send(event).is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

struct Seen {
    latest: Offsets,
    /// Of new partitions; of all of them at the first asking.
    earliest: Offsets,
    /// Those that the query does not go on with where it stands.
    new: Vec<TopicPartition>,
}

/// A partition that the query does not know, or that ends before its position.
fn begins_anew(partition: &TopicPartition, known: &Offsets, latest: &Offsets) -> bool {
    known.get(partition).is_none_or(|position| latest.get(partition).is_some_and(|latest| latest < position))
}

/// Where the query begins in partitions that begin anew. One that ends before the query's position and still has its
/// first record was made anew, and is read whole. One without it was cut off, as by the election of a replica that was
/// behind: what it has was read before, and the query goes on at its end.
fn beginnings(known: &Offsets, seen: &Seen) -> BTreeMap<TopicPartition, i64> {
    let beginning = |partition: &TopicPartition| {
        let earliest = seen.earliest.get(partition).unwrap_or(0);
        let is_cut_off = known.get(partition).is_some() && earliest > 0;
        let begin = if is_cut_off { seen.latest.get(partition).unwrap_or(earliest) } else { earliest };
        (partition.clone(), begin)
    };
    seen.new.iter().map(beginning).collect()
}

/// Records of one partition that were there to read and are not any more.
struct Loss {
    partition: TopicPartition,
    /// Where the query stands in it.
    position: i64,
    text: String,
}

/// What the brokers no longer have of what the query has yet to read.
fn lost_records(known: &Offsets, seen: &Seen) -> Vec<Loss> {
    let mut losses = Vec::new();
    for (partition, position) in known.iter() {
        let text = match (seen.latest.get(partition), seen.earliest.get(partition)) {
            (None, _) => format!("partition {partition} is gone; the query has read it up to offset {position}"),
            (Some(latest), _) if latest < position => format!(
                "partition {partition} ends at offset {latest}, before the query's offset {position}: offsets [{latest}, {position}) \
                 are no longer there, the topic was made anew or cut off"
            ),
            (Some(_), Some(earliest)) if earliest > position => format!(
                "partition {partition} begins at offset {earliest}: offsets [{position}, {earliest}) are no longer there"
            ),
            (Some(_), _) => continue,
        };
        losses.push(Loss { partition: partition.clone(), position, text });
    }
    // As Spark: what a partition had before the query first saw it was there to read too.
    for partition in seen.new.iter().filter(|partition| known.get(partition).is_none()) {
        if let Some(earliest) = seen.earliest.get(partition).filter(|earliest| *earliest > 0) {
            let text = format!(
                "partition {partition} is new and begins at offset {earliest}: offsets [0, {earliest}) are no longer there"
            );
            losses.push(Loss { partition: partition.clone(), position: 0, text });
        }
    }
    losses
}

/// Spark's words for it, with ours first.
fn data_loss_fault(loss: &str) -> Fault {
    let message = format!(
        "{loss}. Some data may have been lost because they are not available in Kafka any more; either the data was aged \
         out by Kafka or the topic may have been deleted before all the data in the topic was processed. If you don't want \
         your streaming query to fail on such cases, set the source option \"failOnDataLoss\" to \"false\"."
    );
    Fault::classed("KAFKA_DATA_LOSS", "22000", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(text: &str) -> Offsets {
        Offsets::parse(text).unwrap()
    }

    fn seen(latest: &str, earliest: &str) -> Seen {
        Seen { latest: offsets(latest), earliest: offsets(earliest), new: Vec::new() }
    }

    #[test]
    fn losses_name_partition_and_range() {
        let known = offsets(r#"{"t":{"0":10}}"#);
        assert!(lost_records(&known, &seen(r#"{"t":{"0":10}}"#, "{}")).is_empty());
        let aged = &lost_records(&known, &seen(r#"{"t":{"0":50}}"#, r#"{"t":{"0":20}}"#))[0].text;
        assert!(aged.contains("t-0") && aged.contains("[10, 20)"), "{aged}");
        assert!(lost_records(&known, &seen(r#"{"t":{"0":5}}"#, "{}"))[0].text.contains("[5, 10)"));
        assert!(lost_records(&known, &seen("{}", "{}"))[0].text.contains("gone"));
    }

    #[test]
    fn a_new_partition_without_its_first_records_is_a_loss() {
        let known = offsets(r#"{"t":{"0":10}}"#);
        let new = vec![TopicPartition::new("t", 1), TopicPartition::new("t", 2)];
        let seen = Seen { new, ..seen(r#"{"t":{"0":10,"1":7,"2":9}}"#, r#"{"t":{"1":0,"2":6}}"#) };
        let losses: Vec<String> = lost_records(&known, &seen).into_iter().map(|loss| loss.text).collect();
        assert!(losses.len() == 1 && losses[0].contains("t-2 is new") && losses[0].contains("[0, 6)"), "{losses:?}");
    }

    #[test]
    fn a_partition_begins_anew_when_it_is_not_known_or_ends_before_the_query() {
        let known = offsets(r#"{"t":{"0":10}}"#);
        let anew =
            |partition: i32, latest: &str| begins_anew(&TopicPartition::new("t", partition), &known, &offsets(latest));
        assert!(!anew(0, r#"{"t":{"0":10}}"#));
        assert!(anew(0, r#"{"t":{"0":9}}"#));
        assert!(anew(1, r#"{"t":{"0":10,"1":0}}"#));
    }

    #[test]
    fn what_was_made_anew_is_read_whole_and_what_was_cut_off_from_its_end() {
        let known = offsets(r#"{"t":{"0":10,"1":10}}"#);
        let new = (0..3).map(|partition| TopicPartition::new("t", partition)).collect();
        let seen = Seen { new, ..seen(r#"{"t":{"0":7,"1":7,"2":9}}"#, r#"{"t":{"0":0,"1":4,"2":5}}"#) };
        let begin: Vec<i64> = beginnings(&known, &seen).into_values().collect();
        assert_eq!(begin, [0, 7, 5], "made anew, cut off, not known before");
    }

    #[test]
    fn a_loss_is_news_once_for_each_source_partition_and_position() {
        let mut warned = Warned::default();
        let mut news = |source: usize, known: &str| -> Vec<bool> {
            lost_records(&offsets(known), &seen("{}", "{}")).iter().map(|loss| warned.is_news(source, loss)).collect()
        };
        assert_eq!(news(0, r#"{"t":{"0":10,"1":5}}"#), [true, true]);
        assert_eq!(news(0, r#"{"t":{"0":10,"1":6}}"#), [false, true]);
        assert_eq!(news(1, r#"{"t":{"0":10}}"#), [true]);
    }

    #[test]
    fn a_broker_that_is_not_there_is_said_with_its_address_and_the_thread_ends_with_its_handle() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let given = BTreeMap::from([
            ("kafka.bootstrap.servers".to_string(), "127.0.0.1:1".to_string()),
            ("subscribe".to_string(), "t".to_string()),
        ]);
        let options = KafkaOptions::parse(&given, &BTreeMap::new()).unwrap();
        let (sender, mut events) = tokio::sync::mpsc::channel(4);
        let poller = Poller::start(vec![options], sender).unwrap();
        poller.resolve(0);
        let said = runtime.block_on(events.recv());
        assert!(
            matches!(said, Some(SourceEvent::Trouble(Some(text))) if text.contains("127.0.0.1:1") && text.contains("refused"))
        );
        drop(poller);
        assert!(runtime.block_on(events.recv()).is_none());
    }
}
