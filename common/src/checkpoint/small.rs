//! The small files of a checkpoint: the query's id, the drivers' claims, the first offsets of each source.

use serde::{Deserialize, Serialize};

use super::{LogError, Offsets, names};

/// `metadata`: `{"id": query id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataFile {
    /// The query's, a UUID.
    pub id: String,
}

impl MetadataFile {
    /// Reads the file.
    pub fn parse(bytes: &[u8]) -> Result<MetadataFile, LogError> {
        serde_json::from_slice(bytes).map_err(|error| LogError::new(names::METADATA, error))
    }

    /// The file's text.
    pub fn print(&self) -> String {
        serde_json::to_string(self).expect("one text field")
    }
}

/// `terms/T`: which driver claimed the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TermFile {
    /// A name that is new with each start of a query.
    pub driver: String,
    /// Of this try to write the file: tells one's own from another's when the reply was lost.
    pub nonce: String,
    /// Where the driver runs.
    pub host: String,
    /// Its application's name.
    pub app: String,
    /// Milliseconds since the epoch.
    pub time_ms: i64,
}

impl TermFile {
    /// Reads the claim of `term`.
    pub fn parse(term: u64, bytes: &[u8]) -> Result<TermFile, LogError> {
        serde_json::from_slice(bytes).map_err(|error| LogError::new(&names::term(term), error))
    }

    /// The file's text.
    pub fn print(&self) -> String {
        serde_json::to_string(self).expect("plain fields")
    }
}

/// `sources/k/0`: where a source began, `latest` resolved once for the life of the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStartFile {
    /// Of every partition there was.
    pub offsets: Offsets,
}

impl SourceStartFile {
    /// As Spark's, the file starts with a zero byte before its version line.
    pub fn parse(source: u32, bytes: &[u8]) -> Result<SourceStartFile, LogError> {
        let name = names::source_start(source);
        let text = super::text_after_version(&name, bytes.strip_prefix(&[0]).unwrap_or(bytes))?;
        let offsets = Offsets::parse(text.trim_end()).map_err(|error| LogError::new(&name, error))?;
        Ok(SourceStartFile { offsets })
    }

    /// The file's text.
    pub fn print(&self) -> String {
        format!("\0v1\n{}", self.offsets.print())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_read_as_they_are_written() {
        let metadata = MetadataFile { id: "7d1f".into() };
        assert_eq!(metadata.print(), r#"{"id":"7d1f"}"#);
        assert_eq!(MetadataFile::parse(metadata.print().as_bytes()).unwrap(), metadata);
        let start = SourceStartFile { offsets: Offsets::parse(r#"{"logs":{"0":5}}"#).unwrap() };
        assert_eq!(SourceStartFile::parse(0, start.print().as_bytes()).unwrap(), start);
        assert!(SourceStartFile::parse(1, b"\0v9\n{}").unwrap_err().to_string().contains("sources/1/0"));
        assert!(MetadataFile::parse(b"x").is_err());
    }
}
