//! PLAN: offsets/N is put before anything of N runs, and whoever put it first is right.

use pyrite_common::checkpoint::{Offsets, OffsetsFile};

use super::event::{Event, Fault};
use super::machine::QueryMachine;
use super::pin::{Author, new_plan};
use super::report::Durations;
use super::state::{Batch, Plan, PlanStep, State};
use super::store::{Body, LogName, StoreReply, StoreRequest};
use super::write::{Progress, Write};

impl QueryMachine {
    #[expect(clippy::too_many_arguments, reason = "the one place that a selection becomes a plan")]
    pub(super) fn plan(
        &mut self,
        now_us: i64,
        since_us: i64,
        starts: Vec<Offsets>,
        ends: Vec<Offsets>,
        latest: Vec<Offsets>,
        catch_up: Option<Vec<Offsets>>,
        times: Durations,
    ) -> State {
        let author = Author { term: self.term, nonce: self.nonce(), now_us };
        let file = new_plan(&self.spec, &self.position, &starts, ends, catch_up, author);
        self.ask(StoreRequest::TermAbove(self.term));
        State::Plan(Plan { file, latest, step: PlanStep::CheckTerm, times, since_us })
    }

    pub(super) fn on_plan(&mut self, now_us: i64, mut plan: Plan, event: Event) -> State {
        let reply = match event {
            Event::Store { reply, .. } => reply,
            Event::Wake => {
                if let PlanStep::Create(write) = &mut plan.step {
                    self.retry_when_due(now_us, write);
                }
                return State::Plan(plan);
            }
            _ => return State::Plan(plan),
        };
        match &mut plan.step {
            PlanStep::CheckTerm => match reply {
                StoreReply::TermAbove(None) => {
                    let body = Body::Offsets(plan.file.clone());
                    let (write, ask) = Write::start(now_us, LogName::Offsets(self.next_batch), body);
                    self.ask(ask);
                    plan.step = PlanStep::Create(write);
                    State::Plan(plan)
                }
                reply => self.unexpected(reply),
            },
            PlanStep::Create(write) => match write.on_reply(now_us, reply) {
                Progress::Won if write.took_long(now_us) => {
                    self.ask(StoreRequest::TermAbove(self.term));
                    plan.step = PlanStep::CheckAgain;
                    State::Plan(plan)
                }
                Progress::Won => self.planned(now_us, plan),
                Progress::Lost(Body::Offsets(theirs)) => self.adopt_plan(now_us, theirs),
                Progress::Lost(_) => unreachable!("the name decides what a body is"),
                Progress::Failed(problem) => self.fail(Fault::new(problem)),
                other => {
                    self.go_on_writing(other);
                    State::Plan(plan)
                }
            },
            PlanStep::CheckAgain => match reply {
                StoreReply::TermAbove(None) => self.planned(now_us, plan),
                reply => self.unexpected(reply),
            },
        }
    }

    fn planned(&mut self, now_us: i64, plan: Plan) -> State {
        let mut times = plan.times;
        times.wal_commit_us = now_us - plan.since_us - times.latest_offset_us;
        let batch = self.batch(now_us, plan.file, plan.latest, plan.since_us, times);
        self.start_try(now_us, batch)
    }

    /// Another driver planned this batch: of a higher term, it runs the query; of a lower, its plan is the plan.
    fn adopt_plan(&mut self, now_us: i64, theirs: OffsetsFile) -> State {
        if theirs.term() > self.term {
            let by = theirs.pyrite.as_ref().map(|extra| extra.driver.clone()).unwrap_or_default();
            return self.superseded(&by, theirs.term());
        }
        if let Some(fault) = self.refuse(self.next_batch, &theirs) {
            return self.fail(fault);
        }
        self.run_plan(now_us, theirs)
    }

    /// Runs a plan that stands in the checkpoint already.
    pub(super) fn run_plan(&mut self, now_us: i64, file: OffsetsFile) -> State {
        let file = self.completed(file);
        self.trigger_began(now_us);
        let batch = self.batch(now_us, file, Vec::new(), now_us, Durations::default());
        self.start_try(now_us, batch)
    }

    fn batch(
        &self,
        now_us: i64,
        file: OffsetsFile,
        latest: Vec<Offsets>,
        started_us: i64,
        times: Durations,
    ) -> Box<Batch> {
        Box::new(Batch {
            number: self.next_batch,
            file,
            latest,
            times,
            started_us,
            run_since_us: now_us,
            try_since_us: now_us,
            task_failures: 0,
            unavailable_tries: 0,
            has_lost_one: false,
            unreachable: Default::default(),
        })
    }
}
