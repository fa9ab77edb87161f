//! Simplified sliding sync, and what both kinds of sync keep from a user.

use serde_json::{Value, json};

use crate::server::{Client, Server};

const PATH: &str = "/unstable/org.matrix.simplified_msc3575/sync";

/// One answer of a connection with one list of everything, members told lazily.
async fn sliding(client: &Client<'_>, pos: Option<&str>) -> Value {
    let body = json!({ "lists": { "all": {
        "ranges": [[0, 20]],
        "timeline_limit": 10,
        "required_state": [["m.room.member", "$LAZY"], ["m.room.member", "$ME"], ["m.room.name", ""]],
    } } });
    let query = pos.map(|pos| format!("&pos={pos}")).unwrap_or_default();
    client.post(&format!("{PATH}?timeout=0{query}"), body).await.ok()
}

fn pos(answer: &Value) -> &str {
    answer["pos"].as_str().expect("every answer has a position")
}

/// State keys of the member events in a room's `required_state`, sorted.
fn members<'a>(answer: &'a Value, room: &str) -> Vec<&'a str> {
    let state = answer["rooms"][room]["required_state"].as_array();
    let members = state.into_iter().flatten().filter(|event| event["type"] == "m.room.member");
    let mut keys: Vec<_> = members.filter_map(|event| event["state_key"].as_str()).collect();
    keys.sort_unstable();
    keys
}

/// The texts in a list of events.
fn texts(events: &Value) -> Vec<&str> {
    let events = events.as_array().into_iter().flatten();
    events.filter_map(|event| event["content"]["body"].as_str()).collect()
}

async fn room_of(host: &Client<'_>, guests: &[&Client<'_>]) -> String {
    let invite: Vec<_> = guests.iter().map(|guest| guest.id.clone()).collect();
    let body = json!({ "preset": "private_chat", "name": "Tea", "invite": invite });
    let answer = host.post("/v3/createRoom", body).await.ok();
    let room = answer["room_id"].as_str().expect("a room id").to_owned();
    for guest in guests {
        guest.post(&format!("/v3/join/{room}"), json!({})).await.ok();
    }
    room
}

async fn say(client: &Client<'_>, room: &str, text: &str) {
    let body = json!({ "msgtype": "m.text", "body": text });
    client.put(&format!("/v3/rooms/{room}/send/m.room.message/{text}"), body).await.ok();
}

/// A new name in one room.
async fn rename(client: &Client<'_>, room: &str, name: &str) {
    let body = json!({ "membership": "join", "displayname": name });
    client.put(&format!("/v3/rooms/{room}/state/m.room.member/{}", client.id), body).await.ok();
}

async fn ignore(client: &Client<'_>, other: &Client<'_>) {
    let path = format!("/v3/user/{}/account_data/m.ignored_user_list", client.id);
    client.put(&path, json!({ "ignored_users": { &other.id: {} } })).await.ok();
}

#[tokio::test]
async fn an_answer_that_got_lost_is_given_again_with_its_members() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room_of(&alice, &[]).await;
    let first = sliding(&alice, None).await;
    let invite = json!({ "user_id": bob.id });
    alice.post(&format!("/v3/rooms/{room}/invite"), invite).await.ok();
    bob.post(&format!("/v3/join/{room}"), json!({})).await.ok();
    let lost = sliding(&alice, Some(pos(&first))).await;
    assert_eq!(members(&lost, &room), [&bob.id]);
    let again = sliding(&alice, Some(pos(&first))).await;
    assert_eq!(members(&again, &room), members(&lost, &room));
}

#[tokio::test]
async fn what_changes_for_a_member_who_was_told_is_told() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room_of(&alice, &[&bob]).await;
    say(&bob, &room, "hello").await;
    let first = sliding(&alice, None).await;
    assert!(members(&first, &room).contains(&bob.id.as_str()));
    rename(&bob, &room, "Robert").await;
    let second = sliding(&alice, Some(pos(&first))).await;
    assert_eq!(members(&second, &room), [&bob.id]);
    bob.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
    let third = sliding(&alice, Some(pos(&second))).await;
    assert_eq!(members(&third, &room), [&bob.id]);
    let left = &third["rooms"][&room]["required_state"][0];
    assert_eq!(left["content"]["membership"], "leave");
}

#[tokio::test]
async fn a_quiet_room_is_in_no_later_answer() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let (quiet, loud) = (room_of(&alice, &[]).await, room_of(&alice, &[]).await);
    let mut answer = sliding(&alice, None).await;
    assert!(answer["rooms"][&quiet].is_object());
    for text in ["one", "two", "three"] {
        say(&alice, &loud, text).await;
        answer = sliding(&alice, Some(pos(&answer))).await;
        assert!(answer["rooms"][&loud].is_object());
        assert!(answer["rooms"][&quiet].is_null(), "{answer}");
    }
}

#[tokio::test]
async fn an_invitation_shows_who_invites() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let name = json!({ "displayname": "Alice A." });
    alice.put(&format!("/v3/profile/{}/displayname", alice.id), name).await.ok();
    let room = room_of(&alice, &[]).await;
    let invite = json!({ "user_id": bob.id });
    alice.post(&format!("/v3/rooms/{room}/invite"), invite).await.ok();
    let answer = sliding(&bob, None).await;
    let stripped = answer["rooms"][&room]["invite_state"].as_array().expect("an invitation");
    let inviter = stripped.iter().find(|event| event["state_key"] == alice.id.as_str());
    assert_eq!(inviter.expect("the inviter")["content"]["displayname"], "Alice A.");
}

#[tokio::test]
async fn a_declined_invitation_tells_nothing_of_the_room() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room_of(&alice, &[]).await;
    let invite = json!({ "user_id": bob.id });
    alice.post(&format!("/v3/rooms/{room}/invite"), invite).await.ok();
    let invited = sliding(&bob, None).await;
    say(&alice, &room, "secret").await;
    let secret = json!({ "name": "Secret" });
    alice.put(&format!("/v3/rooms/{room}/state/m.room.name/"), secret).await.ok();
    bob.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
    let answer = sliding(&bob, Some(pos(&invited))).await;
    let told = &answer["rooms"][&room];
    assert_eq!(members(&answer, &room), [&bob.id]);
    assert_eq!(told["timeline"].as_array().map(Vec::len), Some(1));
    assert!(!told.to_string().to_lowercase().contains("secret"), "{told}");
}

#[tokio::test]
async fn messages_of_an_ignored_user_do_not_come_but_their_state_does() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room_of(&alice, &[&bob]).await;
    ignore(&alice, &bob).await;
    let sliding_first = sliding(&alice, None).await;
    let classic_first = alice.get("/v3/sync?timeout=0").await.ok();
    say(&bob, &room, "unheard").await;
    rename(&bob, &room, "Robert").await;
    say(&alice, &room, "heard").await;
    let answer = sliding(&alice, Some(pos(&sliding_first))).await;
    assert_eq!(texts(&answer["rooms"][&room]["timeline"]), ["heard"]);
    assert!(members(&answer, &room).contains(&bob.id.as_str()));
    let since = classic_first["next_batch"].as_str().expect("a token");
    let answer = alice.get(&format!("/v3/sync?timeout=0&since={since}")).await.ok();
    let events = &answer["rooms"]["join"][&room]["timeline"]["events"];
    assert_eq!(texts(events), ["heard"]);
    let renamed = |event: &Value| event["content"]["displayname"] == "Robert";
    assert!(events.as_array().is_some_and(|events| events.iter().any(renamed)), "{events}");
}

#[tokio::test]
async fn invitations_of_an_ignored_user_do_not_come() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    ignore(&alice, &bob).await;
    let room = room_of(&bob, &[]).await;
    let invite = json!({ "user_id": alice.id });
    bob.post(&format!("/v3/rooms/{room}/invite"), invite).await.ok();
    assert!(sliding(&alice, None).await["rooms"][&room].is_null());
    let answer = alice.get("/v3/sync?timeout=0").await.ok();
    assert!(answer["rooms"]["invite"][&room].is_null());
}

#[tokio::test]
async fn an_empty_proof_asks_for_the_stages() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let body = json!({ "auth": {}, "new_password": "another long one" });
    alice.post("/v3/account/password", body).await.session();
    let body = json!({ "auth": {}, "devices": ["X"] });
    alice.post("/v3/delete_devices", body).await.session();
}
