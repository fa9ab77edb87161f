//! Rooms of other servers are joined before their members are known: what clients see until then,
//! and after that. The rules are those of Complement's tests for MSC3902.

use std::sync::{Arc, Mutex};

use blaupause_data::rows::EventNoRow;
use blaupause_store::MemStore;
use ruma::RoomId;
use serde_json::{Value, json, value::RawValue};

use super::{edus::transaction, network::Network};
use crate::server::{Answer, Client, Server};

/// Members are told as they speak.
const LAZY: &str =
    "filter=%7B%22room%22%3A%7B%22state%22%3A%7B%22lazy_load_members%22%3Atrue%7D%7D%7D";

struct World {
    network: Network,
    a: Server,
    b: Server,
}

impl World {
    async fn new() -> Self {
        let network = Network::new();
        let a = network.server("a.example").await;
        let b = network.fast_server("b.example", MemStore::new()).await;
        Self { network, a, b }
    }
}

/// A room of Alice with Carol in it.
async fn room_of(alice: &Client<'_>, carol: &Client<'_>) -> String {
    let how = json!({ "preset": "public_chat", "name": "Amtsstube" });
    let made = alice.post("/v3/createRoom", how).await.ok();
    let room = made["room_id"].as_str().expect("an id").to_owned();
    carol.post(&format!("/v3/join/{room}"), json!({})).await.ok();
    room
}

async fn join(who: &Client<'_>, room: &str) -> Answer {
    who.post(&format!("/v3/join/{room}?via=a.example"), json!({})).await
}

/// News since a position, and where they end.
async fn news(who: &Client<'_>, how: &str, since: Option<&str>) -> (Value, String) {
    let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
    let news = who.get(&format!("/v3/sync?timeout=0&{how}{since}")).await.ok();
    let next = news["next_batch"].as_str().expect("a position").to_owned();
    (news, next)
}

fn members_in(events: &Value) -> Vec<&str> {
    let events = events.as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let members = events.filter(|event| event["type"] == "m.room.member");
    let mut members: Vec<_> = members.filter_map(|event| event["state_key"].as_str()).collect();
    members.sort_unstable();
    members
}

async fn say(who: &Client<'_>, room: &str, text: &str) -> String {
    let path = format!("/v3/rooms/{room}/send/m.room.message/{text}");
    let sent = who.put(&path, json!({ "msgtype": "m.text", "body": text })).await.ok();
    sent["event_id"].as_str().expect("an id").to_owned()
}

/// The newest event of a room, as somebody sees it, goes from their server to another one.
async fn pass_on(who: &Client<'_>, room: &str, to: &Server) {
    let newest = who.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=1")).await.ok();
    let id = newest["chunk"][0]["event_id"].as_str().expect("an event").to_owned();
    let from = &who.server.data;
    let room = RoomId::parse(room).expect("a room id");
    let (part, hash) = (from.parts().room(&room), from.parts().hash16(&id));
    let no = from.get::<EventNoRow>(part, &hash).await.expect("reads").expect("the event");
    let event = from.event(part, no.value).await.expect("reads").expect("the event");
    let pdu = RawValue::from_string(event.stored.pdu.clone()).expect("JSON");
    to.rooms.stage(from.server_name(), vec![pdu]).await.expect("staged");
    to.rooms.intake().await;
}

#[tokio::test]
async fn who_loads_members_lazily_sees_the_room_at_once_and_who_wants_all_later() {
    let World { network: _network, a, b } = World::new().await;
    let (alice, carol, bob) = (a.user("alice").await, a.user("carol").await, b.user("bob").await);
    let room = room_of(&alice, &carol).await;
    let (_, eager) = news(&bob, "", None).await;
    let (_, lazy) = news(&bob, LAZY, None).await;
    join(&bob, &room).await.ok();
    let (seen, lazy) = news(&bob, LAZY, Some(&lazy)).await;
    let told = &seen["rooms"]["join"][&room];
    assert_eq!(members_in(&told["timeline"]["events"]), [&bob.id]);
    let name = told["state"]["events"].as_array().expect("state").iter();
    assert_eq!(name.filter(|event| event["type"] == "m.room.name").count(), 1);
    for since in [None, Some(&*eager)] {
        let (seen, _) = news(&bob, "", since).await;
        assert!(seen["rooms"]["join"][&room].is_null(), "{since:?}: {seen}");
    }
    say(&bob, &room, "hello").await;
    let (seen, eager) = news(&bob, "", Some(&eager)).await;
    assert!(seen["rooms"]["join"][&room].is_null());
    b.rooms.resync().await;
    let (initial, _) = news(&bob, "", None).await;
    let (later, _) = news(&bob, "", Some(&eager)).await;
    for seen in [initial, later] {
        let told = &seen["rooms"]["join"][&room];
        let state = members_in(&told["state"]["events"]);
        assert!(state.contains(&&*alice.id) && state.contains(&&*carol.id), "{told}");
        assert_eq!(told["summary"]["m.joined_member_count"], 3);
    }
    // Who loads lazily is not told of everybody now.
    let (seen, _) = news(&bob, LAZY, Some(&lazy)).await;
    let told = &seen["rooms"]["join"][&room];
    assert_eq!(members_in(&told["state"]["events"]), [] as [&str; 0], "{told}");
}

#[tokio::test]
async fn who_waits_for_news_is_woken_when_the_members_are_known() {
    let World { network: _network, a, b } = World::new().await;
    let (alice, carol, bob) = (a.user("alice").await, a.user("carol").await, b.user("bob").await);
    let room = room_of(&alice, &carol).await;
    join(&bob, &room).await.ok();
    let (_, since) = news(&bob, "", None).await;
    let path = format!("/v3/sync?timeout=20000&since={since}");
    let began = tokio::time::Instant::now();
    let (news, ()) = tokio::join!(bob.get(&path), b.rooms.resync());
    assert!(!news.ok()["rooms"]["join"][&room].is_null());
    assert!(began.elapsed().as_secs() < 10);
}

#[tokio::test]
async fn requests_for_members_wait_until_they_are_known() {
    let World { network: _network, a, b } = World::new().await;
    let (alice, carol, bob) = (a.user("alice").await, a.user("carol").await, b.user("bob").await);
    let room = room_of(&alice, &carol).await;
    join(&bob, &room).await.ok();
    let (_, at) = news(&bob, LAZY, None).await;
    let paths = [
        "joined_members".to_owned(),
        "members".to_owned(),
        format!("members?at={at}"),
        "state".to_owned(),
        format!("state/m.room.member/{}", carol.id),
    ];
    // What is known is said at once.
    bob.get(&format!("/v3/rooms/{room}/state/m.room.name")).await.ok();
    bob.get(&format!("/v3/rooms/{room}/state/m.room.member/{}", bob.id)).await.ok();
    let asked = async {
        let (bob, room) = (&bob, &room);
        let asked = paths.iter().map(|path| async move {
            let answer = bob.get(&format!("/v3/rooms/{room}/{path}")).await.ok();
            assert!(answer.to_string().contains("carol"), "{path}: {answer}");
        });
        futures_util::future::join_all(asked).await;
    };
    tokio::join!(asked, b.rooms.resync());
}

#[tokio::test]
async fn who_speaks_is_shown_and_typing_is_heard() {
    let World { network: _network, a, b } = World::new().await;
    let (alice, carol, bob) = (a.user("alice").await, a.user("carol").await, b.user("bob").await);
    let room = room_of(&alice, &carol).await;
    join(&bob, &room).await.ok();
    let (_, since) = news(&bob, LAZY, None).await;
    let said = say(&carol, &room, "hello").await;
    pass_on(&carol, &room, &b).await;
    for since in [None, Some(&*since)] {
        let (seen, _) = news(&bob, LAZY, since).await;
        let told = &seen["rooms"]["join"][&room];
        let last = told["timeline"]["events"].as_array().and_then(|events| events.last());
        assert_eq!(last.map(|event| &event["event_id"]), Some(&json!(said)));
        assert!(members_in(&told["state"]["events"]).contains(&&*carol.id), "{told}");
    }
    let typing: ruma::api::federation::transactions::edu::TypingContent =
        serde_json::from_value(json!({ "room_id": room, "user_id": alice.id, "typing": true }))
            .expect("typing");
    b.rooms.hear_typing(a.data.server_name(), &typing).await.expect("heard");
    let (seen, _) = news(&bob, LAZY, None).await;
    let told = &seen["rooms"]["join"][&room]["ephemeral"]["events"];
    assert!(told.to_string().contains(&alice.id), "{told}");
}

#[tokio::test]
async fn others_of_the_server_come_in_through_who_knows_the_members() {
    let World { network, a, b } = World::new().await;
    let (alice, carol, bob) = (a.user("alice").await, a.user("carol").await, b.user("bob").await);
    let (berta, mallory) = (b.user("berta").await, b.user("mallory").await);
    let room = room_of(&alice, &carol).await;
    let ban = json!({ "user_id": mallory.id });
    alice.post(&format!("/v3/rooms/{room}/ban"), ban).await.ok();
    join(&bob, &room).await.ok();
    join(&berta, &room).await.ok();
    assert_eq!(network.count(&a, "send_join"), 2);
    join(&mallory, &room).await.refused(403, "M_FORBIDDEN");
    let name = json!({ "displayname": "Robert" });
    bob.put(&format!("/v3/profile/{}/displayname", bob.id), name).await.ok();
    b.rooms.resync().await;
    let members = bob.get(&format!("/v3/rooms/{room}/joined_members")).await.ok();
    assert_eq!(members["joined"].as_object().expect("members").len(), 4);
}

#[tokio::test]
async fn a_room_can_be_left_and_joined_again_before_the_members_are_known() {
    let World { network: _network, a, b } = World::new().await;
    let (alice, carol, bob) = (a.user("alice").await, a.user("carol").await, b.user("bob").await);
    let room = room_of(&alice, &carol).await;
    join(&bob, &room).await.ok();
    let (_, since) = news(&bob, LAZY, None).await;
    bob.post(&format!("/v3/rooms/{room}/leave"), json!({})).await.ok();
    let (seen, since) = news(&bob, LAZY, Some(&since)).await;
    assert!(!seen["rooms"]["leave"][&room].is_null());
    pass_on(&bob, &room, &a).await;
    join(&bob, &room).await.ok();
    let (seen, _) = news(&bob, LAZY, Some(&since)).await;
    assert!(!seen["rooms"]["join"][&room].is_null());
    b.rooms.resync().await;
    let members = bob.get(&format!("/v3/rooms/{room}/joined_members")).await.ok();
    assert_eq!(members["joined"].as_object().expect("members").len(), 3);
}

#[tokio::test]
async fn somebody_who_is_banned_meanwhile_stays_out() {
    let World { network: _network, a, b } = World::new().await;
    let (alice, carol, bob) = (a.user("alice").await, a.user("carol").await, b.user("bob").await);
    let room = room_of(&alice, &carol).await;
    join(&bob, &room).await.ok();
    let ban = json!({ "user_id": bob.id });
    alice.post(&format!("/v3/rooms/{room}/ban"), ban).await.ok();
    pass_on(&alice, &room, &b).await;
    let (seen, _) = news(&bob, LAZY, None).await;
    assert!(seen["rooms"]["join"][&room].is_null());
    join(&bob, &room).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_server_answers_without_the_members_only_who_asks_for_that() {
    let network = Network::new();
    let a = network.server("a.example").await;
    let b = network.server("b.example").await;
    let c = network.fast_server("c.example", MemStore::new()).await;
    let (alice, carol) = (a.user("alice").await, a.user("carol").await);
    let (bob, dora) = (b.user("bob").await, c.user("dora").await);
    let answers: Arc<Mutex<Vec<Value>>> = Arc::default();
    let noted = Arc::clone(&answers);
    network.alter(&a, "send_join", move |body| noted.lock().expect("noted").push(body.clone()));
    let named = room_of(&alice, &carol).await;
    for who in [&bob, &dora] {
        join(who, &named).await.ok();
    }
    let made = alice.post("/v3/createRoom", json!({ "preset": "public_chat" })).await.ok();
    let nameless = made["room_id"].as_str().expect("an id");
    join(&dora, nameless).await.ok();
    let answers = answers.lock().expect("noted").clone();
    let [all, without, heroes] = answers.as_slice() else { panic!("{answers:?}") };
    assert!(all["members_omitted"].is_null() && all["servers_in_room"].is_null());
    assert_eq!(members_in(&all["state"]).len(), 2);
    assert_eq!(without["members_omitted"], true);
    assert_eq!(without["servers_in_room"], json!(["a.example", "b.example"]));
    assert_eq!(members_in(&without["state"]).len(), 0);
    let in_state = without["state"].as_array().expect("state");
    let chain = without["auth_chain"].as_array().expect("events");
    assert!(chain.iter().all(|event| !in_state.contains(event)), "nothing is said twice");
    assert_eq!(members_in(&heroes["state"]), [&alice.id], "whom the room is called after");
}

#[tokio::test]
async fn devices_of_members_who_were_not_known_are_told_when_they_are() {
    // In a room that is not encrypted only of those whose devices changed meanwhile.
    for is_encrypted in [true, false] {
        let World { network: _network, a, b } = World::new().await;
        let (alice, carol) = (a.user("alice").await, a.user("carol").await);
        let bob = b.user("bob").await;
        let room = room_of(&alice, &carol).await;
        if is_encrypted {
            let how = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
            alice.put(&format!("/v3/rooms/{room}/state/m.room.encryption"), how).await.ok();
        }
        join(&bob, &room).await.ok();
        let (_, since) = news(&bob, LAZY, None).await;
        let update = json!({ "user_id": carol.id, "device_id": "D", "stream_id": 1 });
        let edus = json!([{ "edu_type": "m.device_list_update", "content": update }]);
        transaction(&a, &b, "t1", edus).await.ok();
        // Nobody knows yet that she is near.
        let (seen, since) = news(&bob, LAZY, Some(&since)).await;
        assert!(seen["device_lists"]["changed"].is_null(), "{seen}");
        b.rooms.resync().await;
        let (seen, next) = news(&bob, LAZY, Some(&since)).await;
        let told: &[_] = if is_encrypted { &[&alice.id, &carol.id] } else { &[&carol.id] };
        assert_eq!(seen["device_lists"]["changed"], json!(told), "{is_encrypted}");
        let (seen, _) = news(&bob, LAZY, Some(&next)).await;
        assert!(seen["device_lists"]["changed"].is_null());
    }
}

#[tokio::test]
async fn a_restart_loses_nothing() {
    let World { network, a, b } = World::new().await;
    let (alice, carol) = (a.user("alice").await, a.user("carol").await);
    let room = room_of(&alice, &carol).await;
    join(&b.user("bob").await, &room).await.ok();
    let b = network.fast_server("b.example", b.store.copy()).await;
    let bob = b.sign_in("bob").await;
    let (seen, _) = news(&bob, "", None).await;
    assert!(seen["rooms"]["join"][&room].is_null());
    b.rooms.resync().await;
    let (seen, since) = news(&bob, "", None).await;
    assert!(!seen["rooms"]["join"][&room].is_null());
    let b = network.fast_server("b.example", b.store.copy()).await;
    let bob = b.sign_in("bob").await;
    let (seen, _) = news(&bob, "", Some(&since)).await;
    assert!(seen["rooms"]["join"][&room].is_null(), "nothing is new");
}
