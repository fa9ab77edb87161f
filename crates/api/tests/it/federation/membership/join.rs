//! Coming into rooms of other servers.

use serde_json::{Value, json};

use super::{join, joined, membership, public_room, room, shown};
use crate::federation::network::Network;

#[tokio::test]
async fn people_join_rooms_of_another_server_and_leave_again() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    for version in ["6", "9", "10", "11", "12"] {
        let how = json!({ "preset": "public_chat", "room_version": version, "name": "Amtsstube" });
        let room = room(&alice, how).await;
        let body = json!({ "reason": "business" });
        let answer = bob.post(&format!("/v3/join/{room}?server_name=a.example"), body).await.ok();
        assert_eq!(answer["room_id"], *room);
        let both = [alice.id.clone(), bob.id.clone()];
        assert_eq!(joined(&alice, &room).await, both, "{version}");
        assert_eq!(joined(&bob, &room).await, both, "{version}");
        let name = bob.get(&format!("/v3/rooms/{room}/state/m.room.name")).await.ok();
        assert_eq!(name["name"], "Amtsstube");
        let me = alice.get(&format!("/v3/rooms/{room}/state/m.room.member/{}", bob.id)).await.ok();
        assert_eq!((&me["displayname"], &me["reason"]), (&json!("bob"), &json!("business")));
        let news = shown(&bob, "join", &room).await.expect("the room is shown");
        assert_eq!(news["summary"]["m.joined_member_count"], 2);
    }
}

#[tokio::test]
async fn an_alias_of_another_server_leads_there() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let how = json!({ "preset": "public_chat", "room_alias_name": "stube" });
    let room = room(&alice, how).await;
    let found = bob.get("/v3/directory/room/%23stube:a.example").await.ok();
    assert_eq!(found, json!({ "room_id": room, "servers": ["a.example"] }));
    bob.post("/v3/join/%23stube:a.example", json!({})).await.ok();
    assert_eq!(joined(&alice, &room).await.len(), 2);
    bob.get("/v3/directory/room/%23nothing:a.example").await.refused(404, "M_NOT_FOUND");
    // Where the room is known to more servers, more are named.
    let found = alice.get("/v3/directory/room/%23stube:a.example").await.ok();
    assert_eq!(found["servers"], json!(["a.example", "b.example"]));
    network.cut(&a, &b);
    let gone = bob.get("/v3/directory/room/%23stube:a.example").await;
    assert_eq!((gone.status.as_u16(), gone.code()), (502, "M_UNKNOWN"));
}

#[tokio::test]
async fn who_comes_second_needs_no_other_server() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob, berta) = (a.user("alice").await, b.user("bob").await, b.user("berta").await);
    let room = public_room(&alice).await;
    let (first, second) =
        tokio::join!(join(&bob, &room, "a.example"), join(&berta, &room, "a.example"));
    first.ok();
    second.ok();
    assert_eq!(network.count(&a, "send_join"), 1, "one of them found the room here");
    let here = [alice.id.clone(), berta.id.clone(), bob.id.clone()];
    assert_eq!(joined(&bob, &room).await, here);
}

#[tokio::test]
async fn who_goes_away_is_in_the_room_nevertheless() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let room = public_room(&alice).await;
    let held = network.hold(&b, &a);
    {
        let mut asked = Box::pin(join(&bob, &room, "a.example"));
        let gone = tokio::time::timeout(std::time::Duration::from_millis(200), &mut asked).await;
        assert!(gone.is_err(), "nothing passes yet");
    }
    drop(held);
    // The second attempt waits for the first.
    join(&bob, &room, "a.example").await.ok();
    assert_eq!(network.count(&a, "send_join"), 1);
    assert_eq!(joined(&alice, &room).await.len(), 2);
}

#[tokio::test]
async fn dead_servers_in_the_list_are_passed_over() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let c = network.server("c.example").await;
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let carol = c.user("carol").await;
    let room = public_room(&carol).await;
    network.cut(&a, &b);
    let path =
        format!("/v3/join/{room}?via=dead.example&via=b.example&via=a.example&via=c.example");
    bob.post(&path, json!({})).await.ok();
    assert_eq!(joined(&bob, &room).await.len(), 2);
    // Nobody is left to ask.
    let berta = b.user("berta").await;
    let other = public_room(&alice).await;
    let answer = join(&berta, &other, "a.example").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (502, "M_UNKNOWN"));
    let answer = berta.post("/v3/join/!nowhere", json!({})).await;
    answer.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn the_banned_and_the_uninvited_stay_outside() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let private = room(&alice, json!({ "preset": "private_chat" })).await;
    join(&bob, &private, "a.example").await.refused(403, "M_FORBIDDEN");
    let open = public_room(&alice).await;
    let ban = json!({ "user_id": bob.id });
    alice.post(&format!("/v3/rooms/{open}/ban"), ban).await.ok();
    join(&bob, &open, "a.example").await.refused(403, "M_FORBIDDEN");
    // A server that is kept out.
    let kept_out = public_room(&alice).await;
    let list = json!({ "allow": ["*"], "deny": ["b.example"] });
    alice.put(&format!("/v3/rooms/{kept_out}/state/m.room.server_acl"), list).await.ok();
    join(&bob, &kept_out, "a.example").await.refused(403, "M_FORBIDDEN");
    assert_eq!(network.count(&a, "send_join"), 0);
}

fn restricted(to: &str) -> Value {
    json!({ "type": "m.room.join_rules", "state_key": "", "content": {
        "join_rule": "restricted",
        "allow": [{ "type": "m.room_membership", "room_id": to }],
    } })
}

#[tokio::test]
async fn members_of_another_room_are_let_in_and_vouched_for() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    for version in ["8", "10", "12"] {
        let club = room(&alice, json!({ "preset": "public_chat", "room_version": version })).await;
        let how = json!({
            "preset": "private_chat", "room_version": version,
            "initial_state": [restricted(&club)],
        });
        let inner = room(&alice, how).await;
        join(&bob, &inner, "a.example").await.refused(403, "M_FORBIDDEN");
        join(&bob, &club, "a.example").await.ok();
        join(&bob, &inner, "a.example").await.ok();
        let path = format!("/v3/rooms/{inner}/state/m.room.member/{}", bob.id);
        let content = alice.get(&path).await.ok();
        assert_eq!(content["join_authorised_via_users_server"], alice.id, "{version}");
        assert_eq!(bob.get(&path).await.ok(), content);
        // Who is in the room may let others in only with the right to invite: b asks a.
        let berta = b.user(&format!("berta{version}")).await;
        join(&berta, &club, "b.example").await.ok();
        let levels = format!("/v3/rooms/{inner}/state/m.room.power_levels");
        let mut now = alice.get(&levels).await.ok();
        now["invite"] = json!(50);
        alice.put(&levels, now.clone()).await.ok();
        assert_eq!(membership(&alice, &inner, &bob.id).await, "join");
    }
}

#[tokio::test]
async fn where_nobody_here_may_let_somebody_in_another_server_does() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob, berta) = (a.user("alice").await, b.user("bob").await, b.user("berta").await);
    let club = public_room(&alice).await;
    let how = json!({
        "preset": "private_chat", "initial_state": [restricted(&club)],
        "power_level_content_override": { "invite": 50 },
    });
    let inner = room(&alice, how).await;
    for who in [&bob, &berta] {
        join(who, &club, "a.example").await.ok();
    }
    join(&bob, &inner, "a.example").await.ok();
    // a hears of it.
    let club_id: ruma::OwnedRoomId = club.clone().try_into().expect("an id");
    let name = ("m.room.member".into(), berta.id.clone());
    let event = b.rooms.current_state(&club_id, &[name]).await.expect("state").pop().flatten();
    let pdu = event.expect("berta is in").stored.pdu.clone();
    let pdu = serde_json::value::RawValue::from_string(pdu).expect("JSON");
    a.rooms.stage(b.data.server_name(), vec![pdu]).await.expect("taken");
    a.rooms.intake().await;
    let before = network.count(&a, "send_join");
    // b is in the room now, but none of its people may invite.
    join(&berta, &inner, "a.example").await.ok();
    assert_eq!(network.count(&a, "send_join"), before + 1);
    assert_eq!(membership(&alice, &inner, &berta.id).await, "join");
    assert_eq!(membership(&bob, &inner, &berta.id).await, "join");
}

#[tokio::test]
async fn a_room_of_another_server_is_shown_in_a_few_words() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let open = public_room(&alice).await;
    let found = bob.get(&format!("/v1/room_summary/{open}?via=a.example")).await.ok();
    assert_eq!((&found["name"], &found["num_joined_members"]), (&json!("Amtsstube"), &json!(1)));
    let private = room(&alice, json!({ "preset": "private_chat" })).await;
    let hidden = bob.get(&format!("/v1/room_summary/{private}?via=a.example")).await;
    hidden.refused(404, "M_NOT_FOUND");
}
