use blaupause_accounts::{RegistrationMode, Secret, Settings};
use http::Method;
use serde_json::{Value, json};

use crate::server::{PASSWORD, Server, password_auth, password_login, settings};

fn registration(name: &str) -> Value {
    json!({ "username": name, "password": PASSWORD, "auth": { "type": "m.login.dummy" } })
}

#[tokio::test]
async fn registration_in_one_request() {
    let server = Server::new().await;
    let made = server.post_open("/v3/register", registration("User-1")).await.ok();
    assert_eq!(made["user_id"], "@user-1:example.org");
    let token = made["access_token"].as_str().expect("a token");
    server.get("/v3/account/whoami", token).await.ok();
}

#[tokio::test]
async fn registration_in_stages() {
    let server = Server::new().await;
    let challenge = server.post_open("/v3/register", json!({})).await;
    assert_eq!(challenge.body["flows"], json!([{ "stages": ["m.login.dummy"] }]));
    let session = challenge.session();
    let mut body = registration("alice");
    body["auth"]["session"] = session.into();
    body["inhibit_login"] = true.into();
    let made = server.post_open("/v3/register", body).await.ok();
    assert_eq!(made["user_id"], "@alice:example.org");
    assert!(made.get("access_token").is_none());
    let taken = server.post_open("/v3/register", registration("alice")).await;
    taken.refused(400, "M_USER_IN_USE");
}

#[tokio::test]
async fn registration_with_a_token() {
    let settings = Settings {
        registration: RegistrationMode::Token,
        registration_tokens: vec![Secret::new("letmein".into())],
        ..settings()
    };
    let server = Server::with(settings).await;
    let validity = "/v1/register/m.login.registration_token/validity";
    for (token, valid) in [("letmein", true), ("other", false)] {
        let path = format!("{validity}?token={token}");
        assert_eq!(server.call(Method::GET, &path, None, None).await.ok()["valid"], valid);
    }
    let session = server.post_open("/v3/register", json!({})).await.session();
    let auth = |token: &str| {
        let kind = "m.login.registration_token";
        json!({
            "username": "alice",
            "password": PASSWORD,
            "auth": { "type": kind, "token": token, "session": session },
        })
    };
    let dummy = server.post_open("/v3/register", registration("alice")).await;
    assert_eq!(dummy.status, 401);
    server.post_open("/v3/register", auth("other")).await.refused(401, "M_UNAUTHORIZED");
    server.post_open("/v3/register", auth("letmein")).await.ok();
}

#[tokio::test]
async fn closed_registration_is_forbidden() {
    let closed = Settings { registration: RegistrationMode::Closed, ..settings() };
    let server = Server::with(closed).await;
    server.post_open("/v3/register", registration("alice")).await.refused(403, "M_FORBIDDEN");
    let guest = server.post_open("/v3/register?kind=guest", json!({})).await;
    guest.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    let available = "/v3/register/available?username=alice";
    let answer = server.call(Method::GET, available, None, None).await;
    answer.refused(403, "M_FORBIDDEN");
    let nonce = server.call(Method::GET, "/_synapse/admin/v1/register", None, None).await;
    nonce.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn guests_may_do_little() {
    let server = Server::with(Settings { guests: true, ..settings() }).await;
    let made = server.post_open("/v3/register?kind=guest", json!({})).await.ok();
    let token = made["access_token"].as_str().expect("a token");
    let who = server.get("/v3/account/whoami", token).await.ok();
    assert_eq!(who["is_guest"], true);
    let path = "/v3/user_directory/search";
    let answer = server.post(path, token, json!({ "search_term": "a" })).await;
    answer.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
}

#[tokio::test]
async fn names_are_checked() {
    let server = Server::new().await;
    server.user("alice").await;
    for (name, code) in [("alice", "M_USER_IN_USE"), ("a%20b", "M_INVALID_USERNAME")] {
        let path = format!("/v3/register/available?username={name}");
        server.call(Method::GET, &path, None, None).await.refused(400, code);
    }
    let path = "/v3/register/available?username=bob";
    assert_eq!(server.call(Method::GET, path, None, None).await.ok()["available"], true);
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let other = server.sign_in("alice").await;
    let path = "/v3/account/password";
    let session = alice.post(path, json!({ "new_password": "another horse" })).await.session();
    assert!(other.works().await);
    let body = json!({ "new_password": "another horse", "auth": password_auth("alice", &session) });
    alice.post(path, body).await.ok();
    assert!(alice.works().await && !other.works().await);
    let old = server.post_open("/v3/login", password_login("alice", PASSWORD)).await;
    old.refused(403, "M_FORBIDDEN");
    server.post_open("/v3/login", password_login("alice", "another horse")).await.ok();
    let nobody = server.post_open(path, json!({ "new_password": "x" })).await;
    nobody.refused(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn a_changed_password_may_leave_the_other_sessions() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let other = server.sign_in("alice").await;
    let mut body = json!({ "new_password": "another horse", "logout_devices": false });
    let session = alice.post("/v3/account/password", body.clone()).await.session();
    body["auth"] = password_auth("alice", &session);
    alice.post("/v3/account/password", body).await.ok();
    assert!(alice.works().await && other.works().await);
}

#[tokio::test]
async fn a_deactivated_account_is_closed_for_good() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let session = alice.post("/v3/account/deactivate", json!({})).await.session();
    let body = json!({ "auth": password_auth("alice", &session), "erase": true });
    alice.post("/v3/account/deactivate", body).await.ok();
    assert!(!alice.works().await);
    let login = server.post_open("/v3/login", password_login("alice", PASSWORD)).await;
    login.refused(403, "M_USER_DEACTIVATED");
    let again = server.post_open("/v3/register", registration("alice")).await;
    again.refused(400, "M_USER_IN_USE");
    let path = format!("/v3/profile/{}", alice.id);
    server.call(Method::GET, &path, None, None).await.refused(404, "M_NOT_FOUND");
    // An empty token never matches anything.
    for path in ["/v3/account/whoami", "/v3/account/whoami?access_token="] {
        let answer = server.call(Method::GET, path, None, None).await;
        answer.refused(401, "M_MISSING_TOKEN");
    }
}

#[tokio::test]
async fn third_party_identifiers_are_not_offered() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    assert_eq!(alice.get("/v3/account/3pid").await.ok(), json!({ "threepids": [] }));
    let body = json!({ "client_secret": "abc", "email": "a@example.org", "send_attempt": 1 });
    for path in ["account/3pid", "account/password", "register"] {
        let path = format!("/v3/{path}/email/requestToken");
        let answer = server.post_open(&path, body.clone()).await;
        answer.refused(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED");
    }
    let body = json!({ "client_secret": "abc", "sid": "x" });
    alice.post("/v3/account/3pid/add", body).await.refused(400, "M_THREEPID_AUTH_FAILED");
}

#[tokio::test]
async fn openid_tokens_prove_who_somebody_is() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let path = format!("/v3/user/{}/openid/request_token", alice.id);
    let made = alice.post(&path, json!({})).await.ok();
    assert_eq!(made["token_type"], "Bearer");
    assert_eq!(made["matrix_server_name"], "example.org");
    bob.post(&path, json!({})).await.refused(403, "M_FORBIDDEN");
    let userinfo = "/_matrix/federation/v1/openid/userinfo";
    let token = made["access_token"].as_str().expect("a token");
    let path = format!("{userinfo}?access_token={token}");
    let answer = server.call(Method::GET, &path, None, None).await.ok();
    assert_eq!(answer, json!({ "sub": alice.id }));
    let none = server.call(Method::GET, userinfo, None, None).await;
    none.refused(401, "M_MISSING_TOKEN");
    let path = format!("{userinfo}?access_token=bogus");
    server.call(Method::GET, &path, None, None).await.refused(401, "M_UNKNOWN_TOKEN");
    // It is no access token.
    server.get("/v3/account/whoami", token).await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn people_are_found_by_those_who_may() {
    let everybody = Settings { search_all_users: true, ..settings() };
    let server = Server::with(everybody).await;
    let alice = server.user("alice").await;
    server.user("bob").await;
    let path = "/v3/user_directory/search";
    let found = alice.post(path, json!({ "search_term": "bo" })).await.ok();
    let bob = json!([{ "user_id": "@bob:example.org", "display_name": "bob" }]);
    assert_eq!(found, json!({ "results": bob, "limited": false }));
    alice.post(path, json!({ "search_term": 5 })).await.refused(400, "M_BAD_JSON");
}

#[tokio::test]
async fn the_shared_secret_is_asked_for() {
    let secret = Some(Secret::new("shared".into()));
    let settings = Settings { registration_shared_secret: secret, ..settings() };
    let server = Server::with(settings).await;
    let path = "/_synapse/admin/v1/register";
    let nonce = server.call(Method::GET, path, None, None).await.ok()["nonce"].clone();
    server.post_open(path, json!({ "nonce": nonce })).await.refused(400, "M_BAD_JSON");
    for mac in ["", "zz", &"0".repeat(40)] {
        let body = json!({ "nonce": nonce, "username": "a", "password": PASSWORD, "mac": mac });
        server.post_open(path, body).await.refused(403, "M_FORBIDDEN");
    }
}

#[tokio::test]
async fn guessing_passwords_is_slowed_down() {
    let server = Server::new().await;
    server.user("alice").await;
    for _ in 0..5 {
        let answer = server.post_open("/v3/login", password_login("alice", "wrong")).await;
        answer.refused(403, "M_FORBIDDEN");
    }
    let answer = server.post_open("/v3/login", password_login("alice", PASSWORD)).await;
    answer.refused(429, "M_LIMIT_EXCEEDED");
    assert!(answer.body["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0));
}

fn pusher(key: &str) -> Value {
    json!({
        "app_id": "org.example", "pushkey": key, "kind": "http", "lang": "en",
        "app_display_name": "a", "device_display_name": "d",
        "data": { "url": "https://push.example.org/_matrix/push/v1/notify" },
    })
}

/// Spec: "POST /account/password": pushers of other devices end, the caller's own stays.
#[tokio::test]
async fn pushers_end_with_the_session_that_set_them() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let (phone, tablet) = (server.sign_in("alice").await, server.sign_in("alice").await);
    for (who, key) in [(&alice, "own"), (&phone, "phone"), (&tablet, "tablet")] {
        who.post("/v3/pushers/set", pusher(key)).await.ok();
    }
    let keys = || async {
        let pushers = alice.get("/v3/pushers").await.ok();
        let keys = pushers["pushers"].as_array().expect("a list").iter();
        keys.map(|pusher| pusher["pushkey"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(keys().await, ["own", "phone", "tablet"]);
    tablet.post("/v3/logout", json!({})).await.ok();
    assert_eq!(keys().await, ["own", "phone"]);
    let mut body = json!({ "new_password": "another horse" });
    let session = alice.post("/v3/account/password", body.clone()).await.session();
    body["auth"] = password_auth("alice", &session);
    alice.post("/v3/account/password", body).await.ok();
    assert_eq!(keys().await, ["own"]);
}
