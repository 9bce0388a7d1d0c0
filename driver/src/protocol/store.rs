//! What the machine asks of the checkpoint, and what it is told back.

use pyrite_common::checkpoint::{
    CommitFile, LogError, MetadataFile, Offsets, OffsetsFile, SourceStartFile, TermFile, names,
};

/// One object of the checkpoint's logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogName {
    Metadata,
    Term(u64),
    SourceStart(u32),
    Offsets(u64),
    Commit(u64),
}

impl LogName {
    /// The object's name in the store.
    pub fn path(self) -> String {
        match self {
            LogName::Metadata => names::METADATA.to_string(),
            LogName::Term(term) => names::term(term),
            LogName::SourceStart(source) => names::source_start(source),
            LogName::Offsets(batch) => names::offsets(batch),
            LogName::Commit(batch) => names::commit(batch),
        }
    }
}

/// What such an object holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    Metadata(MetadataFile),
    Term(TermFile),
    SourceStart(Offsets),
    Offsets(OffsetsFile),
    Commit(CommitFile),
}

impl Body {
    /// Reads the bytes of the named object.
    pub fn parse(name: LogName, bytes: &[u8]) -> Result<Body, LogError> {
        Ok(match name {
            LogName::Metadata => Body::Metadata(MetadataFile::parse(bytes)?),
            LogName::Term(term) => Body::Term(TermFile::parse(term, bytes)?),
            LogName::SourceStart(source) => Body::SourceStart(SourceStartFile::parse(source, bytes)?.offsets),
            LogName::Offsets(batch) => Body::Offsets(OffsetsFile::parse(batch, bytes)?),
            LogName::Commit(batch) => Body::Commit(CommitFile::parse(batch, bytes)?),
        })
    }

    /// The object's text.
    pub fn print(&self) -> String {
        match self {
            Body::Metadata(file) => file.print(),
            Body::Term(file) => file.print(),
            Body::SourceStart(offsets) => SourceStartFile { offsets: offsets.clone() }.print(),
            Body::Offsets(file) => file.print(),
            Body::Commit(file) => file.print(),
        }
    }

    /// Whether the two were written by the same try: the rule that settles a lost reply.
    pub fn is_same_try(&self, other: &Body) -> bool {
        match (self, other) {
            (Body::Metadata(mine), Body::Metadata(theirs)) => mine == theirs,
            (Body::Term(mine), Body::Term(theirs)) => mine.nonce == theirs.nonce,
            (Body::SourceStart(mine), Body::SourceStart(theirs)) => mine == theirs,
            (Body::Offsets(mine), Body::Offsets(theirs)) => {
                matches!((&mine.pyrite, &theirs.pyrite), (Some(a), Some(b)) if a.nonce == b.nonce)
            }
            (Body::Commit(mine), Body::Commit(theirs)) => {
                matches!((&mine.pyrite, &theirs.pyrite), (Some(a), Some(b)) if a.nonce == b.nonce)
            }
            _ => false,
        }
    }
}

/// One operation; its reply carries the same number.
#[derive(Debug, Clone, PartialEq)]
pub enum StoreRequest {
    /// Put-if-absent.
    Create {
        name: LogName,
        body: Body,
    },
    Read {
        name: LogName,
    },
    /// The highest numbers in `terms`, `offsets` and `commits`.
    Survey,
    /// The highest claim, if it is above this one. Those in between may be collected.
    TermAbove(u64),
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum StoreReply {
    Created,
    Exists,
    /// A creation whose outcome nobody knows: time-out, broken connection.
    Uncertain(String),
    /// Boxed: a commit's manifest is large beside the other replies.
    Value(Option<Box<Body>>),
    Surveyed {
        term: u64,
        offsets: Option<u64>,
        commit: Option<u64>,
    },
    TermAbove(Option<(u64, Box<TermFile>)>),
    /// The store could not be reached or refused; trying again may help.
    Failed(String),
    /// What is stored there cannot be read; trying again cannot help.
    Corrupt(String),
}
