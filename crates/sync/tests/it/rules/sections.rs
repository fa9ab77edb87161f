//! Invitations, knocks, rooms left, archived rooms.

use blaupause_rooms::{CreateRoom, MembershipAction, Preset};
use serde_json::json;

use super::world::{World, joined, keys, kinds, room, texts};

#[tokio::test]
async fn an_invitation_comes_once_with_its_stripped_state() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let first = world.first(&bob).await;
    let id = world.server.private_room(&alice).await;
    world.server.act(&alice, MembershipAction::Invite, &bob, &id).await.expect("invited");
    let answer = world.next(&bob, &first).await;
    let state = &room(&answer, "invite", &id)["invite_state"]["events"];
    assert_eq!(keys(state, "m.room.member"), [alice.as_str(), bob.as_str()]);
    assert!(kinds(state).contains(&"m.room.create"));
    let next = world.next(&bob, &answer).await;
    assert!(next["rooms"].is_null());
    let anew = world.first(&bob).await;
    assert!(room(&anew, "invite", &id).is_object());
}

#[tokio::test]
async fn a_knock_is_told_to_who_knocks() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut request = CreateRoom::new(alice.id.clone());
    request.preset = Some(Preset::Private);
    let id = world.server.rooms.create(request).await.expect("made");
    let rule = json!({ "join_rule": "knock" });
    world.server.set(&alice, &id, "m.room.join_rules", "", rule).await.expect("set");
    let first = world.first(&bob).await;
    world.server.act(&bob, MembershipAction::Knock, &bob, &id).await.expect("knocked");
    let answer = world.next(&bob, &first).await;
    let state = &room(&answer, "knock", &id)["knock_state"]["events"];
    assert_eq!(keys(state, "m.room.member"), [bob.as_str()]);
}

#[tokio::test]
async fn who_joins_is_told_everything_and_who_leaves_nothing_after_that() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let id = world.server.public_room(&alice).await;
    world.server.say(&alice, &id, "before").await.expect("said");
    let first = world.first(&bob).await;
    world.server.join(&bob, &id).await.expect("public");
    let inside = world.next(&bob, &first).await;
    let told = joined(&inside, &id);
    assert_eq!(told["timeline"]["limited"], true);
    assert_eq!(texts(&told["timeline"]["events"]), ["before"]);
    assert_eq!(told["summary"]["m.joined_member_count"], 2);
    assert_eq!(told["summary"]["m.heroes"], json!([alice.id]));

    world.server.say(&alice, &id, "while inside").await.expect("said");
    world.server.leave(&bob, &id).await.expect("left");
    world.server.say(&alice, &id, "after").await.expect("said");
    let outside = world.next(&bob, &inside).await;
    let left = room(&outside, "leave", &id);
    assert_eq!(texts(&left["timeline"]["events"]), ["while inside"]);
    assert_eq!(keys(&left["timeline"]["events"], "m.room.member"), [bob.as_str()]);
    assert!(joined(&outside, &id).is_null());
    let next = world.next(&bob, &outside).await;
    assert!(next["rooms"].is_null());
}

#[tokio::test]
async fn who_was_never_inside_learns_only_of_the_own_end() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let id = world.server.private_room(&alice).await;
    world.server.act(&alice, MembershipAction::Invite, &bob, &id).await.expect("invited");
    let first = world.first(&bob).await;
    world.server.say(&alice, &id, "secret").await.expect("said");
    let topic = json!({ "topic": "secret" });
    world.server.set(&alice, &id, "m.room.topic", "", topic).await.expect("set");
    world.server.leave(&bob, &id).await.expect("declined");
    let answer = world.next(&bob, &first).await;
    let left = room(&answer, "leave", &id);
    assert_eq!(kinds(&left["timeline"]["events"]), ["m.room.member"]);
    assert_eq!(keys(&left["timeline"]["events"], "m.room.member"), [bob.as_str()]);
    assert!(kinds(&left["state"]["events"]).is_empty(), "{left}");
}

#[tokio::test]
async fn who_comes_back_is_told_everything_anew() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let id = world.server.public_room(&alice).await;
    world.server.join(&bob, &id).await.expect("public");
    let first = world.first(&bob).await;
    world.server.leave(&bob, &id).await.expect("left");
    let name = json!({ "name": "renamed" });
    world.server.set(&alice, &id, "m.room.name", "", name).await.expect("set");
    world.server.join(&bob, &id).await.expect("public");
    let answer = world.next(&bob, &first).await;
    let told = joined(&answer, &id);
    assert_eq!(told["timeline"]["limited"], true);
    let all = [&told["state"]["events"], &told["timeline"]["events"]];
    for kind in ["m.room.create", "m.room.name"] {
        assert!(all.iter().any(|events| kinds(events).contains(&kind)), "{kind}: {told}");
    }
}

#[tokio::test]
async fn rooms_left_long_ago_come_only_if_wanted() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let id = world.server.public_room(&alice).await;
    world.server.join(&bob, &id).await.expect("public");
    world.server.say(&alice, &id, "inside").await.expect("said");
    world.server.leave(&bob, &id).await.expect("left");
    world.server.say(&alice, &id, "outside").await.expect("said");
    assert!(room(&world.first(&bob).await, "leave", &id).is_null());
    let filter = json!({ "room": { "include_leave": true } });
    let archive = world.filtered(&bob, None, filter).await;
    let left = room(&archive, "leave", &id);
    assert!(texts(&left["timeline"]["events"]).contains(&"inside"), "{left}");
    assert!(!texts(&left["timeline"]["events"]).contains(&"outside"));
}

#[tokio::test]
async fn a_banned_member_is_told_so() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let id = world.server.public_room(&alice).await;
    world.server.join(&bob, &id).await.expect("public");
    let first = world.first(&bob).await;
    world.server.act(&alice, MembershipAction::Ban, &bob, &id).await.expect("banned");
    let answer = world.next(&bob, &first).await;
    let events = &room(&answer, "leave", &id)["timeline"]["events"];
    assert_eq!(events[0]["content"]["membership"], "ban");
}
