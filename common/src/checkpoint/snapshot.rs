//! The manifest of a snapshot: which files make up the state of a shard at a committed version.
//!
//! Executors write it and read it back; the driver reads it to know which files a snapshot still needs. Files are named
//! by their content, so that snapshots share what did not change between them.

use serde::{Deserialize, Serialize};

use super::{AttemptId, LogError};

/// What a snapshot consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotManifest {
    /// Of this layout.
    pub layout: u32,
    pub operator: u32,
    /// The shard's number when it was made.
    pub shard: u32,
    pub first_bucket: u16,
    pub last_bucket: u16,
    /// The version's batch.
    pub batch: u64,
    /// The version's attempt.
    pub attempt: AttemptId,
    /// Of the keys and values.
    pub codec: u32,
    /// Keys in it.
    pub rows_total: u64,
    /// The database's files; none: empty.
    pub files: Vec<SnapshotFile>,
}

/// One file of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// Its name in the database's folder.
    pub file: String,
    /// The object with its bytes.
    pub object: String,
    /// Bytes.
    pub length: u64,
    /// CRC-32C.
    pub crc: u32,
}

impl SnapshotManifest {
    /// Reads the manifest of that name.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<SnapshotManifest, LogError> {
        serde_json::from_slice(bytes).map_err(|error| LogError::new(name, error))
    }

    /// The manifest's text.
    pub fn print(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest has plain fields")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_is_written() {
        let file =
            SnapshotFile { file: "000009.sst".into(), object: "state/snap/0/files/ab-3.sst".into(), length: 3, crc: 7 };
        let manifest = SnapshotManifest {
            layout: 1,
            operator: 0,
            shard: 2,
            first_bucket: 512,
            last_bucket: 1023,
            batch: 41,
            attempt: AttemptId::new(2, 5),
            codec: 1,
            rows_total: 9,
            files: vec![file],
        };
        assert_eq!(SnapshotManifest::parse("m", &manifest.print()), Ok(manifest));
        let error = SnapshotManifest::parse("state/snap/0/2/41-2-5/manifest", b"{").unwrap_err();
        assert!(error.to_string().contains("state/snap/0/2/41-2-5/manifest"), "{error}");
    }
}
