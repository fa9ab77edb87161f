//! Knocking at rooms of other servers.

use serde_json::json;

use super::{join, membership, room, shown, stripped};
use crate::federation::network::Network;

#[tokio::test]
async fn who_knocks_sees_the_room_and_is_let_in() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let rule = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
    let how = json!({ "name": "Amtsstube", "initial_state": [rule] });
    let room = room(&alice, how).await;
    join(&bob, &room, "a.example").await.refused(403, "M_FORBIDDEN");
    let body = json!({ "reason": "please" });
    bob.post(&format!("/v3/knock/{room}?via=a.example"), body).await.ok();
    assert_eq!(membership(&alice, &room, &bob.id).await, "knock");
    let shown_room = shown(&bob, "knock", &room).await.expect("the knock is shown");
    let name = stripped(&shown_room, "knock_state", "m.room.name").expect("the room has a name");
    assert_eq!(name["content"]["name"], "Amtsstube");
    let own = stripped(&shown_room, "knock_state", "m.room.member").expect("the own event");
    assert_eq!(own["content"]["reason"], "please");
    let invite = json!({ "user_id": bob.id });
    alice.post(&format!("/v3/rooms/{room}/invite"), invite).await.ok();
    assert!(shown(&bob, "knock", &room).await.is_none());
    assert!(shown(&bob, "invite", &room).await.is_some());
    // The server that invited is asked without being named.
    bob.post(&format!("/v3/rooms/{room}/join"), json!({})).await.ok();
    assert_eq!(membership(&alice, &room, &bob.id).await, "join");
}

#[tokio::test]
async fn a_knock_is_taken_back() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let rule = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
    let room = room(&alice, json!({ "initial_state": [rule] })).await;
    let knock = format!("/v3/knock/{room}?via=a.example");
    bob.post(&knock, json!({})).await.ok();
    bob.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
    assert_eq!(membership(&alice, &room, &bob.id).await, "leave");
    assert!(shown(&bob, "knock", &room).await.is_none());
    bob.post(&knock, json!({})).await.ok();
    assert_eq!(membership(&alice, &room, &bob.id).await, "knock");
}
