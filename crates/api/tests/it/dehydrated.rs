//! Dehydrated devices (MSC3814).

use http::Method;
use serde_json::{Value, json};

use crate::{
    olm::Olm,
    server::{Client, Server},
};

const PATH: &str = "/unstable/org.matrix.msc3814.v1/dehydrated_device";

/// What a client puts.
pub fn device(user: &str, id: &str) -> Value {
    let mut olm = Olm::new(user, id);
    json!({
        "device_id": id,
        "initial_device_display_name": "For later",
        "device_data": { "algorithm": "org.matrix.msc3814.v2", "device_pickle": "p", "nonce": "n" },
        "device_keys": olm.device_keys(),
        "one_time_keys": olm.one_time_keys(3),
        "fallback_keys": {},
    })
}

async fn send(from: &Client<'_>, to: &str, device: &str, number: usize) {
    let body = json!({ "messages": { to: { device: { "n": number } } } });
    from.put(&format!("/v3/sendToDevice/org.example.x/{device}{number}"), body).await.ok();
}

fn numbers(page: &Value) -> Vec<u64> {
    let events = page["events"].as_array().expect("a list").iter();
    events.map(|event| event["content"]["n"].as_u64().expect("a number")).collect()
}

#[tokio::test]
async fn a_device_is_kept_and_handed_out() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    alice.get(PATH).await.refused(404, "M_NOT_FOUND");
    let device = device(&alice.id, "LATER");
    assert_eq!(alice.put(PATH, device.clone()).await.ok(), json!({ "device_id": "LATER" }));
    let kept = alice.get(PATH).await.ok();
    assert_eq!(kept, json!({ "device_id": "LATER", "device_data": device["device_data"] }));
    // A lost answer: the same again changes nothing.
    alice.put(PATH, device).await.ok();
    assert_eq!(alice.delete(PATH, None).await.ok(), json!({ "device_id": "LATER" }));
    alice.get(PATH).await.refused(404, "M_NOT_FOUND");
    alice.delete(PATH, None).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn others_encrypt_for_it_and_it_is_no_session() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.post("/v3/createRoom", json!({ "preset": "public_chat" })).await.ok();
    let room = room["room_id"].as_str().expect("an id").to_owned();
    bob.post(&format!("/v3/join/{room}"), json!({})).await.ok();
    let before = bob.get("/v3/sync?timeout=0").await.ok();
    let before = before["next_batch"].as_str().expect("a token");
    alice.put(PATH, device(&alice.id, "LATER")).await.ok();
    let news = bob.get(&format!("/v3/sync?timeout=0&since={before}")).await.ok();
    assert_eq!(news["device_lists"]["changed"], json!([alice.id]));
    let query = json!({ "device_keys": { &alice.id: [] } });
    let keys = bob.post("/v3/keys/query", query).await.ok();
    let found = &keys["device_keys"][&alice.id]["LATER"];
    assert_eq!(found["unsigned"]["device_display_name"], "For later");
    let claim = json!({ "one_time_keys": { &alice.id: { "LATER": "signed_curve25519" } } });
    let claimed = bob.post("/v3/keys/claim", claim).await.ok();
    assert!(claimed["one_time_keys"][&alice.id]["LATER"].is_object(), "{claimed}");
    let listed = alice.get("/v3/devices").await.ok();
    let listed: Vec<_> = listed["devices"].as_array().expect("a list").iter().collect();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["device_id"], alice.device.as_str());
}

#[tokio::test]
async fn messages_for_it_are_read_in_order_and_stay_until_it_is_replaced() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    alice.put(PATH, device(&alice.id, "LATER")).await.ok();
    for number in 0..150 {
        send(&bob, &alice.id, "LATER", number).await;
    }
    send(&bob, &alice.id, "*", 150).await;
    let events = format!("{PATH}/LATER/events");
    for method in [Method::GET, Method::POST] {
        let (mut all, mut token) = (Vec::new(), None::<String>);
        loop {
            let page = if method == Method::GET {
                let query = token.map(|token| format!("?from={token}"));
                alice.get(&(events.clone() + query.as_deref().unwrap_or_default())).await.ok()
            } else {
                let body = token.map_or(json!({}), |token| json!({ "next_batch": token }));
                alice.post(&events, body).await.ok()
            };
            if numbers(&page).is_empty() {
                // matrix-js-sdk asks until there is no token; it uses GET.
                let token = page.get("next_batch");
                assert!(token.is_none_or(|token| token.is_null() && method == Method::POST));
                break;
            }
            all.extend(numbers(&page));
            token = Some(page["next_batch"].as_str().expect("a token").to_owned());
        }
        assert_eq!(all, (0..=150).collect::<Vec<_>>(), "{method}");
    }
    alice.put(PATH, device(&alice.id, "NEXT")).await.ok();
    alice.get(&events).await.refused(403, "M_FORBIDDEN");
    let query = json!({ "device_keys": { &alice.id: [] } });
    let keys = bob.post("/v3/keys/query", query).await.ok();
    assert_eq!(keys["device_keys"][&alice.id].get("LATER"), None, "its keys are gone");
    let next = alice.get(&format!("{PATH}/NEXT/events")).await.ok();
    assert!(numbers(&next).is_empty());
}

#[tokio::test]
async fn signing_out_everywhere_leaves_it_and_closing_the_account_does_not() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    alice.put(PATH, device(&alice.id, "LATER")).await.ok();
    alice.post("/v3/logout/all", json!({})).await.ok();
    assert!(!alice.works().await);
    let again = server.sign_in("alice").await;
    assert_eq!(again.get(PATH).await.ok()["device_id"], "LATER");
    let devices = again.get("/v3/devices").await.ok();
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1));
    let path = "/v3/account/deactivate";
    let session = again.post(path, json!({})).await.session();
    let auth = crate::server::password_auth("alice", &session);
    again.post(path, json!({ "auth": auth })).await.ok();
    let user = ruma::UserId::parse(&*alice.id).expect("an id");
    assert_eq!(server.accounts.dehydrated(&user).await.expect("reads"), None);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let good = device(&alice.id, "LATER");
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for (body, code) in [
        // Somebody is signed in there.
        (device(&alice.id, &alice.device), "M_INVALID_PARAM"),
        // Keys of another device, of another person.
        (with("device_id", json!("OTHER")), "M_BAD_JSON"),
        (device(&bob.id, "LATER"), "M_BAD_JSON"),
        (with("device_id", json!("")), "M_INVALID_PARAM"),
        (with("device_data", json!({})), "M_BAD_JSON"),
        (with("device_data", json!({ "algorithm": 1 })), "M_BAD_JSON"),
        (with("device_data", json!("text")), "M_BAD_JSON"),
        (with("one_time_keys", json!({ "nokey": 1 })), "M_BAD_JSON"),
        (json!({}), "M_MISSING_PARAM"),
    ] {
        alice.put(PATH, body).await.refused(400, code);
    }
    let large = json!({ "algorithm": "x", "device_pickle": "p".repeat(100_000) });
    alice.put(PATH, with("device_data", large)).await.refused(413, "M_TOO_LARGE");
    alice.get(PATH).await.refused(404, "M_NOT_FOUND");
    alice.put(PATH, good).await.ok();
    let events = format!("{PATH}/LATER/events");
    bob.get(&events).await.refused(403, "M_FORBIDDEN");
    for token in ["x", "d", "d-1", "d1_2", "s1", "d99999999999999999999999"] {
        alice.get(&format!("{events}?next_batch={token}")).await.refused(400, "M_INVALID_PARAM");
    }
}

#[tokio::test]
async fn whoever_signs_in_as_it_keeps_the_session_when_it_is_replaced() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    alice.put(PATH, device(&alice.id, "LATER")).await.ok();
    let mut login = crate::server::password_login("alice", crate::server::PASSWORD);
    login["device_id"] = json!("LATER");
    let session = server.post_open("/v3/login", login).await.ok();
    let token = session["access_token"].as_str().expect("a token");
    alice.put(PATH, device(&alice.id, "NEXT")).await.ok();
    server.get("/v3/account/whoami", token).await.ok();
    alice.delete(PATH, None).await.ok();
    let devices = alice.get("/v3/devices").await.ok();
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(2));
}
