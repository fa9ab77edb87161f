//! Redactions of events together with what relates to them (MSC3912).

use serde_json::{Value, json};

use crate::server::{Client, Server};

async fn send(who: &Client<'_>, room: &str, txn: &str, content: Value) -> String {
    let path = format!("/v3/rooms/{room}/send/m.room.message/{txn}");
    let sent = who.put(&path, content).await.ok();
    sent["event_id"].as_str().expect("an id").to_owned()
}

fn related(to: &str, by: &str) -> Value {
    json!({ "body": "x", "msgtype": "m.text", "m.relates_to": { "event_id": to, "rel_type": by } })
}

async fn is_redacted(who: &Client<'_>, room: &str, event: &str) -> bool {
    let event = who.get(&format!("/v3/rooms/{room}/event/{event}")).await.ok();
    event["unsigned"].get("redacted_because").is_some()
}

#[tokio::test]
async fn what_relates_by_the_given_types_goes_too_as_far_as_one_may() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.post("/v3/createRoom", json!({ "preset": "public_chat" })).await.ok();
    let room = room["room_id"].as_str().expect("an id").to_owned();
    bob.post(&format!("/v3/join/{room}"), json!({})).await.ok();
    let root = send(&bob, &room, "1", json!({ "body": "a", "msgtype": "m.text" })).await;
    let edit = send(&bob, &room, "2", related(&root, "m.replace")).await;
    let reply = send(&bob, &room, "3", related(&root, "m.thread")).await;
    let hers = send(&alice, &room, "4", related(&root, "m.replace")).await;
    let body = json!({ "org.matrix.msc3912.with_relations": ["m.replace"], "reason": "x" });
    let path = format!("/v3/rooms/{room}/redact/{root}/t1");
    let done = bob.put(&path, body.clone()).await.ok();
    let state = |event: String| {
        let (bob, room) = (&bob, &room);
        async move { is_redacted(bob, room, &event).await }
    };
    assert!(state(root.clone()).await && state(edit.clone()).await);
    assert!(!state(reply.clone()).await, "another type");
    assert!(!state(hers.clone()).await, "not his");
    assert_eq!(bob.put(&path, body).await.ok(), done, "the same transaction");
    // Every type, by who may redact others.
    let body = json!({ "with_rel_types": ["*"] });
    alice.put(&format!("/v3/rooms/{room}/redact/{root}/t2"), body).await.ok();
    assert!(state(reply).await && state(hers).await);
}

#[tokio::test]
async fn types_are_a_list_of_texts() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = alice.post("/v3/createRoom", json!({})).await.ok();
    let room = room["room_id"].as_str().expect("an id").to_owned();
    let event = send(&alice, &room, "1", json!({ "body": "a", "msgtype": "m.text" })).await;
    for wrong in [json!("m.replace"), json!([1]), json!({}), json!(7)] {
        let path = format!("/v3/rooms/{room}/redact/{event}/t");
        let body = json!({ "with_rel_types": wrong });
        alice.put(&path, body).await.refused(400, "M_BAD_JSON");
    }
}
