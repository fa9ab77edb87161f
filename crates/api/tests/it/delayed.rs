//! Events that the server sends later (MSC4140), as clients ask for them.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::server::{Client, Server};

const PREFIX: &str = "/unstable/org.matrix.msc4140";

async fn room(alice: &Client<'_>) -> String {
    let room = alice.post("/v3/createRoom", json!({})).await.ok();
    room["room_id"].as_str().expect("an id").to_owned()
}

fn id_in(answer: &Value) -> String {
    answer["delay_id"].as_str().expect("a delay").to_owned()
}

fn message(text: &str) -> Value {
    json!({ "msgtype": "m.text", "body": text })
}

async fn pass(server: &Server, millis: u64) {
    server.data.env().advance(Duration::from_millis(millis));
    server.rooms.send_due().await.expect("sent");
}

#[tokio::test]
async fn the_query_of_send_and_state_schedules_and_the_event_names_its_delay() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = room(&alice).await;
    let path = format!("/v3/rooms/{room}/send/m.room.message/1?org.matrix.msc4140.delay=1000");
    let delay = id_in(&alice.put(&path, message("later")).await.ok());
    assert_eq!(id_in(&alice.put(&path, message("later")).await.ok()), delay, "the same request");
    let state = format!("/v3/rooms/{room}/state/m.room.topic?org.matrix.msc4140.delay=2000");
    let topic = id_in(&alice.put(&state, json!({ "topic": "t" })).await.ok());
    let listed = alice.get(&format!("{PREFIX}/delayed_events")).await.ok();
    let waiting: Vec<_> = listed["delayed_events"].as_array().expect("a list").iter().collect();
    assert_eq!(waiting.len(), 2);
    assert_eq!((&waiting[0]["delay_id"], &waiting[1]["delay_id"]), (&json!(delay), &json!(topic)));
    assert_eq!(waiting[0]["delay"], 1_000);
    assert_eq!(waiting[0]["content"], message("later"));
    assert_eq!(
        (&waiting[1]["state_key"], &waiting[1]["type"]),
        (&json!(""), &json!("m.room.topic"))
    );
    pass(&server, 1_000).await;
    let one = alice.get(&format!("{PREFIX}/delayed_events/{delay}")).await.ok();
    let event = one["event_id"].as_str().expect("sent");
    assert!(one["finalised_ts"].is_u64());
    assert_eq!(one["finalised"]["event_id"], json!(event));
    assert!(one["finalised"]["finalised_ts"].is_u64() && one["delayed_since_ts"].is_u64());
    let event = alice.get(&format!("/v3/rooms/{room}/event/{event}")).await.ok();
    assert_eq!(event["unsigned"]["org.matrix.msc4140.delay_id"], json!(delay));
    pass(&server, 1_000).await;
    let topic = alice.get(&format!("/v3/rooms/{room}/state/m.room.topic")).await.ok();
    assert_eq!(topic["topic"], "t");
}

#[tokio::test]
async fn the_endpoint_of_the_final_text_schedules_at_both_paths() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = room(&alice).await;
    for (path, field) in [(PREFIX, "delay"), ("/v3", "delay_ms")] {
        let path = format!("{path}/rooms/{room}/delayed_event/m.room.topic/{field}");
        let body = json!({ field: 1_000, "state_key": "", "content": { "topic": field } });
        let delay = id_in(&alice.put(&path, body).await.ok());
        let one = alice.get(&format!("/v1/delayed_events/{delay}")).await.ok();
        assert!(one.get("finalised").is_none());
        assert_eq!((&one["delay_ms"], &one["state_key"]), (&json!(1_000), &json!("")));
        alice.post(&format!("/v1/delayed_events/{delay}/send"), json!({})).await.ok();
        let topic = alice.get(&format!("/v3/rooms/{room}/state/m.room.topic")).await.ok();
        assert_eq!(topic["topic"], field);
        let nothing = alice.put(&path, json!({ "content": {} })).await;
        nothing.refused(400, "M_MISSING_PARAM");
    }
}

#[tokio::test]
async fn a_delay_is_managed_by_path_or_body_with_the_token_or_with_its_id_alone() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room(&alice).await;
    let path = format!("/v3/rooms/{room}/send/m.room.message/1?org.matrix.msc4140.delay=1000");
    let delay = id_in(&alice.put(&path, message("x")).await.ok());
    let at = format!("{PREFIX}/delayed_events/{delay}");
    // Without a body, as matrix-js-sdk asks.
    server.call(Method::POST, &format!("{at}/restart"), None, None).await.ok();
    let restart = json!({ "action": "restart" });
    server.call(Method::POST, &at, None, Some(restart.clone())).await.ok();
    alice.post(&at, restart).await.ok();
    alice.post(&at, json!({ "action": "dance" })).await.refused(400, "M_INVALID_PARAM");
    alice.post(&format!("{at}/dance"), json!({})).await.refused(404, "M_UNRECOGNIZED");
    bob.post(&format!("{at}/cancel"), json!({})).await.refused(404, "M_NOT_FOUND");
    bob.get(&at).await.refused(404, "M_NOT_FOUND");
    let stable = format!("/v1/delayed_events/{delay}/cancel");
    server.call(Method::POST, &stable, None, None).await.refused(401, "M_MISSING_TOKEN");
    alice.post(&stable, json!({})).await.ok();
    // The code lets the calls of today's clients go on.
    alice.post(&format!("{at}/restart"), json!({})).await.refused(409, "M_NOT_FOUND");
    let ended = alice.get(&format!("{PREFIX}/delayed_events?status=finalised")).await.ok();
    assert_eq!(ended["delayed_events"][0]["delay_id"], json!(delay));
    assert!(ended["delayed_events"][0].get("error").is_none());
}

#[tokio::test]
async fn too_long_a_delay_is_refused_as_clients_know_it() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = room(&alice).await;
    let day = 24 * 60 * 60 * 1_000;
    let path = format!("/v3/rooms/{room}/send/m.room.message/1");
    let path = format!("{path}?org.matrix.msc4140.delay={}", day + 1);
    let refused = alice.put(&path, message("x")).await;
    refused.refused(400, "M_UNKNOWN");
    assert_eq!(refused.body["org.matrix.msc4140.errcode"], "M_MAX_DELAY_EXCEEDED");
    assert_eq!(refused.body["org.matrix.msc4140.max_delay"], day);
    let path = format!("/v3/rooms/{room}/delayed_event/m.room.message/1");
    let body = json!({ "delay_ms": day + 1, "content": message("x") });
    alice.put(&path, body).await.refused(403, "M_FORBIDDEN");
    let capabilities = alice.get("/v3/capabilities").await.ok();
    let limits = &capabilities["capabilities"]["m.delayed_events"];
    assert_eq!(limits, &json!({ "max_delay_ms": day, "max_scheduled": 100 }));
    let versions = server.call(Method::GET, "/versions", None, None).await.ok();
    assert_eq!(versions["unstable_features"]["org.matrix.msc4140"], true);
}

#[tokio::test]
async fn why_an_event_was_not_sent_is_told() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.post("/v3/createRoom", json!({ "preset": "public_chat" })).await.ok();
    let room = room["room_id"].as_str().expect("an id").to_owned();
    bob.post(&format!("/v3/rooms/{room}/join"), json!({})).await.ok();
    let path = format!("/v3/rooms/{room}/state/m.room.topic?org.matrix.msc4140.delay=10");
    let delay = id_in(&bob.put(&path, json!({ "topic": "bob's" })).await.ok());
    let at = format!("{PREFIX}/delayed_events/{delay}");
    bob.post(&format!("{at}/send"), json!({})).await.refused(403, "M_FORBIDDEN");
    assert!(bob.get(&at).await.ok().get("finalised_ts").is_none(), "it still waits");
    pass(&server, 10).await;
    let ended = bob.get(&at).await.ok();
    assert_eq!(ended["error"]["errcode"], "M_FORBIDDEN");
    bob.post(&format!("{at}/cancel"), json!({})).await.ok();
}
