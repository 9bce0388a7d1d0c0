//! Positions in a Kafka source, and Spark's text of them: `{"topic":{"0":123}}`.

use std::collections::BTreeMap;

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: String,
    pub partition: i32,
}

impl TopicPartition {
    /// The partition of this number.
    pub fn new(topic: impl Into<String>, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Text that is no map of topics, partitions and offsets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected offsets like `{{\"topic\":{{\"0\":23,\"1\":-1}}}}`, got `{text}`: {problem}")]
pub struct OffsetsError {
    /// What was to be read.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

/// An offset for each partition; the next record to read, so that `[start, end)` is a batch's range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offsets(pub BTreeMap<TopicPartition, i64>);

impl Offsets {
    /// The partition's offset.
    pub fn get(&self, partition: &TopicPartition) -> Option<i64> {
        self.0.get(partition).copied()
    }

    /// Whether no partition has one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All, ordered by topic and number.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.0.iter().map(|(partition, offset)| (partition, *offset))
    }

    /// Reads Spark's text; in start options -2 means earliest and -1 latest.
    pub fn parse(text: &str) -> Result<Offsets, OffsetsError> {
        let failed = |problem: String| OffsetsError { text: text.to_string(), problem };
        let topics: BTreeMap<String, BTreeMap<i32, i64>> =
            serde_json::from_str(text).map_err(|error| failed(error.to_string()))?;
        let mut offsets = BTreeMap::new();
        for (topic, partitions) in topics {
            for (partition, offset) in partitions {
                offsets.insert(TopicPartition { topic: topic.clone(), partition }, offset);
            }
        }
        Ok(Offsets(offsets))
    }

    /// As a JSON object, topics and partitions in order.
    pub fn to_json(&self) -> serde_json::Value {
        let mut topics = serde_json::Map::new();
        for (partition, offset) in self.iter() {
            let entry = topics.entry(partition.topic.clone()).or_insert_with(|| serde_json::json!({}));
            if let Some(partitions) = entry.as_object_mut() {
                partitions.insert(partition.partition.to_string(), offset.into());
            }
        }
        serde_json::Value::Object(topics)
    }

    /// One line of Spark's text.
    pub fn print(&self) -> String {
        self.to_json().to_string()
    }
}

impl FromIterator<(TopicPartition, i64)> for Offsets {
    fn from_iter<T: IntoIterator<Item = (TopicPartition, i64)>>(entries: T) -> Offsets {
        Offsets(entries.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_spark_writes_it() {
        let text = r#"{"a":{"0":5},"logs":{"0":123,"2":7,"10":8}}"#;
        let offsets = Offsets::parse(text).unwrap();
        assert_eq!(offsets.get(&TopicPartition::new("logs", 10)), Some(8));
        assert_eq!(offsets.print(), text);
    }

    #[test]
    fn what_is_no_offset_map_is_refused() {
        for text in ["", "[]", r#"{"logs":5}"#, r#"{"logs":{"x":1}}"#, r#"{"logs":{"0":"a"}}"#] {
            assert!(Offsets::parse(text).is_err(), "{text}");
        }
    }
}
