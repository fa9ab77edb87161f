//! Kicks and bans that take with them what was said (MSC4293).

use blaupause_rooms::{ChangeMembership, MembershipAction};
use blaupause_testkit::TestServer;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use serde_json::{Value, json};

struct World {
    server: TestServer,
    alice: OwnedUserId,
    bob: OwnedUserId,
    room: OwnedRoomId,
}

impl World {
    async fn new() -> Self {
        let server = TestServer::new().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let room = server.public_room(&alice).await;
        server.join(&bob, &room).await.expect("joined");
        Self { server, alice, bob, room }
    }

    async fn say(&self, user: &UserId, text: &str) -> OwnedEventId {
        let content = json!({ "msgtype": "m.text", "body": text });
        let sent = self.server.send(user, &self.room, "m.room.message", content, None).await;
        sent.expect("sent")
    }

    async fn act(&self, action: MembershipAction, redact_events: bool) {
        let (room, alice, bob) = (self.room.clone(), self.alice.clone(), self.bob.clone());
        let change = ChangeMembership::of(room, alice, bob, action);
        let change = ChangeMembership { redact_events, ..change };
        self.server.rooms.change_membership(&change).await.expect("done");
        self.server.rooms.follow().await.expect("followed");
    }

    /// What can still be read.
    async fn texts(&self) -> Vec<String> {
        let timeline = self.server.timeline(&self.room).await;
        let messages = timeline.iter().filter(|event| event.kind == "m.room.message");
        let texts = messages.filter_map(|event| {
            let content: Value = event.content_as()?;
            content["body"].as_str().map(ToOwned::to_owned)
        });
        texts.collect()
    }
}

#[tokio::test]
async fn a_ban_takes_what_was_said_since_the_member_came() {
    let world = World::new().await;
    world.say(&world.bob, "first visit").await;
    world.server.leave(&world.bob, &world.room).await.expect("left");
    world.server.join(&world.bob, &world.room).await.expect("joined");
    world.say(&world.bob, "spam").await;
    world.say(&world.alice, "hello").await;
    // A new name is no new visit.
    let name = json!({ "membership": "join", "displayname": "b" });
    let set = world.server.set(&world.bob, &world.room, "m.room.member", world.bob.as_str(), name);
    set.await.expect("set");
    for n in 0..250 {
        world.say(&world.bob, &n.to_string()).await;
    }
    world.act(MembershipAction::Ban, true).await;
    assert_eq!(world.texts().await, ["first visit", "hello"]);
    let timeline = world.server.timeline(&world.room).await;
    let ban = timeline.iter().find(|event| {
        event.content_as::<Value>().is_some_and(|content| content["membership"] == "ban")
    });
    let redacted = timeline.iter().filter(|event| event.stored.redacted_by.is_some());
    let by: Vec<_> = redacted.map(|event| event.stored.redacted_by).collect();
    assert!(by.len() > 250 && by.iter().all(|by| *by == ban.map(|ban| ban.no)));
}

#[tokio::test]
async fn without_the_flag_and_without_the_level_everything_stays() {
    let world = World::new().await;
    world.say(&world.bob, "a").await;
    world.act(MembershipAction::Kick, false).await;
    assert_eq!(world.texts().await, ["a"]);
    world.server.join(&world.bob, &world.room).await.expect("joined");
    let levels = json!({ "users": { world.alice.as_str(): 60 }, "redact": 70 });
    let set = world.server.set(&world.alice, &world.room, "m.room.power_levels", "", levels);
    if set.await.is_ok() {
        world.act(MembershipAction::Kick, true).await;
        assert_eq!(world.texts().await, ["a"]);
    }
}

#[tokio::test]
async fn to_lift_a_ban_takes_nothing() {
    let world = World::new().await;
    world.say(&world.bob, "a").await;
    world.act(MembershipAction::Ban, false).await;
    world.act(MembershipAction::Unban, true).await;
    assert_eq!(world.texts().await, ["a"]);
}

#[tokio::test]
async fn a_kick_takes_it_also_after_a_restart() {
    let world = World::new().await;
    world.say(&world.bob, "a").await;
    let (room, alice, bob) = (world.room.clone(), world.alice.clone(), world.bob.clone());
    let change = ChangeMembership::of(room, alice, bob, MembershipAction::Kick);
    let change = ChangeMembership { redact_events: true, ..change };
    world.server.rooms.change_membership(&change).await.expect("kicked");
    assert_eq!(world.texts().await, ["a"], "the follower has not run");
    world.server.rooms.follow().await.expect("followed");
    assert!(world.texts().await.is_empty());
    // Done once more, as after a crash, it finds nothing to do.
    let position = world.server.data.position();
    world.server.rooms.follow().await.expect("followed");
    assert_eq!(world.server.data.position(), position);
}
