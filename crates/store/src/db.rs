use crate::{
    Batch, Chunk, CommitHook, Got, Key, MemStore, Pending, Read, RocksStore, Store, StoreError,
    StreamPos, Table,
};

/// The engine in use. An enum, so that no type parameter spreads through the server.
#[derive(Clone)]
pub enum Db {
    Rocks(RocksStore),
    Mem(MemStore),
}

impl Db {
    /// Install the commit hook. To be called once, before the first batch.
    pub fn on_commit(&self, hook: CommitHook) {
        match self {
            Self::Rocks(store) => store.on_commit(hook),
            Self::Mem(store) => store.on_commit(hook),
        }
    }

    /// Stop accepting batches, finish the queued ones, close the engine.
    pub async fn close(&self) {
        match self {
            Self::Rocks(store) => store.close().await,
            Self::Mem(_) => {}
        }
    }
}

impl Store for Db {
    async fn read(&self, reads: Vec<Read>) -> Result<Vec<Got>, StoreError> {
        match self {
            Self::Rocks(store) => store.read(reads).await,
            Self::Mem(store) => store.read(reads).await,
        }
    }

    fn submit(&self, batch: Batch) -> Pending {
        match self {
            Self::Rocks(store) => store.submit(batch),
            Self::Mem(store) => store.submit(batch),
        }
    }

    fn position(&self) -> StreamPos {
        match self {
            Self::Rocks(store) => store.position(),
            Self::Mem(store) => store.position(),
        }
    }

    async fn export(&self, t: Table, from: Option<Key>, chunk: u32) -> Result<Chunk, StoreError> {
        match self {
            Self::Rocks(store) => store.export(t, from, chunk).await,
            Self::Mem(store) => store.export(t, from, chunk).await,
        }
    }
}
