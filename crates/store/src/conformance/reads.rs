use bytes::Bytes;

use super::{NEIGHBORS, PART, all, commit, get, k, key, put, scan};
use crate::{Db, Got, Key, Op, Part, Read, Store, Table};

pub(super) async fn gets_answer_in_request_order(db: Db) {
    let ops = vec![
        put(Table::Evt, k("a"), "1"),
        put(Table::Idx, k("b"), "2"),
        put(Table::Evt, k("c"), "3"),
    ];
    commit(&db, ops).await;
    let wanted = [
        (Table::Evt, "c", Some("3")),
        (Table::Idx, "b", Some("2")),
        (Table::Evt, "missing", None),
        (Table::Evt, "a", Some("1")),
        (Table::Idx, "a", None),
        (Table::Evt, "c", Some("3")),
    ];
    let reads = wanted.iter().map(|(t, rest, _)| Read::Get { t: *t, k: k(rest) }).collect();
    let got = db.read(reads).await.expect("read works");
    assert_eq!(got.len(), wanted.len());
    for (got, (.., value)) in got.into_iter().zip(wanted) {
        assert!(
            matches!(&got, Got::One(found) if found.as_deref() == value.map(str::as_bytes)),
            "{got:?}"
        );
    }
    assert!(db.read(Vec::new()).await.expect("empty read works").is_empty());
}

/// Rows a..e in the partition, and rows in the partitions around it.
async fn letters(db: &Db) -> Vec<Key> {
    let keys: Vec<_> = ["a", "b", "c", "d", "e"].map(k).into();
    let mut ops: Vec<_> = keys.iter().map(|k| put(Table::Seq, k.clone(), "v")).collect();
    ops.extend(NEIGHBORS.map(|part| put(Table::Seq, key(part, b'k', "c"), "v")));
    ops.extend([b'j', b'l'].map(|tag| put(Table::Seq, key(PART, tag, "c"), "v")));
    commit(db, ops).await;
    keys
}

pub(super) async fn scans_are_ordered_and_half_open(db: Db) {
    let keys = letters(&db).await;
    let tag = Key::new(PART, b'k');
    let (found, more) = scan(&db, Table::Seq, tag.clone(), tag.prefix_end(), false, 100).await;
    assert_eq!((found, more), (keys.clone(), false));
    let (found, _) = scan(&db, Table::Seq, k("b"), k("d"), false, 100).await;
    assert_eq!(found, keys[1..3]);
    let (found, _) =
        scan(&db, Table::Seq, k("b").successor(), k("d").successor(), false, 100).await;
    assert_eq!(found, keys[2..4]);
}

pub(super) async fn reverse_scans_start_below_the_upper_bound(db: Db) {
    let keys = letters(&db).await;
    let reversed = |keys: &[Key]| keys.iter().rev().cloned().collect::<Vec<_>>();
    let tag = Key::new(PART, b'k');
    let (found, more) = scan(&db, Table::Seq, tag.clone(), tag.prefix_end(), true, 100).await;
    assert_eq!((found, more), (reversed(&keys), false));
    let (found, _) = scan(&db, Table::Seq, k("b"), k("d"), true, 100).await;
    assert_eq!(found, reversed(&keys[1..3]));
    let (found, more) = scan(&db, Table::Seq, tag.clone(), tag.prefix_end(), true, 1).await;
    assert_eq!((found, more), (vec![keys[4].clone()], true));
    // The bound may lie in no row's place, and past the end of the table.
    let (found, _) = scan(&db, Table::Seq, k("bb"), k("dd"), true, 100).await;
    assert_eq!(found, reversed(&keys[2..4]));
    let end = Key::from_bytes(vec![0xff; 20]);
    let (found, more) = scan(&db, Table::Seq, Key::new(NEIGHBORS[1], 0), end, true, 100).await;
    assert_eq!((found, more), (vec![key(NEIGHBORS[1], b'k', "c")], false));
}

pub(super) async fn more_says_whether_rows_are_left(db: Db) {
    let keys = letters(&db).await;
    let tag = Key::new(PART, b'k');
    for rev in [false, true] {
        for limit in 0..8 {
            let (found, more) =
                scan(&db, Table::Seq, tag.clone(), tag.prefix_end(), rev, limit).await;
            assert_eq!(found.len(), keys.len().min(limit as usize));
            assert_eq!(more, (limit as usize) < keys.len(), "limit {limit}, rev {rev}");
        }
    }
}

pub(super) async fn empty_and_inverted_ranges_have_no_rows(db: Db) {
    letters(&db).await;
    for rev in [false, true] {
        for (lo, hi) in [(k("b"), k("b")), (k("d"), k("b")), (k("bb"), k("bc"))] {
            assert_eq!(scan(&db, Table::Seq, lo, hi, rev, 10).await, (Vec::new(), false));
        }
    }
}

pub(super) async fn scans_cross_partitions(db: Db) {
    let parts = [0, 1, 0x00ff, 0x0100, 1 << 54, PART.0, PART.0 + 1, u64::MAX].map(Part);
    let keys: Vec<_> = parts.map(|part| key(part, b'k', "x")).into();
    // One batch each, so that an engine with files or shards may spread them.
    for k in &keys {
        commit(&db, vec![put(Table::Mem, k.clone(), "v")]).await;
    }
    let end = Key::from_bytes(vec![0xff; 20]);
    let (found, _) = scan(&db, Table::Mem, Key::new(Part(0), 0), end.clone(), false, 100).await;
    assert_eq!(found, keys);
    let (mut found, _) = scan(&db, Table::Mem, Key::new(Part(0), 0), end, true, 100).await;
    found.reverse();
    assert_eq!(found, keys);
    let (found, _) =
        scan(&db, Table::Mem, Key::new(Part(2), 0), Key::new(Part(PART.0 + 1), 0), false, 9).await;
    assert_eq!(found, keys[2..6]);
}

pub(super) async fn scans_of_one_partition_miss_nothing(db: Db) {
    let parts: Vec<_> = (0..40u64).map(|n| Part(n << 56 | n)).collect();
    for n in 0..5u8 {
        let ops = parts.iter().map(|part| put(Table::Usr, key(*part, b'k', [n]), "v")).collect();
        commit(&db, ops).await;
    }
    for part in parts {
        let expected: Vec<_> = (0..5u8).map(|n| key(part, b'k', [n])).collect();
        let (lo, hi) = (Key::new(part, b'k'), Key::new(part, b'l'));
        assert_eq!(scan(&db, Table::Usr, lo.clone(), hi.clone(), false, 9).await.0, expected);
        let (mut found, _) = scan(&db, Table::Usr, lo, hi, true, 9).await;
        found.reverse();
        assert_eq!(found, expected);
    }
}

pub(super) async fn odd_keys_are_ordinary_keys(db: Db) {
    let mut keys: Vec<Key> = [
        &b""[..],
        b"\0",
        b"short",
        b"sevenby",
        b"eightbyt",
        b"eightbyt\0",
        b"\xff",
        &[0xff; 8],
        &[0xff; 9],
    ]
    .map(|bytes| Key::from_bytes(Bytes::from_static(bytes)))
    .into();
    keys.sort();
    commit(&db, keys.iter().map(|k| put(Table::Box, k.clone(), k.as_bytes())).collect()).await;
    for k in &keys {
        assert_eq!(get(&db, Table::Box, k.clone()).await.as_deref(), Some(k.as_bytes()));
    }
    assert_eq!(all(&db, Table::Box).await, keys);
    let (lo, hi) = (keys[0].clone(), Key::from_bytes(vec![0xff; 10]));
    assert_eq!(scan(&db, Table::Box, lo, hi, false, 100).await.0, keys);
}

pub(super) async fn tables_are_separate(db: Db) {
    for t in Table::ALL {
        commit(&db, vec![put(t, k("same"), t.name())]).await;
    }
    commit(&db, vec![Op::Del { t: Table::Evt, k: k("same") }]).await;
    for t in Table::ALL {
        let expected = (t != Table::Evt).then(|| t.name().as_bytes().to_vec());
        assert_eq!(get(&db, t, k("same")).await, expected);
    }
}

/// Engines treat small and large requests differently; the answers must not differ.
pub(super) async fn large_reads_answer_like_small_ones(db: Db) {
    let keys: Vec<_> = (0..300u32).map(|n| key(PART, b'n', n.to_be_bytes())).collect();
    let t = |n: usize| Table::ALL[n % 3];
    commit(
        &db,
        keys.iter().enumerate().map(|(n, k)| put(t(n), k.clone(), n.to_string())).collect(),
    )
    .await;
    let mut reads: Vec<_> =
        keys.iter().enumerate().map(|(n, k)| Read::Get { t: t(n), k: k.clone() }).collect();
    let tag = Key::new(PART, b'n');
    reads.insert(
        7,
        Read::Scan { t: t(0), lo: tag.clone(), hi: tag.prefix_end(), rev: false, limit: 1_000 },
    );
    let mut got = db.read(reads).await.expect("read works");
    let Got::Rows { rows, more: false } = got.remove(7) else {
        panic!("the scan is answered in its place")
    };
    assert_eq!(rows.len(), 100);
    for (n, got) in got.into_iter().enumerate() {
        let expected = n.to_string();
        assert!(matches!(&got, Got::One(Some(v)) if *v == expected.as_bytes()), "{n}: {got:?}");
    }
}

pub(super) async fn read_is_one_view_while_writing(db: Db) {
    const BATCHES: u64 = 60;
    // Each batch writes the same number into two tables and moves the only row of a third.
    let batch = |n: u64| {
        let n = n.to_be_bytes();
        vec![
            put(Table::Meta, k("n"), n),
            put(Table::Usr, k("n"), n),
            Op::DelRange { t: Table::Box, lo: Key::new(PART, b'm'), hi: Key::new(PART, b'n') },
            put(Table::Box, key(PART, b'm', n), n),
        ]
    };
    // Rows that are only there to make the read last longer than a commit.
    for page in 0..10u16 {
        let row = |n: u16| put(Table::Evt, key(PART, b'k', n.to_be_bytes()), "");
        commit(&db, (page * 1_000..(page + 1) * 1_000).map(row).collect()).await;
    }
    let first = commit(&db, batch(0)).await;
    let write = async {
        for n in 1..BATCHES {
            commit(&db, batch(n)).await;
        }
    };
    let read = async {
        let mut last = 0;
        while last + 1 < BATCHES {
            let before = db.position();
            let now = numbers_of_one_view(&db).await;
            assert!(now >= last, "a view never goes back");
            assert!(first.0 + now >= before.0, "a view contains the position taken before it");
            last = now;
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(write, read);
}

/// The number that all rows of `read_is_one_view_while_writing` must show.
async fn numbers_of_one_view(db: &Db) -> u64 {
    let scan = |t, tag| {
        let (lo, hi) = (Key::new(PART, tag), Key::new(PART, tag + 1));
        Read::Scan { t, lo, hi, rev: false, limit: 10_000 }
    };
    let reads = vec![
        Read::Get { t: Table::Meta, k: k("n") },
        scan(Table::Box, b'm'),
        scan(Table::Evt, b'k'),
        scan(Table::Box, b'm'),
        Read::Get { t: Table::Usr, k: k("n") },
    ];
    let got = db.read(reads).await.expect("read works");
    let [
        Got::One(Some(a)),
        Got::Rows { rows: b, .. },
        _,
        Got::Rows { rows: c, .. },
        Got::One(Some(d)),
    ] = &got[..]
    else {
        panic!("every row exists at every moment: {got:?}")
    };
    assert!(
        matches!((&b[..], &c[..]), ([(_, b)], [(_, c)]) if a == b && a == c && a == d),
        "{a:?} {b:?} {c:?} {d:?}"
    );
    u64::from_be_bytes(a[..].try_into().expect("8 bytes were written"))
}

pub(super) async fn export_pages_through_a_table(db: Db) {
    let keys: Vec<_> = (0..25u64).map(|n| key(Part(n << 50), b'k', "x")).collect();
    commit(&db, keys.iter().map(|k| put(Table::State, k.clone(), k.as_bytes())).collect()).await;
    commit(&db, vec![put(Table::Idx, k("other table"), ""), put(Table::Mem, k("other table"), "")])
        .await;
    for chunk in [1, 7, 24, 25, 26] {
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let (rows, next) = db.export(Table::State, from, chunk).await.expect("export works");
            assert!(rows.len() <= chunk as usize);
            assert!(!rows.is_empty(), "every chunk makes progress");
            assert!(rows.iter().all(|(k, v)| k.as_bytes() == v));
            found.extend(rows.into_iter().map(|(k, _)| k));
            from = next;
            if from.is_none() {
                break;
            }
        }
        assert_eq!(found, keys, "chunk {chunk}");
    }
    let (rows, next) = db.export(Table::Evt, None, 10).await.expect("export works");
    assert!(rows.is_empty() && next.is_none());
}
