//! A disk that fills up: the store says so, goes on reading, loses nothing, and goes on by itself
//! when there is space again.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use blaupause_store::{
    Batch, CommitError, Got, Health, Key, Op, Part, Read, RocksSettings, RocksStore, SpaceLimits,
    Store, StreamPos, Table,
};
use bytes::Bytes;

const DISK_MIB: u64 = 96;
const OTHERS: &str = "somebody-else";

/// A small file system of one's own, gone with the test.
struct SmallDisk {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl SmallDisk {
    /// `None`, with a line that says so, where none can be mounted.
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("disk");
        std::fs::create_dir(&path).expect("directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={DISK_MIB}m"), "tmpfs"])
            .arg(&path)
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            println!("SKIPPED: a small file system can only be mounted by root");
            return None;
        }
        Some(Self { _dir: dir, path })
    }

    fn take_space(&self, mib: usize) {
        let path = self.path.join(OTHERS);
        let mut file = File::options().create(true).append(true).open(path).expect("file");
        for _ in 0..mib {
            // As much as fits.
            let _ = file.write_all(&vec![1; 1 << 20]);
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

fn open(path: &Path, space: SpaceLimits) -> RocksStore {
    let settings = RocksSettings { space, write_buffer_bytes: 4 << 20, ..RocksSettings::new(path) };
    RocksStore::open(settings).expect("store opens")
}

fn key(n: u64) -> Key {
    let mut bytes = Key::new(Part(1 << 40), b'k').as_bytes().to_vec();
    bytes.extend_from_slice(&n.to_be_bytes());
    Key::from_bytes(bytes)
}

/// 30 KB that cannot be compressed.
fn body(n: u64) -> Bytes {
    let mut state = n + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..30_000).map(|_| next()).collect::<Vec<u8>>().into()
}

fn put(n: u64) -> Batch {
    let ops = vec![Op::Put { t: Table::Evt, k: key(n), v: body(n) }];
    Batch { ops, changes: vec![Bytes::from_static(b"c")], ..Batch::default() }
}

fn remove(n: u64) -> Batch {
    Batch { ops: vec![Op::Del { t: Table::Evt, k: key(n) }], ..Batch::default() }
}

async fn row(store: &RocksStore, n: u64) -> Option<Bytes> {
    let got = store.read(vec![Read::Get { t: Table::Evt, k: key(n) }]).await.expect("reads go on");
    match got.into_iter().next() {
        Some(Got::One(value)) => value,
        other => panic!("a get is answered with a row: {other:?}"),
    }
}

/// Write until something is refused; how many were acknowledged, and why no more.
async fn fill(store: &RocksStore, from: u64) -> (u64, CommitError) {
    for n in from.. {
        if let Err(refused) = store.submit(put(n)).await {
            return (n - from, refused);
        }
    }
    unreachable!("the disk is small")
}

async fn until_ready(store: &RocksStore) {
    for _ in 0..200 {
        if store.health().is_ready() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not ready: {:?}", store.health());
}

#[tokio::test]
async fn writes_are_refused_before_the_disk_is_full_and_go_on_with_space() {
    let Some(disk) = SmallDisk::mount() else { return };
    let limits = SpaceLimits { low_bytes: 40 << 20, min_bytes: 24 << 20, reserve_bytes: 8 << 20 };
    let store = open(&disk.path.join("db"), limits);
    let reserve = disk.path.join("db/blaupause.reserve");
    assert!(reserve.exists());
    assert_eq!(store.health(), Health::Good);
    let (written, refused) = fill(&store, 0).await;
    assert_eq!(refused, CommitError::DiskFull);
    assert!(matches!(store.health(), Health::FullDisk { .. }), "{:?}", store.health());
    assert!(!store.health().is_ready() && !reserve.exists(), "the reserve was given up");
    assert!(written > 300, "{written}");
    assert_eq!(store.position(), StreamPos(written));
    // Merging goes on and frees some; somebody else takes that.
    store.flush().await.expect("there is space for that");
    while store.health().is_ready() || store.stats().free_bytes > 20 << 20 {
        disk.take_space((store.stats().free_bytes >> 20).saturating_sub(16) as usize);
    }
    for n in 0..written {
        assert_eq!(row(&store, n).await, Some(body(n)));
    }
    // Who logs out removes something, as soon as no merge has the last space for a moment.
    let mut removed = store.submit(remove(0)).await;
    for _ in 0..100 {
        if removed.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        removed = store.submit(remove(0)).await;
    }
    assert_eq!(removed, Ok(StreamPos(written + 1)));
    assert_eq!(store.submit(put(0)).await, Err(CommitError::DiskFull));
    // A start on a full disk works.
    store.close().await;
    drop(store);
    let store = open(&disk.path.join("db"), limits);
    assert!(!store.health().is_ready());
    std::fs::remove_file(disk.path.join(OTHERS)).expect("removable");
    if !store.health().is_ready() {
        // The database itself is what fills the disk; with other limits it goes on.
        store.close().await;
        drop(store);
        let roomy = SpaceLimits { low_bytes: 4 << 20, min_bytes: 2 << 20, reserve_bytes: 0 };
        return goes_on(&open(&disk.path.join("db"), roomy), written).await;
    }
    goes_on(&store, written).await;
}

async fn goes_on(store: &RocksStore, written: u64) {
    assert!(store.health().is_ready());
    assert_eq!(store.submit(put(0)).await, Ok(StreamPos(written + 2)));
    for n in 0..written {
        assert_eq!(row(store, n).await, Some(body(n)));
    }
    store.close().await;
}

#[tokio::test]
async fn disk_that_is_full_in_spite_of_the_watch_loses_nothing() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = open(&disk.path.join("db"), SpaceLimits::NONE);
    let mut written = Vec::new();
    let mut from = 0;
    for _ in 0..crate::crash::rounds(3) {
        disk.take_space(usize::try_from(DISK_MIB).expect("small") - 20);
        let (count, refused) = fill(&store, from).await;
        assert!(matches!(refused, CommitError::Unavailable(_)), "{refused:?}");
        written.extend(from..from + count);
        // One whose outcome is unknown.
        from += count + 1;
        for n in &written {
            assert_eq!(row(&store, *n).await, Some(body(*n)), "reads go on");
        }
        std::fs::remove_file(disk.path.join(OTHERS)).expect("removable");
        until_ready(&store).await;
        assert!(store.submit(put(from)).await.is_ok(), "goes on by itself");
        written.push(from);
        from += 1;
    }
    store.close().await;
    drop(store);
    let store = open(&disk.path.join("db"), SpaceLimits::NONE);
    for n in written {
        assert_eq!(row(&store, n).await, Some(body(n)));
    }
}
