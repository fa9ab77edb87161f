//! What the operator decides about the HTTP side.

use blaupause_accounts::NewAccount;
use blaupause_api::{LiveKit, Settings, WellKnown, Who};
use http::Method;
use serde_json::json;

use crate::server::{Federated, More, PASSWORD, Server, settings};

async fn with(api: Settings) -> Server {
    let server = Server::with_api(settings(), api).await;
    let admin = NewAccount {
        localpart: "admin".to_owned(),
        password: Some(blaupause_accounts::Secret::new(PASSWORD.to_owned())),
        admin: true,
    };
    server.accounts.create(admin).await.expect("an account");
    server
}

#[tokio::test]
async fn only_those_who_may_create_rooms_do() {
    let server = with(Settings { create_rooms: Who::Admins, ..Settings::default() }).await;
    let (admin, alice) = (server.sign_in("admin").await, server.user("alice").await);
    alice.post("/v3/createRoom", json!({})).await.refused(403, "M_FORBIDDEN");
    let room = admin.post("/v3/createRoom", json!({ "invite": [alice.id] })).await.ok();
    let upgrade = format!("/v3/rooms/{}/upgrade", room["room_id"].as_str().expect("an id"));
    let body = json!({ "new_version": "11" });
    alice.post(&upgrade, body).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn only_those_who_may_list_rooms_do() {
    for (who, admins_may) in [(Who::Admins, true), (Who::Nobody, false)] {
        let server = with(Settings { publish_rooms: who, ..Settings::default() }).await;
        let (admin, alice) = (server.sign_in("admin").await, server.user("alice").await);
        let public = json!({ "visibility": "public" });
        alice.post("/v3/createRoom", public.clone()).await.refused(403, "M_FORBIDDEN");
        let made = admin.post("/v3/createRoom", public.clone()).await;
        assert_eq!(made.status == 200, admins_may);
        let room = alice.post("/v3/createRoom", json!({})).await.ok();
        let path = format!("/v3/directory/list/room/{}", room["room_id"].as_str().expect("an id"));
        alice.put(&path, public).await.refused(403, "M_FORBIDDEN");
        alice.put(&path, json!({ "visibility": "private" })).await.ok();
    }
}

#[tokio::test]
async fn clients_learn_where_calls_go() {
    let livekit = LiveKit { service_url: "https://livekit.example.org".to_owned() };
    let base_url = Some("https://matrix.example.org".to_owned());
    let well_known = WellKnown { client_base_url: base_url, ..WellKnown::default() };
    let server = with(Settings { rtc: vec![livekit], well_known, ..Settings::default() }).await;
    let focus =
        json!([{ "type": "livekit", "livekit_service_url": "https://livekit.example.org" }]);
    let path = "/unstable/org.matrix.msc4143/rtc/transports";
    let alice = server.user("alice").await;
    assert_eq!(alice.get(path).await.ok(), json!({ "rtc_transports": focus }));
    server.call(Method::GET, path, None, None).await.refused(401, "M_MISSING_TOKEN");
    let request = http::Request::get("/.well-known/matrix/client");
    let request = request.body(axum::body::Body::empty()).expect("a request");
    let known = server.send(request).await.ok();
    assert_eq!(known["org.matrix.msc4143.rtc_foci"], focus);
}

#[tokio::test]
async fn without_federation_there_is_nothing_for_other_servers() {
    for (federated, status, code) in
        [(Federated::WithNobody, 401, "M_UNAUTHORIZED"), (Federated::Off, 404, "M_UNRECOGNIZED")]
    {
        let server = Server::with_more(More { federated, ..More::default() }).await;
        let path = "/_matrix/federation/v1/event/$x";
        server.call(Method::GET, path, None, None).await.refused(status, code);
        // Asked by services of our own, such as LiveKit's.
        let userinfo = "/_matrix/federation/v1/openid/userinfo";
        let answer = server.call(Method::GET, userinfo, None, None).await;
        answer.refused(401, "M_MISSING_TOKEN");
    }
}
