//! Power loss at any moment: only what was synced is certainly there, and of the rest anything.
//!
//! A child writes under `strace`, which records every write, sync, rename and removal in order, and
//! the acknowledgements the child prints. From that record the directory is built again as a disk
//! may have it after the power failed at some point: without what was not synced, or with random
//! pages of it. Then the store must open, and every batch acknowledged before that point be there.

mod disk;
mod trace;

use std::{
    hash::{BuildHasher, RandomState},
    path::Path,
    process::{Command, Stdio},
};

use blaupause_store::{Got, Read, RocksSettings, RocksStore, Store, StoreError, Table};
use tokio::task::JoinSet;

use self::{
    disk::{Keeps, Syncs},
    trace::{Event, Trace},
};
use crate::crash::{
    Ack, Buffers, TASKS, batch, check_whole, head, head_key, number, open, parse, rounds,
};

const DIRECTORY: &str = "BLAUPAUSE_POWER_LOSS_TEST_DIRECTORY";
/// What the child commits in each of its tasks. Enough for table files and new logs.
const BATCHES: u64 = 90;
/// Points in time at which the power fails.
const POINTS: u64 = 24;

/// What changes a directory or says that it will last.
const CALLS: &str = "trace=openat,?open,?creat,close,write,pwrite64,ftruncate,fallocate,fsync,\
                     fdatasync,?rename,?renameat,renameat2,?unlink,unlinkat";

/// The child: does nothing in an ordinary test run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_writes_under_strace() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let store = open(Path::new(&dir), Buffers::Small);
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move { write_and_say(&store, task).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no panic");
    }
    store.close().await;
}

/// Every batch until it is acknowledged: an error means that the outcome is unknown.
async fn write_and_say(store: &RocksStore, task: u64) {
    use std::io::Write;
    let mut n = head(store, task).await + 1;
    while n <= BATCHES {
        match store.submit(batch(task, n)).await {
            Ok(pos) => {
                let line = format!("\nack {task} {n} {}\n", pos.0);
                let _ = std::io::stdout().write_all(line.as_bytes());
                n += 1;
            }
            Err(_) => {
                let _ = std::io::stdout().write_all(b"\nrefused\n");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                if let Ok(found) = known_head(store, task).await {
                    n = found + 1;
                }
            }
        }
    }
}

/// While the store opens again nothing can be read.
async fn known_head(store: &RocksStore, task: u64) -> Result<u64, StoreError> {
    let read = Read::Get { t: Table::Meta, k: head_key(task) };
    match store.read(vec![read]).await?.pop() {
        Some(Got::One(value)) => Ok(value.map_or(0, |value| number(&value))),
        other => panic!("a get is answered with a row: {other:?}"),
    }
}

/// Run the child under strace; `None`, with a line that says so, where that cannot be done.
fn record(dir: &Path, trace: &Path, inject: Option<&str>) -> Option<String> {
    let works = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !works.is_ok_and(|status| status.success()) {
        println!("SKIPPED: strace is not installed or may not trace here");
        return None;
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-xx", "-s", "40000000", "-e", CALLS, "-o"]).arg(trace);
    if let Some(inject) = inject {
        command.args(["-e", inject]);
    }
    let output = command
        .arg(std::env::current_exe().expect("this test binary"))
        .args(["power_loss::child_writes_under_strace", "--exact", "--nocapture"])
        .arg("--test-threads=1")
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .expect("strace starts");
    assert!(output.status.success(), "the child ends well");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Build the disk after a power loss and open the store; the acknowledged batches that are lost.
async fn lost_at(trace: &Trace, point: usize, syncs: Syncs, keeps: Keeps, dir: &Path) -> usize {
    disk::build(&trace.events[..point], syncs, keeps, dir);
    let opened = RocksStore::open(RocksSettings::new(dir));
    let store = match opened {
        Ok(store) => store,
        // Table files that are ahead of the log say so.
        Err(_) if syncs == Syncs::OfLogIgnored => return 1,
        Err(error) => panic!("opens after a power loss behind event {point}, {keeps:?}: {error}"),
    };
    let found = check_whole(&store).await;
    store.close().await;
    let acknowledged = trace.events[..point].iter().filter_map(|event| match event {
        Event::Said(ack) => Some(ack),
        _ => None,
    });
    let there = |ack: &Ack| found.get(&(ack.task, ack.n)) == Some(&ack.pos);
    acknowledged.filter(|ack| !there(ack)).count()
}

#[tokio::test]
async fn power_loss_at_any_moment_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (db, file) = (dir.path().join("db"), dir.path().join("trace"));
    std::fs::create_dir(&db).expect("directory");
    if record(&db, &file, None).is_none() {
        return;
    }
    let trace = Trace::read(&file, &db);
    let said = trace.events.iter().filter(|event| matches!(event, Event::Said(_))).count();
    assert_eq!(said as u64, TASKS * BATCHES, "the record is complete");
    let random = RandomState::new();
    let mut seen_by_the_harness = 0;
    for round in 0..rounds(POINTS) {
        let point = 1 + random.hash_one(round) as usize % trace.events.len();
        let keeps = match round % 3 {
            0 => Keeps::Nothing,
            _ => Keeps::Some(random.hash_one((round, "pages"))),
        };
        let copy = dir.path().join(round.to_string());
        let lost = lost_at(&trace, point, Syncs::Kept, keeps, &copy).await;
        assert_eq!(lost, 0, "power loss behind event {point} of {}: {keeps:?}", trace.events.len());
        // The same without the syncs of the log, as `sync = false` would have it: this must lose
        // something, or the harness sees nothing.
        if round % 6 == 0 {
            let copy = dir.path().join(format!("{round}-unsynced"));
            seen_by_the_harness +=
                lost_at(&trace, point, Syncs::OfLogIgnored, Keeps::Nothing, &copy).await;
        }
        std::fs::remove_dir_all(&copy).expect("removable");
    }
    assert!(seen_by_the_harness > 0, "a store that does not sync would pass too");
}

/// The n-th sync of the log fails: what was acknowledged stays, the outcome of the group becomes
/// known by opening again, and the store goes on without a restart.
#[tokio::test]
async fn failed_sync_of_the_log_loses_nothing_and_the_store_goes_on() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for (round, inject) in [
        "inject=fdatasync:error=EIO:when=45",
        "inject=fdatasync:error=ENOSPC:when=60",
        "inject=fdatasync:error=EIO:when=90",
    ]
    .into_iter()
    .enumerate()
    {
        let (db, file) = (dir.path().join(format!("db{round}")), dir.path().join("trace"));
        std::fs::create_dir(&db).expect("directory");
        let Some(said) = record(&db, &file, Some(inject)) else { return };
        let store = open(&db, Buffers::Small);
        let found = check_whole(&store).await;
        let acks: Vec<Ack> = said.lines().filter_map(parse).collect();
        assert!(said.contains("refused"), "{inject} hit a write");
        for Ack { task, n, pos } in acks {
            assert_eq!(found.get(&(task, n)), Some(&pos), "{inject}: lost task {task} batch {n}");
        }
        assert_eq!(store.position().0, TASKS * BATCHES, "{inject}: all went on to the end");
    }
}
