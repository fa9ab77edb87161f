//! Reading rooms over HTTP: what is answered, and what is refused how.

use serde_json::{Value, json};

use crate::server::{Client, Server};

async fn room(client: &Client<'_>, body: Value) -> String {
    let made = client.post("/v3/createRoom", body).await.ok();
    made["room_id"].as_str().expect("a room id").to_owned()
}

async fn send(client: &Client<'_>, room: &str, txn: &str, content: Value) -> String {
    let path = format!("/v3/rooms/{room}/send/m.room.message/{txn}");
    let sent = client.put(&path, content).await.ok();
    sent["event_id"].as_str().expect("an event id").to_owned()
}

async fn say(client: &Client<'_>, room: &str, txn: &str) -> String {
    send(client, room, txn, json!({ "msgtype": "m.text", "body": format!("text {txn}") })).await
}

#[tokio::test]
async fn a_member_reads_the_room() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = room(&alice, json!({ "name": "Tea" })).await;
    let root = say(&alice, &room, "1").await;
    let relation = json!({ "rel_type": "m.thread", "event_id": root });
    let content = json!({ "msgtype": "m.text", "body": "x", "m.relates_to": relation });
    let reply = send(&alice, &room, "2", content).await;
    let v3 = |what: &str| format!("/v3/rooms/{room}/{what}");
    let v1 = |what: &str| format!("/v1/rooms/{room}/{what}");

    let page = alice.get(&v3("messages?dir=b&limit=2")).await.ok();
    assert_eq!(page["chunk"][0]["event_id"], reply);
    assert_eq!(page["chunk"][0]["unsigned"]["transaction_id"], "2");
    assert_eq!(page["chunk"][1]["unsigned"]["m.relations"]["m.thread"]["count"], 1);
    let end = page["end"].as_str().expect("there is more");
    let next = alice.get(&v3(&format!("messages?dir=b&limit=100&from={end}"))).await.ok();
    assert_eq!(next.get("end"), None);
    let filter = "filter=%7B%22types%22%3A%5B%22m.room.name%22%5D%7D";
    let named = alice.get(&v3(&format!("messages?dir=f&{filter}"))).await.ok();
    assert_eq!(named["chunk"][0]["content"]["name"], "Tea");

    assert_eq!(alice.get(&v3(&format!("event/{root}"))).await.ok()["event_id"], root);
    let context = alice.get(&v3(&format!("context/{root}?limit=2"))).await.ok();
    assert_eq!(context["events_after"][0]["event_id"], reply);
    assert!(context["state"].as_array().is_some_and(|state| state.len() > 3));
    assert!(alice.get(&v3("state")).await.ok().as_array().is_some_and(|s| s.len() > 3));
    for path in ["state/m.room.name", "state/m.room.name/", "state/m.room.name?format=content"] {
        assert_eq!(alice.get(&v3(path)).await.ok(), json!({ "name": "Tea" }), "{path}");
    }
    let event = alice.get(&v3("state/m.room.name/?format=event")).await.ok();
    assert_eq!(event["content"], json!({ "name": "Tea" }));
    assert_eq!(alice.get(&v3("members")).await.ok()["chunk"][0]["state_key"], alice.id);
    let joined = alice.get(&v3("joined_members")).await.ok();
    let shown = json!({ "display_name": "alice", "avatar_url": "" });
    assert_eq!(joined["joined"][&alice.id], shown);
    alice.put(&format!("/v3/profile/{}/displayname", alice.id), json!({ "displayname": "" })).await;
    let joined = alice.get(&v3("joined_members")).await.ok();
    let shown = joined["joined"][&alice.id].as_object().expect("a member");
    assert!(shown.contains_key("display_name"), "clients rely on the key: {joined}");
    let initial = alice.get(&v3("initialSync")).await.ok();
    let last = initial["messages"]["chunk"].as_array().and_then(|chunk| chunk.last());
    assert_eq!(last.expect("messages")["event_id"], reply);

    for path in ["", "/m.thread", "/m.thread/m.room.message", "?recurse=true&dir=f&limit=5"] {
        let found = alice.get(&v1(&format!("relations/{root}{path}"))).await.ok();
        assert_eq!(found["chunk"][0]["event_id"], reply, "{path}");
    }
    assert_eq!(alice.get(&v1("threads")).await.ok()["chunk"][0]["event_id"], root);
    let near = alice.get(&v1("timestamp_to_event?ts=0&dir=f")).await.ok();
    assert!(near["event_id"].is_string());
}

#[tokio::test]
async fn a_stranger_reads_nothing() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room(&alice, json!({})).await;
    let event = say(&alice, &room, "1").await;
    let receipt = format!("/v3/rooms/{room}/receipt/m.read/{event}");
    bob.post(&receipt, json!({})).await.refused(403, "M_FORBIDDEN");
    let typing = format!("/v3/rooms/{room}/typing/{}", bob.id);
    let body = json!({ "typing": true, "timeout": 1000 });
    bob.put(&typing, body).await.refused(403, "M_FORBIDDEN");
    let markers = format!("/v3/rooms/{room}/read_markers");
    let body = json!({ "m.fully_read": event });
    bob.post(&markers, body).await.refused(403, "M_FORBIDDEN");
    bob.post(&markers, json!({})).await.ok();
    for path in [
        "/v3/rooms/{room}/messages",
        "/v3/rooms/{room}/messages?dir=b",
        "/v3/rooms/{room}/context/{event}",
        "/v3/rooms/{room}/state",
        "/v3/rooms/{room}/state/m.room.create/",
        "/v3/rooms/{room}/members",
        "/v3/rooms/{room}/joined_members",
        "/v3/rooms/{room}/initialSync",
        "/v1/rooms/{room}/relations/{event}",
        "/v1/rooms/{room}/relations/{event}/m.thread/m.room.message",
        "/v1/rooms/{room}/threads",
        "/v1/rooms/{room}/timestamp_to_event?ts=0&dir=f",
        "/v1/rooms/{room}/hierarchy",
    ] {
        let path = path.replace("{room}", &room).replace("{event}", &event);
        bob.get(&path).await.refused(403, "M_FORBIDDEN");
    }
    // "The event was not found or you do not have permission to read this event."
    bob.get(&format!("/v3/rooms/{room}/event/{event}")).await.refused(404, "M_NOT_FOUND");
    bob.get(&format!("/v1/room_summary/{room}")).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = room(&alice, json!({})).await;
    let other = self::room(&alice, json!({})).await;
    let event = say(&alice, &room, "1").await;
    let foreign = say(&alice, &other, "1").await;
    for (path, status, code) in [
        ("/v3/rooms/{room}/event/$nosuch", 404, "M_NOT_FOUND"),
        ("/v3/rooms/{room}/event/{foreign}", 404, "M_NOT_FOUND"),
        ("/v3/rooms/{room}/context/$nosuch", 404, "M_NOT_FOUND"),
        ("/v3/rooms/{room}/context/{event}?limit=-1", 400, "M_INVALID_PARAM"),
        ("/v3/rooms/{room}/messages?dir=b&limit=ten", 400, "M_INVALID_PARAM"),
        ("/v3/rooms/{room}/messages?dir=b&from=garbage", 400, "M_INVALID_PARAM"),
        ("/v3/rooms/{room}/messages?dir=x", 400, "M_INVALID_PARAM"),
        ("/v3/rooms/{room}/state/m.room.create/?format=xml", 400, "M_INVALID_PARAM"),
        ("/v3/rooms/{room}/state/m.room.topic", 404, "M_NOT_FOUND"),
        ("/v3/rooms/{room}/members?at=garbage", 400, "M_INVALID_PARAM"),
        ("/v3/rooms/{room}/members?membership=garbage", 400, "M_INVALID_PARAM"),
        ("/v1/rooms/{room}/threads?include=nope", 400, "M_INVALID_PARAM"),
        ("/v1/rooms/{room}/hierarchy?max_depth=-1", 400, "M_INVALID_PARAM"),
        ("/v1/rooms/{room}/hierarchy?from=garbage", 400, "M_INVALID_PARAM"),
        ("/v1/rooms/{room}/relations/{event}?dir=x", 400, "M_INVALID_PARAM"),
        ("/v1/rooms/{room}/relations/{foreign}", 404, "M_NOT_FOUND"),
        ("/v1/rooms/{room}/timestamp_to_event?ts=99999999999999&dir=f", 404, "M_NOT_FOUND"),
    ] {
        let path = path.replace("{room}", &room).replace("{event}", &event);
        let answer = alice.get(&path.replace("{foreign}", &foreign)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path}");
    }
    let post = async |path: String, body: Value| alice.post(&path, body).await;
    let receipt = |kind: &str, event: &str| format!("/v3/rooms/{room}/receipt/{kind}/{event}");
    post(receipt("m.nope", &event), json!({})).await.refused(400, "M_INVALID_PARAM");
    let thread = json!({ "thread_id": "main" });
    post(receipt("m.fully_read", &event), thread).await.refused(400, "M_INVALID_PARAM");
    for bad in [json!(""), json!("nope"), json!("$other")] {
        let body = json!({ "thread_id": bad });
        post(receipt("m.read", &event), body).await.refused(400, "M_INVALID_PARAM");
    }
    let number = post(receipt("m.read", &event), json!({ "thread_id": 5 })).await;
    assert_eq!(number.status, 400);
    post(receipt("m.read", &foreign), json!({})).await.refused(404, "M_NOT_FOUND");
    let markers = format!("/v3/rooms/{room}/read_markers");
    assert_eq!(post(markers.clone(), json!({ "m.fully_read": 5 })).await.status, 400);
    post(markers, json!({ "m.fully_read": foreign })).await.refused(404, "M_NOT_FOUND");
    let typing = format!("/v3/rooms/{room}/typing/");
    let body = json!({ "typing": "yes", "timeout": "x" });
    assert_eq!(alice.put(&format!("{typing}{}", alice.id), body).await.status, 400);
    let body = json!({ "typing": true });
    alice.put(&format!("{typing}@bob:example.org"), body).await.refused(403, "M_FORBIDDEN");
    let search = "/v3/search".to_owned();
    post(search.clone(), json!({})).await.refused(400, "M_UNKNOWN");
    post(search.clone(), json!({ "search_categories": "x" })).await.refused(400, "M_BAD_JSON");
    let empty = json!({ "search_categories": { "room_events": { "search_term": "" } } });
    post(search, empty).await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn reading_and_typing_are_noted() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = room(&alice, json!({})).await;
    let event = say(&alice, &room, "1").await;
    for (kind, body) in [
        ("m.read", json!({})),
        ("m.read", json!({ "thread_id": "main" })),
        ("m.read.private", json!({})),
        ("m.fully_read", json!({})),
    ] {
        alice.post(&format!("/v3/rooms/{room}/receipt/{kind}/{event}"), body).await.ok();
    }
    let body = json!({ "m.fully_read": event, "m.read": event, "m.read.private": event });
    alice.post(&format!("/v3/rooms/{room}/read_markers"), body).await.ok();
    let typing = format!("/v3/rooms/{room}/typing/{}", alice.id);
    for body in [
        json!({ "typing": true, "timeout": 30_000 }),
        json!({ "typing": true }),
        json!({ "typing": false }),
    ] {
        alice.put(&typing, body).await.ok();
    }
}

#[tokio::test]
async fn hits_are_grouped_and_have_context_if_asked() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let room = room(&alice, json!({})).await;
    for txn in ["1", "2", "3"] {
        say(&alice, &room, txn).await;
    }
    let criteria = |context: Value| {
        let mut events = json!({
            "search_term": "TEXT 2",
            "order_by": "recent",
            "groupings": { "group_by": [{ "key": "room_id" }, { "key": "sender" }] }
        });
        if !context.is_null() {
            events["event_context"] = context;
        }
        json!({ "search_categories": { "room_events": events } })
    };
    let found = alice.post("/v3/search", criteria(Value::Null)).await.ok();
    let events = &found["search_categories"]["room_events"];
    assert_eq!(events["count"], 1);
    assert_eq!(events["results"][0]["result"]["content"]["body"], "text 2");
    assert_eq!(events["results"][0].get("context"), None);
    assert_eq!(events["groups"]["room_id"][&room]["order"], 1);
    assert_eq!(
        events["groups"]["sender"][&alice.id]["results"][0],
        events["results"][0]["result"]["event_id"]
    );
    let around = json!({ "before_limit": 1, "after_limit": 1 });
    let found = alice.post("/v3/search", criteria(around)).await.ok();
    let context = &found["search_categories"]["room_events"]["results"][0]["context"];
    assert_eq!(context["events_before"][0]["content"]["body"], "text 1");
    assert_eq!(context["events_after"][0]["content"]["body"], "text 3");
}

#[tokio::test]
async fn rooms_are_summed_up_for_anybody_who_may_know() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let body = json!({ "preset": "public_chat", "name": "Tea", "room_alias_name": "tea" });
    let room = room(&alice, body).await;
    for path in [
        format!("/v1/room_summary/{room}"),
        "/v1/room_summary/%23tea%3Aexample.org".to_owned(),
        format!("/unstable/im.nheko.summary/rooms/{room}/summary"),
        format!("/unstable/im.nheko.summary/summary/{room}"),
    ] {
        let summary = server.call(http::Method::GET, &path, None, None).await.ok();
        assert_eq!(summary["name"], "Tea");
        assert_eq!(alice.get(&path).await.ok()["membership"], "join");
    }
    let bogus = server.get(&format!("/v1/room_summary/{room}"), "bogus").await;
    bogus.refused(401, "M_UNKNOWN_TOKEN");
    let tree = alice.get(&format!("/v1/rooms/{room}/hierarchy")).await.ok();
    assert_eq!(tree["rooms"][0]["room_id"], room);
    assert_eq!(tree["rooms"][0]["children_state"], json!([]));
}
