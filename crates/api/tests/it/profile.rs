use http::Method;
use serde_json::json;

use crate::server::Server;

#[tokio::test]
async fn fields_are_set_read_and_removed() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let path = |field: &str| format!("/v3/profile/{}/{field}", alice.id);
    for (field, value) in [
        ("displayname", json!("Alice")),
        ("avatar_url", json!("mxc://example.org/x")),
        ("m.tz", json!("Europe/Berlin")),
        ("org.example.x", json!({ "a": [1] })),
    ] {
        alice.put(&path(field), json!({ field: value })).await.ok();
        let read = server.call(Method::GET, &path(field), None, None).await.ok();
        assert_eq!(read, json!({ field: value }));
    }
    let whole = format!("/v3/profile/{}", alice.id);
    let read = server.call(Method::GET, &whole, None, None).await.ok();
    assert_eq!(read.as_object().map(serde_json::Map::len), Some(4));
    alice.delete(&path("m.tz"), None).await.ok();
    let gone = server.call(Method::GET, &path("m.tz"), None, None).await;
    gone.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn impossible_fields_are_refused() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let path = |field: &str| format!("/v3/profile/{}/{field}", alice.id);
    let dn = path("displayname");
    bob.put(&dn, json!({ "displayname": "x" })).await.refused(403, "M_FORBIDDEN");
    let nobody = server.call(Method::PUT, &dn, None, Some(json!({ "displayname": "x" }))).await;
    nobody.refused(401, "M_MISSING_TOKEN");
    assert_eq!(alice.put(&dn, json!({})).await.status, 400);
    assert_eq!(alice.put(&dn, json!({ "displayname": 5 })).await.status, 400);
    assert_eq!(alice.put(&dn, json!([1])).await.status, 400);
    let long = "x".repeat(256);
    alice.put(&path(&long), json!({ long: 1 })).await.refused(400, "M_KEY_TOO_LARGE");
    let big = json!({ "org.big": "x".repeat(70_000) });
    alice.put(&path("org.big"), big).await.refused(400, "M_PROFILE_TOO_LARGE");
    for user in ["@nobody:example.org", "@x:other.example"] {
        let path = format!("/v3/profile/{user}");
        server.call(Method::GET, &path, None, None).await.refused(404, "M_NOT_FOUND");
    }
}

#[tokio::test]
async fn presence_is_for_those_who_share_a_room() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let path = format!("/v3/presence/{}/status", alice.id);
    let busy = json!({ "presence": "unavailable", "status_msg": "lunch" });
    alice.put(&path, busy.clone()).await.ok();
    let read = alice.get(&path).await.ok();
    assert_eq!((&read["presence"], &read["status_msg"]), (&json!("unavailable"), &json!("lunch")));
    bob.get(&path).await.refused(403, "M_FORBIDDEN");
    bob.put(&path, busy).await.refused(403, "M_FORBIDDEN");
    let unknown = json!({ "presence": "sleeping" });
    alice.put(&path, unknown).await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn many_fields_are_set_at_once_or_none() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let path = format!("/unstable/uk.tcpip.msc4133/profile/{}", alice.id);
    let whole = format!("/v3/profile/{}", alice.id);
    let read = || async { server.call(Method::GET, &whole, None, None).await.ok() };
    let patch = |body| server.call(Method::PATCH, &path, Some(&alice.token), Some(body));
    alice.put(&path, json!({ "displayname": "Alice", "org.example.a": 1 })).await.ok();
    let changed = patch(json!({ "org.example.b": [2], "m.tz": "Europe/Berlin" })).await.ok();
    let wanted = json!({
        "displayname": "Alice", "m.tz": "Europe/Berlin", "org.example.a": 1, "org.example.b": [2],
    });
    assert_eq!((&changed, &read().await), (&wanted, &wanted));
    patch(json!({ "org.example.a": 3, "displayname": 7 })).await.refused(400, "M_INVALID_PARAM");
    patch(json!({ "org.example.a": 3, "Not A Name": 7 })).await.refused(400, "M_INVALID_PARAM");
    assert_eq!(read().await, wanted, "nothing of it was done");
    alice.put(&path, json!({ "org.example.c": true })).await.ok();
    assert_eq!(read().await, json!({ "org.example.c": true }));
    bob.put(&path, json!({})).await.refused(403, "M_FORBIDDEN");
    patch(json!([])).await.refused(400, "M_BAD_JSON");
    let large = json!({ "org.example.a": "x".repeat(70_000) });
    alice.put(&path, large).await.refused(400, "M_PROFILE_TOO_LARGE");
}
