//! How the shards' databases are set up: one cache, one bound of write buffers and one set of background threads for
//! all of them.
//!
//! There is no write-ahead log: the changelog in the checkpoint is the log, and a database that a process leaves
//! behind is deleted, for nobody knows its version.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, DEFAULT_COLUMN_FAMILY_NAME, Env, LogLevel,
    Options, WriteBufferManager, WriteOptions,
};

/// Write buffer of one shard; the manager below bounds their sum.
const WRITE_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// A write buffer takes memory in such pieces. Small ones: an executor may have hundreds of shards, and what they take
/// counts against the manager's bound whether it is used or not.
const ARENA_BLOCK_BYTES: usize = 32 * 1024;
/// The part of a write buffer that its own filter takes, from the start: ten bits for a key with its value of 60 bytes.
const BUFFER_FILTER_RATIO: f64 = 0.02;
/// Bits of the bloom filter for each key: one look in a hundred goes to a file for nothing.
const BLOOM_BITS: f64 = 10.0;
const BLOCK_BYTES: usize = 8 * 1024;
const TARGET_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Open files of one shard.
const OPEN_FILES_MAX: i32 = 256;

/// What all shards of a process share.
pub struct Rocks {
    cache: Cache,
    buffers: WriteBufferManager,
    env: Env,
}

impl Rocks {
    /// Sets up what is shared. `cache_bytes` hold blocks, filters, indexes and write buffers together.
    pub fn new(
        cache_bytes: usize,
        write_buffer_bytes: usize,
        background_threads: usize,
    ) -> Result<Self, rocksdb::Error> {
        let cache = Cache::new_lru_cache(cache_bytes);
        let buffers = WriteBufferManager::new_write_buffer_manager_with_cache(write_buffer_bytes, false, cache.clone());
        let mut env = Env::new()?;
        env.set_background_threads(i32::try_from(background_threads.max(1)).unwrap_or(1));
        env.set_high_priority_background_threads(1);
        Ok(Self { cache, buffers, env })
    }

    /// Bytes of cache in use, write buffers included.
    pub fn memory_bytes(&self) -> usize {
        self.cache.get_usage()
    }

    /// Opens a shard's database, or makes it.
    pub fn open(&self, path: &Path) -> Result<DB, rocksdb::Error> {
        DB::open_cf_descriptors(&self.options()?, path, [self.column()?])
    }

    /// Opens the files of a snapshot for reading only.
    pub fn open_for_read(&self, path: &Path) -> Result<DB, rocksdb::Error> {
        DB::open_cf_descriptors_read_only(&self.options()?, path, [self.column()?], false)
    }

    /// Named, for batched reads take a handle of the column.
    fn column(&self) -> Result<ColumnFamilyDescriptor, rocksdb::Error> {
        Ok(ColumnFamilyDescriptor::new(DEFAULT_COLUMN_FAMILY_NAME, self.options()?))
    }

    /// The options of every database and file.
    pub fn options(&self) -> Result<Options, rocksdb::Error> {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        table.set_block_size(BLOCK_BYTES);
        table.set_bloom_filter(BLOOM_BITS, false);
        table.set_cache_index_and_filter_blocks(true);
        table.set_cache_index_and_filter_blocks_with_high_priority(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_optimize_filters_for_memory(true);
        table.set_format_version(5);
        // What is closed is deleted. There is no other way to this option.
        let mut options = Options::default().get_options_from_string("avoid_flush_during_shutdown=true")?;
        options.create_if_missing(true);
        options.set_env(&self.env);
        options.set_block_based_table_factory(&table);
        options.set_write_buffer_manager(&self.buffers);
        options.set_write_buffer_size(WRITE_BUFFER_BYTES);
        options.set_arena_block_size(ARENA_BLOCK_BYTES);
        options.set_max_write_buffer_number(3);
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(BUFFER_FILTER_RATIO);
        // One thread writes to a shard.
        options.set_allow_concurrent_memtable_write(false);
        options.set_enable_write_thread_adaptive_yield(false);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_target_file_size_base(TARGET_FILE_BYTES);
        options.set_max_background_jobs(2);
        options.set_max_open_files(OPEN_FILES_MAX);
        options.set_max_file_opening_threads(1);
        options.set_skip_stats_update_on_db_open(true);
        options.set_log_level(LogLevel::Error);
        options.set_keep_log_file_num(1);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        Ok(options)
    }
}

/// Writes without a log: what is lost in a crash is in the changelog. One that would have to wait is refused instead,
/// for on a full disk RocksDB would have it wait until there is room.
pub fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options.set_no_slowdown(true);
    options
}
