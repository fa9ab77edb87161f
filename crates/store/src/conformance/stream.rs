use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{all, batch, commit, get, k, put, scan};
use crate::{Batch, Db, Key, Part, Store, StreamPos, Table};

fn changes(lines: &[&str]) -> Vec<Bytes> {
    lines.iter().map(|line| Bytes::copy_from_slice(line.as_bytes())).collect()
}

pub(super) async fn positions_grow_by_one_per_batch(db: Db) {
    assert_eq!(db.position(), StreamPos(0), "a new store is at 0");
    let pending: Vec<_> = (0..2_500).map(|_| db.submit(Batch::default())).collect();
    for (n, pending) in (1..).zip(pending) {
        assert_eq!(pending.await, Ok(StreamPos(n)));
    }
    assert_eq!(db.position(), StreamPos(2_500));
    let row = get(&db, Table::Meta, Batch::position_key(Batch::SLOT)).await;
    assert_eq!(row, Some(2_500u64.to_be_bytes().to_vec()));
}

pub(super) async fn position_is_readable_at_once(db: Db) {
    for n in 0..50u64 {
        let pending = db.submit(batch(vec![put(Table::Usr, k("n"), n.to_be_bytes())]));
        let before = db.position();
        let row = get(&db, Table::Usr, k("n")).await;
        let seen =
            row.map_or(0, |row| u64::from_be_bytes(row[..].try_into().expect("8 bytes")) + 1);
        assert!(seen >= before.0, "position {} but only row {seen} is there", before.0);
        let pos = pending.await.expect("batch commits");
        assert!(db.position() >= pos);
    }
}

pub(super) async fn position_is_a_row_like_others(db: Db) {
    let own = Batch::position_key(Batch::SLOT);
    let (lo, hi) = (Key::from_bytes(Bytes::new()), Key::from_bytes(vec![0xff; 9]));
    let whole = async |rev, limit| scan(&db, Table::Meta, lo.clone(), hi.clone(), rev, limit).await;
    assert_eq!(whole(false, 9).await, (Vec::new(), false), "there is none before the first batch");
    let before = Key::new(Part(0), b'a');
    let after = Key::new(Part::slot(Batch::SLOT), Batch::POSITION_TAG + 1);
    commit(&db, vec![put(Table::Meta, before.clone(), "b"), put(Table::Meta, after.clone(), "a")])
        .await;
    let mut keys = vec![before.clone(), own.clone(), after.clone()];
    assert_eq!(all(&db, Table::Meta).await, keys);
    for limit in 0..5 {
        let expected = |keys: &[Key]| (keys[..keys.len().min(limit)].to_vec(), limit < keys.len());
        assert_eq!(whole(false, limit as u32).await, expected(&keys));
        let reversed: Vec<_> = keys.iter().rev().cloned().collect();
        assert_eq!(whole(true, limit as u32).await, expected(&reversed));
    }
    let (rows, _) = scan(&db, Table::Meta, own.clone(), after, false, 9).await;
    assert_eq!(rows, keys[1..2]);
    let (rows, _) = scan(&db, Table::Meta, before, own, true, 9).await;
    assert_eq!(rows.len(), 1, "the upper bound is not in the range");
    let mut from = None;
    let mut exported = Vec::new();
    loop {
        let (rows, next) = db.export(Table::Meta, from, 1).await.expect("export works");
        exported.extend(rows.into_iter().map(|(k, _)| k));
        from = next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(exported, std::mem::take(&mut keys));
}

pub(super) async fn log_rows_hold_the_changes(db: Db) {
    let first = db.submit(Batch { changes: changes(&["a", "b"]), ..Batch::default() });
    let silent = db.submit(Batch::default());
    let second = db.submit(Batch { changes: changes(&["c"]), ..Batch::default() });
    let first = first.await.expect("batch commits").0;
    silent.await.expect("batch commits");
    let second = second.await.expect("batch commits").0;
    let expected = [(first, 0, "a"), (first, 1, "b"), (second, 0, "c")];
    let keys: Vec<Key> =
        expected.iter().map(|(pos, index, _)| Batch::log_key(Batch::SLOT, *pos, *index)).collect();
    assert_eq!(all(&db, Table::Seq).await, keys, "in the order of the stream");
    for (key, (.., line)) in keys.into_iter().zip(expected) {
        assert_eq!(get(&db, Table::Seq, key).await, Some(line.into()));
    }
}

pub(super) async fn hook_sees_batches_in_order_and_before_the_answer(db: Db) {
    let seen = Arc::new(Mutex::new(Vec::<(StreamPos, Vec<Bytes>)>::new()));
    let log = seen.clone();
    db.on_commit(Arc::new(move |pos, changes| log.lock().push((pos, changes.to_vec()))));
    let line = |n: u64| vec![Bytes::copy_from_slice(&n.to_be_bytes())];
    let pending: Vec<_> =
        (1..=200).map(|n| db.submit(Batch { changes: line(n), ..Batch::default() })).collect();
    for (n, pending) in (1..).zip(pending) {
        let pos = pending.await.expect("batch commits");
        assert!(seen.lock().iter().any(|(seen, _)| *seen == pos), "hook first, then the answer");
        assert_eq!(seen.lock()[n as usize - 1], (pos, line(n)));
    }
}

pub(super) async fn hook_is_silent_for_batches_without_changes(db: Db) {
    let seen: Arc<Mutex<Vec<StreamPos>>> = Arc::default();
    let log = seen.clone();
    db.on_commit(Arc::new(move |pos, _| log.lock().push(pos)));
    commit(&db, vec![put(Table::Usr, k("a"), "1")]).await;
    let conflict = crate::Pre::Absent { t: Table::Usr, k: k("a") };
    let failing = Batch { pre: vec![conflict], changes: changes(&["no"]), ..Batch::default() };
    db.submit(failing).await.expect_err("the row exists");
    let pos = db.submit(Batch { changes: changes(&["yes"]), ..Batch::default() }).await;
    assert_eq!(seen.lock()[..], [pos.expect("batch commits")]);
}
