//! The long poll. Time is paused: a wait that nothing ends takes no time.

use std::time::Duration;

use blaupause_sync::SyncRequest;
use ruma::presence::PresenceState;
use serde_json::json;

use super::world::{World, joined, pos, since, texts};

#[tokio::test(start_paused = true)]
async fn a_message_ends_the_wait() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    world.server.join(&bob, &room).await.expect("public");
    let first = world.first(&bob).await;
    let timeout = Duration::from_secs(60);
    let wait = world.v3(SyncRequest { since: since(&first), timeout, ..world.ask(&bob) });
    let say = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.server.say(&alice, &room, "hello").await.expect("said");
    };
    let began = tokio::time::Instant::now();
    let (answer, ()) = tokio::join!(wait, say);
    assert_eq!(texts(&joined(&answer, &room)["timeline"]["events"]), ["hello"]);
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn nothing_new_is_said_after_the_timeout_and_when_the_server_stops() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    world.server.public_room(&alice).await;
    let first = world.first(&alice).await;
    let wait = |secs| {
        let timeout = Duration::from_secs(secs);
        world.v3(SyncRequest { since: since(&first), timeout, ..world.ask(&alice) })
    };
    let began = tokio::time::Instant::now();
    let answer = wait(30).await;
    assert_eq!((answer["rooms"].is_null(), began.elapsed().as_secs()), (true, 30));
    wait(100_000).await;
    assert_eq!(began.elapsed().as_secs(), 30 + 300, "nobody waits longer than five minutes");
    let stop = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.server.data.env().stop().cancel();
    };
    tokio::join!(wait(60), stop);
    assert_eq!(began.elapsed().as_secs(), 331);
}

#[tokio::test(start_paused = true)]
async fn an_invitation_ends_the_wait_of_who_had_no_room() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.private_room(&alice).await;
    let first = world.first(&bob).await;
    let timeout = Duration::from_secs(60);
    let wait = world.v3(SyncRequest { since: since(&first), timeout, ..world.ask(&bob) });
    let invite = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let invite = blaupause_rooms::MembershipAction::Invite;
        world.server.act(&alice, invite, &bob, &room).await.expect("invited");
    };
    let (answer, ()) = tokio::join!(wait, invite);
    assert!(answer["rooms"]["invite"][room.as_str()].is_object());
}

#[tokio::test(start_paused = true)]
async fn a_sliding_client_is_woken_too() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    world.server.join(&bob, &room).await.expect("public");
    let list = json!({ "ranges": [[0, 9]], "required_state": [], "timeline_limit": 5 });
    let body = json!({ "lists": { "all": list } });
    let first = world.slide(&bob, None, &body).await.expect("starts");
    let request = world.sliding_request(&bob, pos(&first), &body, 60_000);
    let say = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.server.say(&alice, &room, "hello").await.expect("said");
    };
    let (answer, ()) = tokio::join!(world.sync.sliding(request), say);
    assert!(answer.expect("known").rooms.contains_key(&room));
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_online_and_the_others_are_told() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = world.server.public_room(&alice).await;
    world.server.join(&bob, &room).await.expect("public");
    let first = world.first(&bob).await;
    let online = |person| SyncRequest { set_presence: PresenceState::Online, ..world.ask(person) };
    let alice_first = world.v3(online(&alice)).await;
    let answer = world.next(&bob, &first).await;
    assert_eq!(answer["presence"]["events"][0]["sender"], alice.as_str());
    assert_eq!(answer["presence"]["events"][0]["content"]["presence"], "online");
    let timeout = Duration::from_secs(290);
    let wait = SyncRequest { since: since(&alice_first), timeout, ..online(&alice) };
    world.v3(wait).await;
    // A first sync tells of those who are connected.
    let anew = world.first(&bob).await;
    let senders: Vec<_> = anew["presence"]["events"].as_array().expect("some").iter().collect();
    assert!(senders.iter().any(|event| event["sender"] == alice.as_str()), "{anew}");
}

#[tokio::test(start_paused = true)]
async fn waiting_takes_little_memory() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let request = SyncRequest { timeout: Duration::from_secs(60), ..world.ask(&alice) };
    let future = world.sync.v3(request);
    let size = size_of_val(&future);
    println!("a waiting /sync: {size} bytes");
    assert!(size < 1_500, "{size}");
    let body = json!({});
    let future = world.sync.sliding(world.sliding_request(&alice, None, &body, 0));
    let size = size_of_val(&future);
    println!("a waiting sliding sync: {size} bytes");
    assert!(size < 3_000, "{size}");
}
