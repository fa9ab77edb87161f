//! Sliding sync: lists, windows, subscriptions, positions.

use blaupause_rooms::MembershipAction;
use blaupause_sync::SyncError;
use ruma::OwnedRoomId;
use serde_json::{Value, json};

use super::world::{Person, World, keys, kinds, pos, texts};

pub fn list(ranges: &[(u64, u64)], limit: u64) -> Value {
    json!({ "ranges": ranges, "required_state": [], "timeline_limit": limit })
}

pub fn lists(all: &Value) -> Value {
    json!({ "lists": { "all": all } })
}

pub async fn two(world: &World) -> (Person, Person, OwnedRoomId) {
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    world.server.join(&bob, &room).await.expect("public");
    (alice, bob, room)
}

fn shown(answer: &Value) -> Vec<&str> {
    answer["rooms"].as_object().into_iter().flatten().map(|(id, _)| id.as_str()).collect()
}

#[tokio::test]
async fn a_window_holds_the_rooms_with_the_newest_messages() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let mut rooms = Vec::new();
    for _ in 0..5 {
        rooms.push(world.server.public_room(&alice).await);
    }
    world.server.say(&alice, &rooms[1], "newest").await.expect("said");
    let body = lists(&list(&[(0, 1)], 1));
    let first = world.slide(&alice, None, &body).await.expect("starts");
    assert_eq!(first["lists"]["all"]["count"], 5);
    let mut newest = [rooms[1].as_str(), rooms[4].as_str()];
    newest.sort_unstable();
    assert_eq!(shown(&first), newest);
    assert_eq!(first["rooms"][rooms[1].as_str()]["initial"], true);
    // What is out of the window is not told; a name moves no room up.
    let name = json!({ "name": "n" });
    world.server.set(&alice, &rooms[0], "m.room.name", "", name).await.expect("set");
    let next = world.slide(&alice, pos(&first), &body).await.expect("known");
    assert!(shown(&next).is_empty(), "{next}");
    world.server.say(&alice, &rooms[0], "up").await.expect("said");
    let next = world.slide(&alice, pos(&next), &body).await.expect("known");
    assert_eq!(shown(&next), [rooms[0].as_str()]);
    let bumps = |answer: &Value, room: &OwnedRoomId| {
        answer["rooms"][room.as_str()]["bump_stamp"].as_u64().expect("a number")
    };
    assert!(bumps(&next, &rooms[0]) > bumps(&first, &rooms[1]));
}

#[tokio::test]
async fn a_room_that_was_out_of_the_window_has_missed_nothing_when_it_comes_back() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let (one, two) =
        (world.server.public_room(&alice).await, world.server.public_room(&alice).await);
    world.server.say(&alice, &one, "first").await.expect("said");
    let body = lists(&list(&[(0, 0)], 10));
    let answer = world.slide(&alice, None, &body).await.expect("starts");
    assert_eq!(shown(&answer), [one.as_str()]);
    world.server.say(&alice, &two, "up").await.expect("said");
    let answer = world.slide(&alice, pos(&answer), &body).await.expect("known");
    assert_eq!(shown(&answer), [two.as_str()]);
    // Out of the window now: a state change and then a message.
    let name = json!({ "name": "n" });
    world.server.set(&alice, &one, "m.room.name", "", name).await.expect("set");
    let answer = world.slide(&alice, pos(&answer), &body).await.expect("known");
    assert!(shown(&answer).is_empty());
    world.server.say(&alice, &one, "second").await.expect("said");
    let answer = world.slide(&alice, pos(&answer), &body).await.expect("known");
    let told = &answer["rooms"][one.as_str()];
    assert_eq!(kinds(&told["timeline"]), ["m.room.message", "m.room.name"]);
    assert_eq!(texts(&told["timeline"]), ["second"]);
    assert_eq!((&told["name"], &told["num_live"]), (&json!("n"), &json!(1)));
}

#[tokio::test]
async fn what_is_new_comes_once_and_again_if_the_answer_got_lost() {
    let world = World::new().await;
    let (alice, bob, room) = two(&world).await;
    let body = lists(&list(&[(0, 9)], 10));
    let first = world.slide(&bob, None, &body).await.expect("starts");
    world.server.say(&alice, &room, "one").await.expect("said");
    for _ in 0..3 {
        let lost = world.slide(&bob, pos(&first), &body).await.expect("known");
        assert_eq!(texts(&lost["rooms"][room.as_str()]["timeline"]), ["one"]);
        assert_eq!(lost["rooms"][room.as_str()]["num_live"], 1);
    }
    let answer = world.slide(&bob, pos(&first), &body).await.expect("known");
    let next = world.slide(&bob, pos(&answer), &body).await.expect("known");
    assert!(shown(&next).is_empty());
}

#[tokio::test]
async fn an_unknown_position_starts_anew() {
    let world = World::new().await;
    let (_, bob, _) = two(&world).await;
    let body = lists(&list(&[(0, 9)], 10));
    let unknown = world.slide(&bob, Some("77"), &body).await;
    assert!(matches!(unknown, Err(SyncError::UnknownPos)));
    let one = world.slide(&bob, None, &body).await.expect("starts");
    let two = world.slide(&bob, pos(&one), &body).await.expect("known");
    world.slide(&bob, pos(&two), &body).await.expect("known");
    let expired = world.slide(&bob, pos(&one), &body).await;
    assert!(matches!(expired, Err(SyncError::UnknownPos)));
}

#[tokio::test]
async fn a_subscription_tells_a_room_outside_of_every_window() {
    let world = World::new().await;
    let (alice, bob, room) = two(&world).await;
    world.server.say(&alice, &room, "x").await.expect("said");
    let required = json!([["m.room.create", ""]]);
    let body = json!({
        "room_subscriptions": {
            room.as_str(): { "required_state": required, "timeline_limit": 2 },
            "!unknown:example.org": { "required_state": [], "timeline_limit": 2 },
        },
    });
    let first = world.slide(&bob, None, &body).await.expect("starts");
    assert_eq!(shown(&first), [room.as_str()]);
    let told = &first["rooms"][room.as_str()];
    assert_eq!(told["timeline"].as_array().map(Vec::len), Some(2));
    assert_eq!((&told["limited"], &told["initial"]), (&json!(true), &json!(true)));
    assert_eq!(kinds(&told["required_state"]), ["m.room.create"]);
    // Unsubscribed, it is silent.
    world.server.say(&alice, &room, "y").await.expect("said");
    let next = world.slide(&bob, pos(&first), &json!({})).await.expect("known");
    assert!(shown(&next).is_empty());
    // Subscribed again, it tells what was missed.
    let next = world.slide(&bob, pos(&next), &body).await.expect("known");
    assert_eq!(texts(&next["rooms"][room.as_str()]["timeline"]), ["y"]);
}

#[tokio::test]
async fn a_larger_timeline_limit_brings_older_messages() {
    let world = World::new().await;
    let (alice, bob, room) = two(&world).await;
    for n in 0..8 {
        world.server.say(&alice, &room, &n.to_string()).await.expect("said");
    }
    let first = world.slide(&bob, None, &lists(&list(&[(0, 9)], 1))).await.expect("starts");
    assert_eq!(texts(&first["rooms"][room.as_str()]["timeline"]), ["7"]);
    let body = lists(&list(&[(0, 9)], 4));
    let more = world.slide(&bob, pos(&first), &body).await.expect("known");
    let told = &more["rooms"][room.as_str()];
    assert_eq!(texts(&told["timeline"]), ["4", "5", "6", "7"]);
    assert_eq!((&told["num_live"], &told["limited"]), (&json!(0), &json!(true)));
    assert!(told["initial"].is_null());
    let next = world.slide(&bob, pos(&more), &body).await.expect("known");
    assert!(shown(&next).is_empty());
}

#[tokio::test]
async fn invitations_are_listed_with_their_stripped_state() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let body = lists(&list(&[(0, 9)], 10));
    let first = world.slide(&bob, None, &body).await.expect("starts");
    let room = world.server.private_room(&alice).await;
    world.server.act(&alice, MembershipAction::Invite, &bob, &room).await.expect("invited");
    let answer = world.slide(&bob, pos(&first), &body).await.expect("known");
    let told = &answer["rooms"][room.as_str()];
    assert_eq!(keys(&told["invite_state"], "m.room.member"), [alice.as_str(), bob.as_str()]);
    assert!(told["timeline"].is_null());
    assert_eq!(answer["lists"]["all"]["count"], 1);
    world.server.leave(&bob, &room).await.expect("declined");
    let answer = world.slide(&bob, pos(&answer), &body).await.expect("known");
    let told = &answer["rooms"][room.as_str()];
    assert_eq!(keys(&told["timeline"], "m.room.member"), [bob.as_str()]);
    assert_eq!(answer["lists"]["all"]["count"], 0);
}

#[tokio::test]
async fn who_leaves_is_told_up_to_there() {
    let world = World::new().await;
    let (alice, bob, room) = two(&world).await;
    let body = lists(&list(&[(0, 9)], 10));
    let first = world.slide(&bob, None, &body).await.expect("starts");
    world.server.say(&alice, &room, "inside").await.expect("said");
    world.server.leave(&bob, &room).await.expect("left");
    world.server.say(&alice, &room, "outside").await.expect("said");
    let answer = world.slide(&bob, pos(&first), &body).await.expect("known");
    let told = &answer["rooms"][room.as_str()];
    assert_eq!(texts(&told["timeline"]), ["inside"]);
    assert_eq!(keys(&told["timeline"], "m.room.member"), [bob.as_str()]);
    let next = world.slide(&bob, pos(&answer), &body).await.expect("known");
    assert!(shown(&next).is_empty());
}

#[tokio::test]
async fn filters_choose_rooms_of_a_list() {
    let world = World::new().await;
    let (alice, bob, room) = two(&world).await;
    let secret = world.server.private_room(&alice).await;
    let algorithm = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    world.server.set(&alice, &secret, "m.room.encryption", "", algorithm).await.expect("set");
    world.account_data(&alice, None, "m.direct", json!({ bob.as_str(): [secret] })).await;
    let filtered = |filters: Value| {
        let mut all = list(&[(0, 9)], 1);
        all["filters"] = filters;
        lists(&all)
    };
    for (filters, wanted) in [
        (json!({ "is_encrypted": true }), &secret),
        (json!({ "is_encrypted": false }), &room),
        (json!({ "is_dm": true }), &secret),
        (json!({ "is_dm": false }), &room),
    ] {
        let answer = world.slide(&alice, None, &filtered(filters)).await.expect("starts");
        assert_eq!(shown(&answer), [wanted.as_str()]);
        let is_dm = &answer["rooms"][wanted.as_str()]["is_dm"];
        assert_eq!(is_dm.as_bool().unwrap_or_default(), *wanted == secret);
    }
    let answer = world.slide(&alice, None, &filtered(json!({ "is_invite": true }))).await;
    assert!(shown(&answer.expect("starts")).is_empty());
}
