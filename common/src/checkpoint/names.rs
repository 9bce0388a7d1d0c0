//! The names of a checkpoint's objects, and what a listing says about them.

use super::AttemptId;

/// `{"id": query id}`.
pub const METADATA: &str = "metadata";
/// Claims of drivers.
pub const TERMS: &str = "terms";
/// Plans of batches.
pub const OFFSETS: &str = "offsets";
/// What became of them.
pub const COMMITS: &str = "commits";
/// Changelog objects of all executors.
pub const STATE_LOG: &str = "state/log";
/// Their snapshots.
pub const STATE_SNAPSHOTS: &str = "state/snap";
const MANIFEST: &str = "manifest";
const FILES: &str = "files";

/// The claim of a term.
pub fn term(term: u64) -> String {
    format!("{TERMS}/{term}")
}

/// The plan of a batch.
pub fn offsets(batch: u64) -> String {
    format!("{OFFSETS}/{batch}")
}

/// The commit of a batch.
pub fn commit(batch: u64) -> String {
    format!("{COMMITS}/{batch}")
}

/// Where the first offsets of a source are kept.
pub fn source_start(source: u32) -> String {
    format!("sources/{source}/0")
}

/// The one changelog object of an executor and attempt.
pub fn state_log(batch: u64, attempt: AttemptId, executor: &str) -> String {
    format!("{STATE_LOG}/{batch}-{attempt}-{}", safe(executor))
}

/// The folder of one snapshot of a shard.
pub fn snapshot(operator: u32, shard: u32, batch: u64, attempt: AttemptId) -> String {
    format!("{STATE_SNAPSHOTS}/{operator}/{shard}/{batch}-{attempt}")
}

/// What names the files of a snapshot.
pub fn snapshot_manifest(operator: u32, shard: u32, batch: u64, attempt: AttemptId) -> String {
    format!("{}/{MANIFEST}", snapshot(operator, shard, batch, attempt))
}

/// A file that belongs to one snapshot alone; `content` is a hash of the bytes.
pub fn snapshot_own_file(operator: u32, shard: u32, batch: u64, attempt: AttemptId, content: &str) -> String {
    format!("{}/{content}", snapshot(operator, shard, batch, attempt))
}

/// A file that several snapshots of an operator may share; `content` is a hash of the bytes, which no two databases
/// ever write alike.
pub fn snapshot_file(operator: u32, content: &str) -> String {
    format!("{STATE_SNAPSHOTS}/{operator}/{FILES}/{content}.sst")
}

/// The number at the end of `folder/number`; `None` for any other name.
pub fn number_in(folder: &str, name: &str) -> Option<u64> {
    name.strip_prefix(folder)?.strip_prefix('/')?.parse().ok()
}

/// The highest number among the names of a listed folder; Spark's `.crc` and compacted files do not count.
pub fn highest<'a>(folder: &str, names: impl IntoIterator<Item = &'a String>) -> Option<u64> {
    names.into_iter().filter_map(|name| number_in(folder, name)).max()
}

/// Batch and attempt of a [`state_log`] name; `None` for any other name.
pub fn parse_state_log(name: &str) -> Option<(u64, AttemptId)> {
    let mut parts = name.strip_prefix(STATE_LOG)?.strip_prefix('/')?.splitn(4, '-');
    let batch = parts.next()?.parse().ok()?;
    let term = parts.next()?.parse().ok()?;
    let epoch = parts.next()?.parse().ok()?;
    parts.next()?;
    Some((batch, AttemptId::new(term, epoch)))
}

/// The batch of the [`snapshot`] that an object lies in; `None` for any other name.
pub fn batch_of_snapshot(name: &str) -> Option<u64> {
    let parts: Vec<&str> = below_snapshots(name)?.split('/').collect();
    let [operator, shard, version, _] = parts.as_slice() else { return None };
    let _: (u32, u32) = (operator.parse().ok()?, shard.parse().ok()?);
    let mut version = version.splitn(3, '-');
    let batch = version.next()?.parse().ok()?;
    let _: (u64, u64) = (version.next()?.parse().ok()?, version.next()?.parse().ok()?);
    Some(batch)
}

/// Whether it is a [`snapshot_manifest`] name.
pub fn is_snapshot_manifest(name: &str) -> bool {
    batch_of_snapshot(name).is_some() && name.ends_with(&format!("/{MANIFEST}"))
}

/// Whether it is a [`snapshot_file`] name.
pub fn is_snapshot_file(name: &str) -> bool {
    let parts = below_snapshots(name).map(|rest| rest.split('/').collect::<Vec<_>>());
    matches!(parts.as_deref(), Some([operator, FILES, _]) if operator.parse::<u32>().is_ok())
}

fn below_snapshots(name: &str) -> Option<&str> {
    name.strip_prefix(STATE_SNAPSHOTS)?.strip_prefix('/')
}

/// Executor ids become one path part of letters, digits, `_` and `-`.
fn safe(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_log_names_carry_the_attempt() {
        let name = state_log(7, AttemptId::new(2, 5), "app-1/0");
        assert_eq!(name, "state/log/7-2-5-app-1_0");
        assert_eq!(parse_state_log(&name), Some((7, AttemptId::new(2, 5))));
        assert_eq!(parse_state_log("state/log/7-2"), None);
    }

    #[test]
    fn snapshot_names_tell_manifests_from_files() {
        let manifest = snapshot_manifest(0, 3, 41, AttemptId::new(2, 5));
        assert_eq!(manifest, "state/snap/0/3/41-2-5/manifest");
        let seen = |name: &str| (batch_of_snapshot(name), is_snapshot_manifest(name), is_snapshot_file(name));
        assert_eq!(seen(&manifest), (Some(41), true, false));
        assert_eq!(seen(&snapshot_own_file(0, 3, 41, AttemptId::new(2, 5), "cd-4")), (Some(41), false, false));
        assert_eq!(seen(&snapshot_file(0, "ab-3")), (None, false, true));
        for other in ["state/snap/0/3/41-2/manifest", "state/snap/0/3/manifest", "state/snap/x/files/a.sst", "metadata"]
        {
            assert_eq!(seen(other), (None, false, false), "{other}");
        }
    }

    #[test]
    fn only_plain_numbers_count_in_a_listing() {
        let names = ["offsets/9", "offsets/10", "offsets/10.crc", "offsets/9.compact"].map(String::from);
        assert_eq!(highest(OFFSETS, &names), Some(10));
        assert_eq!(highest(OFFSETS, &Vec::<String>::new()), None);
    }
}
