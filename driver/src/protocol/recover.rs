//! RECOVER: the last commit is the base; a plan beyond it runs exactly as pinned.

use std::collections::BTreeSet;

use pyrite_common::checkpoint::{CommitFile, Offsets, OffsetsFile};

use super::event::{Action, Event, Fault};
use super::machine::QueryMachine;
use super::pin::{Position, complete_sparks_plan};
use super::report::ends;
use super::shards;
use super::state::{Recover, State};
use super::store::{Body, LogName, StoreReply, StoreRequest};
use super::watermark::{Watermarks, behind};
use super::write::{Progress, Write};

/// What to do about a checkpoint that is not this query's.
const ANOTHER_QUERYS: &str = "use another `checkpointLocation`, or start the query that it was made by";

impl QueryMachine {
    pub(super) fn on_recover(&mut self, now_us: i64, recover: Recover, event: Event) -> State {
        match (recover, event) {
            (Recover::ResolveStart { source }, Event::StartResolved { source: of, offsets }) if source == of => {
                let (write, ask) = Write::start(now_us, LogName::SourceStart(source), Body::SourceStart(offsets));
                self.ask(ask);
                State::Recover(Recover::CreateStart { source, write })
            }
            (Recover::CreateStart { source, mut write }, Event::Wake) => {
                self.retry_when_due(now_us, &mut write);
                State::Recover(Recover::CreateStart { source, write })
            }
            (recover, Event::Store { reply, .. }) => self.recover_reply(now_us, recover, reply),
            (recover, _) => State::Recover(recover),
        }
    }

    fn recover_reply(&mut self, now_us: i64, recover: Recover, reply: StoreReply) -> State {
        match (recover, reply) {
            // Ours is a number that was claimed before and collected: a driver that slept between looking and claiming.
            (Recover::Survey, StoreReply::Surveyed { term, .. }) if term > self.term => {
                self.ask(StoreRequest::TermAbove(self.term));
                State::Recover(Recover::Survey)
            }
            (Recover::Survey, StoreReply::Surveyed { offsets, commit, .. }) => self.surveyed(now_us, offsets, commit),
            (Recover::ReadCommit { batch, offsets }, StoreReply::Value(Some(body))) => {
                let Body::Commit(commit) = *body else { unreachable!("the name decides what a body is") };
                self.ask(StoreRequest::Read { name: LogName::Offsets(batch) });
                State::Recover(Recover::ReadOffsets { batch, commit: Box::new(commit), offsets })
            }
            (Recover::ReadOffsets { batch, commit, offsets }, StoreReply::Value(Some(body))) => {
                let Body::Offsets(file) = *body else { unreachable!("the name decides what a body is") };
                if let Some(fault) = self.refuse(batch, &file).or_else(|| self.refuse_sparks_state(&commit)) {
                    return self.fail(fault);
                }
                self.take_position(batch, &commit, &file);
                match offsets {
                    Some(highest) if highest > batch => self.read_next(),
                    _ => self.enter_idle(now_us),
                }
            }
            (Recover::ReadNext { batch }, StoreReply::Value(Some(body))) => {
                let Body::Offsets(file) = *body else { unreachable!("the name decides what a body is") };
                if let Some(fault) = self.refuse(batch, &file) {
                    return self.fail(fault);
                }
                self.run_plan(now_us, file)
            }
            (Recover::ReadPlannedStart { .. }, StoreReply::Value(Some(body))) => {
                let Body::SourceStart(offsets) = *body else { unreachable!("the name decides what a body is") };
                self.position.offsets.push(offsets);
                self.read_planned_start()
            }
            (Recover::ReadPlannedStart { source }, StoreReply::Value(None)) => self.start_is_missing(source),
            (Recover::ReadStart { .. }, StoreReply::Value(Some(body))) => {
                let Body::SourceStart(offsets) = *body else { unreachable!("the name decides what a body is") };
                self.take_start(now_us, offsets)
            }
            (Recover::ReadStart { source }, StoreReply::Value(None)) => {
                self.act(Action::ResolveStart { source });
                State::Recover(Recover::ResolveStart { source })
            }
            (Recover::CreateStart { source, mut write }, reply) => match write.on_reply(now_us, reply) {
                Progress::Won => {
                    self.ask(StoreRequest::Read { name: LogName::SourceStart(source) });
                    State::Recover(Recover::ReadStart { source })
                }
                Progress::Lost(Body::SourceStart(offsets)) => self.take_start(now_us, offsets),
                Progress::Lost(_) => unreachable!("the name decides what a body is"),
                Progress::Failed(problem) => self.fail(Fault::new(problem)),
                other => {
                    self.go_on_writing(other);
                    State::Recover(Recover::CreateStart { source, write })
                }
            },
            (_, StoreReply::Value(None)) => {
                let message = "the checkpoint's logs have a gap: a file of `offsets` or `commits` is missing";
                self.fail(Fault::new(message))
            }
            (_, reply) => self.unexpected(reply),
        }
    }

    fn surveyed(&mut self, now_us: i64, offsets: Option<u64>, commit: Option<u64>) -> State {
        match (commit, offsets) {
            (Some(batch), offsets) => {
                self.ask(StoreRequest::Read { name: LogName::Commit(batch) });
                State::Recover(Recover::ReadCommit { batch, offsets })
            }
            (None, Some(_)) => self.read_planned_start(),
            (None, None) => self.read_start(now_us),
        }
    }

    fn read_next(&mut self) -> State {
        self.ask(StoreRequest::Read { name: LogName::Offsets(self.next_batch) });
        State::Recover(Recover::ReadNext { batch: self.next_batch })
    }

    /// The first source whose start is not known yet, which is asked for; `None` when all are known.
    fn ask_next_start(&mut self) -> Option<u32> {
        let source = self.position.offsets.len();
        if source == self.spec.limits.len() {
            return None;
        }
        let source = u32::try_from(source).expect("few sources");
        self.ask(StoreRequest::Read { name: LogName::SourceStart(source) });
        Some(source)
    }

    /// The starts that the plan of the first batch was made from, then the plan.
    fn read_planned_start(&mut self) -> State {
        match self.ask_next_start() {
            Some(source) => State::Recover(Recover::ReadPlannedStart { source }),
            None => self.read_next(),
        }
    }

    /// What `latest` means now is not what the plan was made from: resolved anew, it would lose the records in between.
    fn start_is_missing(&mut self, source: u32) -> State {
        let message = format!(
            "the checkpoint has the plan of its first batch, but not `{}`, where the plan's source begins: the file \
             was lost, or the checkpoint is that of a query with fewer sources; use another `checkpointLocation`",
            LogName::SourceStart(source).path()
        );
        self.fail(Fault::new(message))
    }

    /// The start of the next source without one; idle when all have theirs.
    fn read_start(&mut self, now_us: i64) -> State {
        match self.ask_next_start() {
            Some(source) => State::Recover(Recover::ReadStart { source }),
            None => self.enter_idle(now_us),
        }
    }

    fn take_start(&mut self, now_us: i64, offsets: Offsets) -> State {
        self.position.offsets.push(offsets);
        self.read_start(now_us)
    }

    /// Why a plan of the checkpoint cannot be this query's.
    pub(super) fn refuse(&self, batch: u64, file: &OffsetsFile) -> Option<Fault> {
        let sources = self.spec.limits.len();
        if file.ends.len() != sources {
            let message = format!(
                "the checkpoint's batch {batch} has {} source(s) and this query has {sources}: it is another query's \
                 checkpoint; {ANOTHER_QUERYS}",
                file.ends.len()
            );
            return Some(Fault::new(message));
        }
        if let Some(fault) = self.refuse_topics(batch, file) {
            return Some(fault);
        }
        let extra = file.pyrite.as_ref()?;
        if extra.plan_hash != self.spec.plan_hash {
            let message = format!(
                "the checkpoint belongs to a query with other stateful operators (its state is `{}`, this query's `{}`): \
                 {ANOTHER_QUERYS}",
                extra.plan_hash, self.spec.plan_hash
            );
            return Some(Fault::new(message));
        }
        shards::problem(&extra.shards).map(|problem| Fault::new(format!("offsets/{batch}: {problem}")))
    }

    /// A source that shares no topic with the checkpoint's was never in it. One that lost some of its topics may be the
    /// same query, changed: whether it may go on without their records is for `failOnDataLoss`.
    fn refuse_topics(&self, batch: u64, file: &OffsetsFile) -> Option<Fault> {
        for (end, reads) in file.ends.iter().zip(&self.spec.reads) {
            let topics: BTreeSet<&str> =
                end.iter().flat_map(|end| end.0.keys()).map(|one| one.topic.as_str()).collect();
            if !topics.is_empty() && !topics.iter().any(|topic| reads.has_topic(topic)) {
                let topics = topics.into_iter().collect::<Vec<_>>().join("`, `");
                let message = format!(
                    "the checkpoint's batch {batch} reads topic `{topics}` and this query reads {}: it is another query's \
                     checkpoint; {ANOTHER_QUERYS}",
                    reads.description()
                );
                return Some(Fault::new(message));
            }
        }
        None
    }

    fn refuse_sparks_state(&self, commit: &CommitFile) -> Option<Fault> {
        let lost = self.spec.is_stateful() && commit.pyrite.is_none();
        let message =
            "the checkpoint holds state of Spark, which Pyrite cannot read: start with a new `checkpointLocation`";
        lost.then(|| Fault::new(message))
    }

    /// Stands behind a committed batch, from its two files.
    pub(super) fn take_position(&mut self, batch: u64, commit: &CommitFile, file: &OffsetsFile) {
        let extra = commit.pyrite.as_ref();
        self.base = commit.attempt().map(|attempt| (batch, attempt));
        self.next_batch = batch + 1;
        self.watermarks = match extra {
            Some(extra) => {
                Watermarks::from_commit(commit.next_batch_watermark_ms, &extra.node_watermarks, &extra.catch_up)
            }
            None => Watermarks { global_ms: commit.next_batch_watermark_ms, ..Watermarks::default() },
        };
        let offsets = ends(file);
        let catch_up = catch_up_of(file).filter(|targets| !behind(&offsets, targets).is_empty());
        let (shards, map_generation) = match &file.pyrite {
            Some(extra) => (extra.shards.clone(), extra.map_generation),
            None => (Vec::new(), 0),
        };
        self.position = Position {
            offsets,
            last_watermark_ms: file.batch_watermark_ms,
            next_watermark_ms: commit.next_batch_watermark_ms,
            shards,
            map_generation,
            catch_up,
        };
    }

    /// The plan with our part, also when Spark wrote it.
    pub(super) fn completed(&self, file: OffsetsFile) -> OffsetsFile {
        if file.pyrite.is_some() { file } else { complete_sparks_plan(&self.spec, &self.position, file) }
    }
}

/// The ends of the catch-up that a plan belongs to.
pub(super) fn catch_up_of(file: &OffsetsFile) -> Option<Vec<Offsets>> {
    let targets = file.pyrite.as_ref()?.catch_up.as_ref()?;
    Some(targets.iter().map(|target| Offsets::parse(&target.to_string()).unwrap_or_default()).collect())
}
