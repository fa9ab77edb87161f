//! Timelines, gaps, and the state that goes with them.

use blaupause_sync::SyncRequest;
use serde_json::json;

use super::world::{World, joined, keys, kinds, since, texts};

#[tokio::test]
async fn a_first_sync_tells_the_newest_events_and_the_state_before_them() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let room = world.server.public_room(&alice).await;
    for n in 0..15 {
        world.server.say(&alice, &room, &n.to_string()).await.expect("said");
    }
    let answer = world.first(&alice).await;
    let told = joined(&answer, &room);
    let newest: Vec<_> = (5..15).map(|n| n.to_string()).collect();
    assert_eq!(texts(&told["timeline"]["events"]), newest);
    assert_eq!(told["timeline"]["limited"], true);
    assert!(told["timeline"]["prev_batch"].is_string());
    assert_eq!(keys(&told["state"]["events"], "m.room.member"), [alice.as_str()]);
    assert!(kinds(&told["state"]["events"]).contains(&"m.room.create"));
}

#[tokio::test]
async fn what_is_new_comes_once_and_in_order() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let room = world.server.public_room(&alice).await;
    let first = world.first(&alice).await;
    world.server.say(&alice, &room, "one").await.expect("said");
    world.server.say(&alice, &room, "two").await.expect("said");
    let second = world.next(&alice, &first).await;
    let told = joined(&second, &room);
    assert_eq!(texts(&told["timeline"]["events"]), ["one", "two"]);
    assert_ne!(told["timeline"]["limited"], true);
    assert!(told["state"]["events"].as_array().is_none_or(Vec::is_empty));
    let third = world.next(&alice, &second).await;
    assert!(third["rooms"].is_null(), "{third}");
    // The same question has the same answer.
    let again = world.next(&alice, &first).await;
    assert_eq!(texts(&joined(&again, &room)["timeline"]["events"]), ["one", "two"]);
}

#[tokio::test]
async fn a_gap_is_said_and_its_state_changes_are_told() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let room = world.server.public_room(&alice).await;
    let first = world.first(&alice).await;
    world
        .server
        .set(&alice, &room, "m.room.topic", "", json!({ "topic": "t" }))
        .await
        .expect("set");
    for n in 0..12 {
        world.server.say(&alice, &room, &n.to_string()).await.expect("said");
    }
    let name = json!({ "name": "in the timeline" });
    world.server.set(&alice, &room, "m.room.name", "", name).await.expect("set");
    let answer = world.next(&alice, &first).await;
    let told = joined(&answer, &room);
    assert_eq!(told["timeline"]["limited"], true);
    assert_eq!(told["timeline"]["events"].as_array().map(Vec::len), Some(10));
    assert_eq!(kinds(&told["state"]["events"]), ["m.room.topic"]);

    let after = SyncRequest { since: since(&first), use_state_after: true, ..world.ask(&alice) };
    let after = world.v3(after).await;
    let told = joined(&after, &room);
    let state = &told["org.matrix.msc4222.state_after"];
    let state = if state.is_null() { &told["state_after"] } else { state };
    assert_eq!(kinds(&state["events"]), ["m.room.name", "m.room.topic"]);
    assert!(told["state"].is_null());
}

#[tokio::test]
async fn more_than_memory_keeps_of_a_room_is_a_gap_like_any_other() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let room = world.server.public_room(&alice).await;
    let first = world.first(&alice).await;
    world
        .server
        .set(&alice, &room, "m.room.topic", "", json!({ "topic": "t" }))
        .await
        .expect("set");
    for n in 0..250 {
        world.server.say(&alice, &room, &n.to_string()).await.expect("said");
        if n == 100 {
            // A reader in between keeps the newest part in memory.
            world.first(&alice).await;
        }
    }
    let filter = json!({ "room": { "timeline": { "limit": 100 } } });
    let answer = world.filtered(&alice, Some(&first), filter.clone()).await;
    let told = joined(&answer, &room);
    let newest: Vec<_> = (150..250).map(|n| n.to_string()).collect();
    assert_eq!(texts(&told["timeline"]["events"]), newest);
    assert_eq!(kinds(&told["state"]["events"]), ["m.room.topic"]);
    let next = world.filtered(&alice, Some(&answer), filter).await;
    assert!(next["rooms"].is_null());
}

#[tokio::test]
async fn full_state_tells_all_state_again() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let room = world.server.public_room(&alice).await;
    let first = world.first(&alice).await;
    let request = SyncRequest { since: since(&first), full_state: true, ..world.ask(&alice) };
    let answer = world.v3(request).await;
    let state = &joined(&answer, &room)["state"]["events"];
    assert!(kinds(state).contains(&"m.room.create"), "{answer}");
}

#[tokio::test]
async fn filters_choose_events_rooms_and_account_data() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let room = world.server.public_room(&alice).await;
    let other = world.server.public_room(&alice).await;
    world.server.say(&alice, &room, "a message").await.expect("said");
    world.account_data(&alice, None, "org.one", json!({ "a": 1 })).await;
    world.account_data(&alice, None, "org.two", json!({ "b": 2 })).await;
    let filter = json!({
        "account_data": { "types": ["org.o*"] },
        "room": {
            "rooms": [room],
            "timeline": { "types": ["m.room.message"] },
            "state": { "types": ["m.room.create"] },
        },
    });
    let answer = world.filtered(&alice, None, filter).await;
    assert!(joined(&answer, &other).is_null());
    let told = joined(&answer, &room);
    assert_eq!(kinds(&told["timeline"]["events"]), ["m.room.message"]);
    assert_eq!(kinds(&told["state"]["events"]), ["m.room.create"]);
    assert_eq!(kinds(&answer["account_data"]["events"]), ["org.one"]);
}

#[tokio::test]
async fn state_that_a_filter_keeps_out_of_the_timeline_is_told_as_state() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let room = world.server.public_room(&alice).await;
    let filter = json!({ "room": { "timeline": { "types": ["m.room.message"] } } });
    let first = world.filtered(&alice, None, filter.clone()).await;
    let name = json!({ "name": "n" });
    world.server.set(&alice, &room, "m.room.name", "", name).await.expect("set");
    world.server.say(&alice, &room, "x").await.expect("said");
    let answer = world.filtered(&alice, Some(&first), filter).await;
    let told = joined(&answer, &room);
    assert_eq!(kinds(&told["state"]["events"]), ["m.room.name"]);
    assert_eq!(texts(&told["timeline"]["events"]), ["x"]);
}

#[tokio::test]
async fn what_a_new_member_may_not_see_of_the_timeline_is_told_as_state() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    let visibility = json!({ "history_visibility": "joined" });
    let kind = "m.room.history_visibility";
    world.server.set(&alice, &room, kind, "", visibility).await.expect("set");
    let name = json!({ "name": "n" });
    world.server.set(&alice, &room, "m.room.name", "", name).await.expect("set");
    world.server.say(&alice, &room, "secret").await.expect("said");
    world.server.join(&bob, &room).await.expect("public");
    let answer = world.first(&bob).await;
    let told = joined(&answer, &room);
    assert!(kinds(&told["state"]["events"]).contains(&"m.room.name"), "{told}");
    assert!(texts(&told["timeline"]["events"]).is_empty());
}

#[tokio::test]
async fn ignored_people_are_not_heard_but_their_state_is_told() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    world.server.join(&bob, &room).await.expect("public");
    let ignored = json!({ "ignored_users": { bob.as_str(): {} } });
    world.account_data(&alice, None, "m.ignored_user_list", ignored).await;
    let first = world.first(&alice).await;
    world.server.say(&bob, &room, "rude").await.expect("said");
    world.server.say(&alice, &room, "polite").await.expect("said");
    world.server.leave(&bob, &room).await.expect("left");
    // An invitation from them is not shown either.
    let lair = world.server.private_room(&bob).await;
    let invite = blaupause_rooms::MembershipAction::Invite;
    world.server.act(&bob, invite, &alice, &lair).await.expect("invited");
    let answer = world.next(&alice, &first).await;
    let events = &joined(&answer, &room)["timeline"]["events"];
    assert_eq!(texts(events), ["polite"]);
    assert_eq!(keys(events, "m.room.member"), [bob.as_str()]);
    assert!(answer["rooms"]["invite"].is_null());
}

#[tokio::test]
async fn a_token_from_the_future_starts_from_what_there_is() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let room = world.server.public_room(&alice).await;
    let since = blaupause_sync::SyncToken::parse("s99999999_1_1");
    let answer = world.v3(SyncRequest { since, ..world.ask(&alice) }).await;
    assert!(joined(&answer, &room).is_null());
    world.server.say(&alice, &room, "now").await.expect("said");
    let answer = world.next(&alice, &answer).await;
    assert_eq!(texts(&joined(&answer, &room)["timeline"]["events"]), ["now"]);
}
