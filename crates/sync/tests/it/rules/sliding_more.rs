//! Sliding sync: required state, members, extensions.

use std::time::Duration;

use blaupause_rooms::{Reader, ReceiptKind};
use serde_json::{Value, json};

use super::{
    sliding::{lists, two},
    world::{World, keys, kinds, pos},
};

fn wanting(required: &Value) -> Value {
    lists(&json!({ "ranges": [[0, 9]], "required_state": required, "timeline_limit": 1 }))
}

#[tokio::test]
async fn required_state_is_what_was_asked_for_and_what_changes_of_it() {
    let world = World::new().await;
    let (alice, bob, room) = two(&world).await;
    let body =
        wanting(&json!([["m.room.create", ""], ["m.room.name", ""], ["m.room.member", "$ME"]]));
    let first = world.slide(&bob, None, &body).await.expect("starts");
    let state = &first["rooms"][room.as_str()]["required_state"];
    assert_eq!(kinds(state), ["m.room.create", "m.room.member"]);
    assert_eq!(keys(state, "m.room.member"), [bob.as_str()]);
    world.server.set(&alice, &room, "m.room.name", "", json!({ "name": "n" })).await.expect("set");
    world
        .server
        .set(&alice, &room, "m.room.topic", "", json!({ "topic": "t" }))
        .await
        .expect("set");
    let next = world.slide(&bob, pos(&first), &body).await.expect("known");
    let told = &next["rooms"][room.as_str()];
    assert_eq!(kinds(&told["required_state"]), ["m.room.name"]);
    assert_eq!(told["name"], "n");
}

#[tokio::test]
async fn wishes_that_are_added_later_are_told_from_the_current_state() {
    let world = World::new().await;
    let (alice, bob, room) = two(&world).await;
    world
        .server
        .set(&alice, &room, "m.room.topic", "", json!({ "topic": "t" }))
        .await
        .expect("set");
    let first = world.slide(&bob, None, &wanting(&json!([]))).await.expect("starts");
    assert!(first["rooms"][room.as_str()]["required_state"].is_null());
    let body = wanting(&json!([["m.room.topic", ""]]));
    let more = world.slide(&bob, pos(&first), &body).await.expect("known");
    assert_eq!(kinds(&more["rooms"][room.as_str()]["required_state"]), ["m.room.topic"]);
    let next = world.slide(&bob, pos(&more), &body).await.expect("known");
    assert!(next["rooms"].is_null());
}

#[tokio::test]
async fn stars_stand_for_every_type_and_key() {
    let world = World::new().await;
    let (_, bob, room) = two(&world).await;
    let of = async |required: Value| {
        let answer = world.slide(&bob, None, &wanting(&required)).await.expect("starts");
        answer["rooms"][room.as_str()]["required_state"].clone()
    };
    let all = of(json!([["*", "*"]])).await;
    assert!(kinds(&all).contains(&"m.room.power_levels"));
    assert_eq!(keys(&all, "m.room.member").len(), 2);
    let members = of(json!([["m.room.member", "*"]])).await;
    assert_eq!((kinds(&members).len(), keys(&members, "m.room.member").len()), (2, 2));
    let unkeyed = of(json!([["*", ""]])).await;
    assert!(
        kinds(&unkeyed).contains(&"m.room.create") && !kinds(&unkeyed).contains(&"m.room.member")
    );
}

#[tokio::test]
async fn lazy_members_come_as_they_speak_and_again_if_the_answer_got_lost() {
    let world = World::new().await;
    let (alice, bob, room) = two(&world).await;
    let carol = world.person("carol").await;
    world.server.join(&carol, &room).await.expect("public");
    world.server.say(&alice, &room, "x").await.expect("said");
    let body = wanting(&json!([["m.room.member", "$LAZY"]]));
    let first = world.slide(&bob, None, &body).await.expect("starts");
    let members = |answer: &Value| {
        let state = &answer["rooms"][room.as_str()]["required_state"];
        keys(state, "m.room.member").into_iter().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(members(&first), [alice.as_str()]);
    world.server.say(&carol, &room, "y").await.expect("said");
    for _ in 0..2 {
        let lost = world.slide(&bob, pos(&first), &body).await.expect("known");
        assert_eq!(members(&lost), [carol.as_str()]);
    }
    let answer = world.slide(&bob, pos(&first), &body).await.expect("known");
    world.server.say(&carol, &room, "z").await.expect("said");
    let next = world.slide(&bob, pos(&answer), &body).await.expect("known");
    assert!(members(&next).is_empty());
    // A new name of somebody who was told is told.
    let renamed = json!({ "membership": "join", "displayname": "Caroline" });
    world.server.set(&carol, &room, "m.room.member", carol.as_str(), renamed).await.expect("set");
    let next = world.slide(&bob, pos(&next), &body).await.expect("known");
    assert_eq!(members(&next), [carol.as_str()]);
}

#[tokio::test]
async fn extensions_are_silent_unless_enabled() {
    let world = World::new().await;
    let (alice, bob, _) = two(&world).await;
    world.message_device(&alice, &bob, "x").await;
    let answer = world.slide(&bob, None, &wanting(&json!([]))).await.expect("starts");
    assert!(answer["extensions"].is_null(), "{answer}");
}

#[tokio::test]
async fn device_messages_go_when_their_own_token_says_so() {
    let world = World::new().await;
    let (alice, bob, _) = two(&world).await;
    world.message_device(&alice, &bob, "one").await;
    let body = |since: Option<&str>| json!({ "extensions": { "to_device": { "enabled": true, "since": since } } });
    let first = world.slide(&bob, None, &body(None)).await.expect("starts");
    let to_device = &first["extensions"]["to_device"];
    assert_eq!(to_device["events"][0]["content"]["text"], "one");
    // A new connection of the same client goes on with the old token.
    let again = world.slide(&bob, None, &body(None)).await.expect("starts");
    assert_eq!(again["extensions"]["to_device"]["events"].as_array().map(Vec::len), Some(1));
    let since = to_device["next_batch"].as_str();
    let next = world.slide(&bob, pos(&again), &body(since)).await.expect("known");
    assert!(next["extensions"]["to_device"]["events"].is_null(), "{next}");
}

#[tokio::test]
async fn account_data_receipts_and_typing_are_told_of_shown_rooms() {
    let world = World::new().await;
    let (alice, bob, room) = two(&world).await;
    let event = world.server.say(&alice, &room, "x").await.expect("said");
    let on = json!({ "enabled": true });
    let mut body = wanting(&json!([]));
    body["extensions"] = json!({ "account_data": on, "receipts": on, "typing": on });
    let first = world.slide(&bob, None, &body).await.expect("starts");
    assert_eq!(kinds(&first["extensions"]["account_data"]["global"]), ["m.push_rules"]);
    world.account_data(&bob, Some(&room), "m.tag", json!({ "tags": {} })).await;
    world.read(&alice, &room, &event, ReceiptKind::Read).await;
    let reader = Reader::new(alice.id.clone(), None);
    let access = world.server.rooms.access(&reader, &room).await.expect("joined");
    access.set_typing(Some(Duration::from_secs(30))).expect("joined");
    let next = world.slide(&bob, pos(&first), &body).await.expect("known");
    let extensions = &next["extensions"];
    assert_eq!(kinds(&extensions["account_data"]["rooms"][room.as_str()]), ["m.tag"]);
    let receipt = &extensions["receipts"]["rooms"][room.as_str()]["content"];
    assert!(receipt[event.as_str()]["m.read"][alice.as_str()].is_object(), "{next}");
    let typing = &extensions["typing"]["rooms"][room.as_str()]["content"];
    assert_eq!(typing["user_ids"], json!([alice.id]));
    // Only those rooms that an extension names, if it names any.
    body["extensions"]["receipts"] = json!({ "enabled": true, "rooms": ["!other:example.org"] });
    let other = world.slide(&bob, pos(&first), &body).await.expect("known");
    assert!(other["extensions"]["receipts"].is_null());
}

#[tokio::test]
async fn an_own_receipt_changes_the_counts_without_an_event() {
    let world = World::new().await;
    let (alice, bob, room) = two(&world).await;
    let body = wanting(&json!([]));
    let first = world.slide(&bob, None, &body).await.expect("starts");
    let event = world.server.say(&alice, &room, "x").await.expect("said");
    let answer = world.slide(&bob, pos(&first), &body).await.expect("known");
    assert_eq!(answer["rooms"][room.as_str()]["notification_count"], 1);
    world.read(&bob, &room, &event, ReceiptKind::Private).await;
    let answer = world.slide(&bob, pos(&answer), &body).await.expect("known");
    let told = &answer["rooms"][room.as_str()];
    assert!(told.is_object() && told["notification_count"].as_u64().unwrap_or(0) == 0, "{answer}");
}
