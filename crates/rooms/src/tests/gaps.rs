//! Events whose parents did not come: they are asked for.

use std::time::Duration;

use ruma::{OwnedEventId, RoomVersionId};
use serde_json::json;

use super::world::Two;

async fn said(two: &Two, count: usize) -> Vec<OwnedEventId> {
    let mut said = Vec::new();
    for n in 0..count {
        said.push(two.b.say(&two.bob, &two.room, &n.to_string()).await);
    }
    said
}

#[tokio::test(start_paused = true)]
async fn missing_events_are_fetched_and_shown_in_order() {
    let two = Two::new(RoomVersionId::V12).await;
    let said = said(&two, 30).await;
    let topic = json!({ "topic": "tea" });
    two.b.set(&two.bob, &two.room, "m.room.topic", "", topic).await.ok();
    two.b.pass_on(&two.a, &two.room, &said[29]).await;
    let timeline = two.a.timeline(&two.room).await;
    assert_eq!(timeline[timeline.len() - 30..], said[..]);
    let asked = two.network.asked();
    assert!(asked.iter().all(|path| path.contains("get_missing_events")), "{asked:?}");
    assert_eq!(two.a.head(&two.room).await.tips.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_is_too_wide_is_bridged_by_the_state_there() {
    let two = Two::new(RoomVersionId::V12).await;
    let levels = json!({ "users": { two.bob.as_str(): 50 } });
    let levels = two.a.set(&two.alice, &two.room, "m.room.power_levels", "", levels).await;
    two.a.pass_on(&two.b, &two.room, &levels.expect("set")).await;
    let topic = json!({ "topic": "tea" });
    let topic = two.b.set(&two.bob, &two.room, "m.room.topic", "", topic).await.expect("set");
    let said = said(&two, 130).await;
    two.b.pass_on(&two.a, &two.room, &said[129]).await;
    let timeline = two.a.timeline(&two.room).await;
    assert_eq!(timeline.last(), Some(&said[129]));
    assert!(!timeline.contains(&said[0]), "not all of it was fetched");
    let asked = two.network.asked();
    assert!(asked.iter().any(|path| path.contains("state_ids")));
    assert_eq!(two.a.state(&two.room).await, two.b.state(&two.room).await);
    let event = two.a.stored(&two.room, &topic).await.expect("part of the state");
    assert!(event.place.is_none(), "and not of the timeline");
    // The room goes on as if nothing had happened.
    let reply = two.a.say(&two.alice, &two.room, "I am back").await;
    two.a.pass_on(&two.b, &two.room, &reply).await;
    assert_eq!(two.b.timeline(&two.room).await.last(), Some(&reply));
    assert_eq!(two.b.head(&two.room).await.tips.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_missing_events_the_state_is_enough() {
    let two = Two::new(RoomVersionId::V11).await;
    two.network.refuse("get_missing_events");
    let said = said(&two, 3).await;
    two.b.pass_on(&two.a, &two.room, &said[2]).await;
    let timeline = two.a.timeline(&two.room).await;
    assert_eq!(timeline[timeline.len() - 2..], said[1..], "what was told has its place");
    assert!(two.a.stored(&two.room, &said[0]).await.is_none(), "before it is the gap");
    // Nobody told what the gap follows: the old tip may be another branch.
    assert_eq!(two.a.head(&two.room).await.tips.len(), 2);
    two.a.say(&two.alice, &two.room, "one again").await;
    assert_eq!(two.a.head(&two.room).await.tips.len(), 1);
    assert_eq!(two.a.state(&two.room).await, two.b.state(&two.room).await);
}

#[tokio::test(start_paused = true)]
async fn what_can_never_be_had_is_given_up_and_stops_nobody() {
    let two = Two::new(RoomVersionId::V12).await;
    let said = said(&two, 3).await;
    for path in ["get_missing_events", "state", "event"] {
        two.network.refuse(path);
    }
    let pdus = vec![two.b.pdu(&two.room, &said[2]).await, two.b.pdu(&two.room, &said[0]).await];
    two.b.deliver(&two.a, pdus).await;
    let timeline = two.a.timeline(&two.room).await;
    assert_eq!(timeline.last(), Some(&said[0]));
    assert!(two.a.stored(&two.room, &said[2]).await.is_none());
    let part = two.a.data.parts().room(&two.room);
    let inbox = two.a.data.list::<crate::rows::InboxRow>(part, &(), 10).await.expect("reads");
    assert!(inbox.rows.is_empty());
}

/// Nothing else would tell that somebody is gone.
#[tokio::test(start_paused = true)]
async fn a_leave_that_lacks_something_waits_for_it_and_holds_up_nobody() {
    let two = Two::new(RoomVersionId::V12).await;
    let said = said(&two, 3).await;
    let leaves = json!({ "membership": "leave" });
    let bob = two.bob.to_string();
    let left = two.b.set(&two.bob, &two.room, "m.room.member", &bob, leaves).await.expect("leaves");
    for path in ["get_missing_events", "state", "event"] {
        two.network.refuse(path);
    }
    let stage = async |event: &OwnedEventId| {
        let pdu = two.b.pdu(&two.room, event).await;
        two.a.rooms.stage(two.b.name(), vec![pdu]).await.expect("staged");
    };
    stage(&left).await;
    let meanwhile = async {
        tokio::time::sleep(Duration::from_secs(30 * 60)).await;
        stage(&said[0]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(two.a.timeline(&two.room).await.last(), Some(&said[0]), "at once");
        assert!(two.a.stored(&two.room, &left).await.is_none());
        two.a.data.env().advance(Duration::from_secs(3_600));
        two.network.refuse_nothing();
    };
    tokio::join!(two.a.rooms.intake(), meanwhile);
    assert_eq!(two.a.timeline(&two.room).await.last(), Some(&left));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_away_is_waited_for() {
    let two = Two::new(RoomVersionId::V12).await;
    let said = said(&two, 3).await;
    two.network.cut(two.b.name(), true);
    let pdu = two.b.pdu(&two.room, &said[2]).await;
    let staged = two.a.rooms.stage(two.b.name(), vec![pdu]).await.expect("staged");
    assert!(staged.values().all(Result::is_ok));
    let network = two.network.clone();
    let name = two.b.name().to_owned();
    let back = async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        network.cut(&name, false);
    };
    tokio::join!(two.a.rooms.intake(), back);
    // The pause after a failure belongs to `federation`: what it refuses now is given up.
    let timeline = two.a.timeline(&two.room).await;
    let pdu = two.b.pdu(&two.room, &said[0]).await;
    two.b.deliver(&two.a, vec![pdu]).await;
    assert!(two.a.timeline(&two.room).await.len() >= timeline.len());
}

#[tokio::test(start_paused = true)]
async fn who_shows_nothing_is_not_waited_for_and_the_event_is_taken_when_it_comes_again() {
    let two = Two::new(RoomVersionId::V11).await;
    let said = said(&two, 2).await;
    for path in ["get_missing_events", "state", "event"] {
        two.network.deny(path);
    }
    let began = tokio::time::Instant::now();
    let pdu = two.b.pdu(&two.room, &said[1]).await;
    two.b.deliver(&two.a, vec![pdu]).await;
    assert!(began.elapsed().is_zero(), "what is refused is refused the next time, too");
    for event in &said {
        let pdu = two.b.pdu(&two.room, event).await;
        two.b.deliver(&two.a, vec![pdu]).await;
        assert_eq!(two.a.timeline(&two.room).await.last(), Some(event));
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_given_all_is_not_asked_for_more() {
    let two = Two::new(RoomVersionId::V11).await;
    let said = said(&two, 3).await;
    two.b.pass_on(&two.a, &two.room, &said[2]).await;
    assert_eq!(two.a.timeline(&two.room).await.last(), Some(&said[2]));
    let asked = two.network.asked();
    let missing = asked.iter().filter(|path| path.contains("get_missing_events"));
    assert_eq!(missing.count(), 1, "{asked:?}");
}
