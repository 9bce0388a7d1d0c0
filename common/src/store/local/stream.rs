//! Objects that are written and read piece by piece: what one batch changed may be larger than memory.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};

use super::LocalStore;
use crate::store::StoreError;

/// Small writes are gathered to so many bytes.
const BUFFER_BYTES: usize = 64 * 1024;

impl LocalStore {
    /// As `put`; `fill` writes the bytes.
    pub(in crate::store) fn put_from<T>(
        &self,
        name: &str,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<T>,
    ) -> Result<T, StoreError> {
        let path = self.path(name)?;
        let folder = path.parent().expect("an object's path is below the root");
        let failed = |source| StoreError::Io { action: "write", path: path.clone(), source };
        let (file, temporary) = self.open_temporary(folder, &path)?;
        let written = write_through(file, fill).map_err(failed);
        let linked = written.and_then(|filled| match fs::hard_link(&temporary, &path) {
            Ok(()) => Ok(filled),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(StoreError::Rewrite { name: name.to_string() })
            }
            Err(source) => Err(failed(source)),
        });
        let _ = fs::remove_file(&temporary);
        let filled = linked?;
        self.sync_folder(folder)?;
        Ok(filled)
    }

    /// The object's file, for reading.
    pub(in crate::store) fn open(&self, name: &str) -> Result<File, StoreError> {
        let path = self.path(name)?;
        File::open(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => StoreError::NotFound { name: name.to_string() },
            _ => StoreError::Io { action: "read", path, source },
        })
    }
}

fn write_through<T>(file: File, fill: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> io::Result<T> {
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, file);
    let filled = fill(&mut buffered)?;
    buffered.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path().to_path_buf());
        let failed = store.put_from("a/b", |out| {
            out.write_all(&vec![1; 3 * BUFFER_BYTES])?;
            Err::<(), _>(io::Error::other("it ends here"))
        });
        assert!(matches!(failed, Err(StoreError::Io { action: "write", .. })));
        assert!(matches!(store.open("a/b"), Err(StoreError::NotFound { .. })));
        let lengths: Vec<usize> = vec![1, BUFFER_BYTES, 7, 3 * BUFFER_BYTES];
        let write =
            |out: &mut dyn Write| lengths.iter().try_for_each(|length| out.write_all(&vec![*length as u8; *length]));
        store.put_from("a/b", write).unwrap();
        let bytes: Vec<u8> = lengths.iter().flat_map(|length| vec![*length as u8; *length]).collect();
        assert!(store.get("a/b").unwrap() == bytes);
        assert!(matches!(store.put_from("a/b", |_| Ok(())), Err(StoreError::Rewrite { .. })));
        assert!(store.get("a/b").unwrap() == bytes);
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 1, "no temporary file is left");
    }
}
