//! kill -9 at any moment, and logs that end anywhere: what was acknowledged is there, what is there is whole.
//!
//! The parent starts this test binary again as a child that writes, reads the acknowledged ids
//! from its output, kills it after a random number of them and looks at the directory.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use blaupause_store::{
    DamagedLog, Key, RocksSettings, RocksStore, Store, StoreError, StreamPos, Table,
};
use bytes::Bytes;
use tokio::task::JoinSet;

pub(crate) use crate::load::{TASKS, batch, check_whole, head, head_key, number};

const DIRECTORY: &str = "BLAUPAUSE_CRASH_TEST_DIRECTORY";
const SMALL_BUFFERS: &str = "BLAUPAUSE_CRASH_TEST_SMALL_BUFFERS";
const ACKS_MAX: u64 = 400;
/// Multiplies the rounds of all faults: 1 at every change, more at night and before a release.
const ROUNDS: &str = "BLAUPAUSE_FAULT_ROUNDS";

/// So many rounds, or a multiple of them.
pub(crate) fn rounds(usual: u64) -> u64 {
    let times = std::env::var(ROUNDS).ok().and_then(|times| times.parse::<u64>().ok());
    usual * times.unwrap_or(1)
}

/// Whether table files are written all the time, so that the kill also meets that.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Buffers {
    Small,
    Ordinary,
}

pub(crate) fn open(dir: &Path, buffers: Buffers) -> RocksStore {
    let mut settings = RocksSettings::new(dir);
    if buffers == Buffers::Small {
        settings.write_buffer_bytes = 1 << 20;
    }
    RocksStore::open(settings).expect("store opens after any crash")
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

#[derive(Debug)]
pub(crate) struct Ack {
    pub task: u64,
    pub n: u64,
    pub pos: u64,
}

pub(crate) fn parse(line: &str) -> Option<Ack> {
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

#[tokio::test]
async fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut before = StreamPos(0);
    for round in 0..rounds(8) {
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

/// What a power loss may leave behind: a log that ends in the middle of a write.
#[tokio::test]
async fn log_that_ends_anywhere_leaves_whole_batches() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let died = dir.path().join("died");
    run_and_kill(&died, Buffers::Ordinary, 200);
    let random = RandomState::new();
    let mut positions = BTreeSet::new();
    for round in 0..rounds(20) {
        let copy = dir.path().join(round.to_string());
        let log = copy_and_find_log(&died, &copy);
        let mut bytes = std::fs::read(&log).expect("log can be read");
        bytes.truncate(random.hash_one(round) as usize % bytes.len());
        std::fs::write(&log, bytes).expect("log can be written");
        let store = open(&copy, Buffers::Ordinary);
        check_whole(&store).await;
        positions.insert(store.position());
        drop(store);
        std::fs::remove_dir_all(&copy).expect("removable");
    }
    assert!(positions.len() > 10, "it ended in many places: {positions:?}");
}

/// What no power loss does: a changed bit, or a lost block, in what had been synced. Nobody may
/// find out by missing messages; the operator decides.
#[tokio::test]
async fn damage_before_the_end_of_the_log_refuses_the_start() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let died = dir.path().join("died");
    run_and_kill(&died, Buffers::Ordinary, 200);
    let random = RandomState::new();
    let mut positions = BTreeSet::new();
    for round in 0..rounds(20) {
        let copy = dir.path().join(round.to_string());
        let log = copy_and_find_log(&died, &copy);
        let mut bytes = std::fs::read(&log).expect("log can be read");
        let at = random.hash_one(round) as usize % (bytes.len() / 2);
        if round % 4 == 0 {
            let block = at / 32_768 * 32_768;
            bytes[block..block + 32_768].fill(0);
        } else {
            bytes[at] ^= 0x10;
        }
        std::fs::write(&log, &bytes).expect("log can be written");
        let settings = RocksSettings::new(&copy);
        let error = RocksStore::open(settings.clone()).map(|_| ()).expect_err("damaged");
        let StoreError::Damaged(why) = error else { panic!("{error}") };
        assert!(why.contains(&log.display().to_string()), "{why}");
        assert_eq!(std::fs::read(&log).expect("log can be read").len(), bytes.len(), "untouched");
        let store = RocksStore::open(RocksSettings { damaged_log: DamagedLog::Cut, ..settings });
        let store = store.expect("what is before the damage can be had");
        check_whole(&store).await;
        positions.insert(store.position());
        store.close().await;
        let store = open(&copy, Buffers::Ordinary);
        check_whole(&store).await;
    }
    assert!(positions.len() > 5, "the damage was in many places: {positions:?}");
}

/// A changed bit anywhere else: opening or reading says so, and no answer is wrong.
#[tokio::test]
async fn changed_bit_in_a_file_is_an_error_or_unimportant() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let died = dir.path().join("died");
    run_and_kill(&died, Buffers::Small, 300);
    let store = open(&died, Buffers::Small);
    let undamaged = all_rows(&store).await.expect("undamaged");
    store.close().await;
    drop(store);
    let random = RandomState::new();
    let mut noticed = 0;
    for round in 0..rounds(40) {
        let copy = dir.path().join(round.to_string());
        copy_files(&died, &copy);
        let mut files: Vec<_> = files(&copy)
            .filter(|file| {
                let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                name.ends_with(".sst") || name.starts_with("MANIFEST") || name == "CURRENT"
            })
            .collect();
        files.sort();
        let file = &files[random.hash_one((round, 1)) as usize % files.len()];
        let mut bytes = std::fs::read(file).expect("file can be read");
        let at = random.hash_one(round) as usize % bytes.len();
        bytes[at] ^= 1 << (round % 8);
        std::fs::write(file, bytes).expect("file can be written");
        let Ok(store) = RocksStore::open(RocksSettings::new(&copy)) else {
            noticed += 1;
            continue;
        };
        match all_rows(&store).await {
            Ok(rows) => assert!(rows == undamaged, "{file:?} byte {at}"),
            Err(_) => noticed += 1,
        }
    }
    assert!(noticed > 20, "most of a file is data: {noticed}");
}

async fn all_rows(store: &RocksStore) -> Result<Vec<(Key, Bytes)>, StoreError> {
    let mut all = Vec::new();
    for table in Table::ALL {
        let mut from = None;
        loop {
            let (rows, next) = store.export(table, from, 1_000).await?;
            all.extend(rows);
            if next.is_none() {
                break;
            }
            from = next;
        }
    }
    Ok(all)
}

fn files(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(dir).expect("directory can be read");
    entries.map(|entry| entry.expect("directory can be read").path())
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("directory can be made");
    for path in files(from) {
        let copy = to.join(path.file_name().expect("entries have names"));
        std::fs::copy(&path, &copy).expect("file can be copied");
    }
}

/// A copy of the database, and the newest log in it that holds something.
fn copy_and_find_log(from: &Path, to: &Path) -> PathBuf {
    copy_files(from, to);
    let is_log = |file: &PathBuf| {
        file.extension().is_some_and(|extension| extension == "log")
            && file.metadata().is_ok_and(|about| about.len() > 0)
    };
    files(to).filter(is_log).max().expect("there is a log")
}
