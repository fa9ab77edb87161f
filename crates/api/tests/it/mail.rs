//! Mail addresses: proved by a link, used to register, to sign in and to get a new password.

use std::time::Duration;

use blaupause_accounts::{EmailDomains, RegistrationMode, Secret};
use blaupause_api::Settings;
use blaupause_notify::MailTls;
use http::Method;
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    relay::Relay,
    server::{Client, PASSWORD, Server, password_auth, settings},
};

const SECRET: &str = "this_is_my_secret";

/// A server that sends its mail to a relay of this test.
async fn server(accounts: blaupause_accounts::Settings) -> (Server, Relay) {
    let relay = Relay::new().await;
    let api = Settings { mail: Some(relay.proofs()), ..Settings::default() };
    (Server::with_api(accounts, api).await, relay)
}

/// Ask for a mail.
async fn ask(server: &Server, what: &str, email: &str, attempt: u64) -> crate::server::Answer {
    let body = json!({ "client_secret": SECRET, "email": email, "send_attempt": attempt });
    server.post_open(&format!("/v3/{what}/email/requestToken"), body).await
}

async fn sid(server: &Server, what: &str, email: &str, attempt: u64) -> String {
    let answer = ask(server, what, email, attempt).await.ok();
    answer["sid"].as_str().expect("a session").to_owned()
}

/// A person follows the link and presses the button.
async fn confirm(server: &Server, link: &str) {
    let browser = Browser::new(server);
    browser.submit(link, &[]).await.has("Confirmed");
}

fn email_auth(sid: &str) -> Value {
    json!({
        "type": "m.login.email.identity",
        "threepid_creds": { "sid": sid, "client_secret": SECRET },
    })
}

/// Give somebody an address.
async fn add(client: &Client<'_>, relay: &Relay, email: &str, mails: usize) {
    let sid = sid(client.server, "account/3pid", email, 1).await;
    confirm(client.server, &relay.last(mails).await.link()).await;
    let body = |auth: Value| json!({ "sid": sid, "client_secret": SECRET, "auth": auth });
    let name = client.id[1..].split(':').next().expect("a name");
    let path = "/v3/account/3pid/add";
    let challenge = client.post(path, json!({ "sid": sid, "client_secret": SECRET })).await;
    let auth = password_auth(name, &challenge.session());
    client.post(path, body(auth)).await.ok();
}

#[tokio::test]
async fn an_address_is_added_once_its_reader_agrees() {
    let (server, relay) = server(settings()).await;
    let alice = server.user("alice").await;
    let sid = sid(&server, "account/3pid", "Alice@Example.COM", 1).await;
    let mail = relay.last(1).await;
    assert_eq!(mail.to, "alice@example.com");
    let add_body = json!({ "sid": sid, "client_secret": SECRET });
    let early = alice.post("/v3/account/3pid/add", add_body.clone()).await;
    early.refused(400, "M_THREEPID_AUTH_FAILED");
    // Opening the link alone proves nothing: programs do that, too.
    let browser = Browser::new(&server);
    let page = browser.get(&mail.link()).await;
    page.has("alice@example.com");
    alice
        .post("/v3/account/3pid/add", add_body.clone())
        .await
        .refused(400, "M_THREEPID_AUTH_FAILED");
    confirm(&server, &mail.link()).await;
    let wrong = json!({ "sid": sid, "client_secret": "another" });
    alice.post("/v3/account/3pid/add", wrong).await.refused(400, "M_THREEPID_AUTH_FAILED");
    let session = alice.post("/v3/account/3pid/add", add_body.clone()).await.session();
    let mut body = add_body;
    body["auth"] = password_auth("alice", &session);
    alice.post("/v3/account/3pid/add", body).await.ok();
    let listed = alice.get("/v3/account/3pid").await.ok();
    assert_eq!(listed["threepids"][0]["address"], "alice@example.com");
    assert_eq!(listed["threepids"][0]["medium"], "email");
    assert!(listed["threepids"][0]["validated_at"].is_u64());
    let capabilities = alice.get("/v3/capabilities").await.ok();
    // Left out, it means yes (spec: client-server API, "m.3pid_changes capability").
    assert_eq!(capabilities["capabilities"].get("m.3pid_changes"), None);
}

#[tokio::test]
async fn an_address_is_one_accounts_only() {
    let (server, relay) = server(settings()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    add(&alice, &relay, "alice@example.com", 1).await;
    for what in ["register", "account/3pid"] {
        ask(&server, what, "ALICE@example.com", 1).await.refused(400, "M_THREEPID_IN_USE");
    }
    let delete = json!({ "medium": "email", "address": "Alice@example.com" });
    // Somebody else's is not deleted by it.
    bob.post("/v3/account/3pid/delete", delete.clone()).await.ok();
    assert_ne!(alice.get("/v3/account/3pid").await.ok()["threepids"], json!([]));
    let deleted = alice.post("/v3/account/3pid/delete", delete).await.ok();
    assert_eq!(deleted["id_server_unbind_result"], "no-support");
    assert_eq!(alice.get("/v3/account/3pid").await.ok()["threepids"], json!([]));
    add(&bob, &relay, "alice@example.com", 2).await;
}

#[tokio::test]
async fn two_who_proved_the_same_address_do_not_both_get_it() {
    let (server, relay) = server(settings()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let first = sid(&server, "account/3pid", "x@example.com", 1).await;
    confirm(&server, &relay.last(1).await.link()).await;
    let body = json!({ "client_secret": "other", "email": "x@example.com", "send_attempt": 1 });
    let second = server.post_open("/v3/account/3pid/email/requestToken", body).await.ok();
    confirm(&server, &relay.last(2).await.link()).await;
    let session = async |client: &Client<'_>, body: &Value| {
        client.post("/v3/account/3pid/add", body.clone()).await.session()
    };
    let mut ours = json!({ "client_secret": SECRET, "sid": first });
    let mut theirs = json!({ "client_secret": "other", "sid": second["sid"] });
    ours["auth"] = password_auth("alice", &session(&alice, &ours).await);
    theirs["auth"] = password_auth("bob", &session(&bob, &theirs).await);
    alice.post("/v3/account/3pid/add", ours).await.ok();
    bob.post("/v3/account/3pid/add", theirs).await.refused(400, "M_THREEPID_IN_USE");
}

#[tokio::test]
async fn a_mail_is_sent_again_for_a_higher_attempt_only() {
    let (server, relay) = server(settings()).await;
    let first = sid(&server, "register", "a@example.com", 1).await;
    let again = sid(&server, "register", "a@example.com", 1).await;
    assert_eq!(first, again);
    assert_eq!(first, sid(&server, "register", "a@example.com", 2).await);
    let mails = relay.taken(2).await;
    assert_eq!(mails.len(), 2);
    assert_ne!(mails[0].link(), mails[1].link());
    // Both links are good.
    confirm(&server, &mails[0].link()).await;
    confirm_again(&server, &mails[1].link()).await;
}

/// The page of a link that was confirmed has no form any more.
async fn confirm_again(server: &Server, link: &str) {
    Browser::new(server).get(link).await.has("Confirmed");
}

#[tokio::test]
async fn nobody_gets_many_mails() {
    let (server, _relay) = server(settings()).await;
    for attempt in 1..=5 {
        ask(&server, "register", "a@example.com", attempt).await.ok();
    }
    let answer = ask(&server, "register", "a@example.com", 6).await;
    answer.refused(429, "M_LIMIT_EXCEEDED");
    ask(&server, "register", "b@example.com", 1).await.ok();
}

#[tokio::test]
async fn links_end_and_wrong_ones_say_nothing() {
    let (server, relay) = server(settings()).await;
    let session = sid(&server, "register", "a@example.com", 1).await;
    let link = relay.last(1).await.link();
    let browser = Browser::new(&server);
    let wrong = format!("/account/email/confirm?sid={session}&token=wrong");
    for bad in [wrong.as_str(), "/account/email/confirm", "/account/email/confirm?sid=x&token=y"] {
        let page = browser.get(bad).await;
        assert_eq!(page.status, 404);
        page.has("no longer valid");
    }
    server.data.env().advance(Duration::from_secs(25 * 60 * 60));
    assert_eq!(browser.get(&link).await.status, 404);
}

#[tokio::test]
async fn people_register_with_an_address_they_proved() {
    let (server, relay) = server(settings()).await;
    let challenge = server.post_open("/v3/register", json!({})).await;
    let flows = json!([{ "stages": ["m.login.dummy"] }, { "stages": ["m.login.email.identity"] }]);
    assert_eq!(challenge.body["flows"], flows);
    let sid = sid(&server, "register", "alice@example.com", 1).await;
    let register = async |name: &str| {
        let body = json!({ "username": name, "password": PASSWORD, "auth": email_auth(&sid) });
        server.post_open("/v3/register", body).await
    };
    let early = register("alice").await;
    early.refused(401, "M_UNAUTHORIZED");
    confirm(&server, &relay.last(1).await.link()).await;
    assert_eq!(register("alice").await.ok()["user_id"], "@alice:example.org");
    // A proof is good once.
    register("alice2").await.refused(401, "M_UNAUTHORIZED");
    let login = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.thirdparty", "medium": "email", "address": "ALICE@example.com" },
        "password": PASSWORD,
    });
    let answer = server.post_open("/v3/login", login.clone()).await.ok();
    assert_eq!(answer["user_id"], "@alice:example.org");
    let mut unknown = login;
    unknown["identifier"]["address"] = "bob@example.com".into();
    server.post_open("/v3/login", unknown).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn where_an_address_is_needed_nobody_registers_without() {
    let needed = blaupause_accounts::Settings {
        email_needed: true,
        registration: RegistrationMode::Token,
        registration_tokens: vec![Secret::new("letmein".into())],
        ..settings()
    };
    let (server, relay) = server(needed).await;
    let challenge = server.post_open("/v3/register", json!({})).await;
    let both = json!([{ "stages": ["m.login.email.identity", "m.login.registration_token"] }]);
    assert_eq!(challenge.body["flows"], both);
    let sid = sid(&server, "register", "alice@example.com", 1).await;
    confirm(&server, &relay.last(1).await.link()).await;
    let register = async |auth: Value| {
        let body = json!({ "username": "alice", "password": PASSWORD, "auth": auth });
        server.post_open("/v3/register", body).await
    };
    let challenge = register(email_auth(&sid)).await;
    assert_eq!(challenge.body["completed"], json!(["m.login.email.identity"]));
    let session = challenge.session();
    let kind = "m.login.registration_token";
    register(json!({ "type": kind, "token": "letmein", "session": session })).await.ok();
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_whoever_reads_the_mail() {
    let (server, relay) = server(settings()).await;
    let alice = server.user("alice").await;
    add(&alice, &relay, "alice@example.com", 1).await;
    let sid = sid(&server, "account/password", "alice@example.com", 1).await;
    let change = async |sid: &str| {
        let body = json!({ "new_password": "battery staple", "auth": email_auth(sid) });
        server.post_open("/v3/account/password", body).await
    };
    change(&sid).await.refused(401, "M_UNAUTHORIZED");
    confirm(&server, &relay.last(2).await.link()).await;
    change(&sid).await.ok();
    assert!(!alice.works().await, "all sessions have ended");
    change(&sid).await.refused(401, "M_UNAUTHORIZED");
    let login = |password: &str| crate::server::password_login("alice", password);
    server.post_open("/v3/login", login(PASSWORD)).await.refused(403, "M_FORBIDDEN");
    server.post_open("/v3/login", login("battery staple")).await.ok();
    // A proof for one thing is none for another.
    let flows = server.post_open("/v3/account/password", json!({})).await;
    assert_eq!(flows.body["flows"], json!([{ "stages": ["m.login.email.identity"] }]));
}

#[tokio::test]
async fn nobody_learns_who_has_an_account() {
    let (server, relay) = server(settings()).await;
    let alice = server.user("alice").await;
    add(&alice, &relay, "alice@example.com", 1).await;
    let known = ask(&server, "account/password", "alice@example.com", 1).await.ok();
    let unknown = ask(&server, "account/password", "bob@example.com", 1).await.ok();
    let shape = |answer: &Value| {
        let fields: Vec<_> = answer.as_object().expect("an object").keys().cloned().collect();
        (fields, answer["sid"].as_str().map(str::len))
    };
    assert_eq!(shape(&known), shape(&unknown));
    let mails = relay.taken(2).await;
    assert_eq!(mails[1].to, "alice@example.com");
    let body = |sid: &Value| {
        let auth = email_auth(sid.as_str().expect("a session"));
        json!({ "new_password": "battery staple", "auth": auth })
    };
    for answer in [&known, &unknown] {
        let refused = server.post_open("/v3/account/password", body(&answer["sid"])).await;
        refused.refused(401, "M_UNAUTHORIZED");
    }
    assert_eq!(relay.taken(2).await.len(), 2);
}

#[tokio::test]
async fn a_proof_is_good_for_what_it_was_made_for_only() {
    let (server, relay) = server(settings()).await;
    let alice = server.user("alice").await;
    add(&alice, &relay, "alice@example.com", 1).await;
    let sid = sid(&server, "register", "b@example.com", 1).await;
    confirm(&server, &relay.last(2).await.link()).await;
    let body = json!({ "sid": sid, "client_secret": SECRET });
    alice.post("/v3/account/3pid/add", body).await.refused(400, "M_THREEPID_AUTH_FAILED");
    let body = json!({ "new_password": "battery staple", "auth": email_auth(&sid) });
    server.post_open("/v3/account/password", body).await.refused(401, "M_UNAUTHORIZED");
}

#[tokio::test]
async fn only_addresses_of_allowed_domains_are_taken() {
    let domains = EmailDomains::parse(&["amt.de"]).expect("a domain");
    let (server, _relay) =
        server(blaupause_accounts::Settings { email_domains: domains, ..settings() }).await;
    for bad in ["a@evil.tld", "a@amt.de.evil.tld", "a@x.amt.de"] {
        ask(&server, "register", bad, 1).await.refused(403, "M_THREEPID_DENIED");
        ask(&server, "account/3pid", bad, 1).await.refused(403, "M_THREEPID_DENIED");
    }
    for bad in ["a@evil.tld@amt.de", "a@evil.tld>@amt.de", "\"a@evil.tld\"@amt.de", "a@amt.de\r\n"]
    {
        ask(&server, "register", bad, 1).await.refused(400, "M_INVALID_PARAM");
    }
    ask(&server, "register", "a@AMT.de", 1).await.ok();
}

#[tokio::test]
async fn people_are_sent_on_to_known_hosts_only() {
    let (server, relay) = server(settings()).await;
    let cases = [
        ("https://client.example.org/#/done", true),
        ("https://evil.example.org/", false),
        ("http://client.example.org/", false),
        ("https://client.example.org@evil.example.org/", false),
        ("javascript:alert(1)", false),
    ];
    for (at, (next, is_followed)) in cases.into_iter().enumerate() {
        let email = format!("a{at}@example.com");
        let body = json!({
            "client_secret": SECRET, "email": email, "send_attempt": 1, "next_link": next,
        });
        server.post_open("/v3/register/email/requestToken", body).await.ok();
        let link = relay.last(at + 1).await.link();
        let page = Browser::new(&server).submit(&link, &[]).await;
        if is_followed {
            assert_eq!(page.location(), next);
        } else {
            page.has("Confirmed");
        }
    }
}

#[tokio::test]
async fn a_closed_account_lets_its_addresses_go() {
    let (server, relay) = server(settings()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    add(&alice, &relay, "x@example.com", 1).await;
    let session = alice.post("/v3/account/deactivate", json!({})).await.session();
    let body = json!({ "auth": password_auth("alice", &session) });
    alice.post("/v3/account/deactivate", body).await.ok();
    add(&bob, &relay, "x@example.com", 2).await;
}

#[tokio::test]
async fn telephone_numbers_and_identity_servers_are_not_used() {
    let (server, _relay) = server(settings()).await;
    let alice = server.user("alice").await;
    for what in ["register", "account/3pid", "account/password"] {
        let path = format!("/v3/{what}/msisdn/requestToken");
        let body = json!({
            "client_secret": SECRET, "country": "DE", "phone_number": "1", "send_attempt": 1,
        });
        let answer = server.post_open(&path, body).await;
        answer.refused(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED");
    }
    let bind = json!({
        "client_secret": SECRET, "sid": "1", "id_server": "x", "id_access_token": "y",
    });
    alice.post("/v3/account/3pid/bind", bind.clone()).await.refused(403, "M_THREEPID_DENIED");
    let old = json!({ "three_pid_creds": bind });
    alice.post("/v3/account/3pid", old.clone()).await.refused(403, "M_THREEPID_AUTH_FAILED");
    alice.post("/v3/account/3pid", json!({})).await.refused(400, "M_MISSING_PARAM");
    server.post_open("/v3/account/3pid", old).await.refused(401, "M_MISSING_TOKEN");
    let unbind = json!({ "medium": "email", "address": "a@example.com" });
    let answer = alice.post("/v3/account/3pid/unbind", unbind).await.ok();
    assert_eq!(answer["id_server_unbind_result"], "no-support");
}

#[tokio::test]
async fn the_page_speaks_both_languages_and_needs_no_script() {
    let (server, relay) = server(settings()).await;
    sid(&server, "register", "a@example.com", 1).await;
    let link = relay.last(1).await.link();
    let mut browser = Browser::new(&server);
    browser.get(&link).await.has("Confirm the address");
    browser.language = "de";
    let page = browser.get(&link).await;
    page.has("Adresse bestätigen");
    assert!(!page.html.contains("<script"));
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    // Another site cannot press the button.
    let bare = browser.post_bare(&link, &[]).await;
    assert_eq!(bare.status, 403);
    let style = server.router.clone();
    let request = http::Request::builder().method(Method::GET).uri("/account/style.css");
    let answer = tower::ServiceExt::oneshot(
        style,
        request.body(axum::body::Body::empty()).expect("a request"),
    );
    assert_eq!(answer.await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_relay_that_cannot_encrypt_gets_nothing() {
    for tls in [MailTls::StartTls, MailTls::Tls] {
        let relay = Relay::new().await;
        let api = Settings { mail: Some(relay.proofs_with(tls)), ..Settings::default() };
        let server = Server::with_api(settings(), api).await;
        ask(&server, "register", "a@example.com", 1).await.ok();
        assert_eq!(relay.after_a_talk().await, 0, "{tls:?}");
    }
}
