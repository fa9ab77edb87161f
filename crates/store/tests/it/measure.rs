//! Figures to compare versions and settings of the engine with; no assertions. Run with
//! `cargo test --release -p blaupause-store -- --ignored --nocapture --test-threads=1 measure`.

use std::time::Instant;

use blaupause_store::{Batch, Key, Op, Part, Pre, Read, RocksSettings, RocksStore, Store, Table};
use bytes::Bytes;
use tokio::task::JoinSet;

const EVENTS: u64 = 16_000;
const BODY_BYTES: usize = 800;

fn key(room: u64, tag: u8, n: u64) -> Key {
    let mut bytes = Key::new(Part(room << 48), tag).as_bytes().to_vec();
    bytes.extend_from_slice(&n.to_be_bytes());
    Key::from_bytes(bytes)
}

/// What one message writes: event, name, order, log line, head under a version check.
fn event(room: u64, n: u64) -> Batch {
    let head = Key::new(Part(room << 48), b'h');
    let number = |n: u64| Bytes::copy_from_slice(&n.to_be_bytes());
    let body: Vec<u8> = (0..BODY_BYTES as u64).map(|at| (at * n % 97) as u8).collect();
    Batch {
        pre: vec![Pre::Version { t: Table::Meta, k: head.clone(), is: n - 1 }],
        ops: vec![
            Op::Put { t: Table::Evt, k: key(room, b'e', n), v: body.into() },
            Op::Put { t: Table::Idx, k: key(room, b'i', n.rotate_left(31)), v: number(n) },
            Op::Put { t: Table::Seq, k: key(room, b't', n), v: number(n) },
            Op::Put { t: Table::Meta, k: head, v: number(n) },
        ],
        changes: vec![number(room)],
        ..Batch::default()
    }
}

fn memory(what: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let rss = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("VmRSS: unknown");
    println!("{what}: {rss}");
}

#[expect(clippy::disallowed_methods, reason = "a measured duration")]
fn now() -> Instant {
    Instant::now()
}

fn rate(what: &str, count: u64, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{what}: {:.0}/s, {:.3} ms each",
        count as f64 / seconds,
        seconds * 1e3 / count as f64
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure() {
    let dir = tempfile::tempdir().expect("temporary directory");
    memory("before opening");
    let store = RocksStore::open(RocksSettings::new(dir.path())).expect("store opens");
    memory("empty store");
    let mut room = 0;
    for writers in [1, 16, 256] {
        let (started, before) = (now(), store.stats());
        let each = if writers == 1 { 500 } else { EVENTS / writers };
        let mut tasks = JoinSet::new();
        for _ in 0..writers {
            room += 1;
            let (store, room) = (store.clone(), room);
            tasks.spawn(async move {
                for n in 1..=each {
                    store.submit(event(room, n)).await.expect("batch commits");
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        rate(&format!("commits, {writers} writers"), each * writers, started);
        let groups = store.stats().groups - before.groups;
        println!("  groups of {:.1}", (each * writers) as f64 / groups as f64);
    }
    memory("after writing");
    reads(&store, "memtables").await;
    store.flush().await.expect("flush works");
    reads(&store, "table files").await;
    memory("after reading");
    let (started, position) = (now(), store.position());
    store.close().await;
    println!("close: {:?}", started.elapsed());
    let started = now();
    let store = RocksStore::open(RocksSettings::new(dir.path())).expect("store opens");
    println!("open: {:?}", started.elapsed());
    assert_eq!(store.position(), position);
}

/// Reads in the rooms of the run with 16 writers (rooms 2 to 17, 1,000 events each).
async fn reads(store: &RocksStore, whence: &str) {
    let get = |n: u64| Read::Get { t: Table::Evt, k: key(2 + n % 16, b'e', 1 + n * 7 % 1_000) };
    for gets in [1u64, 8, 9, 100] {
        let started = now();
        for turn in 0..500 {
            let reads = (0..gets).map(|n| get(turn * gets + n)).collect();
            store.read(reads).await.expect("read works");
        }
        rate(&format!("{whence}: reads of {gets} events"), 500, started);
    }
    let newest = |room: u64| {
        let (lo, hi) = (key(room, b't', 0), key(room, b't', u64::MAX));
        Read::Scan { t: Table::Seq, lo, hi, rev: true, limit: 20 }
    };
    for rooms in [1, 16] {
        let started = now();
        for _ in 0..200 {
            store.read((2..2 + rooms).map(newest).collect()).await.expect("read works");
        }
        rate(&format!("{whence}: newest 20 rows of {rooms} rooms"), 200, started);
    }
}
