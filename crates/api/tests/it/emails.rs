//! Mail addresses on the account pages.

use blaupause_api::{OAuth, Settings};
use serde_json::json;

use crate::{
    browser::{Browser, Page},
    oauth::is_sound,
    relay::Relay,
    server::{PASSWORD, Server, settings},
};

const ADD: &str = "/account/add-email";

async fn server() -> (Server, Relay) {
    let relay = Relay::new().await;
    let oauth = Some(OAuth { base_url: "https://matrix.example.org".to_owned() });
    let api = Settings { mail: Some(relay.proofs()), oauth, ..Settings::default() };
    let server = Server::with_api(settings(), api).await;
    server.user("alice").await;
    (server, relay)
}

async fn signed_in<'s>(server: &'s Server, name: &str) -> Browser<'s> {
    let browser = Browser::new(server);
    browser.sign_in(name, PASSWORD).await.location();
    browser
}

async fn ask(browser: &Browser<'_>, email: &str, password: &str) -> Page {
    browser.submit(ADD, &[("email", email), ("password", password)]).await
}

#[tokio::test]
async fn a_followed_link_adds_the_address_to_the_account_that_asked() {
    let (server, relay) = server().await;
    let browser = signed_in(&server, "alice").await;
    browser.get("/account/emails").await.has("Your account has no mail address.");
    let sent = ask(&browser, " Alice@Example.COM ", PASSWORD).await;
    sent.has("alice@example.com");
    is_sound(&sent);
    let link = relay.last(1).await.link();
    // In a browser in which somebody else is signed in: it stays the address of who asked.
    server.user("bob").await;
    let elsewhere = signed_in(&server, "bob").await;
    let question = elsewhere.get(&link).await;
    question.has("@alice:example.org");
    is_sound(&question);
    browser.get("/account/emails").await.has("Your account has no mail address.");
    elsewhere.submit(&link, &[]).await.has("now part of your account");
    let list = browser.get("/account/emails").await;
    list.has("alice@example.com");
    is_sound(&list);
    elsewhere.get("/account/emails").await.has("Your account has no mail address.");
    assert_eq!(elsewhere.get(&link).await.status, 404, "a link is good once");
}

#[tokio::test]
async fn an_address_is_removed_after_a_question() {
    let (server, relay) = server().await;
    let browser = signed_in(&server, "alice").await;
    ask(&browser, "alice@example.com", PASSWORD).await.has("alice@example.com");
    browser.submit(&relay.last(1).await.link(), &[]).await.has("now part");
    let path = "/account/remove-email?address=alice%40example.com";
    is_sound(&browser.get(path).await);
    browser.get("/account/emails").await.has("/account/remove-email?address=alice%40example.com");
    let gone = browser.submit(path, &[]).await;
    browser.get(gone.location()).await.has("has been removed");
    browser.get("/account/emails").await.has("Your account has no mail address.");
}

#[tokio::test]
async fn who_is_suspended_removes_no_address() {
    let (server, relay) = server().await;
    let browser = signed_in(&server, "alice").await;
    ask(&browser, "alice@example.com", PASSWORD).await.has("alice@example.com");
    browser.submit(&relay.last(1).await.link(), &[]).await.has("now part");
    let alice = ruma::user_id!("@alice:example.org");
    server.accounts.set_suspended(alice, true).await.expect("memory writes");
    let path = "/account/remove-email?address=alice%40example.com";
    assert_eq!(browser.submit(path, &[]).await.status, 403);
    browser.get("/account/emails").await.has("alice@example.com");
}

#[tokio::test]
async fn no_mail_is_sent_without_the_password_or_to_what_is_no_address() {
    let (server, relay) = server().await;
    let browser = signed_in(&server, "alice").await;
    for (email, password, status, why) in [
        ("alice@example.com", "wrong", 403, "password is wrong"),
        ("alice", PASSWORD, 400, "This is no mail address."),
        ("a@b@example.com", PASSWORD, 400, "This is no mail address."),
        ("<script>@example.com", PASSWORD, 400, "This is no mail address."),
    ] {
        let page = ask(&browser, email, password).await;
        assert_eq!(page.status, status, "{email}");
        page.has(why);
        is_sound(&page);
    }
    assert_eq!(relay.taken(0).await.len(), 0);
    for path in ["/account/emails", ADD, "/account/remove-email?address=a"] {
        let nobody = Browser::new(&server);
        assert!(nobody.get(path).await.location().starts_with("/account/login"), "{path}");
    }
    let forged =
        browser.post_bare(ADD, &[("email", "a@example.com"), ("password", PASSWORD)]).await;
    assert_eq!(forged.status, 403);
}

#[tokio::test]
async fn an_address_of_somebody_else_is_not_had() {
    let (server, relay) = server().await;
    server.user("bob").await;
    let (alice, bob) = (signed_in(&server, "alice").await, signed_in(&server, "bob").await);
    ask(&alice, "x@example.com", PASSWORD).await.has("x@example.com");
    let first = relay.last(1).await.link();
    ask(&bob, "x@example.com", PASSWORD).await.has("x@example.com");
    let second = relay.last(2).await.link();
    alice.submit(&first, &[]).await.has("now part");
    let refused = bob.submit(&second, &[]).await;
    assert_eq!(refused.status, 400);
    refused.has("belongs to an account already");
    let refused = ask(&bob, "x@example.com", PASSWORD).await;
    assert_eq!(refused.status, 400);
    let listed = server.sign_in("alice").await.get("/v3/account/3pid").await.ok();
    assert_eq!(listed["threepids"][0]["address"], json!("x@example.com"));
}

#[tokio::test]
async fn without_a_relay_addresses_are_only_shown() {
    let oauth = Some(OAuth { base_url: "https://matrix.example.org".to_owned() });
    let api = Settings { oauth, ..Settings::default() };
    let server = Server::with_api(settings(), api).await;
    server.user("alice").await;
    let browser = signed_in(&server, "alice").await;
    let list = browser.get("/account/emails").await;
    assert!(!list.html.contains(ADD), "{}", list.html);
    let page = browser.get(ADD).await;
    assert_eq!(page.status, 404);
    page.has("sends no mails");
}
