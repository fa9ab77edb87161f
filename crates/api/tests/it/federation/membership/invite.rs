//! Invitations across servers.

use std::time::Duration;

use blaupause_federation::Settings;
use blaupause_policy::ServerPolicy;
use serde_json::{Value, json};

use super::{joined, membership, public_room, room, shown, stripped};
use crate::{federation::network::Network, server::Client};

async fn invite(by: &Client<'_>, room: &str, who: &str) -> crate::server::Answer {
    by.post(&format!("/v3/rooms/{room}/invite"), json!({ "user_id": who })).await
}

#[tokio::test]
async fn an_invitation_is_shown_and_accepted() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    for version in ["6", "11", "12"] {
        let how = json!({
            "preset": "private_chat", "room_version": version, "name": "Amtsstube",
            "invite": [bob.id], "is_direct": true,
        });
        let room = room(&alice, how).await;
        assert_eq!(membership(&alice, &room, &bob.id).await, "invite", "{version}");
        let seen = shown(&bob, "invite", &room).await.expect("the invitation is shown");
        for kind in ["m.room.create", "m.room.name", "m.room.join_rules"] {
            assert!(stripped(&seen, "invite_state", kind).is_some(), "{version} {kind}: {seen}");
        }
        let events = seen["invite_state"]["events"].as_array().expect("events");
        let own = events.iter().find(|event| event["state_key"] == *bob.id).expect("the own event");
        assert_eq!(own["content"]["membership"], "invite");
        assert_eq!(own["content"]["is_direct"], true);
        let inviter = events.iter().find(|event| event["state_key"] == *alice.id);
        assert_eq!(inviter.expect("the inviter")["content"]["displayname"], "alice");
        bob.post(&format!("/v3/rooms/{room}/join"), json!({})).await.ok();
        assert_eq!(joined(&bob, &room).await, [alice.id.clone(), bob.id.clone()]);
        assert!(shown(&bob, "invite", &room).await.is_none());
    }
}

#[tokio::test]
async fn an_invitation_is_declined_and_sent_again() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let room = room(&alice, json!({ "preset": "private_chat" })).await;
    invite(&alice, &room, &bob.id).await.ok();
    bob.post(&format!("/v3/rooms/{room}/leave"), json!({ "reason": "no time" })).await.ok();
    let path = format!("/v3/rooms/{room}/state/m.room.member/{}", bob.id);
    let content = alice.get(&path).await.ok();
    assert_eq!(content, json!({ "membership": "leave", "reason": "no time" }));
    assert!(shown(&bob, "invite", &room).await.is_none());
    assert!(shown(&bob, "join", &room).await.is_none());
    bob.post(&format!("/v3/rooms/{room}/join"), json!({})).await.refused(404, "M_NOT_FOUND");
    // Another one, and out of the list of left rooms.
    invite(&alice, &room, &bob.id).await.ok();
    assert!(shown(&bob, "invite", &room).await.is_some());
    bob.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
    bob.post(&format!("/v3/rooms/{room}/forget"), json!({})).await.ok();
    assert!(shown(&bob, "leave", &room).await.is_none());
}

#[tokio::test]
async fn an_invitation_of_a_server_that_is_gone_can_be_declined() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let room = room(&alice, json!({ "preset": "private_chat" })).await;
    invite(&alice, &room, &bob.id).await.ok();
    network.cut(&a, &b);
    bob.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
    assert!(shown(&bob, "invite", &room).await.is_none());
    assert_eq!(membership(&alice, &room, &bob.id).await, "invite");
    // It is told when it is back, even by a server that was restarted meanwhile.
    let settings = Settings { servers: ServerPolicy::open(), ..Settings::default() };
    let b = network.server_over("b.example", settings, b.store.copy()).await;
    let due = async |seconds| {
        network.env.advance(Duration::from_secs(seconds));
        b.rooms.tell_due_leaves().await.expect("the store works")
    };
    assert_eq!(due(1).await, 1, "not yet");
    assert_eq!(due(60).await, 1, "still away");
    network.mend(&a, &b);
    assert_eq!(due(60).await, 1, "tried a minute ago");
    assert_eq!(membership(&alice, &room, &bob.id).await, "invite");
    assert_eq!(due(24 * 60 * 60).await, 0);
    assert_eq!(membership(&alice, &room, &bob.id).await, "leave");
}

#[tokio::test]
async fn who_takes_no_invitations_gets_none_and_the_inviter_is_told() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let path = format!("/v3/user/{}/account_data/m.invite_permission_config", bob.id);
    bob.put(&path, json!({ "default_action": "block" })).await.ok();
    let room = room(&alice, json!({ "preset": "private_chat" })).await;
    invite(&alice, &room, &bob.id).await.refused(403, "M_INVITE_BLOCKED");
    assert_eq!(membership(&alice, &room, &bob.id).await, "");
    assert!(shown(&bob, "invite", &room).await.is_none());
    invite(&alice, &room, "@nobody:b.example").await.refused(404, "M_NOT_FOUND");
    let gone = invite(&alice, &room, "@nobody:gone.example").await;
    assert_eq!((gone.status.as_u16(), gone.code()), (502, "M_UNKNOWN"));
}

#[tokio::test]
async fn who_may_not_invite_does_not_get_as_far_as_the_other_server() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, anna) = (a.user("alice").await, a.user("anna").await);
    let bob = b.user("bob").await;
    let room = public_room(&alice).await;
    invite(&anna, &room, &bob.id).await.refused(403, "M_FORBIDDEN");
    let content = json!({ "membership": "invite" });
    let path = format!("/v3/rooms/{room}/state/m.room.member/{}", bob.id);
    anna.put(&path, content.clone()).await.refused(403, "M_FORBIDDEN");
    assert_eq!(network.count(&b, "/invite/"), 0);
    // As any other state event.
    alice.put(&path, content).await.ok();
    assert_eq!(membership(&alice, &room, &bob.id).await, "invite");
    assert!(shown(&bob, "invite", &room).await.is_some());
}

#[tokio::test]
async fn an_invitation_that_is_taken_back_disappears() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let c = network.server("c.example").await;
    let (alice, bob, carol) = (a.user("alice").await, b.user("bob").await, c.user("carol").await);
    let room = room(&alice, json!({ "preset": "private_chat" })).await;
    invite(&alice, &room, &bob.id).await.ok();
    alice.post(&format!("/v3/rooms/{room}/kick"), json!({ "user_id": bob.id })).await.ok();
    let name: ruma::OwnedRoomId = room.clone().try_into().expect("an id");
    let member = ("m.room.member".into(), bob.id.clone());
    let kick = a.rooms.current_state(&name, &[member]).await.expect("state").pop().flatten();
    let kick = kick.expect("the kick").stored.pdu.clone();
    let send = |text: String| serde_json::value::RawValue::from_string(text).expect("JSON");
    // Not from a server that has nothing to do with it, nor altered.
    b.rooms.stage(carol.server.data.server_name(), vec![send(kick.clone())]).await.expect("taken");
    let mut forged: Value = serde_json::from_str(&kick).expect("JSON");
    forged["origin_server_ts"] = json!(5);
    b.rooms.stage(a.data.server_name(), vec![send(forged.to_string())]).await.expect("taken");
    assert!(shown(&bob, "invite", &room).await.is_some());
    b.rooms.stage(a.data.server_name(), vec![send(kick)]).await.expect("taken");
    assert!(shown(&bob, "invite", &room).await.is_none());
}

#[tokio::test]
async fn an_invitation_notifies_and_ignored_ones_do_not() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, anna) = (a.user("alice").await, a.user("anna").await);
    let bob = b.user("bob").await;
    let pusher = json!({
        "kind": "http", "app_id": "app", "pushkey": "key", "app_display_name": "App",
        "device_display_name": "Phone", "lang": "de",
        "data": { "url": "https://push.example/_matrix/push/v1/notify" },
    });
    bob.post("/v3/pushers/set", pusher).await.ok();
    b.notify.follow().await.expect("follows");
    let path = format!("/v3/user/{}/account_data/m.ignored_user_list", bob.id);
    bob.put(&path, json!({ "ignored_users": { anna.id.clone(): {} } })).await.ok();
    for by in [&alice, &anna] {
        let room = room(by, json!({ "preset": "private_chat" })).await;
        invite(by, &room, &bob.id).await.ok();
    }
    b.notify.follow().await.expect("follows");
    let bob_id: ruma::OwnedUserId = bob.id.clone().try_into().expect("an id");
    let part = b.data.parts().user(&bob_id);
    let told = b.data.list::<blaupause_notify::rows::NotificationRow>(part, &(), 10).await;
    assert_eq!(told.expect("read").rows.len(), 1);
}
