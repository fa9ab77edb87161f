use blaupause_accounts::RegistrationMode;
use http::StatusCode;
use serde_json::json;

use crate::{
    browser::Browser,
    oauth::{is_sound, server},
    server::{PASSWORD, Server, settings},
};

async fn signed_in(server: &Server) -> Browser<'_> {
    let browser = Browser::new(server);
    browser.sign_in("alice", PASSWORD).await.location();
    browser
}

#[tokio::test]
async fn every_page_is_sound_in_both_languages() {
    let server = server().await;
    let device = server.sign_in("alice").await.device;
    for (language, lang) in [("de-DE,en;q=0.5", "de"), ("en", "en")] {
        let mut browser = signed_in(&server).await;
        browser.language = language;
        for path in [
            "/account/",
            "/account/profile",
            "/account/sessions",
            &format!("/account/session?device_id={device}"),
            &format!("/account/end-session?device_id={device}"),
            "/account/end-sessions",
            "/account/emails",
            "/account/remove-email?address=a",
            "/account/password",
            "/account/deactivate",
            "/account/cross-signing",
            "/account/link",
        ] {
            let page = browser.get(path).await;
            assert_eq!(page.status, StatusCode::OK, "{path}");
            page.has(&format!("<html lang=\"{lang}\">"));
            is_sound(&page);
        }
        let mut nobody = Browser::new(&server);
        nobody.language = language;
        for path in ["/account/login", "/account/register"] {
            let page = nobody.get(path).await;
            assert_eq!(page.status, StatusCode::OK, "{path}");
            page.has(&format!("<html lang=\"{lang}\">"));
            is_sound(&page);
        }
        is_sound(&nobody.get("/oauth2/authorize").await);
    }
    let style = Browser::new(&server).get("/account/style.css").await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
}

#[tokio::test]
async fn a_chosen_language_is_kept() {
    let server = server().await;
    let browser = Browser::new(&server);
    let page = browser.get("/account/login?next=/account/link").await;
    page.has("hreflang=\"de\"");
    page.has("/account/login?next=%2Faccount%2Flink&amp;lang=de");
    browser.get("/account/login?next=/account/link&lang=de").await.has("Anmelden");
    browser.get("/account/login").await.has("Anmelden");
    browser.get("/account/login?lang=xx").await.has("Anmelden");
    browser.get("/account/login?lang=en").await.has("Sign in");
}

#[tokio::test]
async fn pages_of_an_account_are_for_its_owner() {
    let server = server().await;
    let browser = Browser::new(&server);
    for path in [
        "/account/",
        "/account/profile",
        "/account/sessions",
        "/account/session?device_id=x",
        "/account/end-session?device_id=x",
        "/account/end-sessions",
        "/account/password",
        "/account/deactivate",
        "/account/cross-signing",
        "/account/link?code=BCDF-GHJK",
    ] {
        let page = browser.get(path).await;
        assert!(page.location().starts_with("/account/login?next="), "{path}");
        let word = browser.get("/account/login").await.word().to_owned();
        let page = browser.post_bare(path, &[("word", &word), ("password", PASSWORD)]).await;
        let is_refused = page.status == 405 || page.location().starts_with("/account/login");
        assert!(is_refused, "{path}");
    }
    browser.set_cookie("__Host-bp_account", "bpb_0000000000000001_made-up");
    assert!(browser.get("/account/").await.location().starts_with("/account/login"));
}

#[tokio::test]
async fn actions_of_clients_lead_to_their_pages() {
    let server = server().await;
    let browser = signed_in(&server).await;
    for (action, page) in [
        ("org.matrix.profile", "/account/profile"),
        ("org.matrix.devices_list", "/account/sessions"),
        ("org.matrix.sessions_list&device_id=ABC", "/account/sessions"),
        ("org.matrix.device_view&device_id=ABC", "/account/session?device_id=ABC"),
        ("org.matrix.session_view&device_id=ABC", "/account/session?device_id=ABC"),
        ("org.matrix.device_delete&device_id=A%26B", "/account/end-session?device_id=A%26B"),
        ("org.matrix.session_end&device_id=ABC", "/account/end-session?device_id=ABC"),
        ("org.matrix.account_deactivate", "/account/deactivate"),
        ("org.matrix.cross_signing_reset", "/account/cross-signing"),
    ] {
        let sent = browser.get(&format!("/account/?action={action}")).await;
        assert_eq!(sent.location(), page);
    }
    assert_eq!(browser.get("/account/?action=other").await.status, 200);
    assert_eq!(browser.get("/account").await.location(), "/account/");
}

#[tokio::test]
async fn a_session_is_ended_from_the_list() {
    let server = server().await;
    let client = server.sign_in("alice").await;
    client
        .put(&format!("/v3/devices/{}", client.device), json!({ "display_name": "<b>phone" }))
        .await
        .ok();
    let browser = signed_in(&server).await;
    browser.get("/account/sessions").await.has("&lt;b&gt;phone");
    let path = format!("/account/end-session?device_id={}", client.device);
    assert_eq!(browser.submit(&path, &[]).await.location(), "/account/sessions?done=1");
    assert!(!client.works().await);
    assert_eq!(browser.get(&path).await.status, 404);
    // Not other people's.
    let bob = server.user("bob").await;
    let word = browser.get("/account/").await.word().to_owned();
    let path = format!("/account/end-session?device_id={}", bob.device);
    browser.post_bare(&path, &[("word", &word)]).await.location();
    assert!(bob.works().await);
}

#[tokio::test]
async fn everything_is_ended_at_once() {
    let server = server().await;
    let (one, other) = (server.sign_in("alice").await, server.sign_in("alice").await);
    let browser = signed_in(&server).await;
    browser.submit("/account/end-sessions", &[]).await.location();
    assert!(!one.works().await && !other.works().await);
    assert_eq!(browser.get("/account/").await.status, 200);
}

#[tokio::test]
async fn the_password_is_changed_by_who_knows_it() {
    let server = server().await;
    let client = server.sign_in("alice").await;
    let browser = signed_in(&server).await;
    let elsewhere = signed_in(&server).await;
    let path = "/account/password";
    let new = "battery staple";
    for (old, first, second, text) in [
        ("wrong", new, new, "User name or password is wrong."),
        (PASSWORD, new, "other", "The two passwords differ."),
        (PASSWORD, "short", "short", "too short"),
    ] {
        let fields = [("password", old), ("new", first), ("repeat", second)];
        let page = browser.submit(path, &fields).await;
        assert!(page.status.is_client_error());
        page.has(text);
    }
    let fields = [("password", PASSWORD), ("new", new), ("repeat", new), ("everywhere", "1")];
    let next = browser.submit(path, &fields).await;
    browser.get(next.location()).await.has("is valid from now on");
    assert!(!client.works().await);
    assert!(elsewhere.get("/account/").await.location().starts_with("/account/login"));
    assert_eq!(Browser::new(&server).sign_in("alice", PASSWORD).await.status, 403);
    Browser::new(&server).sign_in("alice", new).await.location();
}

#[tokio::test]
async fn an_account_is_closed_by_who_knows_the_password() {
    let server = server().await;
    let client = server.sign_in("alice").await;
    let browser = signed_in(&server).await;
    let path = "/account/deactivate";
    for fields in [vec![("password", PASSWORD)], vec![("password", "wrong"), ("sure", "1")]] {
        assert!(browser.submit(path, &fields).await.status.is_client_error());
        assert!(client.works().await);
    }
    let closed = browser.submit(path, &[("password", PASSWORD), ("sure", "1")]).await;
    closed.has("Account closed");
    is_sound(&closed);
    assert!(!client.works().await);
    assert_eq!(browser.cookie("__Host-bp_account"), None);
    assert_eq!(browser.sign_in("alice", PASSWORD).await.status, 403);
}

#[tokio::test]
async fn the_display_name_is_changed() {
    let server = server().await;
    let browser = signed_in(&server).await;
    let name = "Älice <i>";
    browser.submit("/account/profile", &[("display_name", name)]).await.has("Saved.");
    browser.get("/account/profile").await.has("Älice &lt;i&gt;");
    let client = server.sign_in("alice").await;
    let profile = client.get(&format!("/v3/profile/{}", client.id)).await.ok();
    assert_eq!(profile["displayname"], name);
    let user = ruma::UserId::parse("@alice:example.org").expect("an id");
    server.accounts.set_suspended(&user, true).await.expect("memory writes");
    let page = browser.submit("/account/profile", &[("display_name", "x")]).await;
    assert_eq!(page.status, 403);
}

#[tokio::test]
async fn an_account_is_made_and_goes_on_to_the_client() {
    let server = server().await;
    let browser = Browser::new(&server);
    let path = "/account/register?next=%2Faccount%2Flink";
    let new = |name: &'static str, password: &'static str, repeat: &'static str| {
        [("name", name), ("password", password), ("repeat", repeat)]
    };
    for (fields, text) in [
        (new("alice", PASSWORD, PASSWORD), "This name is taken."),
        (new("a b", PASSWORD, PASSWORD), "This name is not possible."),
        (new("carol", "short", "short"), "too short"),
        (new("carol", PASSWORD, "other"), "differ"),
    ] {
        let page = browser.submit(path, &fields).await;
        assert!(page.status.is_client_error());
        page.has(text);
        is_sound(&page);
    }
    let made = browser.submit(path, &new("carol", PASSWORD, PASSWORD)).await;
    assert_eq!(made.location(), "/account/link");
    browser.get("/account/").await.has("@carol:example.org");
}

#[tokio::test]
async fn signing_out_ends_the_browser_only() {
    let server = server().await;
    let client = server.sign_in("alice").await;
    let browser = signed_in(&server).await;
    let cookie = browser.cookie("__Host-bp_account").expect("it is signed in");
    let word = browser.get("/account/").await.word().to_owned();
    let out = browser.post_bare("/account/logout", &[("word", &word)]).await;
    assert_eq!(out.location(), "/account/login");
    assert_eq!(browser.cookie("__Host-bp_account"), None);
    browser.set_cookie("__Host-bp_account", &cookie);
    assert!(browser.get("/account/").await.location().starts_with("/account/login"));
    assert!(client.works().await);
}

#[tokio::test]
async fn closed_registration_has_no_page() {
    let mut closed = settings();
    closed.registration = RegistrationMode::Closed;
    let oauth = blaupause_api::OAuth { base_url: "https://matrix.example.org".to_owned() };
    let api = blaupause_api::Settings { oauth: Some(oauth), ..Default::default() };
    let server = Server::with_api(closed, api).await;
    let browser = Browser::new(&server);
    assert_eq!(browser.get("/account/register").await.status, 403);
    assert!(!browser.get("/account/login").await.html.contains("/account/register"));
}

#[tokio::test]
async fn too_many_wrong_passwords_are_not_looked_at() {
    let mut strict = settings();
    strict.failed_logins = Some(blaupause_accounts::FailedLogins { per_second: 0.1, burst: 2 });
    let oauth = blaupause_api::OAuth { base_url: "https://matrix.example.org".to_owned() };
    let api = blaupause_api::Settings { oauth: Some(oauth), ..Default::default() };
    let server = Server::with_api(strict, api).await;
    server.user("alice").await;
    for name in ["alice", "nobody"] {
        let browser = Browser::new(&server);
        for status in [403, 403, 429] {
            let page = browser.sign_in(name, "wrong").await;
            assert_eq!(page.status.as_u16(), status, "{name}");
        }
        Browser::new(&server).sign_in(name, PASSWORD).await.has("Too many attempts");
    }
    // A client that signs in is counted in the same way.
    let login = crate::server::password_login("alice", PASSWORD);
    let refused = server.post_open("/v3/login", login).await;
    refused.refused(429, "M_LIMIT_EXCEEDED");
}
