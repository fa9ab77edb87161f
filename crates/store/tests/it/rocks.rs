use std::path::Path;

use blaupause_store::{
    Batch, CommitError, Got, Key, Op, Part, Read, RocksSettings, RocksStore, Store, StoreError,
    StreamPos, Table,
};
use bytes::Bytes;

fn open(dir: &Path) -> RocksStore {
    RocksStore::open(RocksSettings::new(dir)).expect("store opens")
}

fn key(n: u64) -> Key {
    Key::new(Part(n << 40), b'k')
}

fn put(n: u64) -> Batch {
    let ops = vec![Op::Put { t: Table::Usr, k: key(n), v: Bytes::from(n.to_string()) }];
    Batch { ops, changes: vec![Bytes::from_static(b"c")], ..Batch::default() }
}

async fn has(store: &RocksStore, n: u64) -> bool {
    let got = store.read(vec![Read::Get { t: Table::Usr, k: key(n) }]).await.expect("read works");
    matches!(&got[..], [Got::One(Some(v))] if *v == n.to_string())
}

#[tokio::test]
async fn reopening_keeps_rows_and_position() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("made/on/the/way");
    for round in 0..3 {
        let store = open(&path);
        assert_eq!(store.position(), StreamPos(round * 2));
        for n in 0..round {
            assert!(has(&store, n).await);
        }
        assert_eq!(store.submit(put(round)).await, Ok(StreamPos(round * 2 + 1)));
        // Not waited for: closing commits it.
        let pending = store.submit(put(100 + round));
        match round {
            0 => store.close().await,
            1 => store.flush().await.expect("flush works"),
            _ => {}
        }
        drop(store);
        assert!(pending.await.is_ok());
    }
    let store = open(&path);
    assert!(has(&store, 102).await);
}

#[tokio::test]
async fn second_open_of_a_directory_fails_and_says_why() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let first = open(dir.path());
    let second = RocksStore::open(RocksSettings::new(dir.path()));
    let error = second.map(|_| ()).expect_err("one directory has one owner");
    let StoreError::InUse { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(*holder, Some(std::process::id()));
    let said = error.to_string();
    assert!(said.contains(&format!("process {}", std::process::id())), "{said}");
    assert!(said.contains(&dir.path().display().to_string()), "{said}");
    assert_eq!(first.submit(put(1)).await, Ok(StreamPos(1)));
    first.close().await;
    assert!(has(&open(dir.path()), 1).await, "free again, though a handle still exists");
}

#[tokio::test]
async fn closed_store_answers_and_never_hangs() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = open(dir.path());
    store.close().await;
    store.close().await;
    let read = store.read(vec![Read::Get { t: Table::Usr, k: key(1) }]).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.submit(put(1)).await, Err(CommitError::Unavailable(_))));
    assert!(store.export(Table::Usr, None, 1).await.is_err());
    assert!(store.checkpoint(&dir.path().join("copy")).await.is_err());
}

#[tokio::test]
async fn unusable_directory_is_a_clear_error() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("file");
    std::fs::write(&file, "not a directory").expect("file can be written");
    let error = RocksStore::open(RocksSettings::new(&file)).map(|_| ()).expect_err("a file");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

#[tokio::test]
async fn log_may_lie_in_another_directory() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let settings = RocksSettings {
        wal_dir: Some(dir.path().join("log")),
        ..RocksSettings::new(dir.path().join("db"))
    };
    for n in 1..3 {
        let store = RocksStore::open(settings.clone()).expect("store opens");
        assert_eq!(store.submit(put(n)).await, Ok(StreamPos(n)));
        store.close().await;
    }
    let log_files = std::fs::read_dir(dir.path().join("log")).expect("directory").count();
    assert!(log_files > 0);
}

#[tokio::test]
async fn checkpoint_under_load_is_a_whole_prefix() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = open(&dir.path().join("db"));
    let pending: Vec<_> = (1..=2_000).map(|n| store.submit(put(n))).collect();
    let copy = dir.path().join("copy");
    let contained = store.checkpoint(&copy).await.expect("checkpoint works");
    for pending in pending {
        pending.await.expect("batch commits");
    }
    let copy = open(&copy);
    let position = copy.position();
    assert!(position >= contained);
    for n in 1..=2_000 {
        assert_eq!(has(&copy, n).await, n <= position.0, "row {n} at {position:?}");
    }
    // The copy lives on by itself.
    assert_eq!(copy.submit(put(5_000)).await, Ok(StreamPos(position.0 + 1)));
    assert!(!has(&store, 5_000).await);
    assert!(store.checkpoint(&dir.path().join("db")).await.is_err(), "never over something");
}

#[tokio::test]
async fn hook_may_hold_the_store() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = blaupause_store::Db::Rocks(open(dir.path()));
    let inner = store.clone();
    store.on_commit(std::sync::Arc::new(move |pos, _| assert!(inner.position() >= pos)));
    assert!(store.submit(put(1)).await.is_ok());
    store.close().await;
    drop(store);
    assert!(has(&open(dir.path()), 1).await);
}

#[tokio::test]
async fn waiting_batches_share_an_fsync() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = open(dir.path());
    let pending: Vec<_> = (1..=1_000).map(|n| store.submit(put(n))).collect();
    for pending in pending {
        pending.await.expect("batch commits");
    }
    let stats = store.stats();
    assert_eq!(stats.batches, 1_000);
    assert!(stats.groups < 100, "{stats:?}");
    assert!(stats.bytes > 10_000 && stats.fsync_micros > 0, "{stats:?}");
}

#[tokio::test]
async fn cached_rows_are_read_without_another_thread() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = open(dir.path());
    store.submit(put(1)).await.expect("batch commits");
    let gets = || (0..64).map(|n| Read::Get { t: Table::Usr, k: key(n) }).collect::<Vec<_>>();
    let before = store.stats();
    store.read(gets()).await.expect("read works");
    assert_eq!(store.stats().reads_inline, before.reads_inline + 1, "all of it is in memory");
    // One more is too much for the caller's thread, whatever is cached.
    let many = [gets(), gets()].concat();
    store.read(many).await.expect("read works");
    assert_eq!(store.stats().reads_waited, before.reads_waited + 1);
    // Behind a new start only table files have it, and no thread of ours waits for them.
    store.close().await;
    drop(store);
    let store = open(dir.path());
    assert!(has(&store, 1).await);
    assert_eq!(store.stats().reads_waited, 1, "{:?}", store.stats());
    assert!(has(&store, 1).await);
    assert_eq!(store.stats().reads_inline, 1, "{:?}", store.stats());
}

#[tokio::test]
async fn clean_close_leaves_no_log_to_read_back() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = open(dir.path());
    for n in 0..100 {
        store.submit(put(n)).await.expect("batch commits");
    }
    store.close().await;
    drop(store);
    let store = open(dir.path());
    let log_bytes: u64 = std::fs::read_dir(dir.path())
        .expect("directory")
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "log"))
        // The database removes old ones in the background.
        .filter_map(|entry| entry.metadata().ok())
        .map(|file| file.len())
        .sum();
    assert_eq!(log_bytes, 0);
    assert!(has(&store, 99).await);
}
