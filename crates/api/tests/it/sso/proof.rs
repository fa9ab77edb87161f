//! People without a password show at the provider that it is them.

use serde_json::{Value, json};

use super::Stage;
use crate::{
    browser::{Browser, parameter},
    server::{Client, Server},
};

/// Somebody who has an account through the provider, with a device.
async fn person<'s>(stage: &'s Stage, subject: &str, name: &str) -> Client<'s> {
    stage.sign_in(&Browser::new(&stage.server), subject, name).await.location();
    let id = format!("@{name}:example.org");
    let user = ruma::UserId::parse(&id).expect("an id");
    let accounts = &stage.server.accounts;
    let issued = accounts.sign_in_as(&user, &Default::default()).await.expect("memory writes");
    let server: &Server = &stage.server;
    let (token, device) = (issued.access_token.reveal().to_owned(), issued.device_id.to_string());
    Client { server, id, token, device }
}

/// The link to the provider on a page.
#[track_caller]
fn link(html: &str) -> String {
    let (_, rest) = html.split_once("href=\"/account/sso/kc?").expect("there is a link");
    let query = rest.split('"').next().expect("it ends").replace("&amp;", "&");
    format!("/account/sso/kc?{query}")
}

async fn delete(person: &Client<'_>, auth: Option<Value>) -> crate::server::Answer {
    let body = auth.map_or(json!({}), |auth| json!({ "auth": auth }));
    person.delete(&format!("/v3/devices/{}", person.device), Some(body)).await
}

#[tokio::test]
async fn a_client_may_go_on_after_the_person_has_shown_it() {
    let stage = Stage::new().await;
    let erika = person(&stage, "s-1", "erika").await;
    let challenge = delete(&erika, None).await;
    let session = challenge.session();
    assert_eq!(challenge.body["flows"], json!([{ "stages": ["m.login.sso"] }]));
    let go_on = || delete(&erika, Some(json!({ "session": session })));
    assert_eq!(go_on().await.status, 401);

    let browser = Browser::new(&stage.server);
    let path = format!("/_matrix/client/v3/auth/m.login.sso/fallback/web?session={session}");
    let confirm = browser.get(&path).await.location().to_owned();
    let page = browser.get(&confirm).await;
    page.has("@erika:example.org");
    page.has("Confirm with Amt &amp; Co");
    let link = link(&page.html);
    let away = browser.get(&link).await;
    let asked = |name| parameter(away.location(), name);
    assert_eq!(
        (asked("prompt").as_deref(), asked("max_age").as_deref()),
        (Some("login"), Some("0"))
    );
    let back = stage.provider.sign_in(away.location(), stage.claims("s-1", "erika"));
    let done = browser.get(&back).await;
    assert_eq!(done.status, 200);
    done.has("onAuthDone");
    go_on().await.ok();
    assert!(!erika.works().await);
}

#[tokio::test]
async fn nobody_else_can_show_it() {
    let stage = Stage::new().await;
    let erika = person(&stage, "s-1", "erika").await;
    person(&stage, "s-2", "otto").await;
    let session = delete(&erika, None).await.session();
    let browser = Browser::new(&stage.server);
    let confirm = format!("/account/confirm?session={session}");
    let page = link(&browser.get(&confirm).await.html);
    let back = stage.visit(&browser, &page, stage.claims("s-2", "otto")).await;
    assert_eq!(back.status, 403);
    back.has("as somebody else");
    // Who was not asked anew has shown nothing.
    let mut old = stage.claims("s-1", "erika");
    old["auth_time"] = json!(stage.now_ms() / 1000 - 3_600);
    let back = stage.visit(&browser, &page, old).await;
    assert_eq!(back.status, 403);
    back.has("did not ask you again");
    assert_eq!(delete(&erika, Some(json!({ "session": session }))).await.status, 401);
    // A link without the mark of this browser leads nowhere, and so does one of another browser.
    for link in [format!("/account/sso/kc?session={session}&mark=guessed"), page] {
        let other = Browser::new(&stage.server);
        other.get("/account/login").await;
        let refused = other.get(&link).await;
        assert_eq!(refused.status, 404);
        assert!(refused.headers.get("location").is_none());
    }
    assert_eq!(browser.get("/account/confirm?session=unknown").await.status, 404);
}

#[tokio::test]
async fn a_person_with_a_password_may_choose() {
    let stage = Stage::with(|provider| provider.newcomers.link = true).await;
    let alice = stage.server.user("alice").await;
    assert_eq!(
        delete(&alice, None).await.body["flows"],
        json!([{ "stages": ["m.login.password"] }])
    );
    stage.sign_in(&Browser::new(&stage.server), "s-1", "alice").await.location();
    let challenge = delete(&alice, None).await;
    let both = json!([{ "stages": ["m.login.password"] }, { "stages": ["m.login.sso"] }]);
    assert_eq!(challenge.body["flows"], both);
    let auth = crate::server::password_auth("alice", &challenge.session());
    delete(&alice, Some(auth)).await.ok();
}

#[tokio::test]
async fn the_pages_ask_the_provider_instead_of_a_password() {
    let stage = Stage::new().await;
    let browser = Browser::new(&stage.server);
    stage.sign_in(&browser, "s-1", "erika").await.location();
    for path in ["/account/cross-signing", "/account/deactivate"] {
        let browser = Browser::new(&stage.server);
        stage.sign_in(&browser, "s-1", "erika").await.location();
        let page = browser.get(path).await;
        assert!(!page.html.contains("type=\"password\""), "{}", page.html);
        let link = link(&page.html);
        let back = stage.visit(&browser, &link, stage.claims("s-1", "erika")).await;
        assert_eq!(back.location(), path);
        let page = browser.get(path).await;
        assert!(!page.html.contains("type=\"password\""));
        page.has("name=\"word\"");
        // Another browser of the same person has shown nothing.
        let other = Browser::new(&stage.server);
        stage.sign_in(&other, "s-1", "erika").await.location();
        other.get(path).await.has("Confirm with");
        browser.submit(path, &[("sure", "1")]).await;
    }
    let account = stage.server.accounts.account(ruma::user_id!("@erika:example.org")).await;
    assert!(account.expect("memory reads").expect("an account").deactivated);
    // There is no password to be changed.
    let page = browser.get("/account/password").await;
    assert!(page.status == 403 || page.status == 303);
}
