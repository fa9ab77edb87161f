use bytes::Bytes;

use super::*;
use crate::{Batch, MemStore, Op, Part};

fn key(number: u64) -> Key {
    let mut bytes =
        Key::new(Part(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)), b'k').as_bytes().to_vec();
    bytes.extend_from_slice(&number.to_be_bytes());
    Key::from_bytes(bytes)
}

/// A store with rows in every table, more than a chunk in some.
async fn filled() -> Db {
    let store = Db::Mem(MemStore::new());
    for (count, t) in [(2_500, Table::Evt), (1_000, Table::Seq), (3, Table::Usr), (1, Table::Box)] {
        for numbers in (0..count).collect::<Vec<u64>>().chunks(500) {
            let put = |n: &u64| Op::Put { t, k: key(*n), v: Bytes::from(format!("{t:?} {n}")) };
            let ops = numbers.iter().map(put).collect();
            let batch = Batch { ops, changes: vec![Bytes::from("change")], ..Batch::default() };
            store.submit(batch).await.expect("committed");
        }
    }
    store
}

fn empty() -> Db {
    Db::Mem(MemStore::new())
}

async fn rows(store: &Db) -> Vec<(Table, Key, Bytes)> {
    let mut all = Vec::new();
    for t in Table::ALL {
        let (rows, rest) = store.export(t, None, 100_000).await.expect("readable");
        assert!(rest.is_none(), "the test reads everything at once");
        all.extend(rows.into_iter().map(|(k, v)| (t, k, v)));
    }
    all
}

#[tokio::test]
async fn a_copy_has_the_same_rows_and_nothing_else() {
    let (from, to) = (filled().await, empty());
    let before = rows(&from).await;
    let copied = copy(&from, &to, |_| {}).await.expect("copied");
    assert_eq!(rows(&to).await, before);
    assert_eq!(rows(&from).await, before, "the source stays as it was");
    assert_eq!(copied.position, from.position());
    assert_eq!(copied.sums.total().0, before.len() as u64);
    assert_eq!(copied.rows_before, 0);
    assert!(!is_unfinished(&to).await.expect("readable"));
}

#[tokio::test]
async fn the_stream_goes_on_where_it_was() {
    let (from, to) = (filled().await, empty());
    copy(&from, &to, |_| {}).await.expect("copied");
    let position = to.submit(Batch::default()).await.expect("committed");
    assert_eq!(position.0, from.position().0 + 1);
}

#[tokio::test]
async fn an_empty_store_can_be_copied() {
    let copied = copy(&empty(), &empty(), |_| {}).await.expect("copied");
    assert_eq!(copied.sums.total(), (0, 0));
}

#[tokio::test]
async fn a_place_survives_being_stored() {
    let from = filled().await;
    let mut place = Place::at_the_beginning(
        sum::up(&from, &mut |_| {}, Phase::Counting, None).await.expect("readable"),
    );
    let to = empty();
    for next in [Some(key(7)), None, Some(key(9))] {
        assert!(place.go_on_at(next));
        place.add(&[(key(1), Bytes::from("12345"))]);
        to.import(vec![(Table::Meta, Place::key(), Some(place.to_bytes()))])
            .await
            .expect("written");
        assert_eq!(Place::read(&to).await.expect("readable"), Some(place.clone()));
    }
}

#[tokio::test]
async fn a_copy_goes_on_where_it_was_interrupted() {
    let (from, to) = (filled().await, empty());
    // What a killed copy leaves: the first chunk of the first table, and the place after it.
    let sums = sum::up(&from, &mut |_| {}, Phase::Counting, None).await.expect("readable");
    let mut place = Place::at_the_beginning(sums);
    let (first, next) = from.export(Table::Evt, None, CHUNK_ROWS).await.expect("readable");
    place.add(&first);
    assert!(place.go_on_at(next));
    let mut writes: Vec<Row> = first.into_iter().map(|(k, v)| (Table::Evt, k, Some(v))).collect();
    writes.push((Table::Meta, Place::key(), Some(place.to_bytes())));
    to.import(writes).await.expect("written");
    assert!(is_unfinished(&to).await.expect("readable"));

    let mut first_seen = None;
    let copied = copy(&from, &to, |progress| {
        if progress.phase == Phase::Copying {
            first_seen.get_or_insert(progress.rows);
        }
    });
    let copied = copied.await.expect("copied");
    assert_eq!(copied.rows_before, u64::from(CHUNK_ROWS));
    assert_eq!(first_seen, Some(2 * u64::from(CHUNK_ROWS)), "the first chunk is not copied again");
    assert_eq!(rows(&to).await, rows(&from).await);
}

#[tokio::test]
async fn a_target_with_a_site_is_refused() {
    let (from, to) = (filled().await, filled().await);
    let before = rows(&to).await;
    assert!(matches!(copy(&from, &to, |_| {}).await, Err(CopyError::TargetInUse)));
    assert_eq!(rows(&to).await, before);
}

#[tokio::test]
async fn a_source_that_changed_since_the_interruption_is_refused() {
    let (from, to) = (filled().await, empty());
    let place = Place::at_the_beginning(Sums::default());
    to.import(vec![(Table::Meta, Place::key(), Some(place.to_bytes()))]).await.expect("written");
    assert!(matches!(copy(&from, &to, |_| {}).await, Err(CopyError::SourceChanged)));
    // And what is unfinished is no source.
    assert!(matches!(copy(&to, &empty(), |_| {}).await, Err(CopyError::SourceUnfinished)));
}

#[tokio::test]
async fn a_row_too_many_in_the_target_is_noticed() {
    let (from, to) = (filled().await, empty());
    let sums = sum::up(&from, &mut |_| {}, Phase::Counting, None).await.expect("readable");
    let place = Place::at_the_beginning(sums).to_bytes();
    let stray = (Table::Idx, key(1), Some(Bytes::from("stray")));
    to.import(vec![stray, (Table::Meta, Place::key(), Some(place))]).await.expect("written");
    let refused = copy(&from, &to, |_| {}).await;
    let Err(CopyError::Differs { wanted, found }) = refused else { panic!("{refused:?}") };
    assert_eq!(found.0[1].rows, wanted.0[1].rows + 1);
    assert!(is_unfinished(&to).await.expect("readable"), "no server may use it");
}
