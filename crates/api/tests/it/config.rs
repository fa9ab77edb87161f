use blaupause_rooms::CreateRoom;
use ruma::UserId;
use serde_json::json;

use crate::server::{Client, Server};

async fn room_of(server: &Server, client: &Client<'_>) -> String {
    let user = UserId::parse(client.id.as_str()).expect("a user id");
    let room = server.rooms.create(CreateRoom::new(user)).await.expect("a room");
    room.to_string()
}

#[tokio::test]
async fn account_data_is_stored_and_read_by_its_owner_only() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room_of(&server, &alice).await;
    let global = format!("/v3/user/{}/account_data/org.x", alice.id);
    let in_room = format!("/v3/user/{}/rooms/{room}/account_data/org.x", alice.id);
    for path in [&global, &in_room] {
        alice.get(path).await.refused(404, "M_NOT_FOUND");
        alice.put(path, json!({ "a": 1 })).await.ok();
        assert_eq!(alice.get(path).await.ok(), json!({ "a": 1 }));
        bob.get(path).await.refused(403, "M_FORBIDDEN");
        bob.put(path, json!({})).await.refused(403, "M_FORBIDDEN");
        alice.put(path, json!([1])).await.refused(400, "M_BAD_JSON");
    }
}

#[tokio::test]
async fn what_the_server_manages_is_not_set_as_account_data() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = room_of(&server, &alice).await;
    let path = format!("/v3/user/{}/rooms/{room}/account_data/m.fully_read", alice.id);
    alice.put(&path, json!({})).await.refused(405, "M_BAD_JSON");
    let path = format!("/v3/user/{}/account_data/m.push_rules", alice.id);
    alice.put(&path, json!({})).await.refused(405, "M_BAD_JSON");
    assert!(alice.get(&path).await.ok()["global"]["override"].is_array());
}

#[tokio::test]
async fn account_data_is_bounded() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let path = format!("/v3/user/{}/account_data/org.big", alice.id);
    alice.put(&path, json!({ "x": "x".repeat(70_000) })).await.refused(413, "M_TOO_LARGE");
    let path = format!("/v3/user/{}/rooms/notaroom/account_data/org.x", alice.id);
    alice.put(&path, json!({})).await.refused(400, "M_INVALID_PARAM");
    let path = format!("/v3/user/{}/rooms/!made:up/account_data/org.x", alice.id);
    alice.put(&path, json!({})).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn tags_are_set_listed_and_removed() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = room_of(&server, &alice).await;
    let tags = format!("/v3/user/{}/rooms/{room}/tags", alice.id);
    let work = format!("{tags}/u.work");
    alice.put(&work, json!({ "order": 0.25 })).await.ok();
    let list = json!({ "tags": { "u.work": { "order": 0.25 } } });
    assert_eq!(alice.get(&tags).await.ok(), list);
    alice.put(&work, json!({ "order": "high" })).await.refused(400, "M_BAD_JSON");
    alice.put(&work, json!({ "order": 7 })).await.refused(400, "M_INVALID_PARAM");
    alice.delete(&work, None).await.ok();
    assert_eq!(alice.get(&tags).await.ok(), json!({ "tags": {} }));
}

#[tokio::test]
async fn filters_are_stored_and_read_by_their_owner_only() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let path = format!("/v3/user/{}/filter", alice.id);
    let filter = json!({ "room": { "timeline": { "limit": 5 } } });
    let id = alice.post(&path, filter.clone()).await.ok()["filter_id"].clone();
    assert_eq!(id, "0");
    assert_eq!(alice.get(&format!("{path}/0")).await.ok(), filter);
    alice.get(&format!("{path}/9")).await.refused(404, "M_NOT_FOUND");
    bob.post(&path, filter).await.refused(403, "M_FORBIDDEN");
    bob.get(&format!("{path}/0")).await.refused(403, "M_FORBIDDEN");
    let senders = json!({ "room": { "timeline": { "senders": ["notauser"] } } });
    for bad in [json!({ "room": "x" }), json!({ "room": { "rooms": ["x"] } }), senders] {
        assert_eq!(alice.post(&path, bad).await.status, 400);
    }
}

#[tokio::test]
async fn deleted_account_data_is_gone_and_clients_learn_it() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room_of(&server, &alice).await;
    for scope in [String::new(), format!("rooms/{room}/")] {
        let end = format!("user/{}/{scope}account_data/org.x", alice.id);
        let (path, delete) = (format!("/v3/{end}"), format!("/unstable/org.matrix.msc3391/{end}"));
        alice.delete(&delete, None).await.ok();
        alice.put(&path, json!({ "a": 1 })).await.ok();
        let before = alice.get("/v3/sync?timeout=0").await.ok();
        let since = before["next_batch"].as_str().expect("a token");
        bob.delete(&delete, None).await.refused(403, "M_FORBIDDEN");
        alice.delete(&delete, None).await.ok();
        alice.get(&path).await.refused(404, "M_NOT_FOUND");
        let news = alice.get(&format!("/v3/sync?timeout=0&since={since}")).await.ok();
        let told = match scope.is_empty() {
            true => &news["account_data"]["events"],
            false => &news["rooms"]["join"][&room]["account_data"]["events"],
        };
        assert_eq!(*told, json!([{ "type": "org.x", "content": {} }]));
    }
    let rules = format!("/unstable/org.matrix.msc3391/user/{}/account_data/m.push_rules", alice.id);
    alice.delete(&rules, None).await.refused(405, "M_BAD_JSON");
}

#[tokio::test]
async fn what_a_device_had_set_for_notifications_goes_with_it() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let second = server.sign_in("alice").await;
    let kinds = ["m.local_notification_settings", "org.matrix.msc3890.local_notification_settings"];
    let path =
        |kind: &str, device: &str| format!("/v3/user/{}/account_data/{kind}.{device}", alice.id);
    for kind in kinds {
        for device in [&alice.device, &second.device] {
            alice.put(&path(kind, device), json!({ "is_silenced": true })).await.ok();
        }
    }
    second.post("/v3/logout", json!({})).await.ok();
    for kind in kinds {
        alice.get(&path(kind, &second.device)).await.refused(404, "M_NOT_FOUND");
        alice.get(&path(kind, &alice.device)).await.ok();
    }
}
