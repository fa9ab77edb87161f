//! Who is believed: keys, signatures, lists.

use std::time::Duration;

use axum::body::Body;
use blaupause_federation::{FederationError, Settings};
use blaupause_policy::{FederationMode, ServerPattern, ServerPolicy};
use http::{Method, Request, header};
use ruma::{
    CanonicalJsonObject, ServerName,
    api::federation::{
        authentication::{XMatrix, XMatrixSigningInput},
        query::get_profile_information::v1 as profile,
    },
    user_id,
};
use serde_json::{Value, json};

use super::network::Network;
use crate::server::{Answer, Server};

const PATH: &str = "/_matrix/federation/v1/event/%24nothing";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A GET of one server, signed for a destination.
fn signed(from: &Server, destination: &str, path: &str) -> Request<Body> {
    let mut request = Request::get(path).body(Vec::new()).expect("a request");
    let sign = XMatrixSigningInput::new(
        from.data.server_name().to_owned(),
        ServerName::parse(destination).expect("a name"),
        from.data.signing_key().pair(),
    );
    let value = XMatrix::sign_http_request(&request, sign).expect("it can be signed");
    request.headers_mut().insert(header::AUTHORIZATION, (&value).into());
    request.map(Body::from)
}

/// The request got past the door: there is no such event.
#[track_caller]
fn is_in(answer: &Answer) {
    assert!(matches!(answer.status.as_u16(), 403 | 404), "{} {}", answer.status, answer.body);
    assert_ne!(answer.code(), "M_UNAUTHORIZED");
}

fn only(names: &[&str]) -> Settings {
    let allow =
        names.iter().map(|name| name.parse::<ServerPattern>().expect("a pattern")).collect();
    let servers = ServerPolicy { mode: FederationMode::Closed, allow, ..ServerPolicy::default() };
    Settings { servers, ..Settings::default() }
}

#[tokio::test]
async fn a_signed_request_is_let_in_and_the_key_is_fetched_once() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    for _ in 0..3 {
        is_in(&b.send(signed(&a, "b.example", PATH)).await);
    }
    assert_eq!(network.count(&a, "/_matrix/key/v2/server"), 1);
}

#[tokio::test]
async fn known_keys_survive_a_restart() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    is_in(&b.send(signed(&a, "b.example", PATH)).await);
    network.cut(&a, &b);
    let open = Settings { servers: ServerPolicy::open(), ..Settings::default() };
    let b = network.server_over("b.example", open, b.store.copy()).await;
    is_in(&b.send(signed(&a, "b.example", PATH)).await);
}

#[tokio::test]
async fn a_request_for_another_server_is_refused() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    // Caught by c and sent on to b.
    let replayed = b.send(signed(&a, "c.example", PATH)).await;
    replayed.refused(401, "M_UNAUTHORIZED");
    // Its destination left out of the header, the signature still says it.
    let mut request = signed(&a, "c.example", PATH);
    let text = request.headers()[header::AUTHORIZATION].to_str().expect("text").to_owned();
    let without = text.replace("destination=c.example,", "");
    assert_ne!(text, without);
    request.headers_mut().insert(header::AUTHORIZATION, without.parse().expect("a header"));
    b.send(request).await.refused(401, "M_UNAUTHORIZED");
}

#[tokio::test]
async fn a_request_that_was_changed_is_refused() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let mut request = signed(&a, "b.example", PATH);
    *request.uri_mut() = "/_matrix/federation/v1/event/%24other".parse().expect("a path");
    b.send(request).await.refused(401, "M_UNAUTHORIZED");
    let mut request = signed(&a, "b.example", PATH);
    *request.uri_mut() = format!("{PATH}?x=1").parse().expect("a path");
    b.send(request).await.refused(401, "M_UNAUTHORIZED");
}

#[tokio::test]
async fn who_signs_with_a_key_of_its_own_is_not_another() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let liar = network.server("evil.example").await;
    let request = signed(&liar, "b.example", PATH);
    let text = request.headers()[header::AUTHORIZATION].to_str().expect("text");
    let text = text.replace("origin=evil.example", "origin=a.example");
    let lie = Request::get(PATH).header(header::AUTHORIZATION, text);
    b.send(lie.body(Body::empty()).expect("a request")).await.refused(401, "M_UNAUTHORIZED");
    is_in(&b.send(signed(&a, "b.example", PATH)).await);
}

#[tokio::test]
async fn unsigned_and_garbled_requests_are_refused() {
    let network = Network::new();
    let b = network.server("b.example").await;
    b.call(Method::GET, PATH, None, None).await.refused(401, "M_UNAUTHORIZED");
    for value in ["X-Matrix", "Bearer x", "X-Matrix origin=a.example", "X-Matrix \"\"\"", "é"] {
        let value = header::HeaderValue::from_bytes(value.as_bytes()).expect("a header");
        let request = Request::get(PATH).header(header::AUTHORIZATION, value);
        let answer = b.send(request.body(Body::empty()).expect("a request")).await;
        answer.refused(401, "M_UNAUTHORIZED");
    }
}

#[tokio::test]
async fn an_expired_key_is_fetched_again_and_refused_if_it_cannot_be() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    is_in(&b.send(signed(&a, "b.example", PATH)).await);
    network.env.advance(8 * DAY);
    is_in(&b.send(signed(&a, "b.example", PATH)).await);
    assert_eq!(network.count(&a, "/_matrix/key/v2/server"), 2);
    network.cut(&a, &b);
    network.env.advance(8 * DAY);
    b.send(signed(&a, "b.example", PATH)).await.refused(401, "M_UNAUTHORIZED");
}

#[tokio::test]
async fn many_requests_at_once_fetch_the_key_once() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let held = network.hold(&b, &a);
    let all = async {
        let one = || b.send(signed(&a, "b.example", PATH));
        tokio::join!(one(), one(), one(), one())
    };
    let release = async {
        while network.count(&a, "/_matrix/key/") == 0 {
            tokio::task::yield_now().await;
        }
        drop(held);
    };
    let ((one, two, three, four), ()) = tokio::join!(all, release);
    [one, two, three, four].iter().for_each(is_in);
    assert_eq!(network.count(&a, "/_matrix/key/v2/server"), 1);
}

#[tokio::test]
async fn a_server_that_is_not_on_the_list_is_refused_and_never_asked() {
    let network = Network::new();
    let a = network.server("a.example").await;
    let b = network.server_with("b.example", only(&["c.example"])).await;
    b.send(signed(&a, "b.example", PATH)).await.refused(403, "M_FORBIDDEN");
    let request = profile::Request::new(user_id!("@x:a.example").to_owned());
    let refused = b.federation.call(a.data.server_name(), request).await;
    assert!(matches!(refused, Err(FederationError::Denied(_))), "{refused:?}");
    let query = "/_matrix/key/v2/query/a.example?minimum_valid_until_ts=0";
    let answer = b.call(Method::GET, query, None, None).await.ok();
    assert_eq!(answer, json!({ "server_keys": [] }));
    assert_eq!(network.passed(), [], "nothing leaves for a server that is not on the list");
}

#[tokio::test]
async fn an_empty_list_is_nobody() {
    let network = Network::new();
    let a = network.server("a.example").await;
    let b = network.server_with("b.example", only(&[])).await;
    b.send(signed(&a, "b.example", PATH)).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_changed_list_counts_at_once() {
    let network = Network::new();
    let a = network.server("a.example").await;
    let b = network.server_with("b.example", only(&["a.example"])).await;
    is_in(&b.send(signed(&a, "b.example", PATH)).await);
    b.federation.set_servers(only(&[]).servers);
    b.send(signed(&a, "b.example", PATH)).await.refused(403, "M_FORBIDDEN");
    b.federation.set_servers(only(&["*.example"]).servers);
    is_in(&b.send(signed(&a, "b.example", PATH)).await);
}

#[tokio::test]
async fn the_keys_of_a_server_that_is_away_come_from_a_notary() {
    let network = Network::new();
    let (a, notary) = (network.server("a.example").await, network.server("n.example").await);
    let settings = Settings {
        servers: ServerPolicy::open(),
        notaries: vec![notary.data.server_name().to_owned()],
        ..Settings::default()
    };
    let b = network.server_with("b.example", settings).await;
    network.cut(&a, &b);
    is_in(&b.send(signed(&a, "b.example", PATH)).await);
    assert_eq!(network.count(&notary, "/_matrix/key/v2/query"), 1);
}

#[tokio::test]
async fn a_notary_answers_with_both_signatures() {
    let network = Network::new();
    let (_, notary) = (network.server("a.example").await, network.server("n.example").await);
    let until = network.env.now_millis();
    let one = format!("/_matrix/key/v2/query/a.example?minimum_valid_until_ts={until}");
    let one = notary.call(Method::GET, &one, None, None).await.ok();
    let body = json!({ "server_keys": {
        "a.example": { "ed25519:x": { "minimum_valid_until_ts": until } },
        "n.example": {}, "gone.example": {},
    }});
    let many = notary.call(Method::POST, "/_matrix/key/v2/query", None, Some(body)).await.ok();
    let of_a = one["server_keys"][0].clone();
    let signers = |of: &Value| -> Vec<String> {
        of["signatures"].as_object().expect("signed").keys().cloned().collect()
    };
    assert_eq!(signers(&of_a), ["a.example", "n.example"]);
    let many = many["server_keys"].as_array().expect("a list").clone();
    assert_eq!(many.len(), 2, "of who is away and unknown there is nothing");
    assert!(many.contains(&of_a));
    let nobody = json!({ "server_keys": {} });
    let nobody = notary.call(Method::POST, "/_matrix/key/v2/query", None, Some(nobody)).await.ok();
    assert_eq!(nobody, json!({ "server_keys": [] }));
}

#[tokio::test]
async fn the_key_document_is_signed_and_good_for_a_day() {
    let network = Network::new();
    let a = network.server("a.example").await;
    let document = a.call(Method::GET, "/_matrix/key/v2/server", None, None).await.ok();
    assert_eq!(document["server_name"], "a.example");
    let until = document["valid_until_ts"].as_u64().expect("a time");
    assert_eq!(until, network.env.now_millis() + 24 * 60 * 60 * 1000);
    assert_eq!(document["old_verify_keys"], json!({}));
    let object: CanonicalJsonObject = serde_json::from_value(document.clone()).expect("JSON");
    let (id, key) =
        document["verify_keys"].as_object().and_then(|keys| keys.iter().next()).unwrap();
    let key = key["key"].as_str().expect("a key").to_owned();
    let keys = [(id.clone(), ruma::serde::Base64::parse(key).expect("base64"))].into();
    let keys = [("a.example".to_owned(), keys)].into();
    ruma::signatures::verify_json(&keys, &object).expect("the signature holds");
    let version = a.call(Method::GET, "/_matrix/federation/v1/version", None, None).await.ok();
    assert_eq!(version["server"]["name"], "Blaupause");
}

#[tokio::test]
async fn who_does_not_answer_is_not_asked_for_a_while() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    network.cut(&a, &b);
    let ask = || {
        let request = profile::Request::new(user_id!("@x:a.example").to_owned());
        b.federation.call(a.data.server_name(), request)
    };
    for _ in 0..3 {
        assert!(matches!(ask().await, Err(FederationError::Unreachable(_))));
    }
    let sent = network.passed().len();
    assert!(matches!(ask().await, Err(FederationError::BackingOff { .. })));
    assert_eq!(network.passed().len(), sent);
    network.mend(&a, &b);
    // It speaks to us: it is there again.
    is_in(&b.send(signed(&a, "b.example", PATH)).await);
    assert!(!matches!(ask().await, Err(FederationError::BackingOff { .. })));
}
