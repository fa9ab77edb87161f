//! The engine of a site that lives on one machine: RocksDB, owned by this process alone.
//!
//! Only this file and `rocks/` may name the `rocksdb` crate.

mod backup;
mod crc32c;
mod lock;
mod open;
mod options;
mod read;
mod space;
mod wal;
mod write;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use self::{open::Database, read::ReadCounters, space::Level};
use crate::{
    Batch, Chunk, CommitHook, Got, Health, Key, Pending, Read, Row, Store, StoreError, StreamPos,
    Table, committer::Committer,
};
pub use lock::RocksLock;
pub use options::{DamagedLog, RocksSettings};
pub use space::SpaceLimits;

/// The RocksDB engine. Cheap to clone; the database closes with [`RocksStore::close`] or when the
/// last clone is dropped.
#[derive(Clone)]
pub struct RocksStore(Arc<Inner>);

struct Inner {
    // Dropped first: its thread uses the database.
    committer: Committer,
    database: Arc<Database>,
    reads: ReadCounters,
    path: PathBuf,
}

/// What the engine did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RocksStats {
    /// Groups written, each with one fsync.
    pub groups: u64,
    /// Batches committed in those groups.
    pub batches: u64,
    /// Bytes of the batches in those groups.
    pub bytes: u64,
    /// Time spent in those writes, nearly all of it in fsync.
    pub fsync_micros: u64,
    /// Reads answered from memory on the caller's thread.
    pub reads_inline: u64,
    /// Reads handed to a thread that may wait for the disk.
    pub reads_waited: u64,
    /// Free bytes of the disk. This and what follows are as of now.
    pub free_bytes: u64,
    /// Failed attempts to write or merge table files.
    pub background_errors: u64,
    /// Bytes per second to which writes are slowed down because merging is behind; 0: they are not.
    pub delayed_rate: u64,
    /// 1 if writes wait for table files to be written.
    pub stopped: u64,
}

impl RocksStore {
    /// Open the database, or create it if the directory has none. Blocks, for as long as it takes
    /// to read back the write-ahead log.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process uses it, [`StoreError::Unavailable`] if the
    /// directory cannot be used, [`StoreError::Damaged`] if what is there cannot be what we wrote.
    pub fn open(settings: RocksSettings) -> Result<Self, StoreError> {
        let lock = RocksLock::take(&settings.path)?;
        Self::open_locked(settings, lock)
    }

    /// As [`RocksStore::open`], by who took the lock of the directory before. It is freed when the
    /// database is closed.
    ///
    /// # Errors
    /// As [`RocksStore::open`].
    pub fn open_locked(settings: RocksSettings, lock: RocksLock) -> Result<Self, StoreError> {
        let path = settings.path.clone();
        let (database, last) = Database::open(settings, lock)?;
        let database = Arc::new(database);
        let committer = Committer::start(database.clone(), last)
            .map_err(|error| StoreError::Unavailable(format!("no commit thread: {error}")))?;
        tracing::info!(path = %path.display(), position = last.0, "database opened");
        let reads = ReadCounters::default();
        Ok(Self(Arc::new(Inner { committer, database, reads, path })))
    }

    /// Whether writes are taken.
    pub fn health(&self) -> Health {
        if let Err(error) = self.0.committer.ready() {
            return Health::Failed(error.to_string());
        }
        match self.0.database.space().look() {
            (Level::Enough, _) => Health::Good,
            (Level::Low, free_bytes) => Health::LowSpace { free_bytes },
            (Level::Full, free_bytes) => Health::FullDisk { free_bytes },
        }
    }

    /// Resolves when the store will never take writes again without having been closed: only a new
    /// start may help.
    pub async fn failed(&self) {
        self.0.committer.failed().await;
    }

    /// Numbers for metrics.
    pub fn stats(&self) -> RocksStats {
        let counters = self.0.committer.counters();
        let property = |name: &str| {
            let value = |db: &rocksdb::DB| Ok(db.property_int_value(name).ok().flatten());
            self.0.database.with_now(value).ok().flatten().unwrap_or_default()
        };
        RocksStats {
            groups: counters.groups.load(Ordering::Relaxed),
            batches: counters.batches.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            fsync_micros: counters.write_micros.load(Ordering::Relaxed),
            reads_inline: self.0.reads.inline.load(Ordering::Relaxed),
            reads_waited: self.0.reads.waited.load(Ordering::Relaxed),
            free_bytes: self.0.database.space().look().1,
            background_errors: property("rocksdb.background-errors"),
            delayed_rate: property("rocksdb.actual-delayed-write-rate"),
            stopped: property("rocksdb.is-write-stopped"),
        }
    }

    /// Write everything that is only in memory and the log into table files, so that the next
    /// start has no log to read back. Not needed for durability.
    ///
    /// # Errors
    /// [`StoreError`] if the engine fails or is closed.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.blocking(backup::flush).await
    }

    /// Make a copy of the database in a directory that does not exist yet: one consistent state,
    /// quick (files are hard links on the same file system), while the server runs. The result is
    /// the newest position that is certainly in the copy.
    ///
    /// # Errors
    /// [`StoreError`] if the directory exists or cannot be written, or the engine is closed.
    pub async fn checkpoint(&self, dir: &Path) -> Result<StreamPos, StoreError> {
        let position = self.position();
        let dir = dir.to_owned();
        self.blocking(move |db| backup::checkpoint(db, &dir)).await?;
        Ok(position)
    }

    /// Stop accepting batches, commit the queued ones, close the database. Later calls fail with
    /// `Unavailable`.
    pub async fn close(&self) {
        let inner = self.0.clone();
        let closed = on_disk_thread(move || {
            inner.committer.close();
            // The next start has no log to read back then; without it only that takes longer.
            // A disk that is full would be waited for.
            let flushed = if inner.database.is_stopped() {
                Ok(())
            } else {
                inner.database.with(backup::flush)
            };
            if let Err(error) = flushed {
                tracing::warn!(%error, "cannot write out the tables");
            }
            inner.database.close();
            tracing::info!(path = %inner.path.display(), "database closed");
            Ok(())
        });
        if let Err(error) = closed.await {
            tracing::error!(%error, "cannot close the database");
        }
    }

    /// See [`crate::Db::import`].
    pub(crate) async fn import(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        let rows = rows.into_iter().map(|(t, k, v)| ((t, k), v)).collect();
        let database = self.0.database.clone();
        on_disk_thread(move || database.write_patiently(&rows)).await
    }

    pub(crate) fn on_commit(&self, hook: CommitHook) {
        self.0.committer.on_commit(hook);
    }

    /// Use the database on a thread that may wait for the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rocksdb::DB) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = self.0.database.clone();
        on_disk_thread(move || database.with(work)).await
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for the disk, so it is no work for Env::cpu")]
async fn on_disk_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::Unavailable(format!("did not finish: {error}"))),
    }
}

impl Store for RocksStore {
    async fn read(&self, reads: Vec<Read>) -> Result<Vec<Got>, StoreError> {
        // Handing it to another thread costs a hundred times what reading a cached row does.
        if let Some(got) = self.0.database.with_now(|db| read::from_memory(db, &reads))? {
            self.0.reads.inline();
            return Ok(got);
        }
        self.0.reads.waited();
        self.blocking(move |db| read::answer(db, &reads)).await
    }

    fn submit(&self, batch: Batch) -> Pending {
        match self.0.database.space().admit(&batch) {
            Ok(()) => self.0.committer.submit(batch),
            Err(refused) => Pending::refused(refused),
        }
    }

    fn position(&self) -> StreamPos {
        self.0.committer.position()
    }

    async fn export(&self, t: Table, from: Option<Key>, chunk: u32) -> Result<Chunk, StoreError> {
        self.blocking(move |db| read::export(db, t, from.as_ref(), chunk)).await
    }
}
