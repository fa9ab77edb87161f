use crate::{
    Batch, Chunk, CommitHook, Got, Health, Key, MemStore, Pending, PgStore, Read, RocksStore, Row,
    Store, StoreError, StreamPos, Table,
};

/// The engine in use. An enum, so that no type parameter spreads through the server.
#[derive(Clone)]
pub enum Db {
    Rocks(RocksStore),
    Pg(PgStore),
    Mem(MemStore),
}

impl Db {
    /// Install the commit hook. To be called once, before the first batch.
    pub fn on_commit(&self, hook: CommitHook) {
        match self {
            Self::Rocks(store) => store.on_commit(hook),
            Self::Pg(store) => store.on_commit(hook),
            Self::Mem(store) => store.on_commit(hook),
        }
    }

    /// Write rows as they are, without preconditions, change lines or a position of their own: all
    /// or nothing, durable when it returns. Only for a store that no server uses; afterwards it
    /// must be closed, and finds its position when it is opened again.
    ///
    /// # Errors
    /// If the engine cannot write; the outcome is unknown then.
    pub async fn import(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        match self {
            Self::Rocks(store) => store.import(rows).await,
            Self::Pg(store) => store.import(rows).await,
            Self::Mem(store) => store.import(rows),
        }
    }

    /// Whether writes are taken.
    pub fn health(&self) -> Health {
        match self {
            Self::Rocks(store) => store.health(),
            Self::Pg(store) => store.health(),
            Self::Mem(_) => Health::Good,
        }
    }

    /// Resolves when the store will never take writes again without having been closed: only a new
    /// start may help.
    pub async fn failed(&self) {
        match self {
            Self::Rocks(store) => store.failed().await,
            Self::Pg(store) => store.failed().await,
            Self::Mem(_) => std::future::pending().await,
        }
    }

    /// Stop accepting batches, finish the queued ones, close the engine.
    pub async fn close(&self) {
        match self {
            Self::Rocks(store) => store.close().await,
            Self::Pg(store) => store.close().await,
            Self::Mem(_) => {}
        }
    }
}

impl Store for Db {
    async fn read(&self, reads: Vec<Read>) -> Result<Vec<Got>, StoreError> {
        match self {
            Self::Rocks(store) => store.read(reads).await,
            Self::Pg(store) => store.read(reads).await,
            Self::Mem(store) => store.read(reads).await,
        }
    }

    fn submit(&self, batch: Batch) -> Pending {
        match self {
            Self::Rocks(store) => store.submit(batch),
            Self::Pg(store) => store.submit(batch),
            Self::Mem(store) => store.submit(batch),
        }
    }

    fn position(&self) -> StreamPos {
        match self {
            Self::Rocks(store) => store.position(),
            Self::Pg(store) => store.position(),
            Self::Mem(store) => store.position(),
        }
    }

    async fn export(&self, t: Table, from: Option<Key>, chunk: u32) -> Result<Chunk, StoreError> {
        match self {
            Self::Rocks(store) => store.export(t, from, chunk).await,
            Self::Pg(store) => store.export(t, from, chunk).await,
            Self::Mem(store) => store.export(t, from, chunk).await,
        }
    }
}
