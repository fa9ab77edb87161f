//! What a provider, or somebody who pretends to be one, may not say.

use std::time::Duration;

use serde_json::{Value, json};

use super::Stage;
use crate::{
    browser::{Browser, form, parameter},
    provider::{signed_by_ec, unsigned},
};

/// Makes a token with this nonce.
type Forge<'f> = &'f dyn Fn(&str) -> String;

/// Nobody came in.
#[track_caller]
fn is_out(browser: &Browser<'_>) {
    assert_eq!(browser.cookie("__Host-bp_account"), None);
}

#[tokio::test]
async fn each_wrong_id_token_is_refused() {
    let stage = Stage::new().await;
    let now = stage.now_ms() / 1000;
    for (claim, value) in [
        ("nonce", json!("of another sign-in")),
        ("aud", json!("another client")),
        ("aud", json!(["matrix", "another client"])),
        ("azp", json!("another client")),
        ("iss", json!("https://evil.example/")),
        ("exp", json!(now - 61)),
        ("exp", Value::Null),
        ("iat", json!(now + 600)),
        ("sub", json!("")),
        ("at_hash", json!("AAAA")),
    ] {
        let browser = Browser::new(&stage.server);
        let mut claims = stage.claims("s-1", "erika");
        claims[claim] = value.clone();
        let page = stage.visit(&browser, "/account/sso/kc", claims).await;
        assert_eq!(page.status, 502, "{claim} {value}");
        page.has("cannot be used at the moment");
        is_out(&browser);
    }
}

#[tokio::test]
async fn each_wrong_signature_is_refused() {
    let stage = Stage::new().await;
    let claims = |nonce: &str| {
        let mut claims = stage.claims("s-1", "erika");
        claims["nonce"] = nonce.into();
        claims
    };
    let forgeries: [(&str, Forge<'_>); 6] = [
        ("none", &|nonce| unsigned(&claims(nonce))),
        ("a key under another's name", &|nonce| signed_by_ec("rsa", &claims(nonce))),
        ("an unknown key", &|nonce| signed_by_ec("unknown", &claims(nonce))),
        ("cut off", &|nonce| {
            let token = stage.provider.sign("JWT", &claims(nonce));
            token[..token.len() - 8].to_owned()
        }),
        ("nothing", &|_| String::new()),
        ("garbage", &|_| "a.b.c".to_owned()),
    ];
    for (what, forge) in forgeries {
        let browser = Browser::new(&stage.server);
        let away = browser.get("/account/sso/kc").await;
        let nonce = parameter(away.location(), "nonce").expect("a nonce");
        stage.provider.forge(Some(forge(&nonce)));
        let back = stage.provider.sign_in(away.location(), claims(&nonce));
        assert_eq!(browser.get(&back).await.status, 502, "{what}");
        is_out(&browser);
    }
}

#[tokio::test]
async fn a_sign_in_is_finished_once_and_by_the_browser_that_began_it() {
    let stage = Stage::new().await;
    let browser = Browser::new(&stage.server);
    let away = browser.get("/account/sso/kc").await;
    let cookie = browser.cookie("__Host-bp_sso").expect("it remembers");
    let back = stage.provider.sign_in(away.location(), stage.claims("s-1", "erika"));
    // Somebody else is sent the link.
    let other = Browser::new(&stage.server);
    let page = other.get(&back).await;
    assert_eq!(page.status, 400);
    page.has("another browser");
    is_out(&other);
    // … also if they have begun one of their own.
    other.get("/account/sso/kc").await.location();
    assert_eq!(other.get(&back).await.status, 400);
    is_out(&other);
    browser.get(&back).await.location();
    // The same once more, with everything as it was.
    let again = Browser::new(&stage.server);
    again.set_cookie("__Host-bp_sso", &cookie);
    let again_back = stage.provider.sign_in(away.location(), stage.claims("s-1", "erika"));
    assert_eq!(again.get(&again_back).await.status, 400);
    is_out(&again);
}

#[tokio::test]
async fn a_sign_in_ends_after_a_while() {
    let stage = Stage::new().await;
    let browser = Browser::new(&stage.server);
    let away = browser.get("/account/sso/kc").await;
    stage.server.data.env().advance(Duration::from_secs(15 * 60));
    let back = stage.provider.sign_in(away.location(), stage.claims("s-1", "erika"));
    assert_eq!(browser.get(&back).await.status, 400);
    is_out(&browser);
}

#[tokio::test]
async fn an_answer_of_another_provider_is_refused() {
    let stage = Stage::new().await;
    for iss in ["https://evil.example/", ""] {
        let browser = Browser::new(&stage.server);
        let away = browser.get("/account/sso/kc").await;
        let state = parameter(away.location(), "state").expect("a state");
        let query = form(&[("code", "x"), ("state", &state), ("iss", iss)]);
        let page = browser.get(&format!("/account/sso/kc/callback?{query}")).await;
        assert_eq!(page.status, 502, "{iss}");
        is_out(&browser);
    }
}

#[tokio::test]
async fn a_provider_that_says_no_is_quoted_with_care() {
    let stage = Stage::new().await;
    for (error, shown) in
        [("access_denied", "access_denied"), ("<script>", "&lt;script&gt;"), ("\u{202e}x", "x")]
    {
        let browser = Browser::new(&stage.server);
        let away = browser.get("/account/sso/kc").await;
        let state = parameter(away.location(), "state").expect("a state");
        let query = [("error", error), ("state", &state), ("iss", &stage.provider.issuer)];
        let page = browser.get(&format!("/account/sso/kc/callback?{}", form(&query))).await;
        assert_eq!(page.status, 403);
        page.has(shown);
        is_out(&browser);
    }
}

#[tokio::test]
async fn nobody_is_sent_to_another_site_after_signing_in() {
    let stage = Stage::new().await;
    for next in ["https://evil.example/", "//evil.example/", "/\\evil.example"] {
        let browser = Browser::new(&stage.server);
        let path = format!("/account/sso/kc?{}", form(&[("next", next)]));
        let page = stage.visit(&browser, &path, stage.claims("s-1", "erika")).await;
        assert_eq!(page.location(), "/account/");
    }
}

#[tokio::test]
async fn a_closed_account_stays_closed() {
    let stage = Stage::new().await;
    stage.sign_in(&Browser::new(&stage.server), "s-1", "erika").await.location();
    let user = ruma::user_id!("@erika:example.org");
    let accounts = &stage.server.accounts;
    accounts.set_locked(user, true).await.expect("memory writes");
    let browser = Browser::new(&stage.server);
    let page = stage.sign_in(&browser, "s-1", "erika").await;
    page.has("This account is locked.");
    is_out(&browser);
    accounts.set_locked(user, false).await.expect("memory writes");
    accounts.deactivate(user, false).await.expect("memory writes");
    let page = stage.sign_in(&browser, "s-1", "erika").await;
    assert_eq!(page.status, 403);
    page.has("This account has been deactivated.");
    is_out(&browser);
}
