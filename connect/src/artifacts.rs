//! The AddArtifacts RPC: takes blobs for plans to come, whole or in chunks. Only data is taken; code and files are
//! refused.

use bytes::{Bytes, BytesMut};
use pyrite_engine::error::SparkError;

use crate::error::invalid_plan;
use crate::session::Session;
use crate::wire::add_artifacts_request::{ArtifactChunk, Payload};
use crate::wire::add_artifacts_response::ArtifactSummary;

/// The prefix of what a plan names by hash.
const CACHE_PREFIX: &str = "cache/";

/// Puts the messages of one call together.
#[derive(Default)]
pub struct Upload {
    open: Option<Open>,
    summaries: Vec<ArtifactSummary>,
}

/// A blob whose chunks are still coming.
struct Open {
    name: String,
    total_bytes: usize,
    chunks_left: i64,
    data: BytesMut,
    intact: bool,
}

impl Upload {
    /// Takes one message.
    ///
    /// # Errors
    /// A name other than data's, chunks out of place, or too much data.
    pub fn message(&mut self, session: &Session, payload: Payload) -> Result<(), SparkError> {
        match payload {
            Payload::Batch(batch) => {
                for artifact in batch.artifacts {
                    let chunk = artifact.data.unwrap_or_default();
                    let intact = is_intact(&chunk);
                    self.store(session, artifact.name, chunk.data, intact)?;
                }
            }
            Payload::BeginChunk(begin) => {
                let first = begin.initial_chunk.unwrap_or_default();
                let mut open = Open {
                    name: begin.name,
                    total_bytes: usize::try_from(begin.total_bytes).unwrap_or(0),
                    chunks_left: begin.num_chunks,
                    data: BytesMut::new(),
                    intact: true,
                };
                open.add(&first)?;
                self.open = Some(open);
            }
            Payload::Chunk(chunk) => {
                let open =
                    self.open.as_mut().ok_or_else(|| invalid_plan("an artifact's chunk comes before its start"))?;
                open.add(&chunk)?;
            }
        }
        if self.open.as_ref().is_some_and(|open| open.chunks_left <= 0)
            && let Some(open) = self.open.take()
        {
            let intact = open.intact && open.data.len() == open.total_bytes;
            self.store(session, open.name, open.data.freeze(), intact)?;
        }
        Ok(())
    }

    /// What was taken, for the answer.
    pub fn finish(self) -> Vec<ArtifactSummary> {
        self.summaries
    }

    fn store(&mut self, session: &Session, name: String, data: Bytes, intact: bool) -> Result<(), SparkError> {
        if !name.starts_with(CACHE_PREFIX) {
            return Err(SparkError::unsupported(format!("`addArtifacts` of `{name}`")));
        }
        // As Spark: a broken blob is not kept, and the client is told.
        if intact {
            session.artifacts.lock().put(name.clone(), data)?;
        }
        self.summaries.push(ArtifactSummary { name, is_crc_successful: intact });
        Ok(())
    }
}

impl Open {
    fn add(&mut self, chunk: &ArtifactChunk) -> Result<(), SparkError> {
        if self.data.len() + chunk.data.len() > self.total_bytes {
            return Err(invalid_plan(format!("the artifact `{}` is larger than announced", self.name)));
        }
        self.intact &= is_intact(chunk);
        self.data.extend_from_slice(&chunk.data);
        self.chunks_left -= 1;
        Ok(())
    }
}

fn is_intact(chunk: &ArtifactChunk) -> bool {
    chunk.crc == i64::from(crc32(&chunk.data))
}

/// CRC-32 as zlib computes it, which is what the client sends.
fn crc32(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in data {
        crc = TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8);
    }
    !crc
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Conf, SessionKey};
    use crate::wire::add_artifacts_request::{Batch, BeginChunkedArtifact, SingleChunkArtifact};

    fn session() -> Session {
        Session::new(SessionKey { user_id: String::new(), session_id: "s".to_owned() }, Conf::default())
    }

    fn chunk(data: &'static [u8]) -> ArtifactChunk {
        ArtifactChunk { data: Bytes::from_static(data), crc: i64::from(crc32(data)) }
    }

    #[test]
    fn the_checksum_is_zlibs() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn chunks_become_one_blob() {
        let session = session();
        let mut upload = Upload::default();
        let begin = BeginChunkedArtifact {
            name: "cache/h".to_owned(),
            total_bytes: 4,
            num_chunks: 2,
            initial_chunk: Some(chunk(b"ab")),
        };
        upload.message(&session, Payload::BeginChunk(begin)).unwrap();
        assert!(!session.artifacts.lock().contains("cache/h"));
        upload.message(&session, Payload::Chunk(chunk(b"cd"))).unwrap();
        assert_eq!(session.artifacts.lock().get("cache/h").unwrap().as_ref(), b"abcd");
        assert!(upload.finish()[0].is_crc_successful);
    }

    #[test]
    fn broken_blobs_are_not_kept_and_code_is_refused() {
        let session = session();
        let mut upload = Upload::default();
        let artifact = |name: &str, data| {
            Payload::Batch(Batch { artifacts: vec![SingleChunkArtifact { name: name.to_owned(), data: Some(data) }] })
        };
        let broken = ArtifactChunk { crc: 1, ..chunk(b"x") };
        upload.message(&session, artifact("cache/x", broken)).unwrap();
        assert!(!session.artifacts.lock().contains("cache/x"));
        assert!(upload.message(&session, artifact("pyfiles/a.py", chunk(b"x"))).is_err());
    }
}
