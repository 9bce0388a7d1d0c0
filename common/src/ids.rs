//! Names of things that live longer than one process, each a type of its own, so that the compiler catches swapped
//! arguments. Text ids compare and print as their text; numbers as their number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The id as it is written in logs, URLs and directory names.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether the text can name a directory: letters, digits, `-`, `_` and inner dots only. Ids that come over
            /// the wire and become paths are tested with this first.
            pub fn is_path_safe(&self) -> bool {
                is_path_safe(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The plain number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The number after this one.
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id that nothing else has.
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// The plain UUID.
            pub const fn get(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

text_id!(
    /// A worker daemon: `worker-20261122105800-10.0.0.5-39021`, as Spark's `worker-%s-%s-%d`.
    WorkerId
);
text_id!(
    /// One run of `submit`: `app-20261122105800-0000`, as Spark's `app-%s-%04d`; `local-<ms>` without a master.
    ApplicationId
);
text_id!(
    /// An executor within its application: `0`, `1`, ... never used twice; `driver` for the one inside a local driver.
    ExecutorId
);
number_id!(
    /// A micro-batch of a query, from 0.
    BatchId
);
number_id!(
    /// A driver's claim on a checkpoint; a later driver has a higher one.
    Term
);
number_id!(
    /// A driver's count of tries within its term.
    Epoch
);
uuid_id!(
    /// A query for as long as its checkpoint lives.
    QueryId
);
uuid_id!(
    /// One start of a query.
    RunId
);

impl WorkerId {
    /// The id of a worker that starts at `stamp` (`yyyyMMddHHmmss`) on `host:port`.
    pub fn at(stamp: &str, host: &str, port: u16) -> Self {
        Self(format!("worker-{stamp}-{host}-{port}"))
    }
}

impl ApplicationId {
    /// The id of the application number `number` of a master, registered at `stamp` (`yyyyMMddHHmmss`).
    pub fn numbered(stamp: &str, number: u64) -> Self {
        Self(format!("app-{stamp}-{number:04}"))
    }
}

/// One try of a batch: compared by term, then epoch. On every message, shuffle frame, object name and pending write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The driver's claim.
    pub term: Term,
    /// Its count of tries.
    pub epoch: Epoch,
}

impl AttemptId {
    /// The attempt `(term, epoch)`.
    pub const fn new(term: u64, epoch: u64) -> Self {
        Self { term: Term(term), epoch: Epoch(epoch) }
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.term, self.epoch)
    }
}

impl From<pyrite_proto::executor::AttemptId> for AttemptId {
    fn from(wire: pyrite_proto::executor::AttemptId) -> Self {
        Self::new(wire.term, wire.epoch)
    }
}

impl From<AttemptId> for pyrite_proto::executor::AttemptId {
    fn from(attempt: AttemptId) -> Self {
        Self { term: attempt.term.0, epoch: attempt.epoch.0 }
    }
}

fn is_path_safe(text: &str) -> bool {
    const LENGTH_MAX: usize = 200;
    !text.is_empty()
        && text.len() <= LENGTH_MAX
        && !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_compare_by_term_first() {
        assert!(AttemptId::new(2, 0) > AttemptId::new(1, 99));
        assert!(AttemptId::new(2, 1) > AttemptId::new(2, 0));
        assert_eq!(AttemptId::new(3, 7).to_string(), "3-7");
    }

    #[test]
    fn ids_are_written_as_spark_writes_them() {
        assert_eq!(ApplicationId::numbered("20261122105800", 0).as_str(), "app-20261122105800-0000");
        assert_eq!(WorkerId::at("20261122105800", "h", 9).as_str(), "worker-20261122105800-h-9");
    }

    #[test]
    fn ids_that_leave_their_directory_are_not_path_safe() {
        for bad in ["", "..", ".hidden", "a/b", "a\0b", "a b"] {
            assert!(!ExecutorId::new(bad).is_path_safe(), "{bad:?}");
        }
        assert!(ApplicationId::new("app-20261122105800-0000").is_path_safe());
        assert!(ExecutorId::new("0").is_path_safe());
    }
}
