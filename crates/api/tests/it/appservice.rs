//! Application services, with one that really listens.

pub mod fake;
mod people;
mod told;

use http::Method;
use serde_json::{Value, json};

use crate::server::{Answer, Client};
use fake::{AS_TOKEN, Fake, Running, messages_in, registration, services};

/// A room that everybody may join.
async fn open_room(person: &Client<'_>) -> String {
    let body = json!({ "preset": "public_chat" });
    let made = person.post("/v3/createRoom", body).await.ok();
    made["room_id"].as_str().expect("a room").to_owned()
}

async fn say(person: &Client<'_>, room: &str, text: &str) -> String {
    let body = json!({ "msgtype": "m.text", "body": text });
    let path = format!("/v3/rooms/{room}/send/m.room.message/txn-{}", text.replace(' ', "-"));
    let sent = person.put(&path, body).await.ok();
    sent["event_id"].as_str().expect("an event").to_owned()
}

/// Ask as a person who may lack the body.
async fn get(person: &Client<'_>, path: &str) -> Answer {
    person.server.call(Method::GET, path, Some(&person.token), None).await
}

#[tokio::test]
async fn a_service_pings_itself_through_the_server() {
    let fake = Fake::start().await;
    let running = fake.server().await;
    let ping = || {
        let body = json!({ "transaction_id": "meow" });
        running.ask(Method::POST, "/v1/appservice/bridge/ping", "", body)
    };
    ping().await.refused(502, "M_BAD_STATUS");
    fake.answers(Method::POST, "/_matrix/app/v1/ping", 200, json!({}));
    assert!(ping().await.ok()["duration_ms"].is_u64());
    let forbidden = json!({ "errcode": "M_FORBIDDEN" });
    fake.answers(Method::POST, "/_matrix/app/v1/ping", 403, forbidden);
    let answer = ping().await;
    answer.refused(502, "M_BAD_STATUS");
    assert_eq!(answer.body["status"], 403);
    assert!(answer.body["body"].as_str().expect("a text").contains("M_FORBIDDEN"));
    assert_eq!(fake.strangers(), 0);
}

#[tokio::test]
async fn only_the_service_itself_pings_it() {
    let fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    let path = "/v1/appservice/bridge/ping";
    alice.post(path, json!({})).await.refused(403, "M_FORBIDDEN");
    running.server.post_open(path, json!({})).await.refused(401, "M_MISSING_TOKEN");
    running.server.post(path, "nobody", json!({})).await.refused(401, "M_UNKNOWN_TOKEN");
    let other = "/v1/appservice/other/ping";
    running.ask(Method::POST, other, "", json!({})).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_ping_says_what_is_wrong_with_the_way() {
    let fake = Fake::start().await;
    let running = fake.server_with(registration("bridge", AS_TOKEN, None)).await;
    let path = "/v1/appservice/bridge/ping";
    running.ask(Method::POST, path, "", json!({})).await.refused(400, "M_URL_NOT_SET");
    // Nobody listens on port 1.
    let nowhere = registration("bridge", AS_TOKEN, Some("http://127.0.0.1:1".to_owned()));
    let running = fake.server_with(nowhere).await;
    running.ask(Method::POST, path, "", json!({})).await.refused(502, "M_CONNECTION_FAILED");
}

#[tokio::test]
async fn an_alias_that_leads_nowhere_is_asked_of_its_service() {
    let mut fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    let alias = "/v3/directory/room/%23_b_room:example.org";
    get(&alice, alias).await.refused(404, "M_NOT_FOUND");
    let asked = fake.next().await;
    assert_eq!(asked.path, "/_matrix/app/v1/rooms/%23_b_room:example.org");
    // It does not know the path: the old one is tried.
    assert_eq!(fake.next().await.path, "/rooms/%23_b_room:example.org");
    get(&alice, "/v3/directory/room/%23other:example.org").await.refused(404, "M_NOT_FOUND");
    // The service makes the room while the person waits.
    let room = open_room(&alice).await;
    let body = json!({ "room_id": room });
    running.ask(Method::POST, &format!("/v3/join/{room}"), "", json!({})).await.ok();
    fake.answers(Method::GET, "/_matrix/app/v1/rooms/%23_b_room:example.org", 200, json!({}));
    running.ask(Method::PUT, alias, "", body).await.ok();
    assert_eq!(get(&alice, alias).await.ok()["room_id"], room.as_str());
    let joined = alice.post("/v3/join/%23_b_room:example.org", json!({})).await.ok();
    assert_eq!(joined["room_id"], room.as_str());
}

#[tokio::test]
async fn a_user_whom_nobody_has_is_asked_of_the_service() {
    let mut fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    let profile = "/v3/profile/@_b_new:example.org";
    get(&alice, profile).await.refused(404, "M_NOT_FOUND");
    assert_eq!(fake.next().await.path, "/_matrix/app/v1/users/@_b_new:example.org");
    running.ghost("_b_new").await;
    assert_eq!(get(&alice, profile).await.ok()["displayname"], "_b_new");
    get(&alice, "/v3/profile/@other:example.org").await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn networks_are_what_services_say_of_them() {
    let fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    assert_eq!(get(&alice, "/v3/thirdparty/protocols").await.ok(), json!({}));
    let protocol = json!({
        "user_fields": ["nick"],
        "location_fields": ["channel"],
        "field_types": { "nick": { "regexp": "[a-z]+", "placeholder": "nick" } },
        "instances": [{ "desc": "Libera", "fields": {}, "network_id": "libera" }],
    });
    fake.answers(Method::GET, "/_matrix/app/v1/thirdparty/protocol/irc", 200, protocol);
    let all = get(&alice, "/v3/thirdparty/protocols").await.ok();
    assert_eq!(all["irc"]["instances"][0]["instance_id"], "bridge|libera");
    assert_eq!(get(&alice, "/v3/thirdparty/protocol/irc").await.ok(), all["irc"]);
    get(&alice, "/v3/thirdparty/protocol/sms").await.refused(404, "M_NOT_FOUND");

    let place = json!({
        "alias": "#_b_a:example.org", "protocol": "irc", "fields": { "channel": "#a" },
    });
    // What is not as it should be is not passed on.
    let found = json!([place, { "alias": 5 }, "x"]);
    let path = "/_matrix/app/v1/thirdparty/location/irc?channel=%23a";
    fake.answers(Method::GET, path, 200, found);
    let path = "/v3/thirdparty/location/irc?channel=%23a&access_token=";
    let path = format!("{path}{}", alice.token);
    let answer = running.server.call(Method::GET, &path, None, None).await;
    assert_eq!(answer.ok(), json!([place]));
    assert_eq!(get(&alice, "/v3/thirdparty/location/sms").await.ok(), json!([]));
    let alias = "/thirdparty/location?alias=%23_b_a%3Aexample.org";
    fake.answers(Method::GET, &format!("/_matrix/app/v1{alias}"), 200, json!([place]));
    assert_eq!(get(&alice, &format!("/v3{alias}")).await.ok(), json!([place]));

    let user = json!({ "userid": "@_b_a:example.org", "protocol": "irc", "fields": {} });
    fake.answers(Method::GET, "/_matrix/app/v1/thirdparty/user/irc?nick=a", 200, json!([user]));
    assert_eq!(get(&alice, "/v3/thirdparty/user/irc?nick=a").await.ok(), json!([user]));
    let id = "/thirdparty/user?userid=%40_b_a%3Aexample.org";
    fake.answers(Method::GET, &format!("/_matrix/app/v1{id}"), 200, json!([user]));
    assert_eq!(get(&alice, &format!("/v3{id}")).await.ok(), json!([user]));
    let many: String = (0..30).map(|n| format!("f{n}=x&")).collect();
    let many = format!("/v3/thirdparty/user/irc?{many}");
    get(&alice, &many).await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_service_keeps_a_room_directory_for_each_network() {
    let fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    let room = open_room(&alice).await;
    let path = format!("/v3/directory/list/appservice/libera/{room}");
    let public = json!({ "visibility": "public" });
    alice.put(&path, public.clone()).await.refused(403, "M_FORBIDDEN");
    running.ask(Method::PUT, &path, "", public.clone()).await.ok();
    let listed = async |query: Value| -> Vec<Value> {
        let found = alice.post("/v3/publicRooms", query).await.ok();
        let rooms = found["chunk"].as_array().expect("a list").iter();
        rooms.map(|room| room["room_id"].clone()).collect()
    };
    assert!(listed(json!({})).await.is_empty());
    let libera = json!({ "third_party_instance_id": "bridge|libera" });
    assert_eq!(listed(libera.clone()).await, [room.as_str()]);
    assert_eq!(listed(json!({ "include_all_networks": true })).await, [room.as_str()]);
    for other in ["bridge|oftc", "other|libera", "libera", "|", ""] {
        assert!(listed(json!({ "third_party_instance_id": other })).await.is_empty(), "{other}");
    }
    let private = json!({ "visibility": "private" });
    running.ask(Method::PUT, &path, "", private).await.ok();
    assert!(listed(libera).await.is_empty());
    let absent = "/v3/directory/list/appservice/libera/!absent:example.org";
    running.ask(Method::PUT, absent, "", public.clone()).await.refused(404, "M_NOT_FOUND");
    let odd = format!("/v3/directory/list/appservice/a%7Cb/{room}");
    running.ask(Method::PUT, &odd, "", public).await.refused(400, "M_INVALID_PARAM");
}
