use super::{all, batch, commit, get, k, put, refused, versioned};
use crate::{Batch, CommitError, Db, Op, Pre, Store, Table};

const T: Table = Table::Meta;

fn absent(rest: &str) -> Pre {
    Pre::Absent { t: T, k: k(rest) }
}

fn version(rest: &str, is: u64) -> Pre {
    Pre::Version { t: T, k: k(rest), is }
}

/// A batch that moves the row to a version.
fn step(rest: &str, from: u64, to: u64) -> Batch {
    Batch { pre: vec![version(rest, from)], ..batch(vec![put(T, k(rest), versioned(to))]) }
}

async fn holds(db: &Db, pre: Pre) -> bool {
    match db.submit(Batch { pre: vec![pre], ..Batch::default() }).await {
        Ok(_) => true,
        Err(CommitError::Conflict { pre: 0 }) => false,
        Err(other) => panic!("neither done nor in conflict: {other}"),
    }
}

pub(super) async fn absent_and_version(db: Db) {
    assert!(holds(&db, absent("a")).await);
    assert!(holds(&db, version("a", 0)).await);
    assert!(!holds(&db, version("a", 1)).await);
    commit(&db, vec![put(T, k("a"), versioned(7)), put(Table::Usr, k("b"), versioned(7))]).await;
    assert!(!holds(&db, absent("a")).await);
    assert!(!holds(&db, version("a", 0)).await);
    assert!(holds(&db, version("a", 7)).await);
    assert!(!holds(&db, version("a", 8)).await);
    assert!(holds(&db, absent("b")).await, "the row is in another table");
    commit(&db, vec![put(T, k("max"), versioned(u64::MAX)), put(T, k("short"), "1234567")]).await;
    assert!(holds(&db, version("max", u64::MAX)).await);
    assert!(!holds(&db, absent("short")).await, "a row without room for a version exists");
    assert!(holds(&db, version("short", 0)).await);
}

pub(super) async fn conflict_names_the_first_that_fails(db: Db) {
    commit(&db, vec![put(T, k("a"), versioned(1))]).await;
    let pre = vec![absent("x"), version("a", 1), version("a", 2), absent("a")];
    let error = refused(&db, Batch { pre, ..Batch::default() }).await;
    assert_eq!(error, CommitError::Conflict { pre: 2 });
}

pub(super) async fn see_queued_batches(db: Db) {
    // All of these are in the queue, perhaps in one group, before the first is durable.
    let create = Batch { pre: vec![absent("a")], ..batch(vec![put(T, k("a"), versioned(1))]) };
    let del = |pre| Batch { pre: vec![pre], ..batch(vec![Op::Del { t: T, k: k("a") }]) };
    let queued = [
        (create.clone(), Ok(())),
        (create.clone(), Err(0)),
        (step("a", 1, 2), Ok(())),
        (step("a", 1, 3), Err(0)),
        (del(version("a", 3)), Err(0)),
        (del(version("a", 2)), Ok(())),
        (step("a", 2, 4), Err(0)),
        (create, Ok(())),
    ];
    let pending: Vec<_> =
        queued.into_iter().map(|(batch, expected)| (db.submit(batch), expected)).collect();
    for (n, (pending, expected)) in pending.into_iter().enumerate() {
        let expected = expected.map_err(|pre| CommitError::Conflict { pre });
        assert_eq!(pending.await.map(|_| ()), expected, "batch {n}");
    }
    assert_eq!(get(&db, T, k("a")).await, Some(versioned(1)));
}

pub(super) async fn only_one_of_many_racers_wins(db: Db) {
    commit(&db, vec![put(T, k("a"), versioned(1))]).await;
    let pending: Vec<_> = (0..50).map(|n| db.submit(step("a", 1, 100 + n))).collect();
    let mut wins = 0;
    for pending in pending {
        wins += u32::from(pending.await.is_ok());
    }
    assert_eq!(wins, 1);
    assert_eq!(get(&db, T, k("a")).await, Some(versioned(100)), "the first in call order");
}

pub(super) async fn chain_of_versions_in_one_go(db: Db) {
    let pending: Vec<_> = (0..2_000).map(|n| db.submit(step("a", n, n + 1))).collect();
    for pending in pending {
        pending.await.expect("every batch sees the one before");
    }
    assert_eq!(get(&db, T, k("a")).await, Some(versioned(2_000)));
}

pub(super) async fn conflict_writes_nothing_and_takes_no_position(db: Db) {
    let first =
        commit(&db, vec![put(T, k("a"), versioned(1)), put(Table::Usr, k("row"), "old")]).await;
    let failing = Batch {
        pre: vec![version("a", 1), absent("a")],
        ops: vec![
            put(T, k("a"), versioned(2)),
            put(Table::Usr, k("row"), "new"),
            put(Table::Evt, k("new row"), "new"),
            Op::Del { t: Table::Usr, k: k("row") },
        ],
        changes: vec!["change".into()],
        ..Batch::default()
    };
    // Between two that commit, so that it shares their group.
    let pending = [
        db.submit(batch(vec![put(T, k("b"), "1")])),
        db.submit(failing),
        db.submit(step("a", 1, 2)),
    ];
    let [before, failed, after] = pending;
    assert_eq!(before.await.map(|pos| pos.0), Ok(first.0 + 1));
    assert_eq!(failed.await, Err(CommitError::Conflict { pre: 1 }));
    assert_eq!(after.await.map(|pos| pos.0), Ok(first.0 + 2));
    assert_eq!(get(&db, T, k("a")).await, Some(versioned(2)));
    assert_eq!(get(&db, Table::Usr, k("row")).await, Some(b"old".to_vec()));
    assert!(all(&db, Table::Evt).await.is_empty());
    assert!(all(&db, Table::Seq).await.is_empty(), "no line in the change log");
}

pub(super) async fn lease_always_holds(db: Db) {
    assert!(holds(&db, Pre::Lease { vshard: 1_023, epoch: 9 }).await);
}
