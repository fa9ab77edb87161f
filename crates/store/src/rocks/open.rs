use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::{Mutex, RwLock};
use rocksdb::{Cache, ColumnFamily, ColumnFamilyDescriptor, DB, ErrorKind};

use super::{
    lock::{RocksLock, make_dir},
    options::{self, DamagedLog, RocksSettings},
    read,
    space::{Level, Space},
    wal::{self, Log},
};
use crate::{Batch, StoreError, StreamPos, Table, committer::Recovery};

/// Length of [`crate::Part`] in a key.
pub(super) const PART_BYTES: usize = 8;

/// RocksDB's name for whether it takes no rows because files have to be merged first.
const IS_WRITE_STOPPED: &str = "rocksdb.is-write-stopped";
/// Failed tries to open anew after a failed write, before the store gives up.
const OPEN_TRIES: u32 = 5;

/// The open database. Closing waits for running reads; afterwards every use fails.
pub(super) struct Database {
    settings: RocksSettings,
    space: Space,
    opened: RwLock<Opened>,
    /// Whether the newest group was not written because files have to be merged first.
    stalled: AtomicBool,
    /// Tries to open anew that failed one after the other.
    failed_tries: AtomicU32,
    lock: Mutex<Option<RocksLock>>,
}

enum Opened {
    Yes(DB),
    /// A write failed, and then opening anew failed too.
    Not,
    Closed,
}

impl Database {
    /// Open or create; with the newest position in it.
    pub fn open(settings: RocksSettings, lock: RocksLock) -> Result<(Self, StreamPos), StoreError> {
        if let Some(wal_dir) = &settings.wal_dir {
            make_dir(wal_dir)?;
        }
        // First: on a full disk it gives up the reserve, and reading back the log needs space.
        let space = Space::new(&settings.path, settings.wal_dir.as_deref(), settings.space);
        let (db, last) = open_files(&settings)?;
        let opened = RwLock::new(Opened::Yes(db));
        let (stalled, failed_tries) = (AtomicBool::new(false), AtomicU32::new(0));
        let lock = Mutex::new(Some(lock));
        Ok((Self { settings, space, opened, stalled, failed_tries, lock }, last))
    }

    /// Do something with the database. Must not be nested: a waiting close would block the inner
    /// call for ever.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&DB) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        work(self.opened.read().db()?)
    }

    /// As [`Database::with`], but never waits: `None` also if the database is being opened or closed.
    pub fn with_now<T>(
        &self,
        work: impl FnOnce(&DB) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match self.opened.try_read() {
            Some(opened) => work(opened.db()?),
            None => Ok(None),
        }
    }

    /// The disk's free space.
    pub fn space(&self) -> &Space {
        &self.space
    }

    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    pub fn set_stalled(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    /// Whether the engine takes no rows because files have to be merged first.
    pub fn is_stopped(&self) -> bool {
        let stopped = self.with(|db| Ok(db.property_int_value(IS_WRITE_STOPPED)));
        matches!(stopped, Ok(Ok(Some(stopped))) if stopped > 0)
    }

    /// After a group that waited in vain: whether the engine takes rows again. It goes on merging
    /// by itself when the disk has space again.
    pub fn wait_for_merging(&self) -> Recovery {
        if self.is_stopped() {
            return Recovery::Later;
        }
        match self.with(newest) {
            Ok(last) => Recovery::At(last),
            Err(error) => Recovery::Failed(error),
        }
    }

    /// After a failed write: open anew, which reads back what is in the log, and say what is there.
    /// Reads go on with what was open until the disk has space again.
    pub fn open_again(&self) -> Recovery {
        if self.space.look().0 == Level::Full {
            return Recovery::Later;
        }
        let mut opened = self.opened.write();
        match std::mem::replace(&mut *opened, Opened::Not) {
            Opened::Yes(db) => end(db),
            Opened::Not => {}
            Opened::Closed => {
                *opened = Opened::Closed;
                return Recovery::Failed(StoreError::Unavailable("the store is closed".into()));
            }
        }
        match open_files(&self.settings) {
            Ok((db, last)) => {
                *opened = Opened::Yes(db);
                self.failed_tries.store(0, Ordering::Relaxed);
                Recovery::At(last)
            }
            Err(error) => {
                let tries = self.failed_tries.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::error!(%error, tries, "cannot open the database again");
                if tries < OPEN_TRIES { Recovery::Later } else { Recovery::Failed(error) }
            }
        }
    }

    /// Close the database once the running reads are done.
    pub fn close(&self) {
        let opened = std::mem::replace(&mut *self.opened.write(), Opened::Closed);
        if let Opened::Yes(db) = opened {
            end(db);
        }
        drop(self.lock.lock().take());
    }
}

impl Opened {
    fn db(&self) -> Result<&DB, StoreError> {
        match self {
            Self::Yes(db) => Ok(db),
            Self::Not => Err(StoreError::Unavailable("the store could not be opened again".into())),
            Self::Closed => Err(StoreError::Unavailable("the store is closed".into())),
        }
    }
}

fn end(db: DB) {
    db.cancel_all_background_work(true);
    drop(db);
}

fn open_files(settings: &RocksSettings) -> Result<(DB, StreamPos), StoreError> {
    check_log(settings)?;
    let cache = Cache::new_lru_cache(settings.cache_bytes);
    let mut tables = Vec::with_capacity(Table::ALL.len());
    for table in Table::ALL {
        let options = options::table(table, &cache)?;
        tables.push(ColumnFamilyDescriptor::new(table.name(), options));
    }
    let db = DB::open_cf_descriptors(&options::database(settings)?, &settings.path, tables)
        .map_err(|error| failed(&error))?;
    let last = newest(&db)?;
    Ok((db, last))
}

/// The newest position in a database.
fn newest(db: &DB) -> Result<StreamPos, StoreError> {
    let last = read::get(db, Table::Meta, &Batch::position_key(Batch::SLOT))?;
    match last.as_deref().map(<[u8; 8]>::try_from) {
        None => Ok(StreamPos(0)),
        Some(Ok(bytes)) => Ok(StreamPos(u64::from_be_bytes(bytes))),
        Some(Err(_)) => Err(StoreError::Damaged("position row".into())),
    }
}

/// Whether everything acknowledged can be read back from the log.
fn check_log(settings: &RocksSettings) -> Result<(), StoreError> {
    let dir = settings.wal_dir.as_deref().unwrap_or(&settings.path);
    let unreadable = |error: std::io::Error| {
        StoreError::Unavailable(format!("write-ahead log in {}: {error}", dir.display()))
    };
    match wal::look_through(dir).map_err(unreadable)? {
        Log::Whole => {}
        Log::Torn(place) => tracing::warn!(
            log = %place,
            "the log ends in the middle of a write, as after a power loss: what had been \
             acknowledged is there"
        ),
        Log::Damaged(place) if settings.damaged_log == DamagedLog::Cut => {
            let kept = wal::cut(dir, &place).map_err(unreadable)?;
            tracing::error!(
                log = %place,
                kept = %kept.display(),
                "the log was damaged: acknowledged writes from there on are given up"
            );
        }
        Log::Damaged(place) => return Err(damaged_log(&place)),
    }
    Ok(())
}

fn damaged_log(place: &wal::Place) -> StoreError {
    StoreError::Damaged(format!(
        "write-ahead log {place}: acknowledged writes cannot be read back, and intact ones follow. \
         Restore the backup, or give up everything from there on with \
         `blaupause serve --cut-damaged-log`"
    ))
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
