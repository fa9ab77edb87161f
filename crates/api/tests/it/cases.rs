//! Wrong requests: clear answers, never a 5xx.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::server::{Server, password_login};

#[tokio::test]
async fn wrong_logins_are_bad_requests() {
    let server = Server::new().await;
    let bad = [
        json!({}),
        json!({ "type": null }),
        json!({ "type": 5 }),
        json!({ "type": "m.login.nope" }),
        json!({ "type": "m.login.password" }),
        json!({ "type": "m.login.password", "password": "x" }),
        json!({ "type": "m.login.password", "identifier": "alice", "password": "x" }),
        json!({ "type": "m.login.password", "identifier": null, "password": "x" }),
        json!({ "type": "m.login.password", "identifier": {}, "password": "x" }),
        json!({ "type": "m.login.token" }),
        with(password_login("alice", ""), "password", json!(12345)),
        with(password_login("alice", ""), "password", json!(null)),
        with(password_login("alice", ""), "refresh_token", json!("yes")),
    ];
    for body in bad {
        let answer = server.post_open("/v3/login", body.clone()).await;
        assert_eq!(answer.status, 400, "{body} {}", answer.body);
        assert!(answer.code().starts_with("M_"), "{body}");
    }
    let nul = server.post_open("/v3/login", password_login("a\0b", "wrong")).await;
    nul.refused(403, "M_FORBIDDEN");
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

#[tokio::test]
async fn wrong_registrations_are_bad_requests() {
    let server = Server::new().await;
    for name in ["a b", "a:b", "@a", "_bridge", "é", "", "a\0b", "12345"] {
        let body = json!({ "username": name, "password": "abcDEF123!" });
        server.post_open("/v3/register", body).await.refused(400, "M_INVALID_USERNAME");
    }
    let number = json!({ "username": "x", "password": 5 });
    server.post_open("/v3/register", number).await.refused(400, "M_BAD_JSON");
    let auth = json!({ "username": "x", "password": "abcDEF123!", "auth": "x" });
    server.post_open("/v3/register", auth).await.refused(400, "M_BAD_JSON");
    let auth = json!({ "type": "m.login.dummy", "session": "bogus" });
    let body = json!({ "username": "x", "password": "abcDEF123!", "auth": auth });
    server.post_open("/v3/register", body).await.refused(403, "M_FORBIDDEN");
    let kind = server.post_open("/v3/register?kind=robot", json!({})).await;
    kind.refused(400, "M_INVALID_PARAM");
    let weak = json!({ "username": "x", "password": "short" });
    server.post_open("/v3/register", weak).await.refused(400, "M_WEAK_PASSWORD");
}

#[tokio::test]
async fn wrong_tokens_are_unauthorized() {
    let server = Server::new().await;
    let long = "a".repeat(8_000);
    for value in ["Bearer ", "Bearer a b", "Bearer", "Basic eA==", &format!("Bearer {long}")] {
        let request = Request::get("/_matrix/client/v3/account/whoami")
            .header("authorization", value)
            .body(Body::empty())
            .expect("a request");
        assert_eq!(server.send(request).await.status, 401, "{value}");
    }
    for token in ["", "%00", "bogus", "bp_0000000000000000_x"] {
        let uri = format!("/_matrix/client/v3/account/whoami?access_token={token}");
        let request = Request::get(uri).body(Body::empty()).expect("a request");
        assert_eq!(server.send(request).await.status, 401, "{token}");
    }
}

#[tokio::test]
async fn wrong_bodies_are_bad_requests() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let paths = [
        ("POST", format!("/v3/user/{}/filter", alice.id)),
        ("PUT", format!("/v3/user/{}/account_data/org.x", alice.id)),
        ("PUT", format!("/v3/profile/{}/displayname", alice.id)),
        ("PUT", format!("/v3/presence/{}/status", alice.id)),
        ("POST", "/v3/account/password".to_owned()),
        ("POST", "/v3/user_directory/search".to_owned()),
        ("POST", "/v3/login".to_owned()),
        ("POST", "/v3/refresh".to_owned()),
    ];
    let nested = "[".repeat(100_000) + &"]".repeat(100_000);
    for (method, path) in paths {
        for body in ["not json", "{\"a\":", "{}{}", "[1]", "null", &nested] {
            let request = Request::builder()
                .method(method)
                .uri(format!("/_matrix/client{path}"))
                .header("authorization", format!("Bearer {}", alice.token))
                .body(Body::from(body.to_owned()))
                .expect("a request");
            let answer = server.send(request).await;
            assert_eq!(answer.status, 400, "{path} {}", &body[..body.len().min(20)]);
            assert!(["M_NOT_JSON", "M_BAD_JSON"].contains(&answer.code()), "{path}");
        }
    }
}
