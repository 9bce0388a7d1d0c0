//! The options of a Kafka reader, read and checked once.

use std::collections::BTreeMap;
use std::time::Duration;

use pyrite_common::checkpoint::TopicPartition;
use pyrite_common::nearest::{slip, suggestion};
use pyrite_engine::error::{ExceptionKind, SparkError};
use regex::Regex;

use super::kafka_options::to_librdkafka;
use super::limits::{Limits, TRIGGER_DELAY_MAX_US};
use super::start::{Start, parse_start};

/// The default of `spark.pyrite.batch.durationMax`.
const BATCH_DURATION_MAX: Duration = Duration::from_secs(2);

/// The options of Spark's source, those among them that have no use here.
const NAMES: [&str; 21] = [
    "subscribe",
    "subscribePattern",
    "assign",
    "startingOffsets",
    "startingOffsetsByTimestamp",
    "startingOffsetsByTimestampStrategy",
    "startingTimestamp",
    "endingOffsets",
    "endingOffsetsByTimestamp",
    "endingTimestamp",
    "failOnDataLoss",
    "includeHeaders",
    "maxOffsetsPerTrigger",
    "minOffsetsPerTrigger",
    "maxTriggerDelay",
    "minPartitions",
    "maxRecordsPerPartition",
    "groupIdPrefix",
    "kafkaConsumer.pollTimeoutMs",
    "fetchOffset.numRetries",
    "fetchOffset.retryIntervalMs",
];

/// Which partitions a source reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    Subscribe(Vec<String>),
    Pattern(String),
    Assign(Vec<TopicPartition>),
}

impl Subscription {
    /// As Spark's progress describes the source.
    pub fn description(&self) -> String {
        match self {
            Subscription::Subscribe(topics) => format!("KafkaV2[Subscribe[{}]]", topics.join(", ")),
            Subscription::Pattern(pattern) => format!("KafkaV2[SubscribePattern[{pattern}]]"),
            Subscription::Assign(partitions) => {
                let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
                format!("KafkaV2[Assign[{}]]", names.join(", "))
            }
        }
    }

    /// Whether a topic of this name is read.
    pub fn has_topic(&self, topic: &str) -> bool {
        match self {
            Subscription::Subscribe(topics) => topics.iter().any(|one| one == topic),
            // As Spark: a part of the name is enough.
            Subscription::Pattern(pattern) => Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(topic)),
            Subscription::Assign(partitions) => partitions.iter().any(|one| one.topic == topic),
        }
    }
}

/// One Kafka source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaOptions {
    pub subscription: Subscription,
    pub start: Start,
    pub limits: Limits,
    pub fail_on_data_loss: bool,
    pub include_headers: bool,
    pub splits_min: u32,
    pub poll_timeout: Duration,
    /// librdkafka's.
    pub client: BTreeMap<String, String>,
    /// Executors read with librdkafka even where they could speak to the brokers themselves.
    pub reads_by_librdkafka: bool,
}

impl KafkaOptions {
    /// Reads a reader's options (names in any case; those like none of Spark's are ignored, as in Spark) under a
    /// session's settings.
    ///
    /// # Errors
    /// `IllegalArgumentException`, as Spark, with the nearest valid value where there is one.
    pub fn parse(
        options: &BTreeMap<String, String>,
        settings: &BTreeMap<String, String>,
    ) -> Result<KafkaOptions, SparkError> {
        let names = options.keys().map(String::as_str).filter(|name| !name.to_lowercase().starts_with("kafka."));
        if let Some((name, meant)) = slip(names, &NAMES) {
            return Err(illegal(format!("option `{name}` of the Kafka source is unknown; did you mean `{meant}`?")));
        }
        let options: BTreeMap<String, String> =
            options.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
        let client = options
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("kafka.")?.to_string(), value.trim().to_string())));
        let client = to_librdkafka(&client.collect()).map_err(illegal)?;
        for name in ["endingoffsets", "endingoffsetsbytimestamp", "endingtimestamp"] {
            if options.contains_key(name) {
                return Err(illegal("ending offset not valid in streaming queries"));
            }
        }
        Ok(KafkaOptions {
            subscription: subscription(&options)?,
            start: parse_start(&options).map_err(illegal)?,
            limits: limits(&options, settings)?,
            fail_on_data_loss: boolean(&options, "failondataloss", "failOnDataLoss")?.unwrap_or(true),
            include_headers: boolean(&options, "includeheaders", "includeHeaders")?.unwrap_or(false),
            splits_min: number(&options, "minpartitions", "minPartitions")?
                .map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX)),
            poll_timeout: Duration::from_millis(
                number(&options, "kafkaconsumer.polltimeoutms", "kafkaConsumer.pollTimeoutMs")?.unwrap_or(120_000),
            ),
            client,
            reads_by_librdkafka: reads_by_librdkafka(settings)?,
        })
    }

    /// The brokers, for messages.
    pub fn servers(&self) -> &str {
        self.client.get("bootstrap.servers").map_or("", String::as_str)
    }
}

fn illegal(message: impl std::fmt::Display) -> SparkError {
    SparkError::new(ExceptionKind::IllegalArgument, "", "", message.to_string())
}

fn subscription(options: &BTreeMap<String, String>) -> Result<Subscription, SparkError> {
    const CHOICES: [&str; 3] = ["assign", "subscribe", "subscribepattern"];
    let given: Vec<&str> = CHOICES.into_iter().filter(|name| options.contains_key(*name)).collect();
    let [name] = given.as_slice() else {
        let which = if given.is_empty() { "One of" } else { "Only one of" };
        let verb = if given.is_empty() { "must" } else { "can" };
        return Err(illegal(format!(
            "{which} the following options {verb} be specified for Kafka source: subscribe, subscribePattern, assign. See the docs for more details."
        )));
    };
    let value = options[*name].trim();
    match *name {
        "subscribe" => {
            let topics: Vec<String> =
                value.split(',').map(str::trim).filter(|topic| !topic.is_empty()).map(str::to_string).collect();
            if topics.is_empty() {
                return Err(illegal(format!(
                    "No topics to subscribe to as specified value for option 'subscribe' is '{value}'"
                )));
            }
            Ok(Subscription::Subscribe(topics))
        }
        "subscribepattern" => {
            if value.is_empty() {
                return Err(illegal(
                    "Pattern to subscribe is empty as specified value for option 'subscribePattern' is ''",
                ));
            }
            Regex::new(value).map_err(|error| illegal(format!("`subscribePattern`: {error}")))?;
            Ok(Subscription::Pattern(value.to_string()))
        }
        _ => assigned(value),
    }
}

fn assigned(value: &str) -> Result<Subscription, SparkError> {
    let topics: BTreeMap<String, Vec<i32>> = serde_json::from_str(value).map_err(|_| {
        illegal(format!("No topicpartitions to assign as specified value for option 'assign' is '{value}'; expected e.g. {{\"topic\":[0,1]}}"))
    })?;
    let partitions = topics.into_iter().flat_map(|(topic, partitions)| {
        partitions.into_iter().map(move |partition| TopicPartition::new(topic.clone(), partition))
    });
    let mut partitions: Vec<TopicPartition> = partitions.collect();
    partitions.sort();
    partitions.dedup();
    Ok(Subscription::Assign(partitions))
}

fn limits(options: &BTreeMap<String, String>, settings: &BTreeMap<String, String>) -> Result<Limits, SparkError> {
    let max_offsets = number(options, "maxoffsetspertrigger", "maxOffsetsPerTrigger")?;
    let min_offsets = number(options, "minoffsetspertrigger", "minOffsetsPerTrigger")?;
    if let (Some(min), Some(max)) = (min_offsets, max_offsets)
        && min > max
    {
        return Err(illegal(format!(
            "The value of minOffsetPerTrigger({min}) is higher than the maxOffsetsPerTrigger({max})."
        )));
    }
    let trigger_delay_max_us = match options.get("maxtriggerdelay") {
        Some(text) => micros(duration("maxTriggerDelay", text)?),
        None => TRIGGER_DELAY_MAX_US,
    };
    let off =
        settings.get("spark.streaming.backpressure.enabled").is_some_and(|text| text.eq_ignore_ascii_case("false"));
    let batch_duration_max_us = match settings.get("spark.pyrite.batch.durationMax") {
        _ if off => None,
        Some(text) => Some(micros(duration("spark.pyrite.batch.durationMax", text)?)),
        None => Some(micros(BATCH_DURATION_MAX)),
    };
    Ok(Limits { max_offsets, min_offsets, trigger_delay_max_us, batch_duration_max_us })
}

/// `spark.pyrite.kafka.reader`.
fn reads_by_librdkafka(settings: &BTreeMap<String, String>) -> Result<bool, SparkError> {
    match settings.get("spark.pyrite.kafka.reader").map(String::as_str) {
        None | Some("auto") => Ok(false),
        Some("librdkafka") => Ok(true),
        Some(other) => {
            let hint = suggestion(other, ["auto", "librdkafka"]);
            Err(illegal(format!("`spark.pyrite.kafka.reader` must be auto or librdkafka, not `{other}`{hint}")))
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A number above 0.
fn number(options: &BTreeMap<String, String>, key: &str, name: &str) -> Result<Option<u64>, SparkError> {
    let Some(text) = options.get(key) else { return Ok(None) };
    match text.trim().parse::<u64>() {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => Err(illegal(format!("Invalid value '{text}' for option '{name}', must be a positive integer"))),
    }
}

fn boolean(options: &BTreeMap<String, String>, key: &str, name: &str) -> Result<Option<bool>, SparkError> {
    let Some(text) = options.get(key) else { return Ok(None) };
    match text.trim().to_lowercase().as_str() {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        other => {
            let hint = suggestion(other, ["true", "false"]);
            Err(illegal(format!("Invalid value '{text}' for option '{name}', must be true or false{hint}")))
        }
    }
}

/// Spark's time texts: a number with `us`, `ms`, `s`, `m`, `min`, `h` or `d`; without a unit, milliseconds.
pub fn duration(name: &str, text: &str) -> Result<Duration, SparkError> {
    let trimmed = text.trim().to_lowercase();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let millis = match unit.trim() {
        "us" => return number.parse().map(Duration::from_micros).map_err(|_| bad_duration(name, text)),
        "" | "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(bad_duration(name, text)),
    };
    let number: u64 = number.parse().map_err(|_| bad_duration(name, text))?;
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(|| bad_duration(name, text))
}

fn bad_duration(name: &str, text: &str) -> SparkError {
    illegal(format!("`{name}` must be a time such as 500ms, 5s or 15m, not `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<KafkaOptions, SparkError> {
        let mut options: BTreeMap<String, String> =
            pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        options.entry("kafka.bootstrap.servers".into()).or_insert("b:9092".into());
        KafkaOptions::parse(&options, &BTreeMap::new())
    }

    fn refused(pairs: &[(&str, &str)]) -> String {
        parse(pairs).unwrap_err().message
    }

    #[test]
    fn the_crash_monitors_reader() {
        let options = parse(&[("subscribe", "logs"), ("startingOffsets", "latest"), ("anything", "ignored")]).unwrap();
        assert_eq!(options.subscription.description(), "KafkaV2[Subscribe[logs]]");
        assert_eq!(options.start, Start::Latest);
        assert!(options.fail_on_data_loss);
        assert_eq!(options.limits.batch_duration_max_us, Some(2_000_000));
        assert_eq!(options.servers(), "b:9092");
    }

    #[test]
    fn slips_are_told_from_what_spark_ignores() {
        let slip = refused(&[("SUBSCRIBE", "t"), ("anything", "x"), ("maxOffsetPerTrigger", "1")]);
        assert!(
            slip.contains("`maxOffsetPerTrigger`") && slip.contains("did you mean `maxOffsetsPerTrigger`?"),
            "{slip}"
        );
        assert!(parse(&[("subscribe", "t"), ("anything", "x"), ("kafka.group.idd", "x")]).is_ok());
    }

    #[test]
    fn exactly_one_subscription() {
        assert!(refused(&[]).starts_with("One of the following options must"));
        assert!(refused(&[("subscribe", "a"), ("assign", "{}")]).starts_with("Only one of"));
        assert!(refused(&[("subscribe", " , ")]).contains("No topics to subscribe"));
        let assigned = parse(&[("assign", r#"{"t":[1,0]}"#)]).unwrap();
        assert_eq!(assigned.subscription.description(), "KafkaV2[Assign[t-0, t-1]]");
    }

    #[test]
    fn a_subscription_knows_its_topics() {
        let reads =
            |name: &str, value: &str, topic: &str| parse(&[(name, value)]).unwrap().subscription.has_topic(topic);
        assert!(reads("subscribe", "a, b", "b") && !reads("subscribe", "a, b", "c"));
        assert!(reads("subscribePattern", "a|b.*", "bc") && !reads("subscribePattern", "a|b.*", "xy"));
        // As Spark: a part of the name is enough.
        assert!(
            reads("subscribePattern", "events", "prod-events-eu")
                && !reads("subscribePattern", "^events$", "events-eu")
        );
        assert!(reads("assign", r#"{"a":[1]}"#, "a") && !reads("assign", r#"{"a":[1]}"#, "b"));
    }

    #[test]
    fn wrong_values_name_what_is_valid() {
        assert!(refused(&[("subscribe", "a"), ("maxOffsetsPerTrigger", "0")]).contains("maxOffsetsPerTrigger"));
        assert!(refused(&[("subscribe", "a"), ("failOnDataLoss", "flase")]).contains("did you mean `false`"));
        assert!(refused(&[("subscribe", "a"), ("endingOffsets", "latest")]).contains("ending offset"));
        let both = [("subscribe", "a"), ("minOffsetsPerTrigger", "9"), ("maxOffsetsPerTrigger", "3")];
        assert!(refused(&both).contains("higher than"));
    }

    #[test]
    fn times_as_spark_writes_them() {
        assert_eq!(duration("x", "15m").unwrap(), Duration::from_secs(900));
        assert_eq!(duration("x", "250").unwrap(), Duration::from_millis(250));
        assert!(duration("x", "5 parsecs").is_err());
    }

    #[test]
    fn the_executors_reader_can_be_chosen() {
        let options = BTreeMap::from([
            ("subscribe".to_string(), "a".to_string()),
            ("kafka.bootstrap.servers".to_string(), "b".to_string()),
        ]);
        let chosen = |value: &str| {
            let settings = BTreeMap::from([("spark.pyrite.kafka.reader".to_string(), value.to_string())]);
            KafkaOptions::parse(&options, &settings).map(|options| options.reads_by_librdkafka)
        };
        assert_eq!((chosen("auto"), chosen("librdkafka")), (Ok(false), Ok(true)));
        assert!(chosen("librdkafak").unwrap_err().message.contains("did you mean `librdkafka`"));
    }

    #[test]
    fn backpressure_off_takes_the_adaptive_limit_away() {
        let options = BTreeMap::from([
            ("subscribe".to_string(), "a".to_string()),
            ("kafka.bootstrap.servers".to_string(), "b".to_string()),
        ]);
        let settings = BTreeMap::from([("spark.streaming.backpressure.enabled".to_string(), "false".to_string())]);
        assert_eq!(KafkaOptions::parse(&options, &settings).unwrap().limits.batch_duration_max_us, None);
    }
}
