//! What every engine must do. An engine's tests call [`run`]; the server's code may rely on
//! everything that is checked here and on nothing else.

mod deletes;
mod limits;
mod preconditions;
mod reads;
mod stream;
mod writes;

use bytes::Bytes;

use crate::{Batch, CommitError, Db, Got, Key, Op, Part, Read, Store, StreamPos, Table};

/// Run all checks, each against a new, empty store.
///
/// # Panics
/// If the engine does not do what it must; the message names the check.
pub async fn run(open: impl AsyncFn() -> Db) {
    macro_rules! checks {
        ($($check:path),* $(,)?) => {$(
            println!("conformance: {}", stringify!($check));
            Box::pin($check(open().await)).await;
        )*};
    }
    checks![
        reads::gets_answer_in_request_order,
        reads::scans_are_ordered_and_half_open,
        reads::reverse_scans_start_below_the_upper_bound,
        reads::more_says_whether_rows_are_left,
        reads::empty_and_inverted_ranges_have_no_rows,
        reads::scans_cross_partitions,
        reads::scans_of_one_partition_miss_nothing,
        reads::odd_keys_are_ordinary_keys,
        reads::tables_are_separate,
        reads::large_reads_answer_like_small_ones,
        reads::read_is_one_view_while_writing,
        reads::export_pages_through_a_table,
        writes::later_operation_of_a_batch_wins,
        writes::deleting_an_absent_row_is_fine,
        writes::empty_batch_takes_a_position,
        writes::stamps_go_into_key_and_value,
        writes::stamped_rows_order_like_their_batches,
        writes::dropped_pending_still_commits,
        preconditions::absent_and_version,
        preconditions::conflict_names_the_first_that_fails,
        preconditions::see_queued_batches,
        preconditions::only_one_of_many_racers_wins,
        preconditions::chain_of_versions_in_one_go,
        preconditions::conflict_writes_nothing_and_takes_no_position,
        preconditions::lease_always_holds,
        deletes::range_is_half_open,
        deletes::range_sees_earlier_rows_of_its_batch,
        deletes::range_sees_queued_batches,
        deletes::inverted_range_deletes_nothing,
        deletes::rows_put_after_the_range_stay,
        deletes::too_many_rows_is_too_large_and_deletes_nothing,
        deletes::deleted_rows_are_absent_for_preconditions,
        limits::at_the_limit_is_accepted,
        limits::beyond_the_limit_is_refused_whole,
        limits::stamp_outside_its_row_is_refused,
        limits::scan_rows_are_bounded,
        limits::a_full_scan_says_that_rows_are_left,
        limits::going_on_behind_the_last_row_finds_every_row,
        stream::positions_grow_by_one_per_batch,
        stream::position_is_readable_at_once,
        stream::position_is_a_row_like_others,
        stream::log_rows_hold_the_changes,
        stream::hook_sees_batches_in_order_and_before_the_answer,
        stream::hook_is_silent_for_batches_without_changes,
    ];
}

const PART: Part = Part(0x4242_0000_0000_0042);

/// The partitions right before and after, where a wrong bound shows.
const NEIGHBORS: [Part; 2] = [Part(PART.0 - 1), Part(PART.0 + 1)];

fn key(part: Part, tag: u8, rest: impl AsRef<[u8]>) -> Key {
    let mut bytes = Key::new(part, tag).as_bytes().to_vec();
    bytes.extend_from_slice(rest.as_ref());
    Key::from_bytes(bytes)
}

fn k(rest: &str) -> Key {
    key(PART, b'k', rest)
}

fn put(t: Table, k: Key, v: impl Into<Vec<u8>>) -> Op {
    Op::Put { t, k, v: Bytes::from(v.into()) }
}

/// A value whose version is `version`.
fn versioned(version: u64) -> Vec<u8> {
    [&version.to_be_bytes()[..], b"rest"].concat()
}

fn batch(ops: Vec<Op>) -> Batch {
    Batch { ops, ..Batch::default() }
}

async fn commit(db: &Db, ops: Vec<Op>) -> StreamPos {
    db.submit(batch(ops)).await.expect("batch commits")
}

async fn refused(db: &Db, batch: Batch) -> CommitError {
    db.submit(batch).await.expect_err("batch is refused")
}

async fn get(db: &Db, t: Table, k: Key) -> Option<Vec<u8>> {
    let mut got = db.read(vec![Read::Get { t, k }]).await.expect("read works");
    match got.pop() {
        Some(Got::One(value)) => value.map(|value| value.to_vec()),
        other => panic!("a get is answered with One, not {other:?}"),
    }
}

async fn scan(db: &Db, t: Table, lo: Key, hi: Key, rev: bool, limit: u32) -> (Vec<Key>, bool) {
    let mut got = db.read(vec![Read::Scan { t, lo, hi, rev, limit }]).await.expect("read works");
    match got.pop() {
        Some(Got::Rows { rows, more }) => (rows.into_iter().map(|(k, _)| k).collect(), more),
        other => panic!("a scan is answered with Rows, not {other:?}"),
    }
}

/// The keys of a whole table.
async fn all(db: &Db, t: Table) -> Vec<Key> {
    let (rows, rest) = db.export(t, None, 10_000).await.expect("export works");
    assert_eq!(rest, None);
    rows.into_iter().map(|(k, _)| k).collect()
}
