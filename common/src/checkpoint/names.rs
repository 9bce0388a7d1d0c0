//! The names of a checkpoint's objects, and what a listing says about them.

use super::AttemptId;

/// `{"id": query id}`.
pub const METADATA: &str = "metadata";
pub const TERMS: &str = "terms";
pub const OFFSETS: &str = "offsets";
pub const COMMITS: &str = "commits";
/// Changelog objects and snapshots of all executors.
pub const STATE_LOG: &str = "state/log";
pub const STATE_SNAPSHOTS: &str = "state/snap";

pub fn term(term: u64) -> String {
    format!("{TERMS}/{term}")
}

pub fn offsets(batch: u64) -> String {
    format!("{OFFSETS}/{batch}")
}

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

/// What a snapshot's files and manifests are called below [`STATE_SNAPSHOTS`]: `content` is a hash of the bytes.
pub fn snapshot_file(operator: u32, content: &str) -> String {
    format!("{STATE_SNAPSHOTS}/{operator}/files/{content}.sst")
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
    fn only_plain_numbers_count_in_a_listing() {
        let names = ["offsets/9", "offsets/10", "offsets/10.crc", "offsets/9.compact"].map(String::from);
        assert_eq!(highest(OFFSETS, &names), Some(10));
        assert_eq!(highest(OFFSETS, &Vec::<String>::new()), None);
    }
}
