//! PUBLISH: the batch's rows go out before its commit, keyed by the batch, so that a repeat is harmless or known.

use std::collections::{BTreeMap, BTreeSet};

use pyrite_common::checkpoint::AttemptId;

use super::event::{Action, Event};
use super::machine::QueryMachine;
use super::message::{Command, ExecutorKey, PreparedReport};
use super::spec::PublishBy;
use super::state::{Batch, Publish, State};
use super::store::{StoreReply, StoreRequest};
use super::write::DOUBT_US;

impl QueryMachine {
    /// Every executor has prepared the attempt, and what they prepared is durable.
    pub(super) fn all_prepared(
        &mut self,
        now_us: i64,
        batch: Box<Batch>,
        attempt: AttemptId,
        prepared: BTreeMap<ExecutorKey, PreparedReport>,
    ) -> State {
        if self.spec.rules.publish_before_commit {
            self.publish(now_us, batch, attempt, prepared)
        } else {
            self.commit(now_us, batch, attempt, prepared)
        }
    }

    pub(super) fn publish(
        &mut self,
        now_us: i64,
        batch: Box<Batch>,
        attempt: AttemptId,
        prepared: BTreeMap<ExecutorKey, PreparedReport>,
    ) -> State {
        let waiting = match self.spec.publish {
            PublishBy::Nobody => return self.published(now_us, batch, attempt, prepared),
            PublishBy::Driver => BTreeSet::new(),
            PublishBy::Executors => prepared.keys().cloned().collect(),
        };
        let is_doubted = now_us - batch.run_since_us > DOUBT_US;
        let publish = Publish { batch, attempt, prepared, waiting, is_doubted };
        if is_doubted {
            // Whoever claimed the checkpoint meanwhile puts out the same batch.
            self.ask(StoreRequest::TermAbove(self.term));
            return State::Publish(publish);
        }
        self.put_out(publish)
    }

    fn put_out(&mut self, mut publish: Publish) -> State {
        let (batch, attempt) = (publish.batch.number, publish.attempt);
        publish.is_doubted = false;
        if self.spec.publish == PublishBy::Driver {
            self.act(Action::RunSink { batch, attempt });
        }
        for key in &publish.waiting {
            self.send(key, Command::Publish { batch, attempt });
        }
        State::Publish(publish)
    }

    pub(super) fn on_publish(&mut self, now_us: i64, mut publish: Publish, event: Event) -> State {
        let is_ours =
            |number: u64, of: AttemptId, publish: &Publish| number == publish.batch.number && of == publish.attempt;
        match event {
            Event::Store { reply, .. } if publish.is_doubted => match reply {
                StoreReply::TermAbove(None) => self.put_out(publish),
                reply => self.unexpected(reply),
            },
            Event::SinkDone { batch, attempt } if is_ours(batch, attempt, &publish) => {
                self.published(now_us, publish.batch, publish.attempt, publish.prepared)
            }
            Event::SinkFailed { batch, attempt, fault } if is_ours(batch, attempt, &publish) => self.fail(fault),
            Event::RowsLost { batch, attempt, .. } if is_ours(batch, attempt, &publish) => {
                if self.stopping {
                    self.finish()
                } else {
                    self.rows_lost(now_us, publish.batch)
                }
            }
            Event::Published { from, batch, attempt } if is_ours(batch, attempt, &publish) => {
                publish.waiting.remove(&from);
                if publish.waiting.is_empty() {
                    return self.published(now_us, publish.batch, publish.attempt, publish.prepared);
                }
                State::Publish(publish)
            }
            Event::Failed { batch, attempt, .. } if self.stopping && is_ours(batch, attempt, &publish) => self.finish(),
            Event::Failed { from, batch, attempt, failure } if is_ours(batch, attempt, &publish) => {
                self.try_failed(now_us, publish.batch, &from, *failure)
            }
            _ => State::Publish(publish),
        }
    }

    /// What a lost executor prepared is durable; only a slot it had yet to publish needs another try.
    pub(super) fn lost_in_publish(&mut self, now_us: i64, publish: Publish, executor: &ExecutorKey) -> State {
        if !publish.waiting.contains(executor) {
            return State::Publish(publish);
        }
        self.give_up_try();
        if self.stopping {
            return self.finish();
        }
        self.start_try(now_us, publish.batch)
    }

    fn published(
        &mut self,
        now_us: i64,
        batch: Box<Batch>,
        attempt: AttemptId,
        prepared: BTreeMap<ExecutorKey, PreparedReport>,
    ) -> State {
        if self.spec.rules.publish_before_commit {
            self.commit(now_us, batch, attempt, prepared)
        } else {
            self.enter_idle(now_us)
        }
    }
}
