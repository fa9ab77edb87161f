//! What servers tell each other besides events: a transaction is done once, a bad part of it is
//! passed over, and nobody speaks for somebody else's users.

use axum::body::Body;
use http::{Method, Request, header};
use ruma::{
    ServerName,
    api::federation::authentication::{XMatrix, XMatrixSigningInput},
};
use serde_json::{Value, json};

use super::network::Network;
use crate::server::{Answer, Client, Server};

/// A signed request of one server to another.
async fn ask(
    from: &Server,
    to: &Server,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Answer {
    let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let mut request = Request::builder().method(method).uri(path).body(body).expect("a request");
    let destination: &ServerName = to.data.server_name();
    let sign = XMatrixSigningInput::new(
        from.data.server_name().to_owned(),
        destination.to_owned(),
        from.data.signing_key().pair(),
    );
    let value = XMatrix::sign_http_request(&request, sign).expect("it can be signed");
    request.headers_mut().insert(header::AUTHORIZATION, (&value).into());
    to.send(request.map(Body::from)).await
}

/// A transaction with EDUs.
pub(super) async fn transaction(from: &Server, to: &Server, id: &str, edus: Value) -> Answer {
    let body = json!({
        "origin": from.data.server_name(), "origin_server_ts": 1, "pdus": [], "edus": edus,
    });
    ask(from, to, Method::PUT, &format!("/_matrix/federation/v1/send/{id}"), Some(body)).await
}

/// Alice on the first server and Bob on the second, in a room of Alice.
async fn shared(alice: &Client<'_>, bob: &Client<'_>) -> String {
    let made = alice.post("/v3/createRoom", json!({ "preset": "public_chat" })).await.ok();
    let room = made["room_id"].as_str().expect("an id").to_owned();
    bob.post(&format!("/v3/join/{room}?via=a.example"), json!({})).await.ok();
    room
}

fn with(mut object: Value, key: &str, value: &str) -> Value {
    object[key] = json!(value);
    object
}

async fn typing(who: &Client<'_>, room: &str) -> Vec<Value> {
    let news = who.get("/v3/sync?timeout=0").await.ok();
    let events = news["rooms"]["join"][room]["ephemeral"]["events"].as_array().cloned();
    let typing = events.unwrap_or_default().into_iter().find(|event| event["type"] == "m.typing");
    let users = typing.map(|event| event["content"]["user_ids"].clone()).unwrap_or_default();
    users.as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_bad_edu_does_not_harm_the_others_and_nobody_speaks_for_strangers() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let room = shared(&alice, &bob).await;
    let typing_of = |user: &str, room: &str| {
        json!({ "edu_type": "m.typing",
            "content": { "room_id": room, "user_id": user, "typing": true } })
    };
    let edus = json!([
        5,
        { "edu_type": 7 },
        { "edu_type": "m.typing", "content": "x" },
        { "edu_type": "m.receipt", "content": [] },
        { "edu_type": "m.presence", "content": { "push": 1 } },
        { "edu_type": "m.unknown", "content": {} },
        typing_of(&alice.id, &room),
        typing_of("@nobody:b.example", &room),
        typing_of(&bob.id, "!nowhere:a.example"),
    ]);
    transaction(&b, &a, "t1", edus).await.ok();
    assert!(typing(&alice, &room).await.is_empty());
    let edus = json!([5, typing_of(&bob.id, &room)]);
    assert_eq!(transaction(&b, &a, "t2", edus).await.ok(), json!({ "pdus": {} }));
    assert_eq!(typing(&alice, &room).await, [json!(bob.id)]);
}

#[tokio::test]
async fn who_syncs_for_the_first_time_is_told_who_is_there_elsewhere() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let (carol, dora) = (b.user("carol").await, b.user("dora").await);
    let room = shared(&alice, &bob).await;
    dora.post(&format!("/v3/join/{room}?via=a.example"), json!({})).await.ok();
    let push = |user: &str, state: &str| {
        let status = json!({ "presence": state, "last_active_ago": 1, "status_msg": "hi" });
        with(status, "user_id", user)
    };
    // Carol shares no room with anybody here.
    let edus = json!([{ "edu_type": "m.presence", "content": { "push": [
        push(&bob.id, "online"), push(&carol.id, "online"), push(&dora.id, "offline"),
    ] } }]);
    transaction(&b, &a, "t1", edus).await.ok();
    let news = alice.get("/v3/sync?timeout=0").await.ok();
    let events = news["presence"]["events"].as_array().cloned().unwrap_or_default();
    let told: Vec<_> =
        events.iter().map(|event| &event["sender"]).filter(|user| **user != *alice.id).collect();
    assert_eq!(told, [&json!(bob.id)]);
    assert!(events.iter().any(|event| event["content"]["status_msg"] == "hi"));
}

#[tokio::test]
async fn a_transaction_is_done_once_and_within_limits() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let alice = a.user("alice").await;
    let message = json!([{ "edu_type": "m.direct_to_device", "content": {
        "sender": "@bob:b.example", "type": "m.x", "message_id": "m1",
        "messages": { alice.id.as_str(): { "*": { "n": 1 } } },
    } }]);
    for id in ["t1", "t1", "t2"] {
        transaction(&b, &a, id, message.clone()).await.ok();
    }
    let news = alice.get("/v3/sync?timeout=0").await.ok();
    assert_eq!(news["to_device"]["events"].as_array().map(Vec::len), Some(1));
    let many = vec![json!({ "edu_type": "m.x", "content": {} }); 101];
    transaction(&b, &a, "t3", json!(many)).await.refused(400, "M_INVALID_PARAM");
    let forged = json!({ "origin": "c.example", "origin_server_ts": 1, "pdus": [] });
    let path = "/_matrix/federation/v1/send/t4";
    ask(&b, &a, Method::PUT, path, Some(forged)).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn keys_profiles_and_devices_are_told_by_the_server_they_belong_to() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let wanted = json!({ "device_keys": { bob.id.as_str(): [] } });
    let found = alice.post("/v3/keys/query", wanted.clone()).await.ok();
    assert_eq!(found.get("failures"), None);
    let name = alice.get(&format!("/v3/profile/{}", bob.id)).await.ok();
    assert_eq!(name["displayname"], "bob");
    alice.get("/v3/profile/@nobody:b.example").await.refused(404, "M_NOT_FOUND");
    let path = format!("/_matrix/federation/v1/user/devices/{}", bob.id);
    assert_eq!(ask(&a, &b, Method::GET, &path, None).await.ok()["user_id"], *bob.id);
    ask(&b, &a, Method::GET, &path, None).await.refused(404, "M_NOT_FOUND");
    network.cut(&a, &b);
    let found = alice.post("/v3/keys/query", wanted).await.ok();
    assert_eq!(found["failures"], json!({ "b.example": {} }));
}
