//! CLAIM: the query's id, and a term above all others.

use pyrite_common::checkpoint::{MetadataFile, TermFile};

use super::event::{Event, Fault};
use super::machine::QueryMachine;
use super::state::{Claim, Recover, State};
use super::store::{Body, LogName, StoreReply, StoreRequest};
use super::write::{Progress, Write};

impl QueryMachine {
    pub(super) fn on_claim(&mut self, now_us: i64, claim: Claim, event: Event) -> State {
        let reply = match (event, claim) {
            (Event::Start, Claim::Waiting) => {
                self.ask(StoreRequest::Read { name: LogName::Metadata });
                return State::Claim(Claim::ReadMetadata);
            }
            (Event::Store { reply, .. }, claim) => (claim, reply),
            (Event::Wake, claim) => return self.retry_claim(now_us, claim),
            (_, claim) => return State::Claim(claim),
        };
        match reply {
            (Claim::ReadMetadata, StoreReply::Value(Some(body))) => self.adopt_metadata(*body),
            (Claim::ReadMetadata, StoreReply::Value(None)) => {
                self.ask(StoreRequest::Survey);
                State::Claim(Claim::SurveyForMetadata)
            }
            (Claim::SurveyForMetadata, StoreReply::Surveyed { offsets: None, commit: None, .. }) => {
                let body = Body::Metadata(MetadataFile { id: self.spec.new_query_id.clone() });
                let (write, ask) = Write::start(now_us, LogName::Metadata, body);
                self.ask(ask);
                State::Claim(Claim::CreateMetadata(write))
            }
            (Claim::SurveyForMetadata, StoreReply::Surveyed { .. }) => {
                let message =
                    "the checkpoint has offsets or commits but no `metadata` file: it is damaged or not a checkpoint";
                self.fail(Fault::classed("STREAMING_CHECKPOINT_MISSING_METADATA_FILE", "42K03", message))
            }
            (Claim::SurveyTerms, StoreReply::Surveyed { term, .. }) => self.claim_term(now_us, term + 1),
            (Claim::CreateMetadata(mut write), reply) => match write.on_reply(now_us, reply) {
                Progress::Won => {
                    let id = self.spec.new_query_id.clone();
                    self.adopt_metadata(Body::Metadata(MetadataFile { id }))
                }
                Progress::Lost(body) => self.adopt_metadata(body),
                Progress::Failed(problem) => self.fail(Fault::new(problem)),
                other => {
                    self.go_on_writing(other);
                    State::Claim(Claim::CreateMetadata(write))
                }
            },
            (Claim::CreateTerm(term, mut write), reply) => match write.on_reply(now_us, reply) {
                Progress::Won => {
                    self.term = term;
                    self.ask(StoreRequest::Survey);
                    State::Recover(Recover::Survey)
                }
                Progress::Lost(_) => self.claim_term(now_us, term + 1),
                Progress::Failed(problem) => self.fail(Fault::new(problem)),
                other => {
                    self.go_on_writing(other);
                    State::Claim(Claim::CreateTerm(term, write))
                }
            },
            (_, reply) => self.unexpected(reply),
        }
    }

    fn adopt_metadata(&mut self, body: Body) -> State {
        let Body::Metadata(file) = body else {
            unreachable!("the name decides what a body is");
        };
        self.query_id = Some(file.id);
        self.ask(StoreRequest::Survey);
        State::Claim(Claim::SurveyTerms)
    }

    fn claim_term(&mut self, now_us: i64, term: u64) -> State {
        let body = Body::Term(TermFile {
            driver: self.spec.driver.clone(),
            nonce: self.nonce(),
            host: self.spec.host.clone(),
            app: self.spec.app.clone(),
            time_ms: now_us.div_euclid(1000),
        });
        let (write, ask) = Write::start(now_us, LogName::Term(term), body);
        self.ask(ask);
        State::Claim(Claim::CreateTerm(term, write))
    }

    fn retry_claim(&mut self, now_us: i64, mut claim: Claim) -> State {
        if let Claim::CreateMetadata(write) | Claim::CreateTerm(_, write) = &mut claim {
            self.retry_when_due(now_us, write);
        }
        State::Claim(claim)
    }

    /// Does what a write that is neither won nor lost wants next.
    pub(super) fn go_on_writing(&mut self, progress: Progress) {
        match progress {
            Progress::Ask(ask) => self.ask(ask),
            Progress::RetryAt(at_us) => self.act(super::Action::Wake { at_us }),
            Progress::Won | Progress::Lost(_) | Progress::Failed(_) => {
                unreachable!("the caller takes these itself")
            }
        }
    }

    /// Sends a write again when its waiting time is over.
    pub(super) fn retry_when_due(&mut self, now_us: i64, write: &mut Write) {
        if write.retry_at_us.is_some_and(|at_us| now_us >= at_us) {
            let ask = write.retry();
            self.ask(ask);
        }
    }
}
