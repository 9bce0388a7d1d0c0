//! One put-if-absent through lost replies: create, and when in doubt read back whose body stands there.

use super::store::{Body, LogName, StoreReply, StoreRequest};

/// Tries of one write before the store counts as refusing.
const TRIES_MAX: u32 = 6;
const BACKOFF_FIRST_US: i64 = 50_000;
/// No driver claims a checkpoint and runs as many batches as it retains in less.
pub(super) const DOUBT_US: i64 = 100_000;

/// A creation under way.
#[derive(Debug)]
pub(super) struct Write {
    name: LogName,
    body: Body,
    tries: u32,
    since_us: i64,
    /// Set while waiting to try again.
    pub retry_at_us: Option<i64>,
    last_problem: String,
}

/// What a reply led to.
#[derive(Debug, PartialEq)]
pub(super) enum Progress {
    /// Ask this next.
    Ask(StoreRequest),
    /// Nothing now: call [`Write::retry`] at that time.
    RetryAt(i64),
    /// The object is ours.
    Won,
    /// The object is another's, and this is it.
    Lost(Body),
    Failed(String),
}

impl Write {
    /// The write and its first request.
    pub(super) fn start(now_us: i64, name: LogName, body: Body) -> (Write, StoreRequest) {
        let ask = StoreRequest::Create { name, body: body.clone() };
        (Write { name, body, tries: 1, since_us: now_us, retry_at_us: None, last_problem: String::new() }, ask)
    }

    pub(super) fn on_reply(&mut self, now_us: i64, reply: StoreReply) -> Progress {
        match reply {
            StoreReply::Created => Progress::Won,
            StoreReply::Exists => Progress::Ask(StoreRequest::Read { name: self.name }),
            StoreReply::Uncertain(problem) => {
                self.last_problem = problem;
                Progress::Ask(StoreRequest::Read { name: self.name })
            }
            StoreReply::Value(Some(found)) if self.body.is_same_try(&found) => Progress::Won,
            StoreReply::Value(Some(found)) => Progress::Lost(*found),
            StoreReply::Value(None) => self.again(now_us),
            StoreReply::Failed(problem) => {
                self.last_problem = problem;
                self.again(now_us)
            }
            StoreReply::Corrupt(problem) => Progress::Failed(problem),
            StoreReply::Surveyed { .. } | StoreReply::TermAbove(_) => unreachable!("a write asks for no survey"),
        }
    }

    /// Whether, in the time it took, another driver can have claimed the checkpoint, gone on, and collected the object
    /// that would have stood in the way of this one.
    pub(super) fn took_long(&self, now_us: i64) -> bool {
        now_us - self.since_us > DOUBT_US
    }

    /// What was written, once it is won.
    pub(super) fn into_body(self) -> Body {
        self.body
    }

    /// The request to send when the waiting time is over.
    pub(super) fn retry(&mut self) -> StoreRequest {
        self.retry_at_us = None;
        StoreRequest::Create { name: self.name, body: self.body.clone() }
    }

    fn again(&mut self, now_us: i64) -> Progress {
        if self.tries >= TRIES_MAX {
            return Progress::Failed(format!("cannot write `{}`: {}", self.name.path(), self.last_problem));
        }
        let at = now_us + (BACKOFF_FIRST_US << (self.tries - 1));
        self.tries += 1;
        self.retry_at_us = Some(at);
        Progress::RetryAt(at)
    }
}

#[cfg(test)]
mod tests {
    use pyrite_common::checkpoint::TermFile;

    use super::*;

    fn term(nonce: &str) -> Body {
        let file = TermFile { driver: "d".into(), nonce: nonce.into(), host: "h".into(), app: "a".into(), time_ms: 0 };
        Body::Term(file)
    }

    fn value(body: Body) -> StoreReply {
        StoreReply::Value(Some(Box::new(body)))
    }

    #[test]
    fn a_lost_reply_is_settled_by_the_nonce() {
        let (mut write, _) = Write::start(0, LogName::Term(1), term("mine"));
        let read = Progress::Ask(StoreRequest::Read { name: LogName::Term(1) });
        assert_eq!(write.on_reply(0, StoreReply::Uncertain("timed out".into())), read);
        assert_eq!(write.on_reply(0, value(term("mine"))), Progress::Won);
        let (mut write, _) = Write::start(0, LogName::Term(1), term("mine"));
        assert_eq!(write.on_reply(0, StoreReply::Exists), read);
        assert_eq!(write.on_reply(0, value(term("theirs"))), Progress::Lost(term("theirs")));
    }

    #[test]
    fn a_write_that_never_arrived_is_tried_again_then_given_up() {
        let (mut write, _) = Write::start(0, LogName::Term(1), term("mine"));
        let mut tries = 0;
        loop {
            write.on_reply(0, StoreReply::Uncertain("no space".into()));
            match write.on_reply(0, StoreReply::Value(None)) {
                Progress::RetryAt(_) => tries += 1,
                Progress::Failed(message) => {
                    assert!(message.contains("terms/1") && message.contains("no space"), "{message}");
                    break;
                }
                other => panic!("unexpected {other:?}"),
            }
            write.retry();
        }
        assert_eq!(tries, TRIES_MAX - 1);
    }
}
