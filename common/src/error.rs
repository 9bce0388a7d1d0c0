//! The six kinds of failure, and everything that follows from a kind: gRPC status, HTTP status, retry. Each failure
//! domain has an error enum of its own with a `kind()`; nothing else decides whether to try again.

use std::error::Error as StdError;
use std::fmt::Write;

use tonic::{Code, Status};

/// What sort of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The caller asked for what can never work: bad input, unknown option, wrong secret.
    Invalid,
    /// What was named is not there.
    NotFound,
    /// The caller has been replaced: an older term, epoch or incarnation.
    Stale,
    /// Something outside did not answer; trying again may help.
    Unavailable,
    /// Stored bytes are not what was written.
    Corrupt,
    /// Our own mistake, or a local resource failed.
    Internal,
}

impl Kind {
    /// Whether the same request may succeed later.
    pub fn is_retryable(self) -> bool {
        match self {
            Kind::Unavailable => true,
            Kind::Invalid | Kind::NotFound | Kind::Stale | Kind::Corrupt | Kind::Internal => false,
        }
    }

    /// The gRPC status code that tells it.
    pub fn grpc_code(self) -> Code {
        match self {
            Kind::Invalid => Code::InvalidArgument,
            Kind::NotFound => Code::NotFound,
            Kind::Stale => Code::FailedPrecondition,
            Kind::Unavailable => Code::Unavailable,
            Kind::Corrupt => Code::DataLoss,
            Kind::Internal => Code::Internal,
        }
    }

    /// The HTTP status that tells it.
    pub fn http_status(self) -> http::StatusCode {
        match self {
            Kind::Invalid => http::StatusCode::BAD_REQUEST,
            Kind::NotFound => http::StatusCode::NOT_FOUND,
            Kind::Stale => http::StatusCode::CONFLICT,
            Kind::Unavailable => http::StatusCode::SERVICE_UNAVAILABLE,
            Kind::Corrupt | Kind::Internal => http::StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The status with this kind's code.
    pub fn status(self, message: impl Into<String>) -> Status {
        Status::new(self.grpc_code(), message)
    }

    /// The kind that a received status tells.
    pub fn of_status(status: &Status) -> Kind {
        match status.code() {
            Code::InvalidArgument
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::AlreadyExists => Kind::Invalid,
            Code::NotFound => Kind::NotFound,
            Code::FailedPrecondition | Code::Aborted => Kind::Stale,
            // What a broken connection looks like differs between layers: `Unknown` and `Cancelled` are among it.
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Unknown | Code::Cancelled => {
                Kind::Unavailable
            }
            Code::DataLoss => Kind::Corrupt,
            Code::Internal | Code::Ok => Kind::Internal,
        }
    }
}

/// An error and its causes on one line, `: ` between them; a cause that repeats the text before it is left out.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            write!(text, ": {inner_text}").expect("writing to a string does not fail");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_survives_the_wire() {
        for kind in [Kind::Invalid, Kind::NotFound, Kind::Stale, Kind::Unavailable, Kind::Corrupt, Kind::Internal] {
            assert_eq!(Kind::of_status(&kind.status("text")), kind);
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("outer failed")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_printed_once() {
        let error = Outer(std::io::Error::other("disk is full"));
        assert_eq!(chain(&error), "outer failed: disk is full");
    }
}
