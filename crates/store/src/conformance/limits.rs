use bytes::Bytes;

use super::{PART, all, batch, commit, get, k, key, put, refused, scan};
use crate::{Batch, CommitError, Db, Key, LIMITS, Op, Pre, Store, Table};

const T: Table = Table::Evt;

fn key_of(bytes: usize) -> Key {
    key(PART, b'k', vec![b'x'; bytes - 9])
}

/// A batch whose keys and values have this many bytes together.
fn batch_of(bytes: usize) -> Batch {
    let value = LIMITS.value_bytes_max;
    let mut ops = Vec::new();
    let mut left = bytes;
    while left > 0 {
        let k = key(PART, b'k', (ops.len() as u32).to_be_bytes());
        let v = value.min(left - k.as_bytes().len());
        left -= k.as_bytes().len() + v;
        ops.push(put(T, k, vec![b'v'; v]));
    }
    batch(ops)
}

pub(super) async fn at_the_limit_is_accepted(db: Db) {
    let value = vec![b'v'; LIMITS.value_bytes_max];
    commit(&db, vec![put(T, key_of(LIMITS.key_bytes_max), value.clone())]).await;
    assert_eq!(get(&db, T, key_of(LIMITS.key_bytes_max)).await, Some(value));
    db.submit(batch_of(LIMITS.batch_bytes_max)).await.expect("batch commits");
    let row = |n: usize| put(T, key(PART, b'n', (n as u32).to_be_bytes()), "");
    commit(&db, (0..LIMITS.batch_ops_max).map(row).collect()).await;
    let changes = vec![Bytes::from_static(b"c"); LIMITS.batch_ops_max];
    let pos = db.submit(Batch { changes, ..Batch::default() }).await.expect("batch commits");
    let last = Batch::log_key(Batch::SLOT, pos.0, LIMITS.batch_ops_max as u16 - 1);
    assert!(get(&db, Table::Seq, last).await.is_some());
}

pub(super) async fn beyond_the_limit_is_refused_whole(db: Db) {
    let good = || put(T, k("good"), "");
    let value = Bytes::from(vec![0; LIMITS.value_bytes_max + 1]);
    let long = || key_of(LIMITS.key_bytes_max + 1);
    let too_large = [
        batch(vec![good(), put(T, long(), "")]),
        batch(vec![good(), Op::Put { t: T, k: k("v"), v: value.clone() }]),
        batch(vec![good(), Op::Del { t: T, k: long() }]),
        batch(vec![good(), Op::DelRange { t: T, lo: k("a"), hi: long() }]),
        batch(vec![good(); LIMITS.batch_ops_max + 1]),
        batch_of(LIMITS.batch_bytes_max + 1),
        Batch { changes: vec![value.clone()], ..batch(vec![good()]) },
        Batch { changes: vec![Bytes::new(); LIMITS.batch_ops_max], ..batch(vec![good()]) },
        Batch {
            changes: vec![Bytes::from(vec![0; LIMITS.value_bytes_max]); 11],
            ..batch(vec![good()])
        },
        Batch {
            pre: vec![Pre::Lease { vshard: 0, epoch: 0 }; LIMITS.batch_ops_max + 1],
            ..batch(vec![good()])
        },
    ];
    let before = commit(&db, Vec::new()).await;
    for (n, batch) in too_large.into_iter().enumerate() {
        assert_eq!(refused(&db, batch).await, CommitError::TooLarge, "batch {n}");
    }
    assert!(all(&db, T).await.is_empty());
    assert_eq!(commit(&db, Vec::new()).await.0, before.0 + 1, "no position is used up");
}

pub(super) async fn stamp_outside_its_row_is_refused(db: Db) {
    let stamped = |key_at, value_at| {
        let v = Bytes::from_static(b"12345678");
        batch(vec![Op::PutStamped { t: T, k: k("12345678"), v, key_at, value_at }])
    };
    for (key_at, value_at) in [(Some(10), None), (None, Some(1)), (Some(u16::MAX), Some(u16::MAX))]
    {
        assert_eq!(refused(&db, stamped(key_at, value_at)).await, CommitError::TooLarge);
    }
    assert!(all(&db, T).await.is_empty());
    db.submit(stamped(Some(9), Some(0))).await.expect("at the very end it fits");
}

pub(super) async fn scan_rows_are_bounded(db: Db) {
    // No limit of a request may make the engine hold unbounded memory or overflow.
    commit(&db, vec![put(T, k("a"), ""), put(T, k("b"), "")]).await;
    let (found, more) = scan(&db, T, k("a"), k("z"), false, u32::MAX).await;
    assert_eq!((found.len(), more), (2, false));
    let (rows, next) = db.export(T, None, u32::MAX).await.expect("export works");
    assert_eq!((rows.len(), next), (2, None));
}

/// Rows that together are two and a half times what one scan may answer; their keys, in order.
async fn large_rows(db: &Db) -> Vec<Key> {
    let value = vec![b'v'; LIMITS.value_bytes_max];
    let count = LIMITS.scan_bytes_max * 5 / 2 / value.len();
    let keys: Vec<Key> = (0..count).map(|n| key(PART, b'n', (n as u32).to_be_bytes())).collect();
    for keys in keys.chunks(8) {
        commit(db, keys.iter().map(|key| put(T, key.clone(), value.clone())).collect()).await;
    }
    keys
}

pub(super) async fn a_full_scan_says_that_rows_are_left(db: Db) {
    let keys = large_rows(&db).await;
    let (lo, hi) = (key(PART, b'n', ""), key(PART, b'o', ""));
    // The row that reaches the limit is the last.
    let row = keys[0].as_bytes().len() + LIMITS.value_bytes_max;
    let fits = LIMITS.scan_bytes_max.div_ceil(row);
    let (found, more) = scan(&db, T, lo.clone(), hi.clone(), false, u32::MAX).await;
    assert!(more);
    assert_eq!(found, keys[..fits]);
    let (found, more) = scan(&db, T, lo.clone(), hi.clone(), true, u32::MAX).await;
    assert!(more);
    assert!(found.iter().eq(keys.iter().rev().take(fits)));
    // Exactly what fits leaves nothing.
    let (found, more) = scan(&db, T, lo.clone(), keys[fits].clone(), false, u32::MAX).await;
    assert_eq!((found.len(), more), (fits, false));
    // The limit still counts.
    let (found, more) = scan(&db, T, lo, hi, false, 3).await;
    assert_eq!((found.len(), more), (3, true));
}

pub(super) async fn going_on_behind_the_last_row_finds_every_row(db: Db) {
    let keys = large_rows(&db).await;
    let (mut lo, hi) = (key(PART, b'n', ""), key(PART, b'o', ""));
    let mut all = Vec::new();
    loop {
        let (found, more) = scan(&db, T, lo.clone(), hi.clone(), false, u32::MAX).await;
        assert!(!found.is_empty(), "every answer makes progress");
        all.extend(found);
        if !more {
            break;
        }
        lo = all[all.len() - 1].successor();
    }
    assert_eq!(all, keys);
}
