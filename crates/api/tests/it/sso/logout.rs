//! Back-channel logout: what a provider opened ends when it says so.

use axum::body::Body;
use blaupause_api::{OAuth, Settings};
use blaupause_sso::OnLogout;
use http::Request;
use serde_json::{Value, json};

use super::{BASE, Stage, client::login};
use crate::{
    browser::{Browser, form, parameter},
    server::Answer,
};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A device that was signed in through the provider; answers its token.
async fn device(stage: &Stage, subject: &str, name: &str, sid: &str) -> String {
    let browser = Browser::new(&stage.server);
    let mut claims = stage.claims(subject, name);
    claims["sid"] = sid.into();
    stage.visit(&browser, "/account/sso/kc", claims).await.location();
    let path = format!("/account/continue?{}", form(&[("redirect", "https://app.example.org/")]));
    let sent = browser.submit(&path, &[]).await;
    let token = parameter(sent.location(), "loginToken").expect("a token");
    let issued = login(&stage.server, &token).await.ok();
    issued["access_token"].as_str().expect("a token").to_owned()
}

async fn works(stage: &Stage, token: &str) -> bool {
    stage.server.get("/v3/account/whoami", token).await.status == 200
}

fn logout_claims(stage: &Stage, change: &str, value: Value) -> Value {
    let now = stage.now_ms() / 1000;
    let mut claims = json!({
        "iss": stage.provider.issuer,
        "aud": "matrix",
        "sub": "s-1",
        "iat": now,
        "exp": now + 120,
        "jti": format!("jti {change} {value}"),
        "events": { EVENT: {} },
    });
    claims[change] = value;
    claims
}

async fn send(stage: &Stage, token: &str) -> Answer {
    let request = Request::post("/account/sso/kc/logout")
        .header("content-type", "application/x-www-form-urlencoded");
    let body = Body::from(form(&[("logout_token", token)]));
    stage.server.send(request.body(body).expect("a request")).await
}

async fn log_out(stage: &Stage, change: &str, value: Value) -> Answer {
    let claims = logout_claims(stage, change, value);
    send(stage, &stage.provider.sign("logout+jwt", &claims)).await
}

#[tokio::test]
async fn a_logout_of_one_session_ends_what_it_opened() {
    let stage = Stage::new().await;
    let one = device(&stage, "s-1", "erika", "a").await;
    let other = device(&stage, "s-1", "erika", "b").await;
    let somebody = device(&stage, "s-2", "otto", "a").await;
    let browser = Browser::new(&stage.server);
    let mut claims = stage.claims("s-1", "erika");
    claims["sid"] = "a".into();
    stage.visit(&browser, "/account/sso/kc", claims).await.location();
    assert_eq!(log_out(&stage, "sid", json!("a")).await.status, 200);
    stage.server.get("/v3/account/whoami", &one).await.refused(401, "M_UNKNOWN_TOKEN");
    assert!(works(&stage, &other).await && works(&stage, &somebody).await);
    assert!(browser.get("/account/").await.location().starts_with("/account/login"));
}

#[tokio::test]
async fn a_logout_may_name_nothing_but_the_session() {
    let stage = Stage::new().await;
    let one = device(&stage, "s-1", "erika", "a").await;
    let other = device(&stage, "s-1", "erika", "b").await;
    let somebody = device(&stage, "s-2", "otto", "c").await;
    for (sid, status) in [("unknown", 200), ("a", 200)] {
        let mut claims = logout_claims(&stage, "sid", json!(sid));
        claims.as_object_mut().expect("an object").remove("sub");
        let answer = send(&stage, &stage.provider.sign("logout+jwt", &claims)).await;
        assert_eq!(answer.status, status, "{sid}");
    }
    stage.server.get("/v3/account/whoami", &one).await.refused(401, "M_UNKNOWN_TOKEN");
    assert!(works(&stage, &other).await && works(&stage, &somebody).await);
}

#[tokio::test]
async fn a_session_is_known_as_long_as_something_is_open_from_it() {
    let stage = Stage::new().await;
    let one = device(&stage, "s-1", "erika", "a").await;
    for sid in ["b", "c"] {
        stage.server.data.env().advance(std::time::Duration::from_secs(24 * 60 * 60));
        device(&stage, "s-1", "erika", sid).await;
    }
    let mut claims = logout_claims(&stage, "sid", json!("a"));
    claims.as_object_mut().expect("an object").remove("sub");
    let answer = send(&stage, &stage.provider.sign("logout+jwt", &claims)).await;
    assert_eq!(answer.status, 200);
    assert!(!works(&stage, &one).await);
}

#[tokio::test]
async fn a_logout_of_a_person_ends_all_that_the_provider_opened_and_nothing_else() {
    let stage = Stage::new().await;
    let one = device(&stage, "s-1", "erika", "a").await;
    let other = device(&stage, "s-1", "erika", "b").await;
    let user = ruma::user_id!("@erika:example.org");
    let accounts = &stage.server.accounts;
    let own = accounts.sign_in_as(user, &Default::default()).await.expect("memory writes");
    assert_eq!(log_out(&stage, "x", json!(1)).await.status, 200);
    assert!(!works(&stage, &one).await && !works(&stage, &other).await);
    assert!(works(&stage, own.access_token.reveal()).await);
}

#[tokio::test]
async fn a_token_made_from_a_session_ends_with_it() {
    let stage = Stage::new().await;
    // A login token and an OAuth code that are not used yet.
    let browser = Browser::new(&stage.server);
    stage.sign_in(&browser, "s-1", "erika").await.location();
    let path = format!("/account/continue?{}", form(&[("redirect", "https://app.example.org/")]));
    let sent = browser.submit(&path, &[]).await;
    let token = parameter(sent.location(), "loginToken").expect("a token");
    assert_eq!(log_out(&stage, "x", json!(1)).await.status, 200);
    login(&stage.server, &token).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn an_oauth_session_ends_too() {
    let oauth = Some(OAuth { base_url: BASE.to_owned() });
    let stage = Stage::with_api(|_| {}, Settings { oauth, ..Settings::default() }).await;
    let browser = Browser::new(&stage.server);
    stage.sign_in(&browser, "s-1", "erika").await.location();
    let tokens = crate::oauth::let_in(&stage.server, &browser).await;
    let token = tokens["access_token"].as_str().expect("a token");
    assert!(works(&stage, token).await);
    assert_eq!(log_out(&stage, "sid", json!("another")).await.status, 200);
    assert!(works(&stage, token).await);
    assert_eq!(log_out(&stage, "sid", json!("session of s-1")).await.status, 200);
    assert!(!works(&stage, token).await);
}

#[tokio::test]
async fn devices_stay_where_the_operator_wants_it() {
    let stage = Stage::with(|provider| provider.on_logout = OnLogout::Browsers).await;
    let one = device(&stage, "s-1", "erika", "a").await;
    let browser = Browser::new(&stage.server);
    stage.sign_in(&browser, "s-1", "erika").await.location();
    assert_eq!(log_out(&stage, "x", json!(1)).await.status, 200);
    assert!(works(&stage, &one).await);
    assert!(browser.get("/account/").await.location().starts_with("/account/login"));
}

#[tokio::test]
async fn each_wrong_logout_token_is_refused() {
    let stage = Stage::new().await;
    let one = device(&stage, "s-1", "erika", "a").await;
    let now = stage.now_ms() / 1000;
    for (claim, value) in [
        ("iss", json!("https://evil.example/")),
        ("aud", json!("another")),
        ("nonce", json!("n")),
        ("events", json!({})),
        ("iat", json!(now - 600)),
        ("sub", Value::Null),
        ("jti", Value::Null),
    ] {
        let answer = log_out(&stage, claim, value.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["error"]),
            (400, &json!("invalid_request")),
            "{claim} {value}"
        );
    }
    let claims = logout_claims(&stage, "x", json!(1));
    for bad in [
        crate::provider::unsigned(&claims),
        crate::provider::signed_by_ec("rsa", &claims),
        stage.provider.sign("at+jwt", &claims),
        // An ID token is no logout token.
        stage.provider.sign("JWT", &stage.claims("s-1", "erika")),
        String::new(),
        "x".to_owned(),
    ] {
        assert_eq!(send(&stage, &bad).await.status, 400, "{bad:.30}");
    }
    assert!(works(&stage, &one).await);
    let request = Request::post("/account/sso/nobody/logout")
        .header("content-type", "application/x-www-form-urlencoded");
    let request = request.body(Body::from("logout_token=x")).expect("a request");
    assert_eq!(stage.server.send(request).await.status, 404);
}

#[tokio::test]
async fn a_logout_token_is_good_once() {
    let stage = Stage::new().await;
    let token = stage.provider.sign("logout+jwt", &logout_claims(&stage, "x", json!(1)));
    assert_eq!(send(&stage, &token).await.status, 200, "nobody has to be concerned");
    assert_eq!(send(&stage, &token).await.status, 400);
}
