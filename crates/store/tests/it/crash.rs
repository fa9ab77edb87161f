//! kill -9 at any moment, and logs that end anywhere: what was acknowledged is there, what is there is whole.
//!
//! The parent starts this test binary again as a child that writes, reads the acknowledged ids
//! from its output, kills it after a random number of them and looks at the directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use blaupause_store::{
    Batch, Got, Key, Op, Part, Pre, Read, RocksSettings, RocksStore, Store, StreamPos, Table,
};
use bytes::Bytes;
use tokio::task::JoinSet;

const DIRECTORY: &str = "BLAUPAUSE_CRASH_TEST_DIRECTORY";
const SMALL_BUFFERS: &str = "BLAUPAUSE_CRASH_TEST_SMALL_BUFFERS";
const ROUNDS: usize = 8;
const TASKS: u64 = 8;
const ACKS_MAX: u64 = 400;

fn part(task: u64) -> Part {
    Part((task + 1) << 56)
}

fn key(task: u64, tag: u8, n: u64) -> Key {
    let mut bytes = Key::new(part(task), tag).as_bytes().to_vec();
    bytes.extend_from_slice(&n.to_be_bytes());
    Key::from_bytes(bytes)
}

/// Sizes from nothing to several disk blocks, different for neighbors.
fn body(task: u64, n: u64) -> Bytes {
    let size = (n * 2_654_435_761 + task * 97) % 9_000;
    Bytes::from(vec![(n % 251) as u8; size as usize])
}

/// Batch `n` of a task: a row in two tables, the head, a line in the log, and the row of batch
/// n - 10 removed.
fn batch(task: u64, n: u64) -> Batch {
    let head = Key::new(part(task), b'h');
    let mut ops = vec![
        Op::Put { t: Table::Evt, k: key(task, b'e', n), v: body(task, n) },
        Op::PutStamped {
            t: Table::Idx,
            k: key(task, b'i', n),
            v: Bytes::from_static(&[0; 8]),
            key_at: None,
            value_at: Some(0),
        },
        Op::Put { t: Table::Box, k: key(task, b'q', n), v: Bytes::new() },
        Op::Put { t: Table::Meta, k: head.clone(), v: Bytes::copy_from_slice(&n.to_be_bytes()) },
    ];
    if n > 10 {
        let (lo, hi) = (key(task, b'q', 0), key(task, b'q', n - 9));
        ops.push(Op::DelRange { t: Table::Box, lo, hi });
    }
    Batch {
        pre: vec![Pre::Version { t: Table::Meta, k: head, is: n - 1 }],
        ops,
        changes: vec![Bytes::copy_from_slice(&[task.to_be_bytes(), n.to_be_bytes()].concat())],
        ..Batch::default()
    }
}

/// Whether table files are written all the time, so that the kill also meets that.
#[derive(Clone, Copy, PartialEq)]
enum Buffers {
    Small,
    Ordinary,
}

fn open(dir: &Path, buffers: Buffers) -> RocksStore {
    let mut settings = RocksSettings::new(dir);
    if buffers == Buffers::Small {
        settings.write_buffer_bytes = 1 << 20;
    }
    RocksStore::open(settings).expect("store opens after any crash")
}

async fn rows(store: &RocksStore, t: Table, lo: Key, hi: Key) -> Vec<(Key, Bytes)> {
    let read = Read::Scan { t, lo, hi, rev: false, limit: 200_000 };
    match store.read(vec![read]).await.expect("read works").pop() {
        Some(Got::Rows { rows, more: false }) => rows,
        other => panic!("all rows fit: {other:?}"),
    }
}

async fn tagged(store: &RocksStore, t: Table, task: u64, tag: u8) -> Vec<(Key, Bytes)> {
    rows(store, t, Key::new(part(task), tag), Key::new(part(task), tag + 1)).await
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("8 bytes were written"))
}

async fn head(store: &RocksStore, task: u64) -> u64 {
    tagged(store, Table::Meta, task, b'h').await.first().map_or(0, |(_, v)| number(v))
}

/// The child: does nothing in an ordinary test run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_writes_until_killed() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let small = std::env::var_os(SMALL_BUFFERS).is_some();
    let store = open(Path::new(&dir), if small { Buffers::Small } else { Buffers::Ordinary });
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            for n in head(&store, task).await + 1.. {
                let pos = store.submit(batch(task, n)).await.expect("batch commits");
                let line = format!("\nack {task} {n} {}\n", pos.0);
                std::io::stdout().write_all(line.as_bytes()).expect("the parent reads");
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("task runs until killed");
    }
}

struct Ack {
    task: u64,
    n: u64,
    pos: u64,
}

fn parse(line: &str) -> Option<Ack> {
    let mut words = line.strip_prefix("ack ")?.split(' ').map(|word| word.parse().ok());
    Some(Ack { task: words.next()??, n: words.next()??, pos: words.next()?? })
}

fn start_child(dir: &Path, buffers: Buffers) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this test binary"));
    if buffers == Buffers::Small {
        command.env(SMALL_BUFFERS, "1");
    }
    command
        .args(["crash::child_writes_until_killed", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("child starts")
}

/// Let a child write, kill it after that many acknowledgements, and return all it managed to say.
fn run_and_kill(dir: &Path, buffers: Buffers, acks: u64) -> Vec<Ack> {
    let mut child = start_child(dir, buffers);
    let mut output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    let mut heard = Vec::new();
    loop {
        let mut line = String::new();
        let bytes = output.read_line(&mut line).expect("output is text");
        // A line that the kill cut off says nothing.
        let Some(line) = line.strip_suffix('\n') else {
            assert!(heard.len() as u64 >= acks, "the child ended by itself");
            break;
        };
        assert!(bytes > 0);
        heard.extend(parse(line));
        if heard.len() as u64 == acks {
            child.kill().expect("child can be killed");
        }
    }
    child.wait().expect("child is gone");
    heard
}

/// Every batch in the store is whole, and positions have no hole. The result says which position
/// batch `n` of a task has.
async fn check_whole(store: &RocksStore) -> BTreeMap<(u64, u64), u64> {
    let mut found = BTreeMap::new();
    let log =
        rows(store, Table::Seq, Batch::log_key(1, 0, 0), Batch::log_key(1, u64::MAX, 0)).await;
    assert_eq!(log.len() as u64, store.position().0, "one line per position, no hole");
    for (pos, (key, line)) in (1..).zip(log) {
        assert_eq!(key, Batch::log_key(1, pos, 0));
        found.insert((number(&line[..8]), number(&line[8..])), pos);
    }
    for task in 0..TASKS {
        let newest = head(store, task).await;
        let events = tagged(store, Table::Evt, task, b'e').await;
        let index = tagged(store, Table::Idx, task, b'i').await;
        let queue = tagged(store, Table::Box, task, b'q').await;
        assert_eq!((events.len() as u64, index.len() as u64), (newest, newest));
        assert_eq!(queue.len() as u64, newest.min(10));
        assert_eq!(
            queue.last().map(|(k, _)| k.clone()),
            queue.last().map(|_| key(task, b'q', newest))
        );
        for (n, ((event, value), (indexed, pos))) in (1..).zip(events.into_iter().zip(index)) {
            assert_eq!((event, indexed), (key(task, b'e', n), key(task, b'i', n)));
            assert_eq!(value, body(task, n));
            assert_eq!(found.get(&(task, n)), Some(&number(&pos)));
        }
    }
    found
}

#[tokio::test]
async fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut before = StreamPos(0);
    for round in 0..ROUNDS {
        let acks = 1 + RandomState::new().hash_one(round) % ACKS_MAX;
        let buffers = if round % 2 == 0 { Buffers::Small } else { Buffers::Ordinary };
        let heard = run_and_kill(dir.path(), buffers, acks);
        let store = open(dir.path(), buffers);
        assert!(store.position() > before, "positions never go back");
        let found = check_whole(&store).await;
        for Ack { task, n, pos } in heard {
            assert_eq!(
                found.get(&(task, n)),
                Some(&pos),
                "round {round}: lost task {task} batch {n}"
            );
            assert!(pos > before.0, "a position was given twice");
        }
        before = store.position();
        store.close().await;
    }
}

/// What a power loss may leave behind: a log that ends in the middle of a write, or garbage in it.
#[tokio::test]
async fn damaged_log_leaves_whole_batches() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let died = dir.path().join("died");
    run_and_kill(&died, Buffers::Ordinary, 200);
    let random = RandomState::new();
    let mut positions = BTreeSet::new();
    for round in 0..30u64 {
        let copy = dir.path().join(round.to_string());
        let log = copy_and_find_log(&died, &copy);
        let mut bytes = std::fs::read(&log).expect("log can be read");
        let at = random.hash_one(round) as usize % bytes.len();
        if round % 3 == 0 {
            bytes[at] ^= 0x10;
        } else {
            bytes.truncate(at);
        }
        std::fs::write(&log, bytes).expect("log can be written");
        let store = open(&copy, Buffers::Ordinary);
        check_whole(&store).await;
        positions.insert(store.position());
    }
    assert!(positions.len() > 10, "the damage was in many places: {positions:?}");
}

/// A copy of the database, and the newest log in it.
fn copy_and_find_log(from: &Path, to: &Path) -> PathBuf {
    std::fs::create_dir(to).expect("directory can be made");
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(from).expect("directory can be read") {
        let path = entry.expect("directory can be read").path();
        let copy = to.join(path.file_name().expect("entries have names"));
        std::fs::copy(&path, &copy).expect("file can be copied");
        if copy.extension().is_some_and(|extension| extension == "log") {
            logs.push(copy);
        }
    }
    logs.into_iter().max().expect("there is a log")
}
