//! Rules of what servers tell each other that a black-box suite looks at, too.

use http::Method;
use ruma::RoomVersionId;
use serde_json::{Value, json};

use super::{network::Network, peer::Peer};
use crate::server::{Client, Server};

const DIRECTORY: &str = "/_matrix/federation/v1/publicRooms";

async fn room(of: &Client<'_>, how: Value) -> String {
    let made = of.post("/v3/createRoom", how).await.ok();
    made["room_id"].as_str().expect("an id").to_owned()
}

async fn news(of: &Client<'_>) -> Value {
    let filter = "%7B%22room%22%3A%7B%22include_leave%22%3Atrue%7D%7D";
    of.get(&format!("/v3/sync?timeout=0&filter={filter}")).await.ok()
}

/// A server, somebody of it, a room of theirs, and somebody of a peer in it.
async fn with_peer<'a>(network: &Network, server: &'a Server) -> (Client<'a>, String, Peer) {
    let alice = server.user("alice").await;
    let how = json!({ "preset": "public_chat", "visibility": "public", "room_version": "11" });
    let room = room(&alice, how).await;
    let peer = Peer::new(network, "peer.example");
    peer.joins(server, &room, "@bob:peer.example").await;
    (alice, room, peer)
}

#[tokio::test]
async fn who_is_online_and_what_is_published_others_learn_only_if_the_operator_says_so() {
    for is_open in [false, true] {
        let mut network = Network::new();
        network.is_open = is_open;
        let a = network.server("a.example").await;
        let (alice, _, peer) = with_peer(&network, &a).await;
        let push = json!([{ "user_id": "@bob:peer.example", "presence": "online",
            "last_active_ago": 1, "status_msg": "hi" }]);
        let edu = json!({ "edu_type": "m.presence", "content": { "push": push } });
        peer.sends(&a, Vec::new(), vec![edu]).await.ok();
        let events = news(&alice).await["presence"]["events"].to_string();
        assert_eq!(events.contains("@bob:peer.example"), is_open, "{events}");
        for (method, body) in [(Method::GET, None), (Method::POST, Some(json!({})))] {
            let answer = peer.asks(&a, method, DIRECTORY, body).await;
            if is_open {
                assert_eq!(answer.ok()["chunk"].as_array().map(Vec::len), Some(1));
            } else {
                answer.refused(403, "M_FORBIDDEN");
            }
        }
    }
}

#[tokio::test]
async fn a_receipt_may_come_before_its_event() {
    let network = Network::new();
    let a = network.server("a.example").await;
    let (alice, room, peer) = with_peer(&network, &a).await;
    let bob = "@bob:peer.example";
    let mut event = peer.draft(&a, &room, bob, "m.room.message").await;
    event["content"] = json!({ "msgtype": "m.text", "body": "hi" });
    let (id, event) = peer.signs(&event, &RoomVersionId::V11);
    let receipt = json!({ "edu_type": "m.receipt", "content": {
        &room: { "m.read": { bob: { "event_ids": [id], "data": { "ts": 1 } } } } } });
    peer.sends(&a, Vec::new(), vec![receipt]).await.ok();
    let shown = async || news(&alice).await["rooms"]["join"][&room]["ephemeral"].to_string();
    assert!(!shown().await.contains(&id), "the event is not known");
    peer.sends(&a, vec![event], Vec::new()).await.ok();
    for _ in 0..1_000 {
        if shown().await.contains(&id) {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the receipt is lost: {}", shown().await);
}

#[tokio::test]
async fn the_first_versions_of_send_join_and_send_leave_answer_in_a_list() {
    let network = Network::new();
    let a = network.server("a.example").await;
    let (_, room, peer) = with_peer(&network, &a).await;
    let carol = "@carol:peer.example";
    for kind in ["join", "leave"] {
        let template = peer.template(&a, kind, &room, carol).await.ok();
        let (id, event) = peer.signs(&template["event"], &RoomVersionId::V11);
        let path = |kind: &str, id: &str| format!("/v1/send_{kind}/{room}/{id}");
        // What it is not for.
        let mut other = template["event"].clone();
        other["content"]["membership"] = json!("invite");
        let (other_id, other) = peer.signs(&other, &RoomVersionId::V11);
        let wrong = peer.asks(&a, Method::PUT, &path(kind, &other_id), Some(other)).await;
        wrong.refused(400, "M_INVALID_PARAM");
        let answer = peer.asks(&a, Method::PUT, &path(kind, &id), Some(event)).await.ok();
        assert_eq!(answer[0], 200);
        assert_eq!(answer[1]["state"].is_array(), kind == "join", "{answer}");
    }
}

#[tokio::test]
async fn the_end_of_an_invitation_is_an_event_that_its_owner_sees() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, anna, bob) = (a.user("alice").await, a.user("anna").await, b.user("bob").await);
    let leave = async |room: &str| {
        let news = news(&bob).await;
        let events = news["rooms"]["leave"][room]["timeline"]["events"].as_array().cloned();
        events.unwrap_or_default().pop()
    };
    let private = json!({ "preset": "private_chat", "invite": [bob.id] });
    // Declined, also where nobody is left to be told.
    for is_empty in [false, true] {
        let room = room(&alice, private.clone()).await;
        if is_empty {
            alice.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
        }
        bob.post(&format!("/v3/rooms/{room}/leave"), json!({ "reason": "no" })).await.ok();
        let event = leave(&room).await.expect("the own leave");
        assert_eq!((&event["sender"], &event["state_key"]), (&json!(bob.id), &json!(bob.id)));
        assert_eq!(event["content"], json!({ "membership": "leave", "reason": "no" }));
        assert!(event["event_id"].is_string() && event["origin_server_ts"].is_u64(), "{event}");
    }
    // Taken back by who invited, and by somebody else.
    for by in [&alice, &anna] {
        let how = json!({ "preset": "trusted_private_chat", "invite": [anna.id],
            "room_version": "11" });
        let room = room(&alice, how).await;
        anna.post(&format!("/v3/join/{room}"), json!({})).await.ok();
        let path = format!("/v3/rooms/{room}/invite");
        alice.post(&path, json!({ "user_id": bob.id })).await.ok();
        by.post(&format!("/v3/rooms/{room}/kick"), json!({ "user_id": bob.id })).await.ok();
        let name: ruma::OwnedRoomId = room.clone().try_into().expect("an id");
        let member = ("m.room.member".into(), bob.id.clone());
        let kick = a.rooms.current_state(&name, &[member]).await.expect("state").pop().flatten();
        let kick = kick.expect("the kick").stored.pdu.clone();
        let kick = serde_json::value::RawValue::from_string(kick).expect("JSON");
        b.rooms.stage(a.data.server_name(), vec![kick]).await.expect("taken");
        let is_inviter = by.id == alice.id;
        let seen = leave(&room).await;
        assert_eq!(seen.is_some(), is_inviter, "nobody here knows who else may");
        let invited = news(&bob).await["rooms"]["invite"].get(&room).is_some();
        assert_eq!(invited, !is_inviter);
    }
}

#[tokio::test]
async fn what_came_before_a_join_is_found_by_its_time() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let room = room(&alice, json!({ "preset": "public_chat" })).await;
    network.env.advance(std::time::Duration::from_secs(60));
    let text = json!({ "msgtype": "m.text", "body": "early" });
    let said = alice.put(&format!("/v3/rooms/{room}/send/m.room.message/1"), text).await.ok();
    let at = network.env.now_millis();
    network.env.advance(std::time::Duration::from_secs(60));
    bob.post(&format!("/v3/join/{room}?via=a.example"), json!({})).await.ok();
    let look = async |ts: u64, dir: &str| {
        let path = format!("/v1/rooms/{room}/timestamp_to_event?ts={ts}&dir={dir}");
        bob.get(&path).await.ok()["event_id"].clone()
    };
    assert_eq!(look(at - 5, "f").await, said["event_id"]);
    assert_eq!(look(at + 5, "b").await, said["event_id"]);
    let event = said["event_id"].as_str().expect("an id");
    bob.get(&format!("/v3/rooms/{room}/context/{event}")).await.ok();
}

#[tokio::test]
async fn a_public_room_says_so_in_the_directory_and_its_creators_have_no_level() {
    let network = Network::new();
    let a = network.server("a.example").await;
    let alice = a.user("alice").await;
    let how = json!({ "preset": "public_chat", "visibility": "public", "room_version": "12" });
    let room = room(&alice, how).await;
    let posted = alice.post("/v3/publicRooms", json!({})).await.ok();
    for page in [alice.get("/v3/publicRooms").await.ok(), posted] {
        assert_eq!(page["chunk"][0]["join_rule"], "public", "{page}");
    }
    let state = format!("/v3/rooms/{room}/state");
    let levels = json!({ "users": { &alice.id: 100 } });
    let levels = alice.put(&format!("{state}/m.room.power_levels"), levels).await;
    levels.refused(400, "M_BAD_JSON");
    let create = alice.put(&format!("{state}/m.room.create"), json!({ "x": 1 })).await;
    create.refused(400, "M_INVALID_PARAM");
    let anna = a.user("anna").await;
    let invite = json!({ "user_id": anna.id });
    alice.post(&format!("/v3/rooms/{room}/invite"), invite).await.ok();
    let told = news(&anna).await["rooms"]["invite"][&room]["invite_state"]["events"].clone();
    let create = told
        .as_array()
        .and_then(|events| events.iter().find(|event| event["type"] == "m.room.create"));
    assert!(create.expect("the create event")["origin_server_ts"].is_u64(), "{told}");
}
