use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use parking_lot::RwLock;
use rocksdb::{
    BlockBasedOptions, Cache, ChecksumType, ColumnFamily, ColumnFamilyDescriptor, DB,
    DBCompressionType, DBRecoveryMode, ErrorKind, Options, SliceTransform,
};

use super::read;
use crate::{Batch, StoreError, StreamPos, Table};

/// Where the database lies and how much memory it may take.
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
        }
    }
}

/// Bytes of the write-ahead log: what a start has to read back.
const WAL_BYTES_MAX: u64 = 512 << 20;
/// Open table files; the usual limit of a process is 1,024 files.
const OPEN_FILES_MAX: i32 = 512;
/// Length of [`crate::Part`] in a key.
pub(super) const PART_BYTES: usize = 8;
/// Held for as long as the database is open. RocksDB has a lock of its own, but reports it only as
/// an I/O error among others.
const LOCK_FILE: &str = "blaupause.lock";

/// The open database. Closing waits for running reads; afterwards every use fails.
pub(super) struct Database(RwLock<Option<Opened>>);

struct Opened {
    // Dropped before the lock.
    db: DB,
    _lock: File,
}

impl Database {
    /// Open or create; with the newest position in it.
    pub fn open(settings: &RocksSettings) -> Result<(Self, StreamPos), StoreError> {
        make_dir(&settings.path)?;
        let lock = lock(&settings.path)?;
        if let Some(wal_dir) = &settings.wal_dir {
            make_dir(wal_dir)?;
        }
        let cache = Cache::new_lru_cache(settings.cache_bytes);
        let tables = Table::ALL
            .map(|table| ColumnFamilyDescriptor::new(table.name(), table_options(table, &cache)));
        let db = DB::open_cf_descriptors(&options(settings), &settings.path, tables)
            .map_err(|error| failed(&error))?;
        let last = read::get(&db, Table::Meta, &Batch::position_key(Batch::SLOT))?;
        let last = match last.as_deref().map(<[u8; 8]>::try_from) {
            None => 0,
            Some(Ok(bytes)) => u64::from_be_bytes(bytes),
            Some(Err(_)) => return Err(StoreError::Damaged("position row".into())),
        };
        let opened = Opened { db, _lock: lock };
        Ok((Self(RwLock::new(Some(opened))), StreamPos(last)))
    }

    /// Do something with the database. Must not be nested: a waiting close would block the inner
    /// call for ever.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&DB) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.0.read().as_ref() {
            Some(opened) => work(&opened.db),
            None => Err(StoreError::Unavailable("the store is closed".into())),
        }
    }

    /// Close the database once the running reads are done.
    pub fn close(&self) {
        let opened = self.0.write().take();
        if let Some(opened) = opened {
            opened.db.cancel_all_background_work(true);
        }
    }
}

/// The column family of a table.
pub(super) fn family(db: &DB, table: Table) -> Result<&ColumnFamily, StoreError> {
    db.cf_handle(table.name())
        .ok_or_else(|| StoreError::Damaged(format!("table {} is missing", table.name())))
}

/// An error of the engine in our words.
pub(super) fn failed(error: &rocksdb::Error) -> StoreError {
    match error.kind() {
        ErrorKind::Corruption => StoreError::Damaged(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// The directory, readable by nobody else, with its entry in the parent directory on disk: RocksDB
/// makes its files durable, but not the way to them.
fn make_dir(path: &Path) -> Result<(), StoreError> {
    let made = || {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        match path.canonicalize()?.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    made().map_err(|error: std::io::Error| {
        StoreError::Unavailable(format!("directory {}: {error}", path.display()))
    })
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let unavailable = |why: String| {
        StoreError::Unavailable(format!("database directory {}: {why}", path.display()))
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(LOCK_FILE))
        .map_err(|error| unavailable(error.to_string()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(unavailable("in use by another process".into())),
        Err(TryLockError::Error(error)) => Err(unavailable(error.to_string())),
    }
}

/// Options of the whole database. Durability: the log is synced before a batch is answered, and a
/// start stops at the first damaged record of the log, so that there is never a hole in it.
fn options(settings: &RocksSettings) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);

    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(true);
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
    options
}

/// Options of one table. Keys of all tables begin with the partition, so filters also know
/// prefixes; see [`read::Walk`] for when that may be used.
fn table_options(table: Table, cache: &Cache) -> Options {
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

    let mut options = Options::default();
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
    options
}

fn write_buffer_bytes(table: Table) -> usize {
    match table {
        Table::Evt | Table::Seq | Table::State => 32 << 20,
        Table::Idx | Table::Mem | Table::Meta => 16 << 20,
        Table::Usr | Table::Box => 8 << 20,
    }
}
