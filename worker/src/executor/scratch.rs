//! Temporary files for what does not fit into memory, below the executor's work folder.
//!
//! They have no names: the system gives their space back when the last handle is closed, also when the process is
//! killed.

use std::fs::File;
use std::io::{Error, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use pyrite_engine::task::{Scratch, ScratchError, ScratchFile};

/// Makes temporary files in one folder.
#[derive(Clone, Debug)]
pub struct ScratchFolder {
    folder: PathBuf,
    merge_bytes: usize,
}

/// A file without a name.
#[derive(Debug)]
pub struct TemporaryFile {
    file: File,
    folder: PathBuf,
}

impl ScratchFolder {
    /// Files go into `folder`; tasks take `merge_bytes` back at a time.
    pub fn new(folder: &Path, merge_bytes: usize) -> Self {
        Self { folder: folder.to_owned(), merge_bytes }
    }

    /// A new file.
    pub fn temporary(&self) -> Result<TemporaryFile, ScratchError> {
        let failed = |source| failure("make", &self.folder, source);
        let file = tempfile::tempfile_in(&self.folder).map_err(failed)?;
        Ok(TemporaryFile { file, folder: self.folder.clone() })
    }
}

impl Scratch for ScratchFolder {
    fn file(&self) -> Result<Box<dyn ScratchFile>, ScratchError> {
        Ok(Box::new(self.temporary()?))
    }

    fn merge_bytes(&self) -> usize {
        self.merge_bytes
    }
}

impl ScratchFile for TemporaryFile {
    fn append(&mut self, bytes: &[u8]) -> Result<(), ScratchError> {
        self.file.write_all(bytes).map_err(|source| failure("write", &self.folder, source))
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), ScratchError> {
        self.file.read_exact_at(into, offset).map_err(|source| failure("read", &self.folder, source))
    }

    fn clear(&mut self) -> Result<(), ScratchError> {
        let cleared = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        cleared.map(drop).map_err(|source| failure("clear", &self.folder, source))
    }
}

fn failure(action: &'static str, folder: &Path, source: Error) -> ScratchError {
    ScratchError { action, place: folder.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_hold_what_is_appended_and_leave_no_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = ScratchFolder::new(folder.path(), 1).file().expect("made");
        file.append(b"abc").expect("written");
        file.append(b"def").expect("written");
        let mut middle = [0; 3];
        file.read(2, &mut middle).expect("there");
        assert_eq!(&middle, b"cde");
        assert!(file.read(4, &mut middle).is_err(), "beyond the end");
        file.clear().expect("cleared");
        file.append(b"xyz").expect("written");
        file.read(0, &mut middle).expect("there");
        assert_eq!(&middle, b"xyz");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0);
    }

    #[test]
    fn a_folder_that_takes_no_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let gone = folder.path().join("gone");
        let error = ScratchFolder::new(&gone, 1).temporary().expect_err("it is not there");
        assert!(error.to_string().contains(&gone.display().to_string()), "{error}");
    }
}
