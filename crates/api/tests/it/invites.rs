//! From whom people take invitations (MSC4380, MSC4155).

use serde_json::{Value, json};

use crate::server::{Client, Server};

async fn set(who: &Client<'_>, kind: &str, content: Value) {
    let path = format!("/v3/user/{}/account_data/{kind}", who.id);
    who.put(&path, content).await.ok();
}

async fn room(of: &Client<'_>) -> String {
    let made = of.post("/v3/createRoom", json!({})).await.ok();
    made["room_id"].as_str().expect("an id").to_owned()
}

/// Rooms to which a sync answer invites.
async fn invitations(who: &Client<'_>) -> Vec<String> {
    let news = who.get("/v3/sync?timeout=0").await.ok();
    let invited = news["rooms"]["invite"].as_object();
    invited.map(|rooms| rooms.keys().cloned().collect()).unwrap_or_default()
}

const LISTS: &str = "org.matrix.msc4155.invite_permission_config";

#[tokio::test]
async fn a_blocked_person_is_told_so_and_an_ignored_one_is_not() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let (carol, dave) = (server.user("carol").await, server.user("dave").await);
    let lists = json!({ "ignored_users": [carol.id], "blocked_users": ["@dav?:*"] });
    set(&alice, LISTS, lists).await;
    let invite = json!({ "user_id": alice.id });
    let mut rooms = Vec::new();
    for person in [&bob, &carol, &dave] {
        let room = room(person).await;
        let answer = person.post(&format!("/v3/rooms/{room}/invite"), invite.clone()).await;
        if person.id == dave.id {
            answer.refused(403, "M_INVITE_BLOCKED");
        } else {
            answer.ok();
        }
        rooms.push(room);
    }
    assert_eq!(invitations(&alice).await, [&*rooms[0]]);
    server.notify.follow().await.expect("follows");
    let told = alice.get("/v3/notifications").await.ok();
    let told = told["notifications"].as_array().expect("a list").iter();
    let told: Vec<_> = told.filter_map(|told| told["room_id"].as_str()).collect();
    assert_eq!(told, [&*rooms[0]], "what is not shown is not told of");
    // Sliding sync hides it, too.
    let list = json!({ "ranges": [[0, 9]], "timeline_limit": 1, "required_state": [] });
    let sliding = "/unstable/org.matrix.simplified_msc3575/sync";
    let answer = alice.post(sliding, json!({ "lists": { "all": list } })).await.ok();
    assert_eq!(answer["lists"]["all"]["count"], 1);
    // Nobody knows better than whom they concern: other people's rules do not count.
    let make = json!({ "invite": [alice.id], "is_direct": true });
    dave.post("/v3/createRoom", make).await.refused(403, "M_INVITE_BLOCKED");
    set(&alice, LISTS, json!({ "enabled": false, "blocked_users": ["*"] })).await;
    dave.post(&format!("/v3/rooms/{}/invite", rooms[2]), invite).await.ok();
    assert_eq!(invitations(&alice).await.len(), 3, "what was ignored is shown again");
}

#[tokio::test]
async fn garbage_in_the_rules_is_no_rule() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room(&bob).await;
    for content in [json!({ "blocked_users": 7 }), json!({ "blocked_users": [7] }), json!({})] {
        set(&alice, LISTS, content).await;
        set(&alice, "m.invite_permission_config", json!({ "default_action": 1 })).await;
        let path = format!("/v3/rooms/{room}/invite");
        bob.post(&path, json!({ "user_id": alice.id })).await.ok();
        alice.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
    }
}

#[tokio::test]
async fn invitations_that_came_before_somebody_blocked_all_are_hidden_until_they_stop() {
    let server = Server::new().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = room(&bob).await;
    let invite = json!({ "user_id": alice.id });
    bob.post(&format!("/v3/rooms/{room}/invite"), invite).await.ok();
    assert_eq!(invitations(&alice).await, [&*room]);
    let kind = "m.invite_permission_config";
    set(&alice, kind, json!({ "default_action": "block" })).await;
    assert!(invitations(&alice).await.is_empty());
    set(&alice, kind, json!({})).await;
    assert_eq!(invitations(&alice).await, [&*room]);
}
