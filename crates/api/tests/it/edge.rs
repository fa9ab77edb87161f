//! What holds for every endpoint, before any domain is asked.

use axum::body::Body;
use http::{Method, Request, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::server::Server;

/// Deeper than any reader's stack, yet small.
fn nested(levels: usize) -> String {
    format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels))
}

async fn put_raw(server: &Server, path: &str, token: &str, body: impl Into<Body>) -> (u16, String) {
    let request = Request::put(format!("/_matrix/client{path}"))
        .header("authorization", format!("Bearer {token}"))
        .body(body.into())
        .expect("a request");
    let answer = server.send(request).await;
    (answer.status.as_u16(), answer.code().to_owned())
}

/// What is stored as it came must be readable by everybody who gets it.
#[tokio::test]
async fn a_deeply_nested_object_is_not_stored() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let path = format!("/v3/user/{}/account_data/org.example.deep", alice.id);
    for levels in [127, 1_000, 20_000] {
        let answer = put_raw(&server, &path, &alice.token, nested(levels)).await;
        assert_eq!(answer, (400, "M_NOT_JSON".to_owned()), "{levels}");
    }
    assert_eq!(put_raw(&server, &path, &alice.token, nested(100)).await.0, 200);
}

#[tokio::test]
async fn text_that_is_no_unicode_is_not_stored() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let path = format!("/v3/user/{}/account_data/org.example.text", alice.id);
    let bad: [&[u8]; 4] =
        [br#"{"a":"\ud800"}"#, br#"{"\udc00":1}"#, b"{\"a\":\"\xe2\x82\"}", b"{\"\xff\":1}"];
    for body in bad {
        let answer = put_raw(&server, &path, &alice.token, body).await;
        assert_eq!(answer, (400, "M_NOT_JSON".to_owned()), "{}", String::from_utf8_lossy(body));
    }
    let pair = br#"{"a":"\ud83d\ude00"}"#.as_slice();
    assert_eq!(put_raw(&server, &path, &alice.token, pair).await.0, 200);
}

#[tokio::test]
async fn a_body_over_the_limit_is_too_large() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let path = format!("/v3/profile/{}/displayname", alice.id);
    let body = json!({ "displayname": "x".repeat(2 * 1024 * 1024) }).to_string();
    let answer = put_raw(&server, &path, &alice.token, body).await;
    assert_eq!(answer, (413, "M_TOO_LARGE".to_owned()));
}

#[tokio::test]
async fn two_authorization_headers_are_none() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let good = format!("Bearer {}", alice.token);
    let request = Request::get("/_matrix/client/v3/account/whoami")
        .header("authorization", &good)
        .header("authorization", &good)
        .body(Body::empty())
        .expect("a request");
    server.send(request).await.refused(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn the_token_in_the_query_counts_only_without_a_header() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let path = format!("/v3/account/whoami?access_token={}", alice.token);
    let by_query = server.call(Method::GET, &path, None, None).await;
    assert_eq!(by_query.ok()["user_id"], alice.id);
    server.get(&path, "bogus").await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_told_apart() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    for path in [
        "/_matrix/client/v3/account/whoamiX",
        "/_matrix//client/v3/account/whoami",
        "/_matrix/INSERTED/client/v3/account/whoami",
        "/_matrix/client/v3/account/../account/whoami",
        "/_matrix/client/v3/account/%2e%2e/account/whoami",
        "/.well-known/matrix/server/../client",
        "/",
    ] {
        server.get(path, &alice.token).await.refused(404, "M_UNRECOGNIZED");
    }
    server.get("/v3/createRoom", &alice.token).await.refused(405, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn a_path_that_names_nothing_is_a_wrong_parameter() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    for name in ["%zz", "..", "%00", "notauser", "%FF%FE"] {
        let answer = server.get(&format!("/v3/profile/{name}"), &alice.token).await;
        answer.refused(400, "M_INVALID_PARAM");
    }
}

async fn headers(server: &Server, request: http::request::Builder) -> (u16, http::HeaderMap) {
    let request = request.body(Body::empty()).expect("a request");
    let response = server.router.clone().oneshot(request).await.expect("the router answers");
    (response.status().as_u16(), response.headers().clone())
}

#[tokio::test]
async fn every_answer_lets_web_clients_of_other_origins_in() {
    let server = Server::new().await;
    let options = Request::options("/_matrix/client/v3/createRoom");
    let (status, found) = headers(&server, options).await;
    assert!(status == 200 || status == 204);
    for name in ["access-control-allow-origin", "access-control-allow-methods"] {
        assert!(found.contains_key(name), "{name}");
    }
    let paths = [
        "/_matrix/client/versions",
        "/_matrix/client/v3/account/whoami",
        "/_matrix/media/v3/config",
        "/.well-known/matrix/client",
    ];
    for path in paths {
        let (_, found) = headers(&server, Request::get(path)).await;
        assert_eq!(found["access-control-allow-origin"], "*", "{path}");
    }
}

#[tokio::test]
async fn answers_are_not_kept_by_caches_nor_guessed_at_by_browsers() {
    let server = Server::new().await;
    for path in ["/_matrix/client/versions", "/_matrix/client/v3/account/whoami", "/nothing"] {
        let (_, found) = headers(&server, Request::get(path)).await;
        assert_eq!(found[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert_eq!(found[header::CACHE_CONTROL], "no-store", "{path}");
    }
}

#[tokio::test]
async fn made_up_methods_do_not_grow_the_metrics() {
    let server = Server::new().await;
    for number in 0..50 {
        let method = Method::from_bytes(format!("M{number}").as_bytes()).expect("a token");
        server.call(method, "/v3/login", None, None).await.refused(405, "M_UNRECOGNIZED");
    }
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &server.registry).expect("metrics");
    assert!(!text.contains("\"M1\""), "{text}");
    assert!(text.contains("method=\"other\""), "{text}");
}

#[tokio::test]
async fn an_authentication_session_is_good_for_its_own_operation_only() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let challenge = alice.delete(&format!("/v3/devices/{}", alice.device), None).await;
    let session = challenge.session();
    let auth = crate::server::password_auth("alice", &session);
    let other = alice.post("/v3/account/deactivate", json!({ "auth": auth })).await;
    other.refused(403, "M_FORBIDDEN");
    assert!(alice.works().await);
    let own = Some(json!({ "auth": auth }));
    alice.delete(&format!("/v3/devices/{}", alice.device), own).await.ok();
}

/// Complement registers like this, in one request.
#[tokio::test]
async fn the_dummy_stage_needs_no_session() {
    let server = Server::new().await;
    let body = json!({
        "auth": { "type": "m.login.dummy" }, "username": "user-1", "password": "correct horse"
    });
    let answer: Value = server.post_open("/v3/register", body).await.ok();
    for key in ["user_id", "access_token", "device_id"] {
        assert!(answer[key].is_string(), "{key}");
    }
}

#[tokio::test]
async fn an_old_token_hinders_signing_in_no_more_than_none() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let body = crate::server::password_login("alice", crate::server::PASSWORD);
    for token in [&*alice.token, "bogus"] {
        server.post("/v3/login", token, body.clone()).await.ok();
    }
    let wanted = json!({ "username": "bob", "password": crate::server::PASSWORD });
    server.post("/v3/register", &alice.token, wanted).await.refused(400, "M_UNKNOWN");
}

#[tokio::test]
async fn discovery_documents_may_be_kept() {
    let server = Server::new().await;
    let (_, found) = headers(&server, Request::get("/.well-known/matrix/client")).await;
    assert!(!found.contains_key(header::CACHE_CONTROL));
}
