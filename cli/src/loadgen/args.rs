//! The flags of `pyrite loadgen`, the environment variables that stand for some of them, and the plan they make.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::bail;
use clap::{Args, ValueEnum};

use super::record::{EventClock, RecordSettings, TimeForm};

/// Records of the benchmark topic, their event time's step and start, and its partitions.
const BENCHMARK_COUNT: u64 = 20_000_000;
const BENCHMARK_STEP_MICROS: u64 = 100;
const BENCHMARK_START_MILLIS: i64 = 1_770_000_000_000;
const BENCHMARK_JITTER_MILLIS: u64 = 4_999;
const BENCHMARK_PARTITIONS: u32 = 2;
const BENCHMARK_SEED: u64 = 1;

/// Flags of `pyrite loadgen`.
#[derive(Args, Debug, Clone)]
pub struct LoadgenArgs {
    /// Address of the Kafka broker, `host:port[,host:port...]`
    #[arg(long, env = "KAFKA_BROKER", default_value = "127.0.0.1:9092", value_name = "ADDRESS")]
    pub broker: String,

    /// Topic to write to
    #[arg(long, env = "KAFKA_TOPIC", default_value = "logs")]
    pub topic: String,

    /// Records per second; 0: as fast as the broker takes them (10000; 0 with `--clock steps` or a profile)
    #[arg(long, env = "TARGET_RPS", value_name = "RECORDS")]
    pub rps: Option<u64>,

    /// Word added to the content of some records, such as `crash`
    #[arg(long, env = "ADDITIONAL_TERM", default_value = "", value_name = "WORD")]
    pub additional_term: String,

    /// Share of the records that get the additional term, in percent
    #[arg(long, env = "ADDITIONAL_TERM_RATE", default_value_t = 100.0, value_name = "PERCENT")]
    pub additional_term_rate: f64,

    /// Create the topic with so many partitions where it does not exist
    #[arg(long, value_name = "N")]
    pub partitions: Option<u32>,

    /// Let the broker keep the created topic's records for ever (it deletes records with old timestamps otherwise)
    #[arg(long)]
    pub keep_forever: bool,

    /// End after so many records
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,

    /// End after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<u64>,

    /// Form of the field `timestamp`: ISO-8601 text or a JSON number of epoch milliseconds
    #[arg(long, value_enum, default_value_t = TimeForm::Iso, value_name = "FORM")]
    pub event_time: TimeForm,

    /// Event times: the clock's, or advancing from --start-millis by --step-micros a record, the same in each run
    #[arg(long, value_enum, default_value_t = ClockKind::Now, value_name = "CLOCK")]
    pub clock: ClockKind,

    /// Seed of all that is random in the records
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,

    /// With `--clock steps`: event time from one record to the next
    #[arg(long, default_value_t = BENCHMARK_STEP_MICROS, value_name = "MICROSECONDS")]
    pub step_micros: u64,

    /// With `--clock steps`: event time of the first record
    #[arg(long, default_value_t = BENCHMARK_START_MILLIS, value_name = "MILLISECONDS")]
    pub start_millis: i64,

    /// Event times lie up to so far before their due time, at random (0, or 4999 with a profile)
    #[arg(long, value_name = "MILLISECONDS")]
    pub jitter_millis: Option<u64>,

    /// Share of the records that are late on purpose, 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub late_share: f64,

    /// How late a late record is
    #[arg(long, default_value_t = 120_000, value_name = "MILLISECONDS")]
    pub late_millis: u64,

    /// Number of different users
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub users: u32,

    /// Compression of the record batches
    #[arg(long, value_enum, default_value_t = Compression::None, value_name = "CODEC")]
    pub compression: Compression,

    /// `benchmark`: the 20 million records of docs/BENCHMARKS.md in 2 partitions, the same in each run
    #[arg(long, value_enum, value_name = "PROFILE")]
    pub profile: Option<Profile>,

    /// Print the records to standard output instead of sending them (10 unless --count says otherwise)
    #[arg(long)]
    pub print: bool,
}

/// Where event times come from.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockKind {
    /// The time of sending.
    Now,
    /// A start and a fixed step: the same records in each run.
    Steps,
}

/// A set of flags under one name.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The topic that the benchmarks read.
    Benchmark,
}

/// Codecs of record batches.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// No compression.
    None,
    /// gzip.
    Gzip,
    /// LZ4.
    Lz4,
    /// Snappy.
    Snappy,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// The name that Kafka clients use.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Lz4 => "lz4",
            Compression::Snappy => "snappy",
            Compression::Zstd => "zstd",
        }
    }
}

/// What the flags come to, checked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the records hold.
    pub record: RecordSettings,
    /// Reads the present time where the event times are the clock's.
    pub clock: WallClock,
    /// Records per second; `None`: as fast as possible.
    pub rps: Option<u64>,
    /// End after so many records.
    pub count: Option<u64>,
    /// Create the topic with so many partitions.
    pub partitions: Option<u32>,
    /// Created topics keep their records.
    pub keep_forever: bool,
}

/// The machine's clock as epoch milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct WallClock;

impl WallClock {
    /// Milliseconds since 1970 in UTC.
    pub fn now_millis(self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

impl LoadgenArgs {
    /// Checks the flags and fills in what a profile stands for.
    ///
    /// # Errors
    /// A share outside 0 to 1, a percentage outside 0 to 100, no users, no partitions.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        self.check()?;
        let benchmark = self.profile == Some(Profile::Benchmark);
        let steps = benchmark || self.clock == ClockKind::Steps;
        let rps = match self.rps {
            Some(0) => None,
            Some(rps) => Some(rps),
            // Records that have their own clock need not wait for ours.
            None if steps || self.print => None,
            None => Some(10_000),
        };
        Ok(Plan {
            record: self.record_settings(benchmark, steps),
            clock: WallClock,
            rps,
            count: self.count.or(benchmark.then_some(BENCHMARK_COUNT)),
            partitions: self.partitions.or(benchmark.then_some(BENCHMARK_PARTITIONS)),
            keep_forever: self.keep_forever || benchmark,
        })
    }

    fn check(&self) -> anyhow::Result<()> {
        if !(0.0..=1.0).contains(&self.late_share) {
            bail!("`--late-share` is {}; a share lies between 0 and 1", self.late_share);
        }
        if !(0.0..=100.0).contains(&self.additional_term_rate) {
            bail!("`--additional-term-rate` is {}; it is a percentage, 0 to 100", self.additional_term_rate);
        }
        if self.users == 0 {
            bail!("`--users` is 0; at least one user is needed");
        }
        if self.partitions == Some(0) {
            bail!("`--partitions` is 0; at least one partition is needed");
        }
        Ok(())
    }

    fn record_settings(&self, benchmark: bool, steps: bool) -> RecordSettings {
        let seed = match self.seed {
            Some(seed) => seed,
            None if steps => BENCHMARK_SEED,
            None => rand::random(),
        };
        let event_clock = match (benchmark, steps) {
            (true, _) => EventClock::Steps { start_millis: BENCHMARK_START_MILLIS, step_micros: BENCHMARK_STEP_MICROS },
            (false, true) => EventClock::Steps { start_millis: self.start_millis, step_micros: self.step_micros },
            (false, false) => EventClock::Wall,
        };
        let jitter_default = if benchmark { BENCHMARK_JITTER_MILLIS } else { 0 };
        RecordSettings {
            seed,
            users: self.users,
            time_form: if benchmark { TimeForm::Millis } else { self.event_time },
            event_clock,
            jitter_millis: self.jitter_millis.unwrap_or(jitter_default),
            late_share: self.late_share,
            late_millis: self.late_millis,
            additional_term: self.additional_term.clone(),
            additional_term_share: self.additional_term_rate / 100.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: LoadgenArgs,
    }

    fn plan(flags: &[&str]) -> anyhow::Result<Plan> {
        Command::parse_from([&["loadgen"], flags].concat()).args.plan()
    }

    #[test]
    fn benchmark_profile_sets_what_makes_its_topic() {
        let plan = plan(&["--profile", "benchmark"]).expect("a plan");
        assert_eq!(plan.count, Some(20_000_000));
        assert_eq!(plan.partitions, Some(2));
        assert_eq!(plan.rps, None);
        assert!(plan.keep_forever);
        assert_eq!(plan.record.time_form, TimeForm::Millis);
        assert_eq!(plan.record.jitter_millis, 4_999);
    }

    #[test]
    fn flags_over_profile() {
        let plan =
            plan(&["--profile", "benchmark", "--count", "5", "--partitions", "3", "--rps", "7"]).expect("a plan");
        assert_eq!((plan.count, plan.partitions, plan.rps), (Some(5), Some(3), Some(7)));
    }

    #[test]
    fn steps_are_the_same_in_each_run() {
        let flags = ["--clock", "steps"];
        assert_eq!(plan(&flags).expect("a plan").rps, None);
        assert_eq!(plan(&flags).expect("a plan").record.seed, plan(&flags).expect("a plan").record.seed);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert!(plan(&["--late-share", "1.5"]).is_err());
        assert!(plan(&["--additional-term-rate", "101"]).is_err());
        assert!(plan(&["--users", "0"]).is_err());
        assert!(plan(&["--partitions", "0"]).is_err());
    }
}
