//! Coming into rooms, inviting, leaving: with a server that wants something else.

use blaupause_policy::ServerPolicy;
use http::StatusCode;
use ruma::RoomVersionId;
use serde_json::{Value, json};

use super::scene::{Scene, X};
use crate::federation::{
    network::Network,
    peer::Peer,
    world::{encoded, invitation, say},
};

#[tokio::test]
async fn a_room_that_calls_itself_a_successor_takes_nothing() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob, mallory) =
        (a.user("alice").await, a.user("bob").await, b.user("mallory").await);
    let how = json!({ "preset": "public_chat", "name": "Amt", "room_alias_name": "amt", "visibility": "public" });
    let old = alice.post("/v3/createRoom", how).await.ok();
    let old = old["room_id"].as_str().expect("an id").to_owned();
    let last = say(&alice, &old, "last").await;
    bob.post(&format!("/v3/join/{old}"), json!({})).await.ok();
    for version in ["11", "12"] {
        let predecessor = json!({ "room_id": old, "event_id": last });
        let how = json!({ "preset": "public_chat", "room_version": version, "name": "Amt",
            "creation_content": { "predecessor": predecessor } });
        let new = mallory.post("/v3/createRoom", how).await.ok();
        let new = new["room_id"].as_str().expect("an id").to_owned();
        bob.post(&format!("/v3/join/{new}?via=b.example"), json!({})).await.ok();
        let alias = alice.get("/v3/directory/room/%23amt:a.example").await.ok();
        assert_eq!(alias["room_id"], *old, "{version}");
        let listed = alice.get(&format!("/v3/directory/list/room/{old}")).await.ok();
        assert_eq!(listed["visibility"], "public");
        let listed = alice.get(&format!("/v3/directory/list/room/{new}")).await;
        assert_ne!(listed.body["visibility"], "public");
        let tombstone = alice.get(&format!("/v3/rooms/{old}/state/m.room.tombstone")).await;
        assert_eq!(tombstone.status, 404);
        let aliases = alice.get(&format!("/v3/rooms/{new}/aliases")).await;
        assert!(aliases.body["aliases"].as_array().is_none_or(Vec::is_empty));
    }
}

#[tokio::test]
async fn nobody_knocks_where_nobody_may() {
    for version in ["7", "8", "9", "11"] {
        let how = json!({ "preset": "private_chat", "room_version": version, "invite": [] });
        let network = Network::new();
        let a = network.server("a.example").await;
        let peer = Peer::new(&network, "peer.example");
        let alice = a.user("alice").await;
        let made = alice.post("/v3/createRoom", how).await.ok();
        let room = made["room_id"].as_str().expect("an id").to_owned();
        let template = peer.template(&a, "knock", &room, "@k:peer.example").await;
        assert!(matches!(template.status.as_u16(), 400 | 403), "{version}: {}", template.body);
        let mut knock = peer.draft(&a, &room, "@k:peer.example", "m.room.member").await;
        knock["state_key"] = json!("@k:peer.example");
        knock["content"] = json!({ "membership": "knock" });
        let rules =
            peer.state(&a, &room).await.into_iter().find(|(_, e)| e["type"] == "m.room.join_rules");
        let rules = json!(rules.expect("they are set").0);
        knock["auth_events"].as_array_mut().expect("a list").push(rules);
        let answer = peer.hands_over(&a, "knock", &room, &knock).await;
        assert_eq!(answer.status.as_u16(), 403, "{version}: {}", answer.body);
        peer.brings(&a, &room, &knock).await;
        let path = format!("/v3/rooms/{room}/state/m.room.member/@k:peer.example");
        alice.get(&path).await.refused(404, "M_NOT_FOUND");
    }
}

/// Changes to an event that make it another one than was asked for, and the field.
fn wrong_ways() -> Vec<(&'static str, Value)> {
    vec![
        ("type", json!("m.room.power_levels")),
        ("sender", json!("@boss:a.example")),
        ("state_key", json!("@boss:a.example")),
        ("room_id", json!("!other:peer.example")),
        ("content", json!({ "membership": "ban" })),
        ("content", json!({ "membership": 5 })),
        ("content", json!("x")),
    ]
}

#[tokio::test]
async fn no_template_for_something_else_is_signed_whatever_it_is_for() {
    let network = Network::new();
    let a = network.server("a.example").await;
    let peer = Peer::new(&network, "peer.example");
    let alice = a.user("alice").await;
    let room = "!theirs:peer.example";
    for kind in ["join", "knock", "leave"] {
        if kind == "leave" {
            invite(&peer, &a, room, &alice.id, json!([])).await.ok();
        }
        for (field, value) in wrong_ways() {
            let mut event = json!({ "type": "m.room.member", "sender": alice.id, "room_id": room,
                "state_key": alice.id, "content": { "membership": kind }, "depth": 3,
                "auth_events": ["$a"], "prev_events": ["$p"], "origin_server_ts": 1 });
            event[field] = value;
            peer.answers(&format!("make_{kind}"), json!({ "room_version": "11", "event": event }));
            let path = match kind {
                "leave" => format!("/v3/rooms/{room}/leave"),
                kind => format!("/v3/{kind}/{room}?via=peer.example"),
            };
            let answer = alice.post(&path, json!({})).await;
            assert!(answer.status.as_u16() < 500 || answer.status == 502, "{}", answer.body);
        }
        assert!(!peer.asked(&format!("make_{kind}")).is_empty());
        assert!(peer.asked(&format!("send_{kind}")).is_empty(), "{kind}: nothing was signed");
    }
}

/// The peer invites somebody to a room of its own.
async fn invite(
    peer: &Peer,
    to: &crate::server::Server,
    room: &str,
    user: &str,
    state: Value,
) -> crate::server::Answer {
    let (id, event) = peer.signs(&invitation(room, X, user), &RoomVersionId::V11);
    let body = json!({ "room_version": "11", "event": event, "invite_room_state": state });
    let path = format!("/v2/invite/{}/{}", encoded(room), encoded(&id));
    peer.asks(to, http::Method::PUT, &path, Some(body)).await
}

#[tokio::test]
async fn whatever_is_told_of_a_room_with_an_invitation_sync_goes_on() {
    let network = Network::new();
    let a = network.server("a.example").await;
    let peer = Peer::new(&network, "peer.example");
    let alice = a.user("alice").await;
    let name = |content: Value| json!([{ "type": "m.room.name", "state_key": "", "sender": X, "content": content }]);
    let wrong = [
        json!(null),
        json!(5),
        json!("x"),
        json!({}),
        json!([5]),
        json!([null]),
        json!([[]]),
        json!([{ "type": 5 }]),
        json!([{}]),
        name(json!(5)),
        name(json!({ "name": 5 })),
        name(json!({ "name": "x".repeat(60_000) })),
        json!(vec![json!({ "type": "m.x" }); 5_000]),
        json!([{ "type": "m.room.create", "state_key": "", "sender": X, "content": { "type": 5, "room_version": [] } }]),
        json!([{ "type": "m.room.member", "state_key": X, "sender": X, "content": { "displayname": {}, "membership": [] } }]),
        json!([{ "type": "m.room.join_rules", "state_key": "", "sender": X, "content": { "join_rule": 5 } }]),
        json!([{ "type": "m.room.avatar", "state_key": "", "sender": X, "content": { "url": {} } }]),
        json!([{ "type": "m.room.encryption", "state_key": "", "sender": X, "content": { "algorithm": [] } }]),
    ];
    for (at, state) in wrong.into_iter().enumerate() {
        let shown: String = state.to_string().chars().take(80).collect();
        let room = format!("!theirs{at}:peer.example");
        let answer = invite(&peer, &a, &room, &alice.id, state).await;
        assert!(answer.status.as_u16() < 500, "{shown}: {}", answer.body);
        let news = alice.get("/v3/sync?timeout=0").await.ok();
        assert!(news["rooms"]["invite"].to_string().len() < 400_000, "{shown}");
        let list =
            json!({ "ranges": [[0, 99]], "timeline_limit": 1, "required_state": [["*", "*"]] });
        let sliding = "/unstable/org.matrix.simplified_msc3575/sync";
        let answer = alice.post(sliding, json!({ "lists": { "all": list } })).await.ok();
        let name = &answer["rooms"][&room]["name"];
        assert!(name.is_null() || name.is_string(), "{shown}: {name}");
        alice.get("/v3/notifications").await.ok();
    }
}

#[tokio::test]
async fn an_invitation_from_here_is_small_however_large_the_room_is() {
    let scene = Scene::new("11").await;
    let alice = scene.alice();
    let long = "x".repeat(60_000);
    for (kind, content) in [
        ("m.room.name", json!({ "name": "x", "more": long })),
        ("m.room.topic", json!({ "topic": long })),
        ("m.room.avatar", json!({ "url": "mxc://a.example/x", "info": { "more": long } })),
        ("m.room.encryption", json!({ "algorithm": "m.megolm.v1.aes-sha2", "more": long })),
    ] {
        let path = format!("/v3/rooms/{}/state/{kind}/", scene.room);
        alice.put(&path, content).await.ok();
    }
    let invite = json!({ "user_id": "@new:peer.example" });
    alice.post(&format!("/v3/rooms/{}/invite", scene.room), invite).await;
    let asked = scene.peer.asked("/invite/");
    assert_eq!(asked.len(), 1);
    let size = asked[0].size;
    assert!(size < 200_000, "{size} bytes");
    assert!(asked[0].body["invite_room_state"].as_array().is_some_and(|state| !state.is_empty()));
}

#[tokio::test]
async fn an_invitation_counts_when_the_invited_server_has_really_signed() {
    let scene = Scene::new("11").await;
    let liar = Peer::new(&scene.network, "liar.example");
    let user = "@new:peer.example";
    let path = format!("/v3/rooms/{}/invite", scene.room);
    // As it came; with a signature of nothing; with another server's under this name.
    let forged = liar.clone();
    type Way = Box<dyn Fn(Value) -> Value + Send + Sync>;
    let ways: [(&str, Way); 4] = [
        ("unsigned", Box::new(|event| event)),
        (
            "zeros",
            Box::new(|mut event| {
                event["signatures"]["peer.example"] = json!({ "ed25519:peer": "A".repeat(86) });
                event
            }),
        ),
        (
            "an unknown key",
            Box::new(|mut event| {
                event["signatures"]["peer.example"] = json!({ "ed25519:none": "A".repeat(86) });
                event
            }),
        ),
        (
            "another's",
            Box::new(move |event| {
                let mut signed = forged.signs(&event, &RoomVersionId::V11).1;
                signed["signatures"]["peer.example"] = signed["signatures"]["liar.example"].clone();
                signed
            }),
        ),
    ];
    for (what, way) in ways {
        scene.peer.plays("/invite/", move |asked| {
            let event = way(asked.body["event"].clone());
            (StatusCode::OK, json!({ "event": event }).to_string().into_bytes())
        });
        let answer = scene.alice().post(&path, json!({ "user_id": user })).await;
        assert_eq!(answer.status.as_u16(), 502, "{what}: {}", answer.body);
        assert_ne!(scene.current("m.room.member", user).await["membership"], "invite", "{what}");
    }
    let peer = scene.peer.clone();
    scene.peer.plays("/invite/", move |asked| {
        let mut event = asked.body["event"].clone();
        let signed = peer.signs(&event, &RoomVersionId::V11).1;
        event["signatures"]["peer.example"] = signed["signatures"]["peer.example"].clone();
        (StatusCode::OK, json!({ "event": event }).to_string().into_bytes())
    });
    scene.alice().post(&path, json!({ "user_id": user })).await.ok();
    assert_eq!(scene.current("m.room.member", user).await["membership"], "invite");
}

#[tokio::test]
async fn an_invitation_to_a_room_elsewhere_is_a_notification() {
    let network = Network::new();
    let a = network.server("a.example").await;
    let peer = Peer::new(&network, "peer.example");
    let alice = a.user("alice").await;
    let room = "!theirs:peer.example";
    invite(&peer, &a, room, &alice.id, json!([])).await.ok();
    let told = alice.get("/v3/notifications").await.ok();
    let told = told["notifications"].as_array().expect("a list");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["room_id"], room);
    assert_eq!(told[0]["event"]["content"]["membership"], "invite");
    assert_eq!(told[0]["read"], false);
    alice.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
    let told = alice.get("/v3/notifications").await.ok();
    assert_eq!(told["notifications"], json!([]));
}

#[tokio::test]
async fn what_is_handed_over_is_signed_by_its_server_and_of_its_room() {
    let scene = Scene::with_power("11").await;
    let liar = Peer::new(&scene.network, "liar.example");
    let alice = scene.alice();
    let other =
        alice.post("/v3/createRoom", json!({ "preset": "public_chat", "room_version": "11" }));
    let other = other.await.ok()["room_id"].as_str().expect("an id").to_owned();
    let rule = format!("/v3/rooms/{}/state/m.room.join_rules", scene.room);
    alice.put(&rule, json!({ "join_rule": "knock" })).await.ok();
    let version = RoomVersionId::V11;
    for (kind, user) in [("leave", X), ("knock", "@k:peer.example")] {
        let template = scene.peer.template(&scene.a, kind, &scene.room, user).await.ok();
        let good = template["event"].clone();
        let v = if kind == "knock" { "v1" } else { "v2" };
        let mut ways = vec![
            ("another room", {
                let mut e = good.clone();
                e["room_id"] = json!(other);
                scene.peer.signs(&e, &version)
            }),
            ("another user", {
                let mut e = good.clone();
                e["state_key"] = json!("@alice:a.example");
                scene.peer.signs(&e, &version)
            }),
            ("another's user", {
                let mut e = good.clone();
                e["sender"] = json!("@alice:a.example");
                scene.peer.signs(&e, &version)
            }),
            ("another's signature", liar.signs(&good, &version)),
        ];
        let (id, mut unsigned) = scene.peer.signs(&good, &version);
        unsigned["signatures"]["peer.example"]["ed25519:peer"] = json!("A".repeat(86));
        ways.push(("a wrong signature", (id, unsigned)));
        for (what, (id, event)) in ways {
            let path = format!("/{v}/send_{kind}/{}/{}", encoded(&scene.room), encoded(&id));
            let answer = scene.peer.asks(&scene.a, http::Method::PUT, &path, Some(event)).await;
            assert!(
                matches!(answer.status.as_u16(), 400 | 403),
                "{kind} {what}: {} {}",
                answer.status,
                answer.body
            );
        }
        assert_eq!(scene.current("m.room.member", X).await["membership"], "join");
    }
}

#[tokio::test]
async fn who_is_no_longer_listened_to_is_heard_nowhere() {
    let scene = Scene::new("11").await;
    let message = scene.message("hear me").await;
    let deny: Vec<blaupause_policy::ServerPattern> =
        vec!["peer.example".parse().expect("a pattern")];
    let policy = ServerPolicy { deny: deny.into(), ..ServerPolicy::open() };
    scene.a.federation.set_servers(policy);
    let version = scene.version().await;
    let (id, pdu) = scene.peer.signs(&message, &version);
    scene.peer.sends(&scene.a, vec![pdu.clone()], Vec::new()).await.refused(403, "M_FORBIDDEN");
    // By another server's hand, neither.
    let friend = Peer::new(&scene.network, "friend.example");
    friend.sends(&scene.a, vec![pdu], Vec::new()).await.ok();
    assert_eq!(scene.seen(&id).await, None);
    let before = scene.peer.asked("").len();
    let alice = scene.alice();
    alice.get("/v3/profile/@x:peer.example").await;
    alice.post("/v3/keys/query", json!({ "device_keys": { X: [] } })).await;
    alice.post("/v3/join/%23x:peer.example", json!({})).await;
    alice.get("/v1/media/download/peer.example/abc?timeout_ms=100").await;
    assert_eq!(scene.peer.asked("").len(), before, "it is asked nothing");
}
