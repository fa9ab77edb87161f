//! Events of other servers that come together are judged as if they had come one by one.

use ruma::{OwnedEventId, RoomVersionId};
use serde_json::{Value, json, value::RawValue};

use super::world::{Forged, Server, Two};
use crate::rows::InboxRow;

/// What a server makes of a room: its state, its timeline, and how each of the events stands.
async fn view(server: &Server, two: &Two, events: &[OwnedEventId]) -> String {
    let mut stand = Vec::new();
    for id in events {
        let event = server.stored(&two.room, id).await;
        stand.push(event.map(|event| {
            let stored = &event.stored;
            let shown = stored.place.is_some();
            (shown, stored.rejected, stored.soft_failed, stored.redacted_by.is_some())
        }));
    }
    let mut tips: Vec<_> = server.head(&two.room).await.tips;
    tips.sort_by(|one, other| one.event_id.cmp(&other.event_id));
    let tips: Vec<_> = tips.into_iter().map(|tip| tip.event_id).collect();
    // Of branches either may come first: what came together is sorted.
    let (state, mut timeline) = (server.state(&two.room).await, server.timeline(&two.room).await);
    timeline.sort();
    format!("{state:#?}\n{timeline:#?}\n{stand:#?}\n{tips:#?}")
}

/// Give the events to one copy of a server all at once, and to another one by one.
async fn must_be_the_same(two: &Two, pdus: Vec<Box<RawValue>>, ids: &[OwnedEventId]) -> Server {
    let (together, alone) = (two.a.copy(&two.network).await, two.a.copy(&two.network).await);
    for pdu in pdus.clone() {
        two.b.deliver(&alone, vec![pdu]).await;
    }
    two.b.deliver(&together, pdus).await;
    assert_eq!(view(&together, two, ids).await, view(&alone, two, ids).await);
    together
}

async fn pdus(two: &Two, ids: &[OwnedEventId]) -> Vec<Box<RawValue>> {
    let mut pdus = Vec::new();
    for id in ids {
        pdus.push(two.b.pdu(&two.room, id).await);
    }
    pdus
}

#[tokio::test]
async fn what_came_together_is_judged_in_few_batches() {
    let two = Two::new(RoomVersionId::V12).await;
    let mut ids = Vec::new();
    for number in 0..50 {
        ids.push(two.b.say(&two.bob, &two.room, &format!("{number}")).await);
    }
    let pdus = pdus(&two, &ids).await;
    two.a.rooms.stage(two.b.name(), pdus).await.expect("staged");
    let (_, before) = two.a.store.round_trips();
    two.a.rooms.intake().await;
    let commits = two.a.store.round_trips().1 - before;
    assert!(commits <= 2, "{commits} commits: the events, and that nothing waits any more");
    let timeline = two.a.timeline(&two.room).await;
    assert_eq!(timeline[timeline.len() - ids.len()..], ids);
}

#[tokio::test]
async fn people_who_come_and_go_and_speak_are_judged_by_what_was_said_before() {
    let two = Two::new(RoomVersionId::V12).await;
    let (b, room) = (&two.b, &two.room);
    let mut ids = Vec::new();
    for number in 0..6 {
        let user = b.user(&format!("u{number}"));
        let member = |membership: &str| json!({ "membership": membership });
        let join = b.set(&user, room, "m.room.member", user.as_str(), member("join")).await;
        ids.push(join.expect("joined"));
        let said = b.say(&user, room, "hello").await;
        let liked = json!({ "m.relates_to": {
            "rel_type": "m.annotation", "event_id": said, "key": "+",
        }});
        ids.push(said.clone());
        ids.push(b.send(&two.bob, room, "m.reaction", liked).await.expect("sent"));
        let thread = json!({ "msgtype": "m.text", "body": "x", "m.relates_to": {
            "rel_type": "m.thread", "event_id": said,
        }});
        ids.push(b.send(&two.bob, room, "m.room.message", thread).await.expect("sent"));
        let named = json!({ "membership": "join", "displayname": "somebody" });
        let named = b.set(&user, room, "m.room.member", user.as_str(), named).await;
        ids.push(named.expect("renamed"));
        if number % 2 == 0 {
            let redaction = json!({ "redacts": said });
            let mut forged = Forged::message(&user, "");
            (forged.kind, forged.content, forged.redacts) =
                ("m.room.redaction", redaction, Some(&said));
            let redaction = b.forge(b, room, forged).await;
            b.rooms.accept(b.name(), room, redaction.to_raw()).await.expect("redacted");
            ids.push(redaction.event_id().to_owned());
            let left = b.set(&user, room, "m.room.member", user.as_str(), member("leave")).await;
            ids.push(left.expect("left"));
        }
    }
    let pdus = pdus(&two, &ids).await;
    let a = must_be_the_same(&two, pdus, &ids).await;
    let part = a.data.parts().room(room);
    let waiting = a.data.list::<InboxRow>(part, &(), 10).await.expect("reads").rows;
    assert!(waiting.is_empty());
}

#[tokio::test]
async fn what_is_not_allowed_stops_nothing_and_takes_nothing_along() {
    let two = Two::new(RoomVersionId::V11).await;
    let (b, room) = (&two.b, &two.room);
    let first = b.say(&two.bob, room, "first").await;
    // Bob may not do this, and what follows it stands on its own.
    let levels: Value = json!({ "users": { two.bob.as_str(): 100 } });
    let levels = Forged::state(&two.bob, "m.room.power_levels", "", levels);
    let bad = b.forge(b, room, levels).await;
    let bad_id = bad.event_id().to_owned();
    let after_bad = [bad_id.clone()];
    let mut on_top = Forged::message(&two.bob, "on top of what is not allowed");
    on_top.after = Some(&after_bad);
    let on_top = b.forge(b, room, on_top).await;
    let second = b.say(&two.bob, room, "second").await;
    let mut all = pdus(&two, std::slice::from_ref(&first)).await;
    all.extend([bad.to_raw(), on_top.to_raw()]);
    all.extend(pdus(&two, std::slice::from_ref(&second)).await);
    let ids = [first, bad_id.clone(), on_top.event_id().to_owned(), second.clone()];
    let a = must_be_the_same(&two, all, &ids).await;
    assert!(a.stored(room, &bad_id).await.expect("stored").stored.rejected);
    assert!(a.timeline(room).await.contains(&second));
}

#[tokio::test]
async fn branches_and_those_who_point_at_what_comes_later_are_judged_as_one_by_one() {
    let two = Two::new(RoomVersionId::V11).await;
    let (b, room) = (&two.b, &two.room);
    let base = b.say(&two.bob, room, "base").await;
    let target = b.forge(b, room, Forged::message(&two.bob, "target")).await;
    let target_id = target.event_id().to_owned();
    // On a branch of its own: in no order with the target.
    let after = [base.clone()];
    let mut liked = Forged::message(&two.bob, "");
    liked.kind = "m.reaction";
    liked.content = json!({ "m.relates_to": {
        "rel_type": "m.annotation", "event_id": target_id, "key": "+",
    }});
    liked.after = Some(&after);
    let liked = b.forge(b, room, liked).await;
    let mut redaction = Forged::message(&two.bob, "");
    redaction.kind = "m.room.redaction";
    redaction.content = json!({ "redacts": target_id });
    redaction.redacts = Some(&target_id);
    redaction.after = Some(&after);
    let redaction = b.forge(b, room, redaction).await;
    let mut topic = Forged::state(
        &two.bob,
        "m.room.member",
        two.bob.as_str(),
        json!({ "membership": "join", "displayname": "Bob" }),
    );
    topic.after = Some(&after);
    let topic = b.forge(b, room, topic).await;
    let mut join_all = Forged::message(&two.bob, "all branches");
    let tips = [&liked, &redaction, &topic, &target].map(|pdu| pdu.event_id().to_owned());
    join_all.after = Some(&tips);
    let join_all = b.forge(b, room, join_all).await;
    let mut all = pdus(&two, std::slice::from_ref(&base)).await;
    all.extend([&liked, &redaction, &topic, &target, &join_all].map(|pdu| pdu.to_raw()));
    let mut ids = vec![base];
    ids.extend(tips);
    ids.push(join_all.event_id().to_owned());
    let a = must_be_the_same(&two, all, &ids).await;
    let redacted = a.stored(room, &target_id).await.expect("stored").stored.redacted_by;
    assert!(redacted.is_some());
    assert_eq!(a.head(room).await.tips.len(), 1);
}
