//! Sends the records: finds the broker, makes the topic, keeps the pace, reports the rate.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::args::{LoadgenArgs, Plan};
use super::pace::Pace;
use super::record::Generator;
use super::stop::Stop;

/// A broker that does not answer within this is said to be unreachable: within 5 s of the start, as users are promised.
const BROKER_TIMEOUT: Duration = Duration::from_secs(4);
/// What is still in the queue at the end is given this long.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);
/// Records sent between two looks at the clock and the delivery reports.
const BURST_MAX: u64 = 2_000;
/// Sleep while nothing is due or the queue is full.
const PAUSE: Duration = Duration::from_millis(1);
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Counts the records that the broker did not take. Only failures are reported by the client library: a report per
/// record would cost as much as the record.
#[derive(Debug, Default, Clone)]
struct Failures {
    records: Arc<AtomicU64>,
    /// Told once: a broker that is away is reported again and again.
    last_told: Arc<Mutex<String>>,
}

impl Failures {
    fn count(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }
}

impl ClientContext for Failures {
    fn error(&self, error: KafkaError, _reason: &str) {
        let told = error.to_string();
        let mut last = self.last_told.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != told {
            let _ = writeln!(std::io::stderr(), "loadgen: {told}");
            *last = told;
        }
    }
}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.records.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Sends the plan's records until its end or a signal. See [`super::run`].
pub fn run(args: &LoadgenArgs, plan: &Plan) -> anyhow::Result<()> {
    let stop = Stop::on_signals()?;
    let failures = Failures::default();
    let producer: BaseProducer<Failures> = config(args)
        .create_with_context(failures.clone())
        .with_context(|| format!("cannot make a producer for `{}`", args.broker))?;
    let partitions = find_topic(args, plan, &producer)?;
    eprintln!(
        "loadgen: sending to `{}` ({partitions} partitions) at `{}`, {}",
        args.topic,
        args.broker,
        plan.rps.map_or("as fast as it takes them".to_owned(), |rps| format!("{rps} records/s"))
    );
    let deadline = args.seconds.map(Duration::from_secs);
    let mut sender =
        Sender { producer: &producer, topic: &args.topic, partitions, sent: 0, text: Vec::with_capacity(512) };
    let started = Instant::now();
    let mut report = Report::new(started);
    let mut pace = plan.rps.map(Pace::new);
    let mut generator = Generator::new(plan.record.clone());
    loop {
        let elapsed = started.elapsed();
        let left = plan.count.map_or(u64::MAX, |count| count - sender.sent);
        if left == 0 || stop.is_set() || deadline.is_some_and(|deadline| elapsed >= deadline) {
            break;
        }
        let due = pace.as_mut().map_or(BURST_MAX, |pace| pace.due(elapsed)).min(BURST_MAX).min(left);
        let sent = sender.burst(&mut generator, due, plan.clock.now_millis())?;
        if let Some(pace) = pace.as_mut() {
            pace.note_sent(sent);
        }
        producer.poll(Duration::ZERO);
        report.maybe_print(sender.sent, producer.in_flight_count(), &failures);
        if sent < BURST_MAX {
            std::thread::sleep(PAUSE);
        }
    }
    finish(&producer, sender.sent, started, &failures)
}

/// Waits for what is in the queue, and prints the total.
fn finish(producer: &BaseProducer<Failures>, sent: u64, started: Instant, failures: &Failures) -> anyhow::Result<()> {
    let flushed = producer.flush(FLUSH_TIMEOUT);
    let in_flight = u64::try_from(producer.in_flight_count()).unwrap_or(0);
    let failed = failures.count();
    let stored = sent.saturating_sub(failed + in_flight);
    let seconds = started.elapsed().as_secs_f64().max(1e-9);
    let rate = stored as f64 / seconds;
    // Whoever read this may be gone.
    let _ = writeln!(std::io::stdout(), "loadgen: {stored} records stored in {seconds:.1} s: {rate:.0} records/s");
    if failed > 0 {
        bail!("the broker did not take {failed} of {sent} records");
    }
    flushed.with_context(|| format!("{in_flight} records were not stored within {} s", FLUSH_TIMEOUT.as_secs()))
}

/// Puts records into the producer's queue, each in the partition of its number.
struct Sender<'a> {
    producer: &'a BaseProducer<Failures>,
    topic: &'a str,
    partitions: u64,
    sent: u64,
    text: Vec<u8>,
}

impl Sender<'_> {
    /// Sends up to `due` records; fewer when the queue is full. Returns how many.
    fn burst(&mut self, generator: &mut Generator, due: u64, now_millis: i64) -> anyhow::Result<u64> {
        for done in 0..due {
            self.text.clear();
            generator.write(self.sent, now_millis, &mut self.text);
            let partition = i32::try_from(self.sent % self.partitions).unwrap_or(0);
            let record = BaseRecord::<(), [u8]>::to(self.topic).payload(self.text.as_slice()).partition(partition);
            match self.producer.send(record) {
                Ok(()) => self.sent += 1,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    return Ok(done);
                }
                Err((error, _)) => {
                    return Err(error).with_context(|| format!("cannot send to `{}`", self.topic));
                }
            }
        }
        Ok(due)
    }
}

/// The client's settings: large batches, a queue bounded in records and bytes, and no report for what went well.
fn config(args: &LoadgenArgs) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &args.broker)
        .set("client.id", "pyrite-loadgen")
        .set("compression.type", args.compression.name())
        .set("acks", "1")
        .set("linger.ms", "5")
        .set("batch.num.messages", "10000")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "500000")
        .set("queue.buffering.max.kbytes", "131072")
        .set("delivery.report.only.error", "true")
        .set("topic.metadata.refresh.interval.ms", "60000");
    config
}

/// The topic's number of partitions; the topic is made first where it is missing and the plan says with how many.
fn find_topic(args: &LoadgenArgs, plan: &Plan, producer: &BaseProducer<Failures>) -> anyhow::Result<u64> {
    let metadata = producer.client().fetch_metadata(None, BROKER_TIMEOUT).map_err(|error| {
        anyhow!("no Kafka broker answers at `{}` ({error}); start it, or name another with --broker", args.broker)
    })?;
    let existing = metadata.topics().iter().find(|topic| topic.name() == args.topic && !topic.partitions().is_empty());
    match (existing, plan.partitions) {
        (Some(topic), wanted) => {
            let partitions = topic.partitions().len();
            if let Some(wanted) = wanted.filter(|wanted| *wanted as usize != partitions) {
                eprintln!("loadgen: topic `{}` has {partitions} partitions, not {wanted}; it stays so", args.topic);
            }
            Ok(partitions as u64)
        }
        (None, Some(partitions)) => {
            create_topic(args, plan, partitions)?;
            Ok(u64::from(partitions))
        }
        (None, None) => bail!("topic `{}` does not exist; create it, or say --partitions N", args.topic),
    }
}

fn create_topic(args: &LoadgenArgs, plan: &Plan, partitions: u32) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        config(args).create().with_context(|| format!("cannot make an admin client for `{}`", args.broker))?;
    let mut topic = NewTopic::new(&args.topic, i32::try_from(partitions)?, TopicReplication::Fixed(1));
    if plan.keep_forever {
        topic = topic.set("retention.ms", "-1");
    }
    let options = AdminOptions::new().operation_timeout(Some(BROKER_TIMEOUT)).request_timeout(Some(BROKER_TIMEOUT));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let results = runtime
        .block_on(admin.create_topics([&topic], &options))
        .with_context(|| format!("cannot create topic `{}` at `{}`", args.topic, args.broker))?;
    for result in results {
        match result {
            // Another load generator was quicker.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => bail!("cannot create topic `{name}`: {code}"),
        }
    }
    Ok(())
}

/// Prints the rate of each second.
struct Report {
    last: Instant,
    last_sent: u64,
}

impl Report {
    fn new(now: Instant) -> Self {
        Report { last: now, last_sent: 0 }
    }

    fn maybe_print(&mut self, sent: u64, in_flight: i32, failures: &Failures) {
        let now = Instant::now();
        let since = now - self.last;
        if since < REPORT_EVERY {
            return;
        }
        let stored = sent.saturating_sub(u64::try_from(in_flight).unwrap_or(0));
        let rate = stored.saturating_sub(self.last_sent) as f64 / since.as_secs_f64();
        let failed = failures.count();
        let trouble = if failed > 0 { format!(", {failed} FAILED") } else { String::new() };
        // A closed standard output is no reason to stop sending.
        let _ = writeln!(
            std::io::stdout().lock(),
            "loadgen: {rate:.0} records/s, {stored} stored, {in_flight} in the queue{trouble}"
        );
        self.last = now;
        self.last_sent = stored;
    }
}
