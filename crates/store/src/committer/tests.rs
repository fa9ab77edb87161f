use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Committer, Engine, Overlay, Recovery, Stored};
use crate::{
    Batch, CommitError, Key, LIMITS, Op, Part, Pre, StoreError, StreamPos, Table, batch::version_of,
};

/// Keeps rows in memory; its disk can be broken, and held so that a group gathers.
#[derive(Default)]
struct Disk {
    rows: Mutex<Overlay>,
    writes: Mutex<Vec<usize>>,
    broken: AtomicBool,
    /// A write that fails is stored nevertheless.
    lies: AtomicBool,
    /// What opening anew finds.
    recovers_at: Mutex<Option<StreamPos>>,
    unreadable: AtomicBool,
    held: Mutex<()>,
}

fn broken() -> StoreError {
    StoreError::Unavailable("disk on fire".into())
}

impl Stored for Disk {
    fn keys(&self, t: Table, lo: &Key, hi: &Key, limit: usize) -> Result<Vec<Key>, StoreError> {
        if self.unreadable.load(Ordering::SeqCst) {
            return Err(broken());
        }
        let rows = self.rows.lock();
        let range = rows.range((t, lo.clone())..(t, hi.clone()));
        Ok(range.filter(|(_, v)| v.is_some()).map(|((_, k), _)| k.clone()).take(limit).collect())
    }
}

impl Engine for Disk {
    fn versions(&self, rows: &[(Table, Key)]) -> Result<Vec<Option<u64>>, StoreError> {
        if self.unreadable.load(Ordering::SeqCst) {
            return Err(broken());
        }
        let stored = self.rows.lock();
        let version = |row| stored.get(row).and_then(Option::as_ref).map(|v| version_of(v));
        Ok(rows.iter().map(version).collect())
    }

    fn write(&self, rows: &Overlay) -> Result<(), StoreError> {
        drop(self.held.lock());
        if self.broken.load(Ordering::SeqCst) {
            return Err(broken());
        }
        self.writes.lock().push(rows.len());
        self.rows.lock().extend(rows.clone());
        if self.lies.swap(false, Ordering::SeqCst) { Err(broken()) } else { Ok(()) }
    }

    fn recover(&self) -> Recovery {
        match *self.recovers_at.lock() {
            Some(pos) => Recovery::At(pos),
            None => Recovery::Failed(broken()),
        }
    }
}

fn key(tag: u8) -> Key {
    Key::new(Part(1 << 60), tag)
}

fn put(tag: u8) -> Batch {
    let ops = vec![Op::Put { t: Table::Usr, k: key(tag), v: Bytes::from_static(b"v") }];
    Batch { ops, ..Batch::default() }
}

fn start() -> (Arc<Disk>, Committer) {
    let disk = Arc::new(Disk::default());
    let committer = Committer::start(disk.clone(), StreamPos(7)).expect("threads can be started");
    (disk, committer)
}

#[tokio::test]
async fn batches_that_wait_for_the_disk_share_one_write() {
    let (disk, committer) = start();
    let hold = disk.held.lock();
    let first = committer.submit(put(0));
    // The thread may take some of these together with the first; the rest gather behind it.
    let pending: Vec<_> = (1..100).map(|tag| committer.submit(put(tag))).collect();
    drop(hold);
    assert_eq!(first.await, Ok(StreamPos(8)));
    for (pos, pending) in (9..).zip(pending) {
        assert_eq!(pending.await, Ok(StreamPos(pos)));
    }
    assert!(disk.writes.lock().len() <= 3, "{:?}", disk.writes.lock());
    assert_eq!(committer.position(), StreamPos(107));
    assert_eq!(committer.counters().batches.load(Ordering::SeqCst), 100);
}

#[tokio::test]
async fn failed_write_fails_everybody_from_then_on() {
    let (disk, committer) = start();
    assert_eq!(committer.submit(put(0)).await, Ok(StreamPos(8)));
    disk.broken.store(true, Ordering::SeqCst);
    let lost = committer.submit(put(1)).await;
    assert!(
        matches!(&lost, Err(CommitError::Unavailable(why)) if why.contains("fire")),
        "{lost:?}"
    );
    // The disk works again, but nobody knows what it holds: only a restart may go on.
    disk.broken.store(false, Ordering::SeqCst);
    for tag in 2..5 {
        let lost = committer.submit(put(tag)).await;
        assert!(matches!(lost, Err(CommitError::Unavailable(_))), "{lost:?}");
    }
    assert_eq!(committer.position(), StreamPos(8));
    assert_eq!(disk.writes.lock().len(), 1);
}

#[tokio::test]
async fn lost_write_that_is_not_stored_gives_its_position_again() {
    let (disk, committer) = start();
    *disk.recovers_at.lock() = Some(StreamPos(7));
    disk.broken.store(true, Ordering::SeqCst);
    assert!(matches!(committer.submit(put(1)).await, Err(CommitError::Unavailable(_))));
    disk.broken.store(false, Ordering::SeqCst);
    assert_eq!(again(&committer, put(2)).await, StreamPos(8));
    assert_eq!(committer.ready().ok(), Some(()));
}

#[tokio::test]
async fn lost_write_that_is_stored_is_told_to_the_hook() {
    let (disk, committer) = start();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seer = seen.clone();
    committer.on_commit(Arc::new(move |pos, lines| seer.lock().push((pos, lines.len()))));
    *disk.recovers_at.lock() = Some(StreamPos(8));
    disk.lies.store(true, Ordering::SeqCst);
    let batch = Batch { changes: vec![Bytes::from_static(b"c")], ..put(1) };
    assert!(matches!(committer.submit(batch).await, Err(CommitError::Unavailable(_))));
    assert_eq!(again(&committer, put(2)).await, StreamPos(9));
    assert_eq!(*seen.lock(), [(StreamPos(8), 1)]);
}

#[tokio::test]
async fn store_that_lost_acknowledged_batches_takes_no_more() {
    let (disk, committer) = start();
    *disk.recovers_at.lock() = Some(StreamPos(3));
    disk.lies.store(true, Ordering::SeqCst);
    assert!(committer.submit(put(1)).await.is_err());
    committer.failed().await;
    assert!(committer.submit(put(2)).await.is_err());
}

/// Refused for as long as the engine opens anew.
async fn again(committer: &Committer, batch: Batch) -> StreamPos {
    loop {
        if let Ok(pos) = committer.submit(batch.clone()).await {
            return pos;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn failed_precondition_read_fails_the_group_only() {
    let (disk, committer) = start();
    let mut batch = put(0);
    batch.pre.push(Pre::Absent { t: Table::Usr, k: key(0) });
    disk.unreadable.store(true, Ordering::SeqCst);
    let lost = committer.submit(batch.clone()).await;
    assert!(matches!(lost, Err(CommitError::Unavailable(_))), "{lost:?}");
    disk.unreadable.store(false, Ordering::SeqCst);
    assert_eq!(committer.submit(batch).await, Ok(StreamPos(8)));
}

#[tokio::test]
async fn batch_that_cannot_read_its_range_is_taken_back() {
    let (disk, committer) = start();
    let mut batch = put(0);
    batch.ops.push(Op::DelRange { t: Table::Usr, lo: key(1), hi: key(9) });
    disk.unreadable.store(true, Ordering::SeqCst);
    let lost = committer.submit(batch).await;
    assert!(matches!(lost, Err(CommitError::Unavailable(_))), "{lost:?}");
    assert_eq!(committer.submit(put(5)).await, Ok(StreamPos(8)));
    assert!(!disk.rows.lock().contains_key(&(Table::Usr, key(0))));
}

#[tokio::test]
async fn closing_commits_what_waits_and_refuses_the_rest() {
    let (disk, committer) = start();
    let hold = disk.held.lock();
    let pending: Vec<_> = (0..10).map(|tag| committer.submit(put(tag))).collect();
    drop(hold);
    committer.close();
    for pending in pending {
        assert!(pending.await.is_ok());
    }
    let late = committer.submit(put(0)).await;
    assert_eq!(late, Err(CommitError::Unavailable("the store is closed".into())));
}

#[tokio::test]
async fn panicking_hook_leaves_nobody_waiting() {
    let (_disk, committer) = start();
    committer.on_commit(Arc::new(|_, _| panic!("a bug in a follower")));
    let batch = Batch { changes: vec![Bytes::from_static(b"c")], ..put(0) };
    let (first, second) = (committer.submit(batch), committer.submit(put(1)));
    assert!(matches!(first.await, Err(CommitError::Unavailable(_))));
    // In the same group or after it: answered either way.
    let _ = second.await;
    committer.close();
    assert!(matches!(committer.submit(put(2)).await, Err(CommitError::Unavailable(_))));
}

#[tokio::test]
async fn too_large_batch_is_answered_without_the_thread() {
    let (disk, committer) = start();
    let hold = disk.held.lock();
    let value = Bytes::from(vec![0; LIMITS.value_bytes_max + 1]);
    let ops = vec![Op::Put { t: Table::Usr, k: key(0), v: value }];
    let mut pending = committer.submit(Batch { ops, ..Batch::default() });
    let answer = Pin::new(&mut pending).poll(&mut Context::from_waker(Waker::noop()));
    drop(hold);
    assert_eq!(answer, Poll::Ready(Err(CommitError::TooLarge)));
}
