//! Rooms: what people do in them, over HTTP.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::server::{Answer, Client, Server};

async fn create(client: &Client<'_>, body: Value) -> String {
    let answer = client.post("/v3/createRoom", body).await.ok();
    answer["room_id"].as_str().expect("a room id").to_owned()
}

pub async fn public(client: &Client<'_>) -> String {
    create(client, json!({ "preset": "public_chat" })).await
}

pub async fn say(client: &Client<'_>, room: &str, txn: &str) -> Answer {
    let body = json!({ "msgtype": "m.text", "body": "x" });
    client.put(&format!("/v3/rooms/{room}/send/m.room.message/{txn}"), body).await
}

pub fn event_id(answer: Answer) -> String {
    answer.ok()["event_id"].as_str().expect("an event id").to_owned()
}

#[tokio::test]
async fn people_meet_talk_and_part() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = create(&alice, json!({ "name": "Tea" })).await;
    let path = |what: &str| format!("/v3/rooms/{room}/{what}");
    bob.post(&path("join"), json!({})).await.refused(403, "M_FORBIDDEN");
    let invite = json!({ "user_id": bob.id, "reason": "tea" });
    alice.post(&path("invite"), invite).await.ok();
    let joined = bob.post(&format!("/v3/join/{room}"), json!({})).await.ok();
    assert_eq!(joined["room_id"], room);
    let rooms = bob.get("/v3/joined_rooms").await.ok();
    assert_eq!(rooms["joined_rooms"], json!([room]));
    let event = event_id(say(&bob, &room, "1").await);
    assert_eq!(event_id(say(&bob, &room, "1").await), event);
    let redact = path(&format!("redact/{event}/2"));
    let redaction = event_id(alice.put(&redact, json!({ "reason": "spam" })).await);
    assert_eq!(event_id(alice.put(&redact, json!({ "reason": "spam" })).await), redaction);
    alice.post(&path("kick"), json!({ "user_id": bob.id })).await.ok();
    say(&bob, &room, "3").await.refused(403, "M_FORBIDDEN");
    alice.post(&path("ban"), json!({ "user_id": bob.id })).await.ok();
    bob.post(&path("join"), json!({})).await.refused(403, "M_FORBIDDEN");
    alice.post(&path("unban"), json!({ "user_id": bob.id })).await.ok();
    bob.post(&path("forget"), json!({})).await.ok();
    alice.post(&path("forget"), json!({})).await.refused(400, "M_UNKNOWN");
    alice.post(&path("leave"), json!({})).await.ok();
}

#[tokio::test]
async fn state_is_set_with_and_without_a_slash() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = create(&alice, json!({})).await;
    for (path, content) in [
        ("m.room.name", json!({ "name": "a" })),
        ("m.room.topic/", json!({ "topic": "b" })),
        ("m.space.child/!x:example.org", json!({ "via": ["example.org"] })),
    ] {
        event_id(alice.put(&format!("/v3/rooms/{room}/state/{path}"), content).await);
    }
}

#[tokio::test]
async fn aliases_lead_to_rooms() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = create(&alice, json!({ "room_alias_name": "tea", "preset": "public_chat" })).await;
    let again = alice.post("/v3/createRoom", json!({ "room_alias_name": "tea" })).await;
    again.refused(400, "M_ROOM_IN_USE");
    let milk = "/v3/directory/room/%23milk%3Aexample.org";
    alice.get(milk).await.refused(404, "M_NOT_FOUND");
    alice.put(milk, json!({ "room_id": room })).await.ok();
    alice.put(milk, json!({ "room_id": room })).await.refused(409, "M_UNKNOWN");
    let found = bob.get(milk).await.ok();
    assert_eq!(found["room_id"], room);
    bob.delete(milk, None).await.refused(403, "M_FORBIDDEN");
    let joined = bob.post("/v3/join/%23milk:example.org", json!({})).await.ok();
    assert_eq!(joined["room_id"], room);
    let list = bob.get(&format!("/v3/rooms/{room}/aliases")).await.ok();
    assert_eq!(list["aliases"].as_array().expect("a list").len(), 2);
    let canonical = format!("/v3/rooms/{room}/state/m.room.canonical_alias");
    let elsewhere = json!({ "alias": "#nowhere:example.org" });
    alice.put(&canonical, elsewhere).await.refused(400, "M_BAD_ALIAS");
    alice.delete(milk, None).await.ok();
    alice.delete(milk, None).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn the_directory_shows_published_rooms_to_those_who_sign_in() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = create(&alice, json!({ "visibility": "public", "name": "Tea" })).await;
    public(&alice).await;
    let list = format!("/v3/directory/list/room/{room}");
    assert_eq!(bob.get(&list).await.ok()["visibility"], "public");
    bob.put(&list, json!({ "visibility": "private" })).await.refused(403, "M_FORBIDDEN");
    let rooms = bob.get("/v3/publicRooms?limit=5").await.ok();
    assert_eq!(rooms["chunk"][0]["room_id"], room);
    assert_eq!(rooms["total_room_count_estimate"], 1);
    let filter = json!({ "filter": { "generic_search_term": "tea" } });
    assert_eq!(bob.post("/v3/publicRooms", filter).await.ok()["chunk"][0]["name"], "Tea");
    let path = "/v3/publicRooms";
    let nobody = server.call(http::Method::GET, path, None, None).await;
    nobody.refused(401, "M_MISSING_TOKEN");
    alice.put(&list, json!({ "visibility": "private" })).await.ok();
    let rooms = bob.get("/v3/publicRooms").await.ok();
    assert_eq!(rooms["chunk"], json!([]));
    bob.get("/v3/publicRooms?limit=abc").await.refused(400, "M_INVALID_PARAM");
    let server_name = bob.get("/v3/publicRooms?server=..%2F..%2Fetc%2Fpasswd").await;
    server_name.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn rooms_move_and_knocks_are_heard() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = create(&alice, json!({ "room_version": "11" })).await;
    let upgrade = format!("/v3/rooms/{room}/upgrade");
    let unknown = alice.post(&upgrade, json!({ "new_version": "99" })).await;
    unknown.refused(400, "M_UNSUPPORTED_ROOM_VERSION");
    bob.post(&upgrade, json!({ "new_version": "12" })).await.refused(403, "M_FORBIDDEN");
    let moved = alice.post(&upgrade, json!({ "new_version": "12" })).await.ok();
    let room = moved["replacement_room"].as_str().expect("a room id");
    let rule = json!({ "join_rule": "knock" });
    alice.put(&format!("/v3/rooms/{room}/state/m.room.join_rules"), rule).await.ok();
    let knock = bob.post(&format!("/v3/knock/{room}"), json!({ "reason": "please" })).await.ok();
    assert_eq!(knock["room_id"], room);
    alice.post(&format!("/v3/rooms/{room}/invite"), json!({ "user_id": bob.id })).await.ok();
    bob.post(&format!("/v3/rooms/{room}/join"), json!({})).await.ok();
}

#[tokio::test]
async fn reports_are_taken_from_those_who_can_see() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = create(&alice, json!({})).await;
    let event = event_id(say(&alice, &room, "1").await);
    let path = format!("/v3/rooms/{room}/report/{event}");
    let body = json!({ "reason": "x", "score": -100 });
    alice.post(&path, body.clone()).await.ok();
    bob.post(&path, body).await.refused(404, "M_NOT_FOUND");
    alice.post(&path, json!({ "score": "x" })).await.refused(400, "M_BAD_JSON");
    alice.post(&format!("/v3/rooms/{room}/report"), json!({ "reason": "x" })).await.ok();
    bob.post("/v3/rooms/!x:example.org/report", json!({})).await.refused(404, "M_NOT_FOUND");
    let user = format!("/v3/users/{}/report", bob.id);
    alice.post(&user, json!({ "reason": "x" })).await.ok();
}

#[tokio::test]
async fn wrong_rooms_are_not_created() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let levels = json!({ "users": { alice.id.clone(): "100" } });
    let wrong = [
        (json!({ "room_version": 11 }), "M_BAD_JSON"),
        (json!({ "room_version": "99" }), "M_UNSUPPORTED_ROOM_VERSION"),
        (json!({ "preset": "nope" }), "M_INVALID_PARAM"),
        (json!({ "visibility": "nope" }), "M_INVALID_PARAM"),
        (json!({ "room_alias_name": "x".repeat(300) }), "M_INVALID_PARAM"),
        (json!({ "name": 5 }), "M_BAD_JSON"),
        (json!({ "topic": 5 }), "M_BAD_JSON"),
        (json!({ "creation_content": "x" }), "M_BAD_JSON"),
        (json!({ "creation_content": { "m.federate": "yes" } }), "M_BAD_JSON"),
        (json!({ "initial_state": [{ "type": "m.room.x" }] }), "M_BAD_JSON"),
        (json!({ "initial_state": [5] }), "M_BAD_JSON"),
        (json!({ "power_level_content_override": levels }), "M_BAD_JSON"),
        (json!({ "is_direct": "yes" }), "M_BAD_JSON"),
        (json!({ "invite": ["nobody"] }), "M_BAD_JSON"),
    ];
    for (body, code) in wrong {
        let answer = alice.post("/v3/createRoom", body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, code), "{body} {}", answer.body);
    }
    let create = json!({ "initial_state": [{ "type": "m.room.create", "content": {} }] });
    alice.post("/v3/createRoom", create).await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn wrong_events_are_not_sent() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = create(&alice, json!({})).await;
    let put = async |path: &str, body: &str| {
        let request = Request::put(format!("/_matrix/client/v3/rooms/{room}/{path}"))
            .header("authorization", format!("Bearer {}", alice.token))
            .body(Body::from(body.to_owned()))
            .expect("a request");
        let answer = server.send(request).await;
        (answer.status.as_u16(), answer.code().to_owned())
    };
    let long = format!(r#"{{"msgtype":"m.text","body":"{}"}}"#, "x".repeat(70_000));
    let number = r#"{"msgtype":"m.text","body":"x","n":9007199254740992}"#;
    let huge = r#"{"msgtype":"m.text","body":"x","n":123456789012345678901234567890}"#;
    let wrong = [
        ("send/m.room.message/1", long.as_str(), 413, "M_TOO_LARGE"),
        ("send/m.room.message/2", r#"{"msgtype":"m.text","body":"x","n":1.5}"#, 400, "M_BAD_JSON"),
        ("send/m.room.message/3", r#"{"msgtype":"m.text","body":"x","n":1e3}"#, 400, "M_BAD_JSON"),
        ("send/m.room.message/4", number, 400, "M_BAD_JSON"),
        ("send/m.room.message/5", huge, 400, "M_BAD_JSON"),
        ("send/m.room.message/6", "[]", 400, "M_BAD_JSON"),
        ("send/m.room.message/7", "", 400, "M_NOT_JSON"),
        ("state/m.room.name/", r#"{"name":5}"#, 400, "M_BAD_JSON"),
        ("state/m.room.power_levels/", r#"{"users":[]}"#, 400, "M_BAD_JSON"),
        ("state/m.room.member/", r#"{"membership":"join"}"#, 400, "M_INVALID_PARAM"),
        ("state/m.room.tombstone/", "{}", 400, "M_BAD_JSON"),
        ("state/m.room.create/", "{}", 400, "M_INVALID_PARAM"),
        ("redact/notanevent/1", "{}", 400, "M_INVALID_PARAM"),
        ("redact/$nosuch/1", "{}", 404, "M_NOT_FOUND"),
        ("redact/$a/1", r#"{"redacts":"$b"}"#, 400, "M_INVALID_PARAM"),
    ];
    for (path, body, status, code) in wrong {
        let answer = put(path, body).await;
        assert_eq!(answer, (status, code.to_owned()), "{path} {}", &body[..body.len().min(60)]);
    }
    let path = format!("/v3/rooms/{room}/state/m.room.name");
    bob.put(&path, json!({ "name": "x" })).await.refused(403, "M_FORBIDDEN");
    say(&bob, &room, "1").await.refused(403, "M_FORBIDDEN");
    // Strangers are told that they are strangers before what is wrong with their event.
    bob.put(&path, json!({ "name": 5 })).await.refused(403, "M_FORBIDDEN");
    let empty = format!("/v3/rooms/{room}/send/m.room.message/9");
    bob.put(&empty, json!({})).await.refused(403, "M_FORBIDDEN");
    say(&bob, "!nosuch:example.org", "1").await.refused(404, "M_NOT_FOUND");
    say(&bob, "notaroom", "1").await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn wrong_invitations_are_refused() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = create(&alice, json!({})).await;
    let path = format!("/v3/rooms/{room}/invite");
    let part = json!({ "medium": "email", "address": "a@example.org" });
    assert_eq!(alice.post(&path, part).await.status, 400);
    let mail = json!({
        "medium": "email",
        "address": "a@example.org",
        "id_server": "id.example.org",
        "id_access_token": "x"
    });
    alice.post(&path, mail).await.refused(403, "M_THREEPID_DENIED");
    let long = json!({ "user_id": format!("@{}:example.org", "x".repeat(300)) });
    assert_eq!(alice.post(&path, long).await.status, 400);
    let elsewhere = json!({ "user_id": "@eve:evil.org" });
    alice.post(&path, elsewhere).await.refused(403, "M_FORBIDDEN");
    assert_eq!(alice.post(&format!("/v3/rooms/{room}/kick"), json!({})).await.status, 400);
}
