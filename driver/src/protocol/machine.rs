//! The machine itself: what it knows across states, and which state an event goes to.

use std::collections::BTreeMap;

use pyrite_common::checkpoint::{AttemptId, Offsets, TopicPartition};

use super::event::{Action, Availability, Ending, Event, Fault};
use super::message::{Command, ExecutorInfo, ExecutorKey};
use super::pin::Position;
use super::spec::QuerySpec;
use super::state::{Claim, Phase, State};
use super::store::{StoreReply, StoreRequest};
use super::watermark::Watermarks;
use crate::source::limits::RateMeter;

/// One run of one query in one driver.
#[derive(Debug)]
pub struct QueryMachine {
    pub(super) spec: QuerySpec,
    state: State,
    /// The living executors by id.
    pub(super) executors: BTreeMap<String, ExecutorInfo>,
    pub(super) query_id: Option<String>,
    pub(super) term: u64,
    pub(super) epoch: u64,
    nonces: u64,
    /// The number of the newest store request; only its reply counts.
    request: u64,
    /// The last committed batch and its attempt: the base of the next.
    pub(super) base: Option<(u64, AttemptId)>,
    pub(super) next_batch: u64,
    pub(super) position: Position,
    pub(super) watermarks: Watermarks,
    pub(super) poll: Poll,
    /// The fixed end of an availableNow run.
    pub(super) target: Option<Availability>,
    /// When the newest trigger and the one before it began.
    pub(super) triggers_us: (Option<i64>, Option<i64>),
    /// When the trigger next fires.
    pub(super) due_us: i64,
    /// When an idle query looks for a higher term again.
    pub(super) look_us: i64,
    pub(super) rate: RateMeter,
    /// When the last batch with data began.
    pub(super) last_data_us: Option<i64>,
    /// Batches that this run committed.
    pub(super) batches_run: u64,
    /// Where shards and partitions were placed last, to place them there again.
    pub(super) shards_at: BTreeMap<u32, String>,
    pub(super) splits_at: BTreeMap<(u32, TopicPartition, i64), String>,
    pub(super) stopping: bool,
    /// What it fails with once the batch under way is finished.
    fault: Option<Fault>,
    actions: Vec<Action>,
}

/// The asking for offsets.
#[derive(Debug, Default)]
pub(super) struct Poll {
    pub generation: u64,
    pub asked_us: i64,
    /// Whether the newest asking has no answer yet.
    pub open: bool,
    /// An answer that came before it was needed.
    pub answer: Option<Availability>,
}

/// What a query does, for its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub phase: Phase,
    /// The batch that is being planned or run, or comes next.
    pub batch: u64,
    pub waits_for_executors: bool,
    /// The batch that is being planned or run has records to read.
    pub has_data: bool,
    pub term: u64,
}

impl QueryMachine {
    /// A machine that has done nothing yet; [`Event::Start`] starts it.
    pub fn new(spec: QuerySpec) -> QueryMachine {
        QueryMachine {
            spec,
            state: State::Claim(Claim::Waiting),
            executors: BTreeMap::new(),
            query_id: None,
            term: 0,
            epoch: 0,
            nonces: 0,
            request: 0,
            base: None,
            next_batch: 0,
            position: Position::default(),
            watermarks: Watermarks::default(),
            poll: Poll::default(),
            target: None,
            triggers_us: (None, None),
            due_us: i64::MIN,
            look_us: i64::MIN,
            rate: RateMeter::default(),
            last_data_us: None,
            batches_run: 0,
            shards_at: BTreeMap::new(),
            splits_at: BTreeMap::new(),
            stopping: false,
            fault: None,
            actions: Vec::new(),
        }
    }

    /// Takes one event and says what to do. `now_us`: microseconds since the epoch, never falling.
    pub fn apply(&mut self, now_us: i64, event: Event) -> Vec<Action> {
        let before = self.state.phase();
        match event {
            _ if before == Phase::Stopped => {}
            Event::Store { request, .. } if request != self.request => {}
            Event::Store { reply: StoreReply::TermAbove(Some((term, claim))), .. } => {
                self.state = self.superseded(&format!("{} on {}", claim.app, claim.host), term);
            }
            Event::Stop => self.stop(),
            Event::ExecutorJoined(info) => self.joined(now_us, info),
            Event::ExecutorLost { executor, .. } => self.lost(now_us, &executor),
            Event::QueryRefused { fault, .. } | Event::SourceFailed { fault, fatal: true } => {
                self.fault.get_or_insert(fault);
                self.stop();
            }
            Event::Available(availability) => self.available(now_us, availability),
            event => self.dispatch(now_us, event),
        }
        let after = self.state.phase();
        assert!(before == after || before.may_become(after), "no move from {before:?} to {after:?}");
        std::mem::take(&mut self.actions)
    }

    /// What it does now.
    pub fn status(&self) -> Status {
        let waits = matches!(&self.state, State::Run(run) if run.waits_for_executors());
        Status {
            phase: self.state.phase(),
            batch: self.next_batch,
            waits_for_executors: waits,
            has_data: self.state.has_data(),
            term: self.term,
        }
    }

    /// The id that the checkpoint gives the query, once it is known.
    pub fn query_id(&self) -> Option<&str> {
        self.query_id.as_deref()
    }

    /// The number of the next asking for offsets: what it finds is newer than anything known now.
    pub fn next_generation(&self) -> u64 {
        self.poll.generation + 1
    }

    fn dispatch(&mut self, now_us: i64, event: Event) {
        self.state = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Claim(claim) => self.on_claim(now_us, claim, event),
            State::Recover(recover) => self.on_recover(now_us, recover, event),
            State::Idle(idle) => self.on_idle(now_us, idle, event),
            State::Plan(plan) => self.on_plan(now_us, plan, event),
            State::Run(run) => self.on_run(now_us, run, event),
            State::Publish(publish) => self.on_publish(now_us, publish, event),
            State::Commit(commit) => self.on_commit(now_us, commit, event),
            State::Stopped => State::Stopped,
        };
    }

    fn joined(&mut self, now_us: i64, info: ExecutorInfo) {
        if let Some(old) = self.executors.get(&info.key.id)
            && old.key != info.key
        {
            let executor = old.key.clone();
            self.lost(now_us, &executor);
        }
        let key = info.key.clone();
        self.executors.insert(key.id.clone(), info);
        self.send(&key, Command::StartQuery);
        self.state = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Run(run) => self.joined_in_run(now_us, run),
            other => other,
        };
    }

    fn lost(&mut self, now_us: i64, executor: &ExecutorKey) {
        if self.executors.get(&executor.id).is_none_or(|info| info.key != *executor) {
            return;
        }
        self.executors.remove(&executor.id);
        self.state = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Run(run) => self.lost_in_run(now_us, run, executor),
            State::Publish(publish) => self.lost_in_publish(now_us, publish, executor),
            other => other,
        };
    }

    fn available(&mut self, now_us: i64, availability: Availability) {
        if availability.generation != self.poll.generation || !self.poll.open {
            return;
        }
        self.poll.open = false;
        self.state = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Idle(idle) => self.available_in_idle(now_us, idle, availability),
            other => {
                self.poll.answer = Some(availability);
                other
            }
        };
    }

    /// Before PUBLISH the batch is given up and its plan stays; from there on it is finished first.
    fn stop(&mut self) {
        self.stopping = true;
        if !self.state.phase().is_past_stopping() {
            self.state = self.finish();
        }
    }

    // What the states share.

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(super) fn ask(&mut self, ask: StoreRequest) {
        self.request += 1;
        self.act(Action::Store { request: self.request, ask });
    }

    pub(super) fn send(&mut self, to: &ExecutorKey, command: Command) {
        self.act(Action::Send { to: to.clone(), command });
    }

    pub(super) fn send_all(&mut self, command: &Command) {
        let keys: Vec<ExecutorKey> = self.executors.values().map(|info| info.key.clone()).collect();
        for key in keys {
            self.send(&key, command.clone());
        }
    }

    /// Asks the sources; an answer to an older asking no longer counts.
    pub(super) fn ask_sources(&mut self, now_us: i64, known: Vec<Offsets>) {
        self.poll.generation += 1;
        self.poll.asked_us = now_us;
        self.poll.open = true;
        self.poll.answer = None;
        self.act(Action::Poll { generation: self.poll.generation, known });
    }

    pub(super) fn trigger_began(&mut self, now_us: i64) {
        self.triggers_us = (Some(now_us), self.triggers_us.0);
    }

    /// Unique to one try of one write.
    pub(super) fn nonce(&mut self) -> String {
        self.nonces += 1;
        format!("{}-{}", self.spec.driver, self.nonces)
    }

    /// The attempt id of the newest try.
    pub(super) fn attempt(&self) -> AttemptId {
        AttemptId::new(if self.spec.rules.term_in_attempt { self.term } else { 0 }, self.epoch)
    }

    pub(super) fn finish(&mut self) -> State {
        let ending = self.fault.take().map_or(Ending::Finished, Ending::Failed);
        self.end(ending)
    }

    pub(super) fn fail(&mut self, fault: Fault) -> State {
        self.end(Ending::Failed(fault))
    }

    /// Another driver has a higher claim: this one writes nothing more.
    pub(super) fn superseded(&mut self, by: &str, term: u64) -> State {
        let message = format!(
            "query is run by another driver, `{by}` with term {term}: this driver had term {} and stops; \
             only one driver may use a checkpoint at a time",
            self.term
        );
        self.end(Ending::Superseded(Fault::classed("CONCURRENT_STREAM_LOG_UPDATE", "40000", message)))
    }

    fn end(&mut self, ending: Ending) -> State {
        if self.epoch > 0 {
            let attempt = self.attempt();
            self.send_all(&Command::Abort { attempt });
        }
        self.send_all(&Command::StopQuery);
        self.act(Action::Ended(ending));
        State::Stopped
    }

    /// A reply that no request of this state can have.
    pub(super) fn unexpected(&mut self, reply: StoreReply) -> State {
        let problem = match reply {
            StoreReply::Failed(problem) => format!("cannot read the checkpoint: {problem}"),
            StoreReply::Corrupt(problem) => problem,
            other => format!("the checkpoint gave an unexpected reply: {other:?}"),
        };
        self.fail(Fault::new(problem))
    }
}
