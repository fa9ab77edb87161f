//! What people can do whose account is suspended (client-server API, "Account suspension").

use serde_json::json;

use crate::{
    rooms::{event_id, public, say},
    server::{Client, Server},
};

async fn suspend(server: &Server, who: &Client<'_>) {
    let id = ruma::UserId::parse(who.id.as_str()).expect("a user id");
    server.accounts.set_suspended(&id, true).await.expect("known");
}

#[tokio::test]
async fn suspended_people_only_read_leave_and_take_back() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = public(&alice).await;
    let event = event_id(say(&alice, &room, "1").await);
    suspend(&server, &alice).await;
    say(&alice, &room, "2").await.refused(403, "M_USER_SUSPENDED");
    let refused = async |method: &str, path: String| {
        let answer = match method {
            "post" => alice.post(&path, json!({})).await,
            "put" => alice.put(&path, json!({})).await,
            _ => alice.delete(&path, None).await,
        };
        assert_eq!((answer.status.as_u16(), answer.code()), (403, "M_USER_SUSPENDED"), "{path}");
    };
    refused("post", "/v3/createRoom".to_owned()).await;
    refused("post", format!("/v3/join/{room}")).await;
    refused("post", format!("/v3/rooms/{room}/join")).await;
    refused("post", format!("/v3/knock/{room}")).await;
    refused("post", format!("/v3/rooms/{room}/invite")).await;
    refused("post", format!("/v3/rooms/{room}/kick")).await;
    refused("post", format!("/v3/rooms/{room}/upgrade")).await;
    refused("put", format!("/v3/rooms/{room}/state/m.room.topic")).await;
    refused("put", format!("/v3/rooms/{room}/state/m.room.topic/")).await;
    refused("put", format!("/v3/rooms/{room}/typing/{}", alice.id)).await;
    refused("put", format!("/v3/profile/{}/displayname", alice.id)).await;
    refused("put", format!("/v3/profile/{}/avatar_url", alice.id)).await;
    refused("delete", format!("/v3/profile/{}/displayname", alice.id)).await;
    refused("put", format!("/v3/presence/{}/status", alice.id)).await;
    refused("put", "/v3/directory/room/%23a:example.org".to_owned()).await;
    refused("post", format!("/v3/user/{}/openid/request_token", alice.id)).await;
    refused("post", "/_matrix/media/v1/create".to_owned()).await;
    // What they still can.
    alice.get("/v3/sync").await.ok();
    alice.get(&format!("/v3/rooms/{room}/messages?dir=b")).await.ok();
    let data = format!("/v3/user/{}/account_data/org.example", alice.id);
    alice.put(&data, json!({ "a": 1 })).await.ok();
    alice.post(&format!("/v3/rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
    alice.post("/v3/keys/query", json!({ "device_keys": {} })).await.ok();
    let version = json!({ "algorithm": "m.test", "auth_data": {} });
    alice.post("/v3/room_keys/version", version).await.ok();
    let message = json!({ "messages": {} });
    alice.put("/v3/sendToDevice/m.key.verification.request/1", message).await.ok();
    alice.put(&format!("/v3/rooms/{room}/redact/{event}/1"), json!({})).await.ok();
    alice.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
    let session = server.sign_in("alice").await;
    session.post("/v3/logout", json!({})).await.ok();
}

#[tokio::test]
async fn suspended_moderators_take_back_their_own_words_only() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = public(&alice).await;
    bob.post(&format!("/v3/join/{room}"), json!({})).await.ok();
    let own = event_id(say(&alice, &room, "mine").await);
    let also_own = event_id(say(&alice, &room, "mine-too").await);
    let others = event_id(say(&bob, &room, "not-mine").await);
    suspend(&server, &alice).await;
    let redact = |event: &str, txn: u32| format!("/v3/rooms/{room}/redact/{event}/{txn}");
    let refused = alice.put(&redact(&others, 1), json!({})).await;
    refused.refused(403, "M_USER_SUSPENDED");
    alice.put(&redact(&own, 2), json!({})).await.ok();
    // The same through the general endpoint, which takes nothing else.
    let send = |txn: u32| format!("/v3/rooms/{room}/send/m.room.redaction/{txn}");
    let refused = alice.put(&send(3), json!({ "redacts": others })).await;
    refused.refused(403, "M_USER_SUSPENDED");
    alice.put(&send(4), json!({ "redacts": also_own })).await.ok();
    let event = bob.get(&format!("/v3/rooms/{room}/event/{others}")).await.ok();
    assert_eq!(event["content"]["body"], "x");
    let event = bob.get(&format!("/v3/rooms/{room}/event/{also_own}")).await.ok();
    assert_eq!(event["content"], json!({}));
}
