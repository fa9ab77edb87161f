//! Messages whose time is over (MSC1763): what is left of them in the store.

use std::time::Duration;

use blaupause_data::rows::TimelineRow;
use blaupause_rooms::{Retention, Settings, rows::ExpiredRow};
use blaupause_testkit::TestServer;
use ruma::{OwnedRoomId, OwnedUserId, RoomId};
use serde_json::{Value, json};

const HOUR_MS: u64 = 3_600_000;

async fn world() -> (TestServer, OwnedUserId, OwnedRoomId) {
    let retention = Retention {
        default_ms: Some(HOUR_MS),
        min_ms: 1,
        max_ms: None,
        pause: Duration::from_secs(60),
    };
    let settings = Settings { retention: Some(retention), ..Settings::default() };
    let server = TestServer::with_rooms(settings).await;
    let alice = server.user("alice");
    let room = server.public_room(&alice).await;
    (server, alice, room)
}

fn pass(server: &TestServer, millis: u64) {
    server.data.env().advance(Duration::from_millis(millis));
}

async fn entries(server: &TestServer, room: &RoomId) -> usize {
    let part = server.data.parts().room(room);
    server.data.list::<TimelineRow>(part, &(), u32::MAX).await.expect("reads").rows.len()
}

#[tokio::test]
async fn many_pages_go_and_what_is_young_stays() {
    let (server, alice, room) = world().await;
    let state = entries(&server, &room).await;
    for n in 0..250 {
        server.say(&alice, &room, &n.to_string()).await.expect("sent");
    }
    pass(&server, 2 * HOUR_MS);
    server.say(&alice, &room, "young").await.expect("sent");
    assert_eq!(server.rooms.expire().await.expect("removed"), 250);
    assert_eq!(entries(&server, &room).await, state + 1);
    let again = server.round_trips(server.rooms.expire()).await;
    assert_eq!((again.0.expect("removed"), again.2), (0, 0), "nothing is done twice");
    let topic = server.set(&alice, &room, "m.room.topic", "", json!({ "topic": "t" })).await;
    topic.expect("the room goes on");
}

#[tokio::test]
async fn the_last_message_of_a_room_loses_its_content_and_stays_its_tip() {
    let (server, alice, room) = world().await;
    let last = server.say(&alice, &room, "secret").await.expect("sent");
    pass(&server, 2 * HOUR_MS);
    assert_eq!(server.rooms.expire().await.expect("removed"), 1);
    let event = server.timeline(&room).await.pop().expect("an event");
    assert!(event.is_expired() && event.stored.event_id == last);
    assert_eq!(event.content_as::<Value>(), Some(json!({})));
    let head = server.rooms.head(&room).await.expect("reads").expect("a room");
    assert_eq!(head.tips[0].event_id, last);
    server.say(&alice, &room, "next").await.expect("the room goes on");
    let before = entries(&server, &room).await;
    server.rooms.expire().await.expect("removed");
    assert_eq!(entries(&server, &room).await, before - 1, "it is no longer the last");
}

#[tokio::test]
async fn what_was_redacted_before_goes_too_and_a_wrong_clock_holds_nothing_up() {
    let (server, alice, room) = world().await;
    let state = entries(&server, &room).await;
    let event = server.say(&alice, &room, "a").await.expect("sent");
    server.redact(&alice, &room, &event).await.expect("redacted");
    let mut early = blaupause_rooms::SendEvent {
        room: room.clone(),
        sender: alice.clone(),
        kind: "m.room.message".into(),
        content: blaupause_testkit::raw(&json!({ "msgtype": "m.text", "body": "later" })),
        transaction: None,
        timestamp: None,
        sticky_ms: None,
    };
    let now = server.data.env().now_millis();
    early.timestamp = Some(ruma::MilliSecondsSinceUnixEpoch(
        ruma::UInt::try_from(now + 1_000 * HOUR_MS).expect("small"),
    ));
    server.rooms.send(early).await.expect("sent");
    server.say(&alice, &room, "b").await.expect("sent");
    pass(&server, 2 * HOUR_MS);
    server.say(&alice, &room, "young").await.expect("sent");
    assert_eq!(server.rooms.expire().await.expect("removed"), 3);
    assert_eq!(entries(&server, &room).await, state + 2);
}

#[tokio::test]
async fn who_looks_again_from_the_beginning_finds_everything_done() {
    let (server, alice, room) = world().await;
    for n in 0..120 {
        server.say(&alice, &room, &n.to_string()).await.expect("sent");
    }
    pass(&server, 2 * HOUR_MS);
    server.say(&alice, &room, "young").await.expect("sent");
    server.rooms.expire().await.expect("removed");
    let before = entries(&server, &room).await;
    let part = server.data.parts().room(&room);
    let mut write = blaupause_data::Write::new(part);
    write.del::<ExpiredRow>(part, &());
    server.data.commit(write).await.expect("committed");
    assert_eq!(server.rooms.expire().await.expect("removed"), 0);
    assert_eq!(entries(&server, &room).await, before);
}
