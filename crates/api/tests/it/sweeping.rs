//! Kicks and bans with `redact_events` (MSC4293), pages without threads (MSC3874), guests who are
//! no longer admitted.

use serde_json::{Value, json};

use crate::server::{Client, Server};

async fn room(alice: &Client<'_>) -> String {
    let room = alice.post("/v3/createRoom", json!({ "preset": "public_chat" })).await.ok();
    room["room_id"].as_str().expect("an id").to_owned()
}

async fn send(client: &Client<'_>, room: &str, txn: &str, content: Value) -> String {
    let path = format!("/v3/rooms/{room}/send/m.room.message/{txn}");
    let sent = client.put(&path, content).await.ok();
    sent["event_id"].as_str().expect("an id").to_owned()
}

fn text(body: &str) -> Value {
    json!({ "msgtype": "m.text", "body": body })
}

fn ids(events: &Value) -> Vec<&str> {
    let events = events.as_array().into_iter().flatten();
    events.filter_map(|event| event["event_id"].as_str()).collect()
}

#[tokio::test]
async fn a_ban_can_take_what_was_said_and_stands_for_the_redactions() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room(&alice).await;
    for action in ["kick", "ban"] {
        bob.post(&format!("/v3/rooms/{room}/join"), json!({})).await.ok();
        let event = send(&bob, &room, action, text("spam")).await;
        let body = json!({
            "user_id": bob.id,
            "reason": "spam",
            "org.matrix.msc4293.redact_events": true,
        });
        alice.post(&format!("/v3/rooms/{room}/{action}"), body).await.ok();
        server.rooms.follow().await.expect("followed");
        let event = alice.get(&format!("/v3/rooms/{room}/event/{event}")).await.ok();
        assert_eq!(event["content"], json!({}));
        let because = &event["unsigned"]["redacted_because"];
        assert_eq!(because["type"], "m.room.member");
        assert_eq!(because["content"]["reason"], "spam");
        assert_eq!(because["content"]["org.matrix.msc4293.redact_events"], true);
    }
}

#[tokio::test]
async fn pages_leave_out_or_pick_events_by_relation() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = room(&alice).await;
    let root = send(&alice, &room, "1", text("root")).await;
    let relation = |kind: &str| json!({ "rel_type": kind, "event_id": root });
    let mut reply = text("reply");
    reply["m.relates_to"] = relation("m.thread");
    let reply = send(&alice, &room, "2", reply).await;
    let mut edit = text("edit");
    edit["m.relates_to"] = relation("m.replace");
    edit["m.new_content"] = text("edit");
    let edit = send(&alice, &room, "3", edit).await;
    let page = async |filter: Value| {
        let filter = filter.to_string();
        let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        alice.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=50&filter={filter}")).await
    };
    let types = json!(["m.room.message"]);
    for prefix in ["", "org.matrix.msc3874."] {
        let (with, without) = (format!("{prefix}rel_types"), format!("{prefix}not_rel_types"));
        let none = page(json!({ "types": types, &without: ["m.thread"] })).await.ok();
        assert_eq!(ids(&none["chunk"]), [edit.as_str(), &root]);
        let only = page(json!({ &with: ["m.thread", "m.replace"] })).await.ok();
        assert_eq!(ids(&only["chunk"]), [edit.as_str(), &reply]);
        let both = page(json!({ &with: ["m.thread"], &without: ["m.thread"] })).await.ok();
        assert!(ids(&both["chunk"]).is_empty());
        page(json!({ &with: "m.thread" })).await.refused(400, "M_INVALID_PARAM");
    }
    let versions = server.call(http::Method::GET, "/versions", None, None).await.ok();
    assert_eq!(versions["unstable_features"]["org.matrix.msc3874"], true);
}

#[tokio::test]
async fn guests_leave_when_a_room_closes_to_them() {
    let server = Server::full().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room(&alice).await;
    let access = format!("/v3/rooms/{room}/state/m.room.guest_access");
    alice.put(&access, json!({ "guest_access": "can_join" })).await.ok();
    bob.post(&format!("/v3/rooms/{room}/join"), json!({})).await.ok();
    let guest = server.post_open("/v3/register?kind=guest", json!({})).await.ok();
    let token = guest["access_token"].as_str().expect("a token").to_owned();
    server.post(&format!("/v3/rooms/{room}/join"), &token, json!({})).await.ok();
    let members = async || {
        let members = alice.get(&format!("/v3/rooms/{room}/joined_members")).await.ok();
        members["joined"].as_object().map_or(0, serde_json::Map::len)
    };
    assert_eq!(members().await, 3);
    server.rooms.follow().await.expect("followed");
    assert_eq!(members().await, 3);
    alice.put(&access, json!({ "guest_access": "forbidden" })).await.ok();
    server.rooms.follow().await.expect("followed");
    assert_eq!(members().await, 2);
    let again = server.post(&format!("/v3/rooms/{room}/join"), &token, json!({})).await;
    again.refused(403, "M_FORBIDDEN");
}
