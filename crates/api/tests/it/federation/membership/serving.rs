//! What this server answers when others ask on behalf of their people.

use blaupause_federation::FederationError;
use http::Method;
use ruma::{
    CanonicalJsonObject, OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId,
    api::federation::membership::{
        create_invite, create_join_event, create_knock_event, create_leave_event,
        prepare_join_event, prepare_knock_event, prepare_leave_event,
    },
    signatures::{hash_and_sign_event, reference_hash},
};
use serde_json::{Value, json, value::RawValue};

use super::{join, membership, public_room, room, shown};
use crate::{federation::network::Network, server::Server};

fn raw(json: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(json).expect("JSON")
}

/// An event that a server has signed, and its id.
fn signed(by: &Server, event: &Value, version: &RoomVersionId) -> (OwnedEventId, Value) {
    let rules = version.rules().expect("known");
    let mut event: CanonicalJsonObject =
        serde_json::from_value(event.clone()).expect("canonical JSON");
    let name = by.data.server_name().as_str();
    let key = by.data.signing_key();
    hash_and_sign_event(name, key.pair(), &mut event, &rules.redaction).expect("it is an event");
    let id = format!("${}", reference_hash(&event, &rules).expect("it has one"));
    (id.try_into().expect("an id"), serde_json::to_value(&event).expect("JSON"))
}

/// The status and code of a refusal.
#[track_caller]
fn refusal<T: std::fmt::Debug>(answer: Result<T, FederationError>) -> (u16, String) {
    match answer {
        Err(FederationError::Remote { status, errcode, .. }) => (status, errcode),
        other => panic!("{other:?}"),
    }
}

fn id(room: &str) -> OwnedRoomId {
    room.to_owned().try_into().expect("a room id")
}

fn user(user: &str) -> OwnedUserId {
    user.to_owned().try_into().expect("a user id")
}

async fn template(
    of: &Server,
    by: &Server,
    room: &str,
    who: &str,
    versions: &[RoomVersionId],
) -> Result<Value, FederationError> {
    let mut request = prepare_join_event::v1::Request::new(id(room), user(who));
    request.ver = versions.to_vec();
    let answer = by.federation.call(of.data.server_name(), request).await?;
    Ok(serde_json::from_str(answer.event.get()).expect("JSON"))
}

const VERSIONS: [RoomVersionId; 2] = [RoomVersionId::V11, RoomVersionId::V12];

#[tokio::test]
async fn templates_are_for_the_own_people_of_a_server_that_knows_the_version() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let alice = a.user("alice").await;
    let open = public_room(&alice).await;
    let private = room(&alice, json!({ "preset": "private_chat" })).await;
    let event = template(&a, &b, &open, "@bob:b.example", &VERSIONS).await.expect("a template");
    assert_eq!(event["sender"], "@bob:b.example");
    assert!(event.get("signatures").is_none() && event.get("hashes").is_none(), "{event}");
    let forbidden = (403, "M_FORBIDDEN".to_owned());
    let other = template(&a, &b, &open, "@carol:c.example", &VERSIONS).await;
    assert_eq!(refusal(other), forbidden);
    let ours = template(&a, &b, &open, "@alice:a.example", &VERSIONS).await;
    assert_eq!(refusal(ours), forbidden);
    let uninvited = template(&a, &b, &private, "@bob:b.example", &VERSIONS).await;
    assert_eq!(refusal(uninvited), forbidden);
    let unknown = template(&a, &b, "!nothing:a.example", "@bob:b.example", &VERSIONS).await;
    assert_eq!(refusal(unknown), (404, "M_NOT_FOUND".to_owned()));
    let old = template(&a, &b, &open, "@bob:b.example", &[RoomVersionId::V1]).await;
    assert_eq!(refusal(old), (400, "M_INCOMPATIBLE_ROOM_VERSION".to_owned()));
    let knock = prepare_knock_event::v1::Request::new(id(&open), user("@bob:b.example"));
    let knock = b.federation.call(a.data.server_name(), knock).await;
    assert_eq!(refusal(knock), (400, "M_INCOMPATIBLE_ROOM_VERSION".to_owned()));
    let leave = prepare_leave_event::v1::Request::new(id(&open), user("@bob:b.example"));
    assert_eq!(refusal(b.federation.call(a.data.server_name(), leave).await), forbidden);
    // Nobody of a is in it any more: what a knows is of no use to others.
    alice.post(&format!("/v3/rooms/{open}/leave"), json!({})).await.ok();
    let left = template(&a, &b, &open, "@bob:b.example", &VERSIONS).await;
    assert_eq!(refusal(left), (404, "M_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn what_is_handed_over_must_be_what_the_endpoint_is_for() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let c = network.server("c.example").await;
    let alice = a.user("alice").await;
    let open = room(&alice, json!({ "preset": "public_chat", "room_version": "11" })).await;
    let other = room(&alice, json!({ "preset": "public_chat", "room_version": "11" })).await;
    let good = template(&a, &b, &open, "@bob:b.example", &VERSIONS).await.expect("a template");
    let cases = [
        ("type", json!("m.room.message"), 400),
        ("content", json!({ "membership": "leave" }), 400),
        ("content", json!({ "membership": "ban" }), 400),
        ("content", json!({}), 400),
        ("state_key", json!("@other:b.example"), 400),
        ("room_id", json!(other), 400),
        ("sender", json!("@alice:a.example"), 403),
        ("sender", json!("@carol:c.example"), 403),
        ("depth", json!("x"), 400),
        ("auth_events", json!([]), 403),
    ];
    let send = async |event: &Value, by: &Server| {
        let (event_id, event) = signed(by, event, &RoomVersionId::V11);
        let request = create_join_event::v2::Request::new(id(&open), event_id, raw(&event));
        b.federation.call(a.data.server_name(), request).await
    };
    for (field, value, status) in cases {
        let mut event = good.clone();
        event[field] = value.clone();
        let answer = refusal(send(&event, &b).await);
        assert_eq!(answer.0, status, "{field} {value} {}", answer.1);
    }
    // Signed by somebody else; not signed; with another id; nothing at all.
    assert_eq!(refusal(send(&good, &c).await).0, 403);
    let to_a = async |event_id: &str, event: &Value| {
        let event_id = event_id.to_owned().try_into().expect("an id");
        let request = create_join_event::v2::Request::new(id(&open), event_id, raw(event));
        refusal(b.federation.call(a.data.server_name(), request).await)
    };
    let (event_id, event) = signed(&b, &good, &RoomVersionId::V11);
    assert_eq!(to_a("$x", &event).await.0, 400);
    let mut unsigned = event.clone();
    unsigned["signatures"] = json!({});
    let (status, _) = to_a(event_id.as_str(), &unsigned).await;
    assert!(matches!(status, 400 | 403), "{status}");
    assert_eq!(to_a("$x", &json!({})).await, (400, "M_MISSING_PARAM".to_owned()));
    for kind in ["leave", "knock"] {
        let status = match kind {
            "leave" => {
                let request =
                    create_leave_event::v2::Request::new(id(&open), event_id.clone(), raw(&event));
                refusal(b.federation.call(a.data.server_name(), request).await).0
            }
            _ => {
                let request =
                    create_knock_event::v1::Request::new(id(&open), event_id.clone(), raw(&event));
                refusal(b.federation.call(a.data.server_name(), request).await).0
            }
        };
        assert_eq!(status, 400, "a join is no {kind}");
    }
    assert_eq!(membership(&alice, &open, "@bob:b.example").await, "");
    // The event itself is fine, twice too.
    for _ in 0..2 {
        let answer = send(&good, &b).await.expect("taken").room_state;
        assert!(!answer.members_omitted);
        assert!(answer.event.is_some());
        let has = |list: &[Box<RawValue>], kind: &str| {
            list.iter().any(|event| event.get().contains(&format!("\"{kind}\"")))
        };
        assert!(has(&answer.state, "m.room.create") && has(&answer.auth_chain, "m.room.create"));
        assert!(!has(&answer.state, "@bob:b.example"), "the state is the one before the join");
    }
    assert_eq!(membership(&alice, &open, "@bob:b.example").await, "join");
}

#[tokio::test]
async fn nobody_vouches_for_somebody_who_is_in_none_of_the_rooms() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let alice = a.user("alice").await;
    let club = public_room(&alice).await;
    let rule = json!({ "type": "m.room.join_rules", "content": {
        "join_rule": "restricted",
        "allow": [{ "type": "m.room_membership", "room_id": club }],
    } });
    let how = json!({ "preset": "private_chat", "initial_state": [rule], "room_version": "11" });
    let inner = room(&alice, how).await;
    let (who, versions) = ("@bob:b.example", &VERSIONS);
    let refused = template(&a, &b, &inner, who, versions).await;
    assert_eq!(refusal(refused), (403, "M_FORBIDDEN".to_owned()));
    // A forged one: the place from a room that he may join, and alice's name.
    let mut forged = template(&a, &b, &club, who, versions).await.expect("a template");
    forged["room_id"] = json!(inner);
    forged["content"]["join_authorised_via_users_server"] = json!(alice.id);
    let (event_id, event) = signed(&b, &forged, &RoomVersionId::V11);
    let request = create_join_event::v2::Request::new(id(&inner), event_id, raw(&event));
    let answer = b.federation.call(a.data.server_name(), request).await;
    assert_eq!(refusal(answer), (403, "M_FORBIDDEN".to_owned()));
    // Rooms that a is not in: it cannot tell.
    let rule = json!({ "join_rule": "restricted", "allow": [
        { "type": "m.room_membership", "room_id": "!elsewhere:z.example" },
    ] });
    alice.put(&format!("/v3/rooms/{inner}/state/m.room.join_rules"), rule).await.ok();
    let unknown = template(&a, &b, &inner, who, versions).await;
    assert_eq!(refusal(unknown), (400, "M_UNABLE_TO_AUTHORISE_JOIN".to_owned()));
}

fn invitation(room: &str, from: &str, to: &str) -> Value {
    json!({
        "type": "m.room.member", "room_id": room, "sender": from, "state_key": to, "depth": 5,
        "content": { "membership": "invite" }, "origin_server_ts": 1_700_000_000_000_u64,
        "auth_events": ["$a"], "prev_events": ["$p"],
    })
}

#[tokio::test]
async fn only_invitations_are_signed() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let bob = b.user("bob").await;
    let room = "!r:a.example";
    let good = invitation(room, "@alice:a.example", &bob.id);
    let send = async |event: &Value, version: RoomVersionId, state: Value| {
        let (event_id, event) = signed(&a, event, &RoomVersionId::V11);
        let state = serde_json::from_value(state).expect("a list");
        let request =
            create_invite::v2::Request::new(id(room), event_id, version, raw(&event), state);
        a.federation.call(b.data.server_name(), request).await
    };
    for (field, value) in [
        ("content", json!({ "membership": "leave" })),
        ("content", json!({ "membership": "ban" })),
        ("content", json!({ "membership": "join" })),
        ("type", json!("m.room.power_levels")),
        ("state_key", json!("@somebody:c.example")),
        ("state_key", json!("@nobody:b.example")),
        ("state_key", json!("bob")),
        ("sender", json!("@boss:b.example")),
        ("sender", json!("@carol:c.example")),
        ("room_id", json!("!other:a.example")),
    ] {
        let mut event = good.clone();
        event[field] = value.clone();
        let answer = send(&event, RoomVersionId::V11, json!([])).await;
        let (status, _) = refusal(answer);
        assert!((400..500).contains(&status), "{field} {value}: {status}");
    }
    let version = "99".try_into().expect("a name");
    let answer = send(&good, version, json!([])).await;
    assert_eq!(refusal(answer), (400, "M_INCOMPATIBLE_ROOM_VERSION".to_owned()));
    assert!(shown(&bob, "invite", room).await.is_none());
    // Nonsense in what is told of the room does no harm, neither there nor in sync.
    let state = json!([
        {}, { "type": 5 }, { "type": "m.room.name", "content": 7, "sender": "x", "state_key": "" },
        { "type": "m.room.name", "content": { "name": "R" }, "sender": "@alice:a.example",
          "state_key": "", "unsigned": { "x": 1 } },
        { "type": "m.room.member", "content": { "membership": "join" },
          "sender": "@alice:a.example", "state_key": bob.id },
        { "type": "m.room.topic", "content": { "topic": "x".repeat(70_000) },
          "sender": "@alice:a.example", "state_key": "" },
    ]);
    let answer = send(&good, RoomVersionId::V11, state).await.expect("signed");
    let event: Value = serde_json::from_str(answer.event.get()).expect("JSON");
    let signers: Vec<_> = event["signatures"].as_object().expect("signatures").keys().collect();
    assert_eq!(signers, ["a.example", "b.example"]);
    let seen = shown(&bob, "invite", room).await.expect("it is shown");
    let events = seen["invite_state"]["events"].as_array().expect("a list");
    let kinds: Vec<_> = events.iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["m.room.name", "m.room.member"], "{seen}");
    assert_eq!(events[1]["content"]["membership"], "invite");
    assert!(events[0].get("unsigned").is_none());
    let list = json!({ "ranges": [[0, 9]], "timeline_limit": 1, "required_state": [] });
    let sliding = "/unstable/org.matrix.simplified_msc3575/sync";
    let answer = bob.post(sliding, json!({ "lists": { "all": list } })).await.ok();
    assert_eq!(answer["lists"]["all"]["count"], 1);
}

#[tokio::test]
async fn who_is_in_the_room_is_not_invited_again() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let open = room(&alice, json!({ "preset": "public_chat", "room_version": "11" })).await;
    join(&bob, &open, "a.example").await.ok();
    let event = invitation(&open, &alice.id, &bob.id);
    let (event_id, event) = signed(&a, &event, &RoomVersionId::V11);
    let version = RoomVersionId::V11;
    let request =
        create_invite::v2::Request::new(id(&open), event_id, version, raw(&event), Vec::new());
    let answer = a.federation.call(b.data.server_name(), request).await;
    assert_eq!(refusal(answer), (403, "M_FORBIDDEN".to_owned()));
    assert!(shown(&bob, "join", &open).await.is_some());
}

#[tokio::test]
async fn who_does_not_sign_is_not_listened_to() {
    let network = Network::new();
    let a = network.server("a.example").await;
    let alice = a.user("alice").await;
    let room = public_room(&alice).await;
    for (method, path) in [
        (Method::GET, format!("v1/make_join/{room}/@x:b.example?ver=11")),
        (Method::GET, format!("v1/make_knock/{room}/@x:b.example?ver=11")),
        (Method::GET, format!("v1/make_leave/{room}/@x:b.example")),
        (Method::PUT, format!("v2/send_join/{room}/$x")),
        (Method::PUT, format!("v1/send_knock/{room}/$x")),
        (Method::PUT, format!("v2/send_leave/{room}/$x")),
        (Method::PUT, format!("v2/invite/{room}/$x")),
        (Method::PUT, format!("v1/invite/{room}/$x")),
        (Method::PUT, format!("v1/exchange_third_party_invite/{room}")),
        (Method::GET, "v1/query/directory?room_alias=%23x:a.example".to_owned()),
    ] {
        let path = format!("/_matrix/federation/{path}");
        let body = (method == Method::PUT).then(|| json!({}));
        for token in [None, Some("nonsense"), Some(&*alice.token)] {
            let answer = a.call(method.clone(), &path, token, body.clone()).await;
            assert_eq!(answer.status.as_u16(), 401, "{method} {path}: {}", answer.body);
            assert!(["M_UNAUTHORIZED", "M_FORBIDDEN"].contains(&answer.code()), "{}", answer.body);
        }
    }
}
