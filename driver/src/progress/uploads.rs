//! Which snapshot of each shard is the newest in the checkpoint, as far as this run of the query heard.

use std::collections::BTreeMap;

use crate::protocol::BatchReport;

/// Shards that progress tells of, as Spark's `numStateStoreInstanceMetricsToReport`.
const REPORTED_MAX: usize = 5;
/// As Spark: nothing was uploaded yet.
const NOTHING: i64 = -1;

/// By operator and shard, for the shard map of the last batch.
#[derive(Debug, Default)]
pub struct Uploads {
    map_generation: u64,
    newest: BTreeMap<(u32, u32), u64>,
}

impl Uploads {
    /// Takes what a committed batch says. Snapshots of an older shard map are of other shards.
    pub fn add(&mut self, report: &BatchReport) {
        if self.map_generation != report.map_generation {
            self.map_generation = report.map_generation;
            self.newest.clear();
        }
        for snapshot in &report.snapshots {
            let newest = self.newest.entry((snapshot.operator, snapshot.shard)).or_default();
            *newest = (*newest).max(snapshot.batch);
        }
    }

    /// As Spark's instance metrics: of the shards whose snapshot is oldest, the version after its batch.
    pub(super) fn metrics(&self, operator: u32, shards: usize) -> Vec<(String, i64)> {
        let version = |shard: u32| {
            let newest = self.newest.get(&(operator, shard));
            newest.map_or(NOTHING, |batch| i64::try_from(batch + 1).unwrap_or(i64::MAX))
        };
        let mut versions: Vec<(i64, u32)> = (0u32..).take(shards).map(|shard| (version(shard), shard)).collect();
        versions.sort_unstable();
        versions.truncate(REPORTED_MAX);
        let named = |(version, shard)| (format!("SnapshotLastUploaded.partition_{shard}_default"), version);
        versions.into_iter().map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use pyrite_common::checkpoint::{AttemptId, ObjectRef, SnapshotRef};

    use super::*;
    use crate::progress::tests::report;

    fn snapshot(shard: u32, batch: u64) -> SnapshotRef {
        let manifest = ObjectRef { name: String::new(), length: 0, crc: 0 };
        SnapshotRef {
            operator: 0,
            shard,
            first_bucket: 0,
            last_bucket: 0,
            batch,
            attempt: AttemptId::default(),
            manifest,
        }
    }

    fn names(metrics: &[(String, i64)]) -> Vec<(&str, i64)> {
        metrics.iter().map(|(name, value)| (name.trim_start_matches("SnapshotLastUploaded."), *value)).collect()
    }

    #[test]
    fn the_shards_that_lag_most_are_told() {
        let mut uploads = Uploads::default();
        let snapshots = [6, 5, 4, 3, 2, 1].map(|shard| snapshot(shard, 10 + u64::from(shard))).to_vec();
        uploads.add(&BatchReport { snapshots, ..report() });
        let expected = [("partition_0_default", -1), ("partition_1_default", 12), ("partition_2_default", 13)];
        assert_eq!(names(&uploads.metrics(0, 3)), expected);
        assert_eq!(uploads.metrics(0, 7).len(), 5);
        uploads.add(&BatchReport { map_generation: 1, ..report() });
        assert_eq!(names(&uploads.metrics(0, 1)), [("partition_0_default", -1)]);
    }
}
