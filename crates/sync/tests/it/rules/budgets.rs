//! Round trips. They must not depend on how many rooms there are.

use blaupause_testkit::{Budget, budget};
use ruma::OwnedRoomId;
use serde_json::{Value, json};

use super::world::{Person, World, joined, pos};

/// Reads of an answer in which messages in many rooms are new.
const INCREMENTAL_MAX: u64 = 3;
/// Reads of a first sync, with nothing in memory.
const FIRST_MAX: u64 = 16;

async fn rooms(world: &World, by: &Person, with: &Person, count: usize) -> Vec<OwnedRoomId> {
    let mut rooms = Vec::new();
    for _ in 0..count {
        let room = world.server.public_room(by).await;
        world.server.join(with, &room).await.expect("public");
        rooms.push(room);
    }
    rooms
}

async fn say_everywhere(world: &World, by: &Person, rooms: &[OwnedRoomId]) {
    for room in rooms {
        world.server.say(by, room, "news").await.expect("said");
    }
}

fn most(reads: u64) -> Budget {
    Budget { reads, commits: 0 }
}

#[tokio::test]
async fn an_incremental_sync_is_three_reads_however_many_rooms_changed() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let rooms = rooms(&world, &alice, &bob, 200).await;
    let store = &world.server.store;
    let mut answer = world.first(&bob).await;
    for count in [1, 200, 1, 200] {
        say_everywhere(&world, &alice, &rooms[..count]).await;
        let what = format!("/sync, {count} rooms changed");
        let look = world.next(&bob, &answer);
        answer = budget(store, &what, most(INCREMENTAL_MAX), look).await;
        assert_eq!(answer["rooms"]["join"].as_object().map(serde_json::Map::len), Some(count));
    }
    budget(store, "/sync, idle", most(0), world.next(&bob, &answer)).await;
}

#[tokio::test]
async fn the_second_reader_of_a_message_reads_nothing() {
    let world = World::new().await;
    let (alice, bob, carol) =
        (world.person("alice").await, world.person("bob").await, world.person("carol").await);
    let rooms = rooms(&world, &alice, &bob, 20).await;
    for room in &rooms {
        world.server.join(&carol, room).await.expect("public");
    }
    let lazy = json!({ "room": { "state": { "lazy_load_members": true } } });
    let first_bob = world.filtered(&bob, None, lazy.clone()).await;
    let first_carol = world.filtered(&carol, None, lazy.clone()).await;
    say_everywhere(&world, &alice, &rooms).await;
    let store = &world.server.store;
    let look = world.filtered(&bob, Some(&first_bob), lazy.clone());
    budget(store, "/sync, first reader", most(INCREMENTAL_MAX), look).await;
    let look = world.filtered(&carol, Some(&first_carol), lazy);
    let answer = budget(store, "/sync, second reader", most(1), look).await;
    assert!(joined(&answer, &rooms[7]).is_object());
}

#[tokio::test]
async fn a_first_sync_is_a_constant_number_of_reads() {
    for count in [3, 150] {
        let world = World::new().await;
        let (alice, bob) = (world.person("alice").await, world.person("bob").await);
        let rooms = rooms(&world, &alice, &bob, count).await;
        say_everywhere(&world, &alice, &rooms).await;
        let store = &world.server.store;
        let what = format!("/sync, first, {count} rooms");
        budget(store, &what, most(FIRST_MAX), world.first(&bob)).await;
        let lazy = json!({ "room": { "state": { "lazy_load_members": true } } });
        let what = format!("/sync, first, lazy, {count} rooms");
        budget(store, &what, most(FIRST_MAX), world.filtered(&alice, None, lazy)).await;
    }
}

fn sliding_body() -> Value {
    let required = json!([
        ["m.room.name", ""],
        ["m.room.encryption", ""],
        ["m.room.member", "$LAZY"],
        ["m.room.member", "$ME"],
        ["m.room.create", ""]
    ]);
    let list = json!({ "ranges": [[0, 499]], "required_state": required, "timeline_limit": 5 });
    let on = json!({ "enabled": true });
    json!({
        "lists": { "all": list },
        "extensions": {
            "to_device": on, "e2ee": on, "account_data": on, "receipts": on, "typing": on
        },
    })
}

#[tokio::test]
async fn sliding_sync_is_as_frugal() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let rooms = rooms(&world, &alice, &bob, 150).await;
    let store = &world.server.store;
    let body = sliding_body();
    let first = world.slide(&bob, None, &body);
    let mut answer = budget(store, "sliding, first", most(FIRST_MAX), first).await.expect("starts");
    for count in [1, 150, 1, 150] {
        say_everywhere(&world, &alice, &rooms[..count]).await;
        let what = format!("sliding, {count} rooms changed");
        let look = world.slide(&bob, pos(&answer), &body);
        let next = budget(store, &what, most(INCREMENTAL_MAX), look).await.expect("known");
        assert_eq!(next["rooms"].as_object().map(serde_json::Map::len), Some(count));
        answer = next;
    }
    let idle = world.slide(&bob, pos(&answer), &body);
    budget(store, "sliding, idle", most(0), idle).await.expect("known");
}
