//! Sync tokens from long ago: the answer is the same whatever the server still has in memory, and
//! whatever was pruned from the change log.

use serde_json::{Value, json};

use crate::{
    rooms::{event_id, public, say},
    server::{Client, Server},
};

/// What does not hang on what happened: positions of tokens.
fn without_positions(mut answer: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(object) => {
                object.remove("next_batch");
                object.remove("prev_batch");
                object.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut answer);
    for list in ["changed", "left"] {
        if let Some(users) = answer["device_lists"][list].as_array_mut() {
            users.sort_by_key(ToString::to_string);
        }
    }
    answer
}

async fn ask(server: &Server, alice: &Client<'_>, path: &str) -> Value {
    let mut answer = without_positions(server.get(path, &alice.token).await.ok());
    // Presence is kept in memory only: after a restart it is news again.
    answer.as_object_mut().expect("an object").remove("presence");
    // So is what was counted last: counts that are told once more harm nobody.
    if let Some(joined) = answer["rooms"]["join"].as_object_mut() {
        joined.retain(|_, room| {
            let room = room.as_object().expect("an object");
            let empty = json!({ "events": [] });
            room.iter().any(|(key, value)| key != "unread_notifications" && *value != empty)
        });
    }
    answer
}

/// Some of everything that a sync tells of.
async fn much_happens(server: &Server, alice: &Client<'_>, rooms: &[String]) {
    let (bob, carol) = (server.user("bob").await, server.user("carol").await);
    for room in &rooms[..2] {
        bob.post(&format!("/v3/join/{room}"), json!({})).await.ok();
        for n in 0..15 {
            say(&bob, room, &n.to_string()).await.ok();
        }
    }
    carol.post(&format!("/v3/join/{}", rooms[0]), json!({})).await.ok();
    carol.post(&format!("/v3/rooms/{}/leave", rooms[0]), json!({})).await.ok();
    let topic = format!("/v3/rooms/{}/state/m.room.topic", rooms[1]);
    bob.put(&topic, json!({ "topic": "no" })).await;
    alice.put(&topic, json!({ "topic": "yes" })).await.ok();
    let event = event_id(say(alice, &rooms[1], "read-me").await);
    bob.post(&format!("/v3/rooms/{}/receipt/m.read/{event}", rooms[1]), json!({})).await.ok();
    let redact = format!("/v3/rooms/{}/redact/{event}/1", rooms[1]);
    alice.put(&redact, json!({})).await.ok();
    alice.post(&format!("/v3/rooms/{}/leave", rooms[2]), json!({})).await.ok();
    let invite = json!({ "invite": [alice.id], "name": "New" });
    bob.post("/v3/createRoom", invite).await.ok();
    let data = format!("/v3/user/{}/account_data/org.example", alice.id);
    alice.put(&data, json!({ "a": 1 })).await.ok();
    let data = format!("/v3/user/{}/rooms/{}/account_data/org.example", alice.id, rooms[0]);
    alice.put(&data, json!({ "b": 2 })).await.ok();
    let messages = json!({ "messages": { &alice.id: { "*": { "n": 1 } } } });
    bob.put("/v3/sendToDevice/org.example/1", messages).await.ok();
    server.sign_in("bob").await;
    bob.post("/v3/logout/all", json!({})).await.ok();
}

#[tokio::test]
async fn an_old_token_is_answered_in_full_after_a_restart_and_after_pruning() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let mut rooms = Vec::new();
    for _ in 0..4 {
        rooms.push(public(&alice).await);
    }
    let first = alice.get("/v3/sync").await.ok();
    let since = first["next_batch"].as_str().expect("a token").to_owned();
    much_happens(&server, &alice, &rooms).await;
    let until = alice.get("/v3/sync").await.ok()["next_batch"].as_str().expect("one").to_owned();
    let sync = format!("/v3/sync?since={since}");
    let changes = format!("/v3/keys/changes?from={since}&to={until}");
    // From memory; after a restart, which fills it from the log; and when nothing of the log is
    // left.
    let from_memory = [ask(&server, &alice, &sync).await, ask(&server, &alice, &changes).await];
    let again = server.restarted().await;
    assert!(
        again.data.feed().between(blaupause_data::StreamPos(1), again.data.position()).is_some()
    );
    let restarted = [ask(&again, &alice, &sync).await, ask(&again, &alice, &changes).await];
    server.rooms.follow().await.expect("follows");
    server.e2ee.follow_remote().await.expect("follows");
    let pruned = server.data.prune_log(0).await.expect("prunes");
    assert!(pruned > 50, "{pruned} lines");
    let again = server.restarted().await;
    let start = blaupause_data::StreamPos(1);
    assert!(again.data.feed().between(start, again.data.position()).is_none());
    let without_log = [ask(&again, &alice, &sync).await, ask(&again, &alice, &changes).await];
    for ((memory, restarted), without_log) in from_memory.iter().zip(restarted).zip(without_log) {
        assert_eq!(*memory, restarted);
        assert_eq!(*memory, without_log);
    }
    let [sync, changes] = &from_memory;
    assert_eq!(sync["rooms"]["join"].as_object().map(|rooms| rooms.len()), Some(2), "{sync}");
    assert_eq!(sync["rooms"]["leave"].as_object().map(|rooms| rooms.len()), Some(1), "{sync}");
    assert_eq!(sync["rooms"]["invite"].as_object().map(|rooms| rooms.len()), Some(1), "{sync}");
    assert_eq!(sync["to_device"]["events"].as_array().map(Vec::len), Some(1), "{sync}");
    assert!(changes["changed"].to_string().contains("@bob:example.org"), "{changes}");
}
