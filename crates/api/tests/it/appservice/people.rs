//! What a service does in the name of its users, and what others may not.

use http::Method;
use serde_json::json;

use super::{AS_TOKEN, Fake, Running, get, open_room, registration, services};
use crate::server::{Server, settings};

#[tokio::test]
async fn a_service_is_its_own_user_or_one_of_its_users() {
    let fake = Fake::start().await;
    let running = fake.server().await;
    let whoami = "/v3/account/whoami";
    let me = running.ask(Method::GET, whoami, "", json!({})).await.ok();
    assert_eq!(me["user_id"], "@bot:example.org");
    assert!(me.get("device_id").is_none_or(|device| device.is_null()));
    running.ask(Method::GET, whoami, "_b_x", json!({})).await.refused(403, "M_FORBIDDEN");
    running.ghost("_b_x").await;
    let me = running.ask(Method::GET, whoami, "_b_x", json!({})).await.ok();
    assert_eq!(me["user_id"], "@_b_x:example.org");
    running.server.user("alice").await;
    running.ask(Method::GET, whoami, "alice", json!({})).await.refused(403, "M_FORBIDDEN");
    for query in ["user_id=nonsense", "user_id=", "user_id=%00", "user_id=@a:b&user_id=@c:d"] {
        let answer = running.server.get(&format!("{whoami}?{query}"), AS_TOKEN).await;
        assert!(answer.status.is_client_error(), "{query}: {answer:?}");
    }
}

#[tokio::test]
async fn a_service_acts_from_devices_that_it_makes_and_removes() {
    let fake = Fake::start().await;
    let running = fake.server().await;
    running.ghost("_b_x").await;
    let whoami = "/v3/account/whoami?device_id=DEV";
    running.ask(Method::GET, whoami, "_b_x", json!({})).await.refused(400, "M_UNKNOWN_DEVICE");
    let device = "/v3/devices/DEV";
    let name = json!({ "display_name": "Bridge" });
    let made = running.ask(Method::PUT, device, "_b_x", name.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let renamed = running.ask(Method::PUT, device, "_b_x", name).await;
    assert_eq!(renamed.status, 200, "{renamed:?}");
    let me = running.ask(Method::GET, whoami, "_b_x", json!({})).await.ok();
    assert_eq!(me["device_id"], "DEV");
    let old = "/v3/account/whoami?org.matrix.msc3202.device_id=DEV";
    let me = running.ask(Method::GET, old, "_b_x", json!({})).await.ok();
    assert_eq!(me["device_id"], "DEV");
    // It needs no password, which its users have not got.
    running.ask(Method::DELETE, device, "_b_x", json!({})).await.ok();
    running.ask(Method::GET, whoami, "_b_x", json!({})).await.refused(400, "M_UNKNOWN_DEVICE");
    running.ask(Method::PUT, device, "_b_x", json!({})).await;
    let list = json!({ "devices": ["DEV", "OTHER"] });
    running.ask(Method::POST, "/v3/delete_devices", "_b_x", list).await.ok();
    // People make no devices.
    let alice = running.server.user("alice").await;
    alice.put("/v3/devices/NEW", json!({})).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn what_needs_a_device_needs_one_of_a_service_too() {
    let fake = Fake::start().await;
    let running = fake.server().await;
    running.ghost("_b_x").await;
    let upload = "/v3/keys/upload";
    let answer = running.ask(Method::POST, upload, "_b_x", json!({})).await;
    answer.refused(400, "M_INVALID_PARAM");
    running.ask(Method::PUT, "/v3/devices/DEV", "_b_x", json!({})).await;
    let upload = "/v3/keys/upload?device_id=DEV";
    running.ask(Method::POST, upload, "_b_x", json!({})).await.ok();
    running
        .ask(Method::POST, "/v3/logout", "_b_x", json!({}))
        .await
        .refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn names_of_a_service_are_its_own() {
    let fake = Fake::start().await;
    let running = fake.server().await;
    let register = |name: &str| json!({ "username": name, "password": "long enough", "auth": { "type": "m.login.dummy" } });
    let people = |name: &'static str| running.server.post_open("/v3/register", register(name));
    people("bot").await.refused(400, "M_EXCLUSIVE");
    let free = "/v3/register/available?username=bot";
    let answer = running.server.call(Method::GET, free, None, None).await;
    answer.refused(400, "M_EXCLUSIVE");
    let service = |name: &str| json!({ "type": "m.login.application_service", "username": name, "inhibit_login": true });
    let answer = running.ask(Method::POST, "/v3/register", "", service("alice")).await;
    answer.refused(400, "M_EXCLUSIVE");
    running.ghost("_b_x").await;
    let answer = running.ask(Method::POST, "/v3/register", "", service("_b_x")).await;
    answer.refused(400, "M_USER_IN_USE");
    let nameless = json!({ "type": "m.login.application_service" });
    let answer = running.ask(Method::POST, "/v3/register", "", nameless.clone()).await;
    answer.refused(400, "M_MISSING_PARAM");
    let path = "/v3/register";
    running.server.post_open(path, service("_b_y")).await.refused(401, "M_MISSING_TOKEN");
    running.server.post(path, "other", service("_b_y")).await.refused(401, "M_UNKNOWN_TOKEN");
    let alice = running.server.user("alice").await;
    alice.post(path, service("_b_y")).await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn aliases_of_a_service_are_its_own() {
    let fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    let room = open_room(&alice).await;
    let body = json!({ "room_id": room });
    let theirs = "/v3/directory/room/%23_b_x:example.org";
    alice.put(theirs, body.clone()).await.refused(400, "M_EXCLUSIVE");
    let made = json!({ "room_alias_name": "_b_x" });
    alice.post("/v3/createRoom", made.clone()).await.refused(400, "M_EXCLUSIVE");
    running.ghost_in("_b_x", &room).await;
    running.ask(Method::PUT, theirs, "_b_x", body.clone()).await.ok();
    let other = "/v3/directory/room/%23x:example.org";
    running.ask(Method::PUT, other, "_b_x", body).await.refused(400, "M_EXCLUSIVE");
    alice.delete(theirs, None).await.refused(400, "M_EXCLUSIVE");
    running.ask(Method::DELETE, theirs, "_b_x", json!({})).await.ok();
    running.ask(Method::POST, "/v3/createRoom", "", made).await.ok();
}

#[tokio::test]
async fn a_service_signs_in_as_its_users() {
    let fake = Fake::start().await;
    let running = fake.server().await;
    let flows = running.server.call(Method::GET, "/v3/login", None, None).await.ok();
    let flows = flows["flows"].as_array().expect("a list");
    assert!(flows.iter().any(|flow| flow["type"] == "m.login.application_service"));
    let login = |name: &str| {
        json!({
            "type": "m.login.application_service",
            "identifier": { "type": "m.id.user", "user": name },
        })
    };
    let path = "/v3/login";
    running.ask(Method::POST, path, "", login("_b_x")).await.refused(403, "M_FORBIDDEN");
    running.ghost("_b_x").await;
    let issued = running.ask(Method::POST, path, "", login("_b_x")).await.ok();
    let token = issued["access_token"].as_str().expect("a token");
    let me = running.server.get("/v3/account/whoami", token).await.ok();
    assert_eq!(me["user_id"], "@_b_x:example.org");
    running.server.user("alice").await;
    running.ask(Method::POST, path, "", login("alice")).await.refused(400, "M_EXCLUSIVE");
    running.server.post_open(path, login("_b_x")).await.refused(401, "M_MISSING_TOKEN");
    running.server.post(path, "other", login("_b_x")).await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn without_the_older_login_api_a_service_makes_users_and_no_sessions() {
    let registration = registration("bridge", AS_TOKEN, None);
    let accounts = blaupause_accounts::Settings {
        services: services(vec![registration]),
        password_login: false,
        ..settings()
    };
    let base_url = "https://matrix.example.org".to_owned();
    let oauth = Some(blaupause_api::OAuth { base_url });
    let api = blaupause_api::Settings { oauth, ..Default::default() };
    let server = Server::with_api(accounts, api).await;
    let unsupported = "M_APPSERVICE_LOGIN_UNSUPPORTED";
    let mut body = json!({ "type": "m.login.application_service", "username": "_b_x" });
    server.post("/v3/register", AS_TOKEN, body.clone()).await.refused(400, unsupported);
    body["inhibit_login"] = true.into();
    server.post("/v3/register", AS_TOKEN, body).await.ok();
    let login = json!({
        "type": "m.login.application_service",
        "identifier": { "type": "m.id.user", "user": "_b_x" },
    });
    server.post("/v3/login", AS_TOKEN, login).await.refused(400, unsupported);
}

#[tokio::test]
async fn a_service_says_when_something_was_said_and_people_do_not() {
    let fake = Fake::start().await;
    let running = fake.server().await;
    let alice = running.server.user("alice").await;
    let room = open_room(&alice).await;
    running.ghost_in("_b_x", &room).await;
    let body = json!({ "msgtype": "m.text", "body": "long ago" });
    let path = format!("/v3/rooms/{room}/send/m.room.message/1?ts=1234567");
    let sent = running.ask(Method::PUT, &path, "_b_x", body.clone()).await.ok();
    let event = |sent: serde_json::Value| {
        let id = sent["event_id"].as_str().expect("an event").to_owned();
        format!("/v3/rooms/{room}/event/{id}")
    };
    let said = get(&alice, &event(sent)).await.ok();
    assert_eq!(said["origin_server_ts"], 1_234_567);
    let sent = alice.put(&path, body.clone()).await.ok();
    assert_ne!(get(&alice, &event(sent)).await.ok()["origin_server_ts"], 1_234_567);
    let state = format!("/v3/rooms/{room}/state/org.example.a/b?ts=7654321");
    let power = json!({ "users": { "@_b_x:example.org": 100 } });
    let levels = format!("/v3/rooms/{room}/state/m.room.power_levels/");
    let _ = alice.put(&levels, power).await;
    let sent = running.ask(Method::PUT, &state, "_b_x", json!({ "x": 1 })).await.ok();
    assert_eq!(get(&alice, &event(sent)).await.ok()["origin_server_ts"], 7_654_321);
    let odd = format!("/v3/rooms/{room}/send/m.room.message/2?ts=-1");
    let answer = running.ask(Method::PUT, &odd, "_b_x", body).await;
    assert_eq!(answer.status, 400, "{answer:?}");
}

#[tokio::test]
async fn rate_limits_hold_for_users_of_a_service_unless_it_is_free_of_them() {
    let fake = Fake::start().await;
    for rate_limited in [true, false] {
        let registration =
            blaupause_accounts::ServiceRegistration { rate_limited, ..fake.registration() };
        let accounts =
            blaupause_accounts::Settings { services: services(vec![registration]), ..settings() };
        let limit = blaupause_api::RateLimit { per_second: 0.001, burst: 2.0 };
        let limits = blaupause_api::RateLimits {
            room_creation: limit,
            registration: limit,
            ..Default::default()
        };
        let api = blaupause_api::Settings { rate_limits: Some(limits), ..Default::default() };
        let server = Server::with_api(accounts, api).await;
        let body = |name: &str| json!({ "type": "m.login.application_service", "username": name, "inhibit_login": true });
        server.post("/v3/register", AS_TOKEN, body("_b_x")).await.ok();
        let as_ghost = "/v3/createRoom?user_id=@_b_x:example.org";
        let mut refused = 0;
        for n in 0..6 {
            let answer = server.post(as_ghost, AS_TOKEN, json!({})).await;
            refused += usize::from(answer.code() == "M_LIMIT_EXCEEDED");
            // The service's own user is free in any case.
            server.post("/v3/createRoom", AS_TOKEN, json!({})).await.ok();
            let answer = server.post("/v3/register", AS_TOKEN, body(&format!("_b_{n}"))).await;
            refused += usize::from(answer.code() == "M_LIMIT_EXCEEDED");
        }
        assert_eq!(refused > 0, rate_limited);
    }
}

#[tokio::test]
async fn a_service_needs_no_password_for_keys_and_has_none_to_change() {
    let fake = Fake::start().await;
    let running = fake.server().await;
    running.ghost("_b_x").await;
    let password = json!({ "new_password": "a good password" });
    let answer = running.ask(Method::POST, "/v3/account/password", "_b_x", password).await;
    answer.refused(403, "M_FORBIDDEN");
    let deactivate = "/v3/account/deactivate";
    running.ask(Method::POST, deactivate, "_b_x", json!({})).await.ok();
    let whoami = running.ask(Method::GET, "/v3/account/whoami", "_b_x", json!({})).await;
    whoami.refused(403, "M_USER_DEACTIVATED");
}

#[tokio::test]
async fn a_service_may_sync_as_one_of_its_users() {
    let fake = Fake::start().await;
    let running: Running = fake.server().await;
    let alice = running.server.user("alice").await;
    let room = open_room(&alice).await;
    running.ghost_in("_b_x", &room).await;
    let synced = running.ask(Method::GET, "/v3/sync?timeout=0", "_b_x", json!({})).await.ok();
    assert!(synced["rooms"]["join"].get(&room).is_some(), "{synced}");
}
