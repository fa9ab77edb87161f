//! Relations and redactions of other servers, in any order.

use ruma::RoomVersionId;
use serde_json::json;

use super::world::{Forged, Two};
use crate::{Redact, RoomsError};
use blaupause_data::rows::RelationRow;

fn template(two: &Two) -> Redact {
    Redact {
        room: two.room.clone(),
        sender: two.alice.clone(),
        event: ruma::owned_event_id!("$x"),
        reason: None,
        transaction: None,
        timestamp: None,
        own_only: false,
    }
}

fn reply(to: &ruma::OwnedEventId) -> serde_json::Value {
    let relates = json!({ "rel_type": "m.thread", "event_id": to });
    json!({ "msgtype": "m.text", "body": "reply", "m.relates_to": relates })
}

#[tokio::test]
async fn a_redaction_takes_the_content_whichever_comes_first() {
    let two = Two::new(RoomVersionId::V11).await;
    let redact = |target| {
        let mut forged = Forged::message(&two.bob, "");
        (forged.kind, forged.content) = ("m.room.redaction", json!({}));
        forged.redacts = Some(target);
        forged
    };
    // In order.
    let said = two.b.say(&two.bob, &two.room, "oops").await;
    let redaction = two.b.forge(&two.b, &two.room, redact(&said)).await;
    let pdus = vec![two.b.pdu(&two.room, &said).await, redaction.to_raw()];
    two.b.deliver(&two.a, pdus).await;
    let event = two.a.stored(&two.room, &said).await.expect("stored");
    assert!(event.stored.redacted_by.is_some() && !event.stored.pdu.contains("oops"));
    // The other way round: two branches, the redaction in the one that comes first.
    let base: Vec<_> = two.a.head(&two.room).await.tips.into_iter().map(|t| t.event_id).collect();
    let mut said = Forged::message(&two.bob, "oops again");
    said.after = Some(&base);
    let said = two.b.forge(&two.a, &two.room, said).await;
    let id = said.event_id().to_owned();
    let mut redaction = redact(&id);
    redaction.after = Some(&base);
    let redaction = two.b.forge(&two.a, &two.room, redaction).await;
    two.b.deliver(&two.a, vec![redaction.to_raw()]).await;
    two.b.deliver(&two.a, vec![said.to_raw()]).await;
    let event = two.a.stored(&two.room, &id).await.expect("stored");
    assert!(event.place.is_some() && event.stored.redacted_by.is_some());
    assert!(!event.stored.pdu.contains("oops"), "never stored with its content");
}

#[tokio::test]
async fn who_may_redact_everything_redacts_what_is_not_here_yet() {
    let two = Two::new(RoomVersionId::V11).await;
    let said = two.b.say(&two.bob, &two.room, "oops").await;
    let by_alice = Redact { event: said.clone(), ..template(&two) };
    let by_alice = two.a.rooms.redact(by_alice).await.expect("the creator may");
    let pdu = two.b.pdu(&two.room, &said).await;
    two.b.deliver(&two.a, vec![pdu]).await;
    let event = two.a.stored(&two.room, &said).await.expect("stored");
    assert!(event.stored.redacted_by.is_some() && !event.stored.pdu.contains("oops"));
    two.a.pass_on(&two.b, &two.room, &by_alice).await;
    let event = two.b.stored(&two.room, &said).await.expect("stored");
    assert!(event.stored.redacted_by.is_some(), "there, too");
    // Who may redact only what is their own cannot say that it is.
    let said = two.a.say(&two.alice, &two.room, "mine").await;
    let by_bob = Redact { event: said, sender: two.bob.clone(), ..template(&two) };
    assert!(matches!(two.b.rooms.redact(by_bob).await, Err(RoomsError::EventUnknown)));
}

#[tokio::test]
async fn a_stranger_redacts_nothing_early_or_late() {
    let two = Two::new(RoomVersionId::V11).await;
    let said = two.a.say(&two.alice, &two.room, "mine").await;
    let mut redaction = Forged::message(&two.bob, "");
    (redaction.kind, redaction.content) = ("m.room.redaction", json!({}));
    redaction.redacts = Some(&said);
    let redaction = two.b.forge(&two.a, &two.room, redaction).await;
    two.b.deliver(&two.a, vec![redaction.to_raw()]).await;
    let event = two.a.stored(&two.room, &said).await.expect("stored");
    assert!(event.stored.redacted_by.is_none() && event.stored.pdu.contains("mine"));
    let redaction = two.a.stored(&two.room, &redaction.event_id().to_owned()).await;
    assert!(redaction.is_some_and(|event| event.place.is_some()), "the event itself is allowed");
}

#[tokio::test]
async fn a_relation_is_found_whichever_comes_first() {
    let two = Two::new(RoomVersionId::V12).await;
    let base: Vec<_> = two.a.head(&two.room).await.tips.into_iter().map(|t| t.event_id).collect();
    let mut root = Forged::message(&two.bob, "root");
    root.after = Some(&base);
    let root = two.b.forge(&two.a, &two.room, root).await;
    let id = root.event_id().to_owned();
    let mut first = Forged::message(&two.bob, "");
    (first.content, first.after) = (reply(&id), Some(&base[..]));
    let first = two.b.forge(&two.a, &two.room, first).await;
    two.b.deliver(&two.a, vec![first.to_raw()]).await;
    two.b.deliver(&two.a, vec![root.to_raw()]).await;
    let mut second = Forged::message(&two.bob, "");
    second.content = reply(&id);
    let second = two.b.forge(&two.a, &two.room, second).await;
    two.b.deliver(&two.a, vec![second.to_raw()]).await;
    let part = two.a.data.parts().room(&two.room);
    let root = two.a.stored(&two.room, &id).await.expect("stored");
    let rows = two.a.data.list::<RelationRow>(part, &root.no, 10).await.expect("reads").rows;
    let mut related = Vec::new();
    for (_, row) in rows {
        let event = two.a.data.event(part, row.value).await.expect("reads").expect("stored");
        related.push(event.stored.event_id.clone());
    }
    assert_eq!(related, [first.event_id().to_owned(), second.event_id().to_owned()]);
    let threads = two.a.data.list::<crate::rows::ThreadReplyRow>(part, &(), 10).await;
    assert_eq!(threads.expect("reads").rows.len(), 2);
    let late = two.a.data.list::<crate::rows::LateRow>(part, &(), 10).await.expect("reads");
    assert!(late.rows.is_empty(), "nothing waits any more");
}
