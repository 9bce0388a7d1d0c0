//! One request of the machine on the real store.

use std::time::Duration;

use bytes::Bytes;
use pyrite_common::checkpoint::{TermFile, names};
use pyrite_common::error::{Kind, chain};
use pyrite_common::store::{CheckpointStore, Created, StoreError};

use crate::protocol::{Body, LogName, StoreReply, StoreRequest};

/// After that an operation's outcome counts as unknown.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Tries of a read, which is harmless to repeat.
const READ_TRIES: u32 = 4;
const READ_BACKOFF: Duration = Duration::from_millis(100);

/// Performs the request. Never fails: what went wrong is the reply.
pub async fn perform(store: &CheckpointStore, request: StoreRequest) -> StoreReply {
    match request {
        StoreRequest::Create { name, body } => {
            let bytes = Bytes::from(body.print());
            match tokio::time::timeout(TIMEOUT, store.create(&name.path(), bytes)).await {
                Ok(Ok(Created::Created)) => StoreReply::Created,
                Ok(Ok(Created::Exists)) => StoreReply::Exists,
                Ok(Err(error)) => StoreReply::Uncertain(chain(&error)),
                Err(_) => StoreReply::Uncertain(format!("no answer for {} s", TIMEOUT.as_secs())),
            }
        }
        StoreRequest::Read { name } => retried(|| read(store, name)).await,
        StoreRequest::Survey => retried(|| survey(store)).await,
        StoreRequest::TermAbove(term) => retried(|| term_above(store, term)).await,
    }
}

async fn retried<F: Future<Output = Result<StoreReply, StoreError>>>(work: impl Fn() -> F) -> StoreReply {
    let mut problem = String::new();
    for attempt in 0..READ_TRIES {
        if attempt > 0 {
            tokio::time::sleep(READ_BACKOFF * (1 << attempt)).await;
        }
        match tokio::time::timeout(TIMEOUT, work()).await {
            Ok(Ok(reply)) => return reply,
            Ok(Err(error)) => problem = chain(&error),
            Err(_) => problem = format!("no answer for {} s", TIMEOUT.as_secs()),
        }
    }
    StoreReply::Failed(problem)
}

async fn read(store: &CheckpointStore, name: LogName) -> Result<StoreReply, StoreError> {
    match store.get_durable(&name.path()).await {
        Ok(bytes) => Ok(match Body::parse(name, &bytes) {
            Ok(body) => StoreReply::Value(Some(Box::new(body))),
            Err(error) => StoreReply::Corrupt(error.to_string()),
        }),
        Err(error) if error.kind() == Kind::NotFound => Ok(StoreReply::Value(None)),
        Err(error) => Err(error),
    }
}

async fn survey(store: &CheckpointStore) -> Result<StoreReply, StoreError> {
    let (terms, offsets, commits) =
        tokio::try_join!(store.list(names::TERMS), store.list(names::OFFSETS), store.list(names::COMMITS))?;
    Ok(StoreReply::Surveyed {
        term: names::highest(names::TERMS, &terms).unwrap_or(0),
        offsets: names::highest(names::OFFSETS, &offsets),
        commit: names::highest(names::COMMITS, &commits),
    })
}

async fn term_above(store: &CheckpointStore, term: u64) -> Result<StoreReply, StoreError> {
    let highest = names::highest(names::TERMS, &store.list(names::TERMS).await?).filter(|highest| *highest > term);
    let Some(highest) = highest else { return Ok(StoreReply::TermAbove(None)) };
    let bytes = store.get(&names::term(highest)).await?;
    Ok(match TermFile::parse(highest, &bytes) {
        Ok(claim) => StoreReply::TermAbove(Some((highest, Box::new(claim)))),
        Err(error) => StoreReply::Corrupt(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use pyrite_common::checkpoint::MetadataFile;

    use super::*;

    #[tokio::test]
    async fn requests_are_answered_from_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::open(folder.path().to_str().unwrap()).unwrap();
        let metadata = Body::Metadata(MetadataFile { id: "x".into() });
        let create = StoreRequest::Create { name: LogName::Metadata, body: metadata.clone() };
        assert_eq!(perform(&store, create.clone()).await, StoreReply::Created);
        assert_eq!(perform(&store, create).await, StoreReply::Exists);
        let read = perform(&store, StoreRequest::Read { name: LogName::Metadata }).await;
        assert_eq!(read, StoreReply::Value(Some(Box::new(metadata))));
        assert_eq!(perform(&store, StoreRequest::Read { name: LogName::Commit(0) }).await, StoreReply::Value(None));
        let term = TermFile { driver: "d".into(), nonce: "n".into(), host: "h".into(), app: "a".into(), time_ms: 1 };
        perform(&store, StoreRequest::Create { name: LogName::Term(3), body: Body::Term(term.clone()) }).await;
        let above = perform(&store, StoreRequest::TermAbove(1)).await;
        assert_eq!(above, StoreReply::TermAbove(Some((3, Box::new(term)))));
        assert_eq!(perform(&store, StoreRequest::TermAbove(3)).await, StoreReply::TermAbove(None));
        let surveyed = perform(&store, StoreRequest::Survey).await;
        assert_eq!(surveyed, StoreReply::Surveyed { term: 3, offsets: None, commit: None });
        std::fs::create_dir(folder.path().join("offsets")).unwrap();
        std::fs::write(folder.path().join("offsets/0"), "v1\nrubbish").unwrap();
        let read = perform(&store, StoreRequest::Read { name: LogName::Offsets(0) }).await;
        assert!(matches!(read, StoreReply::Corrupt(message) if message.contains("offsets/0")));
    }
}
