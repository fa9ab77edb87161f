//! A server that speaks for users who are not its own, or about rooms that it is not in.

use serde_json::{Value, json};

use super::scene::{Scene, X};
use crate::server::Client;

async fn ephemeral(who: &Client<'_>, room: &str, kind: &str) -> Vec<Value> {
    let news = who.get("/v3/sync?timeout=0").await.ok();
    let events = news["rooms"]["join"][room]["ephemeral"]["events"].as_array().cloned();
    events.unwrap_or_default().into_iter().filter(|event| event["type"] == kind).collect()
}

fn receipt(room: &str, user: &str, event: &str) -> Value {
    json!({ "edu_type": "m.receipt", "content": { room: { "m.read": { user: {
        "data": { "ts": 1 }, "event_ids": [event] } } } } })
}

fn typing(room: &str, user: &str) -> Value {
    json!({ "edu_type": "m.typing",
        "content": { "room_id": room, "user_id": user, "typing": true } })
}

#[tokio::test]
async fn nobody_reads_or_types_for_somebody_else() {
    let scene = Scene::new("11").await;
    let (alice, bob) = (scene.alice(), scene.a.user("bob").await);
    bob.post(&format!("/v3/join/{}", scene.room), json!({})).await.ok();
    let said = scene.peer.says(&scene.a, &scene.room, X, "said").await;
    let foreign = alice.post("/v3/createRoom", json!({})).await.ok();
    let foreign = foreign["room_id"].as_str().expect("an id");
    let of_foreign = crate::federation::world::say(&alice, foreign, "inside").await;
    let mut edus = Vec::new();
    for user in [&*bob.id, &*alice.id, "@nobody:peer.example", "@z:third.example", "x"] {
        edus.push(receipt(&scene.room, user, &said));
        edus.push(typing(&scene.room, user));
    }
    edus.extend([receipt(foreign, X, &of_foreign), typing(foreign, X)]);
    edus.extend([receipt(&scene.room, X, &of_foreign), receipt(&scene.room, X, "$nothing")]);
    scene.peer.sends(&scene.a, Vec::new(), edus).await.ok();
    for room in [&*scene.room, foreign] {
        assert_eq!(ephemeral(&alice, room, "m.typing").await, Vec::<Value>::new());
        let receipts = ephemeral(&alice, room, "m.receipt").await;
        // Their own, for what they said themselves, is theirs.
        let text = json!(receipts).to_string();
        for name in [&*bob.id, X, "third.example", "nobody"] {
            assert!(!text.contains(name), "{name}: {text}");
        }
    }
    let edus = vec![receipt(&scene.room, X, &said), typing(&scene.room, X)];
    scene.peer.sends(&scene.a, Vec::new(), edus).await.ok();
    assert!(json!(ephemeral(&alice, &scene.room, "m.receipt").await).to_string().contains(X));
    assert!(json!(ephemeral(&alice, &scene.room, "m.typing").await).to_string().contains(X));
}

#[tokio::test]
async fn nobody_is_online_or_has_devices_and_keys_because_a_stranger_says_so() {
    let scene = Scene::new("11").await;
    let (alice, bob) = (scene.alice(), scene.a.user("bob").await);
    bob.post(&format!("/v3/join/{}", scene.room), json!({})).await.ok();
    let since = alice.get("/v3/sync?timeout=0").await.ok()["next_batch"].clone();
    let since = since.as_str().expect("a token");
    let key = |user: &str| json!({ "user_id": user, "usage": ["master"], "keys": { "ed25519:AAAA": "AAAA" } });
    let mut edus = Vec::new();
    for user in [&*bob.id, &*alice.id, "@z:third.example"] {
        edus.extend([
            json!({ "edu_type": "m.presence", "content": { "push": [{ "user_id": user,
                "presence": "online", "status_msg": "bought", "last_active_ago": 1 }] } }),
            json!({ "edu_type": "m.device_list_update", "content": { "user_id": user,
                "device_id": "EVIL", "stream_id": 5, "prev_id": [], "deleted": false,
                "keys": { "user_id": user, "device_id": "EVIL", "algorithms": [], "keys": {} } } }),
            json!({ "edu_type": "m.signing_key_update",
                "content": { "user_id": user, "master_key": key(user) } }),
            json!({ "edu_type": "m.direct_to_device", "content": { "sender": user,
                "type": "m.evil", "message_id": format!("m-{user}"),
                "messages": { alice.id.as_str(): { "*": { "n": 1 } } } } }),
        ]);
    }
    scene.peer.sends(&scene.a, Vec::new(), edus).await.ok();
    let news = alice.get(&format!("/v3/sync?timeout=0&since={since}")).await.ok();
    let text = news.to_string();
    for word in ["bought", "EVIL", "m.evil"] {
        assert!(!text.contains(word), "{word}: {news}");
    }
    assert_eq!(news["device_lists"]["changed"].as_array().map_or(0, Vec::len), 0, "{news}");
    let wanted = json!({ "device_keys": { bob.id.as_str(): [], alice.id.as_str(): [] } });
    let keys = alice.post("/v3/keys/query", wanted).await.ok().to_string();
    assert!(!keys.contains("EVIL") && !keys.contains("ed25519:AAAA"), "{keys}");
}

#[tokio::test]
async fn messages_to_devices_of_nobody_are_not_kept_for_somebody_later() {
    let scene = Scene::new("11").await;
    let to = |user: &str, device: &str| {
        json!({ "edu_type": "m.direct_to_device", "content": { "sender": X, "type": "m.x",
            "message_id": format!("{user}{device}"), "messages": { user: { device: {} } } } })
    };
    let edus = vec![
        to("@later:a.example", "*"),
        to("@later:a.example", "DEVICE"),
        to("@alice:a.example", "DEVICE"),
        to("@z:third.example", "*"),
        to(X, "*"),
    ];
    scene.peer.sends(&scene.a, Vec::new(), edus).await.ok();
    scene.a.user("later").await;
    for name in ["later", "alice"] {
        let mut login = crate::server::password_login(name, crate::server::PASSWORD);
        login["device_id"] = json!("DEVICE");
        let session = scene.a.post_open("/v3/login", login).await.ok();
        let token = session["access_token"].as_str().expect("a token");
        let news = scene.a.get("/v3/sync?timeout=0", token).await.ok();
        assert!(!news.to_string().contains("\"m.x\""), "{name}: {news}");
    }
}

#[tokio::test]
async fn edus_of_any_shape_are_passed_over() {
    let scene = Scene::new("11").await;
    let long = "x".repeat(60_000);
    let kinds = [
        "m.typing",
        "m.receipt",
        "m.presence",
        "m.direct_to_device",
        "m.device_list_update",
        "m.signing_key_update",
        "org.matrix.signing_key_update",
        "m.unknown",
        "",
    ];
    let contents = [
        json!(null),
        json!(5),
        json!("x"),
        json!([]),
        json!([{}]),
        json!({}),
        json!({ "push": "x" }),
        json!({ "push": [5, {}, { "user_id": X }] }),
        json!({ "push": [{ "user_id": X, "presence": "odd", "last_active_ago": -1 }] }),
        json!({ "push": [{ "user_id": X, "presence": "online", "last_active_ago": 9_007_199_254_740_991_u64 }] }),
        json!({ "push": [{ "user_id": X, "presence": "online", "last_active_ago": 1, "status_msg": long }] }),
        json!({ "room_id": scene.room, "user_id": X, "typing": "yes" }),
        json!({ "room_id": 5, "user_id": {}, "typing": null }),
        json!({ scene.room.as_str(): { "m.read": { X: { "event_ids": [] } } } }),
        json!({ scene.room.as_str(): { "m.read": { X: { "data": { "ts": -1 }, "event_ids": ["x"] } } } }),
        json!({ scene.room.as_str(): { "m.read": { X: { "data": { "ts": 1, "thread_id": 5 }, "event_ids": ["$x"] } } } }),
        json!({ "sender": X, "type": "m.x", "message_id": "m", "messages": "x" }),
        json!({ "sender": X, "type": "m.x", "message_id": "m", "messages": { "x": {} } }),
        json!({ "sender": X, "type": long, "message_id": "m", "messages": { "@alice:a.example": { "*": {} } } }),
        json!({ "sender": X, "type": "m.x", "message_id": long, "messages": { "@alice:a.example": { "*": { "a": 1 } } } }),
        json!({ "sender": X, "type": "m.x", "message_id": "n", "messages": { "@alice:a.example": { "*": 5 } } }),
        json!({ "user_id": X, "device_id": long, "stream_id": 1, "prev_id": [] }),
        json!({ "user_id": X, "device_id": "D", "stream_id": -1, "prev_id": ["x"] }),
        json!({ "user_id": X, "device_id": "D", "stream_id": 9_007_199_254_740_991_u64, "keys": { "a": long } }),
        json!({ "user_id": X, "device_id": "D", "stream_id": 2, "keys": { "user_id": "@alice:a.example", "device_id": "D", "algorithms": [], "keys": {} } }),
        json!({ "user_id": X, "master_key": { "keys": {} }, "self_signing_key": 5 }),
    ];
    for kind in kinds {
        let edus = contents.iter().map(|content| json!({ "edu_type": kind, "content": content }));
        let answer = scene.peer.sends(&scene.a, Vec::new(), edus.collect()).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.body);
    }
    scene.is_well("edus").await;
}
