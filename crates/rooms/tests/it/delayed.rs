//! Events that are sent later (MSC4140).

use std::time::Duration;

use blaupause_data::DIRECTORY;
use blaupause_rooms::{
    DelayAction, MembershipAction, RoomsError, Schedule,
    rows::{DelayFailure, DueRow, Outcome},
};
use blaupause_testkit::{TestServer, raw, transaction_of};
use ruma::{OwnedRoomId, OwnedUserId, events::TimelineEventType};
use serde_json::{Value, json};

/// A call member leaves a call so.
const MEMBER: &str = "org.matrix.msc3401.call.member";

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

    fn message(&self, text: &str, delay_ms: u64) -> Schedule {
        Schedule {
            room: self.room.clone(),
            sender: self.alice.clone(),
            kind: TimelineEventType::RoomMessage,
            state_key: None,
            content: raw(&json!({ "msgtype": "m.text", "body": text })),
            delay_ms,
            transaction: None,
            sticky_ms: None,
        }
    }

    fn state(&self, kind: &str, key: &str, content: &Value, delay_ms: u64) -> Schedule {
        Schedule {
            kind: TimelineEventType::from(kind),
            state_key: Some(key.to_owned()),
            content: raw(content),
            ..self.message("", delay_ms)
        }
    }

    async fn schedule(&self, request: Schedule) -> String {
        self.server.rooms.schedule(request).await.expect("scheduled")
    }

    async fn manage(&self, id: &str, action: DelayAction) -> Result<(), RoomsError> {
        self.server.rooms.manage_delayed(id, &self.alice, action).await
    }

    async fn pass(&self, millis: u64) {
        self.server.data.env().advance(Duration::from_millis(millis));
        self.server.rooms.send_due().await.expect("sent");
    }

    async fn said(&self) -> Vec<String> {
        let timeline = self.server.timeline(&self.room).await;
        let messages = timeline.iter().filter(|event| event.kind == "m.room.message");
        messages
            .map(|event| event.content_as::<Value>().expect("JSON")["body"].to_string())
            .collect()
    }

    async fn outcome(&self, id: &str) -> Option<Outcome> {
        let event = self.server.rooms.delayed(&self.alice, id).await.expect("known");
        event.ending.map(|ending| ending.outcome)
    }
}

#[tokio::test]
async fn an_event_is_sent_once_when_its_time_has_come_and_not_before() {
    let world = World::new().await;
    let id = world.schedule(world.message("later", 1_000)).await;
    world.pass(999).await;
    assert!(world.said().await.is_empty());
    assert_eq!(world.outcome(&id).await, None);
    world.pass(1).await;
    world.pass(10_000).await;
    assert_eq!(world.said().await, ["\"later\""]);
    let event = world.server.timeline(&world.room).await.pop().expect("an event");
    assert_eq!(world.outcome(&id).await, Some(Outcome::Sent(event.stored.event_id.clone())));
    assert_eq!(event.origin_server_ts, blaupause_testkit::START_MS + 1_000, "not when scheduled");
}

#[tokio::test]
async fn a_restart_begins_the_delay_again_and_a_cancelled_event_is_never_sent() {
    let world = World::new().await;
    let (kept, gone) = (
        world.schedule(world.message("kept", 1_000)).await,
        world.schedule(world.message("gone", 1_000)).await,
    );
    world.pass(900).await;
    world.manage(&kept, DelayAction::Restart).await.expect("restarted");
    world.manage(&gone, DelayAction::Cancel).await.expect("cancelled");
    world.pass(900).await;
    assert!(world.said().await.is_empty());
    world.pass(100).await;
    assert_eq!(world.said().await, ["\"kept\""]);
    assert_eq!(world.outcome(&gone).await, Some(Outcome::Cancelled));
}

#[tokio::test]
async fn what_is_as_it_should_be_is_no_error_and_what_ended_otherwise_is() {
    let world = World::new().await;
    let sent = world.schedule(world.message("sent", 1_000)).await;
    let gone = world.schedule(world.message("gone", 1_000)).await;
    for _ in 0..2 {
        world.manage(&sent, DelayAction::Send).await.expect("sent");
        world.manage(&gone, DelayAction::Cancel).await.expect("cancelled");
    }
    assert_eq!(world.said().await, ["\"sent\""]);
    for (id, action) in [
        (&sent, DelayAction::Cancel),
        (&sent, DelayAction::Restart),
        (&gone, DelayAction::Send),
        (&gone, DelayAction::Restart),
    ] {
        let done = world.manage(id, action).await;
        assert!(matches!(done, Err(RoomsError::DelayEnded)), "{action:?}: {done:?}");
    }
    let unknown = world.manage(&"x".repeat(32), DelayAction::Send).await;
    assert!(matches!(unknown, Err(RoomsError::NotFound(_))));
}

#[tokio::test]
async fn nobody_but_its_owner_finds_a_delayed_event() {
    let world = World::new().await;
    let bob = world.server.user("bob");
    let id = world.schedule(world.message("x", 1_000)).await;
    let done = world.server.rooms.manage_delayed(&id, &bob, DelayAction::Cancel).await;
    assert!(matches!(done, Err(RoomsError::NotFound(_))));
    assert!(world.server.rooms.delayed(&bob, &id).await.is_err());
    assert!(world.server.rooms.delayed_events(&bob, false).await.expect("reads").is_empty());
    assert_eq!(world.server.rooms.delay_owner(&id).await.expect("known"), world.alice);
}

#[tokio::test]
async fn state_and_redactions_can_be_delayed() {
    let world = World::new().await;
    let said = world.server.say(&world.alice, &world.room, "secret").await.expect("sent");
    world.schedule(world.state("m.room.topic", "", &json!({ "topic": "t" }), 10)).await;
    let redaction = Schedule {
        kind: TimelineEventType::RoomRedaction,
        content: raw(&json!({ "redacts": said, "reason": "old" })),
        ..world.message("", 10)
    };
    world.schedule(redaction).await;
    world.pass(10).await;
    world.pass(10).await;
    let topic = world.server.state(&world.room, "m.room.topic", "").await.expect("set");
    assert_eq!(topic["topic"], "t");
    assert_eq!(world.said().await, ["null"]);
    let redactions = world.server.timeline(&world.room).await;
    let redactions = redactions.iter().filter(|event| event.kind == "m.room.redaction");
    assert_eq!(redactions.count(), 1);
}

#[tokio::test]
async fn a_delayed_leave_of_the_room_is_a_leave() {
    let world = World::new().await;
    let bob = world.server.user("bob");
    world.server.join(&bob, &world.room).await.expect("joined");
    let leave = Schedule {
        sender: bob.clone(),
        ..world.state("m.room.member", bob.as_str(), &json!({ "membership": "leave" }), 10)
    };
    let id = world.schedule(leave).await;
    world.pass(10).await;
    assert_eq!(
        world.server.membership(&bob, &world.room).await,
        Some(blaupause_data::Member::Leave)
    );
    let ended = world.server.rooms.delayed(&bob, &id).await.expect("known");
    assert!(ended.ending.expect("ended").event().is_some());
}

#[tokio::test]
async fn rights_are_asked_when_the_time_has_come() {
    let world = World::new().await;
    let bob = world.server.user("bob");
    world.server.join(&bob, &world.room).await.expect("joined");
    let request = Schedule { sender: bob.clone(), ..world.message("x", 10) };
    let id = world.schedule(request).await;
    world
        .server
        .act(&world.alice, MembershipAction::Kick, &bob, &world.room)
        .await
        .expect("kicked");
    // Sending it now fails and leaves it waiting; its time makes it fail for good.
    let rooms = &world.server.rooms;
    assert!(rooms.manage_delayed(&id, &bob, DelayAction::Send).await.is_err());
    assert!(rooms.delayed(&bob, &id).await.expect("known").ending.is_none());
    world.pass(10).await;
    assert!(world.said().await.is_empty());
    let ending = rooms.delayed(&bob, &id).await.expect("known").ending.expect("ended");
    assert!(
        matches!(ending.outcome, Outcome::Failed { reason: DelayFailure::NotAllowed, .. }),
        "{ending:?}"
    );
}

#[tokio::test]
async fn a_suspended_person_does_not_speak_by_having_spoken_earlier() {
    let world = World::new().await;
    let bob = world.server.account("bob").await;
    world.server.join(&bob, &world.room).await.expect("joined");
    world.schedule(Schedule { sender: bob.clone(), ..world.message("x", 10) }).await;
    world.server.accounts.set_suspended(&bob, true).await.expect("suspended");
    world.pass(10).await;
    assert!(world.said().await.is_empty());
}

#[tokio::test]
async fn what_waits_for_a_closed_account_is_cancelled() {
    let world = World::new().await;
    let bob = world.server.account("bob").await;
    world.server.join(&bob, &world.room).await.expect("joined");
    let id = world.schedule(Schedule { sender: bob.clone(), ..world.message("x", 10) }).await;
    world.server.accounts.deactivate(&bob, false).await.expect("closed");
    world.server.rooms.follow().await.expect("follows");
    let ended = world.server.rooms.delayed(&bob, &id).await.expect("known").ending;
    assert_eq!(ended.map(|ending| ending.outcome), Some(Outcome::Cancelled));
    world.pass(10).await;
    assert!(world.said().await.is_empty());
}

#[tokio::test]
async fn limits_are_kept() {
    let world = World::new().await;
    let rooms = &world.server.rooms;
    let limits = rooms.settings().delayed.expect("on by default");
    let too_long = rooms.schedule(world.message("x", limits.delay_ms_max + 1)).await;
    assert!(matches!(too_long, Err(RoomsError::DelayTooLong { .. })));
    assert!(matches!(rooms.schedule(world.message("x", 0)).await, Err(RoomsError::Invalid(_))));
    for number in 0..limits.waiting_max {
        world.schedule(world.message("x", 5_000 + u64::from(number))).await;
    }
    let too_many = rooms.schedule(world.message("x", 1)).await;
    assert!(
        matches!(too_many, Err(RoomsError::TooManyDelayed { retry_ms: 5_000 })),
        "{too_many:?}"
    );
    world.pass(5_000).await;
    world.schedule(world.message("x", 1)).await;
    let stranger = Schedule { sender: world.server.user("eve"), ..world.message("x", 1) };
    assert!(matches!(rooms.schedule(stranger).await, Err(RoomsError::NotJoined)));
    let odd = Schedule { content: raw(&json!({ "body": 1 })), ..world.message("x", 1) };
    assert!(matches!(rooms.schedule(odd).await, Err(RoomsError::BadContent(_))));
}

#[tokio::test]
async fn a_repeated_request_schedules_nothing_twice() {
    let world = World::new().await;
    let request =
        || Schedule { transaction: Some(transaction_of("1")), ..world.message("x", 1_000) };
    let first = world.schedule(request()).await;
    assert_eq!(world.schedule(request()).await, first);
    let listed = world.server.rooms.delayed_events(&world.alice, false).await.expect("reads");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, first);
}

#[tokio::test]
async fn waiting_events_are_listed_in_the_order_of_time() {
    let world = World::new().await;
    let (b, a) = (
        world.schedule(world.message("b", 2_000)).await,
        world.schedule(world.message("a", 1_000)).await,
    );
    let ids = |list: Vec<blaupause_rooms::DelayedEvent>| -> Vec<String> {
        list.into_iter().map(|event| event.id).collect()
    };
    let rooms = &world.server.rooms;
    assert_eq!(ids(rooms.delayed_events(&world.alice, false).await.expect("reads")), [a, b]);
}

#[tokio::test]
async fn what_ended_is_forgotten_after_a_while_and_leaves_nothing_in_the_queue() {
    let world = World::new().await;
    let id = world.schedule(world.message("x", 1_000)).await;
    world.pass(1_000).await;
    world.pass(24 * 60 * 60 * 1_000).await;
    assert!(world.server.rooms.delayed(&world.alice, &id).await.is_err());
    assert!(world.server.rooms.delay_owner(&id).await.is_err());
    let queue = world.server.data.list::<DueRow>(DIRECTORY, &(), 10).await.expect("reads");
    assert!(queue.rows.is_empty());
}

#[tokio::test]
async fn what_fell_due_while_nobody_looked_is_sent_in_the_order_of_time() {
    let world = World::new().await;
    for (text, delay) in [("c", 3_000), ("a", 1_000), ("b", 2_000)] {
        world.schedule(world.message(text, delay)).await;
    }
    world.pass(60_000).await;
    assert_eq!(world.said().await, ["\"a\"", "\"b\"", "\"c\""]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sending_restarting_and_its_time_at_once_make_one_event() {
    let world = World::new().await;
    for round in 0..20 {
        let id = world.schedule(world.message(&round.to_string(), 1)).await;
        world.server.data.env().advance(Duration::from_millis(1));
        let tasks: Vec<_> = [DelayAction::Send, DelayAction::Restart, DelayAction::Send]
            .into_iter()
            .map(|action| {
                let (rooms, alice, id) =
                    (world.server.rooms.clone(), world.alice.clone(), id.clone());
                world.server.data.env().spawn(async move {
                    let _ = rooms.manage_delayed(&id, &alice, action).await;
                    rooms.send_due().await.expect("sent");
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        world.pass(1).await;
    }
    assert_eq!(world.said().await.len(), 20);
}

#[tokio::test]
async fn a_call_that_nobody_keeps_alive_is_left() {
    let world = World::new().await;
    let (alice, room) = (&world.alice, &world.room);
    let key = format!("_{alice}_DEVICE_m.call");
    let there = json!({ "application": "m.call" });
    world.server.set(alice, room, MEMBER, &key, there.clone()).await.expect("set");
    let id = world.schedule(world.state(MEMBER, &key, &json!({}), 15_000)).await;
    for _ in 0..5 {
        world.pass(5_000).await;
        world.manage(&id, DelayAction::Restart).await.expect("restarted");
    }
    assert_eq!(world.server.state(room, MEMBER, &key).await, Some(there));
    world.pass(15_000).await;
    assert_eq!(world.server.state(room, MEMBER, &key).await, Some(json!({})));
}
