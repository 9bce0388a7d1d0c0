//! Where a task puts what does not fit into memory: files that others make, for tasks know no disks.

use std::io;

/// Makes files. The executor's lie below its work folder.
pub trait Scratch: Send + Sync {
    /// An empty file, which goes with its last user.
    fn file(&self) -> Result<Box<dyn ScratchFile>, ScratchError>;

    /// Bytes of encoded groups to merge at a time, when a task takes back what it put away.
    fn merge_bytes(&self) -> usize;
}

/// A file that is written from its front to its end, and read where one likes.
pub trait ScratchFile: Send {
    /// Puts bytes at the end.
    fn append(&mut self, bytes: &[u8]) -> Result<(), ScratchError>;

    /// Fills `into` from `offset` on; fewer bytes are an error.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), ScratchError>;

    /// Makes it empty and gives its space back.
    fn clear(&mut self) -> Result<(), ScratchError>;
}

/// The place for what does not fit into memory failed, most often because it is full.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot {action} a temporary file in `{place}`, where a batch keeps what does not fit into memory: make room there, \
     or give executors more memory"
)]
pub struct ScratchError {
    /// Such as `write`.
    pub action: &'static str,
    /// The folder.
    pub place: String,
    /// The cause.
    #[source]
    pub source: io::Error,
}

/// Scratch in memory, whose files can be made to fail: for tests.
#[cfg(test)]
pub(super) mod testing {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts what it makes and what is left of it.
    #[derive(Default)]
    pub struct MemoryScratch {
        pub merge_bytes: usize,
        /// Bytes after which a file is full; 0 for none.
        pub bytes_max: usize,
        pub made: AtomicUsize,
        pub alive: Arc<AtomicUsize>,
    }

    struct MemoryFile {
        bytes: Vec<u8>,
        bytes_max: usize,
        alive: Arc<AtomicUsize>,
    }

    impl Scratch for MemoryScratch {
        fn file(&self) -> Result<Box<dyn ScratchFile>, ScratchError> {
            self.made.fetch_add(1, Ordering::Relaxed);
            self.alive.fetch_add(1, Ordering::Relaxed);
            let bytes_max = if self.bytes_max == 0 { usize::MAX } else { self.bytes_max };
            Ok(Box::new(MemoryFile { bytes: Vec::new(), bytes_max, alive: Arc::clone(&self.alive) }))
        }

        fn merge_bytes(&self) -> usize {
            self.merge_bytes
        }
    }

    impl ScratchFile for MemoryFile {
        fn append(&mut self, bytes: &[u8]) -> Result<(), ScratchError> {
            if self.bytes.len() + bytes.len() > self.bytes_max {
                let source = io::Error::from(io::ErrorKind::StorageFull);
                return Err(ScratchError { action: "write", place: "memory".to_owned(), source });
            }
            self.bytes.extend_from_slice(bytes);
            Ok(())
        }

        fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), ScratchError> {
            let start = offset as usize;
            into.copy_from_slice(&self.bytes[start..start + into.len()]);
            Ok(())
        }

        fn clear(&mut self) -> Result<(), ScratchError> {
            self.bytes.clear();
            Ok(())
        }
    }

    impl Drop for MemoryFile {
        fn drop(&mut self) {
            self.alive.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
