//! The engine of a site that lives on one machine: RocksDB, owned by this process alone.
//!
//! Only this file and `rocks/` may name the `rocksdb` crate.

mod backup;
mod open;
mod read;
mod write;

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use self::open::Database;
use crate::{
    Batch, Chunk, CommitHook, Got, Key, Pending, Read, Store, StoreError, StreamPos, Table,
    committer::Committer,
};
pub use open::RocksSettings;

/// The RocksDB engine. Cheap to clone; the database closes with [`RocksStore::close`] or when the
/// last clone is dropped.
#[derive(Clone)]
pub struct RocksStore(Arc<Inner>);

struct Inner {
    // Dropped first: its thread uses the database.
    committer: Committer,
    database: Arc<Database>,
    settings: RocksSettings,
}

/// What the engine did since it was opened; all numbers only grow.
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
}

impl RocksStore {
    /// Open the database, or create it if the directory has none. Blocks, for as long as it takes
    /// to read back the write-ahead log.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the directory cannot be used or another process uses it,
    /// [`StoreError::Damaged`] if what is there cannot be what we wrote.
    pub fn open(settings: RocksSettings) -> Result<Self, StoreError> {
        let (database, last) = Database::open(&settings)?;
        let database = Arc::new(database);
        let committer = Committer::start(database.clone(), last)
            .map_err(|error| StoreError::Unavailable(format!("no commit thread: {error}")))?;
        tracing::info!(path = %settings.path.display(), position = last.0, "database opened");
        Ok(Self(Arc::new(Inner { committer, database, settings })))
    }

    /// Counters for metrics.
    pub fn stats(&self) -> RocksStats {
        let counters = self.0.committer.counters();
        RocksStats {
            groups: counters.groups.load(Ordering::Relaxed),
            batches: counters.batches.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            fsync_micros: counters.write_micros.load(Ordering::Relaxed),
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
            inner.database.close();
            tracing::info!(path = %inner.settings.path.display(), "database closed");
            Ok(())
        });
        if let Err(error) = closed.await {
            tracing::error!(%error, "cannot close the database");
        }
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
        // A thread hop costs more than a small read that hits the cache.
        if read::is_small(&reads) {
            self.0.database.with(|db| read::answer(db, reads))
        } else {
            self.blocking(|db| read::answer(db, reads)).await
        }
    }

    fn submit(&self, batch: Batch) -> Pending {
        self.0.committer.submit(batch)
    }

    fn position(&self) -> StreamPos {
        self.0.committer.position()
    }

    async fn export(&self, t: Table, from: Option<Key>, chunk: u32) -> Result<Chunk, StoreError> {
        self.blocking(move |db| read::export(db, t, from.as_ref(), chunk)).await
    }
}
