use std::path::PathBuf;

use rocksdb::{
    BlockBasedOptions, Cache, ChecksumType, DBCompressionType, DBRecoveryMode, Options,
    SliceTransform,
};

use super::{open::PART_BYTES, space::SpaceLimits};
use crate::{StoreError, Table};

/// Where the database lies and how much memory and disk it may take.
#[derive(Clone, Debug)]
pub struct RocksSettings {
    /// Directory of the database; created if it does not exist.
    pub path: PathBuf,
    /// Directory of the write-ahead log, if it has a faster device; `None`: with the database.
    pub wal_dir: Option<PathBuf>,
    /// Upper bound of the block cache. Taken as it fills, not at the start.
    pub cache_bytes: usize,
    /// Upper bound of rows that wait in memory for being written to table files; they are durable
    /// in the log. Taken as it fills.
    pub write_buffer_bytes: usize,
    /// Threads that write table files and merge them.
    pub background_jobs: u16,
    /// How much of the disk stays free.
    pub space: SpaceLimits,
    /// What to do if acknowledged writes in the log are damaged.
    pub damaged_log: DamagedLog,
}

impl RocksSettings {
    /// The settings of a small server.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            wal_dir: None,
            cache_bytes: 128 << 20,
            write_buffer_bytes: 128 << 20,
            background_jobs: 4,
            space: SpaceLimits::default(),
            damaged_log: DamagedLog::Refuse,
        }
    }
}

/// What to do if the write-ahead log is damaged before its end, so that acknowledged writes cannot
/// be read back. A log that merely ends in the middle of a write is normal after a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamagedLog {
    /// Do not open: the operator has backups.
    Refuse,
    /// Keep a copy and give up everything from the damage on.
    Cut,
}

/// Bytes of the write-ahead log: what a start has to read back.
const WAL_BYTES_MAX: u64 = 512 << 20;
/// Open table files; the usual limit of a process is 1,024 files.
const OPEN_FILES_MAX: i32 = 512;

/// Options for which the crate has no setter. Obsolete files are removed in the background, because
/// a read on an async thread may be the last user of one.
const DATABASE: &str = "avoid_unnecessary_blocking_io=true;verify_sst_unique_id_in_manifest=true";
/// Rows in memory carry a checksum from the batch to the table file: memory breaks too.
const TABLE: &str = "memtable_protection_bytes_per_key=8";

fn from_text(text: &str) -> Result<Options, StoreError> {
    Options::default()
        .get_options_from_string(text)
        .map_err(|error| StoreError::Unavailable(format!("options of the engine: {error}")))
}

/// Options of the whole database. Durability: the log is synced before a batch is answered, and a
/// start stops at the first damaged record of the log, so that there is never a hole in it.
pub(super) fn database(settings: &RocksSettings) -> Result<Options, StoreError> {
    let mut options = from_text(DATABASE)?;
    options.create_if_missing(true);
    options.create_missing_column_families(true);

    options.set_paranoid_checks(true);
    // What [`super::wal`] finds decides whether the database may be opened at all.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // A log that was cut is not the one the manifest knows.
    options.set_track_and_verify_wals_in_manifest(settings.damaged_log == DamagedLog::Refuse);
    // Each of these would weaken what a synced write means.
    options.set_manual_wal_flush(false);
    options.set_unordered_write(false);
    options.set_recycle_log_file_num(0);
    if let Some(wal_dir) = &settings.wal_dir {
        options.set_wal_dir(wal_dir);
    }

    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_db_write_buffer_size(settings.write_buffer_bytes);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_background_jobs(i32::from(settings.background_jobs.max(2)));
    options.set_bytes_per_sync(1 << 20); // table files only: smooths the disk's load

    // RocksDB's own log file, for support cases; nothing of a key or value is in it.
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(4 << 20);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    Ok(options)
}

/// Options of one table. Keys of all tables begin with the partition, so filters also know
/// prefixes; see [`super::read`] for when that may be used.
pub(super) fn table(table: Table, cache: &Cache) -> Result<Options, StoreError> {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_format_version(6);
    blocks.set_checksum_type(ChecksumType::XXH3);
    blocks.set_block_size(if table == Table::Evt { 16 << 10 } else { 8 << 10 });
    blocks.set_bloom_filter(10.0, false);
    // Orders are scanned, never asked for a single key: there the filter only knows partitions.
    blocks.set_whole_key_filtering(table != Table::Seq);

    let mut options = from_text(TABLE)?;
    options.set_block_based_table_factory(&blocks);
    options.set_prefix_extractor(SliceTransform::create_fixed_prefix(PART_BYTES));
    // The filter is allocated in full with every memtable, so it has to be small.
    options.set_memtable_prefix_bloom_ratio(0.02);
    options.set_write_buffer_size(write_buffer_bytes(table));
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    if table == Table::Evt {
        // Events resemble each other more than themselves: a dictionary of 16 KiB pays.
        options.set_bottommost_compression_options(-14, 3, 0, 16 << 10, true);
        options.set_bottommost_zstd_max_train_bytes(16 << 14, true);
    }
    if table == Table::Box {
        // Queues are deleted from the front; scans must not wade through the dead rows.
        options.add_compact_on_deletion_collector_factory(4_096, 2_048, 0.5);
    }
    Ok(options)
}

fn write_buffer_bytes(table: Table) -> usize {
    match table {
        Table::Evt | Table::Seq | Table::State => 32 << 20,
        Table::Idx | Table::Mem | Table::Meta => 16 << 20,
        Table::Usr | Table::Box => 8 << 20,
    }
}
