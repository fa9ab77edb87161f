//! People who sign in at an identity provider.

mod client;
mod logout;
mod proof;
mod wrong;

use std::time::Duration;

use blaupause_accounts::Secret;
use blaupause_api::Settings;
use blaupause_sso::{
    ClientAuth, Condition, Mapping, Newcomers, OnLogout, PUBLIC_ALGORITHMS,
    Provider as ProviderSettings, Settings as SsoSettings,
};
use serde_json::{Value, json};

use crate::{
    browser::{Browser, Page},
    provider::{CLIENT, Provider, SECRET, jwks, signed_by_ec},
    server::{Server, settings},
};

pub const BASE: &str = "https://matrix.example.org";

/// A server, and a provider at which people sign in to it.
pub struct Stage {
    pub server: Server,
    pub provider: Provider,
}

pub fn provider_settings(provider: &Provider) -> ProviderSettings {
    let template = |text: &str| text.parse().expect("a template");
    ProviderSettings {
        id: "kc".to_owned(),
        name: "Amt & Co".to_owned(),
        issuer: provider.issuer.clone(),
        client_id: CLIENT.to_owned(),
        client_auth: ClientAuth::Basic(Secret::new(SECRET.to_owned())),
        scopes: vec!["profile".to_owned()],
        algorithms: PUBLIC_ALGORITHMS.to_vec(),
        userinfo: false,
        mapping: Mapping {
            localpart: template("{preferred_username}"),
            display_name: Some(template("{name}")),
            renew_display_name: true,
            email: None,
        },
        allow: None,
        newcomers: Newcomers { register: true, link: false },
        on_logout: OnLogout::Everything,
    }
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut ProviderSettings)) -> Self {
        Self::with_api(change, Settings::default()).await
    }

    pub async fn with_api(change: impl FnOnce(&mut ProviderSettings), api: Settings) -> Self {
        let provider = Provider::start().await;
        let mut one = provider_settings(&provider);
        change(&mut one);
        let sso = SsoSettings { base_url: BASE.to_owned(), providers: vec![one], jwt: None };
        Self { server: Server::with_sso(settings(), api, sso).await, provider }
    }

    pub fn now_ms(&self) -> u64 {
        self.server.data.env().now_millis()
    }

    pub fn claims(&self, subject: &str, name: &str) -> Value {
        self.provider.claims(subject, name, self.now_ms())
    }

    /// Go to the provider and come back with these claims.
    pub async fn visit(&self, browser: &Browser<'_>, path: &str, claims: Value) -> Page {
        let away = browser.get(path).await;
        let back = self.provider.sign_in(away.location(), claims);
        browser.get(&back).await
    }

    /// Sign in as somebody.
    pub async fn sign_in(&self, browser: &Browser<'_>, subject: &str, name: &str) -> Page {
        self.visit(browser, "/account/sso/kc", self.claims(subject, name)).await
    }
}

#[tokio::test]
async fn a_person_signs_in_at_the_provider() {
    let stage = Stage::new().await;
    let browser = Browser::new(&stage.server);
    let login = browser.get("/account/login?next=%2Faccount%2Fprofile").await;
    login.has("Sign in with Amt &amp; Co");
    let path = "/account/sso/kc?next=%2Faccount%2Fprofile";
    login.has(&format!("href=\"{path}\""));
    let away = browser.get(path).await;
    assert!(away.location().contains("/auth?kept=1&"), "{}", away.location());
    let cookie = away.headers.get_all("set-cookie").iter().filter_map(|c| c.to_str().ok());
    let cookie = cookie.into_iter().find(|line| line.starts_with("__Host-bp_sso=")).expect("it");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=900"), "{cookie}");
    let back = stage.provider.sign_in(away.location(), stage.claims("s-1", "Erika"));
    let page = browser.get(&back).await;
    assert_eq!(page.location(), "/account/profile");
    assert_eq!(browser.cookie("__Host-bp_sso"), None);
    let page = browser.get("/account/profile").await;
    page.has("@erika:example.org");
    page.has("Name of Erika");
}

#[tokio::test]
async fn who_somebody_is_does_not_change_with_their_name() {
    let stage = Stage::new().await;
    stage.sign_in(&Browser::new(&stage.server), "s-1", "erika").await.location();
    let browser = Browser::new(&stage.server);
    stage.sign_in(&browser, "s-1", "musterfrau").await.location();
    let page = browser.get("/account/profile").await;
    page.has("@erika:example.org");
    page.has("Name of musterfrau");
}

#[tokio::test]
async fn a_name_belongs_to_the_first_who_has_it() {
    let stage = Stage::new().await;
    stage.server.user("taken").await;
    stage.sign_in(&Browser::new(&stage.server), "s-1", "erika").await.location();
    for name in ["erika", "ERIKA", "taken"] {
        let browser = Browser::new(&stage.server);
        let page = stage.sign_in(&browser, "s-2", name).await;
        assert_eq!(page.status, 403, "{name}");
        page.has(&format!("The user name \"{}\"", name.to_lowercase()).replace('"', "&quot;"));
        assert_eq!(browser.cookie("__Host-bp_account"), None);
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_is_explained() {
    let stage = Stage::new().await;
    for name in ["Jörg", "a b", "<b>x</b>", "4711"] {
        let mut browser = Browser::new(&stage.server);
        browser.language = "de";
        let page = stage.sign_in(&browser, name, name).await;
        assert_eq!(page.status, 403, "{name}");
        page.has("nicht möglich");
        page.has("Administration");
        assert!(!page.html.contains("<b>x"), "{}", page.html);
    }
    let mut claims = stage.claims("s-3", "x");
    claims["preferred_username"] = Value::Null;
    let browser = Browser::new(&stage.server);
    let page = stage.visit(&browser, "/account/sso/kc", claims).await;
    assert_eq!(page.status, 403);
    page.has("preferred_username");
}

#[tokio::test]
async fn an_account_is_linked_where_the_operator_wants_it() {
    let link = Newcomers { register: false, link: true };
    let stage = Stage::with(|provider| provider.newcomers = link).await;
    stage.server.user("alice").await;
    let admin = blaupause_accounts::NewAccount {
        localpart: "root".to_owned(),
        password: None,
        admin: true,
    };
    stage.server.accounts.create(admin).await.expect("the name is free");
    let browser = Browser::new(&stage.server);
    stage.sign_in(&browser, "s-1", "alice").await.location();
    browser.get("/account/").await.has("@alice:example.org");
    // Somebody else at the provider takes over the name there.
    for (subject, name) in [("s-2", "alice"), ("s-3", "root"), ("s-4", "nobody")] {
        let page = stage.sign_in(&Browser::new(&stage.server), subject, name).await;
        assert_eq!(page.status, 403, "{name}");
    }
}

#[tokio::test]
async fn only_whom_the_operator_lets_in_comes_in() {
    let allow = Condition { claim: "groups".to_owned(), one_of: vec!["/matrix".to_owned()] };
    let stage = Stage::with(|provider| provider.allow = Some(allow)).await;
    for (groups, status) in [(json!(["/x"]), 403), (Value::Null, 403), (json!(["/matrix"]), 303)] {
        let mut claims = stage.claims("s-1", "erika");
        claims["groups"] = groups;
        let browser = Browser::new(&stage.server);
        let page = stage.visit(&browser, "/account/sso/kc", claims).await;
        assert_eq!(page.status, status);
    }
}

#[tokio::test]
async fn more_claims_come_from_userinfo_if_it_is_about_the_same_person() {
    let stage = Stage::with(|provider| provider.userinfo = true).await;
    stage.provider.set_userinfo(json!({ "sub": "s-2", "preferred_username": "root" }));
    let mut claims = stage.claims("s-1", "x");
    claims.as_object_mut().expect("an object").remove("preferred_username");
    let browser = Browser::new(&stage.server);
    let page = stage.visit(&browser, "/account/sso/kc", claims.clone()).await;
    assert_eq!(page.status, 502);
    stage
        .provider
        .set_userinfo(json!({ "sub": "s-1", "preferred_username": "erika", "name": "?" }));
    stage.visit(&browser, "/account/sso/kc", claims).await.location();
    let page = browser.get("/account/profile").await;
    page.has("@erika:example.org");
    // What is signed goes before what is not.
    page.has("Name of x");
}

#[tokio::test]
async fn a_verified_mail_address_becomes_the_accounts() {
    let email = "{email}".parse().expect("a template");
    let stage = Stage::with(|provider| provider.mapping.email = Some(email)).await;
    for (subject, is_verified) in
        [("s-1", json!(true)), ("s-2", json!(false)), ("s-3", json!(true))]
    {
        let mut claims = stage.claims(subject, subject);
        claims["email"] = "erika@amt.example".into();
        claims["email_verified"] = is_verified;
        let browser = Browser::new(&stage.server);
        stage.visit(&browser, "/account/sso/kc", claims).await.location();
    }
    let address = blaupause_accounts::EmailAddress::parse("erika@amt.example").expect("one");
    let owner = stage.server.accounts.address_owner(&address).await.expect("memory reads");
    assert_eq!(owner.expect("it is somebody's"), "@s-1:example.org");
}

#[tokio::test]
async fn a_new_key_of_the_provider_is_fetched_and_not_too_often() {
    let stage = Stage::new().await;
    let mut only_rsa = jwks();
    only_rsa["keys"].as_array_mut().expect("a list").retain(|key| key["kid"] == "rsa");
    stage.provider.set_keys(only_rsa);
    stage.sign_in(&Browser::new(&stage.server), "s-1", "erika").await.location();
    assert_eq!(stage.provider.keys_asked(), 1);
    stage.provider.set_keys(jwks());
    let with_new_key = || async {
        let browser = Browser::new(&stage.server);
        let away = browser.get("/account/sso/kc").await;
        let mut claims = stage.claims("s-1", "erika");
        claims["nonce"] = crate::browser::parameter(away.location(), "nonce").into();
        stage.provider.forge(Some(signed_by_ec("ec", &claims)));
        browser.get(&stage.provider.sign_in(away.location(), claims)).await
    };
    assert_eq!(with_new_key().await.status, 502, "keys were asked for just now");
    assert_eq!(stage.provider.keys_asked(), 1);
    stage.server.data.env().advance(Duration::from_secs(31));
    with_new_key().await.location();
    assert_eq!(stage.provider.keys_asked(), 2);
}

#[tokio::test]
async fn a_provider_that_is_away_for_a_while_is_not_asked_for_what_is_known() {
    let stage = Stage::new().await;
    stage.provider.set_away(true);
    let page = Browser::new(&stage.server).get("/account/sso/kc").await;
    assert_eq!(page.status, 502);
    page.has("cannot be used at the moment");
    stage.provider.set_away(false);
    let page = Browser::new(&stage.server).get("/account/sso/kc").await;
    assert_eq!(page.status, 502, "it is not asked again at once");
    stage.server.data.env().advance(Duration::from_secs(5));
    stage.sign_in(&Browser::new(&stage.server), "s-1", "erika").await.location();
    stage.provider.set_away(true);
    stage.server.data.env().advance(Duration::from_secs(2 * 60 * 60));
    stage.sign_in(&Browser::new(&stage.server), "s-1", "erika").await.location();
}

#[tokio::test]
async fn who_has_a_password_and_a_provider_sees_both() {
    let stage = Stage::new().await;
    let page = Browser::new(&stage.server).get("/account/login").await;
    page.has("name=\"password\"");
    page.has("/account/sso/kc");
    page.has("<h2>Or with a password</h2>");
    for path in ["/account/sso/nobody", "/account/sso/nobody/callback?code=x&state=y"] {
        let page = Browser::new(&stage.server).get(path).await;
        assert_eq!(page.status, 404);
    }
}
