//! Who has an account (MSC3720).

use blaupause_api::Settings;
use serde_json::json;

use crate::server::{Server, settings};

const PATH: &str = "/unstable/org.matrix.msc3720/account_status";

#[tokio::test]
async fn accounts_of_this_server_are_told_where_the_operator_wants_it() {
    let api = Settings { account_status: true, ..Settings::default() };
    let server = Server::with_api(settings(), api).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let bob_id = ruma::UserId::parse(&bob.id).expect("an id");
    server.accounts.deactivate(&bob_id, false).await.expect("closed");
    let body = json!({ "user_ids": [alice.id, bob.id, "@no:example.org", "@a:b.example"] });
    let told = alice.post(PATH, body).await.ok();
    let expected = json!({
        "account_statuses": {
            alice.id.as_str(): { "exists": true, "deactivated": false },
            bob.id.as_str(): { "exists": true, "deactivated": true },
            "@no:example.org": { "exists": false },
        },
        "failures": ["@a:b.example"],
    });
    assert_eq!(told, expected);
    let many: Vec<_> = (0..101).map(|n| format!("@a{n}:example.org")).collect();
    alice.post(PATH, json!({ "user_ids": many })).await.refused(400, "M_INVALID_PARAM");
    alice.post(PATH, json!({})).await.refused(400, "M_MISSING_PARAM");
}

#[tokio::test]
async fn by_default_nobody_is_told_who_has_an_account() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    let refused = alice.post(PATH, json!({ "user_ids": [alice.id] })).await;
    refused.refused(404, "M_UNRECOGNIZED");
}
