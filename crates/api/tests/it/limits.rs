//! Rate limits: who is counted, and for what. Request ids.

use std::net::IpAddr;

use axum::body::Body;
use blaupause_api::{ClientAddress, RateLimit, RateLimits, RequestId, Settings};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::server::{PASSWORD, Server, password_login, settings};

/// A server with limits; those that a test is not about are wide.
async fn limited(limit: impl FnOnce(&mut RateLimits)) -> Server {
    let wide = RateLimit { per_second: 1_000.0, burst: 1_000.0 };
    let mut limits = RateLimits {
        message: wide,
        login: wide,
        login_failed: wide,
        registration: wide,
        join: wide,
        invite: wide,
        room_creation: wide,
        presence: wide,
        user_directory: wide,
        media_upload: wide,
        unknown_token: wide,
        delayed_events: wide,
    };
    limit(&mut limits);
    let api = Settings { rate_limits: Some(limits), ..Settings::default() };
    let accounts = blaupause_accounts::Settings { failed_logins: None, ..settings() };
    Server::with_api(accounts, api).await
}

const FEW: RateLimit = RateLimit { per_second: 0.5, burst: 3.0 };

/// Ask as somebody at an address.
async fn ask(
    server: &Server,
    address: &str,
    (method, path): (Method, &str),
    token: Option<&str>,
    body: Option<Value>,
) -> Response<Body> {
    let address: IpAddr = address.parse().expect("an address");
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/_matrix/client{path}"))
        .extension(ClientAddress(address));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let request = request.body(body).expect("a request");
    server.router.clone().oneshot(request).await.expect("an answer")
}

const WHOAMI: (Method, &str) = (Method::GET, "/v3/account/whoami");
const LOGIN: (Method, &str) = (Method::POST, "/v3/login");

#[tokio::test]
async fn a_person_has_one_limit_for_all_devices_and_addresses() {
    let server = limited(|limits| limits.message = FEW).await;
    let alice = server.user("alice").await;
    let phone = server.sign_in("alice").await;
    let bob = server.user("bob").await;
    let room = alice.post("/v3/createRoom", json!({})).await.ok();
    let room = room["room_id"].as_str().expect("a room").to_owned();
    let mut statuses = Vec::new();
    for (number, who) in [&alice, &phone, &alice, &phone, &bob].into_iter().enumerate() {
        let path = format!("/v3/rooms/{room}/send/m.room.message/{number}");
        let message = json!({ "msgtype": "m.text", "body": "a" });
        let address = format!("192.0.2.{number}");
        let to = (Method::PUT, &*path);
        let answer = ask(&server, &address, to, Some(&who.token), Some(message)).await;
        statuses.push(answer.status().as_u16());
    }
    // Bob is not in the room, but he is asked why he comes.
    assert_eq!(statuses, [200, 200, 200, 429, 403]);
}

#[tokio::test]
async fn whoever_is_refused_learns_when_to_come_back() {
    let server = limited(|limits| limits.user_directory = FEW).await;
    let alice = server.user("alice").await;
    let search = || alice.post("/v3/user_directory/search", json!({ "search_term": "a" }));
    for _ in 0..3 {
        search().await.ok();
    }
    let refused = search().await;
    refused.refused(429, "M_LIMIT_EXCEEDED");
    assert_eq!(refused.body["retry_after_ms"], 2_000);
    let to = (Method::POST, "/v3/user_directory/search");
    let body = json!({ "search_term": "a" });
    let answer = ask(&server, "192.0.2.1", to, Some(&alice.token), Some(body)).await;
    assert_eq!(answer.headers()["retry-after"], "2");
    server.data.env().advance(std::time::Duration::from_secs(2));
    search().await.ok();
}

#[tokio::test]
async fn made_up_tokens_use_up_nobodys_limit_but_their_senders() {
    let server = limited(|limits| {
        limits.message = FEW;
        limits.unknown_token = FEW;
    })
    .await;
    let alice = server.user("alice").await;
    alice.get("/v3/account/whoami").await.ok();
    let statuses = |address: &'static str, count: usize| {
        let server = &server;
        async move {
            let mut statuses = Vec::new();
            for number in 0..count {
                let token = format!("bp_0000000000000000_{number}");
                let answer = ask(server, address, WHOAMI, Some(&token), None).await;
                statuses.push(answer.status().as_u16());
            }
            statuses
        }
    };
    assert_eq!(statuses("192.0.2.1", 5).await, [401, 401, 401, 429, 429]);
    // Others come from there, too.
    let good = ask(&server, "192.0.2.1", WHOAMI, Some(&alice.token), None).await;
    assert_eq!(good.status(), StatusCode::OK);
    assert_eq!(statuses("192.0.2.2", 1).await, [401]);
}

#[tokio::test]
async fn failed_logins_are_counted_per_address_whatever_the_account() {
    let server = limited(|limits| limits.login_failed = FEW).await;
    for name in ["a", "b"] {
        server.user(name).await;
    }
    let mut statuses = Vec::new();
    for (name, password) in
        [("a", PASSWORD), ("a", "x"), ("b", "x"), ("a", PASSWORD), ("nobody", "x"), ("a", PASSWORD)]
    {
        let body = password_login(name, password);
        let answer = ask(&server, "192.0.2.1", LOGIN, None, Some(body)).await;
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses, [200, 403, 403, 200, 403, 429]);
    let body = password_login("a", PASSWORD);
    let elsewhere = ask(&server, "192.0.2.2", LOGIN, None, Some(body)).await;
    assert_eq!(elsewhere.status(), StatusCode::OK);
}

#[tokio::test]
async fn asking_for_names_counts_as_registering() {
    let server = limited(|limits| limits.registration = FEW).await;
    let available = (Method::GET, "/v3/register/available?username=bob");
    let mut refused = 0;
    for _ in 0..40 {
        let answer = ask(&server, "192.0.2.1", available.clone(), None, None).await;
        refused += usize::from(answer.status() == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!((9..=11).contains(&refused), "{refused}");
}

#[tokio::test]
async fn every_answer_has_a_request_id_of_our_own() {
    let server = Server::new().await;
    let id_of = |header: Option<&'static str>, given: Option<&'static str>| {
        let router = server.router.clone();
        async move {
            let mut request = Request::get("/_matrix/client/versions");
            if let Some(header) = header {
                request = request.header("x-request-id", header);
            }
            if let Some(given) = given {
                let given = RequestId::from_proxy(&HeaderValue::from_static(given));
                request = request.extension(given.expect("an id"));
            }
            let request = request.body(Body::empty()).expect("a request");
            let answer = router.oneshot(request).await.expect("an answer");
            answer.headers()["x-request-id"].to_str().expect("text").to_owned()
        }
    };
    let (one, other) = (id_of(None, None).await, id_of(None, None).await);
    assert_ne!(one, other);
    assert_eq!(one.len(), 16);
    // The header of somebody whom the listener does not trust.
    assert_ne!(id_of(Some("forged"), None).await, "forged");
    assert_eq!(id_of(Some("a"), Some("from-the-proxy")).await, "from-the-proxy");
}
