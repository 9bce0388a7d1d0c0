//! COMMIT: commits/N makes the batch have happened; whoever put it first is right.

use std::collections::BTreeMap;

use pyrite_common::checkpoint::{AttemptId, CommitExtra, CommitFile};

use super::event::{Action, Event, Fault};
use super::machine::QueryMachine;
use super::message::{Command, EventTimes, ExecutorKey, PreparedReport};
use super::recover::catch_up_of;
use super::report::{BatchReport, ends};
use super::spec::Trigger;
use super::state::{Batch, Commit, State};
use super::store::{Body, LogName, StoreReply, StoreRequest};
use super::watermark::{Watermarks, behind};
use super::write::{Progress, Write};
use crate::source::limits::distance;

impl QueryMachine {
    pub(super) fn commit(
        &mut self,
        now_us: i64,
        mut batch: Box<Batch>,
        attempt: AttemptId,
        prepared: BTreeMap<ExecutorKey, PreparedReport>,
    ) -> State {
        batch.times.add_batch_us = now_us - batch.run_since_us;
        let file = self.commit_file(&batch, attempt, &prepared);
        let (write, ask) = Write::start(now_us, LogName::Commit(batch.number), Body::Commit(file));
        self.ask(ask);
        // The next batch's offsets are asked for while the commit is written.
        if self.spec.trigger == Trigger::Default && !self.stopping {
            self.ask_sources(now_us, ends(&batch.file));
        }
        State::Commit(Commit { batch, attempt, prepared, write, is_doubted: false, since_us: now_us })
    }

    fn watermarks_after(&self, batch: &Batch, prepared: &BTreeMap<ExecutorKey, PreparedReport>) -> Watermarks {
        let times: Vec<EventTimes> = prepared.values().flat_map(|report| report.event_times.iter().cloned()).collect();
        let behind = catch_up_of(&batch.file).map(|targets| behind(&ends(&batch.file), &targets));
        self.watermarks.advance(&self.spec.watermarks, self.spec.watermark_policy, &times, behind.as_ref())
    }

    fn commit_file(
        &mut self,
        batch: &Batch,
        attempt: AttemptId,
        prepared: &BTreeMap<ExecutorKey, PreparedReport>,
    ) -> CommitFile {
        let watermarks = self.watermarks_after(batch, prepared);
        CommitFile {
            next_batch_watermark_ms: watermarks.global_ms,
            pyrite: Some(CommitExtra {
                term: self.term,
                driver: self.spec.driver.clone(),
                nonce: self.nonce(),
                attempt,
                objects: prepared.values().filter_map(|report| report.object.clone()).collect(),
                node_watermarks: watermarks.node_entries(),
                catch_up: watermarks.maxima_entries(),
                snapshots: prepared.values().flat_map(|report| report.snapshots.iter().cloned()).collect(),
                crc: String::new(),
            }),
        }
    }

    pub(super) fn on_commit(&mut self, now_us: i64, mut commit: Commit, event: Event) -> State {
        let reply = match event {
            Event::Store { reply, .. } => reply,
            Event::Wake => {
                self.retry_when_due(now_us, &mut commit.write);
                return State::Commit(commit);
            }
            _ => return State::Commit(commit),
        };
        if commit.is_doubted {
            return match reply {
                StoreReply::TermAbove(None) => self.committed(now_us, commit),
                reply => self.unexpected(reply),
            };
        }
        match commit.write.on_reply(now_us, reply) {
            Progress::Won if commit.write.took_long(now_us) => {
                self.ask(StoreRequest::TermAbove(self.term));
                commit.is_doubted = true;
                State::Commit(commit)
            }
            Progress::Won => self.committed(now_us, commit),
            Progress::Lost(Body::Commit(theirs)) => self.adopt_commit(now_us, commit, &theirs),
            Progress::Lost(_) => unreachable!("the name decides what a body is"),
            Progress::Failed(problem) => self.fail(Fault::new(problem)),
            other => {
                self.go_on_writing(other);
                State::Commit(commit)
            }
        }
    }

    fn committed(&mut self, now_us: i64, commit: Commit) -> State {
        let Commit { batch, attempt, prepared, write, since_us, .. } = commit;
        let Body::Commit(file) = write.into_body() else {
            unreachable!("a commit writes a commit");
        };
        let report = self.report(now_us, since_us, &batch, attempt, &prepared, &file);
        self.take_position(batch.number, &file, &batch.file);
        self.send_all(&Command::Committed { batch: batch.number, attempt });
        self.batches_run += 1;
        // Offsets, as limits cut them: a compacted topic has fewer records.
        let offsets = report.starts.iter().zip(&report.ends).map(|(start, end)| distance(start, end)).sum();
        self.rate.observe(offsets, batch.run_since_us + batch.times.add_batch_us - batch.try_since_us);
        self.act(Action::Report(Box::new(report)));
        self.act(Action::DropRows { attempt });
        if self.spec.rules.publish_before_commit {
            self.enter_idle(now_us)
        } else {
            self.publish(now_us, batch, attempt, prepared)
        }
    }

    /// Another driver's attempt is the batch. Ours is dropped by its attempt id wherever it is pending.
    fn adopt_commit(&mut self, now_us: i64, commit: Commit, theirs: &CommitFile) -> State {
        if theirs.term() > self.term {
            let by = theirs.pyrite.as_ref().map(|extra| extra.driver.clone()).unwrap_or_default();
            return self.superseded(&by, theirs.term());
        }
        self.take_position(commit.batch.number, theirs, &commit.batch.file);
        if let Some(attempt) = theirs.attempt() {
            self.send_all(&Command::Committed { batch: commit.batch.number, attempt });
        }
        self.batches_run += 1;
        self.act(Action::DropRows { attempt: commit.attempt });
        self.enter_idle(now_us)
    }

    fn report(
        &self,
        now_us: i64,
        commit_since_us: i64,
        batch: &Batch,
        attempt: AttemptId,
        prepared: &BTreeMap<ExecutorKey, PreparedReport>,
        file: &CommitFile,
    ) -> BatchReport {
        let extra = batch.file.pyrite.as_ref().expect("a plan is completed before it runs");
        let mut durations = batch.times;
        durations.commit_offsets_us = now_us - commit_since_us;
        durations.trigger_execution_us = now_us - batch.started_us;
        let sources = self.spec.limits.len();
        let mut report = BatchReport {
            batch: batch.number,
            attempt,
            started_us: batch.started_us,
            previous_us: self.triggers_us.1,
            ended_us: now_us,
            durations,
            starts: (0..sources).map(|source| extra.start(source).unwrap_or_default()).collect(),
            ends: ends(&batch.file),
            latest: batch.latest.clone(),
            watermark_ms: (!self.spec.watermarks.is_empty()).then_some(batch.file.batch_watermark_ms),
            next_watermark_ms: file.next_batch_watermark_ms,
            event_times: Vec::new(),
            sources: Vec::new(),
            operators: Vec::new(),
            shards: extra.shards.len(),
            output_rows: 0,
            data_loss: Vec::new(),
            snapshots: Vec::new(),
            map_generation: extra.map_generation,
            failed_tries: batch.failed_tries(),
        };
        for prepared in prepared.values() {
            report.add(prepared);
        }
        report
    }
}
