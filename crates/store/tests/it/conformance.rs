use std::sync::Mutex;

use blaupause_store::{Db, MemStore, RocksSettings, RocksStore, conformance};
use tempfile::TempDir;

#[tokio::test]
async fn memory_conforms() {
    conformance::run(async || Db::Mem(MemStore::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rocks_conforms() {
    let dirs: Mutex<Vec<TempDir>> = Mutex::default();
    conformance::run(async || {
        let dir = tempfile::tempdir().expect("temporary directory");
        let store = RocksStore::open(RocksSettings::new(dir.path())).expect("store opens");
        dirs.lock().expect("no panic before").push(dir);
        Db::Rocks(store)
    })
    .await;
}
