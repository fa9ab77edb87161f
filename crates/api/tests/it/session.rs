use http::Method;
use serde_json::json;

use crate::server::{PASSWORD, Server, password_auth, password_login};

#[tokio::test]
async fn login_whoami_and_logout() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let who = alice.get("/v3/account/whoami").await.ok();
    assert_eq!(who, json!({ "user_id": alice.id, "device_id": alice.device }));
    alice.post("/v3/logout", json!({})).await.ok();
    let gone = alice.get("/v3/account/whoami").await;
    gone.refused(401, "M_UNKNOWN_TOKEN");
    assert_eq!(gone.body["soft_logout"], false);
}

#[tokio::test]
async fn logout_all_ends_every_session() {
    let server = Server::new().await;
    let one = server.user("alice").await;
    let other = server.sign_in("alice").await;
    one.post("/v3/logout/all", json!({})).await.ok();
    assert!(!one.works().await && !other.works().await);
}

#[tokio::test]
async fn login_types_are_listed() {
    let server = Server::new().await;
    let flows = server.call(Method::GET, "/v3/login", None, None).await.ok();
    let wanted = json!({ "flows": [
        { "type": "m.login.password" },
        { "type": "m.login.token", "get_login_token": true },
    ] });
    assert_eq!(flows, wanted);
}

#[tokio::test]
async fn a_wrong_password_is_forbidden() {
    let server = Server::new().await;
    server.user("alice").await;
    for (name, password) in [("alice", "wrong"), ("nobody", PASSWORD), ("alice", "")] {
        let answer = server.post_open("/v3/login", password_login(name, password)).await;
        answer.refused(403, "M_FORBIDDEN");
    }
}

#[tokio::test]
async fn old_clients_name_the_user_outside_of_the_identifier() {
    let server = Server::new().await;
    server.user("alice").await;
    let body = json!({ "type": "m.login.password", "user": "alice", "password": PASSWORD });
    server.post_open("/v3/login", body.clone()).await.ok();
    server.post_open("/r0/login", body).await.ok();
}

#[tokio::test]
async fn tokens_are_refreshed() {
    let server = Server::new().await;
    server.user("alice").await;
    let mut body = password_login("alice", PASSWORD);
    body["refresh_token"] = true.into();
    let login = server.post_open("/v3/login", body).await.ok();
    assert_eq!(login["expires_in_ms"], 300_000);
    let first = login["access_token"].as_str().expect("a token");
    server.data.env().advance(std::time::Duration::from_secs(300));
    let late = server.get("/v3/account/whoami", first).await;
    late.refused(401, "M_UNKNOWN_TOKEN");
    assert_eq!(late.body["soft_logout"], true);
    let body = json!({ "refresh_token": login["refresh_token"] });
    let renewed = server.post_open("/v3/refresh", body).await.ok();
    let second = renewed["access_token"].as_str().expect("a token");
    server.get("/v3/account/whoami", second).await.ok();
    let body = json!({ "refresh_token": login["refresh_token"] });
    server.post_open("/v3/refresh", body).await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn a_login_token_needs_the_password_and_works_once() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let session = alice.post("/v1/login/get_token", json!({})).await.session();
    let body = json!({ "auth": password_auth("alice", &session) });
    let made = alice.post("/v1/login/get_token", body).await.ok();
    assert_eq!(made["expires_in_ms"], 120_000);
    let body = json!({ "type": "m.login.token", "token": made["login_token"] });
    server.post_open("/v3/login", body.clone()).await.ok();
    server.post_open("/v3/login", body).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn devices_are_listed_renamed_and_removed() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let other = server.sign_in("alice").await;
    let list = alice.get("/v3/devices").await.ok();
    assert_eq!(list["devices"].as_array().map(Vec::len), Some(2));
    let path = format!("/v3/devices/{}", other.device);
    alice.put(&path, json!({ "display_name": "phone" })).await.ok();
    assert_eq!(alice.get(&path).await.ok()["display_name"], "phone");
    alice.get("/v3/devices/NOSUCH").await.refused(404, "M_NOT_FOUND");
    alice.put("/v3/devices/NOSUCH", json!({})).await.refused(404, "M_NOT_FOUND");
    alice.put(&path, json!({ "display_name": 5 })).await.refused(400, "M_BAD_JSON");

    let session = alice.delete(&path, None).await.session();
    // The session is for this device only.
    let own = format!("/v3/devices/{}", alice.device);
    let replay = json!({ "auth": password_auth("alice", &session) });
    alice.delete(&own, Some(replay.clone())).await.refused(403, "M_FORBIDDEN");
    alice.delete(&path, Some(replay)).await.ok();
    assert!(!other.works().await && alice.works().await);
    alice.get(&path).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn another_persons_password_proves_nothing() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let path = format!("/v3/devices/{}", alice.device);
    let session = alice.delete(&path, None).await.session();
    let body = json!({ "auth": password_auth(&bob.id, &session) });
    alice.delete(&path, Some(body)).await.refused(403, "M_FORBIDDEN");
    assert!(alice.works().await);
}

#[tokio::test]
async fn devices_show_where_they_were_last_seen() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let path = format!("/v3/devices/{}", alice.device);
    assert!(alice.get(&path).await.ok()["last_seen_ts"].is_number());
}
