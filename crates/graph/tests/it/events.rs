//! Making, receiving, redacting and allowing single events.

use std::collections::HashMap;

use blaupause_graph::{
    Draft, EVENT_SIZE_BYTES_MAX, Parents, Pdu, Refusal, Unverified, admit, auth_types, authorize,
    authorize_by_auth_events, countersign, may_redact, power_level, redact, seal, seal_json,
    state_needed, template,
};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId,
    ServerName,
    events::{StateEventType, TimelineEventType, room::power_levels::UserPowerLevel},
    room_version_rules::RoomVersionRules,
    serde::Base64,
    signatures::{Ed25519KeyPair, PublicKeyMap},
};
use serde_json::{Value, json, value::RawValue};

pub const SERVER: &str = "a.example";
pub const OTHER: &str = "b.example";

fn versions() -> Vec<RoomVersionId> {
    (2..=12).map(|version: u8| version_of(&version.to_string())).collect()
}

pub fn version_of(name: &str) -> RoomVersionId {
    RoomVersionId::try_from(name).expect("a room version")
}

pub fn rules(version: &RoomVersionId) -> RoomVersionRules {
    version.rules().expect("a known version")
}

pub fn server(name: &str) -> &ServerName {
    <&ServerName>::try_from(name).expect("a server name")
}

/// A key made from a fixed seed, in its PKCS#8 coat.
pub fn key_pair(seed: u8) -> Ed25519KeyPair {
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend([seed; 32]);
    Ed25519KeyPair::from_der(&der, "1".to_owned()).expect("a key")
}

pub fn keys() -> PublicKeyMap {
    [(SERVER, 1), (OTHER, 2)]
        .map(|(name, seed)| {
            let key = Base64::new(key_pair(seed).public_key().to_vec());
            (name.to_owned(), [("ed25519:1".to_owned(), key)].into())
        })
        .into()
}

pub fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).expect("JSON")
}

pub fn draft(room_id: Option<&OwnedRoomId>, kind: &str, content: &Value) -> Draft {
    Draft::new(
        room_id.cloned(),
        OwnedUserId::try_from(format!("@alice:{SERVER}")).expect("a user id"),
        kind.into(),
        raw(content),
        MilliSecondsSinceUnixEpoch(ruma::uint!(1_700_000_000)),
    )
}

pub fn room() -> OwnedRoomId {
    OwnedRoomId::try_from(format!("!room:{SERVER}")).expect("a room id")
}

pub fn id(number: u8) -> OwnedEventId {
    OwnedEventId::try_from(format!("${number:043}")).expect("an event id")
}

pub fn sealed(draft: &Draft, parents: &Parents, rules: &RoomVersionRules) -> Result<Pdu, Refusal> {
    seal(draft, parents, server(SERVER), &key_pair(1), rules)
}

pub fn parents() -> Parents {
    Parents { prev_events: vec![id(1)], auth_events: vec![id(2), id(3)], depth: 5 }
}

pub fn message(text: &str, rules: &RoomVersionRules) -> Pdu {
    let draft = draft(Some(&room()), "m.room.message", &json!({ "body": text }));
    sealed(&draft, &parents(), rules).expect("a message")
}

/// The event with something changed after it was signed.
pub fn changed(pdu: &Pdu, change: impl FnOnce(&mut Value)) -> Box<RawValue> {
    let mut event: Value = serde_json::from_str(pdu.json()).expect("JSON");
    change(&mut event);
    raw(&event)
}

#[test]
fn what_is_sealed_here_is_admitted_there_in_every_version() {
    for version in versions() {
        let rules = rules(&version);
        let pdu = message("hello", &rules);
        if pdu.event_id().server_name().is_none() {
            assert_eq!(pdu.event_id().as_str().len(), 44, "$ and 32 bytes of base64");
        }
        let admitted = admit(&pdu.to_raw(), &rules, &keys()).expect("valid");
        assert_eq!(admitted, pdu);
        assert_eq!(pdu.depth(), 5);
        assert_eq!(pdu.prev_events(), [id(1)]);
        assert_eq!(pdu.auth_events(), [id(2), id(3)]);
        assert_eq!(pdu.room_id(), room());
        assert_eq!(pdu.state_key(), None);
        assert_eq!(pdu.content_as::<Value>().expect("content"), json!({ "body": "hello" }));
    }
}

#[test]
fn the_same_draft_makes_the_same_event() {
    let rules = rules(&RoomVersionId::V12);
    assert_eq!(message("x", &rules).json(), message("x", &rules).json());
    assert_ne!(message("x", &rules).event_id(), message("y", &rules).event_id());
}

#[test]
fn the_create_event_of_version_12_names_its_room() {
    let rules = rules(&RoomVersionId::V12);
    let content = json!({ "room_version": "12" });
    let create = draft(None, "m.room.create", &content).state_key("");
    let create = sealed(&create, &Parents { depth: 1, ..Parents::default() }, &rules);
    let create = create.expect("a create event");
    assert!(!create.json().contains("room_id"));
    assert_eq!(create.room_id().strip_sigil(), &create.event_id().as_str()[1..]);
    assert_eq!(admit(&create.to_raw(), &rules, &keys()).expect("valid"), create);
    authorize_by_auth_events(&create, |_| None, &rules).expect("a create event needs nothing");

    let room = create.room_id().to_owned();
    let with_room = draft(Some(&room), "m.room.create", &content).state_key("");
    assert!(matches!(sealed(&with_room, &Parents::default(), &rules), Err(Refusal::Malformed(_))));
    let parents = Parents {
        prev_events: vec![create.event_id().to_owned()],
        auth_events: vec![create.event_id().to_owned(), id(3)],
        depth: 2,
    };
    let next = draft(Some(&room), "m.room.message", &json!({}));
    let next = sealed(&next, &parents, &rules).expect("a message");
    assert_eq!(next.auth_events(), [id(3)], "the create event is left out");
}

#[test]
fn before_version_12_a_create_event_needs_a_room_id() {
    for version in ["6", "10", "11"].map(version_of) {
        let rules = rules(&version);
        let content = json!({ "room_version": version, "creator": format!("@alice:{SERVER}") });
        let without = draft(None, "m.room.create", &content).state_key("");
        assert!(matches!(
            sealed(&without, &Parents::default(), &rules),
            Err(Refusal::Malformed(_))
        ));
        let with = draft(Some(&room()), "m.room.create", &content).state_key("");
        let create = sealed(&with, &Parents::default(), &rules).expect("a create event");
        authorize_by_auth_events(&create, |_| None, &rules).expect("allowed");
    }
}

#[test]
fn a_redaction_names_its_target_where_the_version_wants_it() {
    for version in versions() {
        let rules = rules(&version);
        let draft = draft(Some(&room()), "m.room.redaction", &json!({})).redacts(id(9));
        let pdu = sealed(&draft, &parents(), &rules).expect("a redaction");
        let event: Value = serde_json::from_str(pdu.json()).expect("JSON");
        let in_content = version == RoomVersionId::V11 || version == RoomVersionId::V12;
        assert_eq!(event["content"]["redacts"].is_string(), in_content, "{version}");
        assert_eq!(event["redacts"].is_string(), !in_content, "{version}");
        assert_eq!(pdu.redacts(), Some(&*id(9)));
    }
}

#[test]
fn a_changed_content_is_redacted_and_a_changed_frame_is_refused() {
    for version in versions() {
        let rules = rules(&version);
        let pdu = message("hello", &rules);
        let forged = changed(&pdu, |event| event["content"]["body"] = json!("forged"));
        let admitted = admit(&forged, &rules, &keys()).expect("the signature covers the rest");
        assert_eq!(admitted.event_id(), pdu.event_id());
        assert_eq!(admitted.content().get(), "{}");
        assert_eq!(admitted, pdu.redacted(&rules).expect("an event"));

        let forged = changed(&pdu, |event| event["depth"] = json!(6));
        assert!(matches!(admit(&forged, &rules, &keys()), Err(Refusal::BadSignature(_))));
    }
}

#[test]
fn what_a_peer_writes_into_unsigned_is_dropped() {
    let rules = rules(&RoomVersionId::V11);
    let pdu = message("hello", &rules);
    let more = changed(&pdu, |event| {
        event["unsigned"] = json!({ "redacted_because": {}, "age": -5, "transaction_id": "x" });
    });
    let admitted = admit(&more, &rules, &keys()).expect("valid");
    assert_eq!(admitted, pdu);
    assert_eq!(admitted.unsigned().map(RawValue::get), None);
}

#[test]
fn malformed_events_are_refused_without_panic() {
    let rules = rules(&RoomVersionId::V11);
    let pdu = message("hello", &rules);
    let set = |name: &str, value: Value| changed(&pdu, |event| event[name] = value);
    let many = |count: usize| json!((0..count).map(|_| id(1)).collect::<Vec<_>>());
    let without = |name: &str| {
        changed(&pdu, |event| {
            event.as_object_mut().expect("an object").remove(name);
        })
    };
    let mut bad = vec![
        raw(&json!([])),
        raw(&json!("x")),
        raw(&json!(null)),
        raw(&json!({})),
        set("content", json!([])),
        set("content", json!("x")),
        set("content", json!(null)),
        set("type", json!(5)),
        set("type", json!("x".repeat(256))),
        set("state_key", json!(5)),
        set("state_key", json!(null)),
        set("state_key", json!("x".repeat(256))),
        set("sender", json!("alice")),
        set("sender", json!(5)),
        set("sender", json!(format!("@{}:{SERVER}", "a".repeat(250)))),
        set("room_id", json!(5)),
        set("room_id", json!("room")),
        set("depth", json!(-1)),
        set("depth", json!("1")),
        set("depth", json!(1.5)),
        set("depth", json!(1_u64 << 60)),
        set("origin_server_ts", json!("x")),
        set("origin_server_ts", json!(1e300)),
        set("prev_events", json!("x")),
        set("prev_events", json!([[id(1), {}]])),
        set("prev_events", many(21)),
        set("auth_events", json!("x")),
        set("auth_events", many(11)),
        set("auth_events", json!([5])),
        set("hashes", json!("x")),
        set("hashes", json!({})),
        set("hashes", json!({ "sha256": 5 })),
        set("signatures", json!([])),
        set("signatures", json!({ SERVER: "x" })),
        set("signatures", json!({ SERVER: { "ed25519:1": 5 } })),
        set("signatures", json!({ SERVER: { "ed25519:1": "x" } })),
        set("signatures", json!({})),
    ];
    for name in [
        "type",
        "sender",
        "room_id",
        "content",
        "depth",
        "prev_events",
        "auth_events",
        "hashes",
        "signatures",
        "origin_server_ts",
    ] {
        bad.push(without(name));
    }
    for content in [json!(0.5), json!(1_u64 << 53), json!(-(1_i64 << 53))] {
        bad.push(set("content", json!({ "number": content })));
    }
    let nested = format!("{{\"content\":{}{}}}", "[".repeat(400), "]".repeat(400));
    bad.push(RawValue::from_string(nested).expect("JSON"));
    for event in bad {
        let answer = admit(&event, &rules, &keys());
        assert!(
            matches!(
                answer,
                Err(Refusal::Malformed(_) | Refusal::TooLarge { .. } | Refusal::BadSignature(_))
            ),
            "{answer:?} for {}",
            event.get().chars().take(300).collect::<String>()
        );
    }
}

#[test]
fn missing_keys_are_named_and_other_keys_do_not_help() {
    let rules = rules(&RoomVersionId::V11);
    let pdu = message("hello", &rules);
    let unverified = Unverified::parse(&pdu.to_raw(), &rules).expect("well-formed");
    assert_eq!(unverified.event_id(), pdu.event_id());
    assert_eq!(unverified.room_id(), room());
    assert_eq!(Unverified::room_id_of(&pdu.to_raw()), Some(room()));
    assert!(unverified.signers().iter().eq([server(SERVER)]));
    assert_eq!(unverified.key_ids(server(SERVER)).collect::<Vec<_>>(), ["ed25519:1"]);
    assert_eq!(unverified.key_ids(server(OTHER)).count(), 0);
    let missing = unverified.verify(&PublicKeyMap::new(), &rules);
    assert_eq!(missing, Err(Refusal::KeysMissing(server(SERVER).to_owned())));
    let mut wrong = keys();
    let other = wrong[OTHER].clone();
    wrong.insert(SERVER.to_owned(), other);
    assert!(matches!(admit(&pdu.to_raw(), &rules, &wrong), Err(Refusal::BadSignature(_))));
}

#[test]
fn an_event_of_65_536_bytes_is_the_largest() {
    let rules = rules(&RoomVersionId::V12);
    let frame = message("", &rules).json().len();
    let largest = "x".repeat(EVENT_SIZE_BYTES_MAX - frame);
    let pdu = message(&largest, &rules);
    assert_eq!(pdu.json().len(), EVENT_SIZE_BYTES_MAX);
    assert_eq!(admit(&pdu.to_raw(), &rules, &keys()).expect("just fits"), pdu);
    let draft = draft(Some(&room()), "m.room.message", &json!({ "body": format!("{largest}x") }));
    let refused = Refusal::TooLarge {
        what: "event",
        size_bytes: EVENT_SIZE_BYTES_MAX + 1,
        limit_bytes: EVENT_SIZE_BYTES_MAX,
    };
    assert_eq!(sealed(&draft, &parents(), &rules), Err(refused.clone()));
    let longer = changed(&pdu, |event| event["content"]["body"] = json!(format!("{largest}x")));
    assert_eq!(admit(&longer, &rules, &keys()), Err(refused));
}

#[test]
fn fields_of_255_bytes_are_the_longest() {
    let rules = rules(&RoomVersionId::V12);
    let with_type = |kind: &str| {
        sealed(&draft(Some(&room()), kind, &json!({})), &parents(), &rules).map(|_| ())
    };
    let with_key = |key: &str| {
        let draft = draft(Some(&room()), "m.room.topic", &json!({})).state_key(key);
        sealed(&draft, &parents(), &rules).map(|_| ())
    };
    assert_eq!(with_type(&"x".repeat(255)), Ok(()));
    assert_eq!(with_key(&"x".repeat(255)), Ok(()));
    // Bytes count, not characters.
    for refused in
        [with_type(&"x".repeat(256)), with_key(&"x".repeat(256)), with_key(&"ä".repeat(128))]
    {
        assert!(matches!(refused, Err(Refusal::TooLarge { limit_bytes: 255, .. })), "{refused:?}");
    }
}

#[test]
fn a_content_that_is_no_canonical_json_is_not_sealed() {
    let rules = rules(&RoomVersionId::V12);
    for content in ["[]", "5", "{\"a\":0.5}", "{\"a\":9007199254740992}", "{\"a\":1e3}"] {
        let mut draft = draft(Some(&room()), "m.room.message", &json!({}));
        draft.content = RawValue::from_string(content.to_owned()).expect("JSON");
        let answer = sealed(&draft, &parents(), &rules);
        assert!(matches!(answer, Err(Refusal::Malformed(_))), "{content}: {answer:?}");
    }
}

#[test]
fn an_invite_carries_both_signatures_and_keeps_its_id() {
    for version in versions() {
        let rules = rules(&version);
        let invite = draft(Some(&room()), "m.room.member", &json!({ "membership": "invite" }))
            .state_key(format!("@bob:{OTHER}"));
        let invite = sealed(&invite, &parents(), &rules).expect("an invite");
        let both = countersign(&invite, server(OTHER), &key_pair(2), &rules).expect("an event");
        assert_eq!(both.event_id(), invite.event_id());
        let unverified = Unverified::parse(&both.to_raw(), &rules).expect("well-formed");
        assert_eq!(unverified.key_ids(server(OTHER)).count(), 1);
        assert_eq!(unverified.key_ids(server(SERVER)).count(), 1);
        assert_eq!(admit(&both.to_raw(), &rules, &keys()), Ok(both));
    }
}

#[test]
fn a_template_becomes_an_event_when_the_other_server_seals_it() {
    let rules = rules(&RoomVersionId::V11);
    let join = draft(Some(&room()), "m.room.member", &json!({ "membership": "join" }))
        .state_key(format!("@alice:{SERVER}"));
    let mut event = template(&join, &parents(), &rules).expect("a template");
    assert!(!event.contains_key("signatures") && !event.contains_key("hashes"));
    let direct = sealed(&join, &parents(), &rules).expect("an event");
    for name in ["unsigned", "signatures", "hashes", "event_id"] {
        event.insert(name.to_owned(), ruma::CanonicalJsonValue::String("foreign".to_owned()));
    }
    let sealed = seal_json(event, server(SERVER), &key_pair(1), &rules).expect("an event");
    assert_eq!(sealed, direct);
}

#[test]
fn redaction_keeps_what_the_version_keeps() {
    let kept = |version: &str, kind: &str, content: Value| -> Value {
        let rules = rules(&version_of(version));
        let draft = draft(Some(&room()), kind, &content).state_key("");
        let pdu = sealed(&draft, &parents(), &rules).expect("an event");
        let redacted = redact(pdu.json(), &rules).expect("an event");
        serde_json::from_str::<Value>(&redacted).expect("JSON")["content"].clone()
    };
    let allow = json!({ "join_rule": "restricted", "allow": [], "x": 1 });
    assert_eq!(kept("7", "m.room.join_rules", allow.clone()), json!({ "join_rule": "restricted" }));
    assert_eq!(
        kept("8", "m.room.join_rules", allow),
        json!({ "join_rule": "restricted", "allow": [] })
    );
    let create = json!({ "creator": "@a:b", "x": 1 });
    assert_eq!(kept("10", "m.room.create", create.clone()), json!({ "creator": "@a:b" }));
    assert_eq!(kept("11", "m.room.create", create.clone()), create);
    assert_eq!(kept("12", "m.room.topic", json!({ "topic": "secret" })), json!({}));
}

/// A small room: alice created it, bob is joined.
fn small_room(rules: &RoomVersionRules) -> HashMap<(StateEventType, String), Pdu> {
    let alice = format!("@alice:{SERVER}");
    let bob = format!("@bob:{OTHER}");
    let create = json!({ "room_version": "11" });
    let levels = json!({ "users": { alice.as_str(): 100 }, "redact": 50 });
    let joined = json!({ "membership": "join" });
    [
        ("m.room.create", "", create),
        ("m.room.power_levels", "", levels),
        ("m.room.join_rules", "", json!({ "join_rule": "public" })),
        ("m.room.member", alice.as_str(), joined.clone()),
        ("m.room.member", bob.as_str(), joined),
    ]
    .map(|(kind, state_key, content)| {
        let draft = draft(Some(&room()), kind, &content).state_key(state_key);
        let pdu = sealed(&draft, &parents(), rules).expect("an event");
        (pdu.state_name().expect("state"), pdu)
    })
    .into()
}

fn said_by(sender: &str, kind: &str, redacts: Option<&EventId>, rules: &RoomVersionRules) -> Pdu {
    let mut draft = draft(Some(&room()), kind, &json!({}));
    draft.sender = OwnedUserId::try_from(sender).expect("a user id");
    draft.redacts = redacts.map(ToOwned::to_owned);
    sealed(&draft, &parents(), rules).expect("an event")
}

#[test]
fn only_joined_users_with_power_may_speak() {
    let rules = rules(&RoomVersionId::V11);
    let state = small_room(&rules);
    let (alice, bob) = (format!("@alice:{SERVER}"), format!("@bob:{OTHER}"));
    let carol = format!("@carol:{OTHER}");
    let may = |sender: &str, kind: &str| {
        let refusal = authorize(&said_by(sender, kind, None, &rules), &state, &rules).err();
        assert!(matches!(refusal, None | Some(Refusal::NotAllowed(_))));
        refusal.is_none()
    };
    assert!(may(&alice, "m.room.message"));
    assert!(may(&bob, "m.room.message"));
    assert!(!may(&carol, "m.room.message"));
    let topic = |sender: &str| {
        let mut draft = draft(Some(&room()), "m.room.topic", &json!({})).state_key("");
        draft.sender = OwnedUserId::try_from(sender).expect("a user id");
        authorize(&sealed(&draft, &parents(), &rules).expect("an event"), &state, &rules).is_ok()
    };
    assert!(topic(&alice));
    assert!(!topic(&bob));
    let level = |user: &str| {
        power_level(<&ruma::UserId>::try_from(user).expect("a user id"), &state, &rules)
    };
    assert_eq!(level(&alice), Ok(UserPowerLevel::Int(ruma::int!(100))));
    assert_eq!(level(&bob), Ok(UserPowerLevel::Int(ruma::int!(0))));
}

#[test]
fn redacting_others_takes_power_and_ones_own_server_does_not() {
    let rules = rules(&RoomVersionId::V11);
    let state = small_room(&rules);
    let (alice, bob) = (format!("@alice:{SERVER}"), format!("@bob:{OTHER}"));
    let neighbor = format!("@neighbor:{OTHER}");
    let of_alice = said_by(&alice, "m.room.message", None, &rules);
    let of_bob = said_by(&bob, "m.room.message", None, &rules);
    let may = |sender: &str, target: &Pdu| {
        let redaction = said_by(sender, "m.room.redaction", Some(target.event_id()), &rules);
        may_redact(&redaction, target, &state, &rules)
    };
    assert!(may(&alice, &of_bob));
    assert!(may(&bob, &of_bob));
    assert!(may(&neighbor, &of_bob), "servers answer for their users");
    assert!(!may(&bob, &of_alice));
    let other = said_by(&alice, "m.room.redaction", Some(of_alice.event_id()), &rules);
    assert!(!may_redact(&other, &of_bob, &state, &rules), "it names another event");
}

#[test]
fn the_needed_state_is_the_selection_and_the_create_event() {
    let name = |kind: &str, key: &str| (StateEventType::from(kind), key.to_owned());
    let alice = OwnedUserId::try_from("@alice:a.example").expect("a user id");
    for version in versions() {
        let rules = rules(&version);
        let content = raw(&json!({ "membership": "invite" }));
        let kind = TimelineEventType::RoomMember;
        let mut selection =
            auth_types(&kind, &alice, Some("@bob:b.example"), &content, &rules).expect("valid");
        let mut needed =
            state_needed(&kind, &alice, Some("@bob:b.example"), &content, &rules).expect("valid");
        let create = name("m.room.create", "");
        assert_eq!(selection.contains(&create), version != RoomVersionId::V12);
        assert!(needed.contains(&create));
        selection.retain(|name| *name != create);
        needed.retain(|name| *name != create);
        selection.sort();
        needed.sort();
        assert_eq!(selection, needed);
        let mut expected = vec![
            name("m.room.join_rules", ""),
            name("m.room.member", "@alice:a.example"),
            name("m.room.member", "@bob:b.example"),
            name("m.room.power_levels", ""),
        ];
        expected.sort();
        assert_eq!(selection, expected);
        let malformed = raw(&json!({ "membership": 5 }));
        assert!(matches!(
            auth_types(&kind, &alice, Some("@bob:b.example"), &malformed, &rules),
            Err(Refusal::Malformed(_))
        ));
    }
}
