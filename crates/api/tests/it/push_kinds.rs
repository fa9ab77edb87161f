//! Pushers that are not for gateways, and the rule that pushes everything encrypted (MSC4028).

use blaupause_notify::Settings;
use serde_json::{Value, json};

use crate::server::{Client, Server};

const RULE: &str = ".org.matrix.msc4028.encrypted_event";

async fn features(server: &Server) -> Value {
    let versions = server.call(http::Method::GET, "/versions", None, None).await.ok();
    versions["unstable_features"].clone()
}

async fn overrides(client: &Client<'_>) -> Vec<String> {
    let rules = client.get("/v3/pushrules/").await.ok();
    let rules = rules["global"]["override"].as_array().expect("a list").iter();
    rules.map(|rule| rule["rule_id"].as_str().expect("an id").to_owned()).collect()
}

/// Bob's unread count of a room that he wants to hear nothing of, after an encrypted event.
async fn unread_in_quiet_room(server: &Server, kind: &str) -> u64 {
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.post("/v3/createRoom", json!({ "preset": "public_chat" })).await.ok();
    let room = room["room_id"].as_str().expect("an id");
    bob.post(&format!("/v3/rooms/{room}/join"), json!({})).await.ok();
    bob.put(
        &format!("/v3/pushrules/global/{kind}/{room}"),
        match kind {
            "override" => json!({
                "actions": [],
                "conditions": [{ "kind": "event_match", "key": "room_id", "pattern": room }],
            }),
            _ => json!({ "actions": [] }),
        },
    )
    .await
    .ok();
    let secret = json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AAAA" });
    alice.put(&format!("/v3/rooms/{room}/send/m.room.encrypted/1"), secret).await.ok();
    let sync = bob.get("/v3/sync?timeout=0").await.ok();
    let counts = &sync["rooms"]["join"][room]["unread_notifications"];
    counts["notification_count"].as_u64().expect("a number")
}

#[tokio::test]
async fn everything_encrypted_is_pushed_where_the_operator_wants_it() {
    let on = Settings { encrypted_events: true, ..Settings::default() };
    let server = Server::with_notify(on.clone()).await;
    assert_eq!(features(&server).await["org.matrix.msc4028"], true);
    let carol = server.user("carol").await;
    let rules = overrides(&carol).await;
    assert_eq!(rules[..2], [".m.rule.master", RULE]);
    assert_eq!(unread_in_quiet_room(&server, "room").await, 1, "mentions only");
    let server = Server::with_notify(on).await;
    assert_eq!(unread_in_quiet_room(&server, "override").await, 0, "muted");
    let server = Server::new().await;
    assert!(features(&server).await["org.matrix.msc4028"].is_null());
    assert!(!overrides(&server.user("carol").await).await.iter().any(|rule| rule == RULE));
    assert_eq!(unread_in_quiet_room(&server, "room").await, 0);
}

#[tokio::test]
async fn only_pushers_for_gateways_are_taken() {
    let server = Server::new().await;
    let bob = server.user("bob").await;
    for kind in ["email", "org.example.pigeon"] {
        let pusher = json!({
            "app_id": "m.email", "pushkey": "bob@example.org", "kind": kind, "lang": "en",
            "app_display_name": "a", "device_display_name": "d", "data": {},
        });
        bob.post("/v3/pushers/set", pusher).await.refused(400, "M_INVALID_PARAM");
    }
    let pushers = bob.get("/v3/pushers").await.ok();
    assert_eq!(pushers["pushers"], json!([]));
}
