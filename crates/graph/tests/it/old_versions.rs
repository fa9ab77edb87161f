//! What is different in the room versions before 6.

use blaupause_graph::{Parents, Refusal, admit, redact};
use ruma::OwnedEventId;
use serde_json::{Value, json};

use crate::events::{
    OTHER, SERVER, changed, draft, keys, message, parents, room, rules, sealed, server, version_of,
};

fn old_id(name: &str) -> OwnedEventId {
    OwnedEventId::try_from(format!("${name}:{SERVER}")).expect("an event id")
}

#[test]
fn in_version_2_the_id_stands_in_the_event_and_others_are_named_in_pairs() {
    let rules = rules(&version_of("2"));
    let said = draft(Some(&room()), "m.room.message", &json!({ "body": "hello" }));
    let parents =
        Parents { prev_events: vec![old_id("p")], auth_events: vec![old_id("a")], depth: 5 };
    let pdu = sealed(&said, &parents, &rules).expect("an event");
    assert_eq!(pdu.event_id().server_name(), Some(server(SERVER)));
    let json: Value = serde_json::from_str(pdu.json()).expect("JSON");
    assert_eq!(json["event_id"], pdu.event_id().as_str());
    assert_eq!(json["prev_events"], json!([[old_id("p"), {}]]));
    assert_eq!(json["auth_events"], json!([[old_id("a"), {}]]));
    assert_eq!(pdu.prev_events(), [old_id("p")]);
    assert_eq!(pdu.auth_events(), [old_id("a")]);
    assert_eq!(admit(&pdu.to_raw(), &rules, &keys()).expect("valid"), pdu);
    assert_eq!(sealed(&said, &parents, &rules).expect("an event"), pdu, "the same again");
    // What other servers write there is theirs to know.
    let hashed = json!([[old_id("p"), { "sha256": "abc" }]]);
    let hashed = changed(&pdu, |event| event["prev_events"] = hashed);
    assert!(matches!(admit(&hashed, &rules, &keys()), Err(Refusal::BadSignature(_))));
    let redacted = pdu.redacted(&rules).expect("an event");
    assert_eq!(redacted.event_id(), pdu.event_id());
    assert!(redact(pdu.json(), &rules).expect("an event").contains(pdu.event_id().as_str()));
}

#[test]
fn in_version_2_nobody_gives_an_event_the_id_of_another_server() {
    let rules = rules(&version_of("2"));
    let pdu = message("hello", &rules);
    let other = changed(&pdu, |event| event["event_id"] = json!(format!("$x:{OTHER}")));
    assert!(matches!(admit(&other, &rules, &keys()), Err(Refusal::BadSignature(_))));
    for wrong in [json!("$x"), json!("x"), json!(5), json!(null)] {
        let wrong = changed(&pdu, |event| event["event_id"] = wrong);
        assert!(matches!(admit(&wrong, &rules, &keys()), Err(Refusal::Malformed(_))), "{wrong}");
    }
    let without =
        changed(&pdu, |event| drop(event.as_object_mut().map(|it| it.remove("event_id"))));
    assert!(matches!(admit(&without, &rules, &keys()), Err(Refusal::Malformed(_))));
}

#[test]
fn the_form_of_one_version_is_malformed_in_another() {
    let (old, new) = (rules(&version_of("2")), rules(&version_of("3")));
    let plain = changed(&message("x", &old), |event| event["auth_events"] = json!(["$a:x.org"]));
    assert!(matches!(admit(&plain, &old, &keys()), Err(Refusal::Malformed(_))));
    let pairs = changed(&message("x", &new), |event| event["auth_events"] = json!([["$a", {}]]));
    assert!(matches!(admit(&pairs, &new, &keys()), Err(Refusal::Malformed(_))));
}

#[test]
fn version_3_writes_its_ids_with_other_letters_than_version_4() {
    let ids = |version: &str| -> String {
        let rules = rules(&version_of(version));
        let ids = (0..50).map(|number| message(&number.to_string(), &rules).event_id().to_string());
        ids.collect()
    };
    let (three, four) = (ids("3"), ids("4"));
    assert!(three.contains(['+', '/']) && !three.contains(['-', '_']));
    assert!(four.contains(['-', '_']) && !four.contains(['+', '/']));
}

#[test]
fn before_version_11_state_keys_of_others_are_measured_in_characters() {
    let key = "\u{1f4a5}".repeat(70);
    let of_peer = |version: &str, key: &str, kind: &str| {
        let rules = rules(&version_of(version));
        let said = draft(Some(&room()), "m.room.topic", &json!({})).state_key("x");
        let pdu = sealed(&said, &parents_of(version), &rules).expect("an event");
        let long = changed(&pdu, |event| {
            event["state_key"] = json!(key);
            event["type"] = json!(kind);
        });
        admit(&long, &rules, &keys()).expect_err("nobody signed it")
    };
    for version in ["2", "6", "10"] {
        let refused = of_peer(version, &key, "org.x");
        assert!(matches!(refused, Refusal::BadSignature(_)), "the size is right: {refused:?}");
        let refused = of_peer(version, &"x".repeat(256), "org.x");
        assert!(matches!(refused, Refusal::TooLarge { what: "state_key", .. }), "{refused:?}");
    }
    for version in ["11", "12"] {
        let refused = of_peer(version, &key, "org.x");
        assert!(matches!(refused, Refusal::TooLarge { what: "state_key", .. }), "{refused:?}");
    }
    // Nobody makes names that no key of the store has room for.
    let nul = "\0".repeat(255);
    let refused = of_peer("12", &nul, &nul);
    assert!(matches!(refused, Refusal::TooLarge { limit_bytes: 900, .. }), "{refused:?}");
    let own = draft(Some(&room()), "m.room.topic", &json!({})).state_key(key);
    let refused = sealed(&own, &parents(), &rules(&version_of("10")));
    assert!(matches!(refused, Err(Refusal::TooLarge { what: "state_key", .. })));
}

fn parents_of(version: &str) -> Parents {
    if version == "2" {
        Parents { prev_events: vec![old_id("p")], auth_events: vec![old_id("a")], depth: 5 }
    } else {
        parents()
    }
}
