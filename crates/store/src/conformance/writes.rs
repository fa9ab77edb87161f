use bytes::Bytes;

use super::{PART, batch, commit, get, k, key, put, scan};
use crate::{Db, Key, Op, Store, Table};

pub(super) async fn later_operation_of_a_batch_wins(db: Db) {
    let del = |rest| Op::Del { t: Table::Usr, k: k(rest) };
    let ops = vec![
        put(Table::Usr, k("a"), "1"),
        put(Table::Usr, k("a"), "2"),
        put(Table::Usr, k("b"), "1"),
        del("b"),
        del("c"),
        put(Table::Usr, k("c"), "1"),
    ];
    commit(&db, ops).await;
    assert_eq!(get(&db, Table::Usr, k("a")).await, Some(b"2".to_vec()));
    assert_eq!(get(&db, Table::Usr, k("b")).await, None);
    assert_eq!(get(&db, Table::Usr, k("c")).await, Some(b"1".to_vec()));
}

pub(super) async fn deleting_an_absent_row_is_fine(db: Db) {
    commit(&db, vec![Op::Del { t: Table::Usr, k: k("never") }]).await;
    assert_eq!(get(&db, Table::Usr, k("never")).await, None);
    // An empty value is a row.
    commit(&db, vec![put(Table::Usr, k("empty"), "")]).await;
    assert_eq!(get(&db, Table::Usr, k("empty")).await, Some(Vec::new()));
}

pub(super) async fn empty_batch_takes_a_position(db: Db) {
    let first = commit(&db, Vec::new()).await;
    let second = commit(&db, Vec::new()).await;
    assert_eq!(second.0, first.0 + 1);
}

pub(super) async fn stamps_go_into_key_and_value(db: Db) {
    commit(&db, Vec::new()).await;
    let stamped = |rest: &str, key_at, value_at| Op::PutStamped {
        t: Table::Seq,
        k: k(rest),
        v: Bytes::from_static(b"[........]"),
        key_at,
        value_at,
    };
    // Offsets count from the start of the key, partition and tag included.
    let ops = vec![
        stamped("both........end", Some(13), Some(1)),
        stamped("key.........end", Some(13), None),
        stamped("value", None, Some(1)),
        stamped("none", None, None),
    ];
    let pos = commit(&db, ops).await.0.to_be_bytes();
    let with_pos =
        |start: &str, end: &str| key(PART, b'k', [start.as_bytes(), &pos, end.as_bytes()].concat());
    let value = [&b"["[..], &pos, b"]"].concat();
    let plain = b"[........]".to_vec();
    assert_eq!(get(&db, Table::Seq, with_pos("both", "end")).await, Some(value.clone()));
    assert_eq!(get(&db, Table::Seq, with_pos("key.", "end")).await, Some(plain.clone()));
    assert_eq!(get(&db, Table::Seq, k("value")).await, Some(value));
    assert_eq!(get(&db, Table::Seq, k("none")).await, Some(plain));
    assert_eq!(get(&db, Table::Seq, k("both........end")).await, None);
}

pub(super) async fn stamped_rows_order_like_their_batches(db: Db) {
    let stamped = |n: u16| Op::PutStamped {
        t: Table::Box,
        k: key(PART, b'q', [0; 8]),
        v: Bytes::copy_from_slice(&n.to_be_bytes()),
        key_at: Some(9),
        value_at: None,
    };
    let pending: Vec<_> = (0..300).map(|n| db.submit(batch(vec![stamped(n)]))).collect();
    let mut expected = Vec::new();
    for pending in pending {
        let pos = pending.await.expect("batch commits");
        expected.push(key(PART, b'q', pos.0.to_be_bytes()));
    }
    let tag = Key::new(PART, b'q');
    assert_eq!(
        scan(&db, Table::Box, tag.clone(), tag.prefix_end(), false, 1_000).await.0,
        expected
    );
}

pub(super) async fn dropped_pending_still_commits(db: Db) {
    drop(db.submit(batch(vec![put(Table::Usr, k("a"), "1")])));
    commit(&db, Vec::new()).await;
    assert_eq!(get(&db, Table::Usr, k("a")).await, Some(b"1".to_vec()));
}
