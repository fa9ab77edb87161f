use super::{NEIGHBORS, PART, all, batch, commit, k, key, put, refused};
use crate::{Batch, CommitError, Db, Key, LIMITS, Op, Part, Pre, Store, Table};

const T: Table = Table::Box;

fn range(lo: Key, hi: Key) -> Op {
    Op::DelRange { t: T, lo, hi }
}

fn rows(rests: &[&str]) -> Vec<Op> {
    rests.iter().map(|rest| put(T, k(rest), "v")).collect()
}

pub(super) async fn range_is_half_open(db: Db) {
    let mut ops = rows(&["a", "b", "c", "d"]);
    ops.extend(NEIGHBORS.map(|part| put(T, key(part, b'k', "c"), "v")));
    ops.push(put(Table::Usr, k("c"), "v"));
    commit(&db, ops).await;
    commit(&db, vec![range(k("b"), k("d"))]).await;
    let [before, after] = NEIGHBORS.map(|part| key(part, b'k', "c"));
    assert_eq!(all(&db, T).await, [before.clone(), k("a"), k("d"), after.clone()]);
    assert_eq!(all(&db, Table::Usr).await, [k("c")]);
    // Over several partitions.
    commit(&db, vec![range(before.successor(), after.clone())]).await;
    assert_eq!(all(&db, T).await, [before, after]);
}

pub(super) async fn range_sees_earlier_rows_of_its_batch(db: Db) {
    commit(&db, rows(&["a", "c"])).await;
    let mut ops = rows(&["b", "z"]);
    ops.push(Op::PutStamped {
        t: T,
        k: key(PART, b'k', [0; 8]),
        v: "v".into(),
        key_at: Some(9),
        value_at: None,
    });
    ops.push(range(Key::new(PART, b'k'), k("x")));
    commit(&db, ops).await;
    assert_eq!(all(&db, T).await, [k("z")]);
}

pub(super) async fn range_sees_queued_batches(db: Db) {
    commit(&db, rows(&["a", "b", "c", "d"])).await;
    let pending = [
        db.submit(batch(rows(&["bb", "dd"]))),
        db.submit(batch(vec![Op::Del { t: T, k: k("b") }])),
        db.submit(batch(vec![range(k("b"), k("d"))])),
        db.submit(batch(rows(&["c"]))),
    ];
    for pending in pending {
        pending.await.expect("batch commits");
    }
    assert_eq!(all(&db, T).await, ["a", "c", "d", "dd"].map(k));
}

pub(super) async fn inverted_range_deletes_nothing(db: Db) {
    commit(&db, rows(&["a", "b", "c"])).await;
    commit(&db, vec![range(k("c"), k("a")), range(k("b"), k("b"))]).await;
    assert_eq!(all(&db, T).await, ["a", "b", "c"].map(k));
}

pub(super) async fn rows_put_after_the_range_stay(db: Db) {
    commit(&db, rows(&["a", "b"])).await;
    let mut ops = vec![range(k("a"), k("z"))];
    ops.extend(rows(&["b", "c"]));
    commit(&db, ops).await;
    assert_eq!(all(&db, T).await, ["b", "c"].map(k));
}

pub(super) async fn too_many_rows_is_too_large_and_deletes_nothing(db: Db) {
    let per_batch = LIMITS.batch_ops_max as u32;
    let most = LIMITS.range_rows_max as u32;
    let row = |n: u32| put(T, key(PART, b'n', n.to_be_bytes()), "");
    let pending: Vec<_> = (0..most / per_batch)
        .map(|n| db.submit(batch((n * per_batch..(n + 1) * per_batch).map(row).collect())))
        .collect();
    for pending in pending {
        pending.await.expect("batch commits");
    }
    let whole = || range(Key::new(PART, b'n'), Key::new(PART, b'o'));
    // One row too many, in the same batch; and one row that the group must not lose.
    let lost = batch(vec![put(T, k("lost"), ""), row(most), whole(), put(T, k("lost"), "")]);
    let (kept, lost) = (db.submit(batch(rows(&["kept"]))), db.submit(lost));
    kept.await.expect("batch commits");
    assert_eq!(lost.await, Err(CommitError::TooLarge));
    let (rows, _) = db.export(T, None, LIMITS.scan_rows_max).await.expect("export works");
    assert_eq!(rows.len(), 1 + most as usize);
    assert_eq!(rows[0].0, k("kept"));
    // Exactly the limit is allowed.
    commit(&db, vec![whole()]).await;
    assert_eq!(all(&db, T).await, [k("kept")]);
}

pub(super) async fn deleted_rows_are_absent_for_preconditions(db: Db) {
    let other = key(Part(PART.0 + 5), b'k', "x");
    commit(&db, vec![put(T, k("a"), "v"), put(T, other.clone(), "v")]).await;
    let create = |k: Key| Batch {
        pre: vec![Pre::Absent { t: T, k: k.clone() }],
        ..batch(vec![put(T, k, "w")])
    };
    let first = db.submit(batch(vec![range(k("a"), k("b"))]));
    let second = db.submit(create(k("a")));
    first.await.expect("batch commits");
    second.await.expect("the row was deleted before");
    assert_eq!(refused(&db, create(other)).await, CommitError::Conflict { pre: 0 });
}
