//! What of a checkpoint nobody can need again: names in, names to delete out.
//!
//! Every retained commit can be restored before and after. A restore of commit `b` takes, for each bucket, the newest
//! snapshot that a commit up to `b` names, and the commits behind the oldest of those; that one's batch + 1 is the
//! *floor* of `b`. Floors never fall with `b`, so the floor of the oldest retained commit says for all of them what is
//! read. Below it everything goes: logs, changelog objects, snapshots. Which shard map wrote them does not matter,
//! since floors are counted in buckets: snapshots of an old map go when every bucket has a newer one. Only *sound*
//! snapshots count, whose manifest and files were all seen; so even a snapshot that lost a file costs no more than the
//! way back to an older one, which is still there.
//!
//! SST files are shared between snapshots, and uploads run while this looks. A file goes when
//! 1. no manifest that is there names it, nor did one since this driver first saw it unnamed, when `n` was committed;
//!    and
//! 2. every bucket has a sound snapshot of a later batch than `n`, named by a commit.
//!
//! Then no upload that may still be named can hold the file. An executor uploads a shard's snapshots one after the
//! other, in the order of its commits: the upload that was under way at `n`, of a version up to `n`, has ended, and its
//! manifest would be seen. The later snapshot of the shard does not name the file, so it is gone from the shard's
//! database, and what is gone from a database does not come back: no two databases write the same SST file. What an
//! executor still uploads that lost its shard to another, is older than the snapshot of 2; no bucket's newest.

use std::collections::{BTreeMap, BTreeSet};

use pyrite_common::checkpoint::{CommitFile, SnapshotManifest, SnapshotRef, names};
use pyrite_engine::state::BUCKETS;

#[cfg(test)]
mod tests;

/// Claims of earlier drivers that stay, to tell who had the checkpoint.
const TERMS_KEPT: usize = 10;

/// Whose checkpoint it is.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Our claim.
    pub term: u64,
    /// Batches before the last that can be gone back to.
    pub batches_retained: u64,
    /// The stateful operators; none: there is no state.
    pub operators: Vec<u32>,
}

/// What a commit says about state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Whether Spark wrote it: then it says nothing.
    pub is_sparks: bool,
    pub objects: Vec<String>,
    pub snapshots: Vec<SnapshotRef>,
}

impl Named {
    pub fn by(commit: CommitFile) -> Named {
        let Some(extra) = commit.pyrite else { return Named { is_sparks: true, ..Named::default() } };
        let objects = extra.objects.into_iter().map(|object| object.name).collect();
        Named { is_sparks: false, objects, snapshots: extra.snapshots }
    }
}

/// What a look at a checkpoint showed. Commits were listed before snapshots.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// All objects.
    pub names: BTreeSet<String>,
    /// What the commits among them say.
    pub commits: BTreeMap<u64, Named>,
    /// The files that the manifests among them name; a damaged manifest is not here.
    pub manifests: BTreeMap<String, Vec<String>>,
}

/// The files that a manifest names.
pub fn files_of(manifest: SnapshotManifest) -> Vec<String> {
    manifest.files.into_iter().map(|file| file.object).collect()
}

/// Files that no manifest names, each with the last commit when it was first seen so.
pub type Unnamed = BTreeMap<String, u64>;

/// What to delete, in this order, and what to remember until the next look.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Collection {
    pub doomed: Vec<String>,
    pub unnamed: Unnamed,
}

/// Decides; `unnamed` is what the last look left. Nothing is deleted while a higher term than the owner's is there, or
/// nothing is committed.
pub fn collect(owner: &Owner, seen: &Seen, unnamed: &Unnamed) -> Collection {
    let (Some(last), true) = (seen.commits.keys().next_back().copied(), is_highest_term(owner.term, &seen.names))
    else {
        return Collection { doomed: Vec::new(), unnamed: unnamed.clone() };
    };
    let retained_from = last.saturating_sub(owner.batches_retained);
    let floors = Floors::of(owner, seen, retained_from);
    // Without a way back to any retained commit nothing below the last is known to be of no use.
    let state_from = floors.retained.unwrap_or(0);
    let logs_from = state_from.min(retained_from);
    let kept: Vec<&Named> = seen.commits.range(logs_from..).map(|(_, named)| named).collect();
    let objects: BTreeSet<&str> = kept.iter().flat_map(|named| &named.objects).map(String::as_str).collect();
    let snapshots: BTreeSet<&str> =
        kept.iter().flat_map(|named| &named.snapshots).filter_map(|snapshot| folder(&snapshot.manifest.name)).collect();

    let is_old_log = |name: &&String| number(name).is_some_and(|number| number < logs_from);
    let is_old_object = |name: &&String| {
        names::parse_state_log(name).is_some_and(|(batch, attempt)| {
            let is_orphan = batch <= last && attempt.term.0 < owner.term && !objects.contains(name.as_str());
            (batch < state_from && attempt.term.0 <= owner.term) || is_orphan
        })
    };
    let is_old_snapshot = |name: &&String| {
        names::batch_of_snapshot(name).is_some_and(|batch| batch + 1 < state_from)
            && folder(name).is_none_or(|folder| !snapshots.contains(folder))
    };
    let mut doomed: Vec<String> = old_terms(owner.term, &seen.names);
    doomed.extend(seen.names.iter().filter(is_old_log).cloned());
    doomed.extend(seen.names.iter().filter(is_old_object).cloned());
    doomed.extend(seen.names.iter().filter(is_old_snapshot).cloned());
    let (gone, waiting) = unnamed_files(seen, unnamed, last, &floors);
    doomed.extend(gone);
    Collection { doomed, unnamed: waiting }
}

/// Whether nobody claimed the checkpoint after `term`: only then may its driver delete.
pub fn is_highest_term<'a>(term: u64, names: impl IntoIterator<Item = &'a String>) -> bool {
    names::highest(names::TERMS, names).is_none_or(|highest| highest <= term)
}

fn old_terms(term: u64, names: &BTreeSet<String>) -> Vec<String> {
    let mut older: Vec<u64> =
        names.iter().filter_map(|name| names::number_in(names::TERMS, name)).filter(|other| *other < term).collect();
    older.sort_unstable();
    older.truncate(older.len().saturating_sub(TERMS_KEPT));
    older.into_iter().map(names::term).collect()
}

/// The batch of a log.
fn number(name: &str) -> Option<u64> {
    names::number_in(names::OFFSETS, name).or_else(|| names::number_in(names::COMMITS, name))
}

fn folder(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(folder, _)| folder)
}

/// Unnamed files that go now, and those that wait.
fn unnamed_files(seen: &Seen, before: &Unnamed, last: u64, floors: &Floors) -> (Vec<String>, Unnamed) {
    let named: BTreeSet<&str> = seen.manifests.values().flatten().map(String::as_str).collect();
    let mut gone = Vec::new();
    let mut waiting = Unnamed::new();
    for name in seen.names.iter().filter(|name| names::is_snapshot_file(name) && !named.contains(name.as_str())) {
        let since = before.get(name).copied().unwrap_or(last);
        if floors.last.is_some_and(|floor| floor > since + 1) {
            gone.push(name.clone());
        } else {
            waiting.insert(name.clone(), since);
        }
    }
    (gone, waiting)
}

/// The lowest commits that restores read.
#[derive(Debug, Default)]
struct Floors {
    /// For the oldest retained commit that can be restored.
    retained: Option<u64>,
    /// For the last commit.
    last: Option<u64>,
}

impl Floors {
    fn of(owner: &Owner, seen: &Seen, retained_from: u64) -> Floors {
        let mut floors = Floors::default();
        let mut newest = Newest::new(&owner.operators);
        // The first commit of the unbroken run that ends at this one.
        let mut start = 0;
        let mut expected = None;
        for (batch, named) in &seen.commits {
            if expected != Some(*batch) {
                newest = Newest::new(&owner.operators);
                start = *batch;
            }
            expected = Some(batch + 1);
            if named.is_sparks {
                start = batch + 1;
            }
            for snapshot in named.snapshots.iter().filter(|snapshot| is_sound(snapshot, seen)) {
                newest.take(snapshot);
            }
            floors.last = Some(newest.floor(*batch)).filter(|floor| *floor >= start || owner.operators.is_empty());
            if *batch >= retained_from && floors.retained.is_none() {
                floors.retained = floors.last;
            }
        }
        floors
    }
}

/// Whether its manifest and all files that this names were seen.
fn is_sound(snapshot: &SnapshotRef, seen: &Seen) -> bool {
    seen.manifests.get(&snapshot.manifest.name).is_some_and(|files| files.iter().all(|file| seen.names.contains(file)))
}

/// The batch of the newest snapshot of each bucket of each operator.
struct Newest(BTreeMap<u32, Vec<Option<u64>>>);

impl Newest {
    fn new(operators: &[u32]) -> Newest {
        Newest(operators.iter().map(|operator| (*operator, vec![None; usize::from(BUCKETS)])).collect())
    }

    fn take(&mut self, snapshot: &SnapshotRef) {
        let Some(buckets) = self.0.get_mut(&snapshot.operator) else { return };
        let range = usize::from(snapshot.first_bucket)..=usize::from(snapshot.last_bucket.min(BUCKETS - 1));
        for bucket in buckets.get_mut(range).into_iter().flatten() {
            *bucket = (*bucket).max(Some(snapshot.batch));
        }
    }

    /// The lowest commit that a restore of `batch` reads: `batch` itself for a query without state.
    fn floor(&self, batch: u64) -> u64 {
        let floors = self.0.values().flatten().map(|newest| newest.map_or(0, |newest| newest + 1));
        floors.min().unwrap_or(batch)
    }
}
