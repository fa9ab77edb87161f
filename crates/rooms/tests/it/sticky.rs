//! Sticky events (MSC4354).

use std::time::Duration;

use blaupause_data::StreamPos;
use blaupause_rooms::{
    Schedule, SendEvent, StickyPage, StickyQuery,
    rows::{DelayedStickyRow, StickyEventRow, StickyRoomRow},
};
use blaupause_testkit::{TestServer, raw};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, events::TimelineEventType};
use serde_json::json;

const MINUTE_MS: u64 = 60_000;

struct World {
    server: TestServer,
    alice: OwnedUserId,
    room: OwnedRoomId,
}

impl World {
    async fn new() -> Self {
        let server = TestServer::new().await;
        let alice = server.user("alice");
        let room = server.public_room(&alice).await;
        Self { server, alice, room }
    }

    async fn stick(&self, text: &str, sticky_ms: u64) -> OwnedEventId {
        let event = SendEvent {
            room: self.room.clone(),
            sender: self.alice.clone(),
            kind: TimelineEventType::from("m.rtc.member"),
            content: raw(&json!({ "text": text })),
            transaction: None,
            timestamp: None,
            sticky_ms: Some(sticky_ms),
        };
        self.server.rooms.send(event).await.expect("sent")
    }

    async fn page(&self, since: Option<StreamPos>, limit: usize, entered: u64) -> StickyPage {
        let query = StickyQuery {
            rooms: vec![(self.room.clone(), StreamPos(entered))],
            since,
            until: self.server.data.position(),
            limit,
        };
        self.server.rooms.sticky_events(&query).await.expect("read")
    }

    fn ids(&self, page: &StickyPage) -> Vec<OwnedEventId> {
        let events = page.rooms.get(&self.room).into_iter().flatten();
        events.map(|event| event.stored.event_id.clone()).collect()
    }

    async fn all(&self) -> Vec<OwnedEventId> {
        self.ids(&self.page(None, 100, 0).await)
    }

    fn pass(&self, millis: u64) {
        self.server.data.env().advance(Duration::from_millis(millis));
    }
}

#[tokio::test]
async fn a_sticky_event_is_found_until_its_time_is_over() {
    let world = World::new().await;
    let (short, long) = (world.stick("a", MINUTE_MS).await, world.stick("b", 2 * MINUTE_MS).await);
    assert_eq!(world.all().await, [short, long.clone()]);
    world.pass(MINUTE_MS);
    assert_eq!(world.all().await, [long]);
    world.pass(MINUTE_MS);
    assert!(world.all().await.is_empty());
    assert_eq!(
        world.stick("c", 0).await.as_str().chars().next(),
        Some('$'),
        "an event like others"
    );
    assert!(world.all().await.is_empty());
}

#[tokio::test]
async fn after_a_position_only_what_is_newer_is_told_but_all_of_it_to_who_joined_later() {
    let world = World::new().await;
    let first = world.stick("a", MINUTE_MS).await;
    let since = world.server.data.position();
    let second = world.stick("b", MINUTE_MS).await;
    let later = world.page(Some(since), 100, 0).await;
    assert_eq!(world.ids(&later), std::slice::from_ref(&second));
    let entered = world.server.data.position().0;
    let joined = world.page(Some(since), 100, entered).await;
    assert_eq!(world.ids(&joined), [first, second]);
}

#[tokio::test]
async fn more_than_the_limit_are_told_in_pieces_and_none_twice() {
    let world = World::new().await;
    let mut sent = Vec::new();
    for text in ["a", "b", "c", "d", "e"] {
        sent.push(world.stick(text, MINUTE_MS).await);
    }
    let mut told = Vec::new();
    let mut since = None;
    loop {
        let page = world.page(since, 2, 0).await;
        told.extend(world.ids(&page));
        assert!(world.ids(&page).len() <= 2);
        match page.cut {
            None => break,
            Some(cut) => since = Some(cut),
        }
    }
    assert_eq!(told, sent);
}

#[tokio::test]
async fn a_redaction_takes_the_stickiness_away() {
    let world = World::new().await;
    let event = world.stick("a", MINUTE_MS).await;
    world.server.redact(&world.alice, &world.room, &event).await.expect("redacted");
    assert!(world.all().await.is_empty());
}

#[tokio::test]
async fn what_has_ended_is_removed_with_the_next_one() {
    let world = World::new().await;
    world.stick("a", 10).await;
    world.stick("b", 10).await;
    world.pass(10);
    world.stick("c", MINUTE_MS).await;
    let part = world.server.data.parts().room(&world.room);
    let rows = world.server.data.list::<StickyEventRow>(part, &(), 10).await.expect("read").rows;
    assert_eq!(rows.len(), 1);
    let until_ms = world.server.data.env().now_millis() + MINUTE_MS;
    assert_eq!(rows[0].1.until_ms, until_ms);
    let directory = blaupause_data::DIRECTORY;
    let row = world.server.data.get::<StickyRoomRow>(directory, &world.room).await.expect("read");
    assert_eq!(row.map(|row| row.value), Some(until_ms));
}

#[tokio::test]
async fn the_same_state_is_said_again_if_it_is_to_be_sticky() {
    let world = World::new().await;
    let state = |sticky_ms| blaupause_rooms::SendState {
        room: world.room.clone(),
        sender: world.alice.clone(),
        kind: "m.room.topic".into(),
        state_key: String::new(),
        content: raw(&json!({ "topic": "t" })),
        timestamp: None,
        sticky_ms,
    };
    let send = |sticky_ms| world.server.rooms.send_state(state(sticky_ms));
    let first = send(Some(MINUTE_MS)).await.expect("set");
    assert_eq!(send(None).await.expect("set"), first);
    let again = send(Some(MINUTE_MS)).await.expect("set");
    assert_ne!(again, first);
    assert_eq!(world.all().await, [first, again]);
}

#[tokio::test]
async fn a_delayed_event_is_sticky_from_when_it_is_sent() {
    let world = World::new().await;
    let request = Schedule {
        room: world.room.clone(),
        sender: world.alice.clone(),
        kind: TimelineEventType::from("m.rtc.member"),
        state_key: None,
        content: raw(&json!({})),
        delay_ms: 3 * MINUTE_MS,
        transaction: None,
        sticky_ms: Some(MINUTE_MS),
    };
    let id = world.server.rooms.schedule(request).await.expect("scheduled");
    assert!(world.all().await.is_empty());
    world.pass(3 * MINUTE_MS);
    world.server.rooms.send_due().await.expect("sent");
    assert_eq!(world.all().await.len(), 1);
    world.pass(MINUTE_MS);
    assert!(world.all().await.is_empty());
    world.pass(24 * 60 * MINUTE_MS);
    world.server.rooms.send_due().await.expect("forgotten");
    let part = world.server.data.parts().user(&world.alice);
    let row = world.server.data.get::<DelayedStickyRow>(part, &id).await.expect("read");
    assert!(row.is_none());
}
