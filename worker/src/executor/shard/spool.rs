//! A changelog section that outgrew memory: its entries in a temporary file, until the object is written.

use std::io::{Error, Write};

use pyrite_engine::task::{ScratchError, ScratchFile};

use crate::executor::scratch::TemporaryFile;

/// Bytes that are read at a time.
const COPY_BYTES: usize = 256 * 1024;

/// Entries in the order of their keys, as a section has them.
#[derive(Debug)]
pub struct Spool {
    file: TemporaryFile,
    length: u64,
    crc: u32,
}

impl Spool {
    /// An empty one in `file`.
    pub fn new(file: TemporaryFile) -> Self {
        Self { file, length: 0, crc: 0 }
    }

    /// Adds encoded entries.
    pub fn append(&mut self, entries: &[u8]) -> Result<(), ScratchError> {
        self.file.append(entries)?;
        self.crc = crc32c::crc32c_append(self.crc, entries);
        self.length += entries.len() as u64;
        Ok(())
    }

    /// Bytes in it.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Their CRC-32C.
    pub fn crc(&self) -> u32 {
        self.crc
    }

    /// Writes all of it, a piece at a time; fails when the file does not give back what was put in.
    pub fn copy_to(&self, out: &mut dyn Write) -> Result<(), Error> {
        let mut piece = vec![0; COPY_BYTES];
        let (mut at, mut crc) = (0, 0);
        while at < self.length {
            let piece = &mut piece[..COPY_BYTES.min((self.length - at) as usize)];
            self.file.read(at, piece).map_err(Error::other)?;
            crc = crc32c::crc32c_append(crc, piece);
            out.write_all(piece)?;
            at += piece.len() as u64;
        }
        if crc == self.crc { Ok(()) } else { Err(Error::other("a temporary file has changed its content")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::scratch::ScratchFolder;

    #[test]
    fn what_was_spooled_comes_back_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = Spool::new(ScratchFolder::new(folder.path(), 1).temporary().expect("made"));
        let bytes: Vec<u8> = (0..3 * COPY_BYTES + 5).map(|number| number as u8).collect();
        bytes.chunks(1000).for_each(|piece| spool.append(piece).expect("written"));
        let mut copy = Vec::new();
        spool.copy_to(&mut copy).expect("read");
        assert!(copy == bytes);
        assert_eq!((spool.length(), spool.crc()), (bytes.len() as u64, crc32c::crc32c(&bytes)));
    }
}
