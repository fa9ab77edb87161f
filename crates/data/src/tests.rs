//! The log and long lists against the in-memory store.

use blaupause_store::{Db, LIMITS, MemStore};
use ruma::{OwnedUserId, UserId, server_name};

use crate::{Change, Data, Env, Member, Part, StreamPos, Write, rows::*};

async fn over(store: &MemStore) -> Data {
    let opened = Data::open(Db::Mem(store.clone()), server_name!("x"), Env::manual(0)).await;
    opened.expect("memory opens")
}

fn user(n: u64) -> OwnedUserId {
    UserId::parse(format!("@u{n}:x")).expect("a user id")
}

async fn change(data: &Data, n: u64) -> StreamPos {
    let mut write = Write::new(Part(7));
    write.change(&Change::Profile { user: user(n) });
    write.change(&Change::Devices { user: user(n) });
    data.commit(write).await.expect("memory writes")
}

async fn cursor(data: &Data, follower: &str, at: StreamPos) {
    let mut write = Write::new(Part::slot(1));
    write.cursor(follower, at);
    data.commit(write).await.expect("memory writes");
}

async fn log(data: &Data) -> Vec<StreamPos> {
    let mut found: Vec<_> =
        data.log_after(StreamPos(0), u32::MAX - 1).await.expect("reads").into_iter().collect();
    found.dedup_by_key(|(pos, _)| *pos);
    found.into_iter().map(|(pos, _)| pos).collect()
}

#[tokio::test]
async fn a_batch_of_the_log_is_never_cut() {
    let data = over(&MemStore::new()).await;
    let positions = [change(&data, 1).await, change(&data, 2).await, change(&data, 3).await];
    for (limit, whole) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3)] {
        let found = data.log_after(StreamPos(0), limit).await.expect("reads");
        assert_eq!(found.len(), 2 * whole, "limit {limit}");
        assert_eq!(found.last().map(|(pos, _)| *pos), Some(positions[whole - 1]));
    }
}

#[tokio::test]
async fn what_a_follower_has_not_read_is_kept() {
    let data = over(&MemStore::new()).await;
    let mut positions = Vec::new();
    for n in 0..20 {
        positions.push(change(&data, n).await);
    }
    assert_eq!(data.cursor("slow").await.expect("reads"), StreamPos(0));
    data.follow_log("fast");
    cursor(&data, "fast", positions[15]).await;
    assert_eq!(data.prune_log(0).await.expect("prunes"), 0, "one has read nothing");
    cursor(&data, "slow", positions[9]).await;
    assert_eq!(data.prune_log(0).await.expect("prunes"), 20, "ten batches of two lines");
    assert_eq!(log(&data).await, positions[10..]);
    assert_eq!(data.prune_log(0).await.expect("prunes"), 0, "and again nothing");
    cursor(&data, "slow", positions[19]).await;
    data.prune_log(0).await.expect("prunes");
    assert_eq!(log(&data).await, positions[16..]);
    assert_eq!(data.log_state().pruned_lines, 32);
}

#[tokio::test]
async fn a_cursor_of_a_follower_that_no_longer_runs_keeps_nothing() {
    let data = over(&MemStore::new()).await;
    let first = change(&data, 0).await;
    cursor(&data, "gone", first).await;
    let last = change(&data, 1).await;
    cursor(&data, "runs", last).await;
    data.follow_log("runs");
    data.prune_log(0).await.expect("prunes");
    assert!(log(&data).await.is_empty());
}

#[tokio::test]
async fn the_newest_positions_are_kept() {
    let data = over(&MemStore::new()).await;
    let mut positions = Vec::new();
    for n in 0..20 {
        positions.push(change(&data, n).await);
    }
    data.prune_log(5).await.expect("prunes");
    assert_eq!(log(&data).await, positions[15..]);
}

#[tokio::test]
async fn a_long_log_goes_in_bounded_batches() {
    let store = MemStore::new();
    let data = over(&store).await;
    let lines = 3_000;
    for n in 0..8 {
        let mut write = Write::new(Part(7));
        for line in 0..lines {
            write.change(&Change::Profile { user: user(n * lines + line) });
        }
        data.commit(write).await.expect("memory writes");
    }
    let (_, before) = store.round_trips();
    assert_eq!(data.prune_log(0).await.expect("prunes"), 8 * lines);
    let commits = store.round_trips().1 - before;
    assert!(commits >= 3, "24,000 lines in {commits} batches");
    assert!(log(&data).await.is_empty());
}

#[tokio::test]
async fn a_server_that_starts_again_knows_what_happened_lately() {
    let store = MemStore::new();
    let data = over(&store).await;
    let mut positions = Vec::new();
    for n in 0..10 {
        positions.push(change(&data, n).await);
    }
    let before = data.feed().between(positions[2], data.position()).expect("in memory");
    let again = over(&store.copy()).await;
    let after = again.feed().between(positions[2], again.position()).expect("read back");
    assert_eq!(before, after);
    // What was pruned is not known, and is not taken for "nothing happened".
    data.prune_log(5).await.expect("prunes");
    let again = over(&store.copy()).await;
    assert_eq!(again.feed().between(positions[2], again.position()), None);
    let known = again.feed().between(positions[8], again.position()).expect("read back");
    assert_eq!(known, data.feed().between(positions[8], data.position()).expect("in memory"));
}

#[tokio::test]
async fn a_list_longer_than_one_answer_is_complete() {
    let store = MemStore::new();
    let data = over(&store).await;
    let room = ruma::room_id!("!r:x");
    let part = data.parts().room(room);
    let name = "x".repeat(1_000);
    let count = 2 * LIMITS.scan_bytes_max as u64 / 1_000;
    for first in (0..count).step_by(500) {
        let mut write = Write::new(part);
        for n in first..(first + 500).min(count) {
            let user_id = user(n);
            let key = (Member::Join as u8, data.parts().user(&user_id));
            let row = RoomMember {
                user_id,
                no: blaupause_graph::EventNo(0),
                display_name: Some(name.clone()),
                avatar_url: None,
            };
            write.put::<MemberRow>(part, &key, &row);
        }
        data.commit(write).await.expect("memory writes");
    }
    let (before, _) = store.round_trips();
    assert_eq!(data.members(room, Member::Join).await.expect("reads").len() as u64, count);
    let reads = store.round_trips().0 - before;
    assert_eq!(reads, 3, "two full answers and the rest");
    let some = data.list_all::<MemberRow>(part, &(Member::Join as u8), 10).await.expect("reads");
    assert_eq!((some.rows.len(), some.more), (10, true));
}
