//! User-interactive authentication: what was proved holds for the request it was proved for.

use axum::body::Body;
use blaupause_accounts::{RegistrationMode, Secret, Settings};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::server::{PASSWORD, Server, password_auth, settings};

#[tokio::test]
async fn a_proof_for_some_devices_is_none_for_others() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let (one, other) = (server.sign_in("alice").await, server.sign_in("alice").await);
    let path = "/v3/delete_devices";
    let session = alice.post(path, json!({ "devices": [one.device] })).await.session();
    let swapped = json!({ "devices": [other.device], "auth": password_auth("alice", &session) });
    let refused = alice.post(path, swapped).await;
    refused.refused(401, "M_FORBIDDEN");
    assert_ne!(refused.session(), session);
    assert!(other.works().await && one.works().await);
    let body = json!({ "devices": [one.device], "auth": password_auth("alice", &session) });
    alice.post(path, body).await.ok();
    assert!(other.works().await && !one.works().await);
}

#[tokio::test]
async fn a_proof_for_one_new_password_sets_no_other() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let path = "/v3/account/password";
    let session = alice.post(path, json!({ "new_password": "first new one" })).await.session();
    let auth = password_auth("alice", &session);
    let swapped = json!({ "new_password": "another new one", "auth": auth });
    alice.post(path, swapped).await.refused(401, "M_FORBIDDEN");
    alice.post(path, json!({ "new_password": "first new one", "auth": auth })).await.ok();
}

/// matrix-js-sdk asks for the flows with nothing in the body.
#[tokio::test]
async fn a_session_opened_with_nothing_takes_the_first_body() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let one = server.sign_in("alice").await;
    let path = "/v3/account/deactivate";
    let session = alice.post(path, json!({})).await.session();
    let body = json!({ "erase": true, "auth": password_auth("alice", &session) });
    alice.post(path, body).await.ok();
    assert!(!one.works().await);
}

async fn by_token() -> Server {
    let settings = Settings {
        registration: RegistrationMode::Token,
        registration_tokens: vec![Secret::new("letmein".into())],
        ..settings()
    };
    Server::with(settings).await
}

async fn page(server: &Server, method: Method, query: &str, form: &str) -> (u16, String) {
    let path = "/_matrix/client/v3/auth/m.login.registration_token/fallback/web";
    let request = Request::builder()
        .method(method)
        .uri(format!("{path}{query}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form.to_owned()))
        .expect("a request");
    let answer: Response<Body> = server.router.clone().oneshot(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("in memory").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn the_token_stage_can_be_done_on_a_page() {
    let server = by_token().await;
    let mut body = json!({ "username": "alice", "password": PASSWORD });
    let session = server.post_open("/v3/register", body.clone()).await.session();
    let query = format!("?session={session}");
    let (status, form) = page(&server, Method::GET, &query, "").await;
    assert!(status == 200 && form.contains("<form method=\"post\">"), "{status} {form}");
    let (status, again) = page(&server, Method::POST, &query, "token=wrong").await;
    assert!(status == 401 && again.contains("not valid"), "{status} {again}");
    body["auth"] = json!({ "session": session });
    server.post_open("/v3/register", body.clone()).await.session();
    let (status, done) = page(&server, Method::POST, &query, "token=letmein").await;
    assert!(status == 200 && done.contains("window.onAuthDone()"), "{status} {done}");
    // What was proved on the page is bound to the request as well.
    let mut swapped = body.clone();
    swapped["username"] = "mallory".into();
    server.post_open("/v3/register", swapped).await.refused(401, "M_FORBIDDEN");
    assert_eq!(server.post_open("/v3/register", body).await.ok()["user_id"], "@alice:example.org");
}

#[tokio::test]
async fn a_page_without_a_session_is_refused() {
    let server = by_token().await;
    for (query, wanted) in [("", 400), ("?session=", 400), ("?session=%3Cscript%3E", 400)] {
        let (status, body) = page(&server, Method::GET, query, "").await;
        let body: Value = serde_json::from_str(&body).expect("an error says so in JSON");
        assert_eq!(status, wanted, "{query} {body}");
    }
    let open = Server::new().await;
    let (status, _) = page(&open, Method::GET, "?session=a", "").await;
    assert_eq!(status, 404);
}
