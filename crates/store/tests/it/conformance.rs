use std::sync::Mutex;

use blaupause_pgcluster::PgCluster;
use blaupause_store::{Db, MemStore, PgSettings, PgStore, RocksSettings, RocksStore, conformance};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_conforms() {
    let Some(cluster) = PgCluster::start() else { return };
    conformance::run(async || {
        let settings = PgSettings::new(cluster.dsn(&cluster.new_database()));
        Db::Pg(PgStore::open(settings).await.expect("store opens"))
    })
    .await;
}

/// With one connection nothing overlaps: what holds must not depend on that.
#[tokio::test]
async fn postgres_conforms_with_single_connections() {
    let Some(cluster) = PgCluster::start() else { return };
    conformance::run(async || {
        let mut settings = PgSettings::new(cluster.dsn(&cluster.new_database()));
        (settings.read_connections, settings.commit_connections) = (1, 1);
        Db::Pg(PgStore::open(settings).await.expect("store opens"))
    })
    .await;
}
