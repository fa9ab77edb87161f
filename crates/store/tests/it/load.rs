//! What the crash tests write, and what must be true of it afterwards, on any engine.

use std::collections::BTreeMap;

use blaupause_store::{Batch, Got, Key, Op, Part, Pre, Read, Store, Table};
use bytes::Bytes;

pub const TASKS: u64 = 8;

fn part(task: u64) -> Part {
    Part((task + 1) << 56)
}

fn key(task: u64, tag: u8, n: u64) -> Key {
    let mut bytes = Key::new(part(task), tag).as_bytes().to_vec();
    bytes.extend_from_slice(&n.to_be_bytes());
    Key::from_bytes(bytes)
}

/// The key of the row that says how many batches a task has written.
pub fn head_key(task: u64) -> Key {
    Key::new(part(task), b'h')
}

/// Sizes from nothing to several disk blocks, different for neighbors.
fn body(task: u64, n: u64) -> Bytes {
    let size = (n * 2_654_435_761 + task * 97) % 9_000;
    Bytes::from(vec![(n % 251) as u8; size as usize])
}

/// Batch `n` of a task: a row in two tables, the head, a line in the log, and the row of batch
/// n - 10 removed.
pub fn batch(task: u64, n: u64) -> Batch {
    let head = head_key(task);
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

async fn rows(store: &impl Store, t: Table, lo: Key, hi: Key) -> Vec<(Key, Bytes)> {
    let (mut lo, mut all) = (lo, Vec::new());
    loop {
        let read = Read::Scan { t, lo, hi: hi.clone(), rev: false, limit: 200_000 };
        match store.read(vec![read]).await.expect("read works").pop() {
            Some(Got::Rows { rows, more }) => {
                all.extend(rows);
                if !more {
                    return all;
                }
                lo = all.last().map(|(k, _): &(Key, Bytes)| k.successor()).expect("a full answer");
            }
            other => panic!("a scan is answered with rows: {other:?}"),
        }
    }
}

async fn tagged(store: &impl Store, t: Table, task: u64, tag: u8) -> Vec<(Key, Bytes)> {
    rows(store, t, Key::new(part(task), tag), Key::new(part(task), tag + 1)).await
}

pub fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("8 bytes were written"))
}

pub async fn head(store: &impl Store, task: u64) -> u64 {
    tagged(store, Table::Meta, task, b'h').await.first().map_or(0, |(_, v)| number(v))
}

/// Every batch in the store is whole, and positions have no hole. The result says which position
/// batch `n` of a task has.
pub async fn check_whole(store: &impl Store) -> BTreeMap<(u64, u64), u64> {
    check(store, Holes::None).await
}

/// As [`check_whole`], but positions may be missing.
pub async fn check_whole_but_for_holes(store: &impl Store) -> BTreeMap<(u64, u64), u64> {
    check(store, Holes::Allowed).await
}

/// Whether the stream may have positions without a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holes {
    None,
    /// Groups that overlap, and one of them failed.
    Allowed,
}

async fn check(store: &impl Store, holes: Holes) -> BTreeMap<(u64, u64), u64> {
    let mut found = BTreeMap::new();
    let log =
        rows(store, Table::Seq, Batch::log_key(1, 0, 0), Batch::log_key(1, u64::MAX, 0)).await;
    if holes == Holes::None {
        assert_eq!(log.len() as u64, store.position().0, "one line per position, no hole");
    }
    for (key, line) in log {
        let pos = number(&key.as_bytes()[9..17]);
        assert_eq!(key, Batch::log_key(1, pos, 0));
        assert!(pos <= store.position().0, "a position beyond the newest");
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
