use std::time::Duration;

use axum::body::Body;
use blaupause_api::{OAuth, Settings, WellKnown};
use http::{Method, Request};
use serde_json::{Value, json};

use crate::{
    browser::{Browser, Page, form, parameter},
    server::{Answer, PASSWORD, Server, settings},
};

/// RFC 7636, appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub const REDIRECT: &str = "https://app.example.org/?no_universal_links=true";
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const SCOPE: &str = "urn:matrix:client:api:* urn:matrix:client:device:ABCDEFGHIJ";

pub async fn server() -> Server {
    server_at("https://matrix.example.org").await
}

async fn server_at(base_url: &str) -> Server {
    let well_known =
        WellKnown { client_base_url: Some(base_url.to_owned()), ..WellKnown::default() };
    let oauth = Some(OAuth { base_url: base_url.to_owned() });
    let api = Settings { oauth, well_known, ..Settings::default() };
    let server = Server::with_api(settings(), api).await;
    server.user("alice").await;
    server
}

async fn post_form(server: &Server, path: &str, fields: &[(&str, &str)]) -> Answer {
    let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    server.send(request.body(Body::from(form(fields))).expect("a request")).await
}

fn metadata() -> Value {
    json!({
        "client_name": "Element",
        "client_uri": "https://app.example.org/",
        "redirect_uris": [REDIRECT],
        "grant_types": ["authorization_code", "refresh_token", DEVICE_CODE],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "web",
    })
}

async fn register(server: &Server, metadata: &Value) -> Answer {
    let request = Request::post("/oauth2/register").header("content-type", "application/json");
    server.send(request.body(Body::from(metadata.to_string())).expect("a request")).await
}

pub async fn client(server: &Server) -> String {
    let answer = register(server, &metadata()).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body["client_id"].as_str().expect("an id").to_owned()
}

fn authorize(client: &str, changes: &[(&str, &str)]) -> String {
    let mut all = vec![
        ("response_type", "code"),
        ("response_mode", "fragment"),
        ("client_id", client),
        ("redirect_uri", REDIRECT),
        ("scope", SCOPE),
        ("state", "s t&"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for change in changes {
        all.retain(|(name, _)| *name != change.0);
        if !change.1.is_empty() {
            all.push(*change);
        }
    }
    format!("/oauth2/authorize?{}", form(&all))
}

/// Sign in and say yes; answers the code.
pub async fn code(server: &Server, client: &str) -> String {
    let browser = Browser::new(server);
    browser.sign_in("alice", PASSWORD).await.location();
    let sent = browser.submit(&authorize(client, &[]), &[("decision", "allow")]).await;
    parameter(sent.location(), "code").expect("there is a code")
}

async fn redeem(server: &Server, client: &str, code: &str) -> Answer {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("client_id", client),
        ("code_verifier", VERIFIER),
    ];
    post_form(server, "/oauth2/token", &fields).await
}

async fn refresh(server: &Server, client: &str, tokens: &Value) -> Answer {
    let token = tokens["refresh_token"].as_str().expect("a token");
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", client)];
    post_form(server, "/oauth2/token", &fields).await
}

async fn tokens(server: &Server, client: &str) -> Value {
    let code = code(server, client).await;
    redeem(server, client, &code).await.ok()
}

/// Let a client in from a browser in which somebody is signed in; answers the tokens.
pub async fn let_in(server: &Server, browser: &Browser<'_>) -> Value {
    let client = client(server).await;
    let sent = browser.submit(&authorize(&client, &[]), &[("decision", "allow")]).await;
    let code = parameter(sent.location(), "code").expect("there is a code");
    redeem(server, &client, &code).await.ok()
}

async fn whoami(server: &Server, tokens: &Value) -> Answer {
    server.get("/v3/account/whoami", tokens["access_token"].as_str().expect("a token")).await
}

#[track_caller]
fn refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!(
        (answer.status.as_u16(), &answer.body["error"]),
        (status, &json!(error)),
        "{answer:?}"
    );
    assert!(answer.body["errcode"].is_null() && answer.body["error_description"].is_string());
}

#[tokio::test]
async fn the_metadata_names_every_endpoint() {
    let server = server().await;
    let stable = server.call(Method::GET, "/v1/auth_metadata", None, None).await.ok();
    let path = "/unstable/org.matrix.msc2965/auth_metadata";
    assert_eq!(server.call(Method::GET, path, None, None).await.ok(), stable);
    for (field, wanted) in [
        ("issuer", json!("https://matrix.example.org/")),
        ("authorization_endpoint", json!("https://matrix.example.org/oauth2/authorize")),
        ("token_endpoint", json!("https://matrix.example.org/oauth2/token")),
        ("registration_endpoint", json!("https://matrix.example.org/oauth2/register")),
        ("revocation_endpoint", json!("https://matrix.example.org/oauth2/revoke")),
        ("device_authorization_endpoint", json!("https://matrix.example.org/oauth2/device")),
        ("account_management_uri", json!("https://matrix.example.org/account/")),
        ("response_types_supported", json!(["code"])),
        ("response_modes_supported", json!(["query", "fragment"])),
        ("grant_types_supported", json!(["authorization_code", "refresh_token", DEVICE_CODE])),
        ("code_challenge_methods_supported", json!(["S256"])),
        ("prompt_values_supported", json!(["create"])),
    ] {
        assert_eq!(stable[field], wanted, "{field}");
    }
    let known = Request::get("/.well-known/matrix/client").body(Body::empty()).expect("a request");
    let known = server.send(known).await.ok();
    let wanted = json!({
        "issuer": "https://matrix.example.org/",
        "account": "https://matrix.example.org/account/",
    });
    assert_eq!(known["org.matrix.msc2965.authentication"], wanted);
}

#[tokio::test]
async fn without_oauth_there_is_nothing_of_it() {
    let server = Server::new().await;
    let path = "/v1/auth_metadata";
    server.call(Method::GET, path, None, None).await.refused(404, "M_UNRECOGNIZED");
    post_form(&server, "/oauth2/token", &[]).await.refused(404, "M_UNRECOGNIZED");
    assert_eq!(Browser::new(&server).get("/account/login").await.status, 404);
}

#[tokio::test]
async fn a_person_lets_a_client_in_from_end_to_end() {
    let server = server().await;
    let client = client(&server).await;
    let browser = Browser::new(&server);

    // Nobody is signed in: the browser goes to the login page, and comes back from there.
    let asked = browser.get(&authorize(&client, &[])).await;
    let login = asked.location().to_owned();
    assert!(login.starts_with("/account/login?next="), "{login}");
    let back = browser.submit(&login, &[("name", "alice"), ("password", PASSWORD)]).await;
    let consent = back.location().to_owned();
    assert!(consent.starts_with("/oauth2/authorize?"), "{consent}");

    let page = browser.get(&consent).await;
    assert_eq!(page.status, 200);
    page.has("Element");
    page.has("@alice:example.org");
    page.has("app.example.org");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("form-action 'self' https://app.example.org;"), "{policy}");

    let sent = browser.submit(&consent, &[("decision", "allow")]).await;
    let to = sent.location();
    assert!(to.starts_with(&format!("{REDIRECT}#")), "{to}");
    assert_eq!(parameter(to, "state").as_deref(), Some("s t&"));
    let code = parameter(to, "code").expect("there is a code");

    let answer = redeem(&server, &client, &code).await.ok();
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 300);
    assert_eq!(answer["scope"], SCOPE);
    let who = whoami(&server, &answer).await.ok();
    assert_eq!(who, json!({ "user_id": "@alice:example.org", "device_id": "ABCDEFGHIJ" }));

    server.data.env().advance(Duration::from_secs(300));
    whoami(&server, &answer).await.refused(401, "M_UNKNOWN_TOKEN");
    let renewed = refresh(&server, &client, &answer).await.ok();
    assert_eq!(renewed["scope"], SCOPE);
    whoami(&server, &renewed).await.ok();

    let token = renewed["refresh_token"].as_str().expect("a token");
    post_form(&server, "/oauth2/revoke", &[("token", token)]).await.ok();
    let gone = whoami(&server, &renewed).await;
    gone.refused(401, "M_UNKNOWN_TOKEN");
    assert_eq!(gone.body["soft_logout"], false);
    refused(&refresh(&server, &client, &renewed).await, 400, "invalid_grant");
}

#[tokio::test]
async fn who_says_no_sends_the_client_away() {
    let server = server().await;
    let client = client(&server).await;
    let browser = Browser::new(&server);
    browser.sign_in("alice", PASSWORD).await.location();
    let path = authorize(&client, &[("response_mode", "query")]);
    let sent = browser.submit(&path, &[("decision", "deny")]).await;
    let to = sent.location();
    assert!(to.starts_with(&format!("{REDIRECT}&error=access_denied&")), "{to}");
    assert_eq!(parameter(to, "state").as_deref(), Some("s t&"));
}

#[tokio::test]
async fn wrong_requests_go_back_to_the_client_or_stay_here() {
    let server = server().await;
    let client = client(&server).await;
    let browser = Browser::new(&server);
    // A link to this server leads nowhere else by itself, unless somebody uses the client here.
    let page = browser.get(&authorize(&client, &[("scope", "openid")])).await;
    assert_eq!(page.status, 400);
    assert!(page.headers.get("location").is_none());
    page.has("#error=invalid_scope&amp;");
    is_sound(&page);
    tokens(&server, &client).await;
    for (change, error) in [
        (("scope", "openid"), "invalid_scope"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("response_type", "token"), "unsupported_response_type"),
        (("prompt", "none"), "interaction_required"),
    ] {
        let sent = browser.get(&authorize(&client, &[change])).await;
        let to = sent.location();
        assert!(to.starts_with(REDIRECT), "{to}");
        assert_eq!(parameter(to, "error").as_deref(), Some(error));
        assert_eq!(parameter(to, "state").as_deref(), Some("s t&"));
    }
    let twice = format!("{}&scope=x", authorize(&client, &[]));
    for bad in [
        authorize("nobody", &[]),
        authorize("", &[]),
        authorize(&client, &[("redirect_uri", "https://evil.example.org/")]),
        authorize(&client, &[("redirect_uri", "https://app.example.org/?no_universal_links=1")]),
        authorize(&client, &[("redirect_uri", "javascript:alert(1)")]),
        authorize(&client, &[("redirect_uri", "")]),
        twice,
        "/oauth2/authorize".to_owned(),
        "/oauth2/authorize?%ff=%zz&&=".to_owned(),
    ] {
        let page = browser.get(&bad).await;
        assert_eq!(page.status, 400, "{bad}");
        assert!(page.headers.get("location").is_none());
    }
}

#[tokio::test]
async fn a_replayed_code_ends_the_session() {
    let server = server().await;
    let client = client(&server).await;
    let code = code(&server, &client).await;
    let tokens = redeem(&server, &client, &code).await.ok();
    whoami(&server, &tokens).await.ok();
    refused(&redeem(&server, &client, &code).await, 400, "invalid_grant");
    whoami(&server, &tokens).await.refused(401, "M_UNKNOWN_TOKEN");
    refused(&refresh(&server, &client, &tokens).await, 400, "invalid_grant");
}

#[tokio::test]
async fn a_reused_refresh_token_ends_the_session() {
    let server = server().await;
    let client = client(&server).await;
    let first = tokens(&server, &client).await;
    let second = refresh(&server, &client, &first).await.ok();
    whoami(&server, &second).await.ok();
    refused(&refresh(&server, &client, &first).await, 400, "invalid_grant");
    whoami(&server, &second).await.refused(401, "M_UNKNOWN_TOKEN");
    let list = server.sign_in("alice").await.get("/v3/devices").await.ok();
    assert!(!list.to_string().contains("ABCDEFGHIJ"), "{list}");
}

#[tokio::test]
async fn hostile_token_requests_have_their_codes() {
    let server = server().await;
    let client = client(&server).await;
    let mut other = metadata();
    other["client_name"] = "Other".into();
    let other = register(&server, &other).await.body["client_id"].clone();
    let other = other.as_str().expect("an id");
    let code = code(&server, &client).await;
    let request = |changes: &[(&'static str, &'static str)]| {
        let mut all = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", REDIRECT),
            ("client_id", client.as_str()),
            ("code_verifier", VERIFIER),
        ];
        for change in changes {
            all.retain(|(name, _)| *name != change.0);
            if !change.1.is_empty() {
                all.push(*change);
            }
        }
        form(&all)
    };
    let send = |body: String| {
        let request = Request::post("/oauth2/token")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        server.send(request.body(Body::from(body)).expect("a request"))
    };
    let wrong_client = request(&[]).replace(&client, other);
    for (body, error) in [
        (String::new(), "invalid_request"),
        ("\u{0}\u{ff}%zz".to_owned(), "invalid_request"),
        (request(&[("grant_type", "")]), "invalid_request"),
        (request(&[("grant_type", "password")]), "unsupported_grant_type"),
        (request(&[("grant_type", "client_credentials")]), "unsupported_grant_type"),
        (request(&[("code", "")]), "invalid_request"),
        (request(&[("code", "bpc_0000000000000000_x")]), "invalid_grant"),
        (request(&[("client_id", "")]), "invalid_request"),
        (request(&[("client_id", "nobody")]), "invalid_grant"),
        (wrong_client, "invalid_grant"),
        (request(&[("redirect_uri", "https://app.example.org/")]), "invalid_grant"),
        (request(&[("code_verifier", "")]), "invalid_request"),
        (request(&[("code_verifier", "wrong")]), "invalid_grant"),
        (request(&[("code_verifier", CHALLENGE)]), "invalid_grant"),
        (format!("{}&client_id=x", request(&[])), "invalid_request"),
        (request(&[("grant_type", "refresh_token")]), "invalid_request"),
        (request(&[("grant_type", DEVICE_CODE)]), "invalid_request"),
    ] {
        refused(&send(body).await, 400, error);
    }
    let json = Request::post("/oauth2/token").header("content-type", "application/json");
    let json = server.send(json.body(Body::from("{}")).expect("a request")).await;
    refused(&json, 400, "invalid_request");
    let large = send("a".repeat(100_000)).await;
    refused(&large, 413, "invalid_request");
    send(request(&[])).await.ok();
    // What nobody has is revoked already.
    post_form(&server, "/oauth2/revoke", &[("token", "x")]).await.ok();
    refused(&post_form(&server, "/oauth2/revoke", &[]).await, 400, "invalid_request");
}

#[tokio::test]
async fn bad_registrations_have_their_codes() {
    let server = server().await;
    for (field, value, error) in [
        ("redirect_uris", json!(["https://evil.example.com/"]), "invalid_redirect_uri"),
        ("redirect_uris", json!([]), "invalid_redirect_uri"),
        ("client_uri", json!("http://app.example.org/"), "invalid_client_metadata"),
        ("client_uri", Value::Null, "invalid_client_metadata"),
        ("token_endpoint_auth_method", json!("private_key_jwt"), "invalid_client_metadata"),
    ] {
        let mut wrong = metadata();
        wrong[field] = value;
        refused(&register(&server, &wrong).await, 400, error);
    }
    for body in ["", "[]", "{", "null"] {
        let request = Request::post("/oauth2/register").body(Body::from(body)).expect("a request");
        refused(&server.send(request).await, 400, "invalid_client_metadata");
    }
    assert_eq!(client(&server).await, client(&server).await);
}

#[tokio::test]
async fn consenting_twice_leaves_one_session() {
    let server = server().await;
    let client = client(&server).await;
    let (one, other) = (code(&server, &client).await, code(&server, &client).await);
    let first = redeem(&server, &client, &one).await.ok();
    // Who would do so knowingly is warned.
    let browser = Browser::new(&server);
    browser.sign_in("alice", PASSWORD).await.location();
    browser.get(&authorize(&client, &[])).await.has("ends your session on a device");
    let second = redeem(&server, &client, &other).await.ok();
    whoami(&server, &first).await.refused(401, "M_UNKNOWN_TOKEN");
    whoami(&server, &second).await.ok();
    let token = first["access_token"].as_str().expect("a token");
    post_form(&server, "/oauth2/revoke", &[("token", token)]).await.ok();
    whoami(&server, &second).await.ok();
}

#[tokio::test]
async fn forms_of_other_sites_do_nothing() {
    let server = server().await;
    let client = client(&server).await;
    let browser = Browser::new(&server);
    browser.sign_in("alice", PASSWORD).await.location();
    let path = authorize(&client, &[]);
    let word = browser.get(&path).await.word().to_owned();
    let allow = ("decision", "allow");
    for fields in [vec![allow], vec![allow, ("word", "")], vec![allow, ("word", "guessed")]] {
        let page = browser.post_bare(&path, &fields).await;
        assert_eq!(page.status, 403);
        assert!(page.headers.get("location").is_none());
    }
    // The word of another browser does not do.
    let other = Browser::new(&server);
    other.sign_in("alice", PASSWORD).await.location();
    let page = other.post_bare(&path, &[allow, ("word", &word)]).await;
    assert_eq!(page.status, 403);
    // A browser that says where a form comes from is believed.
    let request = Request::post(&path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "cross-site");
    let body = Body::from(form(&[allow, ("word", &word)]));
    assert_eq!(browser.send(request.body(body).expect("a request")).await.status, 403);
    browser.post_bare(&path, &[allow, ("word", &word)]).await.location();
}

#[tokio::test]
async fn signing_in_says_nothing_about_who_exists() {
    let server = server().await;
    let browser = Browser::new(&server);
    let mut pages = Vec::new();
    for (name, password) in [("alice", "wrong"), ("nobody", PASSWORD), ("", "")] {
        let page = browser.sign_in(name, password).await;
        assert_eq!(page.status, 403);
        page.has("User name or password is wrong.");
        page.has("aria-invalid=\"true\"");
        assert_eq!(browser.cookie("__Host-bp_account"), None);
        pages.push(page.html.replace(&format!("value=\"{name}\""), ""));
    }
    assert_eq!(pages[0], pages[1]);
}

#[tokio::test]
async fn nobody_is_sent_to_another_site_after_signing_in() {
    let server = server().await;
    for next in ["https://evil.example.org/", "//evil.example.org/", "/\\evil.example.org"] {
        let browser = Browser::new(&server);
        let path = format!("/account/login?{}", form(&[("next", next)]));
        let fields = [("name", "alice"), ("password", PASSWORD)];
        assert_eq!(browser.submit(&path, &fields).await.location(), "/account/");
        assert_eq!(browser.get(&path).await.location(), "/account/");
    }
}

#[tokio::test]
async fn cookies_cannot_be_read_by_scripts_or_sent_by_other_sites() {
    for (base, prefix, secure) in
        [("https://matrix.example.org", "__Host-", true), ("http://localhost:8008", "", false)]
    {
        let server = server_at(base).await;
        let browser = Browser::new(&server);
        let signed_in = browser.sign_in("alice", PASSWORD).await;
        let cookie = signed_in.header("set-cookie");
        assert!(cookie.starts_with(&format!("{prefix}bp_account=bpb_")), "{cookie}");
        assert!(cookie.contains("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
        assert_eq!(cookie.contains("; Secure"), secure, "{cookie}");
    }
}

#[tokio::test]
async fn a_device_without_a_browser_is_let_in_by_its_code() {
    let server = server().await;
    let client = client(&server).await;
    let fields = [("client_id", client.as_str()), ("scope", SCOPE)];
    let grant = post_form(&server, "/oauth2/device", &fields).await.ok();
    assert_eq!((&grant["expires_in"], &grant["interval"]), (&json!(900), &json!(5)));
    let code = grant["device_code"].as_str().expect("a code");
    let fields = [("grant_type", DEVICE_CODE), ("device_code", code), ("client_id", &client)];
    let poll = || post_form(&server, "/oauth2/token", &fields);
    refused(&poll().await, 400, "authorization_pending");
    refused(&poll().await, 400, "slow_down");

    let browser = Browser::new(&server);
    let page = grant["verification_uri"].as_str().expect("a page");
    let path = page.strip_prefix("https://matrix.example.org").expect("it is ours");
    assert_eq!(browser.get(path).await.location(), "/account/login?next=%2Faccount%2Flink");
    browser.sign_in("alice", PASSWORD).await.location();
    let wrong = browser.submit(path, &[("code", "nonsense")]).await;
    assert_eq!(wrong.status, 404);
    wrong.has("aria-invalid");
    let user_code = grant["user_code"].as_str().expect("a code");
    let confirm = browser.submit(path, &[("code", &user_code.to_lowercase())]).await;
    let confirm = confirm.location().to_owned();
    let page = browser.get(&confirm).await;
    page.has(user_code);
    page.has("Element");
    browser.submit(&confirm, &[("decision", "allow")]).await.has("Device connected");
    let tokens = poll().await.ok();
    whoami(&server, &tokens).await.ok();
    refused(&poll().await, 400, "invalid_grant");

    let complete = grant["verification_uri_complete"].as_str().expect("a page");
    assert_eq!(complete, format!("https://matrix.example.org/account/link?code={user_code}"));
    let gone =
        browser.get(complete.strip_prefix("https://matrix.example.org").expect("ours")).await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn a_denied_or_late_device_gets_nothing() {
    let server = server().await;
    let client = client(&server).await;
    let start = || async {
        let fields = [("client_id", client.as_str()), ("scope", SCOPE)];
        post_form(&server, "/oauth2/device", &fields).await.ok()
    };
    let poll = |grant: Value| {
        let (server, client) = (&server, &client);
        async move {
            let code = grant["device_code"].as_str().expect("a code");
            let fields =
                [("grant_type", DEVICE_CODE), ("device_code", code), ("client_id", client)];
            post_form(server, "/oauth2/token", &fields).await
        }
    };
    let browser = Browser::new(&server);
    browser.sign_in("alice", PASSWORD).await.location();
    let denied = start().await;
    let path = format!("/account/link?code={}", denied["user_code"].as_str().expect("a code"));
    browser.submit(&path, &[("decision", "deny")]).await.has("Denied");
    refused(&poll(denied).await, 400, "access_denied");
    let late = start().await;
    server.data.env().advance(Duration::from_secs(900));
    refused(&poll(late).await, 400, "expired_token");
    let fields = [("client_id", "nobody"), ("scope", SCOPE)];
    refused(&post_form(&server, "/oauth2/device", &fields).await, 401, "invalid_client");
}

#[tokio::test]
async fn cross_signing_keys_are_replaced_after_the_person_allowed_it() {
    let server = server().await;
    let client = client(&server).await;
    let tokens = tokens(&server, &client).await;
    let token = tokens["access_token"].as_str().expect("a token");
    let upload = |letter: &str| {
        let key = letter.repeat(43);
        let keys = json!({ format!("ed25519:{key}"): key });
        let master = json!({ "user_id": "@alice:example.org", "usage": ["master"], "keys": keys });
        let body = json!({ "master_key": master });
        server.post("/v3/keys/device_signing/upload", token, body)
    };
    upload("A").await.ok();
    upload("A").await.ok();
    let challenge = upload("E").await;
    let session = challenge.session();
    assert!(!session.is_empty());
    let url = "https://matrix.example.org/account/?action=org.matrix.cross_signing_reset";
    assert_eq!(challenge.body["params"]["m.oauth"]["url"], url);
    assert_eq!(challenge.body["flows"][0], json!({ "stages": ["m.oauth"] }));

    let browser = Browser::new(&server);
    browser.sign_in("alice", PASSWORD).await.location();
    let page = browser.get(url.strip_prefix("https://matrix.example.org").expect("ours")).await;
    let path = page.location().to_owned();
    assert_eq!(path, "/account/cross-signing");
    let wrong = browser.submit(&path, &[("password", "wrong")]).await;
    assert_eq!(wrong.status, 403);
    upload("E").await.session();
    browser.submit(&path, &[("password", PASSWORD)]).await.has("Reset allowed");
    upload("E").await.ok();
    // Once.
    upload("I").await.session();
}

#[tokio::test]
async fn clients_with_a_password_prove_it_with_the_password() {
    let server = server().await;
    let alice = server.sign_in("alice").await;
    let path = "/v3/devices/ABC";
    let challenge = alice.delete(path, None).await;
    challenge.session();
    assert_eq!(challenge.body["flows"], json!([{ "stages": ["m.login.password"] }]));
}

pub fn is_sound(page: &Page) {
    let html = &page.html;
    assert!(html.starts_with("<!DOCTYPE html><html lang=\""), "{html}");
    assert_eq!(html.matches("<h1>").count(), 1, "{html}");
    assert_eq!(html.matches("<main").count(), 1);
    assert!(html.contains("<title>") && html.contains("name=\"viewport\""));
    for forbidden in ["<script", "style=\"", "onclick", "javascript:", "src="] {
        assert!(!html.contains(forbidden), "{forbidden} in {html}");
    }
    // Whatever can be filled in has a label.
    for input in html.split("<input ").skip(1) {
        let tag = input.split('>').next().unwrap_or_default();
        if tag.contains("type=\"hidden\"") || tag.contains(" hidden") {
            continue;
        }
        let id = tag.split("id=\"").nth(1).and_then(|rest| rest.split('"').next());
        let id = id.unwrap_or_else(|| panic!("no id: {tag}"));
        assert!(html.contains(&format!("<label for=\"{id}\"")), "no label: {tag}");
    }
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(page.header(name), value);
    }
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'self'; form-action 'self'"));
    assert!(policy.ends_with("base-uri 'none'; frame-ancestors 'none'"));
}

/// The three headers that matter, and the body.
async fn meet(
    server: &Server,
    method: Method,
    url: &str,
    header: Option<(&str, &str)>,
    body: &str,
) -> Page {
    let mut request = Request::builder().method(method).uri(url);
    request = request.header("content-type", "text/plain");
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let browser = Browser::new(server);
    browser.send(request.body(Body::from(body.to_owned())).expect("a request")).await
}

#[tokio::test]
async fn two_devices_meet_as_in_msc4108_of_2024() {
    let server = server().await;
    let path = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous";
    let made = meet(&server, Method::POST, path, None, "").await;
    assert_eq!(made.status, 201);
    let url: Value = serde_json::from_str(&made.html).expect("JSON");
    let url = url["url"].as_str().expect("an address").to_owned();
    let url = url.strip_prefix("https://matrix.example.org").expect("it is ours");
    assert!(url.starts_with(path));
    let first = made.header("etag").to_owned();
    for name in ["expires", "last-modified"] {
        assert!(made.header(name).ends_with(" GMT"), "{name}");
    }
    assert_eq!((made.header("cache-control"), made.header("pragma")), ("no-store", "no-cache"));

    let same = meet(&server, Method::GET, url, Some(("if-none-match", &first)), "").await;
    assert_eq!((same.status.as_u16(), same.header("etag")), (304, first.as_str()));
    let sent = meet(&server, Method::PUT, url, Some(("if-match", &first)), "hello").await;
    assert_eq!(sent.status, 202);
    let late = meet(&server, Method::PUT, url, Some(("if-match", &first)), "late").await;
    assert_eq!((late.status.as_u16(), late.header("etag")), (412, sent.header("etag")));
    late.has("M_CONCURRENT_WRITE");
    let got = meet(&server, Method::GET, url, Some(("if-none-match", &first)), "").await;
    assert_eq!((got.status.as_u16(), got.html.as_str()), (200, "hello"));
    assert_eq!(got.header("content-type"), "text/plain");
    assert_eq!(got.header("etag"), sent.header("etag"));

    let page = meet(&server, Method::GET, url, Some(("sec-fetch-mode", "navigate")), "").await;
    assert_eq!(page.status, 403);
    assert_eq!(meet(&server, Method::PUT, url, None, "x").await.status, 400);
    assert_eq!(meet(&server, Method::PUT, url, Some(("if-match", "*")), "x").await.status, 400);
    let large = "a".repeat(5_000);
    let etag = got.header("etag");
    assert_eq!(meet(&server, Method::PUT, url, Some(("if-match", etag)), &large).await.status, 413);
    let html = Request::post(path).header("content-type", "text/html").body(Body::empty());
    server.send(html.expect("a request")).await.refused(400, "M_INVALID_PARAM");
    assert_eq!(meet(&server, Method::DELETE, url, None, "").await.status, 204);
    assert_eq!(meet(&server, Method::GET, url, None, "").await.status, 404);
    let versions = server.call(Method::GET, "/versions", None, None).await.ok();
    assert_eq!(versions["unstable_features"]["org.matrix.msc4108"], true);
}

#[tokio::test]
async fn two_devices_meet_as_in_msc4388() {
    let server = server().await;
    let path = "/unstable/io.element.msc4388/rendezvous";
    let found = server.call(Method::GET, path, None, None).await.ok();
    assert_eq!(found, json!({ "create_available": true }));
    let made = server.post_open(path, json!({ "data": "a" })).await.ok();
    assert_eq!(made["expires_in_ms"], 300_000);
    let place = format!("{path}/{}", made["id"].as_str().expect("an id"));
    let got = server.call(Method::GET, &place, None, None).await.ok();
    assert_eq!((&got["data"], &got["sequence_token"]), (&json!("a"), &made["sequence_token"]));
    let next = json!({ "data": "b", "sequence_token": made["sequence_token"] });
    let put = |place: String, body: Value| {
        let server = &server;
        async move { server.call(Method::PUT, &place, None, Some(body)).await }
    };
    let sent = put(format!("{place}/t1"), next.clone()).await.ok();
    // The answer was lost.
    assert_eq!(put(format!("{place}/t1"), next.clone()).await.ok(), sent);
    put(place.clone(), next.clone()).await.refused(409, "IO_ELEMENT_MSC4388_CONCURRENT_WRITE");
    let after = json!({ "data": "c", "sequence_token": sent["sequence_token"] });
    put(place.clone(), after).await.ok();
    assert_eq!(server.call(Method::GET, &place, None, None).await.ok()["data"], "c");
    put(place.clone(), json!({})).await.refused(400, "M_INVALID_PARAM");
    put(format!("{place}/a b").replace(' ', "%20"), next).await.refused(400, "M_INVALID_PARAM");
    let large = json!({ "data": "a".repeat(5_000) });
    server.post_open(path, large).await.refused(413, "M_TOO_LARGE");
    server.call(Method::DELETE, &place, None, None).await.ok();
    server.call(Method::GET, &place, None, None).await.refused(404, "M_NOT_FOUND");
}
