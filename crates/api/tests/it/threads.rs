//! Thread subscriptions (MSC4306, MSC4308).

use blaupause_notify::Settings;
use http::Method;
use serde_json::{Value, json};

use crate::server::{Client, Server};

fn path(room: &str, root: &str) -> String {
    format!("/unstable/io.element.msc4306/rooms/{room}/thread/{root}/subscription")
}

async fn room_with_thread(alice: &Client<'_>) -> (String, String) {
    let room = alice.post("/v3/createRoom", json!({})).await.ok();
    let room = room["room_id"].as_str().expect("an id").to_owned();
    let message = json!({ "msgtype": "m.text", "body": "a" });
    let sent = alice.put(&format!("/v3/rooms/{room}/send/m.room.message/1"), message).await.ok();
    (room, sent["event_id"].as_str().expect("an id").to_owned())
}

async fn sliding(alice: &Client<'_>, pos: Option<&str>) -> (String, Value) {
    let name = "io.element.msc4308.thread_subscriptions";
    let body = json!({ "extensions": { name: { "enabled": true, "limit": 2 } } });
    let query = pos.map(|pos| format!("?pos={pos}")).unwrap_or_default();
    let path = format!("/unstable/org.matrix.simplified_msc3575/sync{query}");
    let answer = alice.post(&path, body).await.ok();
    let pos = answer["pos"].as_str().expect("a position").to_owned();
    (pos, answer["extensions"][name].clone())
}

#[tokio::test]
async fn a_thread_is_subscribed_and_told_by_sliding_sync() {
    let server =
        Server::with_notify(Settings { thread_subscriptions: true, ..Default::default() }).await;
    let alice = server.user("alice").await;
    let (room, root) = room_with_thread(&alice).await;
    let versions = server.call(Method::GET, "/versions", None, None).await.ok();
    assert_eq!(versions["unstable_features"]["org.matrix.msc4306"], true);
    let (pos, before) = sliding(&alice, None).await;
    assert_eq!(before.get("subscribed"), None);
    let path = path(&room, &root);
    alice.get(&path).await.refused(404, "M_NOT_FOUND");
    alice.put(&path, json!({})).await.ok();
    assert_eq!(alice.get(&path).await.ok(), json!({ "automatic": false }));
    let (_, told) = sliding(&alice, Some(&pos)).await;
    assert_eq!(told["subscribed"][&room][&root]["automatic"], false);
    assert!(told["subscribed"][&room][&root]["bump_stamp"].is_u64(), "{told}");
    let listed = "/unstable/io.element.msc4308/thread_subscriptions?dir=b";
    let listed = alice.get(listed).await.ok();
    assert_eq!(listed["subscribed"][&room][&root]["automatic"], false);
    alice.delete(&path, None).await.ok();
    alice.get(&path).await.refused(404, "M_NOT_FOUND");
    let (_, told) = sliding(&alice, Some(&pos)).await;
    assert!(told["unsubscribed"][&room][&root]["bump_stamp"].is_u64(), "{told}");
}

#[tokio::test]
async fn refusals_have_the_codes_of_the_proposal() {
    let server =
        Server::with_notify(Settings { thread_subscriptions: true, ..Default::default() }).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let (room, root) = room_with_thread(&alice).await;
    let automatic = json!({ "automatic": root });
    let refused = alice.put(&path(&room, &root), automatic).await;
    refused.refused(400, "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD");
    alice.put(&path(&room, "$no"), json!({})).await.refused(404, "M_NOT_FOUND");
    bob.put(&path(&room, &root), json!({})).await.refused(404, "M_NOT_FOUND");
    bob.get(&path(&room, &root)).await.refused(404, "M_NOT_FOUND");
    let relation = json!({ "rel_type": "m.thread", "event_id": root });
    let reply = json!({ "msgtype": "m.text", "body": "a", "m.relates_to": relation });
    let sent = alice.put(&format!("/v3/rooms/{room}/send/m.room.message/2"), reply).await.ok();
    let automatic = json!({ "automatic": sent["event_id"] });
    alice.put(&path(&room, &root), automatic.clone()).await.ok();
    alice.delete(&path(&room, &root), None).await.ok();
    let refused = alice.put(&path(&room, &root), automatic).await;
    refused.refused(409, "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION");
    let list = "/unstable/io.element.msc4308/thread_subscriptions?dir=b";
    for wrong in ["&limit=0", "&from=x", "&limit=x"] {
        let refused = alice.get(&format!("{list}{wrong}")).await;
        refused.refused(400, "M_INVALID_PARAM");
    }
}

#[tokio::test]
async fn without_the_operators_wish_there_is_nothing() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let (room, root) = room_with_thread(&alice).await;
    alice.put(&path(&room, &root), json!({})).await.refused(404, "M_UNRECOGNIZED");
    let versions = server.call(Method::GET, "/versions", None, None).await.ok();
    assert_eq!(versions["unstable_features"].get("org.matrix.msc4306"), None);
    let rules = alice.get("/v3/pushrules/global/").await.ok();
    assert!(!rules.to_string().contains("msc4306"), "{rules}");
}
