//! Events that are wrong in one way each end as the specification says, and stop nobody.

use ruma::{CanonicalJsonObject, OwnedEventId, RoomVersionId, signatures::hash_and_sign_event};
use serde_json::{Value, json, value::RawValue};

use super::world::{Server, Two, raw};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Accepted,
    Redacted,
    NotVisible,
    /// Visible or not, but nothing breaks.
    Any,
}
use Expect::*;

type Change = fn(&mut Value, &Facts);

/// Ids that the cases need.
struct Facts {
    alice: String,
    topic: OwnedEventId,
    join_rules: OwnedEventId,
    elsewhere: String,
}

fn none(_: &mut Value, _: &Facts) {}

fn remove(event: &mut Value, field: &str) {
    event.as_object_mut().expect("an object").remove(field);
}

fn push(event: &mut Value, list: &str, id: &str) {
    event[list].as_array_mut().expect("a list").push(json!(id));
}

fn absent(n: usize) -> String {
    format!("${n:043}")
}

fn ban(event: &mut Value, facts: &Facts, membership: &str) {
    event["type"] = json!("m.room.member");
    event["state_key"] = json!(facts.alice);
    event["content"] = json!({ "membership": membership });
}

/// Name, change before signing, change after it, what becomes of it.
const CASES: &[(&str, Change, Change, Expect)] = &[
    ("good", none, none, Accepted),
    ("content-empty", |e, _| e["content"] = json!({}), none, Accepted),
    ("hash-mismatch", none, |e, _| e["content"]["body"] = json!("changed"), Redacted),
    (
        "unsigned-evil",
        none,
        |e, _| e["unsigned"] = json!({ "redacted_because": {}, "age": -5 }),
        Accepted,
    ),
    ("sig-list", none, |e, _| e["signatures"] = json!([]), NotVisible),
    ("sig-none", none, |e, _| remove(e, "signatures"), NotVisible),
    ("sender-third", |e, _| e["sender"] = json!("@z:third.example"), none, NotVisible),
    ("sender-local", |e, f| e["sender"] = json!(f.alice), none, NotVisible),
    ("sender-num", |e, _| e["sender"] = json!(5), none, NotVisible),
    ("depth-none", |e, _| remove(e, "depth"), none, NotVisible),
    ("depth-str", |e, _| e["depth"] = json!("x"), none, NotVisible),
    ("depth-negative", |e, _| e["depth"] = json!(-1), none, NotVisible),
    ("depth-max", |e, _| e["depth"] = json!(9_007_199_254_740_991_i64), none, Accepted),
    ("type-long", |e, _| e["type"] = json!("x".repeat(256)), none, NotVisible),
    ("type-num", |e, _| e["type"] = json!(5), none, NotVisible),
    ("type-none", |e, _| remove(e, "type"), none, NotVisible),
    ("sk-long", |e, _| e["state_key"] = json!("x".repeat(256)), none, NotVisible),
    ("sk-num", |e, _| e["state_key"] = json!(5), none, NotVisible),
    ("prev-21", |e, _| (0..20).for_each(|n| push(e, "prev_events", &absent(n))), none, NotVisible),
    ("prev-none", |e, _| e["prev_events"] = json!([]), none, NotVisible),
    ("prev-absent", |e, _| e["prev_events"] = json!([absent(7)]), none, NotVisible),
    ("prev-v1format", |e, _| e["prev_events"] = json!([[absent(1), {}]]), none, NotVisible),
    ("prev-str", |e, _| e["prev_events"] = json!("x"), none, NotVisible),
    ("auth-11", |e, _| (0..8).for_each(|n| push(e, "auth_events", &absent(n))), none, NotVisible),
    ("auth-str", |e, _| e["auth_events"] = json!("x"), none, NotVisible),
    ("auth-none", |e, _| e["auth_events"] = json!([]), none, NotVisible),
    ("auth-absent", |e, _| push(e, "auth_events", &absent(3)), none, NotVisible),
    (
        "auth-nomember",
        |e, _| drop(e["auth_events"].as_array_mut().expect("a list").pop()),
        none,
        NotVisible,
    ),
    ("auth-extra", |e, f| push(e, "auth_events", f.topic.as_str()), none, NotVisible),
    ("auth-jr", |e, f| push(e, "auth_events", f.join_rules.as_str()), none, NotVisible),
    ("room-none", |e, _| remove(e, "room_id"), none, NotVisible),
    ("room-num", |e, _| e["room_id"] = json!(5), none, NotVisible),
    ("room-other", |e, f| e["room_id"] = json!(f.elsewhere), none, NotVisible),
    ("ts-str", |e, _| e["origin_server_ts"] = json!("x"), none, NotVisible),
    ("ts-negative", |e, _| e["origin_server_ts"] = json!(-5), none, NotVisible),
    ("hashes-none", none, |e, _| remove(e, "hashes"), Any),
    ("hashes-str", none, |e, _| e["hashes"] = json!("x"), Any),
    ("content-list", |e, _| e["content"] = json!([]), none, NotVisible),
    ("content-none", |e, _| remove(e, "content"), none, NotVisible),
    ("ban-alice", |e, f| ban(e, f, "ban"), none, NotVisible),
    ("kick-alice", |e, f| ban(e, f, "leave"), none, NotVisible),
    (
        "join-other",
        |e, f| {
            ban(e, f, "join");
            e["state_key"] = json!("@new:b.example");
        },
        none,
        NotVisible,
    ),
    (
        "membership-num",
        |e, f| {
            ban(e, f, "ban");
            e["content"]["membership"] = json!(5);
        },
        none,
        NotVisible,
    ),
    (
        "create-again",
        |e, _| {
            e["type"] = json!("m.room.create");
            e["state_key"] = json!("");
            e["content"] = json!({ "room_version": "11" });
            e["prev_events"] = json!([]);
            e["auth_events"] = json!([]);
        },
        none,
        NotVisible,
    ),
    (
        "levels-mine",
        |e, _| {
            e["type"] = json!("m.room.power_levels");
            e["state_key"] = json!("");
            e["content"] = json!({ "users": { "@bob:b.example": 100 } });
        },
        none,
        NotVisible,
    ),
    ("big", |e, _| e["content"]["body"] = json!("x".repeat(70_000)), none, NotVisible),
];

/// The event, signed by Bob's server, where that is possible.
fn made(b: &Server, mut event: Value, after: Change, facts: &Facts) -> Option<Box<RawValue>> {
    let rules = RoomVersionId::V11.rules().expect("known");
    let signed = serde_json::from_value::<CanonicalJsonObject>(event.clone());
    if let Ok(mut object) = signed {
        let pair = b.data.signing_key();
        let name = b.name().as_str();
        if hash_and_sign_event(name, pair.pair(), &mut object, &rules.redaction).is_ok() {
            event = serde_json::to_value(object).expect("JSON");
        }
    }
    after(&mut event, facts);
    Some(raw(&event))
}

#[tokio::test(start_paused = true)]
async fn each_wrong_event_ends_as_it_should() {
    let two = Two::new(RoomVersionId::V11).await;
    let topic = json!({ "topic": "tea" });
    let topic = two.a.set(&two.alice, &two.room, "m.room.topic", "", topic).await.expect("set");
    two.a.pass_on(&two.b, &two.room, &topic).await;
    let other = two.a.public_room(&two.alice, RoomVersionId::V11).await;
    let state = two.a.state(&two.room).await;
    let of = |kind: &str, key: &str| state[&Two::name(kind, key)].to_string();
    let facts = Facts {
        alice: two.alice.to_string(),
        topic,
        join_rules: state[&Two::name("m.room.join_rules", "")].clone(),
        elsewhere: other.to_string(),
    };
    let auth = [
        of("m.room.create", ""),
        of("m.room.power_levels", ""),
        of("m.room.member", two.bob.as_str()),
    ];
    for (at, (name, before, after, expect)) in (0..).zip(CASES) {
        let tip = two.a.head(&two.room).await.tips.pop().expect("a tip");
        let mut event = json!({
            "type": "m.room.message", "sender": two.bob, "room_id": two.room,
            "content": { "msgtype": "m.text", "body": format!("case {at}") },
            "depth": tip.depth + 1, "prev_events": [tip.event_id], "auth_events": auth,
            "origin_server_ts": super::world::START_MS + at,
        });
        before(&mut event, &facts);
        let shown = two.a.timeline(&two.room).await;
        let current = two.a.state(&two.room).await;
        let Some(pdu) = made(&two.b, event, *after, &facts) else { continue };
        two.b.deliver(&two.a, vec![pdu]).await;
        let now = two.a.timeline(&two.room).await;
        let newest = match now.get(shown.len()) {
            Some(id) => Some(two.a.stored(&two.room, id).await.expect("stored")),
            None => None,
        };
        let is = match &newest {
            None => NotVisible,
            Some(event) if event.content().get() == "{}" && *name != "content-empty" => Redacted,
            Some(_) => Accepted,
        };
        assert!(is == *expect || *expect == Any, "{name}: {is:?}, not {expect:?}");
        if let Some(event) = newest {
            assert!(!event.stored.pdu.contains("redacted_because"), "{name}");
        } else {
            assert_eq!(two.a.state(&two.room).await, current, "{name}");
        }
        // Nothing waits, and the room goes on.
        two.a.say(&two.alice, &two.room, name).await;
    }
}

#[tokio::test(start_paused = true)]
async fn four_hundred_nested_lists_harm_nobody() {
    let two = Two::new(RoomVersionId::V11).await;
    let nested = format!("{}{}", "[".repeat(400), "]".repeat(400));
    let text = format!(
        r#"{{"type":"m.room.message","sender":"{}","room_id":"{}","content":{{"n":{nested}}},
        "depth":5,"prev_events":[],"auth_events":[],"origin_server_ts":1}}"#,
        two.bob, two.room
    );
    // Deeper than a parser that guards itself goes: built without one.
    let pdu: Result<Box<RawValue>, _> = RawValue::from_string(text);
    if let Ok(pdu) = pdu {
        two.b.deliver(&two.a, vec![pdu]).await;
    }
    two.a.say(&two.alice, &two.room, "still here").await;
}

#[tokio::test(start_paused = true)]
async fn a_rejected_event_stays_rejected_and_so_does_what_rests_on_it() {
    let two = Two::new(RoomVersionId::V11).await;
    let mallory = two.b.user("mallory");
    // Mallory was never in the room; his own levels are his proof.
    let levels = json!({ "users": { mallory.as_str(): 100 } });
    let forged = super::world::Forged::state(&mallory, "m.room.power_levels", "", levels);
    let levels = two.b.forge(&two.a, &two.room, forged).await;
    two.b.deliver(&two.a, vec![levels.to_raw()]).await;
    let id = levels.event_id().to_owned();
    let stored = two.a.stored(&two.room, &id).await.expect("kept, so that it is not fetched again");
    assert!(stored.stored.rejected && stored.place.is_none());
    let create = two.a.state(&two.room).await[&Two::name("m.room.create", "")].clone();
    let mut topic = super::world::Forged::state(&mallory, "m.room.topic", "", json!({}));
    topic.auth = Some(vec![create, id.clone()]);
    let after = [id];
    topic.after = Some(&after);
    let topic = two.b.forge(&two.a, &two.room, topic).await;
    let a = two.a.again(&two.network);
    two.b.deliver(&a, vec![topic.to_raw()]).await;
    let stored = a.stored(&two.room, &topic.event_id().to_owned()).await.expect("stored");
    assert!(stored.stored.rejected);
    assert_eq!(a.state(&two.room).await, two.a.state(&two.room).await);
    assert_eq!(a.head(&two.room).await.tips.len(), 1);
}
