//! Messages of the operator to people (client-server API, "Server Notices").

use blaupause_accounts::{NewAccount, Secret};
use blaupause_rooms::NoticeSettings;
use serde_json::{Value, json};

use crate::server::{Client, More, PASSWORD, Server};

const SEND: &str = "/_synapse/admin/v1/send_server_notice";

async fn server() -> Server {
    let notices = NoticeSettings {
        localpart: "notices".to_owned(),
        display_name: "The administration".to_owned(),
        room_name: "Notices".to_owned(),
    };
    let rooms = blaupause_rooms::Settings { notices: Some(notices), ..Default::default() };
    Server::with_more(More { rooms, ..More::default() }).await
}

async fn root(server: &Server) -> Client<'_> {
    let password = Some(Secret::new(PASSWORD.to_owned()));
    let new = NewAccount { localpart: "root".to_owned(), password, admin: true };
    server.accounts.create(new).await.expect("the name is free");
    server.sign_in("root").await
}

fn notice(to: &str, text: &str) -> Value {
    json!({ "user_id": to, "content": { "msgtype": "m.text", "body": text } })
}

/// The rooms that somebody is invited to.
async fn invited(client: &Client<'_>) -> Vec<String> {
    let sync = client.get("/v3/sync").await.ok();
    let invited = sync["rooms"]["invite"].as_object();
    invited.map(|rooms| rooms.keys().cloned().collect()).unwrap_or_default()
}

#[tokio::test]
async fn a_notice_comes_in_a_room_of_ones_own() {
    let server = server().await;
    let (root, alice) = (root(&server).await, server.user("alice").await);
    root.post(SEND, notice(&alice.id, "one")).await.ok();
    let rooms = invited(&alice).await;
    assert_eq!(rooms.len(), 1);
    let room = &rooms[0];
    // It cannot be declined.
    let leave = format!("/v3/rooms/{room}/leave");
    alice.post(&leave, json!({})).await.refused(403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM");
    let member = format!("/v3/rooms/{room}/state/m.room.member/{}", alice.id);
    let declined = alice.put(&member, json!({ "membership": "leave" })).await;
    declined.refused(403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM");
    alice.post(&format!("/v3/rooms/{room}/join"), json!({})).await.ok();
    // Nobody talks back.
    let say = format!("/v3/rooms/{room}/send/m.room.message/1");
    alice.put(&say, json!({ "msgtype": "m.text", "body": "hm" })).await.refused(403, "M_FORBIDDEN");
    root.post(SEND, notice(&alice.id, "two")).await.ok();
    let sync = alice.get("/v3/sync").await.ok();
    let joined = &sync["rooms"]["join"][room];
    let bodies: Vec<&Value> = joined["timeline"]["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter(|event| event["type"] == "m.room.message")
        .map(|event| &event["content"]["body"])
        .collect();
    assert_eq!(bodies, ["one", "two"]);
    let tags = alice.get(&format!("/v3/user/{}/rooms/{room}/tags", alice.id)).await.ok();
    assert!(tags["tags"]["m.server_notice"].is_object());
    let name = alice.get("/v3/profile/@notices:example.org/displayname").await.ok();
    assert_eq!(name["displayname"], "The administration");
    let name = alice.get(&format!("/v3/rooms/{room}/state/m.room.name")).await.ok();
    assert_eq!(name["name"], "Notices");
}

#[tokio::test]
async fn who_left_is_invited_to_the_same_room_again() {
    let server = server().await;
    let (root, alice) = (root(&server).await, server.user("alice").await);
    root.post(SEND, notice(&alice.id, "one")).await.ok();
    let room = invited(&alice).await.remove(0);
    alice.post(&format!("/v3/rooms/{room}/join"), json!({})).await.ok();
    alice.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
    root.post(SEND, notice(&alice.id, "two")).await.ok();
    assert_eq!(invited(&alice).await, [room]);
}

#[tokio::test]
async fn a_repeated_request_is_one_notice() {
    let server = server().await;
    let (root, alice) = (root(&server).await, server.user("alice").await);
    let path = format!("{SEND}/txn1");
    let first = root.put(&path, notice(&alice.id, "one")).await.ok();
    let again = root.put(&path, notice(&alice.id, "one")).await.ok();
    assert_eq!(first, again);
    let other = root.put(&format!("{SEND}/txn2"), notice(&alice.id, "one")).await.ok();
    assert_ne!(first, other);
}

#[tokio::test]
async fn only_administrators_send_notices_to_people_of_this_server() {
    let server = server().await;
    let (root, alice) = (root(&server).await, server.user("alice").await);
    alice.post(SEND, notice(&alice.id, "x")).await.refused(403, "M_FORBIDDEN");
    server.post_open(SEND, notice(&alice.id, "x")).await.refused(401, "M_MISSING_TOKEN");
    root.post(SEND, notice("@nobody:example.org", "x")).await.refused(404, "M_NOT_FOUND");
    root.post(SEND, notice("@x:elsewhere.org", "x")).await.refused(400, "M_INVALID_PARAM");
    root.post(SEND, json!({ "user_id": alice.id })).await.refused(400, "M_MISSING_PARAM");
    let bad = json!({ "user_id": alice.id, "content": "x" });
    assert_eq!(root.post(SEND, bad).await.status.as_u16(), 400);
    let server = Server::new().await;
    let root = self::root(&server).await;
    root.post(SEND, notice(&root.id, "x")).await.refused(400, "M_UNKNOWN");
}

#[tokio::test]
async fn the_account_of_the_notices_is_nobodys() {
    let server = server().await;
    let (root, alice) = (root(&server).await, server.user("alice").await);
    // Somebody had the name before notices were switched on.
    server.user("notices").await;
    root.post(SEND, notice(&alice.id, "x")).await.refused(403, "M_FORBIDDEN");
    assert!(invited(&alice).await.is_empty());
}
