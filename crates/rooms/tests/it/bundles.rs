//! `unsigned`: what depends on the reader, and what others said about an event.

use blaupause_rooms::Reader;
use blaupause_testkit::TestServer;
use ruma::{EventId, OwnedEventId, RoomId, UserId};
use serde_json::{Value, json};

use crate::reading::{access, parsed, visibility};

pub async fn relate(
    server: &TestServer,
    user: &UserId,
    room: &RoomId,
    rel_type: &str,
    target: &EventId,
    body: &str,
) -> OwnedEventId {
    let content = json!({
        "msgtype": "m.text",
        "body": body,
        "m.new_content": { "msgtype": "m.text", "body": body },
        "m.relates_to": { "rel_type": rel_type, "event_id": target },
    });
    server.send(user, room, "m.room.message", content, None).await.expect("sent")
}

pub async fn event(server: &TestServer, user: &UserId, room: &RoomId, id: &EventId) -> Value {
    let access = access(server, user, room).await.expect("may read");
    let event = access.event(id).await.expect("may see");
    parsed(&[event.json().await.expect("reads")]).remove(0)
}

async fn two_people() -> (TestServer, ruma::OwnedUserId, ruma::OwnedUserId, ruma::OwnedRoomId) {
    let server = TestServer::new().await;
    let (alice, bob) = (server.account("alice").await, server.account("bob").await);
    let room = server.public_room(&alice).await;
    server.join(&bob, &room).await.expect("public");
    (server, alice, bob, room)
}

#[tokio::test]
async fn age_and_membership_are_told() {
    let (server, alice, bob, room) = two_people().await;
    let id = server.say(&alice, &room, "x").await.expect("sent");
    server.data.env().advance(std::time::Duration::from_millis(1_234));
    let seen = event(&server, &bob, &room, &id).await;
    assert_eq!(seen["unsigned"], json!({ "age": 1234, "membership": "join" }));
    assert_eq!(seen["room_id"], room.as_str());
    let create = server.timeline(&room).await[0].stored.event_id.clone();
    let seen = event(&server, &bob, &room, &create).await;
    assert_eq!(seen["unsigned"]["membership"], "leave");
}

#[tokio::test]
async fn only_the_sending_device_is_told_the_transaction() {
    let (server, alice, bob, room) = two_people().await;
    let content = json!({ "msgtype": "m.text", "body": "x" });
    let id = server.send(&alice, &room, "m.room.message", content, Some("t1")).await.expect("sent");
    let seen = event(&server, &alice, &room, &id).await;
    assert_eq!(seen["unsigned"]["transaction_id"], "t1");
    assert_eq!(event(&server, &bob, &room, &id).await["unsigned"].get("transaction_id"), None);
    let other = Reader::new(alice.clone(), Some("OTHER".into()));
    let access = server.rooms.access(&other, &room).await.expect("joined");
    let json = access.event(&id).await.expect("seen").json().await.expect("reads");
    assert!(!json.get().contains("transaction_id"));
}

#[tokio::test]
async fn state_events_tell_what_they_replaced() {
    let (server, alice, _, room) = two_people().await;
    let first = server.set(&alice, &room, "m.room.topic", "", json!({ "topic": "1" })).await;
    let first = first.expect("set");
    let second = server.set(&alice, &room, "m.room.topic", "", json!({ "topic": "2" })).await;
    let seen = event(&server, &alice, &room, &second.expect("set")).await;
    assert_eq!(seen["unsigned"]["prev_content"], json!({ "topic": "1" }));
    assert_eq!(seen["unsigned"]["replaces_state"], first.as_str());
    assert_eq!(seen["unsigned"]["prev_sender"], alice.as_str());
}

#[tokio::test]
async fn a_redacted_event_tells_why() {
    let (server, alice, bob, room) = two_people().await;
    let id = server.say(&bob, &room, "x").await.expect("sent");
    event(&server, &alice, &room, &id).await;
    let redaction = server.redact(&alice, &room, &id).await.expect("may");
    let seen = event(&server, &alice, &room, &id).await;
    assert_eq!(seen["content"], json!({}));
    assert_eq!(seen["unsigned"]["redacted_because"]["event_id"], redaction.as_str());
    assert_eq!(seen["unsigned"]["redacted_because"]["redacts"], id.as_str());
}

#[tokio::test]
async fn the_latest_valid_edit_is_bundled() {
    let (server, alice, bob, room) = two_people().await;
    let id = server.say(&alice, &room, "x").await.expect("sent");
    relate(&server, &alice, &room, "m.replace", &id, "first").await;
    server.data.env().advance(std::time::Duration::from_secs(1));
    let second = relate(&server, &alice, &room, "m.replace", &id, "second").await;
    server.data.env().advance(std::time::Duration::from_secs(1));
    relate(&server, &bob, &room, "m.replace", &id, "not by the author").await;
    let seen = event(&server, &bob, &room, &id).await;
    let edit = &seen["unsigned"]["m.relations"]["m.replace"];
    assert_eq!(edit["event_id"], second.as_str());
    assert_eq!(edit["content"]["m.new_content"]["body"], "second");
    assert_eq!(seen["content"]["body"], "x", "the original stays as it is");
    server.redact(&alice, &room, &second).await.expect("may");
    let seen = event(&server, &bob, &room, &id).await;
    let edit = &seen["unsigned"]["m.relations"]["m.replace"];
    assert_eq!(edit["content"]["m.new_content"]["body"], "first");
    server.redact(&alice, &room, &id).await.expect("may");
    let seen = event(&server, &bob, &room, &id).await;
    assert_eq!(seen["unsigned"].get("m.relations"), None, "a redacted event has no edits");
}

#[tokio::test]
async fn a_thread_is_summed_up_for_each_reader() {
    let (server, alice, bob, room) = two_people().await;
    let carol = server.account("carol").await;
    server.join(&carol, &room).await.expect("public");
    let root = server.say(&alice, &room, "root").await.expect("sent");
    relate(&server, &bob, &room, "m.thread", &root, "1").await;
    let last = relate(&server, &bob, &room, "m.thread", &root, "2").await;
    relate(&server, &bob, &room, "m.replace", &last, "2, edited").await;
    let thread = async |user: &UserId| {
        event(&server, user, &room, &root).await["unsigned"]["m.relations"]["m.thread"].clone()
    };
    let seen = thread(&bob).await;
    assert_eq!(seen["count"], 2);
    assert_eq!(seen["latest_event"]["event_id"], last.as_str());
    let edit = &seen["latest_event"]["unsigned"]["m.relations"]["m.replace"];
    assert_eq!(edit["content"]["body"], "2, edited");
    assert_eq!(seen["current_user_participated"], true);
    assert_eq!(thread(&alice).await["current_user_participated"], true, "it is their thread");
    assert_eq!(thread(&carol).await["current_user_participated"], false);
    server.redact(&bob, &room, &last).await.expect("may");
    assert_eq!(thread(&carol).await["count"], 1);
    let ignore = blaupause_testkit::raw(&json!({ "ignored_users": { bob.as_str(): {} } }));
    let ignored = server.accounts.set_account_data(&carol, None, "m.ignored_user_list", &ignore);
    ignored.await.expect("set");
    assert_eq!(thread(&carol).await, Value::Null, "who is ignored does not count");
}

#[tokio::test]
async fn references_are_listed_and_reactions_are_not() {
    let (server, alice, bob, room) = two_people().await;
    let id = server.say(&alice, &room, "x").await.expect("sent");
    let one = relate(&server, &bob, &room, "m.reference", &id, "1").await;
    relate(&server, &bob, &room, "m.annotation", &id, "👍").await;
    let two = relate(&server, &bob, &room, "m.reference", &id, "2").await;
    let seen = event(&server, &alice, &room, &id).await;
    let chunk = json!({ "chunk": [{ "event_id": one }, { "event_id": two }] });
    assert_eq!(seen["unsigned"]["m.relations"], json!({ "m.reference": chunk }));
}

#[tokio::test]
async fn an_event_with_very_many_children_is_summed_up_too() {
    let (server, alice, bob, room) = two_people().await;
    let other = server.say(&alice, &room, "other").await.expect("sent");
    let root = server.say(&alice, &room, "root").await.expect("sent");
    relate(&server, &alice, &room, "m.replace", &root, "edited").await;
    for n in 0..1_005 {
        relate(&server, &bob, &room, "m.annotation", &root, &n.to_string()).await;
    }
    let last = relate(&server, &bob, &room, "m.thread", &root, "reply").await;
    relate(&server, &alice, &room, "m.replace", &other, "edited too").await;
    let access = access(&server, &alice, &room).await.expect("joined");
    let ids = [other, root];
    let events: Vec<_> = access.events_by_id(&ids).await.expect("reads");
    let timeline = server.timeline(&room).await;
    assert!(events.iter().all(Option::is_some));
    let page: Vec<_> =
        timeline.into_iter().filter(|event| ids.contains(&event.stored.event_id)).collect();
    let told = parsed(&access.serialize_page(&page).await.expect("reads"));
    assert_eq!(told[0]["unsigned"]["m.relations"]["m.replace"]["content"]["body"], "edited too");
    let relations = &told[1]["unsigned"]["m.relations"];
    assert_eq!(relations["m.replace"]["content"]["body"], "edited");
    assert_eq!(relations["m.thread"]["latest_event"]["event_id"], last.as_str());
}

#[tokio::test]
async fn who_left_is_not_told_what_came_later() {
    let (server, alice, bob, room) = two_people().await;
    let id = server.say(&alice, &room, "x").await.expect("sent");
    server.leave(&bob, &room).await.expect("left");
    relate(&server, &alice, &room, "m.replace", &id, "secret").await;
    relate(&server, &alice, &room, "m.thread", &id, "secret").await;
    let seen = event(&server, &bob, &room, &id).await;
    assert_eq!(seen["unsigned"].get("m.relations"), None);
    server.redact(&alice, &room, &id).await.expect("may");
    let seen = event(&server, &bob, &room, &id).await;
    assert_eq!(seen["unsigned"].get("redacted_because"), None);
}

#[tokio::test]
async fn sync_gets_the_same_without_the_room() {
    let (server, alice, bob, room) = two_people().await;
    visibility(&server, &alice, &room, "joined").await;
    let id = server.say(&alice, &room, "x").await.expect("sent");
    relate(&server, &alice, &room, "m.replace", &id, "edited").await;
    let timeline = server.timeline(&room).await;
    let told =
        server.rooms.serialize_for_sync(&bob, None, &room, &timeline, false).await.expect("reads");
    let told = parsed(&told);
    assert_eq!(told.len(), timeline.len());
    let seen = told.iter().find(|event| event["event_id"] == id.as_str()).expect("there");
    assert_eq!(seen.get("room_id"), None);
    let edit = &seen["unsigned"]["m.relations"]["m.replace"];
    assert_eq!(edit["content"]["body"], "edited");
    assert_eq!(edit.get("room_id"), None);
}
