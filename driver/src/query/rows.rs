//! Rows that executors sent for the driver's sink, kept apart by attempt until one of them is published.
//!
//! They are kept as they came, Arrow IPC: in memory up to a budget, behind that in a file of the attempt. The file has
//! no name, so that it is gone with its attempt, and with the driver however that ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::record_batch::RecordBatch;
use pyrite_common::checkpoint::AttemptId;

use crate::analysis::Attribute;
use crate::executors::OutputRows;

/// Bytes of rows that one query keeps in memory.
const MEMORY_MAX: usize = 64 << 20;

/// Rows that cannot be kept: their attempt cannot be published.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot keep the rows of batch {batch} in a file in `{}`; make room there, or set `TMPDIR` to another folder",
    folder.display()
)]
pub(super) struct SpoolError {
    batch: u64,
    folder: PathBuf,
    #[source]
    source: io::Error,
}

/// The rows of attempts that are not out yet.
#[derive(Debug)]
pub(super) struct Collected {
    folder: PathBuf,
    memory_max: usize,
    memory: usize,
    attempts: BTreeMap<AttemptId, Spool>,
    /// Attempts up to this one are over: what still comes of them is not kept.
    over: Option<AttemptId>,
}

impl Default for Collected {
    fn default() -> Collected {
        Collected::new(std::env::temp_dir(), MEMORY_MAX)
    }
}

/// One attempt's rows.
#[derive(Debug, Default)]
struct Spool {
    shards: BTreeMap<u32, Vec<Part>>,
    memory: usize,
    file: Option<Arc<File>>,
    file_bytes: u64,
    /// Some could not be kept.
    is_broken: bool,
}

/// One IPC stream.
#[derive(Debug)]
enum Part {
    Memory(Bytes),
    File { offset: u64, length: usize },
}

impl Collected {
    fn new(folder: PathBuf, memory_max: usize) -> Collected {
        Collected { folder, memory_max, memory: 0, attempts: BTreeMap::new(), over: None }
    }

    /// Keeps rows. After an error the attempt has none and keeps none; nothing more is said of it.
    pub(super) async fn add(&mut self, rows: OutputRows) -> Result<(), SpoolError> {
        let OutputRows { batch, attempt, shard, ipc, room: _room } = rows;
        if self.over.is_some_and(|over| attempt <= over) {
            return Ok(());
        }
        let spool = self.attempts.entry(attempt).or_default();
        if spool.is_broken {
            return Ok(());
        }
        let length = ipc.len();
        if self.memory + length <= self.memory_max {
            self.memory += length;
            spool.memory += length;
            spool.shards.entry(shard).or_default().push(Part::Memory(ipc));
            return Ok(());
        }
        let (file, offset, folder) = (spool.file.clone(), spool.file_bytes, self.folder.clone());
        let written = tokio::task::spawn_blocking(move || write(file, &folder, offset, &ipc)).await;
        match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(file) => {
                spool.file = Some(file);
                spool.file_bytes += length as u64;
                spool.shards.entry(shard).or_default().push(Part::File { offset, length });
                Ok(())
            }
            Err(source) => {
                self.memory -= spool.memory;
                *spool = Spool { is_broken: true, ..Spool::default() };
                Err(SpoolError { batch, folder: self.folder.clone(), source })
            }
        }
    }

    /// The rows of exactly this attempt, by shard and then as they came.
    pub(super) fn take(&mut self, attempt: AttemptId) -> SpooledRows {
        let spool = self.attempts.remove(&attempt).unwrap_or_default();
        self.memory -= spool.memory;
        SpooledRows { parts: spool.shards.into_values().flatten().collect(), file: spool.file }
    }

    /// Forgets an attempt and all before it.
    pub(super) fn drop_through(&mut self, attempt: AttemptId) {
        self.over = self.over.max(Some(attempt));
        self.attempts.retain(|other, _| *other > attempt);
        self.memory = self.attempts.values().map(|spool| spool.memory).sum();
    }
}

/// Writes behind what the file holds; there is none before the first time.
fn write(file: Option<Arc<File>>, folder: &Path, offset: u64, bytes: &[u8]) -> io::Result<Arc<File>> {
    let file = match file {
        Some(file) => file,
        None => Arc::new(tempfile::tempfile_in(folder)?),
    };
    file.write_all_at(bytes, offset)?;
    Ok(file)
}

/// The rows of one attempt. Reading them blocks.
#[derive(Debug, Default)]
pub(super) struct SpooledRows {
    parts: Vec<Part>,
    file: Option<Arc<File>>,
}

impl SpooledRows {
    /// Decodes the rows one batch at a time; their columns have internal names.
    pub(super) fn batches(self) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send + use<> {
        let SpooledRows { parts, file } = self;
        parts.into_iter().flat_map(move |part| match read(part, file.as_deref()) {
            Ok(reader) => Decoded::Batches(Box::new(reader)),
            Err(error) => Decoded::Failed(Some(error)),
        })
    }
}

fn read(part: Part, file: Option<&File>) -> Result<StreamReader<Cursor<Bytes>>, ArrowError> {
    let ipc = match (part, file) {
        (Part::Memory(ipc), _) => ipc,
        (Part::File { offset, length }, Some(file)) => {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, offset)?;
            Bytes::from(bytes)
        }
        (Part::File { .. }, None) => unreachable!("a part in a file has a file"),
    };
    StreamReader::try_new(Cursor::new(ipc), None)
}

/// One part's batches, or why there are none.
enum Decoded {
    Batches(Box<StreamReader<Cursor<Bytes>>>),
    Failed(Option<ArrowError>),
}

impl Iterator for Decoded {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Decoded::Batches(reader) => reader.next(),
            Decoded::Failed(error) => error.take().map(Err),
        }
    }
}

/// The sink's schema: Spark's names. Columns stay in place.
pub(super) fn spark_schema(output: &[Attribute]) -> SchemaRef {
    let fields = output.iter().map(|attribute| Field::new(&attribute.name, attribute.data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{AsArray as _, Int64Array};
    use datafusion::arrow::datatypes::{DataType, Int64Type};
    use datafusion::arrow::ipc::writer::StreamWriter;

    use super::*;

    fn ipc(value: i64) -> Bytes {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(vec![value; 4]))]).unwrap();
        let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
        writer.write(&batch).unwrap();
        Bytes::from(writer.into_inner().unwrap())
    }

    fn rows(epoch: u64, shard: u32, value: i64) -> OutputRows {
        OutputRows { batch: 7, attempt: AttemptId::new(1, epoch), shard, ipc: ipc(value), room: None }
    }

    fn values(rows: SpooledRows) -> Vec<i64> {
        rows.batches().map(|batch| batch.unwrap().column(0).as_primitive::<Int64Type>().value(0)).collect()
    }

    #[tokio::test]
    async fn rows_beyond_the_budget_come_back_from_the_file_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut collected = Collected::new(folder.path().to_path_buf(), ipc(0).len() * 3);
        for value in 0..20 {
            let shard = u32::try_from(value % 2).unwrap();
            collected.add(rows(1, 1 - shard, value)).await.unwrap();
        }
        collected.add(rows(2, 0, 77)).await.unwrap();
        assert!(collected.memory <= collected.memory_max);
        assert_eq!(collected.attempts[&AttemptId::new(1, 1)].file_bytes, ipc(0).len() as u64 * 17);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name to be left behind");
        let expected: Vec<i64> =
            (0..20).filter(|value| value % 2 == 1).chain((0..20).filter(|value| value % 2 == 0)).collect();
        assert_eq!(values(collected.take(AttemptId::new(1, 1))), expected);
        assert_eq!(collected.memory, 0);
        assert_eq!(values(collected.take(AttemptId::new(1, 2))), [77]);
    }

    #[tokio::test]
    async fn rows_of_attempts_that_are_over_are_not_kept() {
        let mut collected = Collected::default();
        for epoch in 1..4 {
            collected.add(rows(epoch, 0, 5)).await.unwrap();
        }
        collected.drop_through(AttemptId::new(1, 2));
        collected.add(rows(1, 0, 6)).await.unwrap();
        assert_eq!((collected.attempts.len(), collected.memory), (1, ipc(5).len()));
        assert_eq!(values(collected.take(AttemptId::new(1, 2))), Vec::<i64>::new());
        assert_eq!(values(collected.take(AttemptId::new(1, 3))), [5]);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_breaks_its_attempt_alone() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let mut collected = Collected::new(gone.clone(), ipc(0).len());
        collected.add(rows(1, 0, 1)).await.unwrap();
        let error = collected.add(rows(1, 0, 2)).await.unwrap_err();
        assert!(error.to_string().contains("batch 7") && error.to_string().contains("gone"), "{error}");
        collected.add(rows(1, 0, 3)).await.unwrap();
        assert_eq!((collected.memory, values(collected.take(AttemptId::new(1, 1)))), (0, vec![]));
        std::fs::create_dir(&gone).unwrap();
        collected.add(rows(2, 0, 4)).await.unwrap();
        collected.add(rows(2, 0, 5)).await.unwrap();
        assert_eq!(values(collected.take(AttemptId::new(1, 2))), [4, 5]);
    }
}
