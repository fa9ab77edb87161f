//! Rooms with people of servers that are not on the list.

use super::*;

#[tokio::test]
async fn what_a_friend_passes_on_of_a_stranger_is_not_taken() {
    let scene = Scene::new(only(&["b.example"])).await;
    let alice = scene.alice().await;
    let join = scene.stranger("join").await;
    let answer = scene.b.sends(&scene.a, vec![join], Vec::new()).await.ok();
    let refusals = answer["pdus"].as_object().expect("answers");
    assert!(refusals.values().all(|answer| answer["error"].is_string()), "{answer}");
    assert_eq!(scene.membership(&alice, MALLORY).await, "");
    let message = scene.strange_message("hello from outside").await;
    scene.b.sends(&scene.a, vec![message], Vec::new()).await.ok();
    assert!(!scene.said(&alice).await.contains(&"hello from outside".to_owned()));
    scene.is_silent_to_strangers();
}

#[tokio::test]
async fn nothing_of_ours_goes_into_a_room_that_a_stranger_came_to() {
    let scene = Scene::new(only(&["b.example"])).await;
    let (alice, room) = (scene.alice().await, scene.room.clone());
    let carol = scene.a.user("carol").await;
    let dora = scene.a.user("dora").await;
    carol.post(&format!("/v3/join/{room}"), json!({})).await.ok();
    scene.say(&alice, "before").await.ok();
    let join = scene.stranger("join").await;
    scene.b.sends(&scene.a, vec![join], Vec::new()).await.ok();
    is_refused_for(&scene.say(&alice, "secret").await, "x.example");
    let topic = json!({ "topic": "secret" });
    let path = format!("/v3/rooms/{room}/state/m.room.topic");
    is_refused_for(&alice.put(&path, topic.clone()).await, "x.example");
    is_refused_for(&dora.post(&format!("/v3/join/{room}"), json!({})).await, "x.example");
    let invite = json!({ "user_id": dora.id });
    is_refused_for(&alice.post(&format!("/v3/rooms/{room}/invite"), invite).await, "x.example");
    // It is still read, and friends are still heard.
    scene.b.says(&scene.a, &room, BOB, "of a friend").await;
    assert_eq!(scene.said(&alice).await, ["before", "of a friend"]);
    // Whoever wants to go may go.
    carol.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
    // A restart forgets nothing.
    let settings = Settings { servers: only(&["b.example"]), ..Settings::default() };
    let again = scene.b.network.server_over("a.example", settings, scene.a.store.copy()).await;
    let refused = scene.say(&again.sign_in("alice").await, "secret").await;
    is_refused_for(&refused, "x.example");
    // The stranger is sent away: the room is ours again.
    let ban = json!({ "user_id": MALLORY });
    alice.post(&format!("/v3/rooms/{room}/ban"), ban).await.ok();
    scene.say(&alice, "after").await.ok();
    alice.put(&path, topic).await.ok();
    scene.is_silent_to_strangers();
}

#[tokio::test]
async fn a_stranger_who_leaves_by_themselves_is_gone_and_old_news_change_nothing() {
    let scene = Scene::new(only(&["b.example"])).await;
    let alice = scene.alice().await;
    let join = scene.stranger("join").await;
    scene.b.sends(&scene.a, vec![join.clone()], Vec::new()).await.ok();
    is_refused_for(&scene.say(&alice, "one").await, "x.example");
    scene.b.says(&scene.a, &scene.room, BOB, "bye").await;
    let leave = scene.stranger("leave").await;
    scene.b.sends(&scene.a, vec![leave], Vec::new()).await.ok();
    scene.say(&alice, "two").await.ok();
    scene.b.sends(&scene.a, vec![join], Vec::new()).await.ok();
    scene.say(&alice, "three").await.ok();
}

#[tokio::test]
async fn only_a_friend_that_is_in_the_room_can_tell_of_strangers() {
    let scene = Scene::new(only(&["b.example", "c.example"])).await;
    let alice = scene.alice().await;
    let c = Peer::new(&scene.b.network, "c.example");
    let join = scene.stranger("join").await;
    c.sends(&scene.a, vec![join], Vec::new()).await.ok();
    scene.say(&alice, "one").await.ok();
}

#[tokio::test]
async fn in_quarantine_a_room_is_read_and_nothing_of_ours_goes_in() {
    let scene = Scene::new(policy(&["b.example"], MixedRooms::Quarantine)).await;
    let alice = scene.alice().await;
    let join = scene.stranger("join").await;
    scene.b.sends(&scene.a, vec![join], Vec::new()).await.ok();
    assert_eq!(scene.membership(&alice, MALLORY).await, "join");
    let message = scene.strange_message("hello from outside").await;
    scene.b.sends(&scene.a, vec![message], Vec::new()).await.ok();
    is_refused_for(&scene.say(&alice, "secret").await, "x.example");
    assert_eq!(scene.said(&alice).await, ["hello from outside"]);
    let kick = json!({ "user_id": MALLORY });
    alice.post(&format!("/v3/rooms/{}/kick", scene.room), kick).await.ok();
    scene.say(&alice, "after").await.ok();
    scene.is_silent_to_strangers();
}

#[tokio::test]
async fn where_mixed_rooms_are_allowed_they_are_rooms_like_others() {
    let scene = Scene::new(policy(&["b.example"], MixedRooms::Allow)).await;
    let alice = scene.alice().await;
    let join = scene.stranger("join").await;
    scene.b.sends(&scene.a, vec![join], Vec::new()).await.ok();
    let message = scene.strange_message("hello from outside").await;
    scene.b.sends(&scene.a, vec![message], Vec::new()).await.ok();
    scene.say(&alice, "hello there").await.ok();
    assert_eq!(scene.said(&alice).await, ["hello from outside", "hello there"]);
    // Strangers themselves are not spoken with, nor do they come in by the front door.
    let message = scene.strange_message("directly").await;
    scene.x.sends(&scene.a, vec![message], Vec::new()).await.refused(403, "M_FORBIDDEN");
    scene.is_silent_to_strangers();
}

#[tokio::test]
async fn a_server_that_is_taken_off_the_list_is_a_stranger_in_the_rooms_it_is_in() {
    let scene = Scene::new(only(&["b.example", "x.example"])).await;
    let (alice, room) = (scene.alice().await, &scene.room);
    scene.x.joins(&scene.a, room, MALLORY).await;
    scene.x.says(&scene.a, room, MALLORY, "while allowed").await;
    scene.say(&alice, "one").await.ok();

    scene.a.federation.set_servers(only(&["b.example"]));
    let asked = scene.x.asked("").len();
    is_refused_for(&scene.say(&alice, "two").await, "x.example");
    let message = scene.strange_message("passed on").await;
    scene.b.sends(&scene.a, vec![message.clone()], Vec::new()).await.ok();
    scene.x.sends(&scene.a, vec![message], Vec::new()).await.refused(403, "M_FORBIDDEN");
    scene.b.says(&scene.a, room, BOB, "of a friend").await;
    // What was said before stays.
    assert_eq!(scene.said(&alice).await, ["while allowed", "one", "of a friend"]);
    assert_eq!(scene.membership(&alice, MALLORY).await, "join");
    assert_eq!(scene.x.asked("").len(), asked);

    scene.a.federation.set_servers(only(&["b.example", "x.example"]));
    scene.say(&alice, "three").await.ok();
    scene.x.says(&scene.a, room, MALLORY, "back again").await;
    let said = scene.said(&alice).await;
    assert!(said.ends_with(&["three".to_owned(), "back again".to_owned()]), "{said:?}");

    // Taken off again, and sent away: nobody is missed.
    scene.a.federation.set_servers(only(&["b.example"]));
    is_refused_for(&scene.say(&alice, "four").await, "x.example");
    let kick = json!({ "user_id": MALLORY });
    alice.post(&format!("/v3/rooms/{room}/kick"), kick).await.ok();
    scene.say(&alice, "five").await.ok();
}

#[tokio::test]
async fn an_invitation_into_a_room_of_strangers_is_not_accepted() {
    let network = Network::new();
    let settings = |servers| Settings { servers, ..Settings::default() };
    let a = network.server_with("a.example", settings(only(&["b.example"]))).await;
    let (b, x) = (network.server("b.example").await, network.server("x.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let mallory = x.user("mallory").await;
    for version in ["11", "12"] {
        let power = json!({ "users": { bob.id.as_str(): 100 } });
        let how = json!({ "preset": "public_chat", "room_version": version,
            "power_level_content_override": if version == "11" {
                json!({ "users": { bob.id.as_str(): 100, mallory.id.as_str(): 100 } })
            } else { power } });
        let room = mallory.post("/v3/createRoom", how).await.ok()["room_id"].clone();
        let room = room.as_str().expect("an id");
        bob.post(&format!("/v3/join/{room}?via=x.example"), json!({})).await.ok();
        let invite = json!({ "user_id": alice.id });
        let refused = bob.post(&format!("/v3/rooms/{room}/invite"), invite).await;
        refused.refused(403, "M_FORBIDDEN");
        let news = alice.get("/v3/sync?timeout=0").await.ok();
        assert!(news["rooms"]["invite"].get(room).is_none(), "{news}");
        // Nor is it joined, also when the stranger has left it: it is their room.
        mallory.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
        let join = format!("/v3/join/{room}?via=b.example");
        is_refused_for(&alice.post(&join, json!({})).await, "x.example");
    }
}

#[tokio::test]
async fn in_quarantine_mixed_rooms_are_joined() {
    let network = Network::new();
    let b = network.server("b.example").await;
    let x = network.server("x.example").await;
    let settings = Settings {
        servers: policy(&["b.example"], MixedRooms::Quarantine),
        notaries: vec![b.data.server_name().to_owned()],
        ..Settings::default()
    };
    let a = network.server_with("a.example", settings).await;
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let mallory = x.user("mallory").await;
    let how = json!({ "preset": "public_chat" });
    let room = bob.post("/v3/createRoom", how).await.ok()["room_id"].clone();
    let room = room.as_str().expect("an id");
    mallory.post(&format!("/v3/join/{room}?via=b.example"), json!({})).await.ok();
    alice.post(&format!("/v3/join/{room}?via=b.example"), json!({})).await.ok();
    let path = format!("/v3/rooms/{room}/send/m.room.message/1");
    is_refused_for(
        &alice.put(&path, json!({ "msgtype": "m.text", "body": "x" })).await,
        "x.example",
    );
    let members = alice.get(&format!("/v3/rooms/{room}/joined_members")).await.ok();
    assert_eq!(members["joined"].as_object().map(serde_json::Map::len), Some(3));
    let to_x = network.passed().into_iter().filter(|one| one.to == "x.example");
    assert_eq!(to_x.filter(|one| one.from == "a.example").count(), 0);
}
