//! Two servers that change a room at the same time, and hear of each other late and in any order,
//! end with the same room.

use std::collections::VecDeque;

use proptest::prelude::*;
use ruma::{OwnedEventId, RoomVersionId, UserId};
use serde_json::{Value, json};

use super::world::{Server, Two};
use crate::RoomsError;

/// Random rooms in the quick run.
const ROOMS: u32 = 12;

/// One random action; all numbers are taken modulo what there is.
#[derive(Clone, Debug)]
struct Move {
    who: u8,
    whom: u8,
    act: u8,
    /// How many events, from which end, the other side hears of afterwards.
    heard: u8,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>())
        .prop_map(|(who, whom, act, heard)| Move { who, whom, act, heard });
    prop::collection::vec(one, 5..35)
}

fn versions() -> impl Strategy<Value = RoomVersionId> {
    prop_oneof![Just(RoomVersionId::V11), Just(RoomVersionId::V12)]
}

impl Move {
    async fn done(
        &self,
        at: &Server,
        two: &Two,
        who: &UserId,
        people: &[&UserId],
    ) -> Result<OwnedEventId, RoomsError> {
        let whom = people[usize::from(self.whom) % people.len()];
        let member = |membership: &str| json!({ "membership": membership });
        let (kind, key, content): (&str, &str, Value) = match self.act % 12 {
            0 | 1 => ("m.room.member", who.as_str(), member("join")),
            2 if who != two.alice => ("m.room.member", who.as_str(), member("leave")),
            3 => ("m.room.member", whom.as_str(), member("ban")),
            4 => ("m.room.member", whom.as_str(), member("leave")),
            5 => ("m.room.member", whom.as_str(), member("invite")),
            6 | 7 => {
                let level = [0, 50, 50, 90][usize::from(self.heard % 4)];
                let mut users = json!({ whom.as_str(): level, who.as_str(): 90 });
                if two.a.head(&two.room).await.version == RoomVersionId::V11 {
                    users[two.alice.as_str()] = json!(100);
                }
                ("m.room.power_levels", "", json!({ "users": users, "invite": 0 }))
            }
            8 => {
                let rule = ["public", "invite"][usize::from(self.heard % 2)];
                ("m.room.join_rules", "", json!({ "join_rule": rule }))
            }
            9 => ("m.room.topic", "", json!({ "topic": self.heard.to_string() })),
            10 => ("m.room.name", "", json!({ "name": self.heard.to_string() })),
            _ => {
                let said = json!({ "msgtype": "m.text", "body": "x" });
                return at.send(who, &two.room, "m.room.message", said).await;
            }
        };
        at.set(who, &two.room, kind, key, content).await
    }
}

async fn grow(version: RoomVersionId, moves: &[Move]) -> Two {
    let two = Two::new(version).await;
    let (adam, bert) = (two.a.user("adam"), two.b.user("bert"));
    let join = json!({ "membership": "join" });
    let room = &two.room;
    let joined = two.a.set(&adam, room, "m.room.member", adam.as_str(), join.clone()).await;
    two.a.pass_on(&two.b, room, &joined.expect("public")).await;
    let joined = two.b.set(&bert, room, "m.room.member", bert.as_str(), join).await;
    two.b.pass_on(&two.a, room, &joined.expect("public")).await;
    let people: [&UserId; 3] = [&adam, &two.bob, &two.alice];
    let (mut from_a, mut from_b) = (VecDeque::new(), VecDeque::new());
    for step in moves {
        let who = people[usize::from(step.who) % people.len()];
        let (at, queue) = match who.server_name() == two.a.name() {
            true => (&two.a, &mut from_a),
            false => (&two.b, &mut from_b),
        };
        match step.done(at, &two, who, &people[..2]).await {
            Ok(event) => queue.push_back(event),
            Err(RoomsError::Data(error)) => panic!("{error}"),
            Err(_) => {}
        }
        for (from, to, queue) in [(&two.a, &two.b, &mut from_a), (&two.b, &two.a, &mut from_b)] {
            for _ in 0..step.heard % 3 {
                let event = match step.heard & 4 {
                    0 => queue.pop_front(),
                    _ => queue.pop_back(),
                };
                if let Some(event) = event {
                    from.pass_on(to, room, &event).await;
                }
            }
        }
    }
    for event in from_a {
        two.a.pass_on(&two.b, room, &event).await;
    }
    for event in from_b {
        two.b.pass_on(&two.a, room, &event).await;
    }
    // Somebody on each side who was never touched names all that this side knows of.
    for _ in 0..2 {
        let last_a = two.a.say(&two.alice, room, "all I know").await;
        let last_b = two.b.say(&bert, room, "all I know").await;
        two.a.pass_on(&two.b, room, &last_a).await;
        two.b.pass_on(&two.a, room, &last_b).await;
    }
    two
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ROOMS,
        failure_persistence: None,
        max_shrink_iters: 150,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_order_of_delivery_ends_with_the_same_room(version in versions(), moves in moves()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let two = Box::pin(grow(version, &moves)).await;
            let (a, b) = (two.a.state(&two.room).await, two.b.state(&two.room).await);
            if a != b {
                two.explain().await;
            }
            prop_assert_eq!(a, b);
            let tips = |head: blaupause_data::rows::RoomHead| {
                let mut tips: Vec<_> = head.tips.into_iter().map(|tip| tip.event_id).collect();
                tips.sort();
                tips
            };
            let (a, b) = (two.a.head(&two.room).await, two.b.head(&two.room).await);
            prop_assert_eq!(tips(a), tips(b));
            Ok(())
        })?;
    }
}
