//! `m.login.sso`: a client that does not speak OAuth.

use blaupause_api::{OAuth, Settings};
use http::Method;
use serde_json::{Value, json};

use super::{BASE, Stage};
use crate::{
    browser::{Browser, form, parameter},
    server::{PASSWORD, Server, settings},
};

const CLIENT: &str = "https://app.example.org/?x=1#/home";

async fn flows(server: &Server) -> Vec<Value> {
    let answer = server.call(Method::GET, "/v3/login", None, None).await.ok();
    answer["flows"].as_array().expect("a list").clone()
}

fn flow<'f>(flows: &'f [Value], kind: &str) -> Option<&'f Value> {
    flows.iter().find(|flow| flow["type"] == kind)
}

/// Ask as a client does; answers the page on our server.
async fn redirect(server: &Server, path: &str, to: &str) -> String {
    let browser = Browser::new(server);
    let path = format!("/_matrix/client{path}?{}", form(&[("redirectUrl", to)]));
    let page = browser.get(&path).await;
    assert_eq!(page.status, 302, "{}", page.html);
    page.header("location").strip_prefix(BASE).expect("it is ours").to_owned()
}

pub async fn login(server: &Server, token: &str) -> crate::server::Answer {
    server.post_open("/v3/login", json!({ "type": "m.login.token", "token": token })).await
}

#[tokio::test]
async fn a_client_is_signed_in_with_a_login_token() {
    let stage = Stage::new().await;
    let flows = flows(&stage.server).await;
    let sso = flow(&flows, "m.login.sso").expect("it is offered");
    assert_eq!(sso["identity_providers"], json!([{ "id": "kc", "name": "Amt & Co" }]));
    assert_eq!(sso["delegated_oidc_compatibility"], Value::Null);

    let page = redirect(&stage.server, "/v3/login/sso/redirect/kc", CLIENT).await;
    let browser = Browser::new(&stage.server);
    let to_provider = browser.get(&page).await.location().to_owned();
    assert!(to_provider.starts_with("/account/sso/kc?next="), "{to_provider}");
    let back = stage.visit(&browser, &to_provider, stage.claims("s-1", "erika")).await;
    assert_eq!(back.location(), page);

    let asked = browser.get(&page).await;
    asked.has("@erika:example.org");
    asked.has("app.example.org");
    let policy = asked.header("content-security-policy");
    assert!(policy.contains("form-action 'self' https://app.example.org;"), "{policy}");
    // Without the page's word nothing is given away.
    assert_eq!(browser.post_bare(&page, &[]).await.status, 403);
    let sent = browser.submit(&page, &[]).await;
    let to = sent.location();
    assert!(to.starts_with("https://app.example.org/?x=1&loginToken="), "{to}");
    assert!(to.ends_with("#/home"), "{to}");
    let query = to.split('#').next().expect("a query");
    let token = parameter(query, "loginToken").expect("a token");
    let issued = login(&stage.server, &token).await.ok();
    assert_eq!(issued["user_id"], "@erika:example.org");
    login(&stage.server, &token).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn without_a_provider_in_the_request_the_person_chooses() {
    let stage = Stage::new().await;
    stage.server.user("alice").await;
    let page = redirect(&stage.server, "/r0/login/sso/redirect", CLIENT).await;
    let browser = Browser::new(&stage.server);
    let login = browser.get(&page).await.location().to_owned();
    assert!(login.starts_with("/account/login?next="), "{login}");
    browser.get(&login).await.has("/account/sso/kc?next=");
    let back = browser.submit(&login, &[("name", "alice"), ("password", PASSWORD)]).await;
    assert_eq!(back.location(), page);
}

#[tokio::test]
async fn people_are_sent_to_trusted_clients_without_a_question() {
    let trusted = vec!["https://app.example.org/".parse().expect("a URL")];
    let api = Settings { trusted_clients: trusted, ..Settings::default() };
    let stage = Stage::with_api(|_| {}, api).await;
    let browser = Browser::new(&stage.server);
    stage.sign_in(&browser, "s-1", "erika").await.location();
    let page = redirect(&stage.server, "/v3/login/sso/redirect", CLIENT).await;
    assert!(browser.get(&page).await.location().contains("loginToken="));
    for other in ["https://app.example.org.evil.example/", "http://app.example.org/"] {
        let page = redirect(&stage.server, "/v3/login/sso/redirect", other).await;
        assert_eq!(browser.get(&page).await.status, 200, "{other}");
    }
}

#[tokio::test]
async fn nobody_is_sent_where_no_client_can_be() {
    let stage = Stage::new().await;
    let browser = Browser::new(&stage.server);
    stage.sign_in(&browser, "s-1", "erika").await.location();
    for bad in ["javascript:alert(1)", "data:text/html,x", "", "/x", "https://a@b.example/"] {
        let query = form(&[("redirectUrl", bad)]);
        let path = format!("/v3/login/sso/redirect?{query}");
        let answer = stage.server.call(Method::GET, &path, None, None).await;
        assert_eq!(answer.status, 400, "{bad}");
        let path = format!("/account/continue?{}", form(&[("redirect", bad)]));
        assert_eq!(browser.get(&path).await.status, 400, "{bad}");
    }
    let answer = stage.server.call(Method::GET, "/v3/login/sso/redirect", None, None).await;
    assert_eq!(answer.status, 400);
    let path = "/v3/login/sso/redirect/nobody?redirectUrl=https%3A%2F%2Fa.example%2F";
    stage.server.call(Method::GET, path, None, None).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn clients_that_speak_oauth_are_told_so() {
    let oauth = Some(OAuth { base_url: BASE.to_owned() });
    let api = Settings { oauth, ..Settings::default() };
    let server = Server::with_api(settings(), api).await;
    let flows = flows(&server).await;
    let sso = flow(&flows, "m.login.sso").expect("it is offered");
    for name in [
        "oauth_aware_preferred",
        "delegated_oidc_compatibility",
        "org.matrix.msc3824.delegated_oidc_compatibility",
    ] {
        assert_eq!(sso[name], true, "{name}");
    }
    redirect(&server, "/v3/login/sso/redirect", CLIENT).await;
}

#[tokio::test]
async fn without_pages_there_is_no_sso() {
    let server = Server::new().await;
    assert!(flow(&flows(&server).await, "m.login.sso").is_none());
    for path in ["/v3/login/sso/redirect", "/v3/login/sso/redirect/kc"] {
        let path = format!("{path}?redirectUrl=https%3A%2F%2Fa.example%2F");
        let answer = server.call(Method::GET, &path, None, None).await;
        answer.refused(404, "M_UNRECOGNIZED");
    }
    let jwt = json!({ "type": "org.matrix.login.jwt", "token": "a.b.c" });
    server.post_open("/v3/login", jwt).await.refused(400, "M_UNKNOWN");
}

#[tokio::test]
async fn there_is_a_page_for_clients_that_cannot_sign_in_themselves() {
    let server = Server::new().await;
    let page = Browser::new(&server).get("/_matrix/static/client/login/?device_id=X").await;
    assert_eq!(page.status, 200);
    page.has("window.onLogin");
    page.has("<label for=\"name\">User name</label>");
    assert!(!page.html.contains("{nonce}") && !page.html.contains("{title}"));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("connect-src 'self'") && !policy.contains("unsafe"), "{policy}");
}
