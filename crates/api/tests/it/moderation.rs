//! What administrators do to accounts, and what a locked one can still do: sign out.

use blaupause_accounts::{NewAccount, PasswordRules, Secret, Settings};
use blaupause_api::{Turn, TurnLogin, route_table};
use http::Method;
use serde_json::{Value, json};

use crate::server::{Client, PASSWORD, Server, password_login, settings};

async fn admin<'s>(server: &'s Server, name: &str) -> Client<'s> {
    let password = Some(Secret::new(PASSWORD.to_owned()));
    let new = NewAccount { localpart: name.to_owned(), password, admin: true };
    server.accounts.create(new).await.expect("the name is free");
    server.sign_in(name).await
}

#[tokio::test]
async fn administrators_suspend_and_lock() {
    let server = Server::new().await;
    let (root, alice) = (admin(&server, "root").await, server.user("alice").await);
    for (what, field) in [("suspend", "suspended"), ("lock", "locked")] {
        for prefix in ["/v1", "/unstable/uk.timedout.msc4323"] {
            let path = format!("{prefix}/admin/{what}/{}", alice.id);
            for is in [true, false] {
                let set = root.put(&path, json!({ field: is })).await.ok();
                assert_eq!(set, json!({ field: is }));
                assert_eq!(root.get(&path).await.ok(), json!({ field: is }));
            }
        }
    }
    let capabilities = root.get("/v3/capabilities").await.ok();
    let moderation = json!({ "suspend": true, "lock": true });
    assert_eq!(capabilities["capabilities"]["m.account_moderation"], moderation);
    let capabilities = alice.get("/v3/capabilities").await.ok();
    assert!(capabilities["capabilities"].get("m.account_moderation").is_none());
}

#[tokio::test]
async fn only_administrators_may_and_not_to_each_other() {
    let server = Server::new().await;
    let (root, other) = (admin(&server, "root").await, admin(&server, "other").await);
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    for (what, field) in [("suspend", "suspended"), ("lock", "locked")] {
        let path = |user: &str| format!("/v1/admin/{what}/{user}");
        let body = json!({ field: true });
        // Whoever may not learns nothing about who has an account.
        for user in [bob.id.as_str(), "@nobody:example.org", "@x:elsewhere.org"] {
            alice.put(&path(user), body.clone()).await.refused(403, "M_FORBIDDEN");
            alice.get(&path(user)).await.refused(403, "M_FORBIDDEN");
        }
        for user in [&root.id, &other.id] {
            root.put(&path(user), body.clone()).await.refused(403, "M_FORBIDDEN");
        }
        let foreign = root.put(&path("@x:elsewhere.org"), body.clone()).await;
        foreign.refused(400, "M_INVALID_PARAM");
        let unknown = root.put(&path("@nobody:example.org"), body.clone()).await;
        unknown.refused(404, "M_NOT_FOUND");
        root.put(&path("nobody"), body.clone()).await.refused(400, "M_INVALID_PARAM");
        root.put(&path(&bob.id), json!({})).await.refused(400, "M_MISSING_PARAM");
        root.put(&path(&bob.id), json!({ field: "yes" })).await.refused(400, "M_BAD_JSON");
    }
    assert!(bob.works().await);
}

/// Paths with something in place of each parameter.
fn path(template: &str) -> String {
    let mut path = String::new();
    let mut in_name = false;
    for letter in template.chars() {
        match letter {
            '{' => {
                in_name = true;
                path.push_str("org.example.x");
            }
            '}' => in_name = false,
            _ if in_name => {}
            _ => path.push(letter),
        }
    }
    path
}

#[tokio::test]
async fn a_locked_account_is_told_so_everywhere_and_can_sign_out() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let other = server.sign_in("alice").await;
    let id = ruma::UserId::parse(alice.id.as_str()).expect("a user id");
    let mut login = password_login("alice", PASSWORD);
    login["refresh_token"] = true.into();
    let refresh = server.post_open("/v3/login", login).await.ok()["refresh_token"].clone();
    server.accounts.set_locked(&id, true).await.expect("known");
    let needs_token = route_table().into_iter().filter(|route| route.needs_token == Some(true));
    let mut asked = 0;
    for route in needs_token {
        if route.path.ends_with("/logout") || route.path.ends_with("/logout/all") {
            continue;
        }
        let method = Method::from_bytes(route.method.as_bytes()).expect("a method");
        let body = (method != Method::GET).then(|| json!({}));
        let answer = server.call(method, &path(&route.path), Some(&alice.token), body).await;
        let seen = (answer.status.as_u16(), answer.code(), &answer.body["soft_logout"]);
        assert_eq!(seen, (401, "M_USER_LOCKED", &Value::Bool(true)), "{route:?}");
        asked += 1;
    }
    assert!(asked > 150, "{asked}");
    // Handlers that recognise the caller themselves.
    for (method, path) in [
        (Method::POST, "/_matrix/media/v3/upload"),
        (Method::GET, "/_matrix/client/v1/media/download/example.org/x"),
        (Method::GET, "/_matrix/client/v3/voip/turnServer"),
    ] {
        let body = (method != Method::GET).then(|| json!({}));
        let answer = server.call(method, path, Some(&alice.token), body).await;
        answer.refused(401, "M_USER_LOCKED");
    }
    let login = server.post_open("/v3/login", password_login("alice", PASSWORD)).await;
    login.refused(401, "M_USER_LOCKED");
    let refresh = server.post_open("/v3/refresh", json!({ "refresh_token": refresh })).await;
    refresh.refused(401, "M_USER_LOCKED");
    alice.post("/v3/logout", json!({})).await.ok();
    server.accounts.set_locked(&id, false).await.expect("known");
    assert!(other.works().await, "sessions live on");
    assert!(!alice.works().await);
}

#[tokio::test]
async fn people_see_where_they_were_and_administrators_everybody() {
    let server = Server::new().await;
    let (root, alice) = (admin(&server, "root").await, server.user("alice").await);
    let bob = server.user("bob").await;
    for whois in ["/v3/admin/whois", "/r0/admin/whois"] {
        let of = |user: &str| format!("{whois}/{user}");
        let own = alice.get(&of(&alice.id)).await.ok();
        assert_eq!(own["user_id"], alice.id.as_str());
        let connections = &own["devices"][&alice.device]["sessions"][0]["connections"];
        assert!(connections[0]["last_seen"].is_u64(), "{own}");
        bob.get(&of(&alice.id)).await.refused(403, "M_FORBIDDEN");
        assert_eq!(root.get(&of(&alice.id)).await.ok()["user_id"], alice.id.as_str());
        root.get(&of("@nobody:example.org")).await.refused(404, "M_NOT_FOUND");
        root.get(&of("@x:elsewhere.org")).await.refused(400, "M_INVALID_PARAM");
    }
    let synapse = format!("/_synapse/admin/v1/whois/{}", alice.id);
    let seen = root.get(&synapse).await.ok();
    assert!(seen["devices"][&alice.device].is_object());
    alice.get(&synapse).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn clients_ask_who_is_an_administrator() {
    let server = Server::new().await;
    let (root, alice) = (admin(&server, "root").await, server.user("alice").await);
    let path = |user: &str| format!("/_synapse/admin/v1/users/{user}/admin");
    assert_eq!(root.get(&path(&root.id)).await.ok(), json!({ "admin": true }));
    assert_eq!(root.get(&path(&alice.id)).await.ok(), json!({ "admin": false }));
    alice.get(&path(&alice.id)).await.refused(403, "M_FORBIDDEN");
    root.get(&path("@nobody:example.org")).await.refused(404, "M_NOT_FOUND");
    root.get(&path("x")).await.refused(400, "M_INVALID_PARAM");
    server.call(Method::GET, &path(&root.id), None, None).await.refused(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn administrators_close_accounts() {
    let server = Server::new().await;
    let (root, alice) = (admin(&server, "root").await, server.user("alice").await);
    let path = format!("/_synapse/admin/v1/deactivate/{}", alice.id);
    alice.post(&path, json!({})).await.refused(403, "M_FORBIDDEN");
    root.post(&path, json!({ "erase": 1 })).await.refused(400, "M_BAD_JSON");
    assert!(alice.works().await);
    let done = root.post(&path, json!({ "erase": true })).await.ok();
    assert_eq!(done, json!({ "id_server_unbind_result": "success" }));
    assert!(!alice.works().await);
    let login = server.post_open("/v3/login", password_login("alice", PASSWORD)).await;
    login.refused(403, "M_USER_DEACTIVATED");
    let unknown = root.post("/_synapse/admin/v1/deactivate/@nobody:example.org", json!({})).await;
    unknown.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn password_rules_are_told_and_kept() {
    let server = Server::new().await;
    for path in ["/v3/password_policy", "/r0/password_policy"] {
        assert_eq!(server.call(Method::GET, path, None, None).await.ok(), json!({}));
    }
    let rules = PasswordRules { digit: true, lowercase: true, uppercase: true, symbol: true };
    let server = Server::with(Settings { password_rules: Some(rules), ..settings() }).await;
    let policy = server.call(Method::GET, "/v3/password_policy", None, None).await.ok();
    assert_eq!(
        policy,
        json!({
            "m.minimum_length": 8, "m.require_digit": true, "m.require_lowercase": true,
            "m.require_uppercase": true, "m.require_symbol": true,
        })
    );
    for (password, code) in [
        ("aB1!", "M_PASSWORD_TOO_SHORT"),
        ("abcdefG!", "M_PASSWORD_NO_DIGIT"),
        ("ABCDEF1!", "M_PASSWORD_NO_LOWERCASE"),
        ("abcdef1!", "M_PASSWORD_NO_UPPERCASE"),
        ("abcdefG1", "M_PASSWORD_NO_SYMBOL"),
    ] {
        let auth = json!({ "type": "m.login.dummy" });
        let body = json!({ "username": "alice", "password": password, "auth": auth });
        server.post_open("/v3/register", body).await.refused(400, code);
    }
    let auth = json!({ "type": "m.login.dummy" });
    let body = json!({ "username": "alice", "password": "abcdefG1!", "auth": auth });
    let made = server.post_open("/v3/register", body).await.ok();
    let token = made["access_token"].as_str().expect("a token");
    let change = server.post("/v3/account/password", token, json!({ "new_password": "abcdefgh" }));
    change.await.refused(400, "M_PASSWORD_NO_DIGIT");
}

#[tokio::test]
async fn calls_get_credentials_of_the_relay() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    assert_eq!(alice.get("/v3/voip/turnServer").await.ok(), json!({}));
    let uris = vec!["turns:turn.example.org?transport=tcp".to_owned()];
    let with = |login: TurnLogin| blaupause_api::Settings {
        turn: Some(Turn { uris: uris.clone(), ttl_seconds: 3600, login }),
        ..Default::default()
    };
    let shared = TurnLogin::Shared(Secret::new("north".to_owned()));
    let server = Server::with_api(settings(), with(shared)).await;
    let alice = server.user("alice").await;
    for version in ["v3", "r0"] {
        let answer = alice.get(&format!("/{version}/voip/turnServer")).await.ok();
        assert_eq!(answer["uris"], json!(uris));
        assert_eq!(answer["ttl"], 3600);
        assert_eq!(answer["username"], "1700003600:@alice:example.org");
        assert_eq!(answer["password"], "6cEh1+OSEPFM5XsksE7KvMgzX1c=");
    }
    let open = server.call(Method::GET, "/v3/voip/turnServer", None, None).await;
    open.refused(401, "M_MISSING_TOKEN");
    let password = Secret::new("same".to_owned());
    let fixed = TurnLogin::Fixed { username: "all".to_owned(), password };
    let server = Server::with_api(settings(), with(fixed)).await;
    let answer = server.user("alice").await.get("/v3/voip/turnServer").await.ok();
    assert_eq!((&answer["username"], &answer["password"]), (&json!("all"), &json!("same")));
}
