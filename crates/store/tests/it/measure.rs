//! Figures to compare versions and settings of the engine with; no assertions. Run with
//! `cargo test --release -p blaupause-store -- --ignored --nocapture --test-threads=1 measure`.

use std::time::Instant;

use blaupause_pgcluster::PgCluster;
use blaupause_store::{
    Batch, Key, Op, Part, PgSettings, PgStore, Pre, Read, RocksSettings, RocksStore, Store, Table,
};
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
    let groups = store.clone();
    commits(&store, move || groups.stats().groups).await;
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

/// The same against a PostgreSQL of its own on this machine, with fsync.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_postgres() {
    let cluster = PgCluster::builder()
        .set("fsync", "on")
        .set("full_page_writes", "on")
        .set("shared_buffers", "256MB")
        .start();
    let Some(cluster) = cluster else { return };
    for connections in [1, 4] {
        println!("{connections} connections for commits");
        let mut settings = PgSettings::new(cluster.dsn(&cluster.new_database()));
        settings.commit_connections = connections;
        let store = PgStore::open(settings).await.expect("store opens");
        let groups = store.clone();
        commits(&store, move || groups.stats().groups).await;
        reads(&store, "postgres").await;
        store.close().await;
    }
}

/// One event after the other in each of several rooms at once.
async fn commits<S: Store + Clone>(store: &S, groups: impl Fn() -> u64) {
    let mut room = 0;
    for writers in [1, 16, 64, 256] {
        let (started, before) = (now(), groups());
        let each = if writers == 1 { 500 } else { EVENTS / writers };
        let mut tasks = JoinSet::new();
        for _ in 0..writers {
            room += 1;
            let (store, room) = (store.clone(), room);
            tasks.spawn(async move {
                let mut waits = Vec::new();
                for n in 1..=each {
                    let started = now();
                    store.submit(event(room, n)).await.expect("batch commits");
                    waits.push(started.elapsed());
                }
                waits
            });
        }
        let mut waits = tasks.join_all().await.concat();
        rate(&format!("commits, {writers} writers"), each * writers, started);
        waits.sort();
        let at =
            |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "  groups of {:.1}, p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms",
            (each * writers) as f64 / (groups() - before) as f64,
            at(0.5),
            at(0.95),
            at(0.99)
        );
    }
}

/// Reads in the rooms of the run with 16 writers (rooms 2 to 17, 1,000 events each).
async fn reads(store: &impl Store, whence: &str) {
    let get = |n: u64| Read::Get { t: Table::Evt, k: key(2 + n % 16, b'e', 1 + n * 7 % 1_000) };
    for gets in [1u64, 8, 9, 64, 100] {
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

/// What one read costs, cached and not: medians, so that a busy machine does not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_reads() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = RocksStore::open(RocksSettings::new(dir.path())).expect("store opens");
    let pending: Vec<_> = (1..=1_000)
        .flat_map(|n| (2..18).map(move |room| event(room, n)))
        .map(|b| store.submit(b))
        .collect();
    for pending in pending {
        pending.await.expect("batch commits");
    }
    read_medians(&store, "memtables").await;
    store.flush().await.expect("flush works");
    store.close().await;
    drop(store);
    let store = RocksStore::open(RocksSettings::new(dir.path())).expect("store opens");
    read_medians(&store, "first time").await;
    read_medians(&store, "second time").await;
}

async fn read_medians(store: &RocksStore, whence: &str) {
    let get = |n: u64| Read::Get { t: Table::Evt, k: key(2 + n % 16, b'e', 1 + n * 7 % 1_000) };
    let newest = |room: u64| {
        let (lo, hi) = (key(room, b't', 0), key(room, b't', u64::MAX));
        Read::Scan { t: Table::Seq, lo, hi, rev: true, limit: 10 }
    };
    for size in [1u64, 8, 9, 20, 64, 100] {
        let reads = |turn: u64| (0..size).map(|n| get(turn * size + n)).collect();
        median(store, &format!("{whence}: {size} events"), reads).await;
    }
    for rooms in [1u64, 2, 3, 16] {
        let reads = |turn: u64| (0..rooms).map(|n| newest(2 + (turn + n) % 16)).collect();
        median(store, &format!("{whence}: newest 10 rows of {rooms} rooms"), reads).await;
    }
}

async fn median(store: &RocksStore, what: &str, reads: impl Fn(u64) -> Vec<Read>) {
    let mut micros = Vec::new();
    for turn in 0..250 {
        let reads = reads(turn);
        let started = now();
        store.read(reads).await.expect("read works");
        micros.push(started.elapsed().as_nanos() as f64 / 1e3);
    }
    micros.sort_by(f64::total_cmp);
    println!("{what}: median {:.1} us, p90 {:.1} us", micros[125], micros[225]);
}
